//! Texts that were embedded before they are to be classified.

use std::collections::HashMap;

use crate::encoder::{Encoded, Encoder, EncoderError, LayerMix, Note};
use crate::matrix::Matrix;

/// Vectors of some texts.
#[derive(Default)]
pub(crate) struct Known {
    places: HashMap<String, usize>,
    vectors: Matrix,
    /// By place; of few texts only.
    notes: HashMap<usize, Note>,
}

impl Known {
    /// `texts` are distinct.
    pub fn new(texts: &[&str], encoded: Encoded) -> Self {
        let places = texts.iter().enumerate();
        let notes = encoded.notes.into_iter();
        Self {
            places: places.map(|(at, &text)| (text.to_owned(), at)).collect(),
            vectors: encoded.vectors,
            notes: notes.map(|note| (note.text, note)).collect(),
        }
    }

    /// As [`Encoder::encode`], which is asked for the texts that are not known.
    pub fn or_encode<S: AsRef<str>>(
        &self,
        texts: &[S],
        encoder: &Encoder,
        layers: &LayerMix,
    ) -> Result<Encoded, EncoderError> {
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        let is_new = |&&at: &&usize| !self.places.contains_key(texts[at]);
        let all: Vec<usize> = (0..texts.len()).collect();
        let new: Vec<usize> = all.iter().filter(is_new).copied().collect();
        let new_texts: Vec<&str> = new.iter().map(|&at| texts[at]).collect();
        let encoded = encoder.encode(&new_texts, layers)?;
        if new.len() == texts.len() {
            return Ok(encoded);
        }
        let mut vectors = Matrix::zeros(texts.len(), self.vectors.columns());
        for (row, &at) in encoded.vectors.iter_rows().zip(&new) {
            vectors.row_mut(at).copy_from_slice(row);
        }
        let of_new = encoded.notes.into_iter();
        let mut notes: Vec<Note> = of_new
            .map(|note| Note {
                text: new[note.text],
                ..note
            })
            .collect();
        for (at, text) in texts.iter().enumerate() {
            if let Some(place) = self.places.get(*text) {
                vectors
                    .row_mut(at)
                    .copy_from_slice(self.vectors.row(*place));
                let note = self.notes.get(place);
                notes.extend(note.map(|note| Note { text: at, ..*note }));
            }
        }
        notes.sort_by_key(|note| note.text);
        Ok(Encoded { vectors, notes })
    }
}
