//! Learning from texts that nobody labelled, such as those that are to be classified.
//!
//! The head guesses probabilities for them, is fitted on the support set and the guesses together, and
//! guesses again: logistic regression by classification EM with soft classes. A head's own guesses weigh little
//! beside the support set, those pooled with a teacher's ([`crate::co_training`]) more, and no share of the classes is assumed. Texts that are like no example may
//! belong to none of the classes: nothing is learned from them.
//!
//! # Source
//! Amini & Gallinari 2002, "Semi-supervised logistic regression"; Nigam et al. 2000, "Text classification
//! from labeled and unlabeled documents using EM", section 5.3.2 (the weight of the unlabelled). Rounds
//! and weights of own guesses were chosen on the training parts of fifteen public sets (`docs/results.md`).

use crate::head::{Guesses, Head, HeadError, HeadOptions};
use crate::matrix::Matrix;
use crate::softmax::probabilities;
use crate::support::Support;

/// Fewer texts say too little.
const LEAST: usize = 50;
/// With fewer examples a label the guesses are too often wrong: learning from them lost two points with
/// one example a label, nothing with two, and gained 1.5 with four.
const LEAST_SHOTS: usize = 4;
/// How often guesses are made and learned from.
const ROUNDS: usize = 3;
/// Guesses are made at the temperature over this: nearer to a decision than they are honest, since what
/// is learned from a guess of one half is one half.
const SHARPNESS: f64 = 3.0;
/// What all guesses together count beside the support set.
const SHARE: f64 = 0.5;
/// What one guess counts at most beside an example, however few there are.
const MOST: f64 = 0.1;
/// [`SHARPNESS`] of guesses that are pooled with a teacher's; this and the next were chosen on halves of the training
/// parts of ten sets (`docs/tuning.md`).
const TAUGHT_SHARPNESS: f64 = 2.0;
/// [`SHARE`] of these.
const TAUGHT_SHARE: f64 = 2.0;
/// [`MOST`] of these: a guess is no example.
const TAUGHT_MOST: f64 = 0.5;
/// A text is learned from if some example is as similar to it as, to this share of the examples, the
/// most similar one of their class is at most. A half learned less from texts that do belong to a class.
const FAR: f64 = 0.25;
/// Most examples that a text is compared with: memory grows with their square.
const COMPARED: usize = 1000;

/// A head that has learned from guesses too, and its temperature.
pub(crate) struct Adapted {
    pub head: Box<dyn Head>,
    pub temperature: f64,
}

/// Fits `head` anew with guesses for `features`, `[texts, width]`; none if this kind of head cannot,
/// there are fewer than 50 texts, or fewer than four examples a label on average. The temperature keeps the mean probability of the most probable class as it
/// was: to have learned from its own guesses makes a head no surer. A text that is like no example takes
/// its share of the guesses' weight along.
///
/// # Errors
/// As [`HeadOptions::fit`].
pub(crate) fn adapt(
    head: &dyn Head,
    temperature: f64,
    support: &Support,
    features: &Matrix,
    options: &HeadOptions,
    seed: u64,
) -> Result<Option<Adapted>, HeadError> {
    if !enough(support, features.rows()) {
        return Ok(None);
    }
    let near = near_examples(support, features);
    if near.is_empty() {
        return Ok(None);
    }
    let rows = support.features().rows() as f64;
    let weight = (SHARE * rows / features.rows() as f64).min(MOST);
    let learned_from = features.select(&near);
    let guess = |logits: &Matrix, temperature: f64| {
        probabilities(&logits.select(&near), temperature / SHARPNESS)
    };
    let logits = head.logits(features)?;
    let confidence = mean_best(&probabilities(&logits, temperature));
    let mut guessed = guess(&logits, temperature);
    let mut adapted = None;
    for _ in 0..ROUNDS {
        let guesses = Guesses {
            features: &learned_from,
            probabilities: &guessed,
            weight,
        };
        let Some(head) = options.fit_with(support, &guesses, seed)? else {
            return Ok(None);
        };
        let logits = head.logits(features)?;
        let temperature = temperature_for(&logits, confidence);
        guessed = guess(&logits, temperature);
        adapted = Some(Adapted { head, temperature });
    }
    Ok(adapted)
}

/// Fits a head with guesses that are pooled with a teacher's, as logits `[texts, ways]`, at those of the texts that are at the places
/// `near`; none if this kind of head cannot, or there are no such texts. The temperature gives all texts the mean probability of the most
/// probable class that the guesses have.
///
/// # Errors
/// As [`HeadOptions::fit`].
pub(crate) fn learn_guesses(
    guesses: &Matrix,
    near: &[usize],
    support: &Support,
    features: &Matrix,
    options: &HeadOptions,
    seed: u64,
) -> Result<Option<Adapted>, HeadError> {
    if near.is_empty() {
        return Ok(None);
    }
    let rows = support.features().rows() as f64;
    let learned_from = Guesses {
        features: &features.select(near),
        probabilities: &probabilities(&guesses.select(near), 1.0 / TAUGHT_SHARPNESS),
        weight: (TAUGHT_SHARE * rows / features.rows() as f64).min(TAUGHT_MOST),
    };
    let Some(head) = options.fit_with(support, &learned_from, seed)? else {
        return Ok(None);
    };
    let confidence = mean_best(&probabilities(guesses, 1.0));
    let temperature = temperature_for(&head.logits(features)?, confidence);
    Ok(Some(Adapted { head, temperature }))
}

/// The texts that are no farther from the examples than most examples from those of their own class.
pub(crate) fn near_examples(support: &Support, features: &Matrix) -> Vec<usize> {
    let (examples, classes) = support.sample(COMPARED);
    let mut usual = nearest_of_own(&examples, &classes);
    usual.sort_by(f32::total_cmp);
    // No class has two examples: nothing tells what is far.
    let Some(&least) = usual.get((FAR * usual.len() as f64) as usize) else {
        return (0..features.rows()).collect();
    };
    let similarities = features.products(&examples);
    let near = |row: &[f32]| row.iter().any(|&similarity| similarity >= least);
    (0..features.rows())
        .filter(|&text| near(similarities.row(text)))
        .collect()
}

/// The similarity of each example to the most similar other one of its class; none for one alone.
fn nearest_of_own(examples: &Matrix, classes: &[usize]) -> Vec<f32> {
    let similarities = examples.products(examples);
    let nearest = |row: usize| {
        let own = |&other: &usize| other != row && classes[other] == classes[row];
        let others = (0..classes.len()).filter(own);
        others
            .map(|other| similarities.row(row)[other])
            .max_by(f32::total_cmp)
    };
    (0..classes.len()).filter_map(nearest).collect()
}

/// Whether so many texts, beside this support set, are worth learning from.
pub(crate) fn enough(support: &Support, texts: usize) -> bool {
    texts >= LEAST && enough_examples(support.examples(), support.ways())
}

/// Whether so many examples of so many classes can make guesses that are worth learning from.
pub(crate) fn enough_examples(examples: usize, ways: usize) -> bool {
    examples >= LEAST_SHOTS * ways
}

/// The mean probability of the most probable class.
fn mean_best(probabilities: &Matrix) -> f64 {
    let best = |row: &[f32]| f64::from(row.iter().copied().fold(0.0, f32::max));
    probabilities.iter_rows().map(best).sum::<f64>() / probabilities.rows() as f64
}

/// Range of ln(temperature).
const RANGE: f64 = 4.0;

/// The temperature that gives this mean of the best probabilities, which falls as it rises: by
/// bisection.
fn temperature_for(logits: &Matrix, confidence: f64) -> f64 {
    let (mut from, mut to) = (-RANGE, RANGE);
    while to - from > 1e-4 {
        let middle = f64::midpoint(from, to);
        if mean_best(&probabilities(logits, middle.exp())) > confidence {
            from = middle;
        } else {
            to = middle;
        }
    }
    f64::midpoint(from, to).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{HeadKind, MlpOptions, Start};
    use crate::random::Random;
    use crate::softmax::argmax;

    /// Two long clouds side by side; what tells them apart is narrow, and most examples lie where the long
    /// direction misleads.
    struct Clouds {
        support: Support,
        features: Matrix,
        truth: Vec<usize>,
    }

    fn clouds(seed: u64, shots: usize) -> Clouds {
        let mut random = Random::new(seed);
        let truth: Vec<usize> = (0..400).map(|row| row % 2).collect();
        let mut point = |&class: &usize| {
            let side = if class == 0 { -1.0 } else { 1.0 };
            let values = [side + 0.3 * random.normal(), 0.7 * random.normal()];
            let length = values[0].hypot(values[1]);
            values.map(|value| value / length)
        };
        let rows: Vec<[f32; 2]> = truth.iter().map(&mut point).collect();
        let angles = [75f32, 75.0, 45.0, 5.0].into_iter().cycle().take(shots);
        let examples: Vec<[f32; 2]> = angles
            .map(|angle| angle.to_radians())
            .flat_map(|angle| [-1.0, 1.0].map(|side| [side * angle.cos(), side * angle.sin()]))
            .collect();
        let examples = Matrix::from_rows(&examples).expect("rows");
        Clouds {
            support: Support::new(examples, [0, 1].repeat(shots), 2).expect("complete"),
            features: Matrix::from_rows(&rows).expect("rows"),
            truth,
        }
    }

    fn accuracy(head: &dyn Head, clouds: &Clouds) -> f64 {
        let logits = head.logits(&clouds.features).expect("same width");
        let right = logits.iter_rows().zip(&clouds.truth);
        right.filter(|(row, truth)| argmax(row) == **truth).count() as f64 / 400.0
    }

    fn options(kind: HeadKind) -> HeadOptions {
        HeadOptions {
            kind,
            ..HeadOptions::default()
        }
    }

    #[test]
    fn clouds_without_labels_correct_a_head() {
        for kind in [HeadKind::Linear, HeadKind::Mlp] {
            let clouds = clouds(1, LEAST_SHOTS);
            let options = options(kind);
            let head = options.fit(&clouds.support, 1).expect("fits");
            let before = accuracy(&*head, &clouds);
            let adapted = adapt(&*head, 0.5, &clouds.support, &clouds.features, &options, 1);
            let adapted = adapted.expect("fits").expect("this kind can");
            let after = accuracy(&*adapted.head, &clouds);
            assert!(after > before, "{kind:?}: {after}, before {before}");
            assert_eq!(adapted.head.kind(), kind);
            // No surer than before.
            let confidence = |head: &dyn Head, temperature| {
                mean_best(&probabilities(
                    &head.logits(&clouds.features).expect("width"),
                    temperature,
                ))
            };
            let (old, new) = (
                confidence(&*head, 0.5),
                confidence(&*adapted.head, adapted.temperature),
            );
            assert!((old - new).abs() < 1e-3, "{old} {new}");
        }
    }

    /// Guesses that know better are learned from where they are near, and the head is as sure as they are.
    #[test]
    fn pooled_guesses_are_learned_from() {
        let clouds = clouds(1, LEAST_SHOTS);
        let (support, features) = (&clouds.support, &clouds.features);
        let known = |&class: &usize| [[1.5f32, 0.0], [0.0, 1.5]][class];
        let guesses: Vec<[f32; 2]> = clouds.truth.iter().map(known).collect();
        let guesses = Matrix::from_rows(&guesses).expect("rows");
        let all: Vec<usize> = (0..400).collect();
        for kind in [HeadKind::Linear, HeadKind::Mlp] {
            let options = options(kind);
            let before = options.fit(support, 1).expect("fits");
            let learn = |near: &[usize]| {
                learn_guesses(&guesses, near, support, features, &options, 1).expect("fits")
            };
            let taught = learn(&all).expect("this kind can");
            assert!(accuracy(&*taught.head, &clouds) > accuracy(&*before, &clouds) + 0.05);
            let logits = taught.head.logits(features).expect("same width");
            let confidence = mean_best(&probabilities(&logits, taught.temperature));
            assert!((confidence - mean_best(&probabilities(&guesses, 1.0))).abs() < 1e-3);
            assert!(learn(&[]).is_none());
            let some = learn(&all[..40]).expect("this kind can");
            assert!(some.head.logits(features).expect("same width") != logits);
        }
        let prototype = options(HeadKind::Prototype);
        let learned = learn_guesses(&guesses, &all, support, features, &prototype, 1);
        assert!(learned.expect("fits").is_none());
    }

    /// Texts in another direction than all examples: half of what is to be classified.
    #[test]
    fn texts_like_no_example_teach_nothing() {
        let clouds = clouds(3, LEAST_SHOTS);
        let away = Matrix::from_rows(&[[0.6f32, -0.8]].repeat(400)).expect("rows");
        let mut features = clouds.features.clone();
        features.extend(&away);
        let near = near_examples(&clouds.support, &features);
        assert!(!near.is_empty() && near.iter().all(|&text| text < 400));
        assert!(near_examples(&clouds.support, &away).is_empty());
    }

    #[test]
    fn single_examples_do_not_tell_what_is_far() {
        let alone = clouds(4, 1);
        let near = near_examples(&alone.support, &alone.features);
        assert_eq!(near.len(), 400);
    }

    #[test]
    fn other_heads_few_texts_and_few_examples_change_nothing() {
        let clouds = [LEAST_SHOTS, LEAST_SHOTS - 1].map(|shots| clouds(2, shots));
        let [clouds, fewer] = &clouds;
        let adapt_on = |clouds: &Clouds, options: &HeadOptions, features: &Matrix| {
            let head = options.fit(&clouds.support, 1).expect("fits");
            adapt(&*head, 1.0, &clouds.support, features, options, 1)
                .expect("fits")
                .is_some()
        };
        let adapt = |options: &HeadOptions, features: &Matrix| adapt_on(clouds, options, features);
        let random = HeadOptions {
            mlp: MlpOptions {
                start: Start::Random,
                epochs: 1,
                ..MlpOptions::default()
            },
            ..HeadOptions::default()
        };
        assert!(!adapt(&options(HeadKind::Prototype), &clouds.features));
        assert!(!adapt(&random, &clouds.features));
        for few in [0, LEAST - 1] {
            let few = clouds.features.select(&(0..few).collect::<Vec<_>>());
            assert!(!adapt(&options(HeadKind::Linear), &few));
        }
        let linear = options(HeadKind::Linear);
        assert!(adapt(&linear, &clouds.features));
        assert!(!adapt_on(fewer, &linear, &fewer.features));
    }
}
