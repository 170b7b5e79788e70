//! `fewshot cache`: the vectors that are kept on disk.

use fewshot::data::visible;
use fewshot::embedding_cache::{self, CacheFile, CacheOptions};
use serde_json::json;

use super::context::Context;
use super::failure::Failure;
use super::output;

/// Show where vectors of texts are kept and how large they are, or remove them.
///
/// What was embedded once is kept in the folder `embeddings` in $FEWSHOT_CACHE, else in
/// $XDG_CACHE_HOME/fewshot, else in ~/.cache/fewshot, up to 2 GB or $FEWSHOT_CACHE_SIZE (such as
/// 500M or 10G; 0 keeps nothing new). The texts themselves are not kept, only hashes of them.
/// Models are another cache: see `fewshot models`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fewshot cache
  fewshot cache --clear
  FEWSHOT_CACHE_SIZE=10G fewshot benchmark --train pool.jsonl --test test.jsonl")]
pub struct Args {
    /// Remove all vectors
    #[arg(long)]
    clear: bool,
    /// Print one JSON document
    #[arg(long, conflicts_with = "clear")]
    json: bool,
}

pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let options = CacheOptions::from_env()?;
    if args.clear {
        let freed = embedding_cache::clear(&options.dir)?;
        let dir = options.dir.display();
        context.note(|| format!("{} removed from {dir}", output::size(freed)));
        return Ok(());
    }
    let files = embedding_cache::list(&options.dir)?;
    if args.json {
        return output::print_json(&json!({
            "path": options.dir,
            "size_bytes": total(&files),
            "max_bytes": options.max_bytes,
            "files": files,
        }));
    }
    output::print(table(&options, &files).as_bytes())
}

fn total(files: &[CacheFile]) -> u64 {
    files.iter().map(|file| file.size_bytes).sum()
}

fn table(options: &CacheOptions, files: &[CacheFile]) -> String {
    let mut out = format!(
        "{}: {} of at most {}\n",
        visible(&options.dir.display().to_string()),
        output::size(total(files)),
        output::size(options.max_bytes)
    );
    if !files.is_empty() {
        out += &format!(
            "{:<48} {:<14} {:>8} {:>10}\n",
            "encoder", "layers", "texts", "size"
        );
    }
    out + &files.iter().map(row).collect::<String>()
}

fn row(file: &CacheFile) -> String {
    format!(
        "{:<48} {:<14} {:>8} {:>10}\n",
        visible(file.encoder.as_deref().unwrap_or("(damaged)")),
        file.layers.to_string(),
        file.texts,
        output::size(file.size_bytes)
    )
}
