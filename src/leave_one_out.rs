//! By which encoder examples are told apart best.
//!
//! # Source
//! Allen 1974, "The relationship between variable selection and data augmentation and a method for
//! prediction" (the error of leaving one out, in closed form: PRESS).

use rayon::prelude::*;

use crate::cholesky::Cholesky;
use crate::matrix::Matrix;

/// Most examples that are looked at: each is embedded by every encoder, and the time of the closed form
/// grows with their third power.
const MOST: usize = 256;
/// The penalty of the ridge regression, on vectors of length 1: with one to eight examples a label the best of 0.5 and
/// 1 (`docs/tuning.md`).
const PENALTY: f64 = 1.0;

/// The places of the examples that are looked at, in order: all, or every second, third, … of the examples sorted
/// by class, 256 at most.
#[must_use]
pub fn places(classes: &[usize]) -> Vec<usize> {
    let every = classes.len().div_ceil(MOST).max(1);
    let mut by_class: Vec<usize> = (0..classes.len()).collect();
    // Stable: within a class in the order of the file.
    by_class.sort_by_key(|&at| classes[at]);
    let mut places: Vec<usize> = by_class.into_iter().step_by(every).collect();
    places.sort_unstable();
    places
}

/// How badly ridge regression on the others, and on the labels' names, tells each example's class: the mean
/// square of its error. Nothing is fitted twice, and one example a label is enough.
///
/// # Shapes
/// The vectors of examples and names, both `[…, width]`, of any length, and the classes of both.
#[must_use]
pub fn loss([examples, names]: [&Matrix; 2], [classes, of_names]: [&[usize]; 2]) -> f64 {
    let mut vectors = examples.clone();
    vectors.extend(names);
    let ridge = Ridge::fit(&vectors, &[classes, of_names].concat());
    let places = (0..examples.rows()).into_par_iter();
    let errors: Vec<f64> = places.map(|at| ridge.error(at)).collect();
    errors.iter().sum::<f64>() / examples.rows() as f64
}

/// What is left to be learned with this [`loss`], counted in classes: all `ways` of them (at least 2) if the loss is
/// that of a guess, which gives each class the same share, more if it is worse, and none without a loss.
#[must_use]
pub fn remaining(loss: f64, ways: usize) -> f64 {
    let ways = ways as f64;
    ways * loss / (1.0 - 1.0 / ways)
}

/// Ridge regression on the classes, one-hot less an even share.
struct Ridge {
    /// Of the points' inner products and the penalty.
    factor: Cholesky,
    /// `[ways][points]`.
    weights: Vec<Vec<f64>>,
}

impl Ridge {
    fn fit(vectors: &Matrix, classes: &[usize]) -> Self {
        let points = vectors.centred(&vectors.mean_row());
        let gram = points.products(&points);
        let mut factor = Cholesky::default();
        for (at, row) in gram.iter_rows().enumerate() {
            factor.push(row.iter().copied(), f64::from(row[at]) + PENALTY);
        }
        let ways = classes.iter().max().map_or(0, |most| most + 1);
        let targets = |class| {
            classes
                .iter()
                .map(|&own| target(own, class, ways))
                .collect()
        };
        let weights = (0..ways).map(|class| factor.solve(targets(class)));
        Self {
            weights: weights.collect(),
            factor,
        }
    }

    /// The square of the error at point `at` of a fit on all others.
    fn error(&self, at: usize) -> f64 {
        let own = self.factor.inverse_diagonal(at);
        let errors = self.weights.iter().map(|weights| weights[at] / own);
        errors.map(|error| error * error).sum()
    }
}

fn target(own: usize, class: usize, ways: usize) -> f64 {
    f64::from(u8::from(own == class)) - 1.0 / ways as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn random(rows: usize, columns: usize, random: &mut Random) -> Matrix {
        let values = (0..rows * columns).map(|_| random.normal()).collect();
        Matrix::from_values(columns, values).expect("whole rows")
    }

    /// Against fits without the example in question.
    #[test]
    fn the_closed_form_is_that_of_leaving_one_out() {
        let mut source = Random::named(3, "leave one out");
        let (examples, names) = (random(7, 5, &mut source), random(3, 5, &mut source));
        let (classes, of_names) = ([0, 1, 2, 0, 1, 2, 0], [0, 1, 2]);
        let mut all = examples.clone();
        all.extend(&names);
        let points = all.centred(&all.mean_row());
        let gram = points.products(&points);
        let of_all = [&classes[..], &of_names].concat();
        let error = |out: usize| {
            let others: Vec<usize> = (0..10).filter(|&at| at != out).collect();
            let mut factor = Cholesky::default();
            for &at in &others {
                let beside = others.iter().map(|&other| gram.row(at)[other]);
                factor.push(beside, f64::from(gram.row(at)[at]) + PENALTY);
            }
            let of_class = |class: usize| {
                let targets = others.iter().map(|&at| target(of_all[at], class, 3));
                let weights = factor.solve(targets.collect());
                let pairs = weights.iter().zip(&others);
                let score: f64 = pairs.map(|(w, &at)| w * f64::from(gram.row(out)[at])).sum();
                (score - target(of_all[out], class, 3)).powi(2)
            };
            (0..3).map(of_class).sum::<f64>()
        };
        let expected = (0..7).map(error).sum::<f64>() / 7.0;
        let loss = loss([&examples, &names], [&classes, &of_names]);
        assert!(
            (loss - expected).abs() < 1e-5 * expected,
            "{loss}, not {expected}"
        );
    }

    /// Also where there is one example a label.
    #[test]
    fn classes_that_lie_apart_have_the_lower_loss() {
        let mut source = Random::named(4, "leave one out");
        for (rows, ways) in [(4, 4), (20, 2), (60, 3)] {
            let classes: Vec<usize> = (0..rows).map(|at| at % ways).collect();
            let of_names: Vec<usize> = (0..ways).collect();
            let mut place = |classes: &[usize], way: f32| {
                let mut vectors = random(classes.len(), 8, &mut source);
                for (at, &class) in classes.iter().enumerate() {
                    vectors.row_mut(at)[class] += way;
                }
                vectors
            };
            let mut of = |way| {
                let vectors = [place(&classes, way), place(&of_names, way)];
                loss([&vectors[0], &vectors[1]], [&classes, &of_names])
            };
            assert!(of(6.0) < 0.8 * of(0.0), "{rows} examples");
        }
    }

    /// All labels after a guess, hardly any where the classes lie apart.
    #[test]
    fn what_remains_to_be_learned_is_counted_in_classes() {
        let mut source = Random::named(5, "leave one out");
        for ways in [2, 6, 77] {
            let of_guess = 1.0 - 1.0 / ways as f64;
            assert!((remaining(of_guess, ways) - ways as f64).abs() < 1e-9);
        }
        let classes: Vec<usize> = (0..40).map(|at| at % 2).collect();
        let mut vectors = random(40, 8, &mut source);
        for (at, &class) in classes.iter().enumerate() {
            vectors.row_mut(at)[class] += 9.0;
        }
        let names = Matrix::zeros(0, 8);
        let left = remaining(loss([&vectors, &names], [&classes, &[]]), 2);
        assert!(left < 0.5, "{left}");
    }

    #[test]
    fn of_many_examples_some_of_each_class_are_looked_at() {
        assert_eq!(places(&[]), Vec::<usize>::new());
        assert_eq!(places(&[0; 256]).len(), 256);
        // As they come from two people who label in turns, and one class after the other.
        for class in [|at: usize| at % 2, |at: usize| at / 2500] {
            let classes: Vec<usize> = (0..5000).map(class).collect();
            let many = places(&classes);
            assert!(many.len() <= 256 && many[many.len() - 1] > 4900);
            let second = many.iter().filter(|&&at| classes[at] == 1).count();
            assert!((120..=130).contains(&second), "{second} of {}", many.len());
        }
    }
}
