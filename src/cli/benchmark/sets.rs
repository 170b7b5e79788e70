//! The sets of a benchmark: texts to draw from, the draws, texts to test on.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use fewshot::data::{DataError, Dataset, FieldNames};

use super::{Args, Failure, output};

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

/// Where a set's texts are.
struct Files {
    name: String,
    train: Vec<PathBuf>,
    test: Vec<PathBuf>,
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

fn files(args: &Args) -> Result<Vec<Files>, Failure> {
    if args.sets.is_empty() {
        let path = args.train.first().map_or(Path::new(""), PathBuf::as_path);
        return Ok(vec![Files {
            name: last_part(path),
            train: args.train.clone(),
            test: args.test.clone(),
        }]);
    }
    let mut files: Vec<Files> = args
        .sets
        .iter()
        .map(|dir| in_folder(dir))
        .collect::<Result<_, _>>()?;
    if repeated(&files).is_some() {
        // Folders of one name in different places.
        for (files, dir) in files.iter_mut().zip(&args.sets) {
            files.name = dir.display().to_string();
        }
    }
    match repeated(&files) {
        Some(name) => Err(Failure::usage(
            &format!("--sets names {name} twice"),
            "name each folder once",
        )),
        None => Ok(files),
    }
}

fn repeated(files: &[Files]) -> Option<&str> {
    let mut seen = HashSet::new();
    let mut names = files.iter().map(|files| files.name.as_str());
    names.find(|name| !seen.insert(*name))
}

fn in_folder(dir: &Path) -> Result<Files, Failure> {
    Ok(Files {
        name: last_part(&dir.canonicalize().unwrap_or_else(|_| dir.to_owned())),
        train: vec![part(dir, "train")?],
        test: vec![part(dir, "test")?],
    })
}

fn last_part(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// `train.jsonl` or another format's file.
fn part(dir: &Path, name: &str) -> Result<PathBuf, Failure> {
    let formats = ["jsonl", "csv", "tsv", "json"];
    let plain = formats.map(|format| format!("{name}.{format}"));
    let packed = plain
        .iter()
        .flat_map(|file| ["gz", "zst"].map(|end| format!("{file}.{end}")));
    let mut files = plain
        .iter()
        .cloned()
        .chain(packed)
        .map(|file| dir.join(file));
    files
        .find(|path| path.is_file())
        .ok_or_else(|| Failure::Command {
            message: format!("{} has no {name}.jsonl", dir.display()),
            hint: Some(
                "name folders that hold train.jsonl and test.jsonl, or use --train and --test"
                    .to_owned(),
            ),
        })
}

impl Set {
    fn read(files: Files, args: &Args, too_few: &mut Option<DataError>) -> Result<Self, Failure> {
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

    /// Says which rows are missing, and why.
    fn warn(&self) {
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
