//! Model id or folder → files on disk.

use std::path::PathBuf;

/// What can go wrong with a model's files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {}

impl HubError {
    /// The cure, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        None
    }
}

/// x
#[derive(Debug, Clone)]
pub struct ModelFiles {
    /// x
    pub id: String,
    /// x
    pub dir: PathBuf,
    /// x
    pub commit: Option<String>,
    /// x
    pub weights: PathBuf,
    /// x
    pub weights_sha256: String,
}
