//! The loss of an episode: ridge regression fitted on one half of its texts, the support set, is to tell
//! the classes of the other half, the query set, and the other way round.
//!
//! # Source
//! Bertinetto et al. 2019, "Meta-learning with differentiable closed-form solvers", section 3.2 (R2-D2).

use super::loss::Units;
use crate::cholesky::Cholesky;
use crate::encoder::kernels::add_scaled;
use crate::matrix::Matrix;
use crate::softmax::softmax_f64;

/// The penalty of the ridge regression, of vectors of about length 1.
const PENALTY: f64 = 0.5;
/// What makes logits of scores, which are at best 1 for the class and 0 for the others.
const SCALE: f64 = 8.0;

/// The mean over both halves of the mean cross-entropy when one is classified by the other, and its
/// gradient, `[texts, width]`. The texts of a class go to the halves in turn. A text whose class the other
/// half does not have counts nothing.
pub(super) fn episode_loss(vectors: &Matrix, classes: &[usize]) -> (f64, Matrix) {
    // As a classifier's features: less their mean, of length 1.
    let units = Units::of(vectors);
    let centred = Units::of(&less_mean(units.rows()));
    let gram = centred.rows().products(centred.rows());
    let [first, second] = halves(classes);
    let mut slope = Matrix::zeros(classes.len(), classes.len());
    let mut loss = 0.0;
    for (support, query) in [(&first, &second), (&second, &first)] {
        if let Some(episode) = Episode::new(&gram, classes, support, query) {
            loss += 0.5 * episode.add_slope(&mut slope);
        }
    }
    let mut gradient = Matrix::zeros(classes.len(), vectors.columns());
    for (a, b) in pairs(classes.len()) {
        let weight = 0.5 * (slope.row(a)[b] + slope.row(b)[a]);
        add_scaled(gradient.row_mut(a), centred.rows().row(b), weight);
    }
    (loss, units.gradient(less_mean(&centred.gradient(gradient))))
}

fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |a| (0..count).map(move |b| (a, b)))
}

/// The gradient goes back the same way: the projection is symmetric.
fn less_mean(rows: &Matrix) -> Matrix {
    let mean = rows.mean_row();
    let mut less = rows.clone();
    for at in 0..rows.rows() {
        add_scaled(less.row_mut(at), &mean, -1.0);
    }
    less
}

/// The places of every class's texts, dealt out in turn.
fn halves(classes: &[usize]) -> [Vec<usize>; 2] {
    let mut halves = [Vec::new(), Vec::new()];
    for (at, class) in classes.iter().enumerate() {
        let before = classes[..at].iter().filter(|&other| other == class);
        halves[before.count() % 2].push(at);
    }
    halves
}

/// A support set with its ridge regression, and a query set.
struct Episode<'g> {
    gram: &'g Matrix,
    support: &'g [usize],
    /// Places of the texts whose class the support set has, and the place of the class in it.
    query: Vec<(usize, usize)>,
    /// Of the support set's Gram matrix plus the penalty.
    factor: Cholesky,
    /// Of each class, the weights of the support set's texts in its score.
    weights: Vec<Vec<f64>>,
}

impl<'g> Episode<'g> {
    /// None if there is nothing to tell.
    fn new(
        gram: &'g Matrix,
        classes: &[usize],
        support: &'g [usize],
        query: &[usize],
    ) -> Option<Self> {
        let mut known: Vec<usize> = support.iter().map(|&at| classes[at]).collect();
        known.sort_unstable();
        known.dedup();
        let place = |at: usize| Some((at, known.binary_search(&classes[at]).ok()?));
        let query: Vec<(usize, usize)> = query.iter().filter_map(|&at| place(at)).collect();
        if query.is_empty() {
            return None;
        }
        let mut factor = Cholesky::default();
        for &at in support {
            let row = gram.row(at);
            let beside = support.iter().map(|&other| row[other]);
            factor.push(beside, f64::from(row[at]) + PENALTY);
        }
        let mean = 1.0 / known.len() as f64;
        let target = |at: usize, class: usize| f64::from(u8::from(classes[at] == class)) - mean;
        let targets = |&class: &usize| support.iter().map(|&at| target(at, class)).collect();
        let weights = known.iter().map(|class| factor.solve(targets(class)));
        Some(Self {
            gram,
            support,
            query,
            weights: weights.collect(),
            factor,
        })
    }

    /// Adds the slope of the loss along each entry of the Gram matrix, and gives the loss.
    fn add_slope(&self, slope: &mut Matrix) -> f64 {
        let share = 1.0 / self.query.len() as f64;
        let mut loss = 0.0;
        let mut of_weights = vec![vec![0.0; self.support.len()]; self.weights.len()];
        for &(at, class) in &self.query {
            let mut errors = self.probabilities(at);
            loss -= share * errors[class].max(1e-30).ln();
            errors[class] -= 1.0;
            for ((error, weights), of_weights) in
                errors.iter().zip(&self.weights).zip(&mut of_weights)
            {
                let error = SCALE * share * error;
                for (i, &support) in self.support.iter().enumerate() {
                    slope.row_mut(at)[support] += (error * weights[i]) as f32;
                    of_weights[i] += error * f64::from(self.gram.row(at)[support]);
                }
            }
        }
        for (weights, of_weights) in self.weights.iter().zip(of_weights) {
            let back = self.factor.solve(of_weights);
            for (i, j) in pairs(self.support.len()) {
                slope.row_mut(self.support[i])[self.support[j]] -= (back[i] * weights[j]) as f32;
            }
        }
        loss
    }

    fn probabilities(&self, at: usize) -> Vec<f64> {
        let row = self.gram.row(at);
        let score = |weights: &Vec<f64>| -> f64 {
            let pairs = weights.iter().zip(self.support);
            pairs.map(|(weight, &at)| weight * f64::from(row[at])).sum()
        };
        let mut logits: Vec<f64> = self.weights.iter().map(|w| SCALE * score(w)).collect();
        softmax_f64(&mut logits);
        logits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const CLASSES: [usize; 13] = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 5];

    fn vectors(noise: f32) -> Matrix {
        let mut random = Random::named(3, "episode");
        let mut value = |text: usize, column: usize| {
            let told = f32::from(u8::from(CLASSES[text] == column));
            told + noise * random.normal()
        };
        let width = 7;
        let values = (0..CLASSES.len() * width).map(|at| value(at / width, at % width));
        Matrix::from_values(width, values.collect()).expect("whole rows")
    }

    /// The loss is that of guessing where vectors say nothing, and small where they tell the class.
    #[test]
    fn the_loss_is_small_where_classes_are_apart() {
        let constant = Matrix::from_values(2, vec![1.0; 26]).expect("whole rows");
        let (guessing, _) = episode_loss(&constant, &CLASSES);
        // The first half has a fourth class, which none of the second has.
        let expected = 0.5 * (4f64.ln() + 3f64.ln());
        assert!((guessing - expected).abs() < 1e-6, "{guessing}");
        assert!(episode_loss(&vectors(0.1), &CLASSES).0 < 0.1);
    }

    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        let vectors = vectors(0.7);
        let (_, gradient) = episode_loss(&vectors, &CLASSES);
        let step = 1e-2;
        for at in 0..gradient.values().len() {
            let loss = |step: f32| {
                let mut moved = vectors.clone();
                moved.values_mut()[at] += step;
                episode_loss(&moved, &CLASSES).0
            };
            let slope = ((loss(step) - loss(-step)) / f64::from(2.0 * step)) as f32;
            let expected = gradient.values()[at];
            assert!((slope - expected).abs() < 1e-3, "{slope} {expected}");
        }
    }

    #[test]
    fn without_a_pair_of_a_class_there_is_nothing_to_learn() {
        let vectors = vectors(0.7).select(&[0, 1, 2]);
        let (loss, gradient) = episode_loss(&vectors, &[0, 1, 2]);
        assert_eq!(loss, 0.0);
        assert!(gradient.values().iter().all(|&value| value == 0.0));
    }
}
