//! `fewshot meta-train`: a start from several tasks.

use std::path::PathBuf;

use fewshot::data::Dataset;
use fewshot::start::Start;

use super::context::Context;
use super::failure::Failure;
use super::interrupt::Polite;
use super::options::Fields;
use super::progress::LearningBar;
use super::{output, stream};

/// Tune the encoder's upper half in episodes of several labelled sets, as a start for other tasks.
///
/// `--start FILE` of classify, train, evaluate and benchmark then begins there, if that helps to tell the
/// examples of the new task apart; label, simulate and policy train always do. The starts that come with fewshot were made so.
#[derive(clap::Args)]
#[command(after_help = "Example:
  fewshot meta-train --tasks datasets/tasks/*.jsonl complaints.csv --output start.safetensors
  fewshot classify --start start.safetensors --examples few.jsonl new.txt")]
pub struct Args {
    /// Labelled sets, one file a task; up to 1,000 examples of each are used
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    tasks: Vec<PathBuf>,
    /// File to write; it appears whole or not at all
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the output if it is there
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    fields: Fields,
}

pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    // Before the work, so that nobody waits for a refusal.
    stream::refuse_input(&args.tasks, &args.output, "--output")?;
    stream::check_new_output(&args.output, args.overwrite)?;
    let tasks: Vec<Dataset> = args
        .tasks
        .iter()
        .map(|path| read(path, args))
        .collect::<Result<_, _>>()?;
    let encoder = context.encoder()?;
    let mut bar = LearningBar::new(context.common.quiet);
    let start = Start::learn(&encoder, &tasks, context.common.seed, &mut |progress| {
        bar.tuning(progress);
    })?;
    drop(bar);
    let _polite = Polite::new();
    start.save(&args.output, &encoder)?;
    context.note(|| {
        let tasks = output::count(tasks.len(), "task");
        format!("a start from {tasks} saved to {}", args.output.display())
    });
    Ok(())
}

fn read(path: &PathBuf, args: &Args) -> Result<Dataset, Failure> {
    let (dataset, warnings) = Dataset::read([path], None, &args.fields.names())?;
    warnings
        .iter()
        .for_each(|warning| output::warning(&warning.to_string()));
    let trainable = dataset.check_trainable().map_err(Failure::from);
    trainable.map_err(|failure| failure.within(&path.display().to_string()))?;
    Ok(dataset)
}
