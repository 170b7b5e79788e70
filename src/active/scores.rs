//! The loops over pairs of texts that strategies spend their time in.
//!
//! Compiled once per instruction set and chosen at run time. Sums run over sixteen fixed lanes, so
//! that every instruction set adds in the same order.

use multiversion::multiversion;

/// Lanes of the partial sums; one AVX-512 register of f32.
const LANES: usize = 16;

/// `out_x = Σ_j weight_j · max(0, K_xj − cover_j)`; `kernel` has a row of `cover.len()` for each `x`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2+fma"))]
pub(super) fn uncovered(kernel: &[f32], cover: &[f32], weights: &[f32], out: &mut [f32]) {
    for (row, out) in kernel.chunks_exact(cover.len()).zip(out) {
        *out = sum_lanes(row, cover, weights, |k, cover, weight| {
            weight * (k - cover).max(0.0)
        });
    }
}

/// `out_x = Σ_j weight_j · Σ_xj² / (Σ_xx + penalty)`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2+fma"))]
pub(super) fn reduction(covariance: &[f32], weights: &[f32], penalty: f32, out: &mut [f32]) {
    for (x, (row, out)) in covariance.chunks_exact(weights.len()).zip(out).enumerate() {
        let sum = sum_lanes(row, row, weights, |a, b, weight| weight * a * b);
        *out = sum / (row[x] + penalty);
    }
}

/// `Σ ← Σ − Σ_t Σ_tᵀ / (Σ_tt + penalty)`: what a label at `text` leaves of the covariance.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2+fma"))]
pub(super) fn observe(covariance: &mut [f32], text: usize, texts: usize, penalty: f32) {
    let known = covariance[text * texts..(text + 1) * texts].to_vec();
    let scale = 1.0 / (known[text] + penalty);
    for (row, &own) in covariance.chunks_exact_mut(texts).zip(&known) {
        let factor = own * scale;
        for (value, &other) in row.iter_mut().zip(&known) {
            *value -= factor * other;
        }
    }
}

#[inline(always)]
fn sum_lanes(a: &[f32], b: &[f32], c: &[f32], term: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let whole = a.len() / LANES * LANES;
    let blocks = a[..whole].chunks_exact(LANES);
    let others = b[..whole]
        .chunks_exact(LANES)
        .zip(c[..whole].chunks_exact(LANES));
    for (a, (b, c)) in blocks.zip(others) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane], b[lane], c[lane]);
        }
    }
    let rest = (whole..a.len()).map(|at| term(a[at], b[at], c[at]));
    sums.into_iter().chain(rest).sum()
}
