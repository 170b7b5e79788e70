//! The forward pass of BERT and MPNet on packed texts: the tokens of all texts of a batch lie one
//! after the other without padding, so that no product is spent on it and no text's vector
//! depends on its neighbours; attention runs text by text.
//!
//! candle-transformers' BERT hides its intermediate layers, pads, and has no MPNet. The linear layers
//! are those of [`crate::kernels`], packed at load.
//!
//! # Source
//! Devlin et al. 2019 (BERT); Song et al. 2020 (MPNet); transformers' `modeling_bert.py` and
//! `modeling_mpnet.py` for names and constants.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::EncoderError;
use super::attention::{self, Attention, Heads};
use super::config::{Architecture, TransformerConfig};
use super::kernels::{Activation, LayerNorm, activate, add_bias, layer_norm};
use super::layer_tensors::LayerParts;
use super::relative_bias::RelativeBias;
use super::weights::{Values, Weights};
use crate::kernels::{Epilogue, PackedWeights, Precision, Scratch, linear};

/// The weights of one encoder, ready to run. A clone shares them.
#[derive(Clone)]
pub(super) struct Transformer {
    pub config: TransformerConfig,
    embeddings: Arc<Embeddings>,
    layers: Vec<Arc<Layer>>,
    pub relative: Option<Arc<RelativeBias>>,
}

struct Embeddings {
    words: Values,
    positions: Values,
    token_type: Option<Values>,
    norm: Norm,
}

pub(super) struct Layer {
    /// Queries, keys and values side by side.
    projection: Linear,
    output: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
    norm: Norm,
}

/// `y = x · weightᵀ + bias`.
struct Linear {
    weights: PackedWeights,
    bias: Vec<f32>,
}

struct Norm {
    weight: Values,
    bias: Values,
    epsilon: f32,
}

/// Memory that one batch after the other uses.
#[derive(Default)]
pub(super) struct Workspace {
    hidden: Vec<f32>,
    residual: Vec<f32>,
    projected: Vec<f32>,
    context: Vec<f32>,
    inner: Vec<f32>,
    scratch: Scratch,
}

/// The names of a family's tensors inside `encoder.layer.N.`, in the order of [`Layer`].
pub(super) struct Names {
    pub query: &'static str,
    pub key: &'static str,
    pub value: &'static str,
    pub output: &'static str,
    pub attention_norm: &'static str,
}

impl Names {
    pub fn of(architecture: Architecture) -> Self {
        match architecture {
            Architecture::Bert => BERT,
            Architecture::Mpnet => MPNET,
        }
    }
}

const BERT: Names = Names {
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
};
const MPNET: Names = Names {
    query: "attention.attn.q",
    key: "attention.attn.k",
    value: "attention.attn.v",
    output: "attention.attn.o",
    attention_norm: "attention.LayerNorm",
};

impl Transformer {
    /// Maps the weights, checks every shape against `config.json` and packs the linear layers for a
    /// precision.
    pub fn load(
        path: &Path,
        config: TransformerConfig,
        precision: Precision,
    ) -> Result<Self, EncoderError> {
        let weights = Weights::open(path)?;
        let load = Loader {
            weights: &weights,
            config: &config,
            precision,
        };
        load.refuse_more_layers(path)?;
        let width = config.width;
        let table =
            |name: &str, rows| weights.tensor(&format!("embeddings.{name}.weight"), &[rows, width]);
        let embeddings = Embeddings {
            words: table("word_embeddings", config.vocabulary)?,
            positions: table("position_embeddings", config.positions)?,
            token_type: match config.architecture {
                Architecture::Bert => Some(table("token_type_embeddings", config.token_types)?),
                Architecture::Mpnet => None,
            },
            norm: load.norm("embeddings.LayerNorm")?,
        };
        Ok(Self {
            embeddings: Arc::new(embeddings),
            layers: (0..config.layers)
                .into_par_iter()
                .map(|index| load.layer(index).map(Arc::new))
                .collect::<Result<_, _>>()?,
            relative: load.relative_bias()?.map(Arc::new),
            config,
        })
    }

    /// Runs a batch and hands the token vectors of the hidden states from 0 (the embeddings) to
    /// `highest` to `each`, in this order; layers above are not computed.
    ///
    /// `texts` are token ids with special tokens, each of 1 to `max_tokens` ids below the
    /// vocabulary's size. The slice given to `each` is `[all tokens, width]`.
    pub fn forward(
        &self,
        texts: &[&[u32]],
        highest: usize,
        space: &mut Workspace,
        mut each: impl FnMut(usize, &[f32]),
    ) {
        self.begin(texts, space);
        each(0, &space.hidden);
        self.run_layers(0..highest, texts, space, each);
    }

    /// Puts a batch's hidden state 0 into the workspace.
    pub fn begin(&self, texts: &[&[u32]], space: &mut Workspace) {
        let tokens = texts.iter().map(|ids| ids.len()).sum();
        space.resize(tokens, &self.config);
        self.embed(texts, &mut space.hidden);
    }

    /// Runs layers of these indices on the hidden state in the workspace; `each` is as that of
    /// [`forward`](Self::forward).
    pub fn run_layers(
        &self,
        indices: Range<usize>,
        texts: &[&[u32]],
        space: &mut Workspace,
        mut each: impl FnMut(usize, &[f32]),
    ) {
        for index in indices {
            self.run_layer(&self.layers[index], texts, space);
            each(index + 1, &space.hidden);
        }
    }

    /// How many of the lowest layers are also another's, of the same model, whose clone it is or was made of.
    pub fn shared_layers(&self, other: &Self) -> usize {
        let mut pairs = self.layers.iter().zip(&other.layers);
        let end = pairs.position(|(own, other)| !Arc::ptr_eq(own, other));
        end.unwrap_or(self.layers.len())
    }

    fn embed(&self, texts: &[&[u32]], hidden: &mut [f32]) {
        let width = self.config.width;
        let Embeddings {
            words,
            positions,
            token_type,
            norm,
        } = &*self.embeddings;
        let places = texts
            .iter()
            .flat_map(|ids| ids.iter().zip(self.config.positions_of(ids)));
        for (out, (&id, position)) in hidden.chunks_exact_mut(width).zip(places) {
            let word = &words[id as usize * width..][..width];
            let place = &positions[position * width..][..width];
            for ((out, &word), &place) in out.iter_mut().zip(word).zip(place) {
                *out = word + place;
            }
        }
        if let Some(token_type) = token_type {
            add_bias(hidden, &token_type[..width]);
        }
        layer_norm(hidden, &norm.view());
    }

    fn run_layer(&self, layer: &Layer, texts: &[&[u32]], space: &mut Workspace) {
        let Workspace {
            hidden,
            residual,
            projected,
            context,
            inner,
            scratch,
        } = space;
        layer.projection.run(hidden, projected, scratch);
        self.attend(texts, projected, context);
        std::mem::swap(hidden, residual);
        layer.output.run_onto(context, residual, hidden, scratch);
        layer_norm(hidden, &layer.attention_norm.view());
        layer
            .up
            .run_activated(hidden, inner, self.config.activation, scratch);
        std::mem::swap(hidden, residual);
        layer.down.run_onto(inner, residual, hidden, scratch);
        layer_norm(hidden, &layer.norm.view());
    }

    /// Softmax attention text by text: `context` is `[tokens, width]`, head beside head.
    pub fn attend(&self, texts: &[&[u32]], projected: &[f32], context: &mut [f32]) {
        let width = self.config.width;
        let mut tasks = Vec::with_capacity(texts.len());
        let (mut projected, mut context) = (projected, context);
        for ids in texts {
            let (own, rest) = projected.split_at(ids.len() * 3 * width);
            let (out, others) = context.split_at_mut(ids.len() * width);
            tasks.extend(Attention::split(own, out, ids.len()));
            (projected, context) = (rest, others);
        }
        let heads = Heads {
            heads: self.config.heads,
            width: self.config.head_width(),
            scale: self.config.attention_scale(),
            relative: self.relative.as_deref(),
        };
        let tasks = tasks.into_par_iter();
        tasks.for_each_init(attention::Scratch::default, |scratch, task| {
            task.run(heads, scratch);
        });
    }

    /// The same encoder with other layers from the index `first` on.
    pub fn with_layers(&self, first: usize, layers: Vec<Layer>) -> Self {
        let mut changed = self.clone();
        for (place, layer) in changed.layers[first..].iter_mut().zip(layers) {
            *place = Arc::new(layer);
        }
        changed
    }
}

/// In which numbers one layer's products are.
#[derive(Clone, Copy)]
pub(super) struct LayerPrecision {
    /// Of the two products that read a layer norm's output: the projection and `up`.
    normed: Precision,
    rest: Precision,
}

impl LayerPrecision {
    /// What layer `index` computes in, in an encoder of a precision.
    ///
    /// In bf16, the lower third's products of layer norms are f32. One or two texts in ten thousand stand on a
    /// brink that middle layers push them off, to one side or the other, by whatever was rounded
    /// below, mostly in these products, whose inputs have outliers (`docs/performance.md`).
    pub fn of(index: usize, config: &TransformerConfig, precision: Precision) -> Self {
        let low = index < config.layers / 3;
        let normed = match precision {
            Precision::Bf16 if low => Precision::F32,
            other => other,
        };
        Self {
            normed,
            rest: precision,
        }
    }
}

impl Layer {
    /// Packs the linear layers.
    pub fn pack(
        parts: &LayerParts<&[f32]>,
        config: &TransformerConfig,
        precision: LayerPrecision,
    ) -> Self {
        let LayerPrecision { normed, rest } = precision;
        let linear = |[weights, bias]: [&[f32]; 2], precision| Linear {
            weights: PackedWeights::pack(
                weights,
                bias.len(),
                weights.len() / bias.len(),
                precision,
            ),
            bias: bias.to_vec(),
        };
        let norm = |[weight, bias]: [&[f32]; 2]| Norm {
            weight: Values::Owned(weight.to_vec()),
            bias: Values::Owned(bias.to_vec()),
            epsilon: config.epsilon,
        };
        Self {
            projection: linear(parts.projection, normed),
            output: linear(parts.output, rest),
            attention_norm: norm(parts.attention_norm),
            up: linear(parts.up, normed),
            down: linear(parts.down, rest),
            norm: norm(parts.norm),
        }
    }
}

impl Linear {
    fn run(&self, x: &[f32], out: &mut [f32], scratch: &mut Scratch) {
        self.apply(x, out, Epilogue::Bias(&self.bias), scratch);
    }

    /// Adds to what was there before.
    fn run_onto(&self, x: &[f32], residual: &[f32], out: &mut [f32], scratch: &mut Scratch) {
        let bias = &self.bias;
        self.apply(x, out, Epilogue::BiasResidual { bias, residual }, scratch);
    }

    fn run_activated(
        &self,
        x: &[f32],
        out: &mut [f32],
        activation: Activation,
        scratch: &mut Scratch,
    ) {
        if activation == Activation::Gelu {
            self.apply(x, out, Epilogue::BiasGelu(&self.bias), scratch);
        } else {
            self.run(x, out, scratch);
            activate(out, activation);
        }
    }

    fn apply(&self, x: &[f32], out: &mut [f32], epilogue: Epilogue, scratch: &mut Scratch) {
        let rows = x.len() / self.weights.inputs();
        linear(out, x, rows, &self.weights, epilogue, scratch);
    }
}

impl Norm {
    fn view(&self) -> LayerNorm<'_> {
        LayerNorm {
            weight: &self.weight,
            bias: &self.bias,
            epsilon: self.epsilon,
        }
    }
}

impl Workspace {
    /// Token vectors, `[all tokens, width]`.
    pub fn hidden(&self) -> &[f32] {
        &self.hidden
    }

    /// Takes others in their place, as many.
    pub fn set_hidden(&mut self, hidden: &[f32]) {
        self.hidden.copy_from_slice(hidden);
    }

    fn resize(&mut self, tokens: usize, config: &TransformerConfig) {
        let TransformerConfig { width, inner, .. } = *config;
        for buffer in [&mut self.hidden, &mut self.residual, &mut self.context] {
            buffer.resize(tokens * width, 0.0);
        }
        self.projected.resize(tokens * 3 * width, 0.0);
        self.inner.resize(tokens * inner, 0.0);
    }
}

struct Loader<'a> {
    weights: &'a Weights,
    config: &'a TransformerConfig,
    precision: Precision,
}

impl Loader<'_> {
    /// A `config.json` with too few layers would load and be wrong without a word.
    fn refuse_more_layers(&self, path: &Path) -> Result<(), EncoderError> {
        let layers = self.config.layers;
        let next = format!("encoder.layer.{layers}.output.dense.weight");
        if !self.weights.has(&next) {
            return Ok(());
        }
        let reason = format!("it holds more layers than the {layers} of config.json");
        Err(EncoderError::Weights {
            path: path.to_owned(),
            reason,
        })
    }

    fn layer(&self, index: usize) -> Result<Layer, EncoderError> {
        let names = Names::of(self.config.architecture);
        let (width, inner) = (self.config.width, self.config.inner);
        let name = |part: &str| format!("encoder.layer.{index}.{part}");
        let projection = [names.query, names.key, names.value].map(name);
        let LayerPrecision { normed, rest } =
            LayerPrecision::of(index, self.config, self.precision);
        let linear = |part: &str, outputs, inputs, precision| {
            self.linear(&[name(part)], outputs, inputs, precision)
        };
        Ok(Layer {
            projection: self.linear(&projection, width, width, normed)?,
            output: linear(names.output, width, width, rest)?,
            attention_norm: self.norm(&name(names.attention_norm))?,
            up: linear("intermediate.dense", inner, width, normed)?,
            down: linear("output.dense", width, inner, rest)?,
            norm: self.norm(&name("output.LayerNorm"))?,
        })
    }

    /// One product for several layers of one input, their outputs side by side.
    fn linear(
        &self,
        names: &[String],
        outputs: usize,
        inputs: usize,
        precision: Precision,
    ) -> Result<Linear, EncoderError> {
        let (mut parts, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            let shape = [outputs, inputs];
            parts.push(self.weights.tensor(&format!("{name}.weight"), &shape)?);
            bias.extend_from_slice(&self.weights.tensor(&format!("{name}.bias"), &[outputs])?);
        }
        let weights: Vec<&[f32]> = parts.iter().map(|part| &**part).collect();
        let weights = PackedWeights::pack_parts(&weights, inputs, precision);
        // From here on the packed copy is used.
        parts.into_iter().for_each(Values::release);
        Ok(Linear { weights, bias })
    }

    fn norm(&self, name: &str) -> Result<Norm, EncoderError> {
        let part = |part| {
            self.weights
                .tensor(&format!("{name}.{part}"), &[self.config.width])
        };
        Ok(Norm {
            weight: part("weight")?,
            bias: part("bias")?,
            epsilon: self.config.epsilon,
        })
    }

    fn relative_bias(&self) -> Result<Option<RelativeBias>, EncoderError> {
        let TransformerConfig {
            relative_buckets: buckets,
            heads,
            positions,
            ..
        } = *self.config;
        if self.config.architecture != Architecture::Mpnet {
            return Ok(None);
        }
        let table = self
            .weights
            .tensor("encoder.relative_attention_bias.weight", &[buckets, heads])?;
        Ok(Some(RelativeBias::new(&table, buckets, heads, positions)))
    }
}
