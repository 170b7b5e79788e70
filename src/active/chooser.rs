//! Who chooses: a strategy, several one after the other, or the agent.

use std::fmt;
use std::str::FromStr;

use super::learner::Learner;
use super::policy::Policy;
use super::strategy::Strategy;
use crate::random::Random;

/// Who chooses the texts.
#[derive(Debug, Clone, PartialEq)]
pub enum Chooser {
    /// One strategy throughout.
    Strategy(Strategy),
    /// Strategies one after the other.
    Schedule {
        /// The one at the start.
        first: Strategy,
        /// The others, each from a number of labels on; numbers rise.
        later: Vec<(usize, Strategy)>,
    },
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
    /// The policy, if it is the agent.
    pub fn policy_mut(&mut self) -> Option<&mut Policy> {
        match self {
            Self::Agent(policy) => Some(policy),
            _ => None,
        }
    }

    /// What to do next; `random` is drawn from by [`Chooser::Uniform`] only.
    pub(super) fn strategy(&self, learner: &Learner, random: &mut Random) -> Strategy {
        match self {
            Self::Strategy(strategy) => *strategy,
            Self::Uniform => UNIFORM[random.below(UNIFORM.len())],
            Self::Agent(policy) => policy.strategy(learner),
            Self::Schedule { first, later } => {
                let labels = learner.answers().len();
                let due = later.iter().rfind(|(start, _)| labels >= *start);
                due.map_or(*first, |(_, strategy)| *strategy)
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
            Self::Schedule { first, later } => {
                first.fmt(f)?;
                later
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
        let mut pieces = text.split('>');
        let known = |error| format!("{error}, uniform, q-learning, or a schedule: rep>8>uted");
        let first: Strategy = pieces.next().unwrap_or("").parse().map_err(known)?;
        let mut later = Vec::new();
        while let Some(start) = pieces.next() {
            let start: usize = start
                .parse()
                .map_err(|_| format!("`{start}` in `{text}` is no number of labels"))?;
            if later.last().is_some_and(|(last, _)| start <= *last) || start == 0 {
                return Err(format!("the numbers of labels in `{text}` must rise"));
            }
            later.push((start, pieces.next().unwrap_or("").parse()?));
        }
        Ok(match later[..] {
            [] => Self::Strategy(first),
            _ => Self::Schedule { first, later },
        })
    }
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
