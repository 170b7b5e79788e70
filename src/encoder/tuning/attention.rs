//! The backward pass of attention, text by text.

use rayon::prelude::*;

use super::super::attention::{KEYS, QUERIES, VALUES};
use super::super::kernels::softmax_row;
use super::super::transformer::Transformer;
use crate::matmul::{Threads, View, matmul, matmul_scaled};

/// The gradient of queries, keys and values, `[tokens, 3 · width]`, from that of the attention's
/// output, `[tokens, width]`. The probabilities are computed anew: they are not worth their memory.
pub(super) fn backward(
    transformer: &Transformer,
    texts: &[&[u32]],
    projected: &[f32],
    gradient: &[f32],
) -> Vec<f32> {
    let width = transformer.config.width;
    let mut out = vec![0.0; projected.len()];
    let mut tasks = Vec::with_capacity(texts.len());
    let (mut rest, mut projected, mut gradient) = (out.as_mut_slice(), projected, gradient);
    for ids in texts {
        let (own_out, other_out) = rest.split_at_mut(ids.len() * 3 * width);
        let (own, others) = projected.split_at(ids.len() * 3 * width);
        let (own_gradient, other_gradients) = gradient.split_at(ids.len() * width);
        tasks.push((own_out, own, own_gradient));
        (rest, projected, gradient) = (other_out, others, other_gradients);
    }
    tasks
        .into_par_iter()
        .for_each(|(out, projected, gradient)| {
            let mut space = Space::default();
            for head in 0..transformer.config.heads {
                space.head(transformer, head, projected, gradient, out);
            }
        });
    out
}

/// Memory of one head after the other.
#[derive(Default)]
struct Space {
    probabilities: Vec<f32>,
    slopes: Vec<f32>,
}

impl Space {
    fn head(
        &mut self,
        transformer: &Transformer,
        head: usize,
        projected: &[f32],
        gradient: &[f32],
        out: &mut [f32],
    ) {
        let (width, size) = (transformer.config.width, transformer.config.head_width());
        let tokens = gradient.len() / width;
        let part = |part| part_of(transformer, part, head, projected);
        let gradient = View::strided(&gradient[head * size..], tokens, size, width);
        fill_probabilities(transformer, head, projected, &mut self.probabilities);
        let probabilities = View::dense(&self.probabilities, tokens);
        let place = |part: usize| part * width + head * size;
        let stride = 3 * width;
        matmul(
            &mut out[place(VALUES)..],
            stride,
            probabilities.transposed(),
            gradient,
            Threads::One,
        );
        self.slopes.resize(tokens * tokens, 0.0);
        matmul(
            &mut self.slopes,
            tokens,
            gradient,
            part(VALUES).transposed(),
            Threads::One,
        );
        softmax_gradient(&mut self.slopes, &self.probabilities, tokens);
        let slopes = View::dense(&self.slopes, tokens);
        let scale = transformer.config.attention_scale();
        matmul_scaled(
            &mut out[place(QUERIES)..],
            stride,
            slopes,
            part(KEYS),
            scale,
            Threads::One,
        );
        matmul_scaled(
            &mut out[place(KEYS)..],
            stride,
            slopes.transposed(),
            part(QUERIES),
            scale,
            Threads::One,
        );
    }
}

/// The gradient of the probabilities becomes that of the scores.
fn softmax_gradient(gradient: &mut [f32], probabilities: &[f32], tokens: usize) {
    let rows = probabilities.chunks_exact(tokens);
    for (gradient, probabilities) in gradient.chunks_exact_mut(tokens).zip(rows) {
        let products = gradient.iter().zip(probabilities);
        let mean: f32 = products.map(|(gradient, share)| gradient * share).sum();
        for (gradient, share) in gradient.iter_mut().zip(probabilities) {
            *gradient = (*gradient - mean) * share;
        }
    }
}

/// How much each token of a text attends to each: `[tokens, tokens]`, each row of sum 1.
fn fill_probabilities(
    transformer: &Transformer,
    head: usize,
    projected: &[f32],
    probabilities: &mut Vec<f32>,
) {
    let tokens = projected.len() / (3 * transformer.config.width);
    let part = |part| part_of(transformer, part, head, projected);
    probabilities.resize(tokens * tokens, 0.0);
    matmul_scaled(
        probabilities,
        tokens,
        part(QUERIES),
        part(KEYS).transposed(),
        transformer.config.attention_scale(),
        Threads::One,
    );
    for (query, row) in probabilities.chunks_exact_mut(tokens).enumerate() {
        if let Some(relative) = &transformer.relative {
            relative.add(head, query, row);
        }
        softmax_row(row);
    }
}

/// A head's queries, keys or values of a text, `[tokens, head width]`.
fn part_of<'p>(
    transformer: &Transformer,
    part: usize,
    head: usize,
    projected: &'p [f32],
) -> View<'p, f32> {
    let (width, size) = (transformer.config.width, transformer.config.head_width());
    let tokens = projected.len() / (3 * width);
    let from = part * width + head * size;
    View::strided(&projected[from..], tokens, size, 3 * width)
}
