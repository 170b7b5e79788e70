//! Examples and texts: reading, checking, drawing, writing.
//!
//! [`Records`] streams texts, labelled or not, from files and pipes; its memory is that of one
//! record. [`Dataset`] holds checked examples and draws few-shot samples from them.

mod dataset;
mod error;
mod format;
mod labels;
mod records;
mod source;
mod visible;
mod warning;

pub use dataset::{Dataset, Example};
pub use error::{DataError, Place};
pub use format::{InputFormat, OutputFormat};
pub use labels::LabelSet;
pub use records::{DEFAULT_MAX_LINE_BYTES, FieldNames, Record, Records};
pub use source::Source;
pub use visible::visible;
pub use warning::Warning;
