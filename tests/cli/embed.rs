//! `fewshot embed`: vectors in files.

use fewshot::encoder::{Encoder, LayerMix, Precision};
use fewshot::hub::ModelFiles;

use crate::support::{Folder, TEXTS, encoder, rows};

/// The vectors as the library gives them, scaled to length 1 as tiny-mpnet's modules say.
fn expected(model: &str, normalised: bool) -> Vec<Vec<f32>> {
    let dir = encoder(model);
    let files = ModelFiles {
        id: model.to_owned(),
        weights: dir.join("model.safetensors"),
        commit: None,
        weights_sha256: String::new(),
        warnings: Vec::new(),
        dir,
    };
    let encoded = Encoder::load_in(&files, Precision::automatic())
        .unwrap()
        .encode(&TEXTS, &LayerMix::Last)
        .unwrap();
    let scale = |row: &[f32]| {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter()
            .map(|x| if normalised { x / length } else { *x })
            .collect()
    };
    encoded.vectors.iter_rows().map(scale).collect()
}

#[track_caller]
fn assert_close(got: &[Vec<f32>], expected: &[Vec<f32>]) {
    assert_eq!(got.len(), expected.len());
    for (a, b) in got.iter().flatten().zip(expected.iter().flatten()) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

fn floats(bytes: &[u8]) -> Vec<Vec<f32>> {
    let values: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    values.chunks(32).map(<[f32]>::to_vec).collect()
}

#[test]
fn npy_has_numpys_header() {
    let folder = Folder::new();
    folder
        .run("embed --input new.txt --output v.npy")
        .ok()
        .silent();
    let bytes = std::fs::read(folder.path("v.npy")).unwrap();
    let (magic, rest) = bytes.split_at(8);
    assert_eq!(magic, b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([rest[0], rest[1]]));
    assert_eq!((10 + length) % 64, 0);
    let header = std::str::from_utf8(&rest[2..2 + length]).unwrap();
    assert!(
        header.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 32), }"),
        "{header}"
    );
    assert!(header.ends_with('\n'));
    assert_eq!(rest.len() - 2 - length, 4 * 32 * 4);
    assert_close(&floats(&rest[2 + length..]), &expected("tiny-mpnet", true));
}

#[test]
fn safetensors_can_be_read_by_its_crate() {
    let folder = Folder::new();
    folder
        .run("embed --input new.txt --output v.safetensors")
        .ok()
        .silent();
    let bytes = std::fs::read(folder.path("v.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor("embeddings").unwrap();
    assert_eq!(tensor.shape(), [4, 32]);
    let got = floats(tensor.data());
    for row in &got {
        assert!((row.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    assert_close(&got, &expected("tiny-mpnet", true));
}

#[test]
fn a_model_without_normalisation_gives_its_own_lengths() {
    let folder = Folder::new();
    let model = encoder("tiny-bert");
    folder
        .run(&format!(
            "embed --input new.txt --output v.safetensors --model {}",
            model.display()
        ))
        .ok();
    let bytes = std::fs::read(folder.path("v.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_close(
        &floats(file.tensor("embeddings").unwrap().data()),
        &expected("tiny-bert", false),
    );
}

#[test]
fn json_lines_carry_text_and_vector() {
    let folder = Folder::new();
    folder.write("new.jsonl", "{\"n\": 1, \"text\": \"the old dog\"}\n");
    let outcome = folder
        .run("embed --input new.jsonl --output -")
        .ok()
        .silent();
    let row = &outcome.rows()[0];
    assert_eq!(
        (&row["text"], &row["n"]),
        (&"the old dog".into(), &1.into())
    );
    let vector: Vec<f32> = row["embedding"]
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap() as f32)
        .collect();
    assert_close(&[vector], &expected("tiny-mpnet", true)[..1]);
    folder.run("embed --input new.jsonl --output v.jsonl").ok();
    assert_eq!(rows(&folder.read("v.jsonl")), outcome.rows());
    let piped = folder.run_with("embed --output -", "the old dog\n").ok();
    assert_eq!(piped.rows()[0]["embedding"], row["embedding"]);
}

#[test]
fn no_texts_give_no_rows() {
    let folder = Folder::new();
    folder.write("new.txt", "");
    folder.run("embed --input new.txt --output v.npy").ok();
    let bytes = std::fs::read(folder.path("v.npy")).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("'shape': (0, 32)"));
}

#[test]
fn an_unknown_extension_is_wrong_usage() {
    let folder = Folder::new();
    for name in ["v.parquet", "v", "v.npy.gz"] {
        let outcome = folder
            .run(&format!("embed --input new.txt --output {name}"))
            .failed(2);
        outcome.says(&[
            &format!("--output {name}"),
            "hint:",
            ".npy, .safetensors or .jsonl",
        ]);
        assert!(!folder.path(name).exists());
    }
}

#[test]
fn a_failed_run_leaves_no_file_and_the_old_one_untouched() {
    let folder = Folder::new();
    folder.write("new.jsonl", "{\"text\": \"fine\"}\n{\"text\": 3}\n");
    let before = folder.names();
    for name in ["v.npy", "v.safetensors"] {
        let line = format!("embed --input new.jsonl --output {name}");
        folder
            .run(&line)
            .failed(1)
            .says(&["new.jsonl:2: field `text` is a number"]);
        assert_eq!(folder.names(), before);
        folder.write(name, "old");
        folder.run(&line).failed(1);
        assert_eq!(folder.read(name), "old");
        std::fs::remove_file(folder.path(name)).unwrap();
    }
}

#[test]
fn layers_beyond_the_encoder_are_refused_before_a_file_is_made() {
    let folder = Folder::new();
    folder
        .run("embed --input new.txt --output v.npy --layers 99")
        .failed(1)
        .says(&["layer 99", "0 to 4", "hint:"]);
    assert!(!folder.path("v.npy").exists());
}

#[test]
fn the_input_is_not_overwritten() {
    let folder = Folder::new();
    folder.write("v.jsonl", "{\"text\": \"a\"}\n");
    folder
        .run("embed --input v.jsonl --output ./v.jsonl")
        .failed(2)
        .says(&["is the input itself", "hint:"]);
    assert_eq!(folder.read("v.jsonl"), "{\"text\": \"a\"}\n");
}
