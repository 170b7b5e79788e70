//! Which texts a step of a tuning looks at.

use std::ops::RangeInclusive;

use super::Loss;
use crate::random::Random;

/// One text as the layers that are tuned see it.
pub(super) struct Input {
    pub ids: Vec<u32>,
    /// `[tokens, width]`, the output of the highest layer that stays.
    pub hidden: Vec<f32>,
    pub class: usize,
}

/// Tokens of one step: at most some 150 MB of activations a layer at width 768.
const STEP_TOKENS: usize = 3072;

/// How many texts a step draws.
struct Size {
    texts: usize,
    ways: usize,
    /// Of each class, as far as there are so many.
    shots: RangeInclusive<usize>,
    /// Whether all texts are looked at in every step where they fit into one.
    all: bool,
}

impl Size {
    fn of(loss: Loss) -> Self {
        match loss {
            Loss::Pairs => Self {
                texts: 64,
                ways: usize::MAX,
                shots: 4..=usize::MAX,
                all: true,
            },
            // Each half has at most the eight examples a label that people begin with.
            Loss::Episodes => Self {
                texts: 48,
                ways: 6,
                shots: 4..=16,
                all: false,
            },
        }
    }
}

/// Draws the texts of each step: all if they fit, else some of each class, or of some classes.
pub(super) struct Sampler {
    pub inputs: Vec<Input>,
    /// The places of each class's texts.
    members: Vec<Vec<usize>>,
    size: Size,
    fits: bool,
    random: Random,
}

impl Sampler {
    pub fn new(inputs: Vec<Input>, loss: Loss, seed: u64) -> Self {
        let size = Size::of(loss);
        let ways = inputs.iter().map(|input| input.class + 1).max();
        let mut members = vec![Vec::new(); ways.unwrap_or(0)];
        for (at, input) in inputs.iter().enumerate() {
            members[input.class].push(at);
        }
        members.retain(|members| !members.is_empty());
        let tokens: usize = inputs.iter().map(|input| input.ids.len()).sum();
        Self {
            fits: size.all && inputs.len() <= size.texts && tokens <= STEP_TOKENS,
            size,
            inputs,
            members,
            random: Random::named(seed, "tune"),
        }
    }

    pub fn batch(&mut self) -> Vec<&Input> {
        let places = match self.fits {
            true => (0..self.inputs.len()).collect(),
            false => self.sample(),
        };
        places.into_iter().map(|at| &self.inputs[at]).collect()
    }

    fn sample(&mut self) -> Vec<usize> {
        let ways = self.size.ways.min(self.members.len());
        let (least, most) = self.size.shots.clone().into_inner();
        let of_each = (self.size.texts / ways).clamp(least, most);
        self.random.shuffle(&mut self.members);
        let mut drawn = Vec::new();
        for members in &mut self.members[..ways] {
            self.random.shuffle_first(members, of_each);
            drawn.extend_from_slice(&members[..of_each.min(members.len())]);
        }
        drawn.truncate(self.size.texts);
        // Where texts are long, fewer of every class.
        self.random.shuffle(&mut drawn);
        let mut tokens = 0;
        let fits = |&at: &usize| {
            tokens += self.inputs[at].ids.len();
            tokens <= STEP_TOKENS
        };
        drawn.into_iter().take_while(fits).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(count: usize, ways: usize, tokens: usize) -> Vec<Input> {
        let input = |at: usize| Input {
            ids: vec![0; tokens],
            hidden: Vec::new(),
            class: at % ways,
        };
        (0..count).map(input).collect()
    }

    /// More texts than a step takes: samples have every class's share, and pairs of one class.
    #[test]
    fn many_texts_are_sampled() {
        let mut sampler = Sampler::new(inputs(77 * 8, 77, 8), Loss::Pairs, 1);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..100 {
            let batch = sampler.sample();
            assert_eq!(batch.len(), 64);
            let of_class = |class| batch.iter().filter(|&&at| at % 77 == class).count();
            assert!((0..77).all(|class| [0, 4].contains(&of_class(class))));
            seen.extend(batch);
        }
        assert!(seen.len() > 600, "{}", seen.len());
    }

    /// Long texts: what goes into a step has all classes.
    #[test]
    fn a_step_has_room_for_so_many_tokens() {
        let mut sampler = Sampler::new(inputs(32, 4, 128), Loss::Pairs, 1);
        for _ in 0..20 {
            let batch = sampler.batch();
            assert_eq!(batch.len(), STEP_TOKENS / 128);
            assert!((0..4).all(|class| batch.iter().any(|input| input.class == class)));
        }
    }

    /// Eight and eight texts of each of two labels; of many labels six, others in each episode.
    #[test]
    fn an_episode_has_few_labels_and_shots() {
        for (ways, shots) in [(2, 16), (3, 16), (6, 8), (40, 8)] {
            let mut sampler = Sampler::new(inputs(40 * 20, ways, 8), Loss::Episodes, 1);
            let mut seen = std::collections::HashSet::new();
            for _ in 0..60 {
                let mut counts = vec![0; ways];
                for input in sampler.batch() {
                    counts[input.class] += 1;
                }
                let drawn: Vec<usize> = (0..ways).filter(|&class| counts[class] > 0).collect();
                assert_eq!(drawn.len(), ways.min(6));
                assert!(drawn.iter().all(|&class| counts[class] == shots));
                seen.extend(drawn);
            }
            assert_eq!(seen.len(), ways);
        }
    }
}
