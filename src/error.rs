//! What can go wrong, as types; the command line turns them into sentences.

use crate::data::DataError;
use crate::encoder::EncoderError;
use crate::head::HeadError;
use crate::hub::HubError;

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in this crate; each part of it has its own enum.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Finding, fetching or checking a model's files.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// Reading or writing examples and texts.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Turning texts into vectors.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// Fitting or applying a head.
    #[error(transparent)]
    Head(#[from] HeadError),
}

impl Error {
    /// What the person can do about it, in one clause, if there is a cure.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Hub(error) => error.hint(),
            Self::Data(error) => error.hint(),
            Self::Encoder(error) => error.hint(),
            Self::Head(error) => error.hint(),
        }
    }
}
