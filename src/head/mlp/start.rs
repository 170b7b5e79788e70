//! Values to start from.

use candle_core::{Device, Var};

use super::widths;
use crate::head::{Head, HeadError, Linear, to_tensor};
use crate::matrix::Matrix;
use crate::random::Random;

/// A layer's values before they become variables.
pub(super) struct Dense {
    weight: Matrix,
    bias: Vec<f32>,
}

impl Dense {
    pub fn new(outputs: usize, inputs: usize, mut value: impl FnMut(usize, usize) -> f32) -> Self {
        let mut weight = Matrix::zeros(outputs, inputs);
        for output in 0..outputs {
            for (input, cell) in weight.row_mut(output).iter_mut().enumerate() {
                *cell = value(output, input);
            }
        }
        Self {
            weight,
            bias: vec![0.0; outputs],
        }
    }

    pub fn into_variables(self) -> Result<(Var, Var), HeadError> {
        let weight = Var::from_tensor(&to_tensor(&self.weight)?)?;
        Ok((
            weight,
            Var::from_vec(self.bias, self.weight.rows(), &Device::Cpu)?,
        ))
    }
}

/// Spread of the random part of a linear start: small beside the carried solution.
const NOISE: f32 = 0.05;

/// The layers of a perceptron that computes what `linear` computes.
///
/// The first layer's first pairs are the linear head's rows, its other pairs small random
/// directions; every later layer hands its pairs on, so that the first pairs arrive unchanged,
/// and the last layer reads them and adds the bias.
pub(super) fn carry(linear: &Linear, seed: u64) -> Vec<Dense> {
    let (rows, bias) = carried_rows(linear);
    let widths = widths(linear.width(), linear.bias().len());
    let mut random = Random::new(seed);
    let pairs = widths[1] / 2;
    let directions: Vec<Vec<f32>> = (0..pairs)
        .map(|pair| {
            rows.get(pair)
                .cloned()
                .unwrap_or_else(|| small_direction(widths[0], &mut random))
        })
        .collect();
    let first = Dense::new(widths[1], widths[0], |output, input| {
        let sign = if output < pairs { 1.0 } else { -1.0 };
        sign * directions[output % pairs][input]
    });
    let hidden = widths[1..widths.len() - 1]
        .windows(2)
        .map(|pair| pass_on(pair[0], pair[1]));
    let mut last = pass_on_to_logits(widths[widths.len() - 2], rows.len());
    last.bias = bias;
    std::iter::once(first).chain(hidden).chain([last]).collect()
}

/// The functions to carry: the difference of the two rows for two classes, else each row.
fn carried_rows(linear: &Linear) -> (Vec<Vec<f32>>, Vec<f32>) {
    let (weight, bias) = (linear.weight(), linear.bias());
    if bias.len() != 2 {
        return (
            weight.iter_rows().map(<[f32]>::to_vec).collect(),
            bias.to_vec(),
        );
    }
    let difference = weight
        .row(1)
        .iter()
        .zip(weight.row(0))
        .map(|(b, a)| b - a)
        .collect();
    (vec![difference], vec![bias[1] - bias[0]])
}

fn small_direction(width: usize, random: &mut Random) -> Vec<f32> {
    let spread = NOISE / (width as f32).sqrt();
    (0..width).map(|_| spread * random.normal()).collect()
}

/// `[[I, −I], [−I, I]]` on the pairs that both layers have: v = v⁺ − v⁻ becomes `[+v; −v]` again.
fn pass_on(inputs: usize, outputs: usize) -> Dense {
    Dense::new(outputs, inputs, |output, input| {
        let sign = if (output < outputs / 2) == (input < inputs / 2) {
            1.0
        } else {
            -1.0
        };
        let same = output % (outputs / 2) == input % (inputs / 2);
        if same { sign } else { 0.0 }
    })
}

fn pass_on_to_logits(inputs: usize, logits: usize) -> Dense {
    Dense::new(logits, inputs, |output, input| match input % (inputs / 2) {
        pair if pair != output => 0.0,
        _ if input < inputs / 2 => 1.0,
        _ => -1.0,
    })
}
