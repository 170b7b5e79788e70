//! `--tune`: the encoder's top layers, tuned on the examples.

use serde_json::Value;

use crate::support::{Folder, example_lines};

const TRAIN: &str = "train --head linear --examples few.jsonl --output saved";
const PREDICT: &str = "predict --classifier saved new.txt";

fn version(folder: &Folder) -> u64 {
    let manifest: Value = serde_json::from_str(&folder.read("saved/classifier.json")).unwrap();
    manifest["version"].as_u64().unwrap()
}

#[test]
fn tuned_layers_are_saved_and_used() {
    let folder = Folder::new();
    let classify = |tune: &str| {
        let line = format!("classify --head linear --examples few.jsonl --tune {tune} new.txt");
        folder.run(&line).ok().stdout
    };
    let (tuned, frozen) = (classify("2"), classify("off"));
    assert_ne!(tuned, frozen);
    assert_eq!(classify("2"), tuned);
    folder.run(&format!("{TRAIN} --tune 2")).ok();
    assert!(folder.path("saved/tuned.safetensors").exists());
    assert_eq!(version(&folder), 3);
    assert_eq!(folder.run(PREDICT).ok().stdout, tuned);
    // Whoever does not tune writes what an older version can read.
    folder.run(&format!("{TRAIN} --tune off --overwrite")).ok();
    assert!(!folder.path("saved/tuned.safetensors").exists());
    assert_eq!(version(&folder), 1);
    assert_eq!(folder.run(PREDICT).ok().stdout, frozen);
}

#[test]
fn the_upper_half_is_tuned_by_default_but_not_on_descriptions_alone() {
    let folder = Folder::new();
    let classify = |options: &str| folder.run(&format!("classify {options} new.txt")).ok();
    let examples = "--examples few.jsonl";
    assert_eq!(
        classify(examples).stdout,
        classify(&format!("{examples} --tune 2")).stdout
    );
    classify(&format!("{examples} -v")).says(&["2 layers tuned in "]);
    classify(&format!("{examples} -v --tune off")).says(&["0 layers tuned"]);
    // More layers than there are means all.
    classify(&format!("{examples} -v --tune 99")).says(&["4 layers tuned in "]);
    folder.write(
        "prompt.toml",
        "task = \"Which?\"\n[labels]\nanimal = [\"about dogs\"]\nmoney = [\"about money\"]\n",
    );
    classify("--prompt prompt.toml -v").says(&["0 layers tuned"]);
}

/// To the last byte, tuned layers, calibration and all: nothing is forgotten, and no order of learning favoured.
#[test]
fn a_classifier_that_goes_on_is_what_all_examples_at_once_make() {
    let folder = Folder::new();
    folder.write(
        "more.jsonl",
        example_lines(&[("the tree is green", "plant"), ("a red rose", "plant")]),
    );
    folder.run(&format!("{TRAIN} --tune 2")).ok();
    let more = "train --continue saved --examples more.jsonl --output more";
    folder.run(more).ok().says(&["before tuning"]);
    folder
        .run("train --head linear --examples few.jsonl --examples more.jsonl --tune 2 --output all")
        .ok();
    for part in ["classifier.json", "head.safetensors", "tuned.safetensors"] {
        let bytes = |of: &str| std::fs::read(folder.path(&format!("{of}/{part}"))).unwrap();
        assert!(bytes("more") == bytes("all"), "{part}");
        assert!(bytes("more") != bytes("saved"), "{part}");
    }
}

#[test]
fn beyond_a_thousand_examples_a_tuned_classifier_goes_on_untuned() {
    let folder = Folder::new();
    folder
        .run("train --head linear --examples few.jsonl --output saved")
        .ok()
        .says(&["before tuning"]);
    let text = |number: usize| format!("the dog and the cat {number}");
    let texts: Vec<String> = (0..1000).map(text).collect();
    let more: Vec<(&str, &str)> = texts.iter().map(|text| (text.as_str(), "animal")).collect();
    folder.write("more.jsonl", example_lines(&more));
    let outcome = folder
        .run("train -v --continue saved --examples more.jsonl")
        .ok();
    assert!(!outcome.stderr.contains("before tuning"), "{outcome:#?}");
    outcome.says(&[
        "0 layers tuned",
        "--tune N tunes it all the same",
        "accuracy on held-out examples",
    ]);
}

#[test]
fn damaged_tuned_layers_are_named() {
    let folder = Folder::new();
    folder.run(&format!("{TRAIN} --tune 1")).ok();
    folder.write("saved/tuned.safetensors", "not it");
    folder.run(PREDICT).failed(1).says(&[
        "saved/tuned.safetensors is damaged",
        "hint: copy the folder",
    ]);
    std::fs::remove_file(folder.path("saved/tuned.safetensors")).unwrap();
    folder
        .run(PREDICT)
        .failed(1)
        .says(&["saved/tuned.safetensors is missing"]);
}

#[test]
fn a_number_of_layers_that_is_none_is_refused() {
    let folder = Folder::new();
    for wrong in ["0", "-1", "all", ""] {
        let line = format!("classify --examples few.jsonl --tune={wrong} new.txt");
        folder
            .run(&line)
            .failed(2)
            .says(&["is neither off, auto nor a number of layers"]);
    }
}

#[test]
fn a_benchmark_compares_tuned_with_frozen() {
    let folder = Folder::new();
    let line = "benchmark --train few.jsonl --test few.jsonl --shots 2 --seeds 2 --json";
    let document = folder
        .cached(line)
        .args([
            "--config",
            "frozen=--tune off",
            "--config",
            "tuned=--tune 2",
        ])
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&document.stdout).unwrap();
    assert_eq!(document["configs"][0]["tune"], "off");
    assert_eq!(document["configs"][1]["tune"], "2");
    let rows = document["rows"].as_array().unwrap();
    assert!(rows[0]["difference"].is_null() && rows[1]["difference"]["mean"].is_f64());
    assert_eq!(rows[1]["calibration_errors"].as_array().unwrap().len(), 2);
}
