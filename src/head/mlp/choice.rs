//! How long to train, told by held-out examples.

use rayon::prelude::*;

use super::training::Training;
use crate::head::{Head, HeadError, HeadOptions, Linear};
use crate::held_out::{HeldOut, Part};
use crate::support::{Split, Support};

/// Most parts that the support set is split into to choose the length of training.
const MOST_FOLDS: usize = 4;
/// Epochs or episodes after the best one so far at which no better one is looked for.
const PATIENCE: usize = 5;

/// How long to train.
#[derive(Default)]
pub(super) struct Choice {
    /// Epochs or episodes; 0 stays at the start, logistic regression.
    pub length: usize,
    /// What heads trained so long say of held-out examples; none for the start.
    pub held_out: Option<HeldOut>,
}

/// The number of epochs or episodes after which the fewest held-out examples were wrong, the
/// smallest of equals; none at all unless it corrects more examples than chance would.
///
/// The held-out loss would be the other choice, but it mostly falls because logits grow, which the
/// temperature does without touching the decisions; choosing by it cost up to 0.4 points.
pub(super) fn choose_length(
    support: &Support,
    options: &HeadOptions,
    seed: u64,
) -> Result<Choice, HeadError> {
    if options.mlp.length() == 0 {
        return Ok(Choice::default());
    }
    let splits = support.splits(MOST_FOLDS, seed);
    let starts: Vec<Linear> = splits
        .par_iter()
        .map(|split| Linear::fit(&split.support, &options.linear))
        .collect();
    let start = held_out(&splits, &starts, |start| start)?.right();
    if start.iter().all(|&right| right) {
        return Ok(Choice::default());
    }
    let mut trainings: Vec<Training> = splits
        .par_iter()
        .zip(&starts)
        .map(|(split, start)| Training::from_linear(&split.support, start, &options.mlp, seed))
        .collect::<Result<_, _>>()?;
    let best = train(&splits, &mut trainings, options.mlp.length(), &start)?;
    Ok(if better_than_chance(&start, &best) {
        best
    } else {
        Choice::default()
    })
}

/// Trains all folds side by side, and stops when a while has brought nothing.
fn train(
    splits: &[Split],
    trainings: &mut [Training],
    most: usize,
    start: &[bool],
) -> Result<Choice, HeadError> {
    let mut best = Choice::default();
    let mut fewest = errors(start);
    for length in 1..=most {
        trainings.par_iter_mut().try_for_each(Training::advance)?;
        let held_out = held_out(splits, trainings, |training| training.mlp())?;
        let wrong = errors(&held_out.right());
        if wrong < fewest {
            fewest = wrong;
            best = Choice {
                length,
                held_out: Some(held_out),
            };
        } else if length - best.length >= PATIENCE {
            break;
        }
    }
    Ok(best)
}

/// What a head of each split says of its held-out examples.
fn held_out<T: Sync, H: Head>(
    splits: &[Split],
    of: &[T],
    head: impl Fn(&T) -> &H + Sync,
) -> Result<HeldOut, HeadError> {
    let part = |(split, of): (&Split, &T)| {
        let logits = head(of).logits(&split.held_out)?;
        let truth = split.truth.clone();
        Ok(Part { logits, truth })
    };
    let parts = splits.par_iter().zip(of).map(part);
    Ok(HeldOut::of(parts.collect::<Result<_, HeadError>>()?))
}

fn errors(right: &[bool]) -> usize {
    right.iter().filter(|&&right| !right).count()
}

/// Whether training corrected so many more examples than it spoilt as coins would in one of forty
/// cases (McNemar 1947). By the fewest errors alone, training was kept by luck, and lost 3.6 points on
/// one draw of 77 labels.
fn better_than_chance(start: &[bool], choice: &Choice) -> bool {
    let Some(held_out) = &choice.held_out else {
        return false;
    };
    let trained = held_out.right();
    let pairs = || start.iter().zip(&trained);
    let corrected = pairs().filter(|&(before, after)| !before && *after).count();
    let spoilt = pairs().filter(|&(before, after)| *before && !after).count();
    corrected as f64 - spoilt as f64 > 2.0 * ((corrected + spoilt) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::MlpOptions;
    use crate::matrix::Matrix;
    use crate::random::Random;

    /// 120 points of a square, with classes that are given by their place or have nothing to do with it.
    fn chosen(class: impl Fn(&[f32; 2], usize) -> usize, seed: u64) -> Choice {
        let mut random = Random::new(seed);
        let points: Vec<[f32; 2]> = (0..120)
            .map(|_| [random.normal(), random.normal()])
            .collect();
        let classes = points.iter().enumerate();
        let classes = classes.map(|(at, point)| class(point, at)).collect();
        let features = Matrix::from_rows(&points).expect("rows");
        let support = Support::new(features, classes, 2).expect("complete");
        let options = HeadOptions {
            mlp: MlpOptions {
                epochs: 40,
                learning_rate: 0.01,
                ..MlpOptions::default()
            },
            ..HeadOptions::default()
        };
        choose_length(&support, &options, 1).expect("trains")
    }

    /// Opposite corners are a class, which no line parts.
    #[test]
    fn training_is_kept_where_it_corrects_the_linear_start() {
        let choice = chosen(|point, _| usize::from(point[0] * point[1] > 0.0), 1);
        assert!(choice.length > 0);
        let held_out = choice.held_out.expect("trained");
        let wrong = errors(&held_out.right());
        assert!(wrong < 40, "{wrong} of 120 wrong");
    }

    #[test]
    fn training_is_not_kept_by_luck() {
        for seed in 1..=5 {
            let choice = chosen(|_, at| at % 2, seed);
            assert_eq!(choice.length, 0, "seed {seed}");
            assert!(choice.held_out.is_none());
        }
    }
}
