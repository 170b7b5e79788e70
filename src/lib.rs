//! Few-shot text classification: a handful of labelled sentences in, a classifier out.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod data;
pub mod encoder;
mod error;
mod folds;
pub mod head;
pub mod hub;
mod matmul;
pub mod matrix;
mod random;
mod softmax;

pub use error::{Error, Result};
