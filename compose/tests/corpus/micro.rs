//! One-question files, and merges of two, against the docker CLI's answers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::decisions::{difference, level, unescape};
use crate::place::{Project, corpus, run, shown};

#[test]
fn small_questions_get_the_docker_clis_answers() {
    let Some(corpus) = corpus() else { return };
    let text = std::fs::read_to_string(corpus.join("micro/cases.jsonl")).expect("cases");
    let mut tally: BTreeMap<(String, &str), usize> = BTreeMap::new();
    let mut lines = Vec::new();
    for case in text.lines().map(|l| serde_json::from_str::<Value>(l).expect("json")) {
        let group = case["group"].as_str().unwrap_or("").to_owned();
        let id = case["id"].as_str().unwrap_or("");
        let variables = case["env"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.as_str().unwrap_or("").to_owned()))
            .collect();
        let mut project = Project::empty();
        for stub in case["deploy"]["stubs"].as_array().into_iter().flatten() {
            let path = stub.as_str().unwrap_or("");
            project.stub(path, if path.ends_with("env") { b"" } else { b"stub\n" });
        }
        let yaml = case["yaml"].as_str().unwrap_or("").as_bytes();
        let theirs_ok = case["deploy"]["ok"] == json!(true);
        let (verdict, detail) = match (run(&[yaml], &project, &variables), theirs_ok) {
            (Ok(loaded), true) => {
                let mut ours = compose::wire::specs_json(&loaded.stack.specs);
                let mut theirs = json!({"networks": case["deploy"]["networks"], "secrets": case["deploy"]["secrets"], "configs": case["deploy"]["configs"], "services": case["deploy"]["services"]});
                for list in ["networks", "secrets", "configs", "services"] {
                    if theirs[list].is_null() {
                        theirs[list] = json!([]);
                    }
                }
                level(&mut ours, &mut theirs);
                match difference(&ours, &theirs, "") {
                    None => match normalised(&loaded.stack.document, &case["config"]["out"]) {
                        None => ("equal", String::new()),
                        Some(d) => ("DOCUMENT", d),
                    },
                    Some(d) => ("SPECS", d),
                }
            }
            (Ok(_), false) => ("accepted", case["deploy"]["messages"].to_string()),
            (Err(problems), true) => {
                let first = problems.list.iter().find(|p| p.severity == compose::Severity::Error);
                ("REFUSED", first.map(|p| p.line()).unwrap_or_default())
            }
            (Err(_), false) => ("both refuse", String::new()),
        };
        *tally.entry((group, verdict)).or_default() += 1;
        if !detail.is_empty() {
            let show = case["yaml"]
                .as_str()
                .unwrap_or("")
                .replace("version: \"3.9\"\nservices:\n  s:\n    image: i\n", "")
                .replace('\n', "⏎");
            lines.push(format!("{verdict} {id} [{show}] {}: {detail}", case["env"]));
        }
    }
    let mut by_verdict: BTreeMap<&str, usize> = BTreeMap::new();
    for ((_, verdict), count) in &tally {
        *by_verdict.entry(verdict).or_default() += count;
    }
    println!("micro: {by_verdict:?}");
    if std::env::var_os("SWARMCTL_CORPUS_LIST").is_some() {
        lines.sort();
        for line in &lines {
            println!("{}", line.chars().take(600).collect::<String>());
        }
    }
}

fn normalised(document: &compose::Document, theirs: &Value) -> Option<String> {
    let theirs = theirs.as_str()?;
    let mut problems = Vec::new();
    let tree = compose::yaml::parse::parse(theirs, compose::source::SourceId(0), &mut problems)?;
    let ours = unescape(document.to_json());
    difference(
        &crate::decisions::without_version(ours),
        &crate::decisions::without_version(tree.to_json()),
        "",
    )
}

#[test]
fn two_files_merge_as_the_docker_cli_merges_them() {
    let Some(corpus) = corpus() else { return };
    let text = std::fs::read_to_string(corpus.join("micro/merge.jsonl")).expect("cases");
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    for case in text.lines().map(|l| serde_json::from_str::<Value>(l).expect("json")) {
        let files: Vec<&[u8]> = case["files"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|f| f.as_str().unwrap_or("").as_bytes())
            .collect();
        let mut project = Project::empty();
        project.any = true;
        let id = case["id"].as_str().unwrap_or("");
        let variables = case["env"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.as_str().unwrap_or("").to_owned()))
            .collect();
        let theirs_ok = case["rc"] == json!(0);
        let (verdict, detail) = match (shown(&files, &project, &variables), theirs_ok) {
            (Ok(shown), true) => match normalised(&shown.document, &case["out"]) {
                None => ("equal", String::new()),
                Some(d) => ("DIFFERENT", d),
            },
            (Ok(_), false) => ("accepted", case["err"].to_string()),
            (Err(problems), true) => {
                let first = problems.list.iter().find(|p| p.severity == compose::Severity::Error);
                ("REFUSED", first.map(|p| p.line()).unwrap_or_default())
            }
            (Err(_), false) => ("both refuse", String::new()),
        };
        *tally.entry(verdict).or_default() += 1;
        if !detail.is_empty() && std::env::var_os("SWARMCTL_CORPUS_LIST").is_some() {
            println!("{verdict} {id}: {detail}");
        }
    }
    println!("merges: {tally:?}");
}
