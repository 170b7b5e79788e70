//! A working folder with files in it, and runs of the command there.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// Two labels that the tiny encoders tell apart by their words.
pub const EXAMPLES: [(&str, &str); 6] = [
    ("the dog and the cat walk", "animal"),
    ("a quick brown fox jumps over the lazy dog", "animal"),
    ("fish, dog, cat, fox", "animal"),
    ("send back my money please", "money"),
    ("cancel my job and return the money", "money"),
    ("would you send money, 100 €", "money"),
];
/// Texts to label.
pub const TEXTS: [&str; 4] = [
    "the old dog",
    "my money",
    "the cat and the fox",
    "return 9 €",
];

/// A tiny encoder's folder.
pub fn encoder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// The binary, without anything that the environment says about models and caches.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fewshot"));
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("HF_") || name_text.starts_with("FEWSHOT_") {
            command.env_remove(name);
        }
    }
    // Nothing listens there: a call to the network would fail at once.
    command.env("HF_ENDPOINT", "http://127.0.0.1:1");
    // Where checksums of weights are remembered.
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.env_remove("RAYON_NUM_THREADS");
    command
}

/// A temporary working folder with `few.jsonl`, the examples, and `new.txt`, the texts.
pub struct Folder {
    dir: TempDir,
}

impl Folder {
    pub fn new() -> Self {
        let folder = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        folder.write("few.jsonl", example_lines(&EXAMPLES));
        folder.write("new.txt", TEXTS.join("\n") + "\n");
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// A copy of a tiny encoder, to be spoilt.
    pub fn copy_encoder(&self, name: &str) -> PathBuf {
        copy(&encoder(name), &self.path(name));
        self.path(name)
    }

    /// The command in this folder; words are parted by blanks.
    pub fn command(&self, line: &str) -> Command {
        let mut command = binary();
        command.current_dir(self.dir.path());
        command.env("HF_HUB_CACHE", self.path("cache"));
        command.args(line.split_whitespace());
        if !line.contains("--model") {
            command.arg("--model").arg(encoder("tiny-mpnet"));
        }
        command.stdin(Stdio::null());
        command
    }

    /// The command with a cache of embeddings of this folder's own, `kept`.
    pub fn cached(&self, line: &str) -> Command {
        let mut command = self.command(line);
        command.env("FEWSHOT_CACHE", self.path("kept"));
        command
    }

    pub fn run_cached(&self, line: &str) -> Outcome {
        Outcome::new(line, self.cached(line).output().unwrap())
    }

    /// Runs a command in this folder, with tiny-mpnet unless the line names a model.
    pub fn run(&self, line: &str) -> Outcome {
        Outcome::new(line, self.command(line).output().unwrap())
    }

    /// Runs a command with something on standard input.
    pub fn run_with(&self, line: &str, input: impl AsRef<[u8]>) -> Outcome {
        self.write("stdin", input);
        let input = std::fs::File::open(self.path("stdin")).unwrap();
        Outcome::new(line, self.command(line).stdin(input).output().unwrap())
    }
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub fn example_lines(examples: &[(&str, &str)]) -> String {
    let line = |(text, label): &(&str, &str)| json!({"text": text, "label": label}).to_string();
    examples
        .iter()
        .map(|example| line(example) + "\n")
        .collect()
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Outcome {
    /// What was run, for messages.
    #[allow(dead_code)]
    pub line: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    pub fn new(line: &str, output: Output) -> Self {
        let outcome = Self {
            line: line.to_owned(),
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!outcome.stderr.contains("panicked"), "{outcome:#?}");
        outcome
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Failed with this exit code, said one error in one line, and wrote no result.
    #[track_caller]
    pub fn failed(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        let errors = self.stderr.lines().filter(|l| l.starts_with("error: "));
        assert_eq!(errors.count(), 1, "{self:#?}");
        assert_eq!(self.stdout, "", "{self:#?}");
        self
    }

    /// Each part is on standard error.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "no `{part}` in {self:#?}");
        }
        self
    }

    #[track_caller]
    pub fn silent(self) -> Self {
        assert_eq!(self.stderr, "", "{self:#?}");
        self
    }

    /// Standard output as JSON lines.
    #[track_caller]
    pub fn rows(&self) -> Vec<Map<String, Value>> {
        rows(&self.stdout)
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

#[track_caller]
pub fn rows(lines: &str) -> Vec<Map<String, Value>> {
    let row = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    lines.lines().map(row).collect()
}

/// One field of each row, as strings; null as `-`.
pub fn column(rows: &[Map<String, Value>], field: &str) -> Vec<String> {
    let value = |row: &Map<String, Value>| row[field].as_str().unwrap_or("-").to_owned();
    rows.iter().map(value).collect()
}
