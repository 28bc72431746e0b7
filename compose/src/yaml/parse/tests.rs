//! Tests of the tree that is made of a text.

use super::*;
use crate::problem::Problems;
use crate::source::Sources;

fn read(text: &str) -> (Option<serde_json::Value>, Vec<String>) {
    let mut sources = Sources::default();
    let id = sources.add("f.yml", text);
    let mut problems = Vec::new();
    let tree = parse(text, id, &mut problems).map(|n| n.to_json());
    (tree, Problems::new(problems, sources).lines())
}

fn tree(text: &str) -> serde_json::Value {
    let (tree, problems) = read(text);
    assert_eq!(problems, Vec::<String>::new(), "{text}");
    tree.expect("a tree")
}

#[test]
fn anchors_aliases_and_merge_keys_are_resolved() {
    let text = "\
a: &a {x: 1, y: 2}
b: {<<: *a, y: 3}
c:
  <<: [*a, {x: 9, z: 4}]
d: *a
";
    assert_eq!(
        tree(text),
        serde_json::json!({
            "a": {"x": 1, "y": 2},
            "b": {"y": 3, "x": 1},
            "c": {"x": 1, "y": 2, "z": 4},
            "d": {"x": 1, "y": 2},
        })
    );
}

#[test]
fn a_key_given_twice_is_reported_at_the_second_place() {
    let (_, problems) = read("a: 1\nb: 2\na: 3\n");
    assert_eq!(
        problems,
        ["f.yml:3:1: error: a: `a` is given twice; keep one of the two; f.yml:1:1: first here"]
    );
    let (_, problems) = read("a:\n  - x\n  - b: {c: 1, c: 2}\n");
    assert!(problems[0].contains("error: a[1].b.c: `c` is given twice"), "{problems:?}");
}

#[test]
fn a_syntax_error_is_reported_where_it_is() {
    let (tree, problems) = read("a: 1\nb:\n\tc: 2\n");
    assert_eq!(tree, None);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("f.yml:3:"), "{problems:?}");
}

#[test]
fn an_alias_bomb_ends_at_the_budget() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let item = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![item; 9].join(", ")));
    }
    let (tree, problems) = read(&text);
    assert_eq!(tree, None);
    assert!(problems[0].contains("aliases repeat too much"), "{problems:?}");
}

#[test]
fn deep_nesting_is_refused_quickly() {
    let (tree, problems) = read(&format!("a: {}", "[".repeat(20_000)));
    assert_eq!(tree, None);
    assert!(problems[0].contains("nested more than"), "{problems:?}");
}

#[test]
fn an_alias_inside_its_own_anchor_is_refused() {
    let (tree, problems) = read("a: &a\n  b: *a\n");
    assert_eq!(tree, None);
    assert!(problems[0].starts_with("f.yml:2:6"), "{problems:?}");
}

#[test]
fn a_second_document_is_refused() {
    let (_, problems) = read("a: 1\n---\nb: 2\n");
    assert!(problems[0].starts_with("f.yml:2:"), "{problems:?}");
}

#[test]
fn an_unrendered_template_is_recognised() {
    let (_, problems) = read("a: {{ replicas }}\n");
    assert!(problems[0].contains("a template?"), "{problems:?}");
}

#[test]
fn tags_convert_or_mark_or_warn() {
    assert_eq!(
        tree("a: !!str 1\nb: !!int \"3\"\nc: !!binary aGk=\n"),
        serde_json::json!({"a": "1", "b": 3, "c": "hi"})
    );
    let (_, problems) = read("a: !foo bar\n");
    assert!(problems[0].contains("warning: a: the tag `!foo`"), "{problems:?}");
}

#[test]
fn places_count_characters_not_bytes() {
    let (_, problems) = read("é: 1\né: 2\n");
    assert!(problems[0].starts_with("f.yml:2:1:"), "{problems:?}");
}

#[test]
fn what_other_readers_take_is_taken_and_keeps_its_places() {
    let text = "a:\n  b: 'x\n  y'\n  c: [\n1,\n  2\n]\n  d:\t3\n  e: \"z\"#c\ne: 1\ne: 2\n";
    let (tree, problems) = read(text);
    assert_eq!(
        tree,
        Some(serde_json::json!({
            "a": {"b": "x y", "c": [1, 2], "d": 3, "e": "z"},
            "e": 2,
        }))
    );
    assert_eq!(
        problems,
        ["f.yml:11:1: error: e: `e` is given twice; keep one of the two; f.yml:10:1: first here"]
    );
}
