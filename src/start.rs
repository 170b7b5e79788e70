//! A start from other tasks: how the top layers change when they are tuned on several labelled sets at
//! once, in episodes; a classifier of a new task begins there.
//!
//! Whether it is used is chosen for each task by its own examples ([`crate::leave_one_out`]): a start that
//! knows nothing of the task is left out.
//!
//! # Sources
//! Vinyals et al. 2016 (training as one will test, task by task); Bertinetto et al. 2019 (a closed-form
//! head in each episode); Hu et al. 2022 (what changes has a low rank); Wortsman et al. 2022, "Robust
//! fine-tuning of zero-shot models" (weights between those before and after).

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::classifier::FitOptions;
use crate::data::{Dataset, write_atomically};
use crate::encoder::{Encoder, Loss, TuneOptions, TuneProgress, TunedLayers};
use crate::lesson::Lesson;
use crate::random::Random;

/// What can go wrong with a start on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no start, or damaged.
    #[error("{} is no start of fewshot: {reason}", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// It was made with another encoder.
    #[error("{} was made with the encoder {expected}, this one is {found}", .path.display())]
    OtherEncoder {
        /// The file.
        path: PathBuf,
        /// The encoder that it was made with.
        expected: String,
        /// The encoder that it is to be used with.
        found: String,
    },
}

impl StartError {
    /// The cure, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Read { .. } | Self::Foreign { .. } => {
                "name a file that `fewshot meta-train --output` wrote, or `auto` or `off`"
            }
            Self::OtherEncoder { .. } => {
                "give its encoder with --model, make a start with this one, or do without: --start off"
            }
        };
        Some(hint.to_owned())
    }
}

/// Where the encoder starts from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartFrom {
    /// The start that comes with fewshot, where there is one for the encoder.
    #[default]
    Auto,
    /// The model's weights.
    Off,
    /// A file of `fewshot meta-train`.
    File(PathBuf),
}

impl StartFrom {
    /// The file that is read, if one is named.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Auto | Self::Off => None,
        }
    }

    /// The start for an encoder, if there is one.
    ///
    /// # Errors
    /// If a file is named that is no start for this encoder.
    pub fn start(&self, encoder: &Encoder) -> Result<Option<Start>, StartError> {
        match self {
            Self::Auto => Ok(Start::shipped(encoder)),
            Self::Off => Ok(None),
            Self::File(path) => Start::read(path, encoder).map(Some),
        }
    }

    /// The encoders that a task chooses from: as it is, and, if there is a start, with it. One whose layers
    /// are tuned already has begun somewhere, and is the only choice.
    ///
    /// # Errors
    /// If a file is named that is no start for this encoder, or its weights cannot be read again.
    pub fn candidates(&self, encoder: &Arc<Encoder>) -> Result<Vec<Arc<Encoder>>> {
        let start = self.start(encoder)?;
        let mut candidates = vec![Arc::clone(encoder)];
        if let (Some(start), None) = (start, encoder.tuned()) {
            candidates.push(Arc::new(encoder.with_tuned(start.layers)?));
        }
        Ok(candidates)
    }

    pub(crate) fn off() -> Self {
        Self::Off
    }
}

/// How the top layers change when they are tuned on several tasks.
pub struct Start {
    layers: TunedLayers,
}

/// Examples of a task that a start learns from.
const TASK_EXAMPLES: usize = 1000;
/// Steps on each task. Half as many leave half a point less to a new task (`docs/tuning.md`).
const TASK_STEPS: usize = 60;
/// Half the rate of a tuning on a few examples: the steps are many more.
const LEARNING_RATE: f32 = 5e-4;
/// How much is kept of what the tasks changed. Between the model's weights and those learned, a new task
/// that is like none of them loses less, and others hardly gain less (`docs/tuning.md`).
const KEPT: f32 = 0.6;
/// Made by `fewshot meta-train --tasks datasets/tasks/*.jsonl`, each with its encoder.
const SHIPPED: [&[u8]; 2] = [
    include_bytes!("../starts/all-mpnet-base-v2.safetensors"),
    include_bytes!("../starts/all-MiniLM-L6-v2.safetensors"),
];

/// The entry of the file's metadata that holds an [`Origin`] as JSON; the only one, since the
/// order of several is not fixed.
const ORIGIN: &str = "fewshot-start";

/// Of the file's layout.
const VERSION: u32 = 3;

/// What a start belongs to.
#[derive(Serialize, Deserialize)]
struct Origin {
    version: u32,
    encoder: String,
    sha256: String,
}

impl Start {
    /// Tunes the upper half of the layers on all tasks, in episodes: each draws a
    /// support and a query set of one task, in turn. 60 episodes a task look at up to 1,000 of its examples.
    ///
    /// # Errors
    /// If a task has one label only, or the encoder fails.
    pub fn learn(
        encoder: &Encoder,
        tasks: &[Dataset],
        seed: u64,
        watch: &mut dyn FnMut(TuneProgress),
    ) -> Result<Self> {
        tasks.iter().try_for_each(Dataset::check_trainable)?;
        let options = FitOptions::default();
        let lesson = |task| Lesson::new(encoder, task, &options);
        let lessons: Vec<Lesson> = tasks.iter().map(lesson).collect();
        let drawn: Vec<_> = lessons.iter().map(|lesson| draw(lesson, seed)).collect();
        let tasks: Vec<(&[&str], &[usize])> = drawn
            .iter()
            .map(|(texts, classes)| (texts.as_slice(), classes.as_slice()))
            .collect();
        let tuning = TuneOptions {
            layers: encoder.layers().div_ceil(2),
            steps: TASK_STEPS * tasks.len(),
            goal: 0.0,
            learning_rate: LEARNING_RATE,
            loss: Loss::Episodes,
            seed,
            ..TuneOptions::default()
        };
        let tuned = encoder.tune_on_tasks(&tasks, &tuning, watch)?;
        Ok(Self {
            layers: tuned.part_of_tuned(KEPT),
        })
    }

    /// The start that comes with fewshot for this encoder, if there is one: of all-mpnet-base-v2 and of
    /// all-MiniLM-L6-v2, from the tasks in `datasets/tasks`.
    #[must_use]
    pub fn shipped(encoder: &Encoder) -> Option<Self> {
        let name = Path::new("the start that comes with fewshot");
        let starts = SHIPPED.iter();
        starts
            .map(|bytes| Self::from_bytes(bytes, name, encoder))
            .find_map(Result::ok)
    }

    /// Writes the start for an encoder to a file, which appears whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written; what was there before is then untouched.
    pub fn save(&self, path: &Path, encoder: &Encoder) -> Result<()> {
        let origin = Origin {
            version: VERSION,
            encoder: encoder.identity().id.clone(),
            sha256: encoder.identity().sha256.clone(),
        };
        let origin = serde_json::to_string(&origin).map_err(|e| foreign(path, e.to_string()))?;
        let metadata = HashMap::from([(ORIGIN.to_owned(), origin)]);
        let bytes = encoder.bytes_of(&self.layers, Some(metadata));
        let bytes = bytes.map_err(|error| foreign(path, error.to_string()))?;
        Ok(write_atomically(path, |file| file.write_all(&bytes))?)
    }

    /// Reads a start for an encoder.
    ///
    /// # Errors
    /// If the file cannot be read, is no start, or was made with another encoder.
    pub fn read(path: &Path, encoder: &Encoder) -> Result<Self, StartError> {
        let bytes = std::fs::read(path).map_err(|source| StartError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::from_bytes(&bytes, path, encoder)
    }

    fn from_bytes(bytes: &[u8], path: &Path, encoder: &Encoder) -> Result<Self, StartError> {
        let (_, header) = safetensors::SafeTensors::read_metadata(bytes)
            .map_err(|error| foreign(path, error.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let Some(origin) = metadata.get(ORIGIN) else {
            return Err(foreign(path, "it has no mark of one".to_owned()));
        };
        let origin: Origin =
            serde_json::from_str(origin).map_err(|error| foreign(path, error.to_string()))?;
        if origin.version != VERSION {
            let reason = format!("it has version {}, not {VERSION}", origin.version);
            return Err(foreign(path, reason));
        }
        if origin.sha256 != encoder.identity().sha256 {
            return Err(StartError::OtherEncoder {
                path: path.to_owned(),
                expected: origin.encoder,
                found: encoder.identity().id.clone(),
            });
        }
        let layers = encoder.read_tuned(bytes);
        Ok(Self {
            layers: layers.map_err(|reason| foreign(path, reason))?,
        })
    }
}

fn foreign(path: &Path, reason: String) -> StartError {
    StartError::Foreign {
        path: path.to_owned(),
        reason,
    }
}

/// Up to [`TASK_EXAMPLES`] of a task's texts and the labels' names, and their classes.
fn draw<'l>(lesson: &'l Lesson, seed: u64) -> (Vec<&'l str>, Vec<usize>) {
    let (texts, classes) = (lesson.texts(), lesson.classes());
    let examples = lesson.dataset.examples().len();
    let mut places: Vec<usize> = (0..examples).collect();
    Random::named(seed, "start").shuffle(&mut places);
    places.truncate(TASK_EXAMPLES);
    places.extend(examples..texts.len());
    places
        .into_iter()
        .map(|at| (texts[at], classes[at]))
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classifier::FewShotClassifier;
    use crate::data::Example;
    use crate::hub::{HubOptions, resolve};
    use crate::matrix::Matrix;
    use crate::softmax::argmax;
    use crate::tune::Tune;

    fn tiny() -> Arc<Encoder> {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny-mpnet");
        let files = resolve(dir, &HubOptions::default()).expect("a model's folder");
        Arc::new(Encoder::load(&files).expect("a sound model"))
    }

    /// Texts whose label is told by a word among many others.
    fn task() -> Dataset {
        let words = [
            "red", "tree", "house", "old", "walk", "green", "fish", "job",
        ];
        let text = |at: usize| {
            let (a, b) = (words[at % 8], words[(at * 3 + 1) % 8]);
            let told = if at.is_multiple_of(2) { "dog" } else { "money" };
            Example {
                text: format!("{a} {b} {told} {a}"),
                label: told.to_owned(),
            }
        };
        let (dataset, _) = Dataset::from_examples((0..16).map(text).collect()).expect("sound");
        dataset
    }

    fn tuned(encoder: &Encoder, classes: &[usize]) -> Start {
        let dataset = task();
        let texts: Vec<&str> = dataset.examples().iter().map(|e| e.text.as_str()).collect();
        let options = TuneOptions::far(2, 60);
        let tuned = encoder.tune(&texts, classes, &options, &mut |_| ());
        let layers = tuned.expect("tuned").tuned().cloned();
        Start {
            layers: layers.expect("tuned layers"),
        }
    }

    /// A classifier of the task, from a start that learned to part the same texts by `classes`.
    fn fitted(classes: &[usize], tune: Tune) -> FewShotClassifier {
        fitted_with(classes, tune, None)
    }

    fn fitted_with(classes: &[usize], tune: Tune, strength: Option<f64>) -> FewShotClassifier {
        let (encoder, dataset) = (tiny(), task());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("start.safetensors");
        let start = tuned(&encoder, classes);
        start.save(&path, &encoder).expect("saved");
        let mut options = FitOptions {
            label_names: false,
            tune,
            start: StartFrom::File(path),
            ..FitOptions::default()
        };
        options.head.linear.strength = strength;
        FewShotClassifier::fit(encoder, &dataset, &options).expect("fitted")
    }

    /// A start that knows the task is used; one that learned to part the same texts in another way is
    /// left out.
    #[test]
    fn a_start_is_used_if_it_helps() {
        let other: Vec<usize> = (0..16).map(|at| at / 2 % 2).collect();
        assert!(fitted(&task().classes(), Tune::Off).is_started());
        assert!(!fitted(&other, Tune::Off).is_started());
    }

    /// Unless it is asked for.
    #[test]
    fn an_encoder_that_knows_the_task_is_not_tuned() {
        let knows = task().classes();
        let classifier = fitted(&knows, Tune::Auto);
        assert!(classifier.is_started() && !classifier.is_tuned());
        assert!(classifier.gains_from_texts());
        let classifier = fitted(&knows, Tune::Layers(1));
        assert!(classifier.is_started() && classifier.is_tuned());
        assert!(classifier.gains_from_texts());
        // Nor if it is the model itself; but where there is no start, all are.
        let other: Vec<usize> = (0..16).map(|at| at / 2 % 2).collect();
        let classifier = fitted(&other, Tune::Auto);
        assert!(!classifier.is_started() && !classifier.is_tuned());
        let options = FitOptions {
            label_names: false,
            start: StartFrom::Off,
            ..FitOptions::default()
        };
        let classifier = FewShotClassifier::fit(tiny(), &task(), &options).expect("fitted");
        assert!(classifier.is_tuned() && !classifier.gains_from_texts());
    }

    /// From a start also a tuned classifier, by what it would be untuned; texts that it has learned from it knows.
    #[test]
    fn a_tuned_classifier_learns_from_texts() {
        let words = [
            "red", "tree", "house", "old", "walk", "green", "fish", "job",
        ];
        let text = |at: usize| {
            let told = ["dog", "money"][at % 2];
            let [a, b] = [at / 2 % 8, at / 16].map(|word| words[word]);
            format!("{a} {b} {told} {a}")
        };
        let texts: Vec<String> = (0..60).map(text).collect();
        let given = |classifier: &FewShotClassifier| {
            let given = classifier.predict_proba(&texts).expect("vectors");
            given.probabilities
        };
        let mut classifier = fitted(&task().classes(), Tune::Layers(1));
        let before = given(&classifier);
        assert!(!classifier.adapt(&texts[..49]).expect("vectors"));
        assert!(given(&classifier) == before);
        assert!(classifier.adapt(&texts).expect("vectors"));
        let after = given(&classifier);
        assert!(after != before);
        let mut again = fitted(&task().classes(), Tune::Layers(1));
        assert!(again.adapt(&texts).expect("vectors") && given(&again) == after);
        let right = |given: &Matrix| {
            let rows = given.iter_rows().enumerate();
            rows.filter(|(at, row)| argmax(row) == at % 2).count()
        };
        assert!(right(&after) >= right(&before));
    }

    /// Neither the model's own vectors have it nor tuned ones, and what is named holds.
    #[test]
    fn a_start_as_it_is_has_a_stronger_penalty() {
        let (knows, other) = (task().classes(), [0, 0, 1, 1].repeat(4));
        let texts: Vec<String> = (0..60).map(|at| format!("red {at} dog money")).collect();
        let given = |classes: &[usize], tune, strength| {
            let mut classifier = fitted_with(classes, tune, strength);
            let before = classifier.predict_proba(&texts).expect("vectors");
            classifier.adapt(&texts).expect("vectors");
            let after = classifier.predict_proba(&texts).expect("vectors");
            [before, after].map(|given| given.probabilities)
        };
        let usual = |classes: &[usize], tune, strength| {
            given(classes, tune, None) == given(classes, tune, Some(strength))
        };
        assert!(usual(&knows, Tune::Off, 3.0) && !usual(&knows, Tune::Off, 10.0));
        assert!(usual(&other, Tune::Off, 10.0) && !usual(&other, Tune::Off, 3.0));
        let tuned = |strength| given(&knows, Tune::Layers(1), strength)[0].clone();
        assert!(tuned(None) == tuned(Some(10.0)));
    }

    #[test]
    fn the_starts_that_come_along_are_sound_and_of_other_encoders_than_the_tiny_one() {
        for bytes in SHIPPED {
            let read = safetensors::SafeTensors::deserialize(bytes);
            assert!(read.is_ok_and(|file| file.len() > 6));
        }
        assert!(Start::shipped(&tiny()).is_none());
    }
}
