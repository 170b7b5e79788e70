//! `--explain`, the examples most similar to a text, and warnings of labels that are probably wrong.

use serde_json::{Map, Value};

use crate::support::{EXAMPLES, Folder, Outcome, TEXTS, example_lines};

const LINEAR: &str = "classify --head linear --examples few.jsonl";

fn neighbours(row: &Map<String, Value>) -> &Vec<Value> {
    row["neighbours"].as_array().unwrap()
}

fn similarities(row: &Map<String, Value>) -> Vec<f64> {
    let similarity = |neighbour: &Value| neighbour["similarity"].as_f64().unwrap();
    neighbours(row).iter().map(similarity).collect()
}

fn is_example(neighbour: &Value) -> bool {
    EXAMPLES
        .iter()
        .any(|(text, label)| neighbour["text"] == *text && neighbour["label"] == *label)
}

/// The labels' names are prior examples here and must not be among the neighbours.
#[test]
fn each_text_gets_the_most_similar_examples() {
    let folder = Folder::new();
    for (options, count) in [("", 3), ("=1", 1), (" 2", 2), (" 99", EXAMPLES.len())] {
        let line = format!("{LINEAR} --input new.txt --explain{options}");
        let rows = folder.run(&line).ok().silent().rows();
        assert_eq!(rows.len(), TEXTS.len());
        for row in &rows {
            let similarities = similarities(row);
            assert_eq!(similarities.len(), count, "{options}");
            assert!(similarities.is_sorted_by(|a, b| a >= b), "{row:?}");
            assert!(similarities.iter().all(|s| (-1.0..=1.0).contains(s)));
            assert!(neighbours(row).iter().all(is_example), "{row:?}");
        }
    }
}

#[test]
fn an_example_is_most_similar_to_itself() {
    let folder = Folder::new();
    for tune in ["off", "2"] {
        let line = format!("{LINEAR} --tune {tune} few.jsonl --explain 1");
        for (row, (text, label)) in folder.run(&line).ok().rows().iter().zip(EXAMPLES) {
            let nearest = &neighbours(row)[0];
            assert_eq!(
                (&nearest["text"], &nearest["label"]),
                (&text.into(), &label.into())
            );
            assert!(similarities(row)[0] > 0.999, "{row:?}");
        }
    }
}

#[test]
fn the_answers_are_those_without_an_explanation() {
    let folder = Folder::new();
    let plain = folder.run(&format!("{LINEAR} new.txt")).ok().rows();
    let mut explained = folder
        .run(&format!("{LINEAR} new.txt --explain"))
        .ok()
        .rows();
    explained.iter_mut().for_each(|row| {
        row.remove("neighbours").unwrap();
    });
    assert_eq!(explained, plain);
}

#[test]
fn a_saved_classifier_explains_as_the_fitted_one() {
    let folder = Folder::new();
    for tune in ["off", "2"] {
        let options = format!("--head linear --tune {tune} --examples few.jsonl");
        let fitted = folder
            .run(&format!("classify {options} new.txt --explain 2"))
            .ok();
        folder
            .run(&format!("train {options} --output saved --overwrite"))
            .ok();
        let saved = folder
            .run("predict --classifier saved new.txt --explain 2")
            .ok();
        assert_eq!(saved.stdout, fitted.stdout, "{tune}");
    }
}

#[test]
fn without_examples_there_is_nothing_to_name() {
    let folder = Folder::new();
    let line = "train --head linear --examples few.jsonl --output saved --no-examples";
    folder.run(line).ok();
    folder
        .run("predict --classifier saved --explain --input new.txt")
        .failed(1)
        .says(&["saved without its examples", "hint: leave out --explain"]);
    folder.run("predict --classifier saved new.txt").ok();
}

#[test]
fn a_blank_text_has_no_neighbours() {
    let folder = Folder::new();
    folder.write("new.txt", "the dog\n \n");
    let rows = folder
        .run(&format!("{LINEAR} new.txt --explain"))
        .ok()
        .rows();
    assert_eq!(
        (neighbours(&rows[0]).len(), neighbours(&rows[1]).len()),
        (3, 0)
    );
}

#[test]
fn tables_and_csv_show_them_too() {
    let folder = Folder::new();
    let run = |format: &str| {
        let line = format!("{LINEAR} --explain 2 --format {format} --input new.txt");
        folder.run(&line).ok().stdout
    };
    let table = run("table");
    assert_eq!(table.lines().count(), 1 + 3 * TEXTS.len(), "{table}");
    let below = table
        .lines()
        .filter(|line| line.starts_with(&" ".repeat(35)));
    assert!(
        below
            .clone()
            .all(|l| l.contains("animal: ") || l.contains("money: "))
    );
    assert_eq!(below.count(), 2 * TEXTS.len());
    let csv = run("csv");
    let header = "text,label,probability,probabilities.animal,probabilities.money,neighbours";
    assert_eq!(csv.lines().next(), Some(header));
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    for record in reader.records() {
        let found: Vec<Value> = serde_json::from_str(&record.unwrap()[5]).unwrap();
        assert!(
            found.len() == 2 && found.iter().all(is_example),
            "{found:?}"
        );
    }
}

#[test]
fn a_number_that_is_none_is_refused() {
    let folder = Folder::new();
    for wrong in ["0", "-1", "1.5"] {
        folder
            .run(&format!("{LINEAR} new.txt --explain={wrong}"))
            .failed(2)
            .says(&["is no number of examples"]);
    }
    folder
        .run(&format!("{LINEAR} --explain new.txt"))
        .failed(2)
        .says(&["`new.txt` is no number of examples; an input goes before --explain"]);
}

const ASKED: &str = "is the label right?";

/// Twelve sentences of few words, so that even random weights tell their labels apart; the animals at
/// `wrong` are labelled as money.
fn mislabelled(wrong: &[usize]) -> Folder {
    let animals = [
        "the dog and the cat walk",
        "the cat and the dog walk",
        "the fox and the dog walk",
        "the fox and the cat walk",
        "the dog and the fox walk",
        "the cat and the fox walk",
    ];
    let money = [
        "send back my money please",
        "return my money please",
        "send my money please",
        "cancel my money please",
        "return back my money please",
        "send back my 9 € please",
    ];
    let label = |at| {
        if wrong.contains(&at) {
            "money"
        } else {
            "animal"
        }
    };
    let animals = animals
        .iter()
        .enumerate()
        .map(|(at, text)| (*text, label(at)));
    let examples: Vec<(&str, &str)> = animals.chain(money.map(|text| (text, "money"))).collect();
    let folder = Folder::new();
    folder.write("few.jsonl", example_lines(&examples));
    folder
}

fn warnings(outcome: &Outcome) -> usize {
    let lines = outcome.stderr.lines();
    lines
        .filter(|line| line.starts_with("warning: ") && line.ends_with(ASKED))
        .count()
}

#[test]
fn a_label_that_its_neighbours_contradict_is_named() {
    let folder = mislabelled(&[2]);
    let warning = "warning: the example \"the fox and the dog walk\" is labelled `money`, but its nearest \
                   examples are all `animal`; is the label right?";
    for tune in ["off", "2"] {
        let options = format!("--head linear --tune {tune} --examples few.jsonl -q");
        for line in [
            format!("classify {options} new.txt"),
            format!("train {options} --output saved --overwrite"),
            format!("evaluate {options} --test few.jsonl"),
        ] {
            let outcome = folder.run(&line).ok().says(&[warning]);
            assert_eq!(warnings(&outcome), 1, "{outcome:#?}");
        }
    }
}

#[test]
fn right_labels_give_no_warning() {
    let folder = mislabelled(&[]);
    for tune in ["off", "2"] {
        let line = format!("{LINEAR} --tune {tune} new.txt -q");
        folder.run(&line).ok().silent();
    }
}
