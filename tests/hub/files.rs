//! Names, files and folders that cannot be used.

use std::fs;

use fewshot::hub::{HubError, HubOptions, resolve};

use crate::common::fake_hub::Mode;
use crate::common::tiny::{self, Files};
use crate::{ID, WEIGHTS, World, hash_of, with, without};

#[test]
fn names_that_cannot_be_are_refused() {
    let options = World::new(Mode::Fine).options;
    assert!(matches!(
        resolve("a/b/c", &options),
        Err(HubError::BadId { .. })
    ));
    assert!(matches!(
        resolve("./nowhere", &options),
        Err(HubError::NoFolder { .. })
    ));
    let options = HubOptions {
        revision: Some("../x".into()),
        ..options
    };
    assert!(matches!(
        resolve(ID, &options),
        Err(HubError::BadRevision { .. })
    ));
}

#[test]
fn unsupported_types_are_refused_before_the_weights() {
    let files = with("config.json", br#"{"model_type":"t5"}"#);
    let world = World::with(files.clone(), Mode::Fine);
    let is_t5 =
        |e: &HubError| matches!(e, HubError::UnsupportedModelType { found, .. } if found == "t5");
    assert!(is_t5(&world.resolve().unwrap_err()));
    assert_eq!(world.hub.sent(WEIGHTS), 0);
    assert!(is_t5(&world.open_folder(&files).unwrap_err()));
    assert!(is_t5(&World::cached(&files).offline().unwrap_err()));
}

#[test]
fn a_config_without_a_type_is_refused() {
    for config in ["{}", "not json", ""] {
        let files = with("config.json", config.as_bytes());
        let error = World::new(Mode::Fine).open_folder(&files).unwrap_err();
        assert!(matches!(error, HubError::BadConfig { .. }), "{error:?}");
    }
}

#[test]
fn missing_files_are_named_with_the_reason() {
    let from_hub = |files: &Files| {
        World::with(files.clone(), Mode::Fine)
            .resolve()
            .unwrap_err()
    };
    let from_folder = |files: &Files| World::new(Mode::Fine).open_folder(files).unwrap_err();
    let both = |files: &Files, is: &dyn Fn(&HubError) -> bool| {
        assert!(
            is(&from_hub(files)) && is(&from_folder(files)),
            "{:?}",
            from_folder(files)
        );
    };
    for name in ["config.json", "tokenizer.json", WEIGHTS] {
        both(
            &without(name),
            &|e| matches!(e, HubError::MissingFile { file, .. } if file == name),
        );
    }
    let mut pickled = without(WEIGHTS);
    pickled.insert("pytorch_model.bin".into(), b"cos\nsystem".to_vec());
    both(&pickled, &|e| matches!(e, HubError::PickledWeights { .. }));
    let mut sharded = without(WEIGHTS);
    sharded.insert("model.safetensors.index.json".into(), b"{}".to_vec());
    both(&sharded, &|e| matches!(e, HubError::ShardedWeights { .. }));
}

#[test]
fn a_file_in_the_place_of_the_cache_is_an_error() {
    let world = World::new(Mode::Fine);
    fs::write(world.cache(), b"").unwrap();
    let error = world.resolve().unwrap_err();
    assert!(matches!(error, HubError::Io { .. }), "{error:?}");
}

#[test]
fn a_folder_is_checked_and_left_alone() {
    let world = World::new(Mode::Fine);
    let files = tiny::model(1);
    let found = world.open_folder(&files).unwrap();
    assert_eq!(
        (found.commit, found.weights_sha256),
        (None, hash_of(&files))
    );
    assert_eq!(world.hub.requests(), Vec::<String>::new());

    let weights = &files[WEIGHTS];
    let cut = with(WEIGHTS, &weights[..weights.len() - 5]);
    assert!(matches!(
        world.open_folder(&cut),
        Err(HubError::Truncated { .. })
    ));
    assert!(world.dir.path().join("folder").join(WEIGHTS).exists());
    let junk = with(WEIGHTS, &[0xff; 100]);
    assert!(matches!(
        world.open_folder(&junk),
        Err(HubError::BadWeights { .. })
    ));
}

#[test]
fn a_revision_of_a_folder_is_a_warning() {
    let mut world = World::new(Mode::Fine);
    world.options.revision = Some("v2".into());
    let warnings = world.open_folder(&tiny::model(1)).unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("v2"));
}
