//! One JSON document, `{label: [texts]}` or `[{text, label}, ...]`, read value by value.
//!
//! `serde_json` parses a document whole or pushes values at a visitor; an iterator must pull them
//! and memory must stay that of one value. So the brackets outside are walked here, and each value
//! between them is cut out and handed to `serde_json`.

use serde_json::Value;

use super::super::error::{DataError, Place};
use super::super::source::Input;
use super::{FieldNames, Record, parse, record_from_object, wrong_type};

/// A JSON document, read record by record.
pub(super) struct Document {
    input: Input,
    /// The current line, from 1.
    line: usize,
    state: State,
}

/// What comes next.
enum State {
    Start,
    /// `]` or an object; `bool`: whether one has been read, so that a comma comes before the next.
    Objects(bool),
    /// `}` or a label.
    Labels(bool),
    /// `]` or a text with this label.
    Texts(String, bool),
    End,
}

impl Document {
    pub(super) fn new(input: Input) -> Self {
        Self {
            input,
            line: 1,
            state: State::Start,
        }
    }

    pub(super) fn read(
        &mut self,
        names: &FieldNames,
        max_bytes: usize,
    ) -> Result<Option<Record>, DataError> {
        loop {
            match std::mem::replace(&mut self.state, State::End) {
                State::Start => self.state = self.start()?,
                State::Objects(more) => {
                    if self.opens_next(more, b']', "`,` or `]`")? {
                        let (value, at) = self.value(max_bytes)?;
                        self.state = State::Objects(true);
                        return record_from_object(value, names, &at).map(Some);
                    }
                }
                State::Labels(more) => {
                    if self.opens_next(more, b'}', "`,` or `}`")? {
                        self.state = State::Texts(self.label(max_bytes)?, false);
                    }
                }
                State::Texts(label, more) => {
                    if self.opens_next(more, b']', "`,` or `]`")? {
                        let (value, at) = self.value(max_bytes)?;
                        let Value::String(text) = value else {
                            return Err(wrong_type(&label, "a string", &value, &at));
                        };
                        self.state = State::Texts(label.clone(), true);
                        return Ok(Some(Record::bare(text, Some(label), at.line)));
                    }
                    self.state = State::Labels(true);
                }
                State::End => return self.end().map(|()| None),
            }
        }
    }

    fn start(&mut self) -> Result<State, DataError> {
        match self.next_visible()? {
            // Nothing at all is no records, as in the other formats.
            None => Ok(State::End),
            Some(b'[') => Ok(self.skip_into(State::Objects(false))),
            Some(b'{') => Ok(self.skip_into(State::Labels(false))),
            Some(_) => Err(self.unexpected("`{` or `[`")),
        }
    }

    fn end(&mut self) -> Result<(), DataError> {
        match self.next_visible()? {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the file")),
        }
    }

    /// A label with the colon and bracket behind it.
    fn label(&mut self, max_bytes: usize) -> Result<String, DataError> {
        if self.next_visible()? != Some(b'"') {
            return Err(self.unexpected("a label in quotation marks"));
        }
        let (label, at) = self.value(max_bytes)?;
        let Value::String(label) = label else {
            return Err(wrong_type("label", "a string", &label, &at));
        };
        self.expect(b':', "`:`")?;
        self.expect(b'[', "a list of texts")?;
        Ok(label)
    }

    /// Whether another value follows in a list; if not, its end `close` has been read.
    fn opens_next(
        &mut self,
        more: bool,
        close: u8,
        expected: &'static str,
    ) -> Result<bool, DataError> {
        match self.next_visible()? {
            Some(byte) if byte == close => {
                self.skip();
                Ok(false)
            }
            Some(b',') if more => {
                self.skip();
                Ok(true)
            }
            Some(_) if !more => Ok(true),
            _ => Err(self.unexpected(expected)),
        }
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), DataError> {
        if self.next_visible()? != Some(byte) {
            return Err(self.unexpected(expected));
        }
        self.skip();
        Ok(())
    }

    /// The next value and where it starts.
    fn value(&mut self, max_bytes: usize) -> Result<(Value, Place), DataError> {
        self.next_visible()?;
        let at = self.input.place(self.line);
        let raw = self.raw_value(&at, max_bytes)?;
        let raw = String::from_utf8(raw).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let lines = valid.iter().filter(|&&byte| byte == b'\n').count();
            DataError::InvalidUtf8 {
                at: self.input.place(at.line + lines),
            }
        })?;
        Ok((parse(&raw, &at)?, at))
    }

    /// The bytes of a value. Only brackets and quotation marks are followed; whether they make
    /// sense is for the parser to say.
    fn raw_value(&mut self, at: &Place, max_bytes: usize) -> Result<Vec<u8>, DataError> {
        let mut raw = Vec::new();
        let mut scan = Scan::default();
        while let Some(byte) = self.input.next_byte()? {
            if scan.ends_before(byte, raw.is_empty()) {
                break;
            }
            if raw.len() >= max_bytes {
                let at = at.clone();
                return Err(DataError::LineTooLong { at, max_bytes });
            }
            self.skip();
            raw.push(byte);
            if scan.ends_after(byte) {
                break;
            }
        }
        Ok(raw)
    }

    /// The next byte that is not blank, left in the input.
    fn next_visible(&mut self) -> Result<Option<u8>, DataError> {
        while let Some(byte) = self.input.next_byte()? {
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.skip();
        }
        Ok(None)
    }

    fn skip(&mut self) {
        if let Ok(Some(b'\n')) = self.input.next_byte() {
            self.line += 1;
        }
        self.input.skip_byte();
    }

    fn skip_into(&mut self, state: State) -> State {
        self.skip();
        state
    }

    fn unexpected(&mut self, expected: &'static str) -> DataError {
        let found = match self.input.next_byte() {
            Ok(Some(byte)) if byte.is_ascii_graphic() => format!("`{}`", char::from(byte)),
            Ok(Some(byte)) => format!("byte {byte:#04x}"),
            Ok(None) => "the end of the file".to_owned(),
            Err(error) => return error,
        };
        DataError::UnexpectedJson {
            at: self.input.place(self.line),
            expected,
            found,
        }
    }
}

/// How far into brackets and strings a value has been read.
#[derive(Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// Whether `byte` is no longer part of a bare number or word.
    fn ends_before(&self, byte: u8, empty: bool) -> bool {
        let separator = matches!(byte, b',' | b']' | b'}' | b':') || byte.is_ascii_whitespace();
        self.depth == 0 && !self.in_string && separator && !empty
    }

    fn ends_after(&mut self, byte: u8) -> bool {
        if self.in_string {
            let closes = byte == b'"' && !self.escaped;
            self.escaped = byte == b'\\' && !self.escaped;
            self.in_string = !closes;
            return closes && self.depth == 0;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}
