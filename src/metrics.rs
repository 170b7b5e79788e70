//! How good predictions are: accuracy, macro-F1, MCC, per-class figures, the confusion matrix and
//! the calibration error, each with a bootstrap interval.

mod mean;

use serde::Serialize;

pub use mean::{Mean, wilson};

use crate::matrix::Matrix;
use crate::random::Random;
use crate::softmax::argmax;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 1000;
/// Bins of the calibration error (Guo et al. 2017, section 2).
const BINS: usize = 15;

/// A figure and the 2.5th and 97.5th percentile of its bootstrap distribution. Of an accuracy, precision or recall of
/// 0 or 1 it is Wilson's interval ([`wilson`]), and an F1 of 0 or 1 follows these.
///
/// # Source
/// Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 13.3 (percentile interval).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// On all texts.
    pub value: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The figures of one label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelReport {
    /// The label.
    pub label: String,
    /// Texts that truly have it.
    pub count: usize,
    /// Of the texts that were given this label, the fraction that has it; 0 if none was.
    pub precision: Estimate,
    /// Of the texts that have this label, the fraction that was given it; 0 if none has.
    pub recall: Estimate,
    /// Harmonic mean of the two.
    pub f1: Estimate,
}

/// A whole evaluation; fractions are between 0 and 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Texts evaluated.
    pub count: usize,
    /// Fraction of texts that got their true label.
    pub accuracy: Estimate,
    /// Mean of the labels' F1, each label counting the same.
    pub macro_f1: Estimate,
    /// Matthews correlation coefficient, −1 to 1 (Gorodkin 2004, R_K, for several classes).
    pub mcc: Estimate,
    /// Expected calibration error: mean gap between confidence and accuracy over fifteen bins of
    /// confidence, weighted by their texts.
    pub calibration_error: Estimate,
    /// In the order of the label set.
    pub labels: Vec<LabelReport>,
    /// `confusion[t][p]`: texts of label t that were given label p.
    pub confusion: Vec<Vec<usize>>,
}

/// One text: its true class, the class given, and how sure the classifier was.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    truth: usize,
    given: usize,
    confidence: f64,
}

impl Report {
    /// Compares predictions with the truth. Intervals come from 1,000 resamples of the texts.
    ///
    /// # Shapes
    /// - `probabilities`: `[texts, ways]`
    /// - `truth`: one class a text; a class at or above `ways` (a label that the classifier does
    ///   not know) is always an error
    /// - `labels`: names of all classes that occur, at least `ways`
    #[must_use]
    pub fn new(probabilities: &Matrix, truth: &[usize], labels: &[String], seed: u64) -> Self {
        let outcomes = outcomes(probabilities, truth);
        let value = Figures::of(&outcomes, labels.len());
        let mut random = Random::new(seed);
        let samples: Vec<Figures> = (0..RESAMPLES)
            .map(|_| Figures::of(&resample(&outcomes, &mut random), labels.len()))
            .collect();
        Self::assemble(&value, &samples, labels, outcomes.len())
    }

    fn assemble(value: &Figures, samples: &[Figures], labels: &[String], count: usize) -> Self {
        let estimate = |of: &dyn Fn(&Figures) -> f64| interval(of(value), samples.iter().map(of));
        let label = |(class, name): (usize, &String)| {
            let (count, given) = (value.truths(class), value.given(class));
            let precision = sure_of_little(estimate(&|figures| figures.precision(class)), given);
            let recall = sure_of_little(estimate(&|figures| figures.recall(class)), count);
            let between = [(precision.low, recall.low), (precision.high, recall.high)];
            LabelReport {
                label: name.clone(),
                count,
                precision,
                recall,
                f1: within(
                    estimate(&|figures| figures.f1(class)),
                    between.map(harmonic_mean),
                ),
            }
        };
        let labels: Vec<LabelReport> = labels.iter().enumerate().map(label).collect();
        let occur = labels.iter().enumerate();
        let occur = occur.filter(|&(class, _)| value.occurs(class));
        let of_labels: Vec<Estimate> = occur.map(|(_, label)| label.f1).collect();
        let mean = |end: fn(&Estimate) -> f64| {
            of_labels.iter().map(end).sum::<f64>() / of_labels.len().max(1) as f64
        };
        Self {
            count,
            accuracy: sure_of_little(estimate(&Figures::accuracy), count),
            macro_f1: within(
                estimate(&Figures::macro_f1),
                [mean(|f1| f1.low), mean(|f1| f1.high)],
            ),
            mcc: estimate(&Figures::mcc),
            calibration_error: without_bias(
                estimate(&|figures| figures.calibration_error),
                samples,
            ),
            labels,
            confusion: value.confusion.clone(),
        }
    }
}

/// Accuracy and expected calibration error alone, without intervals; arguments as those of
/// [`Report::new`].
#[must_use]
pub fn accuracy_and_calibration(probabilities: &Matrix, truth: &[usize]) -> (f64, f64) {
    let outcomes = outcomes(probabilities, truth);
    let right = |outcome: &&Outcome| outcome.truth == outcome.given;
    let right = outcomes.iter().filter(right).count();
    (ratio(right, outcomes.len()), calibration_error(&outcomes))
}

fn outcomes(probabilities: &Matrix, truth: &[usize]) -> Vec<Outcome> {
    let outcome = |(row, &truth): (&[f32], &usize)| {
        let given = argmax(row);
        Outcome {
            truth,
            given,
            confidence: f64::from(row[given]),
        }
    };
    probabilities.iter_rows().zip(truth).map(outcome).collect()
}

fn resample(outcomes: &[Outcome], random: &mut Random) -> Vec<Outcome> {
    outcomes
        .iter()
        .map(|_| outcomes[random.below(outcomes.len())])
        .collect()
}

fn interval(value: f64, samples: impl Iterator<Item = f64>) -> Estimate {
    let mut sorted: Vec<f64> = samples.collect();
    sorted.sort_by(f64::total_cmp);
    let at = |fraction: f64| {
        let place = (fraction * (sorted.len().max(1) - 1) as f64).round() as usize;
        sorted.get(place).copied().unwrap_or(value)
    };
    Estimate {
        value,
        low: at(0.025),
        high: at(0.975),
    }
}

/// The interval of a share of so many texts; where all are right, or none, so are those of each resample, and the
/// bootstrap would be sure of it after one text. Wilson's interval is not.
fn sure_of_little(share: Estimate, count: usize) -> Estimate {
    let (low, high) = wilson((share.value * count as f64).round() as usize, count);
    within(share, [low, high])
}

/// `low` and `high` for a figure of 0 or 1, of which the bootstrap is too sure.
fn within(estimate: Estimate, [low, high]: [f64; 2]) -> Estimate {
    if estimate.value > 0.0 && estimate.value < 1.0 {
        return estimate;
    }
    Estimate {
        low: low.min(estimate.value),
        high: high.max(estimate.value),
        ..estimate
    }
}

fn harmonic_mean((a, b): (f64, f64)) -> f64 {
    if a + b > 0.0 {
        2.0 * a * b / (a + b)
    } else {
        0.0
    }
}

/// Moves the interval of the calibration error back by the bootstrap's own bias. A sum of absolute
/// gaps only grows when a sample repeats texts, so that all resamples lie above the value.
///
/// # Source
/// Efron & Tibshirani 1993, section 10.2 (the bootstrap's estimate of bias).
fn without_bias(estimate: Estimate, samples: &[Figures]) -> Estimate {
    let sum: f64 = samples
        .iter()
        .map(|figures| figures.calibration_error)
        .sum();
    let bias = sum / samples.len().max(1) as f64 - estimate.value;
    Estimate {
        value: estimate.value,
        low: (estimate.low - bias).max(0.0),
        high: (estimate.high - bias).max(estimate.value),
    }
}

/// What is counted in one sample of outcomes.
struct Figures {
    confusion: Vec<Vec<usize>>,
    calibration_error: f64,
}

impl Figures {
    fn of(outcomes: &[Outcome], labels: usize) -> Self {
        let mut confusion = vec![vec![0; labels]; labels];
        outcomes
            .iter()
            .for_each(|outcome| confusion[outcome.truth][outcome.given] += 1);
        Self {
            confusion,
            calibration_error: calibration_error(outcomes),
        }
    }

    fn truths(&self, class: usize) -> usize {
        self.confusion[class].iter().sum()
    }

    fn given(&self, class: usize) -> usize {
        self.confusion.iter().map(|row| row[class]).sum()
    }

    fn total(&self) -> usize {
        self.confusion.iter().flatten().sum()
    }

    fn correct(&self) -> usize {
        (0..self.confusion.len())
            .map(|class| self.confusion[class][class])
            .sum()
    }

    fn accuracy(&self) -> f64 {
        ratio(self.correct(), self.total())
    }

    fn precision(&self, class: usize) -> f64 {
        ratio(self.confusion[class][class], self.given(class))
    }

    fn recall(&self, class: usize) -> f64 {
        ratio(self.confusion[class][class], self.truths(class))
    }

    fn f1(&self, class: usize) -> f64 {
        let both = self.truths(class) + self.given(class);
        ratio(2 * self.confusion[class][class], both)
    }

    /// In truth or prediction.
    fn occurs(&self, class: usize) -> bool {
        self.given(class) > 0 || self.truths(class) > 0
    }

    /// Over the labels that occur, as scikit-learn has it.
    fn macro_f1(&self) -> f64 {
        let scores: Vec<f64> = (0..self.confusion.len())
            .filter(|&class| self.occurs(class))
            .map(|class| self.f1(class))
            .collect();
        scores.iter().sum::<f64>() / scores.len().max(1) as f64
    }

    fn mcc(&self) -> f64 {
        let total = self.total() as f64;
        let (mut products, mut truths, mut givens) = (0.0, 0.0, 0.0);
        for class in 0..self.confusion.len() {
            let truth = self.truths(class) as f64;
            let given = self.given(class) as f64;
            products += truth * given;
            truths += truth * truth;
            givens += given * given;
        }
        let spread = ((total * total - truths) * (total * total - givens)).sqrt();
        if spread == 0.0 {
            0.0
        } else {
            (self.correct() as f64 * total - products) / spread
        }
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

fn calibration_error(outcomes: &[Outcome]) -> f64 {
    let mut gaps = [0.0; BINS];
    for outcome in outcomes {
        let bin = ((outcome.confidence * BINS as f64) as usize).min(BINS - 1);
        gaps[bin] += f64::from(u8::from(outcome.truth == outcome.given)) - outcome.confidence;
    }
    gaps.iter().map(|gap: &f64| gap.abs()).sum::<f64>() / outcomes.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTH: [usize; 10] = [0, 0, 0, 1, 1, 1, 1, 2, 2, 2];
    const GIVEN: [usize; 10] = [0, 0, 1, 1, 1, 2, 1, 2, 2, 0];

    fn report() -> Report {
        let row = |&given: &usize| {
            let mut row = [0.1f32; 3];
            row[given] = 0.8;
            row
        };
        let rows: Vec<[f32; 3]> = GIVEN.iter().map(row).collect();
        let labels = ["a", "b", "c"].map(str::to_owned);
        Report::new(&Matrix::from_rows(&rows).expect("rows"), &TRUTH, &labels, 1)
    }

    /// scikit-learn 1.9.1: `accuracy_score`, `f1_score(average="macro")`, `matthews_corrcoef`,
    /// `precision_recall_fscore_support` on TRUTH and GIVEN.
    #[test]
    fn agrees_with_scikit_learn() {
        let report = report();
        let close = |value: f64, expected: f64| (value - expected).abs() < 1e-6;
        assert!(close(report.accuracy.value, 0.7));
        assert!(
            close(report.macro_f1.value, 0.694_444_444),
            "{:?}",
            report.macro_f1
        );
        assert!(close(report.mcc.value, 0.545_454_545), "{:?}", report.mcc);
        assert!(close(report.labels[1].precision.value, 0.75));
        assert!(close(report.labels[2].recall.value, 2.0 / 3.0));
        assert_eq!(report.confusion, [[2, 1, 0], [0, 3, 1], [1, 0, 2]]);
    }

    #[test]
    fn calibration_error_is_the_gap_between_confidence_and_accuracy() {
        assert!((report().calibration_error.value - 0.1).abs() < 1e-6);
    }

    #[test]
    fn intervals_hold_the_value_and_repeat() {
        let report = report();
        let calibration = report.calibration_error;
        assert!(calibration.low <= calibration.value && calibration.value <= calibration.high);
        for estimate in [
            report.accuracy,
            report.macro_f1,
            report.mcc,
            report.labels[0].f1,
        ] {
            assert!(estimate.low <= estimate.value && estimate.value <= estimate.high);
            assert!(estimate.low < estimate.high);
        }
        assert_eq!(report, self::report());
    }

    /// Of ten texts that are all right, or all wrong, no figure is sure but Matthews'.
    #[test]
    fn ends_are_not_sure() {
        let of = |given: [usize; 2]| {
            let row = |at: usize| [[0.9f32, 0.1], [0.1, 0.9]][given[at % 2]];
            let rows: Vec<[f32; 2]> = (0..10).map(row).collect();
            let truth: Vec<usize> = (0..10).map(|at| at % 2).collect();
            let labels = ["a", "b"].map(str::to_owned);
            Report::new(&Matrix::from_rows(&rows).expect("rows"), &truth, &labels, 1)
        };
        let (right, wrong) = (of([0, 1]), of([1, 0]));
        let (ten, five) = (wilson(10, 10).0, wilson(5, 5).0);
        let label = &right.labels[0];
        for (estimate, low) in [
            (right.accuracy, ten),
            (label.precision, five),
            (label.recall, five),
            (label.f1, five),
            (right.macro_f1, five),
        ] {
            assert!((estimate.low - low).abs() < 1e-12 && estimate.high == 1.0);
        }
        for estimate in [wrong.accuracy, wrong.labels[1].f1, wrong.macro_f1] {
            assert!(estimate.low == 0.0 && estimate.high > 0.25 && estimate.high < 0.5);
        }
    }

    #[test]
    fn an_unknown_label_is_an_error_of_the_classifier() {
        let probabilities = Matrix::from_rows(&[[0.9f32, 0.1], [0.2, 0.8]]).expect("rows");
        let labels = ["a", "b", "new"].map(str::to_owned);
        let report = Report::new(&probabilities, &[0, 2], &labels, 1);
        assert!((report.accuracy.value - 0.5).abs() < 1e-9);
        assert_eq!(report.confusion[2], [0, 1, 0]);
    }
}
