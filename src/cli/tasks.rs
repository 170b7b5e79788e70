//! Labelled sets as tasks for the agent: read, checked, embedded.

use std::path::{Path, PathBuf};

use fewshot::active::{Labelled, Task};
use fewshot::data::{Dataset, Example, FieldNames, LabelSet};
use fewshot::embedding_cache::CachedEncoder;
use fewshot::encoder::{EncoderIdentity, LayerMix};
use fewshot::prompt::label_names;

use super::context::Context;
use super::failure::Failure;
use super::options::{Begin, Caching, Fields};
use super::output;
use super::set_files::SetFiles;

/// How sets are read and embedded.
#[derive(clap::Args)]
pub struct Reading {
    /// Hidden layers whose vectors are averaged: last, all, 6-12, 3,6 [default: the upper half]
    #[arg(long, value_name = "LAYERS")]
    layers: Option<LayerMix>,
    #[command(flatten)]
    begin: Begin,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    caching: Caching,
}

/// Tasks, and what made their vectors.
pub struct Tasks {
    pub tasks: Vec<Task>,
    pub encoder: EncoderIdentity,
    pub layers: LayerMix,
}

impl Reading {
    /// The file of `--start`, if one is named.
    pub fn start_file(&self) -> Option<PathBuf> {
        self.begin.start.file().map(Path::to_owned)
    }

    /// Reads all sets before the encoder's work, so that nobody waits for a refusal; `informed`: with
    /// what the labels' names say.
    pub fn tasks(
        &self,
        files: &[SetFiles],
        informed: bool,
        context: &Context,
    ) -> Result<Tasks, Failure> {
        let names = self.fields.names();
        let texts = files.iter().map(|files| TaskTexts::read(files, &names));
        let texts: Vec<_> = texts.collect::<Result<_, _>>()?;
        let encoder = context.started(&self.begin.start)?;
        let layers = self.layers.clone();
        let layers = layers.unwrap_or_else(|| encoder.default_layers());
        layers.indices(encoder.layers())?;
        let mut cached = context.cached(&encoder, &layers, &self.caching)?;
        let tasks = texts
            .iter()
            .map(|texts| texts.embed(&mut cached, informed, context))
            .collect::<Result<_, _>>()?;
        Ok(Tasks {
            tasks,
            encoder: encoder.identity().clone(),
            layers,
        })
    }
}

/// Fewer texts than these cannot be divided: two fifths of them are less than one.
const LEAST_TO_DIVIDE: usize = 3;

/// A set, read and checked.
struct TaskTexts {
    name: String,
    pool: Dataset,
    /// None for a set whose texts are to be divided.
    test: Option<Dataset>,
}

impl TaskTexts {
    /// Reads a set; without test files its texts are divided later.
    fn read(files: &SetFiles, names: &FieldNames) -> Result<Self, Failure> {
        let dataset = |files: &[PathBuf]| Dataset::read(files.iter(), None, names);
        let (pool, _) = dataset(&files.train)?;
        pool.check_trainable()?;
        let test = match &files.test[..] {
            [] if pool.examples().len() < LEAST_TO_DIVIDE => return Err(too_few(&files.name)),
            [] => None,
            files => Some(dataset(files)?.0),
        };
        Ok(Self {
            name: files.name.clone(),
            pool,
            test,
        })
    }

    /// Embeds the texts; `informed` with what the labels' names say.
    fn embed(
        &self,
        encoder: &mut CachedEncoder,
        informed: bool,
        context: &Context,
    ) -> Result<Task, Failure> {
        let test = self.test.as_ref().map_or(&[][..], Dataset::examples);
        let all = self.pool.examples().iter().chain(test);
        let labels = LabelSet::new(all.map(|example| example.label.as_str()));
        let named = if informed {
            label_names(&labels)
        } else {
            Vec::new()
        };
        let mut labelled = |examples: &[Example]| -> Result<Labelled, Failure> {
            let texts: Vec<&str> = examples
                .iter()
                .map(|example| example.text.as_str())
                .collect();
            let vectors = context.embed_with(encoder, &texts)?.vectors;
            let class = |example: &Example| labels.class(&example.label);
            Ok(Labelled {
                vectors,
                classes: examples.iter().filter_map(class).collect(),
            })
        };
        let pool = labelled(self.pool.examples())?;
        let names = if named.is_empty() {
            None
        } else {
            Some(labelled(&named)?)
        };
        let (name, ways) = (self.name.clone(), labels.len());
        let task = match &self.test {
            None => Task::from_one(name, ways, &pool, context.common.seed),
            Some(test) => Task {
                name,
                ways,
                test: labelled(test.examples())?,
                pool,
                names: None,
            },
        };
        warn_of_unseen(&task, &labels);
        Ok(Task { names, ..task })
    }
}

fn too_few(name: &str) -> Failure {
    Failure::Command {
        message: format!("{name} has too few texts to keep two fifths of them as a test"),
        hint: Some(format!(
            "add texts, {LEAST_TO_DIVIDE} or more, or name a test"
        )),
    }
}

/// Says which labels of the test nobody can give.
fn warn_of_unseen(task: &Task, labels: &LabelSet) {
    for (class, label) in labels.names().iter().enumerate() {
        if task.test.classes.contains(&class) && !task.pool.classes.contains(&class) {
            output::warning(&format!(
                "{}: no text of the pool has the label `{label}` of the test; its texts count as errors",
                task.name
            ));
        }
    }
}
