//! `--device`: what a build without GPUs refuses, and where the encoder is said to run.

use std::fs;

use crate::support::Folder;

#[test]
fn the_processor_is_the_default_where_there_is_no_gpu() {
    let folder = Folder::new();
    let embed = |rest: &str| {
        let line = format!("embed --verbose --input new.txt --output v.npy {rest}");
        let outcome = folder.run(&line).ok();
        (outcome, fs::read(folder.path("v.npy")).unwrap())
    };
    let (outcome, expected) = embed("--device cpu");
    outcome.says(&[" on cpu"]);
    if cfg!(not(any(feature = "cuda", feature = "metal"))) {
        for rest in ["", "--device auto"] {
            assert_eq!(embed(rest).1, expected, "{rest}");
        }
    }
}

#[test]
fn a_gpu_that_the_build_does_not_know_is_refused_with_a_cure() {
    let folder = Folder::new();
    let known = [
        ("cuda", cfg!(feature = "cuda")),
        ("metal", cfg!(feature = "metal")),
    ];
    for (name, _) in known.iter().filter(|(_, built)| !built) {
        let line = format!("embed --input new.txt --output v.npy --device {name}");
        folder.run(&line).failed(2).says(&[
            &format!("--device {name}: this program was built without it"),
            &format!("--features {name}"),
        ]);
        assert!(!folder.path("v.npy").exists());
    }
}

#[test]
fn an_unknown_device_is_wrong_usage() {
    let folder = Folder::new();
    for wrong in ["gpu", "CUDA", "''"] {
        folder
            .run(&format!(
                "embed --input new.txt --output - --device {wrong}"
            ))
            .failed(2)
            .says(&["auto, cpu, cuda, metal"]);
    }
}
