//! Texts per second of the encoder in each precision, beside stock candle-transformers on the same
//! tokens.
//!
//! ```text
//! cargo bench --bench encoder -- --texts texts.txt [--model ID|DIR] [--runs 5]
//! ```
//!
//! `--texts` is plain text, a text a line. The model must be in the cache, or be a folder. Stock
//! candle has no MPNet and is run as a BERT of the same shape with constant weights, in batches of
//! 32 sorted by length: its time does not depend on the values. Rounds alternate; the median of
//! the rounds' ratios is what counts on a machine that is shared.
//!
//! With `--serve` and `--precision` it waits for lines on standard input instead, for
//! `benches/peers/encode.py`, which measures other encoders in turn with it.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use fewshot::encoder::{Encoder, LayerMix, Precision};
use fewshot::hub::{HubOptions, ModelFiles, resolve};

/// Texts of one of stock candle's batches, and of a warm-up.
const BATCH: usize = 32;
/// Texts that are also embedded alone, for the time that one takes.
const ALONE: usize = 20;
const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

struct Args {
    texts: PathBuf,
    model: String,
    runs: usize,
    precision: Precision,
    serve: bool,
}

fn main() {
    let args = arguments();
    let text = std::fs::read_to_string(&args.texts).expect("--texts is a readable file");
    let texts: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let options = HubOptions {
        offline: true,
        ..HubOptions::from_env()
    };
    let files = resolve(&args.model, &options).expect("the model is in the cache or a folder");
    if args.serve {
        serve(&load(&files, args.precision), &texts);
    } else {
        compare(&files, &texts, args.runs);
    }
}

fn load(files: &ModelFiles, precision: Precision) -> Encoder {
    Encoder::load_in(files, precision).expect("a sound model and a CPU that has the precision")
}

/// Answers `run` with the seconds for all texts and for each of the first ones alone; any other
/// line names a file for the vectors.
fn serve(encoder: &Encoder, texts: &[&str]) {
    for line in std::io::stdin().lines() {
        match line.expect("a line").as_str() {
            "run" => {
                let mut times = vec![seconds(|| encode(encoder, texts))];
                let alone = texts.iter().take(ALONE);
                times.extend(alone.map(|text| seconds(|| encode(encoder, &[text]))));
                let times: Vec<String> = times.iter().map(f64::to_string).collect();
                println!("{}", times.join(" "));
            }
            path => {
                let vectors = encoder.encode(texts, &LayerMix::Last).expect("vectors");
                let values = vectors.vectors.values().iter();
                let bytes: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
                std::fs::write(path, bytes).expect("written");
                println!("done");
            }
        }
        std::io::stdout().flush().expect("flushed");
    }
}

fn encode(encoder: &Encoder, texts: &[&str]) {
    encoder.encode(texts, &LayerMix::Last).expect("vectors");
}

fn compare(files: &ModelFiles, texts: &[&str], runs: usize) {
    let precisions = PRECISIONS.into_iter().filter(|one| one.available());
    let encoders: Vec<Encoder> = precisions.map(|one| load(files, one)).collect();
    let stock = Stock::new(files, texts);
    let mut rounds = Vec::new();
    for encoder in &encoders {
        encode(encoder, &texts[..texts.len().min(BATCH)]);
    }
    for _ in 0..runs {
        let ours = encoders.iter().map(|one| seconds(|| encode(one, texts)));
        let mut times: Vec<f64> = ours.collect();
        times.push(seconds(|| stock.run()));
        rounds.push(times);
    }
    let tokens = stock.tokens_per_text();
    println!(
        "{} texts, {tokens:.1} tokens each, {runs} runs, medians",
        texts.len()
    );
    let names = encoders
        .iter()
        .map(|one| format!("fewshot {}", one.precision().name()));
    for (at, name) in names.chain(["stock candle f32".to_owned()]).enumerate() {
        let rate = texts.len() as f64 / median(rounds.iter().map(|times| times[at]));
        let ratio = median(rounds.iter().map(|times| times[encoders.len()] / times[at]));
        println!("{name:16} {rate:7.1} texts/s, {ratio:5.2} of stock");
    }
}

fn arguments() -> Args {
    let mut args = Args {
        texts: PathBuf::new(),
        model: "sentence-transformers/all-mpnet-base-v2".to_owned(),
        runs: 5,
        precision: Precision::automatic(),
        serve: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--texts" => args.texts = words.next().expect("--texts FILE").into(),
            "--model" => args.model = words.next().expect("--model ID"),
            "--runs" => args.runs = words.next().and_then(|n| n.parse().ok()).expect("--runs N"),
            "--precision" => {
                let name = words.next().expect("--precision KIND");
                let named = PRECISIONS.into_iter().find(|one| one.name() == name);
                args.precision = named.expect("f32, bf16 or int8");
            }
            "--serve" => args.serve = true,
            // cargo adds it.
            "--bench" => {}
            other => panic!("unknown option {other}"),
        }
    }
    args
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// candle-transformers' BERT and the same tokens in padded batches.
struct Stock {
    model: BertModel,
    batches: Vec<(Tensor, Tensor, Tensor)>,
    tokens: usize,
    texts: usize,
}

impl Stock {
    fn new(files: &ModelFiles, texts: &[&str]) -> Self {
        let json = std::fs::read_to_string(files.dir.join("config.json")).expect("config.json");
        let json: serde_json::Value = serde_json::from_str(&json).expect("config.json is JSON");
        let number = |name: &str| json[name].as_u64().expect("a number") as usize;
        let config = Config {
            vocab_size: number("vocab_size"),
            hidden_size: number("hidden_size"),
            num_hidden_layers: number("num_hidden_layers"),
            num_attention_heads: number("num_attention_heads"),
            intermediate_size: number("intermediate_size"),
            max_position_embeddings: number("max_position_embeddings"),
            ..Config::default()
        };
        let weights = VarBuilder::zeros(DType::F32, &Device::Cpu);
        let model = BertModel::load(weights, &config).expect("a BERT of this shape");
        let mut ids = tokenise(files, texts);
        ids.sort_by_key(Vec::len);
        let tokens = ids.iter().map(Vec::len).sum();
        Self {
            model,
            batches: ids.chunks(BATCH).map(padded).collect(),
            tokens,
            texts: texts.len(),
        }
    }

    fn run(&self) {
        for (ids, types, mask) in &self.batches {
            self.model
                .forward(ids, types, Some(mask))
                .expect("a forward pass");
        }
    }

    fn tokens_per_text(&self) -> f64 {
        self.tokens as f64 / self.texts as f64
    }
}

fn tokenise(files: &ModelFiles, texts: &[&str]) -> Vec<Vec<u32>> {
    let path = files.dir.join("tokenizer.json");
    let mut tokenizer = tokenizers::Tokenizer::from_file(path).expect("tokenizer.json");
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).expect("no truncation");
    let encodings = tokenizer
        .encode_batch(texts.to_vec(), true)
        .expect("tokens");
    encodings
        .iter()
        .map(|encoding| encoding.get_ids().to_vec())
        .collect()
}

fn padded(batch: &[Vec<u32>]) -> (Tensor, Tensor, Tensor) {
    let longest = batch.iter().map(Vec::len).max().unwrap_or(0);
    let pad = |ids: &Vec<u32>| {
        ids.iter()
            .copied()
            .chain(std::iter::repeat(0))
            .take(longest)
            .collect::<Vec<_>>()
    };
    let mask = |ids: &Vec<u32>| {
        (0..longest)
            .map(|at| u32::from(at < ids.len()))
            .collect::<Vec<_>>()
    };
    let tensor = |rows: Vec<u32>| {
        Tensor::from_vec(rows, (batch.len(), longest), &Device::Cpu).expect("a full matrix")
    };
    let ids = tensor(batch.iter().flat_map(pad).collect());
    let types = ids.zeros_like().expect("zeros");
    (ids, types, tensor(batch.iter().flat_map(mask).collect()))
}
