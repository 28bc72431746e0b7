//! From input to checked stack: the order of the passes.
//!
//! Each file on its own: text, tree, variables, one form, paths, `extends`. Then all together:
//! merged, profiles, env files, checks, specs. A problem stops only what cannot go on without its
//! place; everything else is still looked at.

mod env;
mod extends;
mod include;
mod paths;
mod profiles;
mod remains;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::canon::Canon;
use crate::document;
use crate::input::{Input, ReadError, Reader};
use crate::interpolate::interpolate;
use crate::merge::merge;
use crate::path::{KeyPath, absolute, parent};
use crate::problem::{Problem, Problems, Severity};
use crate::schema::top::FILE;
use crate::source::{SourceId, Sources, Span};
use crate::spec;
use crate::yaml::encoding::{EncodingError, decode};
use crate::yaml::parse::{self, Reading};
use crate::yaml::{Mark, Node, Value, map_of};
use crate::{Loaded, Normalised, Stack, check};

/// Files that may take part, by `include` and `extends`: enough for anything real.
const MOST_FILES: usize = 200;

/// Bytes of env files and label files, each use counted: what many services take in stays small.
const MOST_VARIABLE_BYTES: usize = 64 * 1024 * 1024;

/// Bytes that all of them may have together: what `include` multiplies stays small.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Reads, checks and converts. See [`crate::load`].
pub(crate) fn load(input: &Input<'_>) -> Result<Loaded, Problems> {
    let (made, report) = run(input, Purpose::Deploy);
    match made {
        Some(made) if !report.has_errors() => Ok(Loaded { stack: made.stack, warnings: report }),
        _ => Err(report),
    }
}

/// Reads and merges. See [`crate::normalise`].
pub(crate) fn normalise(input: &Input<'_>) -> Result<Normalised, Problems> {
    let (made, report) = run(input, Purpose::Show);
    match made {
        Some(made) if made.readable => {
            Ok(Normalised { document: made.stack.document, problems: report })
        }
        _ => Err(report),
    }
}

/// What the files are read for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Deploy,
    /// Nothing is named after the stack, so it needs no name.
    Show,
}

fn run(input: &Input<'_>, purpose: Purpose) -> (Option<Made>, Problems) {
    let mut loader = Loader {
        reader: input.reader,
        sources: Sources::default(),
        problems: Vec::new(),
        alone: input.files.len() == 1,
        files_read: 0,
        bytes_read: 0,
        variable_bytes: 0,
        open: Vec::new(),
        trees: BTreeMap::new(),
    };
    let made = loader.stack(input, purpose);
    (made, Problems::new(loader.problems, loader.sources))
}

struct Made {
    stack: Stack,
    /// No error was found before the checks of what several keys mean together.
    readable: bool,
}

/// The environment in which a file is read.
#[derive(Clone)]
struct Place {
    /// Where relative paths start.
    dir: String,
    variables: BTreeMap<String, String>,
}

impl Place {
    fn lookup(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
}

struct Loader<'a> {
    reader: &'a dyn Reader,
    sources: Sources,
    problems: Vec<Problem>,
    /// Only one file was given.
    alone: bool,
    files_read: usize,
    bytes_read: usize,
    variable_bytes: usize,
    /// Files being read, to find circles: absolute paths.
    open: Vec<String>,
    /// Trees of files that `extends` has read already.
    trees: BTreeMap<String, Node>,
}

impl Loader<'_> {
    fn stack(&mut self, input: &Input<'_>, purpose: Purpose) -> Option<Made> {
        let dir = absolute("/", &input.project_dir);
        let place = Place { variables: self.variables(&dir, &input.environment), dir };
        let mut file: Option<Node> = None;
        let mut whole = true;
        for given in &input.files {
            let path = absolute(&place.dir, &given.name);
            match self.file(&given.name, &path, &given.bytes, &place) {
                Some(tree) => match &mut file {
                    Some(base) => merge(base, tree, &FILE),
                    None => file = Some(tree),
                },
                None => whole = false,
            }
        }
        let mut file = file?;
        unmark(&mut file);
        let name = self.name(input, &file, purpose);
        let active = profiles::active(input, &place.variables);
        profiles::filter(&mut file, &active, &mut self.problems);
        self.read_env_files(&mut file, &place);
        self.read_label_files(&mut file);
        let readable = self.problems.iter().all(|p| p.severity != Severity::Error);
        if whole {
            check::check(&file, &self.sources, &mut self.problems);
        }
        let source = spec::Source {
            stack: &name,
            file: &file,
            reader: self.reader,
            environment: &|name| place.lookup(name),
            room: std::cell::Cell::new(spec::MOST_CONTENT),
        };
        let specs = match purpose {
            Purpose::Deploy => spec::specs(&source, &mut self.problems),
            // What can be wrong with them beyond the document is in the files that they name.
            Purpose::Show => spec::files_only(&source, &mut self.problems),
        };
        check::check_specs(&specs, &file, &mut self.problems);
        whole.then(|| {
            let document = match purpose {
                Purpose::Deploy => document::document(file, &name),
                Purpose::Show => document::shown(file, &name),
            };
            let stack = Stack { document, name, specs };
            Made { stack, readable }
        })
    }

    /// The name of the stack: the caller's, else the file's.
    fn name(&mut self, input: &Input<'_>, file: &Node, purpose: Purpose) -> String {
        let own = file.get("name");
        let (name, span) = match own.and_then(Node::as_str) {
            Some(name) if input.stack.is_empty() => {
                (name.to_owned(), own.map_or(file.span, |n| n.span))
            }
            _ => (input.stack.clone(), file.span),
        };
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let starts = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        if name.is_empty() && purpose == Purpose::Show {
            return name;
        }
        if name.is_empty() {
            self.problems.push(
                Problem::error(Span::start_of(SourceId(0)), "", "the stack has no name")
                    .help("name it in the command, or by `name:` in the file"),
            );
        } else if !starts || !name.chars().all(fine) {
            self.problems.push(
                Problem::error(span, "name", format!("`{name}` cannot be the name of a stack"))
                    .allowed("letters, digits, `_`, `-` and `.`, a letter or digit first"),
            );
        }
        name
    }

    /// The tree of one file with all that it includes and extends, in its one form.
    fn file(&mut self, name: &str, path: &str, bytes: &[u8], place: &Place) -> Option<Node> {
        self.files_read += 1;
        self.bytes_read = self.bytes_read.saturating_add(bytes.len());
        if self.files_read > MOST_FILES || self.bytes_read > MOST_BYTES {
            let span = Span::start_of(SourceId(0));
            self.problems.push(
                Problem::error(span, "", "the stack is made of too much")
                    .allowed(format!("{MOST_FILES} files, {MOST_BYTES} bytes in all")),
            );
            return None;
        }
        let mut tree = self.tree(name, bytes, place)?;
        self.open.push(path.to_owned());
        self.form(&mut tree, place);
        self.extend_services(&mut tree, path, place);
        let tree = self.with_included(tree, path, place);
        self.open.pop();
        Some(tree)
    }

    /// Text, tree and variables.
    fn tree(&mut self, name: &str, bytes: &[u8], place: &Place) -> Option<Node> {
        let text = match decode(bytes) {
            Ok(text) => text,
            Err(error) => {
                self.undecodable(name, bytes, &error);
                return None;
            }
        };
        let id = self.sources.add(name, text);
        let text = self.sources.get(id).map_or("", |source| source.text.as_str());
        let before = self.problems.len();
        let Reading { tree, lost } = parse::read(text, id, &mut self.problems);
        let Some(mut tree) = tree else {
            if self.problems.len() == before {
                let span = Span::start_of(id);
                self.problems.push(
                    Problem::error(span, "", "the file is empty").allowed("`services:` and more"),
                );
            }
            return None;
        };
        if tree.as_map().is_none() {
            let message = format!("the file is {}", tree.kind());
            self.problems.push(
                Problem::error(tree.span, "", message).allowed("a mapping: `services:` and more"),
            );
            return None;
        }
        let lookup = |name: &str| place.lookup(name);
        interpolate(&mut tree, &lookup, &self.sources, &mut self.problems);
        if !lost.is_empty() {
            self.look_at_remains(tree, &lost, place);
            return None;
        }
        Some(tree)
    }

    /// Tells what else is wrong with a file that is partly no YAML.
    fn look_at_remains(&mut self, mut tree: Node, lost: &[Range<usize>], place: &Place) {
        let before = self.problems.len();
        self.form(&mut tree, place);
        // Of several files one may define what another one uses.
        if self.alone && self.open.is_empty() {
            check::check(&tree, &self.sources, &mut self.problems);
        }
        let told = self.problems.split_off(before);
        self.problems.extend(told.into_iter().filter(|p| remains::is_so(p, &tree, lost)));
    }

    fn undecodable(&mut self, name: &str, bytes: &[u8], error: &EncodingError) {
        let at = match error {
            EncodingError::NotUtf8 { at, .. } | EncodingError::Control { at, .. } => *at,
            EncodingError::TooLarge(_) | EncodingError::NotUtf16 => 0,
        };
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(64 * 1024)]).into_owned();
        let shown = shown.replace('\0', "␀");
        let id = self.sources.add(name, shown);
        let line_start =
            bytes[..at.min(bytes.len())].iter().rposition(|&b| b == b'\n').map_or(0, |n| n + 1);
        let line = bytes[..line_start].iter().filter(|&&b| b == b'\n').count();
        let start = self.sources.get(id).map_or(0, |s| s.line_start(line));
        let span = Span { source: id, start, end: start };
        self.problems.push(Problem::error(span, "", error.to_string()));
    }

    /// One form, own variables and absolute paths.
    fn form(&mut self, tree: &mut Node, place: &Place) {
        let mut canon = Canon::new(&self.sources, &mut self.problems);
        let path = KeyPath::ROOT;
        for section in ["networks", "volumes", "secrets", "configs"] {
            if let Some(entry) = tree.as_map_mut().and_then(|m| m.get_mut(section)) {
                canon.external_names(&mut entry.node, &path.key(section));
            }
        }
        canon.node(tree, &FILE, &path);
        let home = place.lookup("HOME");
        paths::resolve(tree, &place.dir, home.as_deref());
        env::fill_in(tree, &|name| place.lookup(name));
    }

    /// The variables of a project: `.env`, overridden by the caller's.
    fn variables(
        &mut self,
        dir: &str,
        environment: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let path = absolute(dir, ".env");
        let mut all = BTreeMap::new();
        if let Some(text) = self.optional_text(".env", &path) {
            all.extend(self.dotenv(text, environment));
        }
        all.extend(environment.iter().map(|(k, v)| (k.clone(), v.clone())));
        all
    }

    fn dotenv(
        &mut self,
        (id, text): (SourceId, String),
        environment: &BTreeMap<String, String>,
    ) -> Vec<(String, String)> {
        let lookup = |name: &str| environment.get(name).cloned();
        crate::env_file::parse(
            &text,
            id,
            crate::env_file::Form::Dotenv,
            &lookup,
            &mut self.problems,
        )
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }

    /// A text file that may be missing.
    fn optional_text(&mut self, name: &str, path: &str) -> Option<(SourceId, String)> {
        let bytes = self.reader.read(path).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let text = text.trim_start_matches('\u{FEFF}').to_owned();
        Some((self.sources.add(name, text.as_str()), text))
    }

    /// A file that another one names at `span`.
    fn named_file(&mut self, name: &str, span: Span, path: &KeyPath<'_>) -> Option<Vec<u8>> {
        match self.reader.read(name) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let help = match &error {
                    ReadError::NotFound => format!("paths start at `{}`", parent(name)),
                    ReadError::Other(_) => "it must be a file that can be read".to_owned(),
                };
                self.problems.push(
                    Problem::error(
                        span,
                        path.to_string(),
                        format!("`{name}` cannot be read: {error}"),
                    )
                    .help(help),
                );
                None
            }
        }
    }
}

/// Takes off marks that found nothing to reset or override.
fn unmark(node: &mut Node) {
    if node.mark == Mark::Reset {
        node.value = Value::Null;
    }
    node.mark = Mark::None;
    match &mut node.value {
        Value::List(items) => {
            items.retain(|n| n.mark != Mark::Reset);
            items.iter_mut().for_each(unmark);
        }
        Value::Map(map) => {
            if map.values().any(|e| e.node.mark == Mark::Reset) {
                map.retain(|_, e| e.node.mark != Mark::Reset);
            }
            map.values_mut().for_each(|e| unmark(&mut e.node));
        }
        _ => {}
    }
}

/// An empty mapping at `span`.
fn empty_map(span: Span) -> Node {
    Node::new(map_of(Vec::<(String, Value)>::new(), span), span)
}

fn warning(span: Span, path: &KeyPath<'_>, message: String) -> Problem {
    Problem::new(Severity::Warning, span, path.to_string(), message)
}
