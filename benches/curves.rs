//! Curves of the encoder's speed: over threads, texts at once, and tokens a text.
//!
//! ```text
//! cargo bench --bench curves -- [--model ID|DIR] [--precision f32|bf16|int8] [--runs 5]
//! ```
//!
//! Texts are made of common words that are one token each, all different. GFLOP/s count a
//! multiply-add twice, over the linear layers (an inner width of four widths is assumed) and the
//! attention; `cargo bench --bench kernels` has the peak beside which they are to be seen. The median
//! of the runs counts.

use std::time::Instant;

use fewshot::encoder::{Encoder, LayerMix, Precision};
use fewshot::hub::{HubOptions, resolve};
use fewshot::random::Random;

const WORDS: [&str; 32] = [
    "the", "of", "and", "to", "in", "for", "is", "on", "that", "by", "this", "with", "you", "it",
    "not", "or", "be", "are", "from", "at", "as", "your", "all", "have", "new", "more", "an",
    "was", "we", "will", "home", "can",
];
/// Special tokens that every text gets.
const SPECIAL: usize = 2;
/// Tokens of a text where they are not what is varied, as in ordinary sentences.
const TOKENS: usize = 24;

struct Args {
    model: String,
    precision: Precision,
    runs: usize,
}

fn main() {
    let args = arguments();
    let options = HubOptions {
        offline: true,
        ..HubOptions::from_env()
    };
    let files = resolve(&args.model, &options).expect("the model is in the cache or a folder");
    let encoder = Encoder::load_in(&files, args.precision).expect("a sound model");
    let cores = rayon::current_num_threads();
    println!("{}, {}, {cores} cores", args.model, args.precision.name());
    let mut bench = Bench {
        encoder,
        runs: args.runs,
        random: Random::new(42),
    };
    println!("\n{:>8} {:>10} {:>9}", "threads", "texts/s", "GFLOP/s");
    for threads in 1..=cores {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.expect("a pool of threads");
        pool.install(|| bench.row(threads, 256, TOKENS));
    }
    println!("\n{:>8} {:>10} {:>9}", "at once", "texts/s", "GFLOP/s");
    for texts in [1, 2, 4, 8, 16, 32, 64, 128, 256, 1024] {
        bench.row(texts, texts, TOKENS);
    }
    println!("\n{:>8} {:>10} {:>9}", "tokens", "texts/s", "GFLOP/s");
    let longest = bench.encoder.max_tokens();
    for tokens in [5, 10, 24, 48, 96, 192, 384, 512] {
        if tokens <= longest {
            bench.row(tokens, (8192 / tokens).clamp(16, 256), tokens);
        }
    }
}

struct Bench {
    encoder: Encoder,
    runs: usize,
    random: Random,
}

impl Bench {
    /// One line of a table, headed by `name`.
    fn row(&mut self, name: usize, texts: usize, tokens: usize) {
        let mut seconds: Vec<f64> = (0..self.runs)
            .map(|_| self.seconds(texts, tokens))
            .collect();
        seconds.sort_by(f64::total_cmp);
        let rate = texts as f64 / seconds[seconds.len() / 2];
        let flops = rate * self.flops(tokens) / 1e9;
        println!("{name:>8} {rate:>10.1} {flops:>9.0}");
    }

    fn seconds(&mut self, texts: usize, tokens: usize) -> f64 {
        let texts: Vec<String> = (0..texts).map(|_| self.text(tokens - SPECIAL)).collect();
        let start = Instant::now();
        let encoded = self.encoder.encode(&texts, &LayerMix::Last);
        encoded.expect("vectors");
        start.elapsed().as_secs_f64()
    }

    fn text(&mut self, words: usize) -> String {
        let word = |_| WORDS[self.random.below(WORDS.len())];
        (0..words).map(word).collect::<Vec<_>>().join(" ")
    }

    fn flops(&self, tokens: usize) -> f64 {
        let (width, tokens) = (self.encoder.width() as f64, tokens as f64);
        let of_token = 2.0 * 12.0 * width * width + 4.0 * tokens * width;
        of_token * tokens * self.encoder.layers() as f64
    }
}

fn arguments() -> Args {
    let mut args = Args {
        model: "sentence-transformers/all-mpnet-base-v2".to_owned(),
        precision: Precision::automatic(),
        runs: 5,
    };
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let value = words.next().expect("a value behind each option");
        match word.as_str() {
            "--model" => args.model = value,
            "--runs" => args.runs = value.parse().expect("--runs N"),
            "--precision" => {
                let all = [Precision::F32, Precision::Bf16, Precision::Int8];
                let named = all.into_iter().find(|precision| precision.name() == value);
                args.precision = named.expect("--precision f32, bf16 or int8");
            }
            other => panic!("unknown option {other}"),
        }
    }
    args
}
