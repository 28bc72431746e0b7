//! The quick reader and the full parser make the same tree of the same text, places included.

#[path = "../../../tests/dice/mod.rs"]
mod dice;

use self::dice::Dice;
use crate::problem::Problem;
use crate::source::SourceId;
use crate::yaml::Node;
use crate::yaml::parse::{parse_fully, parse_quickly};

type Read = (Option<Node>, Vec<Problem>);

/// What the quick reader makes of a text, held against the full parser; false when it gave up.
fn same(text: &str) -> bool {
    let mut problems = Vec::new();
    let quick = parse_quickly(text, SourceId(0), &mut problems);
    if quick.is_none() {
        assert!(problems.is_empty(), "{text}");
        return false;
    }
    let mut of_full = Vec::new();
    let full = parse_fully(text, SourceId(0), &mut of_full);
    // As text: what is not a number is not equal to itself.
    let shown = |read: &Read| format!("{read:#?}");
    let (quick, full) = (shown(&(quick, problems)), shown(&(full, of_full)));
    if quick != full {
        let differ = quick.lines().zip(full.lines()).find(|(a, b)| a != b);
        panic!("{differ:?} in:\n{text}\n{text:?}");
    }
    true
}

#[test]
fn what_compose_files_are_written_in_is_read_quickly() {
    for text in [
        "a: 1\n",
        "a: 1",
        "# c\n\n---\n# d\na: b # c\n\n\n# e\n",
        "a:\nb:\n  c:\n    - d\n    -\n    - # nothing\n  e: ~\n",
        "a:\n- b\n-\n-   c: 1\n    d: 2\n- # x\n- - e\n  - f: g\n    h: [i]\nk:\n",
        "- a\n- b: c\n",
        "-\n  a: 1\n-\n    - b\n",
        "a: []\nb: {}\nc: [ a b , 'c',\"d\" , [1, 2,], {e: f, g : \"h\"},]\n",
        "'a b': 'it''s'\n\"c\\\"d\" : \"e\\n\\t\\\\\\/\"\n\"\": ''\n",
        "a: &x {b: 1}\nc: &y\n  d: *x\ne:\n  <<: *y\n  f: &x 1\n  g: [*x, *y ]\n<<: [*y, {z: 1}]\n",
        "a: &a\n  - b\nc: *a\nd: &b text # c\ne: &c [1]\nf:\n  - &d x\n  - &e\n    y: 1\n  - *d\n",
        "a: http://x:80/#y\nb: x#y\nc: -1\nd: .5\ne: ${A:-b}\nf: $A # c\n",
        "é: ü # ö\n\"ß\": ['ä', å]\n",
        "a: 1\na: 2\nb: {c: 1, c: 2}\n1: x\ntrue: y\nnull: z\n~: u\n<<: 3\n",
        "    a: 1\n    b:\n            c: 1\n",
        "a: yes\nb: 0x1F\nc: 017\nd: 1e3\ne: 2020-01-01\nf: null\ng: -.inf\nh: .nan\n",
    ] {
        assert!(same(text), "{text}");
    }
}

#[test]
fn everything_else_is_left_to_the_full_parser() {
    for text in [
        "",
        "# c\n",
        "---\n",
        "a",
        "a\n  b\n",
        "a: b\n  c\n",
        "a:\n  b\n",
        "a:\n  [b]\n",
        "a: 'b\n  c'\n",
        "a: \"\\x41\"\n",
        "a: |\n  b\n",
        "a: >-\n  b\n",
        "a: [b,\n  c]\n",
        "a: [b: c]\n",
        "a: {b}\n",
        "a: {b: }\n",
        "a: [b -]\n",
        "a: [-, b]\n",
        "a: [b]c\n",
        "a: *b\n",
        "a: !!str 1\n",
        "a: !reset\n",
        "? a\n: b\n",
        "a: b: c\n",
        "a: - b\n",
        "a: 'b'c\n",
        "a: 'b'#c\n",
        "a:b\n",
        "a:\t1\n",
        "a: 1\r\nb: 2\r\n",
        "a: 1\n---\nb: 2\n",
        "a: 1\n...\n",
        "a: 1\n b: 2\n",
        "a:\n    b: 1\n  c: 2\n",
        "a:\n  - b\n  c: d\n",
        "- a\nb: c\n",
        "a: @b\n",
        "a: %b\n",
        "%YAML 1.2\n---\na: 1\n",
        "a: &b\nc: 1\n",
        "a: &b\n- c\n",
        "&a b: c\n",
        "a: \u{FEFF}b\n",
        "[a]: b\n",
        "{a: b}\n",
    ] {
        assert!(!same(text), "{text}");
    }
    assert!(!same(&format!("{}: 1\n", "k".repeat(1_100))));
    assert!(!same(&format!("a: {}", "[".repeat(20_000))));
    assert!(!same(&"- ".repeat(20_000)));
}

const PIECES: [&str; 40] = [
    "a", "b", "key", ": ", ": ", ":", "\n", "\n", "\n  ", "\n  ", "\n    ", "\n- ", "\n  - ", "- ",
    "-", " ", "  ", "[", "]", "{", "}", ", ", ",", "'x'", "\"y\"", "'", "\"", " # c", "#", "&a ",
    "&b\n", "*a", "<<: ", "é", "1", "~", "---\n", "|\n", "\\", "?",
];

#[test]
fn random_texts_are_read_the_same() {
    let mut dice = Dice(7);
    let mut quickly = 0;
    for _ in 0..60_000 {
        let text: String = (0..=dice.below(14)).map(|_| PIECES[dice.below(PIECES.len())]).collect();
        // Most of it is nothing; behind a key more of it is something.
        quickly += usize::from(same(&text)) + usize::from(same(&format!("k: {text}")));
        quickly += usize::from(same(&format!("k:\n  - a: b\n    {text}\n")));
    }
    assert!(quickly > 5_000, "{quickly}");
}

#[test]
fn changed_files_are_read_the_same() {
    let seeds = [
        include_str!("../../../tests/seeds/everything.yml"),
        include_str!("../../../tests/seeds/odd.yml"),
        include_str!("../../../../fuzz/corpus/compose/swarm.yml"),
        "services:\n  web:\n    image: \"nginx:1\" # c\n    ports: ['80:80', 443]\n    deploy: {replicas: 2}\n    \
         environment:\n    - A=b\n    - C\n    healthcheck:\n      test: [CMD, a, 'b']\nnetworks:\n  n:\n",
    ];
    let mut dice = Dice(11);
    let mut quickly = 0;
    for seed in seeds {
        let lines: Vec<&str> = seed.lines().collect();
        for _ in 0..1_500 {
            // Some lines of it, some of them changed.
            let from = dice.below(lines.len());
            let to = (from + 1 + dice.below(12)).min(lines.len());
            let mut text = lines[from..to].join("\n");
            for _ in 0..dice.below(3) {
                let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
                let at = places.get(dice.below(places.len())).copied().unwrap_or(0);
                match dice.below(3) {
                    0 => text.insert_str(at, PIECES[dice.below(PIECES.len())]),
                    1 if at < text.len() => drop(text.remove(at)),
                    _ => text.truncate(at),
                }
            }
            quickly += usize::from(same(&text));
        }
    }
    assert!(quickly > 500, "{quickly}");
}
