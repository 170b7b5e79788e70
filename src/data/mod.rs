//! Examples and texts: reading, checking, writing.

/// What can go wrong with examples and texts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {}

impl DataError {
    /// The cure, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        None
    }
}
