//! `fewshot simulate`: learning curves of strategies and of the agent.

mod report;
mod svg;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

use fewshot::active::{Chooser, Oracle, Policy, SimulationOptions, Task, simulate};
use fewshot::data::write_atomically;
use fewshot::encoder::LayerMix;

use super::context::Context;
use super::failure::Failure;
use super::options::{Caching, Fields};
use super::progress::Steps;
use super::set_files::{self, SetFiles};
use super::{output, tasks};
use report::Report;

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
    /// Hidden layers whose vectors are averaged: last, all, 6-12, 3,6 [default: the upper half]
    #[arg(long, value_name = "LAYERS")]
    layers: Option<LayerMix>,
    /// Print one JSON document, each run's figures included
    #[arg(long)]
    json: bool,
    /// Draw the curves, with 95 % bands
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    caching: Caching,
}

fn parse_share(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..1.0).contains(&value) => Ok(value),
        _ => Err(format!("`{text}` is no share of at least 0 and below 1")),
    }
}

pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let choosers = choosers(args)?;
    let tasks = tasks(args, context)?;
    let report = Report::new(curves(&tasks, &choosers, args, context), &choosers, args);
    if let Some(path) = &args.svg {
        let drawing = svg::draw(&report);
        write_atomically(path, |file| file.write_all(drawing.as_bytes()))?;
    }
    if args.json {
        return output::print_json(&report.document(context.common.seed));
    }
    output::print(report.table().as_bytes())
}

fn choosers(args: &Args) -> Result<Vec<Chooser>, Failure> {
    let mut choosers = args.strategies.clone();
    for (at, chooser) in choosers.iter().enumerate() {
        if choosers[..at].contains(chooser) {
            let message = format!("--strategies names {chooser} twice");
            return Err(Failure::usage(&message, "name each once"));
        }
    }
    if let Some(path) = &args.policy {
        let policy = Policy::read(path)?;
        let agents = choosers
            .iter_mut()
            .filter(|chooser| matches!(chooser, Chooser::Agent(_)));
        agents.for_each(|agent| *agent = Chooser::Agent(Box::new(policy.clone())));
    }
    Ok(choosers)
}

fn tasks(args: &Args, context: &Context) -> Result<Vec<Task>, Failure> {
    let files = if args.sets.is_empty() {
        vec![SetFiles::single(args.pool.clone(), args.test.clone())]
    } else {
        set_files::in_folders(&args.sets)?
    };
    let names = args.fields.names();
    let texts: Vec<_> = files
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
        .map(|texts| texts.embed(&mut cached, args.label_names, context))
        .collect()
}

/// For each set its name and the curves, `[choosers][seeds]`.
fn curves(
    tasks: &[Task],
    choosers: &[Chooser],
    args: &Args,
    context: &Context,
) -> Vec<report::Set> {
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
    let name = "runs".to_owned();
    let steps = Mutex::new(Steps::new(
        name,
        tasks.len() * seeds.len(),
        context.common.quiet,
    ));
    let progress = || {
        if let Ok(mut steps) = steps.lock() {
            steps.add(1);
        }
    };
    let set = |task: &Task| report::Set {
        name: task.name.clone(),
        curves: simulate(task, choosers, &seeds, &options, &progress),
    };
    tasks.iter().map(set).collect()
}
