//! A classifier on disk: a folder of `classifier.json`, `head.safetensors`, `examples.jsonl`, the
//! encoder's layers if some were tuned (`tuned.safetensors`, bf16) and a model card.
//!
//! The folder appears whole or not at all: it is written under a temporary name beside its place,
//! synced and renamed. `classifier.json` holds the sha256 of the other parts, so that a damaged
//! or foreign part is found before it is used.

mod card;
mod error;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use error::SaveError;

use crate::Result;
use crate::calibration::Calibration;
use crate::classifier::{FewShotClassifier, FitOptions, Seen};
use crate::data::{Dataset, Example, FieldNames, LabelSet};
use crate::encoder::{Encoder, EncoderIdentity, LayerMix};
use crate::head::{self, Tensors};
use crate::vectors::VectorClassifier;

const MANIFEST: &str = "classifier.json";
const HEAD: &str = "head.safetensors";
const EXAMPLES: &str = "examples.jsonl";
const TUNED: &str = "tuned.safetensors";
const CARD: &str = "README.md";
/// All that a classifier's folder may hold.
const PARTS: [&str; 5] = [MANIFEST, HEAD, EXAMPLES, TUNED, CARD];
/// What marks the folder as ours.
const FORMAT: &str = "fewshot-classifier";
/// The newest layout that this version reads.
const VERSION: u64 = 3;
/// The layout with whole tuned layers, which is read no more.
const VERSION_WHOLE_LAYERS: u64 = 2;
/// The layout without tuned layers, which the first version reads too.
const VERSION_FROZEN: u64 = 1;

/// `classifier.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Manifest {
    format: String,
    version: u64,
    /// The fewshot that wrote it.
    fewshot: String,
    labels: Vec<String>,
    encoder: EncoderIdentity,
    /// [`Encoder::settings_sha256`]; classifiers of before there was this field have none.
    #[serde(default)]
    settings_sha256: Option<String>,
    layers: LayerMix,
    width: usize,
    options: FitOptions,
    calibration: Calibration,
    #[serde(default)]
    seen: Seen,
    examples_per_label: BTreeMap<String, usize>,
    /// sha256 of each other part.
    files: BTreeMap<String, String>,
}

/// How a classifier is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaveOptions {
    /// Keep the examples in the folder; default true.
    pub examples: bool,
    /// Replace a classifier that is there; default false.
    pub overwrite: bool,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self {
            examples: true,
            overwrite: false,
        }
    }
}

impl FewShotClassifier {
    /// Writes the classifier to the folder `dir`.
    ///
    /// # Errors
    /// If `dir` exists and is not to be overwritten or holds something else than a classifier, or
    /// if it cannot be written; what was there before is then untouched. A process that is killed between the two
    /// renames of a replacement leaves both classifiers beside `dir`, whole, in folders that begin with `.fewshot-`.
    pub fn save(&self, dir: &Path, options: SaveOptions) -> Result<()> {
        check_free(dir, options.overwrite)?;
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| Path::new("."));
        let made = std::fs::create_dir_all(parent);
        made.map_err(|error| SaveError::writing(parent, error))?;
        let temporary = tempfile::Builder::new()
            .prefix(".fewshot-")
            .tempdir_in(parent)
            .map_err(|error| SaveError::writing(parent, error))?;
        self.write_parts(temporary.path(), options)?;
        put_in_place(temporary, dir, options.overwrite)?;
        Ok(())
    }

    fn write_parts(&self, dir: &Path, options: SaveOptions) -> Result<()> {
        let mut parts = vec![
            (HEAD, self.head_bytes()?),
            (CARD, card::write(self).into_bytes()),
        ];
        if options.examples {
            parts.push((EXAMPLES, example_lines(&self.examples)));
        }
        if let Some(tuned) = self.tuned() {
            let bytes = self.encoder.bytes_of(tuned, None);
            let failed = |error| SaveError::damaged(Path::new(TUNED), format!("{error}"));
            parts.push((TUNED, bytes.map_err(failed)?));
        }
        let mut files = BTreeMap::new();
        for (name, bytes) in &parts {
            write_synced(&dir.join(name), bytes)?;
            files.insert((*name).to_owned(), sha256(bytes));
        }
        // The card is for people, who may change it.
        files.remove(CARD);
        let manifest =
            serde_json::to_vec_pretty(&self.manifest(files)).map_err(std::io::Error::from);
        let manifest = manifest.map_err(|error| SaveError::writing(&dir.join(MANIFEST), error))?;
        write_synced(&dir.join(MANIFEST), &manifest)?;
        sync_folder(dir);
        Ok(())
    }

    fn manifest(&self, files: BTreeMap<String, String>) -> Manifest {
        let mut examples_per_label = BTreeMap::new();
        for example in &self.examples {
            *examples_per_label.entry(example.label.clone()).or_insert(0) += 1;
        }
        Manifest {
            format: FORMAT.to_owned(),
            version: match self.tuned() {
                Some(_) => VERSION,
                None => VERSION_FROZEN,
            },
            fewshot: env!("CARGO_PKG_VERSION").to_owned(),
            labels: self.labels().names().to_vec(),
            encoder: self.encoder().clone(),
            settings_sha256: Some(self.encoder.settings_sha256().to_owned()),
            layers: self.layers.clone(),
            width: self.vectors.width(),
            options: self.options.clone(),
            calibration: self.vectors.calibration,
            seen: self.seen,
            examples_per_label,
            files,
        }
    }

    fn head_bytes(&self) -> Result<Vec<u8>> {
        let mut tensors = self.vectors.head.tensors()?;
        let centre = &self.vectors.centre;
        let centre = Tensor::from_slice(centre, centre.len(), &Device::Cpu);
        tensors.insert("centre".to_owned(), centre.map_err(head::HeadError::from)?);
        let bytes = safetensors::serialize(&tensors, None);
        Ok(bytes.map_err(|error| SaveError::damaged(Path::new(HEAD), error.to_string()))?)
    }
}

fn example_lines(examples: &[Example]) -> Vec<u8> {
    let line = |example: &Example| {
        serde_json::json!({"text": example.text, "label": example.label}).to_string() + "\n"
    };
    examples.iter().map(line).collect::<String>().into_bytes()
}

/// A classifier's folder, checked, before its encoder is there.
pub struct SavedClassifier {
    dir: PathBuf,
    manifest: Manifest,
    vectors: VectorClassifier,
    examples: Vec<Example>,
    /// The bytes of [`TUNED`].
    tuned: Option<Vec<u8>>,
}

impl SavedClassifier {
    /// Reads and checks every part.
    ///
    /// # Errors
    /// If a part is missing, truncated, foreign, or of a newer version; the part is named.
    pub fn read(dir: &Path) -> Result<Self> {
        let manifest = read_manifest(dir)?;
        let head = read_part(dir, HEAD, &manifest)?;
        let tensors = candle_core::safetensors::load_buffer(&head, &Device::Cpu)
            .map_err(|error| SaveError::damaged(&dir.join(HEAD), error.to_string()))?;
        let vectors = vector_classifier(dir, &manifest, tensors.into_iter().collect())?;
        let examples = match manifest.files.contains_key(EXAMPLES) {
            true => read_examples(dir, &manifest)?,
            false => Vec::new(),
        };
        let tuned = match &manifest.encoder.tuned {
            Some(_) => Some(read_part(dir, TUNED, &manifest)?),
            None => None,
        };
        Ok(Self {
            dir: dir.to_owned(),
            manifest,
            vectors,
            examples,
            tuned,
        })
    }

    /// The encoder that it was trained with, to be loaded by the caller.
    #[must_use]
    pub fn encoder(&self) -> &EncoderIdentity {
        &self.manifest.encoder
    }

    /// The examples that it learned from.
    ///
    /// # Errors
    /// [`SaveError::NoExamples`] if they were left out.
    pub fn examples(&self) -> Result<&[Example], SaveError> {
        match self.examples.as_slice() {
            [] => Err(SaveError::NoExamples {
                path: self.dir.clone(),
            }),
            examples => Ok(examples),
        }
    }

    /// How it was fitted.
    #[must_use]
    pub fn options(&self) -> &FitOptions {
        &self.manifest.options
    }

    /// Whether it was trained with this encoder.
    ///
    /// # Errors
    /// If the encoder's weights, tokenizer or pooling are other ones.
    pub fn check_encoder(&self, encoder: &Encoder) -> Result<()> {
        let Manifest {
            encoder: expected,
            settings_sha256: settings,
            layers,
            width,
            ..
        } = &self.manifest;
        let found = encoder.identity();
        if found.sha256 != expected.sha256 || encoder.width() != *width {
            return Err(SaveError::OtherEncoder {
                path: self.dir.clone(),
                expected: expected.id.clone(),
                expected_sha256: expected.sha256.clone(),
                found: found.id.clone(),
                found_sha256: found.sha256.clone(),
            }
            .into());
        }
        if settings
            .as_ref()
            .is_some_and(|settings| settings != encoder.settings_sha256())
        {
            return Err(SaveError::OtherSettings {
                path: self.dir.clone(),
                encoder: found.id.clone(),
            }
            .into());
        }
        layers.indices(encoder.layers())?;
        Ok(())
    }

    /// Joins the classifier with its encoder.
    ///
    /// # Errors
    /// As [`check_encoder`](Self::check_encoder), and if its tuned layers do not fit.
    pub fn with_encoder(self, encoder: Arc<Encoder>) -> Result<FewShotClassifier> {
        self.check_encoder(&encoder)?;
        let Manifest {
            layers,
            options,
            seen,
            ..
        } = self.manifest;
        let encoder = match self.tuned {
            Some(bytes) => Arc::new(with_tuned(&encoder, &bytes, &self.dir.join(TUNED))?),
            None => encoder,
        };
        Ok(FewShotClassifier::from_parts(
            encoder,
            layers,
            self.vectors,
            options,
            self.examples,
            seen,
        ))
    }
}

fn with_tuned(encoder: &Encoder, bytes: &[u8], path: &Path) -> Result<Encoder, SaveError> {
    let encoder = encoder.with_tuned_bytes(bytes);
    encoder.map_err(|reason| SaveError::damaged(path, reason))
}

fn read_manifest(dir: &Path) -> Result<Manifest, SaveError> {
    let path = dir.join(MANIFEST);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !dir.is_dir() => {
            return Err(SaveError::NoFolder {
                path: dir.to_owned(),
            });
        }
        Err(error) => return Err(SaveError::reading(&path, error)),
    };
    // The mark and the version first: a newer version may have other fields.
    let damaged = |error: serde_json::Error| SaveError::damaged(&path, error.to_string());
    let mark: serde_json::Value = serde_json::from_str(&text).map_err(damaged)?;
    match (mark["format"].as_str(), mark["version"].as_u64()) {
        (Some(FORMAT), Some(VERSION_WHOLE_LAYERS)) => return Err(SaveError::WholeLayers { path }),
        (Some(FORMAT), Some(VERSION_FROZEN | VERSION)) => {}
        (Some(FORMAT), Some(found)) if found > VERSION => {
            return Err(SaveError::Newer {
                path,
                found,
                known: VERSION,
            });
        }
        _ => return Err(SaveError::Foreign { path }),
    }
    let manifest: Manifest = serde_json::from_str(&text).map_err(damaged)?;
    check_manifest(&path, manifest)
}

fn check_manifest(path: &Path, manifest: Manifest) -> Result<Manifest, SaveError> {
    let temperature = manifest.calibration.temperature;
    if LabelSet::new(manifest.labels.iter().cloned()).names() != manifest.labels {
        return Err(SaveError::damaged(
            path,
            "its labels are not sorted and distinct".to_owned(),
        ));
    }
    if manifest.labels.len() < 2 {
        return Err(SaveError::damaged(
            path,
            "it has fewer than two labels".to_owned(),
        ));
    }
    if !(temperature.is_finite() && temperature > 0.0) {
        return Err(SaveError::damaged(
            path,
            format!("its temperature is {temperature}"),
        ));
    }
    Ok(manifest)
}

fn read_part(dir: &Path, name: &str, manifest: &Manifest) -> Result<Vec<u8>, SaveError> {
    let path = dir.join(name);
    let Some(expected) = manifest.files.get(name) else {
        return Err(SaveError::damaged(
            &dir.join(MANIFEST),
            format!("it does not list {name}"),
        ));
    };
    let bytes = std::fs::read(&path).map_err(|error| SaveError::reading(&path, error))?;
    if sha256(&bytes) == *expected {
        return Ok(bytes);
    }
    Err(SaveError::damaged(
        &path,
        format!("its checksum is not the one in {MANIFEST}"),
    ))
}

fn vector_classifier(
    dir: &Path,
    manifest: &Manifest,
    tensors: Tensors,
) -> Result<VectorClassifier> {
    let labels = LabelSet::new(manifest.labels.iter().cloned());
    check_finite(&tensors).map_err(|reason| SaveError::damaged(&dir.join(HEAD), reason))?;
    let centre = tensors
        .get("centre")
        .and_then(|tensor| tensor.to_vec1::<f32>().ok());
    let centre = centre.filter(|centre| centre.len() == manifest.width);
    let Some(centre) = centre else {
        let reason = "its tensor `centre` is missing or has another shape".to_owned();
        return Err(SaveError::damaged(&dir.join(HEAD), reason).into());
    };
    let kind = manifest.options.head.kind;
    let head = head::load(kind, &tensors, manifest.width, labels.len())
        .map_err(|error| SaveError::damaged(&dir.join(HEAD), error.to_string()))?;
    Ok(VectorClassifier {
        labels,
        centre,
        head,
        calibration: manifest.calibration,
        support: None,
    })
}

/// A head with a NaN in it would give labels, and no probability.
fn check_finite(tensors: &Tensors) -> Result<(), String> {
    let finite = |tensor: &Tensor| {
        let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
        values.is_ok_and(|values| values.iter().all(|value| value.is_finite()))
    };
    match tensors.iter().find(|(_, tensor)| !finite(tensor)) {
        Some((name, _)) => Err(format!(
            "its tensor `{name}` holds something else than finite numbers"
        )),
        None => Ok(()),
    }
}

fn read_examples(dir: &Path, manifest: &Manifest) -> Result<Vec<Example>> {
    read_part(dir, EXAMPLES, manifest)?;
    let (dataset, _) = Dataset::read([dir.join(EXAMPLES)], None, &FieldNames::default())?;
    Ok(dataset.examples().to_vec())
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| SaveError::writing(path, error))
}

/// Makes a rename inside the folder last through a power failure, where the system can.
fn sync_folder(dir: &Path) {
    // Not every system can open a folder; the files themselves are synced.
    let _ = File::open(dir).and_then(|folder| folder.sync_all());
}

/// Checks that a classifier may be written to `dir`: it does not exist, is an empty folder, or
/// holds a classifier that may be replaced and nothing else.
///
/// # Errors
/// [`SaveError::Exists`], [`SaveError::NotAFolder`], [`SaveError::NoName`] or [`SaveError::OtherFiles`] otherwise.
pub fn check_free(dir: &Path, overwrite: bool) -> Result<(), SaveError> {
    let path = dir.to_owned();
    if dir.file_name().is_none() {
        return Err(SaveError::NoName { path });
    }
    // Asked once only: another command may move the folder away between two questions.
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(_) => return Err(SaveError::NotAFolder { path }),
    };
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    let foreign = |name: &&std::ffi::OsString| !PARTS.iter().any(|part| *name == part);
    let classifier = names.iter().any(|name| name == MANIFEST);
    // In a folder without a classifier even a README.md is somebody else's.
    let others = names.iter().find(|name| !classifier || foreign(name));
    match others {
        Some(file) => Err(SaveError::OtherFiles {
            path,
            file: file.to_string_lossy().into_owned(),
        }),
        None if classifier && !overwrite => Err(SaveError::Exists { path }),
        None => Ok(()),
    }
}

/// Another command may write the same folder meanwhile; with `overwrite` the last one wins.
const TRIES: usize = 100;

/// Renames the finished folder to its place. What was there is put aside first, and put back if
/// that fails.
fn put_in_place(
    temporary: tempfile::TempDir,
    dir: &Path,
    overwrite: bool,
) -> Result<(), SaveError> {
    let made = temporary.path().to_owned();
    let old = made.with_extension("old");
    for _ in 0..TRIES {
        let aside = overwrite && put_aside(dir, &old)?;
        match std::fs::rename(&made, dir) {
            Ok(()) => {
                // The folder has moved: there is nothing left under the temporary name to remove.
                let _ = temporary.keep();
                dir.parent().into_iter().for_each(sync_folder);
                return remove(&old);
            }
            Err(error) if is_taken(&error) => {
                remove(&old)?;
                if !overwrite {
                    break;
                }
            }
            Err(error) => {
                if aside {
                    std::fs::rename(&old, dir).map_err(|error| SaveError::writing(dir, error))?;
                }
                return Err(SaveError::writing(dir, error));
            }
        }
    }
    Err(SaveError::Exists {
        path: dir.to_owned(),
    })
}

/// Moves a classifier away; false if there is none, or another command was faster.
fn put_aside(dir: &Path, old: &Path) -> Result<bool, SaveError> {
    if !dir.join(MANIFEST).exists() {
        return Ok(false);
    }
    match std::fs::rename(dir, old) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(SaveError::writing(dir, error)),
    }
}

fn is_taken(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{AlreadyExists, DirectoryNotEmpty};
    matches!(error.kind(), DirectoryNotEmpty | AlreadyExists)
}

fn remove(old: &Path) -> Result<(), SaveError> {
    match std::fs::remove_dir_all(old) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(SaveError::writing(old, error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes and puts in place a folder that stands for a classifier.
    fn put(dir: &Path, overwrite: bool) -> Result<(), SaveError> {
        let parent = dir.parent().expect("a folder in a folder");
        let temporary = tempfile::tempdir_in(parent).expect("a folder");
        std::fs::write(temporary.path().join(MANIFEST), "{}").expect("written");
        put_in_place(temporary, dir, overwrite)
    }

    #[test]
    fn writers_that_overwrite_each_other_all_succeed() {
        let parent = tempfile::tempdir().expect("a folder");
        let dir = parent.path().join("saved");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..200).for_each(|_| put(&dir, true).expect("put in place")));
            }
        });
        let left: Vec<_> = std::fs::read_dir(parent.path()).expect("there").collect();
        assert!(left.len() == 1 && dir.join(MANIFEST).exists(), "{left:?}");
    }

    #[test]
    fn without_overwriting_the_first_one_stays() {
        let parent = tempfile::tempdir().expect("a folder");
        let dir = parent.path().join("saved");
        put(&dir, false).expect("put in place");
        assert!(matches!(put(&dir, false), Err(SaveError::Exists { .. })));
        assert!(dir.join(MANIFEST).exists());
    }
}
