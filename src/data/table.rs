//! The table for people: label, probability and the text, folded to the terminal's width.
//!
//! Column widths are fixed, not fitted to the rows, so that the first line appears at once and
//! memory stays small however many follow.

use serde_json::{Map, Value};
use unicode_width::UnicodeWidthChar;

use super::visible::visible_char;

/// Columns of the label, enough for most names; longer ones end in `…`.
const LABEL: usize = 20;
/// As wide as its heading.
const PROBABILITY: usize = "probability".len();
/// Between two columns.
const GAP: &str = "  ";
/// Below this a narrow terminal breaks the lines itself.
const MIN_TEXT: usize = 10;
/// A longer text ends in `…`: a table is for looking it over, the other formats hold it all.
const MAX_LINES: usize = 4;

/// The headings as a line.
pub(super) fn header() -> String {
    format!("{:LABEL$}{GAP}probability{GAP}text\n", "label")
}

/// One row as one to four lines of at most `width` columns, and one for each neighbour.
pub(super) fn row(row: &Map<String, Value>, text_field: &str, width: usize) -> String {
    let label = row.get("label").and_then(Value::as_str).unwrap_or("-");
    let probability = row.get("probability").and_then(Value::as_f64);
    let probability = probability.map_or_else(|| "-".to_owned(), |p| format!("{p:.3}"));
    let text = row.get(text_field).and_then(Value::as_str).unwrap_or("");

    let label = fold(label, LABEL, 1).concat();
    let padding = " ".repeat(LABEL - columns(&label));
    let start = format!("{label}{padding}{GAP}{probability:>PROBABILITY$}{GAP}");
    let indent = " ".repeat(LABEL + PROBABILITY + 2 * GAP.len());
    let text = fold(
        text,
        width.saturating_sub(indent.len()).max(MIN_TEXT),
        MAX_LINES,
    );
    let lines = text.join(&format!("\n{indent}"));
    let row_lines = format!("{}\n", format!("{start}{lines}").trim_end());
    row_lines + &neighbours(row, &indent, width)
}

/// The examples that explain a row, below its text.
fn neighbours(row: &Map<String, Value>, indent: &str, width: usize) -> String {
    let neighbours = row.get("neighbours").and_then(Value::as_array);
    let line = |neighbour: &Value| {
        let similarity = neighbour["similarity"].as_f64()?;
        let (label, text) = (neighbour["label"].as_str()?, neighbour["text"].as_str()?);
        let width = width.saturating_sub(indent.len());
        let line = neighbour_line(similarity, label, text, width);
        Some(format!("{indent}{line}\n"))
    };
    neighbours.into_iter().flatten().filter_map(line).collect()
}

/// A similar example in one line of at most `width` columns: similarity, label, text.
#[must_use]
pub fn neighbour_line(similarity: f64, label: &str, text: &str, width: usize) -> String {
    let start = format!("  {similarity:>5.2}{GAP}");
    let width = width.saturating_sub(start.len()).max(MIN_TEXT);
    start + &fold(&format!("{label}: {text}"), width, 1).concat()
}

/// Breaks `text` at blanks into at most `max_lines` lines of `width` columns, with nothing in them
/// that could disturb a terminal. What does not fit is cut, marked by `…`.
#[must_use]
pub fn fold(text: &str, width: usize, max_lines: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let fits = used + 1 + columns_up_to(word, width) <= width;
        if used > 0 && fits {
            push(&mut lines, ' ');
            used += 1;
        } else if used > 0 {
            lines.push(String::new());
            used = 0;
        }
        for c in word.chars().map(visible_char) {
            let wide = c.width().unwrap_or(0);
            if used + wide > width {
                lines.push(String::new());
                used = 0;
            }
            if lines.len() > max_lines {
                lines.truncate(max_lines);
                mark_cut(&mut lines, width);
                return lines;
            }
            push(&mut lines, c);
            used += wide;
        }
    }
    lines
}

fn push(lines: &mut [String], c: char) {
    if let Some(line) = lines.last_mut() {
        line.push(c);
    }
}

/// Puts `…` at the end of the last line, over its last characters if it is full.
fn mark_cut(lines: &mut [String], width: usize) {
    if let Some(line) = lines.last_mut() {
        while columns(line) >= width {
            line.pop();
        }
        line.push('…');
    }
}

/// How many terminal columns `text` takes.
fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The columns of `word`, or `width` + 1 if it is wider: a word can be as long as a whole file.
fn columns_up_to(word: &str, width: usize) -> usize {
    let mut used = 0;
    for c in word.chars().map(visible_char) {
        used += c.width().unwrap_or(0);
        if used > width {
            return width + 1;
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(value: Value, width: usize) -> String {
        row(value.as_object().unwrap(), "text", width)
    }

    #[test]
    fn columns_are_aligned() {
        let line = shown(
            json!({"text": "good", "label": "positive", "probability": 0.93}),
            80,
        );
        assert_eq!(line, "positive                    0.930  good\n");
        assert_eq!(header(), "label                 probability  text\n");
    }

    #[test]
    fn neighbours_stand_below_their_text() {
        let far = json!({"text": "far ".repeat(50), "label": "negative", "similarity": -0.25});
        let neighbours = json!([{"text": "a\nb", "label": "x", "similarity": 0.987}, far, 7, {}]);
        let value =
            json!({"text": "good", "label": "x", "probability": 1, "neighbours": neighbours});
        let lines = shown(value, 60);
        let expected = ["good", "   0.99  x: a b", "  -0.25  negative: far…"];
        let texts: Vec<&str> = lines.lines().map(|line| &line[35..]).collect();
        assert_eq!(texts, expected);
        assert!(lines.lines().all(|line| columns(line) <= 60), "{lines}");
    }

    #[test]
    fn abstention_shows_a_dash() {
        let line = shown(json!({"text": "x", "label": null}), 80);
        assert_eq!(line, "-                               -  x\n");
    }

    #[test]
    fn long_text_is_folded_and_cut() {
        let text = "lorem ipsum ".repeat(50);
        let table = shown(json!({"text": text, "label": "a", "probability": 1.0}), 60);
        assert_eq!(table.lines().count(), MAX_LINES);
        assert!(table.lines().all(|line| columns(line) <= 60), "{table}");
        assert!(table.ends_with("…\n"));
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(fold("漢字漢字", 4, 9), ["漢字", "漢字"]);
        assert_eq!(fold("漢字漢字", 5, 1), ["漢字…"]);
        let line = shown(
            json!({"text": "x", "label": "漢字", "probability": 0.5}),
            80,
        );
        assert_eq!(
            columns(line.trim_end()),
            "漢字".len() / 3 * 2 + 16 + 2 + PROBABILITY + 3
        );
    }

    #[test]
    fn words_are_kept_together_if_they_fit() {
        assert_eq!(fold("ab cd efghijk", 5, 9), ["ab cd", "efghi", "jk"]);
        assert_eq!(fold("", 5, 9), [""]);
        assert_eq!(fold("abcdef", 5, 1), ["abcd…"]);
    }

    #[test]
    fn controls_and_line_ends_do_not_reach_the_terminal() {
        let line = shown(json!({"text": "a\n\x1b[2Jb", "label": "\x1b]0;x\x07"}), 80);
        assert!(line.contains("a ␛[2Jb"));
        assert!(
            !line.trim_end_matches('\n').contains(char::is_control),
            "{line:?}"
        );
    }
}
