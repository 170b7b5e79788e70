//! `fewshot train` and `fewshot predict`: the folder in between.

use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::{Folder, Outcome};

const TRAIN: &str = "train --head linear --examples few.jsonl --output saved";
const PREDICT: &str = "predict --classifier saved new.txt";

fn trained() -> Folder {
    let folder = Folder::new();
    folder.run(TRAIN).ok().says(&["note: saved to saved"]);
    folder
}

/// The command without `--model`: the classifier's own encoder is used.
fn predict(folder: &Folder) -> Outcome {
    let mut command = crate::support::binary();
    command.current_dir(folder.path("."));
    command.args(PREDICT.split(' ')).stdin(Stdio::null());
    Outcome::new(PREDICT, command.output().unwrap())
}

fn edit_manifest(folder: &Folder, change: impl FnOnce(&mut Value)) {
    let mut manifest: Value = serde_json::from_str(&folder.read("saved/classifier.json")).unwrap();
    change(&mut manifest);
    folder.write("saved/classifier.json", manifest.to_string());
}

#[test]
fn predict_gives_the_bytes_of_classify() {
    let folder = Folder::new();
    for head in ["mlp", "linear", "prototype"] {
        let options = format!("--head {head} --seed 7 --examples few.jsonl");
        let expected = folder
            .run(&format!("classify {options} new.txt"))
            .ok()
            .stdout;
        folder
            .run(&format!("train {options} --overwrite --output saved"))
            .ok();
        assert_eq!(predict(&folder).ok().stdout, expected, "{head}");
    }
}

#[test]
fn layers_and_examples_are_remembered() {
    let folder = Folder::new();
    let options = "--head linear --examples few.jsonl --layers 1,3";
    let expected = folder
        .run(&format!("classify {options} new.txt"))
        .ok()
        .stdout;
    folder.run(&format!("train {options} --output saved")).ok();
    assert_eq!(predict(&folder).ok().stdout, expected);
    assert_eq!(
        folder.read("saved/examples.jsonl"),
        folder.read("few.jsonl")
    );
    assert!(folder.read("saved/README.md").contains("| animal | 3 |"));
}

#[test]
fn examples_can_be_left_out() {
    let folder = Folder::new();
    folder.run(&format!("{TRAIN} --no-examples")).ok();
    assert!(!folder.path("saved/examples.jsonl").exists());
    for part in ["README.md", "classifier.json"] {
        assert!(!folder.read(&format!("saved/{part}")).contains("lazy"));
    }
    predict(&folder).ok();
    folder
        .run("evaluate --classifier saved --test few.jsonl")
        .ok();
}

#[test]
fn a_classifier_is_replaced_only_if_asked() {
    let folder = trained();
    let before = folder.read("saved/classifier.json");
    let exists = "error: cannot write saved: it holds a classifier";
    folder
        .run(&format!("{TRAIN} --seed 1"))
        .failed(1)
        .says(&[exists, "hint:", "--overwrite"]);
    assert_eq!(folder.read("saved/classifier.json"), before);
    folder.run(&format!("{TRAIN} --seed 1 --overwrite")).ok();
    assert_ne!(folder.read("saved/classifier.json"), before);
    assert_eq!(folder.names(), ["few.jsonl", "new.txt", "saved"]);
}

/// Before anything is learned.
#[test]
fn a_folder_without_a_name_is_refused() {
    let folder = Folder::new();
    for output in [".", "..", "/"] {
        folder
            .run(&format!("train --examples few.jsonl --output {output}"))
            .failed(1)
            .says(&["has no name of its own", "hint: name a folder"]);
    }
}

#[test]
fn other_files_are_never_replaced() {
    let folder = Folder::new();
    folder.write("saved/thesis.txt", "three years");
    for line in [TRAIN.to_owned(), format!("{TRAIN} --overwrite")] {
        folder.run(&line).failed(1).says(&[
            "cannot write saved: it holds other files",
            "hint: choose another --output",
        ]);
    }
    assert_eq!(folder.read("saved/thesis.txt"), "three years");
    folder.write("file", "");
    folder
        .run(&TRAIN.replace("saved", "file"))
        .failed(1)
        .says(&["cannot write file: it is not a folder"]);
}

#[test]
fn an_own_file_in_the_folder_is_not_lost_by_overwriting() {
    let folder = trained();
    folder.write("saved/thesis.txt", "three years");
    folder
        .run(&format!("{TRAIN} --overwrite"))
        .failed(1)
        .says(&["saved", "thesis.txt"]);
    assert_eq!(folder.read("saved/thesis.txt"), "three years");
}

#[test]
fn an_empty_folder_and_missing_parents_are_fine() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("saved")).unwrap();
    folder.run(TRAIN).ok();
    predict(&folder).ok();
    folder.run(&TRAIN.replace("saved", "a/b/c/")).ok();
    folder.run("predict --classifier a/b/c new.txt").ok();
}

/// Several processes write the same folder at the same time; returns how many succeeded.
fn writers(folder: &Folder, count: usize, extra: &str) -> usize {
    let start = |seed| {
        let mut command = folder.command(&format!("{TRAIN} --seed {seed}{extra}"));
        let command = command.stderr(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let all: Vec<_> = (0..count).map(start).collect();
    let end = |child: Child| Outcome::new(TRAIN, child.wait_with_output().unwrap());
    let ends: Vec<Outcome> = all.into_iter().map(end).collect();
    predict(folder).ok();
    // No half folder is left.
    assert_eq!(folder.names(), ["few.jsonl", "new.txt", "saved"]);
    println!("{ends:#?}");
    ends.iter().filter(|end| end.code == Some(0)).count()
}

#[test]
fn of_several_writers_at_once_one_wins() {
    assert_eq!(writers(&Folder::new(), 4, ""), 1);
}

#[test]
fn several_writers_that_overwrite_all_succeed() {
    for folder in [Folder::new(), trained(), trained()] {
        assert_eq!(writers(&folder, 8, " --overwrite"), 8);
    }
}

#[test]
fn a_missing_folder_or_part_is_named() {
    let folder = Folder::new();
    predict(&folder).failed(1).says(&[
        "error: there is no folder saved",
        "hint: name a folder that `fewshot train",
    ]);
    for part in ["classifier.json", "head.safetensors", "examples.jsonl"] {
        folder.run(&format!("{TRAIN} --overwrite")).ok();
        std::fs::remove_file(folder.path(&format!("saved/{part}"))).unwrap();
        predict(&folder)
            .failed(1)
            .says(&[&format!("error: saved/{part} is missing"), "hint:"]);
        std::fs::remove_dir_all(folder.path("saved")).unwrap();
    }
}

#[test]
fn a_truncated_part_is_named() {
    for part in ["classifier.json", "head.safetensors", "examples.jsonl"] {
        let folder = trained();
        let path = folder.path(&format!("saved/{part}"));
        let bytes = std::fs::read(&path).unwrap();
        for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let damaged = format!("error: saved/{part} is damaged");
            predict(&folder)
                .failed(1)
                .says(&[&damaged, "hint: copy the folder again"]);
        }
    }
}

#[test]
fn foreign_json_is_refused() {
    let folder = trained();
    for foreign in [
        "{}",
        "{\"format\": \"other\", \"version\": 1}",
        "[]",
        "3",
        "null",
    ] {
        folder.write("saved/classifier.json", foreign);
        let named = "error: saved/classifier.json is not a classifier of fewshot";
        predict(&folder)
            .failed(1)
            .says(&[named, "hint: name a folder"]);
    }
    folder.write("saved/classifier.json", b"\xff\xfe");
    predict(&folder).failed(1).says(&["saved/classifier.json"]);
}

#[test]
fn a_newer_version_is_refused() {
    let folder = trained();
    edit_manifest(&folder, |manifest| {
        manifest["version"] = 4.into();
        manifest.as_object_mut().unwrap().remove("labels");
    });
    let newer = "saved/classifier.json has format version 4, this fewshot reads up to 3";
    predict(&folder)
        .failed(1)
        .says(&[newer, "hint: install the newer fewshot"]);
    edit_manifest(&folder, |manifest| {
        manifest["version"] = 99_999_999_999u64.into()
    });
    predict(&folder)
        .failed(1)
        .says(&["has format version 99999999999"]);
}

/// Whole tuned layers are read no more; the examples are beside them.
#[test]
fn whole_layers_of_an_earlier_version_are_refused() {
    let folder = trained();
    edit_manifest(&folder, |manifest| manifest["version"] = 2.into());
    let whole =
        "saved/classifier.json holds whole tuned layers, which only an earlier fewshot reads";
    let hint = "hint: train the classifier again; the examples that it learned from are in its examples.jsonl";
    predict(&folder).failed(1).says(&[whole, hint]);
    folder
        .run("train --head linear --examples saved/examples.jsonl --output saved --overwrite")
        .ok();
    predict(&folder).ok();
}

/// Each lie of the manifest is found before it is used.
#[test]
fn a_damaged_manifest_is_refused() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 9] = [
        ("width", |m| m["width"] = 31.into()),
        ("width", |m| m["width"] = 0.into()),
        ("labels", |m| {
            m["labels"] = serde_json::json!(["animal", "money", "zoo"])
        }),
        ("labels", |m| {
            m["labels"] = serde_json::json!(["money", "animal"])
        }),
        ("labels", |m| m["labels"] = serde_json::json!(["animal"])),
        ("labels", |m| m["labels"] = serde_json::json!([])),
        ("temperature", |m| {
            m["calibration"]["temperature"] = 0.into()
        }),
        ("head", |m| m["options"]["head"]["kind"] = "mlp".into()),
        ("files", |m| m["files"] = serde_json::json!({})),
    ];
    let folder = trained();
    let sound = folder.read("saved/classifier.json");
    for (name, change) in changes {
        folder.write("saved/classifier.json", &sound);
        edit_manifest(&folder, change);
        let outcome = predict(&folder).failed(1).says(&["is damaged", "hint:"]);
        assert!(outcome.stderr.contains("saved/"), "{name}: {outcome:#?}");
    }
}

/// What it learned would be read from other vectors.
#[test]
fn an_encoder_with_other_settings_is_refused() {
    let folder = trained();
    edit_manifest(&folder, |manifest| manifest["settings_sha256"] = "0".into());
    predict(&folder).failed(1).says(&[
        "another configuration, tokenizer or pooling",
        "hint: train it again",
    ]);
    // As before there was this field.
    edit_manifest(&folder, |manifest| {
        manifest
            .as_object_mut()
            .unwrap()
            .remove("settings_sha256")
            .unwrap();
    });
    predict(&folder).ok();
}

/// One label, and a head of one output, which no manifest that passes can ask for.
#[test]
fn a_classifier_of_one_label_is_refused() {
    let folder = trained();
    for labels in [serde_json::json!(["animal"]), serde_json::json!([])] {
        edit_manifest(&folder, |manifest| manifest["labels"] = labels);
        predict(&folder)
            .failed(1)
            .says(&["saved/classifier.json", "it has fewer than two labels"]);
    }
}

#[test]
fn layers_that_the_encoder_lacks_are_refused() {
    let folder = trained();
    edit_manifest(&folder, |manifest| {
        assert!(manifest["layers"].is_string(), "{manifest}");
        manifest["layers"] = "40".into();
    });
    predict(&folder).failed(1).says(&["layer 40"]);
}

/// A head with right checksums that belongs to a wider encoder.
#[test]
fn weights_of_another_width_are_refused() {
    use safetensors::tensor::{Dtype, TensorView};
    let folder = trained();
    let zeros = vec![0u8; 4 * 2 * 64];
    let view = |shape: &[usize]| {
        let bytes = 4 * shape.iter().product::<usize>();
        TensorView::new(Dtype::F32, shape.to_vec(), &zeros[..bytes]).unwrap()
    };
    let path = folder.path("saved/head.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let wider: Vec<(String, TensorView)> = tensors
        .tensors()
        .into_iter()
        .map(|(name, tensor)| {
            let shape: Vec<usize> = tensor
                .shape()
                .iter()
                .map(|&n| if n == 32 { 64 } else { n })
                .collect();
            (name, view(&shape))
        })
        .collect();
    let bytes = safetensors::serialize(wider, None).unwrap();
    let digest: String = <sha2::Sha256 as sha2::Digest>::digest(&bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    std::fs::write(&path, bytes).unwrap();
    edit_manifest(&folder, |manifest| {
        manifest["files"]["head.safetensors"] = digest.into()
    });
    predict(&folder)
        .failed(1)
        .says(&["error: saved/head.safetensors is damaged", "tensor"]);
}

#[test]
fn another_encoder_is_refused_naming_both() {
    let folder = trained();
    let bert = crate::support::encoder("tiny-bert");
    let outcome = folder
        .run(&format!("{PREDICT} --model {}", bert.display()))
        .failed(1);
    outcome.says(&[
        "saved was trained with encoder `",
        "tiny-mpnet`",
        "tiny-bert`",
        "hint: leave out --model",
    ]);
}

#[test]
fn an_encoder_that_moved_is_found_with_model() {
    let folder = Folder::new();
    let path = folder.copy_encoder("tiny-mpnet");
    folder
        .run(&format!("{TRAIN} --model {}", path.display()))
        .ok();
    std::fs::rename(&path, folder.path("moved")).unwrap();
    predict(&folder).failed(1).says(&[
        "the classifier's encoder is not in",
        "hint: give the folder that it is in now with --model",
    ]);
    folder.run(&format!("{PREDICT} --model ./moved")).ok();
}

const MORE: &str = "{\"text\": \"a red rose and a green tree\", \"label\": \"plant\"}\n\
    {\"text\": \"the tree\", \"label\": \"plant\"}\n\
    {\"text\": \"the dog and the cat walk\", \"label\": \"animal\"}\n";
const CONTINUE: &str = "train --continue saved --examples more.jsonl";

#[test]
fn a_classifier_learns_more_examples_and_labels() {
    let folder = trained();
    folder.write("more.jsonl", MORE);
    folder.run(CONTINUE).ok().says(&["note: saved to saved"]);
    let examples = folder.read("saved/examples.jsonl");
    // One of the three was known.
    assert_eq!(examples.lines().count(), 8, "{examples}");
    folder.write("new.txt", "the green tree\n");
    assert!(predict(&folder).ok().stdout.contains("\"plant\":"));
    let manifest: Value = serde_json::from_str(&folder.read("saved/classifier.json")).unwrap();
    assert_eq!(manifest["options"]["head"]["kind"], "linear");
    // Another folder, and the first stays.
    folder.write(
        "more.jsonl",
        "{\"text\": \"my cow\", \"label\": \"animal\"}\n",
    );
    // One new example of a label that is known is no oddity.
    let other = folder.run(&format!("{CONTINUE} --output other")).ok();
    assert!(!other.stderr.contains("warning"), "{other:#?}");
    assert_eq!(folder.read("saved/examples.jsonl"), examples);
    assert_eq!(folder.read("other/examples.jsonl").lines().count(), 9);
}

#[test]
fn what_cannot_be_continued_is_said_and_nothing_is_lost() {
    let folder = trained();
    let before = folder.read("saved/classifier.json");
    let cases = [
        (
            "{\"text\": \"the dog and the cat walk\", \"label\": \"money\"}",
            "is labelled `money`, the classifier has `animal`",
        ),
        (
            "{\"text\": \"a cow\", \"label\": \"Animal\"}",
            "labels `Animal` and `animal` differ in capitals only",
        ),
    ];
    for (more, message) in cases {
        folder.write("more.jsonl", more);
        folder.run(CONTINUE).failed(1).says(&[message, "hint: "]);
    }
    folder
        .run(&format!("{CONTINUE} --no-examples"))
        .failed(2)
        .says(&["would lose the classifier's examples", "hint: "]);
    folder
        .run(&format!(
            "{CONTINUE} --no-examples --output ./saved --overwrite"
        ))
        .failed(2)
        .says(&["would lose the classifier's examples", "hint: "]);
    folder
        .run(&format!("{CONTINUE} --head mlp"))
        .failed(2)
        .says(&["cannot be used with"]);
    assert_eq!(folder.read("saved/classifier.json"), before);
    folder
        .run(&format!("{TRAIN} --no-examples --overwrite"))
        .ok();
    folder
        .run(CONTINUE)
        .failed(1)
        .says(&["saved holds no examples", "hint: train it again"]);
}
