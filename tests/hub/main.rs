//! Models from a stand-in hub, from folders and from caches; no real network.

#[path = "../common/mod.rs"]
mod common;

mod cache;
mod download;
mod files;
mod import;
mod network;
mod processes;

use std::fs;
use std::path::{Path, PathBuf};

use common::fake_hub::{FakeHub, Mode};
use common::tiny::{self, Files};
use fewshot::hub::{HubError, HubOptions, ModelFiles, resolve};
use tempfile::TempDir;

const ID: &str = "org/tiny";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const NEXT: &str = "fedcba9876543210fedcba9876543210fedcba98";
const WEIGHTS: &str = "model.safetensors";

/// A cache and a place for stamps of the test's own, and the hub it asks.
struct World {
    dir: TempDir,
    hub: FakeHub,
    options: HubOptions,
}

impl World {
    fn new(mode: Mode) -> Self {
        Self::with(tiny::model(1), mode)
    }

    fn with(files: Files, mode: Mode) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hub = FakeHub::start(files, COMMIT, mode);
        let options = HubOptions {
            cache_dir: Some(dir.path().join("hub")),
            verified_dir: Some(dir.path().join("verified")),
            endpoint: Some(hub.url.clone()),
            ..HubOptions::default()
        };
        Self { dir, hub, options }
    }

    fn cached(files: &Files) -> Self {
        let world = Self::new(Mode::Fine);
        tiny::write_cache(&world.cache(), ID, COMMIT, files);
        world
    }

    fn cache(&self) -> PathBuf {
        self.options.cache_dir()
    }

    fn repo(&self) -> PathBuf {
        self.cache().join("models--org--tiny")
    }

    fn snapshot(&self, file: &str) -> PathBuf {
        self.repo().join("snapshots").join(COMMIT).join(file)
    }

    fn resolve(&self) -> Result<ModelFiles, HubError> {
        resolve(ID, &self.options)
    }

    fn offline(&self) -> Result<ModelFiles, HubError> {
        resolve(
            ID,
            &HubOptions {
                offline: true,
                ..self.options.clone()
            },
        )
    }

    fn refresh(&self) -> Result<ModelFiles, HubError> {
        resolve(
            ID,
            &HubOptions {
                refresh: true,
                ..self.options.clone()
            },
        )
    }

    fn error(mode: Mode) -> HubError {
        Self::new(mode).resolve().unwrap_err()
    }

    fn folder(&self, files: &Files) -> PathBuf {
        let folder = self.dir.path().join("folder");
        tiny::write_folder(&folder, files);
        folder
    }

    fn open_folder(&self, files: &Files) -> Result<ModelFiles, HubError> {
        resolve(self.folder(files).to_str().unwrap(), &self.options)
    }
}

fn without(name: &str) -> Files {
    let mut files = tiny::model(1);
    files.remove(name).unwrap();
    files
}

fn with(name: &str, contents: &[u8]) -> Files {
    let mut files = tiny::model(1);
    files.insert(name.to_owned(), contents.to_vec());
    files
}

fn hash_of(files: &Files) -> String {
    tiny::sha256(&files[WEIGHTS])
}

fn set(path: &Path, contents: &[u8]) {
    // Through the link, into the blob.
    fs::write(path, contents).unwrap();
}
