//! The mean of a few figures, one a draw, and how far it can be trusted.

use serde::Serialize;

/// A mean over draws, with Student's 95 % interval.
///
/// The interval speaks of other draws of examples; it does not know that another test set would
/// give other figures too.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Mean {
    /// The mean; 0 of nothing.
    pub mean: f64,
    /// Standard deviation of the single figures (divisor n − 1); 0 if there is one only.
    pub std: f64,
    /// Lower end of the 95 % interval of the mean; none if there is one figure only.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

impl Mean {
    /// The mean of figures that were drawn independently.
    #[must_use]
    pub fn of(figures: &[f64]) -> Self {
        let count = figures.len().max(1) as f64;
        let mean = figures.iter().sum::<f64>() / count;
        let squares: f64 = figures.iter().map(|figure| (figure - mean).powi(2)).sum();
        let std = (squares / (count - 1.0).max(1.0)).sqrt();
        let half =
            (figures.len() > 1).then(|| student_quantile(figures.len() - 1) * std / count.sqrt());
        Self {
            mean,
            std,
            low: half.map(|half| mean - half),
            high: half.map(|half| mean + half),
        }
    }

    /// The mean of `figures[i] − others[i]`: the two were made on the same draws, so that what the
    /// draws have in common falls out.
    #[must_use]
    pub fn of_differences(figures: &[f64], others: &[f64]) -> Self {
        let pairs = figures.iter().zip(others);
        Self::of(
            &pairs
                .map(|(figure, other)| figure - other)
                .collect::<Vec<_>>(),
        )
    }
}

/// 95 % interval of a share, 0 to 1, of which `right` of `all` were seen; 0 to 1 if nothing was.
///
/// # Source
/// Wilson 1927, the score interval: it stays inside 0 to 1 however few were seen.
#[must_use]
pub fn wilson(right: usize, all: usize) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    if all == 0 {
        return (0.0, 1.0);
    }
    let (n, share) = (all as f64, right as f64 / all as f64);
    let middle = share + Z * Z / (2.0 * n);
    let reach = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 / (1.0 + Z * Z / n);
    (scale * (middle - reach), scale * (middle + reach))
}

/// The t that Student's distribution exceeds in 2.5 % of cases, by bisection.
fn student_quantile(freedom: usize) -> f64 {
    // The largest, with one degree of freedom, is 12.706.
    let (mut low, mut high) = (0.0, 13.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if central_probability(middle, freedom) < 0.95 {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The probability that |T| < t.
///
/// # Source
/// Abramowitz & Stegun 1964, 26.7.3 and 26.7.4, finite series for whole degrees of freedom.
fn central_probability(t: f64, freedom: usize) -> f64 {
    let angle = (t / (freedom as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let odd = freedom % 2 == 1;
    let mut term = if odd { cosine } else { 1.0 };
    let mut sum = 0.0;
    for step in 1..=freedom / 2 {
        sum += term;
        let (above, below) = if odd {
            (2 * step, 2 * step + 1)
        } else {
            (2 * step - 1, 2 * step)
        };
        term *= cosine * cosine * above as f64 / below as f64;
    }
    if odd {
        std::f64::consts::FRAC_2_PI * (angle + sine * sum)
    } else {
        sine * sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.t.ppf(0.975, n)`.
    /// From statsmodels: proportion_confint(8, 10, method="wilson") = (0.4902, 0.9433).
    #[test]
    fn the_interval_of_a_share_is_that_of_others() {
        let (low, high) = wilson(8, 10);
        assert!((low - 0.4902).abs() < 1e-4 && (high - 0.9433).abs() < 1e-4);
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    #[test]
    fn quantiles_are_students() {
        let known = [
            (1, 12.706_205),
            (2, 4.302_653),
            (3, 3.182_446),
            (4, 2.776_445),
            (9, 2.262_157),
            (10, 2.228_139),
            (29, 2.045_230),
            (100, 1.983_972),
            (9_999, 1.960_201),
        ];
        for (freedom, expected) in known {
            let found = student_quantile(freedom);
            assert!((found - expected).abs() < 1e-5, "{freedom}: {found}");
        }
    }

    #[test]
    fn the_interval_surrounds_the_mean() {
        let mean = Mean::of(&[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(mean.mean, 2.5);
        assert!((mean.std - 1.290_994).abs() < 1e-6);
        // 2.5 ± 3.182446 · 1.290994 / 2
        let (low, high) = (mean.low.unwrap(), mean.high.unwrap());
        assert!((low - 0.445_740).abs() < 1e-5 && (high - 4.554_260).abs() < 1e-5);
    }

    #[test]
    fn one_figure_has_no_interval_and_nothing_has_no_mean() {
        let one = Mean::of(&[0.5]);
        assert_eq!((one.mean, one.std, one.low), (0.5, 0.0, None));
        assert_eq!(Mean::of(&[]).mean, 0.0);
    }

    #[test]
    fn pairing_takes_out_what_the_draws_share() {
        let difference = Mean::of_differences(&[0.9, 0.5, 0.7], &[0.8, 0.4, 0.6]);
        assert!((difference.mean - 0.1).abs() < 1e-12 && difference.std < 1e-12);
    }
}
