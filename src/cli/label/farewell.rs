//! The end: where the answers are, and the command that uses them.

use std::path::Path;

use fewshot::active::Session;
use fewshot::data::FieldNames;
use fewshot::start::StartFrom;

use super::{Args, screen};
use crate::cli::context::Context;
use crate::cli::device::{DeviceChoice, PrecisionChoice};
use crate::cli::failure::Failure;
use crate::cli::options::Common;
use crate::cli::output;

pub fn say(session: &Session, args: &Args, context: &Context) -> Result<(), Failure> {
    let counts = session.learner().counts();
    let labels = output::count(counts.iter().sum(), "label");
    let journal = session.journal().path();
    screen::say(&format!("{labels} in {}", journal.display()))?;
    if counts.iter().filter(|&&count| count > 0).count() < 2 {
        return screen::say(
            "two classes need a label before they can be told apart; the same command goes on",
        );
    }
    let next = next(journal, args, &context.common);
    screen::say(&format!("next: {next}"))
}

/// A command that learns from the journal and labels the pool, with the options of this one.
fn next(journal: &Path, args: &Args, common: &Common) -> String {
    let (journal, pool) = (path(journal), path(args.pool()));
    let (learning, reading) = (encoder(common) + &learning(args), reading(args));
    let text = args.fields.names().text;
    if text == FieldNames::default().text {
        return format!("fewshot classify --examples {journal} {pool}{learning}{reading}");
    }
    // The journal's field is `text`, whatever the pool's is.
    format!(
        "fewshot train --examples {journal} --output classifier{learning} && \
         fewshot predict --classifier classifier {pool} --text-field {}{reading}",
        quoted(&text)
    )
}

/// The options that say which encoder it is, where they are not the usual ones.
fn encoder(common: &Common) -> String {
    let word = |name: &str, value: &Option<String>| {
        let value = value.as_ref();
        value.map(|value| format!(" --{name} {}", quoted(value)))
    };
    let cache = common.cache_dir.as_ref();
    let cache = cache.map(|folder| format!(" --cache-dir {}", path(folder)));
    let precision = match common.precision {
        PrecisionChoice::Of(precision) => Some(format!(" --precision {}", precision.name())),
        PrecisionChoice::Auto => None,
    };
    let device = Some(common.device).filter(|&device| device != DeviceChoice::Auto);
    let device = device.map(|device| format!(" --device {}", device.name()));
    let offline = common.offline.then(|| " --offline".to_owned());
    let (model, revision) = (&common.model, &common.revision);
    let options = [
        word("model", model),
        word("revision", revision),
        cache,
        precision,
        device,
        offline,
    ];
    options.into_iter().flatten().collect()
}

fn learning(args: &Args) -> String {
    let layers = args.layers.as_ref();
    let layers = layers.map(|layers| format!(" --layers {layers}"));
    let prompt = args.prompt.as_ref();
    let prompt = prompt.map(|prompt| format!(" --prompt {}", path(prompt)));
    let names = args.no_label_names.then(|| " --no-label-names".to_owned());
    let start = match &args.begin.start {
        StartFrom::Auto => None,
        StartFrom::Off => Some(" --start off".to_owned()),
        StartFrom::File(file) => Some(format!(" --start {}", path(file))),
    };
    [layers, prompt, names, start]
        .into_iter()
        .flatten()
        .collect()
}

fn reading(args: &Args) -> String {
    let format = args.input_format;
    format.map_or_else(String::new, |format| format!(" --input-format {format}"))
}

fn path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// A word as a shell has to be given it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:,+@%=~".contains(c);
    if !word.is_empty() && !word.starts_with('~') && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_shell_as_they_are() {
        assert_eq!(quoted("a/b-c.jsonl"), "a/b-c.jsonl");
        assert_eq!(quoted("my texts.txt"), "'my texts.txt'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("~x"), "'~x'");
    }
}
