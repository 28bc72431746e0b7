//! The options of `docker run`, and where each goes in a Compose file.

use crate::nearest::nearest;

/// One option.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    pub name: &'static str,
    pub letter: Option<char>,
    pub takes: Takes,
    pub to: To,
}

/// Whether a value follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    Value,
}

/// Where an option goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum To {
    /// A text under this key.
    Text(&'static str),
    Int(&'static str),
    Bool(&'static str),
    /// A further item of this list.
    Item(&'static str),
    /// A further `key=value` of this list.
    Pair(&'static str),
    /// A text under a key under a key.
    Under(&'static str, &'static str),
    /// A number of seconds.
    Seconds(&'static str),
    Health(&'static str),
    NoHealth,
    LogOption,
    Ulimit,
    Gpus,
    Volume,
    Mount,
    Network,
    Alias,
    Restart,
    Name,
    /// Nowhere, for this reason.
    Nothing(&'static str),
}

const fn value(name: &'static str, to: To) -> Flag {
    Flag { name, letter: None, takes: Takes::Value, to }
}

const fn switch(name: &'static str, to: To) -> Flag {
    Flag { name, letter: None, takes: Takes::Nothing, to }
}

const fn or(flag: Flag, letter: char) -> Flag {
    Flag { letter: Some(letter), ..flag }
}

/// The option of this name.
pub(super) fn long(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|f| f.name == name)
}

/// The option of this letter.
pub(super) fn short(letter: char) -> Option<&'static Flag> {
    FLAGS.iter().find(|f| f.letter == Some(letter))
}

/// The option that was perhaps meant.
pub(super) fn near(name: &str) -> Option<String> {
    nearest(name, FLAGS.iter().map(|f| f.name)).map(|n| format!("--{n}"))
}

static FLAGS: &[Flag] = &[
    value("add-host", To::Item("extra_hosts")),
    value("annotation", To::Pair("annotations")),
    or(value("attach", To::Nothing("nothing is attached to a terminal")), 'a'),
    value("blkio-weight", To::Under("blkio_config", "weight")),
    value("cap-add", To::Item("cap_add")),
    value("cap-drop", To::Item("cap_drop")),
    value("cgroup-parent", To::Text("cgroup_parent")),
    value("cgroupns", To::Text("cgroup")),
    value("cidfile", To::Nothing("a task's container is found by its service")),
    value("cpu-period", To::Int("cpu_period")),
    value("cpu-quota", To::Int("cpu_quota")),
    value("cpu-rt-period", To::Int("cpu_rt_period")),
    value("cpu-rt-runtime", To::Int("cpu_rt_runtime")),
    or(value("cpu-shares", To::Int("cpu_shares")), 'c'),
    value("cpus", To::Text("cpus")),
    value("cpuset-cpus", To::Text("cpuset")),
    value("cpuset-mems", To::Nothing("Compose has no key for it")),
    or(switch("detach", To::Nothing("services always run in the background")), 'd'),
    value("detach-keys", To::Nothing("nothing is attached to a terminal")),
    value("device", To::Item("devices")),
    value("device-cgroup-rule", To::Item("device_cgroup_rules")),
    switch("disable-content-trust", To::Nothing("it concerns pulling by hand")),
    value("dns", To::Item("dns")),
    value("dns-option", To::Item("dns_opt")),
    value("dns-opt", To::Item("dns_opt")),
    value("dns-search", To::Item("dns_search")),
    value("domainname", To::Text("domainname")),
    value("entrypoint", To::Item("entrypoint")),
    or(value("env", To::Pair("environment")), 'e'),
    value("env-file", To::Item("env_file")),
    value("expose", To::Item("expose")),
    value("gpus", To::Gpus),
    value("group-add", To::Item("group_add")),
    value("health-cmd", To::Health("test")),
    value("health-interval", To::Health("interval")),
    value("health-retries", To::Health("retries")),
    value("health-start-interval", To::Health("start_interval")),
    value("health-start-period", To::Health("start_period")),
    value("health-timeout", To::Health("timeout")),
    or(value("hostname", To::Text("hostname")), 'h'),
    switch("init", To::Bool("init")),
    or(switch("interactive", To::Bool("stdin_open")), 'i'),
    value("ip", To::Nothing("tasks get their addresses from the network: use names")),
    value("ip6", To::Nothing("tasks get their addresses from the network: use names")),
    value("ipc", To::Text("ipc")),
    value("isolation", To::Text("isolation")),
    or(value("label", To::Pair("labels")), 'l'),
    value("label-file", To::Item("label_file")),
    value("link", To::Nothing("services on one network find each other by name")),
    value("log-driver", To::Under("logging", "driver")),
    value("log-opt", To::LogOption),
    value("mac-address", To::Text("mac_address")),
    or(value("memory", To::Text("mem_limit")), 'm'),
    value("memory-reservation", To::Text("mem_reservation")),
    value("memory-swap", To::Text("memswap_limit")),
    value("memory-swappiness", To::Int("mem_swappiness")),
    value("mount", To::Mount),
    value("name", To::Name),
    value("net", To::Network),
    value("network", To::Network),
    value("net-alias", To::Alias),
    value("network-alias", To::Alias),
    switch("no-healthcheck", To::NoHealth),
    switch("oom-kill-disable", To::Bool("oom_kill_disable")),
    value("oom-score-adj", To::Int("oom_score_adj")),
    value("pid", To::Text("pid")),
    value("pids-limit", To::Int("pids_limit")),
    value("platform", To::Text("platform")),
    switch("privileged", To::Bool("privileged")),
    or(value("publish", To::Item("ports")), 'p'),
    or(switch("publish-all", To::Nothing("name the ports to publish")), 'P'),
    value("pull", To::Text("pull_policy")),
    or(switch("quiet", To::Nothing("it concerns the command's own output")), 'q'),
    switch("read-only", To::Bool("read_only")),
    value("restart", To::Restart),
    switch("rm", To::Nothing("ended tasks are cleaned up by the cluster")),
    value("runtime", To::Text("runtime")),
    value("security-opt", To::Item("security_opt")),
    value("shm-size", To::Text("shm_size")),
    switch("sig-proxy", To::Nothing("nothing is attached to a terminal")),
    value("stop-signal", To::Text("stop_signal")),
    value("stop-timeout", To::Seconds("stop_grace_period")),
    value("storage-opt", To::Nothing("write it by hand as `storage_opt`")),
    value("sysctl", To::Pair("sysctls")),
    value("tmpfs", To::Item("tmpfs")),
    or(switch("tty", To::Bool("tty")), 't'),
    value("ulimit", To::Ulimit),
    switch("use-api-socket", To::Bool("use_api_socket")),
    or(value("user", To::Text("user")), 'u'),
    value("userns", To::Text("userns_mode")),
    value("uts", To::Text("uts")),
    or(value("volume", To::Volume), 'v'),
    value("volume-driver", To::Nothing("give the volume its driver in the section `volumes`")),
    value("volumes-from", To::Item("volumes_from")),
    or(value("workdir", To::Text("working_dir")), 'w'),
];
