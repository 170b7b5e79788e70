//! The layers that a tuning changed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use half::bf16;
use rayon::prelude::*;
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use super::super::config::TransformerConfig;
use super::super::device::DeviceLayer;
use super::super::layer_tensors::{LayerParts, LayerTensor, stacked};
use super::super::transformer::{Layer, LayerPrecision};
use super::adapter::{adapter_tensors, add_to, rank_of, scale};
use super::{Encoder, EncoderError};
use crate::hub::hex;

/// The adapters of some of an encoder's layers, one above the other, after a tuning, in bf16: what is
/// saved is what is used.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TunedLayers {
    /// Index of the lowest of them.
    first: usize,
    layers: Vec<Vec<bf16>>,
}

impl TunedLayers {
    /// `layers` has an adapter of each layer.
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

    /// The adapter of the encoder's layer `index`, if it is one of them.
    pub(super) fn layer(&self, index: usize) -> Option<Vec<f32>> {
        let values = self.layers.get(index.checked_sub(self.first)?)?;
        Some(values.iter().map(|value| value.to_f32()).collect())
    }

    /// Changes so many times as large.
    fn scaled(&self, by: f32, config: &TransformerConfig) -> Self {
        let mut layers: Vec<_> = self.range().filter_map(|at| self.layer(at)).collect();
        layers
            .iter_mut()
            .for_each(|values| scale(values, by, config));
        Self::new(self.first, layers.iter().map(Vec::as_slice))
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

    /// A safetensors file; its tensors are named like the model's layers.
    fn to_safetensors(
        &self,
        config: &TransformerConfig,
        metadata: Option<HashMap<String, String>>,
    ) -> Result<Vec<u8>, SafeTensorError> {
        let mut tensors = Vec::new();
        let bytes: Vec<Vec<u8>> = self.layers.iter().map(|v| little_endian(v)).collect();
        for (at, bytes) in bytes.iter().enumerate() {
            let rank = rank_of(bytes.len() / 2, config);
            for tensor in adapter_tensors(config, rank, self.first + at) {
                let values = &bytes[2 * tensor.range.start..2 * tensor.range.end];
                let view = TensorView::new(Dtype::BF16, tensor.shape, values)?;
                tensors.push((tensor.name, view));
            }
        }
        safetensors::serialize(tensors, metadata)
    }

    /// Reads what [`to_safetensors`](Self::to_safetensors) wrote; the reason if it cannot.
    fn from_safetensors(bytes: &[u8], config: &TransformerConfig) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let name = |index| adapter_tensors(config, 1, index).swap_remove(0).name;
        let parts = adapter_tensors(config, 1, 0).len();
        let layers = stacked(&file, config, parts, name)?;
        let read = |index| {
            let name = name(index);
            let left = file.tensor(&name);
            let left = left.map_err(|_| format!("tensor `{name}` is missing"))?;
            let rank = match left.shape().first() {
                None | Some(0) => return Err(format!("tensor `{name}` is empty")),
                Some(&rank) => rank,
            };
            read_layer(&file, adapter_tensors(config, rank, index))
        };
        Ok(Self {
            first: layers.start,
            layers: layers.map(read).collect::<Result<_, _>>()?,
        })
    }
}

fn little_endian(values: &[bf16]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn read_layer(file: &SafeTensors, tensors: Vec<LayerTensor>) -> Result<Vec<bf16>, String> {
    let mut values = Vec::new();
    for expected in tensors {
        let name = expected.name;
        let tensor = file
            .tensor(&name)
            .map_err(|_| format!("tensor `{name}` is missing"))?;
        if tensor.dtype() != Dtype::BF16 || tensor.shape() != expected.shape {
            return Err(format!("tensor `{name}` has another type or shape"));
        }
        let pairs = tensor.data().as_chunks::<2>().0.iter();
        values.extend(pairs.map(|bytes| bf16::from_le_bytes(*bytes)));
    }
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(format!("number {at} of a layer is none"));
    }
    Ok(values)
}

impl Encoder {
    /// What changed in this encoder's layers, so many times as large.
    pub(crate) fn part_of_tuned(&self, part: f32) -> TunedLayers {
        let tuned = self.tuned.as_deref();
        tuned.map_or_else(TunedLayers::default, |tuned| {
            tuned.scaled(part, &self.config.transformer)
        })
    }

    /// The model's encoder with changed layers. Those that this one has changed must be among them.
    pub(crate) fn with_tuned(&self, tuned: TunedLayers) -> Result<Self, EncoderError> {
        let layers = tuned.range().into_par_iter();
        let layers = layers.map(|index| self.changed_layer(&tuned, index));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let (layers, on_device): (_, Vec<_>) = layers.into_iter().unzip();
        let device = self.device.as_ref();
        let on_device = on_device.into_iter().flatten();
        let mut identity = self.identity.clone();
        identity.tuned = Some(tuned.sha256());
        Ok(Self {
            identity,
            settings_sha256: self.settings_sha256.clone(),
            config: self.config.clone(),
            windows: Arc::clone(&self.windows),
            device: device.map(|device| device.with_layers(tuned.first, on_device)),
            transformer: self.transformer.with_layers(tuned.first, layers),
            weights: self.weights.clone(),
            tuned: Some(Arc::new(tuned)),
            spare: Mutex::default(),
        })
    }

    /// For the processor, and for the device if there is one.
    fn changed_layer(
        &self,
        tuned: &TunedLayers,
        index: usize,
    ) -> Result<(Layer, Option<DeviceLayer>), EncoderError> {
        let config = &self.config.transformer;
        let values = self.layer_values(Some(tuned), index)?;
        let parts = LayerParts::of(&values, config);
        let device = self.device.as_ref();
        let on_device = device.map(|device| device.layer(&parts)).transpose()?;
        let precision = LayerPrecision::of(index, config, self.precision());
        let layer = Layer::pack(&parts, config, precision);
        Ok((layer, on_device))
    }

    /// The numbers of the model's layer with what `tuned` changes.
    pub(in super::super) fn layer_values(
        &self,
        tuned: Option<&TunedLayers>,
        index: usize,
    ) -> Result<Vec<f32>, EncoderError> {
        let mut values = self.model_layer(index)?;
        if let Some(adapter) = tuned.and_then(|tuned| tuned.layer(index)) {
            add_to(&mut values, &adapter, &self.config.transformer);
        }
        Ok(values)
    }

    /// The layers that were tuned, if any.
    #[must_use]
    pub fn tuned(&self) -> Option<&TunedLayers> {
        self.tuned.as_deref()
    }

    /// Tuned layers as a safetensors file.
    pub(crate) fn bytes_of(
        &self,
        tuned: &TunedLayers,
        metadata: Option<HashMap<String, String>>,
    ) -> Result<Vec<u8>, SafeTensorError> {
        tuned.to_safetensors(&self.config.transformer, metadata)
    }

    /// The layers of a file that [`bytes_of`](Self::bytes_of) gave; the reason if they do not fit.
    pub(crate) fn read_tuned(&self, bytes: &[u8]) -> Result<TunedLayers, String> {
        TunedLayers::from_safetensors(bytes, &self.config.transformer)
    }

    /// This encoder with the layers of a file that [`bytes_of`](Self::bytes_of) gave; the reason if
    /// they do not fit.
    pub(crate) fn with_tuned_bytes(&self, bytes: &[u8]) -> Result<Self, String> {
        let encoder = self.with_tuned(self.read_tuned(bytes)?);
        encoder.map_err(|error| error.to_string())
    }
}
