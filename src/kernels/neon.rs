//! The inner loops for AArch64: f32 (NEON) and int8 (`sdot`, which ARMv8.4 has and Apple's M1). They read the
//! panels of AVX-512: a tile is 5 rows × 16 outputs, a third of a panel, so that 20 sums, 4 weights and
//! the activations of 4 steps in 5 registers fit in 32.

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};
use std::ops::Range;

use super::panels::WIDTH;
use super::quantise::RowGroup;
use super::schedule::{Shared, tiles};
use super::{Precision, Product, Quantised};

/// 32-bit lanes of a register: weights of as many outputs, or activations of as many steps.
const LANES: usize = 4;
/// Registers of sums per row.
const REGISTERS: usize = 4;
/// Outputs of a tile.
const COLUMNS: usize = REGISTERS * LANES;
/// Rows of a tile.
const ROWS: usize = 5;

type Floats<const HEIGHT: usize> = [[float32x4_t; REGISTERS]; HEIGHT];
type Integers<const HEIGHT: usize> = [[int32x4_t; REGISTERS]; HEIGHT];

/// Whether the kernel for `precision` runs here.
pub(super) fn available(precision: Precision) -> bool {
    match precision {
        Precision::F32 => true,
        Precision::Bf16 => false,
        Precision::Int8 => is_aarch64_feature_detected!("dotprod"),
    }
}

/// Runs a product in a precision that is [`available`].
pub(super) fn run(product: &Product<'_>, out: &mut [f32], precision: Precision) {
    assert!(available(precision), "no kernel for this CPU");
    let (plan, out) = (&product.plan, Shared::new(out));
    // SAFETY: the CPU has the features, as just asserted; `linear` has checked every slice against
    // the shapes of weights and rows; the plan hands out each block of rows and each panel once.
    match precision {
        Precision::F32 => plan.run(|rows, panel| unsafe { f32_task(product, out, rows, panel) }),
        _ => plan.run(|rows, panel| unsafe { int8_task(product, out, rows, panel) }),
    }
}

/// One block of rows with one panel. `$signed` makes of a row's words what `$dot` takes; `$dot` adds the products of
/// the activations in a lane and the weights to a `$sum`; `$floats` adds a group's sums, as f32, to those before.
macro_rules! task {
    ($name:ident, $features:literal, $sum:ty, $zero:expr, $signed:ident, $dot:ident, $floats:ident) => {
        /// # Safety
        /// The CPU has the features; `out` is `[rows, outputs]` of the product; no other task
        /// works on these rows and this panel.
        #[target_feature(enable = $features)]
        unsafe fn $name(product: &Product<'_>, out: Shared, rows: Range<usize>, panel: usize) {
            /// One step: the activations in lane `LANE` of a row's words and the weights of that step.
            ///
            /// # Safety
            /// There are `COLUMNS` weights from `weights` + `LANE` steps on.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn add<const LANE: i32, const HEIGHT: usize>(
                sums: &mut [[$sum; REGISTERS]; HEIGHT],
                words: &[uint32x4_t; HEIGHT],
                weights: *const u32,
            ) {
                let weights: [uint32x4_t; REGISTERS] = std::array::from_fn(|at| {
                    // SAFETY: the caller's word.
                    unsafe { vld1q_u32(weights.add(LANE as usize * WIDTH + at * LANES)) }
                });
                for (sums, &x) in sums.iter_mut().zip(words) {
                    for (sum, w) in sums.iter_mut().zip(weights) {
                        *sum = $dot::<LANE>(*sum, w, x);
                    }
                }
            }
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
                let mut floats = [[vdupq_n_f32(0.0); REGISTERS]; HEIGHT];
                let together = product.steps_together();
                for group in 0..steps.div_ceil(together) {
                    let mut sums = [[$zero; REGISTERS]; HEIGHT];
                    let end = steps.min((group + 1) * together);
                    for step in (group * together..end).step_by(LANES) {
                        let count = LANES.min(end - step);
                        // SAFETY: a row of words has `steps`, a panel `steps · WIDTH`, and `count` steps are left.
                        unsafe {
                            let word = |row| $signed(load(words.add(row * steps + step), count));
                            let words: [uint32x4_t; HEIGHT] = std::array::from_fn(word);
                            let weights = panel.add(step * WIDTH + column % WIDTH);
                            add::<0, HEIGHT>(&mut sums, &words, weights);
                            if count > 1 {
                                add::<1, HEIGHT>(&mut sums, &words, weights);
                            }
                            if count > 2 {
                                add::<2, HEIGHT>(&mut sums, &words, weights);
                            }
                            if count > 3 {
                                add::<3, HEIGHT>(&mut sums, &words, weights);
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
    "neon",
    float32x4_t,
    vdupq_n_f32(0.0),
    as_they_are,
    f32_dot,
    already_floats
);
task!(
    int8_task,
    "neon,dotprod",
    int32x4_t,
    vdupq_n_s32(0),
    less_128,
    int8_dot,
    dequantise
);

/// `count` words, zeros behind.
///
/// # Safety
/// There are so many.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load(words: *const u32, count: usize) -> uint32x4_t {
    if count == LANES {
        // SAFETY: the caller's word.
        return unsafe { vld1q_u32(words) };
    }
    let mut few = [0; LANES];
    // SAFETY: the caller's word, and `count` is below `LANES`.
    unsafe { std::ptr::copy_nonoverlapping(words, few.as_mut_ptr(), count) };
    // SAFETY: `few` has as many words as the register.
    unsafe { vld1q_u32(few.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn as_they_are(words: uint32x4_t) -> uint32x4_t {
    words
}

#[inline]
#[target_feature(enable = "neon")]
fn f32_dot<const LANE: i32>(sum: float32x4_t, w: uint32x4_t, x: uint32x4_t) -> float32x4_t {
    vfmaq_laneq_f32::<LANE>(sum, vreinterpretq_f32_u32(w), vreinterpretq_f32_u32(x))
}

/// What [`less_128`] takes from each activation.
const LESS: f32 = 128.0;

/// Activations of 0 to 255 as -128 to 127: `sdot` takes no others. [`dequantise`] gives back what it lacks.
#[inline]
#[target_feature(enable = "neon")]
fn less_128(words: uint32x4_t) -> uint32x4_t {
    veorq_u32(words, vdupq_n_u32(0x8080_8080))
}

/// The intrinsic, `vdotq_laneq_s32`, is not in stable Rust.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn int8_dot<const LANE: i32>(mut sum: int32x4_t, w: uint32x4_t, x: uint32x4_t) -> int32x4_t {
    // SAFETY: registers alone, of an instruction that the features hold.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {w:v}.16b, {x:v}.4b[{lane}]",
            sum = inout(vreg) sum,
            w = in(vreg) w,
            x = in(vreg) x,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

#[inline]
#[target_feature(enable = "neon")]
fn already_floats<const HEIGHT: usize>(
    _: &Product<'_>,
    _: (usize, usize, usize),
    floats: &mut Floats<HEIGHT>,
    sums: Floats<HEIGHT>,
) {
    // They are the sums of all steps.
    *floats = sums;
}

/// See [`super::quantise`]; the least value is that of activations from -128 on.
#[inline]
#[target_feature(enable = "neon")]
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
                vld1q_f32(scales.as_ptr().add(at * LANES)),
                vld1q_f32(totals.as_ptr().add(at * LANES)),
            )
        };
        for (index, (floats, sums)) in floats.iter_mut().zip(&sums).enumerate() {
            let RowGroup { scale, least } = rows[(row + index) * groups + group];
            let float = vfmaq_n_f32(floats[at], totals, least + LESS * scale);
            let scaled = vmulq_f32(vcvtq_f32_s32(sums[at]), scales);
            floats[at] = vfmaq_n_f32(float, scaled, scale);
        }
    }
}

/// Applies the epilogue and stores one row of a tile. A function of its own, as that of AVX2.
///
/// # Safety
/// `out` is `[rows, outputs]` of the product, and this row's outputs from `column` on are ours alone.
#[inline(never)]
unsafe fn finish(
    product: &Product<'_>,
    out: Shared,
    row: usize,
    column: usize,
    sums: [float32x4_t; REGISTERS],
) {
    // SAFETY: both are the same bytes, and any bytes are floats.
    let sums: [f32; COLUMNS] = unsafe { std::mem::transmute(sums) };
    // SAFETY: the caller's word.
    unsafe { product.finish(out, row, column, sums) };
}
