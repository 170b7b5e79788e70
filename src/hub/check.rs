//! Is a file what it should be: checksum, safetensors header, model type.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::tensor::Metadata;
use serde::Deserialize;
use sha1::{Digest, Sha1};

use super::HubError;
use super::stamp::{Stamps, each_chunk, hex, is_hex};

pub(super) const CONFIG: &str = "config.json";
pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const MODULES: &str = "modules.json";
/// Only safetensors' own limit; a longer header is a broken file.
const MAX_HEADER: u64 = 100_000_000;

/// Without these there is no encoder.
pub(super) const REQUIRED: [&str; 3] = [CONFIG, TOKENIZER, WEIGHTS];
/// Taken along if they exist.
pub(super) const OPTIONAL: [&str; 5] = [
    MODULES,
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
];
/// `model_type` of the encoders this crate has.
pub(super) const SUPPORTED_TYPES: [&str; 2] = ["bert", "mpnet"];

/// The part of `config.json` read here.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ModelConfig {
    pub(super) model_type: Option<String>,
    pub(super) hidden_size: Option<usize>,
}

pub(super) fn read_config(path: &Path) -> Result<ModelConfig, HubError> {
    let text = fs::read(path).map_err(|e| HubError::io(path, e))?;
    serde_json::from_slice(&text).map_err(|e| bad_config(path, e.to_string()))
}

/// An error if `config.json` names no encoder of ours.
pub(super) fn check_model_type(path: &Path) -> Result<(), HubError> {
    match read_config(path)?.model_type {
        Some(found) if SUPPORTED_TYPES.contains(&found.as_str()) => Ok(()),
        Some(found) => Err(HubError::UnsupportedModelType {
            path: path.to_path_buf(),
            found,
        }),
        None => Err(bad_config(path, "it names no model_type".into())),
    }
}

/// An error if the file holds no JSON object.
pub(super) fn check_json_object(path: &Path) -> Result<(), HubError> {
    let text = fs::read(path).map_err(|e| HubError::io(path, e))?;
    let value: serde_json::Value =
        serde_json::from_slice(&text).map_err(|e| bad_config(path, e.to_string()))?;
    let not_object = || bad_config(path, "it is not a JSON object".into());
    value.is_object().then_some(()).ok_or_else(not_object)
}

fn bad_config(path: &Path, reason: String) -> HubError {
    HubError::BadConfig {
        path: path.to_path_buf(),
        reason,
    }
}

#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// The pooling folder's `config.json` that `modules.json` names, usually `1_Pooling/config.json`.
pub(super) fn pooling_config(modules: &Path) -> Option<String> {
    let text = fs::read(modules).ok()?;
    let modules: Vec<Module> = serde_json::from_slice(&text).ok()?;
    let pooling = modules.into_iter().find(|m| m.kind.ends_with("Pooling"))?;
    // The name comes from outside: it must not lead out of the model's folder.
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let safe = !pooling.path.is_empty()
        && !pooling.path.starts_with('.')
        && pooling.path.chars().all(plain);
    safe.then(|| format!("{}/{CONFIG}", pooling.path))
}

/// Checks the weights' header against the file's length; the numbers are not read.
pub(super) fn check_weights(path: &Path) -> Result<(), HubError> {
    let bad = |reason: String| HubError::BadWeights {
        path: path.to_path_buf(),
        reason,
    };
    let (header, length) = read_header(path)?;
    let meta: Metadata = serde_json::from_slice(&header).map_err(|e| bad(e.to_string()))?;
    let expected = 8 + header.len() as u64 + meta.data_len() as u64;
    match length {
        n if n < expected => Err(truncated(path, expected, n)),
        n if n > expected => Err(bad(format!("{n} bytes, its header describes {expected}"))),
        _ => Ok(()),
    }
}

/// The JSON header, and the file's length in bytes.
fn read_header(path: &Path) -> Result<(Vec<u8>, u64), HubError> {
    let io = |e| HubError::io(path, e);
    let mut file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    if length < 8 {
        return Err(truncated(path, 8, length));
    }
    let mut size = [0; 8];
    file.read_exact(&mut size).map_err(io)?;
    let size = u64::from_le_bytes(size);
    if size > MAX_HEADER {
        let reason = format!("header of {size} bytes");
        return Err(HubError::BadWeights {
            path: path.to_path_buf(),
            reason,
        });
    }
    if length < 8 + size {
        return Err(truncated(path, 8 + size, length));
    }
    let mut header = vec![0; size as usize];
    file.read_exact(&mut header).map_err(io)?;
    Ok((header, length))
}

pub(super) fn truncated(path: &Path, expected: u64, got: u64) -> HubError {
    HubError::Truncated {
        path: path.to_path_buf(),
        expected,
        got,
    }
}

/// The name git gives a file's contents: SHA-1 of `blob {length}\0` and the contents.
pub(super) fn git_sha1(path: &Path) -> std::io::Result<String> {
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", fs::metadata(path)?.len()));
    each_chunk(path, |chunk| hasher.update(chunk))?;
    Ok(hex(&hasher.finalize()))
}

/// The checksum a cached file promises: the name of the blob its link leads to.
pub(super) fn promised_checksum(path: &Path) -> Option<String> {
    let blob: PathBuf = fs::read_link(path).ok()?;
    let name = blob.file_name()?.to_str()?;
    (is_hex(name, 40) || is_hex(name, 64)).then(|| name.to_ascii_lowercase())
}

/// Checks a cached file against its blob's name, and weights against their header.
///
/// `length` is what the hub announced; it only decides how a wrong file is named.
/// Plain copies (no symlinks, as on Windows) and unusual names promise nothing.
pub(super) fn check_cached(
    path: &Path,
    length: Option<u64>,
    stamps: &Stamps,
) -> Result<(), HubError> {
    let got_length = fs::metadata(path).map_err(|e| HubError::io(path, e))?.len();
    let Some(expected) = promised_checksum(path) else {
        return check_length(path, length, got_length).and_then(|()| check_format(path));
    };
    let hash = if expected.len() == 64 {
        stamps.sha256(path)
    } else {
        git_sha1(path)
    };
    let got = hash.map_err(|e| HubError::io(path, e))?;
    if got == expected {
        return check_format(path);
    }
    check_length(path, length, got_length)?;
    check_format(path)?;
    Err(HubError::ChecksumMismatch {
        path: path.to_path_buf(),
        expected,
        got,
    })
}

fn check_format(path: &Path) -> Result<(), HubError> {
    if path.ends_with(WEIGHTS) {
        check_weights(path)
    } else {
        Ok(())
    }
}

fn check_length(path: &Path, expected: Option<u64>, got: u64) -> Result<(), HubError> {
    match expected {
        Some(expected) if got < expected => Err(truncated(path, expected, got)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &Path, name: &str, contents: &[u8]) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, contents).unwrap();
        path
    }

    #[test]
    fn git_names_are_gits() {
        let dir = tempfile::tempdir().unwrap();
        // printf 'hello\n' | git hash-object --stdin
        let path = file(dir.path(), "x", b"hello\n");
        assert_eq!(
            git_sha1(&path).unwrap(),
            "ce013625030ba8dba906f756967f9e9ca394464a"
        );
    }

    #[test]
    fn pooling_folder_is_read_but_never_leaves_the_model() {
        let dir = tempfile::tempdir().unwrap();
        let modules = |path: &str| {
            let text = format!(
                r#"[{{"idx":1,"name":"1","path":"{path}","type":"sentence_transformers.models.Pooling"}}]"#
            );
            pooling_config(&file(dir.path(), MODULES, text.as_bytes()))
        };
        assert_eq!(
            modules("1_Pooling").as_deref(),
            Some("1_Pooling/config.json")
        );
        for bad in ["../x", "/etc", "", "a/../../b", ".."] {
            assert_eq!(modules(bad), None, "{bad}");
        }
        assert_eq!(
            pooling_config(&file(dir.path(), MODULES, b"not json")),
            None
        );
    }

    #[test]
    fn weights_are_measured_against_their_header() {
        let dir = tempfile::tempdir().unwrap();
        let header = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        let mut whole = (header.len() as u64).to_le_bytes().to_vec();
        whole.extend_from_slice(header);
        whole.extend_from_slice(&[0; 8]);
        let check = |bytes: &[u8]| check_weights(&file(dir.path(), WEIGHTS, bytes));
        assert!(check(&whole).is_ok());
        for cut in [0, 4, 20, whole.len() - 1] {
            assert!(
                matches!(check(&whole[..cut]), Err(HubError::Truncated { .. })),
                "{cut}"
            );
        }
        assert!(matches!(
            check(&[whole.as_slice(), b"x"].concat()),
            Err(HubError::BadWeights { .. })
        ));
        assert!(matches!(
            check(&[0xff; 40]),
            Err(HubError::BadWeights { .. })
        ));
        assert!(matches!(
            check(b"\x04\0\0\0\0\0\0\0junk"),
            Err(HubError::BadWeights { .. })
        ));
    }
}
