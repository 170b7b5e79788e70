//! Which key does what.

/// What a person wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// This label, by its place.
    Label(usize),
    /// A label by name; a new class if none has it.
    Named(String),
    /// Ask for the name of a new class.
    NewClass,
    Skip,
    Unsure,
    Undo,
    /// The whole text.
    More,
    Help,
    Quit,
    /// Nothing that is known; what was typed.
    Unknown(String),
}

/// Keys of labels, in order: digits, then the letters that do nothing else.
const LABEL_KEYS: &str = "123456789abcefgijkloprtvwxyz";

/// The key of a label, if there is one.
pub fn key_of(label: usize) -> Option<char> {
    LABEL_KEYS.chars().nth(label)
}

/// Most labels that have keys.
pub fn most_keys() -> usize {
    LABEL_KEYS.len()
}

/// What a single key means, with so many labels.
pub fn pressed(key: char, labels: usize) -> Wish {
    if let Some(label) = LABEL_KEYS.chars().position(|known| known == key)
        && label < labels
    {
        return Wish::Label(label);
    }
    match key {
        's' => Wish::Skip,
        'd' => Wish::Unsure,
        'u' => Wish::Undo,
        'n' | '+' => Wish::NewClass,
        'm' => Wish::More,
        'h' | '?' => Wish::Help,
        'q' => Wish::Quit,
        _ => Wish::Unknown(key.to_string()),
    }
}

/// What a line means: a key, a label's name or the only beginning of one, or `+ name`.
pub fn typed(line: &str, labels: &[String]) -> Wish {
    let line = line.trim();
    if let Some(name) = line.strip_prefix('+') {
        let name = name.trim();
        return if name.is_empty() {
            Wish::NewClass
        } else {
            Wish::Named(name.to_owned())
        };
    }
    if let Some(label) = labels.iter().position(|label| label == line) {
        return Wish::Label(label);
    }
    let mut chars = line.chars();
    if let (Some(key), None) = (chars.next(), chars.next()) {
        return pressed(key, labels.len().min(most_keys()));
    }
    let begins = |label: &String| label.to_lowercase().starts_with(&line.to_lowercase());
    let mut matching = (0..labels.len()).filter(|&at| begins(&labels[at]));
    match (matching.next(), matching.next()) {
        (Some(label), None) if !line.is_empty() => Wish::Label(label),
        _ => Wish::Unknown(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_has_the_key_of_a_command() {
        assert!("sdunmhq?+".chars().all(|key| !LABEL_KEYS.contains(key)));
    }

    #[test]
    fn lines_are_keys_names_or_beginnings() {
        let labels = ["positive", "neutral", "negative"].map(str::to_owned);
        let typed = |line| typed(line, &labels);
        assert_eq!(typed("1\n"), Wish::Label(0));
        assert_eq!(typed("Pos"), Wish::Label(0));
        assert_eq!(typed("negative"), Wish::Label(2));
        assert_eq!(typed("ne"), Wish::Unknown("ne".to_owned()));
        assert_eq!(typed("+ mixed "), Wish::Named("mixed".to_owned()));
        assert_eq!(typed("+"), Wish::NewClass);
        assert_eq!(typed("4"), Wish::Unknown("4".to_owned()));
        assert_eq!(typed(""), Wish::Unknown(String::new()));
        assert_eq!(
            [typed("s"), typed("u"), typed("d"), typed("q")],
            [Wish::Skip, Wish::Undo, Wish::Unsure, Wish::Quit]
        );
    }
}
