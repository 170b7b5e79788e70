//! `fewshot label`: a person labels texts that the agent chooses.

mod dialogue;
mod keys;
mod screen;
mod texts;

use std::path::{Path, PathBuf};

use fewshot::active::{Guide, Journal, Policy, Session, SessionOptions, Strategy};
use fewshot::data::{Example, InputFormat, LabelSet};
use fewshot::encoder::{Encoder, LayerMix};
use fewshot::matrix::Matrix;
use fewshot::prompt::{Prompt, label_names};

use super::context::Context;
use super::failure::Failure;
use super::options::{Caching, Fields};
use super::output;
use texts::PoolTexts;

/// Label texts one by one; the agent chooses those from which most is learned.
///
/// Every answer is on disk before the next text is shown: however it ends, the same command goes on
/// where it was. The journal is a file of examples: give it to --examples.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fewshot label --pool datasets/reviews/new.txt --labels journal.jsonl --classes positive,negative
  fewshot classify --examples journal.jsonl datasets/reviews/new.txt --format table")]
pub struct Args {
    /// Texts to choose from: .jsonl, .csv, .tsv, .txt or .json, also .gz and .zst
    #[arg(long, value_name = "FILE")]
    pool: PathBuf,
    /// Journal of the answers, appended to; it is made if need be [a .jsonl file]
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// Names of the classes; more can be added while labelling [default: those of --prompt, or of the
    /// journal]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    classes: Vec<String>,
    /// Descriptions of the classes (prompts/*.toml), instead of their names in words
    #[arg(long, value_name = "FILE", conflicts_with = "no_label_names")]
    prompt: Option<PathBuf>,
    /// Who chooses the next text: q-learning (the agent), or one strategy throughout: random, margin,
    /// entropy, typical, rep, urep, focus, ted, uted, diverse, badge
    #[arg(long, value_name = "NAME", default_value = "q-learning", value_parser = parse_choice)]
    strategy: Choice,
    /// What the agent has learned [default: the policy that comes with fewshot]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Stop at so many labels in all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    budget: Option<u64>,
    /// Texts to choose from at most; of a larger pool so many are drawn
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=5_000))]
    shortlist: u64,
    /// Do not let the classes' names say anything about texts
    #[arg(long)]
    no_label_names: bool,
    /// Hidden layers whose vectors are averaged: last, all, 6-12, 3,6 [default: the upper half]
    #[arg(long, value_name = "LAYERS")]
    layers: Option<LayerMix>,
    /// Format of the pool [default: by its extension]
    #[arg(long, value_name = "FORMAT")]
    input_format: Option<InputFormat>,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    caching: Caching,
}

#[derive(Debug, Clone, Copy)]
enum Choice {
    Agent,
    Strategy(Strategy),
}

fn parse_choice(text: &str) -> Result<Choice, String> {
    if text == "q-learning" {
        return Ok(Choice::Agent);
    }
    let named = |error: String| error.replace("choose one of", "choose q-learning or one of");
    text.parse().map(Choice::Strategy).map_err(named)
}

pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let described = args.prompt.as_deref().map(Prompt::read).transpose()?;
    let described = described.map_or(Vec::new(), |prompt| prompt.examples());
    let classes = classes(args, &described)?;
    let described = if described.is_empty() {
        names(&classes, args)
    } else {
        described
    };
    let guide = guide(args)?;
    let journal = open_journal(&args.labels)?;
    check_labels(&journal, &classes)?;
    let names = args.fields.names();
    let shortlist = args.shortlist as usize;
    let read = texts::read(
        &args.pool,
        args.input_format,
        &names,
        shortlist,
        context.common.seed,
    )?;
    read.warn(args, context);
    let texts = texts::with_journal(read.texts, &journal, context);
    let mut session = session(texts, journal, (classes, described), guide, args, context)?;
    let result = dialogue::run(&mut session, args.budget.map(|budget| budget as usize));
    screen::farewell(&session, &args.pool)?;
    result
}

/// The classes that are known from the start; those of the descriptions if none is named.
fn classes(args: &Args, described: &[Example]) -> Result<Vec<String>, Failure> {
    let mut classes: Vec<String> = Vec::new();
    if args.classes.is_empty() {
        for Example { label, .. } in described {
            if !classes.contains(label) {
                classes.push(label.clone());
            }
        }
    }
    for name in args.classes.iter().map(|name| name.trim()) {
        let wrong = match name {
            "" => Some("--classes holds a blank name".to_owned()),
            _ if classes.iter().any(|known| known == name) => {
                Some(format!("--classes names `{name}` twice"))
            }
            _ => None,
        };
        if let Some(message) = wrong {
            return Err(Failure::usage(
                &message,
                "give each class once: --classes positive,negative",
            ));
        }
        classes.push(name.to_owned());
    }
    Ok(classes)
}

fn guide(args: &Args) -> Result<Guide, Failure> {
    match (args.strategy, &args.policy) {
        (Choice::Strategy(_), Some(_)) => Err(Failure::usage(
            "--policy is what q-learning uses, and --strategy names another one",
            "leave one of the two out",
        )),
        (Choice::Strategy(strategy), None) => Ok(Guide::Strategy(strategy)),
        (Choice::Agent, Some(path)) => Ok(Guide::Agent(Box::new(Policy::read(path)?))),
        (Choice::Agent, None) => Ok(Guide::Agent(Box::new(Policy::builtin()))),
    }
}

fn open_journal(path: &Path) -> Result<Journal, Failure> {
    if InputFormat::from_path(path) != Some(InputFormat::Jsonl) {
        return Err(Failure::usage(
            &format!("--labels {} does not end in .jsonl", path.display()),
            "the journal is a file of examples; name it so that --examples can read it",
        ));
    }
    let journal = Journal::open(path)?;
    if let Some(damage) = journal.damage() {
        output::warning(&format!(
            "the last line of {} was cut off; it was moved to {}",
            path.display(),
            damage.display()
        ));
    }
    Ok(journal)
}

/// A label that --classes does not name is a slip of the pen, in one or the other.
fn check_labels(journal: &Journal, classes: &[String]) -> Result<(), Failure> {
    let labels = journal
        .current()
        .into_iter()
        .filter_map(|entry| entry.label.as_ref());
    let mut foreign = labels.filter(|label| !classes.iter().any(|class| class == label.trim()));
    match foreign.next() {
        Some(label) if !classes.is_empty() => Err(Failure::Command {
            message: format!(
                "the journal {} has the label `{label}`, which --classes does not name",
                journal.path().display()
            ),
            hint: Some(
                "add it to --classes, or leave --classes out to use the journal's".to_owned(),
            ),
        }),
        _ => Ok(()),
    }
}

fn session(
    texts: PoolTexts,
    journal: Journal,
    (classes, described): (Vec<String>, Vec<Example>),
    guide: Guide,
    args: &Args,
    context: &Context,
) -> Result<Session, Failure> {
    let encoder = context.encoder()?;
    let layers = args
        .layers
        .clone()
        .unwrap_or_else(|| encoder.default_layers());
    layers.indices(encoder.layers())?;
    let vectors = context
        .embed(&encoder, &layers, &texts.0, &args.caching)?
        .vectors;
    let names = embedded(&described, &classes, &encoder, &layers)?;
    let options = SessionOptions {
        classes,
        names,
        guide,
        seed: context.common.seed,
    };
    Ok(Session::new(texts.0, &vectors, journal, options))
}

/// Texts that say what the classes are, from their names.
fn names(classes: &[String], args: &Args) -> Vec<Example> {
    if args.no_label_names || classes.len() < 2 {
        return Vec::new();
    }
    label_names(&LabelSet::new(classes))
}

/// Vectors of texts that say what the classes are, and the class of each.
fn embedded(
    described: &[Example],
    classes: &[String],
    encoder: &Encoder,
    layers: &LayerMix,
) -> Result<Option<(Matrix, Vec<usize>)>, Failure> {
    let class = |example: &Example| classes.iter().position(|class| *class == example.label);
    let known: Vec<&Example> = described.iter().filter(|e| class(e).is_some()).collect();
    if known.is_empty() {
        return Ok(None);
    }
    let texts: Vec<&str> = known.iter().map(|example| example.text.as_str()).collect();
    let vectors = encoder.encode(&texts, layers)?.vectors;
    Ok(Some((
        vectors,
        known.into_iter().filter_map(class).collect(),
    )))
}
