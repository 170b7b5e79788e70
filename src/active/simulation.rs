//! Learning curves of strategies and of the agent on tasks whose labels are known.

use rayon::prelude::*;

use super::chooser::Chooser;
use super::environment::{Environment, Oracle};
use super::task::{Sample, Task};
use crate::random::Random;

/// How learning curves are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SimulationOptions {
    /// Labels in all; default 60.
    pub budget: usize,
    /// Labels between two fits; default 1.
    pub batch: usize,
    /// How the person who answers behaves; default always rightly.
    pub oracle: Oracle,
    /// Most texts of a pool; default 600.
    pub pool: usize,
    /// Most texts that judge; default 1,000.
    pub tests: usize,
}

impl Default for SimulationOptions {
    fn default() -> Self {
        Self {
            budget: 60,
            batch: 1,
            oracle: Oracle::default(),
            pool: 600,
            tests: 1_000,
        }
    }
}

/// Accuracy, 0 to 1, after 1, 2, … labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve(pub Vec<f64>);

impl Curve {
    /// Mean accuracy over all numbers of labels: the area under the curve.
    #[must_use]
    pub fn area(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len().max(1) as f64
    }

    /// Accuracy after so many labels, at most as many as there were.
    #[must_use]
    pub fn at(&self, labels: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0
            .get(labels.saturating_sub(1).min(last))
            .copied()
            .unwrap_or(0.0)
    }
}

/// Curves of every chooser under every seed, `[choosers][seeds]`. Under one seed all choosers see
/// the same pool and test, so that their curves are paired.
pub fn simulate(
    task: &Task,
    choosers: &[Chooser],
    seeds: &[u64],
    options: &SimulationOptions,
    progress: &(dyn Fn() + Sync),
) -> Vec<Vec<Curve>> {
    let by_seed: Vec<Vec<Curve>> = seeds
        .par_iter()
        .map(|&seed| {
            let sample = task.sample(options.pool, options.tests, seed);
            let curves = choosers
                .iter()
                .map(|chooser| curve(&sample, chooser, seed, options))
                .collect();
            progress();
            curves
        })
        .collect();
    let of = |chooser: usize| {
        by_seed
            .iter()
            .map(|curves| curves[chooser].clone())
            .collect()
    };
    (0..choosers.len()).map(of).collect()
}

fn curve(sample: &Sample, chooser: &Chooser, seed: u64, options: &SimulationOptions) -> Curve {
    let mut world = Environment::new(sample, options.oracle, options.budget, seed);
    let mut random = Random::named(seed, "chooser");
    let mut curve = Vec::with_capacity(options.budget);
    while curve.len() < options.budget {
        let before = world.accuracy();
        let strategy = chooser.strategy(world.learner(), &mut random);
        if world.step_batch(strategy, options.batch).is_none() {
            // The pool is used up: nothing changes any more.
            curve.resize(options.budget, before);
            break;
        }
        // Within a batch the model is still that of before.
        curve.resize(world.learner().answers().len() - 1, before);
        curve.push(world.accuracy());
    }
    Curve(curve)
}
