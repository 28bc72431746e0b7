//! What Docker's engine can do for a container and Docker's services cannot ask for.

use model::spec::{DeviceMapping, DeviceRequest, EngineOptions, Extra, Hook};
use serde_json::{Value as Json, json};

use super::{Source, bytes, flag, int, string, text_map};
use crate::path::KeyPath;
use crate::problem::Problem;
use crate::schema::service::SERVICE_SHAPE;
use crate::yaml::Node;

/// The options of a service; nothing when it asks for none.
pub(super) fn engine(
    source: &Source<'_>,
    service: &Node,
    path: &KeyPath<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Box<EngineOptions>> {
    // Most services ask for nothing of this: then there is no need to look for each key.
    let asks = |key: &str| {
        SERVICE_SHAPE.field(key).is_some_and(|field| field.of_engine)
            || key == "networks" && has_own_address(service)
    };
    let on_gpus = || service.get("deploy").is_some_and(|d| d.get("resources").is_some());
    if !service.as_map()?.keys().any(asks) && !on_gpus() {
        return None;
    }
    let (of_cdi, of_host): (Vec<String>, Vec<String>) =
        service.strings("devices").into_iter().partition(|device| is_cdi(device));
    let mut device_requests = requests(service);
    if !of_cdi.is_empty() {
        device_requests.push(DeviceRequest {
            driver: "cdi".to_owned(),
            device_ids: of_cdi,
            ..DeviceRequest::default()
        });
    }
    let options = EngineOptions {
        privileged: flag(service, "privileged"),
        pull_policy: string(service, "pull_policy"),
        platform: string(service, "platform"),
        domainname: string(service, "domainname"),
        mac_address: mac_address(service),
        network_mode: network_mode(service),
        devices: of_host.iter().map(|d| device(d)).collect(),
        device_cgroup_rules: service.strings("device_cgroup_rules"),
        device_requests,
        security_opt: security(source, service, path, problems),
        shm_size: bytes(service, "shm_size").unwrap_or(0),
        pid_mode: own_mode(service, "pid"),
        ipc_mode: own_mode(service, "ipc"),
        uts_mode: string(service, "uts"),
        userns_mode: string(service, "userns_mode"),
        cgroupns_mode: service.str("cgroup").or(service.str("cgroupns_mode")).unwrap_or("").into(),
        cgroup_parent: string(service, "cgroup_parent"),
        runtime: string(service, "runtime"),
        annotations: text_map(service, "annotations"),
        storage_opt: text_map(service, "storage_opt"),
        tmpfs: service.strings("tmpfs").iter().map(|t| tmpfs(t)).collect(),
        oom_kill_disable: service.get("oom_kill_disable").and_then(Node::as_bool),
        cpu_shares: int(service, "cpu_shares").unwrap_or(0),
        cpu_period: int(service, "cpu_period").unwrap_or(0),
        cpu_quota: int(service, "cpu_quota").unwrap_or(0),
        cpu_realtime_period: int(service, "cpu_rt_period").unwrap_or(0),
        cpu_realtime_runtime: int(service, "cpu_rt_runtime").unwrap_or(0),
        cpuset_cpus: string(service, "cpuset"),
        memory_swap: bytes(service, "memswap_limit").unwrap_or(0),
        memory_swappiness: int(service, "mem_swappiness"),
        blkio_weight: service
            .get("blkio_config")
            .and_then(|b| int(b, "weight"))
            .and_then(|w| u16::try_from(w).ok())
            .unwrap_or(0),
        blkio: service.get("blkio_config").map(blkio).unwrap_or_default(),
        post_start: hooks(service, "post_start"),
        pre_stop: hooks(service, "pre_stop"),
        ..EngineOptions::default()
    };
    (options != EngineOptions::default()).then(|| Box::new(options))
}

/// True when a network is joined with a MAC address.
fn has_own_address(service: &Node) -> bool {
    let networks = service.get("networks").and_then(Node::as_map).into_iter().flatten();
    networks.into_iter().any(|(_, use_)| use_.node.get("mac_address").is_some())
}

/// A mode that is not another container's, which may be on another node.
fn own_mode(service: &Node, key: &str) -> String {
    let mode = service.str(key).unwrap_or("");
    if is_anothers(mode) { String::new() } else { mode.to_owned() }
}

/// `service:NAME` or `container:NAME`.
pub(crate) fn is_anothers(mode: &str) -> bool {
    mode.starts_with("service:") || mode.starts_with("container:")
}

/// The file of `seccomp=FILE`, or of `seccomp:FILE` as it was once written.
pub(crate) fn seccomp_file(option: &str) -> Option<&str> {
    let value = option.strip_prefix("seccomp=").or_else(|| option.strip_prefix("seccomp:"))?;
    let inline = value.trim_start().starts_with('{');
    (!inline && !matches!(value, "" | "unconfined" | "builtin")).then_some(value)
}

/// `security_opt`, profiles as what is in them: the engine has no files of the project.
fn security(
    source: &Source<'_>,
    service: &Node,
    path: &KeyPath<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<String> {
    let key = path.key("security_opt");
    let items = service.get("security_opt").map(Node::items).unwrap_or_default();
    let mut out = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Some(text) = item.as_str() else { continue };
        let Some(file) = seccomp_file(text) else {
            out.push(text.to_owned());
            continue;
        };
        match profile(source, file) {
            Ok(profile) => out.push(format!("seccomp={profile}")),
            Err(why) => {
                let message = format!("the profile `{file}` cannot be used: {why}");
                problems.push(Problem::error(item.span, key.index(index).to_string(), message));
            }
        }
    }
    out
}

/// A profile on one line.
fn profile(source: &Source<'_>, file: &str) -> Result<String, String> {
    let bytes = source.reader.read(file).map_err(|e| e.to_string())?;
    let left = source.room.get().checked_sub(bytes.len()).ok_or("it is too long")?;
    source.room.set(left);
    let json: Json = serde_json::from_slice(&bytes).map_err(|e| format!("no JSON: {e}"))?;
    Ok(json.to_string())
}

/// `vendor.example/class=name`: a device by its name in the container device interface.
fn is_cdi(device: &str) -> bool {
    device.split_once('=').is_some_and(|(kind, name)| {
        !device.starts_with('/') && !name.is_empty() && kind.split('/').count() == 2
    })
}

/// The service's own, else the one of its only network.
fn mac_address(service: &Node) -> String {
    if let Some(own) = service.str("mac_address") {
        return own.to_owned();
    }
    let Some(networks) = service.get("networks").and_then(Node::as_map) else {
        return String::new();
    };
    networks.iter().find_map(|(_, e)| e.node.str("mac_address")).unwrap_or("").to_owned()
}

fn network_mode(service: &Node) -> String {
    if super::network::has_own_mode(service) {
        string(service, "network_mode")
    } else {
        String::new()
    }
}

/// `host[:container[:permissions]]`; anything else, such as a CDI name, goes on as it is.
fn device(text: &str) -> DeviceMapping {
    let mut parts = text.split(':');
    let host = parts.next().unwrap_or("").to_owned();
    let second = parts.next().filter(|p| !p.is_empty());
    let third = parts.next();
    let is_permissions =
        |p: &str| !p.is_empty() && p.len() <= 3 && p.chars().all(|c| "rwm".contains(c));
    let (container, permissions) = match (second, third) {
        (Some(one), None) if is_permissions(one) && !one.starts_with('/') => {
            (host.clone(), one.to_owned())
        }
        (Some(container), permissions) => {
            (container.to_owned(), permissions.unwrap_or("rwm").to_owned())
        }
        (None, permissions) => (host.clone(), permissions.unwrap_or("rwm").to_owned()),
    };
    DeviceMapping {
        path_on_host: host,
        path_in_container: container,
        cgroup_permissions: permissions,
    }
}

/// `gpus`, and `deploy.resources.reservations.devices`.
fn requests(service: &Node) -> Vec<DeviceRequest> {
    let gpus = service.get("gpus").map(Node::items).unwrap_or_default();
    let devices = service
        .get("deploy")
        .and_then(|d| d.get("resources")?.get("reservations")?.get("devices"))
        .map(Node::items)
        .unwrap_or_default();
    let gpus = gpus.iter().map(|n| {
        let mut request = request(n);
        if let Some(set) = request.capabilities.first_mut()
            && !set.iter().any(|c| c == "gpu")
        {
            set.push("gpu".to_owned());
        }
        request
    });
    gpus.chain(devices.iter().map(request)).collect()
}

fn request(node: &Node) -> DeviceRequest {
    let device_ids = node.strings("device_ids");
    let count = match node.str("count") {
        Some("all") => -1,
        Some(text) => text.parse().unwrap_or(0),
        None if device_ids.is_empty() => -1,
        None => 0,
    };
    DeviceRequest {
        driver: string(node, "driver"),
        count,
        device_ids,
        capabilities: vec![node.strings("capabilities")],
        options: text_map(node, "options"),
    }
}

/// `/path[:options]`
fn tmpfs(text: &str) -> (String, String) {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    (path.to_owned(), options.to_owned())
}

/// The engine's `Blkio…` fields, by name.
fn blkio(node: &Node) -> Extra {
    let mut out = Extra::new();
    for (key, field, value) in [
        ("device_read_bps", "BlkioDeviceReadBps", "rate"),
        ("device_read_iops", "BlkioDeviceReadIOps", "rate"),
        ("device_write_bps", "BlkioDeviceWriteBps", "rate"),
        ("device_write_iops", "BlkioDeviceWriteIOps", "rate"),
        ("weight_device", "BlkioWeightDevice", "weight"),
    ] {
        let items: Vec<Json> = node
            .get(key)
            .map(Node::items)
            .unwrap_or_default()
            .iter()
            .map(|n| {
                let name = if value == "rate" { "Rate" } else { "Weight" };
                json!({ "Path": string(n, "path"), name: int(n, value).unwrap_or(0) })
            })
            .collect();
        if !items.is_empty() {
            out.insert(field.to_owned(), Json::Array(items));
        }
    }
    out
}

fn hooks(service: &Node, key: &str) -> Vec<Hook> {
    service
        .get(key)
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .map(|n| Hook {
            command: n.strings("command"),
            user: string(n, "user"),
            privileged: flag(n, "privileged"),
            working_dir: string(n, "working_dir"),
            env: super::container::variables(n),
        })
        .collect()
}
