//! What is shown: formats, explanations, events, the live view, completions, versions; `exec`.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::memory::container_of;
use crate::world::{World, lines};

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_as_table_json_yaml_and_template() {
    let world = World::start(1);
    world.ok("service create --name web --replicas 2 --verify 0s demo/web:1").await;
    let json: Value =
        serde_json::from_str(&world.ok("service ls --format json").await).expect("JSON");
    assert_eq!(json[0]["Spec"]["Name"], "web");
    assert!(world.ok("service ls --format yaml").await.contains("Name: web"));
    let line =
        world.ok("service ls --format {{.Name}}:{{.Replicas}}:{{.Spec.Mode.Replicated.Replicas}}");
    assert_eq!(line.await, "web:2/2:2\n");
    let words = ["service", "ls", "--format", "table {{.Name}}\\t{{.Replicas}}"];
    let table = world.with_input(&words, "", &[]).await.out;
    assert_eq!(lines(&table), ["NAME REPLICAS", "web 2/2"]);
    let wrong = world.run("service ls --format {{.Nam}}").await;
    assert_eq!(wrong.code, 1);
    assert!(wrong.err.contains("there is no field .Nam; fields: ID, Name, Mode"), "{}", wrong.err);
    let wrong = world.run("service ls --format csv").await;
    assert!(wrong.code == 2 && wrong.err.contains("table, json, yaml"), "{}", wrong.err);
    let wrong = world.run("service ls --filter color=red").await;
    assert!(wrong.code == 1 && wrong.err.contains("Invalid filter 'color'"), "{}", wrong.err);
    let tasks = world.ok("ps --filter name=web.1 --format {{.Name}}/{{.CurrentState}}").await;
    assert!(tasks.starts_with("web.1/Running"), "{tasks}");
    let shown = world.ok("service inspect -f {{.Spec.Name}} web").await;
    assert_eq!(shown, "web\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_a_slot_are_listed_newest_first_wherever_they_ran() {
    let world = World::start(1);
    let flags = "--verify 0s --update-monitor 10ms --constraint node.hostname==m1";
    world.ok(&format!("service create --name web {flags} demo/web:1")).await;
    for (from, to) in [("m1", "w1"), ("w1", "m1")] {
        let rule = |name: &str| format!("node.hostname=={name}");
        let moved = format!("--constraint-rm {} --constraint-add {}", rule(from), rule(to));
        world.ok(&format!("service update --verify 0s {moved} web")).await;
    }
    let nodes = world.ok("service ps web --format {{.Node}}").await;
    assert_eq!(lines(&nodes), ["m1", "w1", "m1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_why_in_plain_words() {
    let world = World::start(1);
    let flags = "--constraint node.labels.disk==ssd --detach";
    world.ok(&format!("service create --name stuck {flags} demo/web:1")).await;
    world.ok("service create --name web --verify 0s demo/web:1").await;
    let done = world.run("service ps stuck --format {{.Error}}").await;
    assert_eq!(done.code, 0);
    let done = world.run("explain stuck").await;
    assert_eq!(done.code, 1, "something waits");
    assert!(done.out.starts_with("service stuck: not settled"), "{}", done.out);
    let why = "no suitable node (scheduling constraints not satisfied on 2 nodes)";
    assert!(done.out.contains(why), "{}", done.out);
    let out = world.ok("explain web").await;
    assert!(out.contains("All 1 tasks run."), "{out}");
    assert!(world.ok("explain web.1").await.starts_with("task web.1"));
    assert!(world.ok("explain node m1").await.contains("It takes tasks."));
    let wrong = world.run("explain absent").await;
    assert!(wrong.code == 1 && wrong.err.contains("no service, task or node absent"));
    let wrong = world.run("explain stack web").await;
    assert!(wrong.err.contains("service, task or node"), "{}", wrong.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_end_where_they_are_told_to() {
    let world = World::stopped(0);
    world.ok("service create -d --name web demo/web:1").await;
    // The clock of this cluster is not the host's.
    let line = "events --since 1 --until 1s --filter type=service --format {{.Action}}:{{.Actor.Attributes.name}}";
    assert_eq!(world.ok(line).await, "create:web\n");
    let out = world.ok("events --since 1 --until 1s --filter type=service").await;
    assert!(out.contains(" service create ") && out.contains("(name=web)"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn top_shows_the_cluster_and_without_a_terminal_its_changes() {
    let world = World::start(1);
    world.ok("service create --name web --replicas 2 --verify 0s demo/web:1").await;
    let out = world.ok("top --once").await;
    assert!(out.starts_with("2 of 2 nodes ready, 1 services, 2 tasks run"), "{out}");
    assert!(lines(&out).iter().any(|l| l.starts_with("web replicated 2/2")), "{out}");
    let mut top = tokio::process::Command::new(env!("CARGO_BIN_EXE_swarmctl"))
        .args(["--host", &world.host(), "top"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let out = top.stdout.take().expect("piped");
    let mut changes = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(out));
    // It may not have seen the cluster as it was yet: changes go on until it tells of one.
    let churn = async {
        for n in 0.. {
            world.ok(&format!("service scale --detach web={}", 3 + n % 2)).await;
        }
    };
    let told = tokio::select! {
        line = changes.next_line() => line.expect("text").expect("a line"),
        () = churn => unreachable!("it goes on for ever"),
    };
    assert!(told.starts_with("service web ") || told.starts_with("task web."), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_runs_a_command_in_a_task_and_ends_as_it_does() {
    let world = World::start(1);
    world
        .ok("service create --name web --constraint node.role==manager --verify 0s demo/web:1")
        .await;
    let task = world.get("/tasks/web.1").await;
    let container = task["Status"]["ContainerStatus"]["ContainerID"].as_str().expect("an id");
    assert_eq!(container, container_of(task["ID"].as_str().expect("id").parse().expect("an id")));
    let done = world.run("exec web.1 echo hi").await;
    assert_eq!(done.code, 125, "no engine has it");
    assert!(done.err.contains("the container of web.1 on m1 is gone"), "{}", done.err);
    world.engine.containers.lock().expect("no panic").push(container.to_owned());
    let done = world.run("exec -e A=1 -u 1:2 -w /x web.1 echo hi").await;
    let seen = (done.code, done.out.as_str(), done.err.as_str());
    assert_eq!(seen, (7, "echo hi", "warned"));
    let made = world.engine.commands.lock().expect("no panic")["e1"].clone();
    assert_eq!(made["Env"], json!(["A=1"]));
    assert_eq!((&made["User"], &made["WorkingDir"]), (&json!("1:2"), &json!("/x")));
    let done = world.with_input(&["exec", "-i", "web", "cat"], "some input", &[]).await;
    assert_eq!((done.code, done.out.as_str()), (7, "catsome input"), "a service means a task");
    let done = world.run("exec -it web sh").await;
    assert!(done.code == 125 && done.err.contains("needs a terminal"), "{}", done.err);
    let done = world.run("exec absent true").await;
    assert!(done.code == 125 && done.err.contains("no such task or service"), "{}", done.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_complete_commands_flags_and_live_names() {
    let world = World::stopped(1);
    world.ok("service create -d --name webshop demo/web:1").await;
    for (shell, says) in [("bash", "complete "), ("zsh", "compdef"), ("fish", "complete ")] {
        let script = world.ok(&format!("completion {shell}")).await;
        assert!(script.contains(says) && script.contains("swarmctl"), "{shell}: {script}");
    }
    let complete = |line: &'static str| {
        let words: Vec<&str> = ["--", "swarmctl"].into_iter().chain(line.split(' ')).collect();
        let index = (words.len() - 2).to_string();
        let world = &world;
        async move {
            let envs = [("COMPLETE", "fish"), ("_CLAP_COMPLETE_INDEX", index.as_str())];
            world.with_input(&words, "", &envs).await.out
        }
    };
    assert!(complete("service rm ").await.contains("webshop"));
    assert!(complete("service inspect ").await.contains("webshop"));
    assert!(complete("service scale ").await.contains("webshop="));
    assert!(complete("node drain ").await.contains("w1"));
    assert!(complete("node inspect ").await.contains("w1"));
    assert!(complete("network inspect ").await.contains("ingress"));
    assert!(complete("context inspect ").await.contains("default"));
    assert!(complete("service upd").await.contains("update"));
    assert!(complete("service create --limit-m").await.contains("--limit-memory"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_is_told_also_when_nobody_answers() {
    let world = World::stopped(0);
    assert!(world.ok("version").await.contains("Server:"));
    assert_eq!(world.ok("version -f {{.Server.ApiVersion}}").await.trim(), model::api::API_VERSION);
    let done = world.run("--host unix:///nowhere/at.sock version").await;
    assert_eq!(done.code, 1);
    assert!(done.out.starts_with("Client:") && done.err.contains("cannot connect"), "{}", done.err);
}
