//! Learning from texts without labels.

use crate::support::{Folder, example_lines};
use serde_json::{Map, Value};

const LINEAR: &str = "classify --head linear --tune off --examples four.jsonl";

/// With four examples of each label, and many texts without one.
fn folder() -> Folder {
    let folder = Folder::new();
    let animal = ["the old cat", "the dog and the fox", "a dog", "my fox"];
    let money = [
        "my money",
        "the bank",
        "return the money",
        "a loan of the bank",
    ];
    let all = animal.map(|text| (text, "animal")).into_iter();
    let all: Vec<_> = all.chain(money.map(|text| (text, "money"))).collect();
    folder.write("four.jsonl", example_lines(&all));
    folder.write("many.txt", many());
    folder
}

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
    let folder = folder();
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
    let folder = folder();
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
fn with_three_examples_a_label_nothing_is_learned() {
    let folder = folder();
    let few: String = folder
        .read("four.jsonl")
        .lines()
        .skip(1)
        .map(|line| line.to_owned() + "\n")
        .collect();
    folder.write("four.jsonl", few);
    let run = |line: String| folder.run(&line).ok().stdout;
    let inductive = run(format!("{LINEAR} many.txt --inductive"));
    assert_eq!(run(format!("{LINEAR} many.txt")), inductive);
}

#[test]
fn few_texts_and_standard_input_change_nothing() {
    let folder = folder();
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

/// Unless they are named.
#[test]
fn a_classifier_tuned_without_a_start_answers_each_text_by_itself() {
    let folder = folder();
    let run = |options: &str| {
        let line =
            format!("classify --head linear --tune 1 --examples four.jsonl many.txt {options}");
        folder.run(&line).ok().stdout
    };
    assert_eq!(run(""), run("--inductive"));
    assert_ne!(run(""), run("--unlabelled many.txt"));
}

#[test]
fn other_texts_can_be_named_and_a_saved_classifier_keeps_what_it_learned() {
    let folder = folder();
    let classified = folder
        .run(&format!("{LINEAR} new.txt --unlabelled many.txt"))
        .ok()
        .stdout;
    assert_ne!(
        classified,
        folder.run(&format!("{LINEAR} new.txt")).ok().stdout
    );
    folder
        .run("train --head linear --tune off --examples four.jsonl --unlabelled many.txt --output saved")
        .ok();
    let predicted = folder.run("predict --classifier saved new.txt").ok().stdout;
    assert_ne!(
        predicted,
        folder.run(&format!("{LINEAR} new.txt")).ok().stdout
    );
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = folder();
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

/// Taught by what it was before; what it saves has learned too.
#[test]
fn a_classifier_tuned_from_a_start_learns_from_texts() {
    let folder = folder();
    let run = |line: &str| folder.run(line).ok().stdout;
    run("meta-train --tasks four.jsonl --output start.safetensors");
    let options = "--head linear --tune 1 --start start.safetensors --examples four.jsonl";
    let classify = |more: &str| run(&format!("classify {options} {more}"));
    let default = folder.run(&format!("classify {options} many.txt -v")).ok();
    default.says(&[
        "what the encoder learned from other tasks is",
        "texts without labels embedded and learned from",
    ]);
    assert_eq!(classify("many.txt"), classify("many.txt"));
    assert_ne!(classify("many.txt"), classify("many.txt --inductive"));
    let few = classify("new.txt");
    assert_eq!(few, classify("new.txt --inductive"));
    run(&format!(
        "train {options} --unlabelled many.txt --output saved"
    ));
    assert_ne!(run("predict --classifier saved new.txt"), few);
}
