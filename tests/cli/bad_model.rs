//! Encoders that are damaged or lie about themselves are refused by name, never a panic.

use std::path::Path;

use safetensors::tensor::TensorView;
use serde_json::Value;

use crate::support::{Folder, Outcome, binary};

const CLASSIFY: &str = "classify --head linear --examples few.jsonl new.txt --model ./tiny-bert";

fn with_config(name: &str, value: Value) -> Outcome {
    let folder = Folder::new();
    folder.copy_encoder("tiny-bert");
    let mut config: Value = serde_json::from_str(&folder.read("tiny-bert/config.json")).unwrap();
    config[name] = value;
    folder.write("tiny-bert/config.json", config.to_string());
    folder.run(CLASSIFY)
}

/// Writes the weights again, with NaN in every tensor that `chosen` picks.
fn spoil(path: &Path, chosen: impl Fn(&str) -> bool) {
    let bytes = std::fs::read(path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let spoilt: Vec<(String, Vec<usize>, safetensors::Dtype, Vec<u8>)> = tensors
        .tensors()
        .into_iter()
        .map(|(name, tensor)| {
            let mut data = tensor.data().to_vec();
            if chosen(&name) {
                data.chunks_exact_mut(4)
                    .for_each(|b| b.copy_from_slice(&f32::NAN.to_le_bytes()));
            }
            (name, tensor.shape().to_vec(), tensor.dtype(), data)
        })
        .collect();
    let views = spoilt.iter().map(|(name, shape, dtype, data)| {
        (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn nan_weights_name_encoder_and_text() {
    let folder = Folder::new();
    let model = folder.copy_encoder("tiny-bert");
    spoil(&model.join("model.safetensors"), |name| {
        name.contains("layer.2.output.dense")
    });
    let outcome = folder.run(CLASSIFY).failed(1);
    outcome.says(&[
        "tiny-bert` gives NaN or infinite values for the text \"the dog and",
        "hint:",
    ]);
}

#[test]
fn numbers_that_do_not_fit_the_weights() {
    let lies = [
        ("hidden_size", 16),
        ("hidden_size", 64),
        ("num_hidden_layers", 5),
        ("num_hidden_layers", 4000),
        ("vocab_size", 200),
        ("vocab_size", 300),
        ("intermediate_size", 63),
        ("max_position_embeddings", 63),
        ("max_position_embeddings", 4000),
        ("type_vocab_size", 1),
        ("num_attention_heads", 5),
        ("hidden_size", 33),
    ];
    for (name, value) in lies {
        let outcome = with_config(name, value.into()).failed(1);
        assert!(
            outcome.stderr.contains("./tiny-bert/") && outcome.stderr.contains("hint:"),
            "{name} {value}: {outcome:#?}"
        );
    }
}

/// Fewer layers than the weights hold would give other vectors than the model was made for.
#[test]
fn too_few_layers_are_refused_too() {
    with_config("num_hidden_layers", 2.into())
        .failed(1)
        .says(&["holds more layers than the 2 of config.json"]);
}

#[test]
fn absurd_numbers() {
    for name in [
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "max_position_embeddings",
        "vocab_size",
        "type_vocab_size",
    ] {
        for value in [
            Value::from(0),
            (-1).into(),
            1.5.into(),
            u64::MAX.into(),
            (1u64 << 22).into(),
            "12".into(),
            Value::Null,
        ] {
            let outcome = with_config(name, value.clone()).failed(1);
            assert!(
                outcome.stderr.contains("tiny-bert/"),
                "{name} {value}: {outcome:#?}"
            );
        }
    }
}

#[test]
fn an_epsilon_or_padding_that_makes_no_sense() {
    for value in [Value::from(-1.0), 1e300.into(), "x".into()] {
        with_config("layer_norm_eps", value)
            .failed(1)
            .says(&["tiny-bert"]);
    }
    with_config("hidden_act", "swish".into())
        .failed(1)
        .says(&["hidden_act `swish` is not supported"]);
    with_config("position_embedding_type", "relative_key".into())
        .failed(1)
        .says(&["config.json"]);
    with_config("model_type", "t5".into())
        .failed(1)
        .says(&["`t5`", "bert", "mpnet", "hint:"]);
}

#[test]
fn a_config_that_is_none() {
    let folder = Folder::new();
    folder.copy_encoder("tiny-bert");
    for contents in ["", "[]", "{", "null", "{}"] {
        folder.write("tiny-bert/config.json", contents);
        folder
            .run(CLASSIFY)
            .failed(1)
            .says(&["tiny-bert/config.json"]);
    }
}

#[test]
fn a_tokenizer_that_is_none() {
    let folder = Folder::new();
    folder.copy_encoder("tiny-bert");
    let sound = folder.read("tiny-bert/tokenizer.json");
    for contents in ["", "garbage", "{}", "[1]", &sound[..sound.len() / 2]] {
        folder.write("tiny-bert/tokenizer.json", contents);
        folder
            .run(CLASSIFY)
            .failed(1)
            .says(&["tiny-bert/tokenizer.json", "hint:"]);
    }
    std::fs::remove_file(folder.path("tiny-bert/tokenizer.json")).unwrap();
    folder.run(CLASSIFY).failed(1).says(&[
        "tiny-bert has no tokenizer.json",
        "hint: save the fast tokenizer",
    ]);
}

#[test]
fn a_tokenizer_with_ids_beyond_the_vocabulary() {
    let folder = Folder::new();
    folder.copy_encoder("tiny-bert");
    let mut tokenizer: Value =
        serde_json::from_str(&folder.read("tiny-bert/tokenizer.json")).unwrap();
    tokenizer["model"]["vocab"]["dog"] = 100_000.into();
    folder.write("tiny-bert/tokenizer.json", tokenizer.to_string());
    folder.run(CLASSIFY).failed(1).says(&[
        "tiny-bert/tokenizer.json",
        "token id 100000",
        "vocab_size is 261",
        "hint:",
    ]);
}

#[test]
fn damaged_weights() {
    let folder = Folder::new();
    let weights = folder.copy_encoder("tiny-bert").join("model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    for length in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&weights, &bytes[..length]).unwrap();
        folder
            .run(CLASSIFY)
            .failed(1)
            .says(&["tiny-bert/model.safetensors", "hint:"]);
    }
    std::fs::write(&weights, [&bytes[..], b"more"].concat()).unwrap();
    folder
        .run(CLASSIFY)
        .failed(1)
        .says(&["tiny-bert/model.safetensors"]);
}

#[test]
fn pickled_weights_only() {
    let folder = Folder::new();
    let model = folder.copy_encoder("tiny-bert");
    std::fs::rename(
        model.join("model.safetensors"),
        model.join("pytorch_model.bin"),
    )
    .unwrap();
    folder.run(CLASSIFY).failed(1).says(&[
        "pytorch_model.bin but no model.safetensors",
        "refused",
        "hint:",
    ]);
}

#[test]
fn no_model_at_all_offline() {
    let folder = Folder::new();
    let mut command = binary();
    command
        .current_dir(folder.path("."))
        .env("HF_HUB_CACHE", folder.path("cache"));
    command.args([
        "classify",
        "--examples",
        "few.jsonl",
        "new.txt",
        "--offline",
    ]);
    let outcome = Outcome::new("--offline", command.output().unwrap()).failed(1);
    let id = "sentence-transformers/all-mpnet-base-v2";
    outcome.says(&[
        "offline, and the cache",
        id,
        &format!("hint: run `fewshot models get {id}`"),
    ]);
    folder
        .run(&CLASSIFY.replace("./tiny-bert", "./none"))
        .failed(1)
        .says(&["there is no folder ./none"]);
}
