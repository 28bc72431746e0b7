//! Every key of a service.

use super::{
    ANY, BOOL, COUNT, DURATION, Field, INT, Kind, Merge, PAIRS, Shape, Short, SizeForm, TEXT,
    TEXT_OR_LIST, TEXT_SET, VARIABLES, WORD, WORDS_BY_KEY, build, deploy, field, mounts, shape,
};

/// A service.
pub const SERVICE: Kind = Kind::Object(&SERVICE_SHAPE);

/// The keys of a service.
pub const SERVICE_SHAPE: Shape = shape("a service", FIELDS);

const FIELDS: &[Field] = &[
    field("annotations", &PAIRS).to("TaskTemplate.ContainerSpec.Engine.Annotations"),
    field("attach", &BOOL).noted("nothing is attached to a terminal: see the logs"),
    field("blkio_config", &Kind::Object(&BLKIO)).to("TaskTemplate.ContainerSpec.Engine.Blkio"),
    field("build", &BUILD).noted("images are built beforehand, not by a deploy"),
    field("cap_add", &TEXT_SET).to("TaskTemplate.ContainerSpec.CapabilityAdd"),
    field("cap_drop", &TEXT_SET).to("TaskTemplate.ContainerSpec.CapabilityDrop"),
    field("cgroup", &CGROUP).to("TaskTemplate.ContainerSpec.Engine.CgroupnsMode"),
    field("cgroup_parent", &TEXT).to("TaskTemplate.ContainerSpec.Engine.CgroupParent"),
    field("cgroupns_mode", &CGROUP).to("TaskTemplate.ContainerSpec.Engine.CgroupnsMode"),
    field("command", &Kind::Command).to("TaskTemplate.ContainerSpec.Args").merge(Merge::Replace),
    field("configs", &mounts::FILE_USES)
        .to("TaskTemplate.ContainerSpec.Configs")
        .merge(Merge::FileUses),
    field("container_name", &TEXT)
        .noted("a task's container is named after service, slot and task"),
    field("cpu_count", &COUNT).noted("only Windows containers have it; use `cpus`"),
    field("cpu_percent", &Kind::Number).noted("only Windows containers have it; use `cpus`"),
    field("cpu_period", &Kind::Micros).to("TaskTemplate.ContainerSpec.Engine.CpuPeriod"),
    field("cpu_quota", &Kind::Micros).to("TaskTemplate.ContainerSpec.Engine.CpuQuota"),
    field("cpu_rt_period", &Kind::Micros).to("TaskTemplate.ContainerSpec.Engine.CpuRealtimePeriod"),
    field("cpu_rt_runtime", &Kind::Micros)
        .to("TaskTemplate.ContainerSpec.Engine.CpuRealtimeRuntime"),
    field("cpu_shares", &COUNT).to("TaskTemplate.ContainerSpec.Engine.CpuShares"),
    field("cpus", &Kind::Cpus).to("TaskTemplate.Resources.Limits.NanoCPUs"),
    field("cpuset", &TEXT).to("TaskTemplate.ContainerSpec.Engine.CpusetCpus"),
    field("credential_spec", &Kind::Object(&CREDENTIAL))
        .to("TaskTemplate.ContainerSpec.Privileges.CredentialSpec"),
    field("depends_on", &DEPENDS_ON).to("DependsOn"),
    field("deploy", &Kind::Nullable(&DEPLOY)).to("Mode, TaskTemplate, UpdateConfig, Labels …"),
    field("develop", &Kind::Nullable(&DEVELOP)).noted("it is for work on one machine"),
    field("device_cgroup_rules", &TEXT_SET)
        .to("TaskTemplate.ContainerSpec.Engine.DeviceCgroupRules"),
    field("devices", &Kind::List(&DEVICE)).to("TaskTemplate.ContainerSpec.Engine.Devices"),
    field("dns", &TEXT_OR_LIST).to("TaskTemplate.ContainerSpec.DNSConfig.Nameservers"),
    field("dns_opt", &TEXT_SET).to("TaskTemplate.ContainerSpec.DNSConfig.Options"),
    field("dns_search", &TEXT_OR_LIST).to("TaskTemplate.ContainerSpec.DNSConfig.Search"),
    field("domainname", &TEXT).to("TaskTemplate.ContainerSpec.Engine.Domainname"),
    field("entrypoint", &Kind::Command)
        .to("TaskTemplate.ContainerSpec.Command")
        .merge(Merge::Replace),
    field("env_file", &Kind::OneOrMore(&ENV_FILE)).used("its variables join `environment`"),
    field("environment", &VARIABLES).to("TaskTemplate.ContainerSpec.Env"),
    field("expose", &Kind::Set(&WORD))
        .noted("services on one network reach each other's every port"),
    field("extends", &EXTENDS).used("the other service's keys are the base of this one's"),
    field("external_links", &TEXT_SET).noted("containers find services by network and name"),
    field("extra_hosts", &Kind::Hosts).to("TaskTemplate.ContainerSpec.Hosts"),
    field("gpus", &GPUS).to("TaskTemplate.ContainerSpec.Engine.DeviceRequests"),
    field("group_add", &Kind::Set(&WORD)).to("TaskTemplate.ContainerSpec.Groups"),
    field("healthcheck", &Kind::Object(&HEALTH))
        .to("TaskTemplate.ContainerSpec.Healthcheck")
        .merge(Merge::Health)
        .keep_empty(),
    field("hostname", &TEXT).to("TaskTemplate.ContainerSpec.Hostname"),
    field("image", &TEXT).to("TaskTemplate.ContainerSpec.Image"),
    field("init", &BOOL).to("TaskTemplate.ContainerSpec.Init").keep_empty(),
    field("ipc", &TEXT).to("TaskTemplate.ContainerSpec.Engine.IpcMode"),
    field("isolation", &TEXT).to("TaskTemplate.ContainerSpec.Isolation"),
    field("label_file", &TEXT_OR_LIST).used("its labels join `labels`"),
    field("labels", &PAIRS).to("TaskTemplate.ContainerSpec.Labels"),
    field("links", &TEXT_SET).noted("services on one network find each other by name"),
    field("logging", &Kind::Object(&LOGGING))
        .to("TaskTemplate.LogDriver")
        .merge(Merge::Logging)
        .keep_empty(),
    field("mac_address", &TEXT).to("TaskTemplate.ContainerSpec.Engine.MacAddress"),
    field("mem_limit", &Kind::Size(SizeForm::Digits))
        .to("TaskTemplate.Resources.Limits.MemoryBytes"),
    field("mem_reservation", &Kind::Size(SizeForm::Digits))
        .to("TaskTemplate.Resources.Reservations.MemoryBytes"),
    field("mem_swappiness", &Kind::Int { min: -1, max: 100 })
        .to("TaskTemplate.ContainerSpec.Engine.MemorySwappiness")
        .keep_empty(),
    field("memswap_limit", &Kind::Size(SizeForm::OrUnlimited))
        .to("TaskTemplate.ContainerSpec.Engine.MemorySwap"),
    field("models", &MODELS)
        .noted("models are run by Docker Desktop's model runner, not by a cluster"),
    field("network_mode", &TEXT).to("TaskTemplate.ContainerSpec.Engine.NetworkMode"),
    field("networks", &NETWORKS).to("TaskTemplate.Networks"),
    field("oom_kill_disable", &BOOL).to("TaskTemplate.ContainerSpec.Engine.OomKillDisable"),
    field("oom_score_adj", &Kind::Int { min: -1000, max: 1000 })
        .to("TaskTemplate.ContainerSpec.OomScoreAdj"),
    field("pid", &Kind::Nullable(&TEXT)).to("TaskTemplate.ContainerSpec.Engine.PidMode"),
    field("pids_limit", &INT).to("TaskTemplate.Resources.Limits.Pids"),
    field("platform", &TEXT)
        .to("TaskTemplate.ContainerSpec.Engine.Platform, TaskTemplate.Placement.Platforms"),
    field("ports", &Kind::Ports).to("EndpointSpec.Ports").merge(Merge::Ports),
    field("post_start", &Kind::List(&HOOK)).to("TaskTemplate.ContainerSpec.Engine.PostStart"),
    field("pre_start", &Kind::List(&ANY))
        .noted("make it a service that others wait for: `service_completed_successfully`"),
    field("pre_stop", &Kind::List(&HOOK)).to("TaskTemplate.ContainerSpec.Engine.PreStop"),
    field("privileged", &BOOL).to("TaskTemplate.ContainerSpec.Engine.Privileged"),
    field("profiles", &TEXT_SET).used("whether the service takes part"),
    field("provider", &Kind::Object(&build::PROVIDER))
        .noted("a program on one machine provides it, not a container"),
    field("pull_policy", &TEXT).to("TaskTemplate.ContainerSpec.Engine.PullPolicy"),
    field("pull_refresh_after", &TEXT)
        .noted("say it with `pull_policy`: `every_12h`, `daily`, `weekly`"),
    field("read_only", &BOOL).to("TaskTemplate.ContainerSpec.ReadOnly"),
    field("restart", &TEXT).to("TaskTemplate.RestartPolicy"),
    field("runtime", &TEXT).to("TaskTemplate.ContainerSpec.Engine.Runtime"),
    field("scale", &COUNT).to("Mode.Replicated.Replicas").keep_empty(),
    field("secrets", &mounts::FILE_USES)
        .to("TaskTemplate.ContainerSpec.Secrets")
        .merge(Merge::FileUses),
    field("security_opt", &TEXT_SET).to("TaskTemplate.ContainerSpec.Engine.SecurityOpt"),
    field("shm_size", &Kind::Size(SizeForm::AsGiven))
        .to("TaskTemplate.ContainerSpec.Engine.ShmSize"),
    field("stdin_open", &BOOL).to("TaskTemplate.ContainerSpec.OpenStdin"),
    field("stop_grace_period", &DURATION)
        .to("TaskTemplate.ContainerSpec.StopGracePeriod")
        .keep_empty(),
    field("stop_signal", &TEXT).to("TaskTemplate.ContainerSpec.StopSignal"),
    field("storage_opt", &WORDS_BY_KEY).to("TaskTemplate.ContainerSpec.Engine.StorageOpt"),
    field("sysctls", &PAIRS).to("TaskTemplate.ContainerSpec.Sysctls"),
    field("tmpfs", &TEXT_OR_LIST).to("TaskTemplate.ContainerSpec.Engine.Tmpfs"),
    field("tty", &BOOL).to("TaskTemplate.ContainerSpec.TTY"),
    field("ulimits", &ULIMITS).to("TaskTemplate.ContainerSpec.Ulimits"),
    field("use_api_socket", &BOOL).to("TaskTemplate.ContainerSpec.Mounts"),
    field("user", &TEXT).to("TaskTemplate.ContainerSpec.User"),
    field("userns_mode", &TEXT).to("TaskTemplate.ContainerSpec.Engine.UsernsMode"),
    field("uts", &TEXT).to("TaskTemplate.ContainerSpec.Engine.UtsMode"),
    field("volume_driver", &TEXT).noted("give the volume its driver in the section `volumes`"),
    field("volumes", &Kind::List(&mounts::MOUNT))
        .to("TaskTemplate.ContainerSpec.Mounts")
        .merge(Merge::Mounts),
    field("volumes_from", &TEXT_SET).to("TaskTemplate.ContainerSpec.Mounts"),
    field("working_dir", &TEXT).to("TaskTemplate.ContainerSpec.Dir"),
];

const BUILD: Kind = Kind::Short { expand: Short::Build, long: &Kind::Object(&build::BUILD) };
const DEPLOY: Kind = Kind::Object(&deploy::DEPLOY);
const DEVELOP: Kind = Kind::Object(&build::DEVELOP);
const CGROUP: Kind = Kind::OneOf(&["host", "private"]);
const EXTENDS: Kind = Kind::Short { expand: Short::Extends, long: &Kind::Object(&EXTENDS_SHAPE) };
const EXTENDS_SHAPE: Shape =
    shape("extends", &[field("service", &TEXT), field("file", &TEXT)]).required(&["service"]);
const DEVICE: Kind = Kind::Short { expand: Short::Device, long: &Kind::Text };
const GPUS: Kind = Kind::Short { expand: Short::Gpus, long: &Kind::List(&deploy::DEVICE_REQUEST) };

const BLKIO: Shape = shape(
    "blkio_config",
    &[
        field("device_read_bps", &RATES).to("BlkioDeviceReadBps"),
        field("device_read_iops", &RATES).to("BlkioDeviceReadIOps"),
        field("device_write_bps", &RATES).to("BlkioDeviceWriteBps"),
        field("device_write_iops", &RATES).to("BlkioDeviceWriteIOps"),
        field("weight", &Kind::Int { min: 0, max: 1000 }).to("BlkioWeight"),
        field("weight_device", &Kind::List(&WEIGHT)).to("BlkioWeightDevice"),
    ],
);
const RATES: Kind = Kind::List(&RATE);
const RATE: Kind = Kind::Object(&RATE_SHAPE);
const RATE_SHAPE: Shape = shape(
    "blkio_config",
    &[field("path", &TEXT).to("Path"), field("rate", &Kind::Size(SizeForm::Number)).to("Rate")],
);
const WEIGHT: Kind = Kind::Object(&WEIGHT_SHAPE);
const WEIGHT_SHAPE: Shape = shape(
    "weight_device",
    &[
        field("path", &TEXT).to("Path"),
        field("weight", &Kind::Int { min: 0, max: 1000 }).to("Weight"),
    ],
);

const CREDENTIAL: Shape = shape(
    "credential_spec",
    &[
        field("config", &TEXT).to("Config"),
        field("file", &TEXT).to("File"),
        field("registry", &TEXT).to("Registry"),
    ],
);

const DEPENDS_ON: Kind = Kind::Short { expand: Short::DependsOn, long: &Kind::Named(&DEPENDENCY) };
const DEPENDENCY: Kind = Kind::Object(&DEPENDENCY_SHAPE);
const DEPENDENCY_SHAPE: Shape = shape(
    "depends_on",
    &[
        field(
            "condition",
            &Kind::OneOf(&["service_started", "service_healthy", "service_completed_successfully"]),
        )
        .to("Condition"),
        field("restart", &BOOL).to("Restart"),
        field("required", &BOOL).to("Optional").keep_empty(),
    ],
)
.required(&["condition"]);

const ENV_FILE: Kind = Kind::Short { expand: Short::EnvFile, long: &Kind::Object(&ENV_FILE_SHAPE) };
const ENV_FILE_SHAPE: Shape = shape(
    "env_file",
    &[
        field("path", &TEXT),
        field("required", &BOOL).keep_empty(),
        field("format", &Kind::OneOf(&["raw"])),
    ],
)
.required(&["path"]);

const HEALTH: Shape = shape(
    "healthcheck",
    &[
        field("test", &Kind::HealthTest).to("Test").merge(Merge::Replace),
        field("interval", &DURATION).to("Interval").keep_empty(),
        field("timeout", &DURATION).to("Timeout").keep_empty(),
        field("retries", &COUNT).to("Retries").keep_empty(),
        field("start_period", &DURATION).to("StartPeriod").keep_empty(),
        field("start_interval", &DURATION).to("StartInterval").keep_empty(),
        field("disable", &BOOL).to("Test"),
    ],
);

const LOGGING: Shape = shape(
    "logging",
    &[field("driver", &TEXT).to("Name"), field("options", &Kind::Map(&OPTION)).to("Options")],
);
const OPTION: Kind = Kind::WordOrEmpty;

const MODELS: Kind = Kind::Short { expand: Short::Models, long: &Kind::Named(&MODEL_USE) };
const MODEL_USE: Kind = Kind::Nullable(&MODEL_USE_OBJECT);
const MODEL_USE_OBJECT: Kind = Kind::Object(&build::MODEL_USE);

const NETWORKS: Kind = Kind::Short { expand: Short::Networks, long: &Kind::Named(&NETWORK_USE) };
const NETWORK_USE: Kind = Kind::Nullable(&NETWORK_USE_OBJECT);
const NETWORK_USE_OBJECT: Kind = Kind::Object(&NETWORK_USE_SHAPE);
const NETWORK_USE_SHAPE: Shape = shape(
    "networks",
    &[
        field("aliases", &TEXT_SET).to("Aliases").merge(Merge::Replace),
        field("driver_opts", &WORDS_BY_KEY).to("DriverOpts"),
        field("ipv4_address", &TEXT).noted("tasks get their addresses from the network: use names"),
        field("ipv6_address", &TEXT).noted("tasks get their addresses from the network: use names"),
        field("link_local_ips", &TEXT_SET).noted("tasks get their addresses from the network"),
        field("mac_address", &TEXT).to("TaskTemplate.ContainerSpec.Engine.MacAddress"),
        field("interface_name", &TEXT).noted("interfaces are named by the engine"),
        field("priority", &Kind::Number).noted("networks are joined in the order of their names"),
        field("gw_priority", &Kind::Number).noted("the way out is chosen by the node"),
    ],
);

const HOOK: Kind = Kind::Object(&HOOK_SHAPE);
const HOOK_SHAPE: Shape = shape(
    "hooks",
    &[
        field("command", &Kind::Command).to("Command"),
        field("user", &TEXT).to("User"),
        field("privileged", &BOOL).to("Privileged"),
        field("working_dir", &TEXT).to("WorkingDir"),
        field("environment", &VARIABLES).to("Env"),
    ],
)
.required(&["command"]);

/// Resource limits by name.
pub const ULIMITS: Kind = Kind::Map(&ULIMIT);
const ULIMIT: Kind = Kind::Short { expand: Short::Ulimit, long: &ANY };
/// The long form of a limit.
pub const ULIMIT_SHAPE: Shape = shape(
    "ulimits",
    &[field("soft", &INT).to("Soft").keep_empty(), field("hard", &INT).to("Hard").keep_empty()],
)
.required(&["soft", "hard"]);
