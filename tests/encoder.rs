//! The encoder against Python's `transformers`; `tests/data/make_reference.py` made the numbers.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use fewshot::encoder::{Encoder, LayerMix};
use fewshot::hub::ModelFiles;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn texts() -> Vec<String> {
    let text = std::fs::read_to_string(data("texts.json")).expect("texts.json");
    serde_json::from_str(&text).expect("an array of strings")
}

fn load(dir: PathBuf) -> Encoder {
    let weights = dir.join("model.safetensors");
    let files = ModelFiles {
        id: dir.display().to_string(),
        weights,
        commit: None,
        weights_sha256: String::new(),
        dir,
    };
    Encoder::load(&files).expect("a model")
}

fn reference(name: &str, tensor: &str) -> Vec<Vec<f32>> {
    let path = data(&format!("reference-{name}.safetensors"));
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).expect("reference");
    let tensor: &Tensor = &tensors[tensor];
    let rows = tensor.dims()[0];
    tensor
        .reshape((rows, ()))
        .and_then(|t| t.to_vec2())
        .expect("rows")
}

fn assert_close(got: &fewshot::matrix::Matrix, expected: &[Vec<f32>]) {
    assert_eq!(got.rows(), expected.len());
    let mut worst: f32 = 0.0;
    for (row, (a, b)) in got.iter_rows().zip(expected).enumerate() {
        let dot = |a: &[f32], b: &[f32]| {
            a.iter()
                .zip(b)
                .map(|(&a, &b)| f64::from(a) * f64::from(b))
                .sum::<f64>()
        };
        let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
        let difference = a
            .iter()
            .zip(b)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        worst = worst.max(difference);
        assert!(
            cosine >= 0.99999 && difference <= 1e-4,
            "text {row}: cosine {cosine}, difference {difference}"
        );
    }
    println!("worst {worst}");
}

#[test]
fn real_mpnet() {
    let encoder = load(PathBuf::from("/work/models/mpnet/all-mpnet-base-v2"));
    let got = encoder.encode(&texts(), &LayerMix::Last).expect("vectors");
    assert_close(&got.vectors, &reference("mpnet", "mean"));
    let got = encoder
        .encode(&texts(), &encoder.default_layers())
        .expect("vectors");
    assert_close(&got.vectors, &reference("mpnet", "mix"));
}

#[test]
fn tiny() {
    for name in ["tiny-bert", "tiny-mpnet"] {
        let encoder = load(data(name));
        let got = encoder.encode(&texts(), &LayerMix::Last).expect("vectors");
        assert_close(&got.vectors, &reference(name, "mean"));
        let got = encoder
            .encode_layers(&texts(), &[0, 1, 2, 3, 4])
            .expect("vectors");
        assert_close(&got.vectors, &reference(name, "layers"));
    }
}
