//! Tests of the tree that is made of a text.

use super::*;
use crate::problem::Problems;
use crate::source::Sources;

fn told(text: &str) -> (Option<serde_json::Value>, Vec<String>) {
    let mut sources = Sources::default();
    let id = sources.add("f.yml", text);
    let mut problems = Vec::new();
    let tree = parse(text, id, &mut problems).map(|n| n.to_json());
    (tree, Problems::new(problems, sources).lines())
}

fn tree(text: &str) -> serde_json::Value {
    let (tree, problems) = told(text);
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
    let (_, problems) = told("a: 1\nb: 2\na: 3\n");
    assert_eq!(
        problems,
        ["f.yml:3:1: error: a: `a` is given twice; keep one of the two; f.yml:1:1: first here"]
    );
    let (_, problems) = told("a:\n  - x\n  - b: {c: 1, c: 2}\n");
    assert!(problems[0].contains("error: a[1].b.c: `c` is given twice"), "{problems:?}");
}

#[test]
fn a_syntax_error_is_reported_where_it_is() {
    let (tree, problems) = told("a: 1\nb:\n\tc: 2\n");
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
    let (tree, problems) = told(&text);
    assert_eq!(tree, None);
    assert!(problems[0].contains("aliases repeat too much"), "{problems:?}");
}

#[test]
fn deep_nesting_is_refused_quickly() {
    let (tree, problems) = told(&format!("a: {}", "[".repeat(20_000)));
    assert_eq!(tree, None);
    assert!(problems[0].contains("nested more than"), "{problems:?}");
}

#[test]
fn an_alias_inside_its_own_anchor_is_refused() {
    let (tree, problems) = told("a: &a\n  b: *a\n");
    assert_eq!(tree, None);
    assert!(problems[0].starts_with("f.yml:2:6"), "{problems:?}");
}

#[test]
fn a_second_document_is_refused() {
    let (_, problems) = told("a: 1\n---\nb: 2\n");
    assert!(problems[0].starts_with("f.yml:2:"), "{problems:?}");
}

#[test]
fn an_unrendered_template_is_recognised() {
    let (_, problems) = told("a: {{ replicas }}\n");
    assert!(problems[0].contains("a template?"), "{problems:?}");
}

#[test]
fn tags_convert_or_mark_or_warn() {
    assert_eq!(
        tree("a: !!str 1\nb: !!int \"3\"\nc: !!binary aGk=\n"),
        serde_json::json!({"a": "1", "b": 3, "c": "hi"})
    );
    let (_, problems) = told("a: !foo bar\n");
    assert!(problems[0].contains("warning: a: the tag `!foo`"), "{problems:?}");
}

#[test]
fn places_count_characters_not_bytes() {
    let (_, problems) = told("é: 1\né: 2\n");
    assert!(problems[0].starts_with("f.yml:2:1:"), "{problems:?}");
}

#[test]
fn what_other_readers_take_is_taken_and_keeps_its_places() {
    let text = "a:\n  b: 'x\n  y'\n  c: [\n1,\n  2\n]\n  d:\t3\n  e: \"z\"#c\ne: 1\ne: 2\n";
    let (tree, problems) = told(text);
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

#[test]
fn what_is_read_again_to_mend_a_text_is_bounded() {
    let many = |line: &str| line.repeat(1_000_000 / line.len());
    for text in [
        many("a:\t1\n"),
        many("- \"x\"#c\n"),
        format!("a:\n  b: 'x\n{}'\n", many("y\n")),
        format!("a:\n  b: [\n{}]\n", many("1,\n")),
        format!("a:\n  b:\n    c: {}", many("'x\ny' ")),
        many("a: 'x\n"),
        format!("a: {}", many("[")),
        format!("{}:\t1\n{}", "x".repeat(400_000), many("b:\t1\n")),
    ] {
        let mut problems = Vec::new();
        let (reading, again) = read_fully(&text, SourceId(0), &mut problems);
        // The reading that was under way when the budget ended is beyond it.
        assert!(again <= MOST_READ_AGAIN + 2 * text.len(), "{again} bytes, {}", &text[..20]);
        assert!(!reading.lost.is_empty() || problems.len() == 1, "{}", &text[..20]);
    }
    // What people write is mended as often as they wrote it.
    let text: String = (0..150).map(|n| format!("k{n}:\t{n}\nl{n}: \"x\"#c\n")).collect();
    assert!(parse_fully(&text, SourceId(0), &mut Vec::new()).is_some());
}

#[test]
fn one_broken_block_does_not_hide_the_others() {
    let text = "\
a:
  b: x: y
    c: 1
  d: [1, 2
  e: 1
f: \"g
h: \"i\"
j:
\tk: 1
l: *gone
m: 1
m: 2
";
    let mut sources = Sources::default();
    let id = sources.add("f.yml", text);
    let mut problems = Vec::new();
    let reading = super::read(text, id, &mut problems);
    assert_eq!(reading.lost.len(), 5, "{:?}", reading.lost);
    let lines = Problems::new(problems, sources).lines();
    for place in ["f.yml:2:", "f.yml:4:", "f.yml:6:", "f.yml:9:", "f.yml:12:"] {
        assert!(lines.iter().any(|l| l.starts_with(place)), "{place} in {lines:#?}");
    }
    let left = reading.tree.expect("something is left").to_json();
    assert_eq!(left["a"]["e"], 1);
    assert_eq!(left["h"], "i");
    assert_eq!(left["m"], 2);
}

#[test]
fn what_is_to_blame_is_told_where_it_is_not_where_it_was_noticed() {
    for (text, place) in [
        ("a:\n  - b\n\t- c\n", "f.yml:3:2: "),
        ("a: 1\nb: \"c\nd:\n  - \"e\"\n", "f.yml:2:4: "),
        ("a: 1\nb: [c, d\ne: 1\n", "f.yml:2:4: "),
        ("a: 1\nb:\n  c: [d\n\ne:\n  f: 1\n", "f.yml:3:6: "),
        ("a: b # c\n  d: 1\n", "f.yml:2:3: "),
        ("a:\n  b c\n  d: [1]\n", "f.yml:2:3: "),
    ] {
        let (tree, problems) = told(text);
        assert_eq!(tree, None, "{text}");
        assert!(problems[0].starts_with(place), "{text}: {problems:?}");
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
    }
}

#[test]
fn the_usual_slips_are_told_with_a_way_out() {
    for (text, words) in [
        ("a:\n  b:\n    c: 1\n   d: 2\n", "f.yml:4:4: error: not valid YAML: "),
        ("a:\n  b:\n    c: 1\n   d: 2\n", "; no line above begins in this column"),
        ("a:\n  b c\n  d: [1]\n", "; is a colon missing behind its first word?"),
        ("{{- if .x }}\na: 1\n", "; a template? Render it first"),
    ] {
        let (_, problems) = told(text);
        assert!(problems[0].contains(words), "{text}: {problems:?}");
    }
}

#[test]
fn a_quoted_text_ends_at_its_quote_not_behind_its_comment() {
    for text in
        ["a: 'b''c'  # \"d\"\n", "a: &x !!str \"b\\\"\\n c\" # 'd'\n", "a: [\"é\" , !x 'y' ]\n"]
    {
        let tree = parse_fully(text, SourceId(0), &mut Vec::new()).expect("a tree");
        let node = &tree.as_map().expect("a mapping")["a"].node;
        let node = node.items().last().unwrap_or(node);
        let written = &text[node.span.start as usize..node.span.end as usize];
        assert!(written.ends_with(['\'', '"']) && !written.contains('#'), "{written}");
    }
}
