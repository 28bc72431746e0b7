//! Mends texts that other YAML readers take and the parser underneath does not.
//!
//! libyaml, and with it the docker CLI, lets quoted texts and `[…]`, `{…}` continue at any indent,
//! a tab follow a colon and `#` follow a quote directly. None of these changes what the text means,
//! so blanks are put in and the text is read again. Places are counted back to the text as given.

use crate::source::to_u32;

/// Bytes that may be put in: quoted texts of many hundred badly indented lines are not mended.
const MOST_BYTES: usize = 256 * 1024;

/// Wider than any indent that the parser could ask for (see `DEEPEST`).
const PAD: usize = 220;

/// A text with blanks put in.
pub(super) struct Mended {
    pub text: String,
    /// Where blanks were put in, in order.
    inserted: Vec<Inserted>,
    bytes: usize,
}

/// Blanks that were put in: at which byte of the mended text, how many, and how many before them.
#[derive(Clone, Copy)]
struct Inserted {
    at: usize,
    count: usize,
    before: usize,
}

impl Mended {
    pub(super) fn new(text: &str) -> Mended {
        Mended { text: text.to_owned(), inserted: Vec::new(), bytes: 0 }
    }

    /// Tries to mend what the parser says about byte `at` of the text. False: it cannot be mended.
    pub(super) fn mend(&mut self, complaint: &str, at: usize) -> bool {
        match complaint {
            "':' must be followed by a valid YAML whitespace" => self.tab_after_colon(at),
            "comments must be separated from other tokens by whitespace" => {
                self.insert(&[at], 1);
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
        let shift = match self.inserted.partition_point(|one| one.at < at) {
            0 => 0,
            next => {
                let last = self.inserted[next - 1];
                last.before + last.count.min(at - last.at)
            }
        };
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
        self.pad_lines(&breaks)
    }

    /// Widens the indent of the line of `at`, or of the next one, inside brackets.
    fn pad_flow(&mut self, at: usize) -> bool {
        let line = self.text[..at].rfind('\n').map_or(0, |n| n + 1);
        if self.text[line..at].trim().is_empty() && self.pad_lines(&[line]) {
            return true;
        }
        match self.text[at..].find('\n') {
            Some(next) => self.pad_lines(&[at + next + 1]),
            None => false,
        }
    }

    /// Puts [`PAD`] blanks at the start of each of these lines, which are in order; tabs that they begin
    /// with become blanks. False when all of them had it done already.
    fn pad_lines(&mut self, lines: &[usize]) -> bool {
        let mut places = Vec::new();
        for &line in lines {
            let rest = &self.text[line..];
            let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
            if blanks >= PAD || self.bytes + places.len() * PAD > MOST_BYTES {
                continue;
            }
            if rest[..blanks].contains('\t') {
                self.text.replace_range(line..line + blanks, &" ".repeat(blanks));
            }
            places.push(line);
        }
        self.insert(&places, PAD);
        !places.is_empty()
    }

    /// Puts blanks in at each of these places, which are in order: all at once, since each time the
    /// whole text moves.
    fn insert(&mut self, places: &[usize], count: usize) {
        self.bytes += count * places.len();
        let mut text = String::with_capacity(self.text.len() + count * places.len());
        let mut all: Vec<Inserted> = Vec::with_capacity(self.inserted.len() + places.len());
        let mut old = self.inserted.iter().peekable();
        let mut taken = 0;
        for (done, &place) in places.iter().enumerate() {
            while let Some(one) = old.next_if(|one| one.at < place) {
                all.push(Inserted { at: one.at + done * count, ..*one });
            }
            text.push_str(&self.text[taken..place]);
            taken = place;
            all.push(Inserted { at: place + done * count, count, before: 0 });
            text.extend(std::iter::repeat_n(' ', count));
        }
        text.push_str(&self.text[taken..]);
        all.extend(old.map(|one| Inserted { at: one.at + places.len() * count, ..*one }));
        let mut before = 0;
        for one in &mut all {
            one.before = before;
            before += one.count;
        }
        (self.text, self.inserted) = (text, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_back_over_everything_that_was_put_in() {
        let given = "ab\ncd\nef\ngh";
        let mut mended = Mended::new(given);
        for (places, count) in [(&[3, 6][..], 4), (&[1, 8], 2), (&[0], 1), (&[5], 3)] {
            mended.insert(places, count);
            let letters = mended.text.char_indices().filter(|(_, c)| *c != ' ');
            for ((at, letter), expected) in letters.zip(given.chars()) {
                assert_eq!(letter, expected);
                let place = mended.original(to_u32(at)) as usize;
                assert_eq!(given[place..].chars().next(), Some(letter), "{:?}", mended.text);
            }
        }
        assert_eq!(mended.text.len(), given.len() + 16);
    }
}
