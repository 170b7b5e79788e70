//! Labelled examples, checked, and few-shot samples drawn from them.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::error::{DataError, Place};
use super::format::InputFormat;
use super::labels::LabelSet;
use super::records::{FieldNames, Record, Records};
use super::source::Source;
use super::warning::Warning;
use crate::active::Outcome;
use crate::random::Random;

/// A text and its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The text.
    pub text: String,
    /// The label's name.
    pub label: String,
}

/// Examples in their order and the set of their labels.
///
/// No text or label is blank, no label has blanks around it, and no text has two labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    examples: Vec<Example>,
    labels: LabelSet,
}

impl Dataset {
    /// Reads and checks the examples of all `sources` together; see [`Records::open`] for
    /// `format`.
    ///
    /// # Errors
    /// If a source cannot be read or holds no record, if a row has no label, a blank text or a
    /// blank label, or if a text has two labels ([`DataError::ConflictingLabels`]; blanks around
    /// the text make no difference).
    pub fn read<S>(
        sources: S,
        format: Option<InputFormat>,
        names: &FieldNames,
    ) -> Result<(Self, Vec<Warning>), DataError>
    where
        S: IntoIterator<Item: Into<Source>>,
    {
        let mut rows = Vec::new();
        for source in sources {
            read_rows(&mut rows, Records::open(source, format, names)?, names)?;
        }
        Self::check(rows)
    }

    /// Checks examples made in memory as [`Self::read`] does; their place in messages is
    /// `examples:N`, with N from 1.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_examples(examples: Vec<Example>) -> Result<(Self, Vec<Warning>), DataError> {
        let path: Arc<Path> = Path::new("examples").into();
        let place = |index| Place {
            path: Arc::clone(&path),
            line: index + 1,
        };
        let rows = examples.into_iter().enumerate();
        Self::check(
            rows.map(|(index, example)| (example, place(index)))
                .collect(),
        )
    }

    /// The examples in their order.
    #[must_use]
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// The labels that occur.
    #[must_use]
    pub fn labels(&self) -> &LabelSet {
        &self.labels
    }

    /// The class of each example.
    #[must_use]
    pub fn classes(&self) -> Vec<usize> {
        let class = |example: &Example| self.labels.class(&example.label);
        self.examples.iter().filter_map(class).collect()
    }

    /// Checks that there are at least two labels to tell apart; a test set needs no such check.
    ///
    /// # Errors
    /// [`DataError::OneClass`] otherwise.
    pub fn check_trainable(&self) -> Result<(), DataError> {
        match self.labels.names() {
            [label] => Err(DataError::OneClass {
                label: label.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Draws exactly `shots` examples per label without replacement; they stay in their order.
    ///
    /// What is drawn for a label depends on `seed`, its name and its examples in their order, not
    /// on the other labels; and the draw for fewer shots is part of the draw for more. So runs
    /// with other label sets or shots can be compared pairwise.
    ///
    /// # Errors
    /// [`DataError::TooFewExamples`] if a label has fewer than `shots`, [`DataError::NoShots`] if
    /// `shots` is 0.
    pub fn draw(&self, shots: usize, seed: u64) -> Result<Self, DataError> {
        if shots == 0 {
            return Err(DataError::NoShots);
        }
        let mut drawn = Vec::new();
        for (label, mut members) in self.labels.names().iter().zip(self.members()) {
            if members.len() < shots {
                return Err(DataError::TooFewExamples {
                    label: label.clone(),
                    have: members.len(),
                    need: shots,
                });
            }
            Random::named(seed, label).shuffle_first(&mut members, shots);
            drawn.extend_from_slice(&members[..shots]);
        }
        drawn.sort_unstable();
        Ok(Self {
            examples: drawn
                .into_iter()
                .map(|index| self.examples[index].clone())
                .collect(),
            labels: self.labels.clone(),
        })
    }

    /// The indices of each class's examples.
    fn members(&self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.labels.len()];
        for (index, class) in self.classes().into_iter().enumerate() {
            members[class].push(index);
        }
        members
    }

    fn check(mut rows: Vec<(Example, Place)>) -> Result<(Self, Vec<Warning>), DataError> {
        if rows.is_empty() {
            let path = "examples".into();
            return Err(DataError::Empty { path });
        }
        check_blank(&rows)?;
        let mut warnings = trim_labels(&mut rows);
        warnings.extend(check_repeated(&rows)?);
        let labels = LabelSet::new(rows.iter().map(|(example, _)| example.label.as_str()));
        let examples = rows.into_iter().map(|(example, _)| example).collect();
        let dataset = Self { examples, labels };
        warnings.extend(similar_labels(&dataset.labels));
        warnings.extend(dataset.single_examples());
        Ok((dataset, warnings))
    }

    fn single_examples(&self) -> Vec<Warning> {
        let named = self.labels.names().iter().zip(self.members());
        named
            .filter(|(_, members)| members.len() == 1)
            .map(|(label, _)| Warning::OneExample {
                label: label.clone(),
            })
            .collect()
    }
}

fn read_rows(
    rows: &mut Vec<(Example, Place)>,
    mut records: Records,
    names: &FieldNames,
) -> Result<(), DataError> {
    let before = rows.len();
    let mut journal = JournalRows::default();
    while let Some(record) = records.next() {
        let record = record?;
        let at = records.place(&record);
        if journal.take(&record, rows.len()) {
            continue;
        }
        rows.push((labelled(record, names, &at)?, at));
    }
    journal.drop_outdated(rows);
    if rows.len() == before {
        let path = records.path().to_owned();
        return Err(DataError::Empty { path });
    }
    Ok(())
}

/// The rows of a labelling journal, of which the last one of a text counts.
///
/// Rows of `fewshot label` say in a field `journal` what happened; see [`crate::active::Journal`].
#[derive(Default)]
struct JournalRows {
    /// Places among the rows of the answers that count, for each text, and whether a journal's is among them: one
    /// of a journal, any number of ordinary examples.
    counting: HashMap<String, (bool, Vec<usize>)>,
    /// Places that do not count any more.
    outdated: HashSet<usize>,
}

impl JournalRows {
    /// Whether the record is from a journal and no answer. An answer will stand at `place`.
    fn take(&mut self, record: &Record, place: usize) -> bool {
        let happened = record.fields.get("journal");
        let outcome = happened.and_then(|word| Outcome::deserialize(word).ok());
        let of_journal = outcome.is_some();
        let (was_of_journal, before) = self.counting.entry(record.text.clone()).or_default();
        // Also an ordinary example that was written below an answer takes its place.
        if of_journal || *was_of_journal {
            self.outdated.extend(before.drain(..));
        }
        *was_of_journal = of_journal;
        let answer = outcome.is_none_or(|outcome| outcome == Outcome::Answer);
        if answer {
            before.push(place);
        }
        !answer
    }

    fn drop_outdated(&self, rows: &mut Vec<(Example, Place)>) {
        if self.outdated.is_empty() {
            return;
        }
        let mut place = 0;
        rows.retain(|_| {
            place += 1;
            !self.outdated.contains(&(place - 1))
        });
    }
}

fn labelled(record: Record, names: &FieldNames, at: &Place) -> Result<Example, DataError> {
    let text = record.text;
    match record.label {
        Some(label) => Ok(Example { text, label }),
        None => Err(DataError::MissingLabel {
            at: at.clone(),
            field: names.label.clone(),
            found: record.fields.keys().cloned().collect(),
        }),
    }
}

fn check_blank(rows: &[(Example, Place)]) -> Result<(), DataError> {
    for (example, at) in rows {
        let at = || at.clone();
        if example.text.trim().is_empty() {
            return Err(DataError::BlankText { at: at() });
        }
        if example.label.trim().is_empty() {
            return Err(DataError::BlankLabel { at: at() });
        }
    }
    Ok(())
}

/// Drops blanks around labels; one warning a label.
fn trim_labels(rows: &mut [(Example, Place)]) -> Vec<Warning> {
    let mut trimmed: Vec<(String, Place, usize)> = Vec::new();
    for (example, at) in rows {
        let label = example.label.trim();
        if label.len() == example.label.len() {
            continue;
        }
        example.label = label.to_owned();
        match trimmed
            .iter_mut()
            .find(|(known, ..)| *known == example.label)
        {
            Some((.., rows)) => *rows += 1,
            None => trimmed.push((example.label.clone(), at.clone(), 1)),
        }
    }
    let warning = |(label, at, rows)| Warning::TrimmedLabel { at, label, rows };
    trimmed.into_iter().map(warning).collect()
}

/// Looks for texts that occur more than once: an error with different labels, else one warning.
fn check_repeated(rows: &[(Example, Place)]) -> Result<Option<Warning>, DataError> {
    let mut seen: HashMap<&str, &(Example, Place)> = HashMap::with_capacity(rows.len());
    let mut repeated: Option<(&Place, &Place, usize)> = None;
    for row in rows {
        let (example, at) = row;
        let (known, first) = *seen.entry(example.text.trim()).or_insert(row);
        if known.label != example.label {
            return Err(DataError::ConflictingLabels {
                first: first.clone(),
                first_label: known.label.clone(),
                second: at.clone(),
                second_label: example.label.clone(),
            });
        }
        if !std::ptr::eq(known, example) {
            repeated.get_or_insert((first, at, 0)).2 += 1;
        }
    }
    Ok(
        repeated.map(|(first, second, rows)| Warning::DuplicateText {
            first: first.clone(),
            second: second.clone(),
            rows,
        }),
    )
}

fn similar_labels(labels: &LabelSet) -> Vec<Warning> {
    let mut seen: HashMap<String, &String> = HashMap::with_capacity(labels.len());
    let mut warnings = Vec::new();
    for label in labels.names() {
        let first = *seen.entry(label.to_lowercase()).or_insert(label);
        if first != label {
            warnings.push(Warning::LabelsDifferByCase {
                first: first.clone(),
                second: label.clone(),
            });
        }
    }
    warnings
}
