//! Copies a folder into the cache, as if it had been downloaded.
//!
//! Blobs first, then the snapshot, the reference last; each under a temporary
//! name, synced and renamed. A crash at any point leaves either the model as
//! it was before or the whole new one.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};

use super::cache::{Repo, sync_dir, temporary_file};
use super::cached::Cached;
use super::check::{WEIGHTS, git_sha1};
use super::folder::check_importable;
use super::source::check_id;
use super::stamp::{Stamps, hex, sha256_file};
use super::{HubError, HubOptions, MAIN, ModelFiles};

/// Files above this many bytes are named by SHA-256, as the hub's large files are.
const LARGE: u64 = 10 * 1024 * 1024;
/// Folders within folders: a model has one level, `1_Pooling/`.
const MAX_DEPTH: usize = 3;

/// One file to import.
struct Item {
    /// Relative to the folder, with `/`.
    name: String,
    source: PathBuf,
    /// Name of its blob: the checksum of its contents.
    blob: String,
}

/// Copies a folder into the cache as `id`, branch `main`.
///
/// Taken are `.json`, `.txt`, `.model` and `.safetensors` files, `README.md`
/// and `LICENSE*`, in the folder and its subfolders; nothing that could be
/// pickled. The commit is derived from the contents: the same folder gives the
/// same commit and changes nothing, another one becomes a new commit that
/// `main` then means. No network is used.
///
/// # Errors
/// If `id` is malformed, or the folder lacks a supported `config.json`, a JSON
/// `tokenizer.json` or sound weights; or the cache cannot be written.
pub fn import(dir: &Path, id: &str, options: &HubOptions) -> Result<ModelFiles, HubError> {
    check_id(id)?;
    check_importable(dir)?;
    let repo = Repo::new(options.cache_dir(), id);
    let stamps = Stamps::new(options.verified_dir(), false);
    let items = collect(dir, &stamps)?;
    let commit = commit_of(&items);
    let _lock = repo.lock(options.stall_timeout * 2)?;
    store(&repo, &items, &commit, &stamps)?;
    repo.write_ref(MAIN, &commit)?;
    Cached::inspect(&repo, MAIN, &stamps)?.into_files(&repo, MAIN, &stamps)
}

/// The useful files below a folder, in the order of their names.
fn collect(dir: &Path, stamps: &Stamps) -> Result<Vec<Item>, HubError> {
    let mut names = Vec::new();
    walk(dir, "", 0, &mut names).map_err(|e| HubError::io(dir, e))?;
    names.sort();
    names
        .into_iter()
        .map(|name| item(dir, name, stamps))
        .collect()
}

fn walk(dir: &Path, prefix: &str, depth: usize, names: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        // Hidden folders hold git's and download tools' own files.
        if name.starts_with('.') {
            continue;
        }
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            if depth < MAX_DEPTH {
                walk(&entry.path(), &format!("{path}/"), depth + 1, names)?;
            }
        } else if is_useful(&name) && entry.path().is_file() {
            names.push(path);
        }
    }
    Ok(())
}

fn is_useful(name: &str) -> bool {
    let known = [".json", ".txt", ".model", ".safetensors"];
    name == "README.md"
        || name.starts_with("LICENSE")
        || known.iter().any(|end| name.ends_with(end))
}

fn item(dir: &Path, name: String, stamps: &Stamps) -> Result<Item, HubError> {
    let source = dir.join(&name);
    let hash = || {
        let large = name == WEIGHTS || fs::metadata(&source)?.len() > LARGE;
        if large {
            stamps.sha256(&source)
        } else {
            git_sha1(&source)
        }
    };
    let blob = hash().map_err(|e| HubError::io(&source, e))?;
    Ok(Item { name, source, blob })
}

/// 40 hexadecimal digits that only depend on names and contents.
fn commit_of(items: &[Item]) -> String {
    let mut hasher = Sha1::new();
    for item in items {
        hasher.update(format!("{}\0{}\n", item.name, item.blob));
    }
    hex(&hasher.finalize())
}

fn store(repo: &Repo, items: &[Item], commit: &str, stamps: &Stamps) -> Result<(), HubError> {
    let blobs = repo.blobs();
    let io = |e| HubError::io(&repo.root(), e);
    fs::create_dir_all(&blobs).map_err(io)?;
    for item in items {
        store_blob(&blobs, item, stamps)?;
    }
    sync_dir(&blobs).map_err(io)?;
    store_snapshot(repo, items, commit).map_err(io)
}

fn store_blob(blobs: &Path, item: &Item, stamps: &Stamps) -> Result<(), HubError> {
    let path = blobs.join(&item.blob);
    let large = item.blob.len() == 64;
    let found = if large {
        stamps.sha256(&path)
    } else {
        git_sha1(&path)
    };
    if found.is_ok_and(|found| found == item.blob) {
        return Ok(());
    }
    let mut file = temporary_file(blobs).map_err(|e| HubError::io(blobs, e))?;
    copy(&item.source, file.as_file_mut())
        .map_err(|(path, e)| HubError::io(path.unwrap_or(blobs), e))?;
    // The folder may have changed since it was hashed.
    let got = if large {
        sha256_file(file.path())
    } else {
        git_sha1(file.path())
    };
    let got = got.map_err(|e| HubError::io(file.path(), e))?;
    if got != item.blob {
        let (path, expected) = (item.source.clone(), item.blob.clone());
        return Err(HubError::ChecksumMismatch {
            path,
            expected,
            got,
        });
    }
    file.persist(&path)
        .map_err(|e| HubError::io(&path, e.error))?;
    Ok(())
}

/// Copies and syncs; an error of reading comes with the path that was read.
fn copy<'a>(from: &'a Path, to: &mut File) -> Result<(), (Option<&'a Path>, io::Error)> {
    let mut source = File::open(from).map_err(|e| (Some(from), e))?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match source.read(&mut buffer).map_err(|e| (Some(from), e))? {
            0 => break,
            n => to.write_all(&buffer[..n]).map_err(|e| (None, e))?,
        }
    }
    to.sync_all().map_err(|e| (None, e))
}

/// Builds the snapshot beside its place, then renames it, or, if there is one
/// already, each of its links.
fn store_snapshot(repo: &Repo, items: &[Item], commit: &str) -> io::Result<()> {
    let staging = tempfile::Builder::new()
        .prefix(".import-")
        .tempdir_in(repo.root())?;
    open_to_others(staging.path())?;
    for item in items {
        let link = staging.path().join(&item.name);
        let parent = link.parent().unwrap_or(staging.path());
        fs::create_dir_all(parent)?;
        link_to_blob(&repo.blobs(), item, &link)?;
        sync_dir(parent)?;
    }
    let snapshot = repo.snapshot(commit);
    let snapshots = snapshot.parent().unwrap_or(&snapshot);
    fs::create_dir_all(snapshots)?;
    if !snapshot.exists() {
        fs::rename(staging.path(), &snapshot)?;
        return sync_dir(snapshots);
    }
    for item in items {
        let target = snapshot.join(&item.name);
        fs::create_dir_all(target.parent().unwrap_or(&snapshot))?;
        fs::rename(staging.path().join(&item.name), target)?;
    }
    sync_dir(&snapshot)
}

/// Undoes tempfile's 0700, which would shut others out of a shared cache.
fn open_to_others(dir: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let _ = dir;
    Ok(())
}

/// A relative link, so that the cache may be moved; a copy where there are no links.
fn link_to_blob(blobs: &Path, item: &Item, link: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let up = "../".repeat(2 + item.name.matches('/').count());
        if std::os::unix::fs::symlink(format!("{up}blobs/{}", item.blob), link).is_ok() {
            return Ok(());
        }
    }
    fs::copy(blobs.join(&item.blob), link)?;
    File::options().write(true).open(link)?.sync_all()
}
