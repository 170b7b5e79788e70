//! Text of unknown origin, made safe to show on a terminal.

use std::borrow::Cow;

/// `text` with everything replaced that could disturb a terminal or a line: control characters
/// become their symbols (ESC → ␛), those without one and invisible direction marks become U+FFFD.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| visible_char(c) == c) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(visible_char).collect())
}

/// [`visible`] for one character.
pub(super) fn visible_char(c: char) -> char {
    match c {
        '\0'..='\x1f' => {
            char::from_u32(0x2400 + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        '\x7f' => '\u{2421}',
        '\u{2028}' | '\u{2029}' => '\u{2424}',
        // C1 controls act like ESC sequences; direction marks reorder what stands around them.
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

/// `names` for a message: quoted, separated by commas, not endless.
pub(super) fn list(names: &[String]) -> String {
    const SHOWN: usize = 12;
    if names.is_empty() {
        return "none".to_owned();
    }
    let quoted = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{}`", visible(name)));
    let mut shown = quoted.collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        shown.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_text_is_not_copied() {
        assert!(matches!(visible("naïve 漢字 🙂"), Cow::Borrowed(_)));
    }

    #[test]
    fn controls_become_symbols() {
        assert_eq!(visible("a\x1b[31m\n\0\x7f"), "a␛[31m␊␀␡");
        assert_eq!(visible("\u{9b}31m\u{202e}abc"), "\u{fffd}31m\u{fffd}abc");
        assert_eq!(visible("a\u{2028}b"), "a␤b");
    }

    #[test]
    fn lists_are_cut() {
        let names: Vec<String> = (0..14).map(|i| i.to_string()).collect();
        assert!(list(&names).ends_with("`11` and 2 more"));
        assert_eq!(list(&names[..2]), "`0`, `1`");
        assert_eq!(list(&[]), "none");
    }
}
