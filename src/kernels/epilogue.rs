//! What happens to the sums of a product before they are stored.

/// The last step of a linear layer.
#[derive(Debug, Clone, Copy)]
pub enum Epilogue<'a> {
    /// `sum + bias`.
    Bias(&'a [f32]),
    /// `gelu(sum + bias)`, the GELU with erf.
    BiasGelu(&'a [f32]),
    /// `sum + bias + residual`.
    BiasResidual {
        /// One per output.
        bias: &'a [f32],
        /// `[rows, outputs]`.
        residual: &'a [f32],
    },
}

impl<'a> Epilogue<'a> {
    pub(super) fn bias(&self) -> &'a [f32] {
        match *self {
            Self::Bias(bias) | Self::BiasGelu(bias) | Self::BiasResidual { bias, .. } => bias,
        }
    }

    pub(super) fn check(&self, rows: usize, outputs: usize) {
        assert_eq!(self.bias().len(), outputs, "bias of a linear layer");
        if let Self::BiasResidual { residual, .. } = self {
            assert_eq!(residual.len(), rows * outputs, "residual of a linear layer");
        }
    }

    /// Finishes a whole row.
    pub(super) fn apply(&self, sums: &mut [f32], row: usize) {
        match *self {
            Self::Bias(bias) => add(sums, bias),
            Self::BiasGelu(bias) => add_gelu(sums, bias),
            Self::BiasResidual { bias, residual } => {
                add(sums, bias);
                add(sums, &residual[row * bias.len()..][..bias.len()]);
            }
        }
    }
}

fn add(sums: &mut [f32], terms: &[f32]) {
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum += term;
    }
}

#[multiversion::multiversion(targets("x86_64+avx2+fma"))]
fn add_gelu(sums: &mut [f32], bias: &[f32]) {
    for (sum, bias) in sums.iter_mut().zip(bias) {
        *sum = gelu(*sum + bias);
    }
}

/// erf(x) ≈ x · P(x²) / Q(x²) for |x| ≤ 4, highest power first: the approximation of Eigen and XLA.
pub(super) const ERF_P: [f32; 7] = [
    -2.726_142_3e-10,
    2.770_681_4e-8,
    -2.101_024e-6,
    -5.692_506_4e-5,
    -7.349_906_3e-4,
    -2.954_6e-3,
    -1.609_603_3e-2,
];
/// See [`ERF_P`].
pub(super) const ERF_Q: [f32; 5] = [
    -1.456_607_2e-5,
    -2.133_740_6e-4,
    -1.682_827e-3,
    -7.373_329_2e-3,
    -1.426_473_9e-2,
];

/// `x · Φ(x)`, off by at most 1e-6, and by 3e-7 · |x| where that is more.
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    x * normal_share(x)
}

/// `Φ(x)`: the share of the standard normal distribution below `x`.
#[inline(always)]
pub(crate) fn normal_share(x: f32) -> f32 {
    let t = (x * std::f32::consts::FRAC_1_SQRT_2).clamp(-4.0, 4.0);
    let square = t * t;
    let horner = |powers: &[f32]| powers.iter().fold(0.0, |sum, power| sum * square + power);
    0.5 + 0.5 * (t * horner(&ERF_P) / horner(&ERF_Q))
}
