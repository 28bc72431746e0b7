//! Files of variables: `.env`, `env_file`, `label_file`.

use std::collections::BTreeMap;

use crate::interpolate::template::{Lookup, substitute};
use crate::problem::{Problem, Severity};
use crate::source::{SourceId, Span, to_u32};

/// The two forms of such a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As the docker CLI reads `env_file`: everything after `=` is the value, quotes and all.
    Raw,
    /// As Compose reads `.env`: quotes, escapes, comments, variables, `export`.
    Dotenv,
}

/// Bytes that variables may put into the values of one file.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// A variable of a file; without a value it is to be taken from the environment.
pub type Variable = (String, Option<String>);

/// The variables of `text`, in order.
pub fn parse(
    text: &str,
    source: SourceId,
    form: Form,
    lookup: Lookup<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Variable> {
    match form {
        Form::Raw => raw(text, source, problems),
        Form::Dotenv => {
            let (done, places) = (Vec::new(), BTreeMap::new());
            let room = MOST_BYTES;
            Dotenv { text, source, at: 0, lookup, problems, done, places, room }.run()
        }
    }
}

fn raw(text: &str, source: SourceId, problems: &mut Vec<Problem>) -> Vec<Variable> {
    let mut out = Vec::new();
    let mut start = 0;
    for full in text.split_inclusive('\n') {
        let span =
            Span { source, start: to_u32(start), end: to_u32(start + full.trim_end().len()) };
        start += full.len();
        let line = full.strip_suffix('\n').unwrap_or(full);
        let line = line.strip_suffix('\r').unwrap_or(line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (line, None),
        };
        let (bare, exported) = match name.strip_prefix("export ") {
            Some(rest) => (rest.trim(), true),
            None => (name.trim_end_matches([' ', '\t']), false),
        };
        if name.is_empty() {
            problems.push(Problem::error(span, "", "a name is missing before `=`"));
        } else if bare.is_empty() || bare.contains([' ', '\t']) {
            problems.push(
                Problem::error(span, "", format!("the name `{name}` has a blank in it"))
                    .allowed("NAME=value"),
            );
        } else if bare == name {
            out.push((name.to_owned(), value.map(str::to_owned)));
        } else {
            // `NAME = value` and `export NAME=value`, as Compose reads them.
            let what = if exported { "the word `export`" } else { "the blank before `=`" };
            problems.push(
                Problem::new(
                    Severity::Warning,
                    span,
                    "",
                    format!("{what} of `{bare}` means nothing and is dropped"),
                )
                .allowed("NAME=value"),
            );
            let value = value.map(|v| if exported { v } else { v.trim_start_matches([' ', '\t']) });
            out.push((bare.to_owned(), value.map(str::to_owned)));
        }
    }
    out
}

struct Dotenv<'t, 'p> {
    text: &'t str,
    source: SourceId,
    at: usize,
    lookup: Lookup<'p>,
    problems: &'p mut Vec<Problem>,
    done: Vec<Variable>,
    /// Where in `done` the last value of each name is.
    places: BTreeMap<String, usize>,
    /// Bytes that values may still have.
    room: usize,
}

impl Dotenv<'_, '_> {
    fn run(mut self) -> Vec<Variable> {
        loop {
            self.skip(|c| c.is_whitespace());
            match self.peek() {
                None => return self.done,
                Some('#') => self.skip(|c| c != '\n'),
                Some(_) => self.variable(),
            }
        }
    }

    fn variable(&mut self) {
        let start = self.at;
        let mut name = self.take(|c| !matches!(c, '=' | ':' | '\n' | '#')).trim_end().to_owned();
        if let Some(rest) = name.strip_prefix("export ") {
            name = rest.trim_start().to_owned();
        }
        if name.is_empty() || name.contains(char::is_whitespace) {
            let message = if name.is_empty() {
                "a name is missing".to_owned()
            } else {
                format!("the name `{name}` has a blank in it")
            };
            self.error(start, message);
            self.skip(|c| c != '\n');
            return;
        }
        if !matches!(self.peek(), Some('=' | ':')) {
            self.skip(|c| c != '\n');
            self.push(name, None);
            return;
        }
        self.at += 1;
        self.skip(|c| c == ' ' || c == '\t');
        let value = match self.peek() {
            Some(quote @ ('\'' | '"')) => self.quoted(quote),
            _ => {
                let line = self.take(|c| c != '\n');
                let value = cut_comment(line).trim_end().to_owned();
                self.fill(&value, start)
            }
        };
        self.push(name, Some(value));
    }

    fn push(&mut self, name: String, value: Option<String>) {
        self.places.insert(name.clone(), self.done.len());
        self.done.push((name, value));
    }

    fn quoted(&mut self, quote: char) -> String {
        let start = self.at;
        self.at += 1;
        let mut value = String::new();
        loop {
            let Some(c) = self.peek() else {
                self.error(start, format!("the quote {quote} is never closed"));
                return value;
            };
            self.at += c.len_utf8();
            match c {
                c if c == quote => break,
                '\\' if quote == '"' => {
                    let Some(next) = self.peek() else { continue };
                    self.at += next.len_utf8();
                    match next {
                        'n' => value.push('\n'),
                        'r' => value.push('\r'),
                        't' => value.push('\t'),
                        '"' | '\\' => value.push(next),
                        '$' => value.push_str("$$"),
                        other => {
                            value.push('\\');
                            value.push(other);
                        }
                    }
                }
                '\\' if self.peek() == Some('\'') => {
                    self.at += 1;
                    value.push('\'');
                }
                c => value.push(c),
            }
        }
        self.skip(|c| c != '\n');
        if quote == '"' { self.fill(&value, start) } else { value }
    }

    /// Fills in variables: those of this file so far, then the environment's.
    fn fill(&mut self, value: &str, start: usize) -> String {
        let (known, places) = (&self.done, &self.places);
        let outer = self.lookup;
        let lookup = |name: &str| {
            let here = places.get(name).and_then(|at| known[*at].1.clone());
            outer(name).or(here)
        };
        match substitute(value, &lookup) {
            Ok(done) => match self.room.checked_sub(done.text.len()) {
                Some(left) => {
                    self.room = left;
                    done.text
                }
                None => {
                    if self.room > 0 {
                        self.error(start, "variables make the values too long".to_owned());
                    }
                    self.room = 0;
                    String::new()
                }
            },
            Err(errors) => {
                let span = self.span(start);
                self.problems.extend(errors.iter().map(|error| {
                    Problem::error(span, "", error.to_string()).maybe_help(error.help())
                }));
                String::new()
            }
        }
    }

    fn error(&mut self, start: usize, message: String) {
        let span = self.span(start);
        self.problems.push(Problem::new(Severity::Error, span, "", message));
    }

    fn span(&self, start: usize) -> Span {
        Span { source: self.source, start: to_u32(start), end: to_u32(self.at.max(start)) }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn skip(&mut self, wanted: impl Fn(char) -> bool) {
        let _ = self.take(wanted);
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &str {
        let rest = self.text.get(self.at..).unwrap_or("");
        let len = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }
}

/// Without a comment: ` #` begins one.
fn cut_comment(line: &str) -> &str {
    let line = if line.starts_with('#') { "" } else { line };
    line.find(" #").or_else(|| line.find("\t#")).map_or(line, |at| &line[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, form: Form) -> Vec<String> {
        let lookup = |name: &str| (name == "OUT").then(|| "out".to_owned());
        let mut problems = Vec::new();
        let variables = parse(text, SourceId(0), form, &lookup, &mut problems);
        assert_eq!(problems, []);
        variables.into_iter().map(|(n, v)| format!("{n}={}", v.unwrap_or("-".into()))).collect()
    }

    #[test]
    fn raw_files_keep_everything_after_the_equals_sign() {
        let text = "# c\nA=\"x\" # y\r\n  B= z \nC\n\nD=\n";
        assert_eq!(read(text, Form::Raw), ["A=\"x\" # y", "B= z ", "C=-", "D="]);
    }

    #[test]
    fn blanks_before_the_equals_sign_and_export_are_dropped_with_a_word() {
        let mut problems = Vec::new();
        let text = "A = 1\nexport B=2\nC\t=\nD D=3\nexport E\n";
        let read = parse(text, SourceId(0), Form::Raw, &|_| None, &mut problems);
        let one = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        assert_eq!(read, [one("A", "1"), one("B", "2"), one("C", ""), ("E".to_owned(), None)]);
        let said: Vec<_> = problems.iter().map(|p| p.severity).collect();
        use Severity::{Error, Warning};
        assert_eq!(said, [Warning, Warning, Warning, Error, Warning]);
    }

    #[test]
    fn dotenv_files_know_quotes_comments_and_variables() {
        let text = "A=x # c\nexport B='$A'\nC=\"l1\\nl2 ${A}\"\nD=$OUT/${E:-e}\nF: g\nG\nH=a#b\nI=\"x\ny\"\n";
        assert_eq!(
            read(text, Form::Dotenv),
            ["A=x", "B=$A", "C=l1\nl2 x", "D=out/e", "F=g", "G=-", "H=a#b", "I=x\ny"]
        );
    }
}
