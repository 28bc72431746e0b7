//! Problems as text, each with the line of the file that it is about.

use std::collections::BTreeMap;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::problem::{Problem, Problems, Severity};
use crate::source::Span;

/// Whether escape codes may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Always,
    Never,
}

/// So many problems are shown with their line; nobody reads more at once.
const SHOWN: usize = 100;

/// Further problems get one line each, up to so many in all.
const TOLD: usize = 2_000;

/// What is allowed is told once where it is longer than this: the keys of a service fill ten lines.
const LONG: usize = 200;

/// The whole report: what is only told first, then the errors, which end up where they are read first.
pub(crate) fn render(problems: &Problems, colour: Colour) -> String {
    let renderer = match colour {
        Colour::Always => Renderer::styled(),
        Colour::Never => Renderer::plain(),
    };
    let is_error = |p: &&Problem| p.severity == Severity::Error;
    let errors: Vec<&Problem> = problems.list.iter().filter(is_error).collect();
    let others: Vec<&Problem> = problems.list.iter().filter(|p| !is_error(p)).collect();
    let mut out = String::new();
    let mut room = SHOWN;
    // Errors take the room first.
    let whole_errors = errors.len().min(room);
    room -= whole_errors;
    let mut told = BTreeMap::new();
    part(&others, others.len().min(room), problems, &renderer, &mut told, &mut out);
    part(&errors, whole_errors, problems, &renderer, &mut told, &mut out);
    out
}

/// Long lists of what is allowed that have been shown, with the first problem that showed each.
type Told<'a> = BTreeMap<&'a str, &'a Problem>;

/// `list`, its first `whole` problems with their lines.
fn part<'a>(
    list: &[&'a Problem],
    whole: usize,
    problems: &Problems,
    renderer: &Renderer,
    told: &mut Told<'a>,
    out: &mut String,
) {
    for problem in &list[..whole] {
        out.push_str(&one(problem, problems, renderer, told));
        out.push_str("\n\n");
    }
    for problem in list.iter().take(TOLD).skip(whole) {
        out.push_str(&problem.line());
        out.push('\n');
    }
    if list.len() > TOLD.max(whole) {
        out.push_str(&format!("… and {} more\n", list.len() - TOLD));
    }
}

fn one<'a>(
    problem: &'a Problem,
    problems: &Problems,
    renderer: &Renderer,
    told: &mut Told<'a>,
) -> String {
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
        let other = problem.related.as_ref().filter(|(other, _)| other.source == span.source);
        // Only the lines in question: the renderer looks at all that it is given.
        let first = other.map_or(span.start, |(other, _)| other.start.min(span.start));
        let (line, from) = source.line_of(first);
        let text = &source.text[from..];
        let within = |span: Span| {
            one_line(text, (span.start as usize) - from, (span.end as usize).max(from) - from)
        };
        let last = within(span).end.max(other.map_or(0, |(other, _)| within(*other).end));
        let to = text[last..].find('\n').map_or(text.len(), |at| last + at);
        let mut snippet = Snippet::source(&text[..to])
            .path(source.name.as_str())
            .line_start(line)
            .annotation(AnnotationKind::Primary.span(within(span)));
        if let Some((other, words)) = other {
            snippet = snippet
                .annotation(AnnotationKind::Context.span(within(*other)).label(words.as_str()));
        }
        group = group.element(snippet);
    }
    // The way out first: what is allowed may be long.
    if let Some(help) = &problem.help {
        group = group.element(Level::HELP.message(help.clone()));
    }
    if let Some(allowed) = &problem.allowed {
        let allowed = match told.get(allowed.as_str()) {
            Some(first) => format!("allowed: the same as for `{}`, above", first.path),
            None => format!("allowed: {allowed}"),
        };
        group = group.element(Level::NOTE.message(allowed));
    }
    if let Some(allowed) = problem.allowed.as_deref().filter(|text| text.len() > LONG) {
        told.entry(allowed).or_insert(problem);
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

#[cfg(test)]
mod tests {
    use crate::{Input, InputFile, MemoryReader, load};

    #[test]
    fn the_way_out_stands_before_what_is_allowed_which_is_told_once() {
        let text = "services:\n  web:\n    imag: a\n    prots: [80]\n    tty: 3\n  db:\n    image: b\n    tty: 4\n";
        let reader = MemoryReader::default();
        let input = Input {
            files: vec![InputFile { name: "f.yml".into(), bytes: text.into() }],
            project_dir: "/p".into(),
            environment: std::collections::BTreeMap::new(),
            reader: &reader,
            stack: "s".into(),
            profiles: Vec::new(),
        };
        let report = load(&input).expect_err("two misspelt keys").to_string();
        let at = |words: &str| report.find(words).unwrap_or_else(|| panic!("{words}: {report}"));
        assert!(at("did you mean `image`?") < at("allowed: annotations, attach"), "{report}");
        assert!(at("did you mean `ports`?") < at("the same as for `services.web.imag`, above"));
        assert_eq!(report.matches("working_dir").count(), 1, "{report}");
        // What is short is told each time.
        assert_eq!(report.matches("allowed: true or false").count(), 2, "{report}");
    }
}
