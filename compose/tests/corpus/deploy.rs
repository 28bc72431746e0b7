//! The requests made of real stack files, against those that `docker stack deploy` sends.

use serde_json::{Value, json};

use crate::decisions::requests;
use crate::place::{Project, corpus, run, variables};
use crate::report::Tally;

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
    let mut tally = Tally::new("oracle-deploy: requests of real files");
    for name in &files {
        let text = std::fs::read(corpus.join("stacks").join(name)).expect("stack");
        let answer =
            std::fs::read(corpus.join("oracle-deploy").join(format!("{name}.deploy.json")));
        let theirs: Value = serde_json::from_slice(&answer.expect("answer")).expect("json");
        let mut project = Project::empty();
        let dir = corpus.join("stacks").join(format!("{name}.d"));
        project.dir = dir.is_dir().then_some(dir);
        project.stubs_of(&theirs["stubs"]);
        let cli_accepts = theirs["rc"] == json!(0);
        match run(&[&text], &project, &variables(&theirs["env"])) {
            Ok(_) if !cli_accepts => {
                tally.accepted_more(name, &theirs["stderr"].to_string());
            }
            Ok(loaded) => {
                let ours = compose::wire::specs_json(&loaded.stack.specs);
                let theirs = json!({"networks": theirs["networks"], "secrets": theirs["secrets"], "configs": theirs["configs"], "services": theirs["services"]});
                match requests(&ours, &theirs, &String::from_utf8_lossy(&text)) {
                    Ok(decisions) => tally.equal(name, &decisions),
                    Err(difference) => tally.different(name, &difference),
                }
            }
            Err(problems) if cli_accepts => tally.refused_more(name, &problems),
            Err(_) => tally.both_refuse(),
        }
    }
    tally.finish();
}
