//! `fewshot policy`: train the agent, and read what it has learned.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fewshot::active::{Policy, State, Strategy, Task, TrainingOptions, train_policy};
use fewshot::encoder::LayerMix;

use super::context::Context;
use super::failure::Failure;
use super::options::{Caching, DEFAULT_MODEL, Fields};
use super::progress::Steps;
use super::set_files::{self, SetFiles};
use super::{output, tasks};

/// Train the agent that chooses texts to label, or show what it has learned.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Train(Train),
    Show(Show),
}

/// Learn on labelled sets by trial what to do when.
#[derive(clap::Args)]
#[command(after_help = "Example:
  fewshot policy train --tasks tickets.jsonl reviews.jsonl sets/trec6 --output policy.json")]
struct Train {
    /// Labelled sets: files, of which two fifths are the test, or folders that hold train.jsonl and
    /// test.jsonl
    #[arg(long, value_name = "FILE|DIR", num_args = 1.., required = true)]
    tasks: Vec<PathBuf>,
    /// Where the policy goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the output if it is there
    #[arg(long)]
    overwrite: bool,
    /// What the agent may do [default: margin,rep,urep,focus,uted]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    actions: Vec<Strategy>,
    /// Runs through tasks, most of 60 labels
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rollouts: u64,
    /// Tables that are learned from resampled tasks and averaged
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    runs: u64,
    /// Hidden layers whose vectors are averaged: last, all, 6-12, 3,6 [default: the upper half]
    #[arg(long, value_name = "LAYERS")]
    layers: Option<LayerMix>,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    caching: Caching,
}

/// Print what to do in each state, and by how much it is better.
#[derive(clap::Args)]
#[command(after_help = "Example:
  fewshot policy show")]
struct Show {
    /// The policy [default: the one that comes with fewshot]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Print the policy's file
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match &args.command {
        Command::Train(args) => train(args, context),
        Command::Show(args) => show(args),
    }
}

fn train(args: &Train, context: &Context) -> Result<(), Failure> {
    check_output(&args.output, args.overwrite)?;
    let defaults = TrainingOptions::default();
    let options = TrainingOptions {
        actions: distinct(&args.actions)?.unwrap_or(defaults.actions),
        rollouts: args.rollouts as usize,
        runs: args.runs as usize,
        seed: context.common.seed,
        ..defaults
    };
    let tasks = read(args, context)?;
    let encoder = context.common.model.as_deref().unwrap_or(DEFAULT_MODEL);
    let steps = Mutex::new(Steps::new(
        "rollouts".to_owned(),
        options.rollouts,
        context.common.quiet,
    ));
    let progress = |rollouts| {
        if let Ok(mut steps) = steps.lock() {
            steps.add(rollouts);
        }
    };
    let trained = train_policy(&tasks, encoder, &options, &progress);
    drop(steps);
    trained.policy.write(&args.output)?;
    context.note(|| format!("the policy is in {}", args.output.display()));
    output::print(table(&trained.policy).as_bytes())
}

fn check_output(path: &Path, overwrite: bool) -> Result<(), Failure> {
    if path.exists() && !overwrite {
        return Err(Failure::Command {
            message: format!("{} is there already", path.display()),
            hint: Some("name another --output, or replace it with --overwrite".to_owned()),
        });
    }
    Ok(())
}

/// The actions that were named, if any were.
fn distinct(actions: &[Strategy]) -> Result<Option<Vec<Strategy>>, Failure> {
    for (at, action) in actions.iter().enumerate() {
        if actions[..at].contains(action) {
            let message = format!("--actions names {action} twice");
            return Err(Failure::usage(&message, "name each once"));
        }
    }
    Ok((!actions.is_empty()).then(|| actions.to_vec()))
}

fn read(args: &Train, context: &Context) -> Result<Vec<Task>, Failure> {
    let files = |path: &PathBuf| match path.is_dir() {
        true => set_files::in_folder(path),
        false => Ok(SetFiles::single(vec![path.clone()], Vec::new())),
    };
    let files = args.tasks.iter().map(files).collect::<Result<_, _>>()?;
    let names = args.fields.names();
    let texts: Vec<_> = set_files::named_apart(files, &args.tasks)?
        .iter()
        .map(|files| tasks::read(files, &names))
        .collect::<Result<_, _>>()?;
    let encoder = context.encoder()?;
    let layers = args
        .layers
        .clone()
        .unwrap_or_else(|| encoder.default_layers());
    layers.indices(encoder.layers())?;
    let mut cached = context.cached(&encoder, &layers, &args.caching)?;
    texts
        .iter()
        .map(|texts| texts.embed(&mut cached, false, context))
        .collect()
}

fn show(args: &Show) -> Result<(), Failure> {
    let policy = match &args.policy {
        Some(path) => Policy::read(path)?,
        None => Policy::builtin(),
    };
    let text = if args.json {
        policy.to_json()
    } else {
        table(&policy)
    };
    output::print(text.as_bytes())
}

/// For each state what to do, and what the other actions lose against it.
fn table(policy: &Policy) -> String {
    let training = policy.training();
    let mut out = format!(
        "{}, {}, {} averaged; vectors of {}\nlearned on: {}\n\n",
        output::count(training.rollouts, "rollout"),
        output::count(training.tasks.len(), "task"),
        output::count(training.runs, "table"),
        training.encoder,
        training.tasks.join(", ")
    );
    let width = State::all()
        .map(|state| state.name().len())
        .max()
        .unwrap_or(0);
    out += &format!("{:width$}  do this", "labels so far");
    policy
        .actions()
        .iter()
        .for_each(|action| out += &format!("{:>16}", action.name()));
    out += "\n";
    for state in State::all() {
        out += &format!(
            "{:width$}  {:7}",
            state.name(),
            policy.strategy_in(state).name()
        );
        let values: Vec<_> = (0..policy.actions().len())
            .map(|at| policy.value(state, at))
            .collect();
        let best = values
            .iter()
            .map(|(value, ..)| *value)
            .fold(f64::NEG_INFINITY, f64::max);
        for (value, spread, visits) in values {
            let cell = if visits == 0 {
                "never tried".to_owned()
            } else {
                format!("{:+.2} ± {spread:.2}", value - best)
            };
            out += &format!("{cell:>16}");
        }
        out += "\n";
    }
    out + "\npoints of accuracy against the best action, discounted over the labels that follow;\n\
           ± standard deviation of the value between the averaged tables\n"
}
