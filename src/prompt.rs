//! Label descriptions from `prompts/*.toml`, used as additional examples of each label.
//!
//! ```toml
//! task = "Sentiment of product reviews"
//!
//! [labels]
//! positive = ["A happy review.", "The writer would buy it again."]
//! negative = "An unhappy review."
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::data::{Example, LabelSet};

/// What can go wrong with a prompt file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// The file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML, or lacks `[labels]`.
    #[error("{}: {reason}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        reason: String,
    },
    /// A label has no description.
    #[error("{}: label `{label}` has no description", .path.display())]
    Blank {
        /// The file.
        path: PathBuf,
        /// The label.
        label: String,
    },
}

impl PromptError {
    /// The cure.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some("a prompt file has a table [labels] with `label = [\"description\", …]` lines; see prompts/README.md".to_owned())
    }
}

/// Descriptions of the labels of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// What the task is, if the file says so.
    pub task: Option<String>,
    /// Labels and their descriptions, at least one each.
    pub labels: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrompt {
    task: Option<String>,
    labels: BTreeMap<String, Descriptions>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a description or a list of them")]
enum Descriptions {
    One(String),
    Several(Vec<String>),
}

impl Prompt {
    /// Reads a prompt file.
    ///
    /// # Errors
    /// If it cannot be read, is no TOML of this form, or a label has no description.
    pub fn read(path: &Path) -> Result<Self, PromptError> {
        let text = std::fs::read_to_string(path).map_err(|source| PromptError::Read {
            path: path.to_owned(),
            source,
        })?;
        let raw: RawPrompt = toml::from_str(&text).map_err(|error| PromptError::Invalid {
            path: path.to_owned(),
            reason: one_line(&error, &text),
        })?;
        let labels = raw
            .labels
            .into_iter()
            .map(|(label, texts)| (label, texts.into_list()));
        let prompt = Self {
            task: raw.task,
            labels: labels.collect(),
        };
        prompt.check(path)?;
        Ok(prompt)
    }

    fn check(&self, path: &Path) -> Result<(), PromptError> {
        let blank =
            |texts: &[String]| texts.is_empty() || texts.iter().any(|text| text.trim().is_empty());
        if self.labels.is_empty() {
            let reason = "the table [labels] is empty".to_owned();
            return Err(PromptError::Invalid {
                path: path.to_owned(),
                reason,
            });
        }
        if self.labels.keys().any(|label| label.trim().is_empty()) {
            return Err(PromptError::Invalid {
                path: path.to_owned(),
                reason: "a label is blank".to_owned(),
            });
        }
        match self.labels.iter().find(|(_, texts)| blank(texts)) {
            Some((label, _)) => Err(PromptError::Blank {
                path: path.to_owned(),
                label: label.clone(),
            }),
            None => Ok(()),
        }
    }

    /// The descriptions as examples of their labels.
    #[must_use]
    pub fn examples(&self) -> Vec<Example> {
        let of = |(label, texts): (&String, &Vec<String>)| {
            let label = label.clone();
            texts
                .clone()
                .into_iter()
                .map(move |text| Example {
                    text,
                    label: label.clone(),
                })
                .collect::<Vec<_>>()
        };
        self.labels.iter().flat_map(of).collect()
    }
}

/// The parser's own words without its picture of the place, which takes several lines.
fn one_line(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.unwrap_or_default().matches('\n').count() + 1;
    let words: Vec<&str> = error.message().lines().collect();
    format!("line {line}: {}", words.join(", "))
}

impl Descriptions {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Several(texts) => texts,
        }
    }
}

/// Texts that say what a label is, made from its name: the name in words, and two sentences with
/// it. As prior examples they are worth some four points of accuracy with eight examples a class
/// and eleven with two where the encoder has no start, 1.6 with eight where it has one (`docs/results.md`).
///
/// Empty if some name has no two letters, as `0` or `B` have not, or more than a third of them no word of three: the
/// names then tell nothing. `qt` and `HR` do among others.
#[must_use]
pub fn label_names(labels: &LabelSet) -> Vec<Example> {
    let words: Vec<String> = labels.names().iter().map(|name| in_words(name)).collect();
    if !tell_something(&words) {
        return Vec::new();
    }
    let texts = |(name, words): (&String, &String)| {
        let sentences = [
            words.clone(),
            format!("This is {words}."),
            format!("The topic, intent or feeling of this text is: {words}."),
        ];
        sentences.map(|text| Example {
            text,
            label: name.clone(),
        })
    };
    labels.names().iter().zip(&words).flat_map(texts).collect()
}

/// `BookRestaurant`, `book_restaurant`, `book-restaurant` → `book restaurant`.
fn in_words(name: &str) -> String {
    let mut words = String::new();
    let mut after_small = false;
    for letter in name.chars() {
        let separates = matches!(letter, '_' | '-' | '/' | '.' | ':');
        if separates || (after_small && letter.is_uppercase()) {
            words.push(' ');
        }
        if !separates {
            words.extend(letter.to_lowercase());
        }
        after_small = letter.is_lowercase();
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether names say what their labels are: each has two letters at least, as `qt` and `HR` have, and two thirds
/// have a word.
fn tell_something(names: &[String]) -> bool {
    let with_word = names.iter().filter(|name| has_word(name, 3)).count();
    names.iter().all(|name| has_word(name, 2)) && 3 * with_word >= 2 * names.len()
}

/// Whether there is a word of so many letters, or one of a script that writes words without an alphabet.
fn has_word(text: &str, letters: usize) -> bool {
    let alphabetic = |word: &str| word.chars().filter(|letter| letter.is_alphabetic()).count();
    let wide = |word: &str| word.chars().any(|letter| letter as u32 >= 0x2E80);
    text.split_whitespace()
        .any(|word| alphabetic(word) >= letters || wide(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Prompt, PromptError> {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), text).expect("written");
        Prompt::read(file.path())
    }

    #[test]
    fn strings_and_lists_become_examples() {
        let prompt =
            read("task = 't'\n[labels]\nb = 'one'\na = ['two', 'three']\n").expect("valid");
        let texts: Vec<String> = prompt
            .examples()
            .into_iter()
            .map(|e| e.label + ":" + &e.text)
            .collect();
        assert_eq!(texts, ["a:two", "a:three", "b:one"]);
    }

    #[test]
    fn other_forms_are_refused() {
        assert!(matches!(
            read("[labels]\na = 3\n"),
            Err(PromptError::Invalid { .. })
        ));
        assert!(matches!(
            read("[labels]\n"),
            Err(PromptError::Invalid { .. })
        ));
        assert!(matches!(
            read("label = 1\n"),
            Err(PromptError::Invalid { .. })
        ));
        assert!(matches!(
            read("[labels]\na = []\n"),
            Err(PromptError::Blank { .. })
        ));
        assert!(matches!(
            read("[labels]\na = ' '\n"),
            Err(PromptError::Blank { .. })
        ));
        let missing = Prompt::read(Path::new("no-such.toml"));
        assert!(matches!(missing, Err(PromptError::Read { .. })));
    }

    #[test]
    fn names_become_sentences() {
        let texts = label_names(&LabelSet::new(["BookRestaurant", "sci/tech"]));
        assert_eq!(texts.len(), 6);
        assert_eq!(
            (texts[0].text.as_str(), texts[0].label.as_str()),
            ("book restaurant", "BookRestaurant")
        );
        assert_eq!(texts[4].text, "This is sci tech.");
        assert_eq!(in_words("very_negative"), "very negative");
        assert_eq!(in_words("SMSSpam"), "smsspam");
        assert_eq!(label_names(&LabelSet::new(["正面", "负面"])).len(), 6);
    }

    #[test]
    fn names_without_words_tell_nothing() {
        for names in [
            ["0", "1"],
            ["A", "B"],
            ["spam", "c7"],
            ["__", "ham"],
            ["no", "yes"],
        ] {
            assert!(label_names(&LabelSet::new(names)).is_empty(), "{names:?}");
        }
        let teams = LabelSet::new(["HR", "billing", "shipping"]);
        assert_eq!(label_names(&teams).len(), 9);
    }
}
