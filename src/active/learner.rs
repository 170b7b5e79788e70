//! What is known while labels come in: answers, the classifier fitted on them, what they cover.

use std::sync::Arc;

use super::pool::Pool;
use super::ridge::{PENALTY, Ridge};
use super::scores::{observe, reduction, uncovered};
use super::state::State;
use super::strategy::Strategy;
use crate::matrix::Matrix;
use crate::random::Random;
use crate::softmax::{argmax, softmax};

/// Scores of ridge regression times this, through a softmax, are the probabilities in the loop.
const SHARPNESS: f32 = 8.0;
/// A text this similar to an answered one, by the pool's kernel, is the same text to the classifier, and is not asked.
const DUPLICATE: f32 = 0.9999;
/// Neighbours that make a text typical (TypiClust, section 3.2).
const NEIGHBOURS: usize = 20;

/// The labels so far, the classifier fitted on them, and the choice of the next text.
///
/// Everything is brought up to date with each answer; with 2,000 texts that takes a few
/// milliseconds.
#[derive(Clone)]
pub struct Learner {
    pool: Arc<Pool>,
    ridge: Ridge,
    /// Text and class of each answer, in order.
    answers: Vec<(usize, usize)>,
    /// Texts that are answered or will be, in order.
    chosen: Vec<usize>,
    /// Which texts may still be asked.
    open: Vec<bool>,
    /// `[answers, texts]`: similarities of the answered texts.
    rows: Matrix,
    /// `[ways, texts]`.
    scores: Matrix,
    /// Scores before any answer, `[ways, texts]`; no rows without expectations.
    expected: Matrix,
    /// `[texts]`: similarity to the nearest answered text, −1 before there is one.
    nearest: Vec<f32>,
    /// Made when a strategy first needs it.
    covariance: Option<Covariance>,
}

/// Posterior covariance of the texts' scores under ridge regression.
#[derive(Clone)]
struct Covariance {
    /// `[texts, texts]`.
    values: Vec<f32>,
    /// How many of the chosen texts it knows.
    chosen: usize,
}

impl Learner {
    /// Without any class or answer.
    #[must_use]
    pub fn new(pool: Arc<Pool>) -> Self {
        let texts = pool.len();
        Self {
            ridge: Ridge::default(),
            answers: Vec::new(),
            chosen: Vec::new(),
            open: vec![true; texts],
            rows: Matrix::default(),
            scores: Matrix::zeros(0, texts),
            expected: Matrix::zeros(0, texts),
            nearest: vec![-1.0; texts],
            covariance: None,
            pool,
        }
    }

    /// With classes of which something is known before any answer, such as their names.
    ///
    /// `expected` are scores, `[ways, texts]`, as [`super::Expectations`] gives them; answers are fitted
    /// as corrections of them. Classes that are added later expect nothing.
    ///
    /// # Panics
    /// If there is not one column a text.
    #[must_use]
    pub fn informed(pool: Arc<Pool>, expected: Matrix) -> Self {
        assert!(expected.columns() == pool.len(), "one column a text");
        let mut learner = Self::new(pool);
        learner.ridge = Ridge::informed(expected.rows());
        learner.scores = expected.clone();
        learner.expected = expected;
        learner
    }

    /// The texts.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Adds a class and gives its index; it has no probability until it has an answer.
    pub fn add_class(&mut self) -> usize {
        self.ridge.add_class();
        self.score();
        self.ridge.ways() - 1
    }

    /// Number of classes, with answers or without.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.ridge.ways()
    }

    /// Number of answers of each class.
    #[must_use]
    pub fn counts(&self) -> &[usize] {
        self.ridge.counts()
    }

    /// Text and class of each answer, in the order in which they came.
    #[must_use]
    pub fn answers(&self) -> &[(usize, usize)] {
        &self.answers
    }

    /// Takes an answer in and refits. Copies of the text will not be asked.
    ///
    /// # Panics
    /// If there is no such text or class.
    pub fn answer(&mut self, text: usize, class: usize) {
        self.answer_all(&[(text, class)]);
    }

    fn learn(&mut self, text: usize, class: usize) {
        self.expect(text);
        let pool = Arc::clone(&self.pool);
        let similarities = pool.similarities(text);
        let known = self.answers.iter().map(|&(other, _)| similarities[other]);
        let expected = self.expected.iter_rows().map(|row| row[text]).collect();
        self.ridge.add(known, class, expected);
        self.answers.push((text, class));
        self.rows.push(similarities);
    }

    /// Takes many answers in and refits once.
    ///
    /// # Panics
    /// As [`Learner::answer`].
    pub fn answer_all(&mut self, answers: &[(usize, usize)]) {
        for &(text, class) in answers {
            self.learn(text, class);
        }
        self.ridge.refit();
        self.score();
    }

    /// Counts a text as covered before its answer is there, so that the next one of a batch is
    /// another. Copies of it will not be asked.
    ///
    /// # Panics
    /// If there is no such text.
    pub fn expect(&mut self, text: usize) {
        if self.chosen.contains(&text) {
            return;
        }
        self.chosen.push(text);
        self.open[text] = false;
        let similarities = self.pool.similarities(text).iter();
        for ((&similarity, nearest), open) in
            similarities.zip(&mut self.nearest).zip(&mut self.open)
        {
            *nearest = nearest.max(similarity);
            *open &= similarity < DUPLICATE;
        }
    }

    fn score(&mut self) {
        self.scores = self.scores_of(&self.rows, &self.expected, self.pool.len());
    }

    /// `[ways, texts]`, from the answers' similarities to the texts and what was expected of them.
    fn scores_of(&self, rows: &Matrix, expected: &Matrix, texts: usize) -> Matrix {
        let mut scores = if self.answers.is_empty() {
            Matrix::zeros(self.ridge.ways(), texts)
        } else {
            self.ridge.scores(rows)
        };
        let known = scores.values_mut().iter_mut().zip(expected.values());
        known.for_each(|(score, expected)| *score += expected);
        scores
    }

    /// Takes a text out of those that may be asked: it was skipped, or nobody is sure.
    ///
    /// # Panics
    /// If there is no such text.
    pub fn withdraw(&mut self, text: usize) {
        self.open[text] = false;
    }

    /// Whether there is no text left to ask for.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        !self.open.contains(&true)
    }

    /// Which situation this is for the agent.
    #[must_use]
    pub fn state(&self) -> State {
        State::of(self.answers.len(), self.ridge.seen())
    }

    /// Probabilities of the classes for one text, 0 for classes of which nothing is known; empty if
    /// none is known. The temperature is fixed: they order texts and are not calibrated.
    ///
    /// # Panics
    /// If there is no such text.
    #[must_use]
    pub fn probabilities(&self, text: usize) -> Vec<f32> {
        if self.ridge.known() == 0 {
            return Vec::new();
        }
        let score = |class: usize| match self.ridge.knows(class) {
            true => SHARPNESS * self.scores.row(class)[text],
            false => f32::NEG_INFINITY,
        };
        let mut probabilities: Vec<f32> = (0..self.ridge.ways()).map(score).collect();
        softmax(&mut probabilities);
        probabilities
    }

    /// The class given to each text of the pool; 0 while no class is known.
    #[must_use]
    pub fn predictions(&self) -> Vec<usize> {
        self.ridge.decide(&self.scores)
    }

    /// The class that the other answers give to each answered text; `None` for the only one of its
    /// class.
    #[must_use]
    pub fn leave_one_out(&self) -> Vec<Option<usize>> {
        self.ridge.leave_one_out()
    }

    /// The classes given to texts outside the pool; `rows` are the answered texts' similarities to
    /// them, `[answers, others]`, `expected` their scores before any answer.
    pub(super) fn decide(&self, rows: &Matrix, expected: &Matrix) -> Vec<usize> {
        let scores = self.scores_of(rows, expected, expected.columns());
        self.ridge.decide(&scores)
    }

    /// The next text to ask for; `None` if there is none left.
    pub fn choose(&mut self, strategy: Strategy, random: &mut Random) -> Option<usize> {
        if self.is_used_up() {
            return None;
        }
        let blind = self.ridge.known() < 2;
        match strategy {
            Strategy::Margin | Strategy::Entropy if blind => self.draw(random),
            Strategy::Diverse if self.chosen.is_empty() => self.draw(random),
            Strategy::Random => self.draw(random),
            Strategy::Margin => self.best(&self.each(|p| -margin(p))),
            Strategy::Entropy => self.best(&self.each(entropy)),
            Strategy::Typical => Some(self.typical()),
            Strategy::Rep => self.best(&self.uncovered(&vec![1.0; self.pool.len()])),
            Strategy::Urep => self.best(&self.uncovered(&self.doubts(1.5))),
            Strategy::Focus => self.best(&self.uncovered(&self.doubts(1.05))),
            Strategy::Ted => self.reduction(&vec![1.0; self.pool.len()]),
            Strategy::Uted => self.reduction(&self.doubts(1.0)),
            Strategy::Diverse => self.best(&self.nearest.iter().map(|k| -k).collect::<Vec<_>>()),
            Strategy::Badge => self.draw_by(&self.gradients(), random),
        }
    }

    fn open(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.open.len()).filter(|&text| self.open[text])
    }

    fn draw(&self, random: &mut Random) -> Option<usize> {
        let open: Vec<usize> = self.open().collect();
        Some(open[random.below(open.len())])
    }

    /// A text drawn in proportion to its weight; at random if there is no weight.
    fn draw_by(&self, weights: &[f32], random: &mut Random) -> Option<usize> {
        let total: f64 = self.open().map(|text| f64::from(weights[text])).sum();
        let mut left = f64::from(random.uniform()) * total;
        for text in self.open() {
            left -= f64::from(weights[text]);
            if left < 0.0 {
                return Some(text);
            }
        }
        self.draw(random)
    }

    /// The text that may be asked with the highest value; the lowest index of equals.
    fn best(&self, values: &[f32]) -> Option<usize> {
        self.open().reduce(|best, text| {
            if values[text] > values[best] {
                text
            } else {
                best
            }
        })
    }

    /// A value of each text's probabilities.
    fn each(&self, value: impl Fn(&[f32]) -> f32) -> Vec<f32> {
        (0..self.pool.len())
            .map(|text| value(&self.probabilities(text)))
            .collect()
    }

    /// `most − margin` of each text.
    fn doubts(&self, most: f32) -> Vec<f32> {
        if self.ridge.known() < 2 {
            return vec![most; self.pool.len()];
        }
        self.each(|probabilities| most - margin(probabilities))
    }

    fn uncovered(&self, weights: &[f32]) -> Vec<f32> {
        let mut gains = vec![0.0; self.pool.len()];
        let cover: Vec<f32> = self
            .nearest
            .iter()
            .map(|nearest| nearest.max(0.0))
            .collect();
        uncovered(self.pool.kernel().values(), &cover, weights, &mut gains);
        gains
    }

    fn reduction(&mut self, weights: &[f32]) -> Option<usize> {
        let texts = self.pool.len();
        let covariance = self.covariance.get_or_insert_with(|| Covariance {
            values: self.pool.kernel().values().to_vec(),
            chosen: 0,
        });
        for &text in &self.chosen[covariance.chosen..] {
            observe(&mut covariance.values, text, texts, PENALTY);
        }
        covariance.chosen = self.chosen.len();
        let mut gains = vec![0.0; texts];
        reduction(&covariance.values, weights, PENALTY, &mut gains);
        self.best(&gains)
    }

    /// The densest open text of the largest cluster without an answer.
    fn typical(&self) -> usize {
        let chosen = |cluster: &Vec<usize>| {
            self.chosen
                .iter()
                .filter(|text| cluster.contains(text))
                .count()
        };
        let clusters = self.pool.tree().cut(self.chosen.len() + 1);
        let open = |cluster: &Vec<usize>| cluster.iter().any(|&text| self.open[text]);
        let rank = |cluster: &Vec<usize>| (chosen(cluster), usize::MAX - cluster.len(), cluster[0]);
        let largest = clusters
            .iter()
            .filter(|cluster| open(cluster))
            .min_by_key(|c| rank(c));
        let cluster = largest.cloned().unwrap_or_default();
        let density = |&text: &usize| self.density(text, &cluster);
        let mut texts: Vec<usize> = cluster
            .iter()
            .copied()
            .filter(|&text| self.open[text])
            .collect();
        texts.sort_unstable();
        let densities: Vec<f32> = texts.iter().map(density).collect();
        texts[argmax(&densities)]
    }

    /// Mean similarity to the nearest texts of the cluster.
    fn density(&self, text: usize, cluster: &[usize]) -> f32 {
        let row = self.pool.similarities(text);
        let mut near: Vec<f32> = cluster
            .iter()
            .filter(|&&other| other != text)
            .map(|&other| row[other])
            .collect();
        near.sort_unstable_by(|a, b| b.total_cmp(a));
        near.truncate(NEIGHBOURS);
        near.iter().sum::<f32>() / near.len().max(1) as f32
    }

    /// Squared distance of each text's gradient to the nearest one of an answered text. The gradient
    /// of the last layer is (probabilities − one-hot of the guess) ⊗ features, and for answered texts
    /// the one-hot of the answer.
    fn gradients(&self) -> Vec<f32> {
        if self.ridge.known() < 2 {
            return self
                .nearest
                .iter()
                .map(|nearest| 2.0 - 2.0 * nearest)
                .collect();
        }
        let residual = |text: usize, class: Option<usize>| {
            let mut residual = self.probabilities(text);
            let class = class.unwrap_or_else(|| argmax(&residual));
            residual[class] -= 1.0;
            residual
        };
        let answered: Vec<(usize, Vec<f32>)> = self
            .answers
            .iter()
            .map(|&(text, class)| (text, residual(text, Some(class))))
            .collect();
        let distance = |text: usize| {
            let own = residual(text, None);
            let row = self.pool.similarities(text);
            let to = |(other, theirs): &(usize, Vec<f32>)| {
                dot(&own, &own) + dot(theirs, theirs) - 2.0 * dot(&own, theirs) * row[*other]
            };
            answered
                .iter()
                .map(to)
                .fold(f32::INFINITY, f32::min)
                .max(0.0)
        };
        (0..self.pool.len()).map(distance).collect()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Difference of the two highest probabilities.
fn margin(probabilities: &[f32]) -> f32 {
    let step = |(first, second): (f32, f32), &p: &f32| {
        if p > first {
            (p, first)
        } else {
            (first, second.max(p))
        }
    };
    let (first, second) = probabilities.iter().fold((0.0, 0.0), step);
    first - second
}

fn entropy(probabilities: &[f32]) -> f32 {
    probabilities
        .iter()
        .filter(|&&p| p > 0.0)
        .map(|p| -p * p.ln())
        .sum()
}
