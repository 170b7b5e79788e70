//! The journal of a person's answers: appended line by line, on disk before the next text is shown.
//!
//! A line is a JSON object with `text`, `label` and `journal`, which says what happened: `answer`,
//! `skip`, `unsure` or `undo`. The last line of a text counts, so that nothing is ever rewritten.
//! [`crate::data::Dataset::read`] reads journals by the same rule, and lines without `journal`, such
//! as those of an ordinary file of examples, are answers.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use same_file::Handle;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// What happened to a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It got its label.
    #[default]
    Answer,
    /// Not now; it may be asked again when labelling goes on another time.
    Skip,
    /// Nobody can say; it is not asked again.
    Unsure,
    /// The line before of this text does not count.
    Undo,
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Entry {
    /// The text.
    pub text: String,
    /// Its label, of an answer. Numbers and booleans are read as their text, as in all examples.
    #[serde(default, deserialize_with = "label")]
    pub label: Option<String>,
    /// What happened.
    #[serde(default)]
    pub journal: Outcome,
    /// Which label this is, of an answer: counted from 1, without those taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<usize>,
    /// The strategy that chose the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// The model's guess before the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guess: Option<String>,
    /// The guess's probability, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f32>,
}

/// What can go wrong with a journal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// It cannot be opened, read or repaired.
    #[error("cannot open the journal {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no ordinary file.
    #[error("the journal {} is no file", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// Someone else labels into it.
    #[error("the journal {} is in use by another process", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A line is not one of a journal.
    #[error("{}:{line} is no line of a journal: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What does not fit.
        reason: String,
    },
    /// Another program wrote to it or put another file in its place.
    #[error("the answer is not saved: the journal {} was changed by another program meanwhile", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A line could not be written; none of it is in the file.
    #[error("the answer is not saved: cannot write the journal {}", path.display())]
    Append {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl JournalError {
    /// The cure, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Busy { .. } => {
                "end the other one first, or label into another journal and give both to --examples"
            }
            Self::Line { .. } => "correct the line, or choose another file for the journal",
            Self::NoFile { .. } => "choose a file that ends in .jsonl",
            Self::Append { .. } => {
                "make room, then start again with the same command: every answer before this one is kept"
            }
            Self::Changed { .. } => {
                "start again with the same command, which reads the journal as it is now"
            }
            Self::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "make its folder first"
            }
            Self::Open { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "label into a file that you may read and write"
            }
            Self::Open { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

/// The journal, held by this process alone while it is open.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    length: u64,
    entries: Vec<Entry>,
    damage: Option<PathBuf>,
}

impl Journal {
    /// Opens or makes the journal. A last line that was cut off, as by a crash while it was written,
    /// is moved to a file of its own, which [`Journal::damage`] names.
    ///
    /// # Errors
    /// If another process has it open, if it is no file or a line is not one of a journal, or if it
    /// cannot be read and written.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Open {
            path: path.to_owned(),
            source,
        };
        if path.exists() && !path.is_file() {
            return Err(JournalError::NoFile {
                path: path.to_owned(),
            });
        }
        let new = !path.exists();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(JournalError::Busy {
                    path: path.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        if new {
            sync_folder(path).map_err(failed)?;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            length: 0,
            entries: Vec::new(),
            damage: None,
        };
        journal.take_in(&bytes)?;
        Ok(journal)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a last line that was cut off has been put, if there was one.
    #[must_use]
    pub fn damage(&self) -> Option<&Path> {
        self.damage.as_deref()
    }

    /// All lines, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The line that counts of each text, in order; nothing of what was undone.
    #[must_use]
    pub fn current(&self) -> Vec<&Entry> {
        let mut last = HashMap::new();
        for (at, entry) in self.entries.iter().enumerate() {
            last.insert(entry.text.as_str(), at);
        }
        let counts = |at: usize, entry: &Entry| last.get(entry.text.as_str()) == Some(&at);
        self.entries
            .iter()
            .enumerate()
            .filter(|(at, entry)| counts(*at, entry) && entry.journal != Outcome::Undo)
            .map(|(_, entry)| entry)
            .collect()
    }

    /// Writes a line and waits until it is on disk.
    ///
    /// # Errors
    /// [`JournalError::Append`] if that fails, and [`JournalError::Changed`] if the file is not what this process
    /// left there; nothing of the line is then in it.
    pub fn append(&mut self, entry: Entry) -> Result<(), JournalError> {
        let path = self.path.clone();
        match self.is_ours() {
            Ok(true) => {}
            Ok(false) => return Err(JournalError::Changed { path }),
            Err(source) => return Err(JournalError::Open { path, source }),
        }
        let written = self.write_entry(&entry);
        self.length += written.map_err(|source| JournalError::Append { path, source })?;
        self.entries.push(entry);
        Ok(())
    }

    /// Whether the file at the path is still the open one and holds what was written: editors and programs that
    /// synchronise folders put another file in its place, and the lock does not keep others from appending.
    fn is_ours(&self) -> io::Result<bool> {
        let named = match Handle::from_path(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            named => named?,
        };
        let open = Handle::from_file(self.file.try_clone()?)?;
        Ok(open == named && self.file.metadata()?.len() == self.length)
    }

    /// Gives the bytes of its line.
    fn write_entry(&mut self, entry: &Entry) -> io::Result<u64> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        if let Err(error) = self.write(&line) {
            // Half a line would be found and moved aside at the next start, but better none.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        Ok(line.len() as u64)
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(line)?;
        self.file.sync_data()
    }

    fn take_in(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        let whole = bytes
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        for (at, line) in bytes[..whole]
            .split_inclusive(|&byte| byte == b'\n')
            .enumerate()
        {
            if !line.trim_ascii().is_empty() {
                self.entries
                    .push(parse(line).map_err(|reason| JournalError::Line {
                        path: self.path.clone(),
                        line: at + 1,
                        reason,
                    })?);
            }
        }
        self.length = whole as u64;
        let rest = &bytes[whole..];
        match parse(rest) {
            // Blanks that would stand before the next line.
            _ if rest.trim_ascii().is_empty() => self.file.set_len(self.length),
            // Only its line end is missing, as people's editors leave it.
            Ok(entry) => self.complete(entry, rest.len()),
            Err(reason) if !is_cut_off(rest) => {
                return Err(JournalError::Line {
                    path: self.path.clone(),
                    line: bytes[..whole].iter().filter(|&&byte| byte == b'\n').count() + 1,
                    reason,
                });
            }
            Err(_) => self.set_aside(rest),
        }
        .map_err(|source| JournalError::Open {
            path: self.path.clone(),
            source,
        })
    }

    fn complete(&mut self, entry: Entry, length: usize) -> io::Result<()> {
        self.length += length as u64;
        self.write(b"\n")?;
        self.length += 1;
        self.entries.push(entry);
        Ok(())
    }

    fn set_aside(&mut self, rest: &[u8]) -> io::Result<()> {
        let mut name = OsString::from(&self.path);
        name.push(".damaged");
        let path = PathBuf::from(name);
        let mut aside = OpenOptions::new().append(true).create(true).open(&path)?;
        aside.write_all(rest)?;
        aside.write_all(b"\n")?;
        aside.sync_data()?;
        self.file.set_len(self.length)?;
        self.file.sync_data()?;
        self.damage = Some(path);
        Ok(())
    }
}

fn label<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(label) => Ok(Some(label)),
        label @ (Value::Bool(_) | Value::Number(_)) => Ok(Some(label.to_string())),
        _ => Err(serde::de::Error::custom("the label is a list or an object")),
    }
}

fn parse(line: &[u8]) -> Result<Entry, String> {
    let entry: Entry = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    match (&entry.label, entry.journal) {
        (None, Outcome::Answer) => Err("an answer without a label".to_owned()),
        (Some(label), _) if label.trim().is_empty() => Err("a blank label".to_owned()),
        _ => Ok(entry),
    }
}

/// Whether this is the beginning of a line, or what a crash of the machine leaves: zeros.
fn is_cut_off(line: &[u8]) -> bool {
    line.contains(&0) || serde_json::from_slice::<Entry>(line).is_err_and(|error| error.is_eof())
}

/// A new file's name is on disk only when its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if cfg!(unix) {
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DataError, Dataset, FieldNames};
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::fs;

    fn entry(text: &str, label: Option<&str>, journal: Outcome) -> Entry {
        Entry {
            text: text.to_owned(),
            label: label.map(str::to_owned),
            journal,
            ..Entry::default()
        }
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        (folder, path)
    }

    #[test]
    fn the_last_line_of_a_text_counts() {
        let (_folder, path) = place();
        let mut journal = Journal::open(&path).expect("new");
        for line in [
            entry("a", Some("x"), Outcome::Answer),
            entry("b", None, Outcome::Unsure),
            entry("c", Some("x"), Outcome::Answer),
            entry("a", None, Outcome::Undo),
            entry("c", Some("y"), Outcome::Answer),
        ] {
            journal.append(line).expect("written");
        }
        let texts = |journal: &Journal| -> Vec<(String, Option<String>)> {
            let current = journal.current();
            current
                .iter()
                .map(|e| (e.text.clone(), e.label.clone()))
                .collect()
        };
        let wanted = [
            ("b".to_owned(), None),
            ("c".to_owned(), Some("y".to_owned())),
        ];
        assert_eq!(texts(&journal), wanted);
        drop(journal);
        assert_eq!(texts(&Journal::open(&path).expect("again")), wanted);
    }

    #[test]
    fn a_second_labeller_is_refused_until_the_first_has_ended() {
        let (_folder, path) = place();
        let first = Journal::open(&path).expect("new");
        assert!(matches!(
            Journal::open(&path),
            Err(JournalError::Busy { .. })
        ));
        drop(first);
        assert!(Journal::open(&path).is_ok());
    }

    #[test]
    fn what_is_no_journal_is_refused_and_left_alone() {
        let (folder, path) = place();
        assert!(matches!(
            Journal::open(folder.path()),
            Err(JournalError::NoFile { .. })
        ));
        for (text, line) in [
            ("{\"text\": 3}\n", 1),
            ("{\"text\":\"a\",\"label\":\"x\"}\nhello\n", 2),
            // Whole, and of another program: only its line end is missing.
            ("{\"text\":\"a\",\"label\":\"x\"}\n{\"sentence\":\"b\"}", 2),
        ] {
            fs::write(&path, text).expect("written");
            let Err(JournalError::Line { line: found, .. }) = Journal::open(&path) else {
                panic!("accepted {text}");
            };
            assert_eq!(found, line);
            assert_eq!(fs::read_to_string(&path).expect("read"), text);
        }
    }

    /// Its answers would go into a file without a name, or over another program's line.
    #[test]
    fn a_journal_that_others_change_takes_no_more_answers() {
        type Change = fn(&Path);
        let changes: [Change; 3] = [
            |path| {
                let mut file = OpenOptions::new().append(true).open(path).expect("open");
                file.write_all(b"{\"text\":\"mine\",\"label\":\"x\"}\n")
                    .expect("appended");
            },
            |path| {
                let copy = path.with_extension("copy");
                fs::copy(path, &copy).expect("copied");
                fs::rename(copy, path).expect("replaced");
            },
            |path| fs::remove_file(path).expect("removed"),
        ];
        for change in changes {
            let (_folder, path) = place();
            let mut journal = Journal::open(&path).expect("new");
            journal
                .append(entry("a", Some("x"), Outcome::Answer))
                .expect("written");
            change(&path);
            let left = fs::read(&path).ok();
            let refused = journal.append(entry("b", Some("y"), Outcome::Answer));
            assert!(
                matches!(refused, Err(JournalError::Changed { .. })),
                "{refused:?}"
            );
            assert_eq!((journal.entries().len(), fs::read(&path).ok()), (1, left));
        }
    }

    #[test]
    fn blanks_at_the_end_are_no_line_of_another_program() {
        let (_folder, path) = place();
        fs::write(&path, "{\"text\":\"a\",\"label\":\"x\"}\n  ").expect("written");
        let mut journal = Journal::open(&path).expect("a journal");
        journal
            .append(entry("b", Some("y"), Outcome::Answer))
            .expect("written");
        drop(journal);
        assert_eq!(Journal::open(&path).expect("whole").entries().len(), 2);
    }

    #[test]
    fn an_example_written_below_an_answer_takes_its_place() {
        let (_folder, path) = place();
        let lines = "{\"text\":\"a\",\"label\":\"x\",\"journal\":\"answer\"}\n{\"text\":\"a\",\"label\":\"y\"}\n";
        fs::write(&path, lines).expect("written");
        let journal = Journal::open(&path).expect("a journal");
        assert_eq!(journal.current()[0].label.as_deref(), Some("y"));
        let (dataset, _) = Dataset::read([&path], None, &FieldNames::default()).expect("examples");
        assert_eq!(dataset.examples()[0].label, "y");
    }

    /// As the readers of examples take them.
    #[test]
    fn labels_may_be_numbers() {
        let (_folder, path) = place();
        let lines = "{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":true}\n";
        fs::write(&path, lines).expect("written");
        let journal = Journal::open(&path).expect("examples");
        let labels = journal.entries().iter().map(|entry| entry.label.as_deref());
        assert_eq!(labels.collect::<Vec<_>>(), [Some("1"), Some("true")]);
        drop(journal);
        fs::write(&path, "{\"text\":\"a\",\"label\":[1]}\n").expect("written");
        assert!(matches!(
            Journal::open(&path),
            Err(JournalError::Line { .. })
        ));
    }

    #[test]
    fn ordinary_examples_are_answers_and_a_missing_line_end_is_added() {
        let (_folder, path) = place();
        fs::write(&path, "{\"text\":\"a\",\"label\":\"x\"}").expect("written");
        let mut journal = Journal::open(&path).expect("examples");
        assert_eq!(journal.current().len(), 1);
        journal
            .append(entry("b", Some("y"), Outcome::Answer))
            .expect("written");
        drop(journal);
        assert_eq!(Journal::open(&path).expect("again").current().len(), 2);
    }

    /// A line of one of three texts: of `fewshot label`, or an ordinary example.
    fn any_line() -> impl Strategy<Value = String> {
        (0..3, 0..2, 0..5_usize).prop_map(|(text, label, kind)| match kind {
            0 => format!("{{\"text\":\"t{text}\",\"label\":\"y{text}\"}}\n"),
            1 => format!("{{\"text\":\"t{text}\",\"label\":\"y{text}\",\"journal\":\"answer\",\"number\":{label}}}\n"),
            _ => {
                let word = ["skip", "unsure", "undo"][kind - 2];
                format!("{{\"text\":\"t{text}\",\"label\":null,\"journal\":\"{word}\"}}\n")
            }
        })
    }

    proptest! {
        /// After any answers, skips and undoings, labelling goes on with what `--examples` reads.
        #[test]
        fn examples_are_what_counts(lines in prop::collection::vec(any_line(), 1..20)) {
            let (_folder, path) = place();
            fs::write(&path, lines.concat()).expect("written");
            let journal = Journal::open(&path).expect("a journal");
            let counts: BTreeSet<(String, String)> = journal
                .current()
                .into_iter()
                .filter_map(|entry| Some((entry.text.clone(), entry.label.clone()?)))
                .collect();
            let names = FieldNames::default();
            let read = match Dataset::read([path.as_path()], None, &names) {
                Ok((dataset, _)) => dataset.examples().to_vec(),
                Err(DataError::Empty { .. }) => Vec::new(),
                Err(error) => panic!("{error}"),
            };
            let read = read.into_iter().map(|example| (example.text, example.label));
            prop_assert_eq!(read.collect::<BTreeSet<_>>(), counts);
        }

        /// Whatever a crash leaves of the file, each whole line is still there, and labelling goes on.
        #[test]
        fn cut_anywhere_all_whole_lines_remain(
            labels in prop::collection::vec("[a-zé ]{0,6}x", 1..6), share in 0.0f64..=1.0
        ) {
            let (_folder, path) = place();
            let mut journal = Journal::open(&path).expect("new");
            for (at, label) in labels.iter().enumerate() {
                journal.append(entry(&format!("text {at}\n"), Some(label), Outcome::Answer)).expect("written");
            }
            drop(journal);
            let bytes = fs::read(&path).expect("read");
            let cut = (bytes.len() as f64 * share) as usize;
            fs::write(&path, &bytes[..cut]).expect("cut");
            let whole = bytes[..cut].iter().filter(|&&byte| byte == b'\n').count();
            let mut journal = Journal::open(&path).expect("recovered");
            let kept = journal.entries().len();
            // A line that lacks only its line end counts too.
            prop_assert!(kept == whole || (kept == whole + 1 && journal.damage().is_none()));
            for (entry, label) in journal.entries().iter().zip(&labels) {
                prop_assert_eq!(entry.label.as_ref(), Some(label));
            }
            journal.append(entry("more", Some("x"), Outcome::Answer)).expect("written");
            drop(journal);
            prop_assert_eq!(Journal::open(&path).expect("again").entries().len(), kept + 1);
        }
    }
}
