//! What the agent has learned, as a file that people can read.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::learner::Learner;
use super::q_learning::QTable;
use super::state::State;
use super::strategy::Strategy;
use crate::data::write_atomically;
use crate::softmax::argmax;

/// Version of the file's format; another one is refused.
const FORMAT: u32 = 1;

/// The policy in the binary; `docs/active-learning.md` has the command that made it.
const BUILTIN: &str = include_str!("policy.json");

/// Which strategy to use in which state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Of this format.
    format: u32,
    /// Names of the rows.
    states: Vec<String>,
    /// Columns.
    actions: Vec<String>,
    /// `[states, actions]`, in points of accuracy over the labels that follow, above an average run.
    values: Vec<Vec<f64>>,
    /// `[states, actions]`: how often each was tried.
    visits: Vec<Vec<u64>>,
    /// `[states, actions]`: standard deviation of the values between training runs.
    spread: Vec<Vec<f64>>,
    /// How it was trained.
    training: Training,
    #[serde(skip)]
    strategies: Vec<Strategy>,
}

/// How a policy was trained.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// The labelled sets.
    pub tasks: Vec<String>,
    /// The encoder whose vectors were used.
    pub encoder: String,
    /// Rollouts in all.
    pub rollouts: usize,
    /// Tables that were averaged.
    pub runs: usize,
    /// Of everything random.
    pub seed: u64,
}

/// What can be wrong with a policy file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It cannot be read.
    #[error("cannot read the policy {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// It cannot be written.
    #[error("cannot write the policy {}: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It does not hold a policy.
    #[error("{} is no policy: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
}

impl PolicyError {
    /// The cure, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Content { .. } => "train one with `fewshot policy train`, or leave --policy out",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl Policy {
    /// The policy that comes with the library.
    ///
    /// # Panics
    /// Never: a test reads it.
    #[must_use]
    pub fn builtin() -> Self {
        Self::parse(BUILTIN).expect("the policy in the binary is sound")
    }

    /// A policy from a learned table.
    pub(super) fn new(
        actions: &[Strategy],
        table: &QTable,
        spread: &[Vec<f64>],
        training: Training,
    ) -> Self {
        Self {
            format: FORMAT,
            states: State::all().map(State::name).collect(),
            actions: actions.iter().map(ToString::to_string).collect(),
            values: rounded(table.values()),
            visits: table.visits().to_vec(),
            spread: rounded(spread),
            training,
            strategies: actions.to_vec(),
        }
    }

    /// Reads a policy.
    ///
    /// # Errors
    /// If the file cannot be read, is of another version, names another state or an unknown action,
    /// or holds a number that is none.
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        let text = fs::read_to_string(path).map_err(|reason| PolicyError::Read {
            path: path.to_owned(),
            reason,
        })?;
        Self::parse(&text).map_err(|reason| PolicyError::Content {
            path: path.to_owned(),
            reason,
        })
    }

    /// Writes a policy; the file is whole or not there.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), PolicyError> {
        let text = self.to_json();
        write_atomically(path, |file| file.write_all(text.as_bytes())).map_err(|error| {
            PolicyError::Write {
                path: path.to_owned(),
                reason: error.to_string(),
            }
        })
    }

    /// The file's text: one line a row of a table.
    #[must_use]
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        rows_on_lines(&text)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let version: Version = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if version.format != FORMAT {
            return Err(format!(
                "its format is {}, this version reads {FORMAT}",
                version.format
            ));
        }
        let mut policy: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        policy.check()?;
        let parsed: Result<_, _> = policy.actions.iter().map(|name| name.parse()).collect();
        policy.strategies = parsed?;
        Ok(policy)
    }

    fn check(&self) -> Result<(), String> {
        let states: Vec<String> = State::all().map(State::name).collect();
        if self.states != states {
            return Err(format!("its states are not {}", states.join(", ")));
        }
        if self.actions.is_empty() {
            return Err("it has no actions".to_owned());
        }
        let shape = |rows: &[usize]| {
            rows.len() == states.len() && rows.iter().all(|&row| row == self.actions.len())
        };
        let lengths = |rows: &[Vec<f64>]| rows.iter().map(Vec::len).collect::<Vec<_>>();
        let visits: Vec<usize> = self.visits.iter().map(Vec::len).collect();
        if !shape(&lengths(&self.values)) || !shape(&lengths(&self.spread)) || !shape(&visits) {
            return Err(
                "a table does not have one row a state and one column an action".to_owned(),
            );
        }
        let numbers = self.values.iter().chain(&self.spread).flatten();
        if numbers.into_iter().any(|value| !value.is_finite()) {
            return Err("a value is no finite number".to_owned());
        }
        Ok(())
    }

    /// What to do next.
    #[must_use]
    pub fn strategy(&self, learner: &Learner) -> Strategy {
        self.strategy_in(learner.state())
    }

    /// The best of the actions that were tried in a state, the first of equals. Where none was, what
    /// is best with few classes; in a table set by hand, without any try, the highest value.
    #[must_use]
    pub fn strategy_in(&self, state: State) -> Strategy {
        let tried = |state: &State| self.visits[state.index()].iter().any(|&visits| visits > 0);
        let known = [state, state.with_few_classes()].into_iter().find(tried);
        let row = known.unwrap_or(state).index();
        let value = |action: usize| match known {
            Some(_) if self.visits[row][action] == 0 => f64::NEG_INFINITY,
            _ => self.values[row][action],
        };
        let values: Vec<f64> = (0..self.strategies.len()).map(value).collect();
        self.strategies[argmax(&values)]
    }

    /// The actions.
    #[must_use]
    pub fn actions(&self) -> &[Strategy] {
        &self.strategies
    }

    /// Value, standard deviation between training runs and visits of an action, by its place in
    /// [`Policy::actions`].
    ///
    /// # Panics
    /// If there is no such action.
    #[must_use]
    pub fn value(&self, state: State, action: usize) -> (f64, f64, u64) {
        let row = state.index();
        (
            self.values[row][action],
            self.spread[row][action],
            self.visits[row][action],
        )
    }

    /// How it was trained.
    #[must_use]
    pub fn training(&self) -> &Training {
        &self.training
    }
}

/// Puts each array of numbers on one line.
fn rows_on_lines(pretty: &str) -> String {
    let is_number = |line: &str| {
        line.trim()
            .starts_with(|c: char| c == '-' || c.is_ascii_digit())
    };
    let mut text = String::new();
    let mut lines = pretty.lines().peekable();
    while let Some(line) = lines.next() {
        text += line;
        let mut numbers = Vec::new();
        while line.ends_with('[')
            && let Some(number) = lines.next_if(|line| is_number(line))
        {
            numbers.push(number.trim());
        }
        if !numbers.is_empty() {
            text += &numbers.join(" ");
            text += lines.next().map_or("", str::trim);
        }
        text.push('\n');
    }
    text
}

/// Three digits behind the point: far less than the spread.
fn rounded(table: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let round = |value: &f64| (1e3 * value).round() / 1e3;
    table
        .iter()
        .map(|row| row.iter().map(round).collect())
        .collect()
}

/// Read first, so that another version is named as such.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_in_the_binary_is_written_as_it_was_read() {
        assert_eq!(Policy::builtin().to_json(), BUILTIN);
    }

    /// A table of zeros is no knowledge: a value below 0 of what was tried is.
    #[test]
    fn what_was_never_tried_is_not_done() {
        let mut policy = Policy::builtin();
        let [few, many] = [State::of(9, 2), State::of(9, 9)];
        let row = &mut policy.values[few.index()];
        row.fill(-1.0);
        row[2] = -0.5;
        policy.visits[few.index()][1] = 0;
        policy.values[few.index()][1] = 0.0;
        policy.values[many.index()].fill(0.0);
        policy.visits[many.index()].fill(0);
        assert_eq!(policy.strategy_in(few), policy.actions()[2]);
        assert_eq!(policy.strategy_in(many), policy.actions()[2]);
        policy.visits.iter_mut().for_each(|row| row.fill(0));
        assert_eq!(policy.strategy_in(few), policy.actions()[1]);
    }

    #[test]
    fn only_arrays_of_numbers_are_put_on_lines() {
        let value = serde_json::json!({"a": [[1, -2.5], []], "b": ["x"], "c": 3});
        let text = rows_on_lines(&serde_json::to_string_pretty(&value).unwrap_or_default());
        assert!(text.contains("    [1, -2.5],\n"), "{text}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).ok(),
            Some(value)
        );
    }
}
