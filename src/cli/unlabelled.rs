//! Learning from texts without labels: those that are to be classified, or those of `--unlabelled`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use fewshot::FewShotClassifier;
use fewshot::classifier::UNLABELLED;
use fewshot::data::{FieldNames, Records};

use super::context::Context;
use super::failure::Failure;
use super::options::Stream;
use super::output;

/// Texts that nobody labelled.
#[derive(Args)]
#[command(next_help_heading = "Training")]
pub struct Unlabelled {
    /// Learn from the first texts of this file too, which nobody labelled: .jsonl, .csv, .tsv, .txt or
    /// .json, also .gz and .zst. Helps unless the encoder is tuned without a start
    #[arg(long, value_name = "FILE", conflicts_with = "inductive")]
    pub unlabelled: Option<PathBuf>,
}

/// Bytes of text that are learned from at most: nobody should wait long for the first answer.
const BYTES: usize = 256 << 10;
/// Texts that are looked at for distinct ones.
const LOOKED_AT: usize = 8 * UNLABELLED;

impl Unlabelled {
    /// The texts of `--unlabelled`, none without it.
    pub fn read(&self, names: &FieldNames) -> Result<Vec<String>, Failure> {
        let Some(path) = &self.unlabelled else {
            return Ok(Vec::new());
        };
        let mut failed = None;
        let records = Records::open(path, None, names)?
            .map_while(|record| record.map_err(|error| failed = Some(error)).ok());
        let texts = first_texts(records.map(|record| record.text));
        failed.map_or(Ok(texts), |error| Err(error.into()))
    }
}

/// `texts`, and those that are to be classified if they are in a file: standard input is labelled as it
/// comes.
pub fn with_input(
    texts: Vec<String>,
    stream: &Stream,
    names: &FieldNames,
) -> Result<Vec<String>, Failure> {
    let input = stream.source().map(Path::new);
    let Some(input) = input.filter(|input| input.is_file()) else {
        return Ok(texts);
    };
    let records = Records::open(input, stream.input_format, names)?;
    // What cannot be read is said when it is to be classified.
    let of_input = records.map_while(Result::ok).map(|record| record.text);
    Ok(first_texts(texts.into_iter().chain(of_input)))
}

/// As many distinct texts as are worth learning from, blank ones left out; of long ones fewer.
pub fn first_texts(texts: impl Iterator<Item = String>) -> Vec<String> {
    let (mut seen, mut bytes) = (HashSet::new(), 0);
    texts
        .take(LOOKED_AT)
        .filter(|text| !text.trim().is_empty() && seen.insert(text.clone()))
        .take_while(|text| {
            bytes += text.len();
            bytes <= BYTES
        })
        .take(UNLABELLED)
        .collect()
}

impl Unlabelled {
    /// Lets a classifier learn from the texts, those of `--unlabelled` among them, and says so if they are in vain.
    pub fn learn(
        &self,
        classifier: &mut FewShotClassifier,
        texts: &[String],
        context: &Context,
    ) -> Result<(), Failure> {
        if !learn(classifier, texts, context)? && self.unlabelled.is_some() {
            context.note(|| {
                "--unlabelled changed nothing: it takes 50 texts, four examples a label, a linear head or an mlp that starts as one, and no --inductive".to_owned()
            });
        }
        Ok(())
    }
}

/// Lets a classifier learn from the texts, if it can; says whether it did.
pub fn learn(
    classifier: &mut FewShotClassifier,
    texts: &[String],
    context: &Context,
) -> Result<bool, Failure> {
    let start = Instant::now();
    let learned = classifier.adapt(texts)?;
    if learned {
        context.verbose(|| {
            let texts = output::count(texts.len(), "text");
            let seconds = start.elapsed().as_secs_f64();
            format!("{texts} without labels embedded and learned from in {seconds:.2} s")
        });
    }
    Ok(learned)
}
