//! The eight-layer perceptron: width → 512 → 256 → 128 → 64 → 32 → 16 → 8 → 1, ReLU between, a
//! sigmoid at the end, binary cross-entropy summed over the samples, AdamW.
//!
//! With more than two classes the last layer has one logit a class, a softmax takes the sigmoid's
//! place, and no hidden layer is narrower than twice the classes.
//!
//! From a random start, eight layers do not learn from sixteen examples. The default start
//! therefore carries a fitted [`Linear`] head through the network unchanged ("looks-linear"
//! initialisation, Balduzzi et al. 2017, section 4): each hidden layer holds pairs
//! `[+v; −v]`, of which ReLU lets one pass, so that `relu(v) − relu(−v) = v` comes through whole.
//! Training starts from there, and keeps what it found only if held-out examples agree.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{Module, Optimizer};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::adamw::{AdamW, Rates};
use super::{
    Head, HeadError, HeadKind, HeadOptions, Linear, Tensors, check_range, check_width, saved,
    to_matrix, to_tensor,
};
use crate::matrix::Matrix;
use crate::random::Random;
use crate::softmax::argmax;
use crate::support::{Split, Support};

/// The hidden widths for two classes.
const HIDDEN: [usize; 7] = [512, 256, 128, 64, 32, 16, 8];

/// Where the perceptron's training starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// From logistic regression, carried through unchanged.
    #[default]
    Linear,
    /// From random weights (He et al. 2015), for comparison.
    Random,
}

/// How the perceptron is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MlpOptions {
    /// Where training starts; default [`Start::Linear`].
    pub start: Start,
    /// Most passes over the support set, 0 to 10,000; default 15 (200 is apt for a random start).
    /// From a linear start, held-out examples choose how many of them are kept.
    pub epochs: usize,
    /// AdamW's step, above 0; default 3e-4.
    pub learning_rate: f64,
    /// AdamW's decay of the weights, at least 0; default 0.01.
    pub weight_decay: f64,
    /// Samples of one step, at least 1; default 64.
    pub batch: usize,
}

impl Default for MlpOptions {
    fn default() -> Self {
        Self {
            start: Start::Linear,
            epochs: 15,
            learning_rate: 3e-4,
            weight_decay: 0.01,
            batch: 64,
        }
    }
}

impl MlpOptions {
    pub(super) fn validate(&self) -> Result<(), HeadError> {
        let (rate, decay) = (self.learning_rate, self.weight_decay);
        check_range(
            "epochs",
            self.epochs as f64,
            self.epochs <= 10_000,
            "at most 10000",
        )?;
        check_range(
            "learning_rate",
            rate,
            rate > 0.0 && rate <= 1.0,
            "above 0 and at most 1",
        )?;
        check_range(
            "weight_decay",
            decay,
            (0.0..=1.0).contains(&decay),
            "between 0 and 1",
        )?;
        check_range("batch", self.batch as f64, self.batch > 0, "at least 1")
    }
}

/// The perceptron; two classes share one logit.
pub struct Mlp {
    layers: Vec<candle_nn::Linear>,
    ways: usize,
}

/// Every width from the features to the logits.
fn widths(features: usize, ways: usize) -> Vec<usize> {
    let hidden = HIDDEN.iter().map(|&hidden| hidden.max(2 * ways));
    let logits = if ways == 2 { 1 } else { ways };
    std::iter::once(features)
        .chain(hidden)
        .chain([logits])
        .collect()
}

impl Mlp {
    /// Trains.
    ///
    /// # Errors
    /// If the loss stops being finite.
    pub fn fit(support: &Support, options: &HeadOptions, seed: u64) -> Result<Self, HeadError> {
        match options.mlp.start {
            Start::Random => Training::random(support, &options.mlp, seed)?.run(options.mlp.epochs),
            Start::Linear => {
                let epochs = choose_epochs(support, options, seed)?;
                Training::from_linear(support, options, seed)?.run(epochs)
            }
        }
    }

    pub(super) fn from_tensors(
        tensors: &Tensors,
        width: usize,
        ways: usize,
    ) -> Result<Self, HeadError> {
        let widths = widths(width, ways);
        let layer = |(index, pair): (usize, &[usize])| {
            let weight = saved(tensors, &name(index, "weight"), &[pair[1], pair[0]])?;
            let bias = saved(tensors, &name(index, "bias"), &[pair[1]])?;
            Ok(candle_nn::Linear::new(weight, Some(bias)))
        };
        let layers = widths
            .windows(2)
            .enumerate()
            .map(layer)
            .collect::<Result<_, HeadError>>()?;
        Ok(Self { layers, ways })
    }

    /// `[samples, width]` → `[samples, 1]` for two classes, `[samples, ways]` for more.
    fn forward(&self, x: &Tensor) -> Result<Tensor, HeadError> {
        let (last, hidden) = self
            .layers
            .split_last()
            .expect("a perceptron has eight layers");
        let mut x = x.clone();
        for layer in hidden {
            x = layer.forward(&x)?.relu()?;
        }
        Ok(last.forward(&x)?)
    }
}

fn name(index: usize, part: &str) -> String {
    format!("mlp.{index}.{part}")
}

impl Head for Mlp {
    fn kind(&self) -> HeadKind {
        HeadKind::Mlp
    }

    fn width(&self) -> usize {
        self.layers[0].weight().dims()[1]
    }

    fn logits(&self, features: &Matrix) -> Result<Matrix, HeadError> {
        check_width(self.width(), features)?;
        let logits = to_matrix(&self.forward(&to_tensor(features)?)?)?;
        if self.ways > 2 {
            return Ok(logits);
        }
        // sigmoid(z) is the second value of softmax([0, z]).
        let pairs = logits
            .values()
            .iter()
            .flat_map(|&logit| [0.0, logit])
            .collect();
        Ok(Matrix::from_values(2, pairs).unwrap_or_default())
    }

    fn tensors(&self) -> Result<Tensors, HeadError> {
        let mut tensors = Tensors::new();
        for (index, layer) in self.layers.iter().enumerate() {
            tensors.insert(name(index, "weight"), layer.weight().clone());
            if let Some(bias) = layer.bias() {
                tensors.insert(name(index, "bias"), bias.clone());
            }
        }
        Ok(tensors)
    }
}

/// One run of gradient descent.
struct Training {
    mlp: Mlp,
    optimiser: AdamW,
    batches: Vec<(Tensor, Tensor)>,
}

impl Training {
    fn random(support: &Support, options: &MlpOptions, seed: u64) -> Result<Self, HeadError> {
        let mut random = Random::new(seed);
        let widths = widths(support.features().columns(), support.ways());
        let he = |pair: &[usize]| {
            let spread = (2.0 / pair[0] as f32).sqrt();
            Dense::new(pair[1], pair[0], |_, _| spread * random.normal())
        };
        let layers = widths.windows(2).map(he).collect();
        Self::new(support, layers, options)
    }

    fn from_linear(support: &Support, options: &HeadOptions, seed: u64) -> Result<Self, HeadError> {
        let linear = Linear::fit(support, &options.linear);
        Self::new(support, carry(&linear, seed), &options.mlp)
    }

    fn new(support: &Support, layers: Vec<Dense>, options: &MlpOptions) -> Result<Self, HeadError> {
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
        let rates = Rates {
            learning_rate: options.learning_rate,
            weight_decay: options.weight_decay,
        };
        Ok(Self {
            mlp: Mlp {
                layers,
                ways: support.ways(),
            },
            optimiser: AdamW::new(variables, rates)?,
            batches: batches(support, options.batch)?,
        })
    }

    /// An epoch: zero the gradients, forward, loss, backward, step, batch by batch. candle keeps
    /// no gradients between steps, so zeroing them is implied.
    fn epoch(&mut self) -> Result<(), HeadError> {
        for (features, targets) in &self.batches {
            let logits = self.mlp.forward(features)?;
            let loss = summed_loss(&logits, targets, self.mlp.ways)?;
            if !loss.to_scalar::<f32>()?.is_finite() {
                return Err(HeadError::Diverged);
            }
            self.optimiser.backward_step(&loss)?;
        }
        Ok(())
    }

    fn run(mut self, epochs: usize) -> Result<Mlp, HeadError> {
        for _ in 0..epochs {
            self.epoch()?;
        }
        Ok(self.mlp.frozen())
    }
}

impl Mlp {
    /// The same network on constants, so that later forward passes keep no graph.
    fn frozen(self) -> Self {
        let freeze = |layer: candle_nn::Linear| {
            candle_nn::Linear::new(layer.weight().detach(), layer.bias().map(Tensor::detach))
        };
        Self {
            layers: self.layers.into_iter().map(freeze).collect(),
            ways: self.ways,
        }
    }
}

fn batches(support: &Support, size: usize) -> Result<Vec<(Tensor, Tensor)>, HeadError> {
    let indices: Vec<usize> = (0..support.classes().len()).collect();
    let batch = |rows: &[usize]| {
        let targets: Vec<u32> = rows
            .iter()
            .map(|&row| support.classes()[row] as u32)
            .collect();
        let targets = Tensor::from_vec(targets, rows.len(), &Device::Cpu)?;
        let targets = if support.ways() == 2 {
            targets.to_dtype(DType::F32)?
        } else {
            targets
        };
        Ok((to_tensor(&support.features().select(rows))?, targets))
    };
    indices.chunks(size).map(batch).collect()
}

/// Binary cross-entropy of the sigmoid, or cross-entropy of the softmax, summed over the samples.
fn summed_loss(logits: &Tensor, targets: &Tensor, ways: usize) -> Result<Tensor, HeadError> {
    if ways > 2 {
        let mean = candle_nn::loss::cross_entropy(logits, targets)?;
        return Ok((mean * targets.elem_count() as f64)?);
    }
    // relu(z) − z·y + log(1 + exp(−|z|)), which does not overflow; candle's own goes through
    // log(sigmoid(z)), which is −∞ for a far logit.
    let z = logits.squeeze(1)?;
    let tail = (z.abs()?.neg()?.exp()? + 1.0)?.log()?;
    Ok((((z.relu()? - (&z * targets)?)? + tail)?).sum_all()?)
}

/// A layer's values before they become variables.
struct Dense {
    weight: Matrix,
    bias: Vec<f32>,
}

impl Dense {
    fn new(outputs: usize, inputs: usize, mut value: impl FnMut(usize, usize) -> f32) -> Self {
        let mut weight = Matrix::zeros(outputs, inputs);
        for output in 0..outputs {
            for (input, cell) in weight.row_mut(output).iter_mut().enumerate() {
                *cell = value(output, input);
            }
        }
        Self {
            weight,
            bias: vec![0.0; outputs],
        }
    }

    fn into_variables(self) -> Result<(Var, Var), HeadError> {
        let weight = Var::from_tensor(&to_tensor(&self.weight)?)?;
        Ok((
            weight,
            Var::from_vec(self.bias, self.weight.rows(), &Device::Cpu)?,
        ))
    }
}

/// Spread of the random part of a linear start: small beside the carried solution.
const NOISE: f32 = 0.05;

/// The layers of a perceptron that computes what `linear` computes.
///
/// The first layer's first pairs are the linear head's rows, its other pairs small random
/// directions; every later layer hands its pairs on, so that the first pairs arrive unchanged,
/// and the last layer reads them and adds the bias.
fn carry(linear: &Linear, seed: u64) -> Vec<Dense> {
    let (rows, bias) = carried_rows(linear);
    let widths = widths(linear.width(), linear.bias().len());
    let mut random = Random::new(seed);
    let pairs = widths[1] / 2;
    let directions: Vec<Vec<f32>> = (0..pairs)
        .map(|pair| {
            rows.get(pair)
                .cloned()
                .unwrap_or_else(|| small_direction(widths[0], &mut random))
        })
        .collect();
    let first = Dense::new(widths[1], widths[0], |output, input| {
        let sign = if output < pairs { 1.0 } else { -1.0 };
        sign * directions[output % pairs][input]
    });
    let hidden = widths[1..widths.len() - 1]
        .windows(2)
        .map(|pair| pass_on(pair[0], pair[1]));
    let mut last = pass_on_to_logits(widths[widths.len() - 2], rows.len());
    last.bias = bias;
    std::iter::once(first).chain(hidden).chain([last]).collect()
}

/// The functions to carry: the difference of the two rows for two classes, else each row.
fn carried_rows(linear: &Linear) -> (Vec<Vec<f32>>, Vec<f32>) {
    let (weight, bias) = (linear.weight(), linear.bias());
    if bias.len() != 2 {
        return (
            weight.iter_rows().map(<[f32]>::to_vec).collect(),
            bias.to_vec(),
        );
    }
    let difference = weight
        .row(1)
        .iter()
        .zip(weight.row(0))
        .map(|(b, a)| b - a)
        .collect();
    (vec![difference], vec![bias[1] - bias[0]])
}

fn small_direction(width: usize, random: &mut Random) -> Vec<f32> {
    let spread = NOISE / (width as f32).sqrt();
    (0..width).map(|_| spread * random.normal()).collect()
}

/// `[[I, −I], [−I, I]]` on the pairs that both layers have: v = v⁺ − v⁻ becomes `[+v; −v]` again.
fn pass_on(inputs: usize, outputs: usize) -> Dense {
    Dense::new(outputs, inputs, |output, input| {
        let sign = if (output < outputs / 2) == (input < inputs / 2) {
            1.0
        } else {
            -1.0
        };
        let same = output % (outputs / 2) == input % (inputs / 2);
        if same { sign } else { 0.0 }
    })
}

fn pass_on_to_logits(inputs: usize, logits: usize) -> Dense {
    Dense::new(logits, inputs, |output, input| match input % (inputs / 2) {
        pair if pair != output => 0.0,
        _ if input < inputs / 2 => 1.0,
        _ => -1.0,
    })
}

/// Most parts that the support set is split into to choose the number of epochs.
const MOST_FOLDS: usize = 4;

/// The number of epochs after which the fewest held-out examples were wrong; the smallest such
/// number, so that training is kept only if it corrects some example that the linear head, the
/// start, gets wrong.
///
/// The held-out loss would be the other choice, but it mostly falls because logits grow, which the
/// temperature does without touching the decisions; choosing by it cost up to 0.4 points.
fn choose_epochs(support: &Support, options: &HeadOptions, seed: u64) -> Result<usize, HeadError> {
    let splits = support.splits(MOST_FOLDS, seed);
    if splits.is_empty() || options.mlp.epochs == 0 || start_is_right(&splits, options)? {
        return Ok(0);
    }
    let runs: Vec<Vec<usize>> = splits
        .par_iter()
        .map(|split| held_out_errors(split, options, seed))
        .collect::<Result<_, HeadError>>()?;
    let total = |epochs: &usize| runs.iter().map(|errors| errors[*epochs]).sum::<usize>();
    // The first of equals.
    Ok((0..=options.mlp.epochs).min_by_key(total).unwrap_or(0))
}

/// Whether the linear start makes no held-out error, so that training has nothing to correct.
fn start_is_right(splits: &[Split], options: &HeadOptions) -> Result<bool, HeadError> {
    let errors = splits
        .iter()
        .map(|split| errors(&Linear::fit(&split.support, &options.linear), split));
    Ok(errors
        .collect::<Result<Vec<_>, _>>()?
        .iter()
        .all(|&errors| errors == 0))
}

/// Errors on a split's held-out part before training and after each epoch.
fn held_out_errors(
    split: &Split,
    options: &HeadOptions,
    seed: u64,
) -> Result<Vec<usize>, HeadError> {
    let mut training = Training::from_linear(&split.support, options, seed)?;
    let mut counts = vec![errors(&training.mlp, split)?];
    for _ in 0..options.mlp.epochs {
        training.epoch()?;
        counts.push(errors(&training.mlp, split)?);
    }
    Ok(counts)
}

fn errors(head: &dyn Head, split: &Split) -> Result<usize, HeadError> {
    let logits = head.logits(&split.held_out)?;
    Ok(logits
        .iter_rows()
        .zip(&split.truth)
        .filter(|(row, truth)| argmax(row) != **truth)
        .count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random_support(ways: usize, rows: usize, width: usize) -> Support {
        let mut random = Random::new(11);
        let values = (0..rows * width).map(|_| random.normal()).collect();
        let features = Matrix::from_values(width, values).expect("rows");
        Support::new(features, (0..rows).map(|row| row % ways).collect(), ways).expect("complete")
    }

    fn with_epochs(start: Start, epochs: usize) -> HeadOptions {
        let mlp = MlpOptions {
            start,
            epochs,
            ..MlpOptions::default()
        };
        HeadOptions {
            mlp,
            ..HeadOptions::default()
        }
    }

    #[test]
    fn widths_are_those_of_the_documents_and_grow_with_the_classes() {
        assert_eq!(widths(768, 2), [768, 512, 256, 128, 64, 32, 16, 8, 1]);
        assert_eq!(widths(384, 3), [384, 512, 256, 128, 64, 32, 16, 8, 3]);
        assert_eq!(widths(768, 20), [768, 512, 256, 128, 64, 40, 40, 40, 20]);
        assert_eq!(
            widths(768, 300),
            [768, 600, 600, 600, 600, 600, 600, 600, 300]
        );
    }

    #[test]
    fn a_linear_start_computes_what_the_linear_head_computes() {
        for ways in [2, 3, 20, 77] {
            let support = random_support(ways, 4 * ways, 50);
            let options = with_epochs(Start::Linear, 0);
            let mlp = Mlp::fit(&support, &options, 3).expect("fits");
            let linear = Linear::fit(&support, &options.linear);
            let (a, b) = (
                mlp.logits(support.features()).expect("width"),
                linear.logits(support.features()).expect("width"),
            );
            for (row, expected) in a.iter_rows().zip(b.iter_rows()) {
                for (logit, wanted) in row.iter().zip(expected) {
                    // Two classes fix logits up to a shared constant.
                    let (logit, wanted) = if ways == 2 {
                        (logit - row[0], wanted - expected[0])
                    } else {
                        (*logit, *wanted)
                    };
                    assert!(
                        (logit - wanted).abs() < 1e-3,
                        "{ways} ways: {logit} {wanted}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_parameter_moves_in_training() {
        for start in [Start::Linear, Start::Random] {
            let support = random_support(3, 30, 20);
            let train = |epochs| {
                let options = with_epochs(start, epochs);
                let training = match start {
                    Start::Linear => Training::from_linear(&support, &options, 1),
                    Start::Random => Training::random(&support, &options.mlp, 1),
                };
                training
                    .and_then(|training| training.run(epochs))
                    .and_then(|mlp| mlp.tensors())
                    .expect("trains")
            };
            let (before, after) = (train(0), train(3));
            for (name, tensor) in &before {
                let moved =
                    (&after[name] - tensor).and_then(|d| d.abs()?.sum_all()?.to_scalar::<f32>());
                assert!(moved.expect("same shape") > 0.0, "{start:?} {name}");
            }
        }
    }

    /// torch 2.15: `BCEWithLogitsLoss(reduction="sum")(tensor([0.5, -2.0, 300.0]), tensor([1., 1., 0.]))`
    /// and `CrossEntropyLoss(reduction="sum")(tensor([[1., 2., 4.], [0., 0., 0.]]), tensor([2, 1]))`.
    #[test]
    fn losses_agree_with_torch() {
        let logits = Tensor::new(&[[0.5f32], [-2.0], [300.0]], &Device::Cpu).expect("tensor");
        let targets = Tensor::new(&[1f32, 1.0, 0.0], &Device::Cpu).expect("tensor");
        let loss = summed_loss(&logits, &targets, 2).and_then(|l| Ok(l.to_scalar::<f32>()?));
        assert!((loss.expect("finite") - 302.601).abs() < 1e-3);
        let logits =
            Tensor::new(&[[1f32, 2.0, 4.0], [0.0, 0.0, 0.0]], &Device::Cpu).expect("tensor");
        let targets = Tensor::new(&[2u32, 1], &Device::Cpu).expect("tensor");
        let loss = summed_loss(&logits, &targets, 3).and_then(|l| Ok(l.to_scalar::<f32>()?));
        assert!((loss.expect("finite") - 1.268_458).abs() < 1e-5);
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let support = random_support(2, 16, 40);
        let bytes = |seed| {
            let options = with_epochs(Start::Random, 5);
            let mlp = Mlp::fit(&support, &options, seed).expect("fits");
            mlp.logits(support.features())
                .expect("width")
                .values()
                .to_vec()
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let options = MlpOptions {
            learning_rate: f64::NAN,
            ..MlpOptions::default()
        };
        assert!(matches!(
            options.validate(),
            Err(HeadError::Option {
                name: "learning_rate",
                ..
            })
        ));
        let options = MlpOptions {
            batch: 0,
            ..MlpOptions::default()
        };
        assert!(matches!(
            options.validate(),
            Err(HeadError::Option { name: "batch", .. })
        ));
    }
}
