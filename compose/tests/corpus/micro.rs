//! One-question files, and merges of two, against the docker CLI's answers.

use serde_json::{Value, json};

use crate::decisions::{normalised, requests};
use crate::place::{Project, corpus, run, shown, variables};
use crate::report::Tally;

#[test]
fn small_questions_get_the_docker_clis_answers() {
    let Some(corpus) = corpus() else { return };
    let text = std::fs::read_to_string(corpus.join("micro/cases.jsonl")).expect("cases");
    let mut tally = Tally::new("micro/cases: requests of one-question files");
    let mut documents = Tally::new("micro/cases: normalised output of one-question files");
    for case in text.lines().map(|l| serde_json::from_str::<Value>(l).expect("json")) {
        let yaml = case["yaml"].as_str().unwrap_or("");
        let label = format!(
            "{} [{}] {}",
            case["id"].as_str().unwrap_or(""),
            yaml.replace("version: \"3.9\"\nservices:\n  s:\n    image: i\n", "")
                .replace('\n', "⏎"),
            case["env"]
        );
        let variables = variables(&case["env"]);
        let mut project = Project::empty();
        project.stubs_of(&case["deploy"]["stubs"]);
        let accepted = case["deploy"]["ok"] == json!(true);
        match (run(&[yaml.as_bytes()], &project, &variables), accepted) {
            (Ok(loaded), true) => {
                let ours = compose::wire::specs_json(&loaded.stack.specs);
                let theirs = json!({"networks": case["deploy"]["networks"], "secrets": case["deploy"]["secrets"], "configs": case["deploy"]["configs"], "services": case["deploy"]["services"]});
                match requests(&ours, &theirs, yaml) {
                    Ok(decisions) => tally.equal(&label, &decisions),
                    Err(difference) => tally.different(&label, &difference),
                }
            }
            (Ok(_), false) => tally.accepted_more(&label, &case["deploy"]["messages"].to_string()),
            (Err(problems), true) => tally.refused_more(&label, &problems),
            (Err(_), false) => tally.both_refuse(),
        }
        let theirs = case["config"]["out"].as_str();
        match (shown(&[yaml.as_bytes()], &Project::empty(), &variables), theirs) {
            (Ok(shown), Some(theirs)) => match normalised(&shown.document, theirs) {
                Ok(decisions) => documents.equal(&label, &decisions),
                Err(difference) if requests_explain(yaml) => {
                    let _ = difference;
                    documents.decided("nested-defaults");
                }
                Err(difference) => documents.different(&label, &difference),
            },
            (Ok(_), None) => {
                documents.accepted_more(&label, case["config"]["error"].as_str().unwrap_or(""));
            }
            (Err(problems), Some(_)) => documents.refused_more(&label, &problems),
            (Err(_), None) => documents.both_refuse(),
        }
    }
    documents.finish();
    tally.finish();
}

/// Defaults inside defaults are read otherwise: any text may come of them.
fn requests_explain(yaml: &str) -> bool {
    ["${V:-$", "${V:?a $", "${V:+"].iter().any(|form| yaml.contains(form))
}

#[test]
fn two_files_merge_as_the_docker_cli_merges_them() {
    let Some(corpus) = corpus() else { return };
    let text = std::fs::read_to_string(corpus.join("micro/merge.jsonl")).expect("cases");
    let mut tally = Tally::new("micro/merge: two small files");
    for case in text.lines().map(|l| serde_json::from_str::<Value>(l).expect("json")) {
        let files = case["files"].as_array().into_iter().flatten();
        let files: Vec<&[u8]> = files.map(|f| f.as_str().unwrap_or("").as_bytes()).collect();
        one_merge(&case, &files, &mut tally);
    }
    tally.finish();
    let text = std::fs::read_to_string(corpus.join("oracle/merges.jsonl")).expect("merges");
    let mut tally = Tally::new("oracle/merges: two real files");
    for case in text.lines().map(|l| serde_json::from_str::<Value>(l).expect("json")) {
        let names = case["names"].as_array().into_iter().flatten();
        let read = |name: &Value| std::fs::read(corpus.join("stacks").join(name.as_str()?)).ok();
        let texts: Vec<Vec<u8>> = names.filter_map(read).collect();
        let files: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        one_merge(&case, &files, &mut tally);
    }
    tally.finish();
}

fn one_merge(case: &Value, files: &[&[u8]], tally: &mut Tally) {
    let mut project = Project::empty();
    project.any = true;
    let label = case["id"].as_str().unwrap_or("");
    match (shown(files, &project, &variables(&case["env"])), case["out"].as_str()) {
        (Ok(shown), Some(theirs)) => match normalised(&shown.document, theirs) {
            Ok(decisions) => tally.equal(label, &decisions),
            Err(difference) => tally.different(label, &difference),
        },
        (Ok(_), None) => tally.accepted_more(label, case["err"].as_str().unwrap_or("")),
        (Err(problems), Some(_)) => tally.refused_more(label, &problems),
        (Err(_), None) => tally.both_refuse(),
    }
}
