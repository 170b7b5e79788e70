//! What is odd about the data but does not stop the work.

use std::fmt;

use super::error::Place;
use super::visible::{list, visible};

/// Something odd about the data. Rows of one kind are summed up, so there are never many.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The same text with the same label more than once; all are kept, so it weighs more.
    DuplicateText {
        /// Where the first such text stands.
        first: Place,
        /// Where it stands again.
        second: Place,
        /// How many rows repeat an earlier one.
        rows: usize,
    },
    /// Blanks around a label were dropped.
    TrimmedLabel {
        /// The first such row.
        at: Place,
        /// The label without them.
        label: String,
        /// How many rows have that label with blanks around it.
        rows: usize,
    },
    /// Two labels differ only in upper and lower case; they are kept as two.
    LabelsDifferByCase {
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
    /// A label has only one example.
    OneExample {
        /// The label.
        label: String,
    },
    /// CSV columns that the header, made from the first row, does not have; they were left out.
    DroppedColumns {
        /// Their names.
        columns: Vec<String>,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateText {
                first,
                second,
                rows,
            } => {
                write!(
                    f,
                    "{second}: same text and label as {first}; {rows} such rows, all kept"
                )
            }
            Self::TrimmedLabel { at, label, rows } => {
                let label = visible(label);
                write!(
                    f,
                    "{at}: blanks around label `{label}` dropped, in {rows} rows"
                )
            }
            Self::LabelsDifferByCase { first, second } => {
                let (first, second) = (visible(first), visible(second));
                write!(
                    f,
                    "labels `{first}` and `{second}` differ only in case; kept as two"
                )
            }
            Self::OneExample { label } => {
                write!(f, "label `{}` has only one example", visible(label))
            }
            Self::DroppedColumns { columns } => {
                write!(
                    f,
                    "left out, not in the header of the first row: {}",
                    list(columns)
                )
            }
        }
    }
}
