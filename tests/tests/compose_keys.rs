//! Every key of a service, from the text of a Compose file to the container that an engine is asked for.
//!
//! The way is the real one: text, requests as JSON, entries of the log, plan, orders of the node, create
//! body. Only the log and the engine are left out. A key that nothing here shows fails the test.

use std::collections::{BTreeMap, BTreeSet};

use agent::engine::create::{Given, Made, container};
use compose::schema::Fate;
use compose::schema::service::SERVICE_SHAPE;
use compose::{Input, InputFile, Loaded, MemoryReader};
use model::api::StackRequest;
use model::object::{CaMaterial, JoinSecrets, NodeDescription, Revision};
use model::spec::{Availability, Platform, Resources, Role};
use model::wire::orders::Orders;
use model::{NodeId, Timestamp};
use orchestrator_core::command::{Batch, Bootstrap, Command, Entry, JoinNode, Response};
use orchestrator_core::plan::{Agenda, Limits, Live, plan};
use orchestrator_core::{State, project};
use serde_json::{Value, json};

/// What is looked at.
enum Shows {
    /// This place of the create body.
    Body(&'static str),
    /// This place of the service's request.
    Spec(&'static str),
    /// The policy by which the image is had.
    Engine(&'static str),
    /// A file in the container, with this content in base64.
    File,
    /// The user is told that the key means nothing.
    Note,
    /// The service takes no part.
    Absent,
}

use Shows::{Absent, Body, Engine, File, Note, Spec};

/// Key, what a file says, where it ends up, and as what (JSON).
type Case = (&'static str, &'static str, Shows, &'static str);

const HOST: fn(&'static str) -> Shows = Body;

fn cases() -> Vec<Case> {
    vec![
        ("annotations", "annotations: {a: b}", HOST("/HostConfig/Annotations"), r#"{"a":"b"}"#),
        ("attach", "attach: false", Note, ""),
        ("blkio_config", "blkio_config: {weight: 300}", HOST("/HostConfig/BlkioWeight"), "300"),
        (
            "blkio_config",
            "blkio_config: {device_read_bps: [{path: /dev/sda, rate: 12mb}]}",
            HOST("/HostConfig/BlkioDeviceReadBps"),
            r#"[{"Path":"/dev/sda","Rate":12582912}]"#,
        ),
        ("build", "build: .", Note, ""),
        ("cap_add", "cap_add: [NET_ADMIN]", HOST("/HostConfig/CapAdd"), r#"["CAP_NET_ADMIN"]"#),
        ("cap_drop", "cap_drop: [all]", HOST("/HostConfig/CapDrop"), r#"["ALL"]"#),
        ("cgroup", "cgroup: host", HOST("/HostConfig/CgroupnsMode"), r#""host""#),
        ("cgroup_parent", "cgroup_parent: m", HOST("/HostConfig/CgroupParent"), r#""m""#),
        ("cgroupns_mode", "cgroupns_mode: host", HOST("/HostConfig/CgroupnsMode"), r#""host""#),
        ("command", "command: sh -c 'a b'", Body("/Cmd"), r#"["sh","-c","a b"]"#),
        ("configs", "configs: [{source: c, target: /etc/c}]", File, r#"["/etc/c","Y29uZg=="]"#),
        ("container_name", "container_name: x", Note, ""),
        ("cpu_count", "cpu_count: 2", Note, ""),
        ("cpu_percent", "cpu_percent: 50", Note, ""),
        ("cpu_period", "cpu_period: 50ms", HOST("/HostConfig/CpuPeriod"), "50000"),
        ("cpu_quota", "cpu_quota: 20000", HOST("/HostConfig/CpuQuota"), "20000"),
        ("cpu_rt_period", "cpu_rt_period: 1400us", HOST("/HostConfig/CpuRealtimePeriod"), "1400"),
        ("cpu_rt_runtime", "cpu_rt_runtime: 400us", HOST("/HostConfig/CpuRealtimeRuntime"), "400"),
        ("cpu_shares", "cpu_shares: 73", HOST("/HostConfig/CpuShares"), "73"),
        ("cpus", "cpus: 0.5", HOST("/HostConfig/NanoCpus"), "500000000"),
        ("cpuset", "cpuset: 0,1", HOST("/HostConfig/CpusetCpus"), r#""0,1""#),
        (
            "credential_spec",
            "credential_spec: {file: spec.json}",
            Spec("/TaskTemplate/ContainerSpec/Privileges/CredentialSpec/File"),
            r#""spec.json""#,
        ),
        (
            "depends_on",
            "depends_on: {b: {condition: service_healthy}}",
            Spec("/DependsOn/0/Condition"),
            r#""service_healthy""#,
        ),
        ("deploy", "deploy: {replicas: 3}", Spec("/Mode/Replicated/Replicas"), "3"),
        (
            "deploy",
            "deploy: {resources: {limits: {memory: 64M, pids: 9}}}",
            HOST("/HostConfig/Memory"),
            "67108864",
        ),
        ("develop", "develop: {watch: [{path: ., action: rebuild}]}", Note, ""),
        (
            "device_cgroup_rules",
            "device_cgroup_rules: ['c 1:3 mr']",
            HOST("/HostConfig/DeviceCgroupRules"),
            r#"["c 1:3 mr"]"#,
        ),
        (
            "devices",
            "devices: ['/dev/a:/dev/b:r']",
            HOST("/HostConfig/Devices"),
            r#"[{"PathOnHost":"/dev/a","PathInContainer":"/dev/b","CgroupPermissions":"r"}]"#,
        ),
        (
            "devices",
            "devices: ['vendor.example/gpu=all']",
            HOST("/HostConfig/DeviceRequests"),
            r#"[{"Driver":"cdi","DeviceIDs":["vendor.example/gpu=all"],"Capabilities":[]}]"#,
        ),
        ("dns", "dns: 9.9.9.9", HOST("/HostConfig/Dns"), r#"["9.9.9.9"]"#),
        (
            "dns_opt",
            "dns_opt: [no-tld-query]",
            HOST("/HostConfig/DnsOptions"),
            r#"["no-tld-query"]"#,
        ),
        ("dns_search", "dns_search: a.example", HOST("/HostConfig/DnsSearch"), r#"["a.example"]"#),
        ("domainname", "domainname: d.example", Body("/Domainname"), r#""d.example""#),
        ("entrypoint", "entrypoint: [/x, y]", Body("/Entrypoint"), r#"["/x","y"]"#),
        ("env_file", "env_file: f.env", Body("/Env"), r#"["A=b"]"#),
        (
            "environment",
            "environment: {N: 1, '{{x}}': '{{.Node.Hostname}}'}",
            Body("/Env/0"),
            r#""N=1""#,
        ),
        ("environment", "environment: ['H={{.Node.Hostname}}']", Body("/Env"), r#"["H=m1"]"#),
        ("expose", "expose: [80]", Note, ""),
        ("extends", "extends: {service: b}", Body("/User"), r#""of-b""#),
        ("external_links", "external_links: [x]", Note, ""),
        (
            "extra_hosts",
            "extra_hosts: ['h:1.2.3.4', 'gw=host-gateway']",
            HOST("/HostConfig/ExtraHosts"),
            r#"["h:1.2.3.4","gw:host-gateway"]"#,
        ),
        (
            "gpus",
            "gpus: all",
            HOST("/HostConfig/DeviceRequests"),
            r#"[{"Count":-1,"Capabilities":[["gpu"]]}]"#,
        ),
        (
            "group_add",
            "group_add: [mail, 1000]",
            HOST("/HostConfig/GroupAdd"),
            r#"["mail","1000"]"#,
        ),
        (
            "healthcheck",
            "healthcheck: {test: x, interval: 5s, retries: 2}",
            Body("/Healthcheck"),
            r#"{"Test":["CMD-SHELL","x"],"Interval":5000000000,"Retries":2}"#,
        ),
        (
            "hostname",
            "hostname: '{{.Service.Name}}-{{.Task.Slot}}'",
            Body("/Hostname"),
            r#""s_a-1""#,
        ),
        ("image", "image: x:1", Body("/Image"), r#""x:1""#),
        ("init", "init: true", HOST("/HostConfig/Init"), "true"),
        ("ipc", "ipc: host", HOST("/HostConfig/IpcMode"), r#""host""#),
        ("isolation", "isolation: default", HOST("/HostConfig/Isolation"), r#""default""#),
        ("label_file", "label_file: f.env", Body("/Labels/A"), r#""b""#),
        ("labels", "labels: [x.y=z]", Body("/Labels/x.y"), r#""z""#),
        ("links", "links: [b]", Note, ""),
        (
            "logging",
            "logging: {driver: json-file, options: {max-size: 1m}}",
            HOST("/HostConfig/LogConfig"),
            r#"{"Type":"json-file","Config":{"max-size":"1m"}}"#,
        ),
        (
            "mac_address",
            "mac_address: 02:42:ac:11:65:43",
            Body("/MacAddress"),
            r#""02:42:ac:11:65:43""#,
        ),
        ("mem_limit", "mem_limit: 64m", HOST("/HostConfig/Memory"), "67108864"),
        (
            "mem_reservation",
            "mem_reservation: 32m",
            HOST("/HostConfig/MemoryReservation"),
            "33554432",
        ),
        ("mem_swappiness", "mem_swappiness: 0", HOST("/HostConfig/MemorySwappiness"), "0"),
        (
            "memswap_limit",
            "{mem_limit: 64m, memswap_limit: 128m}",
            HOST("/HostConfig/MemorySwap"),
            "134217728",
        ),
        ("models", "models: [m]", Note, ""),
        ("network_mode", "network_mode: host", HOST("/HostConfig/NetworkMode"), r#""host""#),
        ("networks", "networks: [n]", HOST("/HostConfig/NetworkMode"), r#""s_n""#),
        ("oom_kill_disable", "oom_kill_disable: true", HOST("/HostConfig/OomKillDisable"), "true"),
        ("oom_score_adj", "oom_score_adj: 500", HOST("/HostConfig/OomScoreAdj"), "500"),
        ("pid", "pid: host", HOST("/HostConfig/PidMode"), r#""host""#),
        ("pids_limit", "pids_limit: 10", HOST("/HostConfig/PidsLimit"), "10"),
        ("platform", "platform: linux/amd64", Engine("platform"), r#""linux/amd64""#),
        (
            "ports",
            "ports: [{target: 80, published: 8080, mode: host}]",
            HOST("/HostConfig/PortBindings"),
            r#"{"80/tcp":[{"HostPort":"8080"}]}"#,
        ),
        ("ports", "ports: ['8080:80']", Spec("/EndpointSpec/Ports/0/PublishedPort"), "8080"),
        (
            "post_start",
            "post_start: [{command: a b, user: root}]",
            Engine("PostStart"),
            r#"[{"Command":["a","b"],"User":"root"}]"#,
        ),
        ("pre_start", "pre_start: [{command: a}]", Note, ""),
        ("pre_stop", "pre_stop: [{command: [c]}]", Engine("PreStop"), r#"[{"Command":["c"]}]"#),
        ("privileged", "privileged: true", HOST("/HostConfig/Privileged"), "true"),
        ("profiles", "profiles: [p]", Absent, ""),
        ("provider", "provider: {type: x}", Note, ""),
        ("pull_policy", "pull_policy: never", Engine("PullPolicy"), r#""never""#),
        ("pull_refresh_after", "pull_refresh_after: 1d", Note, ""),
        ("read_only", "read_only: true", HOST("/HostConfig/ReadonlyRootfs"), "true"),
        ("restart", "restart: on-failure:3", Spec("/TaskTemplate/RestartPolicy/MaxAttempts"), "3"),
        ("runtime", "runtime: runsc", HOST("/HostConfig/Runtime"), r#""runsc""#),
        ("scale", "scale: 2", Spec("/Mode/Replicated/Replicas"), "2"),
        ("secrets", "secrets: [k]", File, r#"["k","c2VjcmV0"]"#),
        (
            "security_opt",
            "security_opt: ['no-new-privileges:true', 'seccomp=p.json']",
            HOST("/HostConfig/SecurityOpt"),
            r#"["no-new-privileges:true","seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}"]"#,
        ),
        (
            "security_opt",
            "security_opt: ['systempaths=unconfined']",
            HOST("/HostConfig/MaskedPaths"),
            "[]",
        ),
        ("shm_size", "shm_size: 128m", HOST("/HostConfig/ShmSize"), "134217728"),
        ("stdin_open", "stdin_open: true", Body("/OpenStdin"), "true"),
        ("stop_grace_period", "stop_grace_period: 1m30s", Body("/StopTimeout"), "90"),
        ("stop_signal", "stop_signal: SIGUSR1", Body("/StopSignal"), r#""SIGUSR1""#),
        (
            "storage_opt",
            "storage_opt: {size: 1G}",
            HOST("/HostConfig/StorageOpt"),
            r#"{"size":"1G"}"#,
        ),
        (
            "sysctls",
            "sysctls: [net.core.somaxconn=1024]",
            HOST("/HostConfig/Sysctls"),
            r#"{"net.core.somaxconn":"1024"}"#,
        ),
        ("tmpfs", "tmpfs: '/run:size=1m'", HOST("/HostConfig/Tmpfs"), r#"{"/run":"size=1m"}"#),
        ("tty", "tty: true", Body("/Tty"), "true"),
        (
            "ulimits",
            "ulimits: {nofile: {soft: 1, hard: 2}}",
            HOST("/HostConfig/Ulimits"),
            r#"[{"Name":"nofile","Soft":1,"Hard":2}]"#,
        ),
        (
            "use_api_socket",
            "use_api_socket: true",
            HOST("/HostConfig/Mounts/0/Target"),
            r#""/var/run/docker.sock""#,
        ),
        ("user", "user: '1:2'", Body("/User"), r#""1:2""#),
        ("userns_mode", "userns_mode: host", HOST("/HostConfig/UsernsMode"), r#""host""#),
        ("uts", "uts: host", HOST("/HostConfig/UTSMode"), r#""host""#),
        ("volume_driver", "volume_driver: x", Note, ""),
        (
            "volumes",
            "volumes: ['/h:/t:ro,rshared']",
            HOST("/HostConfig/Mounts"),
            r#"[{"Type":"bind","Source":"/h","Target":"/t","ReadOnly":true,"BindOptions":{"Propagation":"rshared"}}]"#,
        ),
        (
            "volumes",
            "volumes: [{type: volume, source: v, target: /t, volume: {subpath: x, nocopy: true}}]",
            HOST("/HostConfig/Mounts/0/VolumeOptions"),
            r#"{"NoCopy":true,"Subpath":"x","Labels":{"com.docker.stack.namespace":"s"},"DriverConfig":{"Name":"local","Options":{"type":"tmpfs"}}}"#,
        ),
        (
            "volumes",
            "volumes: [{type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 0700}}]",
            HOST("/HostConfig/Mounts/0/TmpfsOptions"),
            r#"{"SizeBytes":1048576,"Mode":448}"#,
        ),
        (
            "volumes_from",
            "volumes_from: ['b:ro']",
            HOST("/HostConfig/Mounts/0/Source"),
            r#""/of-b""#,
        ),
        ("working_dir", "working_dir: /w", Body("/WorkingDir"), r#""/w""#),
    ]
}

/// The service `a` says `what`; `b` is there to be named.
fn file(key: &str, what: &str) -> String {
    let image = if key == "image" { "" } else { "    image: x\n" };
    let what = match what.strip_prefix('{').and_then(|w| w.strip_suffix('}')) {
        Some(several) => several.replace(", ", "\n    "),
        None => what.to_owned(),
    };
    format!(
        "services:\n  a:\n{image}    {what}\n  b: {{image: y, user: of-b, volumes: ['/of-b:/of-b']}}\n\
         networks: {{n: }}\nvolumes: {{v: {{driver: local, driver_opts: {{type: tmpfs}}}}}}\n\
         configs: {{c: {{content: conf}}}}\nsecrets: {{k: {{environment: KEY}}}}\n\
         models: {{m: {{model: z}}}}\n"
    )
}

fn load(text: &str) -> Loaded {
    let reader = MemoryReader::default()
        .with("/p/f.env", "A=b\n")
        .with("/p/p.json", "{\n \"defaultAction\": \"SCMP_ACT_ALLOW\"\n}\n");
    let input = Input {
        files: vec![InputFile { name: "compose.yml".into(), bytes: text.into() }],
        project_dir: "/p".into(),
        environment: BTreeMap::from([("KEY".into(), "secret".into())]),
        reader: &reader,
        stack: "s".into(),
        profiles: Vec::new(),
    };
    compose::load(&input).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

/// A cluster of one node, in memory.
struct Cluster {
    state: State,
    node: NodeId,
    revision: u64,
}

impl Cluster {
    fn new() -> Cluster {
        let mut cluster = Cluster { state: State::default(), node: NodeId::default(), revision: 0 };
        let plugins = [("Volume", "local"), ("Network", "overlay"), ("Log", "json-file")];
        let mut description = NodeDescription {
            hostname: "m1".into(),
            platform: Platform { os: "linux".into(), architecture: "x86_64".into() },
            resources: Resources {
                nano_cpus: 8_000_000_000,
                memory_bytes: 64 << 30,
                ..Resources::default()
            },
            address: "192.168.1.1".into(),
            ..NodeDescription::default()
        };
        description.engine.plugins =
            plugins.map(|(kind, name)| (kind.to_owned(), vec![name.to_owned()])).into();
        let start = Bootstrap {
            seed: 7,
            spec: model::spec::ClusterSpec::default(),
            ca: CaMaterial::default(),
            tokens: JoinSecrets::default(),
            address_pools: Vec::new(),
            subnet_size: 0,
            data_path_port: 4789,
            relay_key: String::new(),
            node: JoinNode {
                description,
                role: Role::Manager,
                availability: Availability::Active,
                manager_address: Some("192.168.1.1:2377".into()),
            },
        };
        let joined = cluster.command(Command::Bootstrap(Box::new(start)));
        let Response::Joined { node } = joined else { panic!("{joined:?}") };
        cluster.node = node;
        cluster
    }

    fn command(&mut self, command: Command) -> Response {
        self.batch(Batch { commands: vec![command], base: None }).remove(0)
    }

    fn batch(&mut self, batch: Batch) -> Vec<Response> {
        self.revision += 1;
        let entry = Entry { at: Timestamp(1_000_000), batch };
        let applied = self.state.apply(Revision(self.revision), &entry);
        applied.responses.into_iter().map(|r| r.unwrap_or_else(|e| panic!("{e}"))).collect()
    }

    /// Creates everything and plans until nothing is left to plan.
    fn deploy(&mut self, request: StackRequest) -> Orders {
        for spec in request.networks {
            self.command(Command::CreateNetwork { spec: Box::new(spec) });
        }
        for spec in request.secrets {
            self.command(Command::CreateSecret { spec: Box::new(spec) });
        }
        for spec in request.configs {
            self.command(Command::CreateConfig { spec: Box::new(spec) });
        }
        for spec in request.services {
            self.command(Command::CreateService { spec: Box::new(spec), registry_auth: None });
        }
        let now = Timestamp(1_000_000);
        let mut live = Live::since(now);
        let mut agenda = Agenda::default();
        agenda.everything(&self.state);
        for _ in 0..100 {
            live.heard(self.node, now);
            live.applied(self.node, Revision(self.revision));
            agenda.note_heartbeat(&self.state, self.node);
            let planned = plan(&self.state, &live, now, &mut agenda, &Limits::default());
            if planned.batches.is_empty() {
                break;
            }
            for batch in planned.batches {
                self.batch(batch);
            }
            agenda.everything(&self.state);
        }
        project::orders(&self.state, self.node, 1)
    }
}

/// The first container of the service `a`.
fn make(orders: &Orders) -> Result<Made, String> {
    let order = orders.tasks.values().find(|t| t.service_name == "s_a");
    let order = order.ok_or("no task was ordered")?;
    let networks = orders.networks.iter().map(|(id, n)| (*id, n.name.clone())).collect();
    container(order, &Given { networks, ..Given::default() }).map_err(|e| e.to_string())
}

/// Target and content of the only file of the service `a`.
fn only_file(orders: &Orders) -> Value {
    let order = orders.tasks.values().find(|t| t.service_name == "s_a").expect("a task");
    let spec = order.spec.container_spec.as_ref().expect("a container");
    let file = spec.secrets.iter().map(|s| &s.file).chain(spec.configs.iter().map(|c| &c.file));
    let target = file.flatten().next().map(|f| f.name.clone());
    let content = orders.secrets.values().chain(orders.configs.values()).next();
    json!([target, content.map(|c| c.data.clone())])
}

/// What is found, or why it is not.
fn found(case: &Case) -> Result<Value, String> {
    let (key, what, shows, _) = case;
    let loaded = load(&file(key, what));
    if matches!(shows, Note) {
        let lines = loaded.warnings.lines();
        let told =
            lines.iter().any(|l| l.contains(&format!("services.a.{key}: `{key}` is left out")));
        return if told { Ok(Value::Null) } else { Err(lines.join("\n")) };
    }
    let specs = loaded.stack.specs;
    let request = StackRequest {
        networks: specs.networks,
        secrets: specs.secrets,
        configs: specs.configs,
        services: specs.services,
    };
    // As it goes over the wire.
    let sent = serde_json::to_string(&request).map_err(|e| e.to_string())?;
    let request: StackRequest = serde_json::from_str(&sent).map_err(|e| e.to_string())?;
    let service = request.services.iter().find(|s| s.name == "s_a");
    if matches!(shows, Absent) {
        return service.map_or(Ok(Value::Null), |_| Err("it takes part".into()));
    }
    let spec = serde_json::to_value(service).map_err(|e| e.to_string())?;
    let at = |value: &Value, pointer: &str| {
        value.pointer(pointer).cloned().ok_or_else(|| format!("nothing at {pointer} of {value}"))
    };
    if let Spec(pointer) = shows {
        return at(&spec, pointer);
    }
    let orders = Cluster::new().deploy(request);
    match shows {
        Body(pointer) => at(&make(&orders)?.body, pointer),
        Engine("platform") => Ok(json!(make(&orders)?.platform)),
        Engine(field) => {
            let order = orders.tasks.values().find(|t| t.service_name == "s_a");
            let order = order.ok_or("no task was ordered")?;
            let task = serde_json::to_value(&*order.spec).map_err(|e| e.to_string())?;
            at(&task, &format!("/ContainerSpec/Engine/{field}"))
        }
        File => Ok(only_file(&orders)),
        Spec(_) | Note | Absent => Ok(Value::Null),
    }
}

#[test]
fn every_key_of_a_service_reaches_the_container_or_the_user_is_told() {
    let cases = cases();
    let mut wrong = Vec::new();
    for case in &cases {
        let (key, what, _, expected) = case;
        let expected: Value = if expected.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(expected).expect(key)
        };
        match found(case) {
            Ok(value) if value == expected => {}
            Ok(value) => wrong.push(format!("{key} ({what}): {value}, expected {expected}")),
            Err(why) => wrong.push(format!("{key} ({what}): {why}")),
        }
    }
    let shown: BTreeSet<&str> = cases.iter().map(|(key, ..)| *key).collect();
    for field in SERVICE_SHAPE.fields {
        let noted = matches!(field.fate, Fate::Noted(_));
        let as_noted =
            cases.iter().any(|(k, _, shows, _)| k == &field.name && matches!(shows, Note));
        if !shown.contains(field.name) || noted != as_noted {
            wrong.push(format!("{}: no case shows what becomes of it", field.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
