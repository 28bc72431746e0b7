//! Reads a text: quickly where it can, mended where it must be, and as much as is left of it where it is
//! broken.
//!
//! `quick` reads nearly all texts; what it gives up on goes to the parser underneath, what that one
//! refuses to `repair`, and what cannot be mended to `recover`, so that one broken block does not hide
//! what is wrong with the others. `build` makes the tree of what either of them tells.

use std::ops::Range;

use saphyr_parser::{Event, Input, Parser, ScalarStyle, Span as Marks, StrInput};

use super::ascii::Ascii;
use super::build::{Builder, DEEPEST};
use super::quick::{self, GivenUp};
use super::repair::Mended;
use super::{Node, recover};
use crate::problem::Problem;
use crate::source::{SourceId, Span, to_u32};

/// What was read of a text.
#[derive(Debug)]
pub struct Reading {
    /// None: the text is empty, or nothing is left of it.
    pub tree: Option<Node>,
    /// Parts of the text that were left out of the tree, in bytes, since they are not YAML; that is told.
    pub lost: Vec<Range<usize>>,
}

/// The tree of `text`, and what is wrong with it. No tree: it is empty or not YAML.
pub fn parse(text: &str, source: SourceId, problems: &mut Vec<Problem>) -> Option<Node> {
    let reading = read(text, source, problems);
    reading.tree.filter(|_| reading.lost.is_empty())
}

/// As [`parse`], and of a text with syntax errors as much as can be read beside them.
pub fn read(text: &str, source: SourceId, problems: &mut Vec<Problem>) -> Reading {
    match parse_quickly(text, source, problems) {
        Some(tree) => Reading { tree: Some(tree), lost: Vec::new() },
        None => read_fully(text, source, problems).0,
    }
}

/// As [`parse`], if `text` is of the plain part of YAML that the quick reader knows; nothing if not.
pub fn parse_quickly(text: &str, source: SourceId, problems: &mut Vec<Problem>) -> Option<Node> {
    let before = problems.len();
    let mut builder = Builder::new(text, source, problems);
    match quick::read(text, &mut builder) {
        Ok(()) => builder.root,
        Err(GivenUp) => {
            problems.truncate(before);
            None
        }
    }
}

/// As [`parse`], by the full parser alone: what the quick one is held against.
pub fn parse_fully(text: &str, source: SourceId, problems: &mut Vec<Problem>) -> Option<Node> {
    let reading = read_fully(text, source, problems).0;
    reading.tree.filter(|_| reading.lost.is_empty())
}

/// Bytes that are read again in all, to mend a text and to read around what cannot be mended: each
/// time the parser begins anew. Enough for hundreds of mends in files as people write them, and for
/// a few in the largest; then the parser's verdict stands.
const MOST_READ_AGAIN: usize = 2 * 1024 * 1024;

/// Syntax errors that are read around.
const MOST_ERRORS: usize = 12;

/// What was read, and how many bytes were read again for it.
fn read_fully(text: &str, source: SourceId, problems: &mut Vec<Problem>) -> (Reading, usize) {
    let mut again = 0;
    let mut lost = Vec::new();
    let mut error = match mend_and_read(text, source, problems, &mut again) {
        Ok(tree) => return (Reading { tree, lost }, again),
        Err(error) => error,
    };
    syntax_error(text, text, source, &error, problems);
    let mut left = text.to_owned();
    for _ in 0..MOST_ERRORS {
        if again > MOST_READ_AGAIN {
            break;
        }
        match recover::blank_out(&mut left, error.at as usize, &error.info) {
            Some(range) => lost.push(range),
            None => break,
        }
        again += error.at as usize + text.len() / 16;
        match mend_and_read(&left, source, problems, &mut again) {
            Ok(tree) => return (Reading { tree, lost }, again),
            Err(next) => error = next,
        }
        // Its anchor may have been in what was left out.
        if !error.info.contains("unknown anchor") {
            syntax_error(&left, text, source, &error, problems);
        }
    }
    lost.push(0..text.len());
    (Reading { tree: None, lost }, again)
}

/// Reads a text as often as there is something to mend.
fn mend_and_read(
    text: &str,
    source: SourceId,
    problems: &mut Vec<Problem>,
    again: &mut usize,
) -> Result<Option<Node>, SyntaxError> {
    let before = problems.len();
    let first = match attempt(text, None, source, problems) {
        Ok(tree) => return Ok(tree),
        Err(error) => error,
    };
    let mut mended = Mended::new(text);
    let mut error = first.clone();
    loop {
        // The reading that ended there, and the moving and looking through of the whole text.
        *again += error.at as usize + text.len() / 16;
        if *again > MOST_READ_AGAIN || !mended.mend(&error.info, error.at as usize) {
            break;
        }
        problems.truncate(before);
        match attempt(&mended.text, Some((&mended, text)), source, problems) {
            Ok(tree) => return Ok(tree),
            Err(next) => error = next,
        }
    }
    problems.truncate(before);
    // What could not be mended is told as the parser first saw it, unless it lies further on.
    let last = mended.original(error.at);
    Err(if last > first.at + 1 { SyntaxError { at: last, ..error } } else { first })
}

/// What the parser says, at a byte of the text that it read.
#[derive(Clone)]
struct SyntaxError {
    at: u32,
    info: String,
}

fn attempt(
    text: &str,
    mended: Option<(&Mended, &str)>,
    source: SourceId,
    problems: &mut Vec<Problem>,
) -> Result<Option<Node>, SyntaxError> {
    let builder = Builder::new(mended.map_or(text, |(_, given)| given), source, problems);
    let places =
        Places { text, offsets: Offsets::new(text), mended: mended.map(|(mended, _)| mended) };
    match Ascii::of(text) {
        Some(ascii) => build(builder, &places, Parser::new(ascii)),
        None => build(builder, &places, Parser::new(StrInput::new(text))),
    }
}

fn build<T: Input>(
    mut builder: Builder<'_, '_>,
    places: &Places<'_>,
    mut parser: Parser<'_, T>,
) -> Result<Option<Node>, SyntaxError> {
    while let Some(next) = parser.next_event() {
        match next {
            Ok((event, marks)) => {
                let span = places.span(marks, &event, builder.source);
                if builder.event(event, span).is_err() {
                    return Ok(None);
                }
            }
            Err(error) => {
                let at = places.offsets.byte(error.marker().index());
                return Err(SyntaxError { at, info: error.info().to_owned() });
            }
        }
    }
    Ok(builder.root)
}

/// Tells of an error in `text`, which has the length of the text as given.
fn syntax_error(
    text: &str,
    given: &str,
    source: SourceId,
    error: &SyntaxError,
    problems: &mut Vec<Problem>,
) {
    let SyntaxError { at, info } = error;
    let at = (*at as usize).min(text.len());
    let guilty = recover::guilty(text, at, info);
    let place = |at: usize| {
        let at = to_u32(given.floor_char_boundary(at));
        Span { source, start: at, end: at }
    };
    let message = if info.contains("recursion limit") {
        format!("nested more than {DEEPEST} levels deep")
    } else {
        format!("not valid YAML: {info}")
    };
    let mut problem = Problem::error(place(guilty.at), "", message);
    if let Some(help) = guilty.help {
        problem = problem.help(help);
    }
    if text[guilty.at.min(at)..guilty.at.max(at)].contains('\n') {
        problem = problem.related(place(at), "noticed here");
    }
    problems.push(problem);
}

/// From the parser's marks in the text that it reads to places in the text as given.
struct Places<'t> {
    text: &'t str,
    offsets: Offsets,
    mended: Option<&'t Mended>,
}

impl Places<'_> {
    fn span(&self, marks: Marks, event: &Event<'_>, source: SourceId) -> Span {
        let mut start = self.offsets.byte(marks.start.index());
        let mut end = self.offsets.byte(marks.end.index()).max(start);
        // To the parser the blanks and the comment behind a token belong to it.
        let trimmed = match event {
            Event::Scalar(_, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted, ..) => {
                quoted_end(self.text, start as usize)
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if end > start => {
                bracket_end(self.text, start as usize)
            }
            _ => None,
        };
        end = trimmed.map_or(end, to_u32);
        if let Some(mended) = self.mended {
            (start, end) = (mended.original(start), mended.original(end));
        }
        Span { source, start, end }
    }
}

/// Where what follows an anchor and a tag begins, if one of them stands at `start`; else `start`.
fn behind_properties(text: &str, start: usize) -> Option<usize> {
    let mut rest = text.get(start..)?;
    while rest.starts_with(['&', '!']) {
        rest = rest[rest.find(char::is_whitespace)?..].trim_start();
    }
    Some(text.len() - rest.len())
}

/// The end of the opening bracket of a list or mapping; none when it has no brackets.
fn bracket_end(text: &str, start: usize) -> Option<usize> {
    let at = behind_properties(text, start)?;
    text[at..].starts_with(['[', '{']).then_some(at + 1)
}

/// The end of the quoted text.
fn quoted_end(text: &str, start: usize) -> Option<usize> {
    let start = behind_properties(text, start)?;
    let bytes = &text.as_bytes()[start..];
    let quote = *bytes.first().filter(|b| matches!(b, b'"' | b'\''))?;
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            b'\\' if quote == b'"' => at += 2,
            b'\'' if quote == b'\'' && bytes.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return Some(start + at + 1),
            _ => at += 1,
        }
    }
}

/// From the parser's positions, which count characters, to bytes.
struct Offsets {
    /// One entry a character; none when every character is one byte.
    bytes: Option<Vec<u32>>,
    len: u32,
}

impl Offsets {
    fn new(text: &str) -> Offsets {
        let bytes = (!text.is_ascii())
            .then(|| text.char_indices().map(|(at, _)| to_u32(at)).collect::<Vec<_>>());
        Offsets { bytes, len: to_u32(text.len()) }
    }

    fn byte(&self, character: usize) -> u32 {
        match &self.bytes {
            None => to_u32(character).min(self.len),
            Some(bytes) => bytes.get(character).copied().unwrap_or(self.len),
        }
    }
}

#[cfg(test)]
mod tests;
