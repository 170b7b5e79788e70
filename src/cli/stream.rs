//! Texts in, one row a text out, in bounded memory: a thread reads ahead while the encoder works.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use fewshot::Error;
use fewshot::data::{
    DataError, FieldNames, InputFormat, Record, RecordWriter, Records, Source, WriteOptions,
};
use fewshot::encoder::Note;
use same_file::Handle;
use serde_json::{Map, Value};

use super::context::Context;
use super::failure::Failure;
use super::interrupt::{self, Polite};
use super::options::Stream;
use super::output;
use super::progress::Texts;

/// Texts of the first chunk; each later one has twice as many as the one before, up to as many as keep the
/// encoder busy: the first result should not wait for many others.
const FIRST_CHUNK: usize = 8;
/// Bytes of text after which a chunk goes on its way.
const CHUNK_BYTES: usize = 4 << 20;
/// How long a text waits for others to join its chunk.
const PATIENCE: Duration = Duration::from_millis(2);
/// How often a wait for input looks for Ctrl-C.
const TICK: Duration = Duration::from_millis(100);

/// A chunk's rows, one a record, and notes on its texts.
pub struct Rows {
    pub rows: Vec<Map<String, Value>>,
    pub notes: Vec<Note>,
}

/// What happened to the texts of a stream.
#[derive(Default)]
struct Tally {
    texts: usize,
    windowed: usize,
    cut: usize,
}

/// Finds what is wrong with input and output before the work, so that nobody waits for a refusal.
/// The output must not be one of `others`, which the command reads too.
pub fn check(args: &Stream, names: &FieldNames, others: &[(&str, &Path)]) -> Result<(), Failure> {
    let input = Path::new(args.source().unwrap_or("-"));
    // Pipes can be read once only.
    if input.is_file() || input.is_dir() || !(input.exists() || input.as_os_str() == "-") {
        Records::open(input, args.input_format, names)?;
    }
    let Some(output) = args.output_file() else {
        return Ok(());
    };
    check_format(output, args)?;
    refuse_same_file("the input", input, output, "--output")?;
    for (what, other) in others {
        refuse_same_file(what, other, output, "--output")?;
    }
    check_output(output, "--output")
}

/// Refuses a name that promises another format than the one that is written.
fn check_format(output: &Path, args: &Stream) -> Result<(), Failure> {
    const OTHERS: [&str; 8] = ["gz", "zst", "tsv", "json", "xlsx", "xls", "ods", "parquet"];
    let extension = output.extension().and_then(|extension| extension.to_str());
    let Some(extension) = extension.map(str::to_ascii_lowercase) else {
        return Ok(());
    };
    if args.format.is_some() || !OTHERS.contains(&extension.as_str()) {
        return Ok(());
    }
    Err(Failure::usage(
        &format!("--output {} is no .jsonl or .csv", output.display()),
        "choose a name that ends in .jsonl or .csv, or say with --format what is to be in it",
    ))
}

/// Refuses an output of `option` that is one of the files that are read.
pub fn refuse_input(inputs: &[PathBuf], output: &Path, option: &str) -> Result<(), Failure> {
    let what = "a file that is read";
    inputs
        .iter()
        .try_for_each(|input| refuse_same_file(what, input, output, option))
}

/// The same for a file that is not to be replaced unasked.
pub fn check_new_output(output: &Path, overwrite: bool) -> Result<(), Failure> {
    if output.exists() && !overwrite {
        return Err(Failure::Command {
            message: format!("{} is there already", output.display()),
            hint: Some("name another --output, or replace it with --overwrite".to_owned()),
        });
    }
    check_output(output, "--output")
}

/// Refuses a file that cannot be made, before the work; `option` is the one that names it.
pub fn check_output(output: &Path, option: &str) -> Result<(), Failure> {
    let folder = output.parent().filter(|folder| *folder != Path::new(""));
    match folder {
        Some(folder) if !folder.is_dir() => Err(Failure::Command {
            message: format!(
                "cannot write {}: there is no folder {}",
                output.display(),
                folder.display()
            ),
            hint: Some(format!("make the folder, or choose another {option}")),
        }),
        _ if output.is_dir() => Err(DataError::IsADirectory {
            path: output.to_owned(),
        }
        .into()),
        // Devices and pipes may wait for their other end.
        _ if output.exists() && !output.is_file() => Ok(()),
        _ if output.is_file() => check_opens(output),
        _ => check_writable(folder.unwrap_or(Path::new(".")), output),
    }
}

/// A file that is there may be written to where no other can be made.
fn check_opens(output: &Path) -> Result<(), Failure> {
    let opened = std::fs::OpenOptions::new().append(true).open(output);
    opened
        .map(drop)
        .map_err(|error| Failure::from(DataError::writing(output, error)))
}

/// Refuses an output in a folder where no file can be made.
pub fn check_writable(folder: &Path, output: &Path) -> Result<(), Failure> {
    let made = tempfile::tempfile_in(folder);
    made.map(drop)
        .map_err(|error| Failure::from(DataError::writing(output, error)))
}

/// Reads `--input`, passes chunks of up to `most` records to `work`, writes its rows to `--output`.
pub fn run(
    args: &Stream,
    names: &FieldNames,
    context: &Context,
    most: usize,
    mut work: impl FnMut(Vec<Record>) -> Result<Rows, Failure>,
) -> Result<(), Failure> {
    let input = args.source().unwrap_or("-");
    let (source, mut progress) = Texts::open(input, context.common.quiet);
    let records = open(source, args.input_format, names)?;
    let mut writer = writer(args, names)?;
    let start = Instant::now();
    let _polite = Polite::new();
    let (mut tally, mut begun) = (Tally::default(), false);
    let chunks = Chunks { records, most };
    let result = pump(&chunks, &mut writer, &mut progress, &mut tally, |chunk| {
        if let Some(first) = chunk
            .first()
            .filter(|_| args.input_format.is_none() && !begun)
        {
            say_if_table(first, names);
        }
        begun = true;
        work(chunk)
    });
    progress.finish();
    writer
        .finish()?
        .iter()
        .for_each(|warning| output::warning(&warning.to_string()));
    tally.report(context, start.elapsed());
    if let (Err(Failure::Library(_)), Some(path)) = (&result, args.output_file()) {
        let done = output::count(tally.texts, "text");
        output::warning(&format!("{} holds the first {done} only", path.display()));
    }
    result
}

fn open(
    source: Source,
    format: Option<InputFormat>,
    names: &FieldNames,
) -> Result<Receiver<Item>, Failure> {
    let records = Records::open(source, format, names)?;
    // One record ahead: with the chunk at work, no more than two chunks of text are in memory.
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || read_ahead(records, &sender));
    Ok(receiver)
}

type Item = Result<Record, DataError>;

fn read_ahead(records: Records, sender: &SyncSender<Item>) {
    for record in records {
        let failed = record.is_err();
        if sender.send(record).is_err() || failed {
            return;
        }
    }
}

fn writer(args: &Stream, names: &FieldNames) -> Result<RecordWriter<'static>, Failure> {
    let options = WriteOptions {
        format: args.output_format(),
        width: output::width(),
        text_field: names.text.clone(),
    };
    Ok(match args.output_file() {
        Some(path) => RecordWriter::create(path, options)?,
        None => RecordWriter::new(Box::new(std::io::stdout()), "standard output", options),
    })
}

fn pump(
    chunks: &Chunks,
    writer: &mut RecordWriter,
    progress: &mut Texts,
    tally: &mut Tally,
    mut work: impl FnMut(Vec<Record>) -> Result<Rows, Failure>,
) -> Result<(), Failure> {
    let to_terminal = std::io::stdout().is_terminal();
    let mut size = FIRST_CHUNK;
    loop {
        let (chunk, end) = chunks.next(size);
        size = chunks.most.min(2 * size);
        if !chunk.is_empty() {
            let texts = chunk.len();
            let rows = work(chunk)?;
            let mut write = || writer.write(&rows.rows);
            if to_terminal {
                progress.suspend(write)
            } else {
                write()
            }?;
            tally.add(texts, &rows.notes);
            progress.add(texts);
        }
        match end {
            End::Open => {}
            End::Closed => return Ok(()),
            End::Failed(error) => return Err(Error::from(error).into()),
            End::Interrupted => {
                let done = output::count(tally.texts, "text");
                return Err(Failure::Interrupted(format!(
                    "the output holds {done}, whole lines"
                )));
            }
        }
    }
}

/// The header of a table that is read as lines of text, as standard input is.
fn say_if_table(first: &Record, names: &FieldNames) {
    let cells = first.text.split([',', ';', '|', '\t']);
    let mut cells = cells.map(|cell| cell.trim().trim_matches('"'));
    let several = cells.clone().nth(1).is_some();
    if first.fields.is_empty() && several && cells.any(|cell| cell == names.text) {
        output::warning(
            "the input looks like a table, and is read as lines of text; --input-format csv reads its columns",
        );
    }
}

/// What comes after a chunk.
enum End {
    Open,
    Closed,
    Failed(DataError),
    Interrupted,
}

/// Where records come from, and how many make a chunk at most.
struct Chunks {
    records: Receiver<Item>,
    most: usize,
}

impl Chunks {
    /// Waits for a record, then takes those that follow at once, `size` together.
    fn next(&self, size: usize) -> (Vec<Record>, End) {
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        while chunk.len() < size && bytes < CHUNK_BYTES {
            if interrupt::asked() {
                return (chunk, End::Interrupted);
            }
            let patience = if chunk.is_empty() { TICK } else { PATIENCE };
            match self.records.recv_timeout(patience) {
                Ok(Ok(record)) => {
                    bytes += record.text.len();
                    chunk.push(record);
                }
                Ok(Err(error)) => return (chunk, End::Failed(error)),
                Err(RecvTimeoutError::Disconnected) => return (chunk, End::Closed),
                Err(RecvTimeoutError::Timeout) if chunk.is_empty() => {}
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        (chunk, End::Open)
    }
}

impl Tally {
    fn add(&mut self, texts: usize, notes: &[Note]) {
        self.texts += texts;
        self.windowed += notes.iter().filter(|note| note.windows > 1).count();
        self.cut += notes.iter().filter(|note| note.cut).count();
    }

    fn report(&self, context: &Context, took: Duration) {
        let seconds = took.as_secs_f64();
        let texts = output::count(self.texts, "text");
        context.verbose(|| {
            let rate = self.texts as f64 / seconds.max(1e-9);
            format!("{texts} in {seconds:.2} s ({rate:.0}/s)")
        });
        if self.windowed > 0 {
            let long = output::count(self.windowed, "text");
            context.note(|| {
                format!(
                    "{long} longer than the encoder takes at once: embedded in windows, averaged"
                )
            });
        }
        if self.cut > 0 {
            let cut = output::count(self.cut, "text");
            output::warning(&format!(
                "{cut} longer than {} KiB: the rest was left out",
                fewshot::encoder::MAX_TEXT_BYTES / 1024
            ));
        }
    }
}

/// Opening the output would empty what is still to be read.
fn refuse_same_file(what: &str, input: &Path, output: &Path, option: &str) -> Result<(), Failure> {
    // Also by a hard link. What cannot be opened says so when it is used.
    if is_same_file(input, output) {
        let message = format!("{option} {} is {what} itself", output.display());
        let hint = format!("choose another {option}");
        return Err(Failure::usage(&message, &hint));
    }
    Ok(())
}

/// Whether they are one file, by whatever name; `-` is standard input. What cannot be opened says so when it is used.
fn is_same_file(input: &Path, output: &Path) -> bool {
    let input = match input == Path::new("-") {
        true => Handle::stdin(),
        // Pipes and devices are never opened for it: that would wait for their other end.
        false if input.is_file() && output.is_file() => Handle::from_path(input),
        false => return false,
    };
    let output = || output.is_file().then(|| Handle::from_path(output));
    matches!((input, output()), (Ok(input), Some(Ok(output))) if input == output)
}
