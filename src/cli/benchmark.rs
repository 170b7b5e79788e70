//! `fewshot benchmark`: mean accuracy over seeded draws of few examples.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use fewshot::FitOptions;
use fewshot::data::{Dataset, Example};
use fewshot::encoder::{Encoder, LayerMix};
use fewshot::head::{HeadKind, HeadOptions};
use fewshot::matrix::Matrix;
use fewshot::prompt::label_names;
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
    let options = args.fit.options(context.common.seed, None)?;
    let (train, _) = Dataset::read(args.train.iter(), None, &args.fields.names())?;
    let (test, _) = Dataset::read(args.test.iter(), None, &args.fields.names())?;
    train.check_trainable()?;
    let draws = draws(args, &train)?;
    let encoder = context.encoder()?;
    let layers = options
        .layers
        .clone()
        .unwrap_or_else(|| encoder.default_layers());
    let names = if options.label_names {
        label_names(train.labels())
    } else {
        Vec::new()
    };
    let drawn = draws
        .iter()
        .flat_map(|(_, datasets)| datasets)
        .flat_map(Dataset::examples);
    let vectors = Embedded::new(
        &encoder,
        &layers,
        drawn.chain(test.examples()).chain(&names),
    )?;
    let bench = Bench {
        vectors: &vectors,
        test: &test,
        names: &names,
        options: &options,
    };
    let one = [options.head.kind];
    let heads = if args.heads.is_empty() {
        &one[..]
    } else {
        &args.heads
    };
    let mut rows = Vec::new();
    for (shots, datasets) in &draws {
        for &kind in heads {
            rows.push(bench.row(*shots, datasets, kind)?);
        }
    }
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
    places: HashMap<String, usize>,
    vectors: Matrix,
}

impl Embedded {
    fn new<'t>(
        encoder: &Encoder,
        layers: &LayerMix,
        examples: impl Iterator<Item = &'t Example>,
    ) -> Result<Self, Failure> {
        let mut places = HashMap::new();
        let mut texts = Vec::new();
        for Example { text, .. } in examples {
            places.entry(text.clone()).or_insert_with(|| {
                texts.push(text.as_str());
                texts.len() - 1
            });
        }
        let vectors = encoder.encode(&texts, layers)?.vectors;
        Ok(Self { places, vectors })
    }

    fn of(&self, examples: &[Example]) -> Matrix {
        let rows: Vec<usize> = examples.iter().map(|e| self.places[&e.text]).collect();
        self.vectors.select(&rows)
    }
}

/// What every fit of a benchmark shares.
struct Bench<'a> {
    vectors: &'a Embedded,
    test: &'a Dataset,
    names: &'a [Example],
    options: &'a FitOptions,
}

impl Bench<'_> {
    /// All draws of one number of shots with one head.
    fn row(&self, shots: usize, draws: &[Dataset], kind: HeadKind) -> Result<Row, Failure> {
        let head = HeadOptions {
            kind,
            ..self.options.head.clone()
        };
        let test = self.vectors.of(self.test.examples());
        let (mut accuracies, mut fit_seconds) = (Vec::new(), Vec::new());
        for (draw, dataset) in draws.iter().enumerate() {
            let start = Instant::now();
            let classifier = self.fit(dataset, &head, self.options.seed + draw as u64)?;
            fit_seconds.push(start.elapsed().as_secs_f64());
            accuracies.push(accuracy(&classifier, &test, self.test)?);
        }
        Ok(Row {
            shots,
            head: kind,
            accuracies,
            fit_seconds,
        })
    }

    fn fit(
        &self,
        dataset: &Dataset,
        head: &HeadOptions,
        seed: u64,
    ) -> Result<VectorClassifier, Failure> {
        let labels = dataset.labels().clone();
        let vectors = self.vectors.of(dataset.examples());
        let prior = self.vectors.of(self.names);
        let prior_classes: Vec<usize> = self
            .names
            .iter()
            .filter_map(|name| labels.class(&name.label))
            .collect();
        let prior = (!self.names.is_empty()).then_some((&prior, prior_classes.as_slice()));
        Ok(VectorClassifier::fit(
            &vectors,
            &dataset.classes(),
            prior,
            labels,
            head,
            seed,
        )?)
    }
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
    options: &FitOptions,
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
            "label_names": options.label_names,
            "seed": options.seed,
            "test_texts": test.examples().len(),
        },
        "rows": rows.iter().map(row).collect::<Vec<_>>(),
    })
}
