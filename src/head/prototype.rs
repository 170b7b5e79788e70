//! Nearest class mean: the prototype of a class is the mean of its examples.
//!
//! # Source
//! Snell, Swersky & Zemel 2017 (Prototypical Networks), with cosine in place of the Euclidean
//! distance.

use super::{Head, HeadError, HeadKind, Tensors, check_width, saved, to_matrix, to_tensor};
use crate::matrix::{Matrix, normalise};
use crate::support::Support;

/// Cosine similarity is multiplied by this to make logits; the temperature of the calibration
/// then sets how sure they sound.
const SCALE: f32 = 10.0;

/// Logits are the scaled cosines between a text and the class means.
#[derive(Debug, Clone)]
pub struct Prototype {
    /// `[ways, width]`, each of length 1 (or zero).
    means: Matrix,
}

impl Prototype {
    /// Averages the examples of each class.
    #[must_use]
    pub fn fit(support: &Support) -> Self {
        let (features, ways) = (support.features(), support.ways());
        let mut means = Matrix::zeros(ways, features.columns());
        for (row, &class) in features.iter_rows().zip(support.classes()) {
            let mean = means.row_mut(class);
            mean.iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += value);
        }
        (0..ways).for_each(|class| normalise(means.row_mut(class)));
        Self { means }
    }

    pub(super) fn from_tensors(
        tensors: &Tensors,
        width: usize,
        ways: usize,
    ) -> Result<Self, HeadError> {
        Ok(Self {
            means: to_matrix(&saved(tensors, "prototype.means", &[ways, width])?)?,
        })
    }
}

impl Head for Prototype {
    fn kind(&self) -> HeadKind {
        HeadKind::Prototype
    }

    fn width(&self) -> usize {
        self.means.columns()
    }

    fn logits(&self, features: &Matrix) -> Result<Matrix, HeadError> {
        check_width(self.width(), features)?;
        let mut logits = Matrix::zeros(features.rows(), self.means.rows());
        for (index, row) in features.iter_rows().enumerate() {
            let mut unit = row.to_vec();
            normalise(&mut unit);
            for (logit, mean) in logits.row_mut(index).iter_mut().zip(self.means.iter_rows()) {
                *logit = SCALE * unit.iter().zip(mean).map(|(a, b)| a * b).sum::<f32>();
            }
        }
        Ok(logits)
    }

    fn tensors(&self) -> Result<Tensors, HeadError> {
        Ok(Tensors::from([(
            "prototype.means".to_owned(),
            to_tensor(&self.means)?,
        )]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mean_wins() {
        let features = Matrix::from_rows(&[[1.0, 0.1], [0.9, -0.1], [0.0, 1.0]]).expect("rows");
        let head = Prototype::fit(&Support::new(features, vec![0, 0, 1], 2).expect("complete"));
        let logits = head.logits(&Matrix::from_rows(&[[5.0, 0.0], [0.1, 0.9]]).expect("rows"));
        let logits = logits.expect("same width");
        assert!((logits.row(0)[0] - SCALE).abs() < 1e-4 && logits.row(0)[1].abs() < 1e-4);
        assert!(logits.row(1)[1] > logits.row(1)[0]);
        assert!(head.logits(&Matrix::zeros(1, 3)).is_err());
    }
}
