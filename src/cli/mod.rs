//! Parses the command line, runs a subcommand, turns its end into a message and an exit code.

mod benchmark;
mod cache;
mod classify;
mod context;
mod device;
mod embed;
mod evaluate;
mod failure;
mod interrupt;
mod label;
mod meta_train;
mod models;
mod options;
mod output;
mod policy;
mod predict;
mod progress;
mod set_files;
mod simulate;
mod stream;
mod tasks;
mod train;
mod unlabelled;
mod vector_file;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use context::Context;
use failure::Failure;
use options::Common;

/// Turns a handful of labelled sentences into a text classifier, on one machine, in seconds.
///
/// Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed,
/// 2 wrong usage, 130 interrupted.
#[derive(Parser)]
#[command(name = "fewshot", version, max_term_width = 100)]
#[command(
    after_help = "Try it:\n  fewshot classify --examples datasets/reviews/few.jsonl datasets/reviews/new.txt --format table"
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Classify(classify::Args),
    Train(train::Args),
    Predict(predict::Args),
    MetaTrain(meta_train::Args),
    Evaluate(evaluate::Args),
    Benchmark(benchmark::Args),
    Embed(embed::Args),
    Label(label::Args),
    Simulate(simulate::Args),
    Policy(policy::Args),
    Models(models::Args),
    Cache(cache::Args),
    /// Print a completion script for a shell.
    #[command(
        after_help = "Example:\n  fewshot completions bash > ~/.local/share/bash-completion/completions/fewshot"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    #[command(after_help = "Example:\n  fewshot man | man -l -")]
    Man,
}

/// Runs the command line.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let context = match Context::new(cli.common) {
        Ok(context) => context,
        Err(failure) => return failure.report(),
    };
    match execute(cli.command, &context) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn execute(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Classify(args) => classify::run(&args, context),
        Command::Train(args) => train::run(&args, context),
        Command::Predict(args) => predict::run(&args, context),
        Command::MetaTrain(args) => meta_train::run(&args, context),
        Command::Evaluate(args) => evaluate::run(&args, context),
        Command::Benchmark(args) => benchmark::run(&args, context),
        Command::Embed(args) => embed::run(&args, context),
        Command::Label(args) => label::run(&args, context),
        Command::Simulate(args) => simulate::run(&args, context),
        Command::Policy(args) => policy::run(&args, context),
        Command::Models(args) => models::run(&args, context),
        Command::Cache(args) => cache::run(&args, context),
        Command::Completions { shell } => output::print(&completions(shell)),
        Command::Man => output::print(&manual()?),
    }
}

fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "fewshot", &mut script);
    script
}

fn manual() -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
    rendered.map_err(|error| Failure::message(format!("cannot make the manual page: {error}")))?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
