//! Models from a stand-in hub, from folders and from caches; no real network.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::fake_hub::{FakeHub, Mode};
use common::tiny::{self, Files};
use fewshot::hub::{HubError, HubOptions, ModelFiles, import, list, resolve};
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

// --- downloading ---

#[test]
fn a_download_fills_the_cache_and_is_not_repeated() {
    let world = World::new(Mode::Fine);
    let files = world.resolve().unwrap();
    assert_eq!(files.commit.as_deref(), Some(COMMIT));
    assert_eq!(files.weights_sha256, hash_of(&tiny::model(1)));
    assert_eq!(files.warnings, Vec::<String>::new());
    for (name, contents) in tiny::model(1) {
        assert_eq!(fs::read(files.dir.join(&name)).unwrap(), contents, "{name}");
        let blob = world
            .repo()
            .join("blobs")
            .join(tiny::etag(&name, &contents));
        assert!(blob.is_file(), "{name}");
    }
    assert_eq!(
        fs::read_to_string(world.repo().join("refs/main")).unwrap(),
        COMMIT
    );
    let before = world.hub.requests().len();
    assert_eq!(world.resolve().unwrap(), files);
    assert_eq!(world.offline().unwrap(), files);
    assert_eq!(world.hub.requests().len(), before);
}

#[test]
fn the_callback_follows_the_weights() {
    let world = World::new(Mode::Slow(WEIGHTS, Duration::from_millis(5)));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let progress: fewshot::hub::ProgressFn =
        Arc::new(move |p| sink.lock().unwrap().push(p.clone()));
    resolve(
        ID,
        &HubOptions {
            progress: Some(progress),
            ..world.options.clone()
        },
    )
    .unwrap();
    let total = tiny::model(1)[WEIGHTS].len() as u64;
    let seen = seen.lock().unwrap();
    let weights: Vec<_> = seen.iter().filter(|p| p.file == WEIGHTS).collect();
    assert!(weights.len() > 2 && weights.iter().all(|p| p.total == total));
    assert!(weights.windows(2).all(|w| w[0].done < w[1].done));
    assert_eq!(weights.last().unwrap().done, total);
}

#[test]
fn a_hub_that_lists_no_names_is_asked_for_each_file() {
    let world = World::with(without("modules.json"), Mode::NoNames);
    assert!(world.resolve().is_ok());
    let count = world.hub.requests().len();
    assert_eq!(world.offline().unwrap().warnings, Vec::<String>::new());
    assert_eq!(world.hub.requests().len(), count);
}

#[test]
fn refresh_follows_the_branch_and_nothing_else_does() {
    let world = World::new(Mode::Fine);
    world.resolve().unwrap();
    world.hub.push(tiny::model(2), NEXT);
    assert_eq!(world.resolve().unwrap().commit.as_deref(), Some(COMMIT));
    let fresh = world.refresh().unwrap();
    assert_eq!(fresh.commit.as_deref(), Some(NEXT));
    assert_eq!(fresh.weights_sha256, hash_of(&tiny::model(2)));
    assert_eq!(world.offline().unwrap().commit.as_deref(), Some(NEXT));
}

#[test]
fn refresh_without_news_downloads_nothing() {
    let world = World::new(Mode::Fine);
    world.resolve().unwrap();
    let sent = world.hub.sent(WEIGHTS);
    world.refresh().unwrap();
    assert_eq!(world.hub.sent(WEIGHTS), sent);
}

#[test]
fn a_named_revision_is_kept_apart() {
    let world = World::new(Mode::Fine);
    world.resolve().unwrap();
    world.hub.push(tiny::model(2), NEXT);
    let dev = HubOptions {
        revision: Some("dev".into()),
        ..world.options.clone()
    };
    assert_eq!(resolve(ID, &dev).unwrap().commit.as_deref(), Some(NEXT));
    assert_eq!(world.offline().unwrap().commit.as_deref(), Some(COMMIT));
    let commit = HubOptions {
        revision: Some(NEXT.into()),
        offline: true,
        ..world.options.clone()
    };
    assert_eq!(resolve(ID, &commit).unwrap().commit.as_deref(), Some(NEXT));
}

#[test]
fn a_slow_download_is_not_cut() {
    let world = World::new(Mode::Slow(WEIGHTS, Duration::from_millis(60)));
    let timeout = Duration::from_millis(400);
    let options = HubOptions {
        answer_timeout: timeout,
        stall_timeout: timeout,
        ..world.options.clone()
    };
    let start = Instant::now();
    assert!(resolve(ID, &options).is_ok());
    assert!(
        start.elapsed() > timeout * 2,
        "the test must outlast the limit"
    );
}

#[test]
fn the_token_goes_to_the_hub() {
    let world = World::new(Mode::Fine);
    resolve(
        ID,
        &HubOptions {
            token: Some("abc".into()),
            ..world.options.clone()
        },
    )
    .unwrap();
    let tokens = world.hub.tokens();
    assert!(!tokens.is_empty() && tokens.iter().all(|t| t == "Bearer abc"));
}

// --- the cache ---

#[test]
fn what_python_cached_is_used_without_a_request() {
    let world = World::cached(&tiny::model(1));
    let files = world.resolve().unwrap();
    assert_eq!(files.commit.as_deref(), Some(COMMIT));
    assert_eq!(files.weights_sha256, hash_of(&tiny::model(1)));
    assert_eq!(world.hub.requests(), Vec::<String>::new());
}

#[test]
fn a_full_commit_needs_no_reference() {
    let world = World::cached(&tiny::model(1));
    fs::remove_file(world.repo().join("refs/main")).unwrap();
    assert!(matches!(world.offline(), Err(HubError::NotCached { .. })));
    let options = HubOptions {
        revision: Some(COMMIT.into()),
        ..world.options.clone()
    };
    assert!(resolve(ID, &options).is_ok());
    assert_eq!(world.hub.requests(), Vec::<String>::new());
}

#[test]
fn only_what_is_missing_is_fetched() {
    let world = World::cached(&without("tokenizer.json"));
    assert!(world.resolve().is_ok());
    assert_eq!(
        (world.hub.sent("tokenizer.json"), world.hub.sent(WEIGHTS)),
        (1, 0)
    );
}

#[test]
fn unknown_pooling_is_a_warning_offline_and_fetched_online() {
    let world = World::cached(&without("1_Pooling/config.json"));
    let warnings = world.offline().unwrap().warnings;
    assert!(
        warnings.len() == 1 && warnings[0].contains("1_Pooling/config.json"),
        "{warnings:?}"
    );
    assert_eq!(world.resolve().unwrap().warnings, Vec::<String>::new());
    assert!(world.snapshot("1_Pooling/config.json").exists());
}

#[test]
fn a_pooling_folder_the_hub_lacks_too_is_asked_for_once() {
    let world = World::with(without("1_Pooling/config.json"), Mode::Fine);
    world.resolve().unwrap();
    let before = world.hub.requests().len();
    world.resolve().unwrap();
    assert_eq!(world.hub.requests().len(), before);
}

/// The shortest of a few runs: other tests keep the machine busy.
fn shortest<T>(run: impl Fn() -> T) -> (Duration, T) {
    let timed = || {
        let start = Instant::now();
        let value = run();
        (start.elapsed(), value)
    };
    let runs = [timed(), timed(), timed()];
    runs.into_iter().min_by_key(|(time, _)| *time).unwrap()
}

#[test]
fn offline_says_at_once_what_is_missing_and_where() {
    let world = World::cached(&without("tokenizer.json"));
    let (time, result) = shortest(|| world.offline());
    assert!(time < Duration::from_millis(100), "{time:?}");
    let Err(HubError::NotCached { missing, cache, .. }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(missing, ["tokenizer.json"]);
    assert_eq!(cache, world.cache());
    let options = HubOptions {
        offline: true,
        ..world.options.clone()
    };
    let (time, unknown) = shortest(|| resolve("org/unknown", &options));
    assert!(time < Duration::from_millis(100), "{time:?}");
    assert!(matches!(unknown, Err(HubError::NotCached { missing, .. }) if missing.len() == 3));
    assert_eq!(world.hub.requests(), Vec::<String>::new());
}

#[test]
fn altered_weights_are_removed_refused_offline_and_fetched_online() {
    let world = World::cached(&tiny::model(1));
    let other = &tiny::model(9)[WEIGHTS];
    set(&world.snapshot(WEIGHTS), other);
    let error = world.offline().unwrap_err();
    assert!(
        matches!(error, HubError::ChecksumMismatch { .. }),
        "{error:?}"
    );
    assert!(
        fs::symlink_metadata(world.snapshot(WEIGHTS)).is_err(),
        "the link is left"
    );
    assert!(
        !world
            .repo()
            .join("blobs")
            .join(hash_of(&tiny::model(1)))
            .exists()
    );
    assert!(world.resolve().is_ok());

    set(&world.snapshot(WEIGHTS), other);
    let files = world.resolve().unwrap();
    assert!(
        files.warnings.len() == 1 && files.warnings[0].contains("checksum"),
        "{files:?}"
    );
    assert_eq!(files.weights_sha256, hash_of(&tiny::model(1)));
    assert_eq!(fs::read(&files.weights).unwrap(), tiny::model(1)[WEIGHTS]);
}

#[test]
fn a_wrong_blob_takes_the_links_of_all_snapshots_with_it() {
    let world = World::cached(&tiny::model(1));
    let other = world.repo().join("snapshots").join(NEXT);
    fs::create_dir_all(&other).unwrap();
    let target = fs::read_link(world.snapshot(WEIGHTS)).unwrap();
    std::os::unix::fs::symlink(target, other.join(WEIGHTS)).unwrap();
    set(&world.snapshot(WEIGHTS), b"short");
    assert!(world.offline().is_err());
    assert!(fs::symlink_metadata(other.join(WEIGHTS)).is_err());
}

#[test]
fn truncated_and_altered_files_in_the_cache_are_named() {
    let cut = |file: &str| {
        let world = World::cached(&tiny::model(1));
        let whole = fs::read(world.snapshot(file)).unwrap();
        set(&world.snapshot(file), &whole[..whole.len() - 1]);
        world.offline().unwrap_err()
    };
    assert!(matches!(cut(WEIGHTS), HubError::Truncated { .. }));
    assert!(matches!(
        cut("tokenizer.json"),
        HubError::ChecksumMismatch { .. }
    ));
    assert!(matches!(
        cut("1_Pooling/config.json"),
        HubError::ChecksumMismatch { .. }
    ));
}

#[test]
fn truncated_plain_copies_are_found_too() {
    // Where links do not work the cache holds copies, whose names promise no checksum.
    let world = World::cached(&tiny::model(1));
    let path = world.snapshot(WEIGHTS);
    let whole = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, &whole[..100]).unwrap();
    assert!(matches!(world.offline(), Err(HubError::Truncated { .. })));
    assert!(!path.exists());
}

#[test]
fn refresh_reads_every_byte_again() {
    let world = World::cached(&tiny::model(1));
    world.resolve().unwrap();
    let blob = fs::canonicalize(world.snapshot(WEIGHTS)).unwrap();
    let modified = fs::metadata(&blob).unwrap().modified().unwrap();
    set(&blob, &tiny::model(9)[WEIGHTS]);
    fs::File::options()
        .write(true)
        .open(&blob)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    // Same path, length, time and inode: the stamp cannot know, refresh does.
    assert_eq!(world.resolve().unwrap().warnings.len(), 0);
    assert_eq!(world.refresh().unwrap().warnings.len(), 1);
    assert_eq!(
        fs::read(world.snapshot(WEIGHTS)).unwrap(),
        tiny::model(1)[WEIGHTS]
    );
}

// --- two at once ---

#[test]
fn two_threads_download_once() {
    let world = World::new(Mode::Slow(WEIGHTS, Duration::from_millis(20)));
    let results = std::thread::scope(|scope| {
        [0, 1]
            .map(|_| scope.spawn(|| world.resolve()))
            .map(|thread| thread.join().unwrap())
    });
    for result in results {
        assert_eq!(result.unwrap().weights_sha256, hash_of(&tiny::model(1)));
    }
    assert_eq!(world.hub.sent(WEIGHTS), 1);
}

/// Not a test of its own: other tests start it as a second process.
#[test]
#[ignore = "run by other tests"]
fn child_process() {
    let Ok(stamps) = std::env::var("FEWSHOT_TEST_STAMPS") else {
        return;
    };
    let from_env = HubOptions {
        verified_dir: Some(stamps.into()),
        ..HubOptions::from_env()
    };
    let plain = std::env::var("FEWSHOT_TEST_NO_TOKEN").is_ok();
    let options = if plain {
        HubOptions {
            token: None,
            ..from_env
        }
    } else {
        from_env
    };
    match resolve(ID, &options) {
        Ok(files) => println!("sha256={}", files.weights_sha256),
        Err(error) => println!("error={error:?}"),
    }
}

fn child(world: &World, vars: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child_process", "--exact", "--ignored", "--nocapture"]);
    for (name, _) in std::env::vars() {
        let name = name.to_uppercase();
        if name.starts_with("HF_") || name.contains("OFFLINE") || name.ends_with("_PROXY") {
            command.env_remove(&name).env_remove(name.to_lowercase());
        }
    }
    command
        .env("HF_HUB_CACHE", world.cache())
        .env("HF_ENDPOINT", &world.hub.url);
    command.env("HF_HOME", world.dir.path().join("home"));
    command.env("FEWSHOT_TEST_STAMPS", world.dir.path().join("verified"));
    command
        .envs(vars.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

fn output(command: &mut Command) -> String {
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn two_processes_download_once() {
    let world = World::new(Mode::Slow(WEIGHTS, Duration::from_millis(50)));
    let start = |_| child(&world, &[]).spawn().unwrap();
    let children = [0, 1].map(start);
    let expected = format!("sha256={}", hash_of(&tiny::model(1)));
    for child in children {
        let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        assert!(said.contains(&expected), "{said}");
    }
    assert_eq!(world.hub.sent(WEIGHTS), 1);
    assert!(world.offline().is_ok());
}

#[test]
fn the_environment_can_forbid_the_network() {
    let world = World::new(Mode::Fine);
    let said = output(&mut child(&world, &[("HF_HUB_OFFLINE", "1")]));
    assert!(said.contains("NotCached"), "{said}");
    assert_eq!(world.hub.requests(), Vec::<String>::new());
    tiny::write_cache(&world.cache(), ID, COMMIT, &tiny::model(1));
    let said = output(&mut child(&world, &[("HF_HUB_OFFLINE", "1")]));
    assert!(said.contains(&hash_of(&tiny::model(1))), "{said}");
    assert_eq!(world.hub.requests(), Vec::<String>::new());
}

#[test]
fn a_proxy_is_used_and_may_be_bypassed() {
    let world = World::new(Mode::Fine);
    let proxy = ("HTTP_PROXY", world.hub.url.as_str());
    let endpoint = ("HF_ENDPOINT", "http://hub.invalid");
    let said = output(&mut child(&world, &[proxy, endpoint]));
    assert!(said.contains(&hash_of(&tiny::model(1))), "{said}");
    fs::remove_dir_all(world.cache()).unwrap();
    let said = output(&mut child(
        &world,
        &[proxy, endpoint, ("NO_PROXY", "hub.invalid")],
    ));
    assert!(said.contains("Unreachable"), "{said}");
}

#[test]
fn a_token_in_the_environment_is_sent_only_if_asked_for() {
    let world = World::new(Mode::Fine);
    let token = ("HF_TOKEN", "secret");
    output(&mut child(&world, &[token, ("FEWSHOT_TEST_NO_TOKEN", "1")]));
    assert_eq!(world.hub.tokens(), Vec::<String>::new());
    assert!(!world.hub.requests().is_empty());
    fs::remove_dir_all(world.cache()).unwrap();
    output(&mut child(&world, &[token]));
    assert!(world.hub.tokens().contains(&"Bearer secret".to_owned()));
}

#[test]
fn a_lock_held_without_progress_is_given_up() {
    let world = World::new(Mode::Fine);
    let locks = world.cache().join(".locks/models--org--tiny");
    fs::create_dir_all(&locks).unwrap();
    let lock = fs::File::create(locks.join("fewshot.lock")).unwrap();
    lock.lock().unwrap();
    let stall_timeout = Duration::from_millis(100);
    let error = resolve(
        ID,
        &HubOptions {
            stall_timeout,
            ..world.options.clone()
        },
    )
    .unwrap_err();
    assert!(matches!(error, HubError::CacheBusy { .. }), "{error:?}");
    drop(lock);
    assert!(world.resolve().is_ok());
}

// --- errors of the network ---

#[test]
fn wrong_bytes_are_fetched_again_once() {
    let world = World::new(Mode::Wrong(WEIGHTS, 1));
    let files = world.resolve().unwrap();
    assert_eq!((files.warnings.len(), world.hub.sent(WEIGHTS)), (1, 2));
    let world = World::new(Mode::Wrong(WEIGHTS, 99));
    let error = world.resolve().unwrap_err();
    assert!(
        matches!(error, HubError::ChecksumMismatch { .. }),
        "{error:?}"
    );
    assert_eq!(world.hub.sent(WEIGHTS), 2);
    assert!(fs::symlink_metadata(world.snapshot(WEIGHTS)).is_err());
    assert!(matches!(world.offline(), Err(HubError::NotCached { .. })));
}

#[test]
fn wrong_small_files_are_found_too() {
    let error = World::error(Mode::Wrong("tokenizer.json", 99));
    assert!(
        matches!(error, HubError::ChecksumMismatch { .. }),
        "{error:?}"
    );
}

#[test]
fn short_files_are_truncated() {
    for file in [WEIGHTS, "tokenizer.json"] {
        let error = World::error(Mode::Short(file, 99));
        assert!(
            matches!(error, HubError::Truncated { .. }),
            "{file}: {error:?}"
        );
    }
    assert!(World::new(Mode::Short(WEIGHTS, 1)).resolve().is_ok());
}

#[test]
fn a_broken_connection_is_interrupted_and_leaves_nothing_usable() {
    let world = World::new(Mode::Cut(WEIGHTS));
    let error = world.resolve().unwrap_err();
    assert!(
        matches!(&error, HubError::Interrupted { file, .. } if file == WEIGHTS),
        "{error:?}"
    );
    assert!(matches!(world.offline(), Err(HubError::NotCached { .. })));
    world.hub.set_mode(Mode::Fine);
    assert!(world.resolve().is_ok());
    let blobs = fs::read_dir(world.repo().join("blobs")).unwrap().flatten();
    assert!(
        blobs
            .map(|b| b.file_name())
            .all(|n| !n.to_string_lossy().contains("incomplete"))
    );
}

#[test]
fn a_stalled_download_is_given_up() {
    let world = World::new(Mode::Stall(WEIGHTS));
    let stall_timeout = Duration::from_millis(300);
    let start = Instant::now();
    let error = resolve(
        ID,
        &HubOptions {
            stall_timeout,
            ..world.options.clone()
        },
    )
    .unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert!(
        matches!(error, HubError::Stalled { done: 1.., .. }),
        "{error:?}"
    );
    // The lock is free and the half file is no obstacle.
    world.hub.set_mode(Mode::Fine);
    assert!(world.resolve().is_ok());
}

#[test]
fn a_silent_hub_is_given_up_within_ten_seconds() {
    let start = Instant::now();
    let error = World::error(Mode::Silent);
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    assert!(matches!(error, HubError::Unreachable { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("--offline"));
}

#[test]
fn a_closed_port_and_an_unknown_host_are_unreachable() {
    // A port that was just free.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for endpoint in [
        format!("http://127.0.0.1:{port}"),
        "http://hub.invalid".to_owned(),
    ] {
        let world = World::new(Mode::Fine);
        let start = Instant::now();
        let options = HubOptions {
            endpoint: Some(endpoint.clone()),
            ..world.options.clone()
        };
        let error = resolve(ID, &options).unwrap_err();
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{:?}",
            start.elapsed()
        );
        assert!(
            matches!(&error, HubError::Unreachable { endpoint: e, .. } if *e == endpoint),
            "{error:?}"
        );
    }
}

#[test]
fn refusals_are_told_apart() {
    let error = World::error(Mode::Listing(
        401,
        "RepoNotFound",
        "Invalid username or password.",
    ));
    assert!(
        matches!(
            error,
            HubError::Unauthorized {
                token_given: false,
                ..
            }
        ),
        "{error:?}"
    );

    let world = World::new(Mode::Listing(
        401,
        "",
        "Invalid credentials in Authorization header",
    ));
    let error = resolve(
        ID,
        &HubOptions {
            token: Some("x".into()),
            ..world.options.clone()
        },
    );
    assert!(
        matches!(
            error,
            Err(HubError::Unauthorized {
                token_given: true,
                ..
            })
        ),
        "{error:?}"
    );

    // The listing of a gated model is open, its files are not.
    let error = World::error(Mode::FileStatus(401, "GatedRepo", "log in"));
    assert!(matches!(error, HubError::Unauthorized { .. }), "{error:?}");
    let error = World::error(Mode::FileStatus(403, "GatedRepo", "accept the licence"));
    assert!(
        matches!(&error, HubError::AccessDenied { reason, .. } if reason == "accept the licence")
    );

    let error = World::error(Mode::Listing(404, "RepoNotFound", "no"));
    assert!(matches!(error, HubError::NoSuchModel { .. }), "{error:?}");
    let error = World::error(Mode::Listing(404, "", ""));
    assert!(matches!(error, HubError::NoSuchModel { .. }), "{error:?}");
}

#[test]
fn an_unknown_revision_is_named() {
    let world = World::new(Mode::Fine);
    let options = HubOptions {
        revision: Some("v9".into()),
        ..world.options.clone()
    };
    let error = resolve(ID, &options).unwrap_err();
    assert!(
        matches!(&error, HubError::NoSuchRevision { revision, .. } if revision == "v9"),
        "{error:?}"
    );
}

#[test]
fn other_statuses_and_pages_are_reported() {
    for status in [418, 429, 500] {
        let error = World::error(Mode::Listing(status, "", "why"));
        assert!(
            matches!(error, HubError::Http { status: s, .. } if s == status),
            "{error:?}"
        );
    }
    let error = World::error(Mode::Html);
    assert!(matches!(error, HubError::BadAnswer { .. }), "{error:?}");
}

#[test]
fn a_malformed_endpoint_is_named() {
    let world = World::new(Mode::Fine);
    for endpoint in ["hub.local", "localhost:8080", "http://", "ftp://x"] {
        let options = HubOptions {
            endpoint: Some(endpoint.into()),
            ..world.options.clone()
        };
        let error = resolve(ID, &options).unwrap_err();
        assert!(
            matches!(error, HubError::BadEndpoint { .. }),
            "{endpoint}: {error:?}"
        );
    }
}

// --- errors of names, files and the disk ---

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

// --- folders ---

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

// --- import and list ---

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
