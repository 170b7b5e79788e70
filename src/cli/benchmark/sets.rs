//! The sets of a benchmark: texts to draw from, the draws, texts to test on.

use std::collections::HashSet;
use std::path::PathBuf;

use fewshot::data::{DataError, Dataset, FieldNames};

use crate::cli::evaluate::say_if_seen;

use super::{Args, Failure, output};
use crate::cli::set_files::{self, SetFiles};

/// One set and all that is drawn from it.
pub struct Set {
    pub name: String,
    pub train: Dataset,
    pub test: Dataset,
    /// For each number of shots that the set has enough examples for, one draw a seed.
    pub draws: Vec<(usize, Vec<Dataset>)>,
    /// Numbers of shots that it has too few examples for.
    pub left_out: Vec<usize>,
}

/// Reads all sets before the work, so that nobody waits for a refusal.
pub fn read(args: &Args) -> Result<Vec<Set>, Failure> {
    let mut too_few = None;
    let mut sets = Vec::new();
    for files in files(args)? {
        sets.push(Set::read(files, args, &mut too_few)?);
    }
    match too_few {
        // Nothing is left to be measured.
        Some(error) if sets.iter().all(|set| set.draws.is_empty()) => Err(error.into()),
        _ => {
            sets.iter().for_each(Set::warn);
            Ok(sets)
        }
    }
}

fn files(args: &Args) -> Result<Vec<SetFiles>, Failure> {
    if !args.sets.is_empty() {
        return set_files::in_folders(&args.sets);
    }
    Ok(vec![SetFiles::single(
        args.train.clone(),
        args.test.clone(),
    )])
}

impl Set {
    fn read(
        files: SetFiles,
        args: &Args,
        too_few: &mut Option<DataError>,
    ) -> Result<Self, Failure> {
        let names = args.fields.names();
        let (train, test) = (
            dataset(&files.train, &names)?,
            dataset(&files.test, &names)?,
        );
        train.check_trainable()?;
        let (mut draws, mut left_out) = (Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for &shots in args.shots.iter().filter(|shots| seen.insert(**shots)) {
            match draw(&train, shots, args.seeds) {
                Ok(drawn) => draws.push((shots, drawn)),
                Err(error @ DataError::TooFewExamples { .. }) => {
                    left_out.push(shots);
                    *too_few = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self {
            name: files.name,
            train,
            test,
            draws,
            left_out,
        })
    }

    /// Says which rows are missing, and why, and what makes the others wrong.
    fn warn(&self) {
        let (known, labels) = (self.train.labels(), self.test.labels().names().iter());
        let unknown: Vec<String> = labels
            .filter(|label| known.class(label).is_none())
            .map(|label| format!("`{label}`"))
            .collect();
        if !unknown.is_empty() {
            output::warning(&format!(
                "{}: no training text has the test texts' {}: they count as errors",
                self.name,
                unknown.join(", ")
            ));
        }
        let (name, examples) = (&self.name, self.train.examples());
        say_if_seen(examples, &self.test, |seen| {
            format!("{name}: {seen} are among the training texts, which examples are drawn from")
        });
        for &shots in &self.left_out {
            if let Err(reason) = self.train.draw(shots, 0) {
                output::warning(&format!(
                    "{}: {shots} shots are left out: {reason}",
                    self.name
                ));
            }
        }
    }
}

fn dataset(files: &[PathBuf], names: &FieldNames) -> Result<Dataset, DataError> {
    let (dataset, _warnings) = Dataset::read(files.iter(), None, names)?;
    Ok(dataset)
}

fn draw(train: &Dataset, shots: usize, seeds: u64) -> Result<Vec<Dataset>, DataError> {
    (0..seeds).map(|seed| train.draw(shots, seed)).collect()
}
