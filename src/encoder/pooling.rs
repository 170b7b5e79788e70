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
