//! Question and answer: single keys at a terminal, lines from a pipe.

use std::io::{self, BufRead, IsTerminal};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use console::{Key, Term};
use fewshot::active::{Outcome, Question, Session};

use super::keys::{self, Wish};
use super::screen;
use crate::cli::failure::Failure;
use crate::cli::interrupt::{self, Polite};
use crate::cli::output;

/// How often a wait for a line looks for Ctrl-C.
const TICK: Duration = Duration::from_millis(50);

/// Asks until the person, the texts or the budget end it.
///
/// All the while Ctrl-C only asks: it waits for a line of the journal to be whole, and the last words
/// say where that is.
pub fn run(session: &mut Session, budget: Option<usize>) -> Result<(), Failure> {
    let _polite = Polite::new();
    loop {
        let labels = session.learner().answers().len();
        if budget.is_some_and(|budget| labels >= budget) {
            return screen::say("the budget is used up");
        }
        let Some(question) = session.question() else {
            return screen::say("no text is left");
        };
        if !ask(session, &question)? {
            return Ok(());
        }
    }
}

/// One text, until it is dealt with; false if that was the end.
fn ask(session: &mut Session, question: &Question) -> Result<bool, Failure> {
    screen::question(session, question, false)?;
    loop {
        output::print(b"> ")?;
        let Some(wish) = read(session)? else {
            return Ok(false);
        };
        match wish {
            Wish::Quit => return Ok(false),
            Wish::Help => screen::help(session)?,
            Wish::More => screen::question(session, question, true)?,
            Wish::Unknown(what) => screen::say(&unknown(&what))?,
            Wish::NewClass => {
                let Some(name) = read_name(session)? else {
                    return Ok(false);
                };
                if !name.is_empty() {
                    return saved(|| session.answer(question, &name));
                }
            }
            Wish::Named(name) => return saved(|| session.answer(question, &name)),
            Wish::Label(class) => {
                let name = session.classes()[class].clone();
                return saved(|| session.answer(question, &name));
            }
            Wish::Skip => return saved(|| session.pass(question, Outcome::Skip)),
            Wish::Unsure => return saved(|| session.pass(question, Outcome::Unsure)),
            Wish::Undo => {
                let mut undone = None;
                saved(|| session.undo().map(|text| undone = text))?;
                if undone.is_some() {
                    return Ok(true);
                }
                screen::say("nothing to undo in this session")?;
            }
        }
    }
}

/// Writes to the journal.
fn saved<E: Into<fewshot::Error>>(write: impl FnOnce() -> Result<(), E>) -> Result<bool, Failure> {
    write().map_err(|error| Failure::from(error.into()))?;
    Ok(true)
}

fn unknown(what: &str) -> String {
    match what {
        "" => "type a key, or the beginning of a label; h tells what there is".to_owned(),
        _ => format!("`{what}` is no key and no label; h tells what there is"),
    }
}

/// Whether single keys can be read: at a terminal, if there are not more labels than keys.
fn by_key(session: &Session) -> bool {
    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    terminal && keys::of(session.classes()).iter().all(Option::is_some)
}

/// What the person wants; `None` at the end of the input.
fn read(session: &Session) -> Result<Option<Wish>, Failure> {
    if !by_key(session) {
        return Ok(read_line(session)?.map(|line| keys::typed(&line, session.classes())));
    }
    // Raw: on any signal the other way to read sends a Ctrl-C of its own, the second one.
    let key = (!interrupt::asked()).then(|| Term::stdout().read_key_raw());
    match key {
        // Asked before or while it waited.
        _ if interrupt::asked() => Err(interrupted(session)),
        // Ctrl-D ends the input.
        Some(Ok(Key::Char('\u{4}'))) => Ok(None),
        Some(Ok(Key::Char(key))) => {
            screen::say(&key.to_string())?;
            Ok(Some(keys::pressed(key, session.classes())))
        }
        // Or the terminal is gone.
        Some(Ok(Key::CtrlC) | Err(_)) | None => Err(interrupted(session)),
        // Arrows and the like; also Escape, which the first byte of an arrow is on a slow line.
        Some(Ok(_)) => Ok(Some(Wish::Unknown("this key".to_owned()))),
    }
}

fn interrupted(session: &Session) -> Failure {
    let journal = session.journal().path().display();
    Failure::Interrupted(format!(
        "every answer is in {journal}, and the same command goes on there"
    ))
}

fn read_name(session: &Session) -> Result<Option<String>, Failure> {
    output::print(b"name of the new class: ")?;
    Ok(read_line(session)?.map(|line| line.trim().to_owned()))
}

/// A line from standard input; `None` at its end.
///
/// It is read on a thread of its own, since the wait for it cannot be broken off and Ctrl-C has to
/// say where the answers are.
fn read_line(session: &Session) -> Result<Option<String>, Failure> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut line = Vec::new();
        let read = io::stdin().lock().read_until(b'\n', &mut line);
        // Nobody waits for it any more after Ctrl-C.
        let _ = sender.send(read.map(|_| line));
    });
    loop {
        if interrupt::asked() {
            return Err(interrupted(session));
        }
        match receiver.recv_timeout(TICK) {
            Ok(Ok(line)) if !line.is_empty() => {
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            Err(RecvTimeoutError::Timeout) => {}
            _ => return Ok(None),
        }
    }
}
