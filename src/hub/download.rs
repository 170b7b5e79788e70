//! Fetching from the hub through hf-hub, and its errors as ours.
//!
//! hf-hub 1.0 caches whatever a GET brings, unchecked, and its HEAD requests
//! know no time limit. So every file is checked after it came, and every
//! request runs under a [`Watch`].

use std::collections::HashSet;
use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hf_hub::{HFClient, HFError, HFRepository, RepoTypeModel};

use super::cache::Repo;
use super::check::{self, CONFIG, MODULES, OPTIONAL, REQUIRED, TOKENIZER, WEIGHTS};
use super::folder::check_files;
use super::stamp::{Stamps, is_hex};
use super::watch::{GivenUp, Watch};
use super::{HubError, HubOptions};

/// After the first failure; with hf-hub's pauses this adds at most a second.
const RETRIES: usize = 2;

/// Brings a revision into the cache; the reference is written last.
/// To be called under [`Repo::lock`].
pub(super) fn fetch(
    repo: &Repo,
    revision: &str,
    options: &HubOptions,
    warnings: &mut Vec<String>,
) -> Result<(), HubError> {
    repo.remove_leftovers();
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|e| HubError::io(&repo.cache, e))?;
        let result = runtime.block_on(fetch_all(repo, revision, options, warnings));
        // A name lookup or a lock that hangs must not hold us up.
        runtime.shutdown_background();
        result
    };
    // A thread of its own: the caller may be inside a runtime, where blocking panics.
    let result = std::thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    if result.is_err() {
        // Half a large file is of no use to the next attempt, and fills the disk.
        repo.remove_leftovers();
    }
    result
}

async fn fetch_all(
    repo: &Repo,
    revision: &str,
    options: &HubOptions,
    warnings: &mut Vec<String>,
) -> Result<(), HubError> {
    let mut hub = Hub::connect(repo, options, warnings)?;
    let listing = hub.listing(revision).await?;
    let place = format!("model {}", repo.id);
    check_files(&place, |file| listing.has(file))?;
    // The small file that may refuse the model comes first, the large one last.
    let config = hub.fetch(&listing, CONFIG).await?;
    check::check_model_type(&config)?;
    hub.fetch(&listing, TOKENIZER).await?;
    for file in OPTIONAL {
        hub.fetch_optional(&listing, file).await?;
    }
    let modules = repo.snapshot(&listing.commit).join(MODULES);
    if let Some(pooling) = check::pooling_config(&modules) {
        hub.fetch_optional(&listing, &pooling).await?;
    }
    hub.fetch(&listing, WEIGHTS).await?;
    if is_hex(revision, 40) {
        return Ok(());
    }
    repo.write_ref(revision, &listing.commit)
}

/// What the hub says about a revision.
struct Listing {
    commit: String,
    /// `None` if the hub lists no files: then each is asked for.
    files: Option<HashSet<String>>,
}

impl Listing {
    fn has(&self, file: &str) -> bool {
        match &self.files {
            Some(files) => files.contains(file),
            // Unknown: assume what is needed, not what would refuse the model.
            None => {
                REQUIRED.contains(&file)
                    || OPTIONAL.contains(&file)
                    || file.ends_with("/config.json")
            }
        }
    }
}

/// A connection for one model.
struct Hub<'a> {
    repo: &'a Repo,
    options: &'a HubOptions,
    hub: HFRepository<RepoTypeModel>,
    endpoint: String,
    warnings: &'a mut Vec<String>,
    /// Files that came wrong once.
    retried: HashSet<String>,
}

impl<'a> Hub<'a> {
    fn connect(
        repo: &'a Repo,
        options: &'a HubOptions,
        warnings: &'a mut Vec<String>,
    ) -> Result<Self, HubError> {
        let client = client(repo, options)?;
        let (owner, name) = hf_hub::split_id(&repo.id);
        let endpoint = client.endpoint().to_owned();
        let hub = client.model(owner, name);
        Ok(Self {
            repo,
            options,
            hub,
            endpoint,
            warnings,
            retried: HashSet::new(),
        })
    }

    async fn listing(&self, revision: &str) -> Result<Listing, HubError> {
        let watch = Watch::new("", self.options);
        let info = watch.guard(self.hub.info().revision(revision).send()).await;
        let info = info
            .map_err(|e| self.given_up("", e))?
            .map_err(|e| self.explain(e, None))?;
        let commit = info.sha.filter(|sha| is_hex(sha, 40));
        let commit = commit.ok_or_else(|| self.bad_answer("it names no commit"))?;
        let names = info
            .siblings
            .map(|files| files.into_iter().map(|f| f.rfilename).collect());
        Ok(Listing {
            commit,
            files: names,
        })
    }

    /// A file that need not exist.
    async fn fetch_optional(&mut self, listing: &Listing, file: &str) -> Result<(), HubError> {
        if !listing.has(file) {
            self.repo.mark_absent(&listing.commit, file);
            return Ok(());
        }
        match self.fetch(listing, file).await {
            Err(HubError::MissingFile { .. }) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// A file, checked. A wrong one is removed and fetched again once.
    async fn fetch(&mut self, listing: &Listing, file: &str) -> Result<PathBuf, HubError> {
        // What came just now is hashed, whatever was remembered of its path.
        let stamps = Stamps::new(self.options.verified_dir(), true);
        loop {
            let (path, length) = self.download(&listing.commit, file).await?;
            let Err(error) = check::check_cached(&path, length, &stamps) else {
                return Ok(path);
            };
            if !error.is_bad_file() {
                return Err(error);
            }
            self.repo.remove(&path)?;
            if !self.retried.insert(file.to_owned()) {
                return Err(error);
            }
            self.warnings
                .push(format!("{error}; removed, fetching it again"));
        }
    }

    /// The file's path in the snapshot, and its length if the hub gave it.
    async fn download(&self, commit: &str, file: &str) -> Result<(PathBuf, Option<u64>), HubError> {
        let watch = Watch::new(file, self.options);
        let request = self.hub.download_file().filename(file).revision(commit);
        let transfer = watch.guard(request.progress(watch.clone()).send()).await;
        let result = transfer.map_err(|e| self.given_up(file, e))?;
        let path = result.map_err(|e| self.explain(e, Some(file)))?;
        Ok((path, watch.total()))
    }

    fn given_up(&self, file: &str, error: GivenUp) -> HubError {
        match error {
            GivenUp::Silent(waited) => self.unreachable(silence(waited)),
            GivenUp::Stalled {
                done,
                total,
                waited,
            } => HubError::Stalled {
                file: file.to_owned(),
                done,
                total,
                waited,
            },
        }
    }

    fn unreachable(&self, source: impl Into<super::Cause>) -> HubError {
        HubError::Unreachable {
            endpoint: self.endpoint.clone(),
            source: source.into(),
        }
    }

    fn bad_answer(&self, reason: impl Into<String>) -> HubError {
        HubError::BadAnswer {
            endpoint: self.endpoint.clone(),
            reason: reason.into(),
        }
    }

    /// The one place where hf-hub's errors become ours. `file` is `None` for the listing.
    fn explain(&self, error: HFError, file: Option<&str>) -> HubError {
        let (id, endpoint) = (self.repo.id.clone(), self.endpoint.clone());
        match error {
            HFError::AuthRequired { .. } => HubError::Unauthorized {
                id,
                endpoint,
                token_given: self.options.token.is_some(),
            },
            HFError::Forbidden { context } => {
                let reason = context
                    .server_message
                    .unwrap_or_else(|| "licence not accepted".into());
                HubError::AccessDenied {
                    id,
                    endpoint,
                    reason,
                }
            }
            HFError::RepoNotFound { .. } => HubError::NoSuchModel { id, endpoint },
            HFError::RevisionNotFound {
                revision, context, ..
            } => {
                let code = context.and_then(|c| c.error_code);
                self.not_found(revision, code.as_deref())
            }
            HFError::EntryNotFound { path, .. } => HubError::MissingFile {
                file: path,
                place: format!("model {id}"),
            },
            HFError::RateLimited { context, .. } | HFError::Http { context } => {
                let reason = context.server_message.unwrap_or(context.url);
                HubError::Http {
                    endpoint,
                    status: context.status.as_u16(),
                    reason,
                }
            }
            HFError::Request { source, .. } if source.is_builder() => {
                HubError::BadEndpoint { endpoint }
            }
            HFError::Request { source, .. } if source.is_body() || source.is_decode() => {
                self.broke_off(source.into(), file)
            }
            HFError::Request { source, .. } => self.unreachable(source),
            HFError::Io(e) => HubError::io(&self.repo.blobs(), e),
            HFError::CacheLockTimeout { path } => HubError::CacheBusy { path },
            HFError::Xet { source, .. } => self.explain_xet(source, file),
            HFError::Url(_) => HubError::BadEndpoint { endpoint },
            other => self.bad_answer(other.to_string()),
        }
    }

    /// hf-hub calls every 404 of the listing a missing revision; the hub's code tells.
    fn not_found(&self, revision: String, code: Option<&str>) -> HubError {
        let id = self.repo.id.clone();
        match code {
            Some("RevisionNotFound") => HubError::NoSuchRevision { id, revision },
            None if self.options.revision.is_some() => HubError::NoSuchRevision { id, revision },
            _ => HubError::NoSuchModel {
                id,
                endpoint: self.endpoint.clone(),
            },
        }
    }

    fn broke_off(&self, source: super::Cause, file: Option<&str>) -> HubError {
        match file {
            Some(file) => self.interrupted(file, source),
            None => self.bad_answer(root_cause(&*source)),
        }
    }

    fn interrupted(&self, file: &str, source: impl Into<super::Cause>) -> HubError {
        let (file, endpoint) = (file.to_owned(), self.endpoint.clone());
        HubError::Interrupted {
            file,
            endpoint,
            source: source.into(),
        }
    }

    /// Large files come from a second service, whose errors are opaque but for a full disk.
    fn explain_xet(&self, error: super::Cause, file: Option<&str>) -> HubError {
        if let Some(kind) = io_kind(&*error) {
            let sorted = HubError::io(&self.repo.blobs(), kind.into());
            if !matches!(sorted, HubError::Io { .. }) {
                return sorted;
            }
        }
        self.interrupted(file.unwrap_or_default(), error)
    }
}

fn client(repo: &Repo, options: &HubOptions) -> Result<HFClient, HubError> {
    // A header cannot carry a line feed, so hf-hub sends no token at all.
    // Without any it would look for one in the environment by itself.
    let token = options.token.as_deref().unwrap_or("\n");
    let builder = HFClient::builder()
        .cache_dir(&repo.cache)
        .token(token)
        .user_agent(concat!("fewshot/", env!("CARGO_PKG_VERSION")))
        .retry_max_attempts(RETRIES);
    let builder = match &options.endpoint {
        Some(endpoint) => builder.endpoint(checked(endpoint)?),
        None => builder,
    };
    builder.build().map_err(|_| HubError::BadEndpoint {
        endpoint: options.endpoint.clone().unwrap_or_default(),
    })
}

fn checked(endpoint: &str) -> Result<&str, HubError> {
    let web = endpoint.starts_with("https://") || endpoint.starts_with("http://");
    web.then_some(endpoint)
        .ok_or_else(|| HubError::BadEndpoint {
            endpoint: endpoint.to_owned(),
        })
}

fn silence(waited: Duration) -> io::Error {
    let text = format!("no answer within {:.1} s", waited.as_secs_f32());
    io::Error::new(io::ErrorKind::TimedOut, text)
}

fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}
