//! The cache's folder: its lock, its size, what is in it, emptying it.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry, File, TryLockError};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{CacheError, EmbeddingKey, record};
use crate::encoder::LayerMix;

/// How the cache's files end; nothing else in the folder is counted or removed.
pub(super) const EXTENSION: &str = "vectors";
/// How long a process waits for another one to finish its write, which takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);
/// A header is some 300 bytes; a line longer than this is none.
const LONGEST_HEADER: u64 = 1 << 16;
/// Far above every real encoder; keeps a damaged header from overflowing anything.
const WIDEST: usize = 1 << 22;

/// The first line of a file, in JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    /// Version of the records.
    pub fewshot_embeddings: u32,
    /// For people: the name the encoder had when the file was made.
    pub encoder: String,
    pub width: usize,
    pub key: EmbeddingKey,
}

impl Header {
    pub const FORMAT: u32 = 1;

    /// The line and its length.
    pub fn read(file: &File) -> Option<(Self, u64)> {
        let mut line = Vec::new();
        let mut reader = BufReader::new(file).take(LONGEST_HEADER);
        reader.read_until(b'\n', &mut line).ok()?;
        let header: Self = serde_json::from_slice(line.strip_suffix(b"\n")?).ok()?;
        let fits = header.fewshot_embeddings == Self::FORMAT && header.width <= WIDEST;
        fits.then_some((header, line.len() as u64))
    }

    /// Gives the line's length.
    pub fn write(&self, mut file: &File) -> std::io::Result<u64> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        file.write_all(&line)?;
        Ok(line.len() as u64)
    }
}

pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> CacheError + '_ {
    |source| CacheError::Io {
        path: path.to_owned(),
        source,
    }
}

/// The lock under which files are made, mended and grow, until the file is dropped. It is a file
/// of its own, since a lock on Windows keeps readers out too.
pub(super) fn lock(dir: &Path) -> Result<File, CacheError> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(io(&path))?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(io(&path)(error)),
            Err(TryLockError::WouldBlock) if start.elapsed() > PATIENCE => {
                return Err(CacheError::Busy { path });
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(POLL),
        }
    }
}

/// Bytes of all vectors in the folder.
pub(super) fn size(dir: &Path) -> u64 {
    let sizes = files(dir).unwrap_or_default();
    sizes
        .iter()
        .filter_map(|file| Some(file.metadata().ok()?.len()))
        .sum()
}

/// The cache's files; none if there is no folder.
fn files(dir: &Path) -> Result<Vec<DirEntry>, CacheError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io(dir))?,
    };
    let ours = |entry: &DirEntry| {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        is_file && entry.path().extension().is_some_and(|end| end == EXTENSION)
    };
    Ok(entries.flatten().filter(ours).collect())
}

/// One file of the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheFile {
    /// The file.
    pub path: PathBuf,
    /// The name the encoder had when the file was made; none if the file is damaged.
    pub encoder: Option<String>,
    /// The layers that are averaged.
    pub layers: LayerMix,
    /// Numbers in a vector.
    pub width: usize,
    /// Texts whose vectors it holds, damaged ones included.
    pub texts: u64,
    /// Its size.
    pub size_bytes: u64,
}

/// What a cache holds, by encoder and layers.
///
/// # Errors
/// If the folder exists and cannot be read.
pub fn list(dir: &Path) -> Result<Vec<CacheFile>, CacheError> {
    let mut found: Vec<CacheFile> = files(dir)?.iter().filter_map(describe).collect();
    found.sort_by_cached_key(|file| {
        let layers = file.layers.to_string();
        (file.encoder.clone(), layers, file.path.clone())
    });
    Ok(found)
}

/// None if the file is gone by now.
fn describe(entry: &DirEntry) -> Option<CacheFile> {
    let path = entry.path();
    let size_bytes = entry.metadata().ok()?.len();
    let header = File::open(&path).ok().and_then(|file| Header::read(&file));
    let Some((header, start)) = header else {
        return Some(CacheFile {
            path,
            encoder: None,
            layers: LayerMix::Of(BTreeSet::new()),
            width: 0,
            texts: 0,
            size_bytes,
        });
    };
    let length = record::length(header.width) as u64;
    Some(CacheFile {
        path,
        encoder: Some(header.encoder),
        layers: LayerMix::Of(header.key.layers.into_iter().collect()),
        width: header.width,
        texts: size_bytes.saturating_sub(start) / length,
        size_bytes,
    })
}

/// Removes all vectors and gives the bytes that were freed; a process that uses them goes on.
///
/// # Errors
/// If the folder cannot be read or a file cannot be removed.
pub fn clear(dir: &Path) -> Result<u64, CacheError> {
    let mut freed = 0;
    for file in files(dir)? {
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        match fs::remove_file(file.path()) {
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => removed.map_err(io(&file.path()))?,
        }
        freed += bytes;
    }
    Ok(freed)
}
