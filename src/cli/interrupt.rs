//! Ctrl-C: at once where nothing is being written, else at the next whole line.

use std::sync::atomic::{AtomicBool, Ordering};

use super::failure::{Failure, INTERRUPTED};

static ASKED: AtomicBool = AtomicBool::new(false);
static WRITING: AtomicBool = AtomicBool::new(false);

/// Sets the handler.
pub fn install() -> Result<(), Failure> {
    let handler = || {
        let again = ASKED.swap(true, Ordering::SeqCst);
        if again || !WRITING.load(Ordering::SeqCst) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    };
    ctrlc::set_handler(handler)
        .map_err(|error| Failure::message(format!("cannot handle Ctrl-C: {error}")))
}

/// While it lives, Ctrl-C only asks; [`asked`] tells. A second one ends the process.
pub struct Polite;

impl Polite {
    pub fn new() -> Self {
        WRITING.store(true, Ordering::SeqCst);
        Self
    }
}

impl Drop for Polite {
    fn drop(&mut self) {
        WRITING.store(false, Ordering::SeqCst);
    }
}

/// Whether Ctrl-C was pressed.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
