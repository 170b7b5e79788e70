//! The inner loops for AVX2: f32 (FMA) and int8 (AVX-VNNI). They read the panels of AVX-512: a tile
//! is 6 rows × 16 outputs, a third of a panel, so that 12 sums, 2 weights and 2 activations fill the
//! 16 registers.
//!
//! There is no int8 without VNNI: `vpmaddubsw` saturates with eight-bit weights and activations, and
//! products widened to 16 bits that do not are as slow as f32.

use std::arch::x86_64::*;
use std::ops::Range;

use super::panels::WIDTH;
use super::quantise::RowGroup;
use super::schedule::{Shared, tiles};
use super::{Precision, Product, Quantised};

/// 32-bit lanes of a register.
const LANES: usize = 8;
/// Registers of sums per row.
const REGISTERS: usize = 2;
/// Outputs of a tile.
const COLUMNS: usize = REGISTERS * LANES;
/// Rows of a tile.
const ROWS: usize = 6;

type Floats<const HEIGHT: usize> = [[__m256; REGISTERS]; HEIGHT];
type Integers<const HEIGHT: usize> = [[__m256i; REGISTERS]; HEIGHT];

/// Whether the kernel for `precision` runs here.
pub(super) fn available(precision: Precision) -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && match precision {
            Precision::F32 => true,
            Precision::Bf16 => false,
            Precision::Int8 => int8(),
        }
}

fn int8() -> bool {
    is_x86_feature_detected!("avxvnni") || int8_of_avx512()
}

/// The same instruction in AVX-512's encoding.
fn int8_of_avx512() -> bool {
    is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512vnni")
}

/// Runs a product in a precision that is [`available`].
pub(super) fn run(product: &Product<'_>, out: &mut [f32], precision: Precision) {
    assert!(available(precision), "no kernel for this CPU");
    let (plan, out) = (&product.plan, Shared::new(out));
    // SAFETY: the CPU has the features, as just asserted; `linear` has checked every slice against
    // the shapes of weights and rows; the plan hands out each block of rows and each panel once.
    match precision {
        Precision::F32 => plan.run(|rows, panel| unsafe { f32_task(product, out, rows, panel) }),
        _ if int8_of_avx512() => {
            plan.run(|rows, panel| unsafe { int8_avx512_task(product, out, rows, panel) });
        }
        _ => plan.run(|rows, panel| unsafe { int8_task(product, out, rows, panel) }),
    }
}

/// One block of rows with one panel. `$dot` adds a step's products of the broadcast activations
/// `$x` and the weights `$w` to `$sum`; `$floats` adds a group's sums, as f32, to those before.
macro_rules! task {
    ($name:ident, $features:literal, $zero:expr, |$sum:ident, $x:ident, $w:ident| $dot:expr, $floats:ident) => {
        /// # Safety
        /// The CPU has the features; `out` is `[rows, outputs]` of the product; no other task
        /// works on these rows and this panel.
        #[target_feature(enable = $features)]
        unsafe fn $name(product: &Product<'_>, out: Shared, rows: Range<usize>, panel: usize) {
            /// # Safety
            /// As above, for `HEIGHT` rows from `row` on and the `COLUMNS` outputs from `column` on.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn tile<const HEIGHT: usize>(
                product: &Product<'_>,
                out: Shared,
                row: usize,
                column: usize,
            ) {
                let steps = product.panels.steps();
                let panel = product.panels.panel(column / WIDTH).as_ptr().cast::<u32>();
                let words = product.words[row * steps..][..HEIGHT * steps].as_ptr();
                let mut floats = [[_mm256_setzero_ps(); REGISTERS]; HEIGHT];
                let together = product.steps_together();
                for group in 0..steps.div_ceil(together) {
                    let mut sums = [[$zero; REGISTERS]; HEIGHT];
                    for step in group * together..steps.min((group + 1) * together) {
                        // SAFETY: a panel has `steps · WIDTH` words, aligned to more than a
                        // register; a row of words has `steps`.
                        let weights: [__m256i; REGISTERS] = std::array::from_fn(|at| unsafe {
                            let word = step * WIDTH + column % WIDTH + at * LANES;
                            _mm256_load_si256(panel.add(word).cast())
                        });
                        for (row, sums) in sums.iter_mut().enumerate() {
                            // SAFETY: as above.
                            let word = unsafe { *words.add(row * steps + step) };
                            let $x = _mm256_set1_epi32(word.cast_signed());
                            for (sum, $w) in sums.iter_mut().zip(weights) {
                                let $sum = *sum;
                                *sum = $dot;
                            }
                        }
                    }
                    $floats(product, (row, column, group), &mut floats, sums);
                }
                for (at, floats) in floats.into_iter().enumerate() {
                    // SAFETY: the caller's word for `out`.
                    unsafe { finish(product, out, row + at, column, floats) };
                }
            }
            for rows in tiles(rows, ROWS) {
                for column in (panel * WIDTH..(panel + 1) * WIDTH).step_by(COLUMNS) {
                    // SAFETY: the caller's word.
                    unsafe {
                        match rows.len() {
                            1 => tile::<1>(product, out, rows.start, column),
                            2 => tile::<2>(product, out, rows.start, column),
                            3 => tile::<3>(product, out, rows.start, column),
                            4 => tile::<4>(product, out, rows.start, column),
                            5 => tile::<5>(product, out, rows.start, column),
                            _ => tile::<ROWS>(product, out, rows.start, column),
                        }
                    }
                }
            }
        }
    };
}

task!(
    f32_task,
    "avx2,fma",
    _mm256_setzero_ps(),
    |sum, x, w| _mm256_fmadd_ps(_mm256_castsi256_ps(x), _mm256_castsi256_ps(w), sum),
    already_floats
);
task!(
    int8_task,
    "avx2,fma,avxvnni",
    _mm256_setzero_si256(),
    |sum, x, w| _mm256_dpbusd_avx_epi32(sum, x, w),
    dequantise
);
task!(
    int8_avx512_task,
    "avx2,fma,avx512vl,avx512vnni",
    _mm256_setzero_si256(),
    |sum, x, w| _mm256_dpbusd_epi32(sum, x, w),
    dequantise
);

#[inline]
#[target_feature(enable = "avx2,fma")]
fn already_floats<const HEIGHT: usize>(
    _: &Product<'_>,
    _: (usize, usize, usize),
    floats: &mut Floats<HEIGHT>,
    sums: Floats<HEIGHT>,
) {
    // They are the sums of all steps.
    *floats = sums;
}

/// See [`super::quantise`].
#[inline]
#[target_feature(enable = "avx2,fma")]
fn dequantise<const HEIGHT: usize>(
    product: &Product<'_>,
    (row, column, group): (usize, usize, usize),
    floats: &mut Floats<HEIGHT>,
    sums: Integers<HEIGHT>,
) {
    let Quantised { rows, columns } = product.quantised.expect("int8 comes with its scales");
    let of_column = &columns.panel(column / WIDTH)[group];
    let scales = &of_column.scales[column % WIDTH..][..COLUMNS];
    let totals = &of_column.sums[column % WIDTH..][..COLUMNS];
    let groups = columns.groups();
    for at in 0..REGISTERS {
        // SAFETY: both slices are `COLUMNS` long.
        let (scales, totals) = unsafe {
            (
                _mm256_loadu_ps(scales.as_ptr().add(at * LANES)),
                _mm256_loadu_ps(totals.as_ptr().add(at * LANES)),
            )
        };
        for (index, (floats, sums)) in floats.iter_mut().zip(&sums).enumerate() {
            let RowGroup { scale, least } = rows[(row + index) * groups + group];
            let float = _mm256_fmadd_ps(totals, _mm256_set1_ps(least), floats[at]);
            let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[at]), scales);
            floats[at] = _mm256_fmadd_ps(scaled, _mm256_set1_ps(scale), float);
        }
    }
}

/// Applies the epilogue and stores one row of a tile. A function of its own: inlined, it drives the tile's sums
/// out of the registers.
///
/// # Safety
/// `out` is `[rows, outputs]` of the product, and this row's outputs from `column` on are ours alone.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn finish(
    product: &Product<'_>,
    out: Shared,
    row: usize,
    column: usize,
    sums: [__m256; REGISTERS],
) {
    // SAFETY: both are the same bytes, and any bytes are floats.
    let sums: [f32; COLUMNS] = unsafe { std::mem::transmute(sums) };
    // SAFETY: the caller's word.
    unsafe { product.finish(out, row, column, sums) };
}
