//! Token vectors → one vector a text.

use super::config::Pooling;
use super::kernels::add_scaled;

/// Pools one text's token vectors into `out`.
///
/// # Shapes
/// - `hidden`: `[tokens, width]`, at least one token; there is no padding
/// - `out`: `[width]`
///
/// # Source
/// Reimers & Gurevych 2019 (Sentence-BERT), section 3.
pub(super) fn pool(pooling: Pooling, hidden: &[f32], out: &mut [f32]) {
    let width = out.len();
    match pooling {
        Pooling::Cls => out.copy_from_slice(&hidden[..width]),
        Pooling::Mean => mean(hidden, out),
        Pooling::Max => max(hidden, out),
    }
}

/// The gradient of the token vectors, written to `out`, from that of the pooled vector, `slope`.
pub(super) fn pool_gradient(pooling: Pooling, hidden: &[f32], slope: &[f32], out: &mut [f32]) {
    let width = slope.len();
    out.fill(0.0);
    match pooling {
        Pooling::Cls => out[..width].copy_from_slice(slope),
        Pooling::Mean => {
            let weight = 1.0 / (hidden.len() / width) as f32;
            for token in out.chunks_exact_mut(width) {
                add_scaled(token, slope, weight);
            }
        }
        Pooling::Max => {
            for (column, &slope) in slope.iter().enumerate() {
                let places = (column..hidden.len()).step_by(width);
                let first_largest =
                    |best: usize, at: usize| if hidden[at] > hidden[best] { at } else { best };
                out[places.reduce(first_largest).unwrap_or(column)] = slope;
            }
        }
    }
}

fn mean(hidden: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    let weight = 1.0 / (hidden.len() / out.len()) as f32;
    for token in hidden.chunks_exact(out.len()) {
        add_scaled(out, token, weight);
    }
}

fn max(hidden: &[f32], out: &mut [f32]) {
    out.fill(f32::NEG_INFINITY);
    for token in hidden.chunks_exact(out.len()) {
        for (largest, &value) in out.iter_mut().zip(token) {
            *largest = largest.max(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pooling_on_two_tokens() {
        let hidden = [1.0, 8.0, 3.0, 2.0];
        let expected = [
            (Pooling::Cls, [1.0, 8.0]),
            (Pooling::Mean, [2.0, 5.0]),
            (Pooling::Max, [3.0, 8.0]),
        ];
        for (pooling, vector) in expected {
            let mut out = [0.0; 2];
            pool(pooling, &hidden, &mut out);
            assert_eq!(out, vector, "{pooling:?}");
        }
    }
}
