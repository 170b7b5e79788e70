//! The layers that a tuning changed.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use half::bf16;
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use super::super::config::TransformerConfig;
use super::super::layer_tensors::{LayerParts, layer_tensors, stacked};
use super::super::transformer::Layer;
use super::Encoder;
use crate::hub::hex;
use crate::kernels::Precision;

/// The values of some of an encoder's layers, one above the other, after a tuning, in bf16: what is
/// saved is what is used.
#[derive(Debug, Clone, PartialEq)]
pub struct TunedLayers {
    /// Index of the lowest of them.
    first: usize,
    layers: Vec<Vec<bf16>>,
}

impl TunedLayers {
    pub(super) fn new<'a>(first: usize, layers: impl Iterator<Item = &'a [f32]>) -> Self {
        let round = |values: &[f32]| values.iter().map(|&value| bf16::from_f32(value)).collect();
        Self {
            first,
            layers: layers.map(round).collect(),
        }
    }

    /// How many layers changed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.layers.len()
    }

    /// The indices of the layers that changed, counted from 0.
    pub(super) fn range(&self) -> Range<usize> {
        self.first..self.first + self.count()
    }

    /// The values of the encoder's layer `index`, if it is one of them.
    pub(super) fn layer(&self, index: usize) -> Option<Vec<f32>> {
        let values = self.layers.get(index.checked_sub(self.first)?)?;
        Some(values.iter().map(|value| value.to_f32()).collect())
    }

    /// sha256 of the values, hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        hash.update((self.first as u64).to_le_bytes());
        self.layers
            .iter()
            .for_each(|values| hash.update(little_endian(values)));
        hex(&hash.finalize())
    }

    /// A safetensors file with the names of the model's own weight file.
    fn to_safetensors(&self, config: &TransformerConfig) -> Result<Vec<u8>, SafeTensorError> {
        let mut tensors = Vec::new();
        let bytes: Vec<Vec<u8>> = self.layers.iter().map(|v| little_endian(v)).collect();
        for (at, bytes) in bytes.iter().enumerate() {
            for tensor in layer_tensors(config, self.first + at) {
                let values = &bytes[2 * tensor.range.start..2 * tensor.range.end];
                let view = TensorView::new(Dtype::BF16, tensor.shape, values)?;
                tensors.push((tensor.name, view));
            }
        }
        safetensors::serialize(tensors, None)
    }

    /// Reads what [`to_safetensors`](Self::to_safetensors) wrote; the reason if it cannot.
    fn from_safetensors(bytes: &[u8], config: &TransformerConfig) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let name = |index| layer_tensors(config, index).swap_remove(0).name;
        let layers = stacked(&file, config, layer_tensors(config, 0).len(), name)?;
        let read = |index| read_layer(&file, config, index);
        Ok(Self {
            first: layers.start,
            layers: layers.map(read).collect::<Result<_, _>>()?,
        })
    }

    fn pack(&self, config: &TransformerConfig, precision: Precision) -> Vec<Layer> {
        let pack = |values: &Vec<bf16>| {
            let values: Vec<f32> = values.iter().map(|value| value.to_f32()).collect();
            Layer::pack(&LayerParts::of(&values, config), config, precision)
        };
        self.layers.iter().map(pack).collect()
    }
}

fn little_endian(values: &[bf16]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn read_layer(
    file: &SafeTensors,
    config: &TransformerConfig,
    index: usize,
) -> Result<Vec<bf16>, String> {
    let mut values = Vec::new();
    for expected in layer_tensors(config, index) {
        let name = expected.name;
        let tensor = file
            .tensor(&name)
            .map_err(|_| format!("tensor `{name}` is missing"))?;
        if tensor.dtype() != Dtype::BF16 || tensor.shape() != expected.shape {
            return Err(format!("tensor `{name}` has another type or shape"));
        }
        let pairs = tensor.data().as_chunks::<2>().0;
        values.extend(pairs.iter().map(|bytes| bf16::from_le_bytes(*bytes)));
    }
    Ok(values)
}

impl Encoder {
    /// This encoder with changed layers.
    pub(super) fn with_tuned(&self, tuned: TunedLayers) -> Self {
        let layers = tuned.pack(&self.config.transformer, self.precision());
        let mut identity = self.identity.clone();
        identity.tuned = Some(tuned.sha256());
        Self {
            identity,
            settings_sha256: self.settings_sha256.clone(),
            config: self.config.clone(),
            windows: Arc::clone(&self.windows),
            transformer: self.transformer.with_layers(tuned.first, layers),
            weights: self.weights.clone(),
            tuned: Some(Arc::new(tuned)),
            spare: Mutex::default(),
        }
    }

    /// The layers that were tuned, if any.
    #[must_use]
    pub fn tuned(&self) -> Option<&TunedLayers> {
        self.tuned.as_deref()
    }

    /// The tuned layers as a safetensors file; none if there are none.
    pub(crate) fn tuned_bytes(&self) -> Result<Option<Vec<u8>>, SafeTensorError> {
        let bytes = |tuned: &TunedLayers| tuned.to_safetensors(&self.config.transformer);
        self.tuned().map(bytes).transpose()
    }

    /// This encoder with the layers of [`tuned_bytes`](Self::tuned_bytes); the reason if they do not
    /// fit.
    pub(crate) fn with_tuned_bytes(&self, bytes: &[u8]) -> Result<Self, String> {
        let tuned = TunedLayers::from_safetensors(bytes, &self.config.transformer)?;
        Ok(self.with_tuned(tuned))
    }
}
