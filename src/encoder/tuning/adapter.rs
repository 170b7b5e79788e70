//! What a tuning changes of a layer: a product of two narrow matrices is added to the weights of each
//! linear layer, and numbers to biases and norms. A thirtieth of the layer's own numbers, so that little
//! is kept, saved and moved in a step, and the layer's own weights are packed once.
//!
//! # Source
//! Hu et al. 2022, "LoRA: low-rank adaptation of large language models", section 4.1.

use rayon::prelude::*;

use super::super::config::TransformerConfig;
use super::super::kernels::add_scaled;
use super::super::layer_tensors::{LayerParts, LayerTensor, cutter, cutter_mut};
use crate::random::Random;

/// Rank of the products.
pub(super) const RANK: usize = 16;

/// The tensors of the adapter of layer `index`, in the order in which [`AdapterParts`] takes them apart.
pub(super) fn adapter_tensors(
    config: &TransformerConfig,
    rank: usize,
    index: usize,
) -> Vec<LayerTensor> {
    let (width, inner) = (config.width, config.inner);
    let linear = |part, outputs, inputs| {
        [
            (part, "left", vec![rank, outputs]),
            (part, "right", vec![rank, inputs]),
            (part, "bias", vec![outputs]),
        ]
    };
    let norm = |part| [(part, "weight", vec![width]), (part, "bias", vec![width])];
    let parts = [
        &linear("attention.projection", 3 * width, width)[..],
        &linear("attention.output", width, width),
        &norm("attention.norm"),
        &linear("up", inner, width),
        &linear("down", width, inner),
        &norm("norm"),
    ];
    let mut start = 0;
    let all = parts.concat().into_iter();
    all.map(|(part, kind, shape)| {
        let range = start..start + shape.iter().product::<usize>();
        start = range.end;
        let name = format!("encoder.layer.{index}.{part}.{kind}");
        LayerTensor { name, shape, range }
    })
    .collect()
}

/// Numbers of one layer's adapter.
pub(super) fn adapter_len(config: &TransformerConfig, rank: usize) -> usize {
    let tensors = adapter_tensors(config, rank, 0);
    tensors.last().map_or(0, |tensor| tensor.range.end)
}

/// An adapter that changes nothing yet: only the right halves, which say what an output can listen
/// to, are random.
pub(super) fn fresh(config: &TransformerConfig, index: usize, seed: u64) -> Vec<f32> {
    let mut values = vec![0.0; adapter_len(config, RANK)];
    let mut random = Random::named(seed, &format!("adapter {index}"));
    for [_, right, _] in AdapterParts::of_mut(&mut values, config).linears() {
        let deviation = ((right.len() / RANK) as f32).sqrt().recip();
        right.fill_with(|| deviation * random.normal());
    }
    values
}

/// An adapter's values taken apart: of each linear layer left, `[rank, outputs]`, right, `[rank, inputs]`,
/// and what is added to the bias; what is added to weight and bias of each norm.
pub(super) struct AdapterParts<S> {
    /// Queries, keys and values side by side.
    pub projection: [S; 3],
    pub output: [S; 3],
    pub attention_norm: [S; 2],
    pub up: [S; 3],
    pub down: [S; 3],
    pub norm: [S; 2],
}

impl<'a> AdapterParts<&'a [f32]> {
    /// `values` has the numbers of [`adapter_tensors`], of whatever rank.
    pub fn of(values: &'a [f32], config: &TransformerConfig) -> Self {
        let rank = rank_of(values.len(), config);
        Self::cut(config, rank, cutter(values))
    }
}

impl<'a> AdapterParts<&'a mut [f32]> {
    /// As [`AdapterParts::of`], to be written to.
    pub fn of_mut(values: &'a mut [f32], config: &TransformerConfig) -> Self {
        let rank = rank_of(values.len(), config);
        Self::cut(config, rank, cutter_mut(values))
    }
}

impl<S> AdapterParts<S> {
    /// `next` gives the next so many numbers.
    fn cut(config: &TransformerConfig, rank: usize, mut next: impl FnMut(usize) -> S) -> Self {
        let (width, inner) = (config.width, config.inner);
        Self {
            projection: [3 * width * rank, width * rank, 3 * width].map(&mut next),
            output: [width * rank, width * rank, width].map(&mut next),
            attention_norm: [width, width].map(&mut next),
            up: [inner * rank, width * rank, inner].map(&mut next),
            down: [width * rank, inner * rank, width].map(&mut next),
            norm: [width, width].map(&mut next),
        }
    }

    fn linears(self) -> [[S; 3]; 4] {
        [self.projection, self.output, self.up, self.down]
    }
}

/// Makes an adapter's change so many times as large.
pub(super) fn scale(values: &mut [f32], by: f32, config: &TransformerConfig) {
    let parts = AdapterParts::of_mut(values, config);
    let norms = [parts.attention_norm, parts.norm].into_iter().flatten();
    let linears = [parts.projection, parts.output, parts.up, parts.down];
    // A product is as many times as large as its left half.
    let linears = linears.into_iter().flat_map(|[left, _, bias]| [left, bias]);
    for numbers in norms.chain(linears) {
        numbers.iter_mut().for_each(|number| *number *= by);
    }
}

/// Of an adapter with so many numbers.
pub(super) fn rank_of(values: usize, config: &TransformerConfig) -> usize {
    let [none, one] = [0, 1].map(|rank| adapter_len(config, rank));
    (values - none) / (one - none)
}

/// Adds an adapter's change to a layer's own values.
pub(super) fn add_to(values: &mut [f32], adapter: &[f32], config: &TransformerConfig) {
    let layer = LayerParts::of_mut(values, config);
    let adapter = AdapterParts::of(adapter, config);
    for (own, change) in [
        (layer.attention_norm, adapter.attention_norm),
        (layer.norm, adapter.norm),
    ] {
        for (own, change) in own.into_iter().zip(change) {
            add_scaled(own, change, 1.0);
        }
    }
    let own = [layer.projection, layer.output, layer.up, layer.down];
    for ([weights, bias], [left, right, change]) in own.into_iter().zip(adapter.linears()) {
        add_scaled(bias, change, 1.0);
        add_product(weights, left, right, change.len());
    }
}

/// `weights += leftᵀ · right`, `[outputs, inputs]`.
fn add_product(weights: &mut [f32], left: &[f32], right: &[f32], outputs: usize) {
    let inputs = weights.len() / outputs;
    let rows = weights.par_chunks_exact_mut(inputs).enumerate();
    rows.for_each(|(output, row)| {
        for (left, right) in left.chunks_exact(outputs).zip(right.chunks_exact(inputs)) {
            add_scaled(row, right, left[output]);
        }
    });
}
