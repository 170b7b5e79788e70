//! `fewshot benchmark`: mean accuracy over seeded draws of few examples.

mod configs;
mod measure;
mod report;
mod sets;

use std::path::PathBuf;

use fewshot::head::HeadKind;

use super::context::Context;
use super::failure::Failure;
use super::options::{Caching, Fields, Fit};
use super::output;
use configs::Config;
use measure::Bench;
use report::Report;
use sets::Set;

/// Draw few-shot training sets from labelled texts and report the accuracy on a test set.
///
/// Draws depend on their number and the label only, not on --seed: all heads and configurations of a run, and runs with
/// other options, learn from the same examples. A difference is that of the pairs, with Student's
/// 95 % interval over the draws. Each draw has an encoder of its own and embeds the test texts with
/// it; with --tune off texts are embedded once, and the next run finds them in the cache.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fewshot benchmark --train pool.jsonl --test test.jsonl --shots 8 --seeds 10
  fewshot benchmark --sets sets/* --shots 1,8,64 --tune off --heads linear,prototype --json
  fewshot benchmark --sets trec6 --config base= --config last=--layers=last")]
pub struct Args {
    /// Labelled texts to draw from; several files make one set
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "sets")]
    train: Vec<PathBuf>,
    /// Labelled test texts
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "sets")]
    test: Vec<PathBuf>,
    /// Folders that hold train and test texts (train.jsonl and test.jsonl; .csv, .tsv, .json too):
    /// one set each, and their mean
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with_all = ["train", "test"])]
    sets: Vec<PathBuf>,
    /// Examples a label; a set with too few of some label leaves that number out
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "8")]
    shots: Vec<usize>,
    /// Number of draws
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// Heads to compare with the first of them [default: the one of --head]
    #[arg(long, value_name = "KIND,…", value_delimiter = ',')]
    heads: Vec<HeadKind>,
    /// A configuration to compare with the first one: a name and Training options as they are
    /// typed, such as 'last=--layers last --head linear'; may be given several times
    #[arg(long = "config", value_name = "NAME=OPTIONS", conflicts_with_all = ["heads", "Fit"])]
    configs: Vec<String>,
    /// Print one JSON document, each draw's figures included
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    caching: Caching,
    #[command(flatten)]
    fit: Fit,
}

pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let configs = configs::read(args, context.common.seed)?;
    let sets = sets::read(args)?;
    let encoder = context.encoder()?;
    let bench = Bench::new(&encoder, &configs, &args.caching, context)?;
    let mut rows = Vec::new();
    for set in &sets {
        rows.extend(bench.rows(set)?);
    }
    let report = Report::new(rows, &sets, &configs, args.seeds);
    if args.json {
        return output::print_json(&report.document(&bench, context.common.seed));
    }
    output::print(report.table().as_bytes())
}
