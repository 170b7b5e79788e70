//! The configurations that are compared: `--head`, `--heads` or `--config`.

use std::collections::HashSet;

use clap::Parser;
use fewshot::head::{HeadKind, HeadOptions};
use fewshot::{FitOptions, Tune};

use super::{Args, Failure, Fit};

/// A name and how its classifiers are fitted.
pub struct Config {
    pub name: String,
    pub options: FitOptions,
}

impl Config {
    /// Whether every draw makes an encoder of its own.
    pub fn tunes(&self) -> bool {
        self.options.tune != Tune::Off
    }
}

/// The options of one `--config`.
#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Line {
    #[command(flatten)]
    fit: Fit,
}

/// At least one; the others are compared with the first.
pub fn read(args: &Args, seed: u64) -> Result<Vec<Config>, Failure> {
    if !args.configs.is_empty() {
        let configs = args.configs.iter().map(|line| parse(line, seed));
        return refuse_repeated(configs.collect::<Result<_, _>>()?);
    }
    let options = args.fit.options(seed, None)?;
    let one = [options.head.kind];
    let heads: &[HeadKind] = if args.heads.is_empty() {
        &one
    } else {
        &args.heads
    };
    refuse_repeated(
        heads
            .iter()
            .map(|&kind| with_head(&options, kind))
            .collect(),
    )
}

fn with_head(options: &FitOptions, kind: HeadKind) -> Config {
    let head = HeadOptions {
        kind,
        ..options.head.clone()
    };
    Config {
        name: kind.name().to_owned(),
        options: FitOptions {
            head,
            ..options.clone()
        },
    }
}

fn parse(line: &str, seed: u64) -> Result<Config, Failure> {
    let hint = "write a name and Training options, such as 'last=--layers last --head linear'";
    let named = line
        .split_once('=')
        .map(|(name, words)| (name.trim(), words));
    let Some((name, words)) = named.filter(|(name, _)| is_name(name)) else {
        let message = format!("--config '{line}' begins with no name");
        return Err(Failure::usage(&message, hint));
    };
    let fit = Line::try_parse_from(words.split_whitespace()).map_err(|error| {
        let message = format!("--config {name}: {}", first_line(&error));
        Failure::usage(&message, hint)
    })?;
    let options = fit.fit.options(seed, None);
    Ok(Config {
        name: name.to_owned(),
        options: options.map_err(|failure| failure.within(&format!("--config {name}")))?,
    })
}

/// `--head=linear` is an option whose name was forgotten.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('-')
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

fn refuse_repeated(configs: Vec<Config>) -> Result<Vec<Config>, Failure> {
    let mut seen = HashSet::new();
    match configs.iter().find(|config| !seen.insert(&config.name)) {
        Some(config) => Err(Failure::usage(
            &format!("`{}` is there twice to be compared", config.name),
            "give each configuration another name",
        )),
        None => Ok(configs),
    }
}
