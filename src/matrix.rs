//! A row-major matrix of f32, the form in which embeddings and logits travel.

use crate::matmul::{Threads, View, matmul};

/// `rows × columns` values, row after row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matrix {
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    /// A matrix of zeros.
    #[must_use]
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self {
            columns,
            values: vec![0.0; rows * columns],
        }
    }

    /// Takes values that lie row after row; `None` if they do not fill whole rows.
    #[must_use]
    pub fn from_values(columns: usize, values: Vec<f32>) -> Option<Self> {
        (columns > 0 && values.len().is_multiple_of(columns)).then_some(Self { columns, values })
    }

    /// Stacks rows of one length; `None` if there is no row or lengths differ.
    #[must_use]
    pub fn from_rows<R: AsRef<[f32]>>(rows: &[R]) -> Option<Self> {
        let columns = rows.first()?.as_ref().len();
        let same = rows.iter().all(|row| row.as_ref().len() == columns);
        let values = rows
            .iter()
            .flat_map(|row| row.as_ref().iter().copied())
            .collect();
        if same {
            Self::from_values(columns, values)
        } else {
            None
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// Number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// One row.
    ///
    /// # Panics
    /// If `index` is not below [`Matrix::rows`].
    #[must_use]
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.columns..(index + 1) * self.columns]
    }

    /// One row, to be changed.
    ///
    /// # Panics
    /// If `index` is not below [`Matrix::rows`].
    pub fn row_mut(&mut self, index: usize) -> &mut [f32] {
        &mut self.values[index * self.columns..(index + 1) * self.columns]
    }

    /// The rows, in order.
    pub fn iter_rows(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.columns.max(1))
    }

    /// All values, row after row.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, to be changed.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The rows at these indices, in this order.
    ///
    /// # Panics
    /// If an index is not below [`Matrix::rows`].
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let values = rows
            .iter()
            .flat_map(|&row| self.row(row).iter().copied())
            .collect();
        Self {
            columns: self.columns,
            values,
        }
    }

    /// Puts the rows of another matrix below its own.
    ///
    /// # Panics
    /// If the other has another number of columns.
    pub fn extend(&mut self, other: &Self) {
        assert_eq!(
            self.columns, other.columns,
            "columns of matrices one below the other"
        );
        self.values.extend_from_slice(&other.values);
    }

    /// Puts a row below its own; an empty matrix gets its width from it.
    ///
    /// # Panics
    /// If the row has another length.
    pub fn push(&mut self, row: &[f32]) {
        if self.values.is_empty() {
            self.columns = row.len();
        }
        assert_eq!(self.columns, row.len(), "length of a row");
        self.values.extend_from_slice(row);
    }

    /// Each row less `centre` and scaled to length 1; a row that equals the centre becomes zeros.
    ///
    /// # Panics
    /// If the centre has another length than the rows.
    #[must_use]
    pub fn centred(&self, centre: &[f32]) -> Self {
        assert!(
            self.values.is_empty() || self.columns == centre.len(),
            "length of a centre"
        );
        let mut centred = self.clone();
        for row in centred.values.chunks_exact_mut(centre.len().max(1)) {
            row.iter_mut()
                .zip(centre)
                .for_each(|(value, centre)| *value -= centre);
            normalise(row);
        }
        centred
    }

    /// The inner product of each row with each row of another matrix, `[rows, other rows]`: their
    /// cosine if both are [`Matrix::centred`].
    ///
    /// # Panics
    /// If both have rows, of different widths.
    #[must_use]
    pub fn products(&self, other: &Self) -> Self {
        let mut out = Self::zeros(self.rows(), other.rows());
        if !out.values.is_empty() {
            let a = View::dense(&self.values, self.columns);
            let b = View::dense(&other.values, other.columns).transposed();
            matmul(&mut out.values, out.columns, a, b, Threads::All);
        }
        out
    }

    /// Takes the rows from `row` on away and gives them.
    ///
    /// # Panics
    /// If `row` is above [`Matrix::rows`].
    pub fn split_off(&mut self, row: usize) -> Self {
        Self {
            columns: self.columns,
            values: self.values.split_off(row * self.columns),
        }
    }

    /// The mean of all rows; zeros if there is no row.
    #[must_use]
    pub fn mean_row(&self) -> Vec<f32> {
        let mut mean = vec![0.0f64; self.columns];
        for row in self.iter_rows() {
            for (sum, &value) in mean.iter_mut().zip(row) {
                *sum += f64::from(value);
            }
        }
        let rows = self.rows().max(1) as f64;
        mean.into_iter().map(|sum| (sum / rows) as f32).collect()
    }
}

/// Scales a vector to length 1; a vector of zeros stays.
pub fn normalise(vector: &mut [f32]) {
    let length = vector
        .iter()
        .map(|&value| f64::from(value).powi(2))
        .sum::<f64>()
        .sqrt() as f32;
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ragged_or_missing_rows_are_refused() {
        assert!(Matrix::from_rows(&[vec![1.0], vec![1.0, 2.0]]).is_none());
        assert!(Matrix::from_rows::<Vec<f32>>(&[]).is_none());
        assert!(Matrix::from_values(2, vec![1.0; 3]).is_none());
    }

    #[test]
    fn selects_rows_and_averages_them() {
        let matrix = Matrix::from_rows(&[[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]]).expect("even rows");
        assert_eq!(matrix.select(&[2, 0]).values(), [5.0, 9.0, 1.0, 2.0]);
        assert_eq!(matrix.mean_row(), [3.0, 5.0]);
    }

    #[test]
    fn products_are_those_of_rows() {
        let a = Matrix::from_rows(&[[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]]).expect("even rows");
        let b = Matrix::from_rows(&[[1.0, 0.0], [-1.0, 1.0]]).expect("even rows");
        assert_eq!(a.products(&b).values(), [1.0, 1.0, 3.0, 1.0, 5.0, 4.0]);
        assert_eq!(a.products(&b).columns(), 2);
        assert_eq!(Matrix::default().products(&b).rows(), 0);
    }

    #[test]
    fn grows_by_rows_and_is_centred() {
        let mut matrix = Matrix::default();
        matrix.push(&[4.0, 5.0]);
        matrix.push(&[1.0, 1.0]);
        assert_eq!((matrix.rows(), matrix.columns()), (2, 2));
        assert_eq!(matrix.centred(&[1.0, 1.0]).values(), [0.6, 0.8, 0.0, 0.0]);
        assert_eq!(Matrix::default().centred(&[]), Matrix::default());
    }
}
