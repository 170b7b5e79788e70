//! Examples and texts: reading, checking, drawing, writing.
//!
//! [`Records`] streams texts, labelled or not, from files and pipes; its memory is that of one
//! record. [`Dataset`] holds checked examples and draws few-shot samples from them.
//! [`RecordWriter`] writes results line by line, [`write_atomically`] replaces whole files.

mod atomic;
mod dataset;
mod error;
mod format;
mod labels;
mod records;
mod source;
mod table;
mod visible;
mod warning;
mod write;

pub use atomic::write_atomically;
pub use dataset::{Dataset, Example};
pub use error::{DataError, Place};
pub use format::{InputFormat, OutputFormat};
pub use labels::LabelSet;
pub use records::{DEFAULT_MAX_LINE_BYTES, FieldNames, Record, Records};
pub use source::Source;
pub use table::{fold, neighbour_line};
pub use visible::visible;
pub use warning::Warning;
pub use write::{RecordWriter, WriteOptions, output_row};
