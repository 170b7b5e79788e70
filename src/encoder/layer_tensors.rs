//! A layer's tensors one after the other in one slice, for all that treats them alike: reading,
//! optimising, saving.

use std::ops::Range;

use super::config::TransformerConfig;
use super::transformer::Names;

/// One tensor of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LayerTensor {
    /// As in the model's weight file.
    pub name: String,
    pub shape: Vec<usize>,
    /// Where it lies among the layer's values.
    pub range: Range<usize>,
}

/// The tensors of layer `index` in the order in which [`LayerParts`] takes them apart.
pub(super) fn layer_tensors(config: &TransformerConfig, index: usize) -> Vec<LayerTensor> {
    let (width, inner) = (config.width, config.inner);
    let names = Names::of(config.architecture);
    let square = vec![width, width];
    let projections = [names.query, names.key, names.value];
    let weights = projections.map(|part| (part, "weight", square.clone()));
    let biases = projections.map(|part| (part, "bias", vec![width]));
    let rest = [
        (names.output, "weight", square),
        (names.output, "bias", vec![width]),
        (names.attention_norm, "weight", vec![width]),
        (names.attention_norm, "bias", vec![width]),
        ("intermediate.dense", "weight", vec![inner, width]),
        ("intermediate.dense", "bias", vec![inner]),
        ("output.dense", "weight", vec![width, inner]),
        ("output.dense", "bias", vec![width]),
        ("output.LayerNorm", "weight", vec![width]),
        ("output.LayerNorm", "bias", vec![width]),
    ];
    let mut start = 0;
    let all = weights.into_iter().chain(biases).chain(rest);
    all.map(|(part, kind, shape)| {
        let range = start..start + shape.iter().product::<usize>();
        start = range.end;
        let name = format!("encoder.layer.{index}.{part}.{kind}");
        LayerTensor { name, shape, range }
    })
    .collect()
}

/// A layer's values taken apart: weights, `[outputs, inputs]`, and bias of each linear layer, weight and
/// bias of each norm.
pub(super) struct LayerParts<'a> {
    /// Queries, keys and values side by side.
    pub projection: [&'a [f32]; 2],
    pub output: [&'a [f32]; 2],
    pub attention_norm: [&'a [f32]; 2],
    pub up: [&'a [f32]; 2],
    pub down: [&'a [f32]; 2],
    pub norm: [&'a [f32]; 2],
}

impl<'a> LayerParts<'a> {
    /// `values` has the numbers of [`layer_tensors`].
    pub fn of(values: &'a [f32], config: &TransformerConfig) -> Self {
        let mut rest = values;
        let mut next = |lengths: [usize; 2]| {
            lengths.map(|length| {
                let (part, others) = rest.split_at(length);
                rest = others;
                part
            })
        };
        let lengths = part_lengths(config);
        Self {
            projection: next(lengths[0]),
            output: next(lengths[1]),
            attention_norm: next(lengths[2]),
            up: next(lengths[3]),
            down: next(lengths[4]),
            norm: next(lengths[5]),
        }
    }
}

/// As [`LayerParts`], to be written to.
pub(super) struct LayerPartsMut<'a> {
    pub projection: [&'a mut [f32]; 2],
    pub output: [&'a mut [f32]; 2],
    pub attention_norm: [&'a mut [f32]; 2],
    pub up: [&'a mut [f32]; 2],
    pub down: [&'a mut [f32]; 2],
    pub norm: [&'a mut [f32]; 2],
}

impl<'a> LayerPartsMut<'a> {
    /// `values` has the numbers of [`layer_tensors`].
    pub fn of(values: &'a mut [f32], config: &TransformerConfig) -> Self {
        let mut rest = values;
        let mut next = |lengths: [usize; 2]| {
            lengths.map(|length| {
                let (part, others) = std::mem::take(&mut rest).split_at_mut(length);
                rest = others;
                part
            })
        };
        let lengths = part_lengths(config);
        Self {
            projection: next(lengths[0]),
            output: next(lengths[1]),
            attention_norm: next(lengths[2]),
            up: next(lengths[3]),
            down: next(lengths[4]),
            norm: next(lengths[5]),
        }
    }
}

/// Numbers in the weight and the bias of each part.
fn part_lengths(config: &TransformerConfig) -> [[usize; 2]; 6] {
    let (width, inner) = (config.width, config.inner);
    [
        [3 * width * width, 3 * width],
        [width * width, width],
        [width, width],
        [inner * width, inner],
        [width * inner, width],
        [width, width],
    ]
}
