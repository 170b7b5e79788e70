//! Which hidden layers are averaged into one vector.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::EncoderError;

/// A choice of hidden layers; their pooled vectors are averaged. Layer 0 is the embedding table's
/// output, layer 1 the first transformer layer's.
///
/// Written as `last`, `all` (1 to the last), a number, a range `6-12`, or a list of both
/// `3,6-8`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum LayerMix {
    /// The last layer alone, as sentence-transformers uses it.
    Last,
    /// Layers 1 to the last.
    All,
    /// These layers.
    Of(BTreeSet<usize>),
}

impl LayerMix {
    /// The upper half, from the middle layer on (6–12 of 12, 3–6 of 6): the default of every
    /// classifier. With eight examples a class, nothing tuned and no start, it is about three points more
    /// accurate than the last layer alone (`docs/results.md`).
    #[must_use]
    pub fn upper_half(layers: usize) -> Self {
        Self::Of((layers.div_ceil(2)..=layers).collect())
    }

    /// The highest layer of the mix, at most `layers`, the encoder's number of them.
    #[must_use]
    pub fn highest(&self, layers: usize) -> usize {
        match self {
            Self::Last | Self::All => layers,
            Self::Of(indices) => indices.last().map_or(layers, |&index| index.min(layers)),
        }
    }

    /// The layers' indices in rising order.
    ///
    /// # Errors
    /// If one lies above `layers`, the encoder's number of them.
    pub fn indices(&self, layers: usize) -> Result<Vec<usize>, EncoderError> {
        let indices: Vec<usize> = match self {
            Self::Last => vec![layers],
            Self::All => (1..=layers).collect(),
            Self::Of(indices) => indices.iter().copied().collect(),
        };
        match indices.iter().find(|&&index| index > layers) {
            Some(&index) => Err(EncoderError::NoSuchLayer { index, layers }),
            None => Ok(indices),
        }
    }
}

impl FromStr for LayerMix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "last" => Ok(Self::Last),
            "all" => Ok(Self::All),
            list => list
                .split(',')
                .map(parse_range)
                .collect::<Result<Vec<_>, _>>()
                .map(|parts| Self::Of(parts.into_iter().flatten().collect())),
        }
    }
}

/// No encoder has more layers; keeps `0-99999999999` from filling the memory.
const MOST_LAYERS: usize = 1000;

fn parse_range(part: &str) -> Result<std::ops::RangeInclusive<usize>, String> {
    let number = |text: &str| {
        text.trim()
            .parse::<usize>()
            .ok()
            .filter(|&n| n <= MOST_LAYERS)
    };
    let (from, to) = part.split_once('-').unwrap_or((part, part));
    match (number(from), number(to)) {
        (Some(from), Some(to)) if from <= to => Ok(from..=to),
        _ => Err(format!(
            "`{part}` is no layer or range of layers; write last, all, 6-12 or 3,6"
        )),
    }
}

impl fmt::Display for LayerMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last => f.write_str("last"),
            Self::All => f.write_str("all"),
            Self::Of(indices) => f.write_str(&ranges(indices)),
        }
    }
}

fn ranges(indices: &BTreeSet<usize>) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &index in indices {
        match parts.last_mut() {
            Some((_, to)) if *to + 1 == index => *to = index,
            _ => parts.push((index, index)),
        }
    }
    let write = |(from, to): (usize, usize)| {
        if from == to {
            from.to_string()
        } else {
            format!("{from}-{to}")
        }
    };
    parts.into_iter().map(write).collect::<Vec<_>>().join(",")
}

impl TryFrom<String> for LayerMix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<LayerMix> for String {
    fn from(mix: LayerMix) -> Self {
        mix.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_every_form() {
        for text in ["last", "all", "12", "6-12", "3,6-8,12"] {
            let mix: LayerMix = text.parse().expect(text);
            assert_eq!(mix.to_string(), text);
        }
        assert_eq!(LayerMix::upper_half(12).to_string(), "6-12");
        assert_eq!(LayerMix::upper_half(6).to_string(), "3-6");
    }

    #[test]
    fn refuses_what_is_no_layer() {
        for text in ["", "x", "5-3", "-1", "1,,2", "0-99999999999"] {
            assert!(text.parse::<LayerMix>().is_err(), "{text:?}");
        }
        let mix: LayerMix = "6-12".parse().expect("a range");
        assert!(matches!(
            mix.indices(6),
            Err(EncoderError::NoSuchLayer {
                index: 7,
                layers: 6
            })
        ));
    }
}
