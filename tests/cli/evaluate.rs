//! `fewshot evaluate`.

use serde_json::Value;

use crate::support::{Folder, example_lines};

const EVALUATE: &str = "evaluate --head linear --examples few.jsonl --test test.jsonl";

fn folder() -> Folder {
    let folder = Folder::new();
    let test = [
        ("the cat", "animal"),
        ("the lazy fox", "animal"),
        ("send money", "money"),
    ];
    folder.write("test.jsonl", example_lines(&test));
    folder
}

#[test]
fn the_table_names_figures_and_labels() {
    let outcome = folder().run(EVALUATE).ok().silent();
    for part in [
        "3 texts",
        "95 % interval",
        "accuracy ",
        "macro-F1 ",
        "MCC ",
        "calibration error ",
        "animal",
        "money",
        "confusion",
    ] {
        assert!(outcome.stdout.contains(part), "no {part} in {outcome:#?}");
    }
    assert!(outcome.stdout.trim_end().ends_with("head linear"));
}

#[test]
fn the_document_has_settings_and_figures() {
    let document = folder()
        .run(&format!("{EVALUATE} --json --seed 5"))
        .ok()
        .silent()
        .json();
    let settings = &document["settings"];
    assert_eq!(
        (&settings["head"], &settings["seed"], &settings["examples"]),
        (&"linear".into(), &5.into(), &6.into())
    );
    assert_eq!(
        settings["encoder"]["sha256"].as_str().map(str::len),
        Some(64)
    );
    let report = &document["report"];
    let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "count",
            "accuracy",
            "macro_f1",
            "mcc",
            "calibration_error",
            "labels",
            "confusion"
        ]
    );
    for figure in ["accuracy", "macro_f1", "calibration_error"] {
        let of = |end: &str| report[figure][end].as_f64().unwrap();
        assert!(
            0.0 <= of("low") && of("low") <= of("high") && of("high") <= 1.0,
            "{report}"
        );
    }
    let label = report["labels"][1].as_object().unwrap();
    let keys: Vec<&String> = label.keys().collect();
    assert_eq!(keys, ["label", "count", "precision", "recall", "f1"]);
    assert_eq!(
        (&label["label"], &label["count"]),
        (&"money".into(), &1.into())
    );
}

/// The figures are those of the predictions, counted here.
#[test]
fn accuracy_is_the_fraction_of_right_predictions() {
    let folder = folder();
    let rows = folder
        .run("classify --head linear --examples few.jsonl test.jsonl --threshold 0")
        .ok()
        .rows();
    let truth = ["animal", "animal", "money"];
    let right = rows
        .iter()
        .zip(truth)
        .filter(|(row, label)| row["label"] == *label)
        .count();
    let report = folder.run(&format!("{EVALUATE} --json")).ok().json();
    let accuracy = report["report"]["accuracy"]["value"].as_f64().unwrap();
    assert!(
        (accuracy - right as f64 / 3.0).abs() < 1e-9,
        "{accuracy} {right}"
    );
}

#[test]
fn a_saved_classifier_gives_the_same_report() {
    let folder = folder();
    folder
        .run("train --head linear --examples few.jsonl --output saved")
        .ok();
    let line = "evaluate --classifier saved --test test.jsonl";
    for extra in ["", " --json"] {
        let fitted: String = folder.run(&format!("{EVALUATE}{extra}")).ok().stdout;
        assert_eq!(folder.run(&format!("{line}{extra}")).ok().stdout, fitted);
    }
}

#[test]
fn a_label_without_examples_counts_as_errors() {
    let folder = folder();
    let test = [
        ("the cat", "animal"),
        ("a new book", "school"),
        ("a red book", "school"),
    ];
    folder.write("test.jsonl", example_lines(&test));
    let outcome = folder.run(&format!("{EVALUATE} --json")).ok();
    let report: Value = outcome.json()["report"].clone();
    assert_eq!(report["labels"][2]["label"], "school");
    assert_eq!(report["labels"][2]["recall"]["value"], 0.0);
    assert!(report["accuracy"]["value"].as_f64().unwrap() < 0.34);
    outcome.says(&["warning: the test set has label `school`, which no example has"]);
}

#[test]
fn wrong_test_sets_and_options_are_refused() {
    let folder = folder();
    folder.write(
        "unlabelled.jsonl",
        "{\"text\": \"a\", \"label\": \"b\"}\n{\"text\": \"c\"}\n",
    );
    let line = EVALUATE.replace("test.jsonl", "unlabelled.jsonl");
    folder
        .run(&line)
        .failed(1)
        .says(&["unlabelled.jsonl:2: no label in field `label`", "hint:"]);
    folder
        .run("evaluate --examples few.jsonl")
        .failed(2)
        .says(&["--test"]);
    folder
        .run("evaluate --test test.jsonl")
        .failed(2)
        .says(&["--examples", "--classifier"]);
    folder
        .run(&format!("{EVALUATE} --classifier saved"))
        .failed(2)
        .says(&["cannot be used with"]);
}

/// Training options change nothing about a classifier that is already trained.
#[test]
fn training_options_do_not_go_with_a_saved_classifier() {
    let folder = folder();
    folder
        .run("train --head linear --examples few.jsonl --output saved")
        .ok();
    for option in [
        "--head prototype",
        "--layers 1",
        "--no-label-names",
        "--epochs 3",
        "--strength 1",
        "--learning-rate 0.1",
        "--start random",
    ] {
        let line = format!("evaluate --classifier saved --test test.jsonl {option}");
        let name = option.split(' ').next().unwrap();
        folder.run(&line).failed(2).says(&[name, "--classifier"]);
    }
}
