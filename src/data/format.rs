//! The formats and how a file name tells them.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::error::DataError;

/// How texts are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputFormat {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a header.
    Csv,
    /// Tab-separated values with a header, quoted like CSV.
    Tsv,
    /// One text a line, without labels.
    Text,
    /// One document: `{label: [texts]}`, or an array of objects.
    Json,
}

/// How results are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OutputFormat {
    /// One JSON object a line.
    #[default]
    Jsonl,
    /// Comma-separated values; nested objects become columns like `probabilities.negative`.
    Csv,
    /// For people: label, probability and text, as wide as the terminal.
    Table,
}

/// How the bytes of a file are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
}

impl InputFormat {
    /// The names accepted by `parse`.
    pub const NAMES: &[&str] = &["jsonl", "csv", "tsv", "txt", "json"];

    /// The format that the extension of `path` stands for, looking behind `.gz` and `.zst`.
    #[must_use]
    pub fn from_path(path: &Path) -> Option<Self> {
        let extension = extension(path)?;
        match Compression::from_extension(&extension) {
            Some(_) => Self::from_extension(&self::extension(Path::new(path.file_stem()?))?),
            None => Self::from_extension(&extension),
        }
    }

    fn from_extension(extension: &str) -> Option<Self> {
        match extension {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            "txt" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

impl Compression {
    pub(super) fn from_path(path: &Path) -> Option<Self> {
        Self::from_extension(&extension(path)?)
    }

    fn from_extension(extension: &str) -> Option<Self> {
        match extension {
            "gz" => Some(Self::Gzip),
            "zst" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// The extension of `path` in lower case.
fn extension(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

impl FromStr for InputFormat {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        Self::from_extension(&name.to_ascii_lowercase()).ok_or_else(|| {
            DataError::UnknownFormatName {
                given: name.to_owned(),
                accepted: Self::NAMES,
            }
        })
    }
}

impl fmt::Display for InputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Text => "txt",
            Self::Json => "json",
        })
    }
}

impl OutputFormat {
    /// The names accepted by `parse`.
    pub const NAMES: &[&str] = &["jsonl", "csv", "table"];
}

impl FromStr for OutputFormat {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        match name.to_ascii_lowercase().as_str() {
            "jsonl" => Ok(Self::Jsonl),
            "csv" => Ok(Self::Csv),
            "table" => Ok(Self::Table),
            _ => Err(DataError::UnknownFormatName {
                given: name.to_owned(),
                accepted: Self::NAMES,
            }),
        }
    }
}

impl fmt::Display for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Table => "table",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Option<InputFormat> {
        InputFormat::from_path(Path::new(path))
    }

    #[test]
    fn extensions_tell_the_format() {
        assert_eq!(of("a/b.JSONL"), Some(InputFormat::Jsonl));
        assert_eq!(of("b.ndjson.gz"), Some(InputFormat::Jsonl));
        assert_eq!(of("b.v2.csv.ZST"), Some(InputFormat::Csv));
        assert_eq!(of("b.tsv"), Some(InputFormat::Tsv));
        assert_eq!(of("b.txt"), Some(InputFormat::Text));
        assert_eq!(of("b.json"), Some(InputFormat::Json));
    }

    #[test]
    fn other_names_tell_nothing() {
        for path in ["b", "b.parquet", "b.gz", ".jsonl", "b.txt.gz.zst", ""] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_shown() {
        for name in InputFormat::NAMES {
            assert_eq!(name.parse::<InputFormat>().unwrap().to_string(), *name);
        }
        for name in OutputFormat::NAMES {
            assert_eq!(name.parse::<OutputFormat>().unwrap().to_string(), *name);
        }
    }
}
