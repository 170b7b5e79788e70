//! The agent's world: a task whose labels are known, and a person who gives them one by one.

use super::learner::Learner;
use super::state::State;
use super::strategy::Strategy;
use super::task::Sample;
use crate::matrix::Matrix;
use crate::random::Random;

/// How the person who is asked behaves.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Oracle {
    /// Probability that an answer is some other class; default 0.
    pub noise: f32,
    /// Probability that a text is skipped, which costs no label; default 0.
    pub skip_rate: f32,
}

/// One run from zero labels to the budget.
pub struct Environment<'s> {
    sample: &'s Sample,
    learner: Learner,
    oracle: Oracle,
    budget: usize,
    random: Random,
    /// `[answers, tests]`.
    rows: Matrix,
    accuracy: f64,
}

impl<'s> Environment<'s> {
    /// Before the first label, when all classes are equally likely.
    #[must_use]
    pub fn new(sample: &'s Sample, oracle: Oracle, budget: usize, seed: u64) -> Self {
        let mut world = Self {
            sample,
            learner: learner_of(sample),
            oracle,
            budget,
            random: Random::named(seed, "environment"),
            rows: Matrix::default(),
            accuracy: 1.0 / sample.ways.max(1) as f64,
        };
        world.judge();
        world
    }

    /// The labels so far and what follows from them.
    #[must_use]
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// What the agent sees.
    #[must_use]
    pub fn state(&self) -> State {
        self.learner.state()
    }

    /// Share of the test texts that are classified rightly; a class without an answer is never
    /// given, so that its texts are errors. Before the first answer it is what the classes' names
    /// give, or 1/ways without them.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        self.accuracy
    }

    /// Whether the budget is used up or the pool is.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.learner.answers().len() >= self.budget || self.learner.is_used_up()
    }

    /// Asks for one text and takes the answer in. Gives the reward, the gain in accuracy; `None` if
    /// it is over.
    pub fn step(&mut self, strategy: Strategy) -> Option<f64> {
        self.step_batch(strategy, 1)
    }

    /// Asks for several texts at once, fewer at the budget's end, and takes the answers in.
    pub fn step_batch(&mut self, strategy: Strategy, batch: usize) -> Option<f64> {
        let left = self.budget.saturating_sub(self.learner.answers().len());
        let mut asked = Vec::new();
        while asked.len() < batch.min(left) {
            let Some(text) = self.learner.choose(strategy, &mut self.random) else {
                break;
            };
            if self.random.uniform() < self.oracle.skip_rate {
                self.learner.withdraw(text);
                continue;
            }
            self.learner.expect(text);
            asked.push(text);
        }
        asked.iter().for_each(|&text| self.answer(text));
        let before = self.accuracy;
        self.judge();
        (!asked.is_empty()).then_some(self.accuracy - before)
    }

    fn answer(&mut self, text: usize) {
        let class = self.ask(self.sample.classes[text]);
        self.learner.answer(text, class);
        self.rows.push(self.sample.similarities.row(text));
    }

    fn ask(&mut self, class: usize) -> usize {
        let ways = self.sample.ways;
        if ways > 1 && self.random.uniform() < self.oracle.noise {
            (class + 1 + self.random.below(ways - 1)) % ways
        } else {
            class
        }
    }

    fn judge(&mut self) {
        let truth = &self.sample.test_classes;
        let blind = self.learner.answers().is_empty() && self.sample.expected.rows() == 0;
        if blind || truth.is_empty() {
            return;
        }
        let given = self.learner.decide(&self.rows, &self.sample.test_expected);
        let right = given
            .iter()
            .zip(truth)
            .filter(|(given, truth)| given == truth)
            .count();
        self.accuracy = right as f64 / truth.len() as f64;
    }
}

fn learner_of(sample: &Sample) -> Learner {
    if sample.expected.rows() > 0 {
        return Learner::informed(sample.pool.clone(), sample.expected.clone());
    }
    let mut learner = Learner::new(sample.pool.clone());
    (0..sample.ways).for_each(|_| {
        learner.add_class();
    });
    learner
}
