//! Text → token ids, in windows that the encoder can take.

use std::path::Path;

use tokenizers::Tokenizer;

use super::EncoderError;
use super::config::ModelConfig;

/// Text beyond this many bytes is left out, with a note: some forty thousand words, a minute of
/// the encoder's time.
pub const MAX_TEXT_BYTES: usize = 256 * 1024;

/// Turns texts into windows of token ids.
pub(super) struct Windows {
    tokenizer: Tokenizer,
    first: u32,
    last: u32,
    /// Tokens of the text in one window, the two special ones not counted.
    room: usize,
    lowercase: bool,
}

/// One text's windows; a text within the limit has one.
pub(super) struct Tokens {
    pub windows: Vec<Vec<u32>>,
    /// Whether text beyond [`MAX_TEXT_BYTES`] was left out.
    pub cut: bool,
}

impl Tokens {
    /// The share of each window in the text's vector: its count of the text's own tokens.
    pub fn weights(&self) -> Vec<f32> {
        let own = |window: &Vec<u32>| (window.len() - 2).max(1) as f32;
        let total: f32 = self.windows.iter().map(own).sum();
        self.windows
            .iter()
            .map(|window| own(window) / total)
            .collect()
    }
}

impl Windows {
    pub fn load(path: &Path, config: &ModelConfig) -> Result<Self, EncoderError> {
        let invalid = |reason: String| EncoderError::Tokenizer {
            path: path.to_owned(),
            reason,
        };
        let mut tokenizer =
            Tokenizer::from_file(path).map_err(|error| invalid(error.to_string()))?;
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| invalid(error.to_string()))?;
        let empty = tokenizer
            .encode_fast("", true)
            .map_err(|error| invalid(error.to_string()))?;
        let [first, last] = *empty.get_ids() else {
            let found = empty.get_ids().len();
            return Err(invalid(format!(
                "it frames a text in {found} special tokens, not 2"
            )));
        };
        let known = config.transformer.vocabulary;
        let of_words = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
        let highest = of_words.max(first).max(last) as usize;
        if highest >= known {
            let reason = format!("it has token id {highest}, config.json's vocab_size is {known}");
            return Err(invalid(reason));
        }
        Ok(Self {
            tokenizer,
            first,
            last,
            room: config.max_tokens - 2,
            lowercase: config.lowercase,
        })
    }

    /// Tokenises on all threads.
    pub fn split(&self, texts: &[&str]) -> Result<Vec<Tokens>, EncoderError> {
        let (texts, cut): (Vec<String>, Vec<bool>) =
            texts.iter().map(|text| self.prepare(text)).unzip();
        let encodings = self
            .tokenizer
            .encode_batch_fast(texts, false)
            .map_err(|error| EncoderError::Tokenise(error.to_string()))?;
        let tokens = |(encoding, cut): (tokenizers::Encoding, bool)| Tokens {
            windows: self.frame(encoding.get_ids()),
            cut,
        };
        Ok(encodings.into_iter().zip(cut).map(tokens).collect())
    }

    fn prepare(&self, text: &str) -> (String, bool) {
        let end = text.floor_char_boundary(MAX_TEXT_BYTES);
        let kept = text[..end].trim();
        let prepared = if self.lowercase {
            kept.to_lowercase()
        } else {
            kept.to_owned()
        };
        (prepared, end < text.len())
    }

    fn frame(&self, ids: &[u32]) -> Vec<Vec<u32>> {
        let framed = |ids: &[u32]| [&[self.first], ids, &[self.last]].concat();
        if ids.is_empty() {
            vec![framed(&[])]
        } else {
            ids.chunks(self.room).map(framed).collect()
        }
    }
}
