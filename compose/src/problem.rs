//! What is wrong with a file: one problem, and all of them together.

use std::fmt;

use crate::render;
use crate::source::{Location, Sources, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The stack cannot be made.
    Error,
    /// The stack can be made, but probably not as meant.
    Warning,
    /// Something the user may want to know, such as a key that means nothing to an orchestrator.
    Note,
}

impl Severity {
    /// `error`, `warning` or `note`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// One thing to tell the user about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    /// Where, when it is about a place in a text.
    pub span: Option<Span>,
    /// The same, as people count. Filled in by [`Problems::new`].
    pub location: Option<Location>,
    /// The key's path, such as `services.web.ports[0]`; empty for a whole file.
    pub path: String,
    /// The fact: what was found.
    pub message: String,
    /// What would be accepted.
    pub allowed: Option<String>,
    /// A way out: a near miss, or what to write instead.
    pub help: Option<String>,
    /// A second place that explains the first, with a few words.
    pub related: Option<(Span, String)>,
    /// Where that is. Filled in by [`Problems::new`].
    pub related_location: Option<Location>,
}

impl Problem {
    /// An error at `span`.
    #[must_use]
    pub fn error(span: Span, path: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem::new(Severity::Error, span, path, message)
    }

    /// Any problem at `span`.
    #[must_use]
    pub fn new(
        severity: Severity,
        span: Span,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> Problem {
        Problem {
            severity,
            span: Some(span),
            location: None,
            path: path.into(),
            message: message.into(),
            allowed: None,
            help: None,
            related: None,
            related_location: None,
        }
    }

    /// With what would be accepted.
    #[must_use]
    pub fn allowed(mut self, allowed: impl Into<String>) -> Problem {
        self.allowed = Some(allowed.into());
        self
    }

    /// With a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    /// With a way out, when there is one.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Problem {
        self.help = help.or(self.help);
        self
    }

    /// With a second place.
    #[must_use]
    pub fn related(mut self, span: Span, words: impl Into<String>) -> Problem {
        self.related = Some((span, words.into()));
        self
    }

    /// `file:line:column: error: path: message; allowed: …; help`, on one line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut out = String::new();
        if let Some(location) = &self.location {
            out.push_str(&format!("{location}: "));
        }
        out.push_str(self.severity.name());
        out.push_str(": ");
        if !self.path.is_empty() {
            out.push_str(&format!("{}: ", self.path));
        }
        out.push_str(&self.message);
        if let Some(allowed) = &self.allowed {
            out.push_str(&format!("; allowed: {allowed}"));
        }
        if let Some(help) = &self.help {
            out.push_str(&format!("; {help}"));
        }
        if let (Some(place), Some((_, words))) = (&self.related_location, &self.related) {
            out.push_str(&format!("; {place}: {words}"));
        }
        out
    }
}

/// Everything there is to tell, in the order of the text, with the texts themselves.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    pub list: Vec<Problem>,
    pub sources: Sources,
}

impl Problems {
    /// Sorts by place, drops what is said twice, fills in the locations.
    #[must_use]
    pub fn new(mut list: Vec<Problem>, sources: Sources) -> Problems {
        list.sort_by(|a, b| {
            let key = |p: &Problem| p.span.map(|s| (s.source, s.start));
            key(a).cmp(&key(b)).then_with(|| a.severity.cmp(&b.severity))
        });
        list.dedup_by(|a, b| a.span == b.span && a.message == b.message && a.help == b.help);
        for problem in &mut list {
            problem.location = problem.span.map(|span| sources.locate(span));
            problem.related_location =
                problem.related.as_ref().map(|(span, _)| sources.locate(*span));
        }
        Problems { list, sources }
    }

    /// True when nothing is to be told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// True when at least one problem is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|p| p.severity == Severity::Error)
    }

    /// One line for each problem.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.list.iter().map(Problem::line).collect()
    }

    /// The whole report with the source lines shown; with colours when `colour` says so.
    #[must_use]
    pub fn render(&self, colour: render::Colour) -> String {
        render::render(self, colour)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(render::Colour::Never))
    }
}

impl std::error::Error for Problems {}
