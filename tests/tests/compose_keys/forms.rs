//! The other forms in which a key may be written: short and long, lists and mappings, units, numbers as
//! texts, values that come of variables.

use crate::keys::Case;
use crate::keys::Shows::{Body, Engine, File, Spec, Told};

pub fn every_form() -> Vec<Case> {
    [process(), files(), networks(), deploy(), limits(), variables()].concat()
}

/// What runs, and how it is watched.
fn process() -> Vec<Case> {
    vec![
        ("command", "command: [sh, -c, 'a b']", Body("/Cmd"), r#"["sh","-c","a b"]"#),
        ("command", "command: 'echo $$HOME'", Body("/Cmd"), r#"["echo","$HOME"]"#),
        ("entrypoint", "entrypoint: /x 'y z'", Body("/Entrypoint"), r#"["/x","y z"]"#),
        ("labels", "labels: {a: 1, b: true, c: }", Body("/Labels/a"), r#""1""#),
        ("label_file", "label_file: [f.env]", Body("/Labels/A"), r#""b""#),
        ("group_add", "group_add: ['44']", Body("/HostConfig/GroupAdd"), r#"["44"]"#),
        (
            "cap_add",
            "cap_add: [CAP_CHOWN, kill]",
            Body("/HostConfig/CapAdd"),
            r#"["CAP_CHOWN","CAP_KILL"]"#,
        ),
        ("annotations", "annotations: [a=b]", Body("/HostConfig/Annotations"), r#"{"a":"b"}"#),
        (
            "healthcheck",
            "healthcheck: {test: [CMD, x], timeout: 1500ms, start_period: 1m, start_interval: 2s}",
            Body("/Healthcheck"),
            r#"{"Test":["CMD","x"],"Timeout":1500000000,"StartPeriod":60000000000,"StartInterval":2000000000}"#,
        ),
        (
            "healthcheck",
            "healthcheck: {disable: true}",
            Body("/Healthcheck"),
            r#"{"Test":["NONE"]}"#,
        ),
        ("init", "init: false", Body("/HostConfig/Init"), "false"),
        (
            "logging",
            "logging: {options: {max-file: 3}}",
            Body("/HostConfig/LogConfig/Config"),
            r#"{"max-file":"3"}"#,
        ),
        ("oom_score_adj", "oom_score_adj: '-500'", Body("/HostConfig/OomScoreAdj"), "-500"),
        ("pid", "pid: 'service:b'", Told("tasks cannot share the pid"), ""),
        (
            "post_start",
            "post_start: [{command: [a], privileged: true, working_dir: /w, environment: {A: b}}]",
            Engine("PostStart"),
            r#"[{"Command":["a"],"Privileged":true,"WorkingDir":"/w","Env":["A=b"]}]"#,
        ),
        (
            "pre_stop",
            "pre_stop: [{command: a 'b c'}]",
            Engine("PreStop"),
            r#"[{"Command":["a","b c"]}]"#,
        ),
        ("pull_policy", "pull_policy: if_not_present", Engine("PullPolicy"), r#""if_not_present""#),
        ("pull_policy", "pull_policy: every_12h", Engine("PullPolicy"), r#""every_12h""#),
        ("read_only", "read_only: 'true'", Body("/HostConfig/ReadonlyRootfs"), "true"),
        ("restart", "restart: 'no'", Spec("/TaskTemplate/RestartPolicy/Condition"), r#""none""#),
        (
            "restart",
            "restart: unless-stopped",
            Spec("/TaskTemplate/RestartPolicy/Condition"),
            r#""any""#,
        ),
        ("scale", "scale: 0", Spec("/Mode/Replicated/Replicas"), "0"),
        (
            "security_opt",
            "security_opt: ['label:disable', 'apparmor=p', 'seccomp=unconfined']",
            Body("/HostConfig/SecurityOpt"),
            r#"["label:disable","apparmor=p","seccomp=unconfined"]"#,
        ),
        ("stop_grace_period", "stop_grace_period: 1500ms", Body("/StopTimeout"), "2"),
        ("stop_grace_period", "stop_grace_period: 0s", Body("/StopTimeout"), "0"),
        (
            "sysctls",
            "sysctls: {net.core.somaxconn: 1024}",
            Body("/HostConfig/Sysctls"),
            r#"{"net.core.somaxconn":"1024"}"#,
        ),
        ("use_api_socket", "use_api_socket: true", Body("/HostConfig/Mounts/0/Type"), r#""bind""#),
    ]
}

/// Mounts, devices, secrets, configs.
fn files() -> Vec<Case> {
    vec![
        ("configs", "configs: [c]", File, r#"["c","Y29uZg=="]"#),
        (
            "configs",
            "configs: [{source: c, target: /c, uid: '7', gid: '8', mode: 0440}]",
            Spec("/TaskTemplate/ContainerSpec/Configs/0/File"),
            r#"{"Name":"/c","UID":"7","GID":"8","Mode":288}"#,
        ),
        (
            "secrets",
            "secrets: [{source: k, target: t, mode: '0400'}]",
            Spec("/TaskTemplate/ContainerSpec/Secrets/0/File"),
            r#"{"Name":"t","UID":"0","GID":"0","Mode":256}"#,
        ),
        (
            "devices",
            "devices: [/dev/a]",
            Body("/HostConfig/Devices"),
            r#"[{"PathOnHost":"/dev/a","PathInContainer":"/dev/a","CgroupPermissions":"rwm"}]"#,
        ),
        (
            "devices",
            "devices: [{source: /dev/a, target: /dev/b, permissions: rw}]",
            Body("/HostConfig/Devices"),
            r#"[{"PathOnHost":"/dev/a","PathInContainer":"/dev/b","CgroupPermissions":"rw"}]"#,
        ),
        (
            "gpus",
            "gpus: [{driver: nvidia, count: 2, capabilities: [utility], options: {a: b}}]",
            Body("/HostConfig/DeviceRequests"),
            r#"[{"Driver":"nvidia","Count":2,"Capabilities":[["utility","gpu"]],"Options":{"a":"b"}}]"#,
        ),
        (
            "gpus",
            "gpus: [{device_ids: ['0', '3']}]",
            Body("/HostConfig/DeviceRequests"),
            r#"[{"DeviceIDs":["0","3"],"Capabilities":[["gpu"]]}]"#,
        ),
        (
            "tmpfs",
            "tmpfs: [/a, '/b:mode=700,size=1m']",
            Body("/HostConfig/Tmpfs"),
            r#"{"/a":"","/b":"mode=700,size=1m"}"#,
        ),
        (
            "volumes",
            "volumes: ['v:/t:ro,nocopy']",
            Body("/HostConfig/Mounts/0"),
            r#"{"Type":"volume","Source":"s_v","Target":"/t","ReadOnly":true,"VolumeOptions":{"NoCopy":true,"Labels":{"com.docker.stack.namespace":"s"},"DriverConfig":{"Name":"local","Options":{"type":"tmpfs"}}}}"#,
        ),
        ("volumes", "volumes: [/t]", Body("/HostConfig/Mounts/0/Type"), r#""volume""#),
        (
            "volumes",
            "volumes: ['./x:/t']",
            Body("/HostConfig/Mounts"),
            r#"[{"Type":"bind","Source":"/p/x","Target":"/t"}]"#,
        ),
        (
            "volumes",
            "volumes: [{type: bind, source: ~/x, target: /t, bind: {propagation: rslave, recursive: disabled}}]",
            Body("/HostConfig/Mounts"),
            r#"[{"Type":"bind","Source":"/home/me/x","Target":"/t","BindOptions":{"Propagation":"rslave","NonRecursive":true}}]"#,
        ),
        (
            "volumes",
            "volumes: [{type: volume, source: v, target: /t, volume: {labels: {a: b}}}]",
            Body("/HostConfig/Mounts/0/VolumeOptions/Labels/a"),
            r#""b""#,
        ),
        (
            "volumes",
            "volumes: [{type: image, source: z, target: /t, image: {subpath: u}}]",
            Body("/HostConfig/Mounts"),
            r#"[{"Type":"image","Source":"z","Target":"/t","ImageOptions":{"Subpath":"u"}}]"#,
        ),
        ("volumes_from", "volumes_from: [b]", Body("/HostConfig/Mounts/0/Target"), r#""/of-b""#),
    ]
}

fn networks() -> Vec<Case> {
    vec![
        ("dns", "dns: [9.9.9.9, '::1']", Body("/HostConfig/Dns"), r#"["9.9.9.9","::1"]"#),
        ("dns_search", "dns_search: [a, b]", Body("/HostConfig/DnsSearch"), r#"["a","b"]"#),
        (
            "extra_hosts",
            "extra_hosts: {h: 1.2.3.4, six: '[::1]'}",
            Body("/HostConfig/ExtraHosts"),
            r#"["h:1.2.3.4","six:::1"]"#,
        ),
        (
            "mac_address",
            "networks: {n: {mac_address: '02:42:ac:11:65:43'}}",
            Body("/MacAddress"),
            r#""02:42:ac:11:65:43""#,
        ),
        (
            "networks",
            "networks: {n: {aliases: [x], driver_opts: {o: 1}}}",
            Spec("/TaskTemplate/Networks/0/Aliases"),
            r#"["x","a"]"#,
        ),
        (
            "networks",
            "networks: {n: {driver_opts: {o: 1}}}",
            Body("/NetworkingConfig/EndpointsConfig/s_n/DriverOpts"),
            r#"{"o":"1"}"#,
        ),
        (
            "networks",
            "networks: {n: {ipv4_address: 10.0.0.9}}",
            Told("`ipv4_address` is left out"),
            "",
        ),
        ("network_mode", "network_mode: none", Body("/HostConfig/NetworkMode"), r#""none""#),
        ("network_mode", "network_mode: 'service:b'", Told("cannot share the network"), ""),
        (
            "ports",
            "ports: ['53:5353/udp']",
            Spec("/EndpointSpec/Ports"),
            r#"[{"Protocol":"udp","TargetPort":5353,"PublishedPort":53,"PublishMode":"ingress"}]"#,
        ),
        ("ports", "ports: ['3000-3002:80-82']", Spec("/EndpointSpec/Ports/2/TargetPort"), "82"),
        (
            "ports",
            "ports: [{target: 80, published: '8080-8081', name: web}]",
            Spec("/EndpointSpec/Ports/1"),
            r#"{"Name":"web","TargetPort":80,"PublishedPort":8081}"#,
        ),
        (
            "ports",
            "ports: [{target: 53, protocol: udp, mode: host}]",
            Body("/HostConfig/PortBindings"),
            r#"{"53/udp":[{"HostPort":""}]}"#,
        ),
        ("ports", "ports: ['127.0.0.1:80:80']", Told("open on every address"), ""),
    ]
}

/// Every key of `deploy`.
fn deploy() -> Vec<Case> {
    vec![
        (
            "depends_on",
            "depends_on: [b]",
            Spec("/DependsOn"),
            r#"[{"Service":"s_b","Condition":"service_started"}]"#,
        ),
        (
            "depends_on",
            "depends_on: {b: {condition: service_completed_successfully, restart: true, required: false}}",
            Spec("/DependsOn"),
            r#"[{"Service":"s_b","Condition":"service_completed_successfully","Restart":true,"Optional":true}]"#,
        ),
        ("deploy", "deploy: {mode: global}", Spec("/Mode"), r#"{"Global":{}}"#),
        (
            "deploy",
            "deploy: {mode: replicated-job, replicas: 2}",
            Spec("/Mode"),
            r#"{"ReplicatedJob":{"MaxConcurrent":2,"TotalCompletions":2}}"#,
        ),
        ("deploy", "deploy: {mode: global-job}", Spec("/Mode"), r#"{"GlobalJob":{}}"#),
        ("deploy", "deploy: {endpoint_mode: dnsrr}", Spec("/EndpointSpec/Mode"), r#""dnsrr""#),
        ("deploy", "deploy: {labels: [a=b]}", Spec("/Labels/a"), r#""b""#),
        (
            "deploy",
            "deploy: {placement: {constraints: [node.role == manager], preferences: [{spread: node.labels.z}], max_replicas_per_node: 2}}",
            Spec("/TaskTemplate/Placement"),
            r#"{"Constraints":["node.role == manager"],"Preferences":[{"Spread":{"SpreadDescriptor":"node.labels.z"}}],"MaxReplicas":2}"#,
        ),
        (
            "deploy",
            "deploy: {update_config: {parallelism: 0, delay: 5s, failure_action: rollback, monitor: 1m, max_failure_ratio: 0.1, order: start-first}}",
            Spec("/UpdateConfig"),
            r#"{"Parallelism":0,"Delay":5000000000,"FailureAction":"rollback","Monitor":60000000000,"MaxFailureRatio":0.1,"Order":"start-first"}"#,
        ),
        (
            "deploy",
            "deploy: {rollback_config: {parallelism: 2, order: stop-first}}",
            Spec("/RollbackConfig/Parallelism"),
            "2",
        ),
        (
            "deploy",
            "deploy: {restart_policy: {condition: on-failure, delay: 2s, max_attempts: 3, window: 1m}}",
            Spec("/TaskTemplate/RestartPolicy"),
            r#"{"Condition":"on-failure","Delay":2000000000,"MaxAttempts":3,"Window":60000000000}"#,
        ),
        (
            "deploy",
            "deploy: {resources: {limits: {cpus: '0.5', memory: 64m, pids: 9}, reservations: {cpus: 0.25, memory: 32m}}}",
            Spec("/TaskTemplate/Resources"),
            r#"{"Limits":{"NanoCPUs":500000000,"MemoryBytes":67108864,"Pids":9},"Reservations":{"NanoCPUs":250000000,"MemoryBytes":33554432}}"#,
        ),
        (
            "deploy",
            "deploy: {resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: g, value: 2}}]}}}",
            Spec("/TaskTemplate/Resources/Reservations/GenericResources"),
            r#"[{"DiscreteResourceSpec":{"Kind":"g","Value":2}}]"#,
        ),
        (
            "deploy",
            "deploy: {resources: {reservations: {devices: [{capabilities: [gpu], count: all}]}}}",
            Body("/HostConfig/DeviceRequests"),
            r#"[{"Count":-1,"Capabilities":[["gpu"]]}]"#,
        ),
    ]
}

/// Sizes, counts and times.
fn limits() -> Vec<Case> {
    vec![
        (
            "blkio_config",
            "blkio_config: {weight_device: [{path: /dev/a, weight: 400}]}",
            Body("/HostConfig/BlkioWeightDevice"),
            r#"[{"Path":"/dev/a","Weight":400}]"#,
        ),
        (
            "blkio_config",
            "blkio_config: {device_write_iops: [{path: /dev/a, rate: 7}]}",
            Body("/HostConfig/BlkioDeviceWriteIOps"),
            r#"[{"Path":"/dev/a","Rate":7}]"#,
        ),
        ("cpus", "cpus: '1.5'", Body("/HostConfig/NanoCpus"), "1500000000"),
        ("cpu_quota", "cpu_quota: 20ms", Body("/HostConfig/CpuQuota"), "20000"),
        ("cpu_rt_runtime", "cpu_rt_runtime: '400'", Body("/HostConfig/CpuRealtimeRuntime"), "400"),
        ("mem_limit", "mem_limit: 67108864", Body("/HostConfig/Memory"), "67108864"),
        ("mem_limit", "mem_limit: 1.5g", Body("/HostConfig/Memory"), "1610612736"),
        (
            "memswap_limit",
            "{mem_limit: 64m, memswap_limit: -1}",
            Body("/HostConfig/MemorySwap"),
            "-1",
        ),
        ("mem_swappiness", "mem_swappiness: '60'", Body("/HostConfig/MemorySwappiness"), "60"),
        ("pids_limit", "pids_limit: -1", Body("/HostConfig/PidsLimit"), "-1"),
        ("shm_size", "shm_size: 65536", Body("/HostConfig/ShmSize"), "65536"),
        (
            "ulimits",
            "ulimits: {nproc: 65535, core: -1}",
            Body("/HostConfig/Ulimits"),
            r#"[{"Name":"core","Soft":-1,"Hard":-1},{"Name":"nproc","Soft":65535,"Hard":65535}]"#,
        ),
    ]
}

/// Values of variables in fields that are no texts, and where variables come from.
fn variables() -> Vec<Case> {
    vec![
        ("environment", "environment: [KEY]", Body("/Env"), r#"["KEY=secret"]"#),
        ("environment", "environment: {KEY: , N: null}", Body("/Env"), r#"["KEY=secret","N"]"#),
        ("environment", "environment: {A: 'x=y', B: 0x10}", Body("/Env"), r#"["A=x=y","B=16"]"#),
        (
            "env_file",
            "env_file: [{path: none.env, required: false}, f.env]",
            Body("/Env"),
            r#"["A=b"]"#,
        ),
        ("env_file", "env_file: [{path: q.env, format: raw}]", Body("/Env"), r#"["Q='x' $TWO"]"#),
        ("env_file", "env_file: [{path: q.env, required: true}]", Body("/Env"), r#"["Q=x"]"#),
        ("tty", "tty: ${YES}", Body("/Tty"), "true"),
        ("privileged", "privileged: '${YES:-false}'", Body("/HostConfig/Privileged"), "true"),
        ("mem_limit", "mem_limit: ${TWO}g", Body("/HostConfig/Memory"), "2147483648"),
        ("scale", "scale: ${TWO}", Spec("/Mode/Replicated/Replicas"), "2"),
        ("deploy", "deploy: {replicas: '${NO:-${TWO}}'}", Spec("/Mode/Replicated/Replicas"), "2"),
        (
            "ports",
            "ports: ['${TWO}000:${TWO}${TWO}']",
            Spec("/EndpointSpec/Ports/0/TargetPort"),
            "22",
        ),
        (
            "healthcheck",
            "healthcheck: {test: x, retries: '${TWO}', interval: '${TWO}s'}",
            Body("/Healthcheck"),
            r#"{"Test":["CMD-SHELL","x"],"Interval":2000000000,"Retries":2}"#,
        ),
        ("ulimits", "ulimits: {nofile: '${TWO}'}", Body("/HostConfig/Ulimits/0/Hard"), "2"),
    ]
}
