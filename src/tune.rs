//! Whether the encoder's top layers are tuned on the examples, and how far.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::encoder::{Encoder, LayerMix, TuneOptions};

/// Whether the encoder's top layers are tuned on the examples before the head is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Tune {
    /// The encoder stays as it is.
    Off,
    /// The upper half, if there are up to [`FEW`] examples; not where there is a start
    /// and the better of model and start tells them apart well enough as it is: leaves less than 1.2 classes to be
    /// learned ([`leave_one_out::remaining`](crate::leave_one_out::remaining)), or 1.2 · √(32 / n) of n > 32 examples.
    Auto,
    /// So many layers, the highest that the layer mix uses and those below it, however many examples
    /// there are; at least 1.
    Layers(usize),
}

/// Examples up to which [`Tune::Auto`] tunes.
pub const FEW: usize = 1000;
/// What an encoder must leave to be learned, in classes, for [`Tune::Auto`] to tune it on up to
/// [`FIRM`] examples, where there is a start: where it leaves less, tuning
/// pulls it to what the examples have in common by chance. Chosen on the training parts of fifteen sets
/// (`docs/tuning.md`).
const WORTH_TUNING: f64 = 1.2;
/// With more examples than this, chance has less to say: what must be left falls with the root of their number.
const FIRM: f64 = 32.0;
/// Steps of an encoder that was tuned before, on other tasks. More take back
/// what it has learned there: on halves of the training parts of six sets (two draws) 10 steps from our own start
/// are right on 73.3 %, 30 on 72.0 %, and 6 on 72.5 %.
const STEPS_AFTER_OTHERS: usize = 10;

impl Tune {
    /// How the encoder is tuned for a support set whose vectors are those of `mix`, above which no
    /// layer is tuned; none if it is not. `remaining` is what the encoder leaves to be learned, if there is
    /// a start.
    #[must_use]
    pub fn options(
        self,
        encoder: &Encoder,
        mix: &LayerMix,
        dataset: &Dataset,
        remaining: Option<f64>,
        seed: u64,
    ) -> Option<TuneOptions> {
        let examples = dataset.examples().len();
        let layers = match self {
            Self::Off => return None,
            Self::Auto if examples > FEW => return None,
            Self::Auto if remaining.is_some_and(|remaining| remaining < worth_tuning(examples)) => {
                return None;
            }
            Self::Auto => encoder.layers().div_ceil(2),
            Self::Layers(layers) => layers.min(encoder.layers()),
        };
        let highest = mix.highest(encoder.layers());
        if highest == 0 {
            // The embeddings below the first layer: nothing that is tuned would show.
            return None;
        }
        let usual = TuneOptions::default();
        Some(TuneOptions {
            layers,
            steps: match encoder.tuned() {
                Some(_) => STEPS_AFTER_OTHERS,
                None => usual.steps,
            },
            highest,
            seed,
            ..usual
        })
    }
}

/// What must be left to be learned of so many examples.
fn worth_tuning(examples: usize) -> f64 {
    WORTH_TUNING * (FIRM / examples as f64).sqrt().min(1.0)
}

impl Display for Tune {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Auto => f.write_str("auto"),
            Self::Layers(layers) => write!(f, "{layers}"),
        }
    }
}

impl FromStr for Tune {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("off", _) => Ok(Self::Off),
            ("auto", _) => Ok(Self::Auto),
            (_, Ok(layers)) if layers > 0 => Ok(Self::Layers(layers)),
            _ => Err(format!(
                "`{text}` is neither off, auto nor a number of layers"
            )),
        }
    }
}

impl TryFrom<String> for Tune {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Tune> for String {
    fn from(tune: Tune) -> Self {
        tune.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Example;
    use crate::hub::{HubOptions, resolve};

    #[test]
    fn what_a_start_leaves_to_be_learned_decides() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny-mpnet");
        let files = resolve(dir, &HubOptions::default()).expect("a model's folder");
        let encoder = Encoder::load(&files).expect("a sound model");
        let example = |text: &str| Example {
            text: text.to_owned(),
            label: text.to_owned(),
        };
        let (dataset, _) = Dataset::from_examples(vec![example("a"), example("b")]).expect("sound");
        let mix = encoder.default_layers();
        let tunes = |tune: Tune, remaining| {
            let options = tune.options(&encoder, &mix, &dataset, remaining, 1);
            options.is_some()
        };
        assert!(tunes(Tune::Auto, None));
        assert!(tunes(Tune::Auto, Some(1.3)) && !tunes(Tune::Auto, Some(1.1)));
        assert!(tunes(Tune::Layers(1), Some(0.0)) && !tunes(Tune::Off, Some(2.0)));
        let close = |examples, least: f64| (worth_tuning(examples) - least).abs() < 1e-12;
        assert!(close(2, 1.2) && close(32, 1.2) && close(128, 0.6));
    }
}
