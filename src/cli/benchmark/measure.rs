//! Embeds a set's texts once for each choice of layers, then fits and tests every draw.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fewshot::classifier::UNLABELLED;
use fewshot::data::{Dataset, Example, LabelSet};
use fewshot::encoder::{Encoder, LayerMix};
use fewshot::head::HeadOptions;
use fewshot::leave_one_out;
use fewshot::matrix::Matrix;
use fewshot::metrics::accuracy_and_calibration;
use fewshot::prompt::label_names;
use fewshot::start::StartFrom;
use fewshot::vectors::VectorClassifier;
use fewshot::{FewShotClassifier, FitOptions};

use super::report::{Outcome, Row};
use super::{Caching, Config, Context, Failure, Set};
use crate::cli::progress::Steps;

/// What every set of a benchmark shares.
pub struct Bench<'a> {
    pub encoder: &'a Arc<Encoder>,
    pub configs: &'a [Config],
    caching: &'a Caching,
    context: &'a Context,
}

/// A choice of layers and a start: encoders that are not tuned on the examples.
type Frozen = (String, StartFrom);

impl<'a> Bench<'a> {
    /// Checks that the encoder has the layers of every configuration, and that starts are for it.
    pub fn new(
        encoder: &'a Arc<Encoder>,
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
            config.options.start.start(encoder)?;
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
                    encoder: self.encoder,
                    texts: &texts,
                    spaces: match config.tunes() {
                        false => spaces.get(&self.frozen(config)).map(Vec::as_slice),
                        true => None,
                    },
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

    fn frozen(&self, config: &Config) -> Frozen {
        (
            self.layers(config).to_string(),
            config.options.start.clone(),
        )
    }

    /// The vectors of all texts by each of the encoders that a draw chooses from.
    fn spaces(&self, texts: &Texts) -> Result<HashMap<Frozen, Vec<Matrix>>, Failure> {
        let mut spaces = HashMap::new();
        for config in self.configs.iter().filter(|config| !config.tunes()) {
            if let Entry::Vacant(place) = spaces.entry(self.frozen(config)) {
                let candidates = config.options.start.candidates(self.encoder)?;
                let embed = |encoder| self.embed(encoder, texts, &self.layers(config));
                place.insert(candidates.iter().map(embed).collect::<Result<_, _>>()?);
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

    fn embed(
        &self,
        encoder: &Arc<Encoder>,
        texts: &Texts,
        layers: &LayerMix,
    ) -> Result<Matrix, Failure> {
        let context = self.context;
        Ok(context
            .embed(encoder, layers, &texts.texts, self.caching)?
            .vectors)
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
    encoder: &'a Arc<Encoder>,
    texts: &'a Texts<'a>,
    /// A row for each of the texts by each encoder that a draw chooses from; none if every draw tunes
    /// its own.
    spaces: Option<&'a [Matrix]>,
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
        let test = |vectors: &Matrix| self.texts.select(vectors, self.test.examples());
        let tests: Vec<Matrix> = self.spaces.iter().copied().flatten().map(test).collect();
        for (draw, dataset) in draws.iter().enumerate() {
            let outcome = match self.spaces {
                Some(spaces) => self.frozen(dataset, draw as u64, spaces, &tests)?,
                None => self.tuned(dataset, draw as u64)?,
            };
            row.push(&outcome);
            steps.add(1);
        }
        Ok(row)
    }

    /// With the vectors that are there.
    fn frozen(
        &self,
        dataset: &Dataset,
        draw: u64,
        spaces: &[Matrix],
        tests: &[Matrix],
    ) -> Result<Outcome, Failure> {
        let start = Instant::now();
        let best = self.best(dataset, spaces);
        let test = &tests[best];
        let options = &self.config.options;
        // The first is the model's own.
        let head = options.head_for(best > 0, dataset.labels().len());
        let mut classifier = self.fit(dataset, draw, &spaces[best], &head)?;
        if !options.inductive {
            let first: Vec<usize> = (0..test.rows().min(UNLABELLED)).collect();
            classifier.adapt(&test.select(&first), &head, options.seed.wrapping_add(draw))?;
        }
        let fit = start.elapsed();
        let start = Instant::now();
        let probabilities = classifier.predict_proba(test)?;
        let predict = start.elapsed();
        Ok(self.outcome(&probabilities, classifier.labels(), [fit, predict]))
    }

    /// Each draw has an encoder of its own, so that the test texts are embedded again.
    fn tuned(&self, dataset: &Dataset, draw: u64) -> Result<Outcome, Failure> {
        let options = &self.config.options;
        let options = FitOptions {
            seed: options.seed.wrapping_add(draw),
            ..options.clone()
        };
        let begin = Instant::now();
        let encoder = Arc::clone(self.encoder);
        let mut classifier = FewShotClassifier::fit(encoder, dataset, &options)?;
        let fit = begin.elapsed();
        let texts: Vec<&str> = self
            .test
            .examples()
            .iter()
            .map(|e| e.text.as_str())
            .collect();
        let start = Instant::now();
        if classifier.gains_from_texts() {
            classifier.adapt(&texts[..texts.len().min(UNLABELLED)])?;
        }
        let probabilities = classifier.predict_proba(&texts)?.probabilities;
        let predict = start.elapsed();
        Ok(self.outcome(&probabilities, classifier.labels(), [fit, predict]))
    }

    /// The place of the encoder by which the examples are told apart best.
    fn best(&self, dataset: &Dataset, spaces: &[Matrix]) -> usize {
        if spaces.len() < 2 {
            return 0;
        }
        let of_all = dataset.classes();
        let places = leave_one_out::places(&of_all);
        let examples: Vec<Example> = places
            .iter()
            .map(|&at| dataset.examples()[at].clone())
            .collect();
        let classes: Vec<usize> = places.iter().map(|&at| of_all[at]).collect();
        let loss = |vectors| {
            let (prior, of_prior) = self.prior(dataset, vectors);
            let examples = self.texts.select(vectors, &examples);
            leave_one_out::loss([&examples, &prior], [&classes, &of_prior])
        };
        let losses: Vec<f64> = spaces.iter().map(loss).collect();
        (0..spaces.len())
            .min_by(|&a, &b| losses[a].total_cmp(&losses[b]))
            .unwrap_or(0)
    }

    /// The names' vectors and classes.
    fn prior(&self, dataset: &Dataset, vectors: &Matrix) -> (Matrix, Vec<usize>) {
        let class = |name: &Example| dataset.labels().class(&name.label);
        let classes = self.names.iter().filter_map(class).collect();
        (self.texts.select(vectors, self.names), classes)
    }

    fn fit(
        &self,
        dataset: &Dataset,
        draw: u64,
        vectors: &Matrix,
        head: &HeadOptions,
    ) -> Result<VectorClassifier, Failure> {
        let options = &self.config.options;
        let labels = dataset.labels().clone();
        let (prior, classes) = self.prior(dataset, vectors);
        Ok(VectorClassifier::fit(
            &self.texts.select(vectors, dataset.examples()),
            &dataset.classes(),
            (!self.names.is_empty()).then_some((&prior, classes.as_slice())),
            labels,
            head,
            options.seed.wrapping_add(draw),
        )?)
    }

    fn outcome(
        &self,
        probabilities: &Matrix,
        labels: &LabelSet,
        [fit, predict]: [Duration; 2],
    ) -> Outcome {
        let class = |example: &Example| labels.class(&example.label).unwrap_or(labels.len());
        let truth: Vec<usize> = self.test.examples().iter().map(class).collect();
        let (accuracy, calibration_error) = accuracy_and_calibration(probabilities, &truth);
        Outcome {
            accuracy,
            calibration_error,
            fit_seconds: fit.as_secs_f64(),
            predict_seconds: predict.as_secs_f64(),
        }
    }
}
