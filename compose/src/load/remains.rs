//! Judges what is said of a file of which parts are lost: what only seems so since they are is not told.

use std::ops::Range;

use crate::problem::Problem;
use crate::yaml::{Map, Node};

/// Sections whose entries the services name, and what a problem calls one of them.
const SECTIONS: [(&str, &str); 5] = [
    ("network", "networks"),
    ("volume", "volumes"),
    ("secret", "secrets"),
    ("config", "configs"),
    ("service", "services"),
];

/// True when a problem of what is left of a file is one of the whole file as well.
pub(super) fn is_so(problem: &Problem, tree: &Node, lost: &[Range<usize>]) -> bool {
    let says = |words: &str| problem.message.contains(words);
    if problem.message.ends_with("is missing")
        || problem.message.ends_with("is nothing")
        || ["has no image", "has no service", "has no content", "is used by nothing"]
            .into_iter()
            .any(says)
    {
        return false;
    }
    let undefined = SECTIONS.iter().find(|(one, _)| says(&format!("there is no {one} `")));
    match (undefined, tree.as_map()) {
        (Some((_, section)), Some(file)) => is_whole(section, file, lost),
        _ => true,
    }
}

/// True when nothing of a section is lost.
fn is_whole(section: &str, file: &Map, lost: &[Range<usize>]) -> bool {
    let Some(start) = file.get(section).map(|entry| entry.key.start) else { return false };
    let end = file.values().map(|entry| entry.key.start).filter(|next| *next > start).min();
    let end = end.map_or(usize::MAX, |next| next as usize);
    lost.iter().all(|range| range.end <= start as usize || range.start >= end)
}
