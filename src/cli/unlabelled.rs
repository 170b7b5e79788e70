//! Learning from texts without labels: those that are to be classified, or those of `--unlabelled`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

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
    /// .json, also .gz and .zst
    #[arg(long, value_name = "FILE", conflicts_with = "inductive")]
    pub unlabelled: Option<PathBuf>,
}

impl Unlabelled {
    /// The texts of `--unlabelled`, none without it.
    pub fn read(&self, names: &FieldNames) -> Result<Vec<String>, Failure> {
        let Some(path) = &self.unlabelled else {
            return Ok(Vec::new());
        };
        let mut texts = Vec::new();
        for record in Records::open(path, None, names)? {
            texts.push(record?.text);
            // Enough, unless many of them are equal.
            if texts.len() == 8 * UNLABELLED {
                break;
            }
        }
        Ok(first_texts(texts))
    }

    /// The same, and the texts that are to be classified if they are in a file: standard input is
    /// labelled as it comes.
    pub fn read_with(&self, stream: &Stream, names: &FieldNames) -> Result<Vec<String>, Failure> {
        let mut texts = self.read(names)?;
        let source = stream.source().map(Path::new);
        if let Some(input) = source.filter(|input| input.is_file()) {
            let records = Records::open(input, stream.input_format, names)?;
            // What cannot be read is said when it is to be classified.
            let read = records.map_while(Result::ok).take(8 * UNLABELLED);
            texts.extend(read.map(|record| record.text));
        }
        Ok(first_texts(texts))
    }
}

/// As many distinct texts as are worth learning from, blank ones left out.
pub fn first_texts(texts: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    let wanted = |text: &String| !text.trim().is_empty() && seen.insert(text.clone());
    texts.into_iter().filter(wanted).take(UNLABELLED).collect()
}

/// Lets a classifier learn from the texts, if it can.
pub fn learn(
    classifier: &mut FewShotClassifier,
    texts: &[String],
    context: &Context,
) -> Result<(), Failure> {
    if !texts.is_empty() && classifier.adapt(texts)? {
        context.verbose(|| {
            let texts = output::count(texts.len(), "text");
            format!("learned from {texts} without labels too")
        });
    }
    Ok(())
}
