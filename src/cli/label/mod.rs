//! `fewshot label`: a person labels texts that the agent chooses.

mod dialogue;
mod farewell;
mod keys;
mod screen;
mod texts;

use std::path::{Path, PathBuf};

use fewshot::active::{Chooser, Journal, Policy, Session, SessionOptions};
use fewshot::data::{Example, InputFormat, LabelSet};
use fewshot::encoder::{Encoder, LayerMix};
use fewshot::matrix::Matrix;
use fewshot::prompt::{Prompt, label_names};

use super::context::Context;
use super::failure::Failure;
use super::options::{Begin, Caching, Fields};
use super::output;
use texts::PoolTexts;

/// Label texts one by one; the agent chooses those from which most is learned.
///
/// Every answer is on disk before the next text is shown: however it ends, the same command goes on
/// where it was. The journal is a file of examples: give it to --examples.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fewshot label datasets/reviews/new.txt --labels journal.jsonl --classes positive,negative
  fewshot classify --examples journal.jsonl datasets/reviews/new.txt --format table")]
pub struct Args {
    /// Texts to choose from: .jsonl, .csv, .tsv, .txt or .json, also .gz and .zst
    #[arg(long, value_name = "FILE", required_unless_present = "positional")]
    pool: Option<PathBuf>,
    /// The same, without the option's name
    #[arg(value_name = "POOL", conflicts_with = "pool")]
    positional: Option<PathBuf>,
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
    /// Who chooses the next text: q-learning (the agent), a strategy (random, margin, entropy, typical,
    /// rep, urep, focus, ted, uted, diverse, badge), uniform (another one each time), or a schedule such
    /// as rep>8>uted (uted from 8 labels on)
    #[arg(long, value_name = "NAME", default_value = "q-learning")]
    strategy: Chooser,
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
    #[command(flatten)]
    begin: Begin,
    /// Format of the pool [default: by its extension]
    #[arg(long, value_name = "FORMAT")]
    input_format: Option<InputFormat>,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    caching: Caching,
}

impl Args {
    fn pool(&self) -> &Path {
        let given = self.pool.as_ref().or(self.positional.as_ref());
        given.expect("clap asks for one of the two")
    }

    fn budget(&self) -> Option<usize> {
        self.budget.map(|budget| budget as usize)
    }
}

pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let known = Known::of(args)?;
    let chooser = chooser(args)?;
    check_pool(args.pool())?;
    let journal = open_journal(&args.labels)?;
    warn_of_labels(&journal, &known.classes);
    let read = texts::read(args, context.common.seed)?;
    read.warn(args.pool(), context);
    let texts = texts::with_journal(read.texts, &journal, context);
    let mut session = session(texts, journal, known, chooser, args, context)?;
    let result = dialogue::run(&mut session, args.budget());
    let said = farewell::say(&session, args, context);
    result.and(said)
}

/// Answers come from standard input, and the pool would be taken for them.
fn check_pool(pool: &Path) -> Result<(), Failure> {
    if pool != Path::new("-") {
        return Ok(());
    }
    Err(Failure::usage(
        "the pool cannot be standard input, where the answers come from",
        "write the texts to a file and give its name",
    ))
}

/// What is known of the classes before any answer.
struct Known {
    classes: Vec<String>,
    /// Texts that say what they are.
    described: Vec<Example>,
}

impl Known {
    fn of(args: &Args) -> Result<Self, Failure> {
        let prompt = args.prompt.as_deref().map(Prompt::read).transpose()?;
        let mut described = prompt.map_or_else(Vec::new, |prompt| prompt.examples());
        let classes = classes(args, &described)?;
        if described.is_empty() {
            described = names(&classes, args);
        }
        Ok(Self { classes, described })
    }
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

fn chooser(args: &Args) -> Result<Chooser, Failure> {
    let mut chooser = args.strategy.clone();
    if let Some(path) = &args.policy {
        let policy = chooser.policy_mut().ok_or_else(|| {
            Failure::usage(
                "--policy is what q-learning uses, and --strategy names another one",
                "leave one of the two out",
            )
        })?;
        *policy = Policy::read(path)?;
    }
    Ok(chooser)
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

/// Labels that neither --classes nor --prompt names were added while labelling, as a rule: the same command has
/// to go on with them. A slip of the pen shows as a class too many.
fn warn_of_labels(journal: &Journal, classes: &[String]) {
    let current = journal.current();
    let labels = current.iter().filter_map(|entry| entry.label.as_deref());
    let late = LabelSet::new(labels.map(str::trim));
    let late = late.names().iter().filter(|label| !classes.contains(label));
    let late: Vec<String> = late.map(|label| format!("`{label}`")).collect();
    if !classes.is_empty() && !late.is_empty() {
        output::warning(&format!(
            "the journal {} has labels that are not named here; they are classes too: {}",
            journal.path().display(),
            late.join(", ")
        ));
    }
}

fn session(
    texts: PoolTexts,
    journal: Journal,
    Known { classes, described }: Known,
    chooser: Chooser,
    args: &Args,
    context: &Context,
) -> Result<Session, Failure> {
    let encoder = context.started(&args.begin.start)?;
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
        chooser,
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
