//! Question and answer: single keys at a terminal, lines from a pipe.

use std::io::{self, BufRead, IsTerminal};

use console::{Key, Term};
use fewshot::active::{Outcome, Question, Session};

use super::keys::{self, Wish};
use super::screen;
use crate::cli::failure::Failure;
use crate::cli::interrupt::{self, Polite};

/// Asks until the person, the texts or the budget end it.
pub fn run(session: &mut Session, budget: Option<usize>) -> Result<(), Failure> {
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
        let Some(wish) = read(session)? else {
            return Ok(false);
        };
        match wish {
            Wish::Quit => return Ok(false),
            Wish::Help => screen::help(session)?,
            Wish::More => screen::question(session, question, true)?,
            Wish::Unknown(what) => screen::say(&unknown(&what))?,
            Wish::NewClass => {
                let Some(name) = read_name()? else {
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
        prompt()?;
    }
}

/// Writes to the journal; Ctrl-C waits until the line is whole.
fn saved<E: Into<fewshot::Error>>(write: impl FnOnce() -> Result<(), E>) -> Result<bool, Failure> {
    let _polite = Polite::new();
    write().map_err(|error| Failure::from(error.into()))?;
    Ok(true)
}

fn unknown(what: &str) -> String {
    format!("`{what}` is none of the keys; h tells what there is")
}

fn prompt() -> Result<(), Failure> {
    crate::cli::output::print(b"> ")
}

/// Whether single keys can be read: at a terminal, if there are not more labels than keys.
fn by_key(session: &Session) -> bool {
    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    terminal && session.classes().len() <= keys::most_keys()
}

/// What the person wants; `None` at the end of the input.
fn read(session: &Session) -> Result<Option<Wish>, Failure> {
    if !by_key(session) {
        return Ok(read_line()?.map(|line| keys::typed(&line, session.classes())));
    }
    let labels = session.classes().len();
    // While keys are read, Ctrl-C only asks.
    let _polite = Polite::new();
    let key = Term::stdout().read_key();
    match key {
        Ok(Key::Char(key)) => {
            screen::say(&key.to_string())?;
            // Ctrl-D ends the input.
            Ok((key != '\u{4}').then(|| keys::pressed(key, labels)))
        }
        Ok(Key::CtrlC) => Err(interrupted()),
        Ok(Key::Escape) => Ok(Some(Wish::Quit)),
        Ok(_) => Ok(Some(Wish::Unknown("this key".to_owned()))),
        // The handler of Ctrl-C may not have run yet.
        Err(error) if error.kind() == io::ErrorKind::Interrupted || interrupt::asked() => {
            Err(interrupted())
        }
        // The terminal is gone.
        Err(_) => Ok(None),
    }
}

fn interrupted() -> Failure {
    Failure::Interrupted("every answer is saved".to_owned())
}

fn read_name() -> Result<Option<String>, Failure> {
    crate::cli::output::print(b"name of the new class: ")?;
    Ok(read_line()?.map(|line| line.trim().to_owned()))
}

/// A line from standard input; `None` at its end.
fn read_line() -> Result<Option<String>, Failure> {
    let mut line = Vec::new();
    let read = io::stdin().lock().read_until(b'\n', &mut line);
    match read {
        Ok(0) | Err(_) => Ok(None),
        Ok(_) => Ok(Some(String::from_utf8_lossy(&line).into_owned())),
    }
}
