//! Model id or folder → files on disk.
//!
//! Models are kept in the standard Hugging Face cache, shared with Python both
//! ways. A model that is cached whole is used without a single request, online
//! too; [`HubOptions::refresh`] asks the hub for a newer commit. Every file is
//! checked against the checksum the hub names it by before it is used, and
//! pickled weights are refused.
//!
//! ```no_run
//! use fewshot::hub::{HubOptions, resolve};
//!
//! let files = resolve("sentence-transformers/all-mpnet-base-v2", &HubOptions::from_env())?;
//! println!("{} (sha256 {})", files.weights.display(), files.weights_sha256);
//! # Ok::<(), fewshot::hub::HubError>(())
//! ```

mod cache;
mod cached;
mod check;
mod download;
mod error;
mod folder;
mod import;
mod list;
mod options;
mod source;
mod stamp;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use cache::Repo;
use cached::Cached;
use source::Source;
use stamp::Stamps;
pub(crate) use stamp::hex;

pub use error::{Cause, HubError};
pub use import::import;
pub use list::{CachedModel, list};
pub(crate) use options::fewshot_cache;
pub use options::{HubOptions, Progress, ProgressFn};

/// The branch meant when no revision is named.
const MAIN: &str = "main";

/// A model's files on disk, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFiles {
    /// The model as the person named it.
    pub id: String,
    /// The folder: a snapshot in the cache, or the local folder.
    pub dir: PathBuf,
    /// The commit, 40 hexadecimal digits; `None` for a local folder.
    pub commit: Option<String>,
    /// `model.safetensors` in that folder.
    pub weights: PathBuf,
    /// SHA-256 of the weights, hexadecimal.
    pub weights_sha256: String,
    /// What the person should know, one sentence each: wrong files that were
    /// fetched again, settings that are missing or ignored.
    pub warnings: Vec<String>,
}

/// Makes sure that a model's files are on disk and sound.
///
/// `model` is a folder if it exists as one or starts with `.`, `/` or `~/`,
/// otherwise a hub id such as `org/name`. Needed are `config.json` of a
/// supported type, `tokenizer.json` and `model.safetensors`; the settings of
/// sentence-transformers come along if they exist. With
/// [`HubOptions::offline`], or if the cache holds the revision whole and
/// [`HubOptions::refresh`] is off, no request is made.
///
/// # Errors
/// Any [`HubError`]: a name that is neither folder nor id, no such model or
/// revision, no access, no network, a missing, truncated or altered file, an
/// unsupported model type, a full or forbidden disk. A wrong file in the cache
/// is removed; online it is fetched again once, with a warning.
pub fn resolve(model: &str, options: &HubOptions) -> Result<ModelFiles, HubError> {
    match Source::parse(model)? {
        Source::Folder(dir) => folder::open(model, dir, options),
        Source::Id(id) => resolve_id(&id, options),
    }
}

fn resolve_id(id: &str, options: &HubOptions) -> Result<ModelFiles, HubError> {
    let repo = Repo::new(options.cache_dir(), id);
    let revision = options.revision.as_deref().unwrap_or(MAIN);
    source::check_revision(revision)?;
    if options.refresh && !options.offline {
        return fetch_locked(&repo, revision, options);
    }
    let stamps = Stamps::new(options.verified_dir(), options.refresh);
    let found = Cached::inspect(&repo, revision, &stamps)?;
    if options.offline {
        remove_bad_offline(&found, &repo, revision, &stamps);
        return found.into_files(&repo, revision, &stamps);
    }
    if found.is_whole() {
        return found.into_files(&repo, revision, &stamps);
    }
    fetch_locked(&repo, revision, options)
}

/// Best effort, as the cache may be read-only: the file is refused in any case.
fn remove_bad_offline(found: &Cached, repo: &Repo, revision: &str, stamps: &Stamps) {
    if found.bad.is_empty() {
        return;
    }
    let Ok(_lock) = repo.lock(Duration::ZERO) else {
        return;
    };
    if let Ok(mut again) = Cached::inspect(repo, revision, stamps) {
        let _ = again.remove_bad(repo);
    }
}

/// Fetches what is missing, one process at a time.
fn fetch_locked(repo: &Repo, revision: &str, options: &HubOptions) -> Result<ModelFiles, HubError> {
    // The other process is given up later than it gives up itself.
    let _lock = repo.lock(options.stall_timeout * 2)?;
    // A refresh hashes each file as it is fetched, so once is enough.
    let stamps = Stamps::new(options.verified_dir(), false);
    // Another process may have finished meanwhile, so look again.
    let mut found = Cached::inspect(repo, revision, &stamps)?;
    let mut warnings = found.remove_bad(repo)?;
    if !(warnings.is_empty() && found.is_whole()) || options.refresh {
        download::fetch(repo, revision, options, &mut warnings)?;
    }
    let found = Cached::inspect(repo, revision, &stamps)?;
    let mut files = found.into_files(repo, revision, &stamps)?;
    files.warnings.splice(0..0, warnings);
    Ok(files)
}
