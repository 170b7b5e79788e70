//! CSV and TSV, after RFC 4180 with a header.
//!
//! Records are split here, not by the `csv` crate (which writes them): that crate reads an unclosed
//! quotation silently to the end of the file, has no limit for the length of a record, and miscounts
//! lines that end in `\r\n`. What it makes of a record otherwise is followed, and tested against.

use std::collections::VecDeque;

use serde_json::Value;

use super::super::error::{DataError, Place};
use super::{FieldNames, Lines, Record, without_end};

/// A file of separated values, read record by record.
pub(super) struct Separated {
    lines: Lines,
    delimiter: char,
    header: Option<Header>,
    /// Rows that were read and are next.
    ready: VecDeque<(Vec<String>, Place)>,
}

struct Header {
    columns: Vec<String>,
    text: usize,
    label: Option<usize>,
}

impl Separated {
    pub(super) fn new(lines: Lines, delimiter: char) -> Self {
        Self {
            lines,
            delimiter,
            header: None,
            ready: VecDeque::new(),
        }
    }

    pub(super) fn read(
        &mut self,
        names: &FieldNames,
        max_bytes: usize,
    ) -> Result<Option<Record>, DataError> {
        if self.header.is_none() {
            let Some((row, at)) = self.header_row(max_bytes)? else {
                return Ok(None);
            };
            self.delimiter = delimiter_of(without_end(&row), self.delimiter, names);
            let cells = split(without_end(&row), self.delimiter);
            self.header = Some(Header::new(&cells, names, &at)?);
        }
        let Some((cells, at)) = self.cells(max_bytes)? else {
            return Ok(None);
        };
        match &self.header {
            Some(header) => header.record(cells, at).map(Some),
            None => Ok(None),
        }
    }

    /// The first row that is not blank; a line `sep=;` before it, of spreadsheets, says what separates.
    fn header_row(&mut self, max_bytes: usize) -> Result<Option<(String, Place)>, DataError> {
        while let Some((row, at)) = self.row(max_bytes)? {
            let mut named = without_end(&row)
                .strip_prefix("sep=")
                .into_iter()
                .flat_map(str::chars);
            match (named.next(), named.next()) {
                (Some(delimiter), None) => self.delimiter = delimiter,
                _ if without_end(&row).is_empty() => {}
                _ => return Ok(Some((row, at))),
            }
        }
        Ok(None)
    }

    /// The fields of the next row that is not an empty line, and where it starts. Rows of nothing but separators at
    /// the end, which spreadsheets leave below a table, are none.
    fn cells(&mut self, max_bytes: usize) -> Result<Option<(Vec<String>, Place)>, DataError> {
        if self.ready.is_empty() {
            self.ready = self.up_to_content(max_bytes)?;
        }
        Ok(self.ready.pop_front())
    }

    /// The next row with something in it, behind the rows of nothing but separators that stand before it; nothing at
    /// the end.
    fn up_to_content(
        &mut self,
        max_bytes: usize,
    ) -> Result<VecDeque<(Vec<String>, Place)>, DataError> {
        let mut rows = VecDeque::new();
        while let Some((row, at)) = self.row(max_bytes)? {
            if without_end(&row).is_empty() {
                continue;
            }
            let cells = split(without_end(&row), self.delimiter);
            let blank = cells.len() > 1 && cells.iter().all(|cell| cell.trim().is_empty());
            rows.push_back((cells, at));
            if !blank {
                return Ok(rows);
            }
        }
        Ok(VecDeque::new())
    }

    /// The lines up to one that ends outside a quotation.
    fn row(&mut self, max_bytes: usize) -> Result<Option<(String, Place)>, DataError> {
        let Some(mut row) = self.lines.next(max_bytes)? else {
            return Ok(None);
        };
        let at = self.lines.place();
        let mut state = Quotation::FieldStart.after(&row, self.delimiter);
        while state == Quotation::Inside {
            let Some(line) = self.lines.next(max_bytes)? else {
                return Err(DataError::UnclosedQuote { at });
            };
            if row.len() + line.len() > max_bytes {
                return Err(DataError::LineTooLong { at, max_bytes });
            }
            state = state.after(&line, self.delimiter);
            row.push_str(&line);
        }
        Ok(Some((row, at)))
    }
}

impl Header {
    /// Blanks around column names are dropped: `text, label` is often written by hand.
    fn new(cells: &[String], names: &FieldNames, at: &Place) -> Result<Self, DataError> {
        let columns: Vec<String> = cells.iter().map(|name| name.trim().to_owned()).collect();
        let Some(text) = find(&columns, &names.text, at)? else {
            return Err(DataError::MissingColumn {
                path: at.path.to_path_buf(),
                column: names.text.clone(),
                found: columns,
            });
        };
        let label = find(&columns, &names.label, at)?;
        Ok(Self {
            columns: distinct(columns),
            text,
            label,
        })
    }

    fn record(&self, cells: Vec<String>, at: Place) -> Result<Record, DataError> {
        if cells.len() != self.columns.len() {
            return Err(DataError::RaggedRow {
                at,
                expected: self.columns.len(),
                got: cells.len(),
            });
        }
        let text = cells[self.text].clone();
        let label = self.label.map(|column| cells[column].clone());
        let values = cells.into_iter().map(Value::String);
        Ok(Record {
            text,
            label,
            fields: self.columns.iter().cloned().zip(values).collect(),
            line: at.line,
        })
    }
}

fn find(columns: &[String], name: &str, at: &Place) -> Result<Option<usize>, DataError> {
    let mut found = (0..columns.len()).filter(|&column| columns[column] == name);
    let first = found.next();
    if found.next().is_some() {
        return Err(DataError::AmbiguousColumn {
            path: at.path.to_path_buf(),
            column: name.to_owned(),
        });
    }
    Ok(first)
}

/// Columns of the same name get `.1`, `.2` and so on behind it, as in pandas, so that none is lost.
fn distinct(columns: Vec<String>) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(columns.len());
    for column in columns {
        let mut name = column.clone();
        let mut copy = 0;
        while names.contains(&name) {
            copy += 1;
            name = format!("{column}.{copy}");
        }
        names.push(name);
    }
    names
}

/// What separates the columns of this header: the comma of a .csv may be a semicolon, a tab or a bar, as
/// spreadsheets write it in many countries, if the text's column is then found and is not otherwise.
fn delimiter_of(header: &str, usual: char, names: &FieldNames) -> char {
    let finds_text = |delimiter: &char| {
        let cells = split(header, *delimiter);
        cells.iter().any(|name| name.trim() == names.text)
    };
    let others = [';', '\t', '|'].into_iter().filter(|_| usual == ',');
    [usual]
        .into_iter()
        .chain(others)
        .find(finds_text)
        .unwrap_or(usual)
}

/// The fields of one record, its line end cut off. A lone `\r` is text.
fn split(row: &str, delimiter: char) -> Vec<String> {
    let mut cells = vec![];
    let mut cell = String::new();
    let mut state = Quotation::FieldStart;
    for c in row.chars() {
        let next = state.step(c, delimiter);
        match (state, next) {
            (_, Quotation::FieldStart) => cells.push(std::mem::take(&mut cell)),
            (Quotation::FieldStart, Quotation::Inside) | (_, Quotation::Mark) => {}
            _ => cell.push(c),
        }
        state = next;
    }
    cells.push(cell);
    cells
}

/// Where in a record a character stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotation {
    /// At the start of a field, the only place where a quotation can begin.
    FieldStart,
    /// In a field, outside a quotation.
    Outside,
    Inside,
    /// Behind a quotation mark inside a quotation: its end, unless another mark follows.
    Mark,
}

impl Quotation {
    fn step(self, c: char, delimiter: char) -> Self {
        match (self, c) {
            (Self::FieldStart | Self::Mark, '"') => Self::Inside,
            (Self::Inside, '"') => Self::Mark,
            (Self::Inside, _) => Self::Inside,
            (_, c) if c == delimiter => Self::FieldStart,
            _ => Self::Outside,
        }
    }

    fn after(self, text: &str, delimiter: char) -> Self {
        text.chars().fold(self, |state, c| state.step(c, delimiter))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open_after(row: &str) -> bool {
        Quotation::FieldStart.after(row, ',') == Quotation::Inside
    }

    #[test]
    fn quotations_are_followed() {
        for open in ["\"a\n", "x,\"a\n", "\"a\"\"\n", "\"a\"\"\"\"\n", "\"a,b\n"] {
            assert!(open_after(open), "{open:?}");
        }
        for closed in [
            "a\n",
            "\"a\"\n",
            "\"a\"\r\n",
            "5\" disk\n",
            "a,b\"\n",
            "\"a\"b\"\n",
            "\"\"\n",
        ] {
            assert!(!open_after(closed), "{closed:?}");
        }
    }

    #[test]
    fn columns_of_one_name_are_told_apart() {
        let columns = ["a", "", "", "a", "a.1"].map(str::to_owned).to_vec();
        assert_eq!(distinct(columns), ["a", "", ".1", "a.1", "a.1.1"]);
    }

    #[test]
    fn what_is_no_quotation_is_text() {
        assert_eq!(split("a\rb,\"c\r\nd\"", ','), ["a\rb", "c\r\nd"]);
        assert_eq!(split("5\" disk,\"a\"b", ','), ["5\" disk", "ab"]);
        assert_eq!(split(",", ','), ["", ""]);
    }

    /// The `csv` crate takes a mark at the start of its input for a byte order mark; amid a file
    /// it is text.
    #[test]
    fn a_byte_order_mark_amid_a_file_is_text() {
        assert_eq!(split("\u{feff}a", ','), ["\u{feff}a"]);
    }

    proptest! {
        #[test]
        fn fields_are_those_of_the_csv_crate(row in "[aé ,\"]{1,12}") {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(row.as_bytes());
            let expected = reader.records().next().unwrap().unwrap();
            prop_assert_eq!(split(&row, ','), expected.iter().collect::<Vec<_>>());
        }
    }
}
