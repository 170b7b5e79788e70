//! How a command ends when it does not end well.

use std::process::ExitCode;

use fewshot::active::{JournalError, PolicyError};
use fewshot::data::DataError;
use fewshot::embedding_cache::CacheError;
use fewshot::encoder::EncoderError;
use fewshot::head::HeadError;
use fewshot::hub::HubError;
use fewshot::prompt::PromptError;
use fewshot::saved::SaveError;
use fewshot::start::StartError;

use super::output;

/// Exit code after Ctrl-C, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// Why a command stopped.
#[derive(Debug)]
pub enum Failure {
    /// The library says so.
    Library(Box<fewshot::Error>),
    /// The command itself, with a cure perhaps.
    Command {
        message: String,
        hint: Option<String>,
    },
    /// The options do not go together.
    Usage { message: String, hint: String },
    /// Ctrl-C; what was done so far.
    Interrupted(String),
}

macro_rules! from_library {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Library(Box::new(error.into()))
            }
        })*
    };
}
from_library!(
    fewshot::Error,
    CacheError,
    DataError,
    EncoderError,
    HeadError,
    HubError,
    JournalError,
    PolicyError,
    PromptError,
    SaveError,
    StartError
);

impl Failure {
    pub fn message(message: String) -> Self {
        Self::Command {
            message,
            hint: None,
        }
    }

    pub fn usage(message: &str, hint: &str) -> Self {
        Self::Usage {
            message: message.to_owned(),
            hint: hint.to_owned(),
        }
    }

    /// The same, with what it is about: an option or a file.
    pub fn within(self, what: &str) -> Self {
        match self {
            Self::Library(error) => Self::Command {
                message: format!("{what}: {}", sentence(error.as_ref())),
                hint: error.hint(),
            },
            Self::Command { message, hint } => Self::Command {
                message: format!("{what}: {message}"),
                hint,
            },
            Self::Usage { message, hint } => Self::Usage {
                message: format!("{what}: {message}"),
                hint,
            },
            interrupted @ Self::Interrupted(_) => interrupted,
        }
    }

    /// Says why on standard error, and gives the exit code.
    pub fn report(self) -> ExitCode {
        match self {
            // The reader has gone, `head` for one: there is nobody to tell.
            Self::Library(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
            Self::Library(error) => {
                output::error(&sentence(error.as_ref()), error.hint().as_deref());
                ExitCode::FAILURE
            }
            Self::Command { message, hint } => {
                output::error(&message, hint.as_deref());
                ExitCode::FAILURE
            }
            Self::Usage { message, hint } => {
                output::error(&message, Some(&hint));
                ExitCode::from(2)
            }
            Self::Interrupted(done) => {
                output::error(&format!("interrupted; {done}"), None);
                ExitCode::from(INTERRUPTED)
            }
        }
    }
}

fn is_closed_pipe(error: &fewshot::Error) -> bool {
    matches!(error, fewshot::Error::Data(DataError::ClosedPipe { .. }))
}

/// The error and what lies behind it, in one line.
pub fn sentence(error: &dyn std::error::Error) -> String {
    let mut parts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        parts.push(cause.to_string());
        source = cause.source();
    }
    parts.dedup();
    parts.join(": ")
}
