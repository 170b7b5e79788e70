//! Texts per second of the encoder, beside stock candle-transformers on the same tokens.
//!
//! ```text
//! cargo bench --bench encoder -- --texts texts.txt [--model ID|DIR] [--runs 5]
//! ```
//!
//! `--texts` is plain text, a text a line. The model must be in the cache, or be a folder. Stock
//! candle has no MPNet and is run as a BERT of the same shape with constant weights, in batches of
//! 32 sorted by length: its time does not depend on the values. Rounds alternate; the median of
//! the rounds' ratios is what counts on a machine that is shared.

use std::path::PathBuf;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use fewshot::encoder::{Encoder, LayerMix};
use fewshot::hub::{HubOptions, ModelFiles, resolve};

const BATCH: usize = 32;

struct Args {
    texts: PathBuf,
    model: String,
    runs: usize,
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
    let encoder = Encoder::load(&files).expect("a sound model");
    let stock = Stock::new(&files, &texts);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    encoder
        .encode(&texts[..texts.len().min(BATCH)], &LayerMix::Last)
        .expect("vectors");
    for _ in 0..args.runs {
        ours.push(seconds(|| {
            drop(encoder.encode(&texts, &LayerMix::Last).expect("vectors"))
        }));
        theirs.push(seconds(|| stock.run()));
    }
    let ratios = ours
        .iter()
        .zip(&theirs)
        .map(|(ours, theirs)| theirs / ours)
        .collect();
    let rate = |times: Vec<f64>| texts.len() as f64 / median(times);
    println!(
        "{} texts, {:.1} tokens each, {} runs, medians",
        texts.len(),
        stock.tokens_per_text(),
        args.runs
    );
    println!("fewshot f32       {:6.1} texts/s", rate(ours));
    println!("stock candle f32  {:6.1} texts/s", rate(theirs));
    println!("ratio             {:6.2}", median(ratios));
}

fn arguments() -> Args {
    let mut args = Args {
        texts: PathBuf::new(),
        model: "sentence-transformers/all-mpnet-base-v2".to_owned(),
        runs: 5,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--texts" => args.texts = words.next().expect("--texts FILE").into(),
            "--model" => args.model = words.next().expect("--model ID"),
            "--runs" => args.runs = words.next().and_then(|n| n.parse().ok()).expect("--runs N"),
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

fn median(mut values: Vec<f64>) -> f64 {
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
