//! What people read: standard error for messages, standard output for results.

use std::io::{IsTerminal, Write};

use fewshot::data::{DataError, visible};

use super::failure::Failure;

/// Says why a command failed. Control characters in it, from a file's name or a text, are shown
/// as symbols, so that they cannot disturb the terminal.
pub fn error(message: &str, hint: Option<&str>) {
    line("error", message);
    if let Some(hint) = hint {
        line("hint", hint);
    }
}

pub fn warning(message: &str) {
    line("warning", message);
}

pub fn note(message: &str) {
    line("note", message);
}

fn line(kind: &str, message: &str) {
    // Nothing can be done if standard error is gone.
    let _ = writeln!(std::io::stderr(), "{kind}: {}", visible(message));
}

/// Writes a result to standard output.
pub fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    Ok(written.map_err(|error| DataError::writing("standard output", error))?)
}

/// Writes one JSON document to standard output.
pub fn print_json(document: &serde_json::Value) -> Result<(), Failure> {
    print(format!("{document:#}\n").as_bytes())
}

/// Columns of the terminal that standard output is, else 100.
pub fn width() -> usize {
    const WITHOUT_TERMINAL: usize = 100;
    let columns = indicatif::TermLike::width(&console::Term::stdout());
    if std::io::stdout().is_terminal() {
        usize::from(columns)
    } else {
        WITHOUT_TERMINAL
    }
}

/// `1 text`, `2 texts`.
pub fn count(number: usize, thing: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{end}")
}

/// `12.3 kB`, `4.5 MB`, `1.2 GB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
