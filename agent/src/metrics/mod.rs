//! What this host's agent and its data plane measure, and the page that Prometheus scrapes.
//!
//! The page of a host is one: the agent's own numbers, those of its data plane (a process of its own),
//! and on a manager those of `orchestrator`. [`serve`] gives it out over TCP where that is asked for, the
//! socket does always. [`FAMILIES`] is the list in `docs/metrics.md`.
//!
//! Tallies are statics: one process measures one host. Labels are names of services and tasks' slots, of
//! which a host has few; names that are not on this host any more are forgotten.

pub mod containers;
mod engine;
mod process;
pub mod serve;

use model::metrics::{Counters, Histograms, Page};

use crate::membership::Membership;
use crate::session::Standing;

pub use engine::Measured;

/// Which program this is, in `swarmctl_build_info` and the process metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Agent,
    DataPlane,
    Orchestrator,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Program::Agent => "agent",
            Program::DataPlane => "dataplane",
            Program::Orchestrator => "orchestrator",
        }
    }
}

model::families! {
    /// Everything that the agent and its data plane measure.
    BUILD = "swarmctl_build_info", Gauge, "always 1", ["program", "version"],
        "Which version runs.";
    CPU = "swarmctl_process_cpu_seconds_total", Counter, "seconds", ["program"],
        "Processor time of the program on this host, user and system.";
    MEMORY = "swarmctl_process_resident_memory_bytes", Gauge, "bytes", ["program"],
        "Memory of the program that is in RAM.";
    FILES = "swarmctl_process_open_fds", Gauge, "files", ["program"],
        "Open files and sockets of the program.";
    SESSION = "swarmctl_session_connected", Gauge, "0 or 1", [],
        "Whether this host has a session with the leading manager.";
    APPLIED = "swarmctl_applied_revision", Gauge, "log position", [],
        "Revision of the cluster's state that names and routes on this host follow.";
    ENGINE = "swarmctl_engine_request_duration_seconds", Histogram, "seconds", ["operation"],
        "How long the local engine took for what the agent asked of it.";
    ENGINE_ERRORS = "swarmctl_engine_errors_total", Counter, "requests", ["operation", "reason"],
        "Requests to the local engine that failed: away (no connection), silent (no answer in time), refused.";
    ENGINE_UP = "swarmctl_engine_up", Gauge, "0 or 1", [],
        "Whether the local engine answered when this page was asked for.";
    CONTAINER_CPU = "swarmctl_container_cpu_seconds_total", Counter, "seconds", ["service", "task"],
        "Processor time of the task's container.";
    CONTAINER_MEMORY = "swarmctl_container_memory_usage_bytes", Gauge, "bytes", ["service", "task"],
        "Memory of the task's container without the page cache that can be given back.";
    CONTAINER_LIMIT = "swarmctl_container_memory_limit_bytes", Gauge, "bytes", ["service", "task"],
        "Memory that the task's container may use; the host's where it has no limit.";
    CONTAINER_RECEIVED = "swarmctl_container_network_receive_bytes_total", Counter, "bytes", ["service", "task"],
        "Bytes that the task's container received over all of its networks.";
    CONTAINER_SENT = "swarmctl_container_network_transmit_bytes_total", Counter, "bytes", ["service", "task"],
        "Bytes that the task's container sent over all of its networks.";
    INGRESS = "swarmctl_ingress_connections_total", Counter, "connections", ["service"],
        "Connections (TCP) and clients (UDP) taken on published ports of this host.";
    INGRESS_OPEN = "swarmctl_ingress_connections_open", Gauge, "connections", ["service"],
        "TCP connections through published ports of this host that are open now.";
    INGRESS_FAILED = "swarmctl_ingress_failures_total", Counter, "connections", ["service"],
        "Connections to published ports of this host that no task took in time.";
    INGRESS_RETRIES = "swarmctl_ingress_task_unreached_total", Counter, "tries", ["service"],
        "Tries to reach one task that failed; the next task was tried and the client noticed nothing.";
    INGRESS_CONNECT = "swarmctl_ingress_connect_duration_seconds", Histogram, "seconds", ["service"],
        "From taking a connection to being connected to a task.";
    TRACES = "swarmctl_trace_spans_total", Counter, "spans", ["program", "outcome"],
        "Spans of traces: sent, dropped (more at once than may wait), failed (the collector did not take them).";
    DNS = "swarmctl_dns_queries_total", Counter, "questions", ["answer"],
        "Names that containers of this host asked for: cluster (known here), nobody (known not to exist), forwarded (asked elsewhere), failed (no server answered), refused (not understood).";
}

/// What the agent counts.
pub(crate) static ENGINE_TOOK: Histograms = Histograms::new();
pub(crate) static ENGINE_FAILED: Counters = Counters::new();

/// What the data plane counts.
pub(crate) static TAKEN: Counters = Counters::new();
pub(crate) static OPEN: Counters = Counters::new();
pub(crate) static FAILED: Counters = Counters::new();
pub(crate) static UNREACHED: Counters = Counters::new();
pub(crate) static CONNECTED: Histograms = Histograms::new();
pub(crate) static QUESTIONS: Counters = Counters::new();

/// A connection that is open until this is dropped.
pub(crate) struct OpenConnection(String);

impl OpenConnection {
    pub(crate) fn of(service: &str) -> OpenConnection {
        OPEN.add(&[service], 1);
        OpenConnection(service.to_owned())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        OPEN.take(&[&self.0]);
    }
}

/// Forgets services that publish nothing any more.
pub(crate) fn keep_services(known: impl Fn(&str) -> bool + Copy) {
    for counters in [&TAKEN, &FAILED, &UNREACHED] {
        counters.keep(known);
    }
    OPEN.keep(known);
    CONNECTED.keep(known);
}

/// The data plane's part of the host's page.
#[must_use]
pub fn data_plane_page() -> String {
    let mut page = Page::default();
    process::write(&mut page, &[(Program::DataPlane, std::process::id())]);
    TAKEN.write(&mut page, &INGRESS);
    OPEN.write(&mut page, &INGRESS_OPEN);
    FAILED.write(&mut page, &INGRESS_FAILED);
    UNREACHED.write(&mut page, &INGRESS_RETRIES);
    CONNECTED.write(&mut page, &INGRESS_CONNECT);
    QUESTIONS.write(&mut page, &DNS);
    page.into_text()
}

/// The agent's own part.
async fn agent_page(membership: &Membership) -> String {
    let mut page = Page::default();
    let version = env!("CARGO_PKG_VERSION");
    page.all(&BUILD, [(vec![Program::Agent.name(), version], 1.0)]);
    let manager = membership.manager_process();
    let mut programs = vec![(Program::Agent, std::process::id())];
    programs.extend(manager.map(|pid| (Program::Orchestrator, pid)));
    process::write(&mut page, &programs);
    let connected = matches!(membership.view().borrow().standing, Standing::Connected(_));
    page.one(&SESSION, f64::from(u8::from(connected)));
    page.one(&APPLIED, membership.applied().0 as f64);
    telemetry::SPANS.write(&mut page, &TRACES);
    ENGINE_TOOK.write(&mut page, &ENGINE);
    ENGINE_FAILED.write(&mut page, &ENGINE_ERRORS);
    containers::write(&mut page, &membership.engine()).await;
    page.into_text()
}
