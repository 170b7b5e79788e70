//! One file of the cache: a line of JSON that says whose vectors follow, then records of one
//! length, which only ever grow in number.
//!
//! Records are read by place, not through a memory map: another program that empties a mapped file
//! ends every process that looks at it, and a cache is not worth that.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::folder::{self, EXTENSION, Header, io};
use super::record::{self, Entry, Hash};
use super::{CacheError, CacheReport, EmbeddingKey};
use crate::hub::hex;

/// Bytes read at once when a file is looked through.
const BUFFER: usize = 1 << 18;
/// Texts for which there is room at once; a file's length may be wrong, and memory is not its.
const MOST_RESERVED: u64 = 1 << 20;

pub(super) struct Store {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    /// Where records begin.
    start: u64,
    /// Bytes of a record.
    length: u64,
    /// Records looked through.
    known: u64,
    /// Each text's record; the last one if there are several.
    places: HashMap<Hash, u64>,
}

impl Store {
    /// Opens or makes the file. One that cannot be written is opened to be read, with the problem
    /// in the report.
    pub fn open(
        dir: &Path,
        key: EmbeddingKey,
        encoder: &str,
        width: usize,
        report: &mut CacheReport,
    ) -> Result<Self, CacheError> {
        let path = dir.join(file_name(&key));
        let header = Header {
            fewshot_embeddings: Header::FORMAT,
            encoder: encoder.to_owned(),
            width,
            key,
        };
        let (file, start) = match open_to_write(dir, &path, &header, report) {
            Ok(opened) => opened,
            Err(problem) => match open_to_read(&path, &header) {
                Some(opened) => {
                    report.problem = Some(problem);
                    opened
                }
                None => return Err(problem),
            },
        };
        let mut store = Self {
            dir: dir.to_owned(),
            path,
            file,
            start,
            length: record::length(width) as u64,
            known: 0,
            places: HashMap::new(),
        };
        store.look_through()?;
        Ok(store)
    }

    /// A text's entry. A damaged record is counted and forgotten.
    pub fn get(&mut self, text: &str, report: &mut CacheReport) -> Option<Entry> {
        let hash = record::hash(text);
        let place = *self.places.get(&hash)?;
        let entry = self
            .record(place)
            .ok()
            .and_then(|record| record::read(&record, &hash));
        if entry.is_none() {
            self.places.remove(&hash);
            report.damaged += 1;
        }
        entry
    }

    fn record(&self, place: u64) -> std::io::Result<Vec<u8>> {
        let mut record = vec![0; self.length as usize];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.start + place * self.length))?;
        file.read_exact(&mut record)?;
        Ok(record)
    }

    /// Adds entries that no other process has added meanwhile.
    pub fn append(
        &mut self,
        texts: &[&str],
        entries: &[Entry],
        max_bytes: u64,
        report: &mut CacheReport,
    ) -> Result<(), CacheError> {
        let _lock = folder::lock(&self.dir)?;
        self.look_through()?;
        let mut bytes = Vec::new();
        for (text, entry) in texts.iter().zip(entries) {
            let hash = record::hash(text);
            if !self.places.contains_key(&hash) {
                record::write(&mut bytes, &hash, entry);
            }
        }
        if folder::size(&self.dir) + bytes.len() as u64 > max_bytes {
            return Err(CacheError::Full { max_bytes });
        }
        report.damaged += usize::from(self.has_half_a_record().map_err(io(&self.path))?);
        self.write(&bytes).map_err(io(&self.path))?;
        self.look_through()
    }

    /// Where the next record belongs.
    fn end(&self) -> u64 {
        self.start + self.known * self.length
    }

    /// Whether a process ended in the middle of its write; only true under the lock.
    fn has_half_a_record(&self) -> std::io::Result<bool> {
        Ok(self.file.metadata()?.len() > self.end())
    }

    fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut file = &self.file;
        file.set_len(self.end())?;
        file.seek(SeekFrom::Start(self.end()))?;
        let written = file.write_all(bytes);
        if written.is_err() {
            // A full disk: half a record would be dropped by the next process in any case.
            let _ = file.set_len(self.end());
        }
        written
    }

    /// Reads the hashes of records that were added since, by this process or another.
    fn look_through(&mut self) -> Result<(), CacheError> {
        let length = self.file.metadata().map_err(io(&self.path))?.len();
        if length < self.end() {
            let path = self.path.clone();
            return Err(CacheError::Changed { path });
        }
        let records = (length - self.start) / self.length;
        let read = self.read_hashes(records);
        read.map_err(io(&self.path))
    }

    fn read_hashes(&mut self, records: u64) -> std::io::Result<()> {
        let end = self.end();
        let mut file = &self.file;
        file.seek(SeekFrom::Start(end))?;
        let mut reader = BufReader::with_capacity(BUFFER, file);
        let mut record = vec![0; self.length as usize];
        let new = records - self.known;
        self.places.reserve(new.min(MOST_RESERVED) as usize);
        for place in self.known..records {
            reader.read_exact(&mut record)?;
            if let Some(hash) = record::hash_of(&record) {
                self.places.insert(hash, place);
            }
        }
        self.known = records;
        Ok(())
    }
}

fn file_name(key: &EmbeddingKey) -> String {
    let text = serde_json::to_vec(key).expect("numbers and strings are JSON");
    let hash = hex(&Sha256::digest(text));
    format!("{}.{EXTENSION}", &hash[..32])
}

/// Opens the file under the lock and gives it its header if it is new or damaged.
fn open_to_write(
    dir: &Path,
    path: &Path,
    header: &Header,
    report: &mut CacheReport,
) -> Result<(File, u64), CacheError> {
    fs::create_dir_all(dir).map_err(io(dir))?;
    let _lock = folder::lock(dir)?;
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(path).map_err(io(path))?;
    if let Some(start) = start_of(&file, header) {
        return Ok((file, start));
    }
    let old = file.metadata().map_err(io(path))?.len();
    report.damaged += usize::from(old > 0);
    let start = renew(&file, header).map_err(io(path))?;
    Ok((file, start))
}

fn renew(mut file: &File, header: &Header) -> std::io::Result<u64> {
    file.set_len(0)?;
    file.rewind()?;
    header.write(file)
}

fn open_to_read(path: &Path, header: &Header) -> Option<(File, u64)> {
    let file = File::open(path).ok()?;
    let start = start_of(&file, header)?;
    Some((file, start))
}

/// Where the records begin, if the file is what its name says.
fn start_of(file: &File, header: &Header) -> Option<u64> {
    let (found, start) = Header::read(file)?;
    (found.key == header.key && found.width == header.width).then_some(start)
}
