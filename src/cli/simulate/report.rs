//! What came out of a simulation: a table for people, a document for programs.

use fewshot::active::{Chooser, Curve};
use fewshot::metrics::Mean;
use serde_json::{Value, json};

use super::Args;

/// Numbers of labels whose accuracy is shown, as far as the budget goes.
const SHOWN: [usize; 4] = [8, 16, 32, 60];

/// A set's curves, `[choosers][seeds]`.
pub struct Set {
    pub name: String,
    pub curves: Vec<Vec<Curve>>,
}

pub struct Report {
    pub sets: Vec<Set>,
    pub names: Vec<String>,
    pub budget: usize,
    settings: Value,
}

impl Report {
    pub fn new(sets: Vec<Set>, choosers: &[Chooser], args: &Args) -> Self {
        Self {
            sets,
            names: choosers.iter().map(ToString::to_string).collect(),
            budget: args.budget as usize,
            settings: json!({
                "budget": args.budget, "seeds": args.seeds, "batch": args.batch,
                "noise": args.noise, "skip_rate": args.skip_rate, "pool_size": args.pool_size,
                "test_size": args.test_size, "label_names": args.label_names,
            }),
        }
    }

    /// Numbers of labels in the table.
    fn shown(&self) -> Vec<usize> {
        let mut shown: Vec<usize> = SHOWN
            .into_iter()
            .filter(|&labels| labels < self.budget)
            .collect();
        shown.push(self.budget);
        shown
    }

    pub fn table(&self) -> String {
        let mut out = format!(
            "area: mean accuracy over label 1 to {}, in points; reached: labels to the accuracy that {} \
             has at the end\n",
            self.budget, self.names[0]
        );
        for set in &self.sets {
            out += &format!("\n{}\n{}", set.name, self.header());
            for chooser in 0..self.names.len() {
                out += &self.row(chooser, &set.figures(chooser, &self.shown()));
            }
        }
        if self.sets.len() > 1 {
            out += &format!("\nmean of {} sets\n{}", self.sets.len(), self.header());
            for chooser in 0..self.names.len() {
                out += &self.row(chooser, &self.mean_figures(chooser));
            }
        }
        out
    }

    fn header(&self) -> String {
        let width = self.width();
        let at: String = self
            .shown()
            .iter()
            .map(|labels| format!("{:>7}", format!("@{labels}")))
            .collect();
        format!(
            "{:width$}    area{at}  reached  against {}\n",
            "", self.names[0]
        )
    }

    fn width(&self) -> usize {
        self.names
            .iter()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or(0)
    }

    fn row(&self, chooser: usize, figures: &Figures) -> String {
        let width = self.width();
        let at: String = figures
            .at
            .iter()
            .map(|share| format!("{:>7.1}", 100.0 * share))
            .collect();
        let reached = figures
            .reached
            .map_or("-".to_owned(), |labels| labels.to_string());
        let row = format!(
            "{:width$}  {:>6.2}{at}  {reached:>7}  {}",
            self.names[chooser],
            100.0 * figures.area.mean,
            if chooser == 0 {
                String::new()
            } else {
                figures.difference()
            }
        );
        format!("{}\n", row.trim_end())
    }

    /// Means over the sets, with the sets as units.
    fn mean_figures(&self, chooser: usize) -> Figures {
        let shown = self.shown();
        let of: Vec<Figures> = self
            .sets
            .iter()
            .map(|set| set.figures(chooser, &shown))
            .collect();
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let areas: Vec<f64> = of.iter().map(|figures| figures.area.mean).collect();
        let differences: Vec<f64> = of.iter().map(|figures| figures.against.mean).collect();
        Figures {
            area: Mean::of(&areas),
            against: Mean::of(&differences),
            at: (0..shown.len())
                .map(|at| mean(of.iter().map(|f| f.at[at]).collect()))
                .collect(),
            reached: median(of.iter().map(|figures| figures.reached).collect()),
        }
    }

    pub fn document(&self, seed: u64) -> Value {
        let mut settings = self.settings.clone();
        settings["seed"] = json!(seed);
        settings["strategies"] = json!(self.names);
        let shown = self.shown();
        let set = |set: &Set| {
            let chooser = |chooser: usize| {
                let figures = set.figures(chooser, &shown);
                let mut row = figures.json(&self.names[chooser], &shown);
                row["areas"] = json!(set.areas(chooser));
                row["mean_curve"] = json!(set.mean_curve(chooser));
                row
            };
            json!({"name": set.name, "strategies": (0..self.names.len()).map(chooser).collect::<Vec<_>>()})
        };
        let means: Vec<Value> = (0..self.names.len())
            .map(|chooser| {
                self.mean_figures(chooser)
                    .json(&self.names[chooser], &shown)
            })
            .collect();
        json!({
            "settings": settings,
            "sets": self.sets.iter().map(set).collect::<Vec<_>>(),
            "means_over_sets": means,
        })
    }
}

impl Set {
    fn areas(&self, chooser: usize) -> Vec<f64> {
        self.curves[chooser].iter().map(Curve::area).collect()
    }

    /// Mean accuracy over the seeds after 1, 2, … labels.
    pub fn mean_curve(&self, chooser: usize) -> Vec<f64> {
        self.points(chooser)
            .iter()
            .map(|point| point.mean)
            .collect()
    }

    /// Accuracy over the seeds after 1, 2, … labels, with its interval.
    pub fn points(&self, chooser: usize) -> Vec<Mean> {
        let curves = &self.curves[chooser];
        let labels = curves.first().map_or(0, |curve| curve.0.len());
        let at = |at: usize| Mean::of(&curves.iter().map(|curve| curve.0[at]).collect::<Vec<_>>());
        (0..labels).map(at).collect()
    }

    fn figures(&self, chooser: usize, shown: &[usize]) -> Figures {
        let areas = self.areas(chooser);
        let curve = Curve(self.mean_curve(chooser));
        let goal = self.mean_curve(0).last().copied().unwrap_or(1.0);
        Figures {
            against: Mean::of_differences(&areas, &self.areas(0)),
            area: Mean::of(&areas),
            at: shown.iter().map(|&labels| curve.at(labels)).collect(),
            reached: curve
                .0
                .iter()
                .position(|&share| share >= goal)
                .map(|at| at + 1),
        }
    }
}

struct Figures {
    area: Mean,
    /// Area minus the first chooser's.
    against: Mean,
    at: Vec<f64>,
    /// Labels to the first chooser's accuracy at the end, by the mean curves.
    reached: Option<usize>,
}

impl Figures {
    fn difference(&self) -> String {
        let Mean {
            mean, low, high, ..
        } = self.against;
        let interval = match (low, high) {
            (Some(low), Some(high)) => format!(" ({:+.2} to {:+.2})", 100.0 * low, 100.0 * high),
            _ => String::new(),
        };
        format!("{:+.2}{interval}", 100.0 * mean)
    }

    fn json(&self, name: &str, shown: &[usize]) -> Value {
        let mean = |mean: &Mean| json!({"mean": mean.mean, "std": mean.std, "low": mean.low, "high": mean.high});
        let at = shown
            .iter()
            .zip(&self.at)
            .map(|(labels, share)| (labels.to_string(), json!(share)));
        json!({
            "strategy": name,
            "area": mean(&self.area),
            "area_against_first": mean(&self.against),
            "accuracy_at": Value::Object(at.collect()),
            "labels_to_final_accuracy_of_first": self.reached,
        })
    }
}

/// The middle one; of an even number the later. None counts as never.
fn median(mut values: Vec<Option<usize>>) -> Option<usize> {
    values.sort_unstable_by_key(|value| value.unwrap_or(usize::MAX));
    values.get(values.len() / 2).copied().flatten()
}
