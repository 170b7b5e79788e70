//! A transformer layer that can be trained: forward with what the backward pass needs, backward,
//! and a step of the optimiser.

use super::super::kernels::activate;
use super::super::layer_tensors::LayerParts;
use super::super::transformer::Transformer;
use super::adam::Adam;
use super::attention;
use super::products::Products;
use super::rows::{Normed, activation_gradient};

/// A layer's values as `LayerParts` takes them apart, and their moments.
pub(super) struct Block {
    pub values: Vec<f32>,
    adam: Adam,
}

/// What the forward pass of one batch leaves behind; each `[tokens, …]`.
pub(super) struct Trace {
    input: Vec<f32>,
    projected: Vec<f32>,
    context: Vec<f32>,
    attention_norm: Normed,
    attended: Vec<f32>,
    before_activation: Vec<f32>,
    activated: Vec<f32>,
    norm: Normed,
}

impl Trace {
    /// What the layer was given: the output of the one below.
    pub fn input(&self) -> &[f32] {
        &self.input
    }
}

/// What all layers of a tuning share.
pub(super) struct Tools<'a> {
    pub transformer: &'a Transformer,
    pub products: Products,
}

impl Block {
    pub fn new(values: Vec<f32>) -> Self {
        let adam = Adam::new(values.len());
        Self { values, adam }
    }

    /// `input` is `[tokens, width]`, and so is the output.
    pub fn forward(
        &self,
        input: Vec<f32>,
        texts: &[&[u32]],
        tools: &mut Tools,
    ) -> (Vec<f32>, Trace) {
        let config = &tools.transformer.config;
        let parts = LayerParts::of(&self.values, config);
        let products = &mut tools.products;
        let projected = products.forward(&input, parts.projection, None);
        let mut context = vec![0.0; input.len()];
        tools.transformer.attend(texts, &projected, &mut context);
        let sum = products.forward(&context, parts.output, Some(&input));
        let attention_norm = Normed::new(sum, config.width, config.epsilon);
        let attended = attention_norm.output(parts.attention_norm);
        let before_activation = products.forward(&attended, parts.up, None);
        let mut activated = before_activation.clone();
        activate(&mut activated, config.activation);
        let sum = products.forward(&activated, parts.down, Some(&attended));
        let norm = Normed::new(sum, config.width, config.epsilon);
        let output = norm.output(parts.norm);
        let trace = Trace {
            input,
            projected,
            context,
            attention_norm,
            attended,
            before_activation,
            activated,
            norm,
        };
        (output, trace)
    }

    /// Turns the gradient of the output into that of the input, and writes those of the values.
    pub fn backward(
        &self,
        mut gradient: Vec<f32>,
        trace: &Trace,
        texts: &[&[u32]],
        tools: &mut Tools,
        values: &mut [f32],
    ) -> Vec<f32> {
        let config = &tools.transformer.config;
        let parts = LayerParts::of(&self.values, config);
        let out = LayerParts::of_mut(values, config);
        let products = &mut tools.products;

        trace.norm.backward(&mut gradient, parts.norm[0], out.norm);
        products.weight_gradient(&gradient, &trace.activated, out.down);
        let mut inner = products.input_gradient(&gradient, parts.down, None);
        activation_gradient(&mut inner, &trace.before_activation, config.activation);
        products.weight_gradient(&inner, &trace.attended, out.up);
        let mut gradient = products.input_gradient(&inner, parts.up, Some(&gradient));

        let norm = &trace.attention_norm;
        norm.backward(&mut gradient, parts.attention_norm[0], out.attention_norm);
        products.weight_gradient(&gradient, &trace.context, out.output);
        let context = products.input_gradient(&gradient, parts.output, None);
        let projected = attention::backward(tools.transformer, texts, &trace.projected, &context);
        products.weight_gradient(&projected, &trace.input, out.projection);
        products.input_gradient(&projected, parts.projection, Some(&gradient))
    }

    /// A step against the gradient; `step` counts from 1.
    pub fn step(&mut self, gradient: &[f32], rate: f32, step: i32) {
        self.adam.step(&mut self.values, gradient, rate, step);
    }
}
