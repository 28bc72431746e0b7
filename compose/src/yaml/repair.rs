//! Mends texts that other YAML readers take and the parser underneath does not.
//!
//! libyaml, and with it the docker CLI, lets quoted texts and `[…]`, `{…}` continue at any indent,
//! a tab follow a colon and `#` follow a quote directly. None of these changes what the text means,
//! so blanks are put in and the text is read again. Places are counted back to the text as given.

use crate::source::to_u32;

/// How often one text is mended before the parser's verdict stands.
const MOST: usize = 400;

/// Texts longer than this, in bytes, are mended less often: each time they are read again.
const LARGE: usize = 128 * 1024;

/// Bytes that may be put in: quoted texts of thousands of badly indented lines are not mended.
const MOST_BYTES: usize = 512 * 1024;

/// Wider than any indent that the parser could ask for (see `DEEPEST`).
const PAD: usize = 220;

/// A text with blanks put in.
pub(super) struct Mended {
    pub text: String,
    /// Byte offsets in `text` behind which blanks were put in, and how many, in order.
    inserted: Vec<(usize, usize)>,
    repairs: usize,
    bytes: usize,
}

impl Mended {
    pub(super) fn new(text: &str) -> Mended {
        Mended { text: text.to_owned(), inserted: Vec::new(), repairs: 0, bytes: 0 }
    }

    /// Tries to mend what the parser says about byte `at` of the text. False: it cannot be mended.
    pub(super) fn mend(&mut self, complaint: &str, at: usize) -> bool {
        self.repairs += 1;
        let most = if self.text.len() > LARGE { MOST / 20 } else { MOST };
        if self.repairs > most {
            return false;
        }
        match complaint {
            "':' must be followed by a valid YAML whitespace" => self.tab_after_colon(at),
            "comments must be separated from other tokens by whitespace" => {
                self.insert(at, 1);
                true
            }
            "invalid indentation in quoted scalar" | "tab cannot be used as indentation" => {
                self.pad_quoted(at)
            }
            "invalid indentation" | "invalid indentation in flow construct" => self.pad_flow(at),
            _ => false,
        }
    }

    /// The byte of the text as given that byte `at` of the mended one stands for.
    pub(super) fn original(&self, at: u32) -> u32 {
        let at = at as usize;
        let mut shift = 0;
        for &(place, count) in &self.inserted {
            if place + count <= at {
                shift += count;
            } else if place < at {
                shift += at - place;
            } else {
                break;
            }
        }
        to_u32(at - shift)
    }

    /// `key:<tab>value`
    fn tab_after_colon(&mut self, at: usize) -> bool {
        let before = &self.text[..at];
        let blanks = before.len() - before.trim_end_matches([' ', '\t']).len();
        let start = at - blanks;
        if blanks == 0 || !before[start..].contains('\t') {
            return false;
        }
        self.text.replace_range(start..at, &" ".repeat(blanks));
        true
    }

    /// Widens the indent of the lines on which the quoted text at or around `at` goes on.
    fn pad_quoted(&mut self, at: usize) -> bool {
        let bytes = self.text.as_bytes();
        let mut start = at;
        if !matches!(bytes.get(start), Some(b'"' | b'\'')) {
            let Some(found) = self.text[..at].rfind(['"', '\'']) else { return false };
            start = found;
        }
        let quote = bytes[start];
        let mut breaks = Vec::new();
        let mut i = start + 1;
        while i < bytes.len() {
            match bytes[i] {
                b'\\' if quote == b'"' => i += 1,
                b'\'' if quote == b'\'' && bytes.get(i + 1) == Some(&b'\'') => i += 1,
                b if b == quote => break,
                b'\n' => breaks.push(i + 1),
                _ => {}
            }
            if breaks.len() * PAD > MOST_BYTES {
                return false;
            }
            // An escaped line break is a line break all the same.
            if bytes.get(i) == Some(&b'\n') && breaks.last() != Some(&(i + 1)) {
                breaks.push(i + 1);
            }
            i += 1;
        }
        let mut any = false;
        for line in breaks.into_iter().rev() {
            any |= self.pad_line(line);
        }
        any
    }

    /// Widens the indent of the line of `at`, or of the next one, inside brackets.
    fn pad_flow(&mut self, at: usize) -> bool {
        let line = self.text[..at].rfind('\n').map_or(0, |n| n + 1);
        if self.text[line..at].trim().is_empty() && self.pad_line(line) {
            return true;
        }
        match self.text[at..].find('\n') {
            Some(next) => self.pad_line(at + next + 1),
            None => false,
        }
    }

    /// Puts [`PAD`] blanks at the start of a line, instead of tabs if it begins with them; false
    /// when that was done already.
    fn pad_line(&mut self, line: usize) -> bool {
        let rest = &self.text[line..];
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        if blanks >= PAD || self.bytes > MOST_BYTES {
            return false;
        }
        if rest[..blanks].contains('\t') {
            self.text.replace_range(line..line + blanks, &" ".repeat(blanks));
        }
        self.insert(line, PAD);
        true
    }

    fn insert(&mut self, at: usize, count: usize) {
        self.bytes += count;
        self.text.insert_str(at, &" ".repeat(count));
        for (place, _) in &mut self.inserted {
            if *place >= at {
                *place += count;
            }
        }
        let index = self.inserted.partition_point(|&(place, _)| place < at);
        self.inserted.insert(index, (at, count));
    }
}
