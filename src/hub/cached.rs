//! What the cache holds of a model, and whether it can be used.

use std::path::PathBuf;

use super::cache::Repo;
use super::check::{self, CONFIG, MODULES, OPTIONAL, REQUIRED, WEIGHTS, check_cached};
use super::stamp::Stamps;
use super::{HubError, ModelFiles};

/// What was found of one revision.
#[derive(Debug, Default)]
pub(super) struct Cached {
    commit: Option<String>,
    dir: PathBuf,
    /// Files that are needed and not there.
    pub(super) missing: Vec<String>,
    /// Files that are there and wrong.
    pub(super) bad: Vec<(PathBuf, HubError)>,
}

impl Cached {
    /// Looks at every file of a revision and checks its sum. No network.
    pub(super) fn inspect(repo: &Repo, revision: &str, stamps: &Stamps) -> Result<Self, HubError> {
        let Some(commit) = repo.commit_of(revision) else {
            let missing = REQUIRED.map(str::to_owned).to_vec();
            return Ok(Self {
                missing,
                ..Self::default()
            });
        };
        let dir = repo.snapshot(&commit);
        let pooling =
            check::pooling_config(&dir.join(MODULES)).filter(|file| !repo.is_absent(&commit, file));
        let mut found = Self {
            commit: Some(commit),
            dir,
            ..Self::default()
        };
        let needed = REQUIRED.into_iter().map(str::to_owned).chain(pooling);
        for file in needed {
            found.take(file, true, stamps)?;
        }
        for file in OPTIONAL {
            found.take(file.to_owned(), false, stamps)?;
        }
        Ok(found)
    }

    fn take(&mut self, file: String, needed: bool, stamps: &Stamps) -> Result<(), HubError> {
        let path = self.dir.join(&file);
        if !path.exists() {
            if needed {
                self.missing.push(file);
            }
            return Ok(());
        }
        match check_cached(&path, None, stamps) {
            Err(error) if error.is_bad_file() => self.bad.push((path, error)),
            other => other?,
        }
        Ok(())
    }

    pub(super) fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.bad.is_empty()
    }

    /// Whether an encoder can be made of it: the pooling's settings may lack, with a warning.
    fn is_usable(&self) -> bool {
        let required = |file: &String| REQUIRED.contains(&file.as_str());
        self.bad.is_empty() && !self.missing.iter().any(required)
    }

    /// Removes the wrong files under the repository's lock; one sentence for each.
    pub(super) fn remove_bad(&mut self, repo: &Repo) -> Result<Vec<String>, HubError> {
        let mut warnings = Vec::new();
        for (path, error) in self.bad.drain(..) {
            repo.remove(&path)?;
            warnings.push(format!("{error}; removed, fetching it again"));
        }
        Ok(warnings)
    }

    /// The files, or why they cannot be used.
    pub(super) fn into_files(
        mut self,
        repo: &Repo,
        revision: &str,
        stamps: &Stamps,
    ) -> Result<ModelFiles, HubError> {
        if !self.is_usable() {
            return Err(self.refusal(repo, revision));
        }
        check::check_model_type(&self.dir.join(CONFIG))?;
        let weights = self.dir.join(WEIGHTS);
        let weights_sha256 = stamps
            .sha256(&weights)
            .map_err(|e| HubError::io(&weights, e))?;
        Ok(ModelFiles {
            id: repo.id.clone(),
            warnings: self.pooling_warnings(repo),
            weights,
            weights_sha256,
            dir: self.dir,
            commit: self.commit.take(),
        })
    }

    fn refusal(mut self, repo: &Repo, revision: &str) -> HubError {
        if !self.bad.is_empty() {
            return self.bad.swap_remove(0).1;
        }
        HubError::NotCached {
            id: repo.id.clone(),
            revision: revision.to_owned(),
            missing: self.missing,
            cache: repo.cache.clone(),
        }
    }

    /// Python caches only the files it was asked for. Without the pooling's
    /// settings an encoder falls back to the mean, which may be another model.
    fn pooling_warnings(&self, repo: &Repo) -> Vec<String> {
        let commit = self.commit.as_deref().unwrap_or_default();
        let unknown = !self.dir.join(MODULES).exists() && !repo.is_absent(commit, MODULES);
        let lacking = unknown.then_some(MODULES);
        let lacking = lacking
            .into_iter()
            .chain(self.missing.iter().map(String::as_str));
        lacking
            .map(|file| {
                format!(
                    "{} is cached without {file}, which tells how to pool; `fewshot models get {}` fetches it",
                    repo.id, repo.id
                )
            })
            .collect()
    }
}
