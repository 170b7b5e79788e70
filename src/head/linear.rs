//! Multinomial logistic regression with an L2 penalty, the linear probe.
//!
//! Minimises Σᵢ −wᵢ log softmax(W xᵢ + b)[yᵢ] + ‖W‖² / (2 · strength), the bias not penalised, wᵢ the class
//! weights
//! (Hastie, Tibshirani & Friedman, The Elements of Statistical Learning, 18.3.2), by L-BFGS
//! (Liu & Nocedal 1989) in f64.

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{
    Head, HeadError, HeadKind, Tensors, check_range, check_width, saved, to_matrix, to_tensor,
};
use crate::matmul::{Threads, View, matmul};
use crate::matrix::Matrix;
use crate::softmax::softmax_f64;
use crate::support::Support;

/// How logistic regression is fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinearOptions {
    /// Inverse strength of the penalty, above 0; scikit-learn's `C`. If none is named, 10: the features have
    /// length 1, so that 1 would hold the probabilities near even. On a start that is used as it is, half the number
    /// of classes, at least 3 and at most 10: such features part the classes widely, and a stronger penalty lets
    /// what a handful of examples has in common by chance count less.
    pub strength: Option<f64>,
    /// Most steps of L-BFGS, at least 1; default 200.
    pub max_steps: usize,
}

impl Default for LinearOptions {
    fn default() -> Self {
        Self {
            strength: None,
            max_steps: 200,
        }
    }
}

/// The strength where none is named.
const STRENGTH: f64 = 10.0;
/// The least and most on a start that is used as it is, chosen on the training parts of eighteen sets (`docs/tuning.md`).
const STRENGTH_ON_START: [f64; 2] = [3.0, STRENGTH];

impl LinearOptions {
    fn strength(&self) -> f64 {
        self.strength.unwrap_or(STRENGTH)
    }

    /// The same for the vectors of a start and so many classes.
    pub(super) fn on_start(&self, ways: usize) -> Self {
        let [least, most] = STRENGTH_ON_START;
        let usual = (ways as f64 / 2.0).clamp(least, most);
        Self {
            strength: self.strength.or(Some(usual)),
            ..self.clone()
        }
    }

    pub(super) fn validate(&self) -> Result<(), HeadError> {
        let strength = self.strength();
        let fits = strength > 0.0 && strength.is_finite();
        check_range("strength", strength, fits, "above 0 and finite")?;
        check_range(
            "max_steps",
            self.max_steps as f64,
            self.max_steps > 0,
            "at least 1",
        )
    }
}

/// A linear head: logits `W x + b`.
#[derive(Debug, Clone)]
pub struct Linear {
    /// `[ways, width]`.
    weight: Matrix,
    bias: Vec<f32>,
}

impl Linear {
    /// Fits; deterministic, no randomness.
    #[must_use]
    pub fn fit(support: &Support, options: &LinearOptions) -> Self {
        Self::solve(&Problem::new(support, options.strength()), options)
    }

    /// Fits the support set and guesses together.
    pub(crate) fn fit_with(support: &Support, guesses: &Guesses, options: &LinearOptions) -> Self {
        let mut problem = Problem::new(support, options.strength());
        problem.add(guesses);
        Self::solve(&problem, options)
    }

    fn solve(problem: &Problem, options: &LinearOptions) -> Self {
        let parameters = minimise(problem, options.max_steps);
        let (weight, bias) = parameters.split_at(problem.ways * problem.width);
        let weight = weight.iter().map(|&value| value as f32).collect();
        Self {
            weight: Matrix::from_values(problem.width, weight).unwrap_or_default(),
            bias: bias.iter().map(|&value| value as f32).collect(),
        }
    }

    /// `[ways, width]`.
    #[must_use]
    pub fn weight(&self) -> &Matrix {
        &self.weight
    }

    /// `[ways]`.
    #[must_use]
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    pub(super) fn from_tensors(
        tensors: &Tensors,
        width: usize,
        ways: usize,
    ) -> Result<Self, HeadError> {
        let weight = to_matrix(&saved(tensors, "linear.weight", &[ways, width])?)?;
        Ok(Self {
            weight,
            bias: saved(tensors, "linear.bias", &[ways])?.to_vec1()?,
        })
    }
}

impl Head for Linear {
    fn kind(&self) -> HeadKind {
        HeadKind::Linear
    }

    fn width(&self) -> usize {
        self.weight.columns()
    }

    fn logits(&self, features: &Matrix) -> Result<Matrix, HeadError> {
        check_width(self.width(), features)?;
        let (width, ways) = (self.width(), self.bias.len());
        let mut logits = Matrix::zeros(features.rows(), ways);
        let weight = View::dense(self.weight.values(), width).transposed();
        matmul(
            logits.values_mut(),
            ways,
            View::dense(features.values(), width),
            weight,
            Threads::All,
        );
        for row in logits.values_mut().chunks_exact_mut(ways) {
            row.iter_mut()
                .zip(&self.bias)
                .for_each(|(logit, bias)| *logit += bias);
        }
        Ok(logits)
    }

    fn tensors(&self) -> Result<Tensors, HeadError> {
        let bias = Tensor::from_slice(&self.bias, self.bias.len(), &Device::Cpu)?;
        let weight = ("linear.weight".to_owned(), to_tensor(&self.weight)?);
        Ok(Tensors::from([weight, ("linear.bias".to_owned(), bias)]))
    }
}

/// Features without labels and what their classes may be.
pub(crate) struct Guesses<'a> {
    /// `[rows, width]`.
    pub features: &'a Matrix,
    /// `[rows, ways]`; each row sums to 1.
    pub probabilities: &'a Matrix,
    /// What a row counts beside one that a person labelled.
    pub weight: f64,
}

/// The loss and its gradient. Parameters lie as W, row after row, then b.
struct Problem {
    features: Vec<f64>,
    /// `[rows, ways]`: what each row says for each class. Its sum is the row's weight.
    targets: Vec<f64>,
    width: usize,
    ways: usize,
    penalty: f64,
}

impl Problem {
    fn new(support: &Support, strength: f64) -> Self {
        let (features, ways) = (support.features(), support.ways());
        let values = features.values().iter().map(|&value| f64::from(value));
        let mut targets = vec![0.0; features.rows() * ways];
        let labels = support.classes().iter().zip(support.weights());
        for (row, (&class, weight)) in targets.chunks_exact_mut(ways).zip(labels) {
            row[class] = weight;
        }
        Self {
            features: values.collect(),
            targets,
            width: features.columns(),
            ways,
            penalty: 1.0 / strength,
        }
    }

    fn add(&mut self, guesses: &Guesses) {
        let features = guesses.features.values().iter();
        self.features
            .extend(features.map(|&value| f64::from(value)));
        let shares = guesses.probabilities.values().iter();
        let weighted = shares.map(|&share| guesses.weight * f64::from(share));
        self.targets.extend(weighted);
    }

    fn len(&self) -> usize {
        self.ways * (self.width + 1)
    }

    fn evaluate(&self, parameters: &[f64], gradient: &mut [f64]) -> f64 {
        let (weight, bias) = parameters.split_at(self.ways * self.width);
        let x = View::dense(&self.features, self.width);
        let mut errors = vec![0.0; self.targets.len()];
        matmul(
            &mut errors,
            self.ways,
            x,
            View::dense(weight, self.width).transposed(),
            Threads::All,
        );
        let mut loss = 0.0;
        let targets = self.targets.chunks_exact(self.ways);
        for (row, targets) in errors.chunks_exact_mut(self.ways).zip(targets) {
            row.iter_mut()
                .zip(bias)
                .for_each(|(logit, bias)| *logit += bias);
            let (own, weight) = (dot(row, targets), targets.iter().sum::<f64>());
            loss += weight * softmax_f64(row) - own;
            for (error, target) in row.iter_mut().zip(targets) {
                *error = weight * *error - target;
            }
        }
        let (weight_gradient, bias_gradient) = gradient.split_at_mut(weight.len());
        matmul(
            weight_gradient,
            self.width,
            View::dense(&errors, self.ways).transposed(),
            x,
            Threads::All,
        );
        self.add_penalty(weight, weight_gradient);
        bias_gradient.fill(0.0);
        for row in errors.chunks_exact(self.ways) {
            bias_gradient
                .iter_mut()
                .zip(row)
                .for_each(|(sum, error)| *sum += error);
        }
        loss + 0.5 * self.penalty * dot(weight, weight)
    }

    fn add_penalty(&self, weight: &[f64], gradient: &mut [f64]) {
        gradient
            .iter_mut()
            .zip(weight)
            .for_each(|(g, w)| *g += self.penalty * w);
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// How many past steps L-BFGS remembers.
const MEMORY: usize = 10;
/// The gradient's norm at which the minimum counts as reached: logits are then within a thousandth
/// of the minimum's at the default strength, since the penalty curves the loss by its inverse.
const TOLERANCE: f64 = 1e-4;

/// A step taken and the change of the gradient along it.
struct Curvature {
    step: Vec<f64>,
    change: Vec<f64>,
    inverse: f64,
}

/// L-BFGS with backtracking (Nocedal & Wright, Numerical Optimization, algorithms 7.4, 7.5, 3.1).
/// The problem is strictly convex in W, so there is one minimum.
fn minimise(problem: &Problem, max_steps: usize) -> Vec<f64> {
    let mut parameters = vec![0.0; problem.len()];
    let mut gradient = vec![0.0; problem.len()];
    let mut loss = problem.evaluate(&parameters, &mut gradient);
    let mut memory: Vec<Curvature> = Vec::new();
    for _ in 0..max_steps {
        if dot(&gradient, &gradient).sqrt() < TOLERANCE {
            break;
        }
        let direction = descent(&gradient, &memory);
        let Some(next) = backtrack(problem, &parameters, &gradient, loss, &direction) else {
            break;
        };
        remember(&mut memory, &parameters, &gradient, &next);
        (parameters, gradient, loss) = (next.parameters, next.gradient, next.loss);
    }
    parameters
}

struct Point {
    parameters: Vec<f64>,
    gradient: Vec<f64>,
    loss: f64,
}

fn remember(memory: &mut Vec<Curvature>, parameters: &[f64], gradient: &[f64], next: &Point) {
    let difference = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>();
    let (step, change) = (
        difference(&next.parameters, parameters),
        difference(&next.gradient, gradient),
    );
    let product = dot(&step, &change);
    if product <= 0.0 {
        return;
    }
    if memory.len() == MEMORY {
        memory.remove(0);
    }
    memory.push(Curvature {
        step,
        change,
        inverse: 1.0 / product,
    });
}

/// The two-loop recursion: minus the approximate inverse Hessian times the gradient.
fn descent(gradient: &[f64], memory: &[Curvature]) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut weights = Vec::with_capacity(memory.len());
    for past in memory.iter().rev() {
        let weight = past.inverse * dot(&past.step, &direction);
        add(&mut direction, &past.change, -weight);
        weights.push(weight);
    }
    // Without memory, a step of length 1: the features have length 1, so this is the right order.
    let scale = match memory.last() {
        Some(past) => 1.0 / (past.inverse * dot(&past.change, &past.change)),
        None => 1.0 / dot(gradient, gradient).sqrt(),
    };
    direction.iter_mut().for_each(|value| *value *= scale);
    for (past, weight) in memory.iter().zip(weights.iter().rev()) {
        let correction = weight - past.inverse * dot(&past.change, &direction);
        add(&mut direction, &past.step, correction);
    }
    direction
}

fn add(sum: &mut [f64], other: &[f64], weight: f64) {
    sum.iter_mut()
        .zip(other)
        .for_each(|(sum, other)| *sum += weight * other);
}

/// Halves the step until the loss falls enough; none if it does not.
fn backtrack(
    problem: &Problem,
    from: &[f64],
    gradient: &[f64],
    loss: f64,
    direction: &[f64],
) -> Option<Point> {
    const ENOUGH: f64 = 1e-4;
    const HALVINGS: usize = 40;
    let slope = dot(gradient, direction);
    let mut length = 1.0;
    for _ in 0..HALVINGS {
        let mut parameters = from.to_vec();
        add(&mut parameters, direction, length);
        let mut gradient = vec![0.0; parameters.len()];
        let new = problem.evaluate(&parameters, &mut gradient);
        if new <= loss + ENOUGH * length * slope {
            return Some(Point {
                parameters,
                gradient,
                loss: new,
            });
        }
        length *= 0.5;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const POINTS: [[f32; 2]; 6] = [
        [0.0, 0.2],
        [0.5, -0.3],
        [1.0, 0.1],
        [1.5, 1.0],
        [2.0, 0.4],
        [2.5, 1.3],
    ];
    /// scikit-learn 1.9.1, `LogisticRegression(C=4.0, tol=1e-12, max_iter=10000)`
    /// `.fit(POINTS, [0, 0, 0, 1, 1, 1]).decision_function(POINTS)`. Its binary form penalises one
    /// weight vector where the softmax has two of half the size: C = 4 there is strength 2 here.
    const MARGINS: [f32; 6] = [
        -2.611_095_4,
        -2.326_469_5,
        -0.869_423,
        1.238_968_3,
        1.393_325_2,
        3.501_716_5,
    ];

    fn random_support(seed: u64, rows: usize, width: usize, ways: usize) -> Support {
        let mut random = Random::new(seed);
        let values = (0..rows * width).map(|_| random.normal()).collect();
        let classes = (0..rows).map(|row| row % ways).collect();
        let features = Matrix::from_values(width, values).expect("whole rows");
        Support::new(features, classes, ways).expect("complete")
    }

    #[test]
    fn gradient_agrees_with_finite_differences() {
        let support = random_support(1, 9, 4, 3);
        let problem = Problem::new(&support, 0.7);
        let mut random = Random::new(2);
        let at: Vec<f64> = (0..problem.len())
            .map(|_| f64::from(random.normal()))
            .collect();
        let mut gradient = vec![0.0; at.len()];
        problem.evaluate(&at, &mut gradient);
        for index in 0..at.len() {
            let loss = |change: f64| {
                let mut moved = at.clone();
                moved[index] += change;
                problem.evaluate(&moved, &mut vec![0.0; at.len()])
            };
            let slope = (loss(1e-5) - loss(-1e-5)) / 2e-5;
            assert!((slope - gradient[index]).abs() < 1e-6, "parameter {index}");
        }
    }

    /// Two halves of a label are a label, and a guess of weight 0 is nothing.
    #[test]
    fn guesses_count_by_their_weight() {
        let support = random_support(5, 12, 4, 3);
        let options = LinearOptions::default();
        let mut probabilities = Matrix::zeros(1, 3);
        probabilities.row_mut(0)[1] = 1.0;
        let features = support.features().select(&[0]);
        let with = |weight| {
            let guesses = Guesses {
                features: &features,
                probabilities: &probabilities,
                weight,
            };
            Linear::fit_with(&support, &guesses, &options).weight
        };
        assert_eq!(with(0.0), Linear::fit(&support, &options).weight);
        let labelled = support.with_prior(&features, &[1]);
        let (guessed, labelled) = (with(1.0), Linear::fit(&labelled, &options).weight);
        assert_eq!(guessed, labelled);
        assert_ne!(guessed, with(0.5));
    }

    #[test]
    fn reaches_the_minimum() {
        let support = random_support(3, 60, 20, 5);
        let problem = Problem::new(&support, 10.0);
        let found = minimise(&problem, 500);
        let mut gradient = vec![0.0; found.len()];
        problem.evaluate(&found, &mut gradient);
        assert!(dot(&gradient, &gradient).sqrt() < 1e-4);
    }

    #[test]
    fn a_start_has_a_stronger_penalty_the_fewer_the_classes() {
        let usual = LinearOptions::default();
        let strengths = [2, 6, 7, 14, 20, 77].map(|ways| usual.on_start(ways).strength());
        assert_eq!(strengths, [3.0, 3.0, 3.5, 7.0, 10.0, 10.0]);
        assert_eq!(usual.strength(), 10.0);
        let named = LinearOptions {
            strength: Some(0.5),
            ..usual
        };
        assert_eq!(named.on_start(2).strength(), 0.5);
    }

    #[test]
    fn agrees_with_scikit_learn() {
        let features = Matrix::from_rows(&POINTS).expect("whole rows");
        let options = LinearOptions {
            strength: Some(2.0),
            max_steps: 500,
        };
        let support = Support::new(features.clone(), vec![0, 0, 0, 1, 1, 1], 2).expect("complete");
        let head = Linear::fit(&support, &options);
        let logits = head.logits(&features).expect("same width");
        let margins: Vec<f32> = logits.iter_rows().map(|row| row[1] - row[0]).collect();
        assert!(
            margins
                .iter()
                .zip(MARGINS)
                .all(|(m, e)| (m - e).abs() < 1e-3),
            "{margins:?}"
        );
    }
}
