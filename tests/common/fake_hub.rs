//! A stand-in for a model hub on 127.0.0.1, as far as hf-hub asks.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::tiny::{self, Files};

/// How it misbehaves.
#[derive(Debug, Clone, Default)]
pub enum Mode {
    #[default]
    Fine,
    /// Accepts connections and never answers.
    Silent,
    /// Answers the listing with this status, `X-Error-Code` and `X-Error-Message`.
    Listing(u16, &'static str, &'static str),
    /// Answers requests for files so.
    FileStatus(u16, &'static str, &'static str),
    /// A page instead of JSON, as a login portal does.
    Html,
    /// A listing without file names.
    NoNames,
    /// Half of the file, declared as the whole, so many times.
    Short(&'static str, usize),
    /// Half of the file, then the connection ends.
    Cut(&'static str),
    /// Other bytes of the same length, so many times.
    Wrong(&'static str, usize),
    /// Half of the file, then nothing more.
    Stall(&'static str),
    /// The file in twenty pieces with this pause between them.
    Slow(&'static str, Duration),
}

#[derive(Default)]
struct State {
    files: Files,
    commit: String,
    mode: Mode,
    /// Request lines and tokens, in order.
    requests: Vec<String>,
    tokens: Vec<String>,
    misbehaved: usize,
}

pub struct FakeHub {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl FakeHub {
    pub fn start(files: Files, commit: &str, mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let commit = commit.to_owned();
        let state = Arc::new(Mutex::new(State {
            files,
            commit,
            mode,
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A client that goes away is no concern of the hub.
                thread::spawn(move || answer(stream, &state).ok());
            }
        });
        Self { url, state }
    }

    pub fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }

    /// How often a file was sent.
    pub fn sent(&self, file: &str) -> usize {
        self.requests()
            .iter()
            .filter(|r| r.starts_with("GET ") && r.ends_with(file))
            .count()
    }

    pub fn tokens(&self) -> Vec<String> {
        self.state.lock().unwrap().tokens.clone()
    }

    pub fn set_mode(&self, mode: Mode) {
        self.state.lock().unwrap().mode = mode;
    }

    /// Pushes a new commit to every branch.
    pub fn push(&self, files: Files, commit: &str) {
        let mut state = self.state.lock().unwrap();
        (state.files, state.commit) = (files, commit.to_owned());
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let path = without_host(words.next().unwrap_or_default());
    let token = read_token(&mut reader)?;
    let (mode, files, commit) = {
        let mut state = state.lock().unwrap();
        state.requests.push(format!("{method} {path}"));
        state.tokens.extend(token);
        (
            state.mode.clone(),
            state.files.clone(),
            state.commit.clone(),
        )
    };
    if matches!(mode, Mode::Silent) {
        thread::sleep(Duration::from_secs(60));
        return Ok(());
    }
    let reply = Reply {
        stream,
        head: method == "HEAD",
        commit,
    };
    match path.split_once("/resolve/") {
        None => listing(reply, &path, &mode, &files),
        Some((_, rest)) => {
            let name = rest.split_once('/').map_or("", |(_, name)| name);
            file(reply, name, &mode, &files, state)
        }
    }
}

/// A proxy is asked for `http://host/path`, a server for `/path`.
fn without_host(target: &str) -> String {
    match target.strip_prefix("http://") {
        Some(rest) => rest[rest.find('/').unwrap_or(0)..].to_owned(),
        None => target.to_owned(),
    }
}

fn read_token(reader: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut token = None;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else {
            return Ok(token);
        };
        if name.eq_ignore_ascii_case("authorization") {
            token = Some(value.trim().to_owned());
        }
    }
}

struct Reply {
    stream: TcpStream,
    head: bool,
    commit: String,
}

impl Reply {
    fn status(mut self, status: u16, code: &str, message: &str) -> std::io::Result<()> {
        let codes = if code.is_empty() {
            String::new()
        } else {
            format!("X-Error-Code: {code}\r\n")
        };
        write!(
            self.stream,
            "HTTP/1.1 {status} No\r\nX-Repo-Commit: {}\r\n{codes}X-Error-Message: {message}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n",
            self.commit
        )
    }

    /// Head of a good answer; `length` is what it declares.
    fn head(&mut self, etag: &str, length: usize) -> std::io::Result<()> {
        write!(
            self.stream,
            "HTTP/1.1 200 OK\r\nETag: \"{etag}\"\r\nX-Repo-Commit: {}\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n",
            self.commit
        )
    }

    fn send(mut self, etag: &str, body: &[u8]) -> std::io::Result<()> {
        self.head(etag, body.len())?;
        if self.head {
            Ok(())
        } else {
            self.stream.write_all(body)
        }
    }

    fn trickle(mut self, etag: &str, body: &[u8], pause: Duration) -> std::io::Result<()> {
        self.head(etag, body.len())?;
        for piece in body.chunks(body.len().div_ceil(20)) {
            self.stream.write_all(piece)?;
            thread::sleep(pause);
        }
        Ok(())
    }
}

fn listing(reply: Reply, path: &str, mode: &Mode, files: &Files) -> std::io::Result<()> {
    let revision = path.split_once("/revision/").map_or("main", |(_, r)| r);
    let known = ["main", "dev", reply.commit.as_str()].contains(&revision);
    match mode {
        Mode::Listing(status, code, message) => reply.status(*status, code, message),
        Mode::Html => reply.send("x", b"<html>please log in</html>"),
        _ if !known => reply.status(404, "RevisionNotFound", "no such revision"),
        _ => {
            let names: Vec<_> = files
                .keys()
                .map(|f| serde_json::json!({ "rfilename": f }))
                .collect();
            let mut body = serde_json::json!({ "id": "org/tiny", "sha": reply.commit });
            if !matches!(mode, Mode::NoNames) {
                body["siblings"] = names.into();
            }
            reply.send("x", body.to_string().as_bytes())
        }
    }
}

fn file(
    mut reply: Reply,
    name: &str,
    mode: &Mode,
    files: &Files,
    state: &Mutex<State>,
) -> std::io::Result<()> {
    if let Mode::FileStatus(status, code, message) = mode {
        return reply.status(*status, code, message);
    }
    let Some(body) = files.get(name) else {
        return reply.status(404, "EntryNotFound", "no such file");
    };
    let etag = tiny::etag(name, body);
    if reply.head {
        return reply.send(&etag, body);
    }
    let half = &body[..body.len() / 2];
    let still = |times: usize| {
        let mut state = state.lock().unwrap();
        state.misbehaved += 1;
        state.misbehaved <= times
    };
    match mode {
        Mode::Short(file, times) if *file == name && still(*times) => reply.send(&etag, half),
        Mode::Wrong(file, times) if *file == name && still(*times) => {
            let mut wrong = body.clone();
            *wrong.last_mut().unwrap() ^= 1;
            reply.send(&etag, &wrong)
        }
        Mode::Cut(file) if *file == name => {
            reply.head(&etag, body.len())?;
            reply.stream.write_all(half)
        }
        Mode::Stall(file) if *file == name => {
            reply.head(&etag, body.len())?;
            reply.stream.write_all(half)?;
            thread::sleep(Duration::from_secs(60));
            Ok(())
        }
        Mode::Slow(file, pause) if *file == name => reply.trickle(&etag, body, *pause),
        _ => reply.send(&etag, body),
    }
}
