//! Normalised output of real files, against that of `docker stack config`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::decisions::normalised;
use crate::place::{Project, corpus, shown};
use crate::report::Tally;

/// The CLI's three runs of a file: as it is, with missing env files made, with variables given.
const RUNS: [&str; 3] = ["", ".stub", ".env"];

#[test]
fn real_files_are_normalised_as_the_docker_cli_normalises_them() {
    let Some(corpus) = corpus() else { return };
    let mut tally = Tally::new("oracle: `config` of real files");
    let mut names: Vec<String> = std::fs::read_dir(corpus.join("stacks"))
        .expect("stacks")
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|name| !name.ends_with(".d"))
        .collect();
    names.sort();
    for name in &names {
        for run in RUNS {
            one(&corpus, name, run, &mut tally);
        }
    }
    tally.finish();
}

fn one(corpus: &Path, name: &str, run: &str, tally: &mut Tally) {
    let answer = |end: &str| {
        std::fs::read_to_string(corpus.join("oracle").join(format!("{name}{run}.{end}"))).ok()
    };
    let (accepted, refused) = (answer("out.yml"), answer("err"));
    if accepted.is_none() && refused.is_none() {
        return;
    }
    let text = std::fs::read(corpus.join("stacks").join(name)).expect("stack");
    let mut project = Project::empty();
    let dir = corpus.join("stacks").join(format!("{name}.d"));
    project.dir = dir.is_dir().then_some(dir);
    project.empty_files = !run.is_empty();
    let variables = if run == ".env" { variables(corpus, name) } else { BTreeMap::new() };
    let result = shown(&[&text], &project, &variables);
    let label = format!("{name}{run}");
    match (result, accepted) {
        (Ok(shown), Some(theirs)) => match normalised(&shown.document, &theirs) {
            Ok(decisions) => tally.equal(&label, &decisions),
            Err(difference) => tally.different(&label, &difference),
        },
        (Ok(_), None) => tally.accepted_more(&label, &refused.unwrap_or_default()),
        (Err(problems), Some(_)) => tally.refused_more(&label, &problems),
        (Err(_), None) => tally.both_refuse(),
    }
}

fn variables(corpus: &Path, name: &str) -> BTreeMap<String, String> {
    let file = corpus.join("oracle").join(format!("{name}.env"));
    std::fs::read_to_string(file)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}
