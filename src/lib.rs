//! Few-shot text classification: a handful of labelled sentences in, a classifier out.
//!
//! The path is text → [`encoder`] → [`head`] → probabilities. [`FewShotClassifier`] joins its parts;
//! [`vectors::VectorClassifier`] is the part behind the encoder, for vectors from anywhere; [`hub`]
//! brings a model's files, [`data`] reads examples and texts, [`saved`] keeps a classifier on disk,
//! [`embedding_cache`] keeps vectors, so that a second run need not make them again; [`explain`] names
//! the examples that are most similar to a text.
//!
//! ```
//! use std::sync::Arc;
//!
//! use fewshot::data::{Dataset, Example};
//! use fewshot::encoder::Encoder;
//! use fewshot::hub::{HubOptions, resolve};
//! use fewshot::{FewShotClassifier, FitOptions};
//!
//! // A tiny model with random weights; `sentence-transformers/all-mpnet-base-v2` is a real one.
//! let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny-mpnet");
//! let encoder = Encoder::load(&resolve(model, &HubOptions::default())?)?;
//!
//! let example = |text: &str, label: &str| Example { text: text.into(), label: label.into() };
//! let (examples, _warnings) = Dataset::from_examples(vec![
//!     example("It works and I like it.", "positive"),
//!     example("It broke and I hate it.", "negative"),
//! ])?;
//! let classifier = FewShotClassifier::fit(Arc::new(encoder), &examples, &FitOptions::default())?;
//! let probabilities = classifier.predict_proba(&["I like it."])?.probabilities;
//! assert_eq!((probabilities.rows(), probabilities.columns()), (1, 2));
//! # Ok::<(), fewshot::Error>(())
//! ```
//!
//! The library prints nothing, opens no network connection unless a model is to be fetched, and
//! reads the environment in [`hub::HubOptions::from_env`] and
//! [`embedding_cache::CacheOptions::from_env`] only, but for `FEWSHOT_MAX_CPU_ISA`, which measurements set. Everything random comes from one seed: the same
//! seed, data and machine give the same bytes.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod active;
mod calibration;
mod cholesky;
pub mod classifier;
mod co_training;
pub mod data;
pub mod embedding_cache;
pub mod encoder;
mod error;
pub mod explain;
pub mod head;
mod held_out;
pub mod hub;
#[doc(hidden)]
pub mod kernels;
mod known;
pub mod leave_one_out;
mod lesson;
mod matmul;
pub mod matrix;
pub mod metrics;
pub mod prompt;
pub mod random;
pub mod report;
pub mod saved;
mod softmax;
pub mod start;
pub mod support;
pub mod suspects;
pub mod threshold;
pub mod tune;
mod unlabelled;
pub mod vectors;

pub use calibration::Calibration;
pub use classifier::{FewShotClassifier, FitOptions};
pub use error::{Error, Result};
pub use tune::Tune;
