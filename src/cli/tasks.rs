//! Labelled sets as tasks for the agent: read, checked, embedded.

use std::path::PathBuf;

use fewshot::active::{Labelled, Task};
use fewshot::data::{Dataset, Example, FieldNames, LabelSet};
use fewshot::embedding_cache::CachedEncoder;
use fewshot::prompt::label_names;

use super::context::Context;
use super::failure::Failure;
use super::output;
use super::set_files::SetFiles;

/// A set, read and checked.
pub struct TaskTexts {
    name: String,
    pool: Dataset,
    /// None for a set whose texts are to be divided.
    test: Option<Dataset>,
}

/// Reads a set; without test files its texts are divided later.
pub fn read(files: &SetFiles, names: &FieldNames) -> Result<TaskTexts, Failure> {
    let dataset = |files: &[PathBuf]| Dataset::read(files.iter(), None, names);
    let (pool, _) = dataset(&files.train)?;
    pool.check_trainable()?;
    let test = if files.test.is_empty() {
        None
    } else {
        Some(dataset(&files.test)?.0)
    };
    let texts = TaskTexts {
        name: files.name.clone(),
        pool,
        test,
    };
    texts.warn();
    Ok(texts)
}

impl TaskTexts {
    /// Says which labels of the test nobody can give.
    fn warn(&self) {
        let Some(test) = &self.test else { return };
        let unknown = test.labels().names().iter();
        for label in unknown.filter(|label| self.pool.labels().class(label).is_none()) {
            output::warning(&format!(
                "{}: no text of the pool has the label `{label}` of the test; its texts count as errors",
                self.name
            ));
        }
    }

    /// Embeds the texts; `informed` with what the labels' names say.
    pub fn embed(
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
        let ways = labels.len();
        if self.test.is_none() {
            let task = Task::from_one(self.name.clone(), ways, &pool, context.common.seed);
            return Ok(Task { names, ..task });
        }
        Ok(Task {
            name: self.name.clone(),
            ways,
            test: labelled(test)?,
            pool,
            names,
        })
    }
}
