//! Training in episodes, and the average of the heads that they give.
//!
//! An episode draws a part of the support set, starts from the current average, trains on the part,
//! and moves the average. Weights are averaged only with weights that come from the same start: the
//! units of two networks from different starts do not correspond.

use candle_core::{Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::head::HeadError;
use crate::random::Random;
use crate::support::Support;

/// How the heads of the episodes become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Averaging {
    /// The average moves a quarter of the way to each episode's head (Nichol et al. 2018, Reptile,
    /// algorithm 1 with one task at a time).
    #[default]
    Reptile,
    /// The plain mean of the start and every episode's head (Izmailov et al. 2018, section 3.2).
    Plain,
}

/// Reptile's outer step.
const OUTER_STEP: f64 = 0.25;

/// The average of the episodes so far, and what the next ones are drawn from.
pub(super) struct Episodes {
    support: Support,
    random: Random,
    averaging: Averaging,
    average: Vec<Tensor>,
    done: usize,
}

impl Episodes {
    /// The average starts as the `variables` are.
    pub fn new(
        support: &Support,
        variables: &[Var],
        averaging: Averaging,
        seed: u64,
    ) -> Result<Self, HeadError> {
        let copy = |variable: &Var| variable.as_tensor().copy();
        Ok(Self {
            support: support.clone(),
            random: Random::named(seed, "episodes"),
            averaging,
            average: variables.iter().map(copy).collect::<Result<_, _>>()?,
            done: 0,
        })
    }

    /// The part that the next episode trains on: without a quarter of each class's examples.
    pub fn draw(&mut self) -> Support {
        self.support.without_a_quarter(&mut self.random)
    }

    /// Moves the average towards the `variables` at the end of an episode, and them to the average.
    pub fn average(&mut self, variables: &[Var]) -> Result<(), HeadError> {
        self.done += 1;
        let share = match self.averaging {
            Averaging::Reptile => OUTER_STEP,
            Averaging::Plain => 1.0 / (self.done + 1) as f64,
        };
        for (average, variable) in self.average.iter_mut().zip(variables) {
            let way = ((variable.as_tensor() - &*average)? * share)?;
            *average = (&*average + way)?;
            variable.set(average)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Matrix;
    use candle_core::Device;

    fn support() -> Support {
        let features = Matrix::from_values(1, (0..10).map(|row| row as f32).collect());
        let classes = [0, 0, 0, 0, 0, 0, 0, 0, 1, 2].to_vec();
        Support::new(features.expect("one column"), classes, 3).expect("complete")
    }

    /// The averages after two episodes that end at 8 and at 2, from 0.
    fn after_two(averaging: Averaging) -> Vec<f32> {
        let variables = [Var::new(&[0f32], &Device::Cpu).expect("a variable")];
        let mut episodes = Episodes::new(&support(), &variables, averaging, 1).expect("episodes");
        let mut averages = Vec::new();
        for end in [8f32, 2.0] {
            let end = Tensor::new(&[end], &Device::Cpu).expect("a tensor");
            variables[0].set(&end).expect("the same shape");
            episodes.average(&variables).expect("an average");
            averages.extend(variables[0].to_vec1::<f32>().expect("values"));
        }
        averages
    }

    #[test]
    fn reptile_goes_a_quarter_of_the_way_and_plain_averages_are_means() {
        assert_eq!(after_two(Averaging::Reptile), [2.0, 2.0]);
        let plain = after_two(Averaging::Plain);
        assert!((plain[0] - 4.0).abs() < 1e-6 && (plain[1] - 10.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn an_episode_leaves_a_quarter_out_but_no_class() {
        let variables = [Var::new(&[0f32], &Device::Cpu).expect("a variable")];
        let mut episodes =
            Episodes::new(&support(), &variables, Averaging::Plain, 1).expect("episodes");
        let (first, second) = (episodes.draw(), episodes.draw());
        for part in [&first, &second] {
            assert_eq!(part.classes(), [0, 0, 0, 0, 0, 0, 1, 2]);
        }
        assert_ne!(first.features(), second.features());
    }
}
