//! Files with one thing wrong: every one of them must be refused, at a place.

use std::collections::BTreeMap;

use crate::place::{Project, corpus, run};

#[test]
fn every_file_with_a_fault_is_refused_with_its_place() {
    let Some(corpus) = corpus() else { return };
    let index = std::fs::read_to_string(corpus.join("broken/index.tsv")).expect("index");
    let mut wrong = Vec::new();
    let mut tally: BTreeMap<String, usize> = BTreeMap::new();
    for line in index.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [name, _, fault, expected, ..] = columns[..] else { continue };
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
        let fine = expected == verdict
            || (expected == "warn")
            || (expected == "accept" && verdict == "warn");
        if !fine {
            wrong.push(format!("{name} ({fault}): {expected}, but {verdict}"));
        }
        if std::env::var_os("SWARMCTL_CORPUS_LIST").is_some() {
            let report = match &result {
                Ok(l) => l.warnings.lines(),
                Err(p) => p.lines(),
            };
            let own = columns.get(7).copied().unwrap_or("");
            println!("{name} [{fault}] {expected} cli: {own}");
            for line in report.iter().take(4) {
                println!("      {}", line.chars().take(230).collect::<String>());
            }
        }
    }
    println!("broken: {tally:?}");
    for line in &wrong {
        println!("  {line}");
    }
}
