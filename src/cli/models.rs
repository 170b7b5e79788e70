//! `fewshot models`: what is in the cache, fetch, import, where it is.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use fewshot::data::visible;
use fewshot::encoder::Encoder;
use fewshot::hub::{self, CachedModel, HubOptions};
use serde_json::json;

use super::context::Context;
use super::failure::Failure;
use super::options::DEFAULT_MODEL;
use super::output;

/// List, fetch, import and find encoders in the Hugging Face cache.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fewshot models list
  fewshot models get sentence-transformers/all-mpnet-base-v2
  fewshot models import ./my-encoder my-team/my-encoder
  fewshot models path sentence-transformers/all-mpnet-base-v2")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// What is in the cache: id, revision, size, type, width.
    List {
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Fetch a model, or check the one that is cached.
    Get {
        /// Hub id.
        #[arg(default_value = DEFAULT_MODEL)]
        id: String,
        /// Ask the hub for a newer commit, even if the model is cached.
        #[arg(long)]
        refresh: bool,
    },
    /// Copy a model folder into the cache, for fewshot and Python alike.
    Import {
        /// The folder, with config.json, tokenizer.json and model.safetensors.
        folder: PathBuf,
        /// The id that it gets, `org/name`.
        id: String,
    },
    /// Print the folder of a cached model; no network call is made.
    Path {
        /// Hub id.
        #[arg(default_value = DEFAULT_MODEL)]
        id: String,
    },
}

pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match &args.action {
        Action::List { json } => list(*json, context),
        Action::Get { id, refresh } => get(id, *refresh, context),
        Action::Import { folder, id } => import(folder, id, context),
        Action::Path { id } => path(id, context),
    }
}

fn list(as_json: bool, context: &Context) -> Result<(), Failure> {
    let models = hub::list(&context.hub)?;
    if as_json {
        let rows: Vec<serde_json::Value> = models.iter().map(document).collect();
        return output::print_json(&json!(rows));
    }
    if models.is_empty() {
        context.note(|| format!("no model in {}", context.hub.cache_dir().display()));
    }
    let rows: String = models.iter().map(row).collect();
    output::print(format!("{}{rows}", heading(&models)).as_bytes())
}

fn heading(models: &[CachedModel]) -> String {
    let columns = format!(
        "{:<48} {:<14} {:>9}  {:<8} {:>5}\n",
        "id", "revision", "size", "type", "width"
    );
    if models.is_empty() {
        String::new()
    } else {
        columns
    }
}

fn row(model: &CachedModel) -> String {
    let commit: String = model
        .commit
        .as_deref()
        .unwrap_or("-")
        .chars()
        .take(8)
        .collect();
    let revision = match model.refs.first() {
        Some(name) => format!("{} {commit}", visible(name)),
        None => commit,
    };
    let width = model
        .width
        .map_or("-".to_owned(), |width| width.to_string());
    let kind = model.model_type.as_deref().unwrap_or("-");
    let whole = if model.complete { "" } else { "  (incomplete)" };
    let id = visible(&model.id);
    format!(
        "{id:<48} {revision:<14} {:>9}  {:<8} {width:>5}{whole}\n",
        output::size(model.size_bytes),
        visible(kind)
    )
}

fn document(model: &CachedModel) -> serde_json::Value {
    json!({
        "id": model.id,
        "refs": model.refs,
        "commit": model.commit,
        "path": model.dir,
        "size_bytes": model.size_bytes,
        "model_type": model.model_type,
        "width": model.width,
        "complete": model.complete,
    })
}

fn get(id: &str, refresh: bool, context: &Context) -> Result<(), Failure> {
    let files = context.files(
        id,
        &HubOptions {
            refresh,
            ..context.hub.clone()
        },
    )?;
    // Loading checks that the files fit together.
    let encoder = Encoder::load(&files)?;
    context.note(|| {
        let (width, layers) = (encoder.width(), encoder.layers());
        format!(
            "{id}: {width} numbers a vector, {layers} layers, weights sha256 {}",
            files.weights_sha256
        )
    });
    print_path(&files.dir)
}

fn import(folder: &Path, id: &str, context: &Context) -> Result<(), Failure> {
    // A folder that cannot be used must not get into the cache; one that is not there is named below.
    if let Ok(path) = folder.canonicalize() {
        context.encoder_of(&path.display().to_string(), &context.hub)?;
    }
    let files = hub::import(folder, id, &context.hub)?;
    files
        .warnings
        .iter()
        .for_each(|warning| output::warning(warning));
    context.note(|| format!("{} imported as {id}", folder.display()));
    print_path(&files.dir)
}

fn path(id: &str, context: &Context) -> Result<(), Failure> {
    let files = context.files(
        id,
        &HubOptions {
            offline: true,
            ..context.hub.clone()
        },
    )?;
    print_path(&files.dir)
}

fn print_path(path: &Path) -> Result<(), Failure> {
    output::print(format!("{}\n", path.display()).as_bytes())
}
