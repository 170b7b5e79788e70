//! Folders copied into the cache, and what the cache lists.

use std::fs;
use std::path::Path;

use fewshot::hub::{HubError, HubOptions, import, list};

use crate::common::fake_hub::Mode;
use crate::common::tiny::{self, Files};
use crate::{COMMIT, ID, NEXT, WEIGHTS, World, hash_of, set, with, without};

fn blob_names(world: &World) -> Vec<String> {
    let blobs = fs::read_dir(world.repo().join("blobs")).unwrap().flatten();
    let mut names: Vec<_> = blobs
        .map(|b| b.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_imported_folder_is_a_cached_model() {
    let world = World::new(Mode::Fine);
    let mut files = tiny::model(1);
    files.insert("pytorch_model.bin".into(), b"cos\nsystem".to_vec());
    files.insert("README.md".into(), b"# tiny".to_vec());
    files.insert(".git/config.json".into(), b"{}".to_vec());
    let imported = import(&world.folder(&files), ID, &world.options).unwrap();
    assert_eq!(imported.weights_sha256, hash_of(&files));
    assert_eq!(world.offline().unwrap(), imported);
    assert!(imported.dir.join("README.md").exists());
    assert!(imported.dir.join("1_Pooling/config.json").exists());
    assert!(!imported.dir.join("pytorch_model.bin").exists());
    assert!(!imported.dir.join(".git").exists());
    let mut expected: Vec<_> = tiny::model(1)
        .iter()
        .map(|(n, c)| tiny::etag(n, c))
        .collect();
    expected.push(tiny::etag("README.md", b"# tiny"));
    expected.sort();
    assert_eq!(blob_names(&world), expected);
    let left: Vec<_> = fs::read_dir(world.repo())
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert!(
        left.iter()
            .all(|n| ["blobs", "refs", "snapshots"].contains(&n.to_str().unwrap())),
        "{left:?}"
    );
    assert_eq!(world.hub.requests(), Vec::<String>::new());
}

#[test]
fn importing_again_changes_nothing_and_other_contents_are_a_new_commit() {
    let world = World::new(Mode::Fine);
    let first = import(&world.folder(&tiny::model(1)), ID, &world.options).unwrap();
    let modified = fs::metadata(&first.weights).unwrap().modified().unwrap();
    let again = import(&world.folder(&tiny::model(1)), ID, &world.options).unwrap();
    assert_eq!(first, again);
    assert_eq!(
        fs::metadata(&again.weights).unwrap().modified().unwrap(),
        modified
    );
    let second = import(&world.folder(&tiny::model(2)), ID, &world.options).unwrap();
    assert_ne!(second.commit, first.commit);
    assert_eq!(world.offline().unwrap(), second);
    assert!(first.weights.exists());
}

#[test]
fn importing_mends_a_damaged_copy() {
    let world = World::new(Mode::Fine);
    let folder = world.folder(&tiny::model(1));
    let first = import(&folder, ID, &world.options).unwrap();
    set(&first.weights, b"short");
    assert!(world.offline().is_err());
    assert_eq!(import(&folder, ID, &world.options).unwrap(), first);
    assert!(world.offline().is_ok());
}

#[test]
fn an_unfit_folder_is_not_imported() {
    let world = World::new(Mode::Fine);
    let try_import = |files: &Files| {
        let folder = tempfile::tempdir().unwrap();
        tiny::write_folder(folder.path(), files);
        import(folder.path(), ID, &world.options).unwrap_err()
    };
    assert!(matches!(
        try_import(&without("config.json")),
        HubError::MissingFile { .. }
    ));
    assert!(matches!(
        try_import(&with("tokenizer.json", b"[]")),
        HubError::BadConfig { .. }
    ));
    assert!(matches!(
        try_import(&with(WEIGHTS, b"x")),
        HubError::Truncated { .. }
    ));
    assert!(matches!(
        try_import(&with("config.json", br#"{"model_type":"t5"}"#)),
        HubError::UnsupportedModelType { .. }
    ));
    assert!(matches!(
        import(Path::new("./nowhere"), ID, &world.options),
        Err(HubError::NoFolder { .. })
    ));
    let folder = world.folder(&tiny::model(1));
    assert!(matches!(
        import(&folder, "../x", &world.options),
        Err(HubError::BadId { .. })
    ));
    assert!(!world.repo().exists());
}

#[test]
fn the_list_shows_what_is_known() {
    let world = World::cached(&tiny::model(1));
    assert_eq!(
        list(&HubOptions {
            cache_dir: Some("/nowhere".into()),
            ..HubOptions::default()
        })
        .unwrap(),
        []
    );
    tiny::write_cache(&world.cache(), "gpt2", NEXT, &without("tokenizer.json"));
    fs::create_dir_all(world.cache().join("models--org--empty/refs")).unwrap();
    fs::create_dir_all(
        world
            .cache()
            .join("datasets--org--data/snapshots")
            .join(COMMIT),
    )
    .unwrap();
    fs::write(world.cache().join("version.txt"), b"1").unwrap();
    let found = list(&world.options).unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|m| (m.kind.as_str(), m.id.as_str(), m.complete))
        .collect();
    assert_eq!(
        names,
        [
            ("dataset", "org/data", false),
            ("model", "gpt2", false),
            ("model", "org/empty", false),
            ("model", ID, true)
        ]
    );
    let model = &found[3];
    let bytes: usize = tiny::model(1).values().map(Vec::len).sum();
    assert_eq!((model.size_bytes, model.width), (bytes as u64, Some(4)));
    assert_eq!(
        (model.model_type.as_deref(), model.commit.as_deref()),
        (Some("bert"), Some(COMMIT))
    );
    assert_eq!(model.refs, ["main"]);
    assert_eq!(found[2].commit, None);
}
