//! Ctrl-C: at once where nothing is being written, else at the next whole line.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::failure::{Failure, INTERRUPTED};

static ASKED: AtomicBool = AtomicBool::new(false);
static WRITING: AtomicUsize = AtomicUsize::new(0);

/// Sets the handler.
pub fn install() -> Result<(), Failure> {
    let handler = || {
        let again = ASKED.swap(true, Ordering::SeqCst);
        if again || WRITING.load(Ordering::SeqCst) == 0 {
            if !again {
                // On a line of its own, behind a progress bar; nobody may read it any more.
                let _ = std::io::stderr().write_all(b"\nerror: interrupted\n");
            }
            std::process::exit(i32::from(INTERRUPTED));
        }
    };
    ctrlc::set_handler(handler)
        .map_err(|error| Failure::message(format!("cannot handle Ctrl-C: {error}")))
}

/// While one lives, Ctrl-C only asks; [`asked`] tells. A second one ends the process.
pub struct Polite;

impl Polite {
    pub fn new() -> Self {
        WRITING.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Polite {
    fn drop(&mut self) {
        WRITING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether Ctrl-C was pressed.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
