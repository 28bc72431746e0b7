//! Makes a tree of what a reader of YAML tells: aliases expanded within a budget, merge keys applied.
//!
//! Problems that leave the structure clear (a key given twice, a key that is no text, an unknown
//! tag) are collected and the tree is made all the same.
//!
//! Deliberately absent: what any key means. Nothing here knows Compose.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, ScalarStyle, Tag};

use super::quick::{GivenUp, Listener, Told};
use super::{Entry, Map, Mark, Node, Text, Value, scalar};
use crate::problem::{Problem, Severity};
use crate::source::{SourceId, Span};

/// Nesting beyond this is refused: nothing real comes near, and later passes recurse.
pub(super) const DEEPEST: usize = 100;

/// Nodes that aliases and merge keys may copy in one file, so that a small file cannot become a
/// huge tree.
const COPIED_NODES: usize = 250_000;

/// Bytes of text that aliases and merge keys may copy in one file.
const COPIED_BYTES: usize = 8 * 1024 * 1024;

/// The reading cannot go on; the problem is already noted.
pub(super) struct Stop;

/// The tree so far.
pub(super) struct Builder<'t, 'p> {
    pub source: SourceId,
    /// The text as given, to which spans refer.
    given: &'t str,
    problems: &'p mut Vec<Problem>,
    frames: Vec<Frame>,
    /// Finished anchored nodes, with the number of their nodes and bytes.
    anchors: BTreeMap<usize, (Node, usize, usize)>,
    pub root: Option<Node>,
    documents: usize,
    nodes_left: usize,
    bytes_left: usize,
    /// Room in which further lists and mappings grow; when they are finished they move to where they
    /// fit exactly, so that memory is asked for once for each.
    spare_lists: Vec<Vec<Node>>,
    spare_maps: Vec<Map>,
}

struct Frame {
    span: Span,
    mark: Mark,
    anchor: usize,
    kind: FrameKind,
}

enum FrameKind {
    List(Vec<Node>),
    Map { map: Map, key: Key, merge: Option<Box<(Span, Node)>> },
}

enum Key {
    /// A key comes next.
    Awaited,
    Text(Text, Span),
    /// `<<`
    Merge(Span),
    /// Not a text; noted. Its value is dropped.
    Bad,
}

impl<'t, 'p> Builder<'t, 'p> {
    pub(super) fn new(
        given: &'t str,
        source: SourceId,
        problems: &'p mut Vec<Problem>,
    ) -> Builder<'t, 'p> {
        Builder {
            source,
            given,
            problems,
            frames: Vec::new(),
            anchors: BTreeMap::new(),
            root: None,
            documents: 0,
            nodes_left: COPIED_NODES,
            bytes_left: COPIED_BYTES,
            spare_lists: Vec::new(),
            spare_maps: Vec::new(),
        }
    }

    pub(super) fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents == 2 {
                    self.problems.push(
                        Problem::error(span, "", "a second YAML document begins here")
                            .allowed("one document in a file")
                            .help("put it into a file of its own and name both, in order"),
                    );
                    return Err(Stop);
                }
            }
            Event::Alias(anchor) => {
                let node = self.alias(anchor, span)?;
                self.add(node, 0)?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(text, style == ScalarStyle::Plain, tag.as_deref(), span);
                self.add(node, anchor)?;
            }
            Event::SequenceStart(anchor, tag) => {
                let list = self.list();
                self.open(anchor, tag.as_deref(), span, list)?;
            }
            Event::MappingStart(anchor, tag) => {
                let map = self.map();
                self.open(anchor, tag.as_deref(), span, map)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.shut()?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn list(&mut self) -> FrameKind {
        FrameKind::List(self.spare_lists.pop().unwrap_or_default())
    }

    fn map(&mut self) -> FrameKind {
        let map = self.spare_maps.pop().unwrap_or_default();
        FrameKind::Map { map, key: Key::Awaited, merge: None }
    }

    fn open(
        &mut self,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
        kind: FrameKind,
    ) -> Result<(), Stop> {
        if self.frames.len() >= DEEPEST {
            self.problems.push(Problem::error(
                span,
                "",
                format!("nested more than {DEEPEST} levels deep"),
            ));
            return Err(Stop);
        }
        let mark = self.mark(tag, span);
        self.frames.push(Frame { span, mark, anchor, kind });
        Ok(())
    }

    /// The innermost list or mapping is finished.
    fn shut(&mut self) -> Result<(), Stop> {
        match self.frames.pop() {
            Some(frame) => {
                let (node, anchor) = self.close(frame)?;
                self.add(node, anchor)
            }
            None => Ok(()),
        }
    }

    /// The node of a finished list or mapping.
    fn close(&mut self, frame: Frame) -> Result<(Node, usize), Stop> {
        let Frame { span, mark, anchor, kind } = frame;
        let value = match kind {
            FrameKind::List(mut items) => {
                let list = Vec::from_iter(items.drain(..));
                self.spare_lists.push(items);
                Value::List(list)
            }
            FrameKind::Map { mut map, merge, .. } => {
                if let Some(merge) = merge {
                    let (at, node) = *merge;
                    self.merge_into(&mut map, at, node)?;
                }
                let fitting = map.take_fitting();
                self.spare_maps.push(map);
                Value::Map(fitting)
            }
        };
        Ok((Node { value, span, mark }, anchor))
    }

    fn place(&self, (start, end): (u32, u32)) -> Span {
        Span { source: self.source, start, end }
    }

    /// Where the reading is, as [`crate::path::KeyPath`] writes it.
    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.frames {
            match &frame.kind {
                FrameKind::List(items) => path.push_str(&format!("[{}]", items.len())),
                FrameKind::Map { key: Key::Text(name, _), .. } => {
                    path.push_str(if path.is_empty() { "" } else { "." });
                    path.push_str(name);
                }
                FrameKind::Map { .. } => {}
            }
        }
        path
    }

    /// Puts a finished node where it belongs: as root, item, key or value.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor != 0 {
            let (nodes, bytes) = size(&node);
            self.anchors.insert(anchor, (node.clone(), nodes, bytes));
            self.charge(nodes, bytes, node.span)?;
        }
        let before = self.problems.len();
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        let mut twice = None;
        match &mut frame.kind {
            FrameKind::List(items) => items.push(node),
            FrameKind::Map { map, key, merge } => match std::mem::replace(key, Key::Awaited) {
                Key::Awaited => *key = key_of(node, self.given, self.problems),
                Key::Bad => {}
                Key::Merge(at) => {
                    if let Some(first) = merge {
                        self.problems.push(
                            Problem::error(at, "", "the merge key `<<` is given twice")
                                .related(first.0, "first here")
                                .help("give one list: `<<: [*a, *b]`"),
                        );
                    } else {
                        *merge = Some(Box::new((at, node)));
                    }
                }
                Key::Text(name, at) => match map.get_mut(&name) {
                    None => map.push(name, Entry { key: at, node }),
                    Some(there) => {
                        self.problems.push(
                            Problem::error(at, "", format!("`{name}` is given twice"))
                                .related(there.key, "first here")
                                .help("keep one of the two"),
                        );
                        let first = std::mem::replace(there, Entry { key: at, node });
                        // So that nothing that only the first one has seems not to be there.
                        if let (Value::Map(all), Value::Map(first)) =
                            (&mut there.node.value, first.node.value)
                        {
                            for (key, entry) in first {
                                all.get_or_insert_with(&key, || entry);
                            }
                        }
                        twice = Some(name);
                    }
                },
            },
        }
        if self.problems.len() > before {
            let inside = self.path();
            let path = match twice {
                Some(name) if inside.is_empty() => name.to_string(),
                Some(name) => format!("{inside}.{name}"),
                None => inside,
            };
            self.problems[before..].iter_mut().for_each(|p| p.path.clone_from(&path));
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<Node, Stop> {
        let Some((node, nodes, bytes)) = self.anchors.get(&anchor) else {
            let path = self.path();
            self.problems.push(Problem::error(
                span,
                path,
                "the alias stands inside its own anchor",
            ));
            return Err(Stop);
        };
        let (node, nodes, bytes) = (node.clone(), *nodes, *bytes);
        self.charge(nodes, bytes, span)?;
        Ok(node)
    }

    fn charge(&mut self, nodes: usize, bytes: usize, span: Span) -> Result<(), Stop> {
        match (self.nodes_left.checked_sub(nodes), self.bytes_left.checked_sub(bytes)) {
            (Some(nodes), Some(bytes)) => {
                (self.nodes_left, self.bytes_left) = (nodes, bytes);
                Ok(())
            }
            _ => {
                let path = self.path();
                self.problems.push(
                    Problem::error(span, path, "aliases repeat too much")
                        .allowed(format!("{COPIED_NODES} repeated values in a file")),
                );
                Err(Stop)
            }
        }
    }

    /// Adds what a merge key names, where the mapping does not say otherwise itself.
    fn merge_into(&mut self, map: &mut Map, at: Span, node: Node) -> Result<(), Stop> {
        let sources = match node.value {
            Value::Map(_) => vec![node],
            Value::List(items) => items,
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_) => {
                vec![node]
            }
        };
        for source in sources {
            let Value::Map(other) = source.value else {
                self.problems.push(
                    Problem::error(at, "", format!("`<<` merges {}", source.kind()))
                        .allowed("a mapping or a list of mappings"),
                );
                continue;
            };
            for (key, entry) in other {
                map.get_or_insert_with(&key, || entry);
            }
        }
        Ok(())
    }

    fn scalar(&mut self, text: Cow<'_, str>, plain: bool, tag: Option<&Tag>, span: Span) -> Node {
        let Some(tag) = tag else {
            let word = if plain { scalar::word(&text) } else { None };
            return Node::new(word.unwrap_or_else(|| Value::Str(text.into())), span);
        };
        let text = &*text;
        if !tag.is_yaml_core_schema() {
            let mark = self.mark(Some(tag), span);
            let value = if plain && mark != Mark::None {
                scalar::plain(text)
            } else {
                Value::Str(text.into())
            };
            return Node { value, span, mark };
        }
        let value = match tag.suffix.as_str() {
            "str" => Some(Value::Str(text.into())),
            "binary" => binary(text).map(|text| Value::Str(text.into())),
            "null" => Some(Value::Null),
            "int" => Some(scalar::plain(text)).filter(|v| matches!(v, Value::Int(_))),
            "bool" => scalar::truth(text).map(Value::Bool),
            "float" => scalar::number(text).map(|v| match v {
                #[allow(clippy::cast_precision_loss)] // asked for
                Value::Int(n) => Value::Float(n as f64),
                other => other,
            }),
            _ => Some(scalar::plain(text)),
        };
        let value = value.unwrap_or_else(|| {
            self.problems.push(Problem::error(
                span,
                "",
                format!("`{text}` is not a `!!{}`", tag.suffix),
            ));
            Value::Null
        });
        Node::new(value, span)
    }

    fn mark(&mut self, tag: Option<&Tag>, span: Span) -> Mark {
        match tag {
            None => Mark::None,
            Some(tag) if tag.is_yaml_core_schema() => Mark::None,
            Some(tag) if tag.handle == "!" && tag.suffix == "reset" => Mark::Reset,
            Some(tag) if tag.handle == "!" && tag.suffix == "override" => Mark::Override,
            Some(tag) if tag.suffix.is_empty() => Mark::None,
            Some(tag) => {
                let path = self.path();
                self.problems.push(
                    Problem::new(
                        Severity::Warning,
                        span,
                        path,
                        format!("the tag `{}{}` means nothing here", tag.handle, tag.suffix),
                    )
                    .allowed("`!reset`, `!override`"),
                );
                Mark::None
            }
        }
    }
}

impl From<Stop> for GivenUp {
    fn from(_: Stop) -> GivenUp {
        GivenUp
    }
}

/// A problem that ends the reading is told by the full parser, which may see another one before.
impl Listener for Builder<'_, '_> {
    fn text(&mut self, text: Cow<'_, str>, plain: bool, anchor: usize, at: (u32, u32)) -> Told {
        let span = self.place(at);
        let node = self.scalar(text, plain, None, span);
        Ok(self.add(node, anchor)?)
    }

    fn alias(&mut self, anchor: usize, at: (u32, u32)) -> Told {
        let span = self.place(at);
        let node = Builder::alias(self, anchor, span)?;
        Ok(self.add(node, 0)?)
    }

    fn list(&mut self, anchor: usize, at: (u32, u32)) -> Told {
        let (span, list) = (self.place(at), self.list());
        Ok(self.open(anchor, None, span, list)?)
    }

    fn map(&mut self, anchor: usize, at: (u32, u32)) -> Told {
        let (span, map) = (self.place(at), self.map());
        Ok(self.open(anchor, None, span, map)?)
    }

    fn end(&mut self) -> Told {
        Ok(self.shut()?)
    }
}

fn key_of(node: Node, text: &str, problems: &mut Vec<Problem>) -> Key {
    let (start, end) = (node.span.start as usize, node.span.end as usize);
    let source = || text.get(start..end).unwrap_or("");
    match node.value {
        Value::Str(name) if name == "<<" && source() == "<<" => Key::Merge(node.span),
        Value::Str(name) => Key::Text(name, node.span),
        Value::List(_) | Value::Map(_) => {
            let after = text.get(node.span.start as usize..).unwrap_or("");
            let problem = Problem::error(
                node.span,
                "",
                format!("{} stands where a key is expected", node.kind()),
            );
            problems.push(if after.starts_with("{{") || after.starts_with('{') {
                problem.help("a template? Render it first, or quote it: \"{{ … }}\"")
            } else {
                problem.help("quote it, if it is meant as a text")
            });
            Key::Bad
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            let source = source();
            problems.push(
                Problem::error(
                    node.span,
                    "",
                    format!("the key `{source}` is {}, not a text", node.kind()),
                )
                .help(format!("quote it: \"{source}\"")),
            );
            Key::Bad
        }
    }
}

fn binary(text: &str) -> Option<String> {
    let packed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let bytes = data_encoding::BASE64.decode(packed.as_bytes()).ok()?;
    String::from_utf8(bytes).ok()
}

/// The number of nodes in a tree and the bytes of its texts. Depth is bounded by [`DEEPEST`] for
/// what is read and by the budget for what aliases add.
fn size(node: &Node) -> (usize, usize) {
    let mut total = (0, 0);
    let mut stack = vec![node];
    while let Some(node) = stack.pop() {
        total.0 += 1;
        match &node.value {
            Value::Str(text) => total.1 += text.len(),
            Value::List(items) => stack.extend(items),
            Value::Map(map) => {
                for (key, entry) in map {
                    total.1 += key.len();
                    stack.push(&entry.node);
                }
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {}
        }
    }
    total
}
