//! Folder or hub id: what a model's name means.

use std::path::PathBuf;

use super::HubError;
use super::options::expand_tilde;

/// The hub allows names up to this many characters.
const MAX_ID: usize = 96;

/// What the person named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Folder(PathBuf),
    Id(String),
}

impl Source {
    /// A folder if it exists as one or starts with `.`, `/` or `~/`; else a hub id.
    pub(super) fn parse(model: &str) -> Result<Self, HubError> {
        let path = expand_tilde(model);
        if path.is_dir() {
            return Ok(Self::Folder(path));
        }
        if model.starts_with(['.', '/']) || model == "~" || model.starts_with("~/") {
            return Err(HubError::NoFolder { path });
        }
        check_id(model)?;
        Ok(Self::Id(model.to_owned()))
    }
}

/// The hub's rules for a model's name; they also keep it a plain folder name in the cache.
pub(super) fn check_id(id: &str) -> Result<(), HubError> {
    match broken_rule(id) {
        None => Ok(()),
        Some(reason) => Err(HubError::BadId {
            id: id.to_owned(),
            reason,
        }),
    }
}

fn broken_rule(id: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let mut parts = id.split('/');
    if id.is_empty() {
        Some("it is empty")
    } else if id.len() > MAX_ID {
        Some("it is longer than 96 characters")
    } else if !id.chars().all(allowed) {
        Some("only letters, digits, `.`, `_`, `-` and one `/` are allowed")
    } else if id.matches('/').count() > 1 {
        Some("it has more than one `/`")
    } else if parts.any(|p| p.is_empty() || p.starts_with(['.', '-']) || p.ends_with(['.', '-'])) {
        Some("a part is empty, or begins or ends with `.` or `-`")
    } else if id.contains("--") || id.contains("..") {
        Some("`--` and `..` are not allowed")
    } else {
        None
    }
}

/// A revision becomes part of a path in the cache, so it must not lead out of it.
pub(super) fn check_revision(revision: &str) -> Result<(), HubError> {
    let fine =
        |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', ':']);
    if revision.split('/').all(fine) && !revision.chars().any(|c| c.is_control() || c == ' ') {
        return Ok(());
    }
    Err(HubError::BadRevision {
        revision: revision.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_folders_are_told_apart() {
        let id = |s: &str| assert_eq!(Source::parse(s).unwrap(), Source::Id(s.to_owned()), "{s}");
        id("gpt2");
        id("sentence-transformers/all-mpnet-base-v2");
        id("a/b.c_d-e");
        assert!(matches!(Source::parse("src").unwrap(), Source::Folder(_)));
        assert!(matches!(Source::parse("./src").unwrap(), Source::Folder(_)));
        for missing in [
            "./nowhere",
            "/nowhere/at/all",
            "~/nowhere-at-all",
            "../nowhere",
        ] {
            assert!(
                matches!(Source::parse(missing), Err(HubError::NoFolder { .. })),
                "{missing}"
            );
        }
    }

    #[test]
    fn malformed_ids_are_refused() {
        let long = "x".repeat(97);
        for bad in [
            "", "a/b/c", "a b", "a/", "a//b", "x/../y", "C:\\m", "a--b/c", "-a/b", "é/x", &long,
        ] {
            assert!(
                matches!(Source::parse(bad), Err(HubError::BadId { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn revisions_stay_inside_the_cache() {
        for good in ["main", "v1.0", "refs/pr/1", "feature/x", &"a".repeat(40)] {
            assert!(check_revision(good).is_ok(), "{good}");
        }
        for bad in ["", "..", "a/../b", "/etc", "a\\b", ".git", "a b"] {
            assert!(
                matches!(check_revision(bad), Err(HubError::BadRevision { .. })),
                "{bad}"
            );
        }
    }
}
