//! Products of activations with packed weights, the linear layers of an encoder:
//! `out = x · Wᵀ`, then bias, GELU or residual while the sums are still in registers.
//!
//! Weights are packed once, at load, into panels of 48 outputs in the order in which
//! the inner loop reads them; a library that is handed a plain matrix packs it anew in every call.
//! The inner loop holds a tile of 8 rows × 48 outputs in 24 of the 32 AVX-512 registers (6 × 16 in
//! 12 of the 16 of AVX2, 5 × 16 in 20 of the 32 of AArch64) and runs over all inputs at once, so that the sums never go to memory. With
//! the same tile and the same bytes per step, one instruction makes the difference between the
//! precisions:
//!
//! | precision | a 32-bit lane holds | instruction | products per lane | needs |
//! |---|---|---|---|---|
//! | f32 | one f32 | `vfmadd231ps`, `fmla` | 1 | AVX2 and FMA, or AVX-512; AArch64 |
//! | bf16 | two bf16 | `vdpbf16ps` | 2 | AVX512_BF16 |
//! | int8 | four int8 | `vpdpbusd`, `sdot` | 4 | AVX-VNNI, or AVX512_VNNI; ARMv8.4 |
//!
//! A row's result does not depend on the other rows of the call, whatever their number.
//!
//! # Sources
//! Goto & van de Geijn 2008, "Anatomy of high-performance matrix multiplication" (panels, tiles,
//! which cache holds what); `quantise.rs` names those of int8.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod epilogue;
#[cfg(target_arch = "aarch64")]
mod neon;
mod panels;
mod portable;
mod quantise;
mod schedule;
#[cfg(test)]
mod tests;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::matmul::{Threads, View, matmul};
use panels::Panels;
use quantise::{Columns, GROUP, RowGroup, STEP, quantise_row, quantise_weights};
use schedule::{Plan, Shared};

pub use epilogue::Epilogue;
pub(crate) use epilogue::{gelu, normal_share};

/// Rows that one task converts: enough to outweigh the hand-over.
const ROWS_PER_TASK: usize = 16;

/// In which numbers a product is computed; sums are f32, for int8 exact integers and then f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// 16-bit floats with f32's range and 8 bits of precision. An encoder's lower third keeps the products that
    /// read a layer norm's output in f32.
    Bf16,
    /// 8-bit integers, with a scale for each group of inputs of a row of activations and of an output.
    Int8,
}

impl Precision {
    /// The fastest of this CPU: int8, else bf16, else f32. No classifier is less accurate for it than
    /// can be told from chance (`docs/results.md`).
    #[must_use]
    pub fn automatic() -> Self {
        Self::first_of([Self::Int8, Self::Bf16])
    }

    /// The fastest of this CPU that gradients can be computed in: bf16, else f32. Its noise is far
    /// below that of a few texts.
    pub(crate) fn for_gradients() -> Self {
        Self::first_of([Self::Bf16, Self::F32])
    }

    fn first_of(wanted: [Self; 2]) -> Self {
        let found = wanted.into_iter().find(|precision| precision.available());
        found.unwrap_or(Self::F32)
    }

    /// The name on the command line and in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// Whether this CPU multiplies in this precision faster than in f32. Without, it works too,
    /// slowly.
    #[must_use]
    pub fn available(self) -> bool {
        match self {
            Self::F32 => true,
            Self::Bf16 | Self::Int8 => self.has_kernel(),
        }
    }

    fn has_kernel(self) -> bool {
        kernel(self).is_some()
    }
}

/// A linear layer's weights, packed for one precision.
pub struct PackedWeights {
    outputs: usize,
    inputs: usize,
    kind: Kind,
}

enum Kind {
    /// As they came, for `gemm`, where there is no kernel of our own.
    Plain(Vec<f32>),
    F32(Panels),
    Bf16(Panels),
    Int8(Panels, Columns),
}

impl PackedWeights {
    /// Packs `weights`, `[outputs, inputs]` row by row as in PyTorch.
    ///
    /// # Panics
    /// If the slice does not have that size, or either is 0.
    #[must_use]
    pub fn pack(weights: &[f32], outputs: usize, inputs: usize, precision: Precision) -> Self {
        assert_eq!(weights.len(), outputs * inputs, "size of a weight matrix");
        Self::pack_parts(&[weights], inputs, precision)
    }

    /// Packs matrices of as many inputs as one, their outputs side by side.
    ///
    /// # Panics
    /// If one does not have whole rows, or none has any.
    #[must_use]
    pub fn pack_parts(parts: &[&[f32]], inputs: usize, precision: Precision) -> Self {
        let whole = |part: &&[f32]| inputs > 0 && part.len().is_multiple_of(inputs);
        assert!(parts.iter().all(whole), "rows of a weight matrix");
        let rows = parts.iter().flat_map(|part| part.chunks_exact(inputs));
        let rows: Vec<&[f32]> = rows.collect();
        assert!(!rows.is_empty(), "an empty weight matrix");
        let kind = match precision {
            Precision::F32 if !precision.has_kernel() => Kind::Plain(rows.concat()),
            Precision::F32 => Kind::F32(Panels::pack(&rows, inputs, 1, |w| w[0].to_bits())),
            Precision::Bf16 => Kind::Bf16(Panels::pack(&rows, inputs, 2, |w| {
                pair(w[0], w.get(1).copied().unwrap_or(0.0))
            })),
            Precision::Int8 => {
                let (panels, columns) = quantise_weights(&rows, inputs);
                Kind::Int8(panels, columns)
            }
        };
        Self {
            outputs: rows.len(),
            inputs,
            kind,
        }
    }

    /// Packs the transpose of `values`, `[inputs, outputs]` row by row; f32 and bf16 only.
    ///
    /// # Panics
    /// As `pack`, and for int8.
    #[must_use]
    pub fn pack_transposed(
        values: &[f32],
        outputs: usize,
        inputs: usize,
        precision: Precision,
    ) -> Self {
        assert!(outputs > 0 && inputs > 0, "an empty weight matrix");
        assert_eq!(values.len(), outputs * inputs, "size of a weight matrix");
        let kind = match precision {
            Precision::F32 if !precision.has_kernel() => {
                let column = |output| values.iter().skip(output).step_by(outputs);
                Kind::Plain((0..outputs).flat_map(column).copied().collect())
            }
            Precision::F32 => Kind::F32(Panels::pack_transposed(values, outputs, 1, |value, _| {
                value.to_bits()
            })),
            Precision::Bf16 => Kind::Bf16(Panels::pack_transposed(values, outputs, 2, pair)),
            Precision::Int8 => panic!("int8 weights are not packed transposed"),
        };
        Self {
            outputs,
            inputs,
            kind,
        }
    }

    /// Memory that the packed weights take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.kind {
            Kind::Plain(weights) => size_of_val(&weights[..]),
            Kind::F32(panels) | Kind::Bf16(panels) => panels.bytes(),
            Kind::Int8(panels, columns) => panels.bytes() + columns.bytes(),
        }
    }

    /// Width of the result.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Width of the activations.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }
}

/// Memory for converted activations, kept from call to call.
#[derive(Default)]
pub struct Scratch {
    words: Vec<u32>,
    groups: Vec<RowGroup>,
}

/// `out = x · Wᵀ`, then `epilogue`, on all threads of the current rayon pool.
///
/// # Shapes
/// - `out`: `[rows, outputs]`, overwritten
/// - `x`: `[rows, inputs]`
/// - the epilogue's bias: `[outputs]`; residual: `[rows, outputs]`
///
/// # Panics
/// If a slice does not have its size.
pub fn linear(
    out: &mut [f32],
    x: &[f32],
    rows: usize,
    weights: &PackedWeights,
    epilogue: Epilogue<'_>,
    scratch: &mut Scratch,
) {
    let (outputs, inputs) = (weights.outputs, weights.inputs);
    assert_eq!(out.len(), rows * outputs, "output of a linear layer");
    assert_eq!(x.len(), rows * inputs, "input of a linear layer");
    epilogue.check(rows, outputs);
    if rows == 0 {
        return;
    }
    let product = |panels, words, quantised| Product {
        plan: Plan::new(rows, outputs, panels),
        panels,
        words,
        quantised,
        epilogue,
    };
    match &weights.kind {
        Kind::Plain(weights) => plain(out, x, weights, inputs, epilogue),
        Kind::F32(panels) => {
            product(panels, bytemuck::cast_slice(x), None).run(out, Precision::F32)
        }
        Kind::Bf16(panels) => {
            scratch.take_bf16(x, inputs, panels.steps());
            product(panels, &scratch.words, None).run(out, Precision::Bf16);
        }
        Kind::Int8(panels, columns) => {
            scratch.take_int8(x, inputs, panels.steps(), columns);
            let rows = &scratch.groups;
            let quantised = Some(Quantised { rows, columns });
            product(panels, &scratch.words, quantised).run(out, Precision::Int8);
        }
    }
}

/// One call of [`linear`], its activations converted.
struct Product<'a> {
    plan: Plan,
    panels: &'a Panels,
    /// `[rows, steps]`, each holding as many activations as a lane of the panels holds weights.
    words: &'a [u32],
    /// int8 only.
    quantised: Option<Quantised<'a>>,
    epilogue: Epilogue<'a>,
}

/// What makes numbers of an int8 product's integers.
#[derive(Clone, Copy)]
struct Quantised<'a> {
    /// `[rows, groups]`.
    rows: &'a [RowGroup],
    columns: &'a Columns,
}

impl Product<'_> {
    /// Steps whose sums are finished together: all, or those of an int8 group.
    fn steps_together(&self) -> usize {
        match self.quantised {
            Some(_) => GROUP / STEP,
            None => self.panels.steps(),
        }
    }

    /// Applies the epilogue to the sums of a row's outputs from `column` on, and stores those that exist. Inlined,
    /// so that it has the instructions of the kernel that calls it.
    ///
    /// # Safety
    /// `out` is `[rows, outputs]` of the product, and these outputs of the row are ours alone.
    #[inline(always)]
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        expect(dead_code)
    )]
    unsafe fn finish<const COLUMNS: usize>(
        &self,
        out: Shared,
        row: usize,
        column: usize,
        mut sums: [f32; COLUMNS],
    ) {
        let outputs = self.plan.outputs;
        let count = outputs.saturating_sub(column).min(COLUMNS);
        if count == 0 {
            return;
        }
        let place = row * outputs + column;
        let bias = &self.epilogue.bias()[column..][..count];
        for (sum, bias) in sums.iter_mut().zip(bias) {
            *sum += bias;
        }
        match self.epilogue {
            Epilogue::Bias(_) => (),
            Epilogue::BiasGelu(_) => sums.iter_mut().for_each(|sum| *sum = gelu(*sum)),
            Epilogue::BiasResidual { residual, .. } => {
                for (sum, residual) in sums.iter_mut().zip(&residual[place..][..count]) {
                    *sum += residual;
                }
            }
        }
        // SAFETY: `count` outputs of the row begin at `place`, and no other task writes them.
        unsafe { std::ptr::copy_nonoverlapping(sums.as_ptr(), out.start().add(place), count) };
    }

    fn run(&self, out: &mut [f32], precision: Precision) {
        kernel(precision).unwrap_or(portable::run)(self, out, precision);
    }
}

/// Runs a product in a precision.
type Kernel = fn(&Product<'_>, &mut [f32], Precision);

/// The fastest that this CPU has, if it has one for the precision.
///
/// `FEWSHOT_MAX_CPU_ISA=avx2` leaves AVX-512 out of the products, to measure what a smaller processor would do.
#[cfg(target_arch = "x86_64")]
fn kernel(precision: Precision) -> Option<Kernel> {
    static AVX2_AT_MOST: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| {
        std::env::var("FEWSHOT_MAX_CPU_ISA").is_ok_and(|isa| isa == "avx2")
    });
    if avx512::available(precision) && !*AVX2_AT_MOST {
        Some(avx512::run)
    } else if avx2::available(precision) {
        Some(avx2::run)
    } else {
        None
    }
}

#[cfg(target_arch = "aarch64")]
fn kernel(precision: Precision) -> Option<Kernel> {
    neon::available(precision).then_some(neon::run)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn kernel(_: Precision) -> Option<Kernel> {
    None
}

fn plain(out: &mut [f32], x: &[f32], weights: &[f32], inputs: usize, epilogue: Epilogue<'_>) {
    let outputs = weights.len() / inputs;
    let transposed = View::dense(weights, inputs).transposed();
    matmul(
        out,
        outputs,
        View::dense(x, inputs),
        transposed,
        Threads::All,
    );
    out.par_chunks_mut(outputs)
        .enumerate()
        .for_each(|(row, sums)| epilogue.apply(sums, row));
}

impl Scratch {
    fn take_bf16(&mut self, x: &[f32], inputs: usize, steps: usize) {
        self.words.resize(x.len() / inputs * steps, 0);
        self.words
            .par_chunks_mut(steps * ROWS_PER_TASK)
            .zip(x.par_chunks(inputs * ROWS_PER_TASK))
            .for_each(|(words, rows)| {
                for (words, row) in words.chunks_exact_mut(steps).zip(rows.chunks_exact(inputs)) {
                    bf16_row(words, row);
                }
            });
    }

    fn take_int8(&mut self, x: &[f32], inputs: usize, steps: usize, columns: &Columns) {
        let (rows, groups) = (x.len() / inputs, columns.groups());
        self.words.resize(rows * steps, 0);
        self.groups.resize(rows * groups, RowGroup::default());
        self.words
            .par_chunks_mut(steps * ROWS_PER_TASK)
            .zip(self.groups.par_chunks_mut(groups * ROWS_PER_TASK))
            .zip(x.par_chunks(inputs * ROWS_PER_TASK))
            .for_each(|((words, of_rows), rows)| {
                for ((words, groups), row) in words
                    .chunks_exact_mut(steps)
                    .zip(of_rows.chunks_exact_mut(groups))
                    .zip(rows.chunks_exact(inputs))
                {
                    quantise_row(bytemuck::cast_slice_mut(words), row, groups);
                }
            });
    }
}

#[multiversion::multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512dq+avx512bw",
    "x86_64+avx2+fma"
))]
fn bf16_row(words: &mut [u32], row: &[f32]) {
    let (pairs, rest) = row.as_chunks::<2>();
    for (word, &[low, high]) in words.iter_mut().zip(pairs) {
        *word = pair(low, high);
    }
    if let (&[last], Some(word)) = (rest, words.last_mut()) {
        *word = pair(last, 0.0);
    }
}

/// Two bf16 in one word, the first in the low half.
#[inline(always)]
fn pair(low: f32, high: f32) -> u32 {
    bf16_bits(low) >> 16 | bf16_bits(high) & 0xffff_0000
}

/// f32 rounded to the nearest bf16, ties to even, in the upper half (the lower is not cleared).
#[inline(always)]
fn bf16_bits(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    // Rounding could carry a NaN's payload into the sign; its quiet bit is enough.
    if value.is_nan() {
        bits | 0x0040_0000
    } else {
        rounded
    }
}
