//! Labelling: the journal, going on, and what goes wrong.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use crate::support::{Folder, Outcome, column, encoder, rows};

const LABEL: &str = "label --no-cache --pool pool.txt --labels journal.jsonl";
const POOL: &str =
    "the old dog\nmy money\nthe cat and the fox\nreturn 9 €\na lazy dog\nsend money back\n";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("pool.txt", POOL);
    folder
}

/// What a person would type for the texts shown, who knows dogs, cats and foxes.
fn label_all(folder: &Folder, line: &str, most: usize) -> Vec<String> {
    let mut child = folder
        .command(line)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut screen = BufReader::new(child.stdout.take().unwrap());
    let mut asked = Vec::new();
    let mut shown = Vec::new();
    while asked.len() < most && screen.read_until(b'>', &mut shown).unwrap() > 0 {
        let part = String::from_utf8(std::mem::take(&mut shown)).unwrap();
        let Some(text) = part.lines().find_map(|line| line.strip_prefix("  ")) else {
            break;
        };
        let animal = ["dog", "cat", "fox"].iter().any(|word| text.contains(word));
        asked.push(text.to_owned());
        writeln!(stdin, "{}", if animal { "animal" } else { "money" }).unwrap();
    }
    drop(stdin);
    let mut rest = String::new();
    screen.read_to_string(&mut rest).unwrap();
    Outcome::new(line, child.wait_with_output().unwrap()).ok();
    asked
}

#[test]
fn labels_can_be_classified_with() {
    let folder = folder();
    let asked = label_all(&folder, &format!("{LABEL} --classes animal,money"), 9);
    assert_eq!(asked.len(), 6);
    let journal = rows(&folder.read("journal.jsonl"));
    assert_eq!(column(&journal, "text"), asked);
    assert!(
        journal
            .iter()
            .all(|row| row["journal"] == "answer" && row["strategy"].is_string())
    );
    let line = "classify --head linear --examples journal.jsonl new.txt";
    let labels = column(&folder.run(line).ok().rows(), "label");
    assert_eq!(labels, ["animal", "money", "animal", "money"]);
}

/// The same texts in the same order, whether in one go or in three.
#[test]
fn it_goes_on_where_it_was() {
    let (straight, broken) = (folder(), folder());
    let line = format!("{LABEL} --classes animal,money");
    let whole = label_all(&straight, &line, 9);
    let mut parts = label_all(&broken, &line, 2);
    parts.extend(label_all(&broken, &line, 1));
    parts.extend(label_all(&broken, &line, 9));
    assert_eq!(parts, whole);
    assert_eq!(broken.read("journal.jsonl"), straight.read("journal.jsonl"));
}

#[test]
fn skips_undo_and_late_classes_are_in_the_journal_and_not_among_the_examples() {
    let folder = folder();
    let keys = "s\nd\n+ animal\n+ money\nu\n+ money\n+ plant\nq\n";
    let outcome = folder.run_with(LABEL, keys).ok();
    assert!(
        outcome.stdout.contains("3 labels in journal.jsonl"),
        "{outcome:#?}"
    );
    assert!(
        outcome
            .stdout
            .contains("next: fewshot classify --examples journal.jsonl pool.txt")
    );
    let journal = column(&rows(&folder.read("journal.jsonl")), "journal");
    let wanted = [
        "skip", "unsure", "answer", "answer", "undo", "answer", "answer",
    ];
    assert_eq!(journal, wanted);
    let line = "classify --head prototype --examples journal.jsonl new.txt";
    let rows = folder.run(line).ok().rows();
    let labels: Vec<&String> = rows[0]["probabilities"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(labels, ["animal", "money", "plant"]);
}

#[test]
fn the_screen_of_a_first_text() {
    let folder = folder();
    let long = "word ".repeat(300) + "\u{1b}[2J\u{202e}end";
    folder.write("pool.txt", long);
    let outcome = folder
        .run_with(&format!("{LABEL} --classes yes,no"), "h\nq\n")
        .ok();
    assert!(!outcome.stdout.contains(['\u{1b}', '\u{202e}']));
    let screen: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(screen[1], "0 labels: yes 0, no 0");
    assert!(
        screen
            .iter()
            .filter(|line| line.starts_with("  word"))
            .count()
            == 12
    );
    assert!(screen.iter().any(|line| line.ends_with('…')));
    assert!(screen.contains(&"[1] yes [2] no"));
    assert!(screen.iter().any(|line| line.contains("m)ore")));
    assert!(screen.iter().all(|line| line.chars().count() <= 100));
}

#[test]
fn the_budget_ends_it_and_equal_texts_are_asked_once() {
    let folder = folder();
    folder.write("pool.txt", "the dog\n\nthe dog\nthe dog \nmy money\n");
    let line = format!("{LABEL} --classes animal,money");
    let outcome = folder
        .run_with(&format!("{line} --budget 1"), "1\n1\n1\n")
        .ok();
    assert!(
        outcome.stdout.contains("the budget is used up"),
        "{outcome:#?}"
    );
    let outcome = outcome.says(&["pool.txt: 1 blank text left out"]);
    drop(outcome);
    let outcome = folder.run_with(&line, "1\n1\n1\n1\n").ok();
    assert!(outcome.stdout.contains("no text is left"), "{outcome:#?}");
    assert_eq!(folder.read("journal.jsonl").lines().count(), 2);
}

#[test]
fn a_large_pool_is_drawn_from_and_the_journal_counts_all_the_same() {
    let folder = folder();
    let many: String = (0..500).map(|at| format!("text number {at}\n")).collect();
    folder.write("pool.txt", many);
    folder.write("journal.jsonl", "{\"text\":\"elsewhere\",\"label\":\"a\"}");
    let outcome = folder
        .run_with(&format!("{LABEL} --shortlist 20"), "1\n")
        .ok();
    assert!(outcome.stdout.contains("1 label: a 1"), "{outcome:#?}");
    outcome.says(&[
        "20 of 500 texts were drawn",
        "1 labelled text of the journal not in the pool",
    ]);
    assert_eq!(folder.read("journal.jsonl").lines().count(), 2);
}

/// Descriptions name the classes, and there is a guess before any answer.
#[test]
fn descriptions_of_the_classes_say_something_from_the_start() {
    let folder = folder();
    let prompt =
        "task = \"x\"\n[labels]\nanimal = [\"a dog or a cat\"]\nmoney = [\"send money back\"]\n";
    folder.write("p.toml", prompt);
    let outcome = folder
        .run_with(&format!("{LABEL} --prompt p.toml"), "q\n")
        .ok();
    assert!(
        outcome.stdout.contains("0 labels: animal 0, money 0"),
        "{outcome:#?}"
    );
    assert!(outcome.stdout.contains("guess: "), "{outcome:#?}");
    let outcome = folder.run_with(LABEL, "q\n").ok();
    assert!(!outcome.stdout.contains("guess: "), "{outcome:#?}");
}

/// Killed while it waits for the next answer: what was answered is there.
#[test]
#[cfg(unix)]
fn a_kill_loses_no_answer_and_a_cut_line_is_set_aside() {
    let folder = folder();
    let mut child = folder
        .command(&format!("{LABEL} --classes animal,money"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut screen = BufReader::new(child.stdout.take().unwrap());
    let mut shown = Vec::new();
    for _ in 0..3 {
        screen.read_until(b'>', &mut shown).unwrap();
        writeln!(stdin, "1").unwrap();
    }
    screen.read_until(b'>', &mut shown).unwrap();
    // While it lives, nobody else labels into its journal.
    folder
        .run(LABEL)
        .failed(1)
        .says(&["in use by another process", "hint: end the other one"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let journal = folder.read("journal.jsonl");
    assert_eq!(journal.lines().count(), 3);
    folder.write("journal.jsonl", format!("{journal}{{\"text\": \"the o"));
    let outcome = folder.run_with(LABEL, "q\n").ok();
    outcome.says(&[
        "the last line of journal.jsonl was cut off",
        "journal.jsonl.damaged",
    ]);
    assert_eq!(folder.read("journal.jsonl"), journal);
    assert_eq!(folder.read("journal.jsonl.damaged"), "{\"text\": \"the o\n");
}

/// A file that cannot grow, as on a full disk.
#[test]
#[cfg(unix)]
fn an_answer_that_cannot_be_written_is_not_taken() {
    let folder = folder();
    label_all(&folder, &format!("{LABEL} --classes animal,money"), 2);
    let journal = folder.read("journal.jsonl");
    folder.write("keys", "1\n");
    // Blocks of the shell's limit are 512 or 1,024 bytes; the journal is padded to the limit.
    let padding = 1024 - journal.len() - "{\"text\":\"\",\"label\":\"animal\"}\n".len();
    let line = format!(
        "{{\"text\":\"{}\",\"label\":\"animal\"}}\n",
        "x".repeat(padding)
    );
    let full = format!("{journal}{line}");
    folder.write("journal.jsonl", &full);
    let model = encoder("tiny-mpnet");
    let limit = if cfg!(target_os = "macos") { 2 } else { 1 };
    let call = format!(
        "trap '' XFSZ; ulimit -f {limit}; {} {LABEL} --model {} < keys",
        env!("CARGO_BIN_EXE_fewshot"),
        model.display()
    );
    let mut command = std::process::Command::new("bash");
    command.args(["-c", &call]).current_dir(folder.path("."));
    let outcome = Outcome::new(&call, command.output().unwrap());
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    let outcome =
        outcome.says(&["the answer is not saved: cannot write the journal journal.jsonl"]);
    outcome.says(&["hint: make room"]);
    assert_eq!(folder.read("journal.jsonl"), full);
}

#[test]
fn wrong_input_is_named() {
    let folder = folder();
    folder.write("spoilt.jsonl", "{\"text\":\"a\",\"label\":\"x\"}\nhello\n");
    folder.write("other.jsonl", "{\"text\":\"a\",\"label\":\"x\"}\n");
    folder.write("blank.txt", "\n \n");
    std::fs::create_dir(folder.path("dir.jsonl")).unwrap();
    let label = |rest: &str| folder.run(&format!("label --no-cache {rest}"));
    let pool = "--pool pool.txt";
    label(&format!("{pool} --labels spoilt.jsonl"))
        .failed(1)
        .says(&["spoilt.jsonl:2 is no line of a journal"]);
    label(&format!("{pool} --labels dir.jsonl"))
        .failed(1)
        .says(&["dir.jsonl is no file"]);
    label(&format!("{pool} --labels j.csv"))
        .failed(2)
        .says(&["does not end in .jsonl"]);
    label(&format!("{pool} --labels other.jsonl --classes a,b"))
        .failed(1)
        .says(&[
            "has the label `x`, which --classes does not name",
            "add it to --classes",
        ]);
    label(&format!("{pool} --labels j.jsonl --classes a,a"))
        .failed(2)
        .says(&["names `a` twice"]);
    label(&format!("{pool} --labels j.jsonl --classes a,"))
        .failed(2)
        .says(&["a blank name"]);
    label("--pool blank.txt --labels j.jsonl")
        .failed(1)
        .says(&["has no text to label"]);
    label(&format!("{pool} --labels j.jsonl --strategy best"))
        .failed(2)
        .says(&["q-learning or one of"]);
    label(&format!(
        "{pool} --labels j.jsonl --strategy rep --policy p.json"
    ))
    .failed(2)
    .says(&["leave one"]);
    label(&format!("{pool} --labels missing/j.jsonl"))
        .failed(1)
        .says(&["cannot open the journal missing/j.jsonl"]);
}

#[test]
fn policies_that_do_not_fit_are_refused() {
    let folder = folder();
    let sound = include_str!("../../src/active/policy.json");
    let run = |text: &str| {
        folder.write("p.json", text);
        folder.run_with(&format!("{LABEL} --policy p.json"), "q\n")
    };
    run(sound).ok();
    for (from, to, says) in [
        (
            "\"format\": 1",
            "\"format\": 2",
            "its format is 2, this version reads 1",
        ),
        ("\"rep\"", "\"best\"", "`best` is no strategy"),
        ("0-3 labels", "0-4 labels", "its states are not"),
        ("\"values\": [", "\"values\": [[NaN],", "is no policy"),
        ("\"values\": [", "\"values\": [[1.0],", "one row a state"),
        ("\"visits\"", "\"visitors\"", "is no policy"),
    ] {
        assert!(sound.contains(from), "{from}");
        run(&sound.replacen(from, to, 1))
            .failed(1)
            .says(&[says, "fewshot policy train"]);
    }
}
