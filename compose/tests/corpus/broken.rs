//! Files with one thing wrong: each is refused, at the line that is wrong.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

use compose::{Problems, Severity};

use crate::place::{Project, corpus, run};

/// What `index.tsv` would have refused and we only warn of, at its line: real stacks that run have it.
const WARNED: [&str; 1] = ["external-with-driver.yml"];

#[test]
fn every_file_with_a_fault_is_refused_at_its_line() {
    let Some(corpus) = corpus() else { return };
    let index = std::fs::read_to_string(corpus.join("broken/index.tsv")).expect("index");
    let mut wrong = Vec::new();
    let mut tally: BTreeMap<String, usize> = BTreeMap::new();
    let mut at_their_line = 0;
    for line in index.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [name, made_from, fault, expected, ..] = columns[..] else { continue };
        if name.ends_with(".gz") {
            continue;
        }
        let text = std::fs::read(corpus.join("broken").join(name)).expect(name);
        let mut project = Project::empty();
        project.any = !["missing", "extends-file", "without-source", "path-escape"]
            .iter()
            .any(|m| name.contains(m));
        let result = run(&[&text], &project, &BTreeMap::new());
        let verdict = match &result {
            Ok(loaded) if loaded.warnings.is_empty() => "accept",
            Ok(_) => "warn",
            Err(_) => "reject",
        };
        *tally.entry(format!("{expected} -> {verdict}")).or_default() += 1;
        let fine = match expected {
            "reject" => verdict == "reject" || WARNED.contains(&name) && verdict == "warn",
            "accept" => verdict != "reject",
            _ => true,
        };
        if !fine {
            wrong.push(format!("{name} ({fault}): {expected}, but {verdict}"));
        }
        let (told, least) = match &result {
            Ok(loaded) => (&loaded.warnings, Severity::Warning),
            Err(problems) => (problems, Severity::Error),
        };
        if expected == "reject" {
            match changed_lines(&corpus, made_from, &text) {
                Some(lines) if !is_told(told, least, &lines) => {
                    let all = told.lines().join("\n    ");
                    wrong.push(format!("{name} ({fault}): nothing told in {lines:?}:\n    {all}"));
                }
                _ => at_their_line += 1,
            }
        }
        if std::env::var_os("SWARMCTL_CORPUS_LIST").is_some() {
            println!("{name} [{fault}] {expected}\n{told}");
        }
    }
    println!("broken: {tally:?}; {at_their_line} of those to reject are told of at their line");
    wrong.iter().for_each(|line| println!("  {line}"));
    assert!(wrong.len() <= 2, "{} files are judged otherwise", wrong.len());
}

fn is_told(told: &Problems, severity: Severity, lines: &RangeInclusive<usize>) -> bool {
    told.list.iter().filter(|p| p.severity == severity).any(|p| {
        let places = [&p.location, &p.related_location];
        places.into_iter().flatten().any(|place| lines.contains(&(place.line as usize)))
    })
}

/// The lines in which a broken file differs from the one that it was made from; a line of a list or
/// mapping that only ends there belongs to them. Nothing: it has little to do with that file.
fn changed_lines(corpus: &Path, made_from: &str, text: &[u8]) -> Option<RangeInclusive<usize>> {
    let name = made_from.replace(['/', ' '], "__");
    let sound = std::fs::read(corpus.join("stacks").join(name)).ok()?;
    let split = |bytes: &[u8]| -> Vec<Vec<u8>> {
        bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
    };
    let (before, after) = (split(&sound), split(text));
    let same = |(a, b): &(&Vec<u8>, &Vec<u8>)| a == b;
    let head = before.iter().zip(&after).take_while(same).count();
    let left = before.len().min(after.len()) - head;
    let tail = before.iter().rev().zip(after.iter().rev()).take(left).take_while(same).count();
    let (first, last) = (head + 1, after.len() - tail);
    let mostly_new = last.saturating_sub(first) > after.len() / 2;
    // One line before: what lost its body is told of at its key.
    (!mostly_new).then(|| first.saturating_sub(1)..=last.max(first))
}
