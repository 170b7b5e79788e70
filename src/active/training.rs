//! How the agent learns: rollouts on tasks whose labels are known, replayed into tables.
//!
//! In a rollout an action is drawn at random and kept for some labels, so that its effect stands out
//! from the noise of single labels. The reward is the gain in accuracy while it was kept, compared
//! with the other rollouts of the same task at the same number of labels (a baseline: Williams 1992),
//! and corrected for where the rollout stood before, since a run that was lucky gains less (a control
//! variate: Greensmith, Bartlett & Baxter 2004). Tables learned from resampled tasks are averaged
//! (bagging: Breiman 1996), as heads are over episodes.

use rayon::prelude::*;

use super::environment::{Environment, Oracle};
use super::policy::{Policy, Training};
use super::q_learning::{QTable, StepSize, Transition};
use super::state::State;
use super::strategy::Strategy;
use super::task::{Sample, Task};
use crate::random::Random;

/// How a policy is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingOptions {
    /// What the agent may do; default margin, rep, urep, focus and
    /// uted.
    pub actions: Vec<Strategy>,
    /// Rollouts in all; default 10,000.
    pub rollouts: usize,
    /// Rollouts on each sample of a task; default 14.
    pub rollouts_per_sample: usize,
    /// Texts of a pool; default 600.
    pub pool: usize,
    /// Texts that judge; default 1,000.
    pub tests: usize,
    /// Tables that are averaged; default 8.
    pub runs: usize,
    /// γ a label; default 0.98.
    pub discount: f64,
    /// α; default max(0.001, visits^-0.8).
    pub step_size: StepSize,
    /// Of everything random; default 42.
    pub seed: u64,
}

impl Default for TrainingOptions {
    fn default() -> Self {
        Self {
            actions: vec![
                Strategy::Margin,
                Strategy::Rep,
                Strategy::Urep,
                Strategy::Focus,
                Strategy::Uted,
            ],
            rollouts: 10_000,
            rollouts_per_sample: 14,
            pool: 600,
            tests: 1_000,
            runs: 8,
            discount: 0.98,
            step_size: StepSize::Decaying {
                power: 0.8,
                floor: 0.001,
            },
            seed: 42,
        }
    }
}

/// Most classes of a task; of a set with more, some are drawn.
const MOST_WAYS: usize = 20;

/// Budget of a rollout and the labels for which an action is kept.
const KINDS: [(usize, usize); 2] = [(60, 4), (16, 2)];

/// An action and what it brought while it was kept.
#[derive(Debug, Clone, Copy)]
struct Block {
    before: State,
    after: State,
    kept: usize,
    action: usize,
    /// Accuracy before, in points.
    level: f64,
    /// Discounted gain in accuracy, in points.
    gain: f64,
}

/// The blocks of one rollout, in order.
struct Rollout {
    kind: usize,
    blocks: Vec<Block>,
}

/// Rollouts and what they taught.
pub struct Trained {
    /// The averaged table, as a policy.
    pub policy: Policy,
    /// The tables that were averaged.
    pub tables: Vec<QTable>,
}

/// Rollouts on samples of tasks, from which policies are learned.
pub struct Log {
    /// Names of the tasks.
    tasks: Vec<String>,
    /// The task of each sample and the rollouts on it.
    samples: Vec<(usize, Vec<Rollout>)>,
}

/// Trains a policy on tasks. `progress` is told after each sample's rollouts how many there were.
///
/// # Panics
/// If there is no task or no action.
pub fn train_policy(
    tasks: &[Task],
    encoder: &str,
    options: &TrainingOptions,
    progress: &(dyn Fn(usize) + Sync),
) -> Trained {
    Log::collect(tasks, options, progress).learn(&|_| true, encoder, options)
}

impl Log {
    /// Rolls out; the tasks take turns. `progress` is told after each sample how many rollouts there
    /// were on it.
    ///
    /// # Panics
    /// If there is no task or no action.
    pub fn collect(
        tasks: &[Task],
        options: &TrainingOptions,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Self {
        let count = options
            .rollouts
            .div_ceil(options.rollouts_per_sample.max(1));
        let samples = (0..count).into_par_iter().map(|at| {
            let rollouts = rollouts_of(tasks, at, options);
            progress(rollouts.len());
            (at % tasks.len(), rollouts)
        });
        Self {
            tasks: tasks.iter().map(|task| task.name.clone()).collect(),
            samples: samples.collect(),
        }
    }

    /// Learns from the tasks that `wanted` names, with the options of the rollouts. Leaving a task
    /// out is how a policy is judged that has not seen it.
    ///
    /// If no task is wanted the policy knows nothing.
    #[must_use]
    pub fn learn(
        &self,
        wanted: &dyn Fn(&str) -> bool,
        encoder: &str,
        options: &TrainingOptions,
    ) -> Trained {
        let samples: Vec<&[Rollout]> = self
            .samples
            .iter()
            .filter(|(task, _)| wanted(&self.tasks[*task]))
            .map(|(_, rollouts)| rollouts.as_slice())
            .collect();
        let steps = transitions(&samples, options);
        let tables: Vec<QTable> = (0..options.runs.max(1))
            .map(|run| learn(&steps, run, options))
            .collect();
        let (table, spread) = QTable::average(&tables);
        let training = Training {
            tasks: self
                .tasks
                .iter()
                .filter(|name| wanted(name))
                .cloned()
                .collect(),
            encoder: encoder.to_owned(),
            rollouts: samples.iter().map(|rollouts| rollouts.len()).sum(),
            runs: tables.len(),
            seed: options.seed,
        };
        Trained {
            policy: Policy::new(&options.actions, &table, &spread, training),
            tables,
        }
    }
}

/// The rollouts on one sample; samples take the tasks in turn.
fn rollouts_of(tasks: &[Task], at: usize, options: &TrainingOptions) -> Vec<Rollout> {
    let mut random = Random::named(options.seed, &format!("sample {at}"));
    let task = some_classes(&tasks[at % tasks.len()], &mut random);
    let sample = task.sample(options.pool, options.tests, random.next_u64());
    let first = at * options.rollouts_per_sample;
    let count = options
        .rollouts_per_sample
        .min(options.rollouts.saturating_sub(first));
    (0..count)
        .map(|_| rollout(&sample, options, &mut random))
        .collect()
}

/// All classes, or three to twenty of them: always of a set with more, else every other time.
fn some_classes(task: &Task, random: &mut Random) -> Task {
    if task.ways <= 3 || (task.ways <= MOST_WAYS && random.below(2) == 0) {
        return task.clone();
    }
    let count = 3 + random.below(task.ways.min(MOST_WAYS) - 2);
    let mut classes: Vec<usize> = (0..task.ways).collect();
    random.shuffle_first(&mut classes, count);
    classes.truncate(count);
    task.with_classes(&classes)
}

fn rollout(sample: &Sample, options: &TrainingOptions, random: &mut Random) -> Rollout {
    let kind = random.below(KINDS.len());
    let (budget, hold) = KINDS[kind];
    let mut world = Environment::new(sample, Oracle::default(), budget, random.next_u64());
    let mut blocks = Vec::new();
    while !world.is_over() {
        let action = random.below(options.actions.len());
        let (before, level) = (world.state(), 100.0 * world.accuracy());
        let (mut kept, mut gain, mut weight) = (0, 0.0, 1.0);
        while kept < hold {
            let Some(reward) = world.step(options.actions[action]) else {
                break;
            };
            gain += 100.0 * weight * reward;
            weight *= options.discount;
            kept += 1;
        }
        blocks.push(Block {
            before,
            after: world.state(),
            kept,
            action,
            level,
            gain,
        });
    }
    Rollout { kind, blocks }
}

/// The transitions of each sample, with rewards relative to its other rollouts.
fn transitions(log: &[&[Rollout]], options: &TrainingOptions) -> Vec<Vec<Transition>> {
    let groups: Vec<Group> = log.iter().map(|rollouts| Group::of(rollouts)).collect();
    let slopes = slopes(log, &groups);
    let of = |(rollouts, group): (&&[Rollout], &Group)| {
        let steps = rollouts.iter().flat_map(|rollout| {
            (0..rollout.blocks.len()).map(|at| transition(rollout, at, group, &slopes, options))
        });
        steps.collect()
    };
    log.iter().zip(&groups).map(of).collect()
}

fn transition(
    rollout: &Rollout,
    at: usize,
    group: &Group,
    slopes: &[Vec<f64>; KINDS.len()],
    options: &TrainingOptions,
) -> Transition {
    let block = &rollout.blocks[at];
    let (gain, level) = group.deviations(rollout.kind, at, block);
    let last = at + 1 == rollout.blocks.len();
    // The longest rollouts end the world; the shorter ones are cut off, and their end is worth what
    // the table says.
    let ends = last && KINDS[rollout.kind].0 == KINDS[0].0;
    Transition {
        state: block.before.index(),
        action: block.action,
        reward: gain - slopes[rollout.kind][at] * level,
        discount: options.discount.powi(block.kept as i32),
        next: (!ends).then(|| block.after.index()),
    }
}

/// Mean gain and level of a sample's rollouts, block by block.
struct Group([Vec<(f64, f64)>; KINDS.len()]);

impl Group {
    fn of(rollouts: &[Rollout]) -> Self {
        let means = |kind: usize| {
            let of_kind: Vec<&Rollout> = rollouts
                .iter()
                .filter(|rollout| rollout.kind == kind)
                .collect();
            let longest = of_kind
                .iter()
                .map(|rollout| rollout.blocks.len())
                .max()
                .unwrap_or(0);
            let mean = |at: usize| {
                let blocks: Vec<&Block> = of_kind
                    .iter()
                    .filter_map(|rollout| rollout.blocks.get(at))
                    .collect();
                let count = blocks.len() as f64;
                let gain = blocks.iter().map(|block| block.gain).sum::<f64>() / count;
                (
                    gain,
                    blocks.iter().map(|block| block.level).sum::<f64>() / count,
                )
            };
            (0..longest).map(mean).collect()
        };
        Self(std::array::from_fn(means))
    }

    /// Gain and level of a block above the mean.
    fn deviations(&self, kind: usize, at: usize, block: &Block) -> (f64, f64) {
        let (gain, level) = self.0[kind][at];
        (block.gain - gain, block.level - level)
    }
}

/// Slope of the gain on the level before, for each kind and block.
fn slopes(log: &[&[Rollout]], groups: &[Group]) -> [Vec<f64>; KINDS.len()] {
    let mut sums: [Vec<(f64, f64)>; KINDS.len()] = Default::default();
    for (rollouts, group) in log.iter().zip(groups) {
        for rollout in *rollouts {
            let sums = &mut sums[rollout.kind];
            sums.resize(sums.len().max(rollout.blocks.len()), (0.0, 0.0));
            for (at, block) in rollout.blocks.iter().enumerate() {
                let (gain, level) = group.deviations(rollout.kind, at, block);
                sums[at].0 += gain * level;
                sums[at].1 += level * level;
            }
        }
    }
    let slope = |&(products, squares): &(f64, f64)| {
        if squares > 0.0 {
            products / squares
        } else {
            0.0
        }
    };
    sums.map(|sums| sums.iter().map(slope).collect())
}

/// One table, from a resample of the samples, in random order.
fn learn(steps: &[Vec<Transition>], run: usize, options: &TrainingOptions) -> QTable {
    let mut random = Random::named(options.seed, &format!("run {run}"));
    let mut table = QTable::new(State::COUNT, options.actions.len());
    for _ in 0..steps.len() {
        for transition in &steps[random.below(steps.len())] {
            table.update(transition, options.step_size);
        }
    }
    table
}
