//! What a manager measures of itself and of the cluster, and where Prometheus finds what to scrape.
//!
//! Served on the manager's own socket, by this manager, whoever leads: its host's agent puts the page
//! together with its own (`agent::metrics`). What is said of the cluster comes from this manager's replica of
//! the state, so every manager says it; who adds up series over managers takes the greatest, not the sum.
//!
//! Tallies are statics: one process is one manager. Read [`discovery`] for `/prometheus/…`.

pub mod discovery;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use model::lifecycle::{Desired, TaskState};
use model::metrics::{Counters, Family, Histograms, Page};
use model::object::{NodeState, RolloutState, Service, Task};
use model::spec::ModeKind;
use orchestrator_core::State;
use orchestrator_core::command::Batch;

use crate::log::{Done, Log, ProposeError, Standing};
use crate::sessions::Sessions;

model::families! {
    /// Everything that a manager measures.
    BUILD = "swarmctl_build_info", Gauge, "always 1", ["program", "version"],
        "Which version runs.";
    TERM = "swarmctl_raft_term", Gauge, "term", [],
        "Raft's term; rises with every election.";
    IS_LEADER = "swarmctl_raft_is_leader", Gauge, "0 or 1", [],
        "Whether this manager leads: elected, up to date, and heard by a quorum.";
    HAS_LEADER = "swarmctl_raft_has_leader", Gauge, "0 or 1", [],
        "Whether this manager knows of a leader.";
    MEMBERS = "swarmctl_raft_members", Gauge, "managers", ["standing"],
        "Managers that take part in the log: voter or learner.";
    LAST = "swarmctl_raft_log_last_index", Gauge, "log position", [],
        "Last entry that is in this manager's log.";
    IN_STATE = "swarmctl_raft_log_applied_index", Gauge, "log position", [],
        "Last entry that is in this manager's state.";
    SNAPSHOT = "swarmctl_raft_snapshot_index", Gauge, "log position", [],
        "Last entry that is in this manager's newest snapshot.";
    COMMIT = "swarmctl_raft_commit_duration_seconds", Histogram, "seconds", [],
        "From proposing an entry to having it on the disks of a quorum and in the state (on the leader).";
    PROPOSALS = "swarmctl_raft_proposals_total", Counter, "entries", ["outcome"],
        "Entries that this manager proposed: written, refused, not_leader, unknown (no answer in time).";
    SESSIONS = "swarmctl_agent_sessions", Gauge, "sessions", [],
        "Agents that have their session with this manager; all of them have it with the leader.";
    PLANS = "swarmctl_planner_duration_seconds", Histogram, "seconds", [],
        "How long the planner took for a run (on the leader); the count is how often it ran.";
    PLANNED = "swarmctl_planner_commands_total", Counter, "commands", [],
        "Changes of the state that the planner proposed (on the leader).";
    NODES = "swarmctl_nodes", Gauge, "nodes", ["role", "state"],
        "Nodes by role (manager, worker) and state (ready, down, disconnected, unknown).";
    NODE_READY = "swarmctl_node_ready", Gauge, "0 or 1", ["node", "hostname", "availability"],
        "Whether the node's agent reports.";
    TASKS = "swarmctl_tasks", Gauge, "tasks", ["state"],
        "Tasks by state, also ended ones that are kept as history.";
    WANTED = "swarmctl_service_tasks_desired", Gauge, "tasks", ["service"],
        "Tasks of the service that should run now.";
    RUNNING = "swarmctl_service_tasks_running", Gauge, "tasks", ["service"],
        "Tasks of the service that should run and do.";
    UNPLACED = "swarmctl_service_tasks_unplaced", Gauge, "tasks", ["service"],
        "Tasks of the service that should run and fit no node.";
    FAILING = "swarmctl_service_tasks_failing", Gauge, "tasks", ["service"],
        "Tasks of the service that follow one that failed and do not run yet: starting, or held back by the back-off.";
    OUTDATED = "swarmctl_service_tasks_outdated", Gauge, "tasks", ["service"],
        "Tasks of the service that still have to be replaced by the update under way.";
    UPDATING = "swarmctl_service_update_running", Gauge, "0 or 1", ["service"],
        "Whether an update or a rollback of the service is under way.";
    TRACES = "swarmctl_trace_spans_total", Counter, "spans", ["program", "outcome"],
        "Spans of traces: sent, dropped (more at once than may wait), failed (the collector did not take them).";
    PAUSED = "swarmctl_service_update_paused", Gauge, "0 or 1", ["service"],
        "Whether an update or a rollback of the service has stopped because of failures.";
}

static COMMITTED: Histograms = Histograms::new();
static PROPOSED: Counters = Counters::new();
static RUNS: Histograms = Histograms::new();
static COMMANDS: Counters = Counters::new();

/// The log answered a proposal.
pub(crate) fn proposed<A>(took: Duration, outcome: &Result<Done<A>, ProposeError>) {
    let outcome = match outcome {
        Ok(_) => {
            COMMITTED.observe(&[], took.as_secs_f64());
            "written"
        }
        Err(ProposeError::NotLeader { .. }) => "not_leader",
        Err(ProposeError::Refused { .. }) => "refused",
        Err(ProposeError::Unknown { .. }) => "unknown",
    };
    PROPOSED.add(&[outcome], 1);
}

/// The planner ran.
pub(crate) fn planned(took: Duration, batches: &[Batch]) {
    RUNS.observe(&[], took.as_secs_f64());
    let commands: usize = batches.iter().map(|batch| batch.commands.len()).sum();
    COMMANDS.add(&[], commands as u64);
}

/// `/metrics` and `/prometheus/…`.
pub fn routes(log: Log<State>, sessions: Arc<Sessions>) -> Router {
    let discovered = discovery::routes(log.clone());
    let page = move || {
        let page = page(&log, &sessions);
        async move { ([(CONTENT_TYPE, model::metrics::CONTENT_TYPE)], page) }
    };
    Router::new().route("/metrics", get(page)).merge(discovered)
}

fn page(log: &Log<State>, sessions: &Sessions) -> String {
    let mut page = Page::default();
    page.all(&BUILD, [(vec!["orchestrator", env!("CARGO_PKG_VERSION")], 1.0)]);
    let leadership = log.leadership();
    page.one(&TERM, leadership.term as f64);
    page.one(&IS_LEADER, flag(leadership.is_leading));
    page.one(&HAS_LEADER, flag(leadership.leader.is_some()));
    let members = log.members();
    let count = |standing| members.iter().filter(|m| m.standing == standing).count() as f64;
    page.all(
        &MEMBERS,
        [(vec!["voter"], count(Standing::Voter)), (vec!["learner"], count(Standing::Learner))],
    );
    let extent = log.extent();
    page.one(&LAST, extent.last as f64);
    page.one(&IN_STATE, extent.applied as f64);
    page.one(&SNAPSHOT, extent.snapshot as f64);
    COMMITTED.write(&mut page, &COMMIT);
    PROPOSED.write(&mut page, &PROPOSALS);
    page.one(&self::SESSIONS, sessions.count() as f64);
    telemetry::SPANS.write(&mut page, &TRACES);
    RUNS.write(&mut page, &PLANS);
    COMMANDS.write(&mut page, &PLANNED);
    page.into_text() + &of_state(&log.state().state)
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// What a replica says of the cluster.
#[must_use]
pub fn of_state(state: &State) -> String {
    let mut page = Page::default();
    let mut nodes: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for role in ["manager", "worker"] {
        nodes.insert((role, NodeState::Ready.name()), 0.0);
        nodes.insert((role, NodeState::Down.name()), 0.0);
    }
    for node in state.nodes() {
        *nodes.entry((node.spec.role.name(), node.status.state.name())).or_default() += 1.0;
    }
    page.all(&NODES, nodes.into_iter().map(|((role, state), n)| (vec![role, state], n)));
    page.begin(&NODE_READY);
    for node in state.nodes() {
        let labels = [
            &*node.id.to_string(),
            &node.description.hostname,
            discovery::availability(node.spec.availability),
        ];
        page.sample(&NODE_READY, &labels, flag(node.status.state == NodeState::Ready));
    }
    let mut tasks: BTreeMap<TaskState, f64> = TaskState::ALL.map(|state| (state, 0.0)).into();
    for task in state.tasks() {
        *tasks.entry(task.status.state).or_default() += 1.0;
    }
    page.all(&TASKS, tasks.into_iter().map(|(state, n)| (vec![state.name()], n)));
    let services: Vec<Counts> =
        state.services().filter(|s| s.removed.is_none()).map(|s| Counts::of(state, s)).collect();
    let families: [(&Family, ValueOf); 7] = [
        (&WANTED, |c| c.wanted),
        (&RUNNING, |c| c.running),
        (&UNPLACED, |c| c.unplaced),
        (&FAILING, |c| c.failing),
        (&OUTDATED, |c| c.outdated),
        (&UPDATING, |c| c.updating),
        (&PAUSED, |c| c.paused),
    ];
    for (family, value) in families {
        page.all(family, services.iter().map(|counts| (vec![&*counts.service], value(counts))));
    }
    page.into_text()
}

/// One of a service's numbers.
type ValueOf = fn(&Counts) -> f64;

/// One service's tasks, counted.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    service: String,
    wanted: f64,
    running: f64,
    unplaced: f64,
    failing: f64,
    outdated: f64,
    updating: f64,
    paused: f64,
}

impl Counts {
    fn of(state: &State, service: &Service) -> Counts {
        let live: Vec<&Task> = state
            .tasks_of(service.id)
            .map(AsRef::as_ref)
            .filter(|t| t.desired <= Desired::Running && !t.status.state.is_terminal())
            .collect();
        let count = |is: &dyn Fn(&Task) -> bool| live.iter().filter(|t| is(t)).count() as f64;
        let updating = matches!(&service.rollout, Some(r) if r.state == RolloutState::Running);
        let wanted = match service.spec.mode.kind() {
            ModeKind::Replicated { replicas } => replicas as f64,
            ModeKind::Global | ModeKind::GlobalJob | ModeKind::ReplicatedJob { .. } => {
                live.len() as f64
            }
        };
        Counts {
            service: service.spec.name.clone(),
            wanted,
            running: count(&|t| t.status.state == TaskState::Running),
            unplaced: count(&|t| t.node.is_none()),
            failing: count(&|t| t.restarts.in_a_row > 0 && t.status.state < TaskState::Running),
            outdated: if updating { count(&|t| t.template != service.template) } else { 0.0 },
            updating: flag(updating),
            paused: flag(matches!(&service.rollout, Some(r) if r.state == RolloutState::Paused)),
        }
    }
}
