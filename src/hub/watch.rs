//! Follows a transfer, so that a dead one can be told from a slow one.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hf_hub::progress::{DownloadEvent, FileStatus, ProgressEvent, ProgressHandler};

use super::{HubOptions, Progress, ProgressFn};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(50);

/// Why a transfer was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// Not even the first answer came.
    Silent(Duration),
    /// Bytes came, then no more.
    Stalled {
        done: u64,
        total: u64,
        waited: Duration,
    },
}

/// One transfer's state; hf-hub reports to it.
pub(super) struct Watch {
    file: String,
    callback: Option<ProgressFn>,
    answer_timeout: Duration,
    stall_timeout: Duration,
    state: Mutex<State>,
}

struct State {
    answered: bool,
    done: u64,
    total: u64,
    last_sign_of_life: Instant,
}

impl Watch {
    pub(super) fn new(file: &str, options: &HubOptions) -> Arc<Self> {
        let last_sign_of_life = Instant::now();
        Arc::new(Self {
            file: file.to_owned(),
            callback: options.progress.clone(),
            answer_timeout: options.answer_timeout,
            stall_timeout: options.stall_timeout,
            state: Mutex::new(State {
                answered: false,
                done: 0,
                total: 0,
                last_sign_of_life,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The length the hub announced, if it did.
    pub(super) fn total(&self) -> Option<u64> {
        Some(self.state().total).filter(|&total| total > 0)
    }

    /// Runs a transfer to its end, or drops it (which closes its connections
    /// and frees its lock) when it shows no life. There is no limit on the
    /// whole: a slow download may take hours.
    pub(super) async fn guard<F: Future>(&self, transfer: F) -> Result<F::Output, GivenUp> {
        let mut transfer = pin!(transfer);
        loop {
            match tokio::time::timeout(TICK, &mut transfer).await {
                Ok(output) => return Ok(output),
                Err(_) => self.check()?,
            }
        }
    }

    fn check(&self) -> Result<(), GivenUp> {
        let state = self.state();
        let waited = state.last_sign_of_life.elapsed();
        if !state.answered && waited >= self.answer_timeout {
            return Err(GivenUp::Silent(waited));
        }
        if state.answered && waited >= self.stall_timeout {
            return Err(GivenUp::Stalled {
                done: state.done,
                total: state.total,
                waited,
            });
        }
        Ok(())
    }

    fn answered(&self, total: u64) {
        let mut state = self.state();
        state.answered = true;
        state.total = total;
        state.last_sign_of_life = Instant::now();
    }

    /// hf-hub also reports when nothing moved, which is no sign of life.
    fn moved(&self, done: u64) {
        let mut state = self.state();
        if done <= state.done {
            return;
        }
        state.done = done;
        state.last_sign_of_life = Instant::now();
        let total = state.total;
        drop(state);
        if let Some(callback) = &self.callback {
            callback(&Progress {
                file: self.file.clone(),
                done,
                total,
            });
        }
    }
}

impl ProgressHandler for Watch {
    fn on_progress(&self, event: &ProgressEvent) {
        let ProgressEvent::Download(event) = event else {
            return;
        };
        match event {
            DownloadEvent::Start { total_bytes, .. } => self.answered(*total_bytes),
            DownloadEvent::Progress { files } => {
                // `Complete` repeats the announced length, whatever arrived.
                let moving = files.iter().filter(|f| f.status != FileStatus::Complete);
                moving.for_each(|f| self.moved(f.bytes_completed));
            }
            DownloadEvent::AggregateProgress {
                bytes_completed, ..
            } => self.moved(*bytes_completed),
            DownloadEvent::Complete => {}
        }
    }
}
