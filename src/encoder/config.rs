//! What a model folder says of itself: `config.json`, and the sentence-transformers files
//! `modules.json`, `sentence_bert_config.json` and the pooling module's `config.json`.

use std::path::{Path, PathBuf};

use candle_transformers::models::bert::PositionEmbeddingType;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::EncoderError;
use super::kernels::Activation;

/// The two families whose forward pass is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Devlin et al. 2019, arXiv 1810.04805.
    Bert,
    /// Song et al. 2020, arXiv 2004.09297: positions start after the padding id, a bias learned
    /// for relative positions, no token types.
    Mpnet,
}

/// How token vectors become one vector a text (Reimers & Gurevych 2019, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The first token's vector.
    Cls,
    /// The mean over all tokens, special ones included.
    Mean,
    /// The largest value of each column.
    Max,
}

/// Shapes and constants of the transformer, from `config.json`.
#[derive(Debug, Clone)]
pub(super) struct TransformerConfig {
    pub architecture: Architecture,
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
    pub inner: usize,
    pub positions: usize,
    pub vocabulary: usize,
    pub token_types: usize,
    pub padding_id: usize,
    pub epsilon: f32,
    pub activation: Activation,
    pub relative_buckets: usize,
}

/// Everything a model folder says.
#[derive(Debug, Clone)]
pub(super) struct ModelConfig {
    pub transformer: TransformerConfig,
    pub pooling: Pooling,
    pub normalise: bool,
    pub lowercase: bool,
    pub max_tokens: usize,
}

#[derive(Deserialize)]
struct RawConfig {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    vocab_size: usize,
    #[serde(default = "two")]
    type_vocab_size: usize,
    pad_token_id: Option<usize>,
    #[serde(default = "bert_epsilon")]
    layer_norm_eps: f64,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "thirty_two")]
    relative_attention_num_buckets: usize,
    #[serde(default)]
    position_embedding_type: PositionEmbeddingType,
}

// The defaults of transformers' BertConfig and MPNetConfig.
fn two() -> usize {
    2
}
fn thirty_two() -> usize {
    32
}
fn bert_epsilon() -> f64 {
    1e-12
}
fn gelu() -> String {
    "gelu".to_owned()
}

#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize, Default)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

#[derive(Deserialize)]
#[allow(clippy::struct_excessive_bools)] // the file's own fields
struct PoolingConfig {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
    #[serde(default)]
    pooling_mode_weightedmean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
}

/// The largest number that any shape in `config.json` may hold: far above every real model, far
/// below what overflows a product of two.
const LARGEST: usize = 1 << 22;

impl ModelConfig {
    /// Reads the folder; a plain BERT repository without the sentence-transformers files gets
    /// mean pooling, no normalisation and its largest number of positions.
    pub fn read(dir: &Path) -> Result<Self, EncoderError> {
        let transformer = TransformerConfig::read(&dir.join("config.json"))?;
        let modules: Vec<Module> = read_optional(&dir.join("modules.json"))?.unwrap_or_default();
        let sentence = read_sentence_config(dir)?;
        Ok(Self {
            pooling: read_pooling(dir, &modules)?,
            normalise: check_modules(dir, &modules)?,
            lowercase: sentence.do_lower_case,
            max_tokens: max_tokens(&transformer, sentence.max_seq_length, dir)?,
            transformer,
        })
    }
}

fn max_tokens(
    config: &TransformerConfig,
    wanted: Option<usize>,
    dir: &Path,
) -> Result<usize, EncoderError> {
    let most = config.positions.saturating_sub(config.first_position());
    let tokens = wanted.unwrap_or(most).min(most);
    // Two special tokens and at least one of the text.
    if tokens < 3 {
        return Err(EncoderError::config(
            &dir.join("config.json"),
            format!("{tokens} tokens a text leave no room beside the two special ones"),
        ));
    }
    Ok(tokens)
}

fn read_sentence_config(dir: &Path) -> Result<SentenceConfig, EncoderError> {
    Ok(read_optional(&dir.join("sentence_bert_config.json"))?.unwrap_or_default())
}

/// Refuses modules that would change the vectors and are not built here; true if one normalises.
fn check_modules(dir: &Path, modules: &[Module]) -> Result<bool, EncoderError> {
    let kind = |module: &Module| {
        module
            .kind
            .rsplit('.')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let known = ["Transformer", "Pooling", "Normalize"];
    match modules
        .iter()
        .map(kind)
        .find(|kind| !known.contains(&kind.as_str()))
    {
        Some(kind) => Err(EncoderError::config(
            &dir.join("modules.json"),
            format!(
                "module `{kind}` is not supported, only {}",
                known.join(", ")
            ),
        )),
        None => Ok(modules.iter().any(|module| kind(module) == "Normalize")),
    }
}

fn read_pooling(dir: &Path, modules: &[Module]) -> Result<Pooling, EncoderError> {
    let Some(module) = modules
        .iter()
        .find(|module| module.kind.ends_with("Pooling"))
    else {
        return Ok(Pooling::Mean);
    };
    let path = dir.join(&module.path).join("config.json");
    let config: PoolingConfig = read(&path)?;
    let other = config.pooling_mode_mean_sqrt_len_tokens
        || config.pooling_mode_weightedmean_tokens
        || config.pooling_mode_lasttoken;
    let modes = [
        (config.pooling_mode_cls_token, Pooling::Cls),
        (config.pooling_mode_mean_tokens, Pooling::Mean),
        (config.pooling_mode_max_tokens, Pooling::Max),
    ];
    let mut chosen = modes
        .into_iter()
        .filter(|(on, _)| *on)
        .map(|(_, mode)| mode);
    match (chosen.next(), chosen.next()) {
        (Some(mode), None) if !other => Ok(mode),
        _ => Err(EncoderError::config(
            &path,
            "pooling must be one of cls, mean, max".to_owned(),
        )),
    }
}

impl TransformerConfig {
    /// Numbers of one attention head.
    pub fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// What a product of a query and a key is multiplied by.
    pub fn attention_scale(&self) -> f32 {
        1.0 / (self.head_width() as f32).sqrt()
    }

    fn read(path: &Path) -> Result<Self, EncoderError> {
        let raw: RawConfig = read(path)?;
        let architecture = match raw.model_type.as_str() {
            "bert" => Architecture::Bert,
            "mpnet" => Architecture::Mpnet,
            other => {
                return Err(EncoderError::Unsupported {
                    model_type: other.to_owned(),
                });
            }
        };
        raw.check_shapes(path)?;
        let PositionEmbeddingType::Absolute = raw.position_embedding_type;
        let default_padding = usize::from(architecture == Architecture::Mpnet);
        Ok(Self {
            architecture,
            width: raw.hidden_size,
            layers: raw.num_hidden_layers,
            heads: raw.num_attention_heads,
            inner: raw.intermediate_size,
            positions: raw.max_position_embeddings,
            vocabulary: raw.vocab_size,
            token_types: raw.type_vocab_size,
            padding_id: raw.pad_token_id.unwrap_or(default_padding),
            epsilon: raw.layer_norm_eps as f32,
            activation: activation(&raw.hidden_act, path)?,
            relative_buckets: raw.relative_attention_num_buckets,
        })
    }

    /// Rows of the position table that no token of a text uses.
    pub fn first_position(&self) -> usize {
        match self.architecture {
            Architecture::Bert => 0,
            Architecture::Mpnet => self.padding_id + 1,
        }
    }

    /// The rows of the position table that belong to a text's tokens. MPNet counts from the
    /// padding id on and leaves out tokens that are padding, as a literal `<pad>` in a text is
    /// (transformers' `create_position_ids_from_input_ids`).
    pub fn positions_of(&self, ids: &[u32]) -> impl Iterator<Item = usize> {
        let padding = match self.architecture {
            Architecture::Bert => None,
            Architecture::Mpnet => Some(self.padding_id),
        };
        let mut next = self.first_position();
        ids.iter().map(move |&id| match padding {
            Some(padding) if id as usize == padding => padding,
            _ => {
                next += 1;
                next - 1
            }
        })
    }
}

impl RawConfig {
    fn check_shapes(&self, path: &Path) -> Result<(), EncoderError> {
        let shapes = [
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("vocab_size", self.vocab_size),
            ("type_vocab_size", self.type_vocab_size),
            (
                "relative_attention_num_buckets",
                self.relative_attention_num_buckets,
            ),
        ];
        if let Some((name, value)) = shapes.iter().find(|(_, v)| !(1..=LARGEST).contains(v)) {
            let reason = format!("{name} is {value}, not between 1 and {LARGEST}");
            return Err(EncoderError::config(path, reason));
        }
        let epsilon = self.layer_norm_eps;
        if !(0.0..1.0).contains(&epsilon) {
            let reason = format!("layer_norm_eps is {epsilon}, not between 0 and 1");
            return Err(EncoderError::config(path, reason));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let reason = format!(
                "hidden_size {} is no multiple of num_attention_heads {}",
                self.hidden_size, self.num_attention_heads
            );
            return Err(EncoderError::config(path, reason));
        }
        Ok(())
    }
}

fn activation(name: &str, path: &Path) -> Result<Activation, EncoderError> {
    match name {
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        other => {
            let reason =
                format!("hidden_act `{other}` is not supported, only gelu, gelu_new, relu");
            Err(EncoderError::config(path, reason))
        }
    }
}

fn read_optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, EncoderError> {
    if path.exists() {
        read(path).map(Some)
    } else {
        Ok(None)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, EncoderError> {
    let text = std::fs::read_to_string(path).map_err(|source| EncoderError::Read {
        path: PathBuf::from(path),
        source,
    })?;
    serde_json::from_str(&text).map_err(|error| EncoderError::config(path, error.to_string()))
}
