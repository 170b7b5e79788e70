//! Means with their uncertainty.

/// Mean and standard deviation (n − 1); 0 for fewer than two values.
pub(super) fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len();
    let mean = values.iter().sum::<f64>() / count.max(1) as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count.max(2) - 1) as f64).sqrt())
}
