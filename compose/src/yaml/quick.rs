//! Reads the plain part of YAML that nearly all Compose files are written in, fast.
//!
//! Block mappings and lists, texts on one line (plain or in quotes), brackets on one line, comments,
//! anchors and aliases. At the first thing beyond that it gives up, and the text is read from the start
//! by the full parser, which alone says what is wrong with a text. What is read here is told to the
//! builder exactly as the full parser tells it, places included: the tests beside this file, the corpus
//! tests and the fuzz target hold one against the other.
//!
//! Deliberately absent: messages.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::encoding::all;
use crate::source::to_u32;

/// What the reader tells; places are in bytes, from and to.
pub(super) trait Listener {
    /// A text; `plain` when it is not in quotes. `anchor` is 0 where there is none.
    fn text(&mut self, text: Cow<'_, str>, plain: bool, anchor: usize, at: (u32, u32)) -> Told;
    fn alias(&mut self, anchor: usize, at: (u32, u32)) -> Told;
    fn list(&mut self, anchor: usize, at: (u32, u32)) -> Told;
    fn map(&mut self, anchor: usize, at: (u32, u32)) -> Told;
    /// The list or mapping that was begun last is at its end.
    fn end(&mut self) -> Told;
}

/// Whether the listener wants to hear more.
pub(super) type Told = Result<(), GivenUp>;

/// The text, or the listener, wants the full parser.
#[derive(Debug)]
pub(super) struct GivenUp;

/// A key longer than this, in bytes, is left to the full parser, which ends at 1024 characters.
const LONGEST_KEY: usize = 1000;

/// Nesting that is left to the full parser; the builder refuses less.
const DEEPEST: usize = 200;

/// What a text without quotes may begin with, beside letters and digits; others have a meaning, or are
/// rare.
const BEGINS: &[u8] = b"_./$~()<=+^;\\";

/// Reads a whole text.
pub(super) fn read(text: &str, listener: &mut dyn Listener) -> Told {
    // Tabs and carriage returns have rules of their own.
    let plain = all(text.as_bytes(), |b| b >= b' ' && b != 0x7F || b == b'\n');
    if !plain || !text.is_ascii() && text.contains('\u{FEFF}') {
        return Err(GivenUp);
    }
    let mut quick = Quick {
        text,
        bytes: text.as_bytes(),
        at: 0,
        line: 0,
        depth: 0,
        anchors: BTreeMap::new(),
        given: 0,
        listener,
    };
    quick.document()
}

struct Quick<'t, 'l> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    /// Where the line of `at` begins.
    line: usize,
    depth: usize,
    /// Anchors by name; a name may be given again.
    anchors: BTreeMap<&'t str, usize>,
    /// How many anchors there were: the full parser counts them in the same way.
    given: usize,
    listener: &'l mut dyn Listener,
}

#[derive(Clone, Copy)]
struct Anchor {
    id: usize,
    start: usize,
}

/// What the dashes of a list are indented by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Indent {
    Own,
    /// They stand below the first letter of the key.
    OfKey,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Block,
    Brackets,
}

/// A text on one line, and where it stands.
struct Word<'t> {
    text: Cow<'t, str>,
    plain: bool,
    start: usize,
    end: usize,
}

impl<'t> Quick<'t, '_> {
    fn document(&mut self) -> Told {
        self.to_content();
        if self.bytes[self.at..].starts_with(b"---\n") && self.at == self.line {
            self.at += 3;
            self.to_content();
        }
        if self.at == self.bytes.len() {
            return Err(GivenUp);
        }
        self.collection(None)?;
        if self.at < self.bytes.len() { Err(GivenUp) } else { Ok(()) }
    }

    #[inline]
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(b'\n')
    }

    #[inline]
    fn column(&self) -> usize {
        self.at - self.line
    }

    #[inline]
    fn blanks(&mut self) {
        while self.bytes.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
    }

    /// Whether nothing but blanks and a comment follow on this line. If so: at its end; if not: at
    /// what follows.
    fn ends_line(&mut self) -> bool {
        let before = self.at;
        self.blanks();
        match self.bytes.get(self.at) {
            None | Some(b'\n') => true,
            Some(b'#') if self.at > before => {
                self.comment();
                true
            }
            Some(_) => false,
        }
    }

    fn comment(&mut self) {
        let rest = &self.bytes[self.at..];
        self.at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
    }

    /// From the end of a line, or the start of the text, to the next thing that is written; the end
    /// of the text if nothing is.
    fn to_content(&mut self) {
        loop {
            match self.bytes.get(self.at) {
                None => return,
                Some(b'\n') => {
                    self.at += 1;
                    self.line = self.at;
                }
                Some(b' ') => self.at += 1,
                Some(b'#') => self.comment(),
                Some(_) => return,
            }
        }
    }

    /// True at the start or the end of a document.
    fn marker(&self) -> bool {
        let rest = &self.bytes[self.at..];
        rest.starts_with(b"---") || rest.starts_with(b"...")
    }

    fn deeper(&mut self) -> Told {
        self.depth += 1;
        if self.depth > DEEPEST { Err(GivenUp) } else { Ok(()) }
    }

    /// True before a dash that begins an item.
    fn dash(&self) -> bool {
        self.peek(0) == b'-' && matches!(self.peek(1), b' ' | b'\n')
    }

    /// The list or mapping that begins here. Afterwards: at the next content, which is not in it.
    fn collection(&mut self, anchor: Option<Anchor>) -> Told {
        if self.dash() {
            let at = anchor.map_or(self.at, |a| a.start);
            self.listener.list(anchor.map_or(0, |a| a.id), place(at, self.at))?;
            self.list(self.column(), Indent::Own)
        } else {
            let key = self.word(Inside::Block)?;
            self.map(key, anchor)
        }
    }

    /// The items of a list whose dashes stand in `column`; the first is here.
    fn list(&mut self, column: usize, indent: Indent) -> Told {
        self.deeper()?;
        loop {
            self.at += 1;
            let ends_line = self.ends_line();
            let item = self.at;
            match self.peek(0) {
                _ if ends_line => {
                    self.to_content();
                    if self.at < self.bytes.len() && self.column() > column {
                        self.collection(None)?;
                    } else {
                        self.listener.text(Cow::Borrowed(""), true, 0, place(item, item))?;
                    }
                }
                b'-' if self.dash() => self.collection(None)?,
                b'&' | b'*' | b'[' | b'{' => self.value(column)?,
                _ => {
                    let word = self.word(Inside::Block)?;
                    if self.peek(0) == b':' {
                        self.map(word, None)?;
                    } else {
                        self.tell(word, None)?;
                        self.after_value(column)?;
                    }
                }
            }
            debug_assert!(self.at > item || self.at == self.bytes.len());
            if self.at == self.bytes.len() || self.column() < column {
                break;
            }
            if self.column() > column {
                return Err(GivenUp);
            }
            if !self.dash() {
                match indent {
                    Indent::OfKey => break,
                    Indent::Own => return Err(GivenUp),
                }
            }
        }
        self.depth -= 1;
        self.listener.end()
    }

    /// A mapping; its first key has been read, and the colon is here.
    fn map(&mut self, first: Word<'t>, anchor: Option<Anchor>) -> Told {
        self.deeper()?;
        let column = first.start - self.line;
        let at = anchor.map_or(first.start, |a| a.start);
        self.listener.map(anchor.map_or(0, |a| a.id), place(at, first.start))?;
        let mut key = first;
        loop {
            if self.peek(0) != b':' || self.at - key.start > LONGEST_KEY {
                return Err(GivenUp);
            }
            self.tell(key, None)?;
            self.entry(column)?;
            if self.at == self.bytes.len() || self.column() < column {
                break;
            }
            if self.column() > column {
                return Err(GivenUp);
            }
            key = self.word(Inside::Block)?;
        }
        self.depth -= 1;
        self.listener.end()
    }

    /// The value of a key that stands in `column`; its colon is here.
    fn entry(&mut self, column: usize) -> Told {
        let colon = self.at;
        self.at += 1;
        if !matches!(self.peek(0), b' ' | b'\n') {
            return Err(GivenUp);
        }
        if !self.ends_line() {
            return self.value(column);
        }
        self.to_content();
        self.below(column, None, colon)
    }

    /// What stands on the lines below a key in `column`, if it is its value.
    fn below(&mut self, column: usize, anchor: Option<Anchor>, colon: usize) -> Told {
        let ended = self.at == self.bytes.len();
        if !ended && self.column() > column {
            return self.collection(anchor);
        }
        if anchor.is_some() {
            return Err(GivenUp);
        }
        if !ended && self.column() == column && self.dash() {
            // Its place, to the full parser, is that of its first item.
            let dash = self.at;
            self.at += 1;
            self.ends_line();
            let item = self.at;
            self.at = dash;
            self.listener.list(0, place(item, item))?;
            return self.list(column, Indent::OfKey);
        }
        self.listener.text(Cow::Borrowed(""), true, 0, place(colon, colon))
    }

    /// A value that begins on the line of its key or dash, which stands in `column`.
    fn value(&mut self, column: usize) -> Told {
        match self.peek(0) {
            b'[' | b'{' => self.flow(None)?,
            b'*' => self.alias()?,
            b'&' => {
                let anchor = self.anchor()?;
                match self.peek(0) {
                    b'\n' => {
                        self.to_content();
                        return self.below(column, Some(anchor), anchor.start);
                    }
                    b' ' => self.blanks(),
                    _ => return Err(GivenUp),
                }
                match self.peek(0) {
                    b'[' | b'{' => self.flow(Some(anchor))?,
                    _ => {
                        let word = self.word(Inside::Block)?;
                        self.tell(word, Some(anchor))?;
                    }
                }
            }
            _ => {
                let word = self.word(Inside::Block)?;
                self.tell(word, None)?;
            }
        }
        self.after_value(column)
    }

    /// Behind a value on one line: what follows does not belong to it.
    fn after_value(&mut self, column: usize) -> Told {
        if !self.ends_line() {
            return Err(GivenUp);
        }
        self.to_content();
        if self.at < self.bytes.len() && self.column() > column { Err(GivenUp) } else { Ok(()) }
    }

    fn alias(&mut self) -> Told {
        let start = self.at;
        let name = self.name()?;
        let id = self.anchors.get(name).copied().ok_or(GivenUp)?;
        self.listener.alias(id, place(start, self.at))
    }

    fn anchor(&mut self) -> Result<Anchor, GivenUp> {
        let start = self.at;
        let name = self.name()?;
        self.given += 1;
        self.anchors.insert(name, self.given);
        Ok(Anchor { id: self.given, start })
    }

    /// The name behind `&` or `*`.
    fn name(&mut self) -> Result<&'t str, GivenUp> {
        let start = self.at + 1;
        let rest = &self.bytes[start..];
        let fine = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        let len = rest.iter().take_while(|b| fine(b)).count();
        self.at = start + len;
        // Other characters may belong to a name as well; a colon is a trap.
        match self.bytes.get(self.at) {
            Some(b' ' | b'\n' | b',' | b']' | b'}') | None if len > 0 => {
                Ok(&self.text[start..self.at])
            }
            _ => Err(GivenUp),
        }
    }

    /// `[…]` or `{…}`, all on one line.
    fn flow(&mut self, anchor: Option<Anchor>) -> Told {
        self.deeper()?;
        let open = self.peek(0);
        let at = place(anchor.map_or(self.at, |a| a.start), self.at + 1);
        let id = anchor.map_or(0, |a| a.id);
        self.at += 1;
        if open == b'[' {
            self.listener.list(id, at)?;
        } else {
            self.listener.map(id, at)?;
        }
        let close = if open == b'[' { b']' } else { b'}' };
        self.blanks();
        while self.peek(0) != close {
            if open == b'{' {
                let key = self.word(Inside::Brackets)?;
                if self.peek(0) != b':' || self.peek(1) != b' ' || self.at - key.start > LONGEST_KEY
                {
                    return Err(GivenUp);
                }
                self.tell(key, None)?;
                self.at += 1;
                self.blanks();
            }
            match self.peek(0) {
                b'[' | b'{' => self.flow(None)?,
                b'*' => self.alias()?,
                _ => {
                    let word = self.word(Inside::Brackets)?;
                    self.tell(word, None)?;
                }
            }
            self.blanks();
            match self.peek(0) {
                b',' => self.at += 1,
                other if other == close => break,
                _ => return Err(GivenUp),
            }
            self.blanks();
        }
        self.at += 1;
        self.depth -= 1;
        self.listener.end()
    }

    fn tell(&mut self, word: Word<'t>, anchor: Option<Anchor>) -> Told {
        let at = place(anchor.map_or(word.start, |a| a.start), word.end);
        self.listener.text(word.text, word.plain, anchor.map_or(0, |a| a.id), at)
    }

    /// A text on one line. Afterwards: behind it and the blanks that follow, or at the blanks if a
    /// comment comes next.
    #[inline]
    fn word(&mut self, inside: Inside) -> Result<Word<'t>, GivenUp> {
        let start = self.at;
        let word = match self.peek(0) {
            b'"' => self.double_quoted()?,
            b'\'' => self.single_quoted()?,
            _ => self.plain(inside)?,
        };
        debug_assert!(self.at > start);
        let end = self.at;
        self.blanks();
        if self.peek(0) == b'#' {
            if self.at == end {
                return Err(GivenUp);
            }
            self.at = end;
        }
        Ok(word)
    }

    /// A text without quotes.
    fn plain(&mut self, inside: Inside) -> Result<Word<'t>, GivenUp> {
        let start = self.at;
        let begins = match self.peek(0) {
            b'-' => !matches!(self.peek(1), b' ' | b'\n' | b',' | b'[' | b']' | b'{' | b'}'),
            other => other.is_ascii_alphanumeric() || other >= 0x80 || BEGINS.contains(&other),
        };
        if !begins || start == self.line && self.marker() {
            return Err(GivenUp);
        }
        let mut at = start + 1;
        // Behind the last byte that is no blank.
        let mut end = at;
        while let Some(&byte) = self.bytes.get(at) {
            match byte {
                b'\n' => break,
                b' ' => {
                    at += 1;
                    continue;
                }
                b':' => match self.bytes.get(at + 1) {
                    Some(b' ' | b'\n') | None => break,
                    Some(b',' | b'[' | b']' | b'{' | b'}') if inside == Inside::Brackets => {
                        return Err(GivenUp);
                    }
                    Some(_) => {}
                },
                b'#' if at > end => break,
                b'-' if at > end && inside == Inside::Brackets => return Err(GivenUp),
                b',' | b'[' | b']' | b'{' | b'}' if inside == Inside::Brackets => break,
                _ => {}
            }
            at += 1;
            end = at;
        }
        self.at = end;
        Ok(Word { text: Cow::Borrowed(&self.text[start..end]), plain: true, start, end })
    }

    fn single_quoted(&mut self) -> Result<Word<'t>, GivenUp> {
        let start = self.at;
        let mut at = start + 1;
        let mut doubled = false;
        loop {
            match self.bytes.get(at) {
                None | Some(b'\n') => return Err(GivenUp),
                Some(b'\'') if self.bytes.get(at + 1) == Some(&b'\'') => {
                    doubled = true;
                    at += 2;
                }
                Some(b'\'') => break,
                Some(_) => at += 1,
            }
        }
        let inner = &self.text[start + 1..at];
        let text =
            if doubled { Cow::Owned(inner.replace("''", "'")) } else { Cow::Borrowed(inner) };
        self.at = at + 1;
        Ok(Word { text, plain: false, start, end: self.at })
    }

    fn double_quoted(&mut self) -> Result<Word<'t>, GivenUp> {
        let start = self.at;
        let mut at = start + 1;
        // What has been put together so far, and from where on nothing has been taken over.
        let mut made = String::new();
        let mut taken = at;
        loop {
            match self.bytes.get(at) {
                None | Some(b'\n') => return Err(GivenUp),
                Some(b'"') => break,
                Some(b'\\') => {
                    made.push_str(&self.text[taken..at]);
                    made.push(match self.bytes.get(at + 1) {
                        Some(b'n') => '\n',
                        Some(b't') => '\t',
                        Some(b'"') => '"',
                        Some(b'/') => '/',
                        Some(b'\\') => '\\',
                        _ => return Err(GivenUp),
                    });
                    at += 2;
                    taken = at;
                }
                Some(_) => at += 1,
            }
        }
        let text = if taken == start + 1 {
            Cow::Borrowed(&self.text[taken..at])
        } else {
            made.push_str(&self.text[taken..at]);
            Cow::Owned(made)
        };
        self.at = at + 1;
        Ok(Word { text, plain: false, start, end: self.at })
    }
}

fn place(start: usize, end: usize) -> (u32, u32) {
    (to_u32(start), to_u32(end))
}

#[cfg(test)]
mod tests;
