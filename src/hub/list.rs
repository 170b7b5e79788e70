//! What is in the cache.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::check::{CONFIG, MODULES, REQUIRED, pooling_config, read_config};
use super::{HubError, HubOptions};

/// One revision of something in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedModel {
    /// `model`, or `dataset`, `space`, … for what other tools cached.
    pub kind: String,
    /// The hub's id, such as `org/name`.
    pub id: String,
    /// Branches and tags that mean this commit.
    pub refs: Vec<String>,
    /// The commit; `None` if there is a folder but no snapshot in it.
    pub commit: Option<String>,
    /// The snapshot, or the entry's folder if it has none.
    pub dir: PathBuf,
    /// Bytes its files take; a blob that two revisions share counts for both.
    /// Without a snapshot, the bytes of all blobs.
    pub size_bytes: u64,
    /// `model_type` of its `config.json`.
    pub model_type: Option<String>,
    /// Width of its embeddings (`hidden_size`).
    pub width: Option<usize>,
    /// Whether all files an encoder needs are there. Their contents are not
    /// checked here, and the model type may still be unsupported.
    pub complete: bool,
}

/// Lists the cache, by kind and id. No network, nothing is changed.
///
/// # Errors
/// If the cache exists but cannot be read. An entry that is no model, or is
/// broken, is listed with what is known of it.
pub fn list(options: &HubOptions) -> Result<Vec<CachedModel>, HubError> {
    let cache = options.cache_dir();
    let entries = match fs::read_dir(&cache) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(HubError::io(&cache, e)),
    };
    let mut found: Vec<_> = entries
        .flatten()
        .flat_map(|entry| revisions(&entry.path()))
        .collect();
    let key = |m: &CachedModel| (m.kind.clone(), m.id.clone(), m.commit.clone());
    found.sort_by_key(key);
    Ok(found)
}

/// `models--org--name` as (`model`, `org/name`).
fn parse_folder(path: &Path) -> Option<(String, String)> {
    let (kind, id) = path.file_name()?.to_str()?.split_once("--")?;
    Some((kind.strip_suffix('s')?.to_owned(), id.replace("--", "/")))
}

fn revisions(root: &Path) -> Vec<CachedModel> {
    let Some((kind, id)) = parse_folder(root).filter(|_| root.is_dir()) else {
        return Vec::new();
    };
    let mut refs = HashMap::new();
    collect_refs(&root.join("refs"), "", &mut refs);
    let snapshots: Vec<_> = subfolders(&root.join("snapshots"));
    let mut found: Vec<_> = snapshots
        .into_iter()
        .map(|dir| describe(kind.clone(), id.clone(), dir, &mut refs))
        .collect();
    if found.is_empty() {
        found.push(without_snapshot(kind, id, root));
    }
    found
}

fn describe(
    kind: String,
    id: String,
    dir: PathBuf,
    refs: &mut HashMap<String, Vec<String>>,
) -> CachedModel {
    let commit = dir.file_name().map(|n| n.to_string_lossy().into_owned());
    let config = read_config(&dir.join(CONFIG)).unwrap_or_default();
    let mut refs = commit
        .as_ref()
        .and_then(|c| refs.remove(c))
        .unwrap_or_default();
    refs.sort();
    CachedModel {
        size_bytes: size_of(&dir, &mut HashSet::new()),
        complete: kind == "model" && is_complete(&dir),
        model_type: config.model_type,
        width: config.hidden_size,
        kind,
        id,
        refs,
        commit,
        dir,
    }
}

fn without_snapshot(kind: String, id: String, root: &Path) -> CachedModel {
    CachedModel {
        kind,
        id,
        refs: Vec::new(),
        commit: None,
        dir: root.to_path_buf(),
        size_bytes: size_of(&root.join("blobs"), &mut HashSet::new()),
        model_type: None,
        width: None,
        complete: false,
    }
}

fn is_complete(dir: &Path) -> bool {
    let pooling = pooling_config(&dir.join(MODULES));
    // A link whose blob is gone does not exist.
    REQUIRED.iter().all(|file| dir.join(file).exists())
        && pooling.is_none_or(|p| dir.join(p).exists())
}

fn subfolders(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|e| e.path()).filter(|p| p.is_dir()).collect()
}

/// Commit → names; a name may have slashes, such as `refs/pr/1`.
fn collect_refs(dir: &Path, prefix: &str, refs: &mut HashMap<String, Vec<String>>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect_refs(&entry.path(), &format!("{name}/"), refs);
        } else if let Ok(commit) = fs::read_to_string(entry.path()) {
            refs.entry(commit.trim().to_owned()).or_default().push(name);
        }
    }
}

/// Bytes of all files below, each blob once.
fn size_of(dir: &Path, seen: &mut HashSet<PathBuf>) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| size_of_entry(&entry, seen)).sum()
}

fn size_of_entry(entry: &fs::DirEntry, seen: &mut HashSet<PathBuf>) -> u64 {
    // Links to folders are not followed: they may lead in a circle.
    if entry.file_type().is_ok_and(|t| t.is_dir()) {
        return size_of(&entry.path(), seen);
    }
    let Ok(blob) = fs::canonicalize(entry.path()) else {
        return 0;
    };
    let bytes = fs::metadata(&blob).map_or(0, |m| if m.is_file() { m.len() } else { 0 });
    if seen.insert(blob) { bytes } else { 0 }
}
