//! A layer's tensors one after the other in one slice, for all that treats them alike: reading,
//! optimising, saving.

use std::ops::Range;

use safetensors::SafeTensors;

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

/// The indices of the layers that a file holds, one above the other, with `parts` tensors each, of which
/// `first_name` names one; the reason if the tensors make no layers. Where that name is nowhere, the range
/// starts at 0, so that reading tells what is missing.
pub(super) fn stacked(
    file: &SafeTensors,
    config: &TransformerConfig,
    parts: usize,
    first_name: impl Fn(usize) -> String,
) -> Result<Range<usize>, String> {
    let count = file.len() / parts;
    if count == 0 || count > config.layers || count * parts != file.len() {
        return Err(format!("{} tensors make no layers", file.len()));
    }
    let has = |&index: &usize| file.tensor(&first_name(index)).is_ok();
    let first = (0..=config.layers - count).find(has).unwrap_or(0);
    Ok(first..first + count)
}

/// A layer's values taken apart: weights, `[outputs, inputs]`, and bias of each linear layer, weight and
/// bias of each norm.
pub(super) struct LayerParts<S> {
    /// Queries, keys and values side by side.
    pub projection: [S; 2],
    pub output: [S; 2],
    pub attention_norm: [S; 2],
    pub up: [S; 2],
    pub down: [S; 2],
    pub norm: [S; 2],
}

impl<'a> LayerParts<&'a [f32]> {
    /// `values` has the numbers of [`layer_tensors`].
    pub fn of(values: &'a [f32], config: &TransformerConfig) -> Self {
        Self::cut(config, cutter(values))
    }
}

impl<'a> LayerParts<&'a mut [f32]> {
    /// As [`LayerParts::of`], to be written to.
    pub fn of_mut(values: &'a mut [f32], config: &TransformerConfig) -> Self {
        Self::cut(config, cutter_mut(values))
    }
}

/// Gives the next so many numbers of a slice.
pub(super) fn cutter<'a>(values: &'a [f32]) -> impl FnMut(usize) -> &'a [f32] {
    let mut rest = values;
    move |length| {
        let (part, others) = rest.split_at(length);
        rest = others;
        part
    }
}

/// As [`cutter`], to be written to.
pub(super) fn cutter_mut<'a>(values: &'a mut [f32]) -> impl FnMut(usize) -> &'a mut [f32] {
    let mut rest = values;
    move |length| {
        let (part, others) = std::mem::take(&mut rest).split_at_mut(length);
        rest = others;
        part
    }
}

impl<S> LayerParts<S> {
    /// `next` gives the next so many numbers.
    fn cut(config: &TransformerConfig, mut next: impl FnMut(usize) -> S) -> Self {
        let (width, inner) = (config.width, config.inner);
        let mut pair = |weight, bias| [next(weight), next(bias)];
        Self {
            projection: pair(3 * width * width, 3 * width),
            output: pair(width * width, width),
            attention_norm: pair(width, width),
            up: pair(inner * width, inner),
            down: pair(width * inner, width),
            norm: pair(width, width),
        }
    }
}
