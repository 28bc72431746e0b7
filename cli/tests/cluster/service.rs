//! `service create` and `service update`: flags, waiting, honest exit codes.

use bytes::Bytes;
use serde_json::json;

use crate::world::{World, lines};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_anything_in_the_template_is_waited_for() {
    // Placement, resources and networks are not in the container's spec: a client that compares
    // only that takes old tasks for new ones.
    let world = World::stopped(2);
    world.ok("service create --detach --name web --replicas 2 demo/web:1").await;
    world.cluster.settle();
    for flag in [
        "--constraint-add node.labels.x!=y",
        "--limit-memory 64M",
        "--reserve-cpu 0.1",
        "--stop-grace-period 3s",
        "--restart-max-attempts 3",
        "--publish-add target=80,published=8088,mode=host",
    ] {
        let waited = format!("service update --timeout 0s --verify 0s {flag} web");
        let done = world.run(&waited).await;
        assert_eq!(done.code, 1, "{flag}: no task was replaced yet\n{}{}", done.out, done.err);
        assert!(done.err.contains("web: not converged after 0s, 0 of 2"), "{flag}: {}", done.err);
        world.cluster.settle();
        let done = world.run("service update --timeout 0s --verify 0s --label-add a=b web").await;
        let tasks = world.run("service ps web").await.out;
        let why = world.get("/explain/service/web").await;
        assert_eq!(done.code, 0, "{flag}: all tasks were replaced\n{}\n{tasks}{why}", done.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scale_replaces_no_task_whatever_was_left_unsaid() {
    // What is read back has words for what was left unsaid.
    let world = World::stopped(1);
    let flags = "--restart-max-attempts 3 --update-delay 1s -p 80 --limit-pids 5";
    world.ok(&format!("service create --detach --name web {flags} demo/web:1")).await;
    world.cluster.settle();
    let before = world.ok("service ps -q web").await;
    world.ok("service update --detach --label-add a=b web").await;
    world.ok("service scale --detach web=2").await;
    world.cluster.settle();
    let after = world.ok("service ps -q web").await;
    assert_eq!(after.lines().count(), 2);
    assert!(after.contains(before.trim()), "{before} is not in {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_made_waited_for_and_changed() {
    let world = World::start(2);
    world
        .ok("service create --name web --replicas 3 --verify 0s --publish 8080:80 demo/web:1")
        .await;
    let table = lines(&world.ok("service ls").await);
    assert!(table[1].ends_with("web replicated 3/3 demo/web:1 *:8080->80/tcp"), "{table:?}");
    let monitor = "--update-monitor 10ms --verify 0s";
    world.ok(&format!("service update {monitor} --image demo/web:2 --replicas 2 web")).await;
    let spec = &world.get("/services/web").await["Spec"];
    assert_eq!(spec["TaskTemplate"]["ContainerSpec"]["Image"], "demo/web:2");
    assert_eq!(spec["Mode"]["Replicated"]["Replicas"], 2);
    world.ok("service rollback --verify 0s web").await;
    let spec = &world.get("/services/web").await["Spec"];
    assert_eq!(spec["TaskTemplate"]["ContainerSpec"]["Image"], "demo/web:1");
    world.ok("service create --name every --mode global --verify 0s demo/web:1").await;
    let progress = world.get("/services/every/progress").await;
    assert_eq!((&progress["Done"], &progress["Wanted"]), (&json!(3), &json!(3)));
    world.ok("service create --name job --mode replicated-job --replicas 4 --max-concurrent 2 demo/web:1").await;
    let table = lines(&world.ok("service ls").await).join("\n");
    assert!(table.contains("job replicated job 0/2 (4/4 completed)"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_changed_item_by_item() {
    let world = World::stopped(0);
    for network in ["back", "front"] {
        world.cluster.apply(vec![orchestrator_core::command::Command::CreateNetwork {
            spec: Box::new(model::spec::NetworkSpec { name: network.into(), ..Default::default() }),
        }]);
    }
    world
        .ok("service create -d --name web -e A=1 -e B=2 -l x=1 --mount source=d,target=/d --network back \
             --cap-add NET_ADMIN --dns 10.0.0.1 --host db:10.0.0.2 --ulimit nofile=10:20 --sysctl k=v \
             --constraint node.role==worker --placement-pref spread=node.labels.zone -p 8080:80 demo/web:1")
        .await;
    world
        .ok("service update -d --env-rm A --env-add B=3 --env-add C=4 --label-rm x --label-add y=2 \
             --mount-rm /d --mount-add type=tmpfs,target=/t --network-rm back --network-add name=front,alias=f \
             --cap-drop NET_ADMIN --dns-rm 10.0.0.1 --dns-add 10.0.0.9 --host-rm db --host-add c:10.0.0.3 \
             --ulimit-rm nofile --sysctl-rm k --sysctl-add l=w --constraint-rm node.role==worker \
             --placement-pref-rm spread=node.labels.zone --publish-rm 80 --publish-add 9090:90/udp web")
        .await;
    let spec = &world.get("/services/web").await["Spec"];
    let container = &spec["TaskTemplate"]["ContainerSpec"];
    assert_eq!(container["Env"], json!(["B=3", "C=4"]));
    assert_eq!(spec["Labels"], json!({"y": "2"}));
    assert_eq!(container["Mounts"], json!([{"Type": "tmpfs", "Target": "/t"}]));
    assert_eq!(container["CapabilityDrop"], json!(["CAP_NET_ADMIN"]));
    assert_eq!(container["CapabilityAdd"], json!(null));
    assert_eq!(container["DNSConfig"], json!({"Nameservers": ["10.0.0.9"]}));
    assert_eq!(container["Hosts"], json!(["10.0.0.3 c"]));
    assert_eq!(container["Ulimits"], json!(null));
    assert_eq!(container["Sysctls"], json!({"l": "w"}));
    assert_eq!(spec["TaskTemplate"]["Placement"], json!({}));
    let networks = &spec["TaskTemplate"]["Networks"];
    assert_eq!(networks[0]["Aliases"], json!(["f"]));
    assert_eq!(networks[1], json!(null));
    let ports = &spec["EndpointSpec"]["Ports"];
    assert_eq!((&ports[0]["PublishedPort"], &ports[1]), (&json!(9090), &json!(null)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_task_is_named_with_its_reason_and_its_last_lines() {
    let world = World::start(1);
    let line = b"\x01\0\0\0\0\0\0\x1a2026-11-21T00:00:00Z boom!\n";
    world.cluster.every_log(vec![Bytes::from_static(line)]);
    let done = world
        .run(
            "service create --name web --restart-max-attempts 1 --restart-delay 1ms --verify 1000000h demo/web:fails",
        )
        .await;
    assert_eq!(done.code, 1, "{}{}", done.out, done.err);
    assert!(done.err.contains("web: given up, 0 of 1 tasks run as asked"), "{}", done.err);
    assert!(
        done.err.contains("failed") && done.err.contains("task: non-zero exit (3)"),
        "{}",
        done.err
    );
    assert!(done.err.contains("boom!"), "its last lines: {}", done.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_cannot_be_placed_says_so_when_the_time_is_up() {
    let world = World::stopped(1);
    let flags = "--detach --constraint node.labels.disk==ssd";
    world.ok(&format!("service create --name web {flags} demo/web:1")).await;
    world.cluster.settle();
    let done = world.run("service update --label-add a=b --timeout 0s web").await;
    assert_eq!(done.code, 1);
    let says = "web.1: pending: no suitable node (scheduling constraints not satisfied on 2 nodes)";
    assert!(done.err.contains(says), "{}", done.err);
    assert!(done.err.contains("swarmctl explain service web"), "{}", done.err);
    assert!(!done.err.contains('\x1b'), "no escape codes where there is no terminal");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_is_rolled_back_is_a_failure_and_says_so() {
    let world = World::start(1);
    world.ok("service create --name web --verify 0s --update-monitor 2s demo/web:1").await;
    let done = world
        .run("service update --image demo/web:fails --update-failure-action rollback --rollback-monitor 10ms --verify 0s web")
        .await;
    assert_eq!(done.code, 1, "{}{}", done.out, done.err);
    assert!(done.err.contains("web: was rolled back"), "{}", done.err);
    assert!(done.err.contains("task: non-zero exit (3)"), "{}", done.err);
    let image = &world.get("/services/web").await["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"];
    assert_eq!(image, "demo/web:1");
    let done = world
        .run("service update --image demo/web:fails --update-failure-action pause --verify 0s web")
        .await;
    assert_eq!(done.code, 1);
    assert!(done.err.contains("web: the update is paused"), "{}", done.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_must_stay_up_to_count() {
    let world = World::stopped(1);
    world.ok("service create --detach --name web demo/web:1").await;
    world.cluster.settle();
    let update = "service update --label-add a=b --timeout 0s web";
    let done = world.run(&format!("{update} --verify 1000000h")).await;
    assert_eq!(done.code, 1);
    assert!(done.err.contains("1 of 1 tasks run as asked, but not for long"), "{}", done.err);
    world.ok(&format!("{update} --verify 0s")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_flag_changes_nothing_and_says_what_is_allowed() {
    let world = World::stopped(0);
    for (flags, says) in [
        ("--replicas many", "invalid value 'many' for '--replicas <N>'"),
        ("--publish 80:80:80:80", "allowed: [address:][published:]target"),
        ("--mount target=/x,tpe=bind", "did you mean type?"),
        ("--limit-memory 64X", "--limit-memory"),
        ("--restart-condition sometimes", "[possible values: none, on-failure, any]"),
        ("--update-delay 5", "5s"),
        ("--max-concurrent 2", "--max-concurrent is for --mode replicated-job"),
        ("--mode global --replicas 2", "runs on every node"),
        ("--env-file absent.env", "absent.env"),
        ("--no-healthcheck --health-cmd x", "cannot be used with"),
        ("--secret absent", "secret not found: absent"),
        ("--network absent", "network absent not found"),
        ("--constraint node.role=worker", "constraint"),
    ] {
        let done = world.run(&format!("service create --name web {flags} demo/web:1")).await;
        assert_ne!(done.code, 0, "{flags}");
        assert!(done.err.contains(says), "{flags}: {}", done.err);
        assert_eq!(world.get("/services").await, json!([]), "{flags}");
    }
    world.write("bad.env", "A=1\n=2\nB C=3\n");
    let done = world.run("service create --name web --env-file bad.env demo/web:1").await;
    assert!(done.err.contains("bad.env:2") && done.err.contains("bad.env:3"), "{}", done.err);
}
