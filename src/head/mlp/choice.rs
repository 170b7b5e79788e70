//! How long to train, told by held-out examples.

use rayon::prelude::*;

use super::training::Training;
use crate::head::{Head, HeadError, HeadOptions, Linear};
use crate::softmax::argmax;
use crate::support::{Split, Support};

/// Most parts that the support set is split into to choose the length of training.
const MOST_FOLDS: usize = 4;

/// The number of epochs or episodes after which the fewest held-out examples were wrong; the smallest such
/// number, so that training is kept only if it corrects some example that the linear head, the
/// start, gets wrong.
///
/// The held-out loss would be the other choice, but it mostly falls because logits grow, which the
/// temperature does without touching the decisions; choosing by it cost up to 0.4 points.
pub(super) fn choose_length(
    support: &Support,
    options: &HeadOptions,
    seed: u64,
) -> Result<usize, HeadError> {
    let splits = support.splits(MOST_FOLDS, seed);
    if splits.is_empty() || options.mlp.length() == 0 || start_is_right(&splits, options)? {
        return Ok(0);
    }
    let runs: Vec<Vec<usize>> = splits
        .par_iter()
        .map(|split| held_out_errors(split, options, seed))
        .collect::<Result<_, HeadError>>()?;
    let total = |length: &usize| runs.iter().map(|errors| errors[*length]).sum::<usize>();
    // The first of equals.
    Ok((0..=options.mlp.length()).min_by_key(total).unwrap_or(0))
}

/// Whether the linear start makes no held-out error, so that training has nothing to correct.
fn start_is_right(splits: &[Split], options: &HeadOptions) -> Result<bool, HeadError> {
    let errors = splits
        .iter()
        .map(|split| errors(&Linear::fit(&split.support, &options.linear), split));
    Ok(errors
        .collect::<Result<Vec<_>, _>>()?
        .iter()
        .all(|&errors| errors == 0))
}

/// Errors on a split's held-out part before training and after each epoch or episode.
fn held_out_errors(
    split: &Split,
    options: &HeadOptions,
    seed: u64,
) -> Result<Vec<usize>, HeadError> {
    let mut training = Training::from_linear(&split.support, options, seed)?;
    let mut counts = vec![errors(training.mlp(), split)?];
    for _ in 0..options.mlp.length() {
        training.advance()?;
        counts.push(errors(training.mlp(), split)?);
    }
    Ok(counts)
}

fn errors(head: &dyn Head, split: &Split) -> Result<usize, HeadError> {
    let logits = head.logits(&split.held_out)?;
    Ok(logits
        .iter_rows()
        .zip(&split.truth)
        .filter(|(row, truth)| argmax(row) != **truth)
        .count())
}
