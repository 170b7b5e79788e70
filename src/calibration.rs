//! One temperature that makes the probabilities honest.
//!
//! Logits are divided by a temperature chosen on examples that the head did not see (Guo et al.
//! 2017, section 4.2). A handful of examples can all be right by luck, which would make the best
//! temperature zero; a prior around 1 holds it.

use serde::{Deserialize, Serialize};

use crate::held_out::HeldOut;

/// Spread of the prior on ln(temperature): two thirds of the belief lie within a factor of 2.
const PRIOR: f64 = std::f64::consts::LN_2;
/// Range of ln(temperature).
const RANGE: f64 = 4.0;

/// What held-out parts of the support set say about a head.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Logits are divided by it; 1 if some class has one example only.
    pub temperature: f64,
    /// Fraction of the examples that heads fitted on the others got right; none if some class has
    /// one example only.
    pub held_out_accuracy: Option<f64>,
    /// Mean loss of the same predictions at the temperature; none where there is no accuracy.
    #[serde(default)]
    pub held_out_loss: Option<f64>,
}

impl Calibration {
    /// The temperature that fits held-out examples, drawn towards 1 by the prior.
    pub(crate) fn from_held_out(held_out: &HeldOut) -> Self {
        if held_out.is_empty() {
            return Self {
                temperature: 1.0,
                held_out_accuracy: None,
                held_out_loss: None,
            };
        }
        let cost = |log: f64| held_out.loss(log.exp()) + 0.5 * (log / PRIOR).powi(2);
        let temperature = golden_section(cost, -RANGE, RANGE).exp();
        let right = held_out.right();
        let share = |part: f64| part / right.len() as f64;
        Self {
            temperature,
            held_out_accuracy: Some(share(right.iter().filter(|&&right| right).count() as f64)),
            held_out_loss: Some(share(held_out.loss(temperature))),
        }
    }
}

/// The minimum of a function with one valley, to 1e-4 (Kiefer 1953).
fn golden_section(cost: impl Fn(f64) -> f64, mut from: f64, mut to: f64) -> f64 {
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    while to - from > 1e-4 {
        let (left, right) = (to - ratio * (to - from), from + ratio * (to - from));
        if cost(left) < cost(right) {
            to = right;
        } else {
            from = left;
        }
    }
    f64::midpoint(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::HeadOptions;
    use crate::held_out::stand_in;
    use crate::matrix::Matrix;
    use crate::random::Random;
    use crate::support::Support;

    #[test]
    fn golden_section_finds_the_valley() {
        assert!((golden_section(|x| (x - 1.3).powi(2), -4.0, 4.0) - 1.3).abs() < 1e-3);
    }

    /// Classes that the features tell apart clearly ask for surer probabilities than classes that
    /// have nothing to do with them.
    #[test]
    fn noise_gets_a_higher_temperature_than_signal() {
        let mut random = Random::new(5);
        let classes: Vec<usize> = (0..40).map(|row| row % 2).collect();
        let mut of = |gap: f32| {
            let rows: Vec<[f32; 3]> = classes
                .iter()
                .map(|&class| [gap * (class as f32 - 0.5), random.normal(), random.normal()])
                .collect();
            let features = Matrix::from_rows(&rows).expect("rows");
            let support = Support::new(features, classes.clone(), 2).expect("complete");
            let options = stand_in(&HeadOptions::default());
            let held_out = HeldOut::new(&support, &options, 1).expect("fits");
            Calibration::from_held_out(&held_out)
        };
        let (signal, noise) = (of(9.0), of(0.0));
        assert!(
            signal.temperature < noise.temperature,
            "{signal:?} {noise:?}"
        );
        assert!(signal.held_out_accuracy > noise.held_out_accuracy);
    }
}
