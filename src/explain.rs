//! Why a text got its label: the support examples that are most similar to it.

use crate::Result;
use crate::classifier::{FewShotClassifier, Predictions};
use crate::data::Example;
use crate::matrix::Matrix;

/// What can go wrong with an explanation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// The classifier was saved without the examples that an explanation would name.
    #[error("the classifier was saved without its examples, which an explanation would name")]
    NoExamples,
}

impl ExplainError {
    /// The cure.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let Self::NoExamples = self;
        Some("leave out --explain, or train it again without --no-examples".to_owned())
    }
}

/// A support example and how similar a text is to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour<'c> {
    /// The example.
    pub example: &'c Example,
    /// The cosine of the two vectors as the head sees them, centred; in [-1, 1].
    pub similarity: f32,
}

/// Probabilities of texts, and the support examples nearest to each.
#[derive(Debug, Clone)]
pub struct Explained<'c> {
    /// What [`FewShotClassifier::predict_proba`] gives.
    pub predictions: Predictions,
    /// The neighbours of each text, the most similar first; the earlier example of equals.
    pub neighbours: Vec<Vec<Neighbour<'c>>>,
}

/// A classifier with the vectors of its examples: they are embedded once, however many texts follow.
pub struct Explainer<'c> {
    classifier: &'c FewShotClassifier,
    /// `[examples, width]`, centred.
    features: Matrix,
}

impl<'c> Explainer<'c> {
    /// Embeds the examples, unless the classifier was fitted just now and has their vectors.
    ///
    /// # Errors
    /// [`ExplainError::NoExamples`] if it has no examples; if the encoder fails.
    pub fn new(classifier: &'c FewShotClassifier) -> Result<Self> {
        if classifier.examples.is_empty() {
            return Err(ExplainError::NoExamples.into());
        }
        let centre = &classifier.vectors.centre;
        let features = match &classifier.example_vectors {
            Some(vectors) => vectors.centred(centre),
            None => embed(classifier)?.centred(centre),
        };
        Ok(Self {
            classifier,
            features,
        })
    }

    /// The probability of each label for each text, and its `count` nearest examples; all of them
    /// if there are fewer.
    ///
    /// # Errors
    /// As [`FewShotClassifier::predict_proba`].
    pub fn predict_proba<S: AsRef<str>>(&self, texts: &[S], count: usize) -> Result<Explained<'c>> {
        let (predictions, vectors) = self.classifier.predict_with_vectors(texts)?;
        let features = vectors.centred(&self.classifier.vectors.centre);
        let similarities = features.products(&self.features);
        let neighbours = similarities
            .iter_rows()
            .map(|row| self.nearest(row, count))
            .collect();
        Ok(Explained {
            predictions,
            neighbours,
        })
    }

    fn nearest(&self, similarities: &[f32], count: usize) -> Vec<Neighbour<'c>> {
        let neighbour = |at: usize| Neighbour {
            example: &self.classifier.examples[at],
            similarity: similarities[at].clamp(-1.0, 1.0),
        };
        largest(similarities, count)
            .into_iter()
            .map(neighbour)
            .collect()
    }
}

fn embed(classifier: &FewShotClassifier) -> Result<Matrix> {
    let examples = classifier.examples.iter();
    let texts: Vec<&str> = examples.map(|example| example.text.as_str()).collect();
    Ok(classifier
        .encoder
        .encode(&texts, &classifier.layers)?
        .vectors)
}

/// The places of the `count` largest values, the largest first; the lower place of equals.
pub(crate) fn largest(values: &[f32], count: usize) -> Vec<usize> {
    let order = |&a: &usize, &b: &usize| values[b].total_cmp(&values[a]).then(a.cmp(&b));
    let mut places: Vec<usize> = (0..values.len()).collect();
    if count < places.len() {
        // A partial order first: the examples may be many, the neighbours are few.
        places.select_nth_unstable_by(count, order);
        places.truncate(count);
    }
    places.sort_unstable_by(order);
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_earlier_of_equals_comes_first() {
        assert_eq!(largest(&[0.5, 0.9, 0.5, -1.0, 0.9], 3), [1, 4, 0]);
        assert_eq!(largest(&[0.5, 0.9], 7), [1, 0]);
        assert!(largest(&[0.5], 0).is_empty() && largest(&[], 3).is_empty());
    }

    proptest! {
        #[test]
        fn the_largest_are_those_that_sorting_puts_first(
            values in prop::collection::vec(-3i8..3, 0..40), count in 0usize..50
        ) {
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let mut sorted: Vec<usize> = (0..values.len()).collect();
            sorted.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
            sorted.truncate(count);
            prop_assert_eq!(largest(&values, count), sorted);
        }
    }
}
