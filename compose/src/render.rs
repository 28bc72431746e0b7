//! Problems as text, each with the line of the file that it is about.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::problem::{Problem, Problems, Severity};

/// Whether escape codes may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Always,
    Never,
}

/// More problems than this are counted, not shown: nobody reads more at once.
const SHOWN: usize = 100;

/// The whole report.
pub(crate) fn render(problems: &Problems, colour: Colour) -> String {
    let renderer = match colour {
        Colour::Always => Renderer::styled(),
        Colour::Never => Renderer::plain(),
    };
    let mut out = String::new();
    for problem in problems.list.iter().take(SHOWN) {
        out.push_str(&one(problem, problems, &renderer));
        out.push_str("\n\n");
    }
    if problems.list.len() > SHOWN {
        out.push_str(&format!("… and {} more\n", problems.list.len() - SHOWN));
    }
    out
}

fn one(problem: &Problem, problems: &Problems, renderer: &Renderer) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = if problem.path.is_empty() {
        problem.message.clone()
    } else {
        format!("{}: {}", problem.path, problem.message)
    };
    let mut group = Group::with_title(level.primary_title(title));
    if let Some((span, source)) =
        problem.span.and_then(|span| Some((span, problems.sources.get(span.source)?)))
    {
        let range = one_line(&source.text, span.start as usize, span.end as usize);
        let mut snippet = Snippet::source(source.text.as_str())
            .path(source.name.as_str())
            .annotation(AnnotationKind::Primary.span(range));
        if let Some((other, words)) = &problem.related
            && other.source == span.source
        {
            let range = one_line(&source.text, other.start as usize, other.end as usize);
            snippet = snippet.annotation(AnnotationKind::Context.span(range).label(words.as_str()));
        }
        group = group.element(snippet);
    }
    if let Some(allowed) = &problem.allowed {
        group = group.element(Level::NOTE.message(format!("allowed: {allowed}")));
    }
    if let Some(help) = &problem.help {
        group = group.element(Level::HELP.message(help.clone()));
    }
    renderer.render(&[group])
}

/// Cut to the first line, at character boundaries, never past the end.
fn one_line(text: &str, start: usize, end: usize) -> std::ops::Range<usize> {
    let mut start = start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let line_end = text[start..end].find(['\n', '\r']).map_or(end, |at| start + at);
    start..line_end
}
