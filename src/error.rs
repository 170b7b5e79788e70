//! What can go wrong, as types; the command line turns them into sentences.

use crate::active::{JournalError, PolicyError};
use crate::data::DataError;
use crate::embedding_cache::CacheError;
use crate::encoder::EncoderError;
use crate::explain::ExplainError;
use crate::head::HeadError;
use crate::hub::HubError;
use crate::prompt::PromptError;
use crate::saved::SaveError;
use crate::start::StartError;

/// `Result` with this crate's [`Error`] unless another is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

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
    /// Looking into the cache of embeddings, or emptying it.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Fitting or applying a head.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Reading label descriptions.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// Explaining an answer.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// Reading or writing a start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Saving or loading a classifier.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// Reading or writing a policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Reading or writing a journal of answers.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Error {
    /// What the person can do about it, in one clause, if there is a cure.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Hub(error) => error.hint(),
            Self::Data(error) => error.hint(),
            Self::Encoder(error) => error.hint(),
            Self::Cache(error) => error.hint(),
            Self::Head(error) => error.hint(),
            Self::Prompt(error) => error.hint(),
            Self::Explain(error) => error.hint(),
            Self::Start(error) => error.hint(),
            Self::Save(error) => error.hint(),
            Self::Policy(error) => error.hint(),
            Self::Journal(error) => error.hint(),
        }
    }
}
