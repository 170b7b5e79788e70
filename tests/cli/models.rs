//! `fewshot models`: the cache.

use std::process::Stdio;

use crate::support::{Folder, Outcome, binary, encoder};

/// A command without `--model`.
fn run(folder: &Folder, line: &str) -> Outcome {
    let mut command = binary();
    command
        .current_dir(folder.path("."))
        .env("HF_HUB_CACHE", folder.path("cache"));
    command.args(line.split_whitespace()).stdin(Stdio::null());
    Outcome::new(line, command.output().unwrap())
}

fn imported() -> Folder {
    let folder = Folder::new();
    let line = format!(
        "models import {} team/tiny",
        encoder("tiny-mpnet").display()
    );
    run(&folder, &line).ok().says(&["imported as team/tiny"]);
    folder
}

#[test]
fn an_empty_cache_is_said_so() {
    let folder = Folder::new();
    let outcome = run(&folder, "models list")
        .ok()
        .says(&["note: no model in", "cache"]);
    assert_eq!(outcome.stdout, "");
    assert_eq!(
        run(&folder, "models list --json").ok().silent().json(),
        serde_json::json!([])
    );
    assert!(!folder.path("cache").exists());
}

#[test]
fn an_imported_model_is_listed() {
    let folder = imported();
    let outcome = run(&folder, "models list").ok().silent();
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{outcome:#?}");
    assert!(lines[0].starts_with("id ") && lines[1].starts_with("team/tiny "));
    for part in ["mpnet", " 32", "MB"] {
        assert!(
            lines[1].contains(part) || part == "MB" && lines[1].contains("kB"),
            "{outcome:#?}"
        );
    }
    // The columns stand below their headings.
    assert_eq!(
        lines[0].find("type"),
        lines[1].find("mpnet"),
        "{outcome:#?}"
    );
    let document = run(&folder, "models list --json").ok().json();
    let row = &document[0];
    assert_eq!(
        (
            &row["id"],
            &row["model_type"],
            &row["width"],
            &row["complete"]
        ),
        (
            &"team/tiny".into(),
            &"mpnet".into(),
            &32.into(),
            &true.into()
        )
    );
}

#[test]
fn an_imported_model_is_used_offline_by_its_id() {
    let folder = imported();
    let path = run(&folder, "models path team/tiny").ok().silent().stdout;
    assert!(
        std::path::Path::new(path.trim_end())
            .join("config.json")
            .exists(),
        "{path}"
    );
    for line in ["models get team/tiny", "models get team/tiny --offline"] {
        let outcome = run(&folder, line)
            .ok()
            .says(&["32 numbers a vector", "sha256"]);
        assert_eq!(outcome.stdout, path);
    }
    let classify = "classify --head linear --examples few.jsonl new.txt";
    let by_id = run(&folder, &format!("{classify} --model team/tiny --offline"))
        .ok()
        .stdout;
    assert_eq!(by_id, folder.run(classify).ok().stdout);
}

#[test]
fn a_classifier_remembers_the_id() {
    let folder = imported();
    let line =
        "train --head linear --examples few.jsonl --output saved --model team/tiny --offline";
    run(&folder, line).ok();
    run(&folder, "predict --classifier saved new.txt --offline").ok();
    assert!(
        folder
            .read("saved/README.md")
            .contains("encoder: team/tiny")
    );
}

#[test]
fn the_cache_can_be_elsewhere() {
    let folder = imported();
    let line = format!(
        "models import {} team/bert --cache-dir other",
        encoder("tiny-bert").display()
    );
    run(&folder, &line).ok();
    let listed = |line| run(&folder, line).ok().stdout;
    assert!(listed("models list --cache-dir other").contains("team/bert"));
    assert!(!listed("models list").contains("team/bert"));
}

#[test]
fn what_is_not_there_is_named() {
    let folder = Folder::new();
    let outcome = run(&folder, "models path team/none").failed(1);
    outcome.says(&[
        "offline, and the cache",
        "lacks",
        "`team/none`",
        "hint: run `fewshot models get team/none`",
    ]);
    run(&folder, "models import nowhere team/x")
        .failed(1)
        .says(&["nowhere"]);
    run(&folder, "models import few.jsonl team/x")
        .failed(1)
        .says(&["few.jsonl"]);
    folder.write("empty/README.md", "");
    run(&folder, "models import empty team/x")
        .failed(1)
        .says(&["has no config.json", "hint:"]);
    run(
        &folder,
        &format!("models import {} a/b/c", encoder("tiny-bert").display()),
    )
    .failed(1)
    .says(&["a/b/c", "hint:"]);
}

/// A folder that cannot be used is refused before it is in the cache.
#[test]
fn a_broken_model_does_not_get_into_the_cache() {
    let folder = Folder::new();
    let model = folder.copy_encoder("tiny-bert");
    folder.write("tiny-bert/tokenizer.json", "{}");
    run(
        &folder,
        &format!("models import {} team/broken", model.display()),
    )
    .failed(1)
    .says(&["tokenizer.json"]);
    assert_eq!(run(&folder, "models list").ok().stdout, "");
}
