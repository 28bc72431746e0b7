//! A text of ASCII only, as the YAML parser wants to see it.
//!
//! Nearly all Compose files are such texts. Where every character is one byte nothing needs decoding, and
//! the parser is told to ask for little at a time: it makes room for as much in every scalar.

use saphyr_parser::Input;
use saphyr_parser::input::{is_blank, is_blank_or_breakz, is_breakz};

/// What is left of a text, and how far the parser has asked to see.
pub(super) struct Ascii<'t> {
    left: &'t [u8],
    seen: usize,
}

/// Characters that the parser takes at once.
const AT_ONCE: usize = 16;

impl<'t> Ascii<'t> {
    /// Of a text; nothing when it is not ASCII.
    pub(super) fn of(text: &'t str) -> Option<Ascii<'t>> {
        text.is_ascii().then_some(Ascii { left: text.as_bytes(), seen: 0 })
    }

    #[inline]
    fn three(&self, wanted: u8) -> bool {
        self.left.len() >= 3 && self.left[..3].iter().all(|b| *b == wanted)
    }

    #[inline]
    fn ends_word(&self) -> bool {
        is_blank_or_breakz(self.peek_nth(3))
    }
}

impl Input for Ascii<'_> {
    #[inline]
    fn lookahead(&mut self, count: usize) {
        self.seen = self.seen.max(count);
    }

    #[inline]
    fn buflen(&self) -> usize {
        self.seen
    }

    #[inline]
    fn bufmaxlen(&self) -> usize {
        AT_ONCE
    }

    #[inline]
    fn raw_read_ch(&mut self) -> char {
        let next = self.peek();
        self.skip();
        next
    }

    #[inline]
    fn raw_read_non_breakz_ch(&mut self) -> Option<char> {
        let next = self.peek_opt().filter(|c| !is_breakz(*c))?;
        self.skip();
        Some(next)
    }

    #[inline]
    fn skip(&mut self) {
        self.left = self.left.get(1..).unwrap_or_default();
    }

    #[inline]
    fn skip_n(&mut self, count: usize) {
        self.left = self.left.get(count..).unwrap_or_default();
    }

    #[inline]
    fn peek(&self) -> char {
        self.peek_nth(0)
    }

    #[inline]
    fn peek_nth(&self, n: usize) -> char {
        char::from(self.left.get(n).copied().unwrap_or(0))
    }

    #[inline]
    fn peek_opt(&self) -> Option<char> {
        self.left.first().copied().map(char::from)
    }

    #[inline]
    fn next_2_are(&self, c1: char, c2: char) -> bool {
        self.peek() == c1 && self.peek_nth(1) == c2
    }

    #[inline]
    fn next_3_are(&self, c1: char, c2: char, c3: char) -> bool {
        self.next_2_are(c1, c2) && self.peek_nth(2) == c3
    }

    #[inline]
    fn next_is_document_indicator(&self) -> bool {
        self.next_is_document_start() || self.next_is_document_end()
    }

    #[inline]
    fn next_is_document_start(&self) -> bool {
        self.three(b'-') && self.ends_word()
    }

    #[inline]
    fn next_is_document_end(&self) -> bool {
        self.three(b'.') && self.ends_word()
    }

    fn skip_while_non_breakz(&mut self) -> usize {
        let end = self.left.iter().position(|b| is_breakz(char::from(*b)));
        let count = end.unwrap_or(self.left.len());
        self.skip_n(count);
        count
    }

    fn skip_while_blank(&mut self) -> usize {
        let end = self.left.iter().position(|b| !is_blank(char::from(*b)));
        let count = end.unwrap_or(self.left.len());
        self.skip_n(count);
        count
    }
}

#[cfg(test)]
mod tests {
    use saphyr_parser::{Parser, StrInput};

    use super::Ascii;

    /// Everything the parser says of a text, with places.
    fn events<T: saphyr_parser::Input>(mut parser: Parser<'_, T>) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(next) = parser.next_event() {
            out.push(format!("{next:?}"));
            if next.is_err() {
                break;
            }
        }
        out
    }

    #[test]
    fn the_parser_reads_the_same_as_from_any_text() {
        let seeds = [
            include_str!("../../tests/seeds/everything.yml"),
            include_str!("../../../fuzz/corpus/compose/swarm.yml"),
            "a: |2-\n   x\n  y\n\nb: >+\n z\n\n...\n---\n- \"q\\n\\\n  r\" # c\n- 'it''s'\n- {a: [b,c ,d]}\n",
            "a: b\n\tc: d\n",
            "#\n",
            "--- x\n--",
            "..",
            "? [a]\n: - b\n  -\tc\n&x !!str a: *x\r\nlong: 0123456789012345678901234567890123456789 and more   \n",
        ];
        let mut compared = 0;
        for seed in seeds {
            let seed: String = seed.chars().filter(char::is_ascii).collect();
            // Every beginning of it as well: most are broken in some way.
            for end in (0..=seed.len()).step_by(if seed.len() > 400 { 97 } else { 1 }) {
                let text = &seed[..end];
                let ascii = Ascii::of(text).expect("ASCII");
                assert_eq!(
                    events(Parser::new(ascii)),
                    events(Parser::new(StrInput::new(text))),
                    "{text}"
                );
                compared += 1;
            }
        }
        assert!(compared > 200, "{compared}");
        assert!(Ascii::of("\u{e9}").is_none());
    }
}
