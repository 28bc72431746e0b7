//! What the engine is asked for, field by field.

use std::sync::Arc;

use model::Id;
use model::lifecycle::Desired;
use model::object::{Attachment, Slot};
use model::spec::TaskSpec;
use serde_json::json;

use super::*;

fn network(n: u128) -> NetworkId {
    NetworkId(Id(n))
}

/// An order from a task spec in Docker's JSON.
fn order(spec: Value) -> TaskOrder {
    let spec: TaskSpec = serde_json::from_value(spec).expect("a task spec");
    let attachments = spec
        .networks
        .iter()
        .filter_map(|n| n.target.parse().ok())
        .zip(10..)
        .map(|(network, last)| Attachment { network, address: [10, 0, 1, last].into() })
        .collect();
    TaskOrder {
        id: TaskId(Id(1)),
        service: model::ServiceId(Id(2)),
        service_name: "shop_web".into(),
        stack: Some("shop".into()),
        slot: Slot::Replica(1),
        name: "shop_web.1.x".into(),
        desired: Desired::Running,
        not_before: None,
        spec: Arc::new(spec),
        attachments,
        host_ports: Vec::new(),
        labels: Labels::new(),
        registry_auth: None,
    }
}

fn given() -> Given {
    Given {
        node: NodeId(Id(3)),
        networks: [(network(5), "front".to_owned()), (network(6), "back".to_owned())].into(),
        ..Given::default()
    }
}

fn body(container: Value) -> Value {
    made(json!({"ContainerSpec": container})).expect("a container").body
}

fn made(spec: Value) -> Result<Made, CannotMake> {
    container(&order(spec), &given())
}

/// Checks the values at some places of a body.
fn expect(body: &Value, places: &[(&str, Value)]) {
    for (place, value) in places {
        assert_eq!(body.pointer(place), Some(value), "{place} in {body:#}");
    }
}

#[test]
fn a_bare_image_asks_for_nothing_but_labels_and_no_restart() {
    let body = body(json!({"Image": "web"}));
    let text = |id: u128| Id(id).to_string();
    assert_eq!(
        body,
        json!({
            "Image": "web", "StopTimeout": 10,
            "HostConfig": {"RestartPolicy": {"Name": "no"}},
            "Labels": {
                "com.docker.stack.namespace": "shop",
                "com.docker.swarm.node.id": text(3),
                "com.docker.swarm.service.id": text(2),
                "com.docker.swarm.service.name": "shop_web",
                "com.docker.swarm.task": "",
                "com.docker.swarm.task.id": text(1),
                "com.docker.swarm.task.name": "shop_web.1.x",
                "swarmctl.task": text(1),
                "swarmctl.name": "shop_web.1.x",
            },
        })
    );
}

#[test]
fn every_field_of_a_container_spec_reaches_the_engine() {
    let body = body(json!({
        "Image": "web", "Command": ["/web"], "Args": ["-v"], "Hostname": "h", "Env": ["A=1", "B"],
        "Dir": "/srv", "User": "7:8", "Groups": ["audio"], "Init": true, "StopSignal": "SIGINT",
        "TTY": true, "OpenStdin": true, "ReadOnly": true, "StopGracePeriod": 1_500_000_000i64,
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1, "Timeout": 2, "StartPeriod": 3,
                        "StartInterval": 4, "Retries": 5},
        "Hosts": ["1.2.3.4 a b"], "Sysctls": {"net.core.somaxconn": "9"},
        "DNSConfig": {"Nameservers": ["9.9.9.9"], "Search": ["s"], "Options": ["ndots:1"]},
        "CapabilityAdd": ["CAP_NET_ADMIN"], "CapabilityDrop": ["ALL"], "OomScoreAdj": 5,
        "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}], "Isolation": "default",
        "Labels": {"mine": "1", "swarmctl.task": "forged"},
        "Privileges": {"NoNewPrivileges": true, "Seccomp": {"Mode": "custom", "Profile": "e30="},
                       "AppArmor": {"Mode": "disabled"},
                       "SELinuxContext": {"Disable": true, "Level": "s0"}},
    }));
    expect(
        &body,
        &[
            ("/Entrypoint", json!(["/web"])),
            ("/Cmd", json!(["-v"])),
            ("/Hostname", json!("h")),
            ("/Env", json!(["A=1", "B"])),
            ("/WorkingDir", json!("/srv")),
            ("/User", json!("7:8")),
            ("/StopSignal", json!("SIGINT")),
            ("/StopTimeout", json!(2)),
            ("/Tty", json!(true)),
            ("/OpenStdin", json!(true)),
            ("/Healthcheck/Test", json!(["CMD", "true"])),
            ("/Healthcheck/StartInterval", json!(4)),
            ("/Healthcheck/Retries", json!(5)),
            ("/Labels/mine", json!("1")),
            ("/Labels/swarmctl.task", json!(Id(1).to_string())),
            ("/HostConfig/GroupAdd", json!(["audio"])),
            ("/HostConfig/Init", json!(true)),
            ("/HostConfig/ReadonlyRootfs", json!(true)),
            ("/HostConfig/ExtraHosts", json!(["a:1.2.3.4", "b:1.2.3.4"])),
            ("/HostConfig/Sysctls/net.core.somaxconn", json!("9")),
            ("/HostConfig/Dns", json!(["9.9.9.9"])),
            ("/HostConfig/DnsSearch", json!(["s"])),
            ("/HostConfig/DnsOptions", json!(["ndots:1"])),
            ("/HostConfig/CapAdd", json!(["CAP_NET_ADMIN"])),
            ("/HostConfig/CapDrop", json!(["ALL"])),
            ("/HostConfig/OomScoreAdj", json!(5)),
            ("/HostConfig/Ulimits/0/Hard", json!(2)),
            ("/HostConfig/Isolation", json!("default")),
            (
                "/HostConfig/SecurityOpt",
                json!([
                    "label=disable",
                    "label=level:s0",
                    "seccomp={}",
                    "apparmor=unconfined",
                    "no-new-privileges=true"
                ]),
            ),
        ],
    );
}

#[test]
fn every_engine_option_reaches_the_engine_under_its_own_name() {
    let body = body(json!({"Image": "web", "Engine": {
        "Privileged": true, "Domainname": "d", "MacAddress": "02:00:00:00:00:01",
        "Devices": [{"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "r"}],
        "DeviceCgroupRules": ["c 1:3 r"], "DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}],
        "SecurityOpt": ["systempaths=unconfined"], "ShmSize": 64, "PidMode": "host", "IpcMode": "host",
        "UtsMode": "host", "UsernsMode": "host", "CgroupnsMode": "private", "CgroupParent": "/p",
        "Runtime": "runc", "Annotations": {"a": "b"}, "StorageOpt": {"size": "1G"},
        "Tmpfs": {"/t": "size=1m"}, "VolumesFrom": ["c"], "OomKillDisable": true, "CpuShares": 1,
        "CpuPeriod": 2, "CpuQuota": 3, "CpuRealtimePeriod": 4, "CpuRealtimeRuntime": 5,
        "CpusetCpus": "0", "MemorySwap": -1, "MemorySwappiness": 0, "BlkioWeight": 10,
        "Blkio": {"BlkioDeviceReadBps": [{"Path": "/dev/a", "Rate": 1}]}, "NetworkMode": "host",
        "CpusetMems": "0",
    }}));
    expect(
        &body,
        &[
            ("/Domainname", json!("d")),
            ("/MacAddress", json!("02:00:00:00:00:01")),
            ("/HostConfig/Privileged", json!(true)),
            ("/HostConfig/Devices/0/PathInContainer", json!("/dev/b")),
            ("/HostConfig/DeviceCgroupRules", json!(["c 1:3 r"])),
            ("/HostConfig/DeviceRequests/0/Count", json!(-1)),
            ("/HostConfig/MaskedPaths", json!([])),
            ("/HostConfig/ReadonlyPaths", json!([])),
            ("/HostConfig/ShmSize", json!(64)),
            ("/HostConfig/PidMode", json!("host")),
            ("/HostConfig/IpcMode", json!("host")),
            ("/HostConfig/UTSMode", json!("host")),
            ("/HostConfig/UsernsMode", json!("host")),
            ("/HostConfig/CgroupnsMode", json!("private")),
            ("/HostConfig/CgroupParent", json!("/p")),
            ("/HostConfig/Runtime", json!("runc")),
            ("/HostConfig/Annotations", json!({"a": "b"})),
            ("/HostConfig/StorageOpt", json!({"size": "1G"})),
            ("/HostConfig/Tmpfs", json!({"/t": "size=1m"})),
            ("/HostConfig/VolumesFrom", json!(["c"])),
            ("/HostConfig/OomKillDisable", json!(true)),
            ("/HostConfig/CpuShares", json!(1)),
            ("/HostConfig/CpuPeriod", json!(2)),
            ("/HostConfig/CpuQuota", json!(3)),
            ("/HostConfig/CpuRealtimePeriod", json!(4)),
            ("/HostConfig/CpuRealtimeRuntime", json!(5)),
            ("/HostConfig/CpusetCpus", json!("0")),
            ("/HostConfig/MemorySwap", json!(-1)),
            ("/HostConfig/MemorySwappiness", json!(0)),
            ("/HostConfig/BlkioWeight", json!(10)),
            ("/HostConfig/BlkioDeviceReadBps/0/Rate", json!(1)),
            ("/HostConfig/NetworkMode", json!("host")),
            ("/HostConfig/CpusetMems", json!("0")),
        ],
    );
}

#[test]
fn limits_reservations_and_the_log_driver_reach_the_engine() {
    let made = made(json!({
        "ContainerSpec": {"Image": "web"},
        "Resources": {
            "Limits": {"NanoCPUs": 5, "MemoryBytes": 100, "Pids": 7},
            "Reservations": {"MemoryBytes": 50}, "SwapBytes": 20, "MemorySwappiness": 60,
        },
        "LogDriver": {"Name": "local", "Options": {"max-size": "1m"}},
    }));
    expect(
        &made.expect("a container").body,
        &[
            ("/HostConfig/NanoCpus", json!(5)),
            ("/HostConfig/Memory", json!(100)),
            ("/HostConfig/PidsLimit", json!(7)),
            ("/HostConfig/MemoryReservation", json!(50)),
            ("/HostConfig/MemorySwap", json!(120)),
            ("/HostConfig/MemorySwappiness", json!(60)),
            ("/HostConfig/LogConfig", json!({"Type": "local", "Config": {"max-size": "1m"}})),
        ],
    );
}

#[test]
fn the_first_network_comes_with_the_container_and_the_others_follow() {
    let made = made(json!({
        "ContainerSpec": {"Image": "web"},
        "Networks": [
            {"Target": network(5).to_string(), "Aliases": ["web"]},
            {"Target": network(6).to_string(), "DriverOpts": {"k": "v"}},
        ],
    }))
    .expect("a container");
    expect(
        &made.body,
        &[
            ("/HostConfig/NetworkMode", json!("front")),
            ("/MacAddress", json!("02:42:0a:00:01:0a")),
            (
                "/NetworkingConfig/EndpointsConfig",
                json!({"front": {"IPAMConfig": {"IPv4Address": "10.0.1.10"},
                                 "MacAddress": "02:42:0a:00:01:0a"}}),
            ),
        ],
    );
    let second = json!({"IPAMConfig": {"IPv4Address": "10.0.1.11"},
                        "MacAddress": "02:42:0a:00:01:0b", "DriverOpts": {"k": "v"}});
    assert_eq!(made.connect, [("back".to_owned(), second)]);
}

#[test]
fn predefined_networks_are_network_modes_and_unknown_ones_are_refused() {
    let with = |target: &str| {
        made(json!({"ContainerSpec": {"Image": "web"}, "Networks": [{"Target": target}]}))
    };
    let host = with("host").expect("a container");
    expect(&host.body, &[("/HostConfig/NetworkMode", json!("host"))]);
    let unknown = network(99).to_string();
    assert_eq!(with(&unknown), Err(CannotMake::Network(unknown.clone())));
}

#[test]
fn host_ports_are_bound_and_a_missing_one_is_left_to_the_engine() {
    let mut order = order(json!({"ContainerSpec": {"Image": "web"}}));
    order.host_ports = serde_json::from_value(json!([
        {"TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"},
        {"TargetPort": 80, "PublishedPort": 8081, "PublishMode": "host", "HostIP": "127.0.0.1"},
        {"TargetPort": 53, "Protocol": "udp", "PublishMode": "host"},
    ]))
    .expect("ports");
    let made = container(&order, &given()).expect("a container");
    expect(
        &made.body,
        &[
            ("/ExposedPorts", json!({"80/tcp": {}, "53/udp": {}})),
            (
                "/HostConfig/PortBindings",
                json!({
                    "80/tcp": [{"HostPort": "8080"}, {"HostPort": "8081", "HostIp": "127.0.0.1"}],
                    "53/udp": [{"HostPort": ""}],
                }),
            ),
        ],
    );
}

#[test]
fn mounts_of_every_kind_keep_their_options() {
    let mut given = given();
    given.files.push(("/data/files/1/0".into(), "/run/secrets/key".into()));
    given.socket = Some("/run/swarmctl/docker.sock".into());
    let order = order(json!({"ContainerSpec": {"Image": "web", "Mounts": [
        {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true,
         "BindOptions": {"Propagation": "rslave", "CreateMountpoint": true}},
        {"Source": "data", "Target": "/d", "VolumeOptions": {"NoCopy": true, "Subpath": "s",
         "DriverConfig": {"Name": "local", "Options": {"type": "tmpfs"}}}},
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 9, "Mode": 448}},
        {"Type": "image", "Source": "other", "Target": "/i"},
        {"Type": "bind", "Source": "/var/run/docker.sock", "Target": "/var/run/docker.sock"},
    ]}}));
    let made = container(&order, &given).expect("a container");
    assert_eq!(made.directories, ["/a"]);
    expect(
        &made.body,
        &[
            (
                "/HostConfig/Mounts/0",
                json!({"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true,
                       "BindOptions": {"Propagation": "rslave"}}),
            ),
            ("/HostConfig/Mounts/1/Type", json!("volume")),
            ("/HostConfig/Mounts/1/VolumeOptions/Subpath", json!("s")),
            ("/HostConfig/Mounts/1/VolumeOptions/DriverConfig/Options/type", json!("tmpfs")),
            ("/HostConfig/Mounts/2/TmpfsOptions", json!({"SizeBytes": 9, "Mode": 448})),
            ("/HostConfig/Mounts/3/Type", json!("image")),
            ("/HostConfig/Mounts/4/Source", json!("/run/swarmctl/docker.sock")),
            (
                "/HostConfig/Mounts/5",
                json!({"Type": "bind", "Source": "/data/files/1/0",
                       "Target": "/run/secrets/key", "ReadOnly": true}),
            ),
        ],
    );
}

#[test]
fn what_no_engine_can_do_for_a_task_is_refused_by_name() {
    let cluster = json!({"ContainerSpec": {"Image": "w",
        "Mounts": [{"Type": "cluster", "Target": "/v"}]}});
    let credential =
        json!({"ContainerSpec": {"Image": "w", "Privileges": {"CredentialSpec": {"File": "f"}}}});
    let seccomp = json!({"ContainerSpec": {"Image": "w",
        "Privileges": {"Seccomp": {"Mode": "custom", "Profile": "!"}}}});
    for (spec, message) in [
        (
            json!({"Runtime": "plugin"}),
            "the task has no container spec (runtime \"plugin\" is not supported)",
        ),
        (cluster, "mount /v: type \"cluster\" is not supported"),
        (credential, "a credential spec is not supported on Linux"),
        (seccomp, "the custom seccomp profile is not base64 of a text"),
    ] {
        assert_eq!(made(spec).expect_err("refused").to_string(), message);
    }
}
