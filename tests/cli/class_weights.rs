//! Examples of which some labels have more than others.

use crate::support::{Folder, example_lines};

const CLASSIFY: &str = "classify --head linear --tune off --no-label-names --examples";

fn folder() -> Folder {
    let folder = Folder::new();
    let animals = [
        "the old cat",
        "the dog and the fox",
        "a dog",
        "my fox",
        "the cat",
        "an old fox",
    ];
    let money = ["my money", "the bank"];
    let rows = |animals: &[&'static str]| {
        let animals = animals.iter().map(|&text| (text, "animal"));
        let rows: Vec<_> = animals.chain(money.map(|text| (text, "money"))).collect();
        example_lines(&rows)
    };
    folder.write("uneven.jsonl", rows(&animals));
    folder.write("even.jsonl", rows(&animals[..2]));
    folder.write("new.txt", "return the loan\nthe old dog\n");
    folder
}

/// How probable the rare label is for each text.
fn money(folder: &Folder, examples: &str, kind: &str) -> Vec<f64> {
    let line = format!("{CLASSIFY} {examples} new.txt --class-weights {kind}");
    let rows = folder.run(&line).ok().rows();
    let money = |row: &serde_json::Map<_, _>| row["probabilities"]["money"].as_f64().unwrap();
    rows.iter().map(money).collect()
}

#[test]
fn the_rare_label_is_more_probable_the_more_its_examples_count() {
    let folder = folder();
    let [none, sqrt, balanced] =
        ["none", "sqrt", "balanced"].map(|kind| money(&folder, "uneven.jsonl", kind));
    for text in 0..2 {
        let rising = [none[text], sqrt[text], balanced[text]];
        assert!(rising.is_sorted_by(|a, b| a < b), "{rising:?}");
    }
    let default = folder.run(&format!("{CLASSIFY} uneven.jsonl new.txt")).ok();
    let named = format!("{CLASSIFY} uneven.jsonl new.txt --class-weights sqrt");
    assert_eq!(default.stdout, folder.run(&named).ok().stdout);
}

#[test]
fn labels_of_as_many_examples_weigh_alike() {
    let folder = folder();
    let weigh = |kind| money(&folder, "even.jsonl", kind);
    assert_eq!(weigh("none"), weigh("balanced"));
}

#[test]
fn another_word_is_refused() {
    folder()
        .run(&format!(
            "{CLASSIFY} even.jsonl new.txt --class-weights equal"
        ))
        .failed(2)
        .says(&["--class-weights", "equal", "none, sqrt or balanced"]);
}
