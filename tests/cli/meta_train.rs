//! `fewshot meta-train` and `--start FILE`.

use serde_json::Value;

use crate::support::{EXAMPLES, Folder, encoder, example_lines};

const META_TRAIN: &str = "meta-train --tasks other.jsonl colours.jsonl --output start.safetensors";

/// A task whose labels are the other way round, one about something else, and a start from them.
fn with_start() -> Folder {
    let folder = Folder::new();
    let other: Vec<(&str, &str)> = EXAMPLES
        .iter()
        .map(|&(text, label)| {
            (
                text,
                if label == "animal" {
                    "beast"
                } else {
                    "business"
                },
            )
        })
        .collect();
    folder.write("other.jsonl", example_lines(&other));
    folder.write(
        "colours.jsonl",
        example_lines(&[
            ("a red rose", "red"),
            ("the red house", "red"),
            ("a green tree", "green"),
            ("green and old", "green"),
        ]),
    );
    folder
        .run(META_TRAIN)
        .ok()
        .says(&["note: a start from 2 tasks saved to start.safetensors"]);
    folder
}

#[test]
fn a_start_is_made_used_and_kept_with_the_classifier() {
    let folder = with_start();
    let bytes = std::fs::read(folder.path("start.safetensors")).unwrap();
    folder.run(&format!("{META_TRAIN} --overwrite")).ok();
    assert_eq!(
        std::fs::read(folder.path("start.safetensors")).unwrap(),
        bytes
    );
    let options = "--head linear --tune off --examples few.jsonl";
    let classify = |more: &str| {
        folder
            .run(&format!("classify {options} {more} new.txt"))
            .ok()
            .stdout
    };
    let with = classify("--start start.safetensors");
    folder
        .run(&format!(
            "classify {options} -v --start start.safetensors new.txt"
        ))
        .ok()
        .says(&["what the encoder learned from other tasks is"]);
    folder
        .run(&format!(
            "train {options} --start start.safetensors --output saved"
        ))
        .ok();
    let predicted = folder.run("predict --classifier saved new.txt").ok().stdout;
    assert_eq!(predicted, with);
}

#[test]
fn to_go_on_without_the_start_is_refused_with_a_cure() {
    let folder = with_start();
    folder
        .run("train --head linear --start start.safetensors --examples few.jsonl --output saved")
        .ok();
    folder.write(
        "more.jsonl",
        example_lines(&[("a red rose", "plant"), ("the tree", "plant")]),
    );
    let more = "train --continue saved --examples more.jsonl --output more";
    let start = folder.path("start.safetensors");
    std::fs::rename(&start, folder.path("moved")).unwrap();
    folder.run(more).failed(1).says(&[
        "the start start.safetensors, with which saved was trained, is not there",
        "hint: put it back, or train anew: fewshot train --examples saved/examples.jsonl --examples FILE --output DIR",
    ]);
    std::fs::rename(folder.path("moved"), &start).unwrap();
    folder.run(more).ok();
}

#[test]
fn a_benchmark_takes_a_start() {
    let folder = with_start();
    let line = "benchmark --train few.jsonl --test few.jsonl --shots 2 --seeds 2 --json";
    let configs = [
        "--config",
        "without=--tune off",
        "--config",
        "with=--tune off --start start.safetensors",
    ];
    let outcome = folder.cached(line).args(configs).output().unwrap();
    let document: Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!(document["configs"][0]["start"], "auto");
    assert_eq!(document["configs"][1]["start"]["file"], "start.safetensors");
    assert!(document["rows"][1]["difference"]["mean"].is_f64());
}

/// `--start off` is what the tiny encoder does anyway, of which no start comes with fewshot.
#[test]
fn without_a_start_the_encoder_is_the_models() {
    let folder = with_start();
    let classify = |start: &str| {
        let line = format!("classify -v --tune off --examples few.jsonl {start} new.txt");
        let outcome = folder.run(&line).ok();
        outcome
            .says(&["what the encoder learned from other tasks is not used"])
            .stdout
    };
    assert_eq!(classify("--start off"), classify(""));
}

#[test]
fn a_start_that_does_not_fit_is_refused() {
    let folder = with_start();
    let line = "classify --examples few.jsonl --start start.safetensors new.txt";
    let bert = encoder("tiny-bert");
    folder
        .run(&format!("{line} --model {}", bert.display()))
        .failed(1)
        .says(&["start.safetensors was made with the encoder", "hint: "]);
    folder.write("start.safetensors", "not it");
    folder
        .run(line)
        .failed(1)
        .says(&["start.safetensors is no start of fewshot", "hint: "]);
    // Before anything is measured.
    let line = "benchmark --train few.jsonl --test few.jsonl --shots 2 --json";
    let configs = [
        "--config",
        "a=--tune 1",
        "--config",
        "b=--tune 1 --start start.safetensors",
    ];
    let outcome = folder.cached(line).args(configs).output().unwrap();
    assert!(!outcome.status.success() && outcome.stdout.is_empty());
    let said = String::from_utf8(outcome.stderr).unwrap();
    assert!(
        said.contains("start.safetensors is no start of fewshot"),
        "{said}"
    );
    folder
        .run("classify --examples few.jsonl --start nowhere new.txt")
        .failed(1)
        .says(&["cannot read nowhere", "hint: name a file"]);
    folder.write("single.jsonl", example_lines(&[("a", "b"), ("c", "b")]));
    folder
        .run("meta-train --tasks single.jsonl --output other.safetensors")
        .failed(1)
        .says(&["single.jsonl: all examples have the label `b`"]);
    assert!(!folder.path("other.safetensors").exists());
}

#[test]
fn no_start_takes_the_place_of_a_file_unasked() {
    let folder = with_start();
    let start = std::fs::read(folder.path("start.safetensors")).unwrap();
    let line = "meta-train --tasks few.jsonl few.jsonl --output";
    folder
        .run(&format!("{line} start.safetensors"))
        .failed(1)
        .says(&["start.safetensors is there already", "--overwrite"]);
    let before = folder.read("few.jsonl");
    folder
        .run(&format!("{line} few.jsonl --overwrite"))
        .failed(2)
        .says(&["few.jsonl is a file that is read itself", "hint: "]);
    folder
        .run(&format!("{line} nowhere/start.safetensors"))
        .failed(1)
        .says(&["there is no folder nowhere", "hint: "]);
    assert_eq!(folder.read("few.jsonl"), before);
    assert_eq!(
        std::fs::read(folder.path("start.safetensors")).unwrap(),
        start
    );
}

/// The agent chooses among the vectors that the classifier will see.
#[test]
fn labelling_and_simulations_begin_with_a_start() {
    let folder = with_start();
    let simulated = |start: &str| {
        let line =
            "simulate --no-cache --pool few.jsonl --budget 3 --seeds 1 --strategies rep --json";
        let document = folder.run(&format!("{line} --start {start}")).ok().json();
        document["settings"]["encoder"]["tuned"].clone()
    };
    assert!(simulated("start.safetensors").is_string());
    assert_eq!(simulated("off"), Value::Null);
    folder.write(
        "pool.txt",
        "the old dog\nmy money\na lazy dog\nreturn 9 €\n",
    );
    let labelled = |start: &str| {
        let line =
            format!("label --no-cache pool.txt --labels {start}.jsonl --classes animal,money");
        let outcome = folder.run_with(&format!("{line} --start {start}"), "1\n2\nq\n");
        let (shown, journal) = (outcome.ok().stdout, folder.read(&format!("{start}.jsonl")));
        assert!(shown.contains(&format!(" --start {start}\n")), "{shown}");
        journal
    };
    assert_ne!(labelled("start.safetensors"), labelled("off"));
    folder
        .run_with("label pool.txt --labels other.jsonl --start nowhere", "")
        .failed(1)
        .says(&["cannot read nowhere", "hint: name a file"]);
}
