//! Tuning the encoder's top layers on a few labelled texts.
//!
//! The lower layers do not change, so that their output for the texts is computed once; a step is
//! a forward and a backward pass of the top layers over all texts, or a sample of them where they
//! are many. candle's BERT cannot be trained (its layer norm has no gradient), and its element-wise
//! operations run on one thread; these passes use the products of [`crate::kernels`].

mod adam;
mod adapter;
mod attention;
mod block;
mod episode;
mod loss;
mod products;
mod rows;
mod sampler;
#[cfg(test)]
mod tests;
mod tuned;

use std::ops::Range;

use rayon::prelude::*;

use super::transformer::Workspace;
use super::weights::Weights;
use super::{Encoder, EncoderError, kernels, pooling};
use crate::kernels::{Precision, Scratch};
use crate::matrix::Matrix;
use block::{Block, Tools, Trace};
use episode::episode_loss;
use loss::cosine_loss;
use sampler::{Input, Sampler};

pub use tuned::TunedLayers;

/// How the top layers are tuned.
#[derive(Debug, Clone, PartialEq)]
pub struct TuneOptions {
    /// How many layers change, at least 1: the highest that counts and those below it. More than
    /// there are means all.
    pub layers: usize,
    /// The highest layer that counts, from 1. Default: the last, as is any higher number.
    pub highest: usize,
    /// Most steps of the optimiser.
    pub steps: usize,
    /// The loss below which it stops earlier.
    pub goal: f64,
    /// Largest step of Adam; it rises over the first tenth of the steps and falls linearly to 0.
    pub learning_rate: f32,
    /// What is to become small; the pairs' loss by default.
    pub loss: Loss,
    /// Of the samples, where the texts do not go into one step.
    pub seed: u64,
}

/// What a tuning makes small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Texts of one class should point the same way, of two classes at right angles, in the highest
    /// layer that counts: for the task at hand, of which nothing else is wanted.
    Pairs,
    /// A linear head fitted on half of a step's texts should tell the classes of the other half, by the
    /// mean of the layers that change: for tasks to come, which part the same texts in other ways.
    Episodes,
}

impl Default for TuneOptions {
    fn default() -> Self {
        Self {
            layers: 6,
            highest: usize::MAX,
            steps: 30,
            goal: 0.03,
            learning_rate: 1e-3,
            loss: Loss::Pairs,
            seed: 42,
        }
    }
}

#[cfg(test)]
impl TuneOptions {
    /// Such as move a tiny encoder's layers far.
    pub(crate) fn far(layers: usize, steps: usize) -> Self {
        Self {
            layers,
            steps,
            goal: 0.0,
            learning_rate: 1e-2,
            seed: 1,
            ..Self::default()
        }
    }
}

/// How far a tuning has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TuneProgress {
    /// Steps that are done.
    pub done: usize,
    /// Steps in all.
    pub steps: usize,
    /// The loss before the last step.
    pub loss: f64,
}

/// Tokens of a text that tuning looks at; the rest of a longer text is read at prediction only.
const TEXT_TOKENS: usize = 128;

impl Encoder {
    /// Tunes upper layers so that texts of one class come close together and others apart, and
    /// gives the encoder with the changed layers; this one stays as it is. Layers that were tuned
    /// before are tuned on from there.
    ///
    /// `classes` has the class of each text, counted from 0: memory grows with the highest. `watch` is told of each step.
    ///
    /// # Errors
    /// If the weights cannot be read again, or the loss stops being finite.
    pub fn tune<S: AsRef<str>>(
        &self,
        texts: &[S],
        classes: &[usize],
        options: &TuneOptions,
        watch: &mut dyn FnMut(TuneProgress),
    ) -> Result<Self, EncoderError> {
        self.tune_on_tasks(&[(texts, classes)], options, watch)
    }

    /// As [`Encoder::tune`] on several tasks, each a pair of texts and their classes: one step after
    /// the other is of another task, and pairs are made within a task only.
    ///
    /// # Errors
    /// As `tune`.
    pub fn tune_on_tasks<S: AsRef<str>>(
        &self,
        tasks: &[(&[S], &[usize])],
        options: &TuneOptions,
        watch: &mut dyn FnMut(TuneProgress),
    ) -> Result<Self, EncoderError> {
        let changing = self.changing(options);
        let sampler = |(texts, classes): &(&[S], &[usize])| {
            let inputs = self.inputs(texts, classes, changing.start)?;
            Ok(Sampler::new(inputs, options.loss, options.seed))
        };
        let samplers: Result<Vec<Sampler>, EncoderError> = tasks.iter().map(sampler).collect();
        let mut samplers = samplers?;
        let precision = Precision::for_gradients();
        let mut blocks = self.blocks(changing.clone(), precision, options.seed)?;
        self.descend(&mut blocks, &mut samplers, options, watch)?;
        self.with_tuned(self.joined(changing, &blocks, options.seed))
    }

    /// The indices of the layers that a tuning changes.
    fn changing(&self, options: &TuneOptions) -> Range<usize> {
        let end = options.highest.clamp(1, self.layers());
        end.saturating_sub(options.layers.max(1))..end
    }

    /// What changed, and what an earlier tuning changed in other layers.
    fn joined(&self, changing: Range<usize>, blocks: &[Block], seed: u64) -> TunedLayers {
        let before = self.tuned().map_or(changing.clone(), TunedLayers::range);
        let all = before.start.min(changing.start)..before.end.max(changing.end);
        let adapter = |index: usize| match changing.contains(&index) {
            true => blocks[index - changing.start].values.clone(),
            false => self.adapter(index, seed),
        };
        let adapters: Vec<Vec<f32>> = all.clone().map(adapter).collect();
        TunedLayers::new(all.start, adapters.iter().map(Vec::as_slice))
    }

    /// A layer's adapter as an earlier tuning left it, or such as changes nothing yet.
    fn adapter(&self, index: usize, seed: u64) -> Vec<f32> {
        let before = self.tuned().and_then(|tuned| tuned.layer(index));
        before.unwrap_or_else(|| adapter::fresh(&self.config.transformer, index, seed))
    }

    fn descend(
        &self,
        blocks: &mut [Block],
        samplers: &mut [Sampler],
        options: &TuneOptions,
        watch: &mut dyn FnMut(TuneProgress),
    ) -> Result<(), EncoderError> {
        let mut tools = Tools {
            transformer: &self.transformer,
            scratch: Scratch::default(),
        };
        let longest = blocks.iter().map(|block| block.values.len()).max();
        let mut gradient = vec![0.0; longest.unwrap_or(0)];
        let tasks = samplers.len();
        if samplers.iter().any(|sampler| sampler.inputs.is_empty()) {
            // There is nothing to learn from.
            return Ok(());
        }
        let mut losses = vec![f64::INFINITY; tasks];
        let steps = if tasks == 0 { 0 } else { options.steps };
        for step in 0..steps {
            let batch = samplers[step % tasks].batch();
            // Once in the pool, as when it embeds.
            let loss = rayon::scope(|_| {
                self.step(blocks, &batch, &mut tools, &mut gradient, (options, step))
            });
            watch(TuneProgress {
                done: step + 1,
                steps: options.steps,
                loss,
            });
            if !loss.is_finite() {
                return Err(EncoderError::Diverged);
            }
            losses[step % tasks] = loss;
            if losses.iter().all(|&loss| loss < options.goal) {
                break;
            }
        }
        Ok(())
    }

    /// One step of the optimiser; the loss before it.
    fn step(
        &self,
        blocks: &mut [Block],
        batch: &[&Input],
        tools: &mut Tools,
        gradient: &mut [f32],
        (options, step): (&TuneOptions, usize),
    ) -> f64 {
        let texts: Vec<&[u32]> = batch.iter().map(|input| input.ids.as_slice()).collect();
        let classes: Vec<usize> = batch.iter().map(|input| input.class).collect();
        let (hidden, traces) = forward(blocks, batch, &texts, tools);
        let outputs: Vec<&[f32]> = traces[1..]
            .iter()
            .map(Trace::input)
            .chain([hidden.as_slice()])
            .collect();
        let (first, loss): (usize, fn(&Matrix, &[usize]) -> _) = match options.loss {
            Loss::Pairs => (outputs.len() - 1, cosine_loss),
            Loss::Episodes => (0, episode_loss),
        };
        let (loss, slope) = loss(&self.pool_mean(&outputs[first..], &texts), &classes);
        let weight = 1.0 / (outputs.len() - first) as f32;
        let rate = options.learning_rate * schedule(step, options.steps);
        let mut above = vec![0.0; hidden.len()];
        for (at, block) in blocks.iter_mut().enumerate().rev() {
            if at >= first {
                let own = self.pool_gradient(outputs[at], &texts, &slope);
                kernels::add_scaled(&mut above, &own, weight);
            }
            let gradient = &mut gradient[..block.values.len()];
            above = block.backward(above, &traces[at], &texts, tools, gradient);
            block.step(gradient, rate, step as i32 + 1);
        }
        loss
    }

    /// The mean of what the layers' outputs give, `[texts, width]`.
    fn pool_mean(&self, outputs: &[&[f32]], texts: &[&[u32]]) -> Matrix {
        let mut mean = Matrix::zeros(texts.len(), self.width());
        let weight = 1.0 / outputs.len() as f32;
        for hidden in outputs {
            let pooled = self.pool(hidden, texts);
            kernels::add_scaled(mean.values_mut(), pooled.values(), weight);
        }
        mean
    }

    fn pool(&self, hidden: &[f32], texts: &[&[u32]]) -> Matrix {
        let mut vectors = Matrix::zeros(texts.len(), self.width());
        let mut rest = hidden;
        for (text, ids) in texts.iter().enumerate() {
            let (own, others) = rest.split_at(ids.len() * self.width());
            pooling::pool(self.config.pooling, own, vectors.row_mut(text));
            rest = others;
        }
        vectors
    }

    fn pool_gradient(&self, hidden: &[f32], texts: &[&[u32]], slope: &Matrix) -> Vec<f32> {
        let mut out = vec![0.0; hidden.len()];
        let (mut rest, mut hidden) = (out.as_mut_slice(), hidden);
        for (text, ids) in texts.iter().enumerate() {
            let (own, others) = rest.split_at_mut(ids.len() * self.width());
            let (of_text, of_others) = hidden.split_at(own.len());
            pooling::pool_gradient(self.config.pooling, of_text, slope.row(text), own);
            (rest, hidden) = (others, of_others);
        }
        out
    }

    fn inputs<S: AsRef<str>>(
        &self,
        texts: &[S],
        classes: &[usize],
        layer: usize,
    ) -> Result<Vec<Input>, EncoderError> {
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        let mut space = Workspace::default();
        let mut inputs = Vec::with_capacity(texts.len());
        for (tokens, &class) in self.windows.split(&texts)?.into_iter().zip(classes) {
            let ids = shortened(&tokens.windows[0]);
            let mut hidden = Vec::new();
            self.transformer
                .forward(&[&ids], layer, &mut space, |at, values| {
                    if at == layer {
                        hidden.extend_from_slice(values);
                    }
                });
            inputs.push(Input { ids, hidden, class });
        }
        Ok(inputs)
    }

    /// The model's layers with their adapters.
    fn blocks(
        &self,
        layers: Range<usize>,
        precision: Precision,
        seed: u64,
    ) -> Result<Vec<Block>, EncoderError> {
        let config = &self.config.transformer;
        let block = |index| {
            let layer = self.model_layer(index)?;
            Ok(Block::new(
                &layer,
                self.adapter(index, seed),
                config,
                precision,
            ))
        };
        layers.into_par_iter().map(block).collect()
    }

    /// A layer as the model's file has it.
    fn model_layer(&self, index: usize) -> Result<Vec<f32>, EncoderError> {
        let weights = Weights::open(&self.weights)?;
        weights.layer(&self.config.transformer, index)
    }
}

fn forward(
    blocks: &[Block],
    batch: &[&Input],
    texts: &[&[u32]],
    tools: &mut Tools,
) -> (Vec<f32>, Vec<Trace>) {
    let mut hidden: Vec<f32> = Vec::new();
    for input in batch {
        hidden.extend_from_slice(&input.hidden);
    }
    let mut traces = Vec::with_capacity(blocks.len());
    for block in blocks {
        let (output, trace) = block.forward(hidden, texts, tools);
        hidden = output;
        traces.push(trace);
    }
    (hidden, traces)
}

/// The first tokens and the last, which ends every text.
fn shortened(ids: &[u32]) -> Vec<u32> {
    let (Some(&last), true) = (ids.last(), ids.len() > TEXT_TOKENS) else {
        return ids.to_vec();
    };
    [&ids[..TEXT_TOKENS - 1], &[last]].concat()
}

/// The share of the learning rate at a step counted from 0.
fn schedule(step: usize, steps: usize) -> f32 {
    let warm = (steps / 10).max(1);
    if step < warm {
        return (step + 1) as f32 / warm as f32;
    }
    (steps - step) as f32 / (steps - warm) as f32
}
