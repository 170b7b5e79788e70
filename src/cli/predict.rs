//! `fewshot predict`: label texts with a saved classifier; also the output side of `classify`.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fewshot::classifier::FewShotClassifier;
use fewshot::data::{FieldNames, Record, output_row, visible};
use fewshot::encoder::{Encoder, EncoderIdentity};
use fewshot::hub::{HubError, HubOptions};
use fewshot::saved::SavedClassifier;
use serde_json::{Map, Value, json};

use super::context::Context;
use super::failure::Failure;
use super::options::{Fields, Stream};
use super::stream::{self, Rows};
use super::{interrupt, output};

/// Label texts with a classifier that `fewshot train` saved.
///
/// Without --input and with a terminal, it asks for texts one by one.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fewshot predict --classifier tickets --input datasets/tickets/new.txt --format csv
  zcat texts.jsonl.gz | fewshot predict --classifier tickets -")]
pub struct Args {
    /// Folder of the classifier
    #[arg(long, value_name = "DIR")]
    classifier: PathBuf,
    #[command(flatten)]
    stream: Stream,
    #[command(flatten)]
    fields: Fields,
}

pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let names = args.fields.names();
    stream::check(&args.stream, &names, &[])?;
    let classifier = load(&args.classifier, context)?;
    label_texts(&classifier, &args.stream, &names, context)
}

/// Loads a classifier with the encoder that it was trained with, or the one of `--model`.
pub fn load(dir: &Path, context: &Context) -> Result<FewShotClassifier, Failure> {
    with_encoder(SavedClassifier::read(dir)?, context)
}

/// The same for one that was read already.
pub fn with_encoder(
    saved: SavedClassifier,
    context: &Context,
) -> Result<FewShotClassifier, Failure> {
    let encoder = match &context.common.model {
        Some(model) => context.encoder_of(model, &context.hub)?,
        None => own_encoder(saved.encoder(), context)?,
    };
    Ok(saved.with_encoder(encoder)?)
}

/// The encoder that a classifier was trained with.
fn own_encoder(identity: &EncoderIdentity, context: &Context) -> Result<Arc<Encoder>, Failure> {
    let revision = context.hub.revision.clone().or(identity.revision.clone());
    let hub = HubOptions {
        revision,
        ..context.hub.clone()
    };
    context
        .encoder_of(&identity.id, &hub)
        .map_err(|failure| match failure {
            Failure::Library(error) => moved_away(*error),
            other => other,
        })
}

/// A folder that is gone can only be given anew.
fn moved_away(error: fewshot::Error) -> Failure {
    match error {
        fewshot::Error::Hub(HubError::NoFolder { path }) => Failure::Command {
            message: format!("the classifier's encoder is not in {}", path.display()),
            hint: Some("give the folder that it is in now with --model".to_owned()),
        },
        other => other.into(),
    }
}

/// Labels a stream of texts, or asks for them one by one on a terminal.
pub fn label_texts(
    classifier: &FewShotClassifier,
    args: &Stream,
    names: &FieldNames,
    context: &Context,
) -> Result<(), Failure> {
    if args.is_dialogue() {
        return ask(classifier, args.threshold);
    }
    let mut blank = 0;
    let result = stream::run(args, names, context, |records| {
        blank += records.iter().filter(|record| is_blank(record)).count();
        rows(classifier, records, names, args.threshold)
    });
    if blank > 0 {
        output::warning(&format!(
            "{} blank: no label was given",
            output::count(blank, "text")
        ));
    }
    result
}

fn is_blank(record: &Record) -> bool {
    record.text.trim().is_empty()
}

fn rows(
    classifier: &FewShotClassifier,
    records: Vec<Record>,
    names: &FieldNames,
    threshold: Option<f32>,
) -> Result<Rows, Failure> {
    let texts: Vec<&str> = records.iter().map(|record| record.text.as_str()).collect();
    let predictions = classifier.predict_proba(&texts)?;
    let results: Vec<Map<String, Value>> = records
        .iter()
        .zip(predictions.probabilities.iter_rows())
        .map(|(record, row)| decide(classifier, row, is_blank(record), threshold))
        .collect();
    let rows = records
        .into_iter()
        .zip(results)
        .map(|(record, row)| output_row(record, names, row));
    Ok(Rows {
        rows: rows.collect(),
        notes: predictions.notes,
    })
}

/// The label, its probability and all probabilities; no label below the threshold or for a blank
/// text.
fn decide(
    classifier: &FewShotClassifier,
    row: &[f32],
    blank: bool,
    threshold: Option<f32>,
) -> Map<String, Value> {
    let names = classifier.labels().names();
    let best = (1..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best });
    let abstained = blank || threshold.is_some_and(|threshold| row[best] < threshold);
    let probabilities: Map<String, Value> = names
        .iter()
        .zip(row)
        .map(|(name, &value)| (name.clone(), rounded(value)))
        .collect();
    let mut result = Map::new();
    let label = if abstained {
        Value::Null
    } else {
        json!(names[best])
    };
    result.insert("label".to_owned(), label);
    result.insert("probability".to_owned(), rounded(row[best]));
    result.insert("probabilities".to_owned(), probabilities.into());
    if abstained || threshold.is_some() {
        result.insert("abstained".to_owned(), abstained.into());
    }
    result
}

/// Four digits: more than the calibration of a few examples can tell.
fn rounded(probability: f32) -> Value {
    json!((f64::from(probability) * 1e4).round() / 1e4)
}

/// Asks for texts on the terminal and answers each.
fn ask(classifier: &FewShotClassifier, threshold: Option<f32>) -> Result<(), Failure> {
    let labels: Vec<String> = classifier
        .labels()
        .names()
        .iter()
        .map(|n| visible(n).into_owned())
        .collect();
    output::note(&format!(
        "labels: {}; type a text and Enter, Ctrl-D to end",
        labels.join(", ")
    ));
    let mut lines = std::io::stdin().lock().lines();
    loop {
        prompt();
        let Some(line) = lines.next() else {
            return output::print(b"\n");
        };
        let text =
            line.map_err(|error| Failure::message(format!("cannot read the terminal: {error}")))?;
        if interrupt::asked() {
            return Ok(());
        }
        if !text.trim().is_empty() {
            answer(classifier, &text, threshold)?;
        }
    }
}

fn prompt() {
    let mut err = std::io::stderr();
    // Nothing can be done if standard error is gone.
    let _ = write!(err, "> ").and_then(|()| err.flush());
}

fn answer(
    classifier: &FewShotClassifier,
    text: &str,
    threshold: Option<f32>,
) -> Result<(), Failure> {
    let predictions = classifier.predict_proba(&[text])?;
    let row = predictions.probabilities.row(0);
    let mut ranked: Vec<(&String, f32)> = classifier
        .labels()
        .names()
        .iter()
        .zip(row.iter().copied())
        .collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    let say =
        |(label, probability): &(&String, f32)| format!("{} {probability:.2}", visible(label));
    let sure = threshold.is_none_or(|threshold| ranked[0].1 >= threshold);
    let best = if sure {
        say(&ranked[0])
    } else {
        format!("no label (best: {})", say(&ranked[0]))
    };
    let others: Vec<String> = ranked[1..].iter().take(4).map(say).collect();
    output::print(format!("{best}   ({})\n", others.join(", ")).as_bytes())
}
