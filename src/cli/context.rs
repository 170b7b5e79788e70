//! What every command needs: the common options, checked, and the encoder they name.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fewshot::embedding_cache::{CacheReport, CachedEncoder};
use fewshot::encoder::{Encoded, Encoder, LayerMix};
use fewshot::hub::{self, HubOptions, ModelFiles};
use fewshot::start::StartFrom;

use super::failure::{Failure, sentence};
use super::options::{Caching, Common, DEFAULT_MODEL};
use super::progress::{self, Steps};
use super::{interrupt, output};

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

    /// The encoder that `--model` names, or the default one, with what it has learned before.
    pub fn started(&self, start: &StartFrom) -> Result<Arc<Encoder>, Failure> {
        let encoder = self.encoder()?;
        let mut candidates = start.candidates(&encoder)?;
        Ok(candidates.pop().unwrap_or(encoder))
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
        let gpu = self.common.device.gpu(self.common.precision, self)?;
        let precision = self.common.precision.on(gpu.as_ref());
        let mut encoder = Encoder::load_in(&self.files(model, hub)?, precision)?;
        if let Some(gpu) = gpu {
            encoder = encoder.on(&gpu)?;
        }
        self.verbose(|| {
            format!(
                "encoder {model} loaded in {:.2} s, {} on {}",
                start.elapsed().as_secs_f64(),
                encoder.precision().name(),
                encoder.device_name().unwrap_or("cpu")
            )
        });
        Ok(Arc::new(encoder))
    }

    /// Embeds texts, each once, with a bar, by way of the cache on disk unless `--no-cache`.
    ///
    /// For commands that meet the same texts again and again: benchmarks, simulations, a pool to be
    /// labelled. A stream of new texts would only fill the disk.
    pub fn embed<S: AsRef<str>>(
        &self,
        encoder: &Encoder,
        layers: &LayerMix,
        texts: &[S],
        caching: &Caching,
    ) -> Result<Encoded, Failure> {
        self.embed_with(&mut self.cached(encoder, layers, caching)?, texts)
    }

    /// An encoder that is to embed more than once: the cache is opened and read once.
    pub fn cached<'e>(
        &self,
        encoder: &'e Encoder,
        layers: &LayerMix,
        caching: &Caching,
    ) -> Result<CachedEncoder<'e>, Failure> {
        let options = caching.options()?;
        Ok(CachedEncoder::open(encoder, layers, options.as_ref())?)
    }

    /// As [`Context::embed`], with an encoder of [`Context::cached`].
    pub fn embed_with<S: AsRef<str>>(
        &self,
        encoder: &mut CachedEncoder,
        texts: &[S],
    ) -> Result<Encoded, Failure> {
        let start = Instant::now();
        let mut bar = None;
        let result = encoder.encode(texts, |done, of| {
            bar.get_or_insert_with(|| Steps::new("texts".to_owned(), of, self.common.quiet))
                .set(done);
        });
        drop(bar);
        let encoded = result?;
        self.say_of_cache(&encoder.take_report(), start.elapsed());
        Ok(encoded)
    }

    fn say_of_cache(&self, report: &CacheReport, time: Duration) {
        if report.damaged > 0 {
            self.note(|| {
                let places = output::count(report.damaged, "place");
                format!(
                    "the cache of embeddings was damaged in {places}; \
                     the texts concerned are embedded again"
                )
            });
        }
        if let Some(problem) = &report.problem {
            self.verbose(|| format!("new vectors are not kept: {}", sentence(problem)));
        }
        self.verbose(|| {
            let found = output::count(report.found, "text");
            let seconds = time.as_secs_f64();
            format!(
                "{found} from the cache, {} embedded, {seconds:.2} s",
                report.embedded
            )
        });
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
