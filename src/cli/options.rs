//! Options that several commands share, as they are typed.

use std::fmt::Display;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use fewshot::classifier::FitOptions;
use fewshot::data::{Dataset, Example, FieldNames, InputFormat, OutputFormat, Warning};
use fewshot::embedding_cache::{CacheError, CacheOptions};
use fewshot::encoder::LayerMix;
use fewshot::head::{
    Averaging, HeadError, HeadKind, HeadOptions, LinearOptions, MlpOptions, Start as MlpStart,
};
use fewshot::prompt::Prompt;
use fewshot::start::StartFrom;
use fewshot::support::ClassWeights;
use fewshot::threshold::Threshold;
use fewshot::tune::Tune;

use super::device::{DeviceChoice, PrecisionChoice};
use super::failure::Failure;
use super::output;

/// The encoder that is used unless another is named.
pub const DEFAULT_MODEL: &str = "sentence-transformers/all-mpnet-base-v2";

/// Options of every command.
#[derive(Args, Clone)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Encoder: a hub id (`org/name`) or a folder (a path that exists, or starts with `.` or `/`)
    /// [default: sentence-transformers/all-mpnet-base-v2]
    #[arg(long, global = true, value_name = "ID|DIR")]
    pub model: Option<String>,
    /// Branch, tag or commit of the encoder on the hub [default: main]
    #[arg(long, global = true, value_name = "REV")]
    pub revision: Option<String>,
    /// Make no network call (as HF_HUB_OFFLINE=1)
    #[arg(long, global = true)]
    pub offline: bool,
    /// The Hugging Face cache [default: $HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub]
    #[arg(long, global = true, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Numbers in which the encoder computes: auto (the fastest that the processor has: int8, else
    /// bf16, else f32; a GPU has f32), f32, bf16 or int8
    #[arg(long, global = true, value_name = "KIND", default_value = "auto")]
    pub precision: PrecisionChoice,
    /// Threads [default: one a core]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Of everything random; the same seed, data and machine give the same result
    #[arg(long, global = true, default_value_t = 42, value_name = "N")]
    pub seed: u64,
    /// Where the encoder runs: auto (a GPU if this program was built for one and finds it, else, and with --precision
    /// bf16 or int8, the processor), cpu, cuda or metal; tuning stays on the processor
    #[arg(
        long,
        global = true,
        value_name = "KIND",
        default_value = "auto",
        hide_possible_values = true
    )]
    pub device: DeviceChoice,
    /// No notes, no progress; warnings and errors stay
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say what is done and how long it took
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// The names of the fields of examples and texts.
#[derive(Args)]
pub struct Fields {
    /// Field or column that holds the text
    #[arg(long, default_value = "text", value_name = "NAME")]
    pub text_field: String,
    /// Field or column that holds the label
    #[arg(long, default_value = "label", value_name = "NAME")]
    pub label_field: String,
}

impl Fields {
    pub fn names(&self) -> FieldNames {
        FieldNames {
            text: self.text_field.clone(),
            label: self.label_field.clone(),
        }
    }
}

/// Labelled examples.
#[derive(Args)]
pub struct Examples {
    /// Labelled examples: .jsonl, .csv, .tsv or .json, also .gz and .zst; may be given several times
    #[arg(long, value_name = "FILE")]
    pub examples: Vec<PathBuf>,
    /// Label descriptions (prompts/*.toml), used as additional examples of each label
    #[arg(long, value_name = "FILE")]
    pub prompt: Vec<PathBuf>,
    #[command(flatten)]
    pub fields: Fields,
}

impl Examples {
    /// Reads files and prompts together and says what is odd about them.
    pub fn read(&self) -> Result<Dataset, Failure> {
        let (dataset, warnings) = self.read_any()?;
        warn(warnings.iter());
        dataset.check_trainable()?;
        Ok(dataset)
    }

    /// The same if they are not all: one label is enough, and what is odd about their labels is not
    /// said but returned.
    pub fn read_any(&self) -> Result<(Dataset, Vec<Warning>), Failure> {
        self.check_given("--prompt")?;
        let mut examples = Vec::new();
        if !self.examples.is_empty() {
            let names = self.fields.names();
            let (dataset, warnings) = Dataset::read(self.examples.iter(), None, &names)?;
            warn(warnings.iter().filter(|warning| is_of_rows(warning)));
            examples.extend_from_slice(dataset.examples());
        }
        for path in &self.prompt {
            for example in Prompt::read(path)?.examples() {
                refuse_conflict(&examples, &example, path)?;
                examples.push(example);
            }
        }
        let (dataset, mut warnings) = Dataset::from_examples(examples)?;
        warnings.retain(|warning| !is_of_rows(warning));
        Ok((dataset, warnings))
    }

    /// Refuses a command without examples; `other` is the last option that would do.
    pub fn check_given(&self, other: &str) -> Result<(), Failure> {
        if !self.examples.is_empty() || !self.prompt.is_empty() {
            return Ok(());
        }
        let given = match other {
            "--prompt" => "neither --examples nor --prompt was given".to_owned(),
            other => format!("none of --examples, --prompt and {other} was given"),
        };
        let hint =
            "name a file of labelled texts, for instance --examples datasets/reviews/few.jsonl";
        Err(Failure::usage(&given, hint))
    }

    /// Whether there are label descriptions only.
    pub fn zero_shot(&self) -> bool {
        self.examples.is_empty() && !self.prompt.is_empty()
    }
}

fn warn<'w>(warnings: impl Iterator<Item = &'w Warning>) {
    warnings.for_each(|warning| output::warning(&warning.to_string()));
}

/// Whether a warning names lines of a file; the others are about all examples together.
fn is_of_rows(warning: &Warning) -> bool {
    matches!(
        warning,
        Warning::DuplicateText { .. } | Warning::TrimmedLabel { .. }
    )
}

/// A description that stands among the examples already, under another label.
fn refuse_conflict(known: &[Example], new: &Example, path: &Path) -> Result<(), Failure> {
    let same = |example: &&Example| {
        example.text.trim() == new.text.trim() && example.label.trim() != new.label.trim()
    };
    let Some(other) = known.iter().find(same) else {
        return Ok(());
    };
    let text: String = new.text.trim().chars().take(40).collect();
    let (path, label, other) = (path.display(), &new.label, &other.label);
    Err(Failure::Command {
        message: format!(
            "{path}: label `{label}` is described by `{text}`, which is labelled `{other}` elsewhere"
        ),
        hint: Some("keep one of the two".to_owned()),
    })
}

/// How the head is fitted.
#[derive(Args)]
#[command(next_help_heading = "Training")]
pub struct Fit {
    /// mlp (eight layers, started from logistic regression), linear (logistic regression) or
    /// prototype (nearest class mean) [default: mlp; prototype with --prompt alone]
    #[arg(long, value_name = "KIND")]
    pub head: Option<HeadKind>,
    /// Tune the encoder's top layers on the examples first: auto (the upper half, up to 1,000
    /// examples, unless what it learned from other tasks tells them apart well enough), off, or a number of
    /// layers, counted down from the highest of --layers [default: auto; off with --prompt alone]
    #[arg(long, value_name = "N|auto|off")]
    pub tune: Option<Tune>,
    /// Hidden layers whose vectors are averaged: last, all, 6-12, 3,6 [default: the upper half]
    #[arg(long, value_name = "LAYERS")]
    pub layers: Option<LayerMix>,
    /// Do not use the labels' names as prior examples; with --prompt they are not used anyway
    #[arg(long)]
    pub no_label_names: bool,
    /// What the encoder has learned before from other tasks, used if it helps to tell the examples apart: auto
    /// (what comes with fewshot, for the default encoder and all-MiniLM-L6-v2), a file of `fewshot meta-train`,
    /// or off; random: off, and the mlp starts at random
    #[arg(long, value_name = "auto|off|FILE|random", default_value = "auto", value_parser = parse_start)]
    pub start: Start,
    /// Most passes of the mlp over the examples [default: 15; 200 with --start random]
    #[arg(long, allow_negative_numbers = true, value_name = "N")]
    pub epochs: Option<usize>,
    /// Most episodes of the mlp: each starts from the average of those before it and trains --epochs
    /// passes over three quarters of the examples; held-out examples say how many are kept
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub episodes: usize,
    /// How the heads of the episodes become one: reptile (a quarter of the way to each) or plain
    /// (their mean)
    #[arg(long, value_name = "KIND", default_value = "reptile", value_parser = parse_averaging)]
    pub averaging: Averaging,
    /// Learn from the labelled texts only. Otherwise, with four or more examples a label and unless the encoder is
    /// tuned without a start, `classify`, `evaluate` and `benchmark` learn from the texts that they label too, where these are 50 or
    /// more in a file, so that an answer depends on the others; `train` from those of --unlabelled only
    #[arg(long)]
    pub inductive: bool,
    /// How much examples of rare labels count: none (all alike), balanced (all labels weigh alike) or
    /// sqrt (half way). Without effect where all labels have as many examples
    #[arg(long, value_name = "KIND", default_value = "sqrt", value_parser = parse_class_weights)]
    pub class_weights: ClassWeights,
    /// Step of AdamW [default: 0.0003]
    #[arg(long, allow_negative_numbers = true, value_name = "X")]
    pub learning_rate: Option<f64>,
    /// Inverse strength of logistic regression's penalty [default: 10; on a start that is used as it
    /// is, half the number of labels, from 3 to 10]
    #[arg(long, allow_negative_numbers = true, value_name = "X")]
    pub strength: Option<f64>,
}

/// What `--start` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    encoder: StartFrom,
    mlp: MlpStart,
}

impl Start {
    /// The file that is read, if one is named.
    pub fn file(&self) -> Option<&Path> {
        self.encoder.file()
    }
}

fn parse_start(text: &str) -> Result<Start, String> {
    let (encoder, mlp) = match text {
        "linear" => (StartFrom::Off, MlpStart::Linear),
        "random" => (StartFrom::Off, MlpStart::Random),
        other => (parse_begin(other)?, MlpStart::Linear),
    };
    Ok(Start { encoder, mlp })
}

/// Where an encoder that is not tuned starts from.
#[derive(clap::Args)]
pub struct Begin {
    /// What the encoder has learned before from other tasks: auto (what comes with fewshot, for the default
    /// encoder and all-MiniLM-L6-v2), a file of `fewshot meta-train`, or off
    #[arg(long, value_name = "auto|off|FILE", default_value = "auto", value_parser = parse_begin)]
    pub start: StartFrom,
}

fn parse_begin(text: &str) -> Result<StartFrom, String> {
    match text {
        "" => Err("no file is named".to_owned()),
        "auto" => Ok(StartFrom::Auto),
        "off" => Ok(StartFrom::Off),
        file => Ok(StartFrom::File(file.into())),
    }
}

fn parse_averaging(text: &str) -> Result<Averaging, String> {
    match text {
        "reptile" => Ok(Averaging::Reptile),
        "plain" => Ok(Averaging::Plain),
        _ => Err(format!("`{text}` is no averaging; choose reptile or plain")),
    }
}

fn parse_class_weights(text: &str) -> Result<ClassWeights, String> {
    match text {
        "none" => Ok(ClassWeights::None),
        "sqrt" => Ok(ClassWeights::Sqrt),
        "balanced" => Ok(ClassWeights::Balanced),
        _ => Err(format!(
            "`{text}` is no class weight; choose none, sqrt or balanced"
        )),
    }
}

/// Passes that a random start needs to fit sixteen examples.
const RANDOM_EPOCHS: usize = 200;

impl Fit {
    /// Names and descriptions of the labels do the same work, and descriptions do it better: with
    /// `--prompt` the names are left out.
    pub fn options(&self, seed: u64, examples: Option<&Examples>) -> Result<FitOptions, Failure> {
        let defaults = MlpOptions::default();
        let epochs = match self.start.mlp {
            MlpStart::Random => RANDOM_EPOCHS,
            MlpStart::Linear => defaults.epochs,
        };
        let mlp = MlpOptions {
            start: self.start.mlp,
            epochs: self.epochs.unwrap_or(epochs),
            learning_rate: self.learning_rate.unwrap_or(defaults.learning_rate),
            episodes: self.episodes,
            averaging: self.averaging,
            ..defaults
        };
        let linear = LinearOptions::default();
        let linear = LinearOptions {
            strength: self.strength,
            ..linear
        };
        let (usual, tune) = if examples.is_some_and(Examples::zero_shot) {
            (HeadKind::Prototype, Tune::Off)
        } else {
            (HeadKind::default(), Tune::Auto)
        };
        let head = HeadOptions {
            kind: self.head.unwrap_or(usual),
            linear,
            mlp,
            class_weights: self.class_weights,
        };
        head.validate().map_err(out_of_range)?;
        Ok(FitOptions {
            layers: self.layers.clone(),
            label_names: !self.no_label_names && examples.is_none_or(|e| e.prompt.is_empty()),
            tune: self.tune.unwrap_or(tune),
            start: self.start.encoder.clone(),
            head,
            inductive: self.inductive,
            seed,
        })
    }
}

/// Said as clap says it of other values.
fn out_of_range(error: HeadError) -> Failure {
    match error {
        HeadError::Option { name, value, range } => {
            let option = name.replace('_', "-");
            let message = format!("invalid value '{value}' for '--{option}': must be {range}");
            Failure::usage(&message, "leave the option out for its default")
        }
        other => other.into(),
    }
}

/// Refuses a list in which something is there twice.
pub fn refuse_repeats<T: PartialEq + Display>(option: &str, named: &[T]) -> Result<(), Failure> {
    let repeated = (1..named.len()).find(|&at| named[..at].contains(&named[at]));
    match repeated {
        None => Ok(()),
        Some(at) => {
            let message = format!("{option} names {} twice", named[at]);
            Err(Failure::usage(&message, "name each once"))
        }
    }
}

/// Whether vectors of texts are kept for the next run.
#[derive(Args)]
pub struct Caching {
    /// Embed every text anew and keep no vectors on disk; `fewshot cache` tells where they are
    #[arg(long)]
    pub no_cache: bool,
}

impl Caching {
    /// None without a cache.
    pub fn options(&self) -> Result<Option<CacheOptions>, CacheError> {
        (!self.no_cache).then(CacheOptions::from_env).transpose()
    }
}

/// Texts to classify and where results go.
#[derive(Args)]
pub struct Stream {
    /// Texts: .jsonl, .csv, .tsv, .txt or .json, also .gz and .zst; `-` is standard input
    #[arg(long, value_name = "FILE|-")]
    pub input: Option<String>,
    /// The same, without the option's name
    #[arg(value_name = "INPUT", conflicts_with = "input")]
    pub positional: Option<String>,
    /// Format of the input [default: by its extension; standard input is jsonl if it starts with `{`, else txt]
    #[arg(long, value_name = "FORMAT")]
    pub input_format: Option<InputFormat>,
    /// Where results go [default: standard output]
    #[arg(short, long, value_name = "FILE|-")]
    pub output: Option<PathBuf>,
    /// jsonl, csv or table [default: jsonl, csv for an --output that ends in .csv]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<OutputFormat>,
    /// Give no label to a text whose best probability is below P; auto finds the lowest P with which
    /// 95 of 100 labels given should be right, judged by the texts so far (auto:0.9 for 90)
    #[arg(long, allow_negative_numbers = true, value_name = "P|auto")]
    pub threshold: Option<Threshold>,
    /// Name the N examples most similar to each text, with their labels and similarities (cosine,
    /// -1 to 1) [default without N: 3]
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "3", value_parser = parse_neighbours)]
    pub explain: Option<usize>,
}

/// An input behind a bare `--explain` is taken for its number: the message says how to part them.
fn parse_neighbours(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!(
            "`{text}` is no number of examples; an input goes before --explain, or behind --input"
        )),
    }
}

impl Stream {
    /// What was named to read, if anything was.
    pub fn source(&self) -> Option<&str> {
        self.input.as_deref().or(self.positional.as_deref())
    }

    /// Whether a person at a terminal is to be asked for texts.
    pub fn is_dialogue(&self) -> bool {
        let results_elsewhere = self.output.is_some() || self.format.is_some();
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        self.source().is_none() && !results_elsewhere && terminal
    }

    pub fn output_format(&self) -> OutputFormat {
        let csv = self.output.as_ref().is_some_and(|path| {
            path.extension()
                .is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
        });
        self.format.unwrap_or(if csv {
            OutputFormat::Csv
        } else {
            OutputFormat::Jsonl
        })
    }

    /// The output file; none for standard output.
    pub fn output_file(&self) -> Option<&PathBuf> {
        self.output.as_ref().filter(|path| path.as_os_str() != "-")
    }
}
