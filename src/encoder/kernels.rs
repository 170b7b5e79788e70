//! The encoder's row-wise inner loops on plain slices: bias + GELU, residual + layer norm, softmax.
//!
//! Each row-wise kernel is compiled once per instruction set and chosen at run time
//! (`multiversion`). Sums run over sixteen fixed lanes, so that every instruction set adds in the
//! same order.

use multiversion::multiversion;
use rayon::prelude::*;

/// Lanes of the partial sums; one AVX-512 register of f32.
const LANES: usize = 16;

/// Rows that one task of a row-wise kernel takes: enough to outweigh the hand-over.
const ROWS_PER_TASK: usize = 16;

/// `x = gelu(x + bias)` in every row.
pub(super) fn add_bias_gelu(x: &mut [f32], bias: &[f32], activation: Activation) {
    let width = bias.len();
    x.par_chunks_mut(width * ROWS_PER_TASK)
        .for_each(|rows| match activation {
            Activation::Gelu => bias_gelu_rows(rows, bias),
            Activation::GeluTanh => bias_map_rows(rows, bias, gelu_tanh),
            Activation::Relu => bias_map_rows(rows, bias, |value| value.max(0.0)),
        });
}

/// The activation between the two layers of the feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    Gelu,
    GeluTanh,
    Relu,
}

fn bias_map_rows(rows: &mut [f32], bias: &[f32], map: impl Fn(f32) -> f32) {
    for row in rows.chunks_exact_mut(bias.len()) {
        for (value, &bias) in row.iter_mut().zip(bias) {
            *value = map(*value + bias);
        }
    }
}

fn gelu_tanh(x: f32) -> f32 {
    0.5 * x * (1.0 + (0.797_884_6 * (x + 0.044_715 * x * x * x)).tanh())
}

/// `x = layer_norm(x + bias + residual)` in every row, with the norm's own weight and bias.
pub(super) fn add_residual_layer_norm(
    x: &mut [f32],
    bias: &[f32],
    residual: &[f32],
    norm: &LayerNorm,
) {
    let task = bias.len() * ROWS_PER_TASK;
    x.par_chunks_mut(task)
        .zip(residual.par_chunks(task))
        .for_each(|(rows, residual)| {
            residual_norm_rows(rows, bias, residual, norm.weight, norm.bias, norm.epsilon);
        });
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
        .for_each(|rows| bias_map_rows(rows, bias, |value| value));
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2+fma"))]
fn bias_gelu_rows(rows: &mut [f32], bias: &[f32]) {
    for row in rows.chunks_exact_mut(bias.len()) {
        for (value, &bias) in row.iter_mut().zip(bias) {
            let x = *value + bias;
            *value = 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2+fma"))]
fn residual_norm_rows(
    rows: &mut [f32],
    bias: &[f32],
    residual: &[f32],
    weight: &[f32],
    shift: &[f32],
    epsilon: f32,
) {
    let width = bias.len();
    for (row, residual) in rows
        .chunks_exact_mut(width)
        .zip(residual.chunks_exact(width))
    {
        for ((value, &bias), &residual) in row.iter_mut().zip(bias).zip(residual) {
            *value += bias + residual;
        }
        norm_row_inline(row, weight, shift, epsilon);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2+fma"))]
fn norm_row(row: &mut [f32], weight: &[f32], shift: &[f32], epsilon: f32) {
    norm_row_inline(row, weight, shift, epsilon);
}

#[inline(always)]
fn norm_row_inline(row: &mut [f32], weight: &[f32], shift: &[f32], epsilon: f32) {
    let width = row.len() as f32;
    let mean = sum_map(row, |value| value) / width;
    let variance = sum_map(row, |value| (value - mean) * (value - mean)) / width;
    let inverse = 1.0 / (variance + epsilon).sqrt();
    for ((value, &weight), &shift) in row.iter_mut().zip(weight).zip(shift) {
        *value = (*value - mean) * inverse * weight + shift;
    }
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
fn exp(x: f32) -> f32 {
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

/// erf to about 3e-7, in operations that vectorise: the rational approximation of Eigen and XLA.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let s = x * x;
    let p = -2.726_142_3e-10;
    let p = p * s + 2.770_681_4e-8;
    let p = p * s - 2.101_024e-6;
    let p = p * s - 5.692_506_4e-5;
    let p = p * s - 7.349_906_3e-4;
    let p = p * s - 2.954_6e-3;
    let p = p * s - 1.609_603_3e-2;
    let q = -1.456_607_2e-5;
    let q = q * s - 2.133_740_6e-4;
    let q = q * s - 1.682_827e-3;
    let q = q * s - 7.373_329_2e-3;
    let q = q * s - 1.426_473_9e-2;
    x * p / q
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// erf in f64 by its series, exact to 1e-12 for the range tested.
    fn erf_series(x: f64) -> f64 {
        let mut term = x;
        let mut sum = x;
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn erf_and_exp_agree_with_f64() {
        for step in -380..=380 {
            let x = step as f32 * 0.01;
            assert!(
                (f64::from(erf(x)) - erf_series(f64::from(x))).abs() < 5e-7,
                "erf({x})"
            );
        }
        for step in -860..=870 {
            let x = step as f32 * 0.1;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() < 4e-7 * exact, "exp({x})");
        }
        assert!((erf(9.0) - 1.0).abs() < 5e-7 && exp(f32::NAN).is_nan());
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
