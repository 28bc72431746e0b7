//! What `docker inspect` says of a container, to a Compose file.
//!
//! Input: the engine's JSON of the container and, where it is at hand, of its image: what the image
//! says already is not said again. Deliberately absent: the container's data and its state.

use serde_json::Value as Json;

use super::{ConvertError, Converted, Making, VolumeNames, entry, list, text};
use crate::quantity::duration;
use crate::yaml::{Map, Value};

/// Makes a Compose file of a container.
///
/// # Errors
/// When the JSON is not that of one container.
pub fn inspected(container: &Json, image: Option<&Json>) -> Result<Converted, ConvertError> {
    let container = match container.as_array().map(Vec::as_slice) {
        Some([one]) => one,
        Some(_) => return Err(ConvertError::NotContainer),
        None => container,
    };
    let config = &container["Config"];
    let name = config["Image"].as_str().ok_or(ConvertError::NotContainer)?;
    let nothing = Json::Null;
    let own =
        image.map_or(&nothing, |i| &i.as_array().and_then(|a| a.first()).unwrap_or(i)["Config"]);
    let own_name = container["Name"].as_str().map(|n| n.trim_start_matches('/').to_owned());
    let mut made = Making { name: own_name, volume_names: VolumeNames::Kept, ..Making::default() };
    made.set("image", text(name));
    process(&mut made, container, config, own);
    host(&mut made, &container["HostConfig"]);
    ports(&mut made, &container["HostConfig"]["PortBindings"]);
    mounts(&mut made, container);
    networks(&mut made, container);
    health(&mut made, &config["Healthcheck"], &own["Healthcheck"]);
    Ok(made.finish(name))
}

/// What runs, as whom and where.
fn process(made: &mut Making, container: &Json, config: &Json, own: &Json) {
    for (key, field) in [("entrypoint", "Entrypoint"), ("command", "Cmd")] {
        if config[field] != own[field] {
            let words = strings(&config[field]);
            if !words.is_empty() {
                made.set(key, list(words.iter().map(|w| text(w)).collect()));
            }
        }
    }
    let of_image = strings(&own["Env"]);
    // What every container has, when the image is not at hand.
    const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    for variable in strings(&config["Env"]) {
        if !of_image.contains(&variable) && variable != PATH {
            made.push("environment", text(&variable));
        }
    }
    for (key, field) in
        [("working_dir", "WorkingDir"), ("user", "User"), ("stop_signal", "StopSignal")]
    {
        if config[field] != own[field] {
            said(made, key, &config[field]);
        }
    }
    said(made, "domainname", &config["Domainname"]);
    // A task's is its network's, not a wish of its user.
    if config["Labels"]["swarmctl.task"].is_null() {
        said(made, "mac_address", &config["MacAddress"]);
    }
    let id = container["Id"].as_str().unwrap_or("");
    let host = config["Hostname"].as_str().unwrap_or("");
    // The engine names a host after its container where nobody does.
    if !host.is_empty() && !id.starts_with(host) && made.name.as_deref() != Some(host) {
        made.set("hostname", text(host));
    }
    for (key, field) in [("tty", "Tty"), ("stdin_open", "OpenStdin")] {
        flag(made, key, &config[field]);
    }
    if let Some(seconds) = config["StopTimeout"].as_i64() {
        made.set("stop_grace_period", text(&format!("{seconds}s")));
    }
    let known = own["Labels"].as_object();
    for (key, value) in config["Labels"].as_object().into_iter().flatten() {
        let made_by_tools = key.starts_with("com.docker.") || key.starts_with("swarmctl.");
        if !made_by_tools && known.and_then(|k| k.get(key)) != Some(value) {
            let value = value.as_str().unwrap_or("");
            made.push("labels", text(&format!("{key}={value}")));
        }
    }
}

/// What the engine does for it.
fn host(made: &mut Making, host: &Json) {
    match host["RestartPolicy"]["Name"].as_str() {
        Some("on-failure") => {
            let attempts = host["RestartPolicy"]["MaximumRetryCount"].as_i64().unwrap_or(0);
            let word =
                if attempts > 0 { format!("on-failure:{attempts}") } else { "on-failure".into() };
            made.set("restart", text(&word));
        }
        Some(word @ ("always" | "unless-stopped")) => made.set("restart", text(word)),
        _ => {}
    }
    for (key, field) in [
        ("privileged", "Privileged"),
        ("read_only", "ReadonlyRootfs"),
        ("init", "Init"),
        ("oom_kill_disable", "OomKillDisable"),
    ] {
        flag(made, key, &host[field]);
    }
    for (key, field) in [
        ("cap_add", "CapAdd"),
        ("cap_drop", "CapDrop"),
        ("dns", "Dns"),
        ("dns_search", "DnsSearch"),
        ("dns_opt", "DnsOptions"),
        ("extra_hosts", "ExtraHosts"),
        ("group_add", "GroupAdd"),
        ("security_opt", "SecurityOpt"),
        ("device_cgroup_rules", "DeviceCgroupRules"),
    ] {
        strings(&host[field]).iter().for_each(|item| made.push(key, text(item)));
    }
    for (key, field) in [
        ("pid", "PidMode"),
        ("uts", "UTSMode"),
        ("userns_mode", "UsernsMode"),
        ("cgroup_parent", "CgroupParent"),
        ("cpuset", "CpusetCpus"),
    ] {
        said(made, key, &host[field]);
    }
    // These are there for every container.
    for (key, field, usual) in [
        ("ipc", "IpcMode", ["private", "shareable"]),
        ("cgroup", "CgroupnsMode", ["private", "host"]),
        ("runtime", "Runtime", ["runc", ""]),
    ] {
        let value = host[field].as_str().unwrap_or("");
        if !value.is_empty() && !usual.contains(&value) {
            made.set(key, text(value));
        }
    }
    for (key, field) in [
        ("mem_limit", "Memory"),
        ("mem_reservation", "MemoryReservation"),
        ("cpu_shares", "CpuShares"),
        ("cpu_period", "CpuPeriod"),
        ("cpu_quota", "CpuQuota"),
        ("cpu_rt_period", "CpuRealtimePeriod"),
        ("cpu_rt_runtime", "CpuRealtimeRuntime"),
        ("pids_limit", "PidsLimit"),
        ("oom_score_adj", "OomScoreAdj"),
    ] {
        if let Some(number) = host[field].as_i64().filter(|n| *n != 0) {
            made.set(key, Value::Int(number));
        }
    }
    let memory = host["Memory"].as_i64().unwrap_or(0);
    // The engine sets the double of the memory where nobody says anything.
    if let Some(swap) =
        host["MemorySwap"].as_i64().filter(|s| *s != 0 && *s != memory.saturating_mul(2))
    {
        made.set("memswap_limit", Value::Int(swap));
    }
    if let Some(swappiness) = host["MemorySwappiness"].as_i64().filter(|s| *s >= 0) {
        made.set("mem_swappiness", Value::Int(swappiness));
    }
    if let Some(weight) = host["BlkioWeight"].as_i64().filter(|w| *w != 0) {
        made.map("blkio_config").insert("weight".to_owned(), entry(Value::Int(weight)));
    }
    if let Some(size) = host["ShmSize"].as_i64().filter(|s| *s != 0 && *s != 64 << 20) {
        made.set("shm_size", text(&size.to_string()));
    }
    if let Some(cpus) = host["NanoCpus"].as_f64().filter(|c| *c != 0.0) {
        made.set("cpus", Value::Float(cpus / 1e9));
    }
    for device in host["Devices"].as_array().into_iter().flatten() {
        let part = |key: &str| device[key].as_str().unwrap_or("").to_owned();
        let mut line = format!("{}:{}", part("PathOnHost"), part("PathInContainer"));
        if part("CgroupPermissions") != "rwm" {
            line.push_str(&format!(":{}", part("CgroupPermissions")));
        }
        made.push("devices", text(&line));
    }
    for (key, field) in
        [("sysctls", "Sysctls"), ("storage_opt", "StorageOpt"), ("annotations", "Annotations")]
    {
        for (name, value) in host[field].as_object().into_iter().flatten() {
            let value = text(value.as_str().unwrap_or(""));
            made.map(key).insert(name.clone(), entry(value));
        }
    }
    for (path, options) in host["Tmpfs"].as_object().into_iter().flatten() {
        let options = options.as_str().filter(|o| !o.is_empty());
        made.push("tmpfs", text(&options.map_or(path.clone(), |o| format!("{path}:{o}"))));
    }
    for limit in host["Ulimits"].as_array().into_iter().flatten() {
        let number = |key: &str| entry(Value::Int(limit[key].as_i64().unwrap_or(0)));
        let both = Map::from_iter([
            ("soft".to_owned(), number("Soft")),
            ("hard".to_owned(), number("Hard")),
        ]);
        let name = limit["Name"].as_str().unwrap_or("").to_owned();
        made.map("ulimits").insert(name, entry(Value::Map(both)));
    }
    logging(made, &host["LogConfig"]);
    if let Some(requests) = host["DeviceRequests"].as_array().filter(|r| !r.is_empty()) {
        made.notes.push(format!("write by hand as `gpus`: {}", Json::from(requests.clone())));
    }
}

fn logging(made: &mut Making, log: &Json) {
    let driver = log["Type"].as_str().unwrap_or("");
    let options = log["Config"].as_object().filter(|o| !o.is_empty());
    if options.is_none() && matches!(driver, "" | "json-file") {
        return;
    }
    made.map("logging").insert("driver".to_owned(), entry(text(driver)));
    if let Some(options) = options {
        let map = options.iter().map(|(k, v)| (k.clone(), entry(text(v.as_str().unwrap_or("")))));
        let map = Value::Map(map.collect());
        made.map("logging").insert("options".to_owned(), entry(map));
    }
}

/// `{"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}`
fn ports(made: &mut Making, bindings: &Json) {
    for (port, hosts) in bindings.as_object().into_iter().flatten() {
        let (target, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let suffix = if protocol == "tcp" { String::new() } else { format!("/{protocol}") };
        for host in hosts.as_array().into_iter().flatten() {
            let part = |key: &str| host[key].as_str().unwrap_or("");
            let line = match (part("HostIp"), part("HostPort")) {
                ("" | "0.0.0.0" | "::", "" | "0") => format!("{target}{suffix}"),
                ("" | "0.0.0.0" | "::", published) => format!("{published}:{target}{suffix}"),
                (address, published) if address.contains(':') => {
                    format!("[{address}]:{published}:{target}{suffix}")
                }
                (address, published) => format!("{address}:{published}:{target}{suffix}"),
            };
            made.push("ports", text(&line));
        }
    }
}

fn mounts(made: &mut Making, container: &Json) {
    for bind in strings(&container["HostConfig"]["Binds"]) {
        made.volume(&bind);
    }
    for mount in container["HostConfig"]["Mounts"].as_array().into_iter().flatten() {
        let part = |key: &str| mount[key].as_str().unwrap_or("");
        let mut words =
            vec![format!("type={}", part("Type")), format!("target={}", part("Target"))];
        if !part("Source").is_empty() {
            words.push(format!("source={}", part("Source")));
        }
        if mount["ReadOnly"].as_bool() == Some(true) {
            words.push("readonly".to_owned());
        }
        if mount["VolumeOptions"]["NoCopy"].as_bool() == Some(true) {
            words.push("volume-nocopy".to_owned());
        }
        if let Some(mode) = mount["TmpfsOptions"]["Mode"].as_i64().filter(|m| *m > 0) {
            words.push(format!("tmpfs-mode={mode:o}"));
        }
        for (key, options, field) in [
            ("bind-propagation", "BindOptions", "Propagation"),
            ("volume-subpath", "VolumeOptions", "Subpath"),
        ] {
            if let Some(value) = mount[options][field].as_str().filter(|v| !v.is_empty()) {
                words.push(format!("{key}={value}"));
            }
        }
        if let Some(size) = mount["TmpfsOptions"]["SizeBytes"].as_i64().filter(|s| *s > 0) {
            words.push(format!("tmpfs-size={size}"));
        }
        made.mount(&words.join(","));
    }
    strings(&container["HostConfig"]["VolumesFrom"]).iter().for_each(|from| {
        made.notes.push(format!("the volumes of the container `{from}` are not in the file"));
    });
}

fn networks(made: &mut Making, container: &Json) {
    let mode = container["HostConfig"]["NetworkMode"].as_str().unwrap_or("");
    if mode.starts_with("container:") {
        made.notes.push(format!("`{mode}` is left out: a task has its own network"));
        return;
    }
    if matches!(mode, "host" | "none") {
        made.network(mode);
        return;
    }
    for name in
        container["NetworkSettings"]["Networks"].as_object().into_iter().flatten().map(|(n, _)| n)
    {
        made.network(name);
    }
}

fn health(made: &mut Making, check: &Json, own: &Json) {
    let test = strings(&check["Test"]);
    if test.is_empty() || check == own {
        return;
    }
    if test == ["NONE"] {
        made.map("healthcheck").insert("disable".to_owned(), entry(Value::Bool(true)));
        return;
    }
    let test = list(test.iter().map(|w| text(w)).collect());
    made.map("healthcheck").insert("test".to_owned(), entry(test));
    for (key, field) in [
        ("interval", "Interval"),
        ("timeout", "Timeout"),
        ("start_period", "StartPeriod"),
        ("start_interval", "StartInterval"),
    ] {
        if let Some(nanos) = check[field].as_i64().filter(|n| *n > 0) {
            made.map("healthcheck").insert(key.to_owned(), entry(text(&duration::text(nanos))));
        }
    }
    if let Some(retries) = check["Retries"].as_i64().filter(|n| *n > 0) {
        made.map("healthcheck").insert("retries".to_owned(), entry(Value::Int(retries)));
    }
}

fn said(made: &mut Making, key: &str, value: &Json) {
    if let Some(value) = value.as_str().filter(|v| !v.is_empty()) {
        made.set(key, text(value));
    }
}

fn flag(made: &mut Making, key: &str, value: &Json) {
    if value.as_bool() == Some(true) {
        made.set(key, Value::Bool(true));
    }
}

fn strings(value: &Json) -> Vec<String> {
    // Old engines have a single text where newer ones have a list.
    if let Some(one) = value.as_str() {
        return vec![one.to_owned()];
    }
    let items = value.as_array().into_iter().flatten();
    items.filter_map(|i| i.as_str().map(str::to_owned)).collect()
}
