//! A stack in the hands of who runs it: a returned host is used again, yesterday's file is deployed
//! again, and a backup brings everything back on other hosts.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use cluster_tests::cluster::{Cluster, eventually, http};
use cluster_tests::lab::PROBE;

/// Long enough for anything that should take seconds, on two busy cores.
const SOON: Duration = Duration::from_secs(60);

const STACK: &str = "\
services:
  web:
    image: PROBE
    command: [serve, --port, '8000']
    environment: {COLOUR: red}
    ports: ['8090:8000']
    secrets: [word]
    stop_grace_period: 1s
    deploy: {replicas: 3, update_config: {parallelism: 0}}
secrets:
  word: {file: word.txt}
";

fn write(directory: &Path, text: &str) -> String {
    std::fs::write(directory.join("word.txt"), "open sesame").expect("a file");
    let file = directory.join("compose.yml");
    std::fs::write(&file, text.replace("PROBE", PROBE)).expect("a file");
    file.display().to_string()
}

/// The nodes on which the three tasks run.
fn nodes(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let running = cluster.running("m1", "shop_web")?;
    ensure!(running.len() == 3, "{running:?}");
    Ok(running.into_iter().map(|(_, node)| node).collect())
}

/// What the service's containers are to have in their environment.
fn environment(cluster: &Cluster) -> String {
    let format = "{{.Spec.TaskTemplate.ContainerSpec.Env}}";
    let shown = cluster.docker("m1", &["service", "inspect", "--format", format, "shop_web"]);
    shown.expect("the service").trim().to_owned()
}

fn reads_its_secret(cluster: &Cluster) {
    let running = cluster.running("m1", "shop_web").expect("tasks");
    let (task, _) = running.first().expect("one that runs");
    let cat = ["exec", task, "/bin/probe", "cat", "/run/secrets/word"];
    assert_eq!(cluster.swarmctl("m1", &cat).expect("it can be read"), "open sesame");
}

fn answers(cluster: &Cluster) {
    eventually("the published port answers", SOON, || {
        let answer = http("GET", &cluster.address("m1", 8090), "/", None)?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    });
}

mod on_real_hosts {
    use super::*;

    #[test]
    fn a_stack_is_spread_again_rolled_back_and_restored_on_other_hosts() {
        let directory = tempfile::tempdir().expect("a directory");
        let backup = directory.path().join("cluster.json");
        let backup = backup.to_str().expect("text");
        {
            let cluster = Cluster::up("ops", 1, 2);
            cluster.load_probe();
            let file = write(directory.path(), STACK);
            cluster.swarmctl("m1", &["deploy", "shop", "-c", &file]).expect("it deploys");
            a_returned_host_is_used_again(&cluster);
            yesterdays_file_is_deployed_again(&cluster, directory.path());
            cluster.swarmctl("m1", &["backup", backup]).expect("it is written");
        }
        let cluster = Cluster::up("ops2", 1, 1);
        cluster.load_probe();
        let plan = cluster.swarmctl("m1", &["restore", "--plan", backup]).expect("a plan");
        assert!(plan.contains("shop_web"), "{plan}");
        assert_eq!(cluster.docker("m1", &["service", "ls", "-q"]).expect("a list"), "");
        cluster.swarmctl("m1", &["restore", backup]).expect("it comes back");
        let on = nodes(&cluster).expect("three tasks");
        assert_eq!(on.len(), 2, "{on:?}");
        assert_eq!(environment(&cluster), "[COLOUR=red]");
        reads_its_secret(&cluster);
        answers(&cluster);
        let history = cluster.swarmctl("m1", &["stack", "history", "-q", "shop"]);
        assert_eq!(history.expect("the history came with it").lines().count(), 3);
    }

    fn a_returned_host_is_used_again(cluster: &Cluster) {
        assert_eq!(nodes(cluster).expect("three tasks").len(), 3, "spread from the beginning");
        cluster.run(&["kill", "w2"]);
        eventually("the others take over", SOON, || {
            let on = nodes(cluster)?;
            ensure!(!on.contains("w2"), "{on:?}");
            Ok(())
        });
        cluster.run(&["start", "w2"]);
        eventually("w2 is back", SOON, || {
            let nodes =
                cluster.docker("m1", &["node", "ls", "--format", "{{.Hostname}} {{.Status}}"])?;
            ensure!(nodes.lines().any(|line| line == "w2 Ready"), "{nodes}");
            Ok(())
        });
        let moves = ["rebalance", "--plan", "--format", "{{.Name}} {{.To}}"];
        let planned = cluster.swarmctl("m1", &moves).expect("a plan");
        assert_eq!(planned.lines().count(), 1, "{planned}");
        assert!(planned.trim().ends_with(" w2"), "{planned}");
        assert_eq!(nodes(cluster).expect("three tasks").len(), 2, "a plan changes nothing");
        cluster.swarmctl("m1", &["rebalance"]).expect("they move");
        assert_eq!(nodes(cluster).expect("three tasks").len(), 3);
        let planned = cluster.swarmctl("m1", &moves).expect("a plan");
        assert_eq!(planned.lines().count(), 0, "{planned}");
    }

    fn yesterdays_file_is_deployed_again(cluster: &Cluster, directory: &Path) {
        let file = write(directory, &STACK.replace("red", "blue"));
        cluster.swarmctl("m1", &["deploy", "shop", "-c", &file]).expect("it deploys");
        assert_eq!(environment(cluster), "[COLOUR=blue]");
        cluster.swarmctl("m1", &["stack", "rollback", "shop"]).expect("it goes back");
        assert_eq!(environment(cluster), "[COLOUR=red]");
        let history = cluster.swarmctl("m1", &["stack", "history", "-q", "shop"]);
        assert_eq!(history.expect("a history").lines().count(), 3);
        reads_its_secret(cluster);
        answers(cluster);
    }
}
