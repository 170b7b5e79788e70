//! When more labels hardly change anything.

/// Labels between two models that are compared.
const EVERY: usize = 5;
/// Comparisons that are averaged.
const COMPARISONS: usize = 3;
/// Agreement from which predictions count as stable.
const STABLE: f64 = 0.99;

/// Watches whether successive models agree about the unlabelled texts.
///
/// Cohen's kappa between the predictions of the models of now and of five labels ago, averaged over
/// three such comparisons, is at least 0.99.
///
/// # Source
/// Stabilising predictions: Bloodgood & Vijay-Shanker 2009.
#[derive(Debug, Clone, Default)]
pub struct Stability {
    before: Vec<usize>,
    kappas: Vec<f64>,
}

impl Stability {
    /// After how many labels the models were that are compared, once there are `labels` of them.
    pub(super) fn compared(labels: usize) -> impl Iterator<Item = usize> {
        let last = labels / EVERY;
        let first = last.saturating_sub(COMPARISONS).max(1);
        (first..=last).map(|times| times * EVERY)
    }

    /// Takes in the classes given to all texts after so many labels.
    pub fn observe(&mut self, labels: usize, predictions: &[usize]) {
        if !labels.is_multiple_of(EVERY) {
            return;
        }
        if self.before.len() == predictions.len() && !predictions.is_empty() {
            self.kappas.push(kappa(&self.before, predictions));
        }
        self.before = predictions.to_vec();
    }

    /// Whether more labels of this kind would hardly change the predictions.
    #[must_use]
    pub fn is_stable(&self) -> bool {
        let last = self.kappas.iter().rev().take(COMPARISONS);
        self.kappas.len() >= COMPARISONS && last.sum::<f64>() / COMPARISONS as f64 >= STABLE
    }
}

/// Agreement beyond chance (Cohen 1960); 0 if only one class is ever given, since nothing is learned
/// yet.
fn kappa(a: &[usize], b: &[usize]) -> f64 {
    let count = a.len() as f64;
    let ways = a.iter().chain(b).max().map_or(0, |&most| most + 1);
    let share = |of: &[usize], class| of.iter().filter(|&&c| c == class).count() as f64 / count;
    let chance: f64 = (0..ways)
        .map(|class| share(a, class) * share(b, class))
        .sum();
    let same = a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / count;
    if chance < 1.0 {
        (same - chance) / (1.0 - chance)
    } else {
        0.0
    }
}

#[cfg(test)]
impl Stability {
    pub(super) fn comparisons(&self) -> usize {
        self.kappas.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_four_models_are_compared() {
        let compared = |labels| Stability::compared(labels).collect::<Vec<_>>();
        assert_eq!(compared(4), [0; 0]);
        assert_eq!(compared(12), [5, 10]);
        assert_eq!(compared(44), [25, 30, 35, 40]);
    }

    /// From scikit-learn: cohen_kappa_score([0,0,1,1,2], [0,1,1,1,2]) = 0.6875.
    #[test]
    fn kappa_is_that_of_others() {
        assert!((kappa(&[0, 0, 1, 1, 2], &[0, 1, 1, 1, 2]) - 0.6875).abs() < 1e-12);
        assert_eq!(kappa(&[1, 1], &[1, 1]), 0.0);
    }

    #[test]
    fn predictions_are_stable_after_three_like_comparisons() {
        let mut stability = Stability::default();
        let steady = [0, 1, 1, 0];
        for labels in 1..20 {
            stability.observe(labels, &steady);
            assert!(!stability.is_stable() || labels >= 20);
        }
        stability.observe(20, &steady);
        assert!(stability.is_stable());
        stability.observe(25, &[1, 0, 0, 1]);
        assert!(!stability.is_stable());
    }
}
