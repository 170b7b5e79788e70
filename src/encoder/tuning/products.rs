//! A linear layer of which only the adapter changes: forward, and the gradients of input and adapter. The
//! products with the layer's own weights, packed once, run by [`crate::kernels::linear`], those with the
//! narrow matrices by `gemm`.

use rayon::prelude::*;

use super::super::kernels::add_scaled;
use crate::kernels::{Epilogue, PackedWeights, Precision, Scratch, linear};
use crate::matmul::{Threads, View, matmul};

/// A linear layer's own weights, for both directions, and bias.
pub(super) struct Linear {
    forward: PackedWeights,
    backward: PackedWeights,
    bias: Vec<f32>,
}

impl Linear {
    /// `weights` is `[outputs, inputs]`.
    pub fn new([weights, bias]: [&[f32]; 2], precision: Precision) -> Self {
        let (outputs, inputs) = (bias.len(), weights.len() / bias.len());
        Self {
            forward: PackedWeights::pack(weights, outputs, inputs, precision),
            backward: PackedWeights::pack_transposed(weights, inputs, outputs, precision),
            bias: bias.to_vec(),
        }
    }

    /// `x · (weights + leftᵀ · right)ᵀ + bias`, plus `residual` if there is one.
    ///
    /// # Shapes
    /// `x` is `[tokens, inputs]`, the result and `residual` `[tokens, outputs]`.
    pub fn forward(
        &self,
        x: &[f32],
        [left, right, change]: [&[f32]; 3],
        residual: Option<&[f32]>,
        scratch: &mut Scratch,
    ) -> Vec<f32> {
        let bias = sum(&self.bias, change);
        let mut added = up(&down(x, right, self.forward.inputs()), left, bias.len());
        add(&mut added, residual);
        product(&self.forward, x, &bias, &added, scratch)
    }

    /// The gradient of the input, plus `residual` if there is one; writes that of the adapter.
    ///
    /// # Shapes
    /// `gradient` is `[tokens, outputs]`, `x`, `residual` and the result `[tokens, inputs]`.
    pub fn backward(
        &self,
        (gradient, x): (&[f32], &[f32]),
        [left, right, _]: [&[f32]; 3],
        [left_gradient, right_gradient, bias_gradient]: [&mut [f32]; 3],
        residual: Option<&[f32]>,
        scratch: &mut Scratch,
    ) -> Vec<f32> {
        let (outputs, inputs) = (self.forward.outputs(), self.forward.inputs());
        column_sums(gradient, bias_gradient);
        narrow(left_gradient, &down(x, right, inputs), gradient, outputs);
        let inner = down(gradient, left, outputs);
        narrow(right_gradient, &inner, x, inputs);
        let mut added = up(&inner, right, inputs);
        add(&mut added, residual);
        let zeros = vec![0.0; inputs];
        product(&self.backward, gradient, &zeros, &added, scratch)
    }
}

fn product(
    weights: &PackedWeights,
    x: &[f32],
    bias: &[f32],
    residual: &[f32],
    scratch: &mut Scratch,
) -> Vec<f32> {
    let rows = x.len() / weights.inputs();
    let mut out = vec![0.0; rows * weights.outputs()];
    let epilogue = Epilogue::BiasResidual { bias, residual };
    linear(&mut out, x, rows, weights, epilogue, scratch);
    out
}

/// `x · narrowᵀ`, `[tokens, rank]`, of `x`, `[tokens, width]`, and `narrow`, `[rank, width]`.
fn down(x: &[f32], narrow: &[f32], width: usize) -> Vec<f32> {
    let rank = narrow.len() / width;
    let mut out = vec![0.0; x.len() / width * rank];
    let narrow = View::dense(narrow, width).transposed();
    matmul(&mut out, rank, View::dense(x, width), narrow, Threads::All);
    out
}

/// `inner · narrow`, `[tokens, width]`, of `inner`, `[tokens, rank]`, and `narrow`, `[rank, width]`.
fn up(inner: &[f32], narrow: &[f32], width: usize) -> Vec<f32> {
    let rank = narrow.len() / width;
    let mut out = vec![0.0; inner.len() / rank * width];
    let inner = View::dense(inner, rank);
    matmul(
        &mut out,
        width,
        inner,
        View::dense(narrow, width),
        Threads::All,
    );
    out
}

/// The gradient of a narrow matrix: `innerᵀ · x`, `[rank, width]`.
fn narrow(out: &mut [f32], inner: &[f32], x: &[f32], width: usize) {
    let inner = View::dense(inner, out.len() / width).transposed();
    matmul(out, width, inner, View::dense(x, width), Threads::All);
}

fn column_sums(rows: &[f32], sums: &mut [f32]) {
    /// Columns that one task adds up: enough to outweigh the hand-over.
    const COLUMNS: usize = 256;
    let width = sums.len();
    let tasks = sums.par_chunks_mut(COLUMNS).enumerate();
    tasks.for_each(|(task, sums)| {
        sums.fill(0.0);
        for row in rows.chunks_exact(width) {
            add_scaled(sums, &row[task * COLUMNS..][..sums.len()], 1.0);
        }
    });
}

fn add(values: &mut [f32], others: Option<&[f32]>) {
    if let Some(others) = others {
        add_scaled(values, others, 1.0);
    }
}

/// Value by value.
pub(super) fn sum(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}
