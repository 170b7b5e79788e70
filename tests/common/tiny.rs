//! Models of a few bytes, in memory, in a folder, and in a cache as Python writes it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use sha1::Digest;

pub type Files = BTreeMap<String, Vec<u8>>;

pub const CONFIG: &str = r#"{"model_type":"bert","hidden_size":4}"#;
pub const MODULES: &str = r#"[
  {"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},
  {"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"}]"#;

/// All files of a small sound model; `seed` changes its weights.
pub fn model(seed: u8) -> Files {
    let data = vec![seed; 64 * 1024];
    let tensor = TensorView::new(Dtype::F32, vec![data.len() / 4], &data).unwrap();
    let weights = safetensors::serialize([("embeddings", tensor)], None).unwrap();
    let mut files = Files::new();
    let mut add = |name: &str, contents: &[u8]| files.insert(name.to_owned(), contents.to_vec());
    add("config.json", CONFIG.as_bytes());
    add("tokenizer.json", b"{}");
    add("model.safetensors", &weights);
    add("modules.json", MODULES.as_bytes());
    add("sentence_bert_config.json", br#"{"max_seq_length":8}"#);
    add(
        "1_Pooling/config.json",
        br#"{"pooling_mode_mean_tokens":true}"#,
    );
    files
}

pub fn write_folder(dir: &Path, files: &Files) {
    for (name, contents) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
}

/// Writes a model into a cache the way Python's `huggingface_hub` does.
pub fn write_cache(cache: &Path, id: &str, commit: &str, files: &Files) -> PathBuf {
    let root = cache.join(format!("models--{}", id.replace('/', "--")));
    let snapshot = root.join("snapshots").join(commit);
    for (name, contents) in files {
        let blob = etag(name, contents);
        fs::create_dir_all(root.join("blobs")).unwrap();
        fs::write(root.join("blobs").join(&blob), contents).unwrap();
        let link = snapshot.join(name);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        let up = "../".repeat(2 + name.matches('/').count());
        std::os::unix::fs::symlink(format!("{up}blobs/{blob}"), link).unwrap();
    }
    fs::create_dir_all(root.join("refs")).unwrap();
    fs::write(root.join("refs/main"), commit).unwrap();
    snapshot
}

/// The name of a file's blob: SHA-256 of large files, git's SHA-1 of the others.
pub fn etag(name: &str, contents: &[u8]) -> String {
    if name.ends_with(".safetensors") {
        return sha256(contents);
    }
    let head = format!("blob {}\0", contents.len());
    hex(&sha1::Sha1::digest([head.as_bytes(), contents].concat()))
}

pub fn sha256(contents: &[u8]) -> String {
    hex(&sha2::Sha256::digest(contents))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
