//! The inner loops for AVX-512: f32, bf16 (AVX512_BF16) and int8 (AVX512_VNNI).

use std::arch::x86_64::*;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::epilogue::{ERF_P, ERF_Q, Epilogue};
use super::panels::{LANES, WIDTH};
use super::quantise::RowGroup;
use super::schedule::{Shared, TILE_ROWS, tiles};
use super::{Precision, Product, Quantised};

/// Registers of sums per row.
const REGISTERS: usize = WIDTH / LANES;

type Floats<const ROWS: usize> = [[__m512; REGISTERS]; ROWS];
type Integers<const ROWS: usize> = [[__m512i; REGISTERS]; ROWS];

/// Whether the kernel for `precision` runs here.
pub(super) fn available(precision: Precision) -> bool {
    is_x86_feature_detected!("avx512f")
        && match precision {
            Precision::F32 => true,
            Precision::Bf16 => is_x86_feature_detected!("avx512bf16"),
            Precision::Int8 => is_x86_feature_detected!("avx512vnni"),
        }
}

/// Runs a product in a precision that is [`available`].
pub(super) fn run(product: &Product<'_>, out: &mut [f32], precision: Precision) {
    assert!(available(precision), "no kernel for this CPU");
    let (plan, shared) = (&product.plan, Shared::new(out));
    // SAFETY: the CPU has the features, as just asserted; `linear` has checked every slice against
    // the shapes of weights and rows; the plan hands out each block of rows and each panel once.
    match precision {
        Precision::F32 => plan.run(|rows, panel| unsafe { f32_task(product, shared, rows, panel) }),
        Precision::Bf16 => {
            plan.run(|rows, panel| unsafe { bf16_task(product, shared, rows, panel) });
        }
        Precision::Int8 => {
            plan.run(|rows, panel| unsafe { int8_task(product, shared, rows, panel) });
        }
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
            /// As above, for `ROWS` rows from `row` on.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn tile<const ROWS: usize>(
                product: &Product<'_>,
                out: Shared,
                row: usize,
                panel: usize,
            ) {
                let steps = product.panels.steps();
                let weights = product.panels.panel(panel).as_ptr().cast::<__m512i>();
                let words = product.words[row * steps..][..ROWS * steps].as_ptr();
                let ahead = Ahead::new(product, out, row, panel);
                let mut floats = MaybeUninit::uninit();
                let together = product.steps_together();
                for group in 0..steps.div_ceil(together) {
                    let mut sums = [[$zero; REGISTERS]; ROWS];
                    for step in group * together..steps.min((group + 1) * together) {
                        ahead.fetch(step);
                        // SAFETY: a panel has `steps · REGISTERS` lines, a row of words `steps`.
                        let weights: [__m512i; REGISTERS] = std::array::from_fn(|at| unsafe {
                            _mm512_load_si512(weights.add(step * REGISTERS + at))
                        });
                        for (row, sums) in sums.iter_mut().enumerate() {
                            // SAFETY: as above.
                            let word = unsafe { *words.add(row * steps + step) };
                            let $x = _mm512_set1_epi32(word.cast_signed());
                            for (sum, $w) in sums.iter_mut().zip(weights) {
                                let $sum = *sum;
                                *sum = $dot;
                            }
                        }
                    }
                    $floats(product, (row, panel, group), &mut floats, sums);
                }
                // SAFETY: the first group, which every product has, has set `floats`; the caller's word for
                // `out`.
                unsafe { finish(product, out, row, panel, floats.assume_init_ref()) };
            }
            for rows in tiles(rows, TILE_ROWS) {
                // SAFETY: the caller's word.
                unsafe {
                    match rows.len() {
                        1 => tile::<1>(product, out, rows.start, panel),
                        2 => tile::<2>(product, out, rows.start, panel),
                        3 => tile::<3>(product, out, rows.start, panel),
                        4 => tile::<4>(product, out, rows.start, panel),
                        5 => tile::<5>(product, out, rows.start, panel),
                        6 => tile::<6>(product, out, rows.start, panel),
                        7 => tile::<7>(product, out, rows.start, panel),
                        _ => tile::<TILE_ROWS>(product, out, rows.start, panel),
                    }
                }
            }
        }
    };
}

task!(
    f32_task,
    "avx512f",
    _mm512_setzero_ps(),
    |sum, x, w| _mm512_fmadd_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(w), sum),
    already_floats
);
task!(
    bf16_task,
    "avx512f,avx512bf16",
    _mm512_setzero_ps(),
    |sum, x, w| _mm512_dpbf16_ps(sum, as_bf16(x), as_bf16(w)),
    already_floats
);
task!(
    int8_task,
    "avx512f,avx512vnni",
    _mm512_setzero_si512(),
    |sum, x, w| _mm512_dpbusd_epi32(sum, x, w),
    dequantise
);

#[inline]
#[target_feature(enable = "avx512f")]
fn as_bf16(words: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes of any content.
    unsafe { std::mem::transmute(words) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn already_floats<const ROWS: usize>(
    _: &Product<'_>,
    _: (usize, usize, usize),
    floats: &mut MaybeUninit<Floats<ROWS>>,
    sums: Floats<ROWS>,
) {
    // They are the sums of all steps.
    floats.write(sums);
}

/// See [`super::quantise`].
#[inline]
#[target_feature(enable = "avx512f")]
fn dequantise<const ROWS: usize>(
    product: &Product<'_>,
    (row, panel, group): (usize, usize, usize),
    floats: &mut MaybeUninit<Floats<ROWS>>,
    sums: Integers<ROWS>,
) {
    let Quantised { rows, columns } = product.quantised.expect("int8 comes with its scales");
    let column = &columns.panel(panel)[group];
    let groups = columns.groups();
    // Behind a pointer that may be anyone's, they stay in memory: `sums` fill the registers, and the compiler
    // would move both to and fro. Nor are they zeros at first: it would call `memset` for each tile.
    let floats = black_box(floats.as_mut_ptr().cast::<__m512>());
    // SAFETY: both arrays of a column are `WIDTH` floats, `floats` is `ROWS` by `REGISTERS`, and rows has
    // `groups` for each of this tile's rows.
    unsafe {
        let part = |values: &[f32; WIDTH], at| _mm512_loadu_ps(values.as_ptr().add(at * LANES));
        let scales: [__m512; REGISTERS] = std::array::from_fn(|at| part(&column.scales, at));
        let of_rows = rows[row * groups..][..ROWS * groups].as_ptr();
        for (row, sums) in sums.iter().enumerate() {
            let RowGroup { scale, least } = *of_rows.add(row * groups + group);
            let (scale, least) = (_mm512_set1_ps(scale), _mm512_set1_ps(least));
            for (at, &sum) in sums.iter().enumerate() {
                let float = floats.add(row * REGISTERS + at);
                let totals = part(&column.sums, at);
                let before = match group {
                    0 => _mm512_mul_ps(totals, least),
                    _ => _mm512_fmadd_ps(totals, least, *float),
                };
                let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scales[at]);
                *float = _mm512_fmadd_ps(scaled, scale, before);
            }
        }
    }
}

/// What [`finish`] reads and writes, brought near while the sums are made, a line a step: with many rows it
/// has left the caches, and the processor cannot wait for that many lines at once.
#[derive(Clone, Copy)]
struct Ahead {
    out: *const f32,
    residual: *const f32,
    outputs: usize,
}

impl Ahead {
    #[inline]
    fn new(product: &Product<'_>, out: Shared, row: usize, panel: usize) -> Self {
        let outputs = product.plan.outputs;
        let place = row * outputs + panel * WIDTH;
        let out = out.start().cast_const().wrapping_add(place);
        let residual = match product.epilogue {
            Epilogue::BiasResidual { residual, .. } => residual.as_ptr().wrapping_add(place),
            Epilogue::Bias(_) | Epilogue::BiasGelu(_) => out,
        };
        Self {
            out,
            residual,
            outputs,
        }
    }

    #[inline(always)]
    fn fetch(self, step: usize) {
        // Four lines a row: its three registers need not begin where a line does.
        let place = step % TILE_ROWS * self.outputs + step / TILE_ROWS % 4 * LANES;
        // SAFETY: a prefetch reads nothing, wherever it points.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(self.out.wrapping_add(place).cast());
            _mm_prefetch::<_MM_HINT_T0>(self.residual.wrapping_add(place).cast());
        }
    }
}

/// Applies the epilogue and stores the tile.
///
/// # Safety
/// `out` is `[rows, outputs]` of the product, and these `ROWS` rows of this panel are ours alone.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn finish<const ROWS: usize>(
    product: &Product<'_>,
    out: Shared,
    row: usize,
    panel: usize,
    sums: &Floats<ROWS>,
) {
    let outputs = product.plan.outputs;
    let column = panel * WIDTH;
    let bias = product.epilogue.bias();
    for at in 0..REGISTERS {
        let from = column + at * LANES;
        let mask = first_lanes(outputs.saturating_sub(from));
        // SAFETY: the mask keeps loads and stores inside each row of `outputs` values.
        unsafe {
            let bias = _mm512_maskz_loadu_ps(mask, bias.as_ptr().wrapping_add(from));
            for (index, sums) in sums.iter().enumerate() {
                let place = (row + index) * outputs + from;
                let sum = _mm512_add_ps(sums[at], bias);
                let value = match product.epilogue {
                    Epilogue::Bias(_) => sum,
                    Epilogue::BiasGelu(_) => gelu(sum),
                    Epilogue::BiasResidual { residual, .. } => {
                        let residual = residual.as_ptr().wrapping_add(place);
                        _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, residual))
                    }
                };
                _mm512_mask_storeu_ps(out.start().wrapping_add(place), mask, value);
            }
        }
    }
}

fn first_lanes(count: usize) -> __mmask16 {
    if count >= LANES {
        __mmask16::MAX
    } else {
        (1 << count) - 1
    }
}

/// `x · Φ(x)`, as [`super::epilogue`]'s; the quotient by an estimate of the reciprocal and one
/// Newton step, which a division takes several times as long for.
#[inline]
#[target_feature(enable = "avx512f")]
fn gelu(x: __m512) -> __m512 {
    let all = _mm512_set1_ps;
    let t = _mm512_mul_ps(x, all(std::f32::consts::FRAC_1_SQRT_2));
    // The bound stands first: `min` and `max` hand on their second operand if either is a NaN.
    let t = _mm512_max_ps(all(-4.0), _mm512_min_ps(all(4.0), t));
    let square = _mm512_mul_ps(t, t);
    let top = horner(&ERF_P, square);
    let bottom = horner(&ERF_Q, square);
    let guess = _mm512_rcp14_ps(bottom);
    let error = _mm512_fnmadd_ps(bottom, guess, all(1.0));
    let inverse = _mm512_fmadd_ps(guess, error, guess);
    let erf = _mm512_mul_ps(_mm512_mul_ps(t, top), inverse);
    let half = _mm512_mul_ps(x, all(0.5));
    _mm512_fmadd_ps(half, erf, half)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn horner<const N: usize>(powers: &[f32; N], x: __m512) -> __m512 {
    let mut sum = _mm512_set1_ps(powers[0]);
    for &power in &powers[1..] {
        sum = _mm512_fmadd_ps(sum, x, _mm512_set1_ps(power));
    }
    sum
}
