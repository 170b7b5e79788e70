//! Tabular Q-learning: what an action is worth in a state, learned by trial.
//!
//! `Q(s,a) ← Q(s,a) + α [R + γ max_a' Q(s',a') − Q(s,a)]` (Watkins 1989; Sutton & Barto 2018,
//! section 6.5). Nothing here knows about texts.

use crate::metrics::Mean;
use crate::random::Random;
use crate::softmax::argmax;

/// One step of a rollout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transition {
    /// State before, as a row of the table.
    pub state: usize,
    /// What was done, as a column.
    pub action: usize,
    /// What it brought.
    pub reward: f64,
    /// γ; γ^m for an action that was kept for m steps, whose rewards are discounted likewise.
    pub discount: f64,
    /// State after; `None` at the end, which is worth 0.
    pub next: Option<usize>,
}

/// α, the share of a new experience in a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StepSize {
    /// The same for each visit; 0 learns nothing.
    Constant(f64),
    /// `max(floor, visits^-power)`: a mean at first that later ones still move.
    Decaying {
        /// Between 0.5 and 1 for convergence (Even-Dar & Mansour 2003).
        power: f64,
        /// What α never falls below.
        floor: f64,
    },
}

impl StepSize {
    fn at(self, visits: u64) -> f64 {
        match self {
            Self::Constant(step) => step,
            Self::Decaying { power, floor } => (visits.max(1) as f64).powf(-power).max(floor),
        }
    }
}

/// The value of each action in each state, and how often it was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct QTable {
    values: Vec<Vec<f64>>,
    visits: Vec<Vec<u64>>,
}

impl QTable {
    /// Zeros, `[states, actions]`.
    ///
    /// # Panics
    /// If there is no action.
    #[must_use]
    pub fn new(states: usize, actions: usize) -> Self {
        assert!(actions > 0, "a table needs an action");
        Self {
            values: vec![vec![0.0; actions]; states],
            visits: vec![vec![0; actions]; states],
        }
    }

    /// `[states, actions]`.
    #[must_use]
    pub fn values(&self) -> &[Vec<f64>] {
        &self.values
    }

    /// `[states, actions]`.
    #[must_use]
    pub fn visits(&self) -> &[Vec<u64>] {
        &self.visits
    }

    /// The action with the highest value; the lowest index of equals.
    ///
    /// # Panics
    /// If there is no such state.
    #[must_use]
    pub fn greedy(&self, state: usize) -> usize {
        argmax(&self.values[state])
    }

    /// Any action with probability epsilon, the best one otherwise.
    ///
    /// # Panics
    /// If there is no such state.
    pub fn epsilon_greedy(&self, state: usize, epsilon: f32, random: &mut Random) -> usize {
        if random.uniform() < epsilon {
            random.below(self.values[state].len())
        } else {
            self.greedy(state)
        }
    }

    /// Learns from one transition.
    ///
    /// # Panics
    /// If there is no such state or action.
    pub fn update(&mut self, transition: &Transition, step: StepSize) {
        let Transition { state, action, .. } = *transition;
        let future = transition
            .next
            .map_or(0.0, |next| self.values[next][self.greedy(next)]);
        let target = transition.reward + transition.discount * future;
        self.visits[state][action] += 1;
        let alpha = step.at(self.visits[state][action]);
        let value = &mut self.values[state][action];
        *value += alpha * (target - *value);
    }

    /// The mean of tables of one shape, with the visits of all, and the standard deviation of each
    /// value between them.
    ///
    /// # Panics
    /// If there is no table.
    #[must_use]
    pub fn average(tables: &[Self]) -> (Self, Vec<Vec<f64>>) {
        let mut mean = tables[0].clone();
        let mut spread = mean.values.clone();
        for (state, row) in spread.iter_mut().enumerate() {
            for (action, spread) in row.iter_mut().enumerate() {
                let values: Vec<f64> = tables.iter().map(|t| t.values[state][action]).collect();
                let of_all = Mean::of(&values);
                (mean.values[state][action], *spread) = (of_all.mean, of_all.std);
                mean.visits[state][action] = tables.iter().map(|t| t.visits[state][action]).sum();
            }
        }
        (mean, spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(state: usize, action: usize, reward: f64, next: Option<usize>) -> Transition {
        Transition {
            state,
            action,
            reward,
            discount: 0.9,
            next,
        }
    }

    /// Three states in a row; right (1) leads on and pays 1 at the end, left (0) goes back and pays
    /// 0.1. By hand: Q*(2,1) = 1, Q*(1,1) = 0.9, Q*(0,1) = 0.81; left is 0.1 + 0.9 · max Q*(before).
    #[test]
    fn a_small_world_with_a_known_solution_is_learned() {
        let mut table = QTable::new(3, 2);
        let mut random = Random::new(5);
        let step_size = StepSize::Decaying {
            power: 0.6,
            floor: 0.01,
        };
        for _ in 0..3_000 {
            let mut state = 0;
            for _ in 0..20 {
                let action = table.epsilon_greedy(state, 0.5, &mut random);
                let next = match action {
                    0 => Some(state.saturating_sub(1)),
                    _ => (state < 2).then_some(state + 1),
                };
                let reward = [0.1, f64::from(u8::from(state == 2))][action];
                table.update(&step(state, action, reward, next), step_size);
                let Some(next) = next else { break };
                state = next;
            }
        }
        // Going left from 0 for ever pays 0.1 / (1 − 0.9) = 1, more than walking to the end.
        let known = [[1.0, 0.9], [1.0, 0.9], [1.0, 1.0]];
        for (state, known) in known.iter().enumerate() {
            for (action, known) in known.iter().enumerate() {
                let value = table.values()[state][action];
                assert!(
                    (value - known).abs() < 0.05,
                    "Q({state},{action}) = {value}, not {known}"
                );
            }
        }
    }

    #[test]
    fn a_step_size_of_zero_learns_nothing_and_ties_go_to_the_lowest_index() {
        let mut table = QTable::new(2, 3);
        table.update(&step(0, 2, 7.0, Some(1)), StepSize::Constant(0.0));
        assert_eq!(table.values(), QTable::new(2, 3).values());
        assert_eq!(table.visits()[0], [0, 0, 1]);
        assert_eq!(table.greedy(0), 0);
    }

    #[test]
    fn a_decaying_step_starts_as_a_mean() {
        let mut table = QTable::new(1, 1);
        let mean = StepSize::Decaying {
            power: 1.0,
            floor: 0.0,
        };
        for reward in [2.0, 4.0, 9.0] {
            table.update(&step(0, 0, reward, None), mean);
        }
        assert!((table.values()[0][0] - 5.0).abs() < 1e-12);
    }

    #[test]
    fn tables_are_averaged_with_their_spread() {
        let with = |value: f64| {
            let mut table = QTable::new(1, 2);
            table.update(&step(0, 1, value, None), StepSize::Constant(1.0));
            table
        };
        let (mean, spread) = QTable::average(&[with(1.0), with(3.0)]);
        assert_eq!(mean.values(), [[0.0, 2.0]]);
        assert_eq!(mean.visits(), [[0, 2]]);
        assert!((spread[0][1] - 2f64.sqrt()).abs() < 1e-12);
    }
}
