//! Forward and backward of what works token by token: layer norm and activations.

use multiversion::multiversion;
use rayon::prelude::*;

use super::super::kernels::{Activation, exp, mean_and_inverse};
use crate::kernels::normal_share;

/// Rows that one task takes.
const ROWS_PER_TASK: usize = 16;

/// What the backward pass of a layer norm needs.
pub(super) struct Normed {
    /// `(x - mean) / deviation`, `[tokens, width]`.
    pub normalised: Vec<f32>,
    /// `1 / deviation` of each token.
    pub inverse: Vec<f32>,
}

impl Normed {
    /// `values` are `[tokens, width]`.
    pub fn new(mut values: Vec<f32>, width: usize, epsilon: f32) -> Self {
        let mut inverse = vec![0.0; values.len() / width];
        values
            .par_chunks_exact_mut(width)
            .with_min_len(ROWS_PER_TASK)
            .zip(&mut inverse)
            .for_each(|(row, inverse)| *inverse = normalise(row, epsilon));
        Self {
            normalised: values,
            inverse,
        }
    }

    /// The layer norm's output.
    pub fn output(&self, [weight, bias]: [&[f32]; 2]) -> Vec<f32> {
        let mut out = self.normalised.clone();
        out.par_chunks_exact_mut(weight.len())
            .with_min_len(ROWS_PER_TASK)
            .for_each(|row| {
                for ((value, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
                    *value = *value * weight + bias;
                }
            });
        out
    }

    /// Turns the gradient of the output into that of the input, in place, and gives those of
    /// weight and bias.
    pub fn backward(
        &self,
        gradient: &mut [f32],
        weight: &[f32],
        [weight_gradient, bias_gradient]: [&mut [f32]; 2],
    ) {
        let width = weight.len();
        weight_gradient.fill(0.0);
        bias_gradient.fill(0.0);
        let rows = self.normalised.chunks_exact(width);
        for (gradient, normalised) in gradient.chunks_exact(width).zip(rows) {
            add_products(weight_gradient, bias_gradient, gradient, normalised);
        }
        gradient
            .par_chunks_exact_mut(width)
            .with_min_len(ROWS_PER_TASK)
            .zip(self.normalised.par_chunks_exact(width))
            .zip(&self.inverse)
            .for_each(|((gradient, normalised), &inverse)| {
                norm_gradient(gradient, normalised, weight, inverse);
            });
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2+fma"))]
fn normalise(row: &mut [f32], epsilon: f32) -> f32 {
    let (mean, inverse) = mean_and_inverse(row, epsilon);
    row.iter_mut()
        .for_each(|value| *value = (*value - mean) * inverse);
    inverse
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2+fma"))]
fn add_products(weight: &mut [f32], bias: &mut [f32], gradient: &[f32], normalised: &[f32]) {
    for (((weight, bias), gradient), normalised) in
        weight.iter_mut().zip(bias).zip(gradient).zip(normalised)
    {
        *weight += gradient * normalised;
        *bias += gradient;
    }
}

/// `dx = (g − mean(g) − x̂ · mean(g · x̂)) / deviation` with `g` the gradient times the weight.
fn norm_gradient(gradient: &mut [f32], normalised: &[f32], weight: &[f32], inverse: f32) {
    let width = gradient.len() as f32;
    let (mut sum, mut product) = (0.0, 0.0);
    for ((value, normalised), weight) in gradient.iter_mut().zip(normalised).zip(weight) {
        *value *= weight;
        sum += *value;
        product += *value * normalised;
    }
    let (mean, slope) = (sum / width, product / width);
    for (value, normalised) in gradient.iter_mut().zip(normalised) {
        *value = (*value - mean - normalised * slope) * inverse;
    }
}

/// Values that one task of an activation takes.
const VALUES_PER_TASK: usize = 16_384;

/// `gradient *= activation'(before)`.
pub(super) fn activation_gradient(gradient: &mut [f32], before: &[f32], activation: Activation) {
    let multiply = match activation {
        Activation::Gelu => multiply_gelu_slopes,
        Activation::GeluTanh => |gradient: &mut [f32], before: &[f32]| {
            multiply(gradient, before, gelu_tanh_slope);
        },
        Activation::Relu => |gradient: &mut [f32], before: &[f32]| {
            multiply(gradient, before, |x| f32::from(x > 0.0));
        },
    };
    gradient
        .par_chunks_mut(VALUES_PER_TASK)
        .zip(before.par_chunks(VALUES_PER_TASK))
        .for_each(|(gradient, before)| multiply(gradient, before));
}

#[inline(always)]
fn multiply(gradient: &mut [f32], before: &[f32], slope: impl Fn(f32) -> f32) {
    for (gradient, &x) in gradient.iter_mut().zip(before) {
        *gradient *= slope(x);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2+fma"))]
fn multiply_gelu_slopes(gradient: &mut [f32], before: &[f32]) {
    multiply(gradient, before, |x| {
        /// `1 / √2π`, the normal density at 0.
        const PEAK: f32 = 0.398_942_3;
        normal_share(x) + x * PEAK * exp(-0.5 * x * x)
    });
}

fn gelu_tanh_slope(x: f32) -> f32 {
    let inner = 0.797_884_6 * (x + 0.044_715 * x * x * x);
    let tanh = inner.tanh();
    let slope = 0.797_884_6 * (1.0 + 3.0 * 0.044_715 * x * x);
    0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * slope
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_agree_with_differences() {
        use super::super::super::kernels::activate;
        for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Relu] {
            for step in -60..60 {
                let x = step as f32 * 0.1 + 0.013;
                let mut at = [x + 1e-2, x - 1e-2];
                activate(&mut at, activation);
                let difference = (at[0] - at[1]) / 2e-2;
                let mut slope = [1.0];
                activation_gradient(&mut slope, &[x], activation);
                assert!(
                    (slope[0] - difference).abs() < 2e-3,
                    "{activation:?} at {x}"
                );
            }
        }
    }
}
