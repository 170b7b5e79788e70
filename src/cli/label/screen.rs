//! What the person sees. Plain lines, within the terminal's width, nothing moves.

use fewshot::active::{Question, Session};
use fewshot::data::{fold, visible};
use fewshot::metrics::wilson;
use unicode_width::UnicodeWidthStr;

use super::keys;
use crate::cli::failure::Failure;
use crate::cli::output;

/// Lines of a text that are shown at first.
const FIRST_LINES: usize = 12;
/// Labels that are named where there are more than keys.
const LIKELIEST: usize = 8;
/// Columns beyond which lines are hard to read.
const WIDEST: usize = 100;

fn width() -> usize {
    output::width().clamp(20, WIDEST)
}

/// A text with everything that helps to label it.
pub fn question(session: &Session, question: &Question, whole: bool) -> Result<(), Failure> {
    let width = width();
    let lines = if whole { usize::MAX } else { FIRST_LINES };
    let text = fold(&session.texts()[question.text], width - 2, lines);
    let cut = !whole && text.last().is_some_and(|line| line.ends_with('…'));
    let mut out = format!("\n{}\n\n", progress(session, width));
    text.iter().for_each(|line| out += &format!("  {line}\n"));
    out += "\n";
    wrapped(&mut out, &because(session, question), width);
    out += &format!("{}\n", choices(session, question, width));
    let commands = "sdunmqh".chars().filter(|&letter| cut || letter != 'm');
    let commands = commands.map(|letter| keys::shown(letter, session.classes()));
    let commands: Vec<String> = commands.filter(|shown| !shown.is_empty()).collect();
    wrapped(&mut out, &commands.join(" "), width);
    output::print(out.as_bytes())
}

fn wrapped(out: &mut String, text: &str, width: usize) {
    fold(text, width, usize::MAX)
        .iter()
        .for_each(|line| *out += &format!("{line}\n"));
}

/// Lines that the labels' counts may take.
const COUNT_LINES: usize = 2;

/// Labels of each class; below, how good the model is.
fn progress(session: &Session, width: usize) -> String {
    let mut lines = fold(&counts(session), width, COUNT_LINES);
    lines.extend(fold(&quality(session), width, usize::MAX));
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

fn counts(session: &Session) -> String {
    let (classes, counts) = (session.classes(), session.learner().counts());
    let labels = output::count(counts.iter().sum(), "label");
    let mut each: Vec<(&String, usize)> = classes.iter().zip(counts.iter().copied()).collect();
    if keys::of(classes).contains(&None) {
        // Many: those that have labels, most first.
        each.retain(|(_, count)| *count > 0);
        each.sort_by_key(|(_, count)| usize::MAX - count);
    }
    if each.is_empty() {
        return labels;
    }
    let each: Vec<String> = each
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    format!("{labels}: {}", each.join(", "))
}

fn quality(session: &Session) -> String {
    let mut said = Vec::new();
    let (right, all) = session.leave_one_out();
    if all > 1 && session.classes().len() > 1 {
        let (low, high) = wilson(right, all);
        let share = 100.0 * right as f64 / all as f64;
        let (low, high) = (100.0 * low, 100.0 * high);
        said.push(format!("held out {share:.0} % right ({low:.0}-{high:.0})"));
    }
    if session.is_stable() {
        said.push("predictions are stable: you may stop".to_owned());
    }
    said.join(" · ")
}

fn because(session: &Session, question: &Question) -> String {
    let why = format!("{} ({})", question.strategy.reason(), question.strategy);
    match question.guess {
        Some((class, probability)) => {
            let name = session.classes().get(class).map_or("", String::as_str);
            format!(
                "guess: {} {:.0} % · chosen: {why}",
                visible(name),
                100.0 * probability
            )
        }
        None => format!("chosen: {why}"),
    }
}

fn choices(session: &Session, question: &Question, width: usize) -> String {
    let classes = session.classes();
    if classes.is_empty() {
        return "no class yet: type n, then its name".to_owned();
    }
    if keys::of(classes).contains(&None) {
        return fold(&likeliest(session, question), width, usize::MAX).join("\n");
    }
    all_choices(classes, width)
}

/// A key and its label stay in one line.
fn all_choices(classes: &[String], width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (key, name) in keys::of(classes).into_iter().zip(classes) {
        let key = key.map_or_else(String::new, |key| format!("[{key}] "));
        let choice = fold(&format!("{key}{name}"), width, 1).concat();
        match lines.last_mut() {
            Some(line) if line.width() + 2 + choice.width() <= width => {
                *line += &format!("  {choice}");
            }
            _ => lines.push(choice),
        }
    }
    lines.join("\n")
}

/// More labels than keys: all their names would push the text off the screen.
fn likeliest(session: &Session, question: &Question) -> String {
    let (classes, labels) = (session.classes(), session.classes().len());
    let probabilities = session.learner().probabilities(question.text);
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    let names = order.iter().filter_map(|&class| classes.get(class));
    let names: Vec<&str> = names.take(LIKELIEST).map(String::as_str).collect();
    let how = format!("type the beginning of one of {labels} labels (h lists them)");
    match names.is_empty() {
        true => how,
        false => format!("{how}; likeliest: {}", names.join(", ")),
    }
}

const HELP: &str = "
s  skip: not now, perhaps another time
d  don't know: do not ask again
u  undo the last answer of this session
n  a new class
m  the whole text
h  this help
q  quit; the same command goes on here
- ~ < + > ? .  the same, where a label has the letter for itself
Where lines are typed, the beginning of a label or + and a new one do as well.
";

pub fn help(session: &Session) -> Result<(), Failure> {
    let mut out = format!("\n{}{HELP}", all_choices(session.classes(), width()));
    let journal = session.journal().path().display();
    wrapped(
        &mut out,
        &format!("Every answer is in {journal} at once."),
        width(),
    );
    output::print(out.as_bytes())
}

pub fn say(line: &str) -> Result<(), Failure> {
    output::print(format!("{}\n", visible(line)).as_bytes())
}
