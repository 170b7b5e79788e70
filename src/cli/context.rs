//! What every command needs: the common options, checked, and the encoder they name.

use std::sync::Arc;
use std::time::Instant;

use fewshot::encoder::Encoder;
use fewshot::hub::{self, HubOptions, ModelFiles};

use super::failure::Failure;
use super::options::{Common, DEFAULT_MODEL};
use super::{interrupt, output, progress};

/// The common options, set up.
pub struct Context {
    pub common: Common,
    pub hub: HubOptions,
}

impl Context {
    /// Sets threads and Ctrl-C, reads the environment.
    pub fn new(common: Common) -> Result<Self, Failure> {
        interrupt::install()?;
        if let Some(threads) = common.threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads));
            let built = pool.build_global();
            built.map_err(|error| {
                Failure::message(format!("cannot start {threads} threads: {error}"))
            })?;
        }
        let environment = HubOptions::from_env();
        let hub = HubOptions {
            cache_dir: common.cache_dir.clone().or(environment.cache_dir.clone()),
            revision: common.revision.clone(),
            offline: common.offline || environment.offline,
            progress: progress::download(common.quiet),
            ..environment
        };
        Ok(Self { common, hub })
    }

    /// The model's files, fetched if need be.
    pub fn files(&self, model: &str, hub: &HubOptions) -> Result<ModelFiles, Failure> {
        let files = hub::resolve(model, hub)?;
        files
            .warnings
            .iter()
            .for_each(|warning| output::warning(warning));
        Ok(files)
    }

    /// The encoder that `--model` names, or the default one.
    pub fn encoder(&self) -> Result<Arc<Encoder>, Failure> {
        self.encoder_of(
            self.common.model.as_deref().unwrap_or(DEFAULT_MODEL),
            &self.hub,
        )
    }

    /// A certain encoder.
    pub fn encoder_of(&self, model: &str, hub: &HubOptions) -> Result<Arc<Encoder>, Failure> {
        let start = Instant::now();
        let encoder = Encoder::load(&self.files(model, hub)?)?;
        self.verbose(|| {
            format!(
                "encoder {model} loaded in {:.2} s",
                start.elapsed().as_secs_f64()
            )
        });
        Ok(Arc::new(encoder))
    }

    /// Says something with `-v` only.
    pub fn verbose(&self, message: impl FnOnce() -> String) {
        if self.common.verbose {
            output::note(&message());
        }
    }

    /// Says something unless `-q`.
    pub fn note(&self, message: impl FnOnce() -> String) {
        if !self.common.quiet {
            output::note(&message());
        }
    }
}
