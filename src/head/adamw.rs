//! AdamW in one pass over each tensor.
//!
//! candle-nn's AdamW makes a dozen temporary tensors a step, which for half a million parameters
//! and sixteen samples is most of the training time. This one gives the same numbers.
//!
//! # Source
//! Loshchilov & Hutter 2019 (Decoupled Weight Decay Regularization), algorithm 2; the constants
//! are PyTorch's and candle-nn's defaults.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use candle_nn::Optimizer;

/// Decay of the first and the second moment, and what keeps the division finite.
const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Step and decay.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub learning_rate: f64,
    pub weight_decay: f64,
}

pub(super) struct AdamW {
    parameters: Vec<Parameter>,
    rates: Rates,
    steps: i32,
}

struct Parameter {
    variable: Var,
    values: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Parameter {
    fn new(variable: Var) -> Result<Self> {
        let values: Vec<f32> = variable.flatten_all()?.to_vec1()?;
        let zeros = vec![0.0; values.len()];
        Ok(Self {
            variable,
            values,
            first: zeros.clone(),
            second: zeros,
        })
    }

    /// `scales` undo the bias of the two moments towards their start at zero.
    fn step(&mut self, gradient: &Tensor, rates: Rates, scales: (f32, f32)) -> Result<()> {
        let gradient: Vec<f32> = gradient.flatten_all()?.to_vec1()?;
        let rate = rates.learning_rate as f32;
        let keep = (1.0 - rates.learning_rate * rates.weight_decay) as f32;
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((value, (first, second)), &gradient) in
            self.values.iter_mut().zip(moments).zip(&gradient)
        {
            *first = BETA_1 * *first + (1.0 - BETA_1) * gradient;
            *second = BETA_2 * *second + (1.0 - BETA_2) * gradient * gradient;
            let change = *first * scales.0 / ((*second * scales.1).sqrt() + EPSILON);
            *value = *value * keep - rate * change;
        }
        let values =
            Tensor::from_slice(&self.values, self.variable.shape(), self.variable.device())?;
        self.variable.set(&values)
    }
}

impl Optimizer for AdamW {
    type Config = Rates;

    fn new(variables: Vec<Var>, rates: Rates) -> Result<Self> {
        let parameters = variables
            .into_iter()
            .map(Parameter::new)
            .collect::<Result<_>>()?;
        Ok(Self {
            parameters,
            rates,
            steps: 0,
        })
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        self.steps += 1;
        let scale = |beta: f32| (1.0 / (1.0 - f64::from(beta).powi(self.steps))) as f32;
        let scales = (scale(BETA_1), scale(BETA_2));
        for parameter in &mut self.parameters {
            if let Some(gradient) = gradients.get(parameter.variable.as_tensor()) {
                parameter.step(gradient, self.rates, scales)?;
            }
        }
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.rates.learning_rate
    }

    fn set_learning_rate(&mut self, rate: f64) {
        self.rates.learning_rate = rate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn takes_the_same_steps_as_candle() {
        let start = [[0.5f32, -1.0, 2.0], [0.1, 0.0, -0.3]];
        let ours = Var::new(&start, &Device::Cpu).expect("tensor");
        let theirs = Var::new(&start, &Device::Cpu).expect("tensor");
        let rates = Rates {
            learning_rate: 0.05,
            weight_decay: 0.1,
        };
        let mut adam = AdamW::new(vec![ours.clone()], rates).expect("optimiser");
        let parameters = candle_nn::ParamsAdamW {
            lr: 0.05,
            weight_decay: 0.1,
            ..Default::default()
        };
        let mut reference =
            candle_nn::AdamW::new(vec![theirs.clone()], parameters).expect("optimiser");
        let loss = |x: &Var| {
            (x.sin().and_then(|s| s + x.sqr()?))
                .and_then(|y| y.sum_all())
                .expect("loss")
        };
        for _ in 0..20 {
            adam.backward_step(&loss(&ours)).expect("step");
            reference.backward_step(&loss(&theirs)).expect("step");
        }
        let values = |x: &Var| {
            x.flatten_all()
                .and_then(|x| x.to_vec1::<f32>())
                .expect("values")
        };
        for (a, b) in values(&ours).iter().zip(values(&theirs)) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        assert_ne!(values(&ours)[0], start[0][0]);
    }
}
