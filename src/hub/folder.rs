//! A model in a folder of the person's own: checked, never changed.

use std::path::{Path, PathBuf};

use super::check::{self, CONFIG, REQUIRED, TOKENIZER, WEIGHTS};
use super::stamp::Stamps;
use super::{HubError, HubOptions, ModelFiles};

/// Opens a local folder as a model.
pub(super) fn open(
    model: &str,
    dir: PathBuf,
    options: &HubOptions,
) -> Result<ModelFiles, HubError> {
    check_files(&dir.display().to_string(), |file| dir.join(file).is_file())?;
    check::check_model_type(&dir.join(CONFIG))?;
    let weights = dir.join(WEIGHTS);
    check::check_weights(&weights)?;
    let stamps = Stamps::new(options.verified_dir(), options.refresh);
    let weights_sha256 = stamps
        .sha256(&weights)
        .map_err(|e| HubError::io(&weights, e))?;
    let ignored = options.revision.as_ref();
    let warnings = ignored.map(|r| format!("revision {r} is ignored: {model} is a folder"));
    Ok(ModelFiles {
        id: model.to_owned(),
        dir,
        commit: None,
        weights,
        weights_sha256,
        warnings: warnings.into_iter().collect(),
    })
}

/// An error if a required file is not there, with what is there instead.
pub(super) fn check_files(place: &str, has: impl Fn(&str) -> bool) -> Result<(), HubError> {
    let Some(missing) = REQUIRED.into_iter().find(|file| !has(file)) else {
        return Ok(());
    };
    let place = place.to_owned();
    Err(match missing {
        WEIGHTS if has("model.safetensors.index.json") => HubError::ShardedWeights { place },
        WEIGHTS if has("pytorch_model.bin") => HubError::PickledWeights { place },
        file => HubError::MissingFile {
            file: file.to_owned(),
            place,
        },
    })
}

/// As [`open`], and the tokenizer is JSON too: what enters the cache must be usable.
pub(super) fn check_importable(dir: &Path) -> Result<(), HubError> {
    if !dir.is_dir() {
        return Err(HubError::NoFolder {
            path: dir.to_path_buf(),
        });
    }
    check_files(&dir.display().to_string(), |file| dir.join(file).is_file())?;
    check::check_model_type(&dir.join(CONFIG))?;
    check::check_json_object(&dir.join(TOKENIZER))?;
    check::check_weights(&dir.join(WEIGHTS))
}
