//! `fewshot evaluate`: one fit, one report.

use std::collections::HashSet;
use std::fmt::Write;
use std::path::PathBuf;

use fewshot::classifier::FewShotClassifier;
use fewshot::data::{Dataset, Example, Warning, visible};
use fewshot::metrics::{Estimate, Report};
use serde_json::json;

use super::context::Context;
use super::failure::Failure;
use super::options::{Examples, Fit};
use super::unlabelled::{self, first_texts};
use super::{classify, output, predict};

/// Learn from a few examples, or load a classifier, and report how well it labels a test set.
///
/// Learned from --examples, it also learns from the test texts, 50 or more, without their labels, as `fewshot
/// classify` does with the texts that it is given, unless --inductive is there or the encoder is tuned without a start.
/// A loaded classifier does not.
///
/// Every figure comes with a 95 % bootstrap interval over the test texts; where a figure is 0 or 100 %, Wilson's is in
/// its place, but not for MCC.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fewshot evaluate --examples datasets/tickets/few.jsonl --test datasets/tickets/test.jsonl
  fewshot evaluate --classifier tickets --test datasets/tickets/test.jsonl --json")]
pub struct Args {
    #[command(flatten)]
    examples: Examples,
    /// Folder of a saved classifier, in place of --examples
    #[arg(long, value_name = "DIR", conflicts_with_all = ["examples", "prompt", "Fit"])]
    classifier: Option<PathBuf>,
    /// Labelled test texts
    #[arg(long, value_name = "FILE", required = true)]
    test: Vec<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    fit: Fit,
}

pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    if args.classifier.is_none() {
        args.examples.check_given("--classifier")?;
    }
    let (test, warnings) = Dataset::read(args.test.iter(), None, &args.examples.fields.names())?;
    // In a test set one text of a label is enough.
    let odd = |warning: &&Warning| !matches!(warning, Warning::OneExample { .. });
    warnings
        .iter()
        .filter(odd)
        .for_each(|warning| output::warning(&warning.to_string()));
    let mut classifier = match &args.classifier {
        Some(dir) => predict::load(dir, context)?,
        None => classify::fit(&args.examples, &args.fit, context)?,
    };
    // As `classify` does with the texts that it is given.
    if classifier.gains_from_texts() {
        let texts = first_texts(test.examples().iter().map(|e| e.text.clone()));
        unlabelled::learn(&mut classifier, &texts, context)?;
    }
    say_if_seen(classifier.examples(), &test, |seen| {
        format!("{seen} are among the examples: the figures are too high for new texts")
    });
    let report = evaluate(&classifier, &test, context)?;
    if args.json {
        return output::print_json(&document(&classifier, &report, context)?);
    }
    output::print(table(&classifier, &report).as_bytes())
}

/// A test on texts that were learned from tells nothing.
pub fn say_if_seen(examples: &[Example], test: &Dataset, say: impl FnOnce(String) -> String) {
    let known: HashSet<&str> = examples.iter().map(|example| example.text.trim()).collect();
    let texts = test.examples();
    let seen = texts
        .iter()
        .filter(|text| known.contains(text.text.trim()))
        .count();
    if seen > 0 {
        let all = output::count(texts.len(), "test text");
        output::warning(&say(format!("{seen} of {all}")));
    }
}

fn evaluate(
    classifier: &FewShotClassifier,
    test: &Dataset,
    context: &Context,
) -> Result<Report, Failure> {
    let texts: Vec<&str> = test.examples().iter().map(|e| e.text.as_str()).collect();
    let predictions = classifier.predict_proba(&texts)?;
    let known = classifier.labels();
    let mut names = known.names().to_vec();
    let unknown = test
        .labels()
        .names()
        .iter()
        .filter(|name| known.class(name).is_none());
    names.extend(unknown.cloned());
    for name in &names[known.len()..] {
        output::warning(&format!(
            "the test set has label `{name}`, which no example has: its texts count as errors"
        ));
    }
    let place = |label: &String| names.iter().position(|name| name == label);
    let truth: Vec<usize> = test
        .examples()
        .iter()
        .filter_map(|e| place(&e.label))
        .collect();
    Ok(Report::new(
        &predictions.probabilities,
        &truth,
        &names,
        context.common.seed,
    ))
}

fn document(
    classifier: &FewShotClassifier,
    report: &Report,
    context: &Context,
) -> Result<serde_json::Value, Failure> {
    let report = serde_json::to_value(report)
        .map_err(|error| Failure::message(format!("cannot write the report: {error}")))?;
    Ok(json!({
        "settings": {
            "encoder": classifier.encoder(),
            "layers": classifier.layers(),
            "head": classifier.head_kind(),
            "seed": context.common.seed,
            "examples": classifier.example_count(),
        },
        "report": report,
    }))
}

fn table(classifier: &FewShotClassifier, report: &Report) -> String {
    let mut out = String::new();
    let line = |name: &str, estimate: &Estimate| format!("{name:<20} {}\n", percent(estimate));
    out += &format!(
        "{:<20} {:>6}   95 % interval\n",
        output::count(report.count, "text"),
        ""
    );
    out += &line("accuracy", &report.accuracy);
    out += &line("macro-F1", &report.macro_f1);
    out += &format!("{:<20} {}\n", "MCC", plain(&report.mcc));
    out += &line("calibration error", &report.calibration_error);
    out += "\n";
    out += &label_table(report);
    out += "\n";
    out += &confusion_table(report);
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "\nencoder {} in {}, layers {}, head {}",
        visible(&classifier.encoder().id),
        classifier.encoder().precision.name(),
        classifier.layers(),
        classifier.head_kind().name()
    );
    out
}

fn percent(estimate: &Estimate) -> String {
    let Estimate { value, low, high } = estimate;
    format!(
        "{:>5.1} %  ({:.1} to {:.1})",
        100.0 * value,
        100.0 * low,
        100.0 * high
    )
}

fn plain(estimate: &Estimate) -> String {
    let Estimate { value, low, high } = estimate;
    format!("{value:>5.3}    ({low:.3} to {high:.3})")
}

/// Columns that a label takes in the tables.
fn label_width(report: &Report) -> usize {
    let longest = report
        .labels
        .iter()
        .map(|label| label.label.chars().count())
        .max();
    longest.unwrap_or(0).clamp(5, 24)
}

fn short(label: &str, width: usize) -> String {
    let label = visible(label).to_string();
    if label.chars().count() <= width {
        return format!("{label:<width$}");
    }
    let begin: String = label.chars().take(width - 1).collect();
    format!("{begin}…")
}

fn label_table(report: &Report) -> String {
    let width = label_width(report);
    let column = |name: &str| format!("{name:<26}");
    let mut out = format!(
        "{}  texts  {}{}F1\n",
        short("label", width),
        column("precision"),
        column("recall")
    );
    for label in &report.labels {
        out += &format!(
            "{}  {:>5}  {:<26}{:<26}{}\n",
            short(&label.label, width),
            label.count,
            percent(&label.precision),
            percent(&label.recall),
            percent(&label.f1)
        );
    }
    out
}

fn confusion_table(report: &Report) -> String {
    let width = label_width(report);
    let mut out = String::from("confusion: a row a true label, a column a given one\n");
    let cells = |cells: Vec<String>| {
        cells
            .iter()
            .map(|cell| format!(" {cell:>8}"))
            .collect::<String>()
    };
    let heads = report
        .labels
        .iter()
        .map(|label| short(&label.label, 8).trim_end().to_owned());
    out += &format!("{}{}\n", short("", width), cells(heads.collect()));
    for (label, row) in report.labels.iter().zip(&report.confusion) {
        let counts = row.iter().map(usize::to_string).collect();
        out += &format!("{}{}\n", short(&label.label, width), cells(counts));
    }
    out
}
