//! Fetching, following a branch, reporting.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fewshot::hub::{HubOptions, resolve};

use crate::common::fake_hub::Mode;
use crate::common::tiny::{self};
use crate::{COMMIT, ID, NEXT, WEIGHTS, World, hash_of, without};

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
