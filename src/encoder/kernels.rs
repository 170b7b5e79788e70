//! The encoder's row-wise inner loops on plain slices: layer norm, softmax, activations other than GELU
//! (which [`crate::kernels`] fuses).
//!
//! Each row-wise kernel is compiled once per instruction set and chosen at run time
//! (`multiversion`). Sums run over sixteen fixed lanes, so that every instruction set adds in the
//! same order.

use multiversion::multiversion;
use rayon::prelude::*;

use crate::kernels::gelu;

/// Lanes of the partial sums; one AVX-512 register of f32.
const LANES: usize = 16;

/// Rows that one task of a row-wise kernel takes: enough to outweigh the hand-over.
const ROWS_PER_TASK: usize = 16;

/// Values that one task of an activation takes.
const VALUES_PER_TASK: usize = 16_384;

/// Applies an activation to every value.
pub(super) fn activate(x: &mut [f32], activation: Activation) {
    let map = match activation {
        Activation::Gelu => gelu_all,
        Activation::GeluTanh => |values: &mut [f32]| map(values, gelu_tanh),
        Activation::Relu => |values: &mut [f32]| map(values, |value| value.max(0.0)),
    };
    x.par_chunks_mut(VALUES_PER_TASK).for_each(map);
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2+fma"))]
fn gelu_all(values: &mut [f32]) {
    map(values, gelu);
}

#[inline(always)]
fn map(values: &mut [f32], map: impl Fn(f32) -> f32) {
    values.iter_mut().for_each(|value| *value = map(*value));
}

/// The activation between the two layers of the feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    Gelu,
    GeluTanh,
    Relu,
}

fn gelu_tanh(x: f32) -> f32 {
    0.5 * x * (1.0 + (0.797_884_6 * (x + 0.044_715 * x * x * x)).tanh())
}

/// Weight, bias and epsilon of one layer norm.
#[derive(Clone, Copy)]
pub(super) struct LayerNorm<'a> {
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    pub epsilon: f32,
}

/// `x = layer_norm(x)` in every row.
pub(super) fn layer_norm(x: &mut [f32], norm: &LayerNorm) {
    let width = norm.weight.len();
    x.par_chunks_mut(width * ROWS_PER_TASK).for_each(|rows| {
        for row in rows.chunks_exact_mut(width) {
            norm_row(row, norm.weight, norm.bias, norm.epsilon);
        }
    });
}

/// `x += bias` in every row.
pub(super) fn add_bias(x: &mut [f32], bias: &[f32]) {
    x.par_chunks_mut(bias.len() * ROWS_PER_TASK)
        .for_each(|rows| {
            for row in rows.chunks_exact_mut(bias.len()) {
                row.iter_mut()
                    .zip(bias)
                    .for_each(|(value, bias)| *value += bias);
            }
        });
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2+fma"))]
fn norm_row(row: &mut [f32], weight: &[f32], shift: &[f32], epsilon: f32) {
    let (mean, inverse) = mean_and_inverse(row, epsilon);
    for ((value, &weight), &shift) in row.iter_mut().zip(weight).zip(shift) {
        *value = (*value - mean) * inverse * weight + shift;
    }
}

/// The mean of a row, and one over its standard deviation.
#[inline(always)]
pub(super) fn mean_and_inverse(row: &[f32], epsilon: f32) -> (f32, f32) {
    let width = row.len() as f32;
    let mean = sum_map(row, |value| value) / width;
    let variance = sum_map(row, |value| (value - mean) * (value - mean)) / width;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// Softmax over a row of attention scores, in place. `row` is not empty.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2+fma"))]
pub(super) fn softmax_row(row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for value in row.iter_mut() {
        *value = exp(*value - largest);
    }
    let inverse = 1.0 / sum_map(row, |value| value);
    for value in row.iter_mut() {
        *value *= inverse;
    }
}

/// `sum += weight · row`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2+fma"))]
pub(super) fn add_scaled(sum: &mut [f32], row: &[f32], weight: f32) {
    for (sum, &value) in sum.iter_mut().zip(row) {
        *sum += weight * value;
    }
}

#[inline(always)]
fn sum_map(row: &[f32], map: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let chunks = row.chunks_exact(LANES);
    let tail: f32 = chunks.remainder().iter().map(|&value| map(value)).sum();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += map(value);
        }
    }
    lanes.iter().sum::<f32>() + tail
}

/// eˣ to about 2e-7 relative, in operations that vectorise (Cephes' `expf`: x = n·ln 2 + r, a
/// polynomial in r, n added to the exponent).
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// Adding 1.5·2²³ rounds to an integer that then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // NaN must stay NaN: `clamp` keeps it.
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    (p * r * r + r + 1.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exp_agrees_with_f64() {
        for step in -860..=870 {
            let x = step as f32 * 0.1;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() < 4e-7 * exact, "exp({x})");
        }
        assert!(exp(f32::NAN).is_nan());
    }

    proptest! {
        #[test]
        fn softmax_sums_to_one(mut row in prop::collection::vec(-50.0f32..50.0, 1..90)) {
            softmax_row(&mut row);
            prop_assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }

        #[test]
        fn layer_norm_agrees_with_f64(row in prop::collection::vec(-9.0f32..9.0, 2..90)) {
            let (weight, bias) = (vec![1.5; row.len()], vec![0.25; row.len()]);
            let mut out = row.clone();
            layer_norm(&mut out, &LayerNorm { weight: &weight, bias: &bias, epsilon: 1e-5 });
            let count = row.len() as f64;
            let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
            let variance = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
            for (&got, &value) in out.iter().zip(&row) {
                let expected = (f64::from(value) - mean) / (variance + 1e-5).sqrt() * 1.5 + 0.25;
                prop_assert!((f64::from(got) - expected).abs() < 1e-3);
            }
        }
    }
}
