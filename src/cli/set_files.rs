//! Where the texts of labelled sets are: two files, or a folder that holds them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::failure::Failure;

/// A set's files.
pub struct SetFiles {
    pub name: String,
    pub train: Vec<PathBuf>,
    pub test: Vec<PathBuf>,
}

impl SetFiles {
    /// All its files.
    pub fn all(&self) -> Vec<PathBuf> {
        [&self.train[..], &self.test].concat()
    }

    /// One set, named after its first file.
    pub fn single(train: Vec<PathBuf>, test: Vec<PathBuf>) -> Self {
        let path = train.first().map_or(Path::new(""), PathBuf::as_path);
        Self {
            name: last_part(path),
            train,
            test,
        }
    }
}

/// A set of each folder.
pub fn in_folders(folders: &[PathBuf]) -> Result<Vec<SetFiles>, Failure> {
    let files = folders.iter().map(|folder| in_folder(folder));
    named_apart(files.collect::<Result<_, _>>()?, folders, "--sets")
}

/// Gives sets of one name the whole paths as names, and refuses one path given twice to `option`.
pub fn named_apart(
    mut files: Vec<SetFiles>,
    paths: &[PathBuf],
    option: &str,
) -> Result<Vec<SetFiles>, Failure> {
    if repeated(&files).is_some() {
        for (files, path) in files.iter_mut().zip(paths) {
            files.name = path.display().to_string();
        }
    }
    match repeated(&files) {
        Some(name) => Err(Failure::usage(
            &format!("{option} names {name} twice"),
            "name each set once",
        )),
        None => Ok(files),
    }
}

fn repeated(files: &[SetFiles]) -> Option<&str> {
    let mut seen = HashSet::new();
    let mut names = files.iter().map(|files| files.name.as_str());
    names.find(|name| !seen.insert(*name))
}

/// The set of a folder with `train.jsonl` and `test.jsonl`, or other formats' files.
pub fn in_folder(folder: &Path) -> Result<SetFiles, Failure> {
    Ok(SetFiles {
        name: last_part(&folder.canonicalize().unwrap_or_else(|_| folder.to_owned())),
        train: vec![part(folder, "train")?],
        test: vec![part(folder, "test")?],
    })
}

fn last_part(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// `train.jsonl` or another format's file.
fn part(folder: &Path, name: &str) -> Result<PathBuf, Failure> {
    let formats = ["jsonl", "csv", "tsv", "json"];
    let plain = formats.map(|format| format!("{name}.{format}"));
    let packed = plain
        .iter()
        .flat_map(|file| ["gz", "zst"].map(|end| format!("{file}.{end}")));
    let files = plain.iter().cloned().chain(packed);
    files
        .map(|file| folder.join(file))
        .find(|path| path.is_file())
        .ok_or_else(|| Failure::Command {
            message: format!("{} has no {name}.jsonl", folder.display()),
            hint: Some(
                "name folders that hold train.jsonl and test.jsonl, or name files".to_owned(),
            ),
        })
}
