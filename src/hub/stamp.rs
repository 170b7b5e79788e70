//! SHA-256 of large files, remembered.
//!
//! Hashing 438 MB takes seconds on a processor without SHA instructions, so a
//! result is kept under the file's path, length, modification time (ns) and
//! inode, and used again while all four stay the same. What that cannot see
//! (bits that rot on the disk) is found by `refresh`, which hashes again.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Clocks of file systems tick up to every 10 ms: a file changed twice within
/// one tick keeps its time. Hashing begins only when the last change is older.
const CLOCK_TICK: Duration = Duration::from_millis(20);

/// The remembered results.
#[derive(Debug, Clone)]
pub(super) struct Stamps {
    dir: PathBuf,
    /// Do not believe earlier results.
    fresh: bool,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    length: u64,
    modified_ns: u128,
    inode: u64,
    sha256: String,
}

impl Stamps {
    pub(super) fn new(dir: PathBuf, fresh: bool) -> Self {
        Self { dir, fresh }
    }

    /// SHA-256 of a file, hexadecimal, from memory if nothing about it changed.
    pub(super) fn sha256(&self, path: &Path) -> io::Result<String> {
        let path = fs::canonicalize(path)?;
        let before = describe(&path, String::new())?;
        if let Some(sha256) = self.recall(&before) {
            return Ok(sha256);
        }
        wait_for_next_tick(before.modified_ns);
        let before = describe(&path, String::new())?;
        let sha256 = sha256_file(&path)?;
        let stamp = Stamp {
            sha256: sha256.clone(),
            ..before
        };
        // A file that changed while it was read is not remembered.
        if describe(&path, sha256.clone())? == stamp {
            self.remember(&stamp);
        }
        Ok(sha256)
    }

    fn file(&self, path: &Path) -> PathBuf {
        let name = hex(&Sha256::digest(path.as_os_str().as_encoded_bytes()));
        self.dir.join(name + ".json")
    }

    fn recall(&self, now: &Stamp) -> Option<String> {
        if self.fresh {
            return None;
        }
        let text = fs::read(self.file(&now.path)).ok()?;
        let mut stamp: Stamp = serde_json::from_slice(&text).ok()?;
        let sha256 = std::mem::take(&mut stamp.sha256);
        (stamp == *now && is_hex(&sha256, 64)).then_some(sha256)
    }

    /// Best effort: without it the file is hashed again next time.
    fn remember(&self, stamp: &Stamp) {
        let _ = self.write(stamp);
    }

    fn write(&self, stamp: &Stamp) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(&serde_json::to_vec(stamp)?)?;
        file.persist(self.file(&stamp.path))?;
        Ok(())
    }
}

fn describe(path: &Path, sha256: String) -> io::Result<Stamp> {
    let meta = fs::metadata(path)?;
    let modified = meta
        .modified()?
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(Stamp {
        path: path.to_path_buf(),
        length: meta.len(),
        modified_ns: modified.as_nanos(),
        inode: inode(&meta),
        sha256,
    })
}

#[cfg(unix)]
fn inode(meta: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(meta)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

fn wait_for_next_tick(modified_ns: u128) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let age = now.as_nanos().saturating_sub(modified_ns);
    let left = CLOCK_TICK.as_nanos().saturating_sub(age);
    if left > 0 {
        std::thread::sleep(Duration::from_nanos(left as u64));
    }
}

/// SHA-256 of a file, hexadecimal, always read.
pub(super) fn sha256_file(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    each_chunk(path, |chunk| hasher.update(chunk))?;
    Ok(hex(&hasher.finalize()))
}

/// Reads a file in pieces of a megabyte.
pub(super) fn each_chunk(path: &Path, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            n => take(&buffer[..n]),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(super) fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(dir: &Path, file: &Path) -> Stamps {
        let stamps = Stamps::new(dir.join("stamps"), false);
        let lie = "0".repeat(64);
        stamps
            .write(&describe(&fs::canonicalize(file).unwrap(), lie).unwrap())
            .unwrap();
        stamps
    }

    #[test]
    fn a_stamp_is_believed_until_the_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("weights");
        fs::write(&file, b"abc").unwrap();
        let stamps = planted(dir.path(), &file);
        assert_eq!(stamps.sha256(&file).unwrap(), "0".repeat(64));
        fs::write(&file, b"abcd").unwrap();
        assert!(stamps.sha256(&file).unwrap().starts_with("88d4266f"));
        // Same length, later time.
        std::thread::sleep(CLOCK_TICK);
        fs::write(&file, b"abce").unwrap();
        assert!(!stamps.sha256(&file).unwrap().starts_with("88d4266f"));
    }

    #[test]
    fn fresh_does_not_believe_stamps() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("weights");
        fs::write(&file, b"abc").unwrap();
        let stamps = Stamps {
            fresh: true,
            ..planted(dir.path(), &file)
        };
        assert!(stamps.sha256(&file).unwrap().starts_with("ba7816bf"));
    }

    #[test]
    fn an_unwritable_folder_only_costs_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("weights");
        fs::write(&file, b"abc").unwrap();
        let stamps = Stamps::new(file.join("not-a-folder"), false);
        assert!(stamps.sha256(&file).unwrap().starts_with("ba7816bf"));
    }
}
