//! The requests made of real stack files, against those that `docker stack deploy` sends.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::decisions::{difference, level};
use crate::place::{Project, corpus, run};

#[test]
fn real_files_give_the_requests_that_the_docker_cli_sends() {
    let Some(corpus) = corpus() else { return };
    let mut files: Vec<_> = std::fs::read_dir(corpus.join("oracle-deploy"))
        .expect("oracle-deploy")
        .filter_map(|e| {
            Some(e.ok()?.file_name().into_string().ok()?.strip_suffix(".deploy.json")?.to_owned())
        })
        .collect();
    files.sort();
    let (mut accepted, mut equal, mut both_refuse) = (0, 0, 0);
    let mut by_decision: BTreeMap<String, usize> = BTreeMap::new();
    let mut bad = Vec::new();
    for name in &files {
        let text = std::fs::read(corpus.join("stacks").join(name)).expect("stack");
        let answer =
            std::fs::read(corpus.join("oracle-deploy").join(format!("{name}.deploy.json")));
        let theirs: Value = serde_json::from_slice(&answer.expect("answer")).expect("json");
        let mut project = Project::empty();
        let dir = corpus.join("stacks").join(format!("{name}.d"));
        project.dir = dir.is_dir().then_some(dir);
        for stub in theirs["stubs"].as_array().into_iter().flatten() {
            let path = stub.as_str().unwrap_or("");
            // Env files were made empty, everything else with a word in it.
            project.stub(path, if path.ends_with("env") { b"" } else { b"stub\n" });
        }
        let variables = theirs["env"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.as_str().unwrap_or("").to_owned()))
            .collect();
        let cli_accepts = theirs["rc"] == json!(0);
        match run(&[&text], &project, &variables) {
            Ok(loaded) => {
                accepted += 1;
                if !cli_accepts {
                    *by_decision.entry("accepted here, refused by the CLI".into()).or_default() +=
                        1;
                    continue;
                }
                let mut ours = compose::wire::specs_json(&loaded.stack.specs);
                let mut theirs = json!({"networks": theirs["networks"], "secrets": theirs["secrets"], "configs": theirs["configs"], "services": theirs["services"]});
                let decisions = level(&mut ours, &mut theirs);
                match difference(&ours, &theirs, "") {
                    None => {
                        equal += 1;
                        for decision in decisions {
                            *by_decision.entry(decision.into()).or_default() += 1;
                        }
                    }
                    Some(where_) => bad.push(format!("{name}: {where_}")),
                }
            }
            Err(problems) if cli_accepts => {
                let first = problems.list.iter().find(|p| p.severity == compose::Severity::Error);
                bad.push(format!(
                    "{name}: refused: {}",
                    first.map(|p| p.line()).unwrap_or_default()
                ));
            }
            Err(_) => both_refuse += 1,
        }
    }
    println!(
        "stacks: {} files, {accepted} accepted, {both_refuse} refused by both, {equal} equal",
        files.len()
    );
    for (decision, count) in &by_decision {
        println!("  {count:4} {decision}");
    }
    for line in &bad {
        println!("  DIFFERENT {line}");
    }
    assert!(bad.len() <= files.len() / 20, "{} of {} differ", bad.len(), files.len());
}
