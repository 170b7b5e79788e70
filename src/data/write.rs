//! Writing results, row by row.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::error::DataError;
use super::format::OutputFormat;
use super::records::{FieldNames, Record};
use super::table;
use super::warning::Warning;

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteOptions {
    /// Default JSON lines.
    pub format: OutputFormat,
    /// Columns of the terminal, used by the table only. Default 80; at least 45 to look well.
    pub width: usize,
    /// The field that holds the text, used by the table only. Default `text`.
    pub text_field: String,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            format: OutputFormat::default(),
            width: 80,
            text_field: "text".to_owned(),
        }
    }
}

/// Writes rows as JSON lines, CSV or a table.
///
/// Each call assembles its rows in memory and writes them at once, then flushes: a process stopped
/// between two calls leaves whole lines, and a reader at the other end of a pipe waits for no more
/// than a batch.
///
/// In CSV the first row makes the header. A nested object becomes one column a key, such as
/// `probabilities.negative`; null is an empty field; other arrays and objects are written as JSON.
/// Columns that a later row does not have are empty; those that only later rows have are left out,
/// with a [`Warning`] from [`Self::finish`]. JSON lines keep every field.
pub struct RecordWriter<'w> {
    out: Box<dyn Write + 'w>,
    path: PathBuf,
    options: WriteOptions,
    started: bool,
    columns: Vec<String>,
    dropped: Vec<String>,
}

impl<'w> RecordWriter<'w> {
    /// A writer to `out`, which messages call `name`.
    #[must_use]
    pub fn new(out: Box<dyn Write + 'w>, name: impl Into<PathBuf>, options: WriteOptions) -> Self {
        Self {
            out,
            path: name.into(),
            options,
            started: false,
            columns: Vec::new(),
            dropped: Vec::new(),
        }
    }

    /// A writer to a new file at `path`; one that is there is overwritten.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn create(path: impl AsRef<Path>, options: WriteOptions) -> Result<Self, DataError> {
        let path = path.as_ref();
        let file = File::create(path).map_err(|error| DataError::writing(path, error))?;
        Ok(Self::new(Box::new(file), path, options))
    }

    /// Writes `rows` as one batch.
    ///
    /// # Errors
    /// [`DataError::ClosedPipe`] if the reader has gone, [`DataError::StorageFull`] and others if
    /// the rows cannot be written. Part of the batch may then have been written.
    pub fn write<'r>(
        &mut self,
        rows: impl IntoIterator<Item = &'r Map<String, Value>>,
    ) -> Result<(), DataError> {
        let mut batch = Vec::new();
        for row in rows {
            self.append(&mut batch, row)
                .map_err(|error| DataError::writing(&self.path, error))?;
        }
        let written = self.out.write_all(&batch).and_then(|()| self.out.flush());
        written.map_err(|error| DataError::writing(&self.path, error))
    }

    /// Ends the output and says what was odd about it.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn finish(mut self) -> Result<Vec<Warning>, DataError> {
        self.out
            .flush()
            .map_err(|error| DataError::writing(&self.path, error))?;
        if self.dropped.is_empty() {
            return Ok(Vec::new());
        }
        let columns = self.dropped;
        Ok(vec![Warning::DroppedColumns { columns }])
    }

    fn append(&mut self, batch: &mut Vec<u8>, row: &Map<String, Value>) -> std::io::Result<()> {
        let first = !std::mem::replace(&mut self.started, true);
        match self.options.format {
            OutputFormat::Jsonl => {
                serde_json::to_writer(&mut *batch, row)?;
                batch.push(b'\n');
            }
            OutputFormat::Csv => self.append_csv(batch, row, first)?,
            OutputFormat::Table => {
                if first {
                    batch.extend_from_slice(table::header().as_bytes());
                }
                let WriteOptions {
                    text_field, width, ..
                } = &self.options;
                batch.extend_from_slice(table::row(row, text_field, *width).as_bytes());
            }
        }
        Ok(())
    }

    fn append_csv(
        &mut self,
        batch: &mut Vec<u8>,
        row: &Map<String, Value>,
        first: bool,
    ) -> std::io::Result<()> {
        let mut cells = flatten(row);
        let mut writer = csv::Writer::from_writer(batch);
        if first {
            self.columns = cells.iter().map(|(column, _)| column.clone()).collect();
            writer.write_record(&self.columns)?;
        }
        for column in &self.columns {
            writer.write_field(take(&mut cells, column))?;
        }
        writer.write_record(None::<&[u8]>)?;
        writer.flush()?;
        drop(writer);
        self.note_dropped(cells);
        Ok(())
    }

    fn note_dropped(&mut self, cells: Vec<(String, String)>) {
        for (column, _) in cells {
            if !self.dropped.contains(&column) {
                self.dropped.push(column);
            }
        }
    }
}

/// The cells of a CSV row, with their columns.
fn flatten(row: &Map<String, Value>) -> Vec<(String, String)> {
    let mut cells = Vec::new();
    for (key, value) in row {
        match value {
            Value::Object(inner) => {
                let nested = inner
                    .iter()
                    .map(|(name, value)| (format!("{key}.{name}"), cell(value)));
                cells.extend(nested);
            }
            value => cells.push((key.clone(), cell(value))),
        }
    }
    cells
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Takes the value of `column` out of `cells`, empty if it is not there. Rows mostly have the
/// header's order, so it is the first one.
fn take(cells: &mut Vec<(String, String)>, column: &str) -> String {
    match cells.iter().position(|(name, _)| name == column) {
        Some(index) => cells.remove(index).1,
        None => String::new(),
    }
}

/// The output row of `record`: its text under its own field name, then `results`, then its other
/// fields. A field with the name of a result, such as a label given in the input, is replaced.
#[must_use]
pub fn output_row(
    record: Record,
    names: &FieldNames,
    results: Map<String, Value>,
) -> Map<String, Value> {
    let mut row = Map::with_capacity(results.len() + record.fields.len() + 1);
    row.insert(names.text.clone(), record.text.into());
    for (name, value) in results {
        row.insert(name, value);
    }
    for (name, value) in record.fields {
        row.entry(name).or_insert(value);
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn written(format: OutputFormat, rows: &[Value]) -> (String, Vec<Warning>) {
        let mut out = Vec::new();
        let options = WriteOptions {
            format,
            ..WriteOptions::default()
        };
        let mut writer = RecordWriter::new(Box::new(&mut out), "out", options);
        for row in rows {
            writer.write([&object(row.clone())]).unwrap();
        }
        let warnings = writer.finish().unwrap();
        (String::from_utf8(out).unwrap(), warnings)
    }

    #[test]
    fn jsonl_is_compact_and_keeps_every_field_in_order() {
        let rows = [
            json!({"text": "a\n", "b": 1}),
            json!({"z": null, "a": [1, {}]}),
        ];
        let (out, _) = written(OutputFormat::Jsonl, &rows);
        assert_eq!(
            out,
            "{\"text\":\"a\\n\",\"b\":1}\n{\"z\":null,\"a\":[1,{}]}\n"
        );
    }

    #[test]
    fn csv_flattens_one_level() {
        let probabilities = json!({"negative": 0.25, "positive": 0.75});
        let row =
            json!({"text": "a, \"b\"", "label": null, "probabilities": probabilities, "x": [1]});
        let (out, _) = written(OutputFormat::Csv, &[row]);
        let expected = "text,label,probabilities.negative,probabilities.positive,x\n\
                        \"a, \"\"b\"\"\",,0.25,0.75,[1]\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn later_csv_rows_follow_the_header() {
        let rows = [
            json!({"a": 1, "b": 2}),
            json!({"c": 3, "b": 4}),
            json!({"c": 5}),
        ];
        let (out, warnings) = written(OutputFormat::Csv, &rows);
        assert_eq!(out, "a,b\n1,2\n,4\n,\n");
        let columns = vec!["c".to_owned()];
        assert_eq!(warnings, [Warning::DroppedColumns { columns }]);
    }

    #[test]
    fn the_table_has_one_header() {
        let rows = [
            json!({"text": "a", "label": "x"}),
            json!({"text": "b", "label": "y"}),
        ];
        let (out, _) = written(OutputFormat::Table, &rows);
        assert_eq!(out.matches("probability").count(), 1);
        assert_eq!(out.lines().count(), 3);
    }

    #[test]
    fn an_output_row_keeps_other_fields_behind_the_results() {
        let fields = object(json!({"id": 7, "label": "old", "text": "t", "note": "n"}));
        let record = Record {
            text: "t".into(),
            label: Some("old".into()),
            fields,
            line: 1,
        };
        let results = object(json!({"label": "new", "probability": 0.5}));
        let row = output_row(record, &FieldNames::default(), results);
        let expected =
            json!({"text": "t", "label": "new", "probability": 0.5, "id": 7, "note": "n"});
        assert_eq!(Value::from(row).to_string(), expected.to_string());
    }

    /// Counts calls, to see that a batch is one write.
    struct Counting<'a>(&'a mut Vec<usize>);

    impl Write for Counting<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.push(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_batch_is_written_at_once() {
        let row = object(json!({"text": "a"}));
        for format in [OutputFormat::Jsonl, OutputFormat::Csv, OutputFormat::Table] {
            let mut calls = Vec::new();
            let options = WriteOptions {
                format,
                ..WriteOptions::default()
            };
            let mut writer = RecordWriter::new(Box::new(Counting(&mut calls)), "out", options);
            writer.write(std::iter::repeat_n(&row, 100)).unwrap();
            drop(writer);
            assert_eq!(calls.len(), 1, "{format}");
        }
    }
}
