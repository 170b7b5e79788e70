//! Progress bars, on a terminal only.

use std::collections::HashMap;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fewshot::classifier::FitProgress;
use fewshot::data::Source;
use fewshot::encoder::TuneProgress;
use fewshot::hub::{Progress, ProgressFn};
use indicatif::{ProgressBar, ProgressStyle};

/// Draws a bar for each file that is fetched; none without a terminal.
pub fn download(quiet: bool) -> Option<ProgressFn> {
    if quiet || !std::io::stderr().is_terminal() {
        return None;
    }
    let bars: Mutex<HashMap<String, ProgressBar>> = Mutex::default();
    Some(Arc::new(move |progress: &Progress| {
        let Ok(mut bars) = bars.lock() else {
            return;
        };
        let bar = bars
            .entry(progress.file.clone())
            .or_insert_with(|| download_bar(progress));
        bar.set_position(progress.done);
        if progress.done == progress.total {
            bar.finish_and_clear();
        }
    }))
}

fn download_bar(progress: &Progress) -> ProgressBar {
    let style = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
    ProgressBar::new(progress.total)
        .with_style(template(style))
        .with_message(progress.file.clone())
}

fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text).expect("the templates in this file are valid")
}

/// How far a stream of texts has come: a bar by bytes read where the input's size is known, else
/// a count.
pub struct Texts {
    bar: ProgressBar,
    read: Arc<AtomicU64>,
    done: u64,
}

impl Texts {
    /// A source that counts its bytes, and the bar that shows them.
    pub fn open(name: &str, quiet: bool) -> (Source, Self) {
        let read = Arc::new(AtomicU64::new(0));
        let size = std::fs::metadata(name)
            .ok()
            .filter(std::fs::Metadata::is_file)
            .map(|m| m.len());
        let bar = if quiet || !std::io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            text_bar(size)
        };
        (counting(name, &read), Self { bar, read, done: 0 })
    }

    /// More texts are done.
    pub fn add(&mut self, texts: usize) {
        self.done += texts as u64;
        let seconds = self.bar.elapsed().as_secs_f64();
        let rate = if seconds > 0.0 {
            self.done as f64 / seconds
        } else {
            0.0
        };
        self.bar
            .set_message(format!("{} texts, {rate:.0}/s", self.done));
        self.bar.set_position(self.read.load(Ordering::Relaxed));
    }

    /// Runs something that writes to the terminal while the bar is out of the way.
    pub fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.bar.suspend(work)
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// How far a known number of steps has come; the bar goes when it is dropped.
pub struct Steps {
    bar: ProgressBar,
}

impl Steps {
    /// A bar for `count` steps, none without a terminal.
    pub fn new(name: String, count: usize, quiet: bool) -> Self {
        let bar = if quiet || !std::io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            let style = "{msg} {wide_bar} {pos}/{len}, {eta} left";
            ProgressBar::new(count as u64)
                .with_style(template(style))
                .with_message(name)
        };
        Self { bar }
    }

    /// So many steps more are done.
    pub fn add(&self, steps: usize) {
        self.bar.inc(steps as u64);
    }

    /// So many steps are done in all.
    pub fn set(&self, steps: usize) {
        self.bar.set_position(steps as u64);
    }
}

/// How far learning has come: a bar for each part of it that takes more than one step.
pub struct LearningBar {
    quiet: bool,
    /// The part that is shown.
    part: &'static str,
    steps: Option<Steps>,
}

impl LearningBar {
    pub fn new(quiet: bool) -> Self {
        Self {
            quiet,
            part: "",
            steps: None,
        }
    }

    pub fn fit(&mut self, progress: FitProgress) {
        match progress {
            FitProgress::Embedding { done, texts } => self.show("reading examples", done, texts),
            FitProgress::Tuning(progress) => self.tuning(progress),
            _ => {}
        }
    }

    pub fn tuning(&mut self, progress: TuneProgress) {
        self.show("learning", progress.done, progress.steps);
    }

    fn show(&mut self, part: &'static str, done: usize, of: usize) {
        if done == of || part != self.part {
            self.steps = None;
        }
        self.part = part;
        if done < of {
            let quiet = self.quiet;
            let new = || Steps::new(part.to_owned(), of, quiet);
            self.steps.get_or_insert_with(new).set(done);
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn text_bar(size: Option<u64>) -> ProgressBar {
    let bar = match size {
        Some(size) => {
            ProgressBar::new(size).with_style(template("{wide_bar} {percent} % {msg}, {eta} left"))
        }
        None => ProgressBar::new_spinner().with_style(template("{spinner} {msg}")),
    };
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn counting(name: &str, read: &Arc<AtomicU64>) -> Source {
    match std::fs::File::open(name) {
        Ok(file) if Path::new(name).is_file() => Source::Reader {
            name: name.to_owned(),
            reader: Box::new(Counting {
                file,
                read: Arc::clone(read),
            }),
        },
        // Standard input, or a name that cannot be opened: the reader of records says why.
        _ => name.into(),
    }
}

struct Counting {
    file: std::fs::File,
    read: Arc<AtomicU64>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
