//! What `deploy --plan` says beforehand is what a deploy does, and a container that was converted is made
//! anew as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cluster_tests::cluster::{Cluster, eventually};
use cluster_tests::lab::PROBE;
use serde_json::{Value, json};

/// Long enough for anything that should take seconds, on two busy cores.
const SOON: Duration = Duration::from_secs(60);

/// The stack as it is first deployed.
const STACK: &str = "\
services:
  web:
    image: PROBE
    command: [serve, --port, '8000']
    environment: {COLOUR: red}
    stop_grace_period: 1s
    deploy: {replicas: 2, labels: {tier: front}, update_config: {parallelism: 0}}
  back:
    image: PROBE
    command: [serve, --port, '8000']
    hostname: back
    stop_grace_period: 1s
    deploy: {restart_policy: {condition: any}}
";

/// One edit of the file after the other, the key that it changes, and whose tasks are replaced for it.
const EDITS: [(&str, &str, &str, &[&str]); 6] = [
    ("tier: front", "tier: shop", "Labels.tier", &[]),
    ("replicas: 2", "replicas: 3", "Mode.Replicated.Replicas", &[]),
    ("parallelism: 0", "parallelism: 0, order: start-first", "UpdateConfig.Order", &[]),
    (
        "COLOUR: red",
        "COLOUR: blue",
        "TaskTemplate.ContainerSpec.Env",
        &["plan_web.1", "plan_web.2", "plan_web.3"],
    ),
    ("hostname: back", "hostname: rear", "TaskTemplate.ContainerSpec.Hostname", &["plan_back.1"]),
    (
        "    hostname: rear\n",
        "    hostname: rear\n    cap_drop: [NET_RAW]\n",
        "TaskTemplate.ContainerSpec.CapabilityDrop",
        &["plan_back.1"],
    ),
];

/// Name and id of every task of a stack that is to run.
fn tasks(cluster: &Cluster, stack: &str) -> Result<BTreeMap<String, String>> {
    let running = "desired-state=running";
    let arguments = ["stack", "ps", stack, "--filter", running, "--no-trunc", "--format"];
    let text = cluster.docker("m1", &[&arguments[..], &["{{.Name}} {{.ID}}"]].concat())?;
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    Ok(pairs.map(|(name, id)| (name.to_owned(), id.to_owned())).collect())
}

/// What `deploy --plan` says of a file: the keys that change, and the tasks that are replaced.
fn planned(cluster: &Cluster, file: &str) -> Result<(Vec<String>, BTreeSet<String>)> {
    let arguments = ["deploy", "plan", "-c", file, "--plan", "--format", "json"];
    let plan: Value = serde_json::from_str(&cluster.swarmctl("m1", &arguments)?)?;
    let changes = plan["changes"].as_array().context("changes")?;
    let of = |change: &Value, list: &str| change[list].as_array().cloned().unwrap_or_default();
    let keys = changes.iter().flat_map(|c| of(c, "keys"));
    let keys = keys.filter_map(|k| Some(k["path"].as_str()?.to_owned())).collect();
    let tasks = changes.iter().flat_map(|c| of(c, "tasks"));
    let name = |task: &Value| Some(task.as_str()?.strip_suffix(" on m1")?.to_owned());
    Ok((keys, tasks.filter_map(|t| name(&t)).collect()))
}

/// What makes two containers equal, of what `docker inspect` says: everything that a user asked for.
/// Not the engine's own (ids, times, log paths), nor what an orchestrator gives: networks, restarts.
fn essence(inspected: &str) -> Result<Value> {
    let all: Value = serde_json::from_str(inspected)?;
    let one = all.get(0).context("a container")?;
    let (config, host) = (&one["Config"], &one["HostConfig"]);
    let mut out = serde_json::Map::new();
    for key in [
        "Hostname",
        "User",
        "WorkingDir",
        "Entrypoint",
        "Cmd",
        "StopSignal",
        "StopTimeout",
        "Tty",
        "OpenStdin",
        "Image",
        "Healthcheck",
    ] {
        out.insert(key.to_owned(), config[key].clone());
    }
    let of_tools = |key: &str| key.starts_with("com.docker.") || key.starts_with("swarmctl.");
    let labels = config["Labels"].as_object().into_iter().flatten();
    let labels: BTreeMap<_, _> = labels.filter(|(key, _)| !of_tools(key)).collect();
    out.insert("Labels".into(), json!(labels));
    let sorted = |list: &Value| -> Value {
        let mut items = list.as_array().cloned().unwrap_or_default();
        items.sort_by_key(Value::to_string);
        Value::Array(items)
    };
    out.insert("Env".into(), sorted(&config["Env"]));
    for key in [
        "Memory",
        "MemoryReservation",
        "MemorySwap",
        "NanoCpus",
        "PidsLimit",
        "ShmSize",
        "Tmpfs",
        "ReadonlyRootfs",
        "Privileged",
        "PidMode",
        "UTSMode",
        "UsernsMode",
        "IpcMode",
        "Sysctls",
        "OomScoreAdj",
        "LogConfig",
        "Init",
        "CpusetCpus",
        "CpuShares",
    ] {
        out.insert(key.to_owned(), host[key].clone());
    }
    for key in [
        "CapAdd",
        "CapDrop",
        "Dns",
        "DnsOptions",
        "DnsSearch",
        "ExtraHosts",
        "GroupAdd",
        "SecurityOpt",
        "Devices",
        "Ulimits",
        "DeviceCgroupRules",
    ] {
        out.insert(key.to_owned(), sorted(&host[key]));
    }
    let mounts = one["Mounts"].as_array().into_iter().flatten();
    let mounts: Vec<Value> = mounts
        .map(|m| json!([m["Type"], m["Name"], m["Source"], m["Destination"], m["RW"]]))
        .collect();
    out.insert("Mounts".into(), sorted(&json!(mounts)));
    Ok(Value::Object(out))
}

fn write(directory: &Path, text: &str) -> String {
    let file = directory.join("compose.yml");
    std::fs::write(&file, text).expect("a file");
    file.display().to_string()
}

mod on_real_hosts {
    use super::*;

    #[test]
    fn a_plan_names_exactly_what_is_replaced_and_a_converted_container_is_made_as_it_was() {
        let cluster = Cluster::up("plan", 1, 0);
        cluster.load_probe();
        let directory = tempfile::tempdir().expect("a directory");
        let mut text = STACK.replace("PROBE", PROBE);
        let file = write(directory.path(), &text);
        cluster.swarmctl("m1", &["deploy", "plan", "-c", &file]).expect("it deploys");
        for (from, to, key, replaced) in EDITS {
            assert!(text.contains(from), "{text}");
            text = text.replace(from, to);
            write(directory.path(), &text);
            let before = tasks(&cluster, "plan").expect("tasks");
            let (keys, named) = planned(&cluster, &file).expect("a plan");
            assert!(keys.iter().any(|k| k.starts_with(key)), "{to}: {keys:?}");
            let expected: BTreeSet<String> = replaced.iter().map(|t| (*t).to_owned()).collect();
            assert_eq!(named, expected, "{to}");
            let differs = cluster.swarmctl("m1", &["stack", "diff", "plan", "-c", &file]);
            assert!(differs.is_err_and(|e| e.to_string().contains("exit status: 1")), "{to}");
            assert_eq!(tasks(&cluster, "plan").expect("tasks"), before, "a plan changes nothing");

            cluster.swarmctl("m1", &["deploy", "plan", "-c", &file]).expect("it deploys");
            let after = tasks(&cluster, "plan").expect("tasks");
            let gone = before.iter().filter(|(name, id)| after.get(*name) != Some(id));
            let gone: BTreeSet<String> = gone.map(|(name, _)| name.clone()).collect();
            assert_eq!(gone, named, "{to}: before {before:?}, after {after:?}");
            cluster
                .swarmctl("m1", &["stack", "diff", "plan", "-c", &file])
                .expect("nothing differs after a deploy");
        }
        cluster.docker("m1", &["stack", "rm", "plan"]).expect("it can be removed");

        let line = [
            "run",
            "--detach",
            "--name",
            "plain",
            "--env",
            "PRICE=$5 ${X}",
            "--label",
            "who=me",
            "--cap-drop",
            "ALL",
            "--cap-add",
            "CHOWN",
            "--memory",
            "64m",
            "--memory-reservation",
            "32m",
            "--cpus",
            "0.5",
            "--pids-limit",
            "50",
            "--ulimit",
            "nofile=100:200",
            "--tmpfs",
            "/scratch:size=1m",
            "--read-only",
            "--dns",
            "9.9.9.9",
            "--add-host",
            "gw:10.1.1.1",
            "--hostname",
            "named",
            "--user",
            "1000:1000",
            "--stop-signal",
            "SIGINT",
            "--stop-timeout",
            "3",
            "--log-opt",
            "max-size=1m",
            "--shm-size",
            "32m",
            "--security-opt",
            "no-new-privileges",
            "--group-add",
            "7",
            "--oom-score-adj",
            "100",
            "--volume",
            "data:/data",
            "--volume",
            "/etc:/of-host:ro",
            "--mount",
            "type=tmpfs,target=/t,tmpfs-size=65536",
            "--sysctl",
            "net.ipv4.tcp_keepalive_time=600",
            PROBE,
            "serve",
            "--port",
            "8000",
        ];
        cluster.engine("m1", &line).expect("a container");
        let converted = cluster.swarmctl("m1", &["convert", "--container", "plain"]);
        let file = write(directory.path(), &converted.expect("a file"));
        let text = std::fs::read_to_string(&file).expect("the file");
        cluster
            .swarmctl("m1", &["deploy", "copy", "-c", &file])
            .unwrap_or_else(|error| panic!("{error:#}\n{text}"));
        let of_task = "label=com.docker.swarm.service.name=copy_plain";
        let copy = eventually("the copy runs", SOON, || {
            let id = cluster.engine("m1", &["ps", "--quiet", "--filter", of_task])?;
            ensure!(!id.trim().is_empty(), "not yet");
            Ok(id.trim().to_owned())
        });
        let inspect = |id: &str| essence(&cluster.engine("m1", &["inspect", id])?);
        let (first, second) = (inspect("plain").expect("JSON"), inspect(&copy).expect("JSON"));
        for (key, value) in first.as_object().into_iter().flatten() {
            assert_eq!(&second[key], value, "{key}\n{text}");
        }
    }
}
