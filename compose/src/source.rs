//! The texts that were read, and places in them.

use std::fmt;
use std::sync::OnceLock;

/// One of the texts of a [`Sources`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// A piece of one text, in bytes, end excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub source: SourceId,
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// The start of a text: for problems of a whole file.
    #[must_use]
    pub fn start_of(source: SourceId) -> Span {
        Span { source, start: 0, end: 0 }
    }
}

/// Where something is, as people count: line and column from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    pub file: String,
    pub line: u32,
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One text.
#[derive(Clone, Debug)]
pub struct Source {
    /// As shown to the user.
    pub name: String,
    pub text: String,
    /// Looked for when somebody first asks: of most texts there is nothing to tell.
    line_starts: OnceLock<Vec<u32>>,
}

impl Source {
    fn new(name: String, text: String) -> Source {
        Source { name, text, line_starts: OnceLock::new() }
    }

    fn line_starts(&self) -> &[u32] {
        self.line_starts.get_or_init(|| {
            let ends = self.text.match_indices('\n').map(|(at, _)| to_u32(at + 1));
            std::iter::once(0).chain(ends).collect()
        })
    }

    /// The line that byte `at` is on, from 1, and the byte at which it begins.
    #[must_use]
    pub fn line_of(&self, at: u32) -> (usize, usize) {
        let starts = self.line_starts();
        let line = starts.partition_point(|&start| start <= at).max(1);
        (line, starts.get(line - 1).map_or(0, |&start| start as usize))
    }

    /// The byte at which `line`, from 0, begins.
    #[must_use]
    pub fn line_start(&self, line: usize) -> u32 {
        let starts = self.line_starts();
        starts.get(line).or(starts.last()).copied().unwrap_or(0)
    }
}

/// Every text that took part, Compose files and env files alike.
#[derive(Clone, Debug, Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Adds a text and gives its id.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        let id = SourceId(to_u32(self.0.len()));
        self.0.push(Source::new(name.into(), text.into()));
        id
    }

    /// The text with this id.
    #[must_use]
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.0.get(id.0 as usize)
    }

    /// What stands at `span`.
    #[must_use]
    pub fn text(&self, span: Span) -> &str {
        self.get(span.source)
            .and_then(|s| s.text.get(span.start as usize..span.end as usize))
            .unwrap_or("")
    }

    /// File, line and column of the start of `span`.
    #[must_use]
    pub fn locate(&self, span: Span) -> Location {
        let Some(source) = self.get(span.source) else {
            return Location { file: String::new(), line: 1, column: 1 };
        };
        let (line, line_start) = source.line_of(span.start);
        let before = source.text.get(line_start..span.start as usize).unwrap_or("");
        Location {
            file: source.name.clone(),
            line: to_u32(line),
            column: to_u32(before.chars().count() + 1),
        }
    }
}

/// Lengths here are bounded by the size limit of the input, far below `u32::MAX`.
pub(crate) fn to_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_lines_and_characters_from_one() {
        let mut sources = Sources::default();
        let id = sources.add("a.yml", "ä: 1\nbc: é x\n");
        let span = Span { source: id, start: 13, end: 14 };
        assert_eq!(sources.text(span), "x");
        assert_eq!(sources.locate(span).to_string(), "a.yml:2:7");
        assert_eq!(sources.locate(Span::start_of(id)).to_string(), "a.yml:1:1");
    }
}
