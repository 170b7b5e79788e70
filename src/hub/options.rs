//! Where models come from and where they are kept.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How far a download is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The file's name in the model, such as `model.safetensors`.
    pub file: String,
    /// Bytes received so far.
    pub done: u64,
    /// Bytes expected; 0 if the hub did not say.
    pub total: u64,
}

/// Called during downloads, from another thread; it must return quickly.
pub type ProgressFn = Arc<dyn Fn(&Progress) + Send + Sync>;

/// Where models come from and where they are kept.
///
/// The default reads no environment beyond the home directory; the command
/// line starts from [`HubOptions::from_env`].
#[derive(Clone)]
pub struct HubOptions {
    /// The Hugging Face cache; default `~/.cache/huggingface/hub`.
    pub cache_dir: Option<PathBuf>,
    /// Branch, tag or commit; default `main`. Ignored, with a warning, for folders.
    pub revision: Option<String>,
    /// Never use the network.
    pub offline: bool,
    /// The hub's address; default is hf-hub's own (which looks at `HF_ENDPOINT`).
    pub endpoint: Option<String>,
    /// Access token, sent to the hub only.
    pub token: Option<String>,
    /// Ask the hub for the newest commit of the revision, and read every byte
    /// again instead of trusting an earlier check. Without it a model that is
    /// cached whole needs no request.
    pub refresh: bool,
    /// Told of every piece downloaded.
    pub progress: Option<ProgressFn>,
    /// Where finished checks are remembered; default `~/.cache/fewshot/verified`.
    /// If it cannot be written, weights are hashed at every start.
    pub verified_dir: Option<PathBuf>,
    /// How long the hub may take for its first answer; default 8 s.
    pub answer_timeout: Duration,
    /// How long a download may bring no byte; default 30 s.
    pub stall_timeout: Duration,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            cache_dir: None,
            revision: None,
            offline: false,
            endpoint: None,
            token: None,
            refresh: false,
            progress: None,
            verified_dir: None,
            answer_timeout: Duration::from_secs(8),
            stall_timeout: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for HubOptions {
    // By hand: the token must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("cache_dir", &self.cache_dir)
            .field("revision", &self.revision)
            .field("offline", &self.offline)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("refresh", &self.refresh)
            .field("verified_dir", &self.verified_dir)
            .finish_non_exhaustive()
    }
}

impl HubOptions {
    /// Options as the Hugging Face tools read them from the environment.
    ///
    /// `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`, `HF_ENDPOINT`, `HF_TOKEN`
    /// (or `HUGGING_FACE_HUB_TOKEN`, or the file `HF_TOKEN_PATH`, or
    /// `$HF_HOME/token`; none of them with `HF_HUB_DISABLE_IMPLICIT_TOKEN`),
    /// `FEWSHOT_CACHE`, `HF_HUB_OFFLINE` and `TRANSFORMERS_OFFLINE` (1, true, yes or on).
    /// Proxies (`HTTPS_PROXY`, `NO_PROXY`, …) are read by the HTTP client.
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_vars(&|name| std::env::var(name).ok())
    }

    fn from_vars(get: &dyn Fn(&str) -> Option<String>) -> Self {
        let var = |name: &str| {
            get(name)
                .map(|v| v.trim().to_owned())
                .filter(|v| !v.is_empty())
        };
        let path = |name: &str| var(name).map(|v| expand_tilde(&v));
        let on = |name: &str| var(name).is_some_and(|v| is_true(&v));
        let cache = path("XDG_CACHE_HOME").unwrap_or_else(user_cache);
        let home = path("HF_HOME").unwrap_or_else(|| cache.join("huggingface"));
        let hub = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let token = || {
            let direct = var("HF_TOKEN").or_else(|| var("HUGGING_FACE_HUB_TOKEN"));
            direct.or_else(|| read_token(&token_file))
        };
        Self {
            cache_dir: Some(hub.unwrap_or_else(|| home.join("hub"))),
            endpoint: var("HF_ENDPOINT"),
            token: if on("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
                None
            } else {
                token()
            },
            offline: on("HF_HUB_OFFLINE") || on("TRANSFORMERS_OFFLINE"),
            verified_dir: Some(fewshot_cache(get).join("verified")),
            ..Self::default()
        }
    }

    /// The Hugging Face cache folder in use.
    #[must_use]
    pub fn cache_dir(&self) -> PathBuf {
        let standard = || user_cache().join("huggingface/hub");
        self.cache_dir.clone().unwrap_or_else(standard)
    }

    pub(crate) fn verified_dir(&self) -> PathBuf {
        let standard = || user_cache().join("fewshot/verified");
        self.verified_dir.clone().unwrap_or_else(standard)
    }
}

/// Where fewshot keeps what can be made again: `FEWSHOT_CACHE`, else the folder `fewshot` in
/// `XDG_CACHE_HOME` or `~/.cache`, on every platform.
pub(crate) fn fewshot_cache(get: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let path = |name: &str| {
        let value = get(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| expand_tilde(value))
    };
    path("FEWSHOT_CACHE").unwrap_or_else(|| {
        path("XDG_CACHE_HOME")
            .unwrap_or_else(user_cache)
            .join("fewshot")
    })
}

fn user_cache() -> PathBuf {
    let home = std::env::home_dir().unwrap_or_else(std::env::temp_dir);
    home.join(".cache")
}

/// `~` and `~/x` as a shell would; it does not for `--model=~/x`.
pub(super) fn expand_tilde(path: &str) -> PathBuf {
    match (path.strip_prefix('~'), std::env::home_dir()) {
        (Some(""), Some(home)) => home,
        (Some(rest), Some(home)) if rest.starts_with('/') => {
            home.join(rest.trim_start_matches('/'))
        }
        _ => PathBuf::from(path),
    }
}

fn is_true(value: &str) -> bool {
    ["1", "true", "yes", "on"]
        .iter()
        .any(|t| value.eq_ignore_ascii_case(t))
}

fn read_token(path: &Path) -> Option<String> {
    let token = std::fs::read_to_string(path).ok()?;
    let token = token.trim();
    (!token.is_empty()).then(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(vars: &[(&str, &str)]) -> HubOptions {
        HubOptions::from_vars(&|name| {
            vars.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        })
    }

    #[test]
    fn cache_follows_the_order_python_uses() {
        let dir = |vars: &[(&str, &str)]| options(vars).cache_dir();
        let home = ("HF_HOME", "/h");
        assert_eq!(dir(&[home, ("HF_HUB_CACHE", "/c")]), PathBuf::from("/c"));
        assert_eq!(
            dir(&[home, ("XDG_CACHE_HOME", "/x")]),
            PathBuf::from("/h/hub")
        );
        assert_eq!(
            dir(&[("XDG_CACHE_HOME", "/x")]),
            PathBuf::from("/x/huggingface/hub")
        );
        assert!(dir(&[("HF_HUB_CACHE", "")]).ends_with(".cache/huggingface/hub"));
    }

    #[test]
    fn fewshots_own_cache_can_be_elsewhere() {
        let dir = |vars: &[(&str, &str)]| options(vars).verified_dir();
        let own = [("FEWSHOT_CACHE", "/f"), ("XDG_CACHE_HOME", "/x")];
        assert_eq!(dir(&own), PathBuf::from("/f/verified"));
        assert_eq!(dir(&own[1..]), PathBuf::from("/x/fewshot/verified"));
    }

    #[test]
    fn offline_takes_the_usual_words() {
        for word in ["1", "true", "YES", "On"] {
            assert!(options(&[("HF_HUB_OFFLINE", word)]).offline, "{word}");
            assert!(options(&[("TRANSFORMERS_OFFLINE", word)]).offline, "{word}");
        }
        for word in ["0", "", "no", "2"] {
            assert!(!options(&[("HF_HUB_OFFLINE", word)]).offline, "{word}");
        }
    }

    #[test]
    fn token_comes_from_variable_then_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "from-file\n").unwrap();
        let home = ("HF_HOME", dir.path().to_str().unwrap());
        let token = |vars: &[(&str, &str)]| options(vars).token;
        assert_eq!(token(&[home, ("HF_TOKEN", "a")]).as_deref(), Some("a"));
        assert_eq!(
            token(&[home, ("HUGGING_FACE_HUB_TOKEN", "b")]).as_deref(),
            Some("b")
        );
        assert_eq!(token(&[home]).as_deref(), Some("from-file"));
        assert_eq!(
            token(&[
                home,
                ("HF_TOKEN", "a"),
                ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
            ]),
            None
        );
        assert_eq!(token(&[("HF_HOME", "/nowhere")]), None);
    }

    #[test]
    fn the_token_is_not_printed() {
        let options = HubOptions {
            token: Some("secret".into()),
            ..HubOptions::default()
        };
        assert!(!format!("{options:?}").contains("secret"));
    }
}
