//! What heads say of examples that they were not fitted on.

use rayon::prelude::*;

use crate::head::{HeadError, HeadKind, HeadOptions, Start};
use crate::matrix::Matrix;
use crate::softmax::{argmax, mean_loss};
use crate::support::Support;

/// Most parts that the support set is split into.
const MOST_FOLDS: usize = 8;

/// What heads say of examples that were held out of their fits, part by part of the support set.
pub(crate) struct HeldOut {
    parts: Vec<Part>,
}

/// One part of the examples.
pub(crate) struct Part {
    /// `[examples, ways]`.
    pub logits: Matrix,
    pub truth: Vec<usize>,
}

impl HeldOut {
    /// Holds out each example once. The prior of the support set is in every fit. Empty if some
    /// class has one example only.
    ///
    /// # Errors
    /// As [`HeadOptions::fit`].
    pub fn new(support: &Support, options: &HeadOptions, seed: u64) -> Result<Self, HeadError> {
        let splits = support.splits(MOST_FOLDS, seed);
        let parts = splits.into_par_iter().map(|split| {
            let logits = options.fit(&split.support, seed)?.logits(&split.held_out)?;
            let truth = split.truth;
            Ok(Part { logits, truth })
        });
        Ok(Self::of(parts.collect::<Result<_, HeadError>>()?))
    }

    /// From fits that are done.
    pub fn of(parts: Vec<Part>) -> Self {
        Self { parts }
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The sum of the losses at a temperature.
    pub fn loss(&self, temperature: f64) -> f64 {
        let loss = |part: &Part| {
            mean_loss(&part.logits, &part.truth, temperature) * part.truth.len() as f64
        };
        self.parts.iter().map(loss).sum()
    }

    /// Whether each example's most probable class is its own.
    pub fn right(&self) -> Vec<bool> {
        let right = |part: &Part| {
            let pairs = part.logits.iter_rows().zip(&part.truth);
            pairs.map(|(row, class)| argmax(row) == *class).collect()
        };
        self.parts.iter().flat_map::<Vec<bool>, _>(right).collect()
    }
}

/// The head that is fitted to judge `options` by held-out examples. A perceptron that starts as the
/// linear head and stays there is it: the linear head stands for it, in a hundredth of the time.
pub(crate) fn stand_in(options: &HeadOptions) -> HeadOptions {
    let kind = match options.kind {
        HeadKind::Mlp if options.mlp.start == Start::Linear => HeadKind::Linear,
        other => other,
    };
    HeadOptions {
        kind,
        ..options.clone()
    }
}
