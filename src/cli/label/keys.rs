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

/// Letter, sign, name and meaning of each command. A label of that one character has the letter for itself, and the
/// sign takes its place: to a person with the classes `y` and `n`, `n` is no command.
const COMMANDS: [(char, char, &str, Wish); 7] = [
    ('s', '-', "skip", Wish::Skip),
    ('d', '~', "don't know", Wish::Unsure),
    ('u', '<', "undo", Wish::Undo),
    ('n', '+', "new class", Wish::NewClass),
    ('m', '>', "more", Wish::More),
    ('q', '.', "quit", Wish::Quit),
    ('h', '?', "help", Wish::Help),
];
/// Signs that always count.
const ALWAYS: [char; 2] = ['+', '?'];
/// Keys of labels, in order: digits, then the letters that do nothing else.
const LABEL_KEYS: &str = "123456789abcefgijkloprtvwxyz";

/// The key of each label; none for those beyond the number of keys.
///
/// A label whose name is a single character has that one as its key, before any command: with the labels 0 and 1,
/// the key 1 must not mean 0.
pub fn of(labels: &[String]) -> Vec<Option<char>> {
    let own: Vec<Option<char>> = labels.iter().map(|label| own_key(label)).collect();
    let mut free = LABEL_KEYS.chars().filter(|key| !own.contains(&Some(*key)));
    own.iter().map(|own| own.or_else(|| free.next())).collect()
}

fn own_key(label: &str) -> Option<char> {
    let mut chars = label.chars();
    let key = chars.next();
    key.filter(|_| chars.next().is_none())
}

/// How a command is shown, by the key that it has beside these labels: `s)kip`, or `-) skip`; empty if labels have
/// both.
pub fn shown(letter: char, labels: &[String]) -> String {
    let taken = |key| of(labels).contains(&Some(key));
    let command = COMMANDS.iter().find(|(known, ..)| *known == letter);
    match command {
        Some((_, _, name, _)) if !taken(letter) => name.replacen(letter, &format!("{letter})"), 1),
        Some((_, sign, name, _)) if !taken(*sign) => format!("{sign}) {name}"),
        _ => String::new(),
    }
}

/// What a single key means.
pub fn pressed(key: char, labels: &[String]) -> Wish {
    let keys = of(labels);
    if let Some(label) = keys.iter().position(|known| *known == Some(key)) {
        return Wish::Label(label);
    }
    let means = |(letter, sign, ..): &&(char, char, &str, Wish)| {
        key == *letter || key == *sign && (ALWAYS.contains(sign) || keys.contains(&Some(*letter)))
    };
    let command = COMMANDS.iter().find(means);
    command.map_or_else(|| Wish::Unknown(key.to_string()), |(.., wish)| wish.clone())
}

/// What a line means: a key, a label's name or the only beginning of one, or `+ name`.
///
/// A single character is a key first, so that it means the same as at a terminal.
pub fn typed(line: &str, labels: &[String]) -> Wish {
    let line = line.trim();
    let mut chars = line.chars();
    if let (Some(key), None) = (chars.next(), chars.next()) {
        match pressed(key, labels) {
            Wish::Unknown(_) => {}
            wish => return wish,
        }
    }
    if let Some(name) = line.strip_prefix('+') {
        return Wish::Named(name.trim().to_owned());
    }
    named(line, labels).map_or_else(|| Wish::Unknown(line.to_owned()), Wish::Label)
}

/// The label of this name, or the only one that begins so.
fn named(line: &str, labels: &[String]) -> Option<usize> {
    if let Some(label) = labels.iter().position(|label| label == line) {
        return Some(label);
    }
    let begins = |label: &String| label.to_lowercase().starts_with(&line.to_lowercase());
    let mut matching = (0..labels.len()).filter(|&at| begins(&labels[at]));
    match (matching.next(), matching.next()) {
        (Some(label), None) if !line.is_empty() => Some(label),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_is_given_the_key_of_a_command() {
        let keys = COMMANDS
            .iter()
            .flat_map(|(letter, sign, ..)| [letter, sign]);
        assert!(keys.into_iter().all(|key| !LABEL_KEYS.contains(*key)));
        let labels = ["good", "bad"].map(str::to_owned);
        assert_eq!(shown('s', &labels), "s)kip");
        assert_eq!(shown('d', &labels), "d)on't know");
    }

    /// `n` asked for the name of a new class, and the answer to the next text became one.
    #[test]
    fn a_label_of_one_character_comes_before_a_command() {
        let labels = ["y", "n", "q"].map(str::to_owned);
        assert_eq!(of(&labels), [Some('y'), Some('n'), Some('q')]);
        assert_eq!(typed("n", &labels), Wish::Label(1));
        assert_eq!(typed("s", &labels), Wish::Skip);
        assert_eq!(
            (typed("+", &labels), typed(".", &labels)),
            (Wish::NewClass, Wish::Quit)
        );
        assert_eq!(
            (shown('n', &labels), shown('q', &labels)),
            ("+) new class".to_owned(), ".) quit".to_owned())
        );
        // A sign counts where its letter does not: a stray one must not end the session.
        assert_eq!(typed("-", &labels), Wish::Unknown("-".to_owned()));
        let both = ["n", "+"].map(str::to_owned);
        assert_eq!(
            (shown('n', &both), typed("+", &both)),
            (String::new(), Wish::Label(1))
        );
    }

    /// `1` meant the first label where keys were read and the label 1 where lines were.
    #[test]
    fn labels_of_one_character_are_their_own_keys() {
        let labels = ["0", "1", "many"].map(str::to_owned);
        assert_eq!(of(&labels), [Some('0'), Some('1'), Some('2')]);
        for (line, label) in [("0", 0), ("1", 1), ("2", 2)] {
            assert_eq!(typed(line, &labels), Wish::Label(label));
            let key = line.chars().next().expect("one");
            assert_eq!(pressed(key, &labels), Wish::Label(label));
        }
    }

    #[test]
    fn labels_beyond_the_keys_go_by_their_names() {
        let labels: Vec<String> = (0..40).map(|at| format!("label {at}")).collect();
        assert_eq!(of(&labels).iter().flatten().count(), LABEL_KEYS.len());
        assert_eq!(typed("label 39", &labels), Wish::Label(39));
        assert_eq!(typed("label 3", &labels), Wish::Label(3));
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
