//! MPNet's learned bias on the distance between two tokens, the same in every layer.
//!
//! # Source
//! Raffel et al. 2020, "Exploring the limits of transfer learning with a unified text-to-text transformer",
//! section 2.1; transformers' `modeling_mpnet.py`.

use super::attention::MOST_QUERIES;

/// What is added to the attention's scores.
pub(super) struct RelativeBias {
    /// `[heads, span]`: the bias at query position minus key position, from `-(longest - 1)` on.
    by_distance: Vec<f32>,
    longest: usize,
}

impl RelativeBias {
    /// `table` is `[buckets, heads]`; texts have up to `longest` tokens.
    pub fn new(table: &[f32], buckets: usize, heads: usize, longest: usize) -> Self {
        let reach = longest as i64 - 1;
        let bias = |head| {
            let of_distance = move |distance: i64| table[bucket(-distance, buckets) * heads + head];
            let behind = std::iter::repeat_n(0.0, MOST_QUERIES);
            (-reach..=reach).map(of_distance).chain(behind)
        };
        Self {
            by_distance: (0..heads).flat_map(bias).collect(),
            longest,
        }
    }

    /// Of the queries from `first` on to one key; those behind the last, up to [`MOST_QUERIES`], have none.
    pub fn of_queries(&self, head: usize, first: usize, key: usize) -> &[f32] {
        let span = 2 * self.longest - 1 + MOST_QUERIES;
        &self.by_distance[head * span..][..span][self.longest - 1 + first - key..]
    }

    /// Adds a query's to its scores, of all keys.
    pub fn add(&self, head: usize, query: usize, row: &mut [f32]) {
        let Some(last) = row.len().checked_sub(1) else {
            return;
        };
        let of_keys = self.of_queries(head, query, last)[..=last].iter().rev();
        for (score, bias) in row.iter_mut().zip(of_keys) {
            *score += bias;
        }
    }
}

/// The bucket of key position minus query position: exact for near tokens, logarithmic up to 128, one half of
/// the buckets for each direction (transformers' `MPNetEncoder.relative_position_bucket`).
fn bucket(distance: i64, buckets: usize) -> usize {
    const FARTHEST: f32 = 128.0;
    let half = buckets / 2;
    let exact = (half / 2).max(1);
    let side = if distance > 0 { half } else { 0 };
    let far = usize::try_from(distance.unsigned_abs()).unwrap_or(usize::MAX);
    if far < exact {
        return side + far;
    }
    let ratio = (far as f32 / exact as f32).ln() / (FARTHEST / exact as f32).ln();
    let bucket = exact + (ratio * (half - exact) as f32) as usize;
    side + bucket.min(half.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// transformers 4: `MPNetEncoder.relative_position_bucket(torch.tensor([...]), 32, 128)`,
    /// which takes key minus query positions.
    #[test]
    fn buckets_as_in_transformers() {
        let expected = [
            (-200, 15),
            (-128, 15),
            (-91, 15),
            (-90, 14),
            (-64, 14),
            (-63, 13),
            (-32, 12),
            (-31, 11),
            (-16, 10),
            (-9, 8),
            (-8, 8),
            (-7, 7),
            (-1, 1),
            (0, 0),
            (1, 17),
            (7, 23),
            (8, 24),
            (15, 25),
            (16, 26),
            (127, 31),
            (500, 31),
        ];
        for (distance, wanted) in expected {
            assert_eq!(bucket(distance, 32), wanted, "distance {distance}");
        }
    }

    #[test]
    fn queries_find_the_bias_of_their_distance() {
        let (buckets, heads, longest) = (32, 2, 40);
        let table: Vec<f32> = (0..buckets * heads).map(|at| at as f32).collect();
        let bias = RelativeBias::new(&table, buckets, heads, longest);
        for (head, first, key) in [(0, 0, 0), (1, 0, 39), (1, 39, 0), (0, 17, 20)] {
            let values = bias.of_queries(head, first, key);
            for (query, value) in (first..longest).zip(values) {
                let bucket = bucket(key as i64 - query as i64, buckets);
                assert_eq!(*value, (bucket * heads + head) as f32);
            }
            assert!(values.len() >= longest - first + MOST_QUERIES);
        }
        let mut row = [1.0; 3];
        bias.add(1, 2, &mut row);
        let expected = [0, 1, 2].map(|key| 1.0 + bias.of_queries(1, 2, key)[0]);
        assert_eq!(row, expected);
    }
}
