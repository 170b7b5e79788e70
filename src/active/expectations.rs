//! What the classes' names let expect of texts before any answer.

use super::pool::{Pool, inner};
use crate::matmul::Threads;
use crate::matrix::Matrix;

/// What a cosine counts in scores, in which an answer moves its own text by about one half. 2 and 4 are
/// equal within noise, 1 is worse; the smaller one is corrected sooner if names mislead.
const WEIGHT: f32 = 2.0;

/// Scores of texts from the names or descriptions of the classes.
///
/// A class's score is the mean cosine to its names, less its own mean over the pool, since some
/// names are like any text, and less the mean over the classes. All of that is linear: one direction
/// and one offset a class.
pub struct Expectations {
    /// `[ways, width]`.
    directions: Matrix,
    /// `[ways]`.
    offsets: Vec<f32>,
}

impl Expectations {
    /// # Shapes
    /// `names` is `[names, width]` with one class below `ways` each. A class without a name expects
    /// nothing.
    ///
    /// # Panics
    /// If there is not one class a name, or the width is not the pool's.
    #[must_use]
    pub fn new(pool: &Pool, names: &Matrix, classes: &[usize], ways: usize) -> Self {
        assert_eq!(names.rows(), classes.len(), "one class a name");
        let names = pool.features_of(names);
        let of_class = |class: usize| {
            let rows: Vec<usize> = (0..classes.len())
                .filter(|&at| classes[at] == class)
                .collect();
            names.select(&rows).mean_row()
        };
        let means: Vec<Vec<f32>> = (0..ways).map(of_class).collect();
        let mut directions = Matrix::from_rows(&means).unwrap_or_default();
        let mean = directions.mean_row();
        for class in 0..ways {
            let row = directions.row_mut(class).iter_mut().zip(&mean);
            row.for_each(|(value, mean)| *value = WEIGHT * (*value - mean));
        }
        let usual = pool.features().mean_row();
        let offset = |row: &[f32]| row.iter().zip(&usual).map(|(a, b)| a * b).sum();
        let offsets = directions.iter_rows().map(offset).collect();
        Self {
            directions,
            offsets,
        }
    }

    /// `[ways, texts]` for the texts of the pool.
    #[must_use]
    pub fn of_pool(&self, pool: &Pool) -> Matrix {
        self.scores(pool.features())
    }

    /// `[ways, texts]` for other vectors, `[texts, width]`.
    #[must_use]
    pub fn of(&self, pool: &Pool, vectors: &Matrix) -> Matrix {
        self.scores(&pool.features_of(vectors))
    }

    fn scores(&self, features: &Matrix) -> Matrix {
        let mut scores = inner(&self.directions, features, Threads::One);
        for (class, offset) in self.offsets.iter().enumerate() {
            scores
                .row_mut(class)
                .iter_mut()
                .for_each(|score| *score -= offset);
        }
        scores
    }
}
