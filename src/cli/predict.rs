//! `fewshot predict`: label texts with a saved classifier; also the output side of `classify`.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fewshot::classifier::{FewShotClassifier, Predictions};
use fewshot::data::{FieldNames, Record, neighbour_line, output_row, visible};
use fewshot::encoder::{Encoder, EncoderIdentity};
use fewshot::explain::{Explained, Explainer, Neighbour};
use fewshot::hub::{HubError, HubOptions};
use fewshot::saved::SavedClassifier;
use fewshot::threshold::Abstention;
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
  fewshot predict --classifier tickets datasets/tickets/new.txt --format table --explain
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
    let own = std::fs::read_dir(&args.classifier)
        .into_iter()
        .flatten()
        .flatten();
    let own: Vec<PathBuf> = own.map(|entry| entry.path()).collect();
    let own: Vec<(&str, &Path)> = own
        .iter()
        .map(|path| ("a file of the classifier", path.as_path()))
        .collect();
    stream::check(&args.stream, &names, &own)?;
    check_names(&names)?;
    let classifier = load(&args.classifier, context)?;
    label_texts(&classifier, &args.stream, &names, context)
}

/// What an answer may hold; fields of these names in the input are left out, so that what an earlier answer said
/// is not taken for this one's.
const RESULTS: [&str; 5] = [
    "label",
    "probability",
    "probabilities",
    "abstained",
    "neighbours",
];

/// The text would be replaced by a part of the answer.
pub fn check_names(names: &FieldNames) -> Result<(), Failure> {
    if !RESULTS.contains(&names.text.as_str()) {
        return Ok(());
    }
    Err(Failure::usage(
        &format!(
            "--text-field {}: a part of the answer has this name",
            names.text
        ),
        "give the field of the texts another name in the file",
    ))
}

/// Loads a classifier with the encoder that it was trained with, or the one of `--model`.
pub fn load(dir: &Path, context: &Context) -> Result<FewShotClassifier, Failure> {
    let saved = SavedClassifier::read(dir)?;
    let encoder = encoder_of(&saved, context)?;
    Ok(saved.with_encoder(encoder)?)
}

/// The encoder that is named, else that of the classifier.
pub fn encoder_of(saved: &SavedClassifier, context: &Context) -> Result<Arc<Encoder>, Failure> {
    match &context.common.model {
        Some(model) => context.encoder_of(model, &context.hub),
        None => own_encoder(saved.encoder(), context),
    }
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
    let mut labeller = Labeller::new(classifier, args)?;
    if args.is_dialogue() {
        return labeller.ask(context);
    }
    let (mut blank, mut replaced) = (0, BTreeSet::new());
    let labels = classifier.labels().names().iter();
    // As a CSV has them.
    let columns = labels.map(|label| format!("probabilities.{label}"));
    let results: Vec<String> = RESULTS
        .map(str::to_owned)
        .into_iter()
        .chain(columns)
        .collect();
    let most = classifier.texts_at_once();
    let result = stream::run(args, names, context, most, |mut records| {
        blank += records.iter().filter(|record| is_blank(record)).count();
        for fields in records.iter_mut().map(|record| &mut record.fields) {
            replaced.extend(
                results
                    .iter()
                    .filter(|name| fields.shift_remove(*name).is_some()),
            );
        }
        labeller.rows(records, names)
    });
    for name in replaced {
        context.note(|| {
            format!("the field `{name}` of the texts is left out: the answer has one of this name")
        });
    }
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

/// A classifier and what its answers are to hold.
struct Labeller<'c> {
    classifier: &'c FewShotClassifier,
    abstention: Option<Abstention>,
    /// What finds similar examples, and how many of them.
    explainer: Option<(Explainer<'c>, usize)>,
}

impl<'c> Labeller<'c> {
    fn new(classifier: &'c FewShotClassifier, args: &Stream) -> Result<Self, Failure> {
        let explainer = match args.explain {
            Some(count) => Some((Explainer::new(classifier)?, count)),
            None => None,
        };
        Ok(Self {
            classifier,
            abstention: args.threshold.map(Abstention::new),
            explainer,
        })
    }

    /// Predictions, and neighbours if they were asked for.
    fn answers(&self, texts: &[&str]) -> Result<(Predictions, Option<Nearest<'c>>), Failure> {
        let Some((explainer, count)) = &self.explainer else {
            return Ok((self.classifier.predict_proba(texts)?, None));
        };
        let Explained {
            predictions,
            neighbours,
        } = explainer.predict_proba(texts, *count)?;
        Ok((predictions, Some(neighbours)))
    }

    /// The probability below which the next answer is no label.
    fn threshold(&mut self, answer: &[f32]) -> Option<f32> {
        let best = answer.iter().copied().fold(0.0, f32::max);
        let abstention = self.abstention.as_mut();
        abstention.map(|abstention| abstention.least(best))
    }

    fn rows(&mut self, records: Vec<Record>, names: &FieldNames) -> Result<Rows, Failure> {
        let texts: Vec<&str> = records.iter().map(|record| record.text.as_str()).collect();
        let (predictions, neighbours) = self.answers(&texts)?;
        let result = |(at, record): (usize, &Record)| {
            let row = predictions.probabilities.row(at);
            let blank = is_blank(record);
            let threshold = match (blank, &self.abstention) {
                // No text is sure enough to get a label and be blank.
                (true, Some(_)) => Some(f32::INFINITY),
                (true, None) => None,
                (false, _) => self.threshold(row),
            };
            let mut result = decide(self.classifier, row, blank, threshold);
            if let Some(neighbours) = &neighbours {
                // Nothing explains an answer that was not given.
                let shown = neighbours[at].iter().filter(|_| !blank);
                let shown: Vec<Value> = shown.map(neighbour_value).collect();
                result.insert("neighbours".to_owned(), shown.into());
            }
            result
        };
        let results: Vec<Map<String, Value>> = records.iter().enumerate().map(result).collect();
        let rows = records
            .into_iter()
            .zip(results)
            .map(|(record, row)| output_row(record, names, row));
        Ok(Rows {
            rows: rows.collect(),
            notes: predictions.notes,
        })
    }
}

/// The neighbours of each text.
type Nearest<'c> = Vec<Vec<Neighbour<'c>>>;

fn neighbour_value(neighbour: &Neighbour) -> Value {
    let example = neighbour.example;
    json!({
        "text": example.text,
        "label": example.label,
        "similarity": rounded(neighbour.similarity),
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
    // With --threshold in every row, so that all rows have the same columns.
    if threshold.is_some() {
        result.insert("abstained".to_owned(), abstained.into());
    }
    result
}

/// Four digits: more than a few examples can tell.
fn rounded(value: f32) -> Value {
    json!((f64::from(value) * 1e4).round() / 1e4)
}

impl Labeller<'_> {
    /// Asks for texts on the terminal and answers each.
    fn ask(&mut self, context: &Context) -> Result<(), Failure> {
        let names = self.classifier.labels().names();
        let labels: Vec<_> = names.iter().map(|name| visible(name)).collect();
        context.note(|| {
            let labels = labels.join(", ");
            format!("labels: {labels}; type a text and Enter, Ctrl-D to end")
        });
        let mut lines = std::io::stdin().lock().lines();
        loop {
            prompt();
            let Some(line) = lines.next() else {
                return output::print(b"\n");
            };
            let text = line
                .map_err(|error| Failure::message(format!("cannot read the terminal: {error}")))?;
            if interrupt::asked() {
                return Ok(());
            }
            if !text.trim().is_empty() {
                self.answer(&text)?;
            }
        }
    }

    fn answer(&mut self, text: &str) -> Result<(), Failure> {
        let (predictions, neighbours) = self.answers(&[text])?;
        let threshold = self.threshold(predictions.probabilities.row(0));
        let answer = self.answer_line(predictions.probabilities.row(0), threshold);
        let why: Vec<String> = neighbours
            .iter()
            .flatten()
            .flatten()
            .map(shown_neighbour)
            .collect();
        output::print(format!("{answer}\n{}", why.concat()).as_bytes())
    }

    fn answer_line(&self, row: &[f32], threshold: Option<f32>) -> String {
        let names = self.classifier.labels().names().iter();
        let mut ranked: Vec<(&String, f32)> = names.zip(row.iter().copied()).collect();
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
        format!("{best}   ({})", others.join(", "))
    }
}

fn shown_neighbour(neighbour: &Neighbour) -> String {
    let Neighbour {
        example,
        similarity,
    } = neighbour;
    let similarity = f64::from(*similarity);
    neighbour_line(similarity, &example.label, &example.text, output::width()) + "\n"
}

fn prompt() {
    let mut err = std::io::stderr();
    // Nothing can be done if standard error is gone.
    let _ = write!(err, "> ").and_then(|()| err.flush());
}
