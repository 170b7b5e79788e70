//! Examples and texts that are wrong or odd: each is named with its place, and a cure.

use std::time::{Duration, Instant};

use crate::support::{Folder, Outcome, column, example_lines};

const CLASSIFY: &str = "classify --head linear --examples few.jsonl";

/// A run with these examples.
fn with_examples(contents: impl AsRef<[u8]>) -> Outcome {
    let folder = Folder::new();
    folder.write("few.jsonl", contents);
    folder.run(&format!("{CLASSIFY} new.txt"))
}

/// A run on this input.
fn with_input(name: &str, contents: impl AsRef<[u8]>) -> Outcome {
    let folder = Folder::new();
    folder.write(name, contents);
    folder.run(&format!("{CLASSIFY} {name}"))
}

#[test]
fn empty_examples() {
    with_examples("")
        .failed(1)
        .says(&["error: few.jsonl holds no examples", "hint:"]);
    with_examples("\n \n")
        .failed(1)
        .says(&["error: few.jsonl holds no examples"]);
}

#[test]
fn one_class_only() {
    let outcome = with_examples(example_lines(&[("a", "x"), ("b", "x")])).failed(1);
    outcome.says(&[
        "all examples have the label `x`",
        "hint: add examples of another label",
    ]);
}

#[test]
fn one_example_a_class_works_with_a_warning() {
    for head in ["mlp", "linear", "prototype"] {
        let folder = Folder::new();
        folder.write(
            "few.jsonl",
            example_lines(&[("the dog", "x"), ("my money", "y")]),
        );
        let outcome = folder
            .run(&format!(
                "classify --head {head} --examples few.jsonl new.txt"
            ))
            .ok();
        assert_eq!(outcome.rows().len(), 4);
        outcome.says(&[
            "warning: label `x` has only one example",
            "warning: label `y` has only one",
        ]);
    }
}

#[test]
fn one_text_with_two_labels() {
    let outcome = with_examples(example_lines(&[("a", "x"), ("b", "y"), (" a", "y")])).failed(1);
    outcome.says(&[
        "few.jsonl:3: text is labelled `y`, but `x` at few.jsonl:1",
        "hint: keep one of the two",
    ]);
}

/// Between two sources the places must lead to the two files, not to a list that nobody sees.
#[test]
fn one_text_with_two_labels_in_examples_and_prompt() {
    let folder = Folder::new();
    folder.write(
        "p.toml",
        "[labels]\nmoney = 'fish, dog, cat, fox'\nanimal = 'a fox'\n",
    );
    let outcome = folder
        .run(&format!("{CLASSIFY} --prompt p.toml new.txt"))
        .failed(1);
    outcome.says(&[
        "p.toml: label `money` is described by `fish, dog, cat, fox`, which is labelled `animal`",
        "hint: keep one of the two",
    ]);
}

/// What is odd about examples and descriptions together is said, not what each lacks alone.
#[test]
fn oddities_are_those_of_examples_and_prompt_together() {
    let folder = Folder::new();
    let few = [
        ("the dog", "animal"),
        ("my money", "money"),
        ("send money", "money"),
    ];
    folder.write("few.jsonl", example_lines(&few));
    folder.write(
        "p.toml",
        "[labels]\nanimal = 'a fox'\nMoney = ['an invoice', 'a bill']\n",
    );
    let outcome = folder
        .run(&format!("{CLASSIFY} --prompt p.toml new.txt"))
        .ok();
    let warnings: Vec<&str> = outcome.stderr.lines().collect();
    let expected = "warning: labels `Money` and `money` differ only in case; kept as two";
    assert_eq!(warnings, [expected]);
}

#[test]
fn labels_that_differ_by_case_or_blanks() {
    let examples = [
        ("a dog", "Spam"),
        ("the cat", "spam"),
        ("a fox", " ham"),
        ("my job", "ham"),
    ];
    let outcome = with_examples(example_lines(&examples)).ok();
    assert_eq!(
        outcome.rows()[0]["probabilities"]
            .as_object()
            .unwrap()
            .len(),
        3
    );
    outcome.says(&[
        "warning: labels `Spam` and `spam` differ only in case",
        "few.jsonl:3: blanks around label `ham` dropped",
    ]);
}

#[test]
fn blank_examples() {
    with_examples(example_lines(&[("a", "x"), (" ", "y")]))
        .failed(1)
        .says(&["few.jsonl:2: text is blank"]);
    with_examples(example_lines(&[("a", "x"), ("b", " ")]))
        .failed(1)
        .says(&["few.jsonl:2: label is blank"]);
}

#[test]
fn a_missing_or_wrong_field() {
    let rest = example_lines(&[("a", "x")]);
    let outcome = with_examples(format!("{rest}{{\"body\": \"b\", \"label\": \"y\"}}\n")).failed(1);
    outcome.says(&[
        "few.jsonl:2: no field `text`; fields are `body`, `label`",
        "hint: name the right one with --text-field",
    ]);
    let outcome = with_examples(format!("{rest}{{\"text\": \"b\", \"topic\": \"y\"}}\n")).failed(1);
    outcome.says(&[
        "few.jsonl:2: no label in field `label`; fields are `text`, `topic`",
        "hint:",
        "--label-field",
    ]);
    let outcome =
        with_examples(format!("{rest}{{\"text\": [\"b\"], \"label\": \"y\"}}\n")).failed(1);
    outcome.says(&["few.jsonl:2: field `text` is an array, expected a string"]);
    let outcome = with_examples(format!("{rest}{{\"text\": \"b\", \"label\": [1]}}\n")).failed(1);
    outcome.says(&["few.jsonl:2: field `label` is an array, expected a string, number"]);
    with_examples(format!("{rest}{{\"text\": \"b\"\n"))
        .failed(1)
        .says(&["few.jsonl:2:", "invalid JSON"]);
    with_examples(format!("{rest}\"b\"\n")).failed(1).says(&[
        "few.jsonl:2: expected a JSON object, found a string",
        "hint:",
    ]);
}

#[test]
fn plain_text_as_examples() {
    let folder = Folder::new();
    let outcome = folder.run("classify --examples new.txt new.txt").failed(1);
    outcome.says(&["new.txt:1: no label", "hint: plain text holds no labels"]);
}

#[test]
fn invalid_utf8() {
    let outcome = with_examples(
        b"{\"text\": \"a\", \"label\": \"x\"}\n{\"text\": \"caf\xe9\", \"label\": \"y\"}\n",
    )
    .failed(1);
    outcome.says(&[
        "few.jsonl:2: invalid UTF-8",
        "hint: convert it, for example: iconv",
    ]);
    let outcome = with_input("new.txt", b"fine\ncaf\xe9\n");
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert_eq!(column(&outcome.rows(), "text"), ["fine"]);
    outcome.says(&["error: new.txt:2: invalid UTF-8"]);
    with_input("new.txt", b"\xff\xfea\0b\0")
        .failed(1)
        .says(&["new.txt: text is UTF-16", "hint: convert it"]);
}

#[test]
fn a_line_of_fifty_megabytes() {
    let line = "the dog ".repeat(50 << 17);
    let start = Instant::now();
    let outcome = with_input("new.txt", format!("{line}\nmy money\n")).ok();
    let took = start.elapsed();
    assert!(outcome.stdout.lines().count() == 2 && outcome.stdout.len() > line.len());
    assert!(took < Duration::from_secs(30), "{took:?}");
    let said = format!("{:?}", outcome.stderr);
    assert!(
        said.contains("warning: 1 text longer than 256 KiB: the rest was left out"),
        "{said}"
    );
}

#[test]
fn null_bytes_and_control_characters() {
    let outcome = with_input("new.txt", b"a\0dog\n\x1b[31mmoney\x07\n").ok();
    assert_eq!(
        column(&outcome.rows(), "text"),
        ["a\0dog", "\x1b[31mmoney\x07"]
    );
    assert!(!outcome.stdout.contains(['\0', '\x1b', '\x07']));
}

#[test]
fn a_wrong_csv() {
    let folder = Folder::new();
    folder.write("few.csv", "body,topic\na,x\nb,y\n");
    let outcome = folder.run("classify --examples few.csv new.txt").failed(1);
    outcome.says(&[
        "few.csv: no column `text`; columns are `body`, `topic`",
        "hint:",
        "--text-field",
    ]);
    folder.write("few.csv", "text,topic\na,x\n");
    let outcome = folder.run("classify --examples few.csv new.txt").failed(1);
    outcome.says(&["few.csv:2: no label in field `label`", "--label-field"]);
    folder.write("few.csv", "text,label\na,x\nb,c,y\n");
    let outcome = folder.run("classify --examples few.csv new.txt").failed(1);
    outcome.says(&["few.csv:3: row has 3 fields, header has 2", "hint:"]);
    folder.write("few.csv", "text,label\na,x\n\"b,y\n");
    folder
        .run("classify --examples few.csv new.txt")
        .failed(1)
        .says(&["few.csv:3: quotation mark is never closed", "hint:"]);
    folder.write("few.csv", "text,label\n");
    folder
        .run("classify --examples few.csv new.txt")
        .failed(1)
        .says(&["few.csv holds no examples"]);
}

#[test]
fn files_that_cannot_be_read() {
    let folder = Folder::new();
    folder.write("few.parquet", "x");
    let outcome = folder
        .run("classify --examples few.parquet new.txt")
        .failed(1);
    outcome.says(&[
        "few.parquet: the file name does not tell the format",
        "hint: name it .jsonl",
    ]);
    folder
        .run("classify --examples none.jsonl new.txt")
        .failed(1)
        .says(&["none.jsonl does not exist"]);
    folder
        .run(&format!("{CLASSIFY} none.txt"))
        .failed(1)
        .says(&["none.txt does not exist"]);
    folder
        .run(&format!("{CLASSIFY} ."))
        .failed(1)
        .says(&["directory"]);
    folder.write("new.txt.gz", "no gzip");
    folder
        .run(&format!("{CLASSIFY} new.txt.gz"))
        .failed(1)
        .says(&["new.txt.gz: compressed data is damaged", "hint:"]);
    folder
        .run("classify --prompt none.toml new.txt")
        .failed(1)
        .says(&["none.toml"]);
}

/// Whether there is an input should be known before the examples are embedded and trained on.
#[test]
fn a_missing_input_is_found_before_the_training() {
    let folder = Folder::new();
    let outcome = folder.run(&format!("{CLASSIFY} none.txt -v")).failed(1);
    assert!(!outcome.stderr.contains("head trained"), "{outcome:#?}");
    let outcome = folder
        .run(&format!("{CLASSIFY} new.txt -o none/out.jsonl -v"))
        .failed(1);
    assert!(!outcome.stderr.contains("head trained"), "{outcome:#?}");
}

#[test]
fn a_wrong_prompt_is_told_in_one_line() {
    let folder = Folder::new();
    for (contents, part) in [
        ("[labels]\na = 3\n", "p.toml"),
        ("[labels\n", "p.toml"),
        ("[labels]\na = []\n", "label `a` has no description"),
        ("task = 'x'\n", "labels"),
    ] {
        folder.write("p.toml", contents);
        let outcome = folder
            .run("classify --prompt p.toml new.txt")
            .failed(1)
            .says(&[part, "hint:"]);
        assert_eq!(outcome.stderr.lines().count(), 2, "{outcome:#?}");
        assert!(!outcome.stderr.contains('␊'), "{outcome:#?}");
    }
}

/// A saved classifier's own files, a policy, and what stands at standard input.
#[test]
fn no_output_takes_the_place_of_what_is_read() {
    let folder = Folder::new();
    folder
        .run("train --head linear --examples few.jsonl -o saved")
        .ok();
    folder
        .run("predict --classifier saved new.txt -o saved/examples.jsonl")
        .failed(2)
        .says(&[
            "saved/examples.jsonl is a file of the classifier itself",
            "hint: ",
        ]);
    let policy = folder.run("policy show --json").ok().stdout;
    folder.write("policy.svg", &policy);
    folder
        .run("simulate --pool few.jsonl --policy policy.svg --svg policy.svg")
        .failed(2)
        .says(&["--svg policy.svg is a file that is read itself", "hint: "]);
    assert_eq!(folder.read("policy.svg"), policy);
    let texts = folder.read("new.txt");
    let mut command = folder.command(&format!("{CLASSIFY} - -o new.txt"));
    let input = std::fs::File::open(folder.path("new.txt")).unwrap();
    let refused = command.stdin(input).output().unwrap();
    assert_eq!(
        (refused.status.code(), folder.read("new.txt")),
        (Some(2), texts)
    );
}

/// Looking whether it is one of the inputs waited for a reader.
#[cfg(unix)]
#[test]
fn the_output_may_be_a_named_pipe() {
    let folder = Folder::new();
    let pipe = folder.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let reader = std::thread::spawn(move || std::fs::read_to_string(pipe).unwrap());
    folder.run(&format!("{CLASSIFY} new.txt -o pipe")).ok();
    assert_eq!(
        reader.join().unwrap().lines().count(),
        folder.read("new.txt").lines().count()
    );
}

/// They held JSON lines all the same.
#[test]
fn an_output_named_after_another_format_is_refused() {
    let folder = Folder::new();
    for output in ["out.tsv", "out.csv.gz", "out.xlsx", "out.JSON"] {
        folder
            .run(&format!("{CLASSIFY} new.txt -o {output}"))
            .failed(2)
            .says(&[&format!("{output} is no .jsonl or .csv"), "hint: "]);
    }
    folder
        .run(&format!("{CLASSIFY} new.txt -o out.json --format jsonl"))
        .ok();
}

/// What is in a file that was there before is not what it seems to be.
#[test]
fn an_output_that_ends_early_says_so() {
    let folder = Folder::new();
    folder.write("bad.jsonl", "{\"text\": \"the dog\"}\n{\n");
    folder
        .run(&format!("{CLASSIFY} bad.jsonl -o out.jsonl"))
        .failed(1)
        .says(&[
            "bad.jsonl:2",
            "warning: out.jsonl holds the first 1 text only",
        ]);
    assert_eq!(folder.read("out.jsonl").lines().count(), 1);
}

#[test]
fn outputs_that_cannot_be_written() {
    let folder = Folder::new();
    folder.write("file", "");
    std::fs::create_dir(folder.path("out")).unwrap();
    folder
        .run(&format!("{CLASSIFY} new.txt -o out"))
        .failed(1)
        .says(&["out is a directory"]);
    for output in ["/proc/nope", "file/out.jsonl", "none/out.jsonl"] {
        folder
            .run(&format!("{CLASSIFY} new.txt -o {output}"))
            .failed(1)
            .says(&[output]);
    }
    for (output, said) in [
        ("/proc/nope", "/proc/nope does not exist"),
        ("file/saved", "cannot write file"),
        ("/proc/nope/saved", "/proc/nope/saved does not exist"),
    ] {
        let line = format!("train --head linear --examples few.jsonl -o {output}");
        folder.run(&line).failed(1).says(&[said]);
    }
    folder
        .run("embed --input new.txt -o file/v.npy")
        .failed(1)
        .says(&["file/v.npy"]);
}

#[test]
fn the_input_is_not_emptied_by_the_output() {
    let folder = Folder::new();
    let before = folder.read("new.txt");
    folder
        .run(&format!("{CLASSIFY} new.txt -o ./new.txt"))
        .failed(2)
        .says(&["is the input itself", "hint:"]);
    assert_eq!(folder.read("new.txt"), before);
}

/// Nor anything else that is read.
#[test]
fn no_file_that_is_read_is_emptied_by_the_output() {
    let folder = Folder::new();
    folder.write(
        "p.toml",
        "[labels]\nanimal = \"a beast\"\nmoney = \"cash\"\n",
    );
    folder.write("pool.txt", "a cow\n");
    folder.write("few2.jsonl", folder.read("few.jsonl"));
    std::fs::hard_link(folder.path("few.jsonl"), folder.path("link.jsonl")).unwrap();
    let simulate = "simulate --pool few2.jsonl --strategies random --svg ./few2.jsonl";
    let outcome = folder.run(simulate).failed(2);
    outcome.says(&["--svg ./few2.jsonl is a file that is read itself", "hint:"]);
    let train = "policy train --tasks few2.jsonl --overwrite --output few2.jsonl";
    let outcome = folder.run(train).failed(2);
    outcome.says(&["--output few2.jsonl is a file that is read itself", "hint:"]);
    assert_eq!(folder.read("few2.jsonl"), folder.read("few.jsonl"));
    for (options, file, what) in [
        (
            "--unlabelled pool.txt",
            "pool.txt",
            "the file of --unlabelled itself",
        ),
        ("--prompt p.toml", "p.toml", "a file of descriptions itself"),
        ("--start pool.txt", "pool.txt", "the file of --start itself"),
        ("", "link.jsonl", "a file of examples itself"),
    ] {
        let before = folder.read(file);
        folder
            .run(&format!("{CLASSIFY} new.txt {options} -o ./{file}"))
            .failed(2)
            .says(&[what, "hint:"]);
        assert_eq!(folder.read(file), before);
    }
}

/// Nor the examples: they would be gone.
#[test]
fn the_examples_are_not_emptied_by_the_output() {
    let folder = Folder::new();
    let before = folder.read("few.jsonl");
    folder
        .run(&format!("{CLASSIFY} new.txt -o few.jsonl"))
        .failed(2)
        .says(&["few.jsonl", "hint:"]);
    assert_eq!(folder.read("few.jsonl"), before);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    let folder = Folder::new();
    let full = folder
        .run(&format!("{CLASSIFY} new.txt -o /dev/full"))
        .failed(1);
    full.says(&[
        "no space left while writing /dev/full",
        "hint: free some space",
    ]);
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = folder
        .command(&format!("{CLASSIFY} new.txt"))
        .stdout(full)
        .output()
        .unwrap();
    Outcome::new("", output)
        .failed(1)
        .says(&["no space left while writing standard output"]);
}

/// A folder's files cannot grow beyond the shell's limit: as on a full disk, nothing is left.
#[cfg(target_os = "linux")]
#[test]
fn training_into_a_place_that_is_too_small_leaves_nothing() {
    let folder = Folder::new();
    let limited = format!(
        "trap '' XFSZ; ulimit -f 1; exec {} train --examples few.jsonl -o saved --model {}",
        env!("CARGO_BIN_EXE_fewshot"),
        crate::support::encoder("tiny-mpnet").display()
    );
    let before = folder.names();
    let mut command = std::process::Command::new("bash");
    let output = command
        .current_dir(folder.path("."))
        .args(["-c", &limited])
        .output()
        .unwrap();
    Outcome::new(&limited, output)
        .failed(1)
        .says(&["head.safetensors"]);
    assert_eq!(folder.names(), before);
}

#[test]
fn layers_beyond_the_encoder() {
    let folder = Folder::new();
    let outcome = folder
        .run(&format!("{CLASSIFY} new.txt --layers 99"))
        .failed(1);
    outcome.says(&[
        "layer 99 was asked for, the encoder has layers 0 to 4",
        "hint:",
        "--layers",
    ]);
}
