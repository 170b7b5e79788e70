//! `--precision`: what is refused, what is told, and that precisions may be mixed.

use std::fs;

use fewshot::encoder::Precision;
use serde_json::Value;

use crate::support::{Folder, column, rows};

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];
const TRAIN: &str = "train --head linear --examples few.jsonl --output saved";

fn available() -> impl Iterator<Item = Precision> {
    PRECISIONS.into_iter().filter(|one| one.available())
}

fn predict(folder: &Folder, precision: &str) -> Vec<String> {
    let line = format!("predict --classifier saved new.txt --precision {precision}");
    column(&rows(&folder.run(&line).ok().stdout), "label")
}

#[test]
fn an_unknown_precision_is_wrong_usage() {
    let folder = Folder::new();
    for wrong in ["f16", "BF16", "8", "''"] {
        folder
            .run(&format!(
                "embed --input new.txt --output - --precision {wrong}"
            ))
            .failed(2)
            .says(&["choose auto, f32, bf16 or int8"]);
    }
}

#[test]
fn a_precision_that_the_processor_lacks_is_refused_with_a_cure() {
    let folder = Folder::new();
    for precision in PRECISIONS {
        let name = precision.name();
        let line = format!("embed --input new.txt --output v.npy --precision {name}");
        let outcome = folder.run(&line);
        if precision.available() {
            outcome.ok();
        } else {
            outcome
                .failed(1)
                .says(&["no instructions for", name, "hint: use --precision auto"]);
            assert!(!folder.path("v.npy").exists());
        }
    }
}

#[test]
fn auto_is_the_default_and_gives_the_same_bytes_each_time() {
    let folder = Folder::new();
    let embed = |rest: &str| {
        folder
            .run(&format!("embed --input new.txt --output v.npy {rest}"))
            .ok();
        fs::read(folder.path("v.npy")).unwrap()
    };
    let automatic = Precision::automatic().name();
    let expected = embed(&format!("--precision {automatic}"));
    for rest in ["", "--precision auto", "--threads 1", "--threads 3"] {
        assert_eq!(embed(rest), expected, "{rest}");
    }
}

#[test]
fn a_classifier_of_one_precision_works_in_another() {
    let folder = Folder::new();
    for trained in available() {
        let name = trained.name();
        folder
            .run(&format!("{TRAIN} --overwrite --precision {name}"))
            .ok();
        let manifest: Value = serde_json::from_str(&folder.read("saved/classifier.json")).unwrap();
        assert_eq!(manifest["encoder"]["precision"], name);
        assert!(
            folder
                .read("saved/README.md")
                .contains(&format!(", in {name}"))
        );
        let expected = predict(&folder, name);
        for used in available() {
            assert_eq!(
                predict(&folder, used.name()),
                expected,
                "{trained:?} {used:?}"
            );
        }
    }
}

#[test]
fn a_classifier_from_before_there_was_a_choice_is_read() {
    let folder = Folder::new();
    folder.run(&format!("{TRAIN} --precision f32")).ok();
    let mut manifest: Value = serde_json::from_str(&folder.read("saved/classifier.json")).unwrap();
    let encoder = manifest["encoder"].as_object_mut().unwrap();
    encoder.remove("precision").expect("it was there");
    let expected = predict(&folder, "f32");
    folder.write("saved/classifier.json", manifest.to_string());
    assert_eq!(predict(&folder, "f32"), expected);
}

#[test]
fn reports_name_the_precision() {
    let folder = Folder::new();
    for precision in available() {
        let name = precision.name();
        let line = "evaluate --head linear --examples few.jsonl --test few.jsonl --json";
        let report = folder
            .run(&format!("{line} --precision {name}"))
            .ok()
            .json();
        assert_eq!(report["settings"]["encoder"]["precision"], name);
    }
}
