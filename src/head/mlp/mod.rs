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

mod choice;
mod episodes;
mod start;
mod training;

use candle_core::Tensor;
use candle_nn::Module;
use serde::{Deserialize, Serialize};

use super::{
    Head, HeadError, HeadKind, HeadOptions, Linear, Tensors, check_range, check_width, saved,
    to_matrix, to_tensor,
};
use crate::held_out::HeldOut;
use crate::matrix::Matrix;
use crate::support::Support;
use choice::choose_length;
use start::{Dense, carry};
use training::Training;

pub use episodes::Averaging;

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
    /// Most episodes, 0 to 10,000; default 0, plain training. With episodes, training is a
    /// sequence of them, each of `epochs` passes over a part of the support set; held-out examples
    /// choose how many are kept.
    #[serde(default)]
    pub episodes: usize,
    /// How the heads of the episodes become one; default [`Averaging::Reptile`].
    #[serde(default)]
    pub averaging: Averaging,
}

impl Default for MlpOptions {
    fn default() -> Self {
        Self {
            start: Start::Linear,
            epochs: 15,
            learning_rate: 3e-4,
            weight_decay: 0.01,
            batch: 64,
            episodes: 0,
            averaging: Averaging::default(),
        }
    }
}

impl MlpOptions {
    /// Most units of training: episodes, or else epochs.
    fn length(&self) -> usize {
        if self.episodes > 0 {
            self.episodes
        } else {
            self.epochs
        }
    }

    pub(super) fn validate(&self) -> Result<(), HeadError> {
        let (rate, decay) = (self.learning_rate, self.weight_decay);
        check_range(
            "epochs",
            self.epochs as f64,
            self.epochs <= 10_000,
            "at most 10000",
        )?;
        check_range(
            "episodes",
            self.episodes as f64,
            self.episodes <= 10_000,
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
    /// Trains. What heads trained so long say of held-out examples comes along, if training moved
    /// it away from logistic regression.
    ///
    /// # Errors
    /// If the loss stops being finite.
    pub(super) fn fit(
        support: &Support,
        options: &HeadOptions,
        seed: u64,
    ) -> Result<(Self, Option<HeldOut>), HeadError> {
        let mlp = &options.mlp;
        if mlp.start == Start::Random {
            let training = Training::random(support, mlp, seed)?;
            return Ok((training.run(mlp.length())?, None));
        }
        let choice = choose_length(support, options, seed)?;
        let linear = Linear::fit(support, &options.linear);
        let training = Training::from_linear(support, &linear, mlp, seed)?;
        Ok((training.run(choice.length)?, choice.held_out))
    }

    /// One that computes what `linear` computes.
    pub(super) fn carrying(linear: &Linear, seed: u64) -> Result<Self, HeadError> {
        let layer = |dense: Dense| {
            let (weight, bias) = dense.into_variables()?;
            Ok(candle_nn::Linear::new(
                weight.as_tensor().detach(),
                Some(bias.as_tensor().detach()),
            ))
        };
        let layers = carry(linear, seed).into_iter().map(layer);
        Ok(Self {
            layers: layers.collect::<Result<_, HeadError>>()?,
            ways: linear.bias().len(),
        })
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

#[cfg(test)]
mod tests {
    use super::training::{Targets, summed_loss};
    use super::*;
    use crate::random::Random;
    use candle_core::Device;

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
            let (mlp, _) = Mlp::fit(&support, &options, 3).expect("fits");
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
                    Start::Linear => {
                        let linear = Linear::fit(&support, &options.linear);
                        Training::from_linear(&support, &linear, &options.mlp, 1)
                    }
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

    /// Both averages learn what plain training learns, and stay finite.
    #[test]
    fn episodes_learn() {
        let support = random_support(2, 24, 40);
        for averaging in [Averaging::Reptile, Averaging::Plain] {
            let mut options = with_epochs(Start::Linear, 10);
            options.mlp.episodes = 8;
            options.mlp.averaging = averaging;
            options.linear.strength = Some(1e-3);
            let errors = |mlp: &Mlp| {
                let logits = mlp.logits(support.features()).expect("width");
                let given = logits.iter_rows().map(crate::softmax::argmax);
                given
                    .zip(support.classes())
                    .filter(|(a, b)| a != *b)
                    .count()
            };
            let train = |episodes| {
                let linear = Linear::fit(&support, &options.linear);
                let training = Training::from_linear(&support, &linear, &options.mlp, 1);
                let training = training.expect("a start");
                training.run(episodes).expect("trains")
            };
            let (start, end) = (errors(&train(0)), errors(&train(8)));
            assert!(end < start, "{averaging:?}: {start}, then {end}");
        }
    }

    fn loss(logits: &Tensor, classes: Tensor, weights: &[f32], ways: usize) -> f32 {
        let weights = Tensor::new(weights, &Device::Cpu).expect("tensor");
        let loss = summed_loss(logits, &Targets { classes, weights }, ways);
        loss.and_then(|l| Ok(l.to_scalar()?)).expect("a number")
    }

    /// torch 2.15: `BCEWithLogitsLoss(reduction="sum")(tensor([0.5, -2.0, 300.0]), tensor([1., 1., 0.]))`
    /// and `CrossEntropyLoss(reduction="sum")(tensor([[1., 2., 4.], [0., 0., 0.]]), tensor([2, 1]))`.
    #[test]
    fn losses_agree_with_torch() {
        let logits = Tensor::new(&[[0.5f32], [-2.0], [300.0]], &Device::Cpu).expect("tensor");
        let targets = Tensor::new(&[1f32, 1.0, 0.0], &Device::Cpu).expect("tensor");
        let alone = loss(&logits, targets.clone(), &[1.0; 3], 2);
        assert!((alone - 302.601).abs() < 1e-3);
        // `weight=tensor([2.0, 0.5, 0.0])`.
        let weighted = loss(&logits, targets, &[2.0, 0.5, 0.0], 2);
        assert!((weighted - 2.011_618).abs() < 1e-5, "{weighted}");
        let logits =
            Tensor::new(&[[1f32, 2.0, 4.0], [0.0, 0.0, 0.0]], &Device::Cpu).expect("tensor");
        let targets = Tensor::new(&[2u32, 1], &Device::Cpu).expect("tensor");
        let alone = loss(&logits, targets.clone(), &[1.0; 2], 3);
        assert!((alone - 1.268_458).abs() < 1e-5);
        // `weight=tensor([1.0, 0.5, 3.0])`: by class.
        let weighted = loss(&logits, targets, &[3.0, 0.5], 3);
        assert!((weighted - 1.058_844).abs() < 1e-5, "{weighted}");
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let support = random_support(2, 16, 40);
        let bytes = |seed| {
            let options = with_epochs(Start::Random, 5);
            let (mlp, _) = Mlp::fit(&support, &options, seed).expect("fits");
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
