//! Splits a command line into words, as a shell would without expanding anything.

/// The words of `line`.
///
/// Single quotes keep all, double quotes keep all but `\"` and `\\`-style escapes, a backslash
/// outside keeps the next character, `#` at the start of a word begins a comment to the line's end.
///
/// # Errors
/// A quote that is never closed, or a backslash at the very end.
pub fn split(line: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '#' if word.is_none() => {
                chars.by_ref().find(|&c| c == '\n');
            }
            '\'' => {
                let word = word.get_or_insert_with(String::new);
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err(WordsError::OpenQuote('\'')),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_with(String::new);
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => {
                            word.push(chars.next().ok_or(WordsError::OpenQuote('"'))?);
                        }
                        Some(c) => word.push(c),
                        None => return Err(WordsError::OpenQuote('"')),
                    }
                }
            }
            '\\' => {
                let next = chars.next().ok_or(WordsError::Backslash)?;
                word.get_or_insert_with(String::new).push(next);
            }
            c => word.get_or_insert_with(String::new).push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Why a text is no command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    #[error("the quote {0} is never closed")]
    OpenQuote(char),
    #[error("nothing follows the backslash at the end")]
    Backslash,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_as_a_shell_splits_them() {
        for (line, words) in [
            ("a  b", vec!["a", "b"]),
            ("a 'b c' d", vec!["a", "b c", "d"]),
            ("a \\\"b", vec!["a", "\"b"]),
            ("a #b", vec!["a"]),
            ("a#b", vec!["a#b"]),
            ("a '' b", vec!["a", "", "b"]),
            ("sh -c \"x y\"", vec!["sh", "-c", "x y"]),
            (" a\tb\n", vec!["a", "b"]),
            ("a=b c;d", vec!["a=b", "c;d"]),
            ("", vec![]),
        ] {
            assert_eq!(split(line).expect(line), words, "{line}");
        }
        assert_eq!(split("a'b"), Err(WordsError::OpenQuote('\'')));
        assert_eq!(split("a \"b"), Err(WordsError::OpenQuote('"')));
        assert_eq!(split("a\\"), Err(WordsError::Backslash));
    }
}
