//! Matrix products on plain slices, by the `gemm` crate.

use gemm::{Parallelism, gemm};

/// A matrix inside a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> View<'a, T> {
    /// `rows × columns` values, `stride` of them from one row to the next.
    pub fn strided(values: &'a [T], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(
            covers(values.len(), rows, columns, stride),
            "view reaches past its slice"
        );
        Self {
            values,
            rows,
            columns,
            row_stride: stride,
            column_stride: 1,
        }
    }

    /// Whole rows, one after the other.
    pub fn dense(values: &'a [T], columns: usize) -> Self {
        Self::strided(values, values.len() / columns, columns, columns)
    }

    /// Rows and columns exchanged; nothing is moved.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

fn covers(len: usize, rows: usize, columns: usize, stride: usize) -> bool {
    rows == 0 || columns == 0 || (columns <= stride && (rows - 1) * stride + columns <= len)
}

/// Whether a product may use all threads or is already inside one of them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Threads {
    One,
    All,
}

/// The types that `gemm` has kernels for and that are used here.
pub(crate) trait Element: Copy + 'static {
    const ZERO: Self;
    const ONE: Self;
}

impl Element for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

impl Element for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

/// `out = a · b`; `out` is `a.rows × b.columns` with `out_stride` from row to row.
pub(crate) fn matmul<T: Element>(
    out: &mut [T],
    out_stride: usize,
    a: View<T>,
    b: View<T>,
    threads: Threads,
) {
    matmul_scaled(out, out_stride, a, b, T::ONE, threads);
}

/// `out = scale · a · b`.
pub(crate) fn matmul_scaled<T: Element>(
    out: &mut [T],
    out_stride: usize,
    a: View<T>,
    b: View<T>,
    scale: T,
    threads: Threads,
) {
    assert_eq!(a.columns, b.rows, "inner widths of a matrix product");
    assert!(
        covers(out.len(), a.rows, b.columns, out_stride),
        "output of a matrix product"
    );
    if a.rows == 0 || b.columns == 0 {
        return;
    }
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => Parallelism::Rayon(0),
    };
    // SAFETY: `View` and the assertion above hold each matrix inside its slice; `out` is borrowed
    // mutably, so it overlaps neither input; `read_dst` is false, so `out` is only written.
    unsafe {
        gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            out_stride as isize,
            false,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            T::ZERO,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(a: &[f32], b: &[f32], m: usize, n: usize, k: usize) -> Vec<f32> {
        let dot = |i: usize, j: usize| (0..k).map(|p| a[i * k + p] * b[j * k + p]).sum();
        (0..m * n).map(|at| dot(at / n, at % n)).collect()
    }

    proptest! {
        #[test]
        fn products_agree_with_a_naive_one(m in 0usize..40, n in 1usize..70, k in 1usize..50, seed in any::<u64>()) {
            let mut random = crate::random::Random::new(seed);
            let mut draw = |len: usize| -> Vec<f32> { (0..len).map(|_| random.normal()).collect() };
            let (a, b) = (draw(m * k), draw(n * k));
            let expected = naive(&a, &b, m, n, k);
            let stride = n + 3;
            let mut out = vec![7.0; m * stride];
            matmul(&mut out, stride, View::dense(&a, k), View::dense(&b, k).transposed(), Threads::All);
            let turned: Vec<f32> = (0..k * n).map(|at| b[(at % n) * k + at / n]).collect();
            let mut plain = vec![0.0; m * n];
            matmul_scaled(&mut plain, n, View::dense(&a, k), View::dense(&turned, n), 2.0, Threads::One);
            for i in 0..m {
                for j in 0..n {
                    prop_assert!((out[i * stride + j] - expected[i * n + j]).abs() < 1e-4);
                    prop_assert!((plain[i * n + j] - 2.0 * expected[i * n + j]).abs() < 1e-4);
                }
                let gap = &out[i * stride + n..(i + 1) * stride];
                prop_assert!(gap.iter().all(|&untouched| untouched == 7.0));
            }
        }
    }
}
