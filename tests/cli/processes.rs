//! Pipes, memory, Ctrl-C: what only a running process shows.
#![cfg(unix)]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::support::{Folder, Outcome, rows};

const CLASSIFY: &str = "classify --head linear --examples few.jsonl";

fn spawn(mut command: Command) -> Child {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn output_flows_while_the_input_is_still_open() {
    let folder = Folder::new();
    let mut child = spawn(folder.command(CLASSIFY));
    let (sender, receiver) = channel();
    let stdout = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| sender.send(line))
    });
    let mut stdin = child.stdin.take().unwrap();
    for text in ["the dog", "my money"] {
        writeln!(stdin, "{text}").unwrap();
        let line = receiver
            .recv_timeout(Duration::from_secs(20))
            .expect("a line before the end");
        assert!(line.contains(text), "{line}");
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// `| head -1`.
#[test]
fn a_closed_pipe_is_no_error() {
    let folder = Folder::new();
    folder.write("many.txt", "the old dog\n".repeat(20_000));
    for format in ["jsonl", "csv", "table"] {
        let mut child = spawn(folder.command(&format!("{CLASSIFY} many.txt --format {format}")));
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut first)
            .unwrap();
        assert!(!first.is_empty());
        let output = child.wait_with_output().unwrap();
        Outcome::new(format, output).ok().silent();
    }
}

/// A list of many short texts never stands in memory whole.
#[cfg(target_os = "linux")]
#[test]
fn memory_stays_bounded() {
    let folder = Folder::new();
    let mut file = std::io::BufWriter::new(File::create(folder.path("many.txt")).unwrap());
    (0..200_000).for_each(|number| writeln!(file, "dog {number}").unwrap());
    drop(file);
    // Standard input stays open and keeps the process alive until its memory has been read.
    let mut command = folder.command(&format!("{CLASSIFY} - -o out.jsonl"));
    command.stderr(Stdio::null());
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::copy(
        &mut File::open(folder.path("many.txt")).unwrap(),
        &mut stdin,
    )
    .unwrap();
    wait_for(|| lines_in(&folder, "out.jsonl") == 200_000);
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kilobytes: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("peak {kilobytes} kB");
    assert!(kilobytes < 60_000, "{kilobytes} kB");
}

fn lines_in(folder: &Folder, name: &str) -> usize {
    let mut bytes = Vec::new();
    let read = File::open(folder.path(name)).and_then(|mut file| file.read_to_end(&mut bytes));
    read.map_or(0, |_| bytes.iter().filter(|&&byte| byte == b'\n').count())
}

fn wait_for(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(120), "waited in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn interrupt(child: &Child) {
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn an_interrupt_leaves_whole_lines() {
    let folder = Folder::new();
    folder.write(
        "many.txt",
        "the quick brown fox jumps over the lazy dog\n".repeat(2_000_000),
    );
    let child = spawn(folder.command(&format!("{CLASSIFY} many.txt -o out.jsonl")));
    wait_for(|| lines_in(&folder, "out.jsonl") > 0);
    interrupt(&child);
    let outcome = Outcome::new("interrupted", child.wait_with_output().unwrap());
    assert_eq!(outcome.code, Some(130), "{outcome:#?}");
    let lines = folder.read("out.jsonl");
    let done = rows(&lines).len();
    assert!(
        lines.ends_with('\n') && (1..2_000_000).contains(&done),
        "{done}"
    );
    outcome.says(&["interrupted", &format!("{done} texts")]);
}

#[test]
fn an_interrupt_while_waiting_for_input_ends_at_once() {
    let folder = Folder::new();
    let mut child = spawn(folder.command(CLASSIFY));
    writeln!(child.stdin.as_mut().unwrap(), "the dog").unwrap();
    let mut first = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut first).unwrap();
    let start = Instant::now();
    interrupt(&child);
    let stdin = child.stdin.take();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(start.elapsed() < Duration::from_secs(5));
    drop(stdin);
}

/// No half file, no temporary one.
#[test]
fn an_interrupted_embed_leaves_nothing() {
    let folder = Folder::new();
    folder.write(
        "many.txt",
        "the quick brown fox jumps over the lazy dog\n".repeat(500_000),
    );
    let before = folder.names();
    let child = spawn(folder.command("embed --input many.txt -o v.npy"));
    wait_for(|| folder.names().len() > before.len());
    interrupt(&child);
    let outcome = Outcome::new("embed", child.wait_with_output().unwrap());
    assert_eq!(outcome.code, Some(130), "{outcome:#?}");
    assert_eq!(folder.names(), before);
    outcome.says(&["interrupted"]);
}
