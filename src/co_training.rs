//! What a classifier whose encoder was tuned from a start learns from texts that nobody labelled: its guesses and
//! those of logistic regression on the vectors of before, pooled.
//!
//! Its own guesses alone teach it nothing: tuning has pulled the vectors apart by what it answers. Those of before
//! show how the texts lie, and the teacher, fitted on them, learns from the texts first ([`crate::unlabelled`]).
//!
//! # Source
//! Blum & Mitchell 1998, "Combining labeled and unlabeled data with co-training" (two views of a text teach each
//! other); Genest & Zidek 1986, "Combining probability distributions" (the logarithmic pool). The teacher's share was
//! chosen on halves of the training parts of ten sets (`docs/tuning.md`).

use std::sync::Arc;

use crate::Result;
use crate::classifier::FitOptions;
use crate::encoder::{Encoded, Encoder, LayerMix};
use crate::head::{HeadKind, HeadOptions};
use crate::lesson::{Embedded, Lesson};
use crate::matrix::Matrix;
use crate::vectors::VectorClassifier;

/// What the teacher's guess counts in the pool; the tuned classifier's counts the rest. With a half most sets gain
/// more, but one of six labels loses 0.8 points.
const SHARE: f32 = 1.0 / 3.0;

/// Logistic regression on the vectors of an encoder before it was tuned.
pub(crate) struct Teacher {
    encoder: Arc<Encoder>,
    vectors: VectorClassifier,
    head: HeadOptions,
}

impl Teacher {
    /// Fits it on what the encoder says of the examples and the names; `head` is that of vectors of a start.
    pub fn fit(
        lesson: &Lesson,
        encoder: &Arc<Encoder>,
        embedded: &Embedded,
        head: HeadOptions,
    ) -> Result<Self> {
        let head = HeadOptions {
            kind: HeadKind::Linear,
            ..head
        };
        Ok(Self {
            encoder: Arc::clone(encoder),
            vectors: lesson.fit(embedded, &head)?,
            head,
        })
    }

    /// Learns from distinct texts without labels and then teaches a tuned classifier what both of them guess. Gives
    /// what the tuned encoder says of the texts, and whether anything changed.
    ///
    /// # Errors
    /// If an encoder gives NaN or infinite values, or a head cannot be fitted.
    pub fn teach(
        &mut self,
        texts: &[&str],
        (encoder, layers, tuned): (&Encoder, &LayerMix, &mut VectorClassifier),
        options: &FitOptions,
    ) -> Result<(Encoded, bool)> {
        let mut encoded = Encoder::encode_by(&[encoder, &self.encoder], texts, layers)?;
        let own = encoded.pop().expect("of the second encoder").vectors;
        let encoded = encoded.pop().expect("of the first encoder");
        if !self.vectors.adapt(&own, &self.head, options.seed)? {
            return Ok((encoded, false));
        }
        let guesses = pool(
            &tuned.predict_proba(&encoded.vectors)?,
            &self.vectors.predict_proba(&own)?,
        );
        let near = self.vectors.near_examples(&own)?;
        let (head, seed) = (&options.head, options.seed);
        let changed = tuned.learn_guesses(&encoded.vectors, &near, &guesses, head, seed)?;
        Ok((encoded, changed))
    }
}

/// The logarithmic pool of two guesses at the same texts, as logits: `[texts, ways]`, like both.
fn pool(tuned: &Matrix, teacher: &Matrix) -> Matrix {
    let log = |probability: f32| probability.max(1e-6).ln();
    let pairs = tuned.values().iter().zip(teacher.values());
    let logits = pairs.map(|(&tuned, &teacher)| (1.0 - SHARE) * log(tuned) + SHARE * log(teacher));
    Matrix::from_values(tuned.columns(), logits.collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::softmax::probabilities;

    #[test]
    fn the_pool_lies_between_both_and_nearer_to_the_tuned_one() {
        let one = Matrix::from_values(2, vec![0.9, 0.1, 0.0, 1.0]).expect("two rows");
        let other = Matrix::from_values(2, vec![0.4, 0.6, 0.3, 0.7]).expect("two rows");
        let both = |a, b| probabilities(&pool(a, b), 1.0);
        let middle = both(&one, &other).row(0)[0];
        assert!(both(&other, &one).row(0)[0] < middle && middle < 0.9);
        let same = both(&other, &other);
        let mut pairs = same.values().iter().zip(other.values());
        assert!(pairs.all(|(a, b)| (a - b).abs() < 1e-5));
        // A probability of nought does not silence the other guess.
        assert!(both(&one, &other).row(1).iter().all(|p| *p > 0.0));
    }
}
