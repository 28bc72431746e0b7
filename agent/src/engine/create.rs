//! How a task becomes a container: an order in, the engine's create body out. Pure.
//!
//! The body is written as JSON in the engine's own names, because every typed client loses fields that
//! some engine version has. Nothing of a spec is dropped in silence: what no engine can do for a task is
//! a [`CannotMake`].

use std::collections::BTreeMap;

use data_encoding::BASE64;
use model::object::mac_of;
use model::spec::{
    ContainerSpec, EngineOptions, HealthConfig, Labels, Mount, PortConfig, Privileges, SecurityMode,
};
use model::wire::orders::TaskOrder;
use model::{Millis, NetworkId, NodeId, TaskId};
use serde_json::{Map, Value, json};

use super::labels;

/// What a container is made from, ready for the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    pub task: TaskId,
    pub name: String,
    /// `os/arch`, or empty.
    pub platform: String,
    pub body: Value,
    /// Networks beyond the first, with the endpoint's settings, connected before the start.
    pub connect: Vec<(String, Value)>,
    /// Directories of the host to make first: bind sources that the spec wants made.
    pub directories: Vec<String>,
}

/// What the host gives to a container.
#[derive(Clone, Debug, Default)]
pub struct Given {
    pub node: NodeId,
    /// The engine's name of each cluster network.
    pub networks: BTreeMap<NetworkId, String>,
    /// Files of the host and where they appear, read only.
    pub files: Vec<(String, String)>,
    /// What a task gets that asks for the engine's socket, when it is not the engine's own.
    pub socket: Option<String>,
}

/// A spec that no container can be made from. Nothing was changed, and asking again does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotMake {
    #[error("the task has no container spec (runtime {0:?} is not supported)")]
    NoContainer(String),
    #[error("mount {target}: type {kind:?} is not supported")]
    MountType { kind: String, target: String },
    #[error("network {0} is not among the orders of this node")]
    Network(String),
    #[error("{0} is not supported on Linux")]
    WindowsOnly(&'static str),
    #[error("{0}")]
    Wrong(String),
}

/// Paths under which programs expect the engine.
const ENGINE_SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/docker.sock"];

/// The create body of a task's container.
///
/// # Errors
/// [`CannotMake`] names the first thing that cannot be done.
pub fn container(order: &TaskOrder, given: &Given) -> Result<Made, CannotMake> {
    let spec = order
        .spec
        .container_spec
        .as_ref()
        .ok_or_else(|| CannotMake::NoContainer(order.spec.runtime.clone()))?;
    let options = spec.engine.as_deref().cloned().unwrap_or_default();
    let mut body = config(order, spec, &options, given);
    let mut host = host_config(order, spec, &options, given)?;
    let (mode, endpoints) = networks(order, &options, given)?;
    if let Some(mode) = &mode {
        host.insert("NetworkMode".into(), json!(mode));
    }
    let mut endpoints = endpoints.into_iter();
    if let Some((name, endpoint)) = endpoints.next() {
        if let Some(mac) = endpoint.get("MacAddress") {
            // Engines before API 1.44 know it only here.
            body.entry("MacAddress").or_insert_with(|| mac.clone());
        }
        body.insert("NetworkingConfig".into(), json!({"EndpointsConfig": {name: endpoint}}));
    }
    let (exposed, bindings) = ports(&order.host_ports);
    if !exposed.is_empty() {
        body.insert("ExposedPorts".into(), Value::Object(exposed));
        host.insert("PortBindings".into(), Value::Object(bindings));
    }
    body.insert("HostConfig".into(), Value::Object(host));
    let wants_made = |m: &&Mount| {
        m.r#type == "bind" && m.bind_options.as_ref().is_some_and(|b| b.create_mountpoint)
    };
    Ok(Made {
        task: order.id,
        name: order.name.clone(),
        platform: options.platform,
        body: Value::Object(body),
        connect: endpoints.collect(),
        directories: spec.mounts.iter().filter(wants_made).map(|m| m.source.clone()).collect(),
    })
}

fn config(
    order: &TaskOrder,
    spec: &ContainerSpec,
    options: &EngineOptions,
    given: &Given,
) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("Image".into(), json!(spec.image));
    put(&mut body, "Hostname", &spec.hostname);
    put(&mut body, "Domainname", &options.domainname);
    put(&mut body, "User", &spec.user);
    put(&mut body, "WorkingDir", &spec.dir);
    put(&mut body, "StopSignal", &spec.stop_signal);
    put(&mut body, "MacAddress", &options.mac_address);
    put_list(&mut body, "Entrypoint", &spec.command);
    put_list(&mut body, "Cmd", &spec.args);
    put_list(&mut body, "Env", &spec.env);
    if spec.tty {
        body.insert("Tty".into(), json!(true));
    }
    if spec.open_stdin {
        body.insert("OpenStdin".into(), json!(true));
    }
    let grace = spec.stop_grace_period.map_or(Millis::from_secs(10), Millis::from_nanos);
    body.insert("StopTimeout".into(), json!(grace.0.div_ceil(1_000)));
    if let Some(check) = &spec.healthcheck {
        body.insert("Healthcheck".into(), health_check(check));
    }
    body.insert("Labels".into(), json!(all_labels(order, spec, given)));
    body
}

/// The user's labels, the stack's, Docker's and ours; ours cannot be overridden.
fn all_labels(order: &TaskOrder, spec: &ContainerSpec, given: &Given) -> Labels {
    let mut all = spec.labels.clone();
    all.extend(order.labels.clone());
    if let Some(stack) = &order.stack {
        all.entry(model::spec::STACK_LABEL.to_owned()).or_insert_with(|| stack.clone());
    }
    for (key, value) in [
        ("com.docker.swarm.node.id", given.node.to_string()),
        ("com.docker.swarm.service.id", order.service.to_string()),
        ("com.docker.swarm.service.name", order.service_name.clone()),
        ("com.docker.swarm.task", String::new()),
        ("com.docker.swarm.task.id", order.id.to_string()),
        ("com.docker.swarm.task.name", order.name.clone()),
        (labels::TASK, order.id.to_string()),
        (labels::NAME, order.name.clone()),
    ] {
        all.insert(key.to_owned(), value);
    }
    all
}

fn health_check(check: &HealthConfig) -> Value {
    let mut out = Map::new();
    put_list(&mut out, "Test", &check.test);
    for (key, value) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
        ("Retries", check.retries),
    ] {
        put_number(&mut out, key, value);
    }
    Value::Object(out)
}

fn host_config(
    order: &TaskOrder,
    spec: &ContainerSpec,
    options: &EngineOptions,
    given: &Given,
) -> Result<Map<String, Value>, CannotMake> {
    // What this version does not know by name goes to the engine as it is.
    let mut host: Map<String, Value> = options.extra.clone().into_iter().collect();
    host.extend(options.blkio.clone());
    // A task never restarts: what follows it is a new task.
    host.insert("RestartPolicy".into(), json!({"Name": "no"}));
    let mut mounts = Vec::new();
    for mount in &spec.mounts {
        mounts.push(one_mount(mount, given)?);
    }
    for (source, target) in &given.files {
        mounts.push(json!({"Type": "bind", "Source": source, "Target": target, "ReadOnly": true}));
    }
    if !mounts.is_empty() {
        host.insert("Mounts".into(), json!(mounts));
    }
    if spec.read_only {
        host.insert("ReadonlyRootfs".into(), json!(true));
    }
    if let Some(init) = spec.init {
        host.insert("Init".into(), json!(init));
    }
    put_map(&mut host, "Sysctls", &spec.sysctls);
    put_list(&mut host, "CapAdd", &spec.capability_add);
    put_list(&mut host, "CapDrop", &spec.capability_drop);
    put_list(&mut host, "GroupAdd", &spec.groups);
    put_list(&mut host, "ExtraHosts", &extra_hosts(&spec.hosts));
    put(&mut host, "Isolation", &spec.isolation);
    put_number(&mut host, "OomScoreAdj", spec.oom_score_adj);
    if !spec.ulimits.is_empty() {
        host.insert("Ulimits".into(), json!(spec.ulimits));
    }
    if let Some(dns) = &spec.dns_config {
        put_list(&mut host, "Dns", &dns.nameservers);
        put_list(&mut host, "DnsSearch", &dns.search);
        put_list(&mut host, "DnsOptions", &dns.options);
    }
    if let Some(driver) = &order.spec.log_driver {
        host.insert("LogConfig".into(), json!({"Type": driver.name, "Config": driver.options}));
    }
    // A word of docker's command line: engines know it as paths that are not hidden.
    let (open, mut security): (Vec<String>, Vec<String>) =
        options.security_opt.iter().cloned().partition(|o| o == "systempaths=unconfined");
    if !open.is_empty() {
        host.insert("MaskedPaths".into(), json!([]));
        host.insert("ReadonlyPaths".into(), json!([]));
    }
    security.extend(security_options(spec.privileges.as_ref())?);
    put_list(&mut host, "SecurityOpt", &security);
    resources(&mut host, order);
    engine_options(&mut host, options);
    Ok(host)
}

fn resources(host: &mut Map<String, Value>, order: &TaskOrder) {
    let Some(resources) = &order.spec.resources else { return };
    if let Some(limits) = &resources.limits {
        put_number(host, "NanoCpus", limits.nano_cpus);
        put_number(host, "Memory", limits.memory_bytes);
        put_number(host, "PidsLimit", limits.pids);
    }
    if let Some(reservations) = &resources.reservations {
        put_number(host, "MemoryReservation", reservations.memory_bytes);
    }
    // API 1.52 has these beside limits and reservations.
    let extra = |key: &str| resources.extra.get(key).and_then(Value::as_i64);
    if let (Some(swap), Some(limits)) = (extra("SwapBytes"), &resources.limits) {
        let total = if swap < 0 { -1 } else { limits.memory_bytes.saturating_add(swap) };
        put_number(host, "MemorySwap", total);
    }
    if let Some(swappiness) = extra("MemorySwappiness") {
        host.insert("MemorySwappiness".into(), json!(swappiness));
    }
}

fn engine_options(host: &mut Map<String, Value>, options: &EngineOptions) {
    if options.privileged {
        host.insert("Privileged".into(), json!(true));
    }
    if !options.devices.is_empty() {
        host.insert("Devices".into(), json!(options.devices));
    }
    if !options.device_requests.is_empty() {
        host.insert("DeviceRequests".into(), json!(options.device_requests));
    }
    put_list(host, "DeviceCgroupRules", &options.device_cgroup_rules);
    put_list(host, "VolumesFrom", &options.volumes_from);
    for (key, value) in [
        ("ShmSize", options.shm_size),
        ("CpuShares", options.cpu_shares),
        ("CpuPeriod", options.cpu_period),
        ("CpuQuota", options.cpu_quota),
        ("CpuRealtimePeriod", options.cpu_realtime_period),
        ("CpuRealtimeRuntime", options.cpu_realtime_runtime),
        ("MemorySwap", options.memory_swap),
        ("BlkioWeight", i64::from(options.blkio_weight)),
    ] {
        put_number(host, key, value);
    }
    for (key, value) in [
        ("PidMode", &options.pid_mode),
        ("IpcMode", &options.ipc_mode),
        ("UTSMode", &options.uts_mode),
        ("UsernsMode", &options.userns_mode),
        ("CgroupnsMode", &options.cgroupns_mode),
        ("CgroupParent", &options.cgroup_parent),
        ("Runtime", &options.runtime),
        ("CpusetCpus", &options.cpuset_cpus),
    ] {
        put(host, key, value);
    }
    put_map(host, "Annotations", &options.annotations);
    put_map(host, "StorageOpt", &options.storage_opt);
    put_map(host, "Tmpfs", &options.tmpfs);
    if let Some(disable) = options.oom_kill_disable {
        host.insert("OomKillDisable".into(), json!(disable));
    }
    if let Some(swappiness) = options.memory_swappiness {
        host.insert("MemorySwappiness".into(), json!(swappiness));
    }
}

/// A network mode instead of networks, and the endpoints in the order of the spec.
#[allow(clippy::type_complexity)] // a name and its settings, twice over
fn networks(
    order: &TaskOrder,
    options: &EngineOptions,
    given: &Given,
) -> Result<(Option<String>, Vec<(String, Value)>), CannotMake> {
    if !options.network_mode.is_empty() {
        return Ok((Some(options.network_mode.clone()), Vec::new()));
    }
    let mut endpoints = Vec::new();
    let mut attachments = order.attachments.iter();
    for network in &order.spec.networks {
        let Ok(id) = network.target.parse::<NetworkId>() else {
            if ["host", "bridge", "none"].contains(&network.target.as_str()) {
                return Ok((Some(network.target.clone()), Vec::new()));
            }
            return Err(CannotMake::Network(network.target.clone()));
        };
        let name = given.networks.get(&id);
        let name = name.ok_or_else(|| CannotMake::Network(network.target.clone()))?;
        let attachment = attachments.find(|a| a.network == id);
        endpoints
            .push((name.clone(), endpoint(attachment.map(|a| a.address), &network.driver_opts)));
    }
    // Attachments that the spec does not name (what the cluster adds for ingress).
    for attachment in &order.attachments {
        let name = given.networks.get(&attachment.network);
        let name = name.ok_or_else(|| CannotMake::Network(attachment.network.to_string()))?;
        if endpoints.iter().all(|(n, _)| n != name) {
            endpoints.push((name.clone(), endpoint(Some(attachment.address), &Labels::new())));
        }
    }
    Ok((endpoints.first().map(|(name, _)| name.clone()), endpoints))
}

/// The address that the managers gave and the MAC that belongs to it. No aliases: the engine would
/// answer them itself, past the cluster's own names.
fn endpoint(address: Option<std::net::Ipv4Addr>, driver_opts: &Labels) -> Value {
    let mut out = Map::new();
    if let Some(address) = address {
        out.insert("IPAMConfig".into(), json!({"IPv4Address": address}));
        out.insert("MacAddress".into(), json!(mac_of(address)));
    }
    put_map(&mut out, "DriverOpts", driver_opts);
    Value::Object(out)
}

fn ports(host_ports: &[PortConfig]) -> (Map<String, Value>, Map<String, Value>) {
    let (mut exposed, mut bindings) = (Map::new(), Map::new());
    for port in host_ports {
        let key = format!("{}/{}", port.target_port, port.protocol.name());
        let published = match port.published_port {
            0 => String::new(),
            number => number.to_string(),
        };
        let mut binding = json!({"HostPort": published});
        if let Some(address) = port.extra.get("HostIP").or_else(|| port.extra.get("HostIp")) {
            binding["HostIp"] = address.clone();
        }
        exposed.insert(key.clone(), json!({}));
        if let Some(list) = bindings.entry(key).or_insert_with(|| json!([])).as_array_mut() {
            list.push(binding);
        }
    }
    (exposed, bindings)
}

fn one_mount(mount: &Mount, given: &Given) -> Result<Value, CannotMake> {
    let kind = match mount.r#type.as_str() {
        "" => "volume",
        kind @ ("bind" | "volume" | "tmpfs" | "image") => kind,
        kind => {
            let (kind, target) = (kind.to_owned(), mount.target.clone());
            return Err(CannotMake::MountType { kind, target });
        }
    };
    let mut out = serde_json::to_value(mount)
        .map_err(|e| CannotMake::Wrong(format!("mount {}: {e}", mount.target)))?;
    out["Type"] = json!(kind);
    if let (true, Some(socket)) = (ENGINE_SOCKETS.contains(&mount.source.as_str()), &given.socket) {
        out["Source"] = json!(socket);
    }
    // The host makes the directory; engines before API 1.42 would refuse to.
    if let Some(options) = out.get_mut("BindOptions").and_then(Value::as_object_mut) {
        options.remove("CreateMountpoint");
    }
    Ok(out)
}

/// `IP name [name …]` of a service becomes `name:IP` of a container.
fn extra_hosts(hosts: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    for line in hosts {
        let mut words = line.split_whitespace();
        if let Some(address) = words.next() {
            out.extend(words.map(|name| format!("{name}:{address}")));
        }
    }
    out
}

fn security_options(privileges: Option<&Privileges>) -> Result<Vec<String>, CannotMake> {
    let Some(privileges) = privileges else { return Ok(Vec::new()) };
    if privileges.credential_spec.is_some() {
        return Err(CannotMake::WindowsOnly("a credential spec"));
    }
    let mut out = Vec::new();
    if let Some(context) = &privileges.selinux_context {
        if context.disable {
            out.push(String::from("label=disable"));
        }
        for (key, value) in [
            ("user", &context.user),
            ("role", &context.role),
            ("type", &context.r#type),
            ("level", &context.level),
        ] {
            if !value.is_empty() {
                out.push(format!("label={key}:{value}"));
            }
        }
    }
    if let Some(mode) = &privileges.seccomp {
        out.extend(profile("seccomp", "unconfined", mode)?);
    }
    if let Some(mode) = &privileges.app_armor {
        out.extend(profile("apparmor", "disabled", mode)?);
    }
    if privileges.no_new_privileges {
        out.push(String::from("no-new-privileges=true"));
    }
    Ok(out)
}

fn profile(key: &str, off: &str, setting: &SecurityMode) -> Result<Option<String>, CannotMake> {
    match setting.mode.as_str() {
        "" | "default" => Ok(None),
        mode if mode == off => Ok(Some(format!("{key}=unconfined"))),
        "custom" => {
            let bytes = BASE64.decode(setting.profile.as_bytes()).ok();
            let text = bytes.and_then(|b| String::from_utf8(b).ok());
            let text = text.ok_or_else(|| {
                CannotMake::Wrong(format!("the custom {key} profile is not base64 of a text"))
            })?;
            Ok(Some(format!("{key}={text}")))
        }
        mode => Err(CannotMake::Wrong(format!("{key} mode {mode:?} is unknown"))),
    }
}

fn put(map: &mut Map<String, Value>, key: &str, value: &str) {
    if !value.is_empty() {
        map.insert(key.to_owned(), json!(value));
    }
}

fn put_number(map: &mut Map<String, Value>, key: &str, value: i64) {
    if value != 0 {
        map.insert(key.to_owned(), json!(value));
    }
}

fn put_list(map: &mut Map<String, Value>, key: &str, value: &[String]) {
    if !value.is_empty() {
        map.insert(key.to_owned(), json!(value));
    }
}

fn put_map(map: &mut Map<String, Value>, key: &str, value: &Labels) {
    if !value.is_empty() {
        map.insert(key.to_owned(), json!(value));
    }
}

#[cfg(test)]
#[path = "create_tests.rs"]
mod tests;
