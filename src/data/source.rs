//! From a path or a stream to decompressed UTF-8 bytes of a known format.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{DataError, Place};
use super::format::{Compression, InputFormat};

/// The first bytes of a gzip file, RFC 1952.
const GZIP: &[u8] = &[0x1f, 0x8b];
/// The first bytes of a Zstandard frame, RFC 8878.
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Byte order marks: the Unicode standard, section 23.8.
const UTF8_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
const UTF16_MARKS: [&[u8]; 2] = [&[0xff, 0xfe], &[0xfe, 0xff]];

/// How many blank bytes may come before the first other one when the format is guessed.
const SNIFFED: usize = 64 << 10;
/// Bytes asked from the operating system at once.
const BUFFER: usize = 64 << 10;

/// Where texts come from.
///
/// A string or path becomes a `Source` by `into()`; `-` means standard input.
pub enum Source {
    /// A file.
    Path(PathBuf),
    /// Standard input.
    Stdin,
    /// Any other stream.
    Reader {
        /// Its name in messages; an extension like a file's tells the format.
        name: String,
        /// The stream.
        reader: Box<dyn Read + Send>,
    },
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == "-" {
            Self::Stdin
        } else {
            Self::Path(path)
        }
    }
}

impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        path.to_owned().into()
    }
}

impl From<&PathBuf> for Source {
    fn from(path: &PathBuf) -> Self {
        path.clone().into()
    }
}

impl From<&str> for Source {
    fn from(path: &str) -> Self {
        PathBuf::from(path).into()
    }
}

impl From<String> for Source {
    fn from(path: String) -> Self {
        PathBuf::from(path).into()
    }
}

impl Source {
    /// Opens the source, unpacks it and finds its format if it is not given.
    pub(super) fn open(
        self,
        format: Option<InputFormat>,
    ) -> Result<(Input, InputFormat), DataError> {
        let by_name = matches!(self, Self::Path(_));
        let (path, reader) = self.reader()?;
        let known = format.or_else(|| InputFormat::from_path(&path));
        if by_name && known.is_none() {
            let path = path.to_path_buf();
            return Err(DataError::UnknownFormat { path });
        }
        let mut input = Input::new(path, reader)?;
        let format = match known {
            Some(format) => format,
            None => input.sniff()?,
        };
        Ok((input, format))
    }

    fn reader(self) -> Result<(PathBuf, Box<dyn Read + Send>), DataError> {
        Ok(match self {
            Self::Path(path) => {
                let file = open_file(&path).map_err(|error| DataError::reading(&path, error))?;
                (path, Box::new(file))
            }
            Self::Stdin => ("standard input".into(), Box::new(io::stdin())),
            Self::Reader { name, reader } => (name.into(), reader),
        })
    }
}

/// Opens a file. Some systems open a directory too and fail only at the first read; here it fails
/// at once.
fn open_file(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    Ok(file)
}

type Bytes = Peek<Box<dyn BufRead + Send>>;

/// Decompressed bytes without a byte order mark, and where they come from.
pub(super) struct Input {
    pub(super) path: Arc<Path>,
    compressed: bool,
    bytes: Bytes,
}

impl Input {
    fn new(path: PathBuf, reader: Box<dyn Read + Send>) -> Result<Self, DataError> {
        let packed = Peek::new(Box::new(BufReader::with_capacity(BUFFER, reader)) as Box<_>);
        let mut input = Self {
            path: path.into(),
            compressed: false,
            bytes: packed,
        };
        input.unpack().map_err(|error| input.error(error))?;
        input.skip_mark()?;
        Ok(input)
    }

    /// Packed data is known by the extension or, since neither can start UTF-8 text, by its first
    /// bytes: that helps with pipes and with files named wrongly.
    fn unpack(&mut self) -> io::Result<()> {
        let mut compression = Compression::from_path(&self.path);
        if compression.is_none() && self.bytes.starts_with(GZIP)? {
            compression = Some(Compression::Gzip);
        } else if compression.is_none() && self.bytes.starts_with(ZSTD)? {
            compression = Some(Compression::Zstd);
        }
        let Some(compression) = compression else {
            return Ok(());
        };
        self.compressed = true;
        let packed = std::mem::replace(&mut self.bytes, Peek::new(Box::new(io::empty())));
        let unpacked: Box<dyn Read + Send> = match compression {
            // Multi: `cat a.gz b.gz` is a valid gzip file.
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(packed)?),
        };
        self.bytes = Peek::new(Box::new(BufReader::with_capacity(BUFFER, unpacked)));
        Ok(())
    }

    fn skip_mark(&mut self) -> Result<(), DataError> {
        for mark in UTF16_MARKS {
            if self.check(|bytes| bytes.starts_with(mark))? {
                let path = self.path.to_path_buf();
                return Err(DataError::Utf16 { path });
            }
        }
        if self.check(|bytes| bytes.starts_with(UTF8_MARK))? {
            self.bytes.consume(UTF8_MARK.len());
        }
        Ok(())
    }

    /// Guesses the format from the first byte that is not blank.
    fn sniff(&mut self) -> Result<InputFormat, DataError> {
        for index in 0..SNIFFED {
            match self.check(|bytes| bytes.peek(index))? {
                Some(byte) if byte.is_ascii_whitespace() => {}
                Some(b'{') => return Ok(InputFormat::Jsonl),
                _ => break,
            }
        }
        Ok(InputFormat::Text)
    }

    /// The next line with its end, empty at the end of the input.
    ///
    /// Returns `None` if there are more than `max_bytes` before the line's end; what follows them
    /// is not read.
    pub(super) fn line(&mut self, max_bytes: usize) -> Result<Option<Vec<u8>>, DataError> {
        let mut line = Vec::new();
        let limit = (max_bytes as u64).saturating_add(1);
        self.check(|bytes| bytes.take(limit).read_until(b'\n', &mut line))?;
        Ok((line.len() <= max_bytes || line.ends_with(b"\n")).then_some(line))
    }

    /// The next byte, left in the input.
    pub(super) fn next_byte(&mut self) -> Result<Option<u8>, DataError> {
        self.check(|bytes| bytes.peek(0))
    }

    /// Drops the byte that [`Self::next_byte`] has shown.
    pub(super) fn skip_byte(&mut self) {
        self.bytes.consume(1);
    }

    pub(super) fn place(&self, line: usize) -> Place {
        let path = Arc::clone(&self.path);
        Place { path, line }
    }

    fn check<T>(&mut self, read: impl FnOnce(&mut Bytes) -> io::Result<T>) -> Result<T, DataError> {
        read(&mut self.bytes).map_err(|error| self.error(error))
    }

    fn error(&self, source: io::Error) -> DataError {
        // An error with a number comes from the operating system, others from the decompressor.
        if self.compressed && source.raw_os_error().is_none() {
            let path = self.path.to_path_buf();
            return DataError::Damaged { path, source };
        }
        DataError::reading(&self.path, source)
    }
}

/// A reader whose next bytes can be looked at.
///
/// `BufReader::peek` is not stable, and `fill_buf` shows only what happens to be there. This one
/// reads no further than asked, so a program that answers line by line is never kept waiting.
struct Peek<R> {
    inner: R,
    /// Bytes looked at but not yet consumed, from `at` on.
    seen: Vec<u8>,
    at: usize,
}

impl<R: BufRead> Peek<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            seen: Vec::new(),
            at: 0,
        }
    }

    /// The byte `index` bytes ahead, if there are so many.
    fn peek(&mut self, index: usize) -> io::Result<Option<u8>> {
        if index == 0 && self.at == self.seen.len() {
            return peek_first(&mut self.inner);
        }
        while self.seen.len() - self.at <= index {
            let Some(byte) = peek_first(&mut self.inner)? else {
                return Ok(None);
            };
            self.inner.consume(1);
            self.seen.push(byte);
        }
        Ok(Some(self.seen[self.at + index]))
    }

    fn starts_with(&mut self, start: &[u8]) -> io::Result<bool> {
        for (index, &byte) in start.iter().enumerate() {
            if self.peek(index)? != Some(byte) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn peek_first(reader: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        match reader.fill_buf() {
            Ok(bytes) => return Ok(bytes.first().copied()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl<R: BufRead> BufRead for Peek<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at < self.seen.len() {
            return Ok(&self.seen[self.at..]);
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        let from_seen = amount.min(self.seen.len() - self.at);
        self.at += from_seen;
        self.inner.consume(amount - from_seen);
        if self.at == self.seen.len() {
            self.seen.clear();
            self.at = 0;
        }
    }
}

impl<R: BufRead> Read for Peek<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peeked_bytes_are_read_again() {
        let mut bytes = Peek::new(&b"abcdef"[..]);
        assert!(bytes.starts_with(b"abc").unwrap());
        assert!(!bytes.starts_with(b"abd").unwrap());
        assert_eq!(bytes.peek(9).unwrap(), None);
        bytes.consume(1);
        assert_eq!(bytes.peek(0).unwrap(), Some(b'b'));
        let mut rest = String::new();
        bytes.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "bcdef");
    }

    #[test]
    fn one_peek_reads_no_more_than_needed() {
        let mut bytes = Peek::new(BufReader::with_capacity(1, &b"xyz"[..]));
        assert!(!bytes.starts_with(ZSTD).unwrap());
        assert_eq!(bytes.inner.get_ref().len(), 2);
    }

    #[test]
    fn a_dash_is_standard_input() {
        assert!(matches!(Source::from("-"), Source::Stdin));
        assert!(matches!(Source::from("./-"), Source::Path(_)));
    }
}
