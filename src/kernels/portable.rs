//! The same products from the same panels without special instructions: slow, and what the fast
//! kernels are tested against.

use rayon::prelude::*;

use super::panels::{LANES, Line, WIDTH};
use super::{Precision, Product, Quantised};

/// Runs a product.
pub(super) fn run(product: &Product<'_>, out: &mut [f32], precision: Precision) {
    let (steps, outputs) = (product.panels.steps(), product.plan.outputs);
    out.par_chunks_mut(outputs)
        .zip(product.words.par_chunks(steps))
        .enumerate()
        .for_each(|(row, (out, words))| {
            for (panel, out) in out.chunks_mut(WIDTH).enumerate() {
                let lines = product.panels.panel(panel);
                match precision {
                    Precision::F32 => sums(out, words, lines, f32_product),
                    Precision::Bf16 => sums(out, words, lines, bf16_product),
                    Precision::Int8 => integers(product, out, words, row, panel),
                }
            }
            product.epilogue.apply(out, row);
        });
}

fn sums(out: &mut [f32], words: &[u32], panel: &[Line], product: impl Fn(u32, u32) -> f32) {
    let mut sums = [0.0; WIDTH];
    each_product(words, panel, |output, x, w| sums[output] += product(x, w));
    out.copy_from_slice(&sums[..out.len()]);
}

fn integers(product: &Product<'_>, out: &mut [f32], words: &[u32], row: usize, panel: usize) {
    let Quantised { rows, columns } = product.quantised.expect("int8 comes with its scales");
    let rows = &rows[row * columns.groups()..];
    let together = product.steps_together();
    let groups = words
        .chunks(together)
        .zip(product.panels.panel(panel).chunks(together * WIDTH / LANES));
    out.fill(0.0);
    for ((words, lines), (row, column)) in groups.zip(rows.iter().zip(columns.panel(panel))) {
        let mut sums = [0; WIDTH];
        each_product(words, lines, |output, x, w| {
            sums[output] += int8_product(x, w);
        });
        for (at, (out, sum)) in out.iter_mut().zip(sums).enumerate() {
            *out += column.sums[at] * row.least + sum as f32 * column.scales[at] * row.scale;
        }
    }
}

fn each_product(words: &[u32], panel: &[Line], mut product: impl FnMut(usize, u32, u32)) {
    for (&x, lines) in words.iter().zip(panel.chunks_exact(WIDTH / LANES)) {
        for (at, line) in lines.iter().enumerate() {
            for (lane, &w) in line.0.iter().enumerate() {
                product(at * LANES + lane, x, w);
            }
        }
    }
}

fn f32_product(x: u32, w: u32) -> f32 {
    f32::from_bits(x) * f32::from_bits(w)
}

fn bf16_product(x: u32, w: u32) -> f32 {
    let half = |word: u32| f32::from_bits(word << 16);
    let other = |word: u32| f32::from_bits(word & 0xffff_0000);
    half(x) * half(w) + other(x) * other(w)
}

fn int8_product(x: u32, w: u32) -> i32 {
    let (x, w) = (x.to_le_bytes(), w.to_le_bytes());
    let products = x
        .iter()
        .zip(w)
        .map(|(&x, w)| i32::from(x) * i32::from(w.cast_signed()));
    products.sum()
}
