//! The model card, for people who find the folder.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::classifier::FewShotClassifier;
use crate::data::visible;

/// The text of `README.md`.
pub(super) fn write(classifier: &FewShotClassifier) -> String {
    let encoder = classifier.encoder();
    let mut counts = BTreeMap::new();
    for example in &classifier.examples {
        *counts.entry(example.label.as_str()).or_insert(0usize) += 1;
    }
    let mut card =
        String::from("# A text classifier made by fewshot\n\n| label | examples |\n|---|---|\n");
    for label in classifier.labels().names() {
        let count = counts.get(label.as_str()).copied().unwrap_or(0);
        // Writing to a string cannot fail.
        let _ = writeln!(card, "| {} | {count} |", visible(label).replace('|', "\\|"));
    }
    let calibration = classifier.vectors.calibration();
    let held_out = match calibration.held_out_accuracy {
        Some(accuracy) => format!(
            "{:.0} % (an estimate from {} examples)",
            100.0 * accuracy,
            classifier.examples.len()
        ),
        None => "unknown".to_owned(),
    };
    let before = match classifier.is_tuned() {
        true => ", before tuning",
        false => "",
    };
    let _ = write!(
        card,
        "\n- encoder: {}, revision {}, weights sha256 {}, in {}\n- hidden layers averaged: {}\n- head: {}\n\
         - accuracy on held-out examples{before}: {held_out}\n- temperature: {:.3}\n- seed: {}\n- fewshot {}\n\n\
         Use it:\n\n    fewshot predict --classifier THIS_FOLDER --input texts.txt\n",
        encoder.id,
        encoder.revision.as_deref().unwrap_or("none (a folder)"),
        encoder.sha256,
        encoder.precision.name(),
        classifier.layers,
        classifier.options.head.kind.name(),
        calibration.temperature,
        classifier.options.seed,
        env!("CARGO_PKG_VERSION"),
    );
    card
}
