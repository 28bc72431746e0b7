//! Secrets, configs, networks, volumes, nodes, jobs: made, listed, shown, removed.

use serde_json::Value;

use crate::world::{World, lines};

#[tokio::test(flavor = "multi_thread")]
async fn secrets_and_configs_are_made_of_files_and_of_standard_input() {
    let world = World::stopped(0);
    world.write("pw.txt", "hunter2");
    let id = world.ok("secret create -l team=db pw pw.txt").await;
    let made = world.with_input(&["config", "create", "site", "-"], "key=value\n", &[]).await;
    assert_eq!(made.code, 0, "{}", made.err);
    assert_eq!(world.ok("secret ls -q").await, id);
    let table = lines(&world.ok("secret ls --filter label=team=db").await);
    assert!(table[0].starts_with("ID NAME CREATED") && table[1].contains(" pw "), "{table:?}");
    assert_eq!(world.ok("secret ls --filter name=other -q").await, "");
    let shown = world.ok("secret inspect pw").await;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown[0]["Spec"]["Labels"]["team"], "db");
    assert_eq!(shown[0]["Spec"]["Data"], Value::Null, "secrets are never shown");
    assert_eq!(world.ok("config inspect --data site").await, "key=value\n");
    assert_eq!(world.ok("config inspect -f {{.Spec.Name}} site").await, "site\n");
    world.ok("service create -d --name web --secret pw demo/web:1").await;
    let refused = world.run("secret rm pw absent").await;
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("is in use by the following service: web"), "{}", refused.err);
    assert!(refused.err.contains("secret absent not found"), "every refusal: {}", refused.err);
    world.ok("config rm site").await;
    let refused = world.run("secret create pw pw.txt").await;
    assert!(refused.err.contains("secret pw already exists"), "{}", refused.err);
    let refused = world.run("secret create other absent.txt").await;
    assert!(refused.err.contains("absent.txt: No such file"), "{}", refused.err);
    let refused = world.with_input(&["secret", "create", "empty", "-"], "", &[]).await;
    assert!(refused.err.contains("larger than 0"), "{}", refused.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_are_made_listed_shown_and_removed() {
    let world = World::stopped(0);
    world
        .ok("network create --subnet 10.9.0.0/24 --gateway 10.9.0.1 --internal --label a=b back")
        .await;
    let table = lines(&world.ok("network ls --filter name=back").await);
    assert!(table[1].ends_with("back overlay swarm"), "{table:?}");
    let subnet = world.ok("network inspect -f {{.IPAM.Config.0.Subnet}} back").await;
    assert_eq!(subnet, "10.9.0.0/24\n");
    let refused = world.run("network create --subnet 10.9.0.0/16 other").await;
    assert!(refused.err.contains("overlaps"), "{}", refused.err);
    let refused = world.run("network create --gateway 10.9.0.1 other").await;
    assert_eq!(refused.code, 2, "a gateway needs a subnet: {}", refused.err);
    world.ok("network rm back").await;
    let refused = world.run("network rm back").await;
    assert!(refused.code == 1 && refused.err.contains("network back not found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_are_those_of_this_host() {
    let world = World::stopped(0);
    assert_eq!(world.ok("volume create -o type=nfs --label a=b data").await, "data\n");
    assert_eq!(lines(&world.ok("volume ls").await), ["DRIVER VOLUME NAME", "local data"]);
    assert_eq!(world.ok("volume ls -q").await, "data\n");
    assert_eq!(world.ok("volume inspect -f {{.Options.type}} data").await, "nfs\n");
    world.ok("volume rm data").await;
    assert_eq!(world.run("volume inspect data").await.code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_is_waited_for_until_it_is_empty() {
    let world = World::start(2);
    world.ok("service create --name web --replicas 6 --verify 0s demo/web:1").await;
    let out = world.ok("node drain w1").await;
    assert_eq!(lines(&out), ["w1: draining", "w1: empty"]);
    let table = world.ok("node ls --format {{.Hostname}}/{{.Availability}}").await;
    assert_eq!(lines(&table), ["m1/Active", "w1/Drain", "w2/Active"]);
    assert_eq!(world.ok("node ps --running -q w1").await, "");
    let table = world.ok("node ls --filter role=manager --format {{.Hostname}}").await;
    assert_eq!(table, "m1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_not_empty_in_time_is_a_failure_and_says_why() {
    let world = World::stopped(1);
    world.ok("service create -d --name web --constraint node.hostname==w1 demo/web:1").await;
    world.cluster.settle();
    let done = world.run("node drain --timeout 0s w1").await;
    assert_eq!(done.code, 1);
    assert!(done.err.contains("w1 still has 1 tasks; it stays drained"), "{}", done.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_run_to_its_end_and_a_failing_one_says_so() {
    let world = World::start(1);
    let out = world.ok("job run --name sum --replicas 3 --no-logs demo/web:1 add").await;
    assert_eq!(out, "", "what the tasks wrote, and nothing else");
    let table = lines(&world.ok("job ls").await);
    assert!(table[1].contains("sum replicated job"), "{table:?}");
    world.ok("job rm sum").await;
    let done = world.run("job run --rm --name bad demo/web:fails").await;
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.err.contains("bad: given up, 0 of 1 tasks completed"), "{}", done.err);
    assert!(done.err.contains("task: non-zero exit (3)"), "{}", done.err);
    assert_eq!(world.ok("job ls -q").await, "", "--rm removes it all the same");
    world.ok("job run --mode global --rm --no-logs demo/web:1").await;
}
