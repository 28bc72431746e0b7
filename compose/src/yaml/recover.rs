//! Finds what is to blame for a syntax error, and takes it out of the text, so that the rest can be read.
//!
//! Readers of YAML notice a mistake late: a quote or bracket that is never closed where the next one
//! is, lines later. The block that begins on the guilty line becomes blanks: everything else keeps its
//! place. What can be mended without a change of meaning is mended before (see `repair`).

use std::ops::Range;

/// What is to blame.
pub(super) struct Guilty {
    /// A byte of the text.
    pub at: usize,
    pub help: Option<&'static str>,
}

/// What is to blame for `info`, which the parser says of byte `at`.
pub(super) fn guilty(text: &str, at: usize, info: &str) -> Guilty {
    let at = at.min(text.len());
    let tab = "indent with spaces: YAML forbids tabs there";
    let indent = &text[line_start(text, at)..at];
    if indent.contains('\t') && indent.trim().is_empty() {
        return Guilty { at, help: Some(tab) };
    }
    if let Some(at) = tabbed_line(text, at).filter(|_| info.contains("tab")) {
        return Guilty { at, help: Some(tab) };
    }
    let line = line_start(text, at);
    if text[line..].trim_start().starts_with("{{") {
        return Guilty { at, help: Some("a template? Render it first") };
    }
    if let Some(at) = open_quote(text, at) {
        return Guilty { at, help: Some("is its closing quote missing?") };
    }
    if let Some(at) = open_bracket(text, at, info) {
        return Guilty { at, help: Some("is its closing bracket missing?") };
    }
    if info.contains("comment intercepting") {
        let next = line_end(text, at) + 1;
        if let Some(column) = text.get(next..).and_then(|_| first_letter(text, next)) {
            let help = "this line is indented deeper than the one before, which ends in a comment";
            return Guilty { at: next + column, help: Some(help) };
        }
    }
    if let Some(at) = without_colon(text, line).filter(|_| info.contains("mapping values")) {
        return Guilty { at, help: Some("is a colon missing behind its first word?") };
    }
    let lonely = info.contains("did not find expected") && is_lonely(text, line);
    let help = "no line above begins in this column: is it indented as it should be?";
    Guilty { at, help: lonely.then_some(help) }
}

/// Blanks out the block to which byte `at` belongs, of which the parser says `info`, and says which
/// bytes that were. None: there is nothing left to blank out.
pub(super) fn blank_out(text: &mut String, at: usize, info: &str) -> Option<Range<usize>> {
    let mut start = line_start(text, guilty(text, at, info).at);
    // What ends too early is told of behind its end.
    while first_letter(text, start).is_none() {
        start = line_start(text, start.checked_sub(1)?);
    }
    let indent = meant_indent(text, start);
    let mut end = line_end(text, start);
    while end < text.len() {
        let next = end + 1;
        if first_letter(text, next).is_some_and(|column| column <= indent) {
            break;
        }
        end = line_end(text, next);
    }
    let blanks: String =
        text[start..end].bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect();
    text.replace_range(start..end, &blanks);
    Some(start..end)
}

/// The column in which the line that begins at `start` was meant to begin: with tabs in its indent,
/// that of its neighbours.
fn meant_indent(text: &str, start: usize) -> usize {
    let own = first_letter(text, start).unwrap_or(0);
    if !text[start..start + own].contains('\t') {
        return own;
    }
    let mut lines = text[..start].lines().rev();
    let Some(before) = lines.find(|line| !line.trim().is_empty()) else { return 0 };
    let indent = |line: &str| line.len() - line.trim_start().len();
    if !before.trim_end().ends_with(':') {
        return indent(before);
    }
    let mut lines = text[line_end(text, start)..].lines();
    let behind = lines.find(|line| !line.trim().is_empty()).map_or(0, indent);
    behind.max(indent(before) + 1)
}

/// Where the line of byte `at` begins.
fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |n| n + 1)
}

/// The line break that ends the line of byte `at`, or the end of the text.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |n| at + n)
}

/// The column of the first letter of the line that begins at `start`; none when it is blank.
fn first_letter(text: &str, start: usize) -> Option<usize> {
    let line = &text[start..line_end(text, start)];
    line.bytes().position(|b| !b.is_ascii_whitespace())
}

/// Where the quoted text begins that ends just before `at`, when that is on an earlier line: then it
/// was probably meant to end there.
fn open_quote(text: &str, at: usize) -> Option<usize> {
    let before = &text[..at];
    let quote = before.chars().next_back().filter(|c| matches!(c, '"' | '\''))?;
    let inside = &before[..before.len() - 1];
    let open = inside.rfind(quote)?;
    inside[open..].contains('\n').then_some(open)
}

/// Where the line above the one that begins at `line` has its first letter, when it is no list item and
/// has no key, though it stands where keys do.
fn without_colon(text: &str, line: usize) -> Option<usize> {
    let above = line_start(text, line.checked_sub(1)?);
    let column = first_letter(text, above).filter(|c| first_letter(text, line) == Some(*c))?;
    let words = text[above + column..line].trim_end();
    let a_key = words.contains(": ") || words.ends_with(':');
    (!a_key && !words.starts_with(['-', '#'])).then_some(above + column)
}

/// True when the line that begins at `line` goes back to a column in which nothing stands within what
/// encloses it.
fn is_lonely(text: &str, line: usize) -> bool {
    let Some(column) = first_letter(text, line) else { return false };
    let columns = text[..line].rsplit('\n').take(MOST_LINES).map(|above| {
        let letters = above.trim_start();
        (!letters.is_empty() && !letters.starts_with('#')).then(|| above.len() - letters.len())
    });
    let mut columns = columns.flatten().peekable();
    let goes_back = columns.peek().is_some_and(|above| *above > column);
    goes_back && columns.find(|above| *above <= column).is_some_and(|above| above != column)
}

/// Lines above a complaint that are looked at.
const MOST_LINES: usize = 200;

/// Bytes around a complaint in which what is to blame is looked for.
const FAR: usize = 4_096;

/// The first letter of the first line at or below `at` that is indented with a tab.
fn tabbed_line(text: &str, at: usize) -> Option<usize> {
    let mut line = line_start(text, at);
    while line < text.len().min(at + FAR) {
        let column = first_letter(text, line).unwrap_or(0);
        if text[line..line + column].contains('\t') {
            return Some(line + column);
        }
        line = line_end(text, line) + 1;
    }
    None
}

/// The innermost bracket that is open at `at` since an earlier line, when `info` is about brackets.
fn open_bracket(text: &str, at: usize, info: &str) -> Option<usize> {
    let about = ["flow", "only valid inside a block", "illegal placement", "invalid indentation"];
    if info.contains("quoted") || !about.iter().any(|words| info.contains(words)) {
        return None;
    }
    let line = line_start(text, at);
    let mut closed = 0_usize;
    for (place, byte) in text.bytes().enumerate().take(line).skip(line.saturating_sub(FAR)).rev() {
        match byte {
            b']' | b'}' => closed += 1,
            b'[' | b'{' if closed == 0 => return Some(place),
            b'[' | b'{' => closed -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(text: &str, guilty: &str, info: &str) -> String {
        let mut left = text.to_owned();
        let at = text.find(guilty).expect("it is in the text");
        assert!(blank_out(&mut left, at, info).is_some());
        assert_eq!(left.len(), text.len());
        left.lines().map(str::trim_end).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn a_block_is_blanked_out_and_nothing_else_moves() {
        let text = "a:\n  b: x: y\n    c: 1\n\n    d: 2\n  e: 3\nf: é\n";
        assert_eq!(without(text, ": y", ""), "a:|||||  e: 3|f: é");
        assert_eq!(without(text, "a:", ""), "||||||f: é");
        let text = "a:\n    - b\n\t- c\n    - d\n";
        assert_eq!(without(text, "\t", ""), "a:|    - b||    - d");
        let mut nothing = " \n \n".to_owned();
        assert_eq!(blank_out(&mut nothing, 3, ""), None);
    }

    #[test]
    fn what_was_never_closed_is_guilty_not_what_follows_it() {
        assert_eq!(without("a: [b, c\nd: 1\n", "d", "a flow sequence"), "|d: 1");
        assert_eq!(without("a: \"b\nc: \"d\"\ne: 1\n", "d\"", "x"), "|c: \"d\"|e: 1");
    }
}
