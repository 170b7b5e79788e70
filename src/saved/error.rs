//! What can go wrong with a classifier on disk.

use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong with a classifier on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// There is no such folder.
    #[error("there is no folder {}", .path.display())]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The folder to write holds a classifier.
    #[error("cannot write {}: it holds a classifier", .path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The folder to write is a file, or cannot be read.
    #[error("cannot write {}: it is not a folder, or cannot be read", .path.display())]
    NotAFolder {
        /// What is there.
        path: PathBuf,
    },
    /// The folder to write holds something that is no part of a classifier and would be lost.
    #[error("cannot write {}: it holds other files, such as `{file}`", .path.display())]
    OtherFiles {
        /// The folder.
        path: PathBuf,
        /// One of them.
        file: String,
    },
    /// The classifier was saved without its examples.
    #[error("{} holds no examples", .path.display())]
    NoExamples {
        /// The classifier's folder.
        path: PathBuf,
    },
    /// A part is missing.
    #[error("{} is missing", .path.display())]
    Missing {
        /// The part.
        path: PathBuf,
    },
    /// A part cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The part.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A part cannot be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The part.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk is full.
    #[error("the disk is full while writing {}", .path.display())]
    StorageFull {
        /// The part.
        path: PathBuf,
    },
    /// A part is truncated, changed or foreign.
    #[error("{} is damaged: {reason}", .path.display())]
    Damaged {
        /// The part.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// `classifier.json` is not from fewshot.
    #[error("{} is not a classifier of fewshot", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer fewshot wrote it.
    #[error("{} has format version {found}, this fewshot reads up to {known}", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest known.
        known: u64,
    },
    /// An earlier fewshot wrote it, with whole tuned layers.
    #[error("{} holds whole tuned layers, which only an earlier fewshot reads", .path.display())]
    WholeLayers {
        /// The file.
        path: PathBuf,
    },
    /// The encoder at hand is not the one of the training.
    #[error(
        "{} was trained with encoder `{expected}` (sha256 {expected_sha256}), not with `{found}` (sha256 {found_sha256})",
        .path.display()
    )]
    OtherEncoder {
        /// The classifier.
        path: PathBuf,
        /// Its encoder.
        expected: String,
        /// The checksum of its encoder's weights.
        expected_sha256: String,
        /// The encoder given.
        found: String,
        /// The checksum of its weights.
        found_sha256: String,
    },
    /// The weights are the same, what goes into them or out of them is not.
    #[error(
        "{} was trained when encoder `{encoder}` had another configuration, tokenizer or pooling",
        .path.display()
    )]
    OtherSettings {
        /// The classifier.
        path: PathBuf,
        /// The encoder.
        encoder: String,
    },
    /// A path such as `.`, in whose place no folder can be put.
    #[error("{} has no name of its own", .path.display())]
    NoName {
        /// The path.
        path: PathBuf,
    },
}

impl SaveError {
    pub(super) fn damaged(path: &Path, reason: String) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason,
        }
    }

    pub(super) fn reading(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            _ => Self::Read { path, source },
        }
    }

    pub(super) fn writing(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull => Self::StorageFull { path },
            _ => Self::Write { path, source },
        }
    }

    /// The cure, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoFolder { .. } | Self::Foreign { .. } => {
                "name a folder that `fewshot train --output` wrote"
            }
            Self::NoExamples { .. } => "train it again, without --no-examples",
            Self::Exists { .. } => "choose another --output, or replace it with --overwrite",
            Self::NotAFolder { .. } | Self::OtherFiles { .. } => "choose another --output",
            Self::Missing { .. } | Self::Damaged { .. } => {
                "copy the folder again from where it was trained, or train it again"
            }
            Self::WholeLayers { .. } => {
                "train the classifier again; the examples that it learned from are in its examples.jsonl"
            }
            Self::Newer { .. } => "install the newer fewshot, or train the classifier again",
            Self::OtherEncoder { .. } => {
                "leave out --model to use the encoder that it was trained with, or train it again"
            }
            Self::OtherSettings { .. } => {
                "train it again from its examples, or use the encoder as it was"
            }
            Self::NoName { .. } => "name a folder that is not there yet",
            Self::StorageFull { .. } => "free some space; nothing was replaced",
            Self::Read { .. } | Self::Write { .. } => return None,
        };
        Some(hint.to_owned())
    }
}
