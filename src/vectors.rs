//! The classifier behind the encoder: vectors in, probabilities out. Any embeddings will do.

use crate::calibration::Calibration;
use crate::data::LabelSet;
use crate::head::{Head, HeadError, HeadKind, HeadOptions};
use crate::held_out::{HeldOut, stand_in};
use crate::matrix::Matrix;
use crate::softmax::{argmax, probabilities};
use crate::support::Support;
use crate::unlabelled::{self, Adapted};

/// A head with what stands before it, centring and scaling to length 1, and behind it, the
/// temperature.
pub struct VectorClassifier {
    /// The class names.
    pub(crate) labels: LabelSet,
    /// `[width]`, taken from every vector.
    pub(crate) centre: Vec<f32>,
    pub(crate) head: Box<dyn Head>,
    pub(crate) calibration: Calibration,
    /// What it was fitted on; none if it was loaded.
    pub(crate) support: Option<Support>,
}

impl VectorClassifier {
    /// Fits the head and the temperature.
    ///
    /// `prior` are examples that nobody labelled, such as the labels' own names. How much they
    /// count, nothing, once or twice, is chosen by the loss of held-out examples, so that names
    /// that mislead do no harm; twice where some label has one example, so that none can be held out.
    ///
    /// # Shapes
    /// - `vectors`: `[examples, width]`
    /// - `classes`: one index into `labels` an example; every label at least once
    /// - `prior`: vectors of the same width and their classes, if any
    ///
    /// # Errors
    /// If examples and classes do not go together, an option is out of range, or training
    /// diverges.
    pub fn fit(
        vectors: &Matrix,
        classes: &[usize],
        prior: Option<(&Matrix, &[usize])>,
        labels: LabelSet,
        options: &HeadOptions,
        seed: u64,
    ) -> Result<Self, HeadError> {
        let ways = labels.len();
        check(vectors, classes, prior, ways)?;
        let centre = mean_of_class_means(vectors, classes, ways);
        let support = Support::new(vectors.centred(&centre), classes.to_vec(), ways);
        let support = support.ok_or(HeadError::Support)?;
        let (support, linear) = match prior {
            Some((vectors, classes)) => {
                let prior = vectors.centred(&centre);
                let (support, held_out) = with_best_prior(support, &prior, classes, options, seed)?;
                (support, Some(held_out))
            }
            None => (support, None),
        };
        let judge = stand_in(options);
        let fitted = options.fit_judged(&support, seed)?;
        let held_out = match (fitted.held_out, linear) {
            (Some(own), _) => own,
            // The same fits, if it is the same head.
            (None, Some(linear)) if judge.kind == HeadKind::Linear => linear,
            _ => HeldOut::new(&support, &judge, seed)?,
        };
        Ok(Self {
            labels,
            centre,
            head: fitted.head,
            calibration: Calibration::from_held_out(&held_out),
            support: Some(support),
        })
    }

    /// Whether [`adapt`](Self::adapt) changes anything with so many texts.
    pub(crate) fn can_adapt(&self, texts: usize, options: &HeadOptions) -> bool {
        let enough = |support| unlabelled::enough(support, texts);
        self.support.as_ref().is_some_and(enough) && options.learns_from_guesses()
    }

    /// Goes on learning from vectors without labels, `[texts, width]`, such as those that are to be
    /// classified; `options` and `seed` are those of the fit. Says whether anything changed: a head
    /// that is neither logistic regression nor started as it cannot learn so, a loaded classifier
    /// has lost its examples' vectors, and fewer than 50 texts, or four examples a label on average,
    /// say too little.
    ///
    /// # Errors
    /// If the width is another than at the fit.
    pub fn adapt(
        &mut self,
        vectors: &Matrix,
        options: &HeadOptions,
        seed: u64,
    ) -> Result<bool, HeadError> {
        let (head, temperature) = (&*self.head, self.calibration.temperature);
        let adapted = self.refit(vectors, |support, features| {
            unlabelled::adapt(head, temperature, support, features, options, seed)
        })?;
        Ok(self.take(adapted))
    }

    /// The rows of `vectors` that are like an example: whether others belong to one of the classes is not told.
    ///
    /// # Errors
    /// If the width is another than at the fit.
    pub(crate) fn near_examples(&self, vectors: &Matrix) -> Result<Vec<usize>, HeadError> {
        let features = self.features(vectors)?;
        let near = |support| unlabelled::near_examples(support, &features);
        Ok(self.support.as_ref().map(near).unwrap_or_default())
    }

    /// As [`adapt`](Self::adapt), once, from guesses that are pooled with a teacher's, as logits `[texts, ways]`, at the
    /// texts at the places `near`.
    ///
    /// # Errors
    /// If the width is another than at the fit.
    pub(crate) fn learn_guesses(
        &mut self,
        vectors: &Matrix,
        near: &[usize],
        guesses: &Matrix,
        options: &HeadOptions,
        seed: u64,
    ) -> Result<bool, HeadError> {
        let taught = self.refit(vectors, |support, features| {
            unlabelled::learn_guesses(guesses, near, support, features, options, seed)
        })?;
        Ok(self.take(taught))
    }

    /// What `fit` makes of the support set and the features of vectors; none of a loaded classifier, which has no
    /// support set.
    fn refit(
        &self,
        vectors: &Matrix,
        fit: impl FnOnce(&Support, &Matrix) -> Result<Option<Adapted>, HeadError>,
    ) -> Result<Option<Adapted>, HeadError> {
        let features = self.features(vectors)?;
        let support = self.support.as_ref();
        support.map_or(Ok(None), |support| fit(support, &features))
    }

    /// Takes the new head, if there is one, and says whether.
    fn take(&mut self, adapted: Option<Adapted>) -> bool {
        let changed = adapted.is_some();
        if let Some(Adapted { head, temperature }) = adapted {
            self.head = head;
            self.calibration.temperature = temperature;
        }
        changed
    }

    /// The class names, in the order of the probabilities.
    #[must_use]
    pub fn labels(&self) -> &LabelSet {
        &self.labels
    }

    /// What held-out examples said at the fit.
    #[must_use]
    pub fn calibration(&self) -> Calibration {
        self.calibration
    }

    pub(crate) fn with_calibration(self, calibration: Calibration) -> Self {
        Self {
            calibration,
            ..self
        }
    }

    /// Which head it has.
    #[must_use]
    pub fn head_kind(&self) -> HeadKind {
        self.head.kind()
    }

    /// Width of the vectors.
    #[must_use]
    pub fn width(&self) -> usize {
        self.centre.len()
    }

    /// # Shapes
    /// `vectors` is `[texts, width]`, the result `[texts, ways]`; each row sums to 1.
    ///
    /// # Errors
    /// If the width is another than at the fit.
    pub fn predict_proba(&self, vectors: &Matrix) -> Result<Matrix, HeadError> {
        let logits = self.head.logits(&self.features(vectors)?)?;
        Ok(probabilities(&logits, self.calibration.temperature))
    }

    /// Vectors as the head sees them.
    fn features(&self, vectors: &Matrix) -> Result<Matrix, HeadError> {
        if vectors.columns() != self.width() {
            return Err(HeadError::Width {
                expected: self.width(),
                found: vectors.columns(),
            });
        }
        Ok(vectors.centred(&self.centre))
    }

    /// The most probable class of each vector; the lowest index of equals.
    ///
    /// # Errors
    /// As [`VectorClassifier::predict_proba`].
    pub fn predict(&self, vectors: &Matrix) -> Result<Vec<usize>, HeadError> {
        Ok(self
            .predict_proba(vectors)?
            .iter_rows()
            .map(argmax)
            .collect())
    }
}

/// How often the prior may count. Chosen on parts of ten public sets that are not reported on:
/// more adds little where names help, and the choice is then more often wrong.
const PRIOR_COPIES: [usize; 3] = [0, 1, 2];

/// Whether everything goes together: one class a row, each below `ways`, every class among the examples, the
/// prior as wide as they are.
fn check(
    vectors: &Matrix,
    classes: &[usize],
    prior: Option<(&Matrix, &[usize])>,
    ways: usize,
) -> Result<(), HeadError> {
    let pairs = |vectors: &Matrix, classes: &[usize]| {
        vectors.rows() == classes.len() && classes.iter().all(|&class| class < ways)
    };
    let complete = ways > 0 && (0..ways).all(|class| classes.contains(&class));
    let prior_fits = prior.is_none_or(|(prior, of_prior)| {
        pairs(prior, of_prior) && (prior.rows() == 0 || prior.columns() == vectors.columns())
    });
    match pairs(vectors, classes) && complete && prior_fits {
        true => Ok(()),
        false => Err(HeadError::Support),
    }
}

/// The support set with the number of copies of the prior that held-out examples fit best, and what
/// logistic regression says of these examples then; with most copies if there is nothing to hold out: the fewer
/// the examples, the more the prior has to say.
fn with_best_prior(
    support: Support,
    prior: &Matrix,
    classes: &[usize],
    options: &HeadOptions,
    seed: u64,
) -> Result<(Support, HeldOut), HeadError> {
    let linear = HeadOptions {
        kind: HeadKind::Linear,
        ..options.clone()
    };
    let trial = |copies: usize| -> Result<_, HeadError> {
        let support = with_copies(support.clone(), prior, classes, copies);
        let held_out = HeldOut::new(&support, &linear, seed)?;
        Ok((support, held_out))
    };
    let mut best = trial(PRIOR_COPIES[0])?;
    if best.1.is_empty() {
        let [.., most] = PRIOR_COPIES;
        return Ok((with_copies(support, prior, classes, most), best.1));
    }
    for copies in PRIOR_COPIES.into_iter().skip(1) {
        let other = trial(copies)?;
        if other.1.loss(1.0) < best.1.loss(1.0) {
            best = other;
        }
    }
    Ok(best)
}

fn with_copies(support: Support, prior: &Matrix, classes: &[usize], copies: usize) -> Support {
    (0..copies).fold(support, |support, _| support.with_prior(prior, classes))
}

/// The centre: the mean of the class means, so that a class with many examples does not pull it.
pub(crate) fn mean_of_class_means(vectors: &Matrix, classes: &[usize], ways: usize) -> Vec<f32> {
    let rows_of = |class| {
        (0..classes.len())
            .filter(|&row| classes[row] == class)
            .collect::<Vec<_>>()
    };
    let means: Vec<Vec<f32>> = (0..ways)
        .map(|class| vectors.select(&rows_of(class)).mean_row())
        .collect();
    Matrix::from_rows(&means).unwrap_or_default().mean_row()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn clusters(ways: usize, shots: usize, width: usize, seed: u64) -> (Matrix, Vec<usize>) {
        let mut random = Random::new(seed);
        let means: Vec<Vec<f32>> = (0..ways)
            .map(|_| (0..width).map(|_| random.normal()).collect())
            .collect();
        let classes: Vec<usize> = (0..ways * shots).map(|row| row % ways).collect();
        let point = |&class: &usize| -> Vec<f32> {
            means[class]
                .iter()
                .map(|mean| 3.0 + mean + 0.4 * random.normal())
                .collect()
        };
        let rows: Vec<Vec<f32>> = classes.iter().map(point).collect();
        (Matrix::from_rows(&rows).expect("rows"), classes)
    }

    fn labels(ways: usize) -> LabelSet {
        LabelSet::new((0..ways).map(|class| format!("label {class:02}")))
    }

    #[test]
    fn every_head_separates_clusters_and_gives_probabilities() {
        for kind in [HeadKind::Mlp, HeadKind::Linear, HeadKind::Prototype] {
            for ways in [2, 5] {
                let (vectors, classes) = clusters(ways, 6, 24, 3);
                let options = HeadOptions {
                    kind,
                    ..HeadOptions::default()
                };
                let fitted =
                    VectorClassifier::fit(&vectors, &classes, None, labels(ways), &options, 1);
                let classifier = fitted.expect("fits");
                assert_eq!(
                    classifier.predict(&vectors).expect("same width"),
                    classes,
                    "{kind:?}"
                );
                let rows = classifier.predict_proba(&vectors).expect("same width");
                assert!(
                    rows.iter_rows()
                        .all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5)
                );
            }
        }
    }

    #[test]
    fn where_nothing_can_be_held_out_the_prior_counts_twice() {
        let (vectors, classes) = clusters(2, 1, 8, 3);
        let support = Support::new(vectors.clone(), classes.clone(), 2).expect("complete");
        let options = HeadOptions::default();
        let (support, held_out) =
            with_best_prior(support, &vectors, &classes, &options, 1).expect("fits");
        assert!(held_out.is_empty());
        assert_eq!((support.examples(), support.features().rows()), (2, 6));
    }

    #[test]
    fn another_width_is_refused() {
        let (vectors, classes) = clusters(2, 4, 24, 3);
        let options = HeadOptions::default();
        let classifier = VectorClassifier::fit(&vectors, &classes, None, labels(2), &options, 1);
        let result = classifier
            .expect("fits")
            .predict_proba(&Matrix::zeros(1, 23));
        assert!(matches!(
            result,
            Err(HeadError::Width {
                expected: 24,
                found: 23
            })
        ));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let (vectors, classes) = clusters(3, 2, 5, 1);
        let prior = |rows: usize, columns: usize| Matrix::zeros(rows, columns);
        let fit = |classes: &[usize], prior: Option<(&Matrix, &[usize])>, labels: &[&str]| {
            let labels = LabelSet::new(labels.iter().copied());
            let options = HeadOptions::default();
            VectorClassifier::fit(&vectors, classes, prior, labels, &options, 1).err()
        };
        let three = ["a", "b", "c"];
        assert!(fit(&classes, None, &three).is_none());
        for refused in [
            fit(&classes[1..], None, &three),
            fit(&classes, None, &three[..2]),
            fit(&classes, None, &["a", "b", "c", "d"]),
            fit(&classes, None, &[]),
            fit(&classes, Some((&prior(1, 4), &[0])), &three),
            fit(&classes, Some((&prior(2, 5), &[0])), &three),
            fit(&classes, Some((&prior(1, 5), &[3])), &three),
        ] {
            assert!(matches!(refused, Some(HeadError::Support)), "{refused:?}");
        }
    }

    /// Prior examples that agree with the classes are used, misleading ones are not.
    #[test]
    fn a_misleading_prior_is_left_out() {
        let (vectors, classes) = clusters(2, 8, 24, 3);
        let support = Support::new(vectors.clone(), classes.clone(), 2).expect("complete");
        let prior = vectors.select(&[0, 1]);
        let options = HeadOptions::default();
        let rows = |classes: [usize; 2]| {
            let chosen = with_best_prior(support.clone(), &prior, &classes, &options, 1);
            chosen.expect("fits").0.classes().len()
        };
        assert!(rows([0, 1]) > 16);
        assert_eq!(rows([1, 0]), 16);
    }
}
