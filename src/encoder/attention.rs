//! Softmax attention of one text, head by head.
//!
//! As many queries as fit stand side by side in the lanes of two registers, thirty-two with AVX-512: their scores for a key are
//! sums of its numbers times lanes, the softmax goes over keys lane by lane, and what comes out of the
//! values needs no turning back. Keys and values are read where they lie. General products (`gemm`), which
//! pack both their matrices, take half as long again where all lies in the caches.
//!
//! # Source
//! Vaswani et al. 2017, "Attention is all you need", section 3.2.

use pulp::{Arch, Simd, WithSimd};

use super::kernels::exp;
use super::relative_bias::RelativeBias;

/// Where queries, keys and values lie in a projected token.
pub(super) const QUERIES: usize = 0;
/// See [`QUERIES`].
pub(super) const KEYS: usize = 1;
/// See [`QUERIES`].
pub(super) const VALUES: usize = 2;

/// Keys or queries of a tile: with two registers each, and the two that they are multiplied with, as many as AVX2
/// has registers for.
const TILE_ROWS: usize = 6;

/// Most queries side by side: two registers of AVX-512.
pub(super) const MOST_QUERIES: usize = 32;

/// What the texts of an encoder have in common.
#[derive(Clone, Copy)]
pub(super) struct Heads<'a> {
    pub heads: usize,
    /// Of one of them.
    pub width: usize,
    /// Of a score.
    pub scale: f32,
    pub relative: Option<&'a RelativeBias>,
}

/// The attention of some of a text's tokens to all of them.
pub(super) struct Attention<'a> {
    /// The whole text's queries, keys and values, `[tokens, 3 · heads · width]`.
    projected: &'a [f32],
    /// The first of the tokens.
    first: usize,
    /// `[their number, heads · width]`.
    out: &'a mut [f32],
}

/// Memory that one after the other uses.
#[derive(Default)]
pub(super) struct Scratch {
    /// `[width, queries]`.
    turned: Vec<f32>,
    /// `[tokens, queries]`.
    scores: Vec<f32>,
}

impl<'a> Attention<'a> {
    /// Most tokens of one task: a long text is work for all threads, and its scores stay in the
    /// cache.
    const TASK_QUERIES: usize = 64;

    /// Parts of like size.
    pub fn split(
        projected: &'a [f32],
        out: &'a mut [f32],
        tokens: usize,
    ) -> impl Iterator<Item = Self> {
        let width = out.len() / tokens;
        let queries = tokens.div_ceil(tokens.div_ceil(Self::TASK_QUERIES));
        let part = move |(index, out)| Self {
            projected,
            first: index * queries,
            out,
        };
        out.chunks_mut(queries * width).enumerate().map(part)
    }

    /// Writes what the tokens attend to, head beside head.
    pub fn run(self, heads: Heads, scratch: &mut Scratch) {
        Arch::new().dispatch(Task {
            attention: self,
            heads,
            scratch,
        });
    }
}

struct Task<'a, 'h> {
    attention: Attention<'a>,
    heads: Heads<'h>,
    scratch: &'a mut Scratch,
}

impl WithSimd for Task<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Attention {
            projected,
            first,
            out,
        } = self.attention;
        let width = self.heads.heads * self.heads.width;
        for index in 0..self.heads.heads {
            let head = Head {
                index,
                heads: self.heads,
                projected,
            };
            for (block, out) in out.chunks_mut(2 * S::F32_LANES * width).enumerate() {
                let first = first + block * 2 * S::F32_LANES;
                if out.len() / width > S::F32_LANES {
                    head.attend::<S, 2>(simd, first, out, self.scratch);
                } else {
                    head.attend::<S, 1>(simd, first, out, self.scratch);
                }
            }
        }
    }
}

/// One head of a text.
struct Head<'a> {
    index: usize,
    heads: Heads<'a>,
    projected: &'a [f32],
}

impl<'a> Head<'a> {
    /// With the queries from `first` on, as many as `out` has rows: no more than fit in `N` registers.
    #[inline(always)]
    fn attend<S: Simd, const N: usize>(
        &self,
        simd: S,
        first: usize,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let (lanes, size) = (N * S::F32_LANES, self.heads.width);
        let tokens = self.projected.len() / self.stride();
        scratch.turned.resize(size * MOST_QUERIES, 0.0);
        scratch.scores.resize(tokens * MOST_QUERIES, 0.0);
        let turned = &mut scratch.turned[..size * lanes];
        let scores = &mut scratch.scores[..tokens * lanes];
        self.turn(first, out.len() / self.width(), turned, lanes);
        self.score::<S, N>(simd, turned, scores);
        self.add_bias(first, scores, lanes);
        softmax::<S, N>(simd, scores);
        self.gather(simd, scores, lanes, out);
    }

    /// `turned` becomes `[size, lanes]`: in each lane a query, times the scale. What stands in lanes behind the last
    /// goes nowhere.
    #[inline(always)]
    fn turn(&self, first: usize, count: usize, turned: &mut [f32], lanes: usize) {
        let (size, scale) = (self.heads.width, self.heads.scale);
        for lane in (0..count).step_by(4) {
            let query = |at: usize| first + (lane + at).min(count - 1);
            let rows: [&[f32]; 4] =
                std::array::from_fn(|at| &self.part(QUERIES, query(at))[..size]);
            for (at, turned) in turned.chunks_exact_mut(lanes).enumerate() {
                let four = rows.map(|row| scale * row[at]);
                let turned = &mut turned[lane..];
                match turned.first_chunk_mut() {
                    Some(turned) => *turned = four,
                    None => turned.copy_from_slice(&four[..turned.len()]),
                }
            }
        }
    }

    /// `scores` become `[tokens, lanes]`: each key's with the turned queries.
    #[inline(always)]
    fn score<S: Simd, const N: usize>(&self, simd: S, turned: &[f32], scores: &mut [f32]) {
        let lanes = N * S::F32_LANES;
        let products = Products {
            weights: self.part(KEYS, 0),
            of_row: self.stride(),
            of_step: 1,
            lines: turned,
            stride: lanes,
            columns: lanes,
            steps: self.heads.width,
        };
        products.each::<S, N>(simd, scores.len() / lanes, |key, sums| {
            registers_mut::<S>(&mut scores[key * lanes..][..lanes]).copy_from_slice(&sums);
        });
    }

    #[inline(always)]
    fn add_bias(&self, first: usize, scores: &mut [f32], lanes: usize) {
        let Some(relative) = self.heads.relative else {
            return;
        };
        for (key, scores) in scores.chunks_exact_mut(lanes).enumerate() {
            let bias = relative.of_queries(self.index, first, key);
            for (score, bias) in scores.iter_mut().zip(bias) {
                *score += bias;
            }
        }
    }

    /// Writes each query's sum of the values times its scores to its row of `out`.
    #[inline(always)]
    fn gather<S: Simd>(&self, simd: S, scores: &[f32], lanes: usize, out: &mut [f32]) {
        let (size, width) = (self.heads.width, self.width());
        for column in (0..size).step_by(2 * S::F32_LANES) {
            let products = Products {
                weights: scores,
                of_row: 1,
                of_step: lanes,
                lines: &self.part(VALUES, 0)[column..],
                stride: self.stride(),
                columns: (size - column).min(2 * S::F32_LANES),
                steps: scores.len() / lanes,
            };
            products.each::<S, 2>(simd, out.len() / width, |query, sums| {
                let row = &mut out[query * width + self.index * size..][..size];
                let parts = row[column..].chunks_mut(S::F32_LANES);
                for (part, sum) in parts.zip(sums) {
                    match registers_mut::<S>(part) {
                        [whole] => *whole = sum,
                        _ => simd.partial_store_f32s(part, sum),
                    }
                }
            });
        }
    }

    /// Numbers of a token, of all heads.
    fn width(&self) -> usize {
        self.heads.heads * self.heads.width
    }

    /// Numbers from one token to the next.
    fn stride(&self) -> usize {
        3 * self.width()
    }

    /// This head's queries, keys or values from a token on, each `stride` behind the one before.
    fn part(&self, part: usize, token: usize) -> &'a [f32] {
        let place = self.index + part * self.heads.heads;
        &self.projected[token * self.stride() + place * self.heads.width..]
    }
}

/// Lane by lane over the rows of `scores`, `[keys, lanes]`.
#[inline(always)]
fn softmax<S: Simd, const N: usize>(simd: S, scores: &mut [f32]) {
    let lanes = N * S::F32_LANES;
    let mut largest = [simd.splat_f32s(f32::NEG_INFINITY); N];
    for row in scores.chunks_exact(lanes) {
        for (largest, &score) in largest.iter_mut().zip(S::as_simd_f32s(row).0) {
            *largest = simd.max_f32s(*largest, score);
        }
    }
    let mut sums = [simd.splat_f32s(0.0); N];
    for row in scores.chunks_exact_mut(lanes) {
        for (score, largest) in registers_mut::<S>(row).iter_mut().zip(largest) {
            *score = simd.sub_f32s(*score, largest);
        }
        row.iter_mut().for_each(|score| *score = exp(*score));
        for (sum, &score) in sums.iter_mut().zip(S::as_simd_f32s(row).0) {
            *sum = simd.add_f32s(*sum, score);
        }
    }
    let inverse = sums.map(|sum| simd.div_f32s(simd.splat_f32s(1.0), sum));
    for row in scores.chunks_exact_mut(lanes) {
        for (score, inverse) in registers_mut::<S>(row).iter_mut().zip(inverse) {
            *score = simd.mul_f32s(*score, inverse);
        }
    }
}

#[inline(always)]
fn registers_mut<S: Simd>(row: &mut [f32]) -> &mut [S::f32s] {
    S::as_mut_simd_f32s(row).0
}

/// Rows that are sums over steps of a row's weight times the step's line.
struct Products<'a> {
    weights: &'a [f32],
    /// Weights from one row to the next.
    of_row: usize,
    /// Weights from one step to the next.
    of_step: usize,
    lines: &'a [f32],
    /// Numbers from one line to the next.
    stride: usize,
    /// Numbers of a line, which are what a row has: no more than fit in the registers.
    columns: usize,
    steps: usize,
}

impl Products<'_> {
    /// Hands each of so many rows to `take`, in registers, of which `N` hold a line.
    #[inline(always)]
    fn each<S: Simd, const N: usize>(
        &self,
        simd: S,
        rows: usize,
        mut take: impl FnMut(usize, [S::f32s; N]),
    ) {
        let mut row = 0;
        while row < rows {
            row += match rows - row {
                1 => self.tile::<S, 1, N>(simd, row, &mut take),
                2 | 3 => self.tile::<S, 2, N>(simd, row, &mut take),
                4 | 5 => self.tile::<S, 4, N>(simd, row, &mut take),
                _ => self.tile::<S, TILE_ROWS, N>(simd, row, &mut take),
            };
        }
    }

    /// `ROWS` of them; that number.
    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize, const N: usize>(
        &self,
        simd: S,
        first: usize,
        take: &mut impl FnMut(usize, [S::f32s; N]),
    ) -> usize {
        let weights = &self.weights[first * self.of_row..];
        let mut sums = [[simd.splat_f32s(0.0); N]; ROWS];
        for step in 0..self.steps {
            let line = &self.lines[step * self.stride..][..self.columns];
            let line = load::<S, N>(simd, line);
            for (row, sums) in sums.iter_mut().enumerate() {
                let weight = weights[row * self.of_row + step * self.of_step];
                let weight = simd.splat_f32s(weight);
                for (sum, &line) in sums.iter_mut().zip(&line) {
                    *sum = simd.mul_add_e_f32s(weight, line, *sum);
                }
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            take(first + row, sums);
        }
        ROWS
    }
}

/// A line in registers, zeros behind.
#[inline(always)]
fn load<S: Simd, const N: usize>(simd: S, line: &[f32]) -> [S::f32s; N] {
    if let Some(whole) = S::as_simd_f32s(line).0.first_chunk() {
        return *whole;
    }
    let mut parts = line.chunks(S::F32_LANES);
    std::array::from_fn(|_| simd.partial_load_f32s(parts.next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use proptest::prelude::*;

    /// In f64, number by number.
    fn naive(heads: Heads, projected: &[f32], tokens: usize) -> Vec<f64> {
        let width = heads.heads * heads.width;
        let part = |part: usize, token: usize, head: usize| {
            let from = (token * 3 + part) * width + head * heads.width;
            projected[from..][..heads.width]
                .iter()
                .copied()
                .map(f64::from)
        };
        let mut out = Vec::new();
        for query in 0..tokens {
            for head in 0..heads.heads {
                let scores: Vec<f64> = (0..tokens)
                    .map(|key| {
                        let pairs = part(QUERIES, query, head).zip(part(KEYS, key, head));
                        let product: f64 = pairs.map(|(a, b)| a * b).sum();
                        let bias = heads.relative.map_or(0.0, |relative| {
                            f64::from(relative.of_queries(head, query, key)[0])
                        });
                        (product * f64::from(heads.scale) + bias).exp()
                    })
                    .collect();
                let total: f64 = scores.iter().sum();
                let mut sums = vec![0.0; heads.width];
                for (key, score) in scores.iter().enumerate() {
                    for (sum, value) in sums.iter_mut().zip(part(VALUES, key, head)) {
                        *sum += score / total * value;
                    }
                }
                out.extend(sums);
            }
        }
        out
    }

    /// By the fastest registers of this CPU, by those of AVX2 if it has them, and by none.
    fn attended(heads: Heads, projected: &[f32], tokens: usize) -> Vec<Vec<f32>> {
        let by = |run: fn(Task)| {
            let mut out = vec![f32::NAN; projected.len() / 3];
            let scratch = &mut Scratch::default();
            for attention in Attention::split(projected, &mut out, tokens) {
                run(Task {
                    attention,
                    heads,
                    scratch,
                });
            }
            out
        };
        vec![
            by(|task| Arch::new().dispatch(task)),
            #[cfg(target_arch = "x86_64")]
            by(|task| match pulp::x86::V3::try_new() {
                Some(avx2) => Simd::vectorize(avx2, task),
                None => pulp::Scalar::new().vectorize(task),
            }),
            by(|task| pulp::Scalar::new().vectorize(task)),
        ]
    }

    proptest! {
        #[test]
        fn attention_agrees_with_f64(
            tokens in 1usize..=150,
            heads in 1usize..4,
            width in 1usize..70,
            biased in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let mut random = Random::new(seed);
            let mut draw = |len: usize| -> Vec<f32> { (0..len).map(|_| random.normal()).collect() };
            let relative = RelativeBias::new(&draw(32 * heads), 32, heads, 150);
            let projected = draw(tokens * 3 * heads * width);
            let heads = Heads {
                heads,
                width,
                scale: 0.2,
                relative: biased.then_some(&relative),
            };
            let expected = naive(heads, &projected, tokens);
            for out in attended(heads, &projected, tokens) {
                for (got, expected) in out.iter().zip(&expected) {
                    prop_assert!((f64::from(*got) - expected).abs() < 2e-5, "{got} for {expected}");
                }
            }
        }
    }

    #[test]
    fn nan_and_infinity_are_not_hidden() {
        let heads = Heads {
            heads: 1,
            width: 4,
            scale: 1.0,
            relative: None,
        };
        for sick in [f32::NAN, f32::INFINITY] {
            for place in 0..12 {
                let mut projected = vec![0.5; 3 * 12];
                projected[12 + place] = sick;
                for out in attended(heads, &projected, 3) {
                    let shown = out.iter().any(|value| !value.is_finite());
                    assert!(shown, "{sick} at {place}");
                }
            }
        }
    }
}
