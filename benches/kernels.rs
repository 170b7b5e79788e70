//! GFLOP/s of the packed products, beside the CPU's peak and the `gemm` crate in the same run.
//!
//! ```text
//! cargo bench --bench kernels -- [--rounds 30] [--rows 10,32,128,1024]
//! ```
//!
//! The peak is what independent instructions on registers reach on as many threads. Peak, products
//! and `gemm` alternate and the best of the rounds counts: the machine is shared, and nothing makes
//! a kernel faster than it is. A multiply-add counts as two operations in every precision.

use std::time::Instant;

use fewshot::kernels::{Epilogue, PackedWeights, Precision, Scratch, linear};

/// `(inputs, outputs)` of the linear layers of MPNet and MiniLM.
const SHAPES: [(usize, usize); 8] = [
    (768, 2304),
    (768, 768),
    (768, 3072),
    (3072, 768),
    (384, 1152),
    (384, 384),
    (384, 1536),
    (1536, 384),
];

fn main() {
    let (rounds, rows) = arguments();
    for threads in [1, rayon::current_num_threads()] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().expect("a pool of threads");
        pool.install(|| report(threads, rounds, &rows));
    }
}

fn arguments() -> (usize, Vec<usize>) {
    let (mut rounds, mut rows) = (30, vec![10, 32, 128, 1024]);
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let value = words.next().expect("a value behind each option");
        match word.as_str() {
            "--rounds" => rounds = value.parse().expect("--rounds N"),
            "--rows" => {
                let numbers = value.split(',').map(|n| n.parse().expect("--rows N,N"));
                rows = numbers.collect();
            }
            other => panic!("unknown option {other}"),
        }
    }
    (rounds, rows)
}

fn report(threads: usize, rounds: usize, rows: &[usize]) {
    let precisions = [Precision::F32, Precision::Bf16, Precision::Int8];
    let precisions = precisions.map(|precision| (precision, precision.available()));
    println!("\n{threads} thread(s), GFLOP/s, share of the peak in brackets");
    println!(
        "{:>5} {:>5} {:>7} {:>7}  {:<15} {:<15} {:<15}",
        "rows", "in", "out", "gemm", "f32", "bf16", "int8"
    );
    for &rows in rows {
        for (inputs, outputs) in SHAPES {
            let mut layer = Layer::new(rows, inputs, outputs);
            let packed = precisions.map(|(precision, available)| {
                let weights = &layer.weights;
                available.then(|| PackedWeights::pack(weights, outputs, inputs, precision))
            });
            let (mut best_gemm, mut best) = (0.0f64, [(0.0f64, 0.0f64); 3]);
            for _ in 0..rounds {
                best_gemm = best_gemm.max(layer.rate(Layer::gemm));
                for ((best, packed), (precision, _)) in best.iter_mut().zip(&packed).zip(precisions)
                {
                    if let Some(packed) = packed {
                        best.0 = best.0.max(layer.rate(|layer| layer.packed(packed)));
                        best.1 = best.1.max(peak(precision, threads));
                    }
                }
            }
            let cell = |(rate, peak): (f64, f64)| match (rate, peak) {
                (0.0, _) => "-".to_owned(),
                // The peak is that of AVX-512 and not measured without it.
                (_, 0.0) => format!("{rate:.0}"),
                _ => format!("{rate:.0} ({:.0} %)", 100.0 * rate / peak),
            };
            let [f32, bf16, int8] = best.map(cell);
            println!(
                "{rows:>5} {inputs:>5} {outputs:>7} {best_gemm:>7.0}  {f32:<15} {bf16:<15} {int8:<15}"
            );
        }
    }
}

struct Layer {
    rows: usize,
    inputs: usize,
    outputs: usize,
    x: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    out: Vec<f32>,
    scratch: Scratch,
}

impl Layer {
    fn new(rows: usize, inputs: usize, outputs: usize) -> Self {
        // The time does not depend on the values, as long as they are ordinary ones.
        let values = |len: usize| (0..len).map(|at| (at % 251) as f32 * 0.01 - 1.0).collect();
        Self {
            rows,
            inputs,
            outputs,
            x: values(rows * inputs),
            weights: values(outputs * inputs),
            bias: values(outputs),
            out: vec![0.0; rows * outputs],
            scratch: Scratch::default(),
        }
    }

    /// GFLOP/s of `product`, repeated for about two milliseconds.
    fn rate(&mut self, product: impl Fn(&mut Self)) -> f64 {
        let operations = 2.0 * (self.rows * self.inputs * self.outputs) as f64;
        let repeats = (2e8 / operations).ceil();
        let start = Instant::now();
        for _ in 0..repeats as usize {
            product(self);
        }
        repeats * operations / start.elapsed().as_secs_f64() / 1e9
    }

    fn packed(&mut self, weights: &PackedWeights) {
        let epilogue = Epilogue::Bias(&self.bias);
        linear(
            &mut self.out,
            &self.x,
            self.rows,
            weights,
            epilogue,
            &mut self.scratch,
        );
    }

    /// Without a bias, which `gemm` does not add.
    fn gemm(&mut self) {
        let (rows, inputs, outputs) = (self.rows, self.inputs as isize, self.outputs as isize);
        let parallelism = match rayon::current_num_threads() {
            1 => gemm::Parallelism::None,
            _ => gemm::Parallelism::Rayon(0),
        };
        // SAFETY: the three slices have the sizes that their strides walk over.
        unsafe {
            gemm::gemm(
                rows,
                self.outputs,
                self.inputs,
                self.out.as_mut_ptr(),
                1,
                outputs,
                false,
                self.x.as_ptr(),
                1,
                inputs,
                self.weights.as_ptr(),
                inputs,
                1,
                0.0,
                1.0,
                false,
                false,
                false,
                parallelism,
            );
        }
    }
}

/// GFLOP/s that `threads` threads reach together with nothing but the precision's instruction.
#[cfg(target_arch = "x86_64")]
fn peak(precision: Precision, threads: usize) -> f64 {
    const TIMES: usize = 10_000;
    // SAFETY: bf16 is only measured where it is available, the others' features are asked for here.
    let (flops, run): (usize, fn()) = match precision {
        _ if !is_x86_feature_detected!("avx512f") => return 0.0,
        Precision::F32 => (32, || unsafe { peak::f32(TIMES) }),
        Precision::Bf16 => (64, || unsafe { peak::bf16(TIMES) }),
        Precision::Int8 if !is_x86_feature_detected!("avx512vnni") => return 0.0,
        Precision::Int8 => (128, || unsafe { peak::int8(TIMES) }),
    };
    let start = Instant::now();
    rayon::broadcast(|_| run());
    let operations = threads * TIMES * peak::CHAINS * flops;
    operations as f64 / start.elapsed().as_secs_f64() / 1e9
}

#[cfg(not(target_arch = "x86_64"))]
fn peak(_: Precision, _: usize) -> f64 {
    0.0
}

#[cfg(target_arch = "x86_64")]
mod peak {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    /// Independent sums: enough to hide an instruction's latency.
    pub const CHAINS: usize = 24;

    macro_rules! peak {
        ($name:ident, $features:literal, $zero:expr, $dot:expr) => {
            #[target_feature(enable = $features)]
            pub fn $name(times: usize) {
                let dot = $dot;
                let mut sums = [$zero; CHAINS];
                let x = black_box(_mm512_setzero_si512());
                for _ in 0..times {
                    for sum in &mut sums {
                        *sum = dot(*sum, x);
                    }
                }
                black_box(sums);
            }
        };
    }

    peak!(f32, "avx512f", _mm512_setzero_ps(), |sum, x| {
        let x = _mm512_castsi512_ps(x);
        _mm512_fmadd_ps(x, x, sum)
    });
    peak!(bf16, "avx512f,avx512bf16", _mm512_setzero_ps(), |sum, x| {
        // SAFETY: both are 64 bytes of any content.
        let x = unsafe { std::mem::transmute::<__m512i, __m512bh>(x) };
        _mm512_dpbf16_ps(sum, x, x)
    });
    peak!(
        int8,
        "avx512f,avx512vnni",
        _mm512_setzero_si512(),
        |sum, x| { _mm512_dpbusd_epi32(sum, x, x) }
    );
}
