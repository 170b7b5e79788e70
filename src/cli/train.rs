//! `fewshot train`: learn from examples and save the classifier.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use fewshot::FewShotClassifier;
use fewshot::data::{Dataset, Example, Warning, visible};
use fewshot::saved::{SaveOptions, SavedClassifier};

use super::classify;
use super::context::Context;
use super::failure::Failure;
use super::interrupt::Polite;
use super::options::{Examples, Fit};
use super::unlabelled::Unlabelled;
use super::{output, predict, stream};

/// Learn from a few labelled examples and save the classifier.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fewshot train --examples datasets/tickets/few.jsonl --output tickets
  fewshot train --continue tickets --examples more.jsonl
  fewshot predict --classifier tickets --input datasets/tickets/new.txt")]
pub struct Args {
    #[command(flatten)]
    examples: Examples,
    /// Folder to write; it appears whole or not at all
    #[arg(short, long, value_name = "DIR", required_unless_present = "from")]
    output: Option<PathBuf>,
    /// Learn the examples of a saved classifier and --examples together, new labels among them, with its
    /// options; it is replaced unless --output names another folder
    #[arg(long = "continue", id = "from", value_name = "DIR", requires = "examples", conflicts_with_all = ["prompt", "Fit"])]
    from: Option<PathBuf>,
    /// Replace the classifier that is in the folder
    #[arg(long)]
    overwrite: bool,
    /// Leave the examples out of the folder
    #[arg(long)]
    no_examples: bool,
    #[command(flatten)]
    fit: Fit,
    #[command(flatten)]
    unlabelled: Unlabelled,
}

pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let (output, overwrite) = match (&args.output, &args.from) {
        (Some(output), from) => {
            if args.no_examples
                && from
                    .as_ref()
                    .is_some_and(|from| same_file::is_same_file(from, output).unwrap_or(false))
            {
                return Err(examples_lost());
            }
            (output, args.overwrite)
        }
        (None, Some(_)) if args.no_examples => return Err(examples_lost()),
        (None, Some(from)) => (from, true),
        (None, None) => return Err(Failure::usage("no --output", "name a folder to write")),
    };
    let options = SaveOptions {
        examples: !args.no_examples,
        overwrite,
    };
    // Before the work, so that nobody waits for a refusal.
    fewshot::saved::check_free(output, overwrite)?;
    check_parent(output)?;
    let texts = args.unlabelled.read(&args.examples.fields.names())?;
    let mut classifier = match &args.from {
        Some(from) => continued(from, &args.examples, context)?,
        None => classify::fit(&args.examples, &args.fit, context)?,
    };
    args.unlabelled.learn(&mut classifier, &texts, context)?;
    // A classifier that is half replaced would be lost.
    let _polite = Polite::new();
    classifier.save(output, options)?;
    context.note(|| format!("saved to {}{}", output.display(), accuracy(&classifier)));
    Ok(())
}

/// The folder goes into one that is there, or will be made.
fn check_parent(output: &Path) -> Result<(), Failure> {
    let here = Path::new(".");
    let mut parents = output.ancestors().skip(1).chain([here]);
    let there = parents.find(|parent| parent.is_dir());
    stream::check_writable(there.unwrap_or(here), output)
}

/// Replacing a classifier without its examples would lose what a person labelled.
fn examples_lost() -> Failure {
    Failure::usage(
        "--continue with --no-examples would lose the classifier's examples",
        "name another folder with --output",
    )
}

fn accuracy(classifier: &FewShotClassifier) -> String {
    let before = match classifier.is_tuned() {
        true => " before tuning",
        false => "",
    };
    let held_out = classifier.vectors().calibration().held_out_accuracy;
    held_out.map_or_else(String::new, |accuracy| {
        let percent = 100.0 * accuracy;
        format!("; accuracy on held-out examples{before} {percent:.0} %")
    })
}

fn continued(
    from: &Path,
    examples: &Examples,
    context: &Context,
) -> Result<FewShotClassifier, Failure> {
    let saved = SavedClassifier::read(from)?;
    let dataset = all_examples(&saved, examples)?;
    let options = saved.options();
    if let Some(start) = options.start.file().filter(|start| !start.exists()) {
        return Err(start_gone(from, start));
    }
    let encoder = predict::encoder_of(&saved, context)?;
    saved.check_encoder(&encoder)?;
    classify::learn(encoder, &dataset, options, context)
}

fn start_gone(classifier: &Path, start: &Path) -> Failure {
    let (classifier, start) = (classifier.display(), start.display());
    Failure::Command {
        message: format!("the start {start}, with which {classifier} was trained, is not there"),
        hint: Some(format!(
            "put it back, or train anew: fewshot train --examples {classifier}/examples.jsonl --examples FILE --output DIR"
        )),
    }
}

/// The classifier's examples and the new ones; what it knows already is not learned twice.
fn all_examples(saved: &SavedClassifier, examples: &Examples) -> Result<Dataset, Failure> {
    let mut all = saved.examples()?.to_vec();
    let known: HashMap<String, String> = all
        .iter()
        .map(|example| (example.text.trim().to_owned(), example.label.clone()))
        .collect();
    let (new, _) = examples.read_any()?;
    for example in new.examples() {
        match known.get(example.text.trim()) {
            Some(label) if *label == example.label => {}
            Some(label) => return Err(contradiction(example, label)),
            None => all.push(example.clone()),
        }
    }
    let (dataset, warnings) = Dataset::from_examples(all)?;
    for warning in &warnings {
        match warning {
            Warning::LabelsDifferByCase { first, second } => return Err(collision(first, second)),
            other => output::warning(&other.to_string()),
        }
    }
    Ok(dataset)
}

fn contradiction(example: &Example, known: &str) -> Failure {
    let text: String = example.text.trim().chars().take(40).collect();
    let (text, label, known) = (visible(&text), visible(&example.label), visible(known));
    Failure::Command {
        message: format!("the text `{text}` is labelled `{label}`, the classifier has `{known}`"),
        hint: Some("correct the label, or train anew with all examples".to_owned()),
    }
}

fn collision(first: &str, second: &str) -> Failure {
    let (first, second) = (visible(first), visible(second));
    Failure::Command {
        message: format!("labels `{first}` and `{second}` differ in capitals only"),
        hint: Some("write the label as the classifier has it".to_owned()),
    }
}
