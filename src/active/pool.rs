//! The texts that may be asked, as strategies see them: features and similarities.

use std::sync::OnceLock;

use super::clusters::Tree;
use crate::matmul::{Threads, View, matmul};
use crate::matrix::Matrix;

/// How much the pool's own structure counts in a similarity. Of 0, 10, 30, 100 and 300, 30 was best
/// on six sets; on five others it gives 0.5 points to random choices and 1.0 to good ones.
const STRUCTURE: f32 = 30.0;

/// Unlabelled texts with the similarity of each to each.
///
/// The similarity is the cosine `k` of the centred vectors plus what two texts have in common by way
/// of the others: `k + c · Σ_t k(·, t) k(t, ·)`, `c` = 30 / texts, scaled to 1 for equal texts. It
/// stretches the directions in which the pool varies most, which classes mostly follow.
///
/// Memory grows with the square of the texts, 16 MB at 2,000: draw a sample of a larger pool.
///
/// # Source
/// Cluster kernels: Chapelle, Weston & Schölkopf 2003.
pub struct Pool {
    /// `[width]`, the mean of the texts, taken from every vector.
    centre: Vec<f32>,
    /// `[texts, width]`, centred and of length 1.
    features: Matrix,
    /// `[texts, texts]`, cosines.
    cosines: Matrix,
    /// `[texts]`, what scales a similarity to 1 for equal texts.
    scale: Vec<f32>,
    /// `[texts, texts]`, similarities.
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
        let features = vectors.centred(&centre);
        let cosines = inner(&features, &features, threads);
        let mut kernel = product(&cosines, &cosines, threads);
        let share = share(&cosines);
        add_cosines(&mut kernel, &cosines, share);
        let own = |text: usize| 1.0 / kernel.row(text)[text].max(f32::MIN_POSITIVE).sqrt();
        let scale: Vec<f32> = (0..kernel.rows()).map(own).collect();
        rescale(&mut kernel, &scale, &scale);
        Self {
            centre,
            features,
            cosines,
            scale,
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
        let others = self.features_of(others);
        let cosines = inner(&self.features, &others, Threads::One);
        let share = share(&self.cosines);
        let mut similarities = product(&self.cosines, &cosines, Threads::One);
        add_cosines(&mut similarities, &cosines, share);
        let mut squares = vec![0.0; cosines.columns()];
        for row in cosines.iter_rows() {
            squares
                .iter_mut()
                .zip(row)
                .for_each(|(sum, k)| *sum += k * k);
        }
        let scale: Vec<f32> = squares
            .iter()
            .map(|sum| 1.0 / (1.0 + share * sum).sqrt())
            .collect();
        rescale(&mut similarities, &self.scale, &scale);
        similarities
    }

    /// `[texts, width]`, centred and of length 1.
    pub(super) fn features(&self) -> &Matrix {
        &self.features
    }

    /// Other vectors, treated alike.
    pub(super) fn features_of(&self, vectors: &Matrix) -> Matrix {
        vectors.centred(&self.centre)
    }

    /// The texts' Ward clusters, computed when first asked for.
    pub(super) fn tree(&self) -> &Tree {
        self.tree.get_or_init(|| Tree::new(&self.kernel))
    }
}

/// `c` of the similarity.
fn share(cosines: &Matrix) -> f32 {
    STRUCTURE / cosines.rows().max(1) as f32
}

/// `products ← cosines + share · products`.
fn add_cosines(products: &mut Matrix, cosines: &Matrix, share: f32) {
    let pairs = products.values_mut().iter_mut().zip(cosines.values());
    pairs.for_each(|(product, cosine)| *product = cosine + share * *product);
}

fn rescale(matrix: &mut Matrix, rows: &[f32], columns: &[f32]) {
    for (at, row) in rows.iter().enumerate() {
        let values = matrix.row_mut(at).iter_mut().zip(columns);
        values.for_each(|(value, column)| *value *= row * column);
    }
}

/// `[a.rows, b.rows]`, the inner product of each row with each.
pub(super) fn inner(a: &Matrix, b: &Matrix, threads: Threads) -> Matrix {
    let width = a.columns().max(1);
    let (rows, columns) = (a.rows(), b.rows());
    let (a, b) = (
        View::dense(a.values(), width),
        View::dense(b.values(), width),
    );
    multiplied(a, b.transposed(), rows, columns, threads)
}

/// `a · b`.
fn product(a: &Matrix, b: &Matrix, threads: Threads) -> Matrix {
    let (rows, columns) = (a.rows(), b.columns());
    let left = View::dense(a.values(), a.columns().max(1));
    multiplied(
        left,
        View::dense(b.values(), columns.max(1)),
        rows,
        columns,
        threads,
    )
}

fn multiplied(a: View<f32>, b: View<f32>, rows: usize, columns: usize, threads: Threads) -> Matrix {
    let mut out = Matrix::zeros(rows, columns);
    if rows > 0 && columns > 0 {
        matmul(out.values_mut(), columns, a, b, threads);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn vectors(texts: usize, width: usize) -> Matrix {
        let mut random = Random::new(9);
        let values = (0..texts * width).map(|_| random.normal()).collect();
        Matrix::from_values(width, values).unwrap_or_default()
    }

    #[test]
    fn texts_of_the_pool_are_as_similar_from_outside() {
        let vectors = vectors(40, 12);
        let pool = Pool::new(&vectors);
        let outside = pool.similarities_to(&vectors);
        for text in 0..40 {
            assert!((pool.similarities(text)[text] - 1.0).abs() < 1e-5);
            for other in 0..40 {
                let (a, b) = (pool.similarities(text)[other], outside.row(text)[other]);
                assert!((a - b).abs() < 1e-4, "{text} {other}: {a} {b}");
            }
        }
    }

    #[test]
    fn no_text_one_text_and_equal_texts_are_pools() {
        assert!(Pool::new(&Matrix::default()).is_empty());
        for texts in [1, 3] {
            let equal = vectors(1, 5).select(&vec![0; texts]);
            let pool = Pool::new(&equal);
            assert!(pool.kernel().values().iter().all(|value| value.is_finite()));
            assert_eq!(pool.similarities_to(&vectors(2, 5)).columns(), 2);
        }
    }
}
