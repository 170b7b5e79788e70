//! What can go wrong with examples and texts, each with its place.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::visible::{list, visible};

/// A line of a file; shown as `file:line`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, or `standard input`, or `examples` for those made in memory.
    pub path: Arc<Path>,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// What can go wrong with examples and texts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file, or the folder it should be written to, does not exist.
    #[error("{} does not exist", .path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refuses access.
    #[error("no permission to open {}", .path.display())]
    PermissionDenied {
        /// The file.
        path: PathBuf,
    },
    /// A file was expected.
    #[error("{} is a directory, not a file", .path.display())]
    IsADirectory {
        /// The directory.
        path: PathBuf,
    },
    /// Any other failure while reading.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The gzip or zstd data is cut off, corrupt, or no such data at all.
    #[error("{}: compressed data is damaged", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decompressor said.
        source: io::Error,
    },
    /// The file name does not tell its format.
    #[error("{}: the file name does not tell the format", .path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// No format has this name.
    #[error("unknown format `{}`", visible(.given))]
    UnknownFormatName {
        /// What was asked for.
        given: String,
        /// The names there are.
        accepted: &'static [&'static str],
    },
    /// The text is UTF-16.
    #[error("{}: text is UTF-16, expected UTF-8", .path.display())]
    Utf16 {
        /// The file.
        path: PathBuf,
    },
    /// Bytes that are no UTF-8.
    #[error("{at}: invalid UTF-8")]
    InvalidUtf8 {
        /// The line that holds them.
        at: Place,
    },
    /// A line, a CSV record or a JSON value longer than the limit.
    #[error("{at}: longer than {max_bytes} bytes")]
    LineTooLong {
        /// Where it starts.
        at: Place,
        /// The limit.
        max_bytes: usize,
    },
    /// Text that is no JSON.
    #[error("{at}:{column}: invalid JSON: {message}")]
    InvalidJson {
        /// The line with the mistake.
        at: Place,
        /// The byte in the line (in a `.json` file: from where the value starts), counted from 1.
        column: usize,
        /// What the parser said.
        message: String,
    },
    /// A `.json` file that is neither `{label: [texts]}` nor `[{text, label}]`.
    #[error("{at}: expected {expected}, found {found}")]
    UnexpectedJson {
        /// The line.
        at: Place,
        /// What may stand there.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// A JSON value that should have been an object.
    #[error("{at}: expected a JSON object, found {found}")]
    NotAnObject {
        /// The line.
        at: Place,
        /// The value's type.
        found: &'static str,
    },
    /// A JSON object without the text field.
    #[error("{at}: no field `{}`; fields are {}", visible(.field), list(.found))]
    MissingText {
        /// The line.
        at: Place,
        /// The field looked for.
        field: String,
        /// The fields there are.
        found: Vec<String>,
    },
    /// A text or label of the wrong JSON type.
    #[error("{at}: field `{}` is {found}, expected {expected}", visible(.field))]
    WrongType {
        /// The line.
        at: Place,
        /// The field.
        field: String,
        /// The type it should have.
        expected: &'static str,
        /// The type it has.
        found: &'static str,
    },
    /// A CSV or TSV header without the text column.
    #[error("{}: no column `{}`; columns are {}", .path.display(), visible(.column), list(.found))]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column looked for.
        column: String,
        /// The columns there are.
        found: Vec<String>,
    },
    /// A CSV or TSV header with two text or two label columns.
    #[error("{}: column `{}` occurs twice", .path.display(), visible(.column))]
    AmbiguousColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// A CSV or TSV row with more or fewer fields than the header.
    #[error("{at}: row has {got} fields, header has {expected}")]
    RaggedRow {
        /// Where the row starts.
        at: Place,
        /// Columns of the header.
        expected: usize,
        /// Fields of the row.
        got: usize,
    },
    /// A CSV or TSV quotation that never ends.
    #[error("{at}: quotation mark is never closed")]
    UnclosedQuote {
        /// Where the row starts.
        at: Place,
    },
    /// No example at all.
    #[error("{} holds no examples", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// An example without a label.
    #[error("{at}: no label in field `{}`; fields are {}", visible(.field), list(.found))]
    MissingLabel {
        /// The line.
        at: Place,
        /// The field looked for.
        field: String,
        /// The fields there are.
        found: Vec<String>,
    },
    /// An example whose text is empty or only blanks.
    #[error("{at}: text is blank")]
    BlankText {
        /// The line.
        at: Place,
    },
    /// An example whose label is empty or only blanks.
    #[error("{at}: label is blank")]
    BlankLabel {
        /// The line.
        at: Place,
    },
    /// The same text under two labels.
    #[error(
        "{second}: text is labelled `{}`, but `{}` at {first}",
        visible(.second_label), visible(.first_label)
    )]
    ConflictingLabels {
        /// Where the text stands first.
        first: Place,
        /// The label there.
        first_label: String,
        /// Where it stands again.
        second: Place,
        /// The label there.
        second_label: String,
    },
    /// All examples have the same label, so there is nothing to tell apart.
    #[error("all examples have the label `{}`, at least two labels are needed", visible(.label))]
    OneClass {
        /// The label.
        label: String,
    },
    /// A label has fewer examples than should be drawn.
    #[error("label `{}` has {have} examples, the draw needs {need}", visible(.label))]
    TooFewExamples {
        /// The label.
        label: String,
        /// Its examples.
        have: usize,
        /// How many are asked for.
        need: usize,
    },
    /// A draw of no examples.
    #[error("shots is 0, must be at least 1")]
    NoShots,
    /// Whoever read the output has stopped; a command ends quietly then.
    #[error("{} was closed by its reader", .path.display())]
    ClosedPipe {
        /// The output.
        path: PathBuf,
    },
    /// The disk or the user's quota is full.
    #[error("no space left while writing {}", .path.display())]
    StorageFull {
        /// The file.
        path: PathBuf,
    },
    /// The file system cannot be written to.
    #[error("{} is on a read-only file system", .path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// Any other failure while writing.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl DataError {
    /// The cure, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::UnknownFormat { .. } => {
                "name it .jsonl, .ndjson, .csv, .tsv, .txt or .json (.gz or .zst may follow); save a spreadsheet as \
                 .csv; for texts without labels --input-format tells the format too"
            }
            Self::UnknownFormatName { accepted, .. } => {
                return Some(format!("use one of {}", accepted.join(", ")));
            }
            Self::Utf16 { path } => return Some(convert_hint("UTF-16", path)),
            Self::InvalidUtf8 { at } => return Some(convert_hint("WINDOWS-1252", &at.path)),
            Self::Empty { .. } => {
                "write one example a line, like {\"text\": \"...\", \"label\": \"...\"}"
            }
            Self::LineTooLong { .. } => "look for a missing line end or quotation mark",
            Self::UnexpectedJson { .. } => {
                "write {\"label\": [\"text\", ...]} or [{\"text\": ..., \"label\": ...}]; \
                 with one object a line use .jsonl or --input-format jsonl"
            }
            Self::NotAnObject { .. } => "write one object a line, like {\"text\": \"...\"}",
            Self::MissingText { .. } | Self::MissingColumn { .. } => {
                "name the right one with --text-field; where examples and texts name it differently, `fewshot train` \
                 and `fewshot predict` take one each"
            }
            Self::AmbiguousColumn { .. } => "rename one of the two",
            Self::RaggedRow { .. } => {
                "put quotation marks around a field that holds the separator or a line end"
            }
            Self::UnclosedQuote { .. } => {
                "write a quotation mark inside a quoted field twice: \"\""
            }
            Self::MissingLabel { found, .. } if found.is_empty() => {
                "plain text holds no labels; use .jsonl, .csv or {\"label\": [texts]} in .json"
            }
            Self::MissingLabel { .. } => "label every row, or name the field with --label-field",
            Self::ConflictingLabels { .. } => "keep one of the two",
            Self::OneClass { .. } => "add examples of another label",
            Self::TooFewExamples { have, .. } => {
                return Some(format!("use --shots {have}, or add examples"));
            }
            Self::StorageFull { .. } => "free some space, or write somewhere else",
            Self::ReadOnly { .. } => "write somewhere else",
            Self::Damaged { .. } => "fetch or compress the file again",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// A failed read, as the sentence for its kind.
    pub(super) fn reading(path: &Path, source: io::Error) -> Self {
        Self::common(path, &source).unwrap_or_else(|| Self::Read {
            path: path.to_owned(),
            source,
        })
    }

    /// A failed write, as the sentence for its kind. A `DataError` that went through
    /// [`io::Error`] comes out as it went in.
    #[must_use]
    pub fn writing(path: impl AsRef<Path>, source: io::Error) -> Self {
        let source = match source.downcast::<Self>() {
            Ok(own) => return own,
            Err(source) => source,
        };
        let path = path.as_ref().to_owned();
        match source.kind() {
            ErrorKind::BrokenPipe => Self::ClosedPipe { path },
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::StorageFull { path },
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            _ => Self::common(&path, &source).unwrap_or(Self::Write { path, source }),
        }
    }

    /// The kinds that read the same whether reading or writing.
    fn common(path: &Path, source: &io::Error) -> Option<Self> {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::NotFound => Some(Self::NotFound { path }),
            ErrorKind::PermissionDenied => Some(Self::PermissionDenied { path }),
            ErrorKind::IsADirectory => Some(Self::IsADirectory { path }),
            _ => None,
        }
    }
}

/// So that a [`RecordWriter`](super::RecordWriter) can be used with `?` inside
/// [`write_atomically`](super::write_atomically), which gives the `DataError` back.
impl From<DataError> for io::Error {
    fn from(error: DataError) -> Self {
        Self::other(error)
    }
}

/// How to convert `path` from `encoding`. The Windows code page is a guess, hence "for example".
fn convert_hint(encoding: &str, path: &Path) -> String {
    format!(
        "convert it, for example: iconv -f {encoding} -t UTF-8 {}",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_io_errors_become_their_own_variants() {
        let read = |kind| DataError::reading(Path::new("f"), io::Error::from(kind));
        let write = |kind| DataError::writing(Path::new("f"), io::Error::from(kind));
        assert!(matches!(
            read(ErrorKind::NotFound),
            DataError::NotFound { .. }
        ));
        assert!(matches!(read(ErrorKind::TimedOut), DataError::Read { .. }));
        assert!(matches!(
            write(ErrorKind::PermissionDenied),
            DataError::PermissionDenied { .. }
        ));
        assert!(matches!(
            write(ErrorKind::QuotaExceeded),
            DataError::StorageFull { .. }
        ));
        assert!(matches!(
            write(ErrorKind::TimedOut),
            DataError::Write { .. }
        ));
    }

    #[test]
    fn an_error_survives_the_way_through_io() {
        let there: io::Error = DataError::NoShots.into();
        assert!(matches!(
            DataError::writing(Path::new("f"), there),
            DataError::NoShots
        ));
    }

    #[test]
    fn messages_cannot_disturb_a_terminal() {
        let error = DataError::OneClass {
            label: "\x1b[2J".into(),
        };
        assert!(!error.to_string().contains('\x1b'));
    }
}
