//! Changes of layers as products of narrow matrices: an eighth of the size.
//!
//! # Sources
//! Hu et al. 2022, "LoRA" (what a tuning changes has low rank); Halko, Martinsson & Tropp 2011, "Finding
//! structure with randomness", algorithm 4.4 (the leading directions by subspace iteration).

use std::collections::HashMap;

use half::bf16;
use rayon::prelude::*;
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::super::config::TransformerConfig;
use super::super::kernels::add_scaled;
use super::super::layer_tensors::{LayerTensor, layer_tensors, stacked};
use super::{Encoder, EncoderError, TunedLayers};
use crate::matrix::{Matrix, normalise};
use crate::random::Random;

/// Directions that are kept of each weight matrix's change: three quarters of its squares, and accuracy
/// as with all of it, to half a point.
const RANK: usize = 64;
/// Rounds of the subspace iteration. On a start of 23 tasks four keep 74.5 % of the change's squares, eight
/// 74.9 %, an exact decomposition 75.0 %.
const ROUNDS: usize = 4;

/// How some of an encoder's layers, one above the other, change, in bf16: what is saved is what is used.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LowRank {
    /// Index of the lowest of them.
    first: usize,
    /// Of each layer, of each tensor in the order of [`layer_tensors`].
    layers: Vec<Vec<Change>>,
}

/// What is added to a tensor `[outputs, inputs]`: `leftᵀ · right`. A vector has one output.
#[derive(Debug, Clone, PartialEq)]
struct Change {
    /// `[rank, outputs]`.
    left: Matrix,
    /// `[rank, inputs]`.
    right: Matrix,
}

impl Change {
    /// The nearest to `change`, `[outputs, inputs]`, of rank [`RANK`], nearly.
    fn nearest(change: &Matrix, random: &mut Random) -> Self {
        let rank = RANK.min(change.rows()).min(change.columns());
        let turned = transposed(change);
        let mut right = Matrix::zeros(rank, change.columns());
        right.values_mut().fill_with(|| random.normal());
        let mut left = Matrix::default();
        for _ in 0..ROUNDS {
            left = orthonormal(right.products(change));
            right = left.products(&turned);
        }
        round(&mut left);
        round(&mut right);
        Self { left, right }
    }

    fn add_to(&self, values: &mut [f32], share: f32) {
        values
            .par_chunks_mut(self.right.columns())
            .enumerate()
            .for_each(|(output, row)| {
                for (left, right) in self.left.iter_rows().zip(self.right.iter_rows()) {
                    add_scaled(row, right, share * left[output]);
                }
            });
    }

    fn read(file: &SafeTensors, tensor: &LayerTensor) -> Result<Self, String> {
        let [outputs, inputs] = sides(tensor);
        let [left, right] = names(tensor);
        let (left, right) = (read(file, &left, outputs)?, read(file, &right, inputs)?);
        match left.rows() == right.rows() {
            true => Ok(Self { left, right }),
            false => Err(format!("the parts of `{}` do not fit", tensor.name)),
        }
    }
}

fn names(tensor: &LayerTensor) -> [String; 2] {
    ["left", "right"].map(|side| format!("{}.{side}", tensor.name))
}

fn sides(tensor: &LayerTensor) -> [usize; 2] {
    match tensor.shape[..] {
        [outputs, inputs] => [outputs, inputs],
        _ => [1, tensor.range.len()],
    }
}

fn read(file: &SafeTensors, name: &str, columns: usize) -> Result<Matrix, String> {
    let missing = |_| format!("tensor `{name}` is missing");
    let tensor = file.tensor(name).map_err(missing)?;
    let fits = matches!(*tensor.shape(), [rank, width] if rank > 0 && width == columns);
    if tensor.dtype() != Dtype::BF16 || !fits {
        return Err(format!("tensor `{name}` has another type or shape"));
    }
    let pairs = tensor.data().as_chunks::<2>().0.iter();
    let values: Vec<f32> = pairs.map(|b| bf16::from_le_bytes(*b).to_f32()).collect();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(format!("tensor `{name}` has values that are no numbers"));
    }
    Matrix::from_values(columns, values).ok_or_else(|| format!("tensor `{name}` is cut off"))
}

fn round(matrix: &mut Matrix) {
    for value in matrix.values_mut() {
        *value = bf16::from_f32(*value).to_f32();
    }
}

fn transposed(matrix: &Matrix) -> Matrix {
    let mut turned = Matrix::zeros(matrix.columns(), matrix.rows());
    for (at, row) in matrix.iter_rows().enumerate() {
        for (column, &value) in row.iter().enumerate() {
            turned.row_mut(column)[at] = value;
        }
    }
    turned
}

/// The rows made orthogonal and of length 1, one after the other (Gram-Schmidt); rows that say nothing
/// new become zeros.
fn orthonormal(mut rows: Matrix) -> Matrix {
    for at in 0..rows.rows() {
        let mut row = rows.row(at).to_vec();
        normalise(&mut row);
        // Twice is enough: Giraud et al. 2005.
        for before in (0..at).chain(0..at) {
            let along: f32 = row.iter().zip(rows.row(before)).map(|(a, b)| a * b).sum();
            add_scaled(&mut row, rows.row(before), -along);
        }
        let left: f32 = row.iter().map(|value| value * value).sum();
        match left > 1e-8 {
            true => normalise(&mut row),
            false => row.fill(0.0),
        }
        rows.row_mut(at).copy_from_slice(&row);
    }
    rows
}

impl LowRank {
    /// A safetensors file; the parts of a tensor are called as in the model's own file, with `.left` and
    /// `.right` behind.
    fn to_safetensors(
        &self,
        config: &TransformerConfig,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<u8>, SafeTensorError> {
        let mut parts: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        for (at, changes) in self.layers.iter().enumerate() {
            for (tensor, change) in layer_tensors(config, self.first + at).iter().zip(changes) {
                for (name, part) in names(tensor).into_iter().zip([&change.left, &change.right]) {
                    let values = part.values().iter();
                    let bytes = values.flat_map(|&v| bf16::from_f32(v).to_le_bytes());
                    parts.push((name, vec![part.rows(), part.columns()], bytes.collect()));
                }
            }
        }
        let view = |(name, shape, bytes)| Ok((name, TensorView::new(Dtype::BF16, shape, bytes)?));
        let views = parts.iter().map(|(n, s, b)| view((n, s.clone(), b)));
        let views: Vec<_> = views.collect::<Result<_, SafeTensorError>>()?;
        safetensors::serialize(views, Some(metadata))
    }

    /// Reads what [`to_safetensors`](Self::to_safetensors) wrote; the reason if it cannot.
    fn from_safetensors(bytes: &[u8], config: &TransformerConfig) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let name = |index| names(&layer_tensors(config, index)[0])[0].clone();
        let layers = stacked(&file, config, 2 * layer_tensors(config, 0).len(), name)?;
        let read = |index| {
            let tensors = layer_tensors(config, index);
            tensors.iter().map(|t| Change::read(&file, t)).collect()
        };
        Ok(Self {
            first: layers.start,
            layers: layers.map(read).collect::<Result<_, _>>()?,
        })
    }
}

impl Encoder {
    /// How its tuned layers differ from the model's, as nearly as a low rank can say it; none if it has
    /// no tuned layers.
    pub(crate) fn low_rank(&self, seed: u64) -> Result<Option<LowRank>, EncoderError> {
        let Some(tuned) = self.tuned() else {
            return Ok(None);
        };
        let config = &self.config.transformer;
        let mut random = Random::named(seed, "low rank");
        let mut layers = Vec::new();
        for index in tuned.range() {
            let (before, after) = (self.model_layer(index)?, tuned.layer(index));
            let after = after.unwrap_or_else(|| before.clone());
            let change = |tensor: LayerTensor| {
                let pairs = after[tensor.range.clone()]
                    .iter()
                    .zip(&before[tensor.range.clone()]);
                let values = pairs.map(|(after, before)| after - before).collect();
                let change = Matrix::from_values(sides(&tensor)[1], values).unwrap_or_default();
                Change::nearest(&change, &mut random)
            };
            layers.push(
                layer_tensors(config, index)
                    .into_iter()
                    .map(change)
                    .collect(),
            );
        }
        let first = tuned.range().start;
        Ok(Some(LowRank { first, layers }))
    }

    /// The model's encoder with its layers moved a share of the way, 0 to 1.
    pub(crate) fn with_low_rank(&self, change: &LowRank, share: f32) -> Result<Self, EncoderError> {
        let mut layers = Vec::new();
        for (at, changes) in change.layers.iter().enumerate() {
            let mut values = self.model_layer(change.first + at)?;
            let tensors = layer_tensors(&self.config.transformer, change.first + at);
            for (tensor, change) in tensors.into_iter().zip(changes) {
                change.add_to(&mut values[tensor.range], share);
            }
            layers.push(values);
        }
        let layers = layers.iter().map(Vec::as_slice);
        Ok(self.with_tuned(TunedLayers::new(change.first, layers)))
    }

    /// As [`LowRank::to_safetensors`].
    pub(crate) fn bytes_of(
        &self,
        change: &LowRank,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<u8>, SafeTensorError> {
        change.to_safetensors(&self.config.transformer, metadata)
    }

    /// As [`LowRank::from_safetensors`].
    pub(crate) fn low_rank_from(&self, bytes: &[u8]) -> Result<LowRank, String> {
        LowRank::from_safetensors(bytes, &self.config.transformer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random_matrix(rows: usize, columns: usize, random: &mut Random) -> Matrix {
        let values = (0..rows * columns).map(|_| random.normal()).collect();
        Matrix::from_values(columns, values).expect("whole rows")
    }

    fn distance(change: &Change, goal: &Matrix) -> f32 {
        let mut values = goal.values().to_vec();
        change.add_to(&mut values, -1.0);
        let squares = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>();
        squares(&values) / squares(goal.values())
    }

    #[test]
    fn what_has_a_low_rank_is_kept_and_of_the_rest_the_most() {
        let mut random = Random::named(5, "low rank");
        let [left, right] = [190, 170].map(|rows| random_matrix(rows, RANK, &mut random));
        let low = left.products(&right);
        assert!(distance(&Change::nearest(&low, &mut random), &low) < 1e-4);
        let mut noisy = low.clone();
        let noise = random_matrix(190, 170, &mut random);
        add_scaled(noisy.values_mut(), noise.values(), 0.8);
        // The noise is 1 % of the squares.
        assert!(distance(&Change::nearest(&noisy, &mut random), &noisy) < 0.011);
    }

    #[test]
    fn a_vector_is_kept_whole_and_nothing_stays_nothing() {
        let mut random = Random::named(6, "low rank");
        let vector = random_matrix(1, 30, &mut random);
        assert!(distance(&Change::nearest(&vector, &mut random), &vector) < 1e-4);
        let mut nothing = vec![0.0; 30];
        let change = Change::nearest(&Matrix::zeros(5, 6), &mut random);
        change.add_to(&mut nothing, 1.0);
        assert_eq!(nothing, [0.0; 30]);
    }

    /// What was saved comes back; parts of different ranks, values that are no numbers and another
    /// family's layers are told.
    #[test]
    fn a_file_is_read_back_or_refused() {
        let load = |name: &str| {
            let dir = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
            let files = crate::hub::resolve(&dir, &crate::hub::HubOptions::default());
            Encoder::load(&files.expect("a model's folder")).expect("a sound model")
        };
        let encoder = load("tiny-mpnet");
        let options = super::super::TuneOptions::far(1, 2);
        let tuned = encoder.tune(&["a", "b", "a c"], &[0, 1, 0], &options, &mut |_| ());
        let change = tuned.expect("tuned").low_rank(1).expect("read");
        let change = change.expect("tuned layers");
        let bytes = |change: &LowRank| encoder.bytes_of(change, HashMap::new()).expect("bytes");
        assert_eq!(encoder.low_rank_from(&bytes(&change)), Ok(change.clone()));
        assert!(load("tiny-bert").low_rank_from(&bytes(&change)).is_err());
        let refused = |spoil: &dyn Fn(&mut Change)| {
            let mut spoilt = change.clone();
            spoil(&mut spoilt.layers[0][0]);
            encoder.low_rank_from(&bytes(&spoilt)).expect_err("refused")
        };
        let unequal = refused(&|change| drop(change.left.split_off(1)));
        assert!(unequal.contains("do not fit"), "{unequal}");
        let nan = refused(&|change| change.right.values_mut()[0] = f32::NAN);
        assert!(nan.contains("no numbers"), "{nan}");
    }
}
