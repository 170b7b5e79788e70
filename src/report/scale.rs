//! Where values are on a chart, and the round numbers on its axes.

/// Most numbers on an axis.
const TICKS: f64 = 6.0;

/// One axis: values from `low` to `high` to pixels from `start` to `end`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Axis {
    /// An axis over values of which `low` is not above `high`.
    pub fn new(low: f64, high: f64, start: f64, end: f64) -> Self {
        Self {
            low,
            high: high.max(low + f64::EPSILON),
            start,
            end,
        }
    }

    /// An axis around values between 0 and 1, to the next quarter of a step between round numbers;
    /// values that are no numbers do not count. Without any it goes from 0 to 1.
    pub fn around(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Self {
        let (mut low, mut high) = (1.0_f64, 0.0_f64);
        for value in values.filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let step = round_step(high - low, 0.01) / 4.0;
        let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        Self::new(low, high.max(low + step), start, end)
    }

    /// The pixel of a value; that of the nearer end for values outside, that of `low` for NaN.
    pub fn pixel(&self, value: f64) -> f64 {
        let part = (value - self.low) / (self.high - self.low);
        let part = if part.is_nan() { 0.0 } else { part };
        self.start + (self.end - self.start) * part.clamp(0.0, 1.0)
    }

    /// Round numbers along the axis, `least` apart at least.
    pub fn ticks(&self, least: f64) -> Vec<f64> {
        let step = round_step(self.high - self.low, least);
        let (first, last) = (self.low / step, self.high / step);
        // Rounding must not lose the ends.
        let (first, last) = ((first - 1e-6).ceil() as i64, (last + 1e-6).floor() as i64);
        (first..=last).map(|at| at as f64 * step).collect()
    }
}

/// The least of 1, 2, 5, 10, … times `least` that parts a range by few ticks.
fn round_step(range: f64, least: f64) -> f64 {
    let mut unit = least;
    // Ranges are of labels or of shares: a few powers of ten.
    for _ in 0..12 {
        for step in [unit, 2.0 * unit, 5.0 * unit] {
            if range / step < TICKS {
                return step;
            }
        }
        unit *= 10.0;
    }
    unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_few_round_numbers() {
        let labels = |budget: f64| Axis::new(0.0, budget, 0.0, 100.0).ticks(1.0);
        assert_eq!(labels(60.0), [0.0, 20.0, 40.0, 60.0]);
        assert_eq!(labels(5.0), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(labels(1.0), [0.0, 1.0]);
        assert_eq!(labels(250.0), [0.0, 50.0, 100.0, 150.0, 200.0, 250.0]);
        let shares = Axis::around([0.43, f64::NAN, 0.78].into_iter(), 0.0, 100.0);
        let percent: Vec<i64> = shares
            .ticks(0.01)
            .iter()
            .map(|s| (100.0 * s).round() as i64)
            .collect();
        assert_eq!(percent, [50, 60, 70, 80]);
        assert!(shares.pixel(0.43) < 10.0 && shares.pixel(0.78) > 90.0);
    }

    #[test]
    fn every_value_has_a_pixel() {
        let axis = Axis::around([0.2, 0.2].into_iter(), 100.0, 0.0);
        for value in [f64::NAN, f64::INFINITY, -3.0, 0.2, 9.0] {
            assert!((0.0..=100.0).contains(&axis.pixel(value)), "{value}");
        }
        let empty = Axis::around(std::iter::empty(), 0.0, 10.0);
        assert_eq!(empty.pixel(0.5), 5.0);
        assert_eq!(Axis::new(0.0, 0.0, 0.0, 10.0).ticks(1.0), [0.0]);
    }
}
