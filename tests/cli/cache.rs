//! The cache of embeddings: what `benchmark` keeps, `fewshot cache`.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{EXAMPLES, Folder, Outcome, example_lines};

const BENCHMARK: &str = "benchmark --train few.jsonl --test few.jsonl --shots 2 --seeds 6 \
    --heads linear,prototype --tune off --json";
/// The examples and three texts for each of the two labels' names.
const TEXTS: usize = EXAMPLES.len() + 6;

/// The document without what differs from run to run.
fn figures(outcome: &Outcome) -> Value {
    let mut document = outcome.json();
    for row in document["rows"].as_array_mut().unwrap() {
        for name in ["fit_seconds", "predict_seconds"] {
            row.as_object_mut().unwrap().remove(name);
        }
    }
    document
}

/// Nothing is said but that the test texts are those of the training.
fn nothing_else(outcome: Outcome) -> Outcome {
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
    outcome.says(&["test texts are among the training texts"])
}

fn listing(folder: &Folder) -> Value {
    folder.run_cached("cache --json").ok().silent().json()
}

/// The only file of vectors.
fn file(folder: &Folder) -> PathBuf {
    let path = listing(folder)["files"][0]["path"].clone();
    path.as_str().unwrap().into()
}

#[test]
fn results_are_the_same_with_and_without_a_cache() {
    let folder = Folder::new();
    let without = folder
        .run_cached(&format!("{BENCHMARK} --no-cache -v"))
        .ok();
    assert!(!folder.path("kept/embeddings").exists());
    let cold = folder.run_cached(&format!("{BENCHMARK} -v")).ok();
    let warm = folder.run_cached(&format!("{BENCHMARK} -v")).ok();
    for outcome in [&cold, &warm] {
        assert_eq!(figures(outcome), figures(&without));
    }
    let all = format!("0 texts from the cache, {TEXTS} embedded");
    without.says(&[&all]);
    cold.says(&[&all]);
    warm.says(&[&format!("{TEXTS} texts from the cache, 0 embedded")]);
    nothing_else(folder.run_cached(BENCHMARK).ok());
}

#[test]
fn encoders_and_layers_are_not_mixed() {
    let folder = Folder::new();
    let bert = crate::support::encoder("tiny-bert");
    let other = format!("{BENCHMARK} --model {}", bert.display());
    let lines = [
        BENCHMARK.to_owned(),
        format!("{BENCHMARK} --layers last"),
        other,
    ];
    for line in &lines {
        let without = folder.run_cached(&format!("{line} --no-cache")).ok();
        let with = folder.run_cached(&format!("{line} -v")).ok();
        assert_eq!(figures(&with), figures(&without));
        with.says(&["0 texts from the cache"]);
    }
    assert_eq!(listing(&folder)["files"].as_array().map(Vec::len), Some(3));
}

#[test]
fn two_processes_fill_one_cache() {
    let folder = Folder::new();
    let text = |number: usize| format!("dog {number} and the money {}", number * 7);
    let texts: Vec<String> = (0..600).map(text).collect();
    let labelled = texts.iter().enumerate();
    let examples: Vec<(&str, &str)> = labelled
        .map(|(number, text)| (text.as_str(), ["animal", "money"][number % 2]))
        .collect();
    folder.write("many.jsonl", example_lines(&examples));
    let line = BENCHMARK.replace("few.jsonl", "many.jsonl");
    let spawn = || {
        let mut command = folder.cached(&line);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let children = [spawn(), spawn(), spawn()];
    let outcomes = children.map(|child| {
        let output = child.wait_with_output().unwrap();
        nothing_else(Outcome::new(&line, output).ok())
    });
    let without = folder.run_cached(&format!("{line} --no-cache")).ok();
    for outcome in &outcomes {
        assert_eq!(
            outcome.json()["rows"][0]["mean"],
            without.json()["rows"][0]["mean"]
        );
    }
    assert_eq!(listing(&folder)["files"][0]["texts"], 606);
    folder
        .run_cached(&format!("{line} -v"))
        .ok()
        .says(&["606 texts from the cache, 0 embedded"]);
}

#[test]
fn damage_is_said_and_mended() {
    let folder = Folder::new();
    let whole = folder.run_cached(BENCHMARK).ok();
    let path = file(&folder);
    let bytes = fs::read(&path).unwrap();
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 4;
    let truncated = bytes[..bytes.len() - 5].to_vec();
    for damaged in [flipped, truncated] {
        fs::write(&path, damaged).unwrap();
        let outcome = folder.run_cached(BENCHMARK).ok();
        let mean = |outcome: &Outcome| outcome.json()["rows"][0]["mean"].clone();
        assert_eq!(mean(&outcome), mean(&whole));
        outcome.says(&["note: the cache of embeddings was damaged in 1 place; the texts"]);
        nothing_else(folder.run_cached(BENCHMARK).ok());
    }
}

#[test]
fn a_place_that_cannot_be_written_is_no_failure() {
    let folder = Folder::new();
    let run = |line: &str| {
        let mut command = folder.command(line);
        command.env("FEWSHOT_CACHE", folder.path("few.jsonl"));
        Outcome::new(line, command.output().unwrap())
    };
    let outcome = nothing_else(run(BENCHMARK).ok());
    let without = folder.run_cached(&format!("{BENCHMARK} --no-cache")).ok();
    assert_eq!(figures(&outcome), figures(&without));
    run(&format!("{BENCHMARK} -v"))
        .ok()
        .says(&["note: new vectors are not kept: cannot use the cache of embeddings"]);
    run("cache")
        .failed(1)
        .says(&["few.jsonl", "hint: set FEWSHOT_CACHE"]);
}

/// As far as the permissions bind whoever runs the tests.
#[cfg(unix)]
#[test]
fn a_read_only_folder_is_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    folder.run_cached(BENCHMARK).ok();
    let dir = folder.path("kept/embeddings");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o555)).unwrap();
    let outcome = folder.run_cached(&format!("{BENCHMARK} -v")).ok();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    outcome.says(&[&format!("{TEXTS} texts from the cache, 0 embedded")]);
}

#[test]
fn the_limit_is_kept_and_named() {
    let folder = Folder::new();
    let run = |size: &str, line: &str| {
        let mut command = folder.cached(line);
        command.env("FEWSHOT_CACHE_SIZE", size);
        Outcome::new(line, command.output().unwrap())
    };
    run("1k", &format!("{BENCHMARK} -v"))
        .ok()
        .says(&["new vectors are not kept: the cache of embeddings has its 1000 bytes"]);
    assert_eq!(listing(&folder)["files"][0]["texts"], 0);
    for line in [BENCHMARK, "cache"] {
        run("much", line).failed(1).says(&[
            "FEWSHOT_CACHE_SIZE is `much`",
            "hint: write a number of bytes",
        ]);
    }
}

#[test]
fn the_cache_is_shown_and_emptied() {
    let folder = Folder::new();
    let empty = folder.run_cached("cache").ok().silent();
    assert!(
        empty
            .stdout
            .ends_with("embeddings: 0.0 kB of at most 2.0 GB\n"),
        "{empty:#?}"
    );
    folder.run_cached(BENCHMARK).ok();
    let table = folder.run_cached("cache").ok().silent().stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(
        lines[1].starts_with("encoder ") && lines[2].contains("tiny-mpnet"),
        "{table}"
    );
    let file = &listing(&folder)["files"][0];
    assert_eq!(
        (&file["texts"], &file["width"]),
        (&TEXTS.into(), &32.into())
    );
    let path = PathBuf::from(file["path"].as_str().unwrap());
    let outcome = folder.run_cached("cache --clear").ok();
    assert_eq!(outcome.stdout, "");
    outcome.says(&["note: ", "removed from", "embeddings"]);
    assert!(!path.exists());
    folder.run_cached("cache --clear -q").ok().silent();
    folder
        .run_cached(&format!("{BENCHMARK} -v"))
        .ok()
        .says(&["0 texts from the cache"]);
}
