//! `fewshot policy`: train the agent, and read what it has learned.

use std::path::PathBuf;

use fewshot::active::{Policy, State, Strategy, Training, TrainingOptions, train_policy};
use fewshot::data::visible;

use super::context::Context;
use super::failure::Failure;
use super::interrupt::Polite;
use super::options::{DEFAULT_MODEL, refuse_repeats};
use super::progress::Steps;
use super::set_files::{self, SetFiles};
use super::tasks::Reading;
use super::{output, stream};

/// Train the agent that chooses texts to label, or show what it has learned.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fewshot policy show
  fewshot policy train --tasks tickets.jsonl sets/trec6 --output policy.json
  fewshot simulate --sets sets/subj --policy policy.json")]
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
    #[command(flatten)]
    reading: Reading,
}

/// Print what to do in each state, and by how much it is better.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fewshot policy show
  fewshot policy show --policy policy.json
  fewshot policy show --json > policy.json")]
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
    stream::check_new_output(&args.output, args.overwrite)?;
    refuse_repeats("--actions", &args.actions)?;
    let defaults = TrainingOptions::default();
    let options = TrainingOptions {
        actions: match &args.actions[..] {
            [] => defaults.actions,
            named => named.to_vec(),
        },
        rollouts: args.rollouts as usize,
        runs: args.runs as usize,
        seed: context.common.seed,
        ..defaults
    };
    let files = files(args)?;
    let sets = files.iter().flat_map(SetFiles::all);
    let read: Vec<PathBuf> = sets.chain(args.reading.start_file()).collect();
    stream::refuse_input(&read, &args.output, "--output")?;
    let tasks = args.reading.tasks(&files, false, context)?.tasks;
    // As it was typed, not where it lies on this machine.
    let encoder = context.common.model.as_deref().unwrap_or(DEFAULT_MODEL);
    let steps = Steps::new(
        "rollouts".to_owned(),
        options.rollouts,
        context.common.quiet,
    );
    let policy = train_policy(&tasks, encoder, &options, &|rollouts| steps.add(rollouts)).policy;
    drop(steps);
    let polite = Polite::new();
    policy.write(&args.output)?;
    drop(polite);
    context.note(|| format!("the policy is in {}", args.output.display()));
    output::print(table(&policy).as_bytes())
}

fn files(args: &Train) -> Result<Vec<SetFiles>, Failure> {
    let files = |path: &PathBuf| match path.is_dir() {
        true => set_files::in_folder(path),
        false => Ok(SetFiles::single(vec![path.clone()], Vec::new())),
    };
    let files = args.tasks.iter().map(files).collect::<Result<_, _>>()?;
    set_files::named_apart(files, &args.tasks, "--tasks")
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
    let width = State::all().map(|state| state.name().len()).max();
    let width = width.unwrap_or(0);
    let mut out = origin(policy.training()) + &format!("\n\n{:width$}  do this", "labels so far");
    let actions = policy.actions();
    actions
        .iter()
        .for_each(|action| out += &format!("{:>16}", action.name()));
    out += "     tried";
    for state in State::all() {
        let best = policy.strategy_in(state).name();
        out += &format!("\n{:width$}  {best:7}", state.name());
        cells(policy, state)
            .iter()
            .for_each(|cell| out += &format!("{cell:>16}"));
        out += &format!("{:>10}", tries(policy, state));
    }
    out + "\n\npoints of accuracy against the best action, discounted over the labels that follow;\n\
           ± standard deviation of the value between the averaged tables, whose tries are summed\n"
}

/// How the policy came about.
fn origin(training: &Training) -> String {
    if training.rollouts == 0 {
        return "set by hand, not trained".to_owned();
    }
    format!(
        "{}, {}, {} averaged, seed {}; vectors of {}\nlearned on: {}",
        output::count(training.rollouts, "rollout"),
        output::count(training.tasks.len(), "task"),
        output::count(training.runs, "table"),
        training.seed,
        visible(&training.encoder),
        visible(&training.tasks.join(", "))
    )
}

/// How often any action was tried in a state.
fn tries(policy: &Policy, state: State) -> u64 {
    let visits = (0..policy.actions().len()).map(|at| policy.value(state, at).2);
    visits.fold(0, u64::saturating_add)
}

/// What each action is worth in a state.
fn cells(policy: &Policy, state: State) -> Vec<String> {
    let value = |at| policy.value(state, at);
    let actions = 0..policy.actions().len();
    let best = actions.clone().map(|at| value(at).0);
    let best = best.fold(f64::NEG_INFINITY, f64::max);
    let cell = |(value, spread, visits): (f64, f64, u64)| match visits {
        0 => "never tried".to_owned(),
        _ => format!("{:+.2} ± {spread:.2}", value - best),
    };
    actions.map(|at| cell(value(at))).collect()
}
