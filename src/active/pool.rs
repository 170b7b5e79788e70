//! The texts that may be asked, as strategies see them: features and similarities.

use std::sync::OnceLock;

use super::clusters::Tree;
use crate::matmul::{Threads, View, matmul};
use crate::matrix::{Matrix, normalise};

/// Unlabelled texts with the similarity of each to each.
///
/// Memory grows with the square of the texts, 16 MB at 2,000: draw a sample of a larger pool.
pub struct Pool {
    /// `[width]`, the mean of the texts, taken from every vector.
    centre: Vec<f32>,
    /// `[texts, width]`, centred and of length 1.
    features: Matrix,
    /// `[texts, texts]`, cosines.
    kernel: Matrix,
    tree: OnceLock<Tree>,
}

impl Pool {
    /// # Shapes
    /// `vectors` is `[texts, width]`, of any length; they are centred by their mean and scaled to
    /// length 1. There may be none.
    #[must_use]
    pub fn new(vectors: &Matrix) -> Self {
        Self::on_threads(vectors, Threads::All)
    }

    pub(super) fn on_threads(vectors: &Matrix, threads: Threads) -> Self {
        let centre = vectors.mean_row();
        let features = centred(vectors, &centre);
        let kernel = products(&features, &features, threads);
        Self {
            centre,
            features,
            kernel,
            tree: OnceLock::new(),
        }
    }

    /// Number of texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.features.rows()
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Similarity of one text to every text, −1 to 1; 1 for itself.
    ///
    /// # Panics
    /// If there is no such text.
    #[must_use]
    pub fn similarities(&self, text: usize) -> &[f32] {
        self.kernel.row(text)
    }

    /// `[texts, texts]`.
    pub(super) fn kernel(&self) -> &Matrix {
        &self.kernel
    }

    /// `[texts of the pool, others]`: the similarity to other vectors, `[others, width]`.
    ///
    /// # Panics
    /// If the width is another.
    #[must_use]
    pub fn similarities_to(&self, others: &Matrix) -> Matrix {
        let others = centred(others, &self.centre);
        products(&self.features, &others, Threads::One)
    }

    /// The texts' Ward clusters, computed when first asked for.
    pub(super) fn tree(&self) -> &Tree {
        self.tree.get_or_init(|| Tree::new(&self.kernel))
    }
}

fn centred(vectors: &Matrix, centre: &[f32]) -> Matrix {
    let mut features = vectors.clone();
    for row in features.values_mut().chunks_exact_mut(centre.len().max(1)) {
        row.iter_mut()
            .zip(centre)
            .for_each(|(value, centre)| *value -= centre);
        normalise(row);
    }
    features
}

/// `[a.rows, b.rows]`, the inner product of each row with each.
fn products(a: &Matrix, b: &Matrix, threads: Threads) -> Matrix {
    let mut out = Matrix::zeros(a.rows(), b.rows());
    let width = a.columns().max(1);
    let (a, b) = (
        View::dense(a.values(), width),
        View::dense(b.values(), width),
    );
    let stride = out.columns();
    matmul(out.values_mut(), stride, a, b.transposed(), threads);
    out
}
