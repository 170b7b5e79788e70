//! Two at once, and what the environment says.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use fewshot::hub::{HubError, HubOptions, resolve};

use crate::common::fake_hub::Mode;
use crate::common::tiny::{self};
use crate::{COMMIT, ID, WEIGHTS, World, hash_of};

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
    command.args([
        "processes::child_process",
        "--exact",
        "--ignored",
        "--nocapture",
    ]);
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
