//! What can go wrong with a model's files, and the cure for each.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::check::SUPPORTED_TYPES;

/// An underlying error of any type, kept for the chain of causes.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong with a model's files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The name is neither a folder nor a possible hub id.
    #[error("`{id}` is neither a folder nor a model id such as `org/name`: {reason}")]
    BadId {
        /// The name as given.
        id: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A revision that cannot be a branch, a tag or a commit.
    #[error("`{revision}` cannot be a branch, tag or commit")]
    BadRevision {
        /// The revision as given.
        revision: String,
    },
    /// The hub's address is not a URL.
    #[error("`{endpoint}` is not the address of a hub")]
    BadEndpoint {
        /// The address as given.
        endpoint: String,
    },
    /// A folder was named that does not exist.
    #[error("there is no folder {}", .path.display())]
    NoFolder {
        /// The folder as given.
        path: PathBuf,
    },
    /// Offline, and the cache does not hold all that is needed.
    #[error("offline, and the cache {} lacks {} of `{id}` (revision {revision})", .cache.display(), .missing.join(", "))]
    NotCached {
        /// The model's id.
        id: String,
        /// Branch, tag or commit.
        revision: String,
        /// The files that are missing.
        missing: Vec<String>,
        /// The cache folder that was searched.
        cache: PathBuf,
    },
    /// The hub knows no model of this name.
    #[error("{endpoint} has no model `{id}`")]
    NoSuchModel {
        /// The model's id.
        id: String,
        /// The hub's address.
        endpoint: String,
    },
    /// The model exists, the revision does not.
    #[error("model `{id}` has no revision `{revision}`")]
    NoSuchRevision {
        /// The model's id.
        id: String,
        /// Branch, tag or commit.
        revision: String,
    },
    /// The hub wants a token, or a better one (401). Without a token it gives
    /// the same answer for a model that does not exist.
    #[error("{}", unauthorized(.id, .endpoint, *.token_given))]
    Unauthorized {
        /// The model's id.
        id: String,
        /// The hub's address.
        endpoint: String,
        /// Whether a token was sent.
        token_given: bool,
    },
    /// The token is good, but its owner may not read the model (403).
    #[error("{endpoint} refuses access to `{id}` (403): {reason}")]
    AccessDenied {
        /// The model's id.
        id: String,
        /// The hub's address.
        endpoint: String,
        /// The hub's own words.
        reason: String,
    },
    /// No connection, or no answer in time.
    #[error("cannot reach {endpoint}")]
    Unreachable {
        /// The hub's address.
        endpoint: String,
        /// What the network said.
        source: Cause,
    },
    /// The connection lives but brings no more bytes.
    #[error("download of {file} stalled at {done} of {total} bytes: nothing came for {} s", .waited.as_secs_f32())]
    Stalled {
        /// The file's name in the model.
        file: String,
        /// Bytes received.
        done: u64,
        /// Bytes expected.
        total: u64,
        /// How long nothing came.
        waited: Duration,
    },
    /// The connection broke during a download.
    #[error("download of {file} from {endpoint} broke off")]
    Interrupted {
        /// The file's name in the model.
        file: String,
        /// The hub's address.
        endpoint: String,
        /// What the network said.
        source: Cause,
    },
    /// Any other refusal of the hub.
    #[error("{endpoint} answered with status {status}: {reason}")]
    Http {
        /// The hub's address.
        endpoint: String,
        /// HTTP status.
        status: u16,
        /// The hub's own words, or the URL.
        reason: String,
    },
    /// Something answers there, but not as a model hub does.
    #[error("{endpoint} does not answer like a model hub: {reason}")]
    BadAnswer {
        /// The hub's address.
        endpoint: String,
        /// What was wrong with the answer.
        reason: String,
    },
    /// An architecture this crate has no encoder for.
    #[error("{} names the model type `{found}`; supported are {}", .path.display(), SUPPORTED_TYPES.join(" and "))]
    UnsupportedModelType {
        /// `config.json`.
        path: PathBuf,
        /// Its `model_type`.
        found: String,
    },
    /// A JSON file that is not what it should be.
    #[error("{} is not valid: {reason}", .path.display())]
    BadConfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A required file does not exist.
    #[error("{place} has no {file}")]
    MissingFile {
        /// The file's name in the model.
        file: String,
        /// Folder or model that was searched.
        place: String,
    },
    /// Only pickled weights exist. They are refused: unpickling runs code.
    #[error(
        "{place} has pytorch_model.bin but no model.safetensors; pickled weights can run code and are refused"
    )]
    PickledWeights {
        /// Folder or model that was searched.
        place: String,
    },
    /// The weights are split over several files.
    #[error(
        "{place} splits its weights over several safetensors files, which is not supported yet"
    )]
    ShardedWeights {
        /// Folder or model that was searched.
        place: String,
    },
    /// A file's contents are not those its checksum promises.
    #[error("{} has checksum {got}, expected {expected}", .path.display())]
    ChecksumMismatch {
        /// The file.
        path: PathBuf,
        /// The checksum the hub gave, hexadecimal.
        expected: String,
        /// The checksum of what is on disk, hexadecimal.
        got: String,
    },
    /// A file is shorter than it must be.
    #[error("{} is truncated: {got} of {expected} bytes", .path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes it must have.
        expected: u64,
        /// Bytes it has.
        got: u64,
    },
    /// Not a safetensors file.
    #[error("{} is not a valid safetensors file: {reason}", .path.display())]
    BadWeights {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No space left while caching.
    #[error("no space left on the disk of {}", .path.display())]
    DiskFull {
        /// Where was written.
        path: PathBuf,
    },
    /// Not allowed to read or write.
    #[error("permission denied: {}", .path.display())]
    PermissionDenied {
        /// What was to be read or written.
        path: PathBuf,
    },
    /// Another process holds the lock and makes no progress.
    #[error("another process holds {} and makes no progress", .path.display())]
    CacheBusy {
        /// The lock file.
        path: PathBuf,
    },
    /// Any other failure to read or write.
    #[error("cannot read or write {}", .path.display())]
    Io {
        /// What was to be read or written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn unauthorized(id: &str, endpoint: &str, token_given: bool) -> String {
    if token_given {
        format!("{endpoint} does not accept the token for model `{id}` (401)")
    } else {
        format!(
            "{endpoint} has no model `{id}`, or it is private or gated and wants a token (401, none was given)"
        )
    }
}

impl HubError {
    /// Sorts an I/O error by what can be done about it.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::PermissionDenied { path }
            }
            _ => Self::Io { path, source },
        }
    }

    /// Whether the file itself is wrong, so that a fresh copy may help.
    pub(crate) fn is_bad_file(&self) -> bool {
        matches!(
            self,
            Self::ChecksumMismatch { .. } | Self::Truncated { .. } | Self::BadWeights { .. }
        )
    }

    /// The cure, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        self.network_hint()
            .or_else(|| self.file_hint())
            .or_else(|| self.disk_hint())
    }

    fn network_hint(&self) -> Option<String> {
        Some(match self {
            Self::NotCached { id, .. } if !id.contains('/') => format!(
                "if it has an owner, name it: sentence-transformers/{id}; `fewshot models list` says what is there, \
                 `fewshot models get {id}` fetches while online"
            ),
            Self::NotCached { id, .. } => format!(
                "run `fewshot models get {id}` while online, or import a folder with `fewshot models import`"
            ),
            Self::NoSuchModel { .. } => {
                "check the spelling and HF_ENDPOINT; a model on this disk is given as a folder, such as ./model".into()
            }
            Self::NoSuchRevision { .. } => "leave --revision out for the main branch".into(),
            Self::Unauthorized { token_given: true, .. } => {
                "renew the token in HF_TOKEN, or log in again".into()
            }
            Self::Unauthorized { .. } => "check the spelling, or set HF_TOKEN".into(),
            Self::AccessDenied { id, .. } => format!(
                "accept the licence on the page of `{id}` and use a token that may read it"
            ),
            Self::Unreachable { .. } => {
                "use --offline if the model is cached, HF_ENDPOINT for a mirror, HTTPS_PROXY behind a proxy, \
                 or `fewshot models import` for a folder copied from elsewhere"
                    .into()
            }
            Self::Stalled { .. } | Self::Interrupted { .. } => {
                "run the same command again; files already complete are kept".into()
            }
            Self::Http { status: 429, .. } => "wait a while, or set HF_TOKEN for a higher limit".into(),
            Self::Http { status: 500.., .. } => "the hub has a problem of its own; try again later".into(),
            Self::BadAnswer { .. } | Self::BadEndpoint { .. } => {
                "check HF_ENDPOINT, and whether a login page of the network answers instead".into()
            }
            _ => return None,
        })
    }

    fn file_hint(&self) -> Option<String> {
        Some(match self {
            Self::BadId { .. } => "write org/name, or ./folder for a folder".into(),
            Self::BadRevision { .. } => "give a branch, a tag or a full commit".into(),
            Self::NoFolder { .. } => "leave the leading `.`, `/` or `~` out if a hub id is meant".into(),
            Self::UnsupportedModelType { .. } => {
                "sentence-transformers/all-mpnet-base-v2 is a good choice".into()
            }
            Self::PickledWeights { .. } => {
                "choose a revision or model with model.safetensors, or convert it in Python with \
                 save_pretrained(..., safe_serialization=True)"
                    .into()
            }
            Self::ShardedWeights { .. } => "save the model again as one model.safetensors".into(),
            Self::MissingFile { file, .. } if file == "tokenizer.json" => {
                "save the fast tokenizer in Python with AutoTokenizer.from_pretrained(...).save_pretrained(...)"
                    .into()
            }
            Self::MissingFile { .. } => "name a folder or model that holds a whole encoder".into(),
            Self::ChecksumMismatch { .. } | Self::Truncated { .. } | Self::BadWeights { .. } => {
                "run `fewshot models get` while online, or copy the folder again".into()
            }
            _ => return None,
        })
    }

    fn disk_hint(&self) -> Option<String> {
        Some(match self {
            Self::DiskFull { .. } => {
                "free some space, or put the cache elsewhere with --cache-dir or HF_HUB_CACHE"
                    .into()
            }
            Self::PermissionDenied { .. } => {
                "use a folder you may write to: --cache-dir or HF_HUB_CACHE".into()
            }
            Self::CacheBusy { .. } => "end the other process, then run the command again".into(),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_errors_are_sorted_by_their_cure() {
        let of = |kind: io::ErrorKind| HubError::io(Path::new("/cache"), kind.into());
        assert!(matches!(
            of(io::ErrorKind::StorageFull),
            HubError::DiskFull { .. }
        ));
        assert!(matches!(
            of(io::ErrorKind::QuotaExceeded),
            HubError::DiskFull { .. }
        ));
        assert!(matches!(
            of(io::ErrorKind::PermissionDenied),
            HubError::PermissionDenied { .. }
        ));
        assert!(matches!(
            of(io::ErrorKind::ReadOnlyFilesystem),
            HubError::PermissionDenied { .. }
        ));
        assert!(matches!(
            of(io::ErrorKind::InvalidData),
            HubError::Io { .. }
        ));
    }

    #[test]
    fn a_missing_token_names_both_possibilities() {
        let say = |token_given| {
            HubError::Unauthorized {
                id: "o/n".into(),
                endpoint: "http://h".into(),
                token_given,
            }
            .to_string()
        };
        assert!(say(false).contains("no model `o/n`") && say(false).contains("private or gated"));
        assert!(say(true).contains("does not accept the token"));
    }
}
