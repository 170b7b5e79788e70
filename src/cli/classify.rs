//! `fewshot classify`: learn from examples and label texts, in one go.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fewshot::classifier::{FewShotClassifier, FitOptions};
use fewshot::data::{Dataset, fold};
use fewshot::encoder::{Encoder, TunedLayers};
use fewshot::suspects::Suspect;
use fewshot::tune::Tune;

use super::context::Context;
use super::failure::Failure;
use super::options::{Examples, Fit, Stream};
use super::progress::LearningBar;
use super::unlabelled::{self, Unlabelled};
use super::{output, predict, stream};

/// Learn from a few labelled examples and label texts with them.
///
/// Without --input and with a terminal, it asks for texts one by one.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fewshot classify --examples datasets/reviews/few.jsonl datasets/reviews/new.txt --format table
  fewshot classify --examples few.csv new.txt --explain 5 --output labelled.jsonl
  fewshot classify --prompt prompts/tickets.toml --input datasets/tickets/new.txt
  cat texts.txt | fewshot classify --examples few.csv --threshold 0.7 > labelled.jsonl")]
pub struct Args {
    #[command(flatten)]
    examples: Examples,
    #[command(flatten)]
    stream: Stream,
    #[command(flatten)]
    fit: Fit,
    #[command(flatten)]
    unlabelled: Unlabelled,
}

pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let names = args.examples.fields.names();
    stream::check(&args.stream, &names, &read_files(args))?;
    predict::check_names(&names)?;
    let mut texts = args.unlabelled.read(&names)?;
    let mut classifier = fit(&args.examples, &args.fit, context)?;
    if classifier.gains_from_texts() {
        texts = unlabelled::with_input(texts, &args.stream, &names)?;
    }
    args.unlabelled.learn(&mut classifier, &texts, context)?;
    predict::label_texts(&classifier, &args.stream, &names, context)
}

/// Every file that is read beside the input, and what it is.
fn read_files(args: &Args) -> Vec<(&str, &Path)> {
    let lists: [(&str, &[PathBuf]); 3] = [
        ("a file of examples", &args.examples.examples),
        ("a file of descriptions", &args.examples.prompt),
        (
            "the file of --unlabelled",
            args.unlabelled.unlabelled.as_slice(),
        ),
    ];
    let named = lists
        .into_iter()
        .flat_map(|(what, paths)| paths.iter().map(move |path| (what, path.as_path())));
    let start = args
        .fit
        .start
        .file()
        .map(|path| ("the file of --start", path));
    named.chain(start).collect()
}

/// Reads the examples, loads the encoder, fits.
pub fn fit(
    examples: &Examples,
    fit: &Fit,
    context: &Context,
) -> Result<FewShotClassifier, Failure> {
    let options = fit.options(context.common.seed, Some(examples))?;
    let dataset = examples.read()?;
    learn(context.encoder()?, &dataset, &options, context)
}

/// Fits a classifier, and says how that went.
pub fn learn(
    encoder: Arc<Encoder>,
    dataset: &Dataset,
    options: &FitOptions,
    context: &Context,
) -> Result<FewShotClassifier, Failure> {
    say_if_many(dataset.examples().len(), &options.tune, context);
    let mut bar = LearningBar::new(context.common.quiet);
    let classifier = FewShotClassifier::fit_watched(encoder, dataset, options, &mut |progress| {
        bar.fit(progress);
    })?;
    drop(bar);
    report_start(&classifier, context);
    report(&classifier, dataset.examples().len(), context);
    Ok(classifier)
}

/// Who has many examples waits for them to be embedded, and may expect them to be tuned on.
fn say_if_many(examples: usize, tune: &Tune, context: &Context) {
    if *tune == Tune::Auto && examples > fewshot::tune::FEW {
        context.note(|| {
            let examples = output::count(examples, "example");
            format!("{examples}: the encoder is used as it is, and reads them first, which takes a while; --tune N tunes it all the same")
        });
    }
}

fn report_start(classifier: &FewShotClassifier, context: &Context) {
    context.verbose(|| {
        let used = match (classifier.is_started(), classifier.is_tuned()) {
            (false, _) => "not used",
            (true, false) => "used as it is",
            (true, true) => "used and tuned further",
        };
        format!("what the encoder learned from other tasks is {used}")
    });
}

fn report(classifier: &FewShotClassifier, examples: usize, context: &Context) {
    let timing = classifier.timing();
    context.verbose(|| {
        let layers = classifier.tuned().filter(|_| !timing.tune.is_zero());
        format!(
            "{} of {}: {} tuned in {:.2} s, embedded in {:.2} s, {} head trained in {:.2} s",
            output::count(examples, "example"),
            output::count(classifier.labels().len(), "label"),
            output::count(layers.map_or(0, TunedLayers::count), "layer"),
            timing.tune.as_secs_f64(),
            timing.encode.as_secs_f64(),
            classifier.head_kind().name(),
            timing.head.as_secs_f64()
        )
    });
    report_suspects(classifier.suspects(), context);
    let long = classifier
        .notes()
        .iter()
        .filter(|note| note.windows > 1)
        .count();
    if long > 0 {
        context.note(|| {
            let long = output::count(long, "example");
            format!("{long} longer than the encoder takes at once: embedded in windows, averaged")
        });
    }
}

/// Doubtful labels that are named; whoever has more will look at the others too.
const SUSPECTS: usize = 3;

fn report_suspects(suspects: &[Suspect], context: &Context) {
    for Suspect {
        example,
        neighbours,
    } in suspects.iter().take(SUSPECTS)
    {
        let text = fold(&example.text, 60, 1).concat();
        output::warning(&format!(
            "the example \"{text}\" is labelled `{}`, but its nearest examples are all \
             `{neighbours}`; is the label right?",
            example.label
        ));
    }
    if suspects.len() > SUSPECTS {
        let more = output::count(suspects.len() - SUSPECTS, "more example");
        context.note(|| format!("{more} with a label that the nearest examples contradict"));
    }
}
