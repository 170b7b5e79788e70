//! The Cholesky factor of a symmetric positive definite matrix, which grows by a row at a time.

/// The rows of the lower triangular factor `L` of a matrix `L Lᵀ`, each up to the diagonal.
#[derive(Clone, Default)]
pub(crate) struct Cholesky {
    rows: Vec<Vec<f64>>,
}

impl Cholesky {
    /// Adds the matrix's next row: what stands left of the diagonal, of which as many are taken as there
    /// are rows, and the diagonal.
    pub fn push(&mut self, beside: impl Iterator<Item = f32>, diagonal: f64) {
        let mut row: Vec<f64> = Vec::with_capacity(self.rows.len() + 1);
        for (value, other) in beside.zip(&self.rows) {
            let known = dot(&row, other);
            row.push((f64::from(value) - known) / other[row.len()]);
        }
        // Above 0 but for rounding.
        let own = diagonal - dot(&row, &row);
        row.push(own.max(f64::EPSILON).sqrt());
        self.rows.push(row);
    }

    /// Entry `at` of the diagonal of the matrix's inverse.
    pub fn inverse_diagonal(&self, at: usize) -> f64 {
        // Of L⁻¹, column `at`, whose square it is: zeros above `at`.
        let mut column: Vec<f64> = vec![1.0 / self.rows[at][at]];
        for row in &self.rows[at + 1..] {
            let known = dot(&column, &row[at..]);
            column.push(-known / row[at + column.len()]);
        }
        dot(&column, &column)
    }

    /// Solves `L Lᵀ x = b`; `b` has as many numbers as the matrix has rows.
    pub fn solve(&self, mut b: Vec<f64>) -> Vec<f64> {
        for (at, row) in self.rows.iter().enumerate() {
            b[at] = (b[at] - dot(&b[..at], row)) / row[at];
        }
        for (at, row) in self.rows.iter().enumerate().rev() {
            b[at] /= row[at];
            let value = b[at];
            b[..at]
                .iter_mut()
                .zip(row)
                .for_each(|(b, l)| *b -= value * l);
        }
        b
    }
}

/// Inner product over the shorter of the two.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_what_it_has_factored() {
        let matrix = [[4.0f32, 1.0, 0.5], [1.0, 3.0, -1.0], [0.5, -1.0, 2.0]];
        let mut factor = Cholesky::default();
        for (at, row) in matrix.iter().enumerate() {
            factor.push(row.iter().copied(), f64::from(row[at]));
        }
        let x = factor.solve(vec![1.0, 2.0, 3.0]);
        for (row, expected) in matrix.iter().zip([1.0, 2.0, 3.0]) {
            let sum: f64 = row.iter().zip(&x).map(|(a, x)| f64::from(*a) * x).sum();
            assert!((sum - expected).abs() < 1e-12, "{sum} {expected}");
        }
    }
}
