//! Few-shot text classification: a handful of labelled sentences in, a classifier out.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod calibration;
pub mod classifier;
pub mod data;
pub mod encoder;
mod error;
pub mod head;
pub mod hub;
mod matmul;
pub mod matrix;
pub mod metrics;
pub mod prompt;
pub mod random;
pub mod saved;
mod softmax;
pub mod support;
pub mod vectors;

pub use calibration::Calibration;
pub use classifier::{FewShotClassifier, FitOptions};
pub use error::{Error, Result};
