//! Few-shot text classification: a handful of labelled sentences in, a classifier out.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod data;
mod error;
pub mod hub;
pub mod random;

pub use error::{Error, Result};
