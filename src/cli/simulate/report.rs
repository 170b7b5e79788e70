//! What came out of a simulation: a table for people, a document for programs, a drawing.

use fewshot::active::{Chooser, Curve, Task};
use fewshot::data::visible;
use fewshot::metrics::Mean;
use fewshot::report::{Chart, LearningCurves};
use serde::Serialize;
use serde_json::{Value, json};

/// Numbers of labels whose accuracy is shown, as far as the budget goes.
const SHOWN: [usize; 4] = [8, 16, 32, 60];

/// A set's curves, `[choosers][seeds]`.
pub struct Set {
    pub name: String,
    /// None for the mean of sets.
    pub size: Option<Size>,
    pub curves: Vec<Vec<Curve>>,
}

/// What a set holds, before a pool and a test are drawn from it.
#[derive(Serialize)]
pub struct Size {
    classes: usize,
    pool_texts: usize,
    test_texts: usize,
}

impl Size {
    pub fn of(task: &Task) -> Self {
        Self {
            classes: task.ways,
            pool_texts: task.pool.classes.len(),
            test_texts: task.test.classes.len(),
        }
    }
}

pub struct Report {
    sets: Vec<Set>,
    /// Of several sets: a set whose units are the sets.
    mean: Option<Set>,
    names: Vec<String>,
    budget: usize,
}

impl Report {
    pub fn new(sets: Vec<Set>, choosers: &[Chooser], budget: usize) -> Self {
        Self {
            mean: (sets.len() > 1).then(|| Set::mean_of(&sets, choosers.len())),
            sets,
            names: choosers.iter().map(ToString::to_string).collect(),
            budget,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Set> {
        self.sets.iter().chain(&self.mean)
    }

    /// Numbers of labels in the table.
    fn shown(&self) -> Vec<usize> {
        let below = SHOWN.into_iter().filter(|&labels| labels < self.budget);
        below.chain([self.budget]).collect()
    }

    pub fn table(&self) -> String {
        let mut out = format!(
            "area: mean accuracy over label 1 to {}, in points; reached: labels to the accuracy that {} \
             has at the end\n",
            self.budget, self.names[0]
        );
        for set in self.all() {
            out += &format!("\n{}\n{}", visible(&set.name), self.header());
            for chooser in 0..self.names.len() {
                out += &self.row(chooser, &set.figures(chooser, &self.shown()));
            }
        }
        out
    }

    fn header(&self) -> String {
        let width = self.width();
        let at = |labels: usize| format!("{:>7}", format!("@{labels}"));
        let at: String = self.shown().into_iter().map(at).collect();
        let header = format!("{:width$}    area{at}  reached", "");
        match self.names.len() {
            1 => header + "\n",
            _ => format!("{header}  against {}\n", self.names[0]),
        }
    }

    fn width(&self) -> usize {
        let widths = self.names.iter().map(|name| name.chars().count());
        widths.max().unwrap_or(0)
    }

    fn row(&self, chooser: usize, figures: &Figures) -> String {
        let (width, name) = (self.width(), &self.names[chooser]);
        let area = 100.0 * figures.area.mean;
        let at = |share: &f64| format!("{:>7.1}", 100.0 * share);
        let at: String = figures.at.iter().map(at).collect();
        let reached = figures.reached.map_or("-".to_owned(), |at| at.to_string());
        let row = format!("{name:width$}  {area:>6.2}{at}  {reached:>7}");
        match chooser {
            0 => row + "\n",
            _ => format!("{row}  {}\n", figures.difference()),
        }
    }

    /// All figures; `settings` is what made them.
    pub fn document(&self, settings: Value) -> Value {
        let set =
            |set: &Set| json!({"name": set.name, "size": set.size, "strategies": self.rows(set)});
        json!({
            "settings": settings,
            "sets": self.sets.iter().map(set).collect::<Vec<_>>(),
            "means_over_sets": self.mean.as_ref().map_or(Vec::new(), |mean| self.rows(mean)),
        })
    }

    fn rows(&self, set: &Set) -> Vec<Value> {
        let shown = self.shown();
        let row = |(chooser, name): (usize, &String)| {
            let mut row = set.figures(chooser, &shown).json(name, &shown);
            row["areas"] = json!(set.areas(chooser));
            row["mean_curve"] = json!(set.mean_curve(chooser).0);
            row
        };
        self.names.iter().enumerate().map(row).collect()
    }

    /// A chart a set, and one of their mean, whose bands are over the runs too: over sets they would
    /// show how hard the sets are.
    pub fn drawing(&self) -> LearningCurves {
        let chart = |set: &Set| Chart {
            title: set.name.clone(),
            lines: set.curves.iter().map(|curves| points(curves)).collect(),
        };
        let mean = (self.sets.len() > 1).then(|| Set::mean_of_runs(&self.sets, self.names.len()));
        LearningCurves {
            names: self.names.clone(),
            charts: self.sets.iter().chain(&mean).map(chart).collect(),
        }
    }
}

impl Set {
    /// The sets' mean curves in the place of a set's runs: intervals are those over sets.
    fn mean_of(sets: &[Self], choosers: usize) -> Self {
        let of = |chooser| sets.iter().map(|set| set.mean_curve(chooser)).collect();
        Self {
            name: format!("mean of {} sets", sets.len()),
            size: None,
            curves: (0..choosers).map(of).collect(),
        }
    }

    /// Each seed's runs averaged over the sets: intervals are those over seeds.
    fn mean_of_runs(sets: &[Self], choosers: usize) -> Self {
        let run = |chooser: usize, seed: usize| {
            let curves = sets.iter().map(|set| set.curves[chooser][seed].clone());
            mean_curve(&curves.collect::<Vec<_>>())
        };
        let of = |chooser: usize| {
            let seeds = 0..sets[0].curves[chooser].len();
            seeds.map(|seed| run(chooser, seed)).collect()
        };
        Self {
            curves: (0..choosers).map(of).collect(),
            ..Self::mean_of(sets, choosers)
        }
    }

    fn areas(&self, chooser: usize) -> Vec<f64> {
        self.curves[chooser].iter().map(Curve::area).collect()
    }

    fn mean_curve(&self, chooser: usize) -> Curve {
        mean_curve(&self.curves[chooser])
    }

    fn figures(&self, chooser: usize, shown: &[usize]) -> Figures {
        let areas = self.areas(chooser);
        let curve = self.mean_curve(chooser);
        let goal = self.mean_curve(0).0.last().copied().unwrap_or(1.0);
        let reached = curve.0.iter().position(|&share| share >= goal);
        Figures {
            against: Mean::of_differences(&areas, &self.areas(0)),
            area: Mean::of(&areas),
            at: shown.iter().map(|&labels| curve.at(labels)).collect(),
            reached: reached.map(|at| at + 1),
        }
    }
}

/// Accuracy after 1, 2, … labels, with its interval over the curves.
fn points(curves: &[Curve]) -> Vec<Mean> {
    let labels = curves.first().map_or(0, |curve| curve.0.len());
    let at = |at: usize| Mean::of(&curves.iter().map(|curve| curve.0[at]).collect::<Vec<_>>());
    (0..labels).map(at).collect()
}

fn mean_curve(curves: &[Curve]) -> Curve {
    Curve(points(curves).iter().map(|point| point.mean).collect())
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
        let difference = format!("{:+.2}", 100.0 * self.against.mean);
        match (self.against.low, self.against.high) {
            (Some(low), Some(high)) => {
                format!("{difference} ({:+.2} to {:+.2})", 100.0 * low, 100.0 * high)
            }
            _ => difference,
        }
    }

    fn json(&self, name: &str, shown: &[usize]) -> Value {
        let at = shown.iter().zip(&self.at);
        let at = at.map(|(labels, share)| (labels.to_string(), json!(share)));
        json!({
            "strategy": name,
            "area": self.area,
            "area_against_first": self.against,
            "accuracy_at": Value::Object(at.collect()),
            "labels_to_final_accuracy_of_first": self.reached,
        })
    }
}
