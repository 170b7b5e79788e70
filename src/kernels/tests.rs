//! Every kernel against products in f64, and the fast ones against the portable ones.

use half::bf16;
use proptest::prelude::*;

use super::*;
use crate::random::Random;

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

/// Cases of each property; Miri takes minutes for a large one.
const CASES: u32 = if cfg!(miri) { 2 } else { 48 };
/// What the shapes of the property that Miri can check are divided by.
const LESS: usize = if cfg!(miri) { 8 } else { 1 };

/// A layer with random numbers.
struct Case {
    rows: usize,
    inputs: usize,
    outputs: usize,
    x: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    residual: Vec<f32>,
}

impl Case {
    fn new(rows: usize, inputs: usize, outputs: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut draw = |len: usize| -> Vec<f32> { (0..len).map(|_| random.normal()).collect() };
        Self {
            rows,
            inputs,
            outputs,
            x: draw(rows * inputs),
            weights: draw(outputs * inputs),
            bias: draw(outputs),
            residual: draw(rows * outputs),
        }
    }

    fn epilogues(&self) -> [Epilogue<'_>; 3] {
        let (bias, residual) = (&self.bias, &self.residual);
        [
            Epilogue::Bias(bias),
            Epilogue::BiasGelu(bias),
            Epilogue::BiasResidual { bias, residual },
        ]
    }

    fn linear(&self, weights: &PackedWeights, epilogue: Epilogue<'_>) -> Vec<f32> {
        let mut out = vec![f32::NAN; self.rows * self.outputs];
        let scratch = &mut Scratch::default();
        linear(&mut out, &self.x, self.rows, weights, epilogue, scratch);
        out
    }

    /// By one of [`kernels`].
    fn by(&self, run: Run, weights: &PackedWeights, epilogue: Epilogue<'_>) -> Vec<f32> {
        let mut out = vec![f32::NAN; self.rows * self.outputs];
        if self.rows == 0 {
            // As `linear` does: no rows have no plan.
            return out;
        }
        let mut scratch = Scratch::default();
        let (panels, precision, columns) = match &weights.kind {
            Kind::Plain(weights) => {
                plain(&mut out, &self.x, weights, self.inputs, epilogue);
                return out;
            }
            Kind::F32(panels) => (panels, Precision::F32, None),
            Kind::Bf16(panels) => (panels, Precision::Bf16, None),
            Kind::Int8(panels, columns) => (panels, Precision::Int8, Some(columns)),
        };
        match columns {
            Some(columns) => scratch.take_int8(&self.x, self.inputs, panels.steps(), columns),
            None if precision == Precision::Bf16 => {
                scratch.take_bf16(&self.x, self.inputs, panels.steps());
            }
            None => scratch.words = self.x.iter().map(|x| x.to_bits()).collect(),
        }
        let product = Product {
            plan: Plan::new(self.rows, self.outputs, panels),
            panels,
            words: &scratch.words,
            quantised: columns.map(|columns| Quantised {
                rows: &scratch.groups,
                columns,
            }),
            epilogue,
        };
        run(&product, &mut out, precision);
        out
    }

    /// Sums in f64, and the sum of magnitudes, on which the bound of a rounding error rests.
    fn exact(&self, row: usize, output: usize) -> (f64, f64) {
        let x = &self.x[row * self.inputs..][..self.inputs];
        let w = &self.weights[output * self.inputs..][..self.inputs];
        let products = x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w));
        products.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()))
    }

    /// `epilogue` of a sum.
    fn finished(&self, sum: f64, epilogue: Epilogue<'_>, row: usize, output: usize) -> f64 {
        let sum = sum + f64::from(self.bias[output]);
        match epilogue {
            Epilogue::Bias(_) => sum,
            Epilogue::BiasGelu(_) => sum * 0.5 * erfc(-sum * std::f64::consts::FRAC_1_SQRT_2),
            Epilogue::BiasResidual { residual, .. } => {
                sum + f64::from(residual[row * self.outputs + output])
            }
        }
    }

    fn check(&self, precision: Precision, tolerance: impl Fn(usize, usize) -> f64) {
        let packed = PackedWeights::pack(&self.weights, self.outputs, self.inputs, precision);
        for epilogue in self.epilogues() {
            let results: Vec<_> = kernels(precision)
                .into_iter()
                .map(|(name, run)| (name, self.by(run, &packed, epilogue)))
                .chain([("linear", self.linear(&packed, epilogue))])
                .collect();
            for at in 0..self.rows * self.outputs {
                let (row, output) = (at / self.outputs, at % self.outputs);
                let (sum, size) = self.exact(row, output);
                let expected = self.finished(sum, epilogue, row, output);
                // GELU's slope reaches 1.13.
                let allowed = 1.2 * tolerance(row, output) + 1e-6 * (size + 4.0);
                for (kernel, out) in &results {
                    let value = out[at];
                    let error = (f64::from(value) - expected).abs();
                    assert!(
                        error <= allowed,
                        "{kernel} {precision:?} [{row}, {output}]: {value} for {expected}, allowed {allowed}"
                    );
                }
            }
        }
    }

    /// Each factor is off by half a unit in the 8th place.
    fn bf16_tolerance(&self, row: usize, output: usize) -> f64 {
        2.01 / 256.0 * self.exact(row, output).1
    }

    /// Each factor is off by half a step of its scale, each row's zero point by another half.
    fn int8_tolerance(&self, row: usize, output: usize) -> f64 {
        let x = &self.x[row * self.inputs..][..self.inputs];
        let w = &self.weights[output * self.inputs..][..self.inputs];
        let spread = |values: &[f32]| {
            let low = values.iter().fold(0.0f32, |low, &v| low.min(v));
            let high = values.iter().fold(0.0f32, |high, &v| high.max(v));
            (f64::from(low), f64::from(high))
        };
        let of_group = |(x, w): (&[f32], &[f32])| {
            let (low, high) = spread(x);
            let x_step = (high - low) / 255.0;
            let (low, high) = spread(w);
            let w_step = high.max(-low) / 127.0;
            let error = |x: f32, w: f32| {
                x_step * f64::from(w.abs()) + 0.5 * w_step * (f64::from(x.abs()) + x_step)
            };
            x.iter().zip(w).map(|(&x, &w)| error(x, w)).sum::<f64>()
        };
        1.01 * x
            .chunks(GROUP)
            .zip(w.chunks(GROUP))
            .map(of_group)
            .sum::<f64>()
    }
}

/// 1 - erf, by erf's series near 0 and a continued fraction far from it.
fn erfc(x: f64) -> f64 {
    let scale = (-x * x).exp() / std::f64::consts::PI.sqrt();
    if x < -2.5 {
        return 2.0 - erfc(-x);
    }
    if x > 2.5 {
        let fraction = (1..=60)
            .rev()
            .fold(x, |rest, n| x + f64::from(n) / 2.0 / rest);
        return scale / fraction;
    }
    let terms = (0..120).scan(2.0 * x, |term, n| {
        let now = *term;
        *term *= 2.0 * x * x / f64::from(2 * n + 3);
        Some(now)
    });
    1.0 - scale * terms.sum::<f64>()
}

type Run = fn(&Product<'_>, &mut [f32], Precision);

/// Those that run on this CPU, the slow one first.
fn kernels(precision: Precision) -> Vec<(&'static str, Run)> {
    let mut kernels: Vec<(_, Run)> = vec![("portable", portable::run)];
    #[cfg(target_arch = "x86_64")]
    {
        if avx2::available(precision) {
            kernels.push(("AVX2", avx2::run));
        }
        if avx512::available(precision) {
            kernels.push(("AVX-512", avx512::run));
        }
    }
    #[cfg(target_arch = "aarch64")]
    if neon::available(precision) {
        kernels.push(("NEON", neon::run));
    }
    kernels
}

#[allow(clippy::print_stdout)] // A test may say what it cannot test.
fn say_what_is_tested() {
    for precision in PRECISIONS {
        let names = kernels(precision).into_iter().map(|(name, _)| name);
        let names = names.collect::<Vec<_>>().join(", ");
        println!("{precision:?} on this CPU: {names}");
    }
}

#[test]
fn shapes_at_the_edges_of_tiles_and_panels() {
    say_what_is_tested();
    for rows in [0, 1, 7, 8, 9, 17] {
        for inputs in [1, 2, 3, 4, 5, 31, 64] {
            for outputs in [1, 15, 16, 17, 47, 48, 49, 97] {
                let case = Case::new(rows, inputs, outputs, 7);
                case.check(Precision::F32, |_, _| 0.0);
                case.check(Precision::Bf16, |row, output| {
                    case.bf16_tolerance(row, output)
                });
                case.check(Precision::Int8, |row, output| {
                    case.int8_tolerance(row, output)
                });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn products_of_any_shape(rows in 0usize..70, inputs in 1usize..500, outputs in 1usize..130, seed in any::<u64>()) {
        let case = Case::new(rows, inputs, outputs, seed);
        case.check(Precision::F32, |_, _| 0.0);
        case.check(Precision::Bf16, |row, output| case.bf16_tolerance(row, output));
        case.check(Precision::Int8, |row, output| case.int8_tolerance(row, output));
    }

    /// With scales of 1, int8 gives integers, and they are the right ones.
    #[test]
    fn integers_are_exact(rows in 1usize..20, inputs in 2usize..300 / LESS, outputs in 1usize..100 / LESS, seed in any::<u64>()) {
        // A group needs two inputs for its range.
        let inputs = inputs + usize::from(inputs % GROUP == 1);
        let mut case = Case::new(rows, inputs, outputs, seed);
        let mut random = Random::new(seed);
        let mut draw = |low: i32, count: usize| low as f32 + random.below(count) as f32;
        case.x.iter_mut().for_each(|x| *x = draw(-100, 256));
        case.weights.iter_mut().for_each(|w| *w = draw(-127, 255));
        for group in case.x.chunks_exact_mut(inputs).flat_map(|row| row.chunks_mut(GROUP)) {
            (group[0], group[1]) = (-100.0, 155.0);
        }
        for group in case.weights.chunks_exact_mut(inputs).flat_map(|row| row.chunks_mut(GROUP)) {
            group[0] = 127.0;
        }
        let nothing = vec![0.0; outputs];
        let packed = PackedWeights::pack(&case.weights, outputs, inputs, Precision::Int8);
        for (kernel, run) in kernels(Precision::Int8) {
            let out = case.by(run, &packed, Epilogue::Bias(&nothing));
            for (at, &value) in out.iter().enumerate() {
                let exact = case.exact(at / outputs, at % outputs).0;
                prop_assert_eq!(f64::from(value), exact, "{}", kernel);
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_the_others(rows in 2usize..40, seed in any::<u64>()) {
        let case = Case::new(rows, 70, 61, seed);
        for precision in PRECISIONS {
            if !precision.has_kernel() {
                continue;
            }
            let packed = PackedWeights::pack(&case.weights, 61, 70, precision);
            let together = case.linear(&packed, Epilogue::BiasGelu(&case.bias));
            let last = Case { rows: 1, x: case.x[(rows - 1) * 70..].to_vec(), ..Case::new(0, 70, 61, 0) };
            let alone = last.linear(&packed, Epilogue::BiasGelu(&case.bias));
            prop_assert_eq!(&alone[..], &together[(rows - 1) * 61..]);
        }
    }

    #[test]
    fn bf16_rounds_as_half_does(bits in any::<u32>()) {
        let value = f32::from_bits(bits);
        let ours = bf16::from_bits((bf16_bits(value) >> 16) as u16);
        prop_assert_eq!(ours.to_bits(), bf16::from_f32(value).to_bits());
    }
}

/// One channel a hundred times the others takes most of its group's range, not of the row's.
#[test]
fn an_outlier_channel_spoils_its_own_group_only() {
    let (rows, inputs, outputs) = (6, 4 * GROUP, 64);
    let mut case = Case::new(rows, inputs, outputs, 3);
    for row in case.x.chunks_exact_mut(inputs) {
        row[5] *= 100.0;
    }
    // What the outlier itself adds is not the point.
    for row in case.weights.chunks_exact_mut(inputs) {
        row[5] = 0.0;
    }
    let error = |case: &Case| -> f64 {
        let packed = PackedWeights::pack(&case.weights, outputs, inputs, Precision::Int8);
        let out = case.linear(&packed, Epilogue::Bias(&case.bias));
        let wrong = |at: usize| {
            let (row, output) = (at / outputs, at % outputs);
            let exact = case.exact(row, output).0 + f64::from(case.bias[output]);
            (f64::from(out[at]) - exact).powi(2)
        };
        (0..out.len()).map(wrong).sum::<f64>().sqrt()
    };
    let with_outlier = error(&case);
    for row in case.x.chunks_exact_mut(inputs) {
        // The same in all four groups, as if they were one.
        (1..4).for_each(|group| row[5 + group * GROUP] = row[5]);
    }
    for row in case.weights.chunks_exact_mut(inputs) {
        (1..4).for_each(|group| row[5 + group * GROUP] = 0.0);
    }
    let in_each_group = error(&case);
    assert!(
        with_outlier < 0.6 * in_each_group,
        "{with_outlier} against {in_each_group}"
    );
}

#[test]
fn values_that_are_not_finite_are_not_hidden() {
    for precision in PRECISIONS {
        for poison in [f32::NAN, f32::INFINITY] {
            let mut case = Case::new(3, 40, 50, 1);
            case.x[40 + 11] = poison;
            let packed = PackedWeights::pack(&case.weights, 50, 40, precision);
            for epilogue in case.epilogues() {
                let out = case.linear(&packed, epilogue);
                let sick = |row: usize| out[row * 50..][..50].iter().any(|v| !v.is_finite());
                assert_eq!([0, 1, 2].map(sick), [false, true, false], "{precision:?}");
            }
            case.x[40 + 11] = 1.0;
            case.weights[7 * 40 + 11] = poison;
            let packed = PackedWeights::pack(&case.weights, 50, 40, precision);
            for epilogue in case.epilogues() {
                let out = case.linear(&packed, epilogue);
                let sick = |row: usize| !out[row * 50 + 7].is_finite();
                // A GELU makes 0 of −∞.
                let shown = [0, 1, 2].map(sick).contains(&true);
                assert!(shown && out[8].is_finite(), "{precision:?}");
            }
        }
    }
}

#[test]
fn rows_of_zeros_and_weights_of_zeros_give_the_bias() {
    for precision in PRECISIONS {
        let mut case = Case::new(2, 9, 5, 1);
        case.x[..9].fill(0.0);
        case.weights[..9].fill(0.0);
        let packed = PackedWeights::pack(&case.weights, 5, 9, precision);
        let out = case.linear(&packed, Epilogue::Bias(&case.bias));
        assert_eq!(out[..5], case.bias, "{precision:?}");
        assert_eq!(out[5], case.bias[0], "{precision:?}");
    }
}

#[test]
fn packed_weights_take_what_their_precision_says() {
    let weights = vec![0.5; 96 * 64];
    let bytes = |precision| PackedWeights::pack(&weights, 96, 64, precision).bytes();
    assert_eq!(bytes(Precision::F32), 96 * 64 * 4);
    assert_eq!(bytes(Precision::Bf16), 96 * 64 * 2);
    assert_eq!(bytes(Precision::Int8), 96 * 64 + 4 * 2 * 96);
}

/// The kernels' GELU, through a layer of one weight.
#[test]
fn gelu_is_within_1e_6() {
    let x: Vec<f32> = (-1200..=1200).map(|step| step as f32 * 0.005).collect();
    let (rows, one, none) = (x.len(), [1.0], [0.0]);
    let case = Case {
        x,
        bias: vec![0.0],
        ..Case::new(rows, 1, 1, 0)
    };
    let packed = PackedWeights::pack(&one, 1, 1, Precision::F32);
    for (kernel, run) in kernels(Precision::F32) {
        let out = case.by(run, &packed, Epilogue::BiasGelu(&none));
        for (row, &x) in case.x.iter().enumerate() {
            let exact = case.finished(f64::from(x), Epilogue::BiasGelu(&none), row, 0);
            let error = (f64::from(out[row]) - exact).abs();
            assert!(error <= 1e-6, "{kernel}: gelu({x}) is off by {error}");
        }
    }
}

proptest! {
    #[test]
    fn parts_are_packed_as_the_matrix_that_they_make(
        inputs in 1usize..450,
        outputs in prop::collection::vec(0usize..70, 1..4),
        seed in any::<u64>(),
    ) {
        let all: usize = outputs.iter().sum();
        prop_assume!(all > 0);
        let case = Case::new(3, inputs, all, seed);
        let mut rest = &case.weights[..];
        let mut part = |&rows: &usize| rest.split_off(..rows * inputs).expect("so many");
        let parts: Vec<&[f32]> = outputs.iter().map(&mut part).collect();
        for precision in PRECISIONS {
            let whole = PackedWeights::pack(&case.weights, all, inputs, precision);
            let parts = PackedWeights::pack_parts(&parts, inputs, precision);
            let bias = Epilogue::Bias(&case.bias);
            prop_assert_eq!(parts.outputs(), all);
            prop_assert_eq!(case.linear(&whole, bias), case.linear(&parts, bias));
        }
    }

    /// The transpose packed in place gives the bits of a transposed matrix packed as it is.
    #[test]
    fn transposed_weights_are_packed_as_their_transpose(
        rows in 1usize..20,
        inputs in 1usize..70,
        outputs in 1usize..120,
        seed in any::<u64>(),
    ) {
        let case = Case::new(rows, inputs, outputs, seed);
        let turned: Vec<f32> = (0..inputs * outputs)
            .map(|at| case.weights[at % outputs * inputs + at / outputs])
            .collect();
        for precision in [Precision::F32, Precision::Bf16] {
            let straight = PackedWeights::pack(&case.weights, outputs, inputs, precision);
            let transposed = PackedWeights::pack_transposed(&turned, outputs, inputs, precision);
            let bias = Epilogue::Bias(&case.bias);
            prop_assert_eq!(case.linear(&straight, bias), case.linear(&transposed, bias));
        }
    }
}
