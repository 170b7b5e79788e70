//! The forward pass in candle's operations, for a GPU.
//!
//! The kernels of [`crate::kernels`] are the processor's. A GPU has candle's instead, which take the texts of a batch
//! padded to the longest. On candle's own CPU device all of it is tested against Python's `transformers`.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::softmax_last_dim;
use candle_nn::{Embedding, LayerNorm, Linear, Module};

use super::EncoderError;
use super::config::{Architecture, Pooling, TransformerConfig};
use super::kernels::Activation;
use super::layer_tensors::LayerParts;
use super::relative_bias::RelativeBias;
use super::transformer::Transformer;
use super::weights::Weights;
use crate::matrix::Matrix;

type Result<T, E = candle_core::Error> = std::result::Result<T, E>;

/// The weights of one encoder in a device's memory. A clone shares them.
#[derive(Clone)]
pub(super) struct DeviceTransformer {
    config: TransformerConfig,
    device: Device,
    embeddings: Embeddings,
    layers: Vec<DeviceLayer>,
    relative: Option<Arc<RelativeBias>>,
    /// One batch at a time: threads have streams of their own, but one handle of CUDA's products.
    busy: Arc<Mutex<()>>,
}

#[derive(Clone)]
struct Embeddings {
    words: Embedding,
    positions: Embedding,
    /// That of the only type that a text has, `[width]`.
    token_type: Option<Tensor>,
    norm: LayerNorm,
}

#[derive(Clone)]
pub(super) struct DeviceLayer {
    /// Queries, keys and values side by side.
    projection: Linear,
    output: Linear,
    attention_norm: LayerNorm,
    up: Linear,
    down: Linear,
    norm: LayerNorm,
}

/// Texts of a batch, padded.
struct Batch {
    /// `[texts, longest]`.
    ids: Tensor,
    /// `[texts, longest]`.
    positions: Tensor,
    /// 1 for a token, 0 for padding, `[texts, longest]`.
    mask: Tensor,
    /// Tokens of the longest.
    longest: usize,
}

impl DeviceTransformer {
    /// Copies an encoder's weights to a device; `layers` are the numbers of each layer, as
    /// [`LayerParts::of`] takes them apart.
    pub fn load(
        weights: &Weights,
        layers: impl Iterator<Item = Result<Vec<f32>, EncoderError>>,
        transformer: &Transformer,
        device: &Device,
    ) -> Result<Self, EncoderError> {
        let config = transformer.config.clone();
        let layer = |values: Result<Vec<f32>, EncoderError>| -> Result<DeviceLayer, EncoderError> {
            let values = values?;
            let parts = LayerParts::of(&values, &config);
            Ok(DeviceLayer::new(&parts, &config, device)?)
        };
        Ok(Self {
            embeddings: Embeddings::new(weights, &config, device)?,
            layers: layers.map(layer).collect::<Result<_, EncoderError>>()?,
            relative: transformer.relative.clone(),
            busy: Arc::default(),
            device: device.clone(),
            config,
        })
    }

    pub fn name(&self) -> &'static str {
        match self.device {
            Device::Cpu => "candle's cpu",
            Device::Cuda(_) => "cuda",
            Device::Metal(_) => "metal",
        }
    }

    /// Runs a batch and pools the hidden states of `layers`: `[texts, width]` of each, in their order.
    ///
    /// `texts` as in [`Transformer::forward`].
    pub fn pooled(
        &self,
        texts: &[&[u32]],
        layers: &[usize],
        pooling: Pooling,
    ) -> Result<Vec<Matrix>> {
        let _alone = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = Batch::new(texts, &self.config, &self.device)?;
        let bias = self.score_bias(&batch)?;
        let mut hidden = self.embeddings.forward(&batch)?;
        let highest = layers.iter().copied().max().unwrap_or(0);
        let mut pooled = Vec::with_capacity(highest + 1);
        for index in 0..=highest {
            if index > 0 {
                hidden = self.layers[index - 1].forward(&hidden, &bias, &self.config)?;
            }
            let wanted = layers.contains(&index);
            pooled.push(wanted.then(|| batch.pool(&hidden, pooling)).transpose()?);
        }
        let chosen = layers.iter().filter_map(|&index| pooled[index].as_ref());
        chosen.map(matrix).collect()
    }

    /// What is added to the attention's scores: the bias of MPNet's relative positions, and so little for padding
    /// that nothing attends to it. `[texts, heads or 1, longest or 1, longest]`.
    fn score_bias(&self, batch: &Batch) -> Result<Tensor> {
        let padding = batch.least_for_padding()?.unsqueeze(1)?.unsqueeze(1)?;
        let Some(relative) = &self.relative else {
            return Ok(padding);
        };
        let (heads, longest) = (self.config.heads, batch.longest);
        let mut values = vec![0.0; heads * longest * longest];
        for (at, row) in values.chunks_exact_mut(longest).enumerate() {
            relative.add(at / longest, at % longest, row);
        }
        let relative = Tensor::from_vec(values, (1, heads, longest, longest), &self.device)?;
        padding.broadcast_add(&relative)
    }

    /// The same encoder with other layers from the index `first` on.
    pub fn with_layers(&self, first: usize, layers: impl Iterator<Item = DeviceLayer>) -> Self {
        let mut changed = self.clone();
        for (place, layer) in changed.layers[first..].iter_mut().zip(layers) {
            *place = layer;
        }
        changed
    }

    /// A layer's numbers in the memory of the same device.
    pub fn layer(&self, parts: &LayerParts<&[f32]>) -> Result<DeviceLayer> {
        DeviceLayer::new(parts, &self.config, &self.device)
    }
}

impl Embeddings {
    fn new(
        weights: &Weights,
        config: &TransformerConfig,
        device: &Device,
    ) -> Result<Self, EncoderError> {
        let width = config.width;
        let tensor = |name: &str, shape: &[usize]| -> Result<Tensor, EncoderError> {
            let values = weights.tensor(&format!("embeddings.{name}"), shape)?;
            Ok(Tensor::from_slice(&values, shape, device)?)
        };
        let table = |name: &str, rows| -> Result<Embedding, EncoderError> {
            let table = tensor(&format!("{name}.weight"), &[rows, width])?;
            Ok(Embedding::new(table, width))
        };
        let token_type = match config.architecture {
            Architecture::Bert => {
                let types = table("token_type_embeddings", config.token_types)?;
                Some(types.embeddings().get(0)?)
            }
            Architecture::Mpnet => None,
        };
        Ok(Self {
            words: table("word_embeddings", config.vocabulary)?,
            positions: table("position_embeddings", config.positions)?,
            token_type,
            norm: LayerNorm::new(
                tensor("LayerNorm.weight", &[width])?,
                tensor("LayerNorm.bias", &[width])?,
                f64::from(config.epsilon),
            ),
        })
    }

    /// `[texts, longest, width]`.
    fn forward(&self, batch: &Batch) -> Result<Tensor> {
        let mut hidden =
            (self.words.forward(&batch.ids)? + self.positions.forward(&batch.positions)?)?;
        if let Some(token_type) = &self.token_type {
            hidden = hidden.broadcast_add(token_type)?;
        }
        self.norm.forward(&hidden)
    }
}

impl DeviceLayer {
    fn new(
        parts: &LayerParts<&[f32]>,
        config: &TransformerConfig,
        device: &Device,
    ) -> Result<Self> {
        let vector = |values: &[f32]| Tensor::from_slice(values, values.len(), device);
        let linear = |[weights, bias]: [&[f32]; 2]| -> Result<Linear> {
            let shape = (bias.len(), weights.len() / bias.len());
            let weights = Tensor::from_slice(weights, shape, device)?;
            Ok(Linear::new(weights, Some(vector(bias)?)))
        };
        let norm = |[weight, bias]: [&[f32]; 2]| -> Result<LayerNorm> {
            let epsilon = f64::from(config.epsilon);
            Ok(LayerNorm::new(vector(weight)?, vector(bias)?, epsilon))
        };
        let layer = Self {
            projection: linear(parts.projection)?,
            output: linear(parts.output)?,
            attention_norm: norm(parts.attention_norm)?,
            up: linear(parts.up)?,
            down: linear(parts.down)?,
            norm: norm(parts.norm)?,
        };
        // Another thread, whose stream does not wait for this one's, may be the first to use it.
        device.synchronize()?;
        Ok(layer)
    }

    fn forward(
        &self,
        hidden: &Tensor,
        bias: &Tensor,
        config: &TransformerConfig,
    ) -> Result<Tensor> {
        let projected = self.projection.forward(hidden)?;
        let context = attend(&projected, bias, config)?;
        let hidden = (self.output.forward(&context)? + hidden)?;
        let hidden = self.attention_norm.forward(&hidden)?;
        let inner = activate(&self.up.forward(&hidden)?, config.activation)?;
        self.norm.forward(&(self.down.forward(&inner)? + hidden)?)
    }
}

/// Softmax attention; `projected` is `[texts, longest, 3 · width]`, the context `[texts, longest, width]`.
fn attend(projected: &Tensor, bias: &Tensor, config: &TransformerConfig) -> Result<Tensor> {
    let (texts, longest, _) = projected.dims3()?;
    let split = projected.reshape((texts, longest, 3, config.heads, config.head_width()))?;
    let part = |index| split.get_on_dim(2, index)?.transpose(1, 2)?.contiguous();
    let (queries, keys, values) = (part(0)?, part(1)?, part(2)?);
    let queries = (queries * f64::from(config.attention_scale()))?;
    let scores = queries.matmul(&keys.t()?)?.broadcast_add(bias)?;
    let context = softmax_last_dim(&scores)?.matmul(&values)?;
    context
        .transpose(1, 2)?
        .reshape((texts, longest, config.width))
}

fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
        Activation::Relu => x.relu(),
    }
}

impl Batch {
    fn new(texts: &[&[u32]], config: &TransformerConfig, device: &Device) -> Result<Self> {
        let longest = texts.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let shape = (texts.len(), longest);
        let padded = |values: Vec<Vec<u32>>, padding: u32| {
            let rows = values.into_iter().flat_map(|mut row| {
                row.resize(longest, padding);
                row
            });
            Tensor::from_vec(rows.collect::<Vec<u32>>(), shape, device)
        };
        let positions = |ids: &&[u32]| config.positions_of(ids).map(|at| at as u32).collect();
        let ones = texts.iter().map(|ids| vec![1; ids.len()]).collect();
        Ok(Self {
            ids: padded(texts.iter().map(|ids| ids.to_vec()).collect(), 0)?,
            positions: padded(texts.iter().map(positions).collect(), 0)?,
            mask: padded(ones, 0)?.to_dtype(DType::F32)?,
            longest,
        })
    }

    /// 0 for a token, the least number for padding, `[texts, longest]`.
    fn least_for_padding(&self) -> Result<Tensor> {
        (1.0 - &self.mask)? * f64::from(f32::MIN)
    }

    /// `[texts, width]`; padding does not count.
    fn pool(&self, hidden: &Tensor, pooling: Pooling) -> Result<Tensor> {
        match pooling {
            Pooling::Cls => hidden.get_on_dim(1, 0),
            Pooling::Mean => {
                let tokens = self.mask.sum_keepdim(D::Minus1)?;
                let shares = self.mask.broadcast_div(&tokens)?.unsqueeze(1)?;
                shares.matmul(hidden)?.squeeze(1)
            }
            Pooling::Max => hidden
                .broadcast_add(&self.least_for_padding()?.unsqueeze(D::Minus1)?)?
                .max(1),
        }
    }
}

fn matrix(tensor: &Tensor) -> Result<Matrix> {
    let (_, columns) = tensor.dims2()?;
    let values = tensor.flatten_all()?.to_vec1()?;
    let matrix = Matrix::from_values(columns, values);
    matrix.ok_or_else(|| candle_core::Error::Msg("a vector without numbers".to_owned()))
}
