//! What a classifier learns from: the examples and, as prior examples, the labels' names.

use std::sync::Arc;

use crate::Result;
use crate::classifier::{FitOptions, FitProgress};
use crate::data::{Dataset, Example};
use crate::encoder::{Encoded, Encoder, LayerMix, Note};
use crate::head::{HeadError, HeadKind, HeadOptions};
use crate::leave_one_out;
use crate::matrix::Matrix;
use crate::prompt::label_names;
use crate::unlabelled;
use crate::vectors::VectorClassifier;

/// Told how far a fit has come.
pub(crate) type Watch<'w> = dyn FnMut(FitProgress) + 'w;

/// Texts that are embedded between two words on how far it has come; more where these do not keep the
/// encoder busy.
const CHUNK: usize = 256;

/// Examples and names, and the options that say what is done with them.
pub(crate) struct Lesson<'d> {
    pub dataset: &'d Dataset,
    pub options: &'d FitOptions,
    pub layers: LayerMix,
    names: Vec<Example>,
}

/// A lesson as an encoder sees it.
pub(crate) struct Embedded {
    /// `[examples, width]`.
    pub examples: Matrix,
    /// `[names, width]`.
    pub names: Matrix,
    /// About the examples.
    pub notes: Vec<Note>,
}

/// The encoder that a fit begins with.
pub(crate) struct Beginning {
    pub encoder: Arc<Encoder>,
    pub embedded: Embedded,
    /// What it leaves to be learned, in classes ([`leave_one_out::remaining`]), if there is a start: chosen, to be
    /// chosen, or begun with before.
    pub remaining: Option<f64>,
}

impl<'d> Lesson<'d> {
    pub fn new(encoder: &Encoder, dataset: &'d Dataset, options: &'d FitOptions) -> Self {
        let layers = options.layers.clone();
        Self {
            dataset,
            options,
            layers: layers.unwrap_or_else(|| encoder.default_layers()),
            names: match options.label_names {
                true => label_names(dataset.labels()),
                false => Vec::new(),
            },
        }
    }

    /// Whether the head can learn from texts without labels, and examples are enough for it.
    pub fn learns_from_texts(&self) -> bool {
        let (examples, ways) = (self.dataset.examples().len(), self.dataset.labels().len());
        let options = self.options;
        !options.inductive
            && options.head.learns_from_guesses()
            && unlabelled::enough_examples(examples, ways)
    }

    /// The examples' texts, then the names'.
    pub fn texts(&self) -> Vec<&str> {
        let all = self.dataset.examples().iter().chain(&self.names);
        all.map(|example| example.text.as_str()).collect()
    }

    /// The classes of the texts.
    pub fn classes(&self) -> Vec<usize> {
        [self.dataset.classes(), self.name_classes()].concat()
    }

    fn name_classes(&self) -> Vec<usize> {
        let class = |name: &Example| self.dataset.labels().class(&name.label);
        self.names.iter().filter_map(class).collect()
    }

    pub fn embed(&self, encoder: &Encoder, watch: &mut Watch) -> Result<Embedded> {
        let all: Vec<usize> = (0..self.dataset.examples().len()).collect();
        let mut embedded = self.embed_by(&[encoder], &all, watch)?;
        Ok(embedded.swap_remove(0))
    }

    /// Examples at some places, and the names, by each of the encoders.
    fn embed_by(
        &self,
        encoders: &[&Encoder],
        places: &[usize],
        watch: &mut Watch,
    ) -> Result<Vec<Embedded>> {
        let texts = self.texts();
        let (examples, names) = texts.split_at(self.dataset.examples().len());
        let examples = places.iter().map(|&at| examples[at]);
        let texts: Vec<&str> = examples.chain(names.iter().copied()).collect();
        let encoded = self.encode_by(encoders, &texts, watch)?.into_iter();
        let embedded = |mut encoded: Encoded| {
            let names = encoded.vectors.split_off(places.len());
            encoded.notes.retain(|note| note.text < places.len());
            Embedded {
                examples: encoded.vectors,
                names,
                notes: encoded.notes,
            }
        };
        Ok(encoded.map(embedded).collect())
    }

    fn encode_by(
        &self,
        encoders: &[&Encoder],
        texts: &[&str],
        watch: &mut Watch,
    ) -> Result<Vec<Encoded>> {
        let none = |encoder: &&Encoder| Encoded {
            vectors: Matrix::zeros(0, encoder.width()),
            notes: Vec::new(),
        };
        let mut all: Vec<Encoded> = encoders.iter().map(none).collect();
        let at_once = encoders.iter().map(|encoder| encoder.texts_at_once()).max();
        let mut done = 0;
        for chunk in texts.chunks(CHUNK.max(at_once.unwrap_or(0))) {
            let encoded = Encoder::encode_by(encoders, chunk, &self.layers)?;
            for (all, encoded) in all.iter_mut().zip(encoded) {
                all.vectors.extend(&encoded.vectors);
                all.notes.extend(encoded.notes.into_iter().map(|note| Note {
                    text: done + note.text,
                    ..note
                }));
            }
            done += chunk.len();
            watch(FitProgress::Embedding {
                done,
                texts: texts.len(),
            });
        }
        Ok(all)
    }

    /// Fits a head.
    pub fn fit(
        &self,
        embedded: &Embedded,
        head: &HeadOptions,
    ) -> Result<VectorClassifier, HeadError> {
        let classes = self.name_classes();
        VectorClassifier::fit(
            &embedded.examples,
            &self.dataset.classes(),
            (!self.names.is_empty()).then_some((&embedded.names, classes.as_slice())),
            self.dataset.labels().clone(),
            head,
            self.options.seed,
        )
    }

    /// Fits logistic regression, which is judged on held-out examples in no time.
    pub fn fit_linear(&self, embedded: &Embedded) -> Result<VectorClassifier, HeadError> {
        let kind = HeadKind::Linear;
        let linear = HeadOptions {
            kind,
            ..self.options.head.clone()
        };
        self.fit(embedded, &linear)
    }

    /// The encoder by which the examples, or some of many, are told apart best, and what it gives for all.
    pub fn best_of(&self, encoders: &[Arc<Encoder>], watch: &mut Watch) -> Result<Beginning> {
        let places = leave_one_out::places(&self.dataset.classes());
        let (first, others) = encoders.split_first().expect("a fit has an encoder");
        if others.is_empty() {
            let embedded = self.embed(first, watch)?;
            let some = embedded.examples.select(&places);
            let loss = || self.loss([&some, &embedded.names], &places);
            let loss = first.tuned().is_some().then(loss);
            return Ok(self.beginning(first, embedded, loss));
        }
        let by: Vec<&Encoder> = encoders.iter().map(Arc::as_ref).collect();
        let embedded = self.embed_by(&by, &places, watch)?;
        let with_loss = encoders.iter().zip(embedded).map(|(encoder, of)| {
            let loss = self.loss([&of.examples, &of.names], &places);
            (encoder, of, loss)
        });
        // The first of equals: without a start.
        let best = with_loss.min_by(|(_, _, a), (_, _, b)| a.total_cmp(b));
        let (encoder, mut embedded, lowest) = best.expect("a fit has an encoder");
        if places.len() < self.dataset.examples().len() {
            embedded = self.embed(encoder, watch)?;
        }
        Ok(self.beginning(encoder, embedded, Some(lowest)))
    }

    fn beginning(
        &self,
        encoder: &Arc<Encoder>,
        embedded: Embedded,
        loss: Option<f64>,
    ) -> Beginning {
        let ways = self.dataset.labels().len();
        Beginning {
            encoder: Arc::clone(encoder),
            embedded,
            remaining: loss.map(|loss| leave_one_out::remaining(loss, ways)),
        }
    }

    /// Of the examples at `places`, whose vectors come first, and the names.
    fn loss(&self, vectors: [&Matrix; 2], places: &[usize]) -> f64 {
        let all = self.dataset.classes();
        let classes: Vec<usize> = places.iter().map(|&at| all[at]).collect();
        leave_one_out::loss(vectors, [&classes, &self.name_classes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{HubOptions, resolve};

    /// Vectors and notes are those of one go.
    #[test]
    fn many_examples_are_embedded_chunk_by_chunk() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny-mpnet");
        let files = resolve(dir, &HubOptions::default()).expect("a model's folder");
        let encoder = Encoder::load(&files).expect("a sound model");
        let text = |at: usize| match at {
            270 => "a long tale ".repeat(200),
            _ => format!("text number {at}"),
        };
        let example = |at: usize| Example {
            text: text(at),
            label: ["a", "b"][at % 2].to_owned(),
        };
        let (dataset, _) =
            Dataset::from_examples((0..CHUNK + 20).map(example).collect()).expect("sound");
        let options = FitOptions {
            label_names: false,
            ..FitOptions::default()
        };
        let lesson = Lesson::new(&encoder, &dataset, &options);
        let mut told = Vec::new();
        let embedded = lesson.embed(&encoder, &mut |progress| told.push(progress));
        let embedded = embedded.expect("vectors");
        let at_once = encoder.encode(&lesson.texts(), &lesson.layers);
        let at_once = at_once.expect("vectors");
        assert_eq!(embedded.examples.rows(), CHUNK + 20);
        let pairs = embedded.examples.values().iter();
        let mut pairs = pairs.zip(at_once.vectors.values());
        assert!(pairs.all(|(a, b)| (a - b).abs() < 1e-4));
        assert_eq!(embedded.notes, at_once.notes);
        assert_eq!(embedded.notes[0].text, 270);
        let texts = CHUNK + 20;
        let done = |done| FitProgress::Embedding { done, texts };
        assert_eq!(told, [done(CHUNK), done(texts)]);
    }
}
