//! Texts as a stream of records, whatever the format; memory is that of one record.

mod document;
mod separated;

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::error::{DataError, Place};
use super::format::InputFormat;
use super::source::{Input, Source};
use document::Document;
use separated::Separated;

/// The longest line, CSV record or JSON value read unless told otherwise: 256 MiB. Far beyond any
/// text, yet small enough that a file without line ends does not exhaust the memory.
pub const DEFAULT_MAX_LINE_BYTES: usize = 256 << 20;

/// The fields, or CSV columns, that hold text and label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldNames {
    /// Default `text`.
    pub text: String,
    /// Default `label`.
    pub label: String,
}

impl Default for FieldNames {
    fn default() -> Self {
        Self {
            text: "text".to_owned(),
            label: "label".to_owned(),
        }
    }
}

/// One text with what came along with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The text, unchanged; may be blank and may hold control characters.
    pub text: String,
    /// The label, unchanged. JSON numbers and booleans count as their text, null as none.
    pub label: Option<String>,
    /// All fields in their order, text and label included; for CSV all columns as strings. Empty
    /// for plain text and for `{label: [texts]}`, which have no field names.
    pub fields: Map<String, Value>,
    /// The line where the record starts, counted from 1.
    pub line: usize,
}

impl Record {
    /// A record of a format without field names.
    fn bare(text: String, label: Option<String>, line: usize) -> Self {
        let fields = Map::new();
        Self {
            text,
            label,
            fields,
            line,
        }
    }
}

/// A stream of [`Record`]s.
///
/// After an error in a single line of JSON lines, CSV or plain text the next records can still be
/// read; after any other error the stream ends.
pub struct Records {
    body: Body,
    path: Arc<Path>,
    names: FieldNames,
    max_bytes: usize,
    ended: bool,
}

enum Body {
    Jsonl(Lines),
    Text(Lines),
    Separated(Separated),
    Document(Document),
}

impl Records {
    /// Opens `source`, which is a path, `-` for standard input, or a [`Source`].
    ///
    /// Without `format` the extension tells it: `.jsonl`, `.ndjson`, `.csv`, `.tsv`, `.txt` or
    /// `.json`, each also with `.gz` or `.zst` behind it. A stream without one is taken for JSON
    /// lines if its first byte that is not blank is `{`, otherwise for plain text.
    ///
    /// # Errors
    /// If the source cannot be opened or its first bytes not be read, if the name does not tell
    /// the format ([`DataError::UnknownFormat`]), or if the text is UTF-16.
    pub fn open(
        source: impl Into<Source>,
        format: Option<InputFormat>,
        names: &FieldNames,
    ) -> Result<Self, DataError> {
        let (input, format) = source.into().open(format)?;
        let path = Arc::clone(&input.path);
        let body = match format {
            InputFormat::Jsonl => Body::Jsonl(Lines::new(input)),
            InputFormat::Text => Body::Text(Lines::new(input)),
            InputFormat::Csv => Body::Separated(Separated::new(Lines::new(input), ',')),
            InputFormat::Tsv => Body::Separated(Separated::new(Lines::new(input), '\t')),
            InputFormat::Json => Body::Document(Document::new(input)),
        };
        Ok(Self {
            body,
            path,
            names: names.clone(),
            max_bytes: DEFAULT_MAX_LINE_BYTES,
            ended: false,
        })
    }

    /// Sets the longest line, CSV record or JSON value in bytes, by default
    /// [`DEFAULT_MAX_LINE_BYTES`]. A longer one is an error, found without reading it whole.
    #[must_use]
    pub fn with_max_line_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Where `record` stands, for messages.
    #[must_use]
    pub fn place(&self, record: &Record) -> Place {
        let path = Arc::clone(&self.path);
        let line = record.line;
        Place { path, line }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn read(&mut self) -> Result<Option<Record>, DataError> {
        match &mut self.body {
            Body::Jsonl(lines) => read_jsonl(lines, &self.names, self.max_bytes),
            Body::Text(lines) => read_text(lines, self.max_bytes),
            Body::Separated(rows) => rows.read(&self.names, self.max_bytes),
            Body::Document(document) => document.read(&self.names, self.max_bytes),
        }
    }

    /// Whether what follows `error` can still be read.
    fn goes_on_after(&self, error: &DataError) -> bool {
        let one_line = matches!(
            error,
            DataError::InvalidUtf8 { .. }
                | DataError::InvalidJson { .. }
                | DataError::NotAnObject { .. }
                | DataError::MissingText { .. }
                | DataError::WrongType { .. }
                | DataError::RaggedRow { .. }
        );
        one_line
            && match &self.body {
                Body::Jsonl(_) | Body::Text(_) => true,
                // Bytes that are no UTF-8 may stand amid a quotation.
                Body::Separated(_) => !matches!(error, DataError::InvalidUtf8 { .. }),
                Body::Document(_) => false,
            }
    }
}

impl Iterator for Records {
    type Item = Result<Record, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.read().transpose();
        self.ended = match &item {
            None => true,
            Some(Ok(_)) => false,
            Some(Err(error)) => !self.goes_on_after(error),
        };
        item
    }
}

fn read_jsonl(
    lines: &mut Lines,
    names: &FieldNames,
    max_bytes: usize,
) -> Result<Option<Record>, DataError> {
    while let Some(line) = lines.next(max_bytes)? {
        if !line.trim().is_empty() {
            let at = lines.place();
            return record_from_object(parse(without_end(&line), &at)?, names, &at).map(Some);
        }
    }
    Ok(None)
}

fn read_text(lines: &mut Lines, max_bytes: usize) -> Result<Option<Record>, DataError> {
    let Some(mut text) = lines.next(max_bytes)? else {
        return Ok(None);
    };
    text.truncate(without_end(&text).len());
    Ok(Some(Record::bare(text, None, lines.number)))
}

/// `line` without its `\n` or `\r\n`.
fn without_end(line: &str) -> &str {
    match line.strip_suffix('\n') {
        Some(line) => line.strip_suffix('\r').unwrap_or(line),
        None => line,
    }
}

/// UTF-8 lines with their ends, counted.
struct Lines {
    input: Input,
    /// The line read last, from 1.
    number: usize,
}

impl Lines {
    fn new(input: Input) -> Self {
        Self { input, number: 0 }
    }

    fn next(&mut self, max_bytes: usize) -> Result<Option<String>, DataError> {
        self.number += 1;
        let at = self.place();
        let line = self.input.line(max_bytes)?;
        let line = line.ok_or_else(|| DataError::LineTooLong {
            at: at.clone(),
            max_bytes,
        })?;
        if line.is_empty() {
            return Ok(None);
        }
        match String::from_utf8(line) {
            Ok(line) => Ok(Some(line)),
            Err(_) => Err(DataError::InvalidUtf8 { at }),
        }
    }

    fn place(&self) -> Place {
        self.input.place(self.number)
    }
}

/// Parses one JSON value that starts at `at`.
fn parse(json: &str, at: &Place) -> Result<Value, DataError> {
    serde_json::from_str(json).map_err(|error| {
        let whole = error.to_string();
        // The position is in the value; said together with the file's line it would confuse.
        let message = whole
            .rsplit_once(" at line ")
            .map_or(&*whole, |(what, _)| what);
        DataError::InvalidJson {
            at: Place {
                path: Arc::clone(&at.path),
                line: at.line + error.line().saturating_sub(1),
            },
            column: error.column(),
            message: message.to_owned(),
        }
    })
}

fn record_from_object(value: Value, names: &FieldNames, at: &Place) -> Result<Record, DataError> {
    let Value::Object(fields) = value else {
        return Err(DataError::NotAnObject {
            at: at.clone(),
            found: type_name(&value),
        });
    };
    let text = match fields.get(&names.text) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => return Err(wrong_type(&names.text, "a string", other, at)),
        None => {
            return Err(DataError::MissingText {
                at: at.clone(),
                field: names.text.clone(),
                found: fields.keys().cloned().collect(),
            });
        }
    };
    let label = label_from(fields.get(&names.label), names, at)?;
    Ok(Record {
        text,
        label,
        fields,
        line: at.line,
    })
}

/// Labels are often written 0 and 1, or true and false.
fn label_from(
    value: Option<&Value>,
    names: &FieldNames,
    at: &Place,
) -> Result<Option<String>, DataError> {
    const EXPECTED: &str = "a string, number, boolean or null";
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(label)) => Ok(Some(label.clone())),
        Some(Value::Number(label)) => Ok(Some(label.to_string())),
        Some(Value::Bool(label)) => Ok(Some(label.to_string())),
        Some(other) => Err(wrong_type(&names.label, EXPECTED, other, at)),
    }
}

fn wrong_type(field: &str, expected: &'static str, found: &Value, at: &Place) -> DataError {
    DataError::WrongType {
        at: at.clone(),
        field: field.to_owned(),
        expected,
        found: type_name(found),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_line_end_is_cut() {
        assert_eq!(without_end("a\r\n"), "a");
        assert_eq!(without_end("a\n"), "a");
        assert_eq!(without_end("a\r"), "a\r");
        assert_eq!(without_end("a\r\r\n"), "a\r");
    }

    #[test]
    fn the_place_of_a_json_mistake_is_the_files() {
        let at = Place {
            path: Path::new("f").into(),
            line: 10,
        };
        let error = parse("{\n\"a\": }", &at).unwrap_err();
        assert_eq!(error.to_string(), "f:11:6: invalid JSON: expected value");
    }
}
