//! int8: weights with one scale per output, activations with one scale and zero point per row.
//!
//! ```text
//! w[n, j] ≈ scale[n] · q[n, j],                 q in -127..=127
//! x[r, j] ≈ scale[r] · (q[r, j] - zero[r]),     q in 0..=255
//! Σ x·w   ≈ scale[r] · scale[n] · (Σ q[r, j] · q[n, j] - zero[r] · Σ q[n, j])
//! ```
//!
//! The two sums over `j` are exact in i32: 255 · 127 · inputs stays below 2³¹ up to 66,000 inputs.
//! A range that need not be symmetric is worth almost a bit behind a GELU, which does not go below
//! -0.17. A scale per row keeps a row independent of its neighbours and of their outliers; outlier
//! channels within a row are smoothed (see [`super::PackedWeights::pack_smoothed`]).
//!
//! # Sources
//! Dettmers et al. 2022, "LLM.int8()" (scales per row and output; outlier channels); Xiao et al.
//! 2023, "SmoothQuant" (their spread moved to the weights); Jacob et al. 2018, "Quantization and
//! training of neural networks for efficient integer-arithmetic-only inference" (zero points).

use super::panels::{LANES, WIDTH};

/// Largest magnitude of a quantised weight.
const WEIGHT_LIMIT: f32 = 127.0;

/// Largest quantised activation.
const ACTIVATION_LIMIT: f32 = 255.0;

/// Inputs for which the sums cannot overflow an i32, the zero point's part included.
const MOST_INPUTS: usize = 1 << 15;

/// Adding 1.5·2²³ to a float below 2²² rounds it to an integer, ties to even, that then stands in
/// the low bits.
const ROUND: f32 = 12_582_912.0;

/// What belongs to the outputs and inputs of quantised weights.
pub(super) struct Columns {
    /// Per output, zeros up to a whole panel.
    pub scales: Vec<f32>,
    /// Sum of each output's integers, zeros up to a whole panel.
    pub sums: Vec<i32>,
    /// What activations are multiplied by before they are quantised, per input.
    inverse_smoothing: Vec<f32>,
}

impl Columns {
    pub fn bytes(&self) -> usize {
        size_of_val(&self.scales[..])
            + size_of_val(&self.sums[..])
            + size_of_val(&self.inverse_smoothing[..])
    }
}

/// Scale and zero point of one row of activations.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct QuantisedRow {
    pub scale: f32,
    pub zero: i32,
}

/// Integers `[outputs, inputs]` and what goes with them.
pub(super) fn quantise_weights(
    weights: &[f32],
    inputs: usize,
    smoothing: Option<&[f32]>,
) -> (Columns, Vec<i8>) {
    assert!(inputs <= MOST_INPUTS, "too many inputs for int8");
    let smoothing = smoothing.map_or_else(|| vec![1.0; inputs], <[f32]>::to_vec);
    assert_eq!(smoothing.len(), inputs, "one smoothing factor per input");
    assert!(
        smoothing.iter().all(|&s| s.is_finite() && s > 0.0),
        "smoothing factors are positive"
    );
    let padded = weights.len().div_ceil(inputs * WIDTH) * WIDTH;
    let mut columns = Columns {
        scales: vec![0.0; padded],
        sums: vec![0; padded],
        inverse_smoothing: smoothing.iter().map(|s| 1.0 / s).collect(),
    };
    let mut integers = vec![0; weights.len()];
    let mut smoothed = Vec::new();
    for (output, (row, integers)) in weights
        .chunks_exact(inputs)
        .zip(integers.chunks_exact_mut(inputs))
        .enumerate()
    {
        smoothed.clear();
        smoothed.extend_from_slice(row);
        for (weight, factor) in smoothed.iter_mut().zip(&smoothing) {
            *weight *= factor;
        }
        columns.scales[output] = quantise_output(&smoothed, integers);
        columns.sums[output] = integers.iter().map(|&q| i32::from(q)).sum();
    }
    (columns, integers)
}

#[multiversion::multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512dq+avx512bw",
    "x86_64+avx2+fma"
))]
fn quantise_output(row: &[f32], integers: &mut [i8]) -> f32 {
    let largest = row.iter().fold(0.0f32, |most, w| most.max(w.abs()));
    // `max` drops NaNs, which must not vanish.
    let sound = row.iter().all(|weight| weight.is_finite());
    let scale = if sound {
        largest / WEIGHT_LIMIT
    } else {
        f32::NAN
    };
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    for (integer, weight) in integers.iter_mut().zip(row) {
        *integer = (weight * inverse).round_ties_even() as i8;
    }
    scale
}

/// Four neighbouring weights in a word, the first in the lowest byte.
pub(super) fn four(weights: &[i8]) -> u32 {
    let mut bytes = [0; 4];
    for (byte, &weight) in bytes.iter_mut().zip(weights) {
        *byte = weight.cast_unsigned();
    }
    u32::from_le_bytes(bytes)
}

/// Quantises `row` into the first bytes of `bytes`, zeros behind. A row with a NaN or an infinity
/// gets the scale NaN.
pub(super) fn quantise_row(bytes: &mut [u8], row: &[f32], columns: &Columns) -> QuantisedRow {
    let (bytes, padding) = bytes.split_at_mut(row.len());
    padding.fill(0);
    quantise_values(bytes, row, &columns.inverse_smoothing)
}

#[multiversion::multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512dq+avx512bw",
    "x86_64+avx2+fma"
))]
fn quantise_values(bytes: &mut [u8], row: &[f32], factors: &[f32]) -> QuantisedRow {
    let (low, high) = range(row, factors);
    // The range holds 0, so that the zero point is one of the integers.
    let scale = (high - low) / ACTIVATION_LIMIT;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let zero = (-low * inverse).round_ties_even();
    for ((byte, &value), &factor) in bytes.iter_mut().zip(row).zip(factors) {
        let integer = (value * factor * inverse + zero).clamp(0.0, ACTIVATION_LIMIT);
        *byte = (integer + ROUND).to_bits() as u8;
    }
    QuantisedRow {
        scale,
        zero: zero as i32,
    }
}

/// Least and greatest of 0 and `row · factors`; NaN if one of them is not finite.
#[inline(always)]
fn range(row: &[f32], factors: &[f32]) -> (f32, f32) {
    let (mut low, mut high, mut sick) = ([0.0f32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
    // Comparisons are one instruction where `f32::min`, which must drop NaNs, takes three; the
    // product with 0 finds them: it is 0 for finite values and NaN for others.
    let mut widen = |lane: usize, value: f32| {
        low[lane] = if value < low[lane] { value } else { low[lane] };
        high[lane] = if value > high[lane] {
            value
        } else {
            high[lane]
        };
        sick[lane] += 0.0 * value;
    };
    // Whole chunks of a size the compiler knows become registers; the rest goes value by value.
    let (chunks, rest) = row.as_chunks::<LANES>();
    let (chunk_factors, rest_factors) = factors.as_chunks::<LANES>();
    for (values, factors) in chunks.iter().zip(chunk_factors) {
        for lane in 0..LANES {
            widen(lane, values[lane] * factors[lane]);
        }
    }
    for (lane, (value, factor)) in rest.iter().zip(rest_factors).enumerate() {
        widen(lane, value * factor);
    }
    let sick: f32 = sick.iter().sum();
    (
        low.into_iter().fold(0.0, f32::min) + sick,
        high.into_iter().fold(0.0, f32::max) + sick,
    )
}
