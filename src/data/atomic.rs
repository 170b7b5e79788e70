//! Replacing a file whole or not at all.

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::DataError;

/// Writes `path` so that it holds either all that `write` wrote or what it held before, whatever
/// goes wrong, a power failure included.
///
/// The bytes go to a temporary file in the same folder, which is synced and renamed. An existing
/// file keeps its permissions, a symbolic link goes on pointing to the file it named. Devices and
/// named pipes cannot be replaced and are written directly.
///
/// Inside `write`, a [`RecordWriter`](super::RecordWriter) can be used with `?`: its [`DataError`]
/// comes back unchanged.
///
/// # Errors
/// If `write` fails or the file cannot be made, written or renamed. The old file is then untouched
/// and no temporary file is left.
pub fn write_atomically<T>(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<T>,
) -> Result<T, DataError> {
    let path = path.as_ref();
    replace(path, write).map_err(|error| DataError::writing(path, error))
}

fn replace<T>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<T>,
) -> io::Result<T> {
    let old = match fs::metadata(path) {
        Ok(old) if old.is_dir() => return Err(ErrorKind::IsADirectory.into()),
        Ok(old) if !old.is_file() => {
            return buffered(&mut File::options().write(true).open(path)?, write);
        }
        Ok(old) => Some(old),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let path = link_target(path);
    let folder = folder_of(&path);
    let mut file = temporary_file(folder, old)?;
    let result = buffered(file.as_file_mut(), write)?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    // The file is in its place: a folder that cannot be read, and so not be synced, makes it no failure.
    let _ = sync_folder(folder);
    Ok(result)
}

fn buffered<T>(
    file: &mut File,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<T>,
) -> io::Result<T> {
    let mut writer = BufWriter::new(file);
    let result = write(&mut writer)?;
    writer.flush()?;
    Ok(result)
}

/// The file behind a symbolic link, also one that is not there yet; a rename would replace the link itself.
fn link_target(path: &Path) -> PathBuf {
    /// As the system follows them.
    const MOST_LINKS: usize = 40;
    if let Ok(found) = fs::canonicalize(path) {
        return found;
    }
    let mut target = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&target) {
            Ok(next) => target = folder_of(&target).join(next),
            Err(_) => break,
        }
    }
    target
}

/// The folder of `path`; a bare file name is in the current one.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// A temporary file with the permissions of the `old` one, or those that a new file would get:
/// temporary files are otherwise readable to their owner only.
fn temporary_file(folder: &Path, old: Option<Metadata>) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".fewshot-").suffix(".partial");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder.tempfile_in(folder)?;
    if let Some(old) = old {
        file.as_file().set_permissions(old.permissions())?;
    }
    Ok(file)
}

/// Makes the rename itself durable; Windows has no such call and needs none.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
