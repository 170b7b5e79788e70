//! The pairwise cosine loss: texts of one class should point the same way, of two classes at right
//! angles.
//!
//! # Source
//! Tunstall et al. 2022 (SetFit), section 3.1, with all pairs of the batch at once in place of
//! sampled ones; sentence-transformers' `CosineSimilarityLoss`.

use super::super::kernels::add_scaled;
use crate::matrix::Matrix;

/// `½ · mean over pairs of one class of (cos − 1)² + ½ · mean over the other pairs of cos²`, and
/// its gradient, `[texts, width]`. Texts of a class that has only one make no pair of one class;
/// where no pair of a kind is there, the kind counts nothing.
pub(super) fn cosine_loss(vectors: &Matrix, classes: &[usize]) -> (f64, Matrix) {
    let norms: Vec<f32> = vectors.iter_rows().map(norm).collect();
    let mut units = vectors.clone();
    let width = vectors.columns();
    for (row, norm) in units.values_mut().chunks_exact_mut(width).zip(&norms) {
        row.iter_mut().for_each(|value| *value /= norm);
    }
    let texts = classes.len();
    let pairs = (0..texts).flat_map(|a| (a + 1..texts).map(move |b| (a, b)));
    let same = pairs
        .clone()
        .filter(|&(a, b)| classes[a] == classes[b])
        .count();
    let others = texts * texts.saturating_sub(1) / 2 - same;
    let (mut loss, mut gradient) = (0.0, Matrix::zeros(texts, width));
    for (a, b) in pairs {
        let (target, count) = if classes[a] == classes[b] {
            (1.0, same)
        } else {
            (0.0, others)
        };
        let error = dot(units.row(a), units.row(b)) - target;
        let weight = 0.5 / count as f32;
        loss += f64::from(weight * error * error);
        let slope = 2.0 * weight * error;
        add_scaled(gradient.row_mut(a), units.row(b), slope);
        add_scaled(gradient.row_mut(b), units.row(a), slope);
    }
    for (text, norm) in norms.iter().enumerate() {
        let along = dot(gradient.row(text), units.row(text));
        add_scaled(gradient.row_mut(text), units.row(text), -along);
        gradient
            .row_mut(text)
            .iter_mut()
            .for_each(|value| *value /= norm);
    }
    (loss, gradient)
}

fn norm(vector: &[f32]) -> f32 {
    dot(vector, vector).sqrt().max(1e-12)
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
