//! A hub that refuses, lies, stalls or is not there.

use std::fs;
use std::time::{Duration, Instant};

use fewshot::hub::{HubError, HubOptions, resolve};

use crate::common::fake_hub::Mode;
use crate::{ID, WEIGHTS, World};

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
    let blobs = fs::read_dir(world.repo().join("blobs")).unwrap().flatten();
    let halves = blobs.filter(|b| b.file_name().to_string_lossy().contains("incomplete"));
    assert_eq!(halves.count(), 0);
    world.hub.set_mode(Mode::Fine);
    assert!(world.resolve().is_ok());
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
