//! `fewshot benchmark`: mean accuracy over seeded draws of few examples.

use std::path::PathBuf;
use std::time::Instant;

use fewshot::data::Dataset;
use fewshot::encoder::{Encoder, LayerMix};
use fewshot::head::{HeadKind, HeadOptions};
use fewshot::matrix::Matrix;
use fewshot::vectors::VectorClassifier;
use serde_json::json;

use super::context::Context;
use super::failure::Failure;
use super::options::{Fields, Fit};
use super::output;

/// Draw few-shot training sets from labelled texts and report the accuracy on a test set.
///
/// Draws depend on the seed and the label only, so that runs with other options are paired.
#[derive(clap::Args)]
#[command(after_help = "Example:
  fewshot benchmark --train pool.jsonl --test test.jsonl --shots 8 --seeds 10")]
pub struct Args {
    /// Labelled texts to draw from
    #[arg(long, value_name = "FILE", required = true)]
    train: Vec<PathBuf>,
    /// Labelled test texts
    #[arg(long, value_name = "FILE", required = true)]
    test: Vec<PathBuf>,
    /// Examples a label
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "8")]
    shots: Vec<usize>,
    /// Number of draws
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// Heads to compare on the same draws [default: the one of --head]
    #[arg(long, value_name = "KIND,…", value_delimiter = ',')]
    heads: Vec<HeadKind>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    fit: Fit,
}

/// The draws of one number of shots, with one head.
struct Row {
    shots: usize,
    head: HeadKind,
    accuracies: Vec<f64>,
    fit_seconds: Vec<f64>,
}

pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let options = args.fit.options(context.common.seed, false)?;
    let (train, _) = Dataset::read(args.train.iter(), None, &args.fields.names())?;
    let (test, _) = Dataset::read(args.test.iter(), None, &args.fields.names())?;
    train.check_trainable()?;
    let draws = draws(args, &train)?;
    let encoder = context.encoder()?;
    let layers = options
        .layers
        .clone()
        .unwrap_or_else(|| encoder.default_layers());
    let vectors = Embedded::new(&encoder, &layers, &draws, &test)?;
    let rows = measure(args, &draws, &test, &vectors, &options)?;
    if args.json {
        return output::print_json(&document(&rows, &encoder, &layers, &options, &test));
    }
    output::print(table(&rows, &test, args.seeds).as_bytes())
}

/// All drawn training sets: for each number of shots, one a seed.
fn draws(args: &Args, train: &Dataset) -> Result<Vec<(usize, Vec<Dataset>)>, Failure> {
    let of = |&shots: &usize| {
        let drawn = (0..args.seeds)
            .map(|seed| train.draw(shots, seed))
            .collect::<Result<_, _>>()?;
        Ok((shots, drawn))
    };
    args.shots.iter().map(of).collect()
}

/// Vectors of every text that is needed, each embedded once.
struct Embedded {
    places: std::collections::HashMap<String, usize>,
    vectors: Matrix,
}

impl Embedded {
    fn new(
        encoder: &Encoder,
        layers: &LayerMix,
        draws: &[(usize, Vec<Dataset>)],
        test: &Dataset,
    ) -> Result<Self, Failure> {
        let drawn = draws.iter().flat_map(|(_, datasets)| datasets);
        let all = drawn
            .chain([test])
            .flat_map(Dataset::examples)
            .map(|example| &example.text);
        let mut places = std::collections::HashMap::new();
        let mut texts = Vec::new();
        for text in all {
            places.entry(text.clone()).or_insert_with(|| {
                texts.push(text.as_str());
                texts.len() - 1
            });
        }
        let vectors = encoder.encode(&texts, layers)?.vectors;
        Ok(Self { places, vectors })
    }

    fn of(&self, dataset: &Dataset) -> Matrix {
        let rows: Vec<usize> = dataset
            .examples()
            .iter()
            .map(|e| self.places[&e.text])
            .collect();
        self.vectors.select(&rows)
    }
}

fn measure(
    args: &Args,
    draws: &[(usize, Vec<Dataset>)],
    test: &Dataset,
    vectors: &Embedded,
    options: &fewshot::classifier::FitOptions,
) -> Result<Vec<Row>, Failure> {
    let test_vectors = vectors.of(test);
    let mut rows = Vec::new();
    let one = [options.head.kind];
    let heads = if args.heads.is_empty() {
        &one[..]
    } else {
        &args.heads
    };
    for (shots, datasets) in draws {
        for &kind in heads {
            let head = HeadOptions {
                kind,
                ..options.head.clone()
            };
            let mut row = Row {
                shots: *shots,
                head: kind,
                accuracies: Vec::new(),
                fit_seconds: Vec::new(),
            };
            for (seed, dataset) in datasets.iter().enumerate() {
                let start = Instant::now();
                let (features, labels) = (vectors.of(dataset), dataset.labels().clone());
                let seed = options.seed + seed as u64;
                let fitted =
                    VectorClassifier::fit(&features, &dataset.classes(), labels, &head, seed)?;
                row.fit_seconds.push(start.elapsed().as_secs_f64());
                row.accuracies.push(accuracy(&fitted, &test_vectors, test)?);
            }
            rows.push(row);
        }
    }
    Ok(rows)
}

fn accuracy(
    classifier: &VectorClassifier,
    vectors: &Matrix,
    test: &Dataset,
) -> Result<f64, Failure> {
    let given = classifier.predict(vectors)?;
    let labels = classifier.labels();
    let right = given
        .iter()
        .zip(test.examples())
        .filter(|(class, example)| labels.name(**class) == Some(&example.label));
    Ok(right.count() as f64 / test.examples().len() as f64)
}

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (values.len().max(2) - 1) as f64).sqrt())
}

fn table(rows: &[Row], test: &Dataset, seeds: u64) -> String {
    let texts = output::count(test.examples().len(), "test text");
    let mut out = format!(
        "{seeds} draws, {texts}, mean ± standard deviation\nshots  head       accuracy        fit\n"
    );
    for row in rows {
        let (mean, deviation) = mean_and_deviation(&row.accuracies);
        let (fit, _) = mean_and_deviation(&row.fit_seconds);
        let accuracy = format!("{:.1} ± {:.1} %", 100.0 * mean, 100.0 * deviation);
        out += &format!(
            "{:>5}  {:<9}  {accuracy:<14}  {fit:.3} s\n",
            row.shots,
            row.head.name()
        );
    }
    out
}

fn document(
    rows: &[Row],
    encoder: &Encoder,
    layers: &LayerMix,
    options: &fewshot::classifier::FitOptions,
    test: &Dataset,
) -> serde_json::Value {
    let row = |row: &Row| {
        let (mean, deviation) = mean_and_deviation(&row.accuracies);
        json!({"shots": row.shots, "head": row.head, "mean": mean, "std": deviation, "accuracies": row.accuracies, "fit_seconds": row.fit_seconds})
    };
    json!({
        "settings": {
            "encoder": encoder.identity(),
            "layers": layers,
            "head": options.head,
            "seed": options.seed,
            "test_texts": test.examples().len(),
        },
        "rows": rows.iter().map(row).collect::<Vec<_>>(),
    })
}
