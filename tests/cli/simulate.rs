//! Learning curves, from the command line.

use serde_json::Value;

use crate::support::Folder;

/// Two kinds of texts that the tiny encoders tell apart, as `set/train.jsonl` and `set/test.jsonl`.
pub fn folder() -> Folder {
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

const LINE: &str =
    "simulate --sets set other --budget 10 --seeds 3 --strategies random,urep,q-learning";

#[test]
fn curves_come_as_a_table_with_a_mean_over_sets() {
    let table = folder().run_cached(LINE).ok().silent().stdout;
    for part in [
        "set\n",
        "other\n",
        "mean of 2 sets\n",
        "@8",
        "@10",
        "reached",
    ] {
        assert!(table.contains(part), "no {part} in {table}");
    }
    assert_eq!(table.matches("against random").count(), 3);
    assert_eq!(table.matches("\nq-learning").count(), 3);
    // One strategy is compared with nobody, one run has no interval.
    let alone = "simulate --sets set --budget 4 --seeds 1 --strategies rep";
    let table = folder().run_cached(alone).ok().stdout;
    assert!(
        !table.contains("against") && !table.contains(" to +"),
        "{table}"
    );
    assert!(table.contains("@4") && !table.contains("@8"));
}

#[test]
fn the_document_holds_every_runs_area_and_what_repeats_it() {
    let document = folder().run_cached(&format!("{LINE} --json")).ok().json();
    let settings = &document["settings"];
    for (key, value) in [
        ("budget", 10),
        ("seeds", 3),
        ("seed", 42),
        ("pool_size", 600),
    ] {
        assert_eq!(settings[key], value, "{key}");
    }
    assert_eq!(settings["strategies"][2], "q-learning");
    assert_eq!(
        settings["encoder"]["sha256"].as_str().map(str::len),
        Some(64)
    );
    assert!(settings["layers"].is_string() && settings["encoder"]["precision"].is_string());
    assert!(settings["policy_training"].is_object());
    let set = &document["sets"][1];
    assert_eq!(
        (&set["name"], &set["size"]["classes"]),
        (&"other".into(), &2.into())
    );
    assert_eq!(set["size"]["pool_texts"], 32);
    let row = &set["strategies"][1];
    assert_eq!(row["strategy"], "urep");
    assert_eq!(row["mean_curve"].as_array().map(Vec::len), Some(10));
    assert!(row["accuracy_at"]["8"].is_number());
    // The area is the mean of the runs' areas, and of the mean curve.
    let mean = |values: &Value| {
        let values: Vec<f64> = values
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_f64().unwrap())
            .collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    let area = row["area"]["mean"].as_f64().unwrap();
    assert!((mean(&row["areas"]) - area).abs() < 1e-9);
    assert!((mean(&row["mean_curve"]) - area).abs() < 1e-9);
    let over = &document["means_over_sets"][2];
    assert!(over["area_against_first"]["low"].is_number());
    assert_eq!(over["areas"].as_array().map(Vec::len), Some(2));
}

#[test]
fn curves_are_drawn_one_chart_a_set_and_the_same_bytes_again() {
    let folder = folder();
    let table = folder
        .run_cached(&format!("{LINE} --svg curves.svg"))
        .ok()
        .stdout;
    let drawing = folder.read("curves.svg");
    assert!(drawing.starts_with("<svg") && drawing.ends_with("</svg>\n"));
    assert_eq!(drawing.matches("<g transform").count(), 3);
    assert_eq!(
        drawing.matches("<g").count(),
        drawing.matches("</g>").count()
    );
    assert!(drawing.contains("mean of 2 sets") && !drawing.contains("NaN"));
    for threads in [1, 2] {
        let line = format!("{LINE} --svg again.svg --threads {threads}");
        assert_eq!(folder.run_cached(&line).ok().stdout, table);
        assert_eq!(folder.read("again.svg"), drawing);
    }
    let other = folder.run_cached(&format!("{LINE} --seed 7")).ok().stdout;
    assert_ne!(other, table);
}

#[test]
fn drawings_that_cannot_be_written_are_refused_before_the_work() {
    let folder = folder();
    let run = |path: &str| folder.run_cached(&format!("{LINE} --model ./none --svg {path}"));
    run("none/curves.svg")
        .failed(1)
        .says(&["there is no folder none", "--svg"]);
    run("set").failed(1).says(&["set"]);
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
    for extreme in [
        "--budget 500 --pool-size 20",
        "--pool-size 1 --test-size 1",
        "--batch 1000 --seed 18446744073709551615",
        "--skip-rate 0.99 --noise 0.99",
    ] {
        assert!((0.0..=1.0).contains(&area(extreme)), "{extreme}");
    }
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
    for option in ["--noise", "--skip-rate"] {
        for share in ["1.5", "1", "-0.1", "nan", "x"] {
            run(&format!("--sets set {option}={share}"))
                .failed(2)
                .says(&["no share"]);
        }
    }
    for (option, value) in [
        ("budget", "0"),
        ("seeds", "0"),
        ("batch", "0"),
        ("pool-size", "9999"),
    ] {
        run(&format!("--sets set --{option} {value}"))
            .failed(2)
            .says(&[option]);
    }
    for empty in ["", ",", "rep,"] {
        run(&format!("--sets set --strategies={empty}"))
            .failed(2)
            .says(&["`` is no strategy"]);
    }
    run("--sets set set")
        .failed(2)
        .says(&["--sets names set twice"]);
    run("--sets set --pool one.jsonl")
        .failed(2)
        .says(&["cannot be used"]);
    run("--sets missing")
        .failed(1)
        .says(&["has no train.jsonl"]);
    run("--pool one.jsonl").failed(1).says(&["`x`"]);
    run("").failed(2).says(&["--pool"]);
}

#[test]
fn what_is_odd_about_a_set_is_said() {
    let folder = folder();
    let run = |rest: &str| {
        folder.run_cached(&format!(
            "simulate --budget 4 --seeds 1 --strategies rep {rest}"
        ))
    };
    folder.write(
        "set/test.jsonl",
        "{\"text\":\"a dog\",\"label\":\"plant\"}\n{\"text\":\"a cat\",\"label\":\"animal\"}\n",
    );
    let odd = run("--sets set").ok();
    assert!(odd.stdout.contains(" 50.0"), "{}", odd.stdout);
    odd.says(&[
        "no text of the pool has the label `plant`",
        "count as errors",
    ]);
    run("--sets other --pool-size 3")
        .ok()
        .says(&["other: the budget is 4 labels, the pool has 3 texts"]);
    // Without a test two fifths of the pool are one, if there are enough.
    run("--pool other/train.jsonl").ok().silent();
    folder.write("two.csv", "text,label\na dog,animal\nmy money,money\n");
    run("--pool two.csv")
        .failed(1)
        .says(&["two.csv has too few texts", "hint: "]);
    run("--pool two.csv --test two.csv")
        .ok()
        .says(&["the pool has 2 texts"]);
    // A name in which there is no word says nothing.
    folder.write(
        "mixed.csv",
        "text,label\na dog,0\na cat,0\nmy money,money\nno job,money\n",
    );
    run("--pool mixed.csv --label-names").ok();
}
