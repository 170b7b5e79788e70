//! When a text gets no label: a fixed probability, or one that is found for a wanted share of right
//! labels.
//!
//! Where probabilities are calibrated, the mean of the labels' probabilities is the share of them that
//! is right. So the lowest threshold above which that mean is still the wanted share labels as many
//! texts as can be (El-Yaniv & Wiener 2010, "On the foundations of noise-free selective
//! classification", the risk–coverage trade-off; Chow 1970).

use std::fmt;
use std::str::FromStr;

/// How sure a label must be.
///
/// Written as a probability, `auto` (95 of 100 labels right) or `auto:0.9` (another share).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// The label's probability is at least this, 0 to 1.
    Probability(f32),
    /// Such a probability that at least this share of the labels given is right, 0 to 1.
    Precision(f32),
}

/// The share of `auto`.
const AUTO: f32 = 0.95;
/// Probabilities are told apart to a thousandth.
const BINS: usize = 1000;

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = |text: &str| {
            let value = text.parse::<f32>().ok();
            value.filter(|value| (0.0..=1.0).contains(value))
        };
        let read = match text.split_once(':') {
            None if text == "auto" => Some(Self::Precision(AUTO)),
            None => share(text).map(Self::Probability),
            Some(("auto", wanted)) => share(wanted).map(Self::Precision),
            Some(_) => None,
        };
        read.ok_or_else(|| {
            format!("`{text}` is no probability between 0 and 1; write 0.8, auto or auto:0.9")
        })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probability(least) => write!(f, "{least}"),
            Self::Precision(share) => write!(f, "auto:{share}"),
        }
    }
}

/// A threshold at work on a stream of texts. One for a share is found anew with each text, from all
/// texts so far, in memory that does not grow: the answers depend on the order of the texts, not on how they
/// come in batches.
#[derive(Debug, Clone)]
pub struct Abstention {
    threshold: Threshold,
    /// How many texts so far had a label of which probability.
    seen: Vec<u64>,
}

impl Abstention {
    /// Before the first text.
    #[must_use]
    pub fn new(threshold: Threshold) -> Self {
        let seen = vec![0; BINS + 1];
        Self { threshold, seen }
    }

    /// The probability below which the next text gets no label; `best` is that of its most probable label.
    /// Above 1 if no text so far is sure enough.
    pub fn least(&mut self, best: f32) -> f32 {
        let share = match self.threshold {
            Threshold::Probability(least) => return least,
            Threshold::Precision(share) => share,
        };
        self.seen[(f64::from(best.clamp(0.0, 1.0)) * BINS as f64) as usize] += 1;
        self.lowest_for(f64::from(share))
    }

    fn lowest_for(&self, share: f64) -> f32 {
        let (mut texts, mut right, mut least) = (0, 0.0, f32::INFINITY);
        for (bin, &count) in self.seen.iter().enumerate().rev() {
            // The middle of the bin; of the last one, certainty itself.
            let probability = ((bin as f64 + 0.5) / BINS as f64).min(1.0);
            texts += count;
            right += count as f64 * probability;
            if right < share * texts as f64 {
                break;
            }
            if count > 0 {
                least = (bin as f64 / BINS as f64) as f32;
            }
        }
        least
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_writes_every_form() {
        for (text, threshold) in [
            ("0.7", Threshold::Probability(0.7)),
            ("auto:0.9", Threshold::Precision(0.9)),
        ] {
            assert_eq!(text.parse(), Ok(threshold));
            assert_eq!(threshold.to_string(), text);
        }
        assert_eq!("auto".parse(), Ok(Threshold::Precision(0.95)));
        for text in [
            "",
            "1.5",
            "-0.1",
            "NaN",
            "auto:2",
            "auto:",
            "manual:0.5",
            "x",
        ] {
            assert!(text.parse::<Threshold>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_fixed_one_stays() {
        let mut abstention = Abstention::new(Threshold::Probability(0.7));
        assert_eq!(abstention.least(0.1), 0.7);
    }

    #[test]
    fn unsure_texts_get_no_label_and_sure_ones_carry_others() {
        let least = |best: &[f32]| {
            let mut abstention = Abstention::new(Threshold::Precision(0.9));
            best.iter().map(|&best| abstention.least(best)).last()
        };
        let least = |best: &[f32]| least(best).expect("of the last text");
        assert!(least(&[0.5, 0.6]) > 1.0);
        let close = |least: f32, wanted: f32| (wanted - least) < 1e-3 && least <= wanted;
        assert!(close(least(&[0.95, 0.5]), 0.95));
        // 0.99 and 0.82 are right in 90.5 of 100 cases together.
        assert!(close(least(&[0.99, 0.82, 0.5]), 0.82));
    }

    proptest! {
        /// Labels that are right as often as their probability says are right in the wanted share,
        /// and one more bin of texts would be too much.
        #[test]
        fn keeps_the_mean_at_the_share(
            best in prop::collection::vec(0.2f32..1.0, 1..300), share in 0.5f32..0.99
        ) {
            let mut abstention = Abstention::new(Threshold::Precision(share));
            // The last one sees all.
            let least = best.iter().map(|&best| abstention.least(best)).last().expect("one at least");
            let mean = |above: f32| {
                let given: Vec<f64> = best
                    .iter()
                    .filter(|&&p| p >= above)
                    .map(|&p| f64::from(p))
                    .collect();
                (!given.is_empty()).then(|| given.iter().sum::<f64>() / given.len() as f64)
            };
            if let Some(mean) = mean(least) {
                prop_assert!(mean >= f64::from(share) - 1e-3);
            }
            let next = best.iter().copied().filter(|&p| p < least).fold(0.0, f32::max);
            if let Some(mean) = mean((next * 1000.0).floor() / 1000.0).filter(|_| next > 0.0) {
                prop_assert!(mean < f64::from(share) + 1e-3);
            }
        }
    }
}
