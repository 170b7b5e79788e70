//! The whole path: texts → encoder → head → probabilities.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::data::{Dataset, Example, LabelSet};
use crate::encoder::{Encoder, EncoderIdentity, LayerMix, Note, TuneProgress, TunedLayers};
use crate::head::{HeadKind, HeadOptions};
use crate::matrix::Matrix;
use crate::prompt::label_names;
use crate::softmax::argmax;
use crate::suspects::{self, Suspect};
use crate::tune::Tune;
use crate::vectors::VectorClassifier;

/// How a classifier is fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitOptions {
    /// Hidden layers that are averaged; default [`Encoder::default_layers`].
    pub layers: Option<LayerMix>,
    /// Whether the labels' names are prior examples, where they have words; default true. See
    /// [`label_names`].
    pub label_names: bool,
    /// Whether the encoder's top layers are tuned first; default [`Tune::Auto`].
    #[serde(default = "before_there_was_tuning")]
    pub tune: Tune,
    /// The head and its training.
    pub head: HeadOptions,
    /// Of everything random; the same seed, data and machine give the same bytes. Default 42.
    pub seed: u64,
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
            head: HeadOptions::default(),
            seed: 42,
        }
    }
}

/// A text classifier learned from a few examples.
pub struct FewShotClassifier {
    pub(crate) encoder: Arc<Encoder>,
    pub(crate) layers: LayerMix,
    pub(crate) vectors: VectorClassifier,
    pub(crate) options: FitOptions,
    pub(crate) examples: Vec<Example>,
    /// `[examples, width]`, as the encoder gives them; none for a loaded classifier.
    pub(crate) example_vectors: Option<Matrix>,
    suspects: Vec<Suspect>,
    timing: FitTiming,
    notes: Vec<Note>,
}

/// How long the parts of a fit took; zero for a loaded classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FitTiming {
    /// Tuning the encoder.
    pub tune: Duration,
    /// Embedding the examples, and looking for wrong labels among them.
    pub encode: Duration,
    /// Training and calibrating the head.
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
    /// Tunes the encoder's top layers, embeds the examples and fits a head on them.
    ///
    /// # Errors
    /// If there is one label only, an option is out of range, or encoder or head fail.
    pub fn fit(encoder: Arc<Encoder>, dataset: &Dataset, options: &FitOptions) -> Result<Self> {
        Self::fit_watched(encoder, dataset, options, &mut |_| ())
    }

    /// As [`FewShotClassifier::fit`]; `watch` is told how far the tuning has come, which is where the
    /// time goes.
    ///
    /// # Errors
    /// As `fit`.
    pub fn fit_watched(
        encoder: Arc<Encoder>,
        dataset: &Dataset,
        options: &FitOptions,
        watch: &mut dyn FnMut(TuneProgress),
    ) -> Result<Self> {
        dataset.check_trainable()?;
        options.head.validate()?;
        let layers = options
            .layers
            .clone()
            .unwrap_or_else(|| encoder.default_layers());
        let labels = dataset.labels().clone();
        let names = if options.label_names {
            label_names(&labels)
        } else {
            Vec::new()
        };
        let all = dataset.examples().iter().chain(&names);
        let texts: Vec<&str> = all.map(|example| example.text.as_str()).collect();
        let prior_classes: Vec<usize> = names
            .iter()
            .filter_map(|example| labels.class(&example.label))
            .collect();
        let start = Instant::now();
        let untuned = Arc::clone(&encoder);
        let encoder = match options.tune.options(&encoder, dataset, options.seed) {
            Some(tuning) => {
                let classes = [dataset.classes(), prior_classes.clone()].concat();
                Arc::new(encoder.tune(&texts, &classes, &tuning, watch)?)
            }
            None => encoder,
        };
        let tune = start.elapsed();
        let mut encoded = encoder.encode(&texts, &layers)?;
        let prior = encoded.vectors.split_off(dataset.examples().len());
        let frozen = Arc::ptr_eq(&encoder, &untuned).then_some(&encoded.vectors);
        let suspects = suspects_of(dataset, &untuned, &layers, frozen)?;
        let encode = start.elapsed() - tune;
        encoded
            .notes
            .retain(|note| note.text < dataset.examples().len());
        let vectors = VectorClassifier::fit(
            &encoded.vectors,
            &dataset.classes(),
            (!names.is_empty()).then_some((&prior, prior_classes.as_slice())),
            labels,
            &options.head,
            options.seed,
        )?;
        let timing = FitTiming {
            tune,
            encode,
            head: start.elapsed() - tune - encode,
        };
        let (examples, notes) = (dataset.examples().to_vec(), encoded.notes);
        Ok(Self {
            encoder,
            layers,
            vectors,
            options: options.clone(),
            examples,
            example_vectors: Some(encoded.vectors),
            suspects,
            timing,
            notes,
        })
    }

    /// Learns all of `dataset`, old examples and new ones, with the options of this classifier, and
    /// goes on from its tuned layers: where they part the new examples already, few steps are needed
    /// or none. Labels may be added. The head is fitted anew: it takes no time, and nothing of the
    /// old examples is forgotten.
    ///
    /// # Errors
    /// As [`FewShotClassifier::fit`].
    pub fn continued(
        &self,
        dataset: &Dataset,
        watch: &mut dyn FnMut(TuneProgress),
    ) -> Result<Self> {
        Self::fit_watched(Arc::clone(&self.encoder), dataset, &self.options, watch)
    }

    pub(crate) fn from_parts(
        encoder: Arc<Encoder>,
        layers: LayerMix,
        vectors: VectorClassifier,
        options: FitOptions,
        examples: Vec<Example>,
    ) -> Self {
        let (example_vectors, suspects, timing, notes) = Default::default();
        Self {
            encoder,
            layers,
            vectors,
            options,
            examples,
            example_vectors,
            suspects,
            timing,
            notes,
        }
    }

    /// The class names, in the order of the probabilities.
    #[must_use]
    pub fn labels(&self) -> &LabelSet {
        self.vectors.labels()
    }

    /// The layers of its encoder that were tuned, if any.
    #[must_use]
    pub fn tuned(&self) -> Option<&TunedLayers> {
        self.encoder.tuned()
    }

    /// Which encoder it uses.
    #[must_use]
    pub fn encoder(&self) -> &EncoderIdentity {
        self.encoder.identity()
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

    /// How many examples it learned from, if they were kept.
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
        let encoded = self.encoder.encode(texts, &self.layers)?;
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

/// The suspects among the examples; `frozen` are their vectors by the untuned encoder, if they are
/// there already.
fn suspects_of(
    dataset: &Dataset,
    untuned: &Encoder,
    layers: &LayerMix,
    frozen: Option<&Matrix>,
) -> Result<Vec<Suspect>> {
    let (examples, labels) = (dataset.examples(), dataset.labels());
    let classes = dataset.classes();
    if !suspects::can_tell(&classes, labels.len()) {
        return Ok(Vec::new());
    }
    let found = match frozen {
        Some(vectors) => suspects::find(vectors, &classes, labels.len()),
        None => {
            let texts: Vec<&str> = examples.iter().map(|e| e.text.as_str()).collect();
            let encoded = untuned.encode(&texts, layers)?;
            suspects::find(&encoded.vectors, &classes, labels.len())
        }
    };
    let suspect = |(example, class): (usize, usize)| Suspect {
        example: examples[example].clone(),
        neighbours: labels.names()[class].clone(),
    };
    Ok(found.into_iter().map(suspect).collect())
}
