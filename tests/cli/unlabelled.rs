//! Learning from texts without labels.

use crate::support::Folder;
use serde_json::{Map, Value};

const LINEAR: &str = "classify --head linear --examples few.jsonl";

/// Enough texts to be learned from, different ones.
fn many() -> String {
    let words = [
        "the", "my", "old", "cat", "dog", "fox", "money", "bank", "loan", "return",
    ];
    let text = |at: usize| {
        format!(
            "{} {} {}\n",
            words[at % 10],
            words[at / 10 % 10],
            words[at % 7]
        )
    };
    (0..60).map(text).collect()
}

fn probabilities(rows: &[Map<String, Value>]) -> Vec<f64> {
    let probability = |row: &Map<String, Value>| row["probability"].as_f64().unwrap();
    rows.iter().map(probability).collect()
}

#[test]
fn a_file_of_many_texts_is_learned_from_and_inductive_turns_it_off() {
    let folder = Folder::new();
    folder.write("many.txt", many());
    let run = |line: &str| folder.run(line).ok();
    let default = run(&format!("{LINEAR} many.txt --verbose"));
    assert!(
        default.stderr.contains("texts without labels"),
        "{}",
        default.stderr
    );
    let inductive = run(&format!("{LINEAR} many.txt --inductive --verbose"));
    assert!(!inductive.stderr.contains("without labels"));
    let (ours, theirs) = (
        probabilities(&default.rows()),
        probabilities(&inductive.rows()),
    );
    assert_eq!(ours.len(), 60);
    assert_ne!(ours, theirs);
    // The same bytes again, also with the vectors that were computed for learning.
    assert_eq!(run(&format!("{LINEAR} many.txt")).stdout, default.stdout);
}

#[test]
fn inductive_answers_do_not_depend_on_the_other_texts() {
    let folder = Folder::new();
    folder.write("many.txt", many());
    let all = folder
        .run(&format!("{LINEAR} many.txt --inductive"))
        .ok()
        .stdout;
    folder.write("one.txt", many().lines().last().unwrap().to_owned() + "\n");
    let one = folder
        .run(&format!("{LINEAR} one.txt --inductive"))
        .ok()
        .stdout;
    assert_eq!(all.lines().last(), one.lines().last());
}

#[test]
fn few_texts_and_standard_input_change_nothing() {
    let folder = Folder::new();
    folder.write("many.txt", many());
    let same = |ours: &str, theirs: &str| {
        let [ours, theirs] = [ours, theirs].map(|line| folder.run(line).ok().stdout);
        assert_eq!(ours, theirs);
    };
    same(
        &format!("{LINEAR} new.txt"),
        &format!("{LINEAR} new.txt --inductive"),
    );
    let piped = folder.run_with(&format!("{LINEAR} -"), many()).ok().stdout;
    let inductive = folder
        .run(&format!("{LINEAR} many.txt --inductive"))
        .ok()
        .stdout;
    assert_eq!(piped, inductive);
}

#[test]
fn other_texts_can_be_named_and_a_saved_classifier_keeps_what_it_learned() {
    let folder = Folder::new();
    folder.write("many.txt", many());
    let classified = folder
        .run(&format!("{LINEAR} new.txt --unlabelled many.txt"))
        .ok()
        .stdout;
    assert_ne!(
        classified,
        folder.run(&format!("{LINEAR} new.txt")).ok().stdout
    );
    folder
        .run("train --head linear --examples few.jsonl --unlabelled many.txt --output saved")
        .ok();
    let predicted = folder.run("predict --classifier saved new.txt").ok().stdout;
    assert_ne!(
        predicted,
        folder.run(&format!("{LINEAR} new.txt")).ok().stdout
    );
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = Folder::new();
    folder
        .run(&format!("{LINEAR} new.txt --unlabelled gone.txt"))
        .failed(1)
        .says(&["gone.txt"]);
    folder
        .run(&format!(
            "{LINEAR} new.txt --unlabelled new.txt --inductive"
        ))
        .failed(2)
        .says(&["--unlabelled", "--inductive"]);
}
