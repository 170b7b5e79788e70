//! Learning curves of strategies and of the agent on tasks whose labels are known.

use std::fmt;
use std::str::FromStr;

use rayon::prelude::*;

use super::environment::{Environment, Oracle};
use super::learner::Learner;
use super::policy::Policy;
use super::strategy::Strategy;
use super::task::{Sample, Task};
use crate::random::Random;

/// Who chooses the texts.
#[derive(Debug, Clone, PartialEq)]
pub enum Chooser {
    /// One strategy throughout.
    Strategy(Strategy),
    /// Strategies one after the other, each from a number of labels on; the first from 0.
    Schedule(Vec<(usize, Strategy)>),
    /// Another strategy for each label, each equally likely.
    Uniform,
    /// The agent.
    Agent(Box<Policy>),
}

/// What [`Chooser::Uniform`] draws from: every strategy but the random one, k-centre and BADGE.
const UNIFORM: [Strategy; 7] = [
    Strategy::Margin,
    Strategy::Entropy,
    Strategy::Typical,
    Strategy::Rep,
    Strategy::Urep,
    Strategy::Ted,
    Strategy::Uted,
];

impl Chooser {
    fn strategy(&self, learner: &Learner, random: &mut Random) -> Strategy {
        match self {
            Self::Strategy(strategy) => *strategy,
            Self::Uniform => UNIFORM[random.below(UNIFORM.len())],
            Self::Agent(policy) => policy.strategy(learner),
            Self::Schedule(parts) => {
                let labels = learner.answers().len();
                let due = parts.iter().rfind(|(start, _)| labels >= *start);
                due.map_or(parts[0].1, |(_, strategy)| *strategy)
            }
        }
    }
}

impl fmt::Display for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strategy(strategy) => strategy.fmt(f),
            Self::Uniform => f.write_str("uniform"),
            Self::Agent(_) => f.write_str("q-learning"),
            Self::Schedule(parts) => {
                parts[0].1.fmt(f)?;
                parts[1..]
                    .iter()
                    .try_for_each(|(start, strategy)| write!(f, ">{start}>{strategy}"))
            }
        }
    }
}

impl FromStr for Chooser {
    type Err = String;

    /// A strategy's name, `uniform`, `q-learning` (the policy in the binary), or a schedule such as
    /// `rep>8>uted`: rep, and uted from 8 labels on.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "uniform" => return Ok(Self::Uniform),
            "q-learning" => return Ok(Self::Agent(Box::new(Policy::builtin()))),
            _ => {}
        }
        let Some((first, mut rest)) = text.split_once('>') else {
            let known = |error| format!("{error}, uniform, q-learning, or a schedule: rep>8>uted");
            return text.parse().map(Self::Strategy).map_err(known);
        };
        let mut parts = vec![(0, first.parse()?)];
        loop {
            let (start, after) = rest.split_once('>').unwrap_or((rest, ""));
            let number: usize = start
                .parse()
                .map_err(|_| format!("`{start}` in `{text}` is no number of labels"))?;
            if number <= parts[parts.len() - 1].0 {
                return Err(format!("the numbers of labels in `{text}` must rise"));
            }
            let (strategy, next) = after
                .split_once('>')
                .map_or((after, None), |(a, b)| (a, Some(b)));
            parts.push((number, strategy.parse()?));
            match next {
                Some(next) => rest = next,
                None => return Ok(Self::Schedule(parts)),
            }
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choosers_are_read_as_they_are_written() {
        for text in [
            "rep",
            "uniform",
            "q-learning",
            "rep>8>uted",
            "rep>8>urep>20>margin",
        ] {
            assert_eq!(text.parse::<Chooser>().expect(text).to_string(), text);
        }
        for text in [
            "",
            "reps",
            "rep>",
            "rep>8",
            "rep>x>uted",
            "rep>8>uted>8>rep",
            "rep>0>uted",
        ] {
            assert!(text.parse::<Chooser>().is_err(), "{text}");
        }
    }
}
