//! Text → vectors: tokenise, forward, pool several layers.
//!
//! An [`Encoder`] reads a BERT or MPNet model folder whole, as sentence-transformers lays it out,
//! and gives each text the average of the pooled vectors of chosen hidden layers ([`LayerMix`]).

mod attention;
mod batches;
mod config;
mod device;
mod kernels;
mod layer_mix;
mod layer_tensors;
mod pooling;
mod relative_bias;
mod transformer;
mod tuning;
mod weights;
mod windows;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use crate::kernels::Precision;
pub use candle_core::Device;
pub use config::{Architecture, Pooling};
pub use layer_mix::LayerMix;
pub use tuning::{Loss, TuneOptions, TuneProgress, TunedLayers};
pub use windows::MAX_TEXT_BYTES;

use crate::hub::{ModelFiles, hex};
use crate::matrix::Matrix;
use config::ModelConfig;
use device::DeviceTransformer;
use transformer::{Transformer, Workspace};
use weights::Weights;
use windows::{Tokens, Windows};

/// What can go wrong between a text and its vector.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncoderError {
    /// A file of the model cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A configuration file is no JSON, or asks for what is not built here.
    #[error("{}: {reason}", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// `config.json` names another kind of model.
    #[error("model type `{model_type}` is not supported, only bert and mpnet")]
    Unsupported {
        /// The kind found.
        model_type: String,
    },
    /// The weight file is no valid safetensors file, or lacks a tensor.
    #[error("{}: {reason}", .path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor has another shape than `config.json` says.
    #[error(
        "{}: tensor `{tensor}` has shape {found:?}, config.json says {expected:?}",
        .path.display()
    )]
    Shape {
        /// The weight file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shape that `config.json` promises.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// `tokenizer.json` cannot be used.
    #[error("{}: {reason}", .path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The tokenizer failed on a text.
    #[error("cannot tokenise: {0}")]
    Tokenise(String),
    /// A layer above the encoder's last was asked for.
    #[error("layer {index} was asked for, the encoder has layers 0 to {layers}")]
    NoSuchLayer {
        /// The layer asked for.
        index: usize,
        /// The encoder's last.
        layers: usize,
    },
    /// The CPU cannot run in this precision.
    #[error("this processor has no instructions for {}", .precision.name())]
    Precision {
        /// The precision asked for.
        precision: Precision,
    },
    /// A GPU cannot run in this precision.
    #[error("a GPU computes in f32 here, not in {}", .precision.name())]
    DevicePrecision {
        /// The precision asked for.
        precision: Precision,
    },
    /// A GPU, or candle on it, fails.
    #[error("the device fails: {reason}")]
    Device {
        /// What candle says.
        reason: String,
    },
    /// Tuning made the loss NaN or infinite.
    #[error("tuning the encoder does not converge")]
    Diverged,
    /// The weights hold NaN or infinite values, or produced them.
    #[error("encoder `{encoder}` gives NaN or infinite values for the text {text:?}")]
    NotFinite {
        /// The model.
        encoder: String,
        /// The beginning of the text.
        text: String,
    },
}

impl EncoderError {
    fn config(path: &std::path::Path, reason: String) -> Self {
        Self::Config {
            path: path.to_owned(),
            reason,
        }
    }

    /// The cure, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unsupported { .. } => {
                "choose a BERT or MPNet model, such as sentence-transformers/all-mpnet-base-v2"
            }
            Self::Precision { .. } => "use --precision auto, which takes what there is",
            Self::DevicePrecision { .. } => {
                "leave out --precision, or run on the processor with --device cpu"
            }
            Self::Device { .. } => "run on the processor with --device cpu",
            Self::Diverged => "leave the encoder as it is with --tune off",
            Self::NoSuchLayer { .. } => "choose --layers within the encoder, or `last`",
            Self::Read { .. }
            | Self::Config { .. }
            | Self::Weights { .. }
            | Self::Shape { .. }
            | Self::Tokenizer { .. }
            | Self::NotFinite { .. } => {
                "the model's files do not fit together or are damaged; fetch them again with `fewshot models get --refresh`, or use another model"
            }
            Self::Tokenise(_) => return None,
        };
        Some(hint.to_owned())
    }
}

impl From<candle_core::Error> for EncoderError {
    /// Its first line; a trace of the stack may follow.
    fn from(error: candle_core::Error) -> Self {
        let reason = error.to_string();
        let reason = reason.lines().next().unwrap_or_default().to_owned();
        Self::Device { reason }
    }
}

/// Which encoder made a vector: what a saved classifier remembers and checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncoderIdentity {
    /// Hub id or folder, as it was given.
    pub id: String,
    /// The hub's commit, 40 hexadecimal digits; none for a folder.
    pub revision: Option<String>,
    /// sha256 of the weight file, hexadecimal.
    pub sha256: String,
    /// In which numbers its linear layers run. The others' vectors differ by far less than texts
    /// do, so that a classifier may be used in another precision than it was trained in.
    #[serde(default = "before_there_was_a_choice")]
    pub precision: Precision,
    /// sha256 of the layers that were tuned, hexadecimal; none for an encoder as it was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuned: Option<String>,
}

fn before_there_was_a_choice() -> Precision {
    Precision::F32
}

/// A BERT or MPNet encoder, ready to run.
pub struct Encoder {
    identity: EncoderIdentity,
    settings_sha256: String,
    config: ModelConfig,
    windows: Arc<Windows>,
    transformer: Transformer,
    /// Embeds in place of `transformer`, which tuning still uses.
    device: Option<DeviceTransformer>,
    /// Where the weights of layers that are tuned are read again.
    weights: PathBuf,
    tuned: Option<Arc<TunedLayers>>,
    /// Memory of the last batch, for the next call; a call that finds it taken makes its own.
    spare: Mutex<Workspace>,
}

/// Vectors of texts, and what should be said about some of the texts.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// `[texts, width]`.
    pub vectors: Matrix,
    /// In the order of the texts.
    pub notes: Vec<Note>,
}

impl Encoded {
    /// The mean of so many layers that lie side by side.
    fn averaged(self, layers: usize) -> Self {
        let width = self.vectors.columns() / layers;
        let mut vectors = Matrix::zeros(self.vectors.rows(), width);
        let weight = 1.0 / layers as f32;
        for (text, all) in self.vectors.iter_rows().enumerate() {
            for layer in all.chunks_exact(width) {
                kernels::add_scaled(vectors.row_mut(text), layer, weight);
            }
        }
        Self { vectors, ..self }
    }
}

/// Something that a person should know about how a text was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    /// Index of the text.
    pub text: usize,
    /// In how many windows it was embedded; they are averaged by their numbers of tokens.
    pub windows: usize,
    /// Whether what lies beyond [`MAX_TEXT_BYTES`] was left out.
    pub cut: bool,
}

impl Encoder {
    /// Loads a model's files, to run in f32.
    ///
    /// # Errors
    /// If a file is missing, damaged, of another kind, or does not fit the others.
    pub fn load(files: &ModelFiles) -> Result<Self, EncoderError> {
        Self::load_in(files, Precision::F32)
    }

    /// Loads a model's files, to run its linear layers in a precision. Embeddings, norms and
    /// attention are f32 in all of them. Vectors of different precisions may be compared.
    ///
    /// # Errors
    /// As [`Encoder::load`], and if the CPU has no instructions for the precision.
    pub fn load_in(files: &ModelFiles, precision: Precision) -> Result<Self, EncoderError> {
        if !precision.available() {
            return Err(EncoderError::Precision { precision });
        }
        let config = ModelConfig::read(&files.dir)?;
        let windows = Windows::load(&files.dir.join("tokenizer.json"), &config)?;
        let transformer = Transformer::load(&files.weights, config.transformer.clone(), precision)?;
        let settings_sha256 = settings_sha256(&config, &files.dir.join("tokenizer.json"))?;
        let identity = EncoderIdentity {
            id: lasting_name(files),
            revision: files.commit.clone(),
            sha256: files.weights_sha256.clone(),
            precision,
            tuned: None,
        };
        Ok(Self {
            identity,
            settings_sha256,
            config,
            windows: Arc::new(windows),
            transformer,
            device: None,
            weights: files.weights.clone(),
            tuned: None,
            spare: Mutex::default(),
        })
    }

    /// The same encoder on a device of candle's, a GPU: texts are embedded there, in f32, by candle's operations.
    /// Vectors differ from the processor's by rounding. Tuning stays on the processor.
    ///
    /// On [`Device::Cpu`] candle's operations run on the processor, slower than its own kernels.
    ///
    /// # Errors
    /// If the encoder was not loaded in f32, the weights cannot be read again, or the device fails.
    pub fn on(mut self, device: &Device) -> Result<Self, EncoderError> {
        let precision = self.precision();
        if precision != Precision::F32 {
            return Err(EncoderError::DevicePrecision { precision });
        }
        let weights = Weights::open(&self.weights)?;
        let layers = (0..self.layers()).map(|index| self.layer_values(self.tuned(), index));
        let device = DeviceTransformer::load(&weights, layers, &self.transformer, device)?;
        self.device = Some(device);
        Ok(self)
    }

    /// Which encoder this is.
    #[must_use]
    pub fn identity(&self) -> &EncoderIdentity {
        &self.identity
    }

    /// sha256, hexadecimal, of all beside the weights that decides a vector: the tokenizer and the
    /// settings (pooling, longest window, constants of the transformer).
    #[must_use]
    pub fn settings_sha256(&self) -> &str {
        &self.settings_sha256
    }

    /// The device of [`Encoder::on`] on which texts are embedded, `cuda`, `metal` or `candle's cpu`; none for the
    /// processor.
    #[must_use]
    pub fn device_name(&self) -> Option<&'static str> {
        self.device.as_ref().map(DeviceTransformer::name)
    }

    /// Texts that keep it busy when they are encoded in one call; more are no faster.
    #[must_use]
    pub fn texts_at_once(&self) -> usize {
        match self.device {
            Some(_) => 1024,
            None => 64,
        }
    }

    /// In which numbers its linear layers run.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.identity.precision
    }

    /// Numbers in one vector.
    #[must_use]
    pub fn width(&self) -> usize {
        self.config.transformer.width
    }

    /// Number of transformer layers; hidden states are counted from 0, the embeddings, to this.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.config.transformer.layers
    }

    /// The family.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        self.config.transformer.architecture
    }

    /// How token vectors become one.
    #[must_use]
    pub fn pooling(&self) -> Pooling {
        self.config.pooling
    }

    /// Whether the model's own modules end in a normalisation to length 1.
    #[must_use]
    pub fn normalises(&self) -> bool {
        self.config.normalise
    }

    /// Tokens of one window, special ones included.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        self.config.max_tokens
    }

    /// The layers that classifiers average by default: [`LayerMix::upper_half`].
    #[must_use]
    pub fn default_layers(&self) -> LayerMix {
        LayerMix::upper_half(self.layers())
    }

    /// Embeds texts: the average over `layers` of the pooled vectors, not normalised.
    ///
    /// Output is in input order; a text's vector does not depend on the other texts (to 1e-4,
    /// with AVX-512 to the last bit, but on a device);
    /// equal texts are embedded once. A text over [`Encoder::max_tokens`] is split in windows of
    /// whole tokens whose vectors are averaged by token count.
    ///
    /// # Shapes
    /// Returns `[texts, width]`.
    ///
    /// # Errors
    /// If a layer does not exist, a vector is not finite, or a device fails.
    pub fn encode<S: AsRef<str>>(
        &self,
        texts: &[S],
        layers: &LayerMix,
    ) -> Result<Encoded, EncoderError> {
        let indices = layers.indices(self.layers())?;
        let encoded = self.encode_layers(texts, &indices)?;
        Ok(encoded.averaged(indices.len()))
    }

    /// As [`Encoder::encode`] by several encoders of one model, each with its own tuned layers: the layers below these are
    /// computed once.
    ///
    /// # Errors
    /// As `encode`.
    pub(crate) fn encode_by<S: AsRef<str>>(
        encoders: &[&Self],
        texts: &[S],
        layers: &LayerMix,
    ) -> Result<Vec<Encoded>, EncoderError> {
        let Some(first) = encoders.first() else {
            return Ok(Vec::new());
        };
        let indices = layers.indices(first.layers())?;
        let encoded = Self::encode_layers_by(encoders, texts, &indices)?;
        let averaged = encoded.into_iter();
        Ok(averaged.map(|one| one.averaged(indices.len())).collect())
    }

    /// Embeds texts and keeps the chosen layers apart, in one forward pass.
    ///
    /// # Shapes
    /// Returns `[texts, layers.len() · width]`, the layers in the order given.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn encode_layers<S: AsRef<str>>(
        &self,
        texts: &[S],
        layers: &[usize],
    ) -> Result<Encoded, EncoderError> {
        let mut encoded = Self::encode_layers_by(&[self], texts, layers)?;
        Ok(encoded.swap_remove(0))
    }

    fn encode_layers_by<S: AsRef<str>>(
        encoders: &[&Self],
        texts: &[S],
        layers: &[usize],
    ) -> Result<Vec<Encoded>, EncoderError> {
        let first = encoders[0];
        if let Some(&index) = layers.iter().find(|&&index| index > first.layers()) {
            return Err(EncoderError::NoSuchLayer {
                index,
                layers: first.layers(),
            });
        }
        let (unique, places) = deduplicate(texts);
        let tokens = first.windows.split(&unique)?;
        let notes = places
            .iter()
            .enumerate()
            .filter_map(|(text, &place)| note(text, &tokens[place]));
        let notes: Vec<Note> = notes.collect();
        let encoded = |(encoder, vectors): (&&Self, Matrix)| {
            encoder.check_finite(&vectors, &unique)?;
            Ok(Encoded {
                vectors: vectors.select(&places),
                notes: notes.clone(),
            })
        };
        let vectors = batches::run(encoders, &tokens, layers)?;
        encoders.iter().zip(vectors).map(encoded).collect()
    }

    fn spare(&self) -> MutexGuard<'_, Workspace> {
        // Nothing can be half done: it is taken and put back whole.
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_finite(&self, vectors: &Matrix, texts: &[&str]) -> Result<(), EncoderError> {
        let bad = vectors
            .iter_rows()
            .position(|row| row.iter().any(|value| !value.is_finite()));
        match bad {
            Some(text) => Err(EncoderError::NotFinite {
                encoder: self.identity.id.clone(),
                text: texts[text].chars().take(40).collect(),
            }),
            None => Ok(()),
        }
    }
}

/// A hub id as it is; a folder by its full path, which holds from any working folder.
fn lasting_name(files: &ModelFiles) -> String {
    match (&files.commit, files.dir.canonicalize()) {
        (None, Ok(path)) => path.display().to_string(),
        _ => files.id.clone(),
    }
}

/// Everything in the settings that decides a vector, as it is understood: a default that is spelt out is none of
/// another encoder's. Saved classifiers depend on these words.
fn settings(config: &ModelConfig) -> String {
    let ModelConfig {
        transformer,
        pooling,
        normalise,
        lowercase,
        max_tokens,
    } = config;
    let config::TransformerConfig {
        architecture,
        width,
        layers,
        heads,
        inner,
        positions,
        vocabulary,
        token_types,
        padding_id,
        epsilon,
        activation,
        relative_buckets,
    } = transformer;
    format!(
        "{architecture:?} {width} {layers} {heads} {inner} {positions} {vocabulary} {token_types} {padding_id} \
         {epsilon} {activation:?} {relative_buckets}; {pooling:?} {normalise} {lowercase} {max_tokens} {MAX_TEXT_BYTES}"
    )
}

fn settings_sha256(
    config: &ModelConfig,
    tokenizer: &std::path::Path,
) -> Result<String, EncoderError> {
    let read = std::fs::read(tokenizer).map_err(|source| EncoderError::Read {
        path: tokenizer.to_owned(),
        source,
    })?;
    let hash = Sha256::new()
        .chain_update(settings(config) + "\0")
        .chain_update(read);
    Ok(hex(&hash.finalize()))
}

/// The distinct texts in order of appearance, and each text's place among them.
pub(crate) fn deduplicate<S: AsRef<str>>(texts: &[S]) -> (Vec<&str>, Vec<usize>) {
    let mut unique = Vec::new();
    let mut seen = HashMap::new();
    let places = texts.iter().map(|text| {
        *seen.entry(text.as_ref()).or_insert_with(|| {
            unique.push(text.as_ref());
            unique.len() - 1
        })
    });
    let places = places.collect();
    (unique, places)
}

fn note(text: usize, tokens: &Tokens) -> Option<Note> {
    let windows = tokens.windows.len();
    (windows > 1 || tokens.cut).then_some(Note {
        text,
        windows,
        cut: tokens.cut,
    })
}
