//! `fewshot benchmark`: draws, sets, configurations.

use serde_json::Value;

use crate::support::{EXAMPLES, Folder, example_lines};

const TEST: [(&str, &str); 3] = [
    ("the cat", "animal"),
    ("the lazy fox", "animal"),
    ("send money", "money"),
];

/// Two sets: `pets`, with three examples a label, and `more`, with four of one label.
fn folder() -> Folder {
    let folder = Folder::new();
    let mut more = EXAMPLES.to_vec();
    more.extend([
        ("the dog and the fox", "animal"),
        ("money and fish", "money"),
    ]);
    for (set, train) in [("pets", &EXAMPLES[..]), ("more", &more)] {
        folder.write(&format!("{set}/train.jsonl"), example_lines(train));
        folder.write(&format!("{set}/test.jsonl"), example_lines(&TEST));
    }
    folder
}

fn table(folder: &Folder, line: &str) -> Vec<String> {
    let outcome = folder.run_cached(line).ok().silent();
    outcome.stdout.lines().map(str::to_owned).collect()
}

fn document(folder: &Folder, line: &str) -> Value {
    folder.run_cached(&format!("{line} --json")).ok().json()
}

const ONE: &str = "benchmark --train pets/train.jsonl --test pets/test.jsonl --seeds 3";

#[test]
fn test_texts_that_say_nothing_are_named() {
    let folder = folder();
    folder.write("few.jsonl", example_lines(&EXAMPLES));
    let few = folder.read("few.jsonl");
    folder.write(
        "test.jsonl",
        format!("{few}{{\"text\": \"a boat\", \"label\": \"ship\"}}\n"),
    );
    let line = "--test test.jsonl --head linear --tune off";
    let seen = "6 of 7 test texts are among the";
    folder
        .run(&format!(
            "benchmark --train few.jsonl --shots 2 --seeds 2 {line}"
        ))
        .ok()
        .says(&[
            seen,
            "few.jsonl: no training text has the test texts' `ship`",
        ]);
    folder
        .run(&format!("evaluate --examples few.jsonl {line}"))
        .ok()
        .says(&[seen, "label `ship`, which no"]);
}

/// Room for them was asked for before they were counted.
#[test]
fn more_shots_than_memory_are_left_out_with_a_word() {
    folder()
        .run(&format!("{ONE} --shots 2000000000000000000"))
        .failed(1)
        .says(&["has", "examples, the draw needs 2000000000000000000"]);
}

#[test]
fn a_row_for_each_number_of_shots_and_head() {
    let folder = folder();
    let line = format!("{ONE} --shots 1,2 --heads linear,prototype");
    let lines = table(&folder, &line);
    assert_eq!(lines.len(), 2 + 4, "{lines:#?}");
    assert!(lines[0].starts_with("3 draws, 3 test texts; mean ± standard deviation; difference"));
    let titles: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(
        titles,
        [
            "shots",
            "config",
            "accuracy",
            "difference",
            "calibration",
            "error",
            "fit",
            "predict"
        ]
    );
    assert!(lines[5].starts_with("2      prototype  "), "{lines:#?}");
    let rows = document(&folder, &line)["rows"].clone();
    for name in ["accuracies", "fit_seconds", "predict_seconds"] {
        assert_eq!(rows[3][name].as_array().map(Vec::len), Some(3));
    }
}

#[test]
fn one_configuration_has_no_difference() {
    let lines = table(&folder(), &format!("{ONE} --shots 2 --head linear"));
    assert!(!lines.join("\n").contains("difference"), "{lines:#?}");
    assert_eq!(lines.len(), 3);
}

/// The figures of the document, counted here.
#[test]
fn means_and_differences_are_those_of_the_draws() {
    let line = "benchmark --sets pets more --seeds 4 --shots 1,3 --heads linear,prototype";
    let document = document(&folder(), line);
    let rows = document["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2 * 2 * 2);
    let figures = |row: &Value| -> Vec<f64> {
        let list = row["accuracies"].as_array().unwrap();
        list.iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let mean = |figures: &[f64]| figures.iter().sum::<f64>() / figures.len() as f64;
    let near = |value: &Value, expected: f64| {
        assert!(
            (value.as_f64().unwrap() - expected).abs() < 1e-12,
            "{document:#}"
        );
    };
    for pair in rows.chunks(2) {
        let (first, other) = (figures(&pair[0]), figures(&pair[1]));
        assert!(pair[0]["difference"].is_null());
        near(&pair[1]["difference"]["mean"], mean(&other) - mean(&first));
        near(&pair[1]["mean"], mean(&other));
        let difference = &pair[1]["difference"];
        assert!(difference["low"].as_f64() <= difference["high"].as_f64());
    }
    let means = document["means_over_sets"].as_array().unwrap();
    assert_eq!(means.len(), 2 * 2);
    assert_eq!(means[0]["set"], "mean of 2");
    let both = [figures(&rows[0]), figures(&rows[4])];
    near(&means[0]["mean"], mean(&both.concat()));
}

/// A configuration is what the same options give by themselves.
#[test]
fn configurations_are_training_options() {
    let folder = folder();
    let mut command = folder.cached(&format!("{ONE} --shots 2 --json --config base="));
    command.args([
        "--config",
        "last=--layers last --head linear --no-label-names",
    ]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let both: Value = serde_json::from_slice(&output.stdout).unwrap();
    let config = &both["configs"][1];
    assert_eq!(
        (&config["name"], &config["layers"], &config["label_names"]),
        (&"last".into(), &"last".into(), &false.into())
    );
    let alone = [
        document(&folder, &format!("{ONE} --shots 2")),
        document(
            &folder,
            &format!("{ONE} --shots 2 --layers last --head linear --no-label-names"),
        ),
    ];
    for (index, alone) in alone.iter().enumerate() {
        let (row, expected) = (&both["rows"][index], &alone["rows"][0]);
        assert_eq!(row["accuracies"], expected["accuracies"]);
        assert_eq!(both["configs"][index]["head"], alone["configs"][0]["head"]);
    }
}

#[test]
fn a_set_with_too_few_examples_leaves_a_row_out() {
    let folder = folder();
    let line = "benchmark --sets pets more --shots 2,4 --seeds 2 --head linear";
    let outcome = folder.run_cached(line).ok();
    assert_eq!(outcome.stdout.lines().count(), 2 + 3 + 2, "{outcome:#?}");
    let outcome = outcome.says(&[
        "warning: pets: 4 shots are left out: label `animal` has 3 examples, the draw needs 4",
    ]);
    assert_eq!(outcome.stderr.lines().count(), 1);
    let document = document(&folder, line);
    assert_eq!(document["sets"][0]["shots_left_out"][0], 4);
    assert_eq!(document["means_over_sets"][1]["set"], "mean of 1");
    folder
        .run_cached(&line.replace("2,4", "9"))
        .failed(1)
        .says(&["has 4 examples, the draw needs 9", "hint: use --shots 4"]);
}

/// Several files are one set.
#[test]
fn files_are_read_together() {
    let folder = folder();
    folder.write("money.jsonl", example_lines(&[("pay me", "money")]));
    let line = "benchmark --train pets/train.jsonl money.jsonl --test pets/test.jsonl money.jsonl \
        --shots 3 --seeds 1 --head linear";
    let set = document(&folder, line)["sets"][0].clone();
    assert_eq!(
        (&set["train_texts"], &set["test_texts"]),
        (&7.into(), &4.into())
    );
}

#[test]
fn folders_of_one_name_are_told_apart() {
    let folder = folder();
    folder.write("new/pets/train.csv", "text,label\nmy dog,a\nmy job,b\n");
    folder.write("new/pets/test.tsv", "text\tlabel\nmy cat\ta\n");
    let line = "benchmark --sets pets new/pets --shots 1,1 --seeds 2 --head linear";
    let lines = table(&folder, line);
    assert_eq!(lines.len(), 2 + 2 + 1, "{lines:#?}");
    assert!(lines[3].starts_with("new/pets  "), "{lines:#?}");
}

#[test]
fn wrong_usage_is_refused() {
    let folder = folder();
    folder.write("empty/README", "");
    folder.write("half/train.jsonl", example_lines(&EXAMPLES));
    let refused = [
        ("benchmark", 2, "--train"),
        ("benchmark --train pets/train.jsonl", 2, "--test"),
        (
            "benchmark --sets pets --test few.jsonl",
            2,
            "cannot be used with",
        ),
        ("benchmark --sets pets pets", 2, "--sets names pets twice"),
        ("benchmark --sets nowhere", 1, "nowhere has no train.jsonl"),
        ("benchmark --sets empty", 1, "empty has no train.jsonl"),
        ("benchmark --sets half", 1, "half has no test.jsonl"),
        ("benchmark --sets pets --shots 0", 1, "shots is 0"),
        ("benchmark --sets pets --seeds 0", 2, "--seeds"),
        (
            "benchmark --sets pets --heads linear,linear",
            2,
            "`linear` is there twice",
        ),
        (
            "benchmark --sets pets --config a= --config a=",
            2,
            "`a` is there twice",
        ),
        (
            "benchmark --sets pets --config --head=linear",
            2,
            "--config",
        ),
        (
            "benchmark --sets pets --config linear",
            2,
            "begins with no name",
        ),
        (
            "benchmark --sets pets --config a=--heat",
            2,
            "--config a: unexpected argument",
        ),
        (
            "benchmark --sets pets --config a=--strength=-3",
            2,
            "--strength",
        ),
        (
            "benchmark --sets pets --shots 2 --config a=--layers=77",
            1,
            "layer 77",
        ),
        (
            "benchmark --sets pets --config a= --head linear",
            2,
            "cannot be used with",
        ),
        (
            "benchmark --sets pets --config a= --heads linear",
            2,
            "cannot be used with",
        ),
    ];
    for (line, code, part) in refused {
        folder.run_cached(line).failed(code).says(&[part]);
    }
}
