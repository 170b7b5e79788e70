//! Random numbers that are the same on every platform and in every release.
//!
//! A seed is expanded by SplitMix64 into the state of xoshiro256++. Both are a few lines of integer
//! arithmetic and have published reference values, so a figure made with `--seed 42` today can be
//! made again in ten years; the `rand` crate expressly does not promise that for its default
//! generator. Not for secrets.
//!
//! # Sources
//! Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators" (SplitMix64);
//! Blackman & Vigna 2021, "Scrambled linear pseudorandom number generators" (xoshiro256++);
//! Lemire 2019, "Fast random integer generation in an interval" (`below`);
//! Box & Muller 1958 (`normal`).

/// A seeded xoshiro256++ generator; its period is 2²⁵⁶ − 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The generator for `seed`; every seed is as good as any other, 0 included.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut mixer = SplitMix64(seed);
        Self {
            state: std::array::from_fn(|_| mixer.next()),
        }
    }

    /// The generator for `seed` and a name: other names give unrelated streams.
    ///
    /// So that what is drawn for one label does not depend on how many labels came before it.
    #[must_use]
    pub fn named(seed: u64, name: &str) -> Self {
        // The seed is mixed before the name is added: without it, a name whose hash differs from
        // another's by a small number would meet that other's stream at a neighbouring seed.
        Self::new(SplitMix64(seed).next() ^ fnv1a(name.as_bytes()))
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number in [0, 1), one of 2²⁴ equally spaced ones.
    pub fn uniform(&mut self) -> f32 {
        // 24 bits are what an f32 holds exactly; more would round up to 1.0 now and then.
        (self.next_u64() >> 40) as f32 / (1_u32 << 24) as f32
    }

    /// A number from the standard normal distribution (mean 0, standard deviation 1).
    ///
    /// Computed in f64 and rounded once. The logarithm and cosine are the platform's, so unlike the
    /// other methods the last bit of the f32 may, very rarely, differ between platforms.
    pub fn normal(&mut self) -> f32 {
        // 1 − u lies in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.uniform_f64()).ln()).sqrt();
        (radius * (std::f64::consts::TAU * self.uniform_f64()).cos()) as f32
    }

    /// A whole number in 0..n, each equally likely.
    ///
    /// # Panics
    /// If `n` is 0, since there is no such number.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "there is no number below 0");
        let n = n as u64;
        // The lowest 2⁶⁴ mod n products would be hit once too often.
        let refused = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if product as u64 >= refused {
                return (product >> 64) as usize;
            }
        }
    }

    /// Puts `items` into a random order, each equally likely.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.shuffle_first(items, items.len());
    }

    /// Moves `count` randomly chosen items to the front, in random order; more than there are means
    /// all. The first `k` of `count` are those that a call with `k` would have chosen.
    pub fn shuffle_first<T>(&mut self, items: &mut [T], count: usize) {
        let len = items.len();
        for i in 0..count.min(len) {
            items.swap(i, i + self.below(len - i));
        }
    }

    fn uniform_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The generator that fills the state of the other one.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// FNV-1a, 64 bits: unlike the standard library's hashers the same in every release.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From <https://prng.di.unimi.it/splitmix64.c> with x = 1234567.
    #[test]
    fn splitmix64_gives_the_published_values() {
        let mut mixer = SplitMix64(1_234_567);
        let got: Vec<u64> = (0..5).map(|_| mixer.next()).collect();
        assert_eq!(
            got,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
    }

    /// From <https://prng.di.unimi.it/xoshiro256plusplus.c> with s = {1, 2, 3, 4}.
    #[test]
    fn xoshiro_gives_the_published_values() {
        let mut random = Random {
            state: [1, 2, 3, 4],
        };
        let got: Vec<u64> = (0..10).map(|_| random.next_u64()).collect();
        assert_eq!(
            got,
            [
                41_943_041,
                58_720_359,
                3_588_806_011_781_223,
                3_591_011_842_654_386,
                9_228_616_714_210_784_205,
                9_973_669_472_204_895_162,
                14_011_001_112_246_962_877,
                12_406_186_145_184_390_807,
                15_849_039_046_786_891_736,
                10_450_023_813_501_588_000,
            ]
        );
    }

    /// From the FNV page, <http://www.isthe.com/chongo/tech/comp/fnv/>.
    #[test]
    fn fnv1a_gives_the_published_values() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn uniform_stays_below_one_and_is_even() {
        let mut random = Random::new(1);
        let values: Vec<f32> = (0..20_000).map(|_| random.uniform()).collect();
        assert!(values.iter().all(|value| (0.0..1.0).contains(value)));
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        assert!((mean - 0.5).abs() < 0.01, "mean {mean}");
    }

    #[test]
    fn normal_has_mean_zero_and_deviation_one() {
        let mut random = Random::new(2);
        let values: Vec<f32> = (0..20_000).map(|_| random.normal()).collect();
        let count = values.len() as f32;
        let mean = values.iter().sum::<f32>() / count;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / count;
        let inside = values.iter().filter(|v| v.abs() < 1.0).count() as f32 / count;
        assert!(mean.abs() < 0.03, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.05, "variance {variance}");
        assert!((inside - 0.6827).abs() < 0.02, "within one: {inside}");
    }

    #[test]
    fn below_is_even() {
        let mut random = Random::new(3);
        let mut counts = [0_usize; 3];
        for _ in 0..30_000 {
            counts[random.below(3)] += 1;
        }
        assert!(counts.iter().all(|c| (9_600..10_400).contains(c)));
    }

    /// With n = 3·2⁶², plain multiplication would favour every third number.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn below_refuses_what_would_make_it_uneven() {
        let mut random = Random::new(4);
        let n = 3 << 62;
        let favoured = (0..30_000)
            .filter(|_| random.below(n).is_multiple_of(3))
            .count();
        assert!((9_600..10_400).contains(&favoured), "{favoured}");
    }

    #[test]
    #[should_panic(expected = "no number below 0")]
    fn below_zero_is_refused() {
        Random::new(0).below(0);
    }

    #[test]
    fn shuffle_keeps_every_item_and_depends_on_the_seed() {
        let shuffled = |seed| {
            let mut items: Vec<u32> = (0..50).collect();
            Random::new(seed).shuffle(&mut items);
            items
        };
        let mut sorted = shuffled(5);
        assert_ne!(sorted, shuffled(6));
        assert_eq!(sorted, shuffled(5));
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<u32>>());
    }

    #[test]
    fn a_name_makes_its_own_stream() {
        let first = |seed, name| Random::named(seed, name).next_u64();
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
        assert_ne!(first(1, "a"), first(2, "a"));
    }
}
