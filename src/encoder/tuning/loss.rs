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
    let units = Units::of(vectors);
    let texts = classes.len();
    let pairs = (0..texts).flat_map(|a| (a + 1..texts).map(move |b| (a, b)));
    let same = pairs
        .clone()
        .filter(|&(a, b)| classes[a] == classes[b])
        .count();
    let others = texts * texts.saturating_sub(1) / 2 - same;
    let (mut loss, mut gradient) = (0.0, Matrix::zeros(texts, vectors.columns()));
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
    (loss, units.gradient(gradient))
}

/// Vectors brought to length 1.
pub(super) struct Units {
    rows: Matrix,
    norms: Vec<f32>,
}

impl Units {
    pub fn of(vectors: &Matrix) -> Self {
        let norms: Vec<f32> = vectors.iter_rows().map(norm).collect();
        let mut rows = vectors.clone();
        for (at, norm) in norms.iter().enumerate() {
            rows.row_mut(at).iter_mut().for_each(|value| *value /= norm);
        }
        Self { rows, norms }
    }

    pub fn rows(&self) -> &Matrix {
        &self.rows
    }

    fn row(&self, at: usize) -> &[f32] {
        self.rows.row(at)
    }

    /// The gradient of the vectors from that of the rows.
    pub fn gradient(&self, mut slope: Matrix) -> Matrix {
        for (at, norm) in self.norms.iter().enumerate() {
            let (unit, row) = (self.row(at), slope.row_mut(at));
            let along = dot(row, unit);
            add_scaled(row, unit, -along);
            row.iter_mut().for_each(|value| *value /= norm);
        }
        slope
    }
}

fn norm(vector: &[f32]) -> f32 {
    dot(vector, vector).sqrt().max(1e-12)
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
