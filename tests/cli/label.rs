//! Labelling: the journal, going on, and what goes wrong.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use crate::support::{Folder, Outcome, column, encoder, rows};

const LABEL: &str = "label --no-cache --pool pool.txt --labels journal.jsonl";
const POOL: &str =
    "the old dog\nmy money\nthe cat and the fox\nreturn 9 €\na lazy dog\nsend money back\n";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("pool.txt", POOL);
    folder
}

/// A labelling in progress: what is shown, and a keyboard.
struct Dialogue {
    child: Child,
    keys: ChildStdin,
    screen: BufReader<ChildStdout>,
}

impl Dialogue {
    fn start(folder: &Folder, line: &str) -> Self {
        let mut child = folder
            .command(line)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            keys: child.stdin.take().unwrap(),
            screen: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// All up to the next question, which ends in `>`; nothing at the end.
    fn question(&mut self) -> String {
        let mut shown = Vec::new();
        self.screen.read_until(b'>', &mut shown).unwrap();
        String::from_utf8(shown).unwrap()
    }

    fn answer(&mut self, line: &str) {
        writeln!(self.keys, "{line}").unwrap();
    }

    /// The end: what was still shown, and how it went out.
    fn end(mut self, line: &str) -> (String, Outcome) {
        drop(self.keys);
        let mut rest = String::new();
        self.screen.read_to_string(&mut rest).unwrap();
        (
            rest,
            Outcome::new(line, self.child.wait_with_output().unwrap()),
        )
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// What a person would type for the texts shown, who knows dogs, cats and foxes.
fn label_all(folder: &Folder, line: &str, most: usize) -> Vec<String> {
    let mut dialogue = Dialogue::start(folder, line);
    let mut asked = Vec::new();
    while asked.len() < most {
        let shown = dialogue.question();
        let Some(text) = shown.lines().find_map(|line| line.strip_prefix("  ")) else {
            break;
        };
        let animal = ["dog", "cat", "fox"].iter().any(|word| text.contains(word));
        asked.push(text.to_owned());
        dialogue.answer(if animal { "animal" } else { "money" });
    }
    dialogue.end(line).1.ok();
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

/// The same command goes on, although a class was added that it does not name.
#[test]
fn classes_added_on_the_way_are_classes_the_next_time() {
    let folder = folder();
    let line = format!("{LABEL} --classes animal,money");
    folder.run_with(&line, "1\n+ plant\nq\n").ok().silent();
    let outcome = folder.run_with(&line, "plant\nq\n").ok();
    assert!(
        outcome
            .stdout
            .contains("3 labels: animal 1, money 0, plant 2"),
        "{outcome:#?}"
    );
    outcome.says(&["labels that are not named here; they are classes too: `plant`"]);
}

/// What is typed is what is meant, where lines are read as where keys are.
#[test]
fn labels_that_are_digits_are_their_own_keys() {
    let folder = folder();
    let outcome = folder
        .run_with(&format!("{LABEL} --classes 0,1"), "1\n0\nq\n")
        .ok();
    assert!(outcome.stdout.contains("[0] 0  [1] 1"), "{outcome:#?}");
    let labels = column(&rows(&folder.read("journal.jsonl")), "label");
    assert_eq!(labels, ["1", "0"]);
}

/// `n` asked for the name of a new class, and the next answer became one.
#[test]
fn labels_that_are_letters_come_before_commands() {
    let folder = folder();
    let outcome = folder
        .run_with(&format!("{LABEL} --classes y,n"), "y\nn\ny\nq\n")
        .ok();
    assert!(outcome.stdout.contains("[y] y  [n] n"), "{outcome:#?}");
    assert!(
        outcome.stdout.contains("+) new class q)uit"),
        "{outcome:#?}"
    );
    let labels = column(&rows(&folder.read("journal.jsonl")), "label");
    assert_eq!(labels, ["y", "n", "y"]);
}

/// One text; a class that nobody gives; texts of one class only.
#[test]
fn small_and_one_sided_pools_come_to_an_end() {
    let folder = folder();
    folder.write("pool.txt", "the old dog\n");
    let outcome = folder.run_with(LABEL, "x\n\n+ animal\n").ok();
    assert!(outcome.stdout.contains("`x` is no key and no label"));
    assert!(outcome.stdout.contains("type a key, or the beginning"));
    assert!(outcome.stdout.contains("no text is left"), "{outcome:#?}");
    assert!(outcome.stdout.contains("two classes need a label"));
    folder.write("pool.txt", POOL);
    let line = "label --no-cache pool.txt --labels other.jsonl --classes yes,no";
    let outcome = folder.run_with(line, "1\n".repeat(9)).ok();
    assert!(
        outcome.stdout.contains("6 labels in other.jsonl"),
        "{outcome:#?}"
    );
    folder
        .run("classify --examples other.jsonl new.txt")
        .failed(1)
        .says(&["`yes`", "hint: add examples of another label"]);
}

/// 70 classes: the text stays on the screen, labels go by their names.
#[test]
fn more_labels_than_keys_go_by_their_names() {
    let folder = folder();
    let classes: Vec<String> = (0..70).map(|at| format!("topic{at}")).collect();
    let line = format!("{LABEL} --classes {}", classes.join(","));
    let outcome = folder.run_with(&line, "topic69\ntopic7\nh\nq\n").ok();
    let first: Vec<&str> = outcome.stdout.lines().take(10).collect();
    assert_eq!(first[1], "0 labels");
    assert!(first.iter().any(|line| line.contains("one of 70 labels")));
    assert!(
        outcome.stdout.contains("2 labels: topic7 1, topic69 1"),
        "{outcome:#?}"
    );
    assert!(outcome.stdout.contains("[9] topic8"));
}

/// The command that is named at the end works, whatever the pool's fields and names are.
#[test]
fn the_next_command_reads_the_same_pool() {
    let folder = folder();
    let pool = POOL
        .lines()
        .map(|text| format!("{{\"body\":\"{text}\"}}\n"));
    folder.write("pool.jsonl", pool.collect::<String>());
    let line = "label --no-cache pool.jsonl --text-field body --labels journal.jsonl";
    let outcome = folder.run_with(line, "+ animal\n+ money\n1\nq\n").ok();
    let next = outcome.stdout.lines().last().unwrap();
    let (train, predict) = next.split_once(" && ").unwrap();
    let train = train.trim_start_matches("next: fewshot ");
    folder.run(&format!("{train} --head prototype")).ok();
    let predict = predict.trim_start_matches("fewshot ");
    let model = encoder("tiny-mpnet");
    let outcome = folder.run(&format!("{predict} --model {}", model.display()));
    assert_eq!(outcome.ok().rows().len(), 6);
}

#[test]
fn the_next_command_computes_where_and_as_this_one_did() {
    let line = format!("{LABEL} --classes animal,money --precision f32 --device cpu");
    let outcome = folder().run_with(&line, "1\n2\nq\n").ok();
    let next = outcome.stdout.lines().last().unwrap();
    assert!(next.contains(" --precision f32 --device cpu"), "{next}");
}

#[test]
fn the_whole_of_a_long_text_is_shown_when_asked_for() {
    let folder = folder();
    folder.write("pool.txt", "word ".repeat(900) + "end");
    let outcome = folder.run_with(&format!("{LABEL} --classes yes,no"), "m\nq\n");
    let outcome = outcome.ok();
    let words = outcome
        .stdout
        .lines()
        .filter(|line| line.starts_with("  word"));
    assert!(words.count() > 12 + 40 && outcome.stdout.contains(" end\n"));
    assert_eq!(outcome.stdout.matches("> ").count(), 2, "{outcome:#?}");
}

/// Ctrl-C, a closed connection, the end of a login: all say where the answers are.
#[test]
#[cfg(unix)]
fn signals_end_it_with_a_word_about_the_journal() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let folder = folder();
        let mut dialogue = Dialogue::start(&folder, &format!("{LABEL} --classes animal,money"));
        dialogue.question();
        dialogue.answer("1");
        dialogue.question();
        let id = dialogue.child.id().to_string();
        let kill = std::process::Command::new("kill")
            .args([signal, &id])
            .status();
        assert!(kill.unwrap().success());
        // The keyboard stays: it is the signal that ends it.
        assert_eq!(dialogue.child.wait().unwrap().code(), Some(130));
        let (rest, outcome) = dialogue.end(signal);
        assert!(rest.contains("1 label in journal.jsonl"), "{rest}");
        assert_eq!(outcome.code, Some(130), "{outcome:#?}");
        outcome
            .says(&["interrupted; every answer is in journal.jsonl, and the same command goes on"]);
        assert_eq!(folder.read("journal.jsonl").lines().count(), 1);
    }
}

/// Killed again and again, at any moment: whatever was acknowledged by the next text is there.
#[test]
#[cfg(unix)]
fn kills_at_any_moment_lose_nothing() {
    let folder = folder();
    let many: String = (0..400).map(|at| format!("text number {at}\n")).collect();
    folder.write("pool.txt", many);
    let mut acknowledged = 0;
    for round in 0..6 {
        let line = format!("{LABEL} --classes animal,money --strategy random");
        let Dialogue {
            mut child,
            mut keys,
            screen,
        } = Dialogue::start(&folder, &line);
        let (told, said) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let shown = screen.lines().map_while(Result::ok);
            let counts = shown.filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
            counts.for_each(|line| drop(told.send(line)));
        });
        let first = said.recv().unwrap();
        assert!(
            first.starts_with(&format!("{acknowledged} label")),
            "{first}"
        );
        // All at once: it is at work when it is killed.
        keys.write_all("1\n2\n".repeat(20).as_bytes()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(3 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
        let last = said.try_iter().last().unwrap_or(first);
        let told: usize = last.split(' ').next().unwrap().parse().unwrap();
        let kept = folder.read("journal.jsonl").matches('\n').count();
        assert!(kept >= told, "{kept} kept of {told}");
        acknowledged = kept;
    }
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
    assert!(screen.contains(&"[1] yes  [2] no"));
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
        .run_with(&format!("{LABEL} --shortlist 20"), "a\n")
        .ok();
    assert!(outcome.stdout.contains("1 label: a 1"), "{outcome:#?}");
    outcome.says(&[
        "20 of 500 texts were drawn",
        "1 labelled text of the journal not among the texts to choose from",
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
    let outcome = folder
        .run_with(&format!("{LABEL} --prompt p.toml"), "1\n2\n")
        .ok();
    assert!(
        outcome.stdout.ends_with(" --prompt p.toml\n"),
        "{outcome:#?}"
    );
    std::fs::remove_file(folder.path("journal.jsonl")).unwrap();
    let outcome = folder.run_with(LABEL, "q\n").ok();
    assert!(!outcome.stdout.contains("guess: "), "{outcome:#?}");
}

/// Killed while it waits for the next answer: what was answered is there.
#[test]
#[cfg(unix)]
fn a_kill_loses_no_answer_and_a_cut_line_is_set_aside() {
    let folder = folder();
    let mut dialogue = Dialogue::start(&folder, &format!("{LABEL} --classes animal,money"));
    for _ in 0..3 {
        dialogue.question();
        dialogue.answer("1");
    }
    dialogue.question();
    // While it lives, nobody else labels into its journal.
    folder
        .run(LABEL)
        .failed(1)
        .says(&["in use by another process", "hint: end the other one"]);
    dialogue.kill();
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

/// A file that cannot grow, as on a full disk: neither a byte of the line nor half of it stays.
#[test]
#[cfg(unix)]
fn an_answer_that_cannot_be_written_is_not_taken() {
    for room in [0, 40] {
        let folder = folder();
        label_all(&folder, &format!("{LABEL} --classes animal,money"), 2);
        let journal = folder.read("journal.jsonl");
        folder.write("keys", "1\n");
        // Blocks of the shell's limit are 512 or 1,024 bytes; the journal is padded to the limit.
        let line = |text: &str| format!("{{\"text\":\"{text}\",\"label\":\"animal\"}}\n");
        let padding = 1024 - room - journal.len() - line("").len();
        let full = journal + &line(&"x".repeat(padding));
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
        assert!(outcome.stdout.contains("3 labels in journal.jsonl"));
        outcome.says(&[
            "the answer is not saved: cannot write the journal journal.jsonl",
            "hint: make room",
        ]);
        assert_eq!(folder.read("journal.jsonl"), full);
    }
}

#[test]
fn wrong_input_is_named() {
    let folder = folder();
    folder.write("spoilt.jsonl", "{\"text\":\"a\",\"label\":\"x\"}\nhello\n");
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
    label(&format!("{pool} --labels j.jsonl --classes a,a"))
        .failed(2)
        .says(&["names `a` twice"]);
    label(&format!("{pool} --labels j.jsonl --classes a,"))
        .failed(2)
        .says(&["a blank name"]);
    label("--pool blank.txt --labels j.jsonl")
        .failed(1)
        .says(&["has no text to label"]);
    label("- --labels j.jsonl")
        .failed(2)
        .says(&["the pool cannot be standard input", "hint: write the texts"]);
    label("--labels j.jsonl").failed(2).says(&["--pool <FILE>"]);
    label("--pool none.txt --labels j.jsonl")
        .failed(1)
        .says(&["none.txt"]);
    label(&format!("{pool} --labels j.jsonl --strategy best"))
        .failed(2)
        .says(&["`best` is no strategy", "q-learning"]);
    label(&format!(
        "{pool} --labels j.jsonl --strategy rep --policy p.json"
    ))
    .failed(2)
    .says(&["leave one"]);
    label(&format!("{pool} --labels missing/j.jsonl"))
        .failed(1)
        .says(&[
            "cannot open the journal missing/j.jsonl",
            "hint: make its folder",
        ]);
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
