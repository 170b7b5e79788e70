//! int8: weights with one scale per output and group of inputs, activations with one scale and zero
//! point per row and group.
//!
//! ```text
//! w[n, j] ≈ scale[n, g] · q[n, j],                    q in -127..=127
//! x[r, j] ≈ scale[r, g] · q[r, j] + least[r, g],      q in 0..=255
//! Σ x·w   ≈ Σg scale[r, g] · scale[n, g] · Σ q[r, j] · q[n, j]  +  least[r, g] · scale[n, g] · Σ q[n, j]
//! ```
//!
//! The sums over a group's `j` are exact in i32, those over `g` are f32. An outlier, of which MPNet has
//! some in every row and in many an output's weights, takes the precision of its own group only: with
//! one scale a row and output, vectors were four times as far from f32 (1 − cosine 1.3e-3 for 2.7e-4).
//! A range that need not be symmetric is worth almost a bit behind a GELU, which does not go below
//! -0.17.
//!
//! # Sources
//! Dettmers et al. 2022, "LLM.int8()" (outliers, scales per row and output); Dai et al. 2021, "VS-Quant"
//! (scales per group of inputs); Jacob et al. 2018, "Quantization and training of neural networks for
//! efficient integer-arithmetic-only inference" (zero points).

use pulp::{Arch, Simd, WithSimd};

use super::panels::{Panels, WIDTH, of_panel, place};

/// Inputs of a group: few enough to confine outliers, enough that the kernels seldom leave the
/// integers; a divisor of the usual widths.
pub(super) const GROUP: usize = 192;

/// Integers of a step of the panels.
pub(super) const STEP: usize = size_of::<u32>();

/// Largest magnitude of a quantised weight.
const WEIGHT_LIMIT: f32 = 127.0;

/// Largest quantised activation.
const ACTIVATION_LIMIT: f32 = 255.0;

/// Adding 1.5·2²³ to a float below 2²² rounds it to an integer, ties to even, that then stands in
/// the low bits.
const ROUND: f32 = 12_582_912.0;

/// What belongs to the groups of quantised weights.
pub(super) struct Columns {
    groups: usize,
    panels: Vec<ColumnGroup>,
}

/// A group of inputs of a panel's outputs, zeros where there is no output.
#[derive(Clone, Copy)]
pub(super) struct ColumnGroup {
    pub scales: [f32; WIDTH],
    /// Sums of the weights.
    pub sums: [f32; WIDTH],
}

impl ColumnGroup {
    const NONE: Self = Self {
        scales: [0.0; WIDTH],
        sums: [0.0; WIDTH],
    };
}

impl Columns {
    pub fn bytes(&self) -> usize {
        size_of_val(&self.panels[..])
    }

    /// The groups of a panel, in the order of the inputs.
    pub fn panel(&self, index: usize) -> &[ColumnGroup] {
        &self.panels[index * self.groups..][..self.groups]
    }

    /// How many groups the inputs have.
    pub fn groups(&self) -> usize {
        self.groups
    }
}

/// Scale and least value of a group of one row's activations.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct RowGroup {
    pub scale: f32,
    pub least: f32,
}

/// Panels of integers, and what goes with them, of the outputs' weights, each of `inputs`.
pub(super) fn quantise_weights(rows: &[&[f32]], inputs: usize) -> (Panels, Columns) {
    let groups = inputs.div_ceil(GROUP);
    let (panels, columns) = Panels::fill(rows.len(), inputs.div_ceil(STEP), |panel, words| {
        let (mut columns, mut integers) = (vec![ColumnGroup::NONE; groups], vec![0; inputs]);
        for (output, row) in of_panel(rows, panel).iter().enumerate() {
            let parts = row.chunks(GROUP).zip(integers.chunks_mut(GROUP));
            for (column, (values, integers)) in columns.iter_mut().zip(parts) {
                (column.scales[output], column.sums[output]) = quantise_output(values, integers);
            }
            place(words, output, integers.chunks(STEP).map(four));
        }
        columns
    });
    let columns = Columns {
        groups,
        panels: columns.concat(),
    };
    (panels, columns)
}

/// The integers of a group of an output's weights; their scale, and what they are worth together.
fn quantise_output(row: &[f32], integers: &mut [i8]) -> (f32, f32) {
    Arch::new().dispatch(OutputGroup { row, integers })
}

struct OutputGroup<'a> {
    row: &'a [f32],
    integers: &'a mut [i8],
}

impl WithSimd for OutputGroup<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f32, f32) {
        let (low, high) = range(simd, self.row);
        let scale = high.max(-low) / WEIGHT_LIMIT;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        for (integer, weight) in self.integers.iter_mut().zip(self.row) {
            *integer = (weight * inverse + ROUND).to_bits() as i8;
        }
        let sum: i32 = self
            .integers
            .iter()
            .map(|&integer| i32::from(integer))
            .sum();
        (scale, scale * sum as f32)
    }
}

/// Four neighbouring weights in a word, the first in the lowest byte.
fn four(weights: &[i8]) -> u32 {
    let mut bytes = [0; STEP];
    for (byte, &weight) in bytes.iter_mut().zip(weights) {
        *byte = weight.cast_unsigned();
    }
    u32::from_le_bytes(bytes)
}

/// Quantises `row` into the first bytes of `bytes`, zeros behind. A group with a NaN or an infinity
/// gets the scale NaN.
pub(super) fn quantise_row(bytes: &mut [u8], row: &[f32], groups: &mut [RowGroup]) {
    Arch::new().dispatch(Row { bytes, row, groups });
}

struct Row<'a> {
    bytes: &'a mut [u8],
    row: &'a [f32],
    groups: &'a mut [RowGroup],
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (bytes, padding) = self.bytes.split_at_mut(self.row.len());
        padding.fill(0);
        let parts = bytes.chunks_mut(GROUP).zip(self.row.chunks(GROUP));
        for (group, (bytes, row)) in self.groups.iter_mut().zip(parts) {
            *group = quantise_values(simd, bytes, row);
        }
    }
}

#[inline(always)]
fn quantise_values<S: Simd>(simd: S, bytes: &mut [u8], row: &[f32]) -> RowGroup {
    let (low, high) = range(simd, row);
    // The range holds 0, and the least value is a multiple of the scale, so that 0 stays exact.
    let scale = (high - low) / ACTIVATION_LIMIT;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let zero = (-low * inverse).round_ties_even();
    for (byte, &value) in bytes.iter_mut().zip(row) {
        let integer = (value * inverse + zero).clamp(0.0, ACTIVATION_LIMIT);
        *byte = (integer + ROUND).to_bits() as u8;
    }
    RowGroup {
        scale,
        least: -zero * scale,
    }
}

/// Least and greatest of 0 and the values; NaN if one of them is not finite.
#[inline(always)]
fn range<S: Simd>(simd: S, row: &[f32]) -> (f32, f32) {
    let none = simd.splat_f32s(0.0);
    let (mut low, mut high, mut sick) = (none, none, none);
    let mut widen = |values| {
        low = simd.min_f32s(values, low);
        high = simd.max_f32s(values, high);
        // The product with 0 is 0 for finite values and NaN for others, which a comparison may drop.
        sick = simd.mul_add_e_f32s(values, none, sick);
    };
    let (whole, rest) = S::as_simd_f32s(row);
    whole.iter().for_each(|&values| widen(values));
    if !rest.is_empty() {
        widen(simd.partial_load_f32s(rest));
    }
    let sick = simd.reduce_sum_f32s(sick);
    (
        simd.reduce_min_f32s(low) + sick,
        simd.reduce_max_f32s(high) + sick,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use proptest::prelude::*;

    proptest! {
        /// With the fastest registers of this CPU, with those of AVX2 if it has them, and with none.
        #[test]
        fn all_registers_give_the_same_integers(length in 1usize..450, seed in any::<u64>()) {
            let mut random = Random::new(seed);
            let row: Vec<f32> = (0..length).map(|_| random.normal()).collect();
            let activations = |run: fn(Row)| {
                let mut bytes = vec![1; length.next_multiple_of(STEP)];
                let mut groups = vec![RowGroup::default(); length.div_ceil(GROUP)];
                run(Row { bytes: &mut bytes, row: &row, groups: &mut groups });
                (bytes, groups)
            };
            let weights = |run: fn(OutputGroup) -> (f32, f32)| {
                let mut integers = vec![0; length];
                let scale_and_sum = run(OutputGroup { row: &row, integers: &mut integers });
                (integers, scale_and_sum)
            };
            let plain = (
                activations(|row| pulp::Scalar::new().vectorize(row)),
                weights(|group| pulp::Scalar::new().vectorize(group)),
            );
            let fastest = (
                activations(|row| Arch::new().dispatch(row)),
                weights(|group| Arch::new().dispatch(group)),
            );
            prop_assert_eq!(&fastest, &plain);
            #[cfg(target_arch = "x86_64")]
            if pulp::x86::V3::try_new().is_some() {
                fn avx2() -> pulp::x86::V3 {
                    pulp::x86::V3::try_new().expect("as just seen")
                }
                let by_avx2 = (
                    activations(|row| Simd::vectorize(avx2(), row)),
                    weights(|group| Simd::vectorize(avx2(), group)),
                );
                prop_assert_eq!(&by_avx2, &plain);
            }
        }
    }
}
