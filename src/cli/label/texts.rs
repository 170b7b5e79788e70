//! The texts that may be asked: distinct, not blank, and of a large pool a sample.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use fewshot::active::Journal;
use fewshot::data::Records;
use fewshot::random::Random;

use super::Args;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::output;

/// Texts in the order of the pool.
pub struct PoolTexts(pub Vec<String>);

/// What was read.
pub struct Read {
    pub texts: PoolTexts,
    distinct: usize,
    blank: usize,
}

/// Reads a pool, keeping at most `limit` texts: each equally likely, by reservoir (Vitter 1985,
/// algorithm R), so that memory does not grow with the pool but for a number a text.
pub fn read(args: &Args, seed: u64) -> Result<Read, Failure> {
    let (path, limit) = (args.pool(), args.shortlist as usize);
    let mut random = Random::named(seed, "shortlist");
    let mut seen = HashSet::new();
    let mut kept: Vec<(usize, String)> = Vec::new();
    let mut blank = 0;
    for record in Records::open(path, args.input_format, &args.fields.names())? {
        let text = record?.text;
        if text.trim().is_empty() {
            blank += 1;
        } else if seen.insert(hash(&text)) {
            let at = seen.len() - 1;
            if kept.len() < limit {
                kept.push((at, text));
            } else if let Some(place) = kept.get_mut(random.below(at + 1)) {
                *place = (at, text);
            }
        }
    }
    if kept.is_empty() {
        return Err(Failure::Command {
            message: format!("{} has no text to label", path.display()),
            hint: Some(
                "give a file with texts, one a line, or rows with a field `text`".to_owned(),
            ),
        });
    }
    kept.sort_unstable_by_key(|(at, _)| *at);
    let texts = PoolTexts(kept.into_iter().map(|(_, text)| text).collect());
    Ok(Read {
        texts,
        distinct: seen.len(),
        blank,
    })
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl Read {
    pub fn warn(&self, pool: &Path, context: &Context) {
        if self.blank > 0 {
            let texts = output::count(self.blank, "blank text");
            output::warning(&format!("{}: {texts} left out", pool.display()));
        }
        let kept = self.texts.0.len();
        if kept < self.distinct {
            context.note(|| {
                format!(
                    "{kept} of {} texts were drawn; see --shortlist",
                    self.distinct
                )
            });
        }
    }
}

/// The same with the journal's texts, which count although they are not in the pool or the sample.
pub fn with_journal(mut texts: PoolTexts, journal: &Journal, context: &Context) -> PoolTexts {
    let known: HashSet<&str> = texts.0.iter().map(String::as_str).collect();
    let foreign: Vec<String> = journal
        .current()
        .into_iter()
        .filter(|entry| entry.label.is_some() && !known.contains(entry.text.as_str()))
        .map(|entry| entry.text.clone())
        .collect();
    if !foreign.is_empty() {
        let count = output::count(foreign.len(), "labelled text");
        context.note(|| {
            format!("{count} of the journal not among the texts to choose from: used as examples")
        });
    }
    texts.0.extend(foreign);
    texts
}
