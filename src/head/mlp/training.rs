//! Gradient descent.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::Optimizer;

use super::episodes::Episodes;
use super::start::{Dense, carry};
use super::{Mlp, MlpOptions, widths};
use crate::head::adamw::{AdamW, Rates};
use crate::head::{HeadError, Linear, to_tensor};
use crate::random::Random;
use crate::support::Support;

/// Samples of one step.
struct Batch {
    /// `[samples, width]`.
    features: Tensor,
    targets: Targets,
}

/// What samples should be.
pub(super) struct Targets {
    /// `[samples]`: class indices, as f32 for two classes.
    pub classes: Tensor,
    /// `[samples]`: what each counts.
    pub weights: Tensor,
}

/// One run of gradient descent.
pub(super) struct Training {
    mlp: Mlp,
    variables: Vec<Var>,
    optimiser: AdamW,
    batches: Vec<Batch>,
    episodes: Option<Episodes>,
    options: MlpOptions,
}

impl Training {
    pub fn random(support: &Support, options: &MlpOptions, seed: u64) -> Result<Self, HeadError> {
        let mut random = Random::new(seed);
        let widths = widths(support.features().columns(), support.ways());
        let he = |pair: &[usize]| {
            let spread = (2.0 / pair[0] as f32).sqrt();
            Dense::new(pair[1], pair[0], |_, _| spread * random.normal())
        };
        let layers = widths.windows(2).map(he).collect();
        Self::new(support, layers, options, seed)
    }

    /// From logistic regression on the whole support set.
    pub fn from_linear(
        support: &Support,
        linear: &Linear,
        options: &MlpOptions,
        seed: u64,
    ) -> Result<Self, HeadError> {
        Self::new(support, carry(linear, seed), options, seed)
    }

    fn new(
        support: &Support,
        layers: Vec<Dense>,
        options: &MlpOptions,
        seed: u64,
    ) -> Result<Self, HeadError> {
        let mut variables = Vec::new();
        let mut build = |layer: Dense| -> Result<candle_nn::Linear, HeadError> {
            let (weight, bias) = layer.into_variables()?;
            let built =
                candle_nn::Linear::new(weight.as_tensor().clone(), Some(bias.as_tensor().clone()));
            variables.extend([weight, bias]);
            Ok(built)
        };
        let layers = layers
            .into_iter()
            .map(&mut build)
            .collect::<Result<_, _>>()?;
        let episodes = match options.episodes {
            0 => None,
            _ => Some(Episodes::new(support, &variables, options.averaging, seed)?),
        };
        Ok(Self {
            mlp: Mlp {
                layers,
                ways: support.ways(),
            },
            optimiser: AdamW::new(variables.clone(), rates(options))?,
            variables,
            batches: batches(support, options.batch)?,
            episodes,
            options: options.clone(),
        })
    }

    /// An epoch: zero the gradients, forward, loss, backward, step, batch by batch. candle keeps
    /// no gradients between steps, so zeroing them is implied.
    fn epoch(&mut self) -> Result<(), HeadError> {
        for Batch { features, targets } in &self.batches {
            let logits = self.mlp.forward(features)?;
            let loss = summed_loss(&logits, targets, self.mlp.ways)?;
            if !loss.to_scalar::<f32>()?.is_finite() {
                return Err(HeadError::Diverged);
            }
            self.optimiser.backward_step(&loss)?;
        }
        Ok(())
    }

    /// The next unit of training: an episode, or else an epoch.
    pub fn advance(&mut self) -> Result<(), HeadError> {
        let Some(mut episodes) = self.episodes.take() else {
            return self.epoch();
        };
        // Every episode starts from the average, with an optimiser that remembers nothing.
        self.optimiser = AdamW::new(self.variables.clone(), rates(&self.options))?;
        self.batches = batches(&episodes.draw(), self.options.batch)?;
        for _ in 0..self.options.epochs {
            self.epoch()?;
        }
        episodes.average(&self.variables)?;
        self.episodes = Some(episodes);
        Ok(())
    }

    /// The network as it is now.
    pub fn mlp(&self) -> &Mlp {
        &self.mlp
    }

    /// So many units.
    pub fn run(mut self, length: usize) -> Result<Mlp, HeadError> {
        for _ in 0..length {
            self.advance()?;
        }
        Ok(self.mlp.frozen())
    }
}

fn rates(options: &MlpOptions) -> Rates {
    Rates {
        learning_rate: options.learning_rate,
        weight_decay: options.weight_decay,
    }
}

fn batches(support: &Support, size: usize) -> Result<Vec<Batch>, HeadError> {
    let indices: Vec<usize> = (0..support.classes().len()).collect();
    let weights = support.weights();
    let batch = |rows: &[usize]| {
        let classes = rows.iter().map(|&row| support.classes()[row] as u32);
        let classes = Tensor::from_vec(classes.collect(), rows.len(), &Device::Cpu)?;
        let classes = match support.ways() {
            2 => classes.to_dtype(DType::F32)?,
            _ => classes,
        };
        let weights: Vec<f32> = rows.iter().map(|&row| weights[row] as f32).collect();
        let weights = Tensor::from_vec(weights, rows.len(), &Device::Cpu)?;
        let features = to_tensor(&support.features().select(rows))?;
        let targets = Targets { classes, weights };
        Ok(Batch { features, targets })
    };
    indices.chunks(size).map(batch).collect()
}

/// Binary cross-entropy of the sigmoid, or cross-entropy of the softmax, weighted and summed over the
/// samples.
pub(super) fn summed_loss(
    logits: &Tensor,
    targets: &Targets,
    ways: usize,
) -> Result<Tensor, HeadError> {
    let losses = match ways {
        2 => binary(&logits.squeeze(1)?, &targets.classes)?,
        _ => multinomial(logits, &targets.classes)?,
    };
    Ok((losses * &targets.weights)?.sum_all()?)
}

/// relu(z) − z·y + log(1 + exp(−|z|)), which does not overflow; candle's own goes through
/// log(sigmoid(z)), which is −∞ for a far logit.
fn binary(z: &Tensor, classes: &Tensor) -> candle_core::Result<Tensor> {
    let tail = (z.abs()?.neg()?.exp()? + 1.0)?.log()?;
    (z.relu()? - (z * classes)?)? + tail
}

fn multinomial(logits: &Tensor, classes: &Tensor) -> candle_core::Result<Tensor> {
    let logarithms = candle_nn::ops::log_softmax(logits, 1)?;
    logarithms
        .gather(&classes.unsqueeze(1)?, 1)?
        .squeeze(1)?
        .neg()
}
