//! Learning curves and training of the agent, from the command line.

use serde_json::Value;

use crate::support::Folder;

/// Two kinds of texts that the tiny encoders tell apart, as `set/train.jsonl` and `set/test.jsonl`.
fn folder() -> Folder {
    let folder = Folder::new();
    let animals = ["dog", "cat", "fox", "fish"];
    let money = ["money", "job", "return", "cancel"];
    let verbs = [
        "see the",
        "a",
        "the old",
        "my",
        "one",
        "some",
        "the quick",
        "no",
    ];
    let lines = |from: usize| -> String {
        let mut lines = String::new();
        for (at, verb) in verbs.iter().enumerate().skip(from).step_by(2) {
            for (label, words) in [("animal", animals), ("money", money)] {
                for word in words {
                    lines +=
                        &format!("{{\"text\":\"{verb} {word} {at}\",\"label\":\"{label}\"}}\n");
                }
            }
        }
        lines
    };
    for name in ["set", "other"] {
        folder.write(&format!("{name}/train.jsonl"), lines(0));
        folder.write(&format!("{name}/test.jsonl"), lines(1));
    }
    folder
}

#[test]
fn curves_come_as_a_table_a_document_and_a_drawing() {
    let folder = folder();
    let line =
        "simulate --sets set other --budget 10 --seeds 3 --strategies random,urep,q-learning";
    let table = folder
        .run_cached(&format!("{line} --svg curves.svg"))
        .ok()
        .stdout;
    assert!(table.contains("mean of 2 sets"), "{table}");
    for part in [
        "area",
        "@8",
        "@10",
        "reached",
        "against random",
        "q-learning",
    ] {
        assert!(table.contains(part), "no {part} in {table}");
    }
    let document = folder.run_cached(&format!("{line} --json")).ok().json();
    let row = &document["sets"][0]["strategies"][1];
    assert_eq!(row["strategy"], "urep");
    assert_eq!(row["areas"].as_array().map(Vec::len), Some(3));
    assert_eq!(row["mean_curve"].as_array().map(Vec::len), Some(10));
    let area = row["area"]["mean"].as_f64().unwrap();
    assert!((0.4..=1.0).contains(&area));
    assert!(document["means_over_sets"][2]["area_against_first"]["low"].is_number());
    let drawing = folder.read("curves.svg");
    assert!(drawing.starts_with("<svg") && drawing.ends_with("</svg>\n"));
    assert_eq!(
        drawing.matches("<g ").count(),
        drawing.matches("</g>").count()
    );
    assert!(!drawing.contains("NaN") && drawing.contains("q-learning"));
    // The same bytes again, on one thread.
    let again = folder
        .run_cached(&format!("{line} --svg again.svg --threads 1"))
        .ok()
        .stdout;
    assert_eq!(again, table);
    assert_eq!(folder.read("again.svg"), drawing);
}

#[test]
fn noise_batches_skips_and_names_change_curves_and_nothing_breaks() {
    let folder = folder();
    let area = |rest: &str| {
        let line = format!("simulate --sets set --seeds 4 --strategies rep --json {rest}");
        let document = folder.run_cached(&line).ok().json();
        document["sets"][0]["strategies"][0]["area"]["mean"]
            .as_f64()
            .unwrap()
    };
    let clean = area("--budget 12");
    assert!(area("--budget 12 --noise 0.4") < clean);
    assert_ne!(area("--budget 12 --batch 5"), clean);
    assert!((0.0..=1.0).contains(&area("--budget 12 --skip-rate 0.5")));
    assert_ne!(area("--budget 12 --label-names"), clean);
    // A budget beyond the pool: the curve ends flat.
    assert!((0.0..=1.0).contains(&area("--budget 500 --pool-size 20")));
}

#[test]
fn wrong_options_of_a_simulation_are_named() {
    let folder = folder();
    folder.write(
        "one.jsonl",
        "{\"text\":\"a\",\"label\":\"x\"}\n{\"text\":\"b\",\"label\":\"x\"}\n",
    );
    let run = |rest: &str| folder.run_cached(&format!("simulate {rest}"));
    run("--sets set --strategies best")
        .failed(2)
        .says(&["`best` is no strategy"]);
    run("--sets set --strategies rep,rep")
        .failed(2)
        .says(&["names rep twice"]);
    run("--sets set --strategies rep>x>urep")
        .failed(2)
        .says(&["no number of labels"]);
    run("--sets set --noise 1.5").failed(2).says(&["no share"]);
    run("--sets missing")
        .failed(1)
        .says(&["has no train.jsonl"]);
    run("--pool one.jsonl").failed(1).says(&["`x`"]);
    run("").failed(2).says(&["--pool"]);
    folder.write(
        "set/test.jsonl",
        "{\"text\":\"a dog\",\"label\":\"plant\"}\n{\"text\":\"a cat\",\"label\":\"animal\"}\n",
    );
    let outcome = run("--sets set --budget 4 --seeds 1 --strategies rep").ok();
    outcome.says(&[
        "no text of the pool has the label `plant`",
        "count as errors",
    ]);
}

#[test]
fn a_policy_is_trained_shown_and_used() {
    let folder = folder();
    let train = "policy train --tasks set other/train.jsonl --rollouts 60 --runs 3 --output p.json";
    let shown = folder
        .run_cached(train)
        .ok()
        .says(&["the policy is in p.json"])
        .stdout;
    let policy: Value = serde_json::from_str(&folder.read("p.json")).unwrap();
    assert_eq!(
        policy["training"]["tasks"],
        serde_json::json!(["set", "train.jsonl"])
    );
    assert_eq!(policy["training"]["rollouts"], 60);
    let visits: u64 = policy["visits"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row.as_array().unwrap())
        .map(|count| count.as_u64().unwrap())
        .sum();
    assert!(visits > 60);
    assert_eq!(
        folder.run_cached("policy show --policy p.json").ok().stdout,
        shown
    );
    assert_eq!(
        folder
            .run_cached("policy show --policy p.json --json")
            .ok()
            .stdout,
        folder.read("p.json")
    );
    // Never replaced unasked, and the same bytes from the same seed.
    folder
        .run_cached(train)
        .failed(1)
        .says(&["p.json is there already", "--overwrite"]);
    let before = folder.read("p.json");
    folder
        .run_cached(&format!("{train} --overwrite --threads 1"))
        .ok();
    assert_eq!(folder.read("p.json"), before);
    let line = "simulate --sets set --budget 6 --seeds 2 --strategies q-learning --policy p.json";
    folder.run_cached(line).ok();
    folder
        .run_cached(&format!("{train} --actions rep,rep --overwrite"))
        .failed(2)
        .says(&["names rep twice"]);
}

#[test]
fn the_policy_in_the_binary_can_be_read() {
    let folder = Folder::new();
    let table = folder.run("policy show").ok().stdout;
    assert!(
        table.contains("do this") && table.contains("8-15 labels"),
        "{table}"
    );
    assert!(table.contains("+0.00 ±"), "{table}");
}
