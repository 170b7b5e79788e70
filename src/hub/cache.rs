//! The Hugging Face cache on disk, as Python's `huggingface_hub` lays it out:
//! `models--org--name/{blobs,refs,snapshots}`, snapshots being links to blobs.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::HubError;
use super::stamp::is_hex;

/// How often a waiting process looks whether the lock is free.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// One model's place in the cache.
#[derive(Debug, Clone)]
pub(super) struct Repo {
    pub(super) id: String,
    pub(super) cache: PathBuf,
    folder: String,
}

impl Repo {
    /// `id` must have passed [`super::source::check_id`].
    pub(super) fn new(cache: PathBuf, id: &str) -> Self {
        let folder = format!("models--{}", id.replace('/', "--"));
        Self {
            id: id.to_owned(),
            cache,
            folder,
        }
    }

    pub(super) fn root(&self) -> PathBuf {
        self.cache.join(&self.folder)
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.root().join("blobs")
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.root().join("snapshots").join(commit)
    }

    fn no_exist(&self, commit: &str, file: &str) -> PathBuf {
        self.root().join(".no_exist").join(commit).join(file)
    }

    /// The commit a revision stands for here, without asking the hub.
    pub(super) fn commit_of(&self, revision: &str) -> Option<String> {
        if is_hex(revision, 40) {
            return Some(revision.to_owned());
        }
        let commit = fs::read_to_string(self.root().join("refs").join(revision)).ok()?;
        let commit = commit.trim();
        is_hex(commit, 40).then(|| commit.to_owned())
    }

    /// Points a revision at a commit; a reader sees the old or the new one, never half.
    pub(super) fn write_ref(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        let path = self.root().join("refs").join(revision);
        // The temporary file lies outside refs/, where Python would take it for a revision.
        write_atomically(&self.root(), &path, commit.as_bytes()).map_err(|e| HubError::io(&path, e))
    }

    /// Remembers, as Python does, that the commit has no such file.
    pub(super) fn mark_absent(&self, commit: &str, file: &str) {
        let path = self.no_exist(commit, file);
        // Best effort: without the mark the hub is only asked again.
        let _ = path.parent().map(fs::create_dir_all);
        let _ = fs::write(path, b"");
    }

    pub(super) fn is_absent(&self, commit: &str, file: &str) -> bool {
        self.no_exist(commit, file).exists()
    }

    fn lock_file(&self) -> PathBuf {
        self.cache
            .join(".locks")
            .join(&self.folder)
            .join("fewshot.lock")
    }

    fn open_lock(&self) -> Result<File, HubError> {
        let path = self.lock_file();
        let open = || {
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            File::create(&path)
        };
        open().map_err(|e| HubError::io(&path, e))
    }

    /// The lock under which fewshot changes this model, until the file is dropped.
    ///
    /// hf-hub has a lock for each blob, but gives up after ten seconds, which
    /// a large download exceeds. Here the second process waits as long as the
    /// blobs still grow, or for `patience` if they do not.
    pub(super) fn lock(&self, patience: Duration) -> Result<File, HubError> {
        let file = self.open_lock()?;
        let (mut size, mut since) = (self.blob_bytes(), Instant::now());
        while !self.try_lock(&file)? {
            std::thread::sleep(LOCK_POLL);
            let now = self.blob_bytes();
            if now != size {
                (size, since) = (now, Instant::now());
            } else if since.elapsed() >= patience {
                return Err(HubError::CacheBusy {
                    path: self.lock_file(),
                });
            }
        }
        Ok(file)
    }

    fn try_lock(&self, file: &File) -> Result<bool, HubError> {
        match file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(e)) => Err(HubError::io(&self.lock_file(), e)),
        }
    }

    pub(super) fn blob_bytes(&self) -> u64 {
        let files = fs::read_dir(self.blobs()).into_iter().flatten().flatten();
        files
            .filter_map(|f| f.metadata().ok())
            .map(|m| m.len())
            .sum()
    }

    /// Removes a wrong file: its blob, and every link to it in any snapshot.
    /// To be called under [`Repo::lock`].
    pub(super) fn remove(&self, path: &Path) -> Result<(), HubError> {
        let blobs = self.blobs();
        let target = fs::read_link(path).ok();
        let blob = target.and_then(|t| Some(blobs.join(t.file_name()?)));
        remove_if_there(path)?;
        let Some(blob) = blob else { return Ok(()) };
        remove_if_there(&blob)?;
        for link in links(&self.root().join("snapshots")) {
            let dangling = fs::read_link(&link).is_ok_and(|t| t.file_name() == blob.file_name());
            if dangling {
                remove_if_there(&link)?;
            }
        }
        Ok(())
    }

    /// Removes what broken-off downloads left behind, if nobody works on it.
    /// hf-hub does not resume them. To be called under [`Repo::lock`].
    pub(super) fn remove_leftovers(&self) {
        let locks = self.cache.join(".locks").join(&self.folder);
        for entry in fs::read_dir(self.blobs()).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // Python's have one more part in the name, and are Python's to resume.
            let Some(etag) = name
                .strip_suffix(".incomplete")
                .filter(|e| !e.contains('.'))
            else {
                continue;
            };
            let lock = File::options()
                .write(true)
                .open(locks.join(format!("{etag}.lock")));
            if lock.is_ok_and(|l| l.try_lock().is_ok()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn remove_if_there(path: &Path) -> Result<(), HubError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(HubError::io(path, e)),
        _ => Ok(()),
    }
}

/// All symbolic links below a folder.
fn links(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(t) if t.is_symlink() => found.push(entry.path()),
            Ok(t) if t.is_dir() => found.extend(links(&entry.path())),
            _ => {}
        }
    }
    found
}

/// Writes to a temporary file in `scratch` (same file system), then renames.
pub(super) fn write_atomically(scratch: &Path, path: &Path, contents: &[u8]) -> io::Result<()> {
    fs::create_dir_all(scratch)?;
    let parent = path.parent().unwrap_or(scratch);
    fs::create_dir_all(parent)?;
    let mut file = temporary_file(scratch)?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_dir(parent)
}

/// Makes a rename in the folder survive a power cut.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(dir)?.sync_all()
    } else {
        Ok(())
    }
}

/// A temporary file others may read once it is renamed, as far as the umask
/// lets them; tempfile's own default (0600) would shut them out of a shared cache.
pub(super) fn temporary_file(dir: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(dir)
}
