//! A transformer layer that can be trained: forward with what the backward pass needs, backward,
//! and a step of the optimiser.

use super::super::config::TransformerConfig;
use super::super::kernels::activate;
use super::super::layer_tensors::LayerParts;
use super::super::transformer::Transformer;
use super::adam::Adam;
use super::adapter::AdapterParts;
use super::attention;
use super::products::{Linear, sum};
use super::rows::{Normed, activation_gradient};
use crate::kernels::{Precision, Scratch};

/// A layer that stays as it is, its adapter, which changes, and the adapter's moments.
pub(super) struct Block {
    projection: Linear,
    output: Linear,
    attention_norm: [Vec<f32>; 2],
    up: Linear,
    down: Linear,
    norm: [Vec<f32>; 2],
    /// As `AdapterParts` takes them apart.
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
    pub scratch: Scratch,
}

impl Block {
    /// A layer's own values and those of its adapter.
    pub fn new(
        layer: &[f32],
        values: Vec<f32>,
        config: &TransformerConfig,
        precision: Precision,
    ) -> Self {
        let parts = LayerParts::of(layer, config);
        let linear = |part| Linear::new(part, precision);
        Self {
            projection: linear(parts.projection),
            output: linear(parts.output),
            attention_norm: parts.attention_norm.map(<[f32]>::to_vec),
            up: linear(parts.up),
            down: linear(parts.down),
            norm: parts.norm.map(<[f32]>::to_vec),
            adam: Adam::new(values.len()),
            values,
        }
    }

    /// `input` is `[tokens, width]`, and so is the output.
    pub fn forward(
        &self,
        input: Vec<f32>,
        texts: &[&[u32]],
        tools: &mut Tools,
    ) -> (Vec<f32>, Trace) {
        let config = &tools.transformer.config;
        let adapter = AdapterParts::of(&self.values, config);
        let scratch = &mut tools.scratch;
        let projected = (self.projection).forward(&input, adapter.projection, None, scratch);
        let mut context = vec![0.0; input.len()];
        tools.transformer.attend(texts, &projected, &mut context);
        let output = &self.output;
        let total = output.forward(&context, adapter.output, Some(&input), scratch);
        let attention_norm = Normed::new(total, config.width, config.epsilon);
        let attended = normed(
            &attention_norm,
            &self.attention_norm,
            adapter.attention_norm,
        );
        let before_activation = self.up.forward(&attended, adapter.up, None, scratch);
        let mut activated = before_activation.clone();
        activate(&mut activated, config.activation);
        let total = (self.down).forward(&activated, adapter.down, Some(&attended), scratch);
        let norm = Normed::new(total, config.width, config.epsilon);
        let output = normed(&norm, &self.norm, adapter.norm);
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

    /// Turns the gradient of the output into that of the input, and writes those of the adapter.
    pub fn backward(
        &self,
        mut gradient: Vec<f32>,
        trace: &Trace,
        texts: &[&[u32]],
        tools: &mut Tools,
        values: &mut [f32],
    ) -> Vec<f32> {
        let config = &tools.transformer.config;
        let adapter = AdapterParts::of(&self.values, config);
        let out = AdapterParts::of_mut(values, config);
        let scratch = &mut tools.scratch;

        let weight = sum(&self.norm[0], adapter.norm[0]);
        trace.norm.backward(&mut gradient, &weight, out.norm);
        let (through, x) = (&self.down, &trace.activated);
        let mut inner = through.backward((&gradient, x), adapter.down, out.down, None, scratch);
        activation_gradient(&mut inner, &trace.before_activation, config.activation);
        let (through, x) = (&self.up, &trace.attended);
        let residual = Some(gradient.as_slice());
        let mut gradient = through.backward((&inner, x), adapter.up, out.up, residual, scratch);

        let weight = sum(&self.attention_norm[0], adapter.attention_norm[0]);
        let norm = &trace.attention_norm;
        norm.backward(&mut gradient, &weight, out.attention_norm);
        let (through, x) = (&self.output, &trace.context);
        let context = through.backward((&gradient, x), adapter.output, out.output, None, scratch);
        let projected = attention::backward(tools.transformer, texts, &trace.projected, &context);
        let residual = Some(gradient.as_slice());
        self.projection.backward(
            (&projected, &trace.input),
            adapter.projection,
            out.projection,
            residual,
            scratch,
        )
    }

    /// A step against the gradient; `step` counts from 1.
    pub fn step(&mut self, gradient: &[f32], rate: f32, step: i32) {
        self.adam.step(&mut self.values, gradient, rate, step);
    }
}

fn normed(norm: &Normed, own: &[Vec<f32>; 2], change: [&[f32]; 2]) -> Vec<f32> {
    let [weight, bias] = [0, 1].map(|part| sum(&own[part], change[part]));
    norm.output([&weight, &bias])
}
