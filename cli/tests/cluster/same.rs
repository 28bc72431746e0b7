//! `swarmctl service create` makes the spec that the docker CLI makes of the same flags.

use serde_json::{Value, json};

use crate::world::World;

/// Flags that both know, each line a service.
const LINES: &[&str] = &[
    "--replicas 3 -e A=1 -e B= --label a=b --container-label c=d",
    "--mode global --endpoint-mode dnsrr --hostname h -u 1:2 -w /srv -t --read-only --init",
    "--mode replicated-job --replicas 5 --max-concurrent 2",
    "--mode global-job",
    "-p 8080:80 -p 9000-9001:90-91/udp -p target=1,published=2,mode=host,protocol=tcp",
    "--mount type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave --mount source=v,target=/v,volume-nocopy,volume-label=x=y,volume-driver=local,volume-opt=o=p --mount type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1700",
    "--constraint node.role==worker --constraint node.labels.a!=b --placement-pref spread=node.labels.zone --replicas-max-per-node 2",
    "--limit-cpu .5 --limit-memory 64m --limit-pids 9 --reserve-cpu 0.25 --reserve-memory 32M --generic-resource gpu=2",
    "--health-cmd true --health-interval 5s --health-timeout 1m30s --health-retries 2 --health-start-period 1s",
    "--no-healthcheck --stop-signal SIGUSR1 --stop-grace-period 90s",
    "--restart-condition on-failure --restart-delay 1s --restart-max-attempts 4 --restart-window 10s",
    "--update-parallelism 2 --update-delay 3s --update-monitor 4s --update-order start-first --update-failure-action rollback --update-max-failure-ratio .25 --rollback-parallelism 0 --rollback-order start-first",
    "--cap-add NET_ADMIN --cap-drop ALL --ulimit nofile=10:20 --ulimit nproc=5 --sysctl net.core.somaxconn=1024 --group adm",
    "--dns 10.0.0.1 --dns-search example.com --dns-option ndots:1 --host db:10.0.0.2",
    "--log-driver json-file --log-opt max-size=1m --entrypoint sh",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_same_flags_make_the_same_spec_as_docker_s() {
    let world = World::stopped(0);
    for (i, flags) in LINES.iter().enumerate() {
        let line = format!(
            "service create --detach --no-resolve-image --name d{i} {flags} demo/web:1 a -b"
        );
        let Some(done) = world.docker(&line).await else { return };
        assert_eq!(done.code, 0, "docker {line}: {}", done.err);
        // Published ports belong to one service at a time.
        let theirs = world.get(&format!("/services/d{i}")).await["Spec"].clone();
        assert_eq!(world.docker(&format!("service rm d{i}")).await.expect("docker").code, 0);
        world.cluster.settle();
        let line = line.replace(&format!("--name d{i}"), &format!("--name s{i}"));
        world.ok(&line).await;
        let ours = world.get(&format!("/services/s{i}")).await["Spec"].clone();
        assert_eq!(plain(ours), plain(theirs), "{flags}");
        world.ok(&format!("service rm s{i}")).await;
        world.cluster.settle();
    }
}

/// Without what docker spells out although it is the default, and in one order: docker takes the
/// ports of a range in any.
fn plain(mut spec: Value) -> Value {
    spec["Name"] = json!("");
    if let Some(ports) = spec["EndpointSpec"]["Ports"].as_array_mut() {
        ports.sort_by_key(|port| (port["PublishedPort"].as_u64(), port["TargetPort"].as_u64()));
    }
    for config in ["UpdateConfig", "RollbackConfig"] {
        let defaults = json!({
            "FailureAction": "pause", "Monitor": 5_000_000_000_i64, "Order": "stop-first",
        });
        without(&mut spec[config], &defaults);
    }
    let defaults = json!({"Condition": "any", "Delay": 5_000_000_000_i64, "MaxAttempts": 0});
    without(&mut spec["TaskTemplate"]["RestartPolicy"], &defaults);
    without(
        &mut spec["TaskTemplate"]["ContainerSpec"],
        &json!({"Isolation": "default", "Init": false}),
    );
    prune(&mut spec);
    spec
}

fn without(value: &mut Value, defaults: &Value) {
    let (Some(map), Some(defaults)) = (value.as_object_mut(), defaults.as_object()) else { return };
    map.retain(|key, value| defaults.get(key) != Some(value));
}

/// Drops what is empty.
fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(prune);
            map.retain(|_, value| !is_empty(value));
        }
        Value::Array(list) => list.iter_mut().for_each(prune),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}
