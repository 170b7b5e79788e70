//! What happens on a terminal, by way of `script` from util-linux.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::support::{Folder, Outcome, encoder};

/// Types `keys` to a command on a pseudo-terminal; nothing without `script`.
fn typed(folder: &Folder, line: &str, keys: &str) -> Option<Outcome> {
    // Keys typed before the question would meet a terminal that is not set up yet.
    typed_after(folder, line, &[("> ", keys)])
}

/// Types something each time that something else has been shown.
fn typed_after(folder: &Folder, line: &str, steps: &[(&str, &str)]) -> Option<Outcome> {
    if Command::new("script").arg("--version").output().is_err() {
        println!("skipped: `script` of util-linux is not there");
        return None;
    }
    let binary = env!("CARGO_BIN_EXE_fewshot");
    let model = encoder("tiny-mpnet");
    let call = format!("stty cols 80; {binary} {line} --model {}", model.display());
    let mut command = Command::new("script");
    command
        .current_dir(folder.path("."))
        .args(["-qec", &call, "/dev/null"])
        .env("TERM", "xterm");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = Vec::new();
    let mut screen = child.stdout.take().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for (after, keys) in steps {
        let mut byte = [0];
        while !shown.ends_with(after.as_bytes()) && screen.read(&mut byte).unwrap() == 1 {
            shown.push(byte[0]);
        }
        stdin.write_all(keys.as_bytes()).unwrap();
    }
    drop(stdin);
    screen.read_to_end(&mut shown).unwrap();
    let mut output = child.wait_with_output().unwrap();
    output.stdout = shown;
    Some(Outcome::new(&call, output))
}

#[test]
fn without_an_input_it_asks_and_answers() {
    let folder = Folder::new();
    let line = "classify --head prototype --examples few.jsonl";
    let Some(outcome) = typed(&folder, line, "the dog\n\nmy money\n\x04") else {
        return;
    };
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert!(
        outcome
            .stdout
            .contains("labels: animal, money; type a text and Enter"),
        "{outcome:#?}"
    );
    let answers = outcome
        .stdout
        .lines()
        .filter(|line| line.contains("(animal 0.") || line.contains("(money 0."));
    assert_eq!(answers.count(), 2, "{outcome:#?}");
}

#[test]
fn an_answer_can_be_explained() {
    let folder = Folder::new();
    let line = "classify --head prototype --examples few.jsonl --explain 2";
    let Some(outcome) = typed(&folder, line, "the dog and the cat walk\n\x04") else {
        return;
    };
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    let itself = "1.00  animal: the dog and the cat walk";
    let first = lines.iter().position(|line| line.ends_with(itself));
    let first = first.unwrap_or_else(|| panic!("{outcome:#?}"));
    let starts = |line: &str, parts: [&str; 2]| parts.iter().any(|part| line.starts_with(part));
    assert!(lines[first - 1].contains("(animal ") || lines[first - 1].contains("(money "));
    assert!(starts(lines[first + 1], ["   0.", "  -0."]), "{outcome:#?}");
}

#[test]
fn ctrl_c_ends_the_questions() {
    let folder = Folder::new();
    let line = "classify --head prototype --examples few.jsonl";
    // The second step waits for the end: an end of input right behind Ctrl-C could overtake it.
    let steps = [("> ", "the dog\n\x03"), ("\0", "")];
    if let Some(outcome) = typed_after(&folder, line, &steps) {
        assert_eq!(outcome.code, Some(130), "{outcome:#?}");
    }
}

/// Escape sequences in texts, labels and names reach the terminal as symbols.
#[test]
fn control_characters_stay_away_from_the_terminal() {
    let folder = Folder::new();
    let examples = [
        ("the dog", "an\x1b[31mimal"),
        ("my money", "money"),
        ("a fox", "an\x1b[31mimal"),
    ];
    folder.write("few.jsonl", crate::support::example_lines(&examples));
    folder.write("new.txt", "a \x1b]0;evil\x07 dog \u{9b}2J\n");
    let outcome = folder
        .run("classify --head prototype --examples few.jsonl new.txt --format table")
        .ok();
    let shown = outcome.stdout.clone() + &outcome.stderr;
    assert!(
        !shown.contains(['\x1b', '\x07', '\u{9b}']) && shown.contains("␛]0;evil␇"),
        "{outcome:#?}"
    );
    folder.write(
        "test.jsonl",
        crate::support::example_lines(&[("a\x1b[2Jb", "x\x1b[2J")]),
    );
    let outcome = folder
        .run("evaluate --head prototype --examples few.jsonl --test test.jsonl")
        .ok();
    assert!(!(outcome.stdout + &outcome.stderr).contains('\x1b'));
    folder.write("few.jsonl", "{\"text\": \"a\", \"\\u001b[2J\": 1}\n");
    let outcome = folder
        .run("classify --examples few.jsonl new.txt")
        .failed(1);
    assert!(
        !outcome.stderr.contains('\x1b') && outcome.stderr.contains('␛'),
        "{outcome:#?}"
    );
}

/// One key a label, no Enter; Ctrl-C says that all is saved.
#[test]
fn labels_are_single_keys_on_a_terminal() {
    let folder = Folder::new();
    let line = "label --no-cache --pool new.txt --labels j.jsonl --classes animal,money";
    let Some(outcome) = typed_after(&folder, line, &[("> ", "12"), ("2 labels", "\x03")]) else {
        return;
    };
    assert_eq!(outcome.code, Some(130), "{outcome:#?}");
    assert!(
        outcome
            .stdout
            .contains("every answer is in j.jsonl, and the same command goes on"),
        "{outcome:#?}"
    );
    assert_eq!(folder.read("j.jsonl").lines().count(), 2);
    let outcome = typed(&folder, line, "q").expect("as before");
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert!(
        outcome.stdout.contains("2 labels in j.jsonl"),
        "{outcome:#?}"
    );
}

/// The whole screen, 80 columns wide, of a text with everything in it that can go wrong.
#[test]
fn the_screen_of_labelling() {
    let folder = Folder::new();
    let text = "The dog\u{1b}[2J walks, \u{202e}and 猫が歩く。 ".repeat(9);
    folder.write("new.txt", format!("{text}\n"));
    let line = "label -q --no-cache --pool new.txt --labels j.jsonl --classes animal,money \
                < keys";
    folder.write("keys", "h\nx\n1\n");
    // From a file, since the terminal may or may not echo a key that comes early.
    let Some(outcome) = typed(&folder, line, "") else {
        return;
    };
    let screen = outcome.stdout.replace('\r', "");
    insta::assert_snapshot!(screen, @r#"

    0 labels: animal 0, money 0

      The dog␛[2J walks, �and 猫が歩く。 The dog␛[2J walks, �and 猫が歩く。 The
      dog␛[2J walks, �and 猫が歩く。 The dog␛[2J walks, �and 猫が歩く。 The dog␛[2J
      walks, �and 猫が歩く。 The dog␛[2J walks, �and 猫が歩く。 The dog␛[2J walks,
      �and 猫が歩く。 The dog␛[2J walks, �and 猫が歩く。 The dog␛[2J walks, �and
      猫が歩く。

    guess: animal 50 % · chosen: stands for many texts that no label covers yet
    (rep)
    [1] animal  [2] money
    s)kip d)on't know u)ndo n)ew class q)uit h)elp
    > 
    [1] animal  [2] money
    s  skip: not now, perhaps another time
    d  don't know: do not ask again
    u  undo the last answer of this session
    n  a new class
    m  the whole text
    h  this help
    q  quit; the same command goes on here
    - ~ < + > ? .  the same, where a label has the letter for itself
    Where lines are typed, the beginning of a label or + and a new one do as well.
    Every answer is in j.jsonl at once.
    > `x` is no key and no label; h tells what there is
    > no text is left
    1 label in j.jsonl
    two classes need a label before they can be told apart; the same command goes on
    "#);
    assert!(
        screen
            .lines()
            .all(|line| unicode_width::UnicodeWidthStr::width(line) <= 80)
    );
}
