//! Training of the agent and what it has learned, from the command line.

use serde_json::Value;

use crate::simulate::folder;
use crate::support::Folder;

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
    assert!(
        shown.contains("60 rollouts, 2 tasks, 3 tables averaged, seed 42"),
        "{shown}"
    );
    assert!(
        shown.contains("+0.00 ±") && shown.contains("never tried"),
        "{shown}"
    );
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
    let table = folder.run("policy show").ok().silent().stdout;
    for part in [
        "do this",
        "8-15 labels",
        "32 or more labels of more than 6 classes",
    ] {
        assert!(table.contains(part), "{table}");
    }
    let json = folder.run("policy show --json").ok().json();
    assert_eq!(json["format"], 1);
    // What is printed is a policy's file.
    folder.write("p.json", folder.run("policy show --json").stdout);
    assert_eq!(folder.run("policy show --policy p.json").ok().stdout, table);
}

#[test]
fn outputs_and_tasks_that_will_not_do_are_refused_before_the_work() {
    let folder = folder();
    let run = |rest: &str| folder.run_cached(&format!("policy train --model ./none {rest}"));
    run("--tasks set --output none/p.json")
        .failed(1)
        .says(&["there is no folder none", "--output"]);
    run("--tasks set --output set")
        .failed(1)
        .says(&["set is there already"]);
    run("--tasks set --output set --overwrite")
        .failed(1)
        .says(&["set"]);
    run("--tasks none.jsonl --output p.json")
        .failed(1)
        .says(&["none.jsonl"]);
    folder.write("empty/readme", "");
    run("--tasks empty --output p.json")
        .failed(1)
        .says(&["has no train.jsonl"]);
    folder.write("one.csv", "text,label\na,x\nb,x\nc,x\n");
    run("--tasks one.csv --output p.json")
        .failed(1)
        .says(&["`x`"]);
    run("--tasks set set --output p.json")
        .failed(2)
        .says(&["--tasks names set twice"]);
    run("--tasks set --actions best --output p.json")
        .failed(2)
        .says(&["`best` is no strategy"]);
    run("--tasks set --actions= --output p.json")
        .failed(2)
        .says(&["`` is no strategy"]);
    run("--tasks set --rollouts 0 --output p.json")
        .failed(2)
        .says(&["--rollouts"]);
    run("--tasks set --runs 0 --output p.json")
        .failed(2)
        .says(&["--runs"]);
    run("--output p.json").failed(2).says(&["--tasks"]);
    run("--tasks set").failed(2).says(&["--output"]);
    assert!(!folder.path("p.json").exists());
}

#[test]
fn policy_files_that_do_not_fit_are_refused() {
    let folder = folder();
    let sound = include_str!("../../src/active/policy.json");
    let cut = &sound[..sound.len() / 2];
    let other = sound.replacen("\"format\": 1", "\"format\": 9", 1);
    let unknown = sound.replacen("\"rep\"", "\"best\"", 1);
    let nan = sound.replacen("\"values\": [", "\"values\": [[NaN],", 1);
    for (text, says) in [
        ("", "is no policy"),
        (cut, "is no policy"),
        ("[1]", "is no policy"),
        (&other, "its format is 9, this version reads 1"),
        (&unknown, "`best` is no strategy"),
        (&nan, "is no policy"),
    ] {
        folder.write("p.json", text);
        for line in ["policy show", "simulate --sets set"] {
            folder
                .run_cached(&format!("{line} --policy p.json"))
                .failed(1)
                .says(&["p.json", says, "hint: ", "fewshot policy train"]);
        }
    }
    folder.write("p.json", sound);
    folder
        .run_cached("simulate --sets set --strategies rep --policy p.json")
        .failed(2)
        .says(&["--policy is for q-learning"]);
    folder
        .run("policy show --policy none.json")
        .failed(1)
        .says(&["none.json"]);
    folder
        .run("policy show --policy set")
        .failed(1)
        .says(&["set"]);
}
