//! Embeds a set's texts once for each choice of layers, then fits and tests every draw.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Instant;

use fewshot::data::{Dataset, Example};
use fewshot::encoder::{Encoder, LayerMix};
use fewshot::matrix::Matrix;
use fewshot::prompt::label_names;
use fewshot::vectors::VectorClassifier;

use super::report::Row;
use super::{Caching, Config, Context, Failure, Set};
use crate::cli::progress::Steps;

/// What every set of a benchmark shares.
pub struct Bench<'a> {
    pub encoder: &'a Encoder,
    pub configs: &'a [Config],
    caching: &'a Caching,
    context: &'a Context,
}

impl<'a> Bench<'a> {
    /// Checks that the encoder has the layers of every configuration.
    pub fn new(
        encoder: &'a Encoder,
        configs: &'a [Config],
        caching: &'a Caching,
        context: &'a Context,
    ) -> Result<Self, Failure> {
        let bench = Self {
            encoder,
            configs,
            caching,
            context,
        };
        for config in configs {
            bench.layers(config).indices(encoder.layers())?;
        }
        Ok(bench)
    }

    /// The layers of a configuration.
    pub fn layers(&self, config: &Config) -> LayerMix {
        let layers = config.options.layers.clone();
        layers.unwrap_or_else(|| self.encoder.default_layers())
    }

    /// One row for each number of shots and configuration.
    pub fn rows(&self, set: &Set) -> Result<Vec<Row>, Failure> {
        let names = self.names(set);
        let texts = Texts::new(set, &names);
        let spaces = self.spaces(&texts)?;
        let mut steps = self.steps(set);
        let mut rows = Vec::new();
        for (shots, draws) in &set.draws {
            for config in self.configs {
                let trial = Trial {
                    texts: &texts,
                    vectors: &spaces[&self.layers(config).to_string()],
                    names: if config.options.label_names {
                        &names
                    } else {
                        &[]
                    },
                    config,
                    test: &set.test,
                };
                rows.push(trial.row(&set.name, *shots, draws, &mut steps)?);
            }
        }
        Ok(rows)
    }

    /// The vectors of all texts for each choice of layers.
    fn spaces(&self, texts: &Texts) -> Result<HashMap<String, Matrix>, Failure> {
        let mut spaces = HashMap::new();
        for config in self.configs {
            let layers = self.layers(config);
            if let Entry::Vacant(place) = spaces.entry(layers.to_string()) {
                place.insert(self.embed(texts, &layers)?);
            }
        }
        Ok(spaces)
    }

    fn steps(&self, set: &Set) -> Steps {
        let draws: usize = set.draws.iter().map(|(_, draws)| draws.len()).sum();
        let fits = draws * self.configs.len();
        Steps::new(
            format!("{} fits", set.name),
            fits,
            self.context.common.quiet,
        )
    }

    /// The labels' names as prior examples, if some configuration wants them.
    fn names(&self, set: &Set) -> Vec<Example> {
        if self.configs.iter().any(|config| config.options.label_names) {
            label_names(set.train.labels())
        } else {
            Vec::new()
        }
    }

    fn embed(&self, texts: &Texts, layers: &LayerMix) -> Result<Matrix, Failure> {
        let encoded = self
            .context
            .embed(self.encoder, layers, &texts.texts, self.caching)?;
        Ok(encoded.vectors)
    }
}

/// Every text that a set needs, once.
struct Texts<'t> {
    places: HashMap<&'t str, usize>,
    texts: Vec<&'t str>,
}

impl<'t> Texts<'t> {
    fn new(set: &'t Set, names: &'t [Example]) -> Self {
        let drawn = set.draws.iter().flat_map(|(_, datasets)| datasets);
        let drawn = drawn.flat_map(Dataset::examples);
        let (mut places, mut texts) = (HashMap::new(), Vec::new());
        for Example { text, .. } in drawn.chain(set.test.examples()).chain(names) {
            places.entry(text.as_str()).or_insert_with(|| {
                texts.push(text.as_str());
                texts.len() - 1
            });
        }
        Self { places, texts }
    }

    fn select(&self, vectors: &Matrix, examples: &[Example]) -> Matrix {
        let place = |example: &Example| self.places[example.text.as_str()];
        vectors.select(&examples.iter().map(place).collect::<Vec<_>>())
    }
}

/// One configuration on one set.
struct Trial<'a> {
    texts: &'a Texts<'a>,
    /// A row for each of the texts.
    vectors: &'a Matrix,
    names: &'a [Example],
    config: &'a Config,
    test: &'a Dataset,
}

impl Trial<'_> {
    fn row(
        &self,
        set: &str,
        shots: usize,
        draws: &[Dataset],
        steps: &mut Steps,
    ) -> Result<Row, Failure> {
        let mut row = Row::new(set, shots, &self.config.name);
        let test = self.texts.select(self.vectors, self.test.examples());
        for (draw, dataset) in draws.iter().enumerate() {
            let start = Instant::now();
            let classifier = self.fit(dataset, draw as u64)?;
            row.fit_seconds.push(start.elapsed().as_secs_f64());
            let start = Instant::now();
            let given = classifier.predict(&test)?;
            row.predict_seconds.push(start.elapsed().as_secs_f64());
            row.accuracies.push(self.accuracy(&given, &classifier));
            steps.add(1);
        }
        Ok(row)
    }

    fn fit(&self, dataset: &Dataset, draw: u64) -> Result<VectorClassifier, Failure> {
        let options = &self.config.options;
        let labels = dataset.labels().clone();
        let prior = self.texts.select(self.vectors, self.names);
        let class = |name: &Example| labels.class(&name.label);
        let classes: Vec<usize> = self.names.iter().filter_map(class).collect();
        Ok(VectorClassifier::fit(
            &self.texts.select(self.vectors, dataset.examples()),
            &dataset.classes(),
            (!self.names.is_empty()).then_some((&prior, classes.as_slice())),
            labels,
            &options.head,
            options.seed.wrapping_add(draw),
        )?)
    }

    fn accuracy(&self, given: &[usize], classifier: &VectorClassifier) -> f64 {
        let labels = classifier.labels();
        let pairs = given.iter().zip(self.test.examples());
        let right = pairs.filter(|(class, example)| labels.name(**class) == Some(&example.label));
        right.count() as f64 / self.test.examples().len() as f64
    }
}
