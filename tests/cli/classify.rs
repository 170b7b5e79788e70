//! `fewshot classify`: what goes in, what comes out.

use std::io::Write;

use serde_json::{Map, Value, json};

use crate::support::{EXAMPLES, Folder, TEXTS, column, example_lines};

const LINEAR: &str = "classify --head linear --examples few.jsonl";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn is_argmax(row: &Map<String, Value>) -> bool {
    let probabilities = row["probabilities"].as_object().unwrap();
    let of = |label: &str| probabilities[label].as_f64().unwrap();
    let sum: f64 = probabilities.values().filter_map(Value::as_f64).sum();
    let label = row["label"].as_str().unwrap();
    (sum - 1.0).abs() < 2e-4
        && probabilities.keys().all(|other| of(other) <= of(label))
        && row["probability"] == probabilities[label]
}

#[test]
fn json_lines_keep_order_and_fields() {
    let folder = Folder::new();
    let line = |(id, text): (usize, &&str)| json!({"id": id, "text": text, "label": 7}).to_string();
    let lines: Vec<String> = TEXTS.iter().enumerate().map(line).collect();
    folder.write("new.jsonl", lines.join("\n"));
    let outcome = folder
        .run(&format!("{LINEAR} --input new.jsonl"))
        .ok()
        .says(&["note: the field `label` of the texts is left out"]);
    let rows = outcome.rows();
    assert_eq!(column(&rows, "text"), TEXTS);
    assert!(rows.iter().all(is_argmax), "{rows:?}");
    let ids: Vec<u64> = rows.iter().filter_map(|row| row["id"].as_u64()).collect();
    assert_eq!(ids, [0, 1, 2, 3]);
    let keys: Vec<&String> = rows[0].keys().collect();
    assert_eq!(
        keys,
        ["text", "label", "probability", "probabilities", "id"]
    );
}

#[test]
fn trained_heads_know_their_examples() {
    let folder = Folder::new();
    let texts: Vec<&str> = EXAMPLES.iter().map(|(text, _)| *text).collect();
    folder.write("new.txt", texts.join("\n"));
    for head in ["mlp", "linear"] {
        let line = format!("classify --head {head} --examples few.jsonl --input new.txt");
        let labels = column(&folder.run(&line).ok().rows(), "label");
        let expected: Vec<&str> = EXAMPLES.iter().map(|(_, label)| *label).collect();
        assert_eq!(labels, expected, "{head}");
    }
}

/// All formats of the input, plain and packed, by name and through a pipe.
#[test]
fn every_input_format_gives_the_same_labels() {
    let folder = Folder::new();
    let expected = column(
        &folder.run(&format!("{LINEAR} new.txt")).ok().rows(),
        "label",
    );
    let lines: Vec<String> = TEXTS
        .iter()
        .map(|t| json!({"text": t}).to_string())
        .collect();
    let objects: Vec<Value> = TEXTS.iter().map(|t| json!({"text": t})).collect();
    let files = [
        ("new.jsonl", lines.join("\n")),
        ("new.csv", format!("text\n{}", TEXTS.join("\n"))),
        ("new.tsv", format!("n\ttext\n1\t{}", TEXTS.join("\n1\t"))),
        ("new.json", json!(objects).to_string()),
        ("new.json", json!({"unknown": TEXTS}).to_string()),
    ];
    for (name, contents) in files {
        folder.write(name, &contents);
        folder.write(&format!("{name}.gz"), gzip(contents.as_bytes()));
        let packed = zstd::encode_all(contents.as_bytes(), 1).unwrap();
        folder.write(&format!("{name}.zst"), packed);
        for ending in ["", ".gz", ".zst"] {
            let outcome = folder.run(&format!("{LINEAR} --input {name}{ending}")).ok();
            assert_eq!(column(&outcome.rows(), "label"), expected, "{name}{ending}");
        }
    }
}

#[test]
fn standard_input_is_read() {
    let folder = Folder::new();
    let expected = folder.run(&format!("{LINEAR} --input new.txt")).ok().stdout;
    let text = TEXTS.join("\n");
    for line in [
        LINEAR.to_owned(),
        format!("{LINEAR} -"),
        format!("{LINEAR} --input -"),
    ] {
        assert_eq!(
            folder.run_with(&line, &text).ok().stdout,
            expected,
            "{line}"
        );
        assert_eq!(
            folder.run_with(&line, gzip(text.as_bytes())).ok().stdout,
            expected
        );
    }
    let csv = format!("text\n{text}");
    let line = format!("{LINEAR} - --input-format csv");
    assert_eq!(folder.run_with(&line, csv).ok().stdout, expected);
}

#[test]
fn examples_may_be_in_several_files_of_any_format() {
    let folder = Folder::new();
    let expected = folder.run(&format!("{LINEAR} new.txt")).ok().stdout;
    let (animal, money): (Vec<&str>, Vec<&str>) = (
        EXAMPLES[..3].iter().map(|e| e.0).collect(),
        EXAMPLES[3..].iter().map(|e| e.0).collect(),
    );
    folder.write(
        "few.json",
        json!({"animal": animal, "money": money}).to_string(),
    );
    folder.write("a.jsonl", example_lines(&EXAMPLES[..3]));
    folder.write("b.jsonl.gz", gzip(example_lines(&EXAMPLES[3..]).as_bytes()));
    for examples in [
        "--examples few.json",
        "--examples a.jsonl --examples b.jsonl.gz",
    ] {
        let line = format!("classify --head linear {examples} new.txt");
        assert_eq!(folder.run(&line).ok().stdout, expected, "{examples}");
    }
}

#[test]
fn csv_output_has_a_header_and_a_row_a_text() {
    let folder = Folder::new();
    let outcome = folder.run(&format!("{LINEAR} new.txt --format csv")).ok();
    let header = "text,label,probability,probabilities.animal,probabilities.money";
    assert_eq!(outcome.stdout.lines().next(), Some(header));
    assert_eq!(outcome.stdout.lines().count(), 1 + TEXTS.len());
    folder
        .run(&format!("{LINEAR} new.txt --output new.csv"))
        .ok()
        .silent();
    assert_eq!(folder.read("new.csv"), outcome.stdout);
}

#[test]
fn the_table_is_aligned() {
    let folder = Folder::new();
    let table = folder
        .run(&format!("{LINEAR} new.txt --format table"))
        .ok()
        .stdout;
    let column = table.find("text\n").unwrap();
    let texts: Vec<&str> = table.lines().skip(1).map(|line| &line[column..]).collect();
    assert_eq!(texts, TEXTS);
}

#[test]
fn an_output_file_holds_what_standard_output_would() {
    let folder = Folder::new();
    let expected = folder.run(&format!("{LINEAR} new.txt")).ok().stdout;
    let outcome = folder
        .run(&format!("{LINEAR} new.txt -o out.jsonl"))
        .ok()
        .silent();
    assert_eq!(
        (outcome.stdout.as_str(), folder.read("out.jsonl")),
        ("", expected)
    );
}

#[test]
fn below_the_threshold_there_is_no_label() {
    let folder = Folder::new();
    let outcome = folder.run(&format!("{LINEAR} new.txt --threshold 1")).ok();
    for row in outcome.rows() {
        assert_eq!(
            (&row["label"], &row["abstained"]),
            (&Value::Null, &json!(true))
        );
        assert!(row["probability"].as_f64().unwrap() > 0.5);
    }
    let outcome = folder
        .run(&format!("{LINEAR} new.txt --threshold 0.5"))
        .ok();
    assert!(
        outcome
            .rows()
            .iter()
            .all(|row| row["abstained"] == json!(false) && is_argmax(row))
    );
}

#[test]
fn an_automatic_threshold_keeps_the_wanted_share() {
    let folder = Folder::new();
    let labelled = |share: &str| -> Vec<f64> {
        let outcome = folder
            .run(&format!("{LINEAR} new.txt --threshold auto:{share}"))
            .ok();
        let rows = outcome.rows();
        assert!(rows.iter().all(|row| row["abstained"].is_boolean()));
        let given = rows.iter().filter(|row| row["label"].is_string());
        given
            .map(|row| row["probability"].as_f64().unwrap())
            .collect()
    };
    let mean = |given: &[f64]| given.iter().sum::<f64>() / given.len() as f64;
    let all = labelled("0");
    assert!(all.len() > 1 && labelled("1").is_empty());
    // Just above the mean of all: the least sure ones must go.
    let share = mean(&all) + 0.002;
    let surest = labelled(&share.to_string());
    assert!(!surest.is_empty() && surest.len() < all.len());
    assert!(mean(&surest) >= share - 1e-3);
}

#[test]
fn a_blank_text_gets_no_label_and_a_warning() {
    let folder = Folder::new();
    folder.write("new.txt", "the dog\n\n  \nmy money\n");
    let outcome = folder.run(&format!("{LINEAR} new.txt")).ok();
    let labels = column(&outcome.rows(), "label");
    assert_eq!(
        (labels.len(), &labels[1], &labels[2]),
        (4, &"-".to_owned(), &"-".to_owned())
    );
    assert_ne!(labels[0], "-");
    let outcome = outcome.says(&["warning: 2 texts blank: no label was given"]);
    // All rows have the same columns.
    assert!(
        outcome
            .rows()
            .iter()
            .all(|row| !row.contains_key("abstained"))
    );
    let outcome = folder.run(&format!("{LINEAR} new.txt --threshold 0")).ok();
    let abstained: Vec<Value> = outcome
        .rows()
        .iter()
        .map(|row| row["abstained"].clone())
        .collect();
    assert_eq!(abstained, [false, true, true, false]);
}

/// An answer given back with the next run's would have two columns of one name.
#[test]
fn a_labelled_table_can_be_labelled_again() {
    let folder = Folder::new();
    folder.run(&format!("{LINEAR} new.txt -o once.csv")).ok();
    let outcome = folder.run(&format!("{LINEAR} once.csv --format csv")).ok();
    assert_eq!(outcome.stdout, folder.read("once.csv"));
    outcome.says(&["note: the field `label` of the texts is left out"]);
    folder
        .run(&format!("{LINEAR} once.csv --text-field label"))
        .failed(2)
        .says(&[
            "--text-field label: a part of the answer has this name",
            "hint: ",
        ]);
}

/// What the first run was unsure of, the second was said to be unsure of too.
#[test]
fn what_an_earlier_answer_said_is_left_out() {
    let folder = Folder::new();
    folder
        .run(&format!("{LINEAR} new.txt --threshold 1 -o once.jsonl"))
        .ok();
    let outcome = folder.run(&format!("{LINEAR} once.jsonl")).ok();
    assert!(
        outcome
            .rows()
            .iter()
            .all(|row| !row.contains_key("abstained")),
        "{outcome:#?}"
    );
    outcome.says(&["note: the field `abstained` of the texts is left out"]);
    // Other columns stay, whatever they begin with.
    folder.write("own.csv", "text,probabilities.old,id\nthe dog,7,1\n");
    let rows = folder.run(&format!("{LINEAR} own.csv")).ok().rows();
    assert_eq!(
        (&rows[0]["probabilities.old"], &rows[0]["id"]),
        (&json!("7"), &json!("1"))
    );
}

#[test]
fn fields_can_have_other_names() {
    let folder = Folder::new();
    let expected = column(
        &folder.run(&format!("{LINEAR} new.txt")).ok().rows(),
        "label",
    );
    let rename = |line: String| {
        line.replace("\"text\"", "\"body\"")
            .replace("\"label\"", "\"topic\"")
    };
    folder.write("few.jsonl", rename(example_lines(&EXAMPLES)));
    let lines: Vec<String> = TEXTS
        .iter()
        .map(|t| json!({"body": t}).to_string())
        .collect();
    folder.write("new.jsonl", lines.join("\n"));
    let names = "--text-field body --label-field topic";
    let rows = folder
        .run(&format!("{LINEAR} {names} new.jsonl"))
        .ok()
        .rows();
    assert_eq!(
        (column(&rows, "label"), column(&rows, "body")),
        (expected, TEXTS.map(str::to_owned).to_vec())
    );
}

const PROMPT: &str =
    "[labels]\nanimal = ['a dog or a cat', 'a lazy fox']\nmoney = 'return my money'\n";

#[test]
fn label_descriptions_are_added_to_the_examples() {
    let folder = Folder::new();
    folder.write("p.toml", PROMPT);
    let prompt = [
        ("a dog or a cat", "animal"),
        ("a lazy fox", "animal"),
        ("return my money", "money"),
    ];
    folder.write(
        "all.jsonl",
        example_lines(&[&EXAMPLES[..], &prompt].concat()),
    );
    let together = folder
        .run(&format!("{LINEAR} --prompt p.toml new.txt"))
        .ok()
        .stdout;
    let all = folder
        .run("classify --head linear --examples all.jsonl --no-label-names new.txt")
        .ok()
        .stdout;
    assert_eq!(together, all);
    assert_ne!(
        together,
        folder.run(&format!("{LINEAR} new.txt")).ok().stdout
    );
}

#[test]
fn the_names_of_the_labels_count_unless_switched_off() {
    let folder = Folder::new();
    let with = folder.run(&format!("{LINEAR} new.txt")).ok().stdout;
    let without = folder
        .run(&format!("{LINEAR} --no-label-names new.txt"))
        .ok()
        .stdout;
    assert_ne!(with, without);
}

#[test]
fn descriptions_alone_are_zero_shot_with_prototypes() {
    let folder = Folder::new();
    folder.write("p.toml", PROMPT);
    let outcome = folder.run("classify --prompt p.toml new.txt -v").ok();
    assert!(outcome.rows().iter().all(is_argmax));
    let named = folder
        .run("classify --prompt p.toml new.txt --head prototype")
        .ok();
    assert_eq!(outcome.stdout, named.stdout);
    outcome.says(&["prototype head"]);
}

#[test]
fn a_long_text_is_read_in_windows_and_said_so() {
    let folder = Folder::new();
    folder.write("new.txt", "the dog ".repeat(100));
    let outcome = folder.run(&format!("{LINEAR} new.txt")).ok();
    assert_eq!(outcome.rows().len(), 1);
    outcome.says(&["note: 1 text longer than the encoder takes at once"]);
    folder.run(&format!("{LINEAR} new.txt -q")).ok().silent();
}

#[test]
fn runs_and_threads_give_the_same_bytes() {
    let folder = Folder::new();
    for head in ["mlp", "linear"] {
        let line = format!("classify --head {head} --examples few.jsonl new.txt");
        let first = folder.run(&line).ok().stdout;
        assert_eq!(folder.run(&line).ok().stdout, first, "{head}");
        assert_eq!(
            folder.run(&format!("{line} --threads 1")).ok().stdout,
            first,
            "{head}"
        );
    }
}

#[test]
fn empty_input_gives_empty_output() {
    let folder = Folder::new();
    folder.write("new.txt", "");
    assert_eq!(folder.run(&format!("{LINEAR} new.txt")).ok().stdout, "");
}
