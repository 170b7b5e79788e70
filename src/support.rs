//! The support set as heads see it: labelled features, examples first, prior knowledge after them.

use serde::{Deserialize, Serialize};

use crate::matrix::Matrix;
use crate::random::Random;

/// How much an example of a rare class counts beside one of a frequent class. Where all classes have as
/// many examples, all count 1.
///
/// # Source
/// scikit-learn's `class_weight="balanced"`, after King & Zeng 2001, "Logistic regression in rare events data".
/// What each gains and costs is in `docs/results.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    /// All alike: frequent classes stay favoured.
    None,
    /// The square root of [`Balanced`](Self::Balanced): rare classes are found more often, at little or
    /// no cost to the accuracy.
    #[default]
    Sqrt,
    /// All classes weigh alike: examples / (ways · examples of the class).
    Balanced,
}

impl ClassWeights {
    fn of(self, share: f64) -> f64 {
        match self {
            Self::None => 1.0,
            Self::Sqrt => share.sqrt().recip(),
            Self::Balanced => share.recip(),
        }
    }
}

/// Features and classes that a head is fitted on.
///
/// The first rows are examples that a person labelled. The rows after them are prior examples,
/// such as the labels' own names: they are fitted on, but never held out to judge a head, since
/// they are not what will be classified.
#[derive(Debug, Clone)]
pub struct Support {
    features: Matrix,
    classes: Vec<usize>,
    ways: usize,
    examples: usize,
    class_weights: ClassWeights,
}

/// A support set without some of its examples, and those examples.
#[derive(Debug, Clone)]
pub(crate) struct Split {
    pub support: Support,
    pub held_out: Matrix,
    pub truth: Vec<usize>,
}

/// Examples in all splits together: up to 256 examples may be split in eight.
const SPLIT_EXAMPLES: usize = 2048;

impl Support {
    /// Examples without prior.
    ///
    /// # Shapes
    /// - `features`: `[examples, width]`
    /// - `classes`: one index below `ways` an example; every class at least once
    ///
    /// Returns `None` if the counts differ, or a class is missing or out of range.
    #[must_use]
    pub fn new(features: Matrix, classes: Vec<usize>, ways: usize) -> Option<Self> {
        let known = classes.iter().all(|&class| class < ways);
        let complete = (0..ways).all(|class| classes.contains(&class));
        let examples = classes.len();
        (features.rows() == examples && known && complete).then_some(Self {
            features,
            classes,
            ways,
            examples,
            class_weights: ClassWeights::None,
        })
    }

    /// The same with other class weights; [`Support::new`] has none.
    #[must_use]
    pub fn weighted(&self, class_weights: ClassWeights) -> Self {
        Self {
            class_weights,
            ..self.clone()
        }
    }

    /// What each row counts, above 0, prior examples as the examples of their class: one number a row of
    /// [`features`](Self::features).
    #[must_use]
    pub fn weights(&self) -> Vec<f64> {
        let mut counts = vec![0usize; self.ways];
        self.classes[..self.examples]
            .iter()
            .for_each(|&class| counts[class] += 1);
        // 1 where all classes are as frequent.
        let share = |class: usize| (self.ways * counts[class]) as f64 / self.examples as f64;
        let weight = |&class: &usize| self.class_weights.of(share(class));
        self.classes.iter().map(weight).collect()
    }

    /// The same with prior examples behind its rows.
    ///
    /// # Panics
    /// If the prior's width is another, or a class is out of range.
    #[must_use]
    pub fn with_prior(&self, features: &Matrix, classes: &[usize]) -> Self {
        assert!(features.rows() == classes.len() && classes.iter().all(|&class| class < self.ways));
        let mut support = self.clone();
        support.features.extend(features);
        support.classes.extend_from_slice(classes);
        support
    }

    /// `[rows, width]`.
    #[must_use]
    pub fn features(&self) -> &Matrix {
        &self.features
    }

    /// One class a row.
    #[must_use]
    pub fn classes(&self) -> &[usize] {
        &self.classes
    }

    /// Number of classes.
    #[must_use]
    pub fn ways(&self) -> usize {
        self.ways
    }

    /// Number of rows that are examples, not prior.
    #[must_use]
    pub fn examples(&self) -> usize {
        self.examples
    }

    /// Features and classes of the examples, or of at most `most` of them, in even steps through class after
    /// class.
    pub(crate) fn sample(&self, most: usize) -> (Matrix, Vec<usize>) {
        let step = self.examples.div_ceil(most).max(1);
        let mut rows: Vec<usize> = (0..self.examples).collect();
        rows.sort_by_key(|&row| self.classes[row]);
        let rows: Vec<usize> = rows.into_iter().step_by(step).collect();
        let classes = rows.iter().map(|&row| self.classes[row]).collect();
        (self.features.select(&rows), classes)
    }

    /// Splits that hold out each example once and keep an example of every class, and the whole
    /// prior, to fit on. Their number is the smallest class's count, at most `most`, and fewer, two
    /// at least, where the examples are many: each split costs a fit. Classes are spread evenly.
    /// Empty if some class has one example only.
    pub(crate) fn splits(&self, most: usize, seed: u64) -> Vec<Split> {
        let most = most.min((SPLIT_EXAMPLES / self.examples.max(1)).max(2));
        let places = fold_of_each(&self.classes[..self.examples], self.ways, most, seed);
        let count = places.iter().max().map_or(0, |&last| last + 1);
        let folds = if count < 2 { 0 } else { count };
        (0..folds).map(|fold| self.split(&places, fold)).collect()
    }

    /// Without a random quarter of each class's examples, rounded down but at least one where a class
    /// has two; the whole prior stays.
    pub(crate) fn without_a_quarter(&self, random: &mut Random) -> Self {
        let mut places = vec![0; self.examples];
        for class in 0..self.ways {
            let mut own: Vec<usize> = (0..self.examples)
                .filter(|&row| self.classes[row] == class)
                .collect();
            let out = (own.len() / 4).max(usize::from(own.len() > 1));
            random.shuffle_first(&mut own, out);
            own[..out].iter().for_each(|&row| places[row] = 1);
        }
        self.split(&places, 1).support
    }

    fn split(&self, places: &[usize], fold: usize) -> Split {
        let held = |&row: &usize| places.get(row) == Some(&fold);
        let (out, rest): (Vec<usize>, Vec<usize>) = (0..self.classes.len()).partition(held);
        let pick = |rows: &[usize]| {
            rows.iter()
                .map(|&row| self.classes[row])
                .collect::<Vec<_>>()
        };
        let support = Self {
            features: self.features.select(&rest),
            classes: pick(&rest),
            ways: self.ways,
            examples: self.examples - out.len(),
            class_weights: self.class_weights,
        };
        Split {
            support,
            held_out: self.features.select(&out),
            truth: pick(&out),
        }
    }
}

/// The number of the fold that each row belongs to; all 0 if some class has one row only.
fn fold_of_each(classes: &[usize], ways: usize, most: usize, seed: u64) -> Vec<usize> {
    let mut random = Random::new(seed);
    let mut by_class: Vec<Vec<usize>> = vec![Vec::new(); ways];
    classes
        .iter()
        .enumerate()
        .for_each(|(row, &class)| by_class[class].push(row));
    let count = by_class
        .iter()
        .map(Vec::len)
        .min()
        .unwrap_or(0)
        .clamp(1, most.max(1));
    let mut places = vec![0; classes.len()];
    for rows in &mut by_class {
        random.shuffle(rows);
        rows.iter()
            .enumerate()
            .for_each(|(at, &row)| places[row] = at % count);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A support set whose features are the rows' own numbers.
    fn numbered(classes: Vec<usize>, ways: usize) -> Support {
        let values = (0..classes.len()).map(|row| row as f32).collect();
        let features = Matrix::from_values(1, values).expect("one column");
        Support::new(features, classes, ways).expect("complete")
    }

    proptest! {
        #[test]
        fn each_example_is_held_out_once_and_no_class_or_prior_is_missing(
            extra in prop::collection::vec(0usize..4, 0..30), seed in any::<u64>()
        ) {
            let classes: Vec<usize> = [0, 0, 1, 1, 2, 2, 3, 3].into_iter().chain(extra).collect();
            let count = classes.len();
            let prior = Matrix::from_values(1, vec![-1.0, -2.0]).expect("one column");
            let support = numbered(classes, 4).with_prior(&prior, &[0, 1]);
            let splits = support.splits(5, seed);
            let mut held: Vec<f32> = splits.iter().flat_map(|s| s.held_out.values().to_vec()).collect();
            held.sort_by(f32::total_cmp);
            prop_assert_eq!(held, (0..count).map(|row| row as f32).collect::<Vec<_>>());
            for split in &splits {
                let examples = &split.support.classes[..split.support.examples];
                prop_assert!((0..4).all(|class| examples.contains(&class)));
                let kept = split.support.features.values();
                prop_assert!(kept.ends_with(&[-1.0, -2.0]));
                prop_assert!(split.held_out.values().iter().all(|row| !kept.contains(row)));
                prop_assert_eq!(split.held_out.rows(), split.truth.len());
            }
            let again = support.splits(5, seed);
            prop_assert!(splits.iter().zip(&again).all(|(a, b)| a.held_out == b.held_out));
        }
    }

    #[test]
    fn a_sample_is_taken_from_all_examples_and_no_prior() {
        let prior = Matrix::zeros(2, 1);
        let support = numbered([0, 1].repeat(50), 2).with_prior(&prior, &[0, 1]);
        assert_eq!(support.sample(100).1.len(), 100);
        let (features, classes) = support.sample(50);
        assert_eq!(classes, [vec![0; 25], vec![1; 25]].concat());
        let numbers = (0..25).flat_map(|at| [4.0 * at as f32, 4.0 * at as f32 + 1.0]);
        let mut found = features.values().to_vec();
        found.sort_by(f32::total_cmp);
        assert_eq!(found, numbers.collect::<Vec<_>>());
    }

    #[test]
    fn rare_classes_weigh_more_and_equal_ones_alike() {
        let prior = Matrix::zeros(2, 1);
        let support = numbered(vec![0, 0, 0, 1], 2).with_prior(&prior, &[0, 1]);
        assert_eq!(support.weights(), [1.0; 6]);
        let balanced = support.weighted(ClassWeights::Balanced).weights();
        let (frequent, rare) = (2.0 / 3.0, 2.0);
        assert_eq!(
            balanced,
            [frequent, frequent, frequent, rare, frequent, rare]
        );
        let sqrt = support.weighted(ClassWeights::Sqrt).weights();
        let squares = sqrt.iter().map(|weight| weight * weight);
        assert!(squares.zip(balanced).all(|(a, b)| (a - b).abs() < 1e-12));
        let even = numbered(vec![0, 1, 1, 0], 2).weighted(ClassWeights::Balanced);
        assert_eq!(even.weights(), [1.0; 4]);
        assert!(even.splits(2, 1)[0].support.class_weights == ClassWeights::Balanced);
    }

    #[test]
    fn one_example_of_a_class_leaves_nothing_to_hold_out() {
        assert!(numbered(vec![0, 0, 1], 2).splits(4, 1).is_empty());
    }

    #[test]
    fn a_missing_or_foreign_class_is_refused() {
        let features = Matrix::zeros(2, 3);
        assert!(Support::new(features.clone(), vec![0, 0], 2).is_none());
        assert!(Support::new(features.clone(), vec![0, 2], 2).is_none());
        assert!(Support::new(features, vec![0], 1).is_none());
    }
}
