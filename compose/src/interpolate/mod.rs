//! Fills in the variables of every value of a tree.
//!
//! Keys are left alone. A variable without value is empty and worth a warning, once.

pub mod template;

use std::collections::BTreeSet;

use crate::path::KeyPath;
use crate::problem::{Problem, Severity};
use crate::source::{Sources, Span, to_u32};
use crate::yaml::{Mark, Node, Value};
use template::{Lookup, TemplateError, is_plain, substitute};

/// Fills in all variables below `node`; problems and warnings go to `problems`.
pub fn interpolate(
    node: &mut Node,
    lookup: Lookup<'_>,
    sources: &Sources,
    problems: &mut Vec<Problem>,
) {
    let mut walk =
        Walk { lookup, sources, problems, warned: BTreeSet::new(), bytes_left: MOST_BYTES };
    walk.node(node, &KeyPath::ROOT);
}

/// Bytes that variables may put into one file.
const MOST_BYTES: usize = 32 * 1024 * 1024;

struct Walk<'a> {
    lookup: Lookup<'a>,
    sources: &'a Sources,
    problems: &'a mut Vec<Problem>,
    warned: BTreeSet<String>,
    bytes_left: usize,
}

impl Walk<'_> {
    fn node(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        match &mut node.value {
            Value::Str(text) if !is_plain(text) => match substitute(text, self.lookup) {
                Ok(done) => {
                    for (name, at) in done.unset {
                        let span = self.place(node.span, text, at);
                        self.unset(name, span, path);
                    }
                    if let Some(at) = done.kept.first() {
                        let span = self.place(node.span, text, *at);
                        self.kept(span, path);
                    }
                    match self.bytes_left.checked_sub(done.text.len()) {
                        Some(left) => {
                            self.bytes_left = left;
                            *text = done.text.into();
                        }
                        None => {
                            let error = TemplateError::Long { at: 0 };
                            self.refuse(&error, node.span, path);
                            node.mark = Mark::Reset;
                        }
                    }
                }
                Err(errors) => {
                    for error in errors {
                        let span = self.place(node.span, text, error.at());
                        self.refuse(&error, span, path);
                    }
                    // So that later passes do not complain about the template itself.
                    node.mark = Mark::Reset;
                }
            },
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.node(item, &path.index(index));
                }
            }
            Value::Map(map) => {
                for (key, entry) in map.iter_mut() {
                    self.node(&mut entry.node, &path.key(key));
                }
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_) => {}
        }
    }

    fn unset(&mut self, name: String, span: Span, path: &KeyPath<'_>) {
        if self.warned.contains(&name) {
            return;
        }
        self.problems.push(
            Problem::new(
                Severity::Warning,
                span,
                path.to_string(),
                format!("the variable `{name}` is not set; it is taken as empty"),
            )
            .help(format!("set it, or give a default: ${{{name}:-…}}")),
        );
        self.warned.insert(name);
    }

    fn kept(&mut self, span: Span, path: &KeyPath<'_>) {
        self.problems.push(
            Problem::new(
                Severity::Warning,
                span,
                path.to_string(),
                "this `$` begins no variable and is kept",
            )
            .help("write `$$`, which means a dollar sign everywhere"),
        );
    }

    fn refuse(&mut self, error: &TemplateError, span: Span, path: &KeyPath<'_>) {
        self.problems.push(
            Problem::error(span, path.to_string(), error.to_string()).maybe_help(error.help()),
        );
    }

    /// The place of byte `at` of a value, where its source text holds the value as it is.
    fn place(&self, span: Span, value: &str, at: usize) -> Span {
        let Some(offset) = self.sources.text(span).find(value) else { return span };
        let start = span.start + to_u32(offset + at);
        Span { start, end: span.end.max(start), ..span }
    }
}
