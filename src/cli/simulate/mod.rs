//! `fewshot simulate`: learning curves of strategies and of the agent.

mod report;

use std::io::Write;
use std::path::PathBuf;

use fewshot::active::{Chooser, Oracle, Policy, SimulationOptions, Task, simulate};
use fewshot::data::write_atomically;
use serde_json::{Value, json};

use super::context::Context;
use super::failure::Failure;
use super::interrupt::Polite;
use super::options::refuse_repeats;
use super::progress::Steps;
use super::set_files::{self, SetFiles};
use super::tasks::{Reading, Tasks};
use super::{output, stream};
use report::{Report, Set, Size};

/// Simulate labelling on labelled sets, from zero labels: accuracy after each label.
///
/// Under one seed all strategies see the same pool and the same test, so that differences are those
/// of pairs, with Student's 95 % interval over the seeds, and over the sets if there are several.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fewshot simulate --pool labelled.jsonl --test test.jsonl --strategies random,margin,q-learning
  fewshot simulate --sets sets/* --seeds 50 --svg curves.svg
  fewshot simulate --sets trec6 --strategies 'rep>8>uted,urep' --noise 0.1")]
pub struct Args {
    /// Labelled texts to choose from; several files make one set
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "sets")]
    pool: Vec<PathBuf>,
    /// Labelled test texts [default: two fifths of the pool]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    test: Vec<PathBuf>,
    /// Folders that hold train.jsonl, to choose from, and test.jsonl: one set each, and their mean
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with_all = ["pool", "test"])]
    sets: Vec<PathBuf>,
    /// Who chooses; the others are compared with the first. A strategy (random, margin, entropy,
    /// typical, rep, urep, focus, ted, uted, diverse, badge), q-learning (the agent), uniform (another
    /// strategy each time), or a schedule such as rep>8>uted (uted from 8 labels on)
    #[arg(
        long,
        value_name = "NAME,…",
        value_delimiter = ',',
        default_value = "random,margin,urep,q-learning"
    )]
    strategies: Vec<Chooser>,
    /// What the agent has learned [default: the policy that comes with fewshot]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Labels in all
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    budget: u64,
    /// Runs of each strategy on each set
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// Labels between two fits
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    batch: u64,
    /// Share of answers that are some other class
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = parse_share)]
    noise: f32,
    /// Share of texts that are skipped
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = parse_share)]
    skip_rate: f32,
    /// Most texts to choose from, drawn anew for each seed
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=5_000))]
    pool_size: u64,
    /// Most texts to test on, drawn anew for each seed
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    test_size: u64,
    /// Let the labels' names say something about texts before any answer
    #[arg(long)]
    label_names: bool,
    /// Print one JSON document, each run's figures included
    #[arg(long)]
    json: bool,
    /// Draw the curves as SVG, a chart a set and one of their mean, with 95 % bands over the runs
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
}

fn parse_share(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..1.0).contains(&value) => Ok(value),
        _ => Err(format!("`{text}` is no share of at least 0 and below 1")),
    }
}

pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let choosers = choosers(args)?;
    if let Some(path) = &args.svg {
        stream::check_output(path, "--svg")?;
    }
    let files = files(args)?;
    if let Some(path) = &args.svg {
        let sets = files.iter().flat_map(SetFiles::all);
        let others = args
            .policy
            .clone()
            .into_iter()
            .chain(args.reading.start_file());
        stream::refuse_input(&sets.chain(others).collect::<Vec<_>>(), path, "--svg")?;
    }
    let read = args.reading.tasks(&files, args.label_names, context)?;
    read.tasks.iter().for_each(|task| say_if_short(task, args));
    let sets = simulated(&read.tasks, &choosers, args, context);
    let report = Report::new(sets, &choosers, args.budget as usize);
    if let Some(path) = &args.svg {
        let drawing = report.drawing().to_svg();
        let _polite = Polite::new();
        write_atomically(path, |file| file.write_all(drawing.as_bytes()))?;
    }
    if args.json {
        let settings = settings(args, &read, &choosers, context.common.seed);
        return output::print_json(&report.document(settings));
    }
    output::print(report.table().as_bytes())
}

fn choosers(args: &Args) -> Result<Vec<Chooser>, Failure> {
    let mut choosers = args.strategies.clone();
    refuse_repeats("--strategies", &choosers)?;
    if let Some(path) = &args.policy {
        let agent = choosers.iter_mut().find_map(Chooser::policy_mut);
        let policy = agent.ok_or_else(|| {
            let message = "--policy is for q-learning, which --strategies does not name";
            Failure::usage(message, "name it, or leave --policy out")
        })?;
        *policy = Policy::read(path)?;
    }
    Ok(choosers)
}

fn files(args: &Args) -> Result<Vec<SetFiles>, Failure> {
    if args.sets.is_empty() {
        Ok(vec![SetFiles::single(args.pool.clone(), args.test.clone())])
    } else {
        set_files::in_folders(&args.sets)
    }
}

/// Says that a pool ends before the budget does.
fn say_if_short(task: &Task, args: &Args) {
    let texts = task.pool.classes.len().min(args.pool_size as usize);
    if (texts as u64) < args.budget {
        output::warning(&format!(
            "{}: the budget is {}, the pool has {}; curves are flat from there on",
            task.name,
            output::count(args.budget as usize, "label"),
            output::count(texts, "text")
        ));
    }
}

/// The curves of every set.
fn simulated(tasks: &[Task], choosers: &[Chooser], args: &Args, context: &Context) -> Vec<Set> {
    let options = SimulationOptions {
        budget: args.budget as usize,
        batch: args.batch as usize,
        oracle: Oracle {
            noise: args.noise,
            skip_rate: args.skip_rate,
        },
        pool: args.pool_size as usize,
        tests: args.test_size as usize,
    };
    let first = context.common.seed;
    let seeds: Vec<u64> = (0..args.seeds).map(|at| first.wrapping_add(at)).collect();
    let count = tasks.len() * seeds.len();
    let steps = Steps::new("runs".to_owned(), count, context.common.quiet);
    let set = |task: &Task| Set {
        name: task.name.clone(),
        size: Some(Size::of(task)),
        curves: simulate(task, choosers, &seeds, &options, &|| steps.add(1)),
    };
    tasks.iter().map(set).collect()
}

/// What it takes to repeat a simulation.
fn settings(args: &Args, read: &Tasks, choosers: &[Chooser], seed: u64) -> Value {
    let policy = choosers.iter().find_map(|chooser| match chooser {
        Chooser::Agent(policy) => Some(policy.training()),
        _ => None,
    });
    json!({
        "encoder": read.encoder, "layers": read.layers, "seed": seed, "seeds": args.seeds,
        "strategies": choosers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "policy_training": policy, "budget": args.budget, "batch": args.batch,
        "noise": args.noise, "skip_rate": args.skip_rate, "pool_size": args.pool_size,
        "test_size": args.test_size, "label_names": args.label_names,
    })
}
