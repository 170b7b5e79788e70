//! Help, completions, the manual, wrong usage.

use crate::support::{Folder, Outcome, binary};

const COMMANDS: [&str; 13] = [
    "classify",
    "train",
    "predict",
    "evaluate",
    "benchmark",
    "label",
    "simulate",
    "policy",
    "embed",
    "models",
    "cache",
    "completions",
    "man",
];

fn run(line: &str) -> Outcome {
    let mut command = binary();
    command.args(line.split_whitespace());
    Outcome::new(line, command.output().unwrap())
}

#[test]
fn every_subcommands_help_has_an_example() {
    let overview = run("--help").ok().silent().stdout;
    assert!(overview.contains("fewshot classify --examples"));
    for command in COMMANDS {
        assert!(overview.contains(&format!("\n  {command} ")), "{command}");
        let help = run(&format!("{command} --help")).ok().silent().stdout;
        assert!(help.contains("Example"), "{help}");
        assert!(
            help.contains(&format!("  fewshot {command}"))
                || help.contains(&format!("| fewshot {command}")),
            "{help}"
        );
        assert_eq!(run(&format!("help {command}")).ok().stdout, help);
    }
}

/// The options that the examples use exist.
#[test]
fn the_examples_of_the_help_parse() {
    for command in COMMANDS {
        let help = run(&format!("{command} --help")).stdout;
        let examples = help.lines().skip_while(|line| !line.starts_with("Example"));
        for line in examples.filter(|line| line.contains("fewshot ")) {
            let call = line.split("fewshot ").last().unwrap();
            // Up to a pipe or a redirection; no example has blanks in quotes.
            let call = call.split(" | ").next().unwrap();
            let call = call.split(" > ").next().unwrap().replace('\'', "");
            let folder = Folder::new();
            assert!(line.len() <= 98, "folded: {line}");
            let outcome = Outcome::new(
                &call,
                folder
                    .command(&format!("{call} --model ./none"))
                    .output()
                    .unwrap(),
            );
            assert_ne!(outcome.code, Some(2), "{outcome:#?}");
        }
    }
}

#[test]
fn completions_exist_for_the_shells() {
    for (shell, part) in [
        ("bash", "_fewshot()"),
        ("zsh", "#compdef fewshot"),
        ("fish", "complete -c fewshot"),
    ] {
        let script = run(&format!("completions {shell}")).ok().silent().stdout;
        assert!(
            script.contains(part) && script.contains("classify"),
            "{shell}"
        );
    }
    run("completions cmd").failed(2).says(&["cmd", "bash"]);
}

#[test]
fn the_manual_covers_the_commands() {
    let page = run("man").ok().silent().stdout;
    assert!(page.contains(".TH fewshot"));
    for command in COMMANDS {
        assert!(page.contains(command), "{command}");
    }
}

#[test]
fn version_is_the_packages() {
    let version = format!("fewshot {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run("--version").ok().silent().stdout, version);
}

#[test]
fn wrong_usage_exits_with_two() {
    let folder = Folder::new();
    let lines = [
        ("classify --exampels few.jsonl", "--examples"),
        (
            "classify --examples few.jsonl --threshold 2",
            "`2` is no probability between 0 and 1",
        ),
        ("classify --examples few.jsonl --threshold nan", "nan"),
        (
            "classify --examples few.jsonl --threshold auto:95",
            "auto:0.9",
        ),
        ("classify --examples few.jsonl --epochs -1", "--epochs"),
        (
            "classify --examples few.jsonl --learning-rate 0",
            "learning",
        ),
        (
            "classify --examples few.jsonl --learning-rate inf",
            "learning",
        ),
        ("classify --examples few.jsonl --strength -3", "strength"),
        (
            "classify --examples few.jsonl --epochs 1000000000",
            "epochs",
        ),
        ("classify --examples few.jsonl --layers 5-2", "5-2"),
        ("classify --examples few.jsonl --layers x", "`x`"),
        ("classify --examples few.jsonl --head forest", "forest"),
        ("classify --examples few.jsonl --format xml", "xml"),
        ("classify --examples few.jsonl --input-format xml", "xml"),
        ("classify --examples few.jsonl --threads 0", "0"),
        ("classify --examples few.jsonl --device cuda", "cuda"),
        ("classify --examples few.jsonl --seed -1", "-1"),
        ("classify --examples few.jsonl -q -v", "cannot be used with"),
        (
            "classify --examples few.jsonl new.txt --input new.txt",
            "cannot be used with",
        ),
        (
            "classify new.txt",
            "neither --examples nor --prompt was given",
        ),
        ("train --examples few.jsonl", "--output"),
        ("predict new.txt", "--classifier"),
        ("embed --input new.txt", "--output"),
        ("models", "Usage"),
        ("cache --clear --json", "cannot be used with"),
        ("nonsense", "nonsense"),
        ("", "Usage"),
    ];
    for (line, part) in lines {
        let mut command = binary();
        command
            .current_dir(folder.path("."))
            .args(line.split_whitespace());
        let outcome = Outcome::new(line, command.output().unwrap());
        assert_eq!(outcome.code, Some(2), "{outcome:#?}");
        assert_eq!(outcome.stdout, "", "{line}");
        outcome.says(&[part]);
    }
}
