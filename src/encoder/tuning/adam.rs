//! Adam on one flat slice.
//!
//! # Source
//! Kingma & Ba 2015, algorithm 1, with PyTorch's constants.

use rayon::prelude::*;

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;
/// Values that one task changes.
const PER_TASK: usize = 65_536;

/// First and second moment of each value.
pub(super) struct Adam {
    moments: Vec<[f32; 2]>,
}

impl Adam {
    pub fn new(values: usize) -> Self {
        Self {
            moments: vec![[0.0; 2]; values],
        }
    }

    /// Step number `step`, counted from 1.
    pub fn step(&mut self, values: &mut [f32], gradient: &[f32], rate: f32, step: i32) {
        let unbias = |beta: f32| 1.0 / (1.0 - f64::from(beta).powi(step)) as f32;
        let scales = [unbias(BETA_1), unbias(BETA_2)];
        values
            .par_chunks_mut(PER_TASK)
            .zip(self.moments.par_chunks_mut(PER_TASK))
            .zip(gradient.par_chunks(PER_TASK))
            .for_each(|((values, moments), gradient)| {
                update(values, moments, gradient, rate, scales)
            });
    }
}

#[multiversion::multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512dq+avx512bw",
    "x86_64+avx2+fma"
))]
fn update(
    values: &mut [f32],
    moments: &mut [[f32; 2]],
    gradient: &[f32],
    rate: f32,
    scales: [f32; 2],
) {
    for ((value, [first, second]), &gradient) in values.iter_mut().zip(moments).zip(gradient) {
        *first = BETA_1 * *first + (1.0 - BETA_1) * gradient;
        *second = BETA_2 * *second + (1.0 - BETA_2) * gradient * gradient;
        *value -= rate * *first * scales[0] / ((*second * scales[1]).sqrt() + EPSILON);
    }
}
