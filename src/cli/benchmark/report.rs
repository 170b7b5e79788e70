//! The figures of a benchmark as a table and as a document.

use std::iter::once;

use fewshot::data::visible;
use fewshot::metrics::Mean;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Bench, Config, Set, output};

/// The draws of one number of shots, with one configuration, of one set or on average over sets.
#[derive(Serialize)]
pub struct Row {
    pub set: String,
    shots: usize,
    config: String,
    #[serde(flatten)]
    accuracy: Mean,
    /// From the first configuration, on the same draws; none for that one itself.
    difference: Option<Mean>,
    accuracies: Vec<f64>,
    /// Expected calibration errors.
    calibration_errors: Vec<f64>,
    fit_seconds: Vec<f64>,
    predict_seconds: Vec<f64>,
}

/// What one draw gave.
pub struct Outcome {
    pub accuracy: f64,
    pub calibration_error: f64,
    pub fit_seconds: f64,
    pub predict_seconds: f64,
}

impl Row {
    /// Still without figures.
    pub fn new(set: &str, shots: usize, config: &str) -> Self {
        Self {
            set: set.to_owned(),
            shots,
            config: config.to_owned(),
            accuracy: Mean::of(&[]),
            difference: None,
            accuracies: Vec::new(),
            calibration_errors: Vec::new(),
            fit_seconds: Vec::new(),
            predict_seconds: Vec::new(),
        }
    }

    /// One draw more.
    pub fn push(&mut self, outcome: &Outcome) {
        self.accuracies.push(outcome.accuracy);
        self.calibration_errors.push(outcome.calibration_error);
        self.fit_seconds.push(outcome.fit_seconds);
        self.predict_seconds.push(outcome.predict_seconds);
    }

    /// The mean over sets, draw by draw: the interval is then one over draws, for these sets.
    fn mean_of(rows: &[&Self]) -> Option<Self> {
        let first = rows.first()?;
        let average = |of: fn(&Self) -> &Vec<f64>| -> Vec<f64> {
            let of_draw = |draw: usize| rows.iter().map(move |row| of(row)[draw]);
            (0..first.accuracies.len())
                .map(|draw| of_draw(draw).sum::<f64>() / rows.len() as f64)
                .collect()
        };
        Some(Self {
            accuracies: average(|row| &row.accuracies),
            calibration_errors: average(|row| &row.calibration_errors),
            fit_seconds: average(|row| &row.fit_seconds),
            predict_seconds: average(|row| &row.predict_seconds),
            ..Self::new(
                &format!("mean of {}", rows.len()),
                first.shots,
                &first.config,
            )
        })
    }
}

/// Compares each row with that of the first configuration.
fn compare(rows: &mut [Row], first: &str) {
    let of_first: Vec<(String, usize, Vec<f64>)> = rows
        .iter()
        .filter(|row| row.config == first)
        .map(|row| (row.set.clone(), row.shots, row.accuracies.clone()))
        .collect();
    for row in rows {
        row.accuracy = Mean::of(&row.accuracies);
        let same = |(set, shots, _): &&(String, usize, _)| *set == row.set && *shots == row.shots;
        let other = of_first.iter().find(same).filter(|_| row.config != first);
        row.difference = other.map(|(.., other)| Mean::of_differences(&row.accuracies, other));
    }
}

/// All figures.
pub struct Report<'a> {
    rows: Vec<Row>,
    /// Over the sets, if there are several.
    means: Vec<Row>,
    sets: &'a [Set],
    configs: &'a [Config],
    seeds: u64,
}

impl<'a> Report<'a> {
    pub fn new(mut rows: Vec<Row>, sets: &'a [Set], configs: &'a [Config], seeds: u64) -> Self {
        let mut means = if sets.len() > 1 {
            means(&rows, configs)
        } else {
            Vec::new()
        };
        let first = configs.first().map_or("", |config| &config.name);
        compare(&mut rows, first);
        compare(&mut means, first);
        Self {
            rows,
            means,
            sets,
            configs,
            seeds,
        }
    }

    /// A heading, the columns' names, a line a row.
    pub fn table(&self) -> String {
        let lines: Vec<Vec<String>> = once(self.titles())
            .chain(
                self.rows
                    .iter()
                    .chain(&self.means)
                    .map(|row| self.cells(row)),
            )
            .collect();
        self.heading() + "\n" + &aligned(&lines)
    }

    fn heading(&self) -> String {
        let texts: usize = self.sets.iter().map(|set| set.test.examples().len()).sum();
        let mut heading = format!(
            "{}, {}; mean ± standard deviation",
            output::count(self.seeds as usize, "draw"),
            output::count(texts, "test text")
        );
        if let [first, _, ..] = self.configs {
            let name = visible(&first.name);
            heading += &format!("; difference from {name}, 95 % interval over the draws");
        }
        heading
    }

    fn titles(&self) -> Vec<String> {
        let titles = [
            "set",
            "shots",
            "config",
            "accuracy",
            "difference",
            "calibration error",
            "fit",
            "predict",
        ];
        self.shown(titles.map(str::to_owned))
    }

    fn cells(&self, row: &Row) -> Vec<String> {
        self.shown([
            visible(&row.set).into_owned(),
            row.shots.to_string(),
            visible(&row.config).into_owned(),
            format!(
                "{:.1} ± {:.1} %",
                100.0 * row.accuracy.mean,
                100.0 * row.accuracy.std
            ),
            row.difference.as_ref().map_or_else(String::new, difference),
            format!("{:.1} %", 100.0 * Mean::of(&row.calibration_errors).mean),
            format!("{:.3} s", Mean::of(&row.fit_seconds).mean),
            format!("{:.3} s", Mean::of(&row.predict_seconds).mean),
        ])
    }

    /// One set needs no name, one configuration no difference.
    fn shown(&self, cells: [String; 8]) -> Vec<String> {
        let hidden = [
            self.sets.len() < 2,
            false,
            false,
            false,
            self.configs.len() < 2,
        ];
        let shown = |(place, _): &(usize, String)| !hidden.get(*place).unwrap_or(&false);
        let cells = cells.into_iter().enumerate().filter(shown);
        cells.map(|(_, cell)| cell).collect()
    }

    /// All settings and figures, each draw's included.
    pub fn document(&self, bench: &Bench, seed: u64) -> Value {
        let config = |config: &Config| {
            json!({
                "name": config.name,
                "layers": bench.layers(config),
                "tune": config.options.tune,
                "start": config.options.start,
                "head": config.options.head,
                "label_names": config.options.label_names,
            })
        };
        json!({
            "settings": {
                "encoder": bench.encoder.identity(),
                "device": bench.encoder.device_name().unwrap_or("cpu"),
                "seed": seed,
                "draws": self.seeds,
            },
            "configs": self.configs.iter().map(config).collect::<Vec<_>>(),
            "sets": self.sets.iter().map(set_document).collect::<Vec<_>>(),
            "rows": self.rows,
            "means_over_sets": self.means,
        })
    }
}

fn set_document(set: &Set) -> Value {
    json!({
        "name": set.name,
        "labels": set.train.labels().names(),
        "train_texts": set.train.examples().len(),
        "test_texts": set.test.examples().len(),
        "shots_left_out": set.left_out,
    })
}

/// For each number of shots and configuration, over the sets that have this number of shots.
fn means(rows: &[Row], configs: &[Config]) -> Vec<Row> {
    let mut shots: Vec<usize> = rows.iter().map(|row| row.shots).collect();
    shots.sort_unstable();
    shots.dedup();
    let mean = |shots: usize, config: &Config| {
        let same = |row: &&Row| row.shots == shots && row.config == config.name;
        Row::mean_of(&rows.iter().filter(same).collect::<Vec<_>>())
    };
    let of_shots = |shots| configs.iter().filter_map(move |config| mean(shots, config));
    shots.into_iter().flat_map(of_shots).collect()
}

/// `−1.5 (−2.0 to −1.0)`, in points.
fn difference(mean: &Mean) -> String {
    let value = format!("{:+.1}", 100.0 * mean.mean);
    match (mean.low, mean.high) {
        (Some(low), Some(high)) => {
            format!("{value} ({:+.1} to {:+.1})", 100.0 * low, 100.0 * high)
        }
        _ => value,
    }
}

/// Columns as wide as their widest cell, two blanks between them.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let line = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(line).collect()
}
