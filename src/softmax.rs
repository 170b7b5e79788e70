//! Softmax and the loss that goes with it.

use crate::matrix::Matrix;

/// Turns logits into probabilities in place and returns log Σ exp(logit); stable for any finite
/// logits.
pub(crate) fn softmax_f64(row: &mut [f64]) -> f64 {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for value in row.iter_mut() {
        *value = (*value - largest).exp();
        sum += *value;
    }
    row.iter_mut().for_each(|value| *value /= sum);
    largest + sum.ln()
}

/// Turns logits into probabilities in place, in f32: for where many rows are only compared.
pub(crate) fn softmax(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut()
        .for_each(|logit| *logit = (*logit - most).exp());
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|logit| *logit /= sum);
}

/// The probabilities of logits divided by a temperature; each row sums to 1.
///
/// # Source
/// Temperature scaling: Guo et al. 2017, section 4.2.
pub(crate) fn probabilities(logits: &Matrix, temperature: f64) -> Matrix {
    let mut out = logits.clone();
    for row in out.values_mut().chunks_exact_mut(logits.columns().max(1)) {
        let mut exact: Vec<f64> = row
            .iter()
            .map(|&logit| f64::from(logit) / temperature)
            .collect();
        softmax_f64(&mut exact);
        row.iter_mut()
            .zip(exact)
            .for_each(|(value, exact)| *value = exact as f32);
    }
    out
}

/// Mean of −log probability of the true classes at a temperature.
pub(crate) fn mean_loss(logits: &Matrix, classes: &[usize], temperature: f64) -> f64 {
    let loss = |(row, &class): (&[f32], &usize)| {
        let mut exact: Vec<f64> = row
            .iter()
            .map(|&logit| f64::from(logit) / temperature)
            .collect();
        let own = exact[class];
        softmax_f64(&mut exact) - own
    };
    logits.iter_rows().zip(classes).map(loss).sum::<f64>() / classes.len().max(1) as f64
}

/// Index of the largest value; the lowest of equals.
pub(crate) fn argmax<T: PartialOrd>(row: &[T]) -> usize {
    let better = |best: usize, at: usize| if row[at] > row[best] { at } else { best };
    (1..row.len()).fold(0, better)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.special.softmax([1, 2, 4])`, `logsumexp`.
    #[test]
    fn agrees_with_scipy() {
        let mut row = [1.0, 2.0, 4.0];
        let total = softmax_f64(&mut row);
        let expected = [0.042_010_066, 0.114_195_2, 0.843_794_73];
        assert!(
            row.iter().zip(expected).all(|(p, e)| (p - e).abs() < 1e-8),
            "{row:?}"
        );
        assert!((total - 4.169_846_018).abs() < 1e-8);
    }

    #[test]
    fn far_logits_do_not_overflow() {
        let logits = Matrix::from_rows(&[[1e30f32, -1e30]]).expect("one row");
        assert_eq!(probabilities(&logits, 1.0).values(), [1.0, 0.0]);
        assert!(mean_loss(&logits, &[0], 1.0).abs() < 1e-12);
    }

    #[test]
    fn ties_go_to_the_lowest_class() {
        assert_eq!(argmax(&[0.5f32, 0.5, 0.1]), 0);
        assert_eq!(argmax(&[0.1, 0.5, 0.5]), 1);
    }
}
