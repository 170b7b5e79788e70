//! The whole path: texts → encoder → head → probabilities.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::calibration::Calibration;
use crate::co_training::Teacher;
use crate::data::{Dataset, Example, LabelSet};
use crate::encoder::{
    Encoded, Encoder, EncoderIdentity, LayerMix, Note, TuneProgress, TunedLayers, deduplicate,
};
use crate::head::{HeadKind, HeadOptions};
use crate::known::Known;
use crate::lesson::{Beginning, Embedded, Lesson};
use crate::matrix::Matrix;
use crate::softmax::argmax;
use crate::start::StartFrom;
use crate::suspects::{self, Suspect};
use crate::tune::Tune;
use crate::vectors::VectorClassifier;

/// How a classifier is fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitOptions {
    /// Hidden layers that are averaged; default [`Encoder::default_layers`].
    pub layers: Option<LayerMix>,
    /// Whether the labels' names are prior examples, where they have words; default true. See
    /// [`label_names`](crate::prompt::label_names).
    pub label_names: bool,
    /// Whether the encoder's top layers are tuned first; default [`Tune::Auto`].
    #[serde(default = "before_there_was_tuning")]
    pub tune: Tune,
    /// Where the encoder starts from, if the examples are told apart better from there; default
    /// [`StartFrom::Auto`].
    #[serde(default = "StartFrom::off")]
    pub start: StartFrom,
    /// The head and its training.
    pub head: HeadOptions,
    /// Whether only labelled texts are learned from, so that [`FewShotClassifier::adapt`] changes
    /// nothing; default false.
    #[serde(default)]
    pub inductive: bool,
    /// Of everything random; the same seed, data and machine give the same bytes. Default 42.
    pub seed: u64,
}

impl FitOptions {
    /// How a head of so many classes is fitted: on vectors of a start that is used as it is, or on others, the
    /// model's own and tuned ones.
    #[must_use]
    pub fn head_for(&self, on_start: bool, ways: usize) -> HeadOptions {
        match on_start {
            true => self.head.on_start(ways),
            false => self.head.clone(),
        }
    }
}

fn before_there_was_tuning() -> Tune {
    Tune::Off
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            layers: None,
            label_names: true,
            tune: Tune::Auto,
            start: StartFrom::Auto,
            head: HeadOptions::default(),
            inductive: false,
            seed: 42,
        }
    }
}

/// The temperature of a tuned encoder's head. It cannot be calibrated on its examples, all of which the
/// encoder has seen; but how hard they were for the untuned encoder tells how far it will be too sure.
/// `loss` is that of held-out examples, `ways` the number of labels, whose logarithm is the loss of
/// guessing. The line was fitted to 20 draws from the training parts of 10 sets (`docs/tuning.md`).
fn tuned_temperature(loss: Option<f64>, ways: usize) -> f64 {
    let Some(loss) = loss else {
        return 1.0;
    };
    let hardness = (loss / (ways as f64).ln()).min(1.0);
    (hardness - 0.3).exp()
}

/// As many texts without labels as are worth learning from.
pub const UNLABELLED: usize = 512;

/// A text classifier learned from a few examples.
pub struct FewShotClassifier {
    pub(crate) encoder: Arc<Encoder>,
    pub(crate) layers: LayerMix,
    pub(crate) vectors: VectorClassifier,
    /// From whom it learns what texts without labels say, if it was tuned from a start and may; this keeps the encoder of
    /// before, whose upper layers are its own.
    teacher: Option<Teacher>,
    pub(crate) options: FitOptions,
    pub(crate) examples: Vec<Example>,
    /// `[examples, width]`, as the encoder gives them; none for a loaded classifier.
    pub(crate) example_vectors: Option<Matrix>,
    /// What its encoder was tuned on.
    pub(crate) seen: Seen,
    /// Whether the encoder was the one of a start before that.
    started: bool,
    suspects: Vec<Suspect>,
    timing: FitTiming,
    notes: Vec<Note>,
    /// What was embedded before it was to be classified.
    known: Known,
}

/// What an encoder was tuned on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Seen {
    /// Nothing, or other tasks.
    #[default]
    Nothing,
    /// The classifier's examples: its vectors cannot say what held-out examples are like.
    Examples,
}

/// How far a fit has come with one of its parts.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum FitProgress {
    /// Examples and names are embedded; where there is a start to choose and examples are more than 256, some of them twice.
    Embedding {
        /// Texts that are done.
        done: usize,
        /// Texts in all.
        texts: usize,
    },
    /// The encoder is tuned.
    Tuning(TuneProgress),
}

/// How long the parts of a fit took; zero for a loaded classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FitTiming {
    /// Tuning the encoder.
    pub tune: Duration,
    /// Embedding the examples, and looking for wrong labels among them.
    pub encode: Duration,
    /// Training and calibrating the head, and fitting the one that teaches a tuned classifier.
    pub head: Duration,
}

/// Probabilities of texts, and what should be said about some of the texts.
#[derive(Debug, Clone)]
pub struct Predictions {
    /// `[texts, ways]`, columns in the order of the labels; each row sums to 1.
    pub probabilities: Matrix,
    /// Texts that were split in windows or cut.
    pub notes: Vec<Note>,
}

impl FewShotClassifier {
    /// Tunes the encoder's top layers, as [`FitOptions::tune`] says, embeds the examples and fits a head on them.
    ///
    /// # Errors
    /// If there is one label only, an option is out of range, or encoder or head fail.
    pub fn fit(encoder: Arc<Encoder>, dataset: &Dataset, options: &FitOptions) -> Result<Self> {
        Self::fit_watched(encoder, dataset, options, &mut |_| ())
    }

    /// As [`FewShotClassifier::fit`]; `watch` is told how far it has come.
    ///
    /// # Errors
    /// As `fit`.
    pub fn fit_watched(
        encoder: Arc<Encoder>,
        dataset: &Dataset,
        options: &FitOptions,
        watch: &mut dyn FnMut(FitProgress),
    ) -> Result<Self> {
        let candidates = options.start.candidates(&encoder)?;
        dataset.check_trainable()?;
        options.head.validate()?;
        let mut clock = Clock::new();
        let lesson = Lesson::new(&candidates[0], dataset, options);
        let Beginning {
            encoder,
            embedded: untuned,
            remaining,
        } = lesson.best_of(&candidates, watch)?;
        let started = encoder.tuned().is_some();
        let suspects = suspects_of(dataset, &untuned.examples);
        clock.lap(|timing| &mut timing.encode);
        let tuning =
            options
                .tune
                .options(&encoder, &lesson.layers, dataset, remaining, options.seed);
        let mut teacher = None;
        let (encoder, embedded, vectors, seen) = match tuning {
            Some(tuning) => {
                let held_out = held_out(&lesson, &untuned)?;
                if started && lesson.learns_from_texts() {
                    let head = options.head.on_start(dataset.labels().len());
                    teacher = Some(Teacher::fit(&lesson, &encoder, &untuned, head)?);
                }
                clock.lap(|timing| &mut timing.head);
                let texts = lesson.texts();
                let encoder =
                    encoder.tune(&texts, &lesson.classes(), &tuning, &mut |progress| {
                        watch(FitProgress::Tuning(progress));
                    })?;
                clock.lap(|timing| &mut timing.tune);
                let embedded = lesson.embed(&encoder, watch)?;
                clock.lap(|timing| &mut timing.encode);
                let vectors = lesson
                    .fit(&embedded, &options.head)?
                    .with_calibration(held_out);
                (Arc::new(encoder), embedded, vectors, Seen::Examples)
            }
            None => {
                let head = options.head_for(started, dataset.labels().len());
                let vectors = lesson.fit(&untuned, &head)?;
                (encoder, untuned, vectors, Seen::Nothing)
            }
        };
        clock.lap(|timing| &mut timing.head);
        Ok(Self {
            encoder,
            layers: lesson.layers,
            vectors,
            teacher,
            options: options.clone(),
            examples: dataset.examples().to_vec(),
            example_vectors: Some(embedded.examples),
            seen,
            started,
            suspects,
            timing: clock.timing,
            notes: embedded.notes,
            known: Known::default(),
        })
    }

    /// Whether texts that are to be classified are worth learning from unasked: where the encoder was tuned without a
    /// start they bring nothing (`docs/tuning.md`), and answers would depend on each other for it. Whether enough is there to
    /// learn from, [`adapt`](Self::adapt) says.
    #[must_use]
    pub fn gains_from_texts(&self) -> bool {
        !self.options.inductive && (!self.is_tuned() || self.teacher.is_some())
    }

    /// Goes on learning from texts that nobody labelled, such as those that are to be classified next;
    /// their vectors are kept, so that to classify them then costs nothing. One whose encoder was tuned from a start is taught
    /// by logistic regression on the vectors of before, which learns from the texts first. Says whether anything
    /// changed: not with [`FitOptions::inductive`], nor where [`VectorClassifier::adapt`] cannot.
    ///
    /// # Errors
    /// If the encoder gives NaN or infinite values.
    pub fn adapt<S: AsRef<str>>(&mut self, texts: &[S]) -> Result<bool> {
        let texts: Vec<&str> = deduplicate(texts).0;
        let head = &self.options.head;
        if self.options.inductive || !self.vectors.can_adapt(texts.len(), head) {
            return Ok(false);
        }
        let (encoded, changed) = match &mut self.teacher {
            Some(teacher) => {
                let classifier = (&*self.encoder, &self.layers, &mut self.vectors);
                teacher.teach(&texts, classifier, &self.options)?
            }
            None => self.adapt_alone(&texts)?,
        };
        self.known = Known::new(&texts, encoded);
        Ok(changed)
    }

    fn adapt_alone(&mut self, texts: &[&str]) -> Result<(Encoded, bool)> {
        let encoded = self.encoder.encode(texts, &self.layers)?;
        let on_start = self.started && !self.is_tuned();
        let head = self.options.head_for(on_start, self.labels().len());
        let seed = self.options.seed;
        let changed = self.vectors.adapt(&encoded.vectors, &head, seed)?;
        Ok((encoded, changed))
    }

    pub(crate) fn from_parts(
        encoder: Arc<Encoder>,
        layers: LayerMix,
        vectors: VectorClassifier,
        options: FitOptions,
        examples: Vec<Example>,
        seen: Seen,
    ) -> Self {
        let started = seen == Seen::Nothing && encoder.tuned().is_some();
        let (teacher, example_vectors, suspects, timing, notes, known) = Default::default();
        Self {
            encoder,
            layers,
            vectors,
            teacher,
            options,
            examples,
            example_vectors,
            seen,
            started,
            suspects,
            timing,
            notes,
            known,
        }
    }

    /// The class names, in the order of the probabilities.
    #[must_use]
    pub fn labels(&self) -> &LabelSet {
        self.vectors.labels()
    }

    /// Whether its encoder, before any tuning on its examples, was the one of a start. Of a loaded classifier
    /// whose encoder was tuned on its examples it is not known, and false.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.started
    }

    /// Whether its encoder was tuned on its examples.
    #[must_use]
    pub fn is_tuned(&self) -> bool {
        self.seen == Seen::Examples
    }

    /// The layers of its encoder that are not as the model has them, if any: tuned on its examples, or
    /// from a start.
    #[must_use]
    pub fn tuned(&self) -> Option<&TunedLayers> {
        self.encoder.tuned()
    }

    /// Which encoder it uses.
    #[must_use]
    pub fn encoder(&self) -> &EncoderIdentity {
        self.encoder.identity()
    }

    /// [`Encoder::texts_at_once`].
    #[must_use]
    pub fn texts_at_once(&self) -> usize {
        self.encoder.texts_at_once()
    }

    /// The head, the centring before it and the temperature behind it.
    #[must_use]
    pub fn vectors(&self) -> &VectorClassifier {
        &self.vectors
    }

    /// Which head it has.
    #[must_use]
    pub fn head_kind(&self) -> HeadKind {
        self.vectors.head_kind()
    }

    /// The examples that it learned from, if they were kept.
    #[must_use]
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// How many of them there are.
    #[must_use]
    pub fn example_count(&self) -> usize {
        self.examples.len()
    }

    /// How long the fit took.
    #[must_use]
    pub fn timing(&self) -> FitTiming {
        self.timing
    }

    /// Examples that were split in windows or cut at the fit.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Examples that were probably labelled wrongly, found at the fit, the clearest case first.
    ///
    /// Looked for among at most 2,000 examples, in vectors that were not tuned on them.
    #[must_use]
    pub fn suspects(&self) -> &[Suspect] {
        &self.suspects
    }

    /// The hidden layers that are averaged.
    #[must_use]
    pub fn layers(&self) -> &LayerMix {
        &self.layers
    }

    /// The probability of each label for each text.
    ///
    /// # Errors
    /// If the encoder gives NaN or infinite values.
    pub fn predict_proba<S: AsRef<str>>(&self, texts: &[S]) -> Result<Predictions> {
        Ok(self.predict_with_vectors(texts)?.0)
    }

    /// Also the texts' vectors, `[texts, width]`.
    pub(crate) fn predict_with_vectors<S: AsRef<str>>(
        &self,
        texts: &[S],
    ) -> Result<(Predictions, Matrix)> {
        let encoded = self.known.or_encode(texts, &self.encoder, &self.layers)?;
        let probabilities = self.vectors.predict_proba(&encoded.vectors)?;
        let notes = encoded.notes;
        let predictions = Predictions {
            probabilities,
            notes,
        };
        Ok((predictions, encoded.vectors))
    }

    /// The most probable label of each text, as class indices; the lowest of equals.
    ///
    /// # Errors
    /// As [`FewShotClassifier::predict_proba`].
    pub fn predict<S: AsRef<str>>(&self, texts: &[S]) -> Result<Vec<usize>> {
        Ok(self
            .predict_proba(texts)?
            .probabilities
            .iter_rows()
            .map(argmax)
            .collect())
    }
}

/// Times one part of a fit after the other.
struct Clock {
    last: Instant,
    timing: FitTiming,
}

impl Clock {
    fn new() -> Self {
        Self {
            last: Instant::now(),
            timing: FitTiming::default(),
        }
    }

    /// Adds the time since the last lap to a part.
    fn lap(&mut self, part: impl FnOnce(&mut FitTiming) -> &mut Duration) {
        let now = Instant::now();
        *part(&mut self.timing) += now - std::mem::replace(&mut self.last, now);
    }
}

/// The calibration of a tuned classifier. The tuned encoder has seen every example: only the untuned
/// one can say what held-out examples are like.
fn held_out(lesson: &Lesson, untuned: &Embedded) -> Result<Calibration> {
    let frozen = lesson.fit_linear(untuned)?.calibration();
    Ok(Calibration {
        temperature: tuned_temperature(frozen.held_out_loss, lesson.dataset.labels().len()),
        ..frozen
    })
}

/// In the vectors of an encoder that was not tuned: tuning pulls a wrongly labelled example to its
/// label.
fn suspects_of(dataset: &Dataset, vectors: &Matrix) -> Vec<Suspect> {
    let (classes, labels) = (dataset.classes(), dataset.labels());
    let found = suspects::find(vectors, &classes, labels.len());
    let suspect = |(example, class): (usize, usize)| Suspect {
        example: dataset.examples()[example].clone(),
        neighbours: labels.names()[class].clone(),
    };
    found.into_iter().map(suspect).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hard_tasks_get_a_higher_temperature_than_easy_ones() {
        let of =
            |share: f64, ways: usize| tuned_temperature(Some(share * (ways as f64).ln()), ways);
        assert!(of(0.1, 2) < 0.85 && (of(0.3, 2) - 1.0).abs() < 0.01 && of(0.9, 5) > 1.4);
        assert_eq!(of(1.0, 3), of(9.0, 3));
        assert_eq!(tuned_temperature(None, 3), 1.0);
    }
}
