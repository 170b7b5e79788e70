//! `fewshot train`: learn from examples and save the classifier.

use std::path::PathBuf;

use fewshot::saved::SaveOptions;

use super::classify;
use super::context::Context;
use super::failure::Failure;
use super::interrupt::Polite;
use super::options::{Examples, Fit};

/// Learn from a few labelled examples and save the classifier.
#[derive(clap::Args)]
#[command(after_help = "Example:
  fewshot train --examples datasets/tickets/few.jsonl --output tickets
  fewshot predict --classifier tickets --input datasets/tickets/new.txt")]
pub struct Args {
    #[command(flatten)]
    examples: Examples,
    /// Folder to write; it appears whole or not at all
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Replace the classifier that is in the folder
    #[arg(long)]
    overwrite: bool,
    /// Leave the examples out of the folder
    #[arg(long)]
    no_examples: bool,
    #[command(flatten)]
    fit: Fit,
}

pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let options = SaveOptions {
        examples: !args.no_examples,
        overwrite: args.overwrite,
    };
    // Before the work, so that nobody waits for a refusal.
    fewshot::saved::check_free(&args.output, args.overwrite)?;
    let classifier = classify::fit(&args.examples, &args.fit, context)?;
    // A classifier that is half replaced would be lost.
    let _polite = Polite::new();
    classifier.save(&args.output, options)?;
    context.note(|| {
        let accuracy = match classifier.vectors().calibration().held_out_accuracy {
            Some(accuracy) => format!("; accuracy on held-out examples {:.0} %", 100.0 * accuracy),
            None => String::new(),
        };
        format!("saved to {}{accuracy}", args.output.display())
    });
    Ok(())
}
