//! Text → vector on disk: what was embedded once is not embedded again.
//!
//! One folder, by default `~/.cache/fewshot/embeddings`, holds one file for each [`EmbeddingKey`]:
//! an encoder, its settings and the layers that are averaged. Texts are kept as hashes only, so a
//! file tells nothing but whether a known text was there; vectors do tell what their texts are
//! about. A cache can always be deleted.
//!
//! Nothing here can fail a run: a folder that cannot be written, a full disk or a damaged record
//! mean that texts are embedded, as without a cache, and [`CacheReport`] says so.
//!
//! ```
//! use fewshot::embedding_cache::{CacheOptions, CachedEncoder};
//! use fewshot::encoder::{Encoder, LayerMix};
//! use fewshot::hub::{HubOptions, resolve};
//!
//! # let dir = tempfile::tempdir().expect("a folder");
//! let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny-mpnet");
//! let encoder = Encoder::load(&resolve(model, &HubOptions::default())?)?;
//! let options = CacheOptions { dir: dir.path().into(), ..CacheOptions::default() };
//! for embedded in [2, 0] {
//!     let mut cached = CachedEncoder::open(&encoder, &LayerMix::Last, Some(&options))?;
//!     let vectors = cached.encode(&["my dog", "my cat", "my dog"], |_done, _of| ())?.vectors;
//!     assert_eq!((vectors.rows(), cached.take_report().embedded), (3, embedded));
//! }
//! # Ok::<(), fewshot::Error>(())
//! ```

mod folder;
mod record;
mod store;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use folder::{CacheFile, clear, list};

use crate::encoder::{Encoded, Encoder, EncoderError, LayerMix, Note, Precision, deduplicate};
use crate::hub::fewshot_cache;
use crate::matrix::Matrix;
use record::Entry;
use store::Store;

/// Bytes that a cache may have unless another limit is set: some 650,000 texts at width 768.
pub const DEFAULT_MAX_BYTES: u64 = 2_000_000_000;

/// Texts that are embedded before they are kept and progress is told; more where these do not keep
/// the encoder busy.
const CHUNK: usize = 128;

/// Why vectors are not kept, or the cache cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The folder or a file in it cannot be read or written.
    #[error("cannot use the cache of embeddings {}", .path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has held the lock for too long.
    #[error("the cache of embeddings {} is held by another process", .path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// The file was emptied while it was in use.
    #[error("the cache of embeddings {} was changed by another program", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The limit is reached.
    #[error("the cache of embeddings has its {max_bytes} bytes")]
    Full {
        /// The limit.
        max_bytes: u64,
    },
    /// `FEWSHOT_CACHE_SIZE` is no size.
    #[error("FEWSHOT_CACHE_SIZE is `{value}`, which is no size")]
    Size {
        /// What it is.
        value: String,
    },
}

impl CacheError {
    /// The cure.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Io { .. } => "set FEWSHOT_CACHE to a folder that can be written",
            Self::Busy { .. } => "wait until the other process has ended",
            Self::Full { .. } => {
                "run `fewshot cache --clear`, or set FEWSHOT_CACHE_SIZE, such as 10G"
            }
            Self::Size { .. } => "write a number of bytes, or one with K, M, G or T, such as 10G",
            Self::Changed { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

/// Where vectors are kept, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheOptions {
    /// The folder; default `~/.cache/fewshot/embeddings`. It is made when it is needed.
    pub dir: PathBuf,
    /// Beyond this nothing is added; default [`DEFAULT_MAX_BYTES`], 0 only reads.
    pub max_bytes: u64,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            dir: fewshot_cache(&|_| None).join("embeddings"),
            max_bytes: DEFAULT_MAX_BYTES,
        }
    }
}

impl CacheOptions {
    /// The folder `embeddings` in `FEWSHOT_CACHE`, else in `fewshot` in `XDG_CACHE_HOME`, else in
    /// `~/.cache/fewshot`; the limit from `FEWSHOT_CACHE_SIZE`, a number of bytes, or of K, M, G
    /// or T, powers of 1000.
    ///
    /// # Errors
    /// [`CacheError::Size`].
    pub fn from_env() -> Result<Self, CacheError> {
        Self::from_vars(&|name| std::env::var(name).ok())
    }

    fn from_vars(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, CacheError> {
        let value = get("FEWSHOT_CACHE_SIZE").unwrap_or_default();
        let max_bytes = match value.trim() {
            "" => DEFAULT_MAX_BYTES,
            size => parse_size(size).ok_or_else(|| CacheError::Size {
                value: size.to_owned(),
            })?,
        };
        Ok(Self {
            dir: fewshot_cache(get).join("embeddings"),
            max_bytes,
        })
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.to_ascii_uppercase();
    let units = [
        ("K", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
    ];
    let unit = |(name, bytes): (&str, u64)| Some((text.strip_suffix(name)?.to_owned(), bytes));
    let (number, bytes) = units
        .into_iter()
        .find_map(unit)
        .unwrap_or((text.clone(), 1));
    number.parse::<u64>().ok()?.checked_mul(bytes)
}

/// All that decides a text's vector. What is added to it gives every vector a new place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddingKey {
    /// Version of the forward pass: raised when the same weights begin to give other vectors.
    pub version: u32,
    /// sha256 of the weights.
    pub weights: String,
    /// [`Encoder::settings_sha256`].
    pub settings: String,
    /// In which numbers they were computed.
    pub precision: Precision,
    /// Where, if not on the processor: [`Encoder::device_name`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The layers that are averaged.
    pub layers: Vec<usize>,
}

/// Version of the forward pass in a precision.
fn version(precision: Precision) -> u32 {
    match precision {
        // 1 had attention by `gemm`, whose sums were of another order.
        Precision::F32 => 2,
        // 1 as in f32; 2 had no product in f32.
        Precision::Bf16 => 3,
        // 1 also had one scale a row and output; 2 had the attention of 1.
        Precision::Int8 => 3,
    }
}

impl EmbeddingKey {
    /// The key of an encoder's vectors.
    ///
    /// # Errors
    /// If a layer lies above the encoder's last.
    pub fn new(encoder: &Encoder, layers: &LayerMix) -> Result<Self, EncoderError> {
        Ok(Self {
            version: version(encoder.precision()),
            weights: match &encoder.identity().tuned {
                Some(tuned) => format!("{} {tuned}", encoder.identity().sha256),
                None => encoder.identity().sha256.clone(),
            },
            settings: encoder.settings_sha256().to_owned(),
            precision: encoder.precision(),
            device: encoder.device_name().map(str::to_owned),
            layers: layers.indices(encoder.layers())?,
        })
    }
}

/// What a cache was good for.
#[derive(Debug, Default)]
pub struct CacheReport {
    /// Distinct texts that were found.
    pub found: usize,
    /// Distinct texts that were embedded.
    pub embedded: usize,
    /// Damaged places that were dropped: a record, half a record at the end, a file's first line
    /// (and with it the file).
    pub damaged: usize,
    /// Why vectors are not kept, or no longer.
    pub problem: Option<CacheError>,
}

/// An encoder that looks into the cache first.
pub struct CachedEncoder<'e> {
    encoder: &'e Encoder,
    layers: LayerMix,
    max_bytes: u64,
    store: Option<Store>,
    writable: bool,
    report: CacheReport,
}

impl<'e> CachedEncoder<'e> {
    /// Opens the cache of this encoder and these layers and reads which texts it holds; without
    /// options there is no cache, and all else is the same.
    ///
    /// Memory: some 40 bytes a text that the cache holds.
    ///
    /// # Errors
    /// If a layer lies above the encoder's last. That the cache cannot be used is no error: see
    /// [`CacheReport::problem`].
    pub fn open(
        encoder: &'e Encoder,
        layers: &LayerMix,
        options: Option<&CacheOptions>,
    ) -> Result<Self, EncoderError> {
        let key = EmbeddingKey::new(encoder, layers)?;
        let mut report = CacheReport::default();
        let store = options.and_then(|options| {
            let name = &encoder.identity().id;
            match Store::open(&options.dir, key, name, encoder.width(), &mut report) {
                Ok(store) => Some(store),
                Err(problem) => {
                    report.problem = Some(problem);
                    None
                }
            }
        });
        Ok(Self {
            encoder,
            layers: layers.clone(),
            max_bytes: options.map_or(0, |options| options.max_bytes),
            store,
            writable: report.problem.is_none(),
            report,
        })
    }

    /// What came out of the cache, and what went wrong with it, since this was asked last.
    pub fn take_report(&mut self) -> CacheReport {
        std::mem::take(&mut self.report)
    }

    /// As [`Encoder::encode`], notes included, from the cache where it has a text; other texts are
    /// embedded, each once, and kept.
    ///
    /// A vector comes back bit by bit as it was first embedded. Embedded in other company, it may
    /// differ in the last bits (by less than 1e-4), as it does without a cache.
    ///
    /// `progress` is told how many distinct texts are done, and of how many, whenever some are.
    ///
    /// # Shapes
    /// Returns `[texts, width]`.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn encode<S: AsRef<str>>(
        &mut self,
        texts: &[S],
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Encoded, EncoderError> {
        let (unique, places) = deduplicate(texts);
        let mut gathered = Gathered::new(unique.len(), self.encoder.width());
        let missing = self.recall(&unique, &mut gathered);
        let mut done = unique.len() - missing.len();
        progress(done, unique.len());
        for chunk in missing.chunks(CHUNK.max(self.encoder.texts_at_once())) {
            self.embed(&unique, chunk, &mut gathered)?;
            done += chunk.len();
            progress(done, unique.len());
        }
        Ok(gathered.spread(&places))
    }

    /// Takes what the cache has; gives the indices of the other texts.
    fn recall(&mut self, texts: &[&str], gathered: &mut Gathered) -> Vec<usize> {
        let Some(store) = &mut self.store else {
            return (0..texts.len()).collect();
        };
        let missing: Vec<usize> = (0..texts.len())
            .filter(|&index| {
                let entry = store.get(texts[index], &mut self.report);
                entry.map(|entry| gathered.put(index, &entry)).is_none()
            })
            .collect();
        self.report.found += texts.len() - missing.len();
        missing
    }

    fn embed(
        &mut self,
        texts: &[&str],
        chunk: &[usize],
        gathered: &mut Gathered,
    ) -> Result<(), EncoderError> {
        let new: Vec<&str> = chunk.iter().map(|&index| texts[index]).collect();
        let encoded = self.encoder.encode(&new, &self.layers)?;
        self.report.embedded += new.len();
        let entries = entries(&encoded);
        for (&index, entry) in chunk.iter().zip(&entries) {
            gathered.put(index, entry);
        }
        self.keep(&new, &entries);
        Ok(())
    }

    /// Once something went wrong, nothing more is written.
    fn keep(&mut self, texts: &[&str], entries: &[Entry]) {
        let Some(store) = self.store.as_mut().filter(|_| self.writable) else {
            return;
        };
        let kept = store.append(texts, entries, self.max_bytes, &mut self.report);
        self.writable = kept.is_ok();
        self.report.problem = kept.err();
    }
}

fn entries(encoded: &Encoded) -> Vec<Entry> {
    let plain = |vector: &[f32]| Entry {
        windows: 1,
        cut: false,
        vector: vector.to_vec(),
    };
    let mut entries: Vec<Entry> = encoded.vectors.iter_rows().map(plain).collect();
    for note in &encoded.notes {
        (entries[note.text].windows, entries[note.text].cut) = (note.windows, note.cut);
    }
    entries
}

/// Vectors and notes of distinct texts, filled in any order.
struct Gathered {
    vectors: Matrix,
    notes: Vec<Option<Note>>,
}

impl Gathered {
    fn new(texts: usize, width: usize) -> Self {
        Self {
            vectors: Matrix::zeros(texts, width),
            notes: vec![None; texts],
        }
    }

    fn put(&mut self, text: usize, entry: &Entry) {
        self.vectors.row_mut(text).copy_from_slice(&entry.vector);
        self.notes[text] = entry.note(text);
    }

    /// To the texts as they were given, repeated ones included.
    fn spread(&self, places: &[usize]) -> Encoded {
        let note =
            |(text, &place): (usize, &usize)| self.notes[place].map(|note| Note { text, ..note });
        Encoded {
            vectors: self.vectors.select(places),
            notes: places.iter().enumerate().filter_map(note).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
