//! Features → logits: the multi-layer perceptron, logistic regression, class prototypes.
//!
//! A head sees features and class indices; it never knows about text.

mod adamw;
mod linear;
mod mlp;
mod prototype;

use std::collections::BTreeMap;
use std::str::FromStr;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub(crate) use linear::Guesses;
pub use linear::{Linear, LinearOptions};
pub use mlp::{Averaging, Mlp, MlpOptions, Start};
pub use prototype::Prototype;

use crate::held_out::HeldOut;
use crate::matrix::Matrix;
use crate::support::{ClassWeights, Support};

/// What can go wrong with a head.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// An option lies outside its range.
    #[error("{name} is {value}, must be {range}")]
    Option {
        /// The option.
        name: &'static str,
        /// The value given.
        value: f64,
        /// What is allowed.
        range: &'static str,
    },
    /// Features of another width than the head was trained on.
    #[error("the head was trained on vectors of width {expected}, these have width {found}")]
    Width {
        /// The head's width.
        expected: usize,
        /// The width given.
        found: usize,
    },
    /// Features and classes do not go together.
    #[error("there must be one class a row of features, and every class at least once")]
    Support,
    /// A saved head lacks a tensor, or one has another shape.
    #[error("tensor `{name}` of the head is missing or has another shape")]
    Tensor {
        /// The tensor.
        name: String,
    },
    /// Training ended in NaN or infinite values.
    #[error("training the head diverged: its loss is not finite")]
    Diverged,
    /// An error of the tensor library.
    #[error("the tensor library failed")]
    Candle(#[from] candle_core::Error),
}

impl HeadError {
    /// The cure, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Width { .. } => "use the encoder that the classifier was trained with",
            Self::Diverged => "use a smaller --learning-rate",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// The kinds of head, as `--head` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadKind {
    /// The eight-layer perceptron, started from logistic regression.
    #[default]
    Mlp,
    /// Regularised logistic regression.
    Linear,
    /// Nearest class mean.
    Prototype,
}

impl HeadKind {
    /// The name on the command line and in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mlp => "mlp",
            Self::Linear => "linear",
            Self::Prototype => "prototype",
        }
    }
}

impl FromStr for HeadKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Mlp, Self::Linear, Self::Prototype]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("`{text}` is no head; choose mlp, linear or prototype"))
    }
}

/// How heads are fitted; each kind reads its own part.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HeadOptions {
    /// Which head; default [`HeadKind::Mlp`].
    pub kind: HeadKind,
    /// Of logistic regression, and of the start that it gives to the perceptron.
    pub linear: LinearOptions,
    /// Of the perceptron.
    pub mlp: MlpOptions,
    /// How much examples of rare classes count; default [`ClassWeights::Sqrt`]. Prototypes are means of
    /// their own class, and need none.
    #[serde(default)]
    pub class_weights: ClassWeights,
}

impl HeadOptions {
    /// Checks every range.
    ///
    /// # Errors
    /// [`HeadError::Option`] with the first value outside its range.
    pub fn validate(&self) -> Result<(), HeadError> {
        self.linear.validate()?;
        self.mlp.validate()
    }

    /// The same for the vectors of a start that is used as it is, and so many classes ([`LinearOptions::strength`](field@LinearOptions::strength)).
    #[must_use]
    pub(crate) fn on_start(&self, ways: usize) -> Self {
        Self {
            linear: self.linear.on_start(ways),
            ..self.clone()
        }
    }

    /// Fits a head; its features are `[rows, width]`.
    ///
    /// # Errors
    /// If an option is out of range, or training diverges.
    pub fn fit(&self, support: &Support, seed: u64) -> Result<Box<dyn Head>, HeadError> {
        Ok(self.fit_judged(support, seed)?.head)
    }
}

/// A fitted head, and what heads fitted like it say of held-out examples, if the fit had to know.
pub(crate) struct Fitted {
    pub head: Box<dyn Head>,
    pub held_out: Option<HeldOut>,
}

impl Fitted {
    fn new(head: impl Head + 'static, held_out: Option<HeldOut>) -> Self {
        let head = Box::new(head);
        Self { head, held_out }
    }
}

impl HeadOptions {
    /// As [`fit`](Self::fit).
    pub(crate) fn fit_judged(&self, support: &Support, seed: u64) -> Result<Fitted, HeadError> {
        self.validate()?;
        let support = &support.weighted(self.class_weights);
        Ok(match self.kind {
            HeadKind::Linear => Fitted::new(Linear::fit(support, &self.linear), None),
            HeadKind::Prototype => Fitted::new(Prototype::fit(support), None),
            HeadKind::Mlp => {
                let (mlp, held_out) = Mlp::fit(support, self, seed)?;
                Fitted::new(mlp, held_out)
            }
        })
    }

    /// Whether there are heads for [`fit_with`](Self::fit_with): logistic regression, and the
    /// perceptron that starts as it.
    pub(crate) fn learns_from_guesses(&self) -> bool {
        match self.kind {
            HeadKind::Linear => true,
            HeadKind::Mlp => self.mlp.start == Start::Linear,
            HeadKind::Prototype => false,
        }
    }

    /// Fits the support set and guesses together; a perceptron computes what logistic regression does.
    pub(crate) fn fit_with(
        &self,
        support: &Support,
        guesses: &Guesses,
        seed: u64,
    ) -> Result<Option<Box<dyn Head>>, HeadError> {
        let support = &support.weighted(self.class_weights);
        let linear = || Linear::fit_with(support, guesses, &self.linear);
        Ok(match self.kind {
            HeadKind::Linear => Some(Box::new(linear())),
            HeadKind::Mlp if self.mlp.start == Start::Linear => {
                Some(Box::new(Mlp::carrying(&linear(), seed)?))
            }
            HeadKind::Mlp | HeadKind::Prototype => None,
        })
    }
}

/// A fitted head.
pub trait Head: Send + Sync {
    /// Which kind it is.
    fn kind(&self) -> HeadKind;

    /// Width of the features that it takes.
    fn width(&self) -> usize;

    /// # Shapes
    /// `features` is `[texts, width]`, the result `[texts, ways]`; its softmax gives the
    /// probabilities.
    ///
    /// # Errors
    /// If the width is another than the head's.
    fn logits(&self, features: &Matrix) -> Result<Matrix, HeadError>;

    /// The parameters by name, for saving.
    ///
    /// # Errors
    /// If the tensor library fails.
    fn tensors(&self) -> Result<Tensors, HeadError>;
}

/// Named parameters of a head; sorted, so that files are the same bytes each time.
pub type Tensors = BTreeMap<String, Tensor>;

/// Builds a head from saved parameters.
///
/// # Errors
/// If a tensor is missing or does not fit.
pub fn load(
    kind: HeadKind,
    tensors: &Tensors,
    width: usize,
    ways: usize,
) -> Result<Box<dyn Head>, HeadError> {
    Ok(match kind {
        HeadKind::Linear => Box::new(Linear::from_tensors(tensors, width, ways)?),
        HeadKind::Prototype => Box::new(Prototype::from_tensors(tensors, width, ways)?),
        HeadKind::Mlp => Box::new(Mlp::from_tensors(tensors, width, ways)?),
    })
}

fn check_width(expected: usize, features: &Matrix) -> Result<(), HeadError> {
    let found = features.columns();
    if found == expected {
        Ok(())
    } else {
        Err(HeadError::Width { expected, found })
    }
}

fn to_tensor(matrix: &Matrix) -> Result<Tensor, HeadError> {
    Ok(Tensor::from_slice(
        matrix.values(),
        (matrix.rows(), matrix.columns()),
        &Device::Cpu,
    )?)
}

fn to_matrix(tensor: &Tensor) -> Result<Matrix, HeadError> {
    let (_, columns) = tensor.dims2()?;
    let values = tensor.flatten_all()?.to_vec1()?;
    Ok(Matrix::from_values(columns, values).unwrap_or_default())
}

/// A saved tensor of the expected shape.
fn saved(tensors: &Tensors, name: &str, shape: &[usize]) -> Result<Tensor, HeadError> {
    let fits =
        |tensor: &&Tensor| tensor.dims() == shape && tensor.dtype() == candle_core::DType::F32;
    tensors
        .get(name)
        .filter(fits)
        .cloned()
        .ok_or_else(|| HeadError::Tensor {
            name: name.to_owned(),
        })
}

fn check_range(
    name: &'static str,
    value: f64,
    fits: bool,
    range: &'static str,
) -> Result<(), HeadError> {
    if fits {
        Ok(())
    } else {
        Err(HeadError::Option { name, value, range })
    }
}
