//! The three products of a linear layer's training, all by [`crate::kernels::linear`]: forward, the
//! gradient of the input, the gradient of the weights.

use rayon::prelude::*;

use crate::kernels::{Epilogue, PackedWeights, Precision, Scratch, linear};

/// In which numbers the products run, and memory that they use again.
pub(super) struct Products {
    pub precision: Precision,
    scratch: Scratch,
    zeros: Vec<f32>,
    turned: Vec<f32>,
}

impl Products {
    pub fn new(precision: Precision) -> Self {
        Self {
            precision,
            scratch: Scratch::default(),
            zeros: Vec::new(),
            turned: Vec::new(),
        }
    }

    /// `x · weightsᵀ + bias`, plus `residual` if there is one.
    ///
    /// # Shapes
    /// `x` is `[tokens, inputs]`, `weights` `[outputs, inputs]`, the result and `residual`
    /// `[tokens, outputs]`.
    pub fn forward(
        &mut self,
        x: &[f32],
        [weights, bias]: [&[f32]; 2],
        residual: Option<&[f32]>,
    ) -> Vec<f32> {
        let inputs = weights.len() / bias.len();
        let packed = PackedWeights::pack(weights, bias.len(), inputs, self.precision);
        let mut out = vec![0.0; x.len() / inputs * bias.len()];
        let epilogue = epilogue(bias, residual);
        let rows = x.len() / inputs;
        linear(&mut out, x, rows, &packed, epilogue, &mut self.scratch);
        out
    }

    /// The gradient of the input: `gradient · weights`, plus `residual` if there is one.
    ///
    /// # Shapes
    /// `gradient` is `[tokens, outputs]`, the result and `residual` `[tokens, inputs]`.
    pub fn input_gradient(
        &mut self,
        gradient: &[f32],
        [weights, bias]: [&[f32]; 2],
        residual: Option<&[f32]>,
    ) -> Vec<f32> {
        let (outputs, inputs) = (bias.len(), weights.len() / bias.len());
        let packed = PackedWeights::pack_transposed(weights, inputs, outputs, self.precision);
        let tokens = gradient.len() / outputs;
        let mut out = vec![0.0; tokens * inputs];
        self.zeros.resize(self.zeros.len().max(inputs), 0.0);
        let bias = &self.zeros[..inputs];
        let epilogue = epilogue(bias, residual);
        linear(
            &mut out,
            gradient,
            tokens,
            &packed,
            epilogue,
            &mut self.scratch,
        );
        out
    }

    /// The gradients of weights and bias: `gradientᵀ · x` and the columns' sums.
    ///
    /// # Shapes
    /// `gradient` is `[tokens, outputs]`, `x` `[tokens, inputs]`; `weights` and `bias` are
    /// overwritten.
    pub fn weight_gradient(
        &mut self,
        gradient: &[f32],
        x: &[f32],
        [weights, bias]: [&mut [f32]; 2],
    ) {
        let (outputs, inputs) = (bias.len(), weights.len() / bias.len());
        let tokens = x.len() / inputs;
        transpose(gradient, outputs, &mut self.turned);
        bias.par_iter_mut()
            .zip(self.turned.par_chunks_exact(tokens))
            .for_each(|(sum, row)| *sum = row.iter().sum());
        let packed = PackedWeights::pack_transposed(x, inputs, tokens, self.precision);
        self.zeros.resize(self.zeros.len().max(inputs), 0.0);
        let epilogue = Epilogue::Bias(&self.zeros[..inputs]);
        linear(
            weights,
            &self.turned,
            outputs,
            &packed,
            epilogue,
            &mut self.scratch,
        );
    }
}

fn epilogue<'a>(bias: &'a [f32], residual: Option<&'a [f32]>) -> Epilogue<'a> {
    match residual {
        Some(residual) => Epilogue::BiasResidual { bias, residual },
        None => Epilogue::Bias(bias),
    }
}

/// Columns that one task turns: a cache line of each row.
const COLUMNS_PER_TASK: usize = 16;

/// `out` becomes `[columns, rows]`.
fn transpose(values: &[f32], columns: usize, out: &mut Vec<f32>) {
    let rows = values.len() / columns;
    out.resize(values.len(), 0.0);
    out.par_chunks_mut(rows * COLUMNS_PER_TASK)
        .enumerate()
        .for_each(|(task, out)| {
            let first = task * COLUMNS_PER_TASK;
            for (row, values) in values.chunks_exact(columns).enumerate() {
                for (column, turned) in out.chunks_exact_mut(rows).enumerate() {
                    turned[row] = values[first + column];
                }
            }
        });
}
