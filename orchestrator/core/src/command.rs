//! What can happen to the cluster's state: commands, the entry that carries them, what comes of it.
//!
//! An [`Entry`] is the payload of one Raft entry. A client's or an agent's batch is taken command
//! by command, each done or refused by itself. A planner's batch (it has a `base`) is taken whole
//! or refused whole as [`Refusal::Outdated`]: every planner command names what it relied on (the
//! template, the run of a job, the task it stands beside, a node with room), and `apply` looks
//! again. Nothing here is random and no time is read: both come in with the command.

mod cluster;

use serde::{Deserialize, Serialize};

use model::api::StackRequest;
use model::lifecycle::Desired;
use model::object::{
    NodeDescription, NodeState, NodeTrust, Restarts, Revision, Rollout, Slot, TemplateVersion,
    Version,
};
use model::reason::Reason;
use model::spec::{ClusterSpec, ConfigSpec, NetworkSpec, NodeSpec, SecretSpec, ServiceSpec};
use model::wire::session::TaskReport;
use model::{ConfigId, Id, NetworkId, NodeId, SecretId, ServiceId, TaskId, Timestamp};

pub use cluster::{
    Bootstrap, DEFAULT_POOLS, DEFAULT_SUBNET_SIZE, JoinNode, NewUnlockKey, RootChange, first_node,
};

/// The payload of one Raft entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The leader's clock when it proposed. `apply` never lets time run backwards.
    pub at: Timestamp,
    pub batch: Batch,
}

/// Commands that travel together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    pub commands: Vec<Command>,
    /// Set by the planner: the revision it looked at. Such a batch is whole or refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Revision>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    // ---- of the cluster
    /// The first command of a cluster, once.
    Bootstrap(Box<Bootstrap>),
    /// A host joins; answered with [`Response::Joined`].
    JoinNode(Box<JoinNode>),
    /// What an agent says of its host.
    DescribeNode {
        node: NodeId,
        description: Box<NodeDescription>,
    },
    /// The leader's judgement of a node, or that its agent leaves (`Disconnected`).
    NodeStatus {
        node: NodeId,
        state: NodeState,
        message: String,
    },

    /// Which certificate the process of a node's manager uses.
    ManagerTrust {
        node: NodeId,
        trust: Box<NodeTrust>,
    },

    // ---- of clients
    CreateService {
        spec: Box<ServiceSpec>,
        registry_auth: Option<String>,
    },
    UpdateService {
        id: ServiceId,
        version: Version,
        change: ServiceChange,
        registry_auth: RegistryAuth,
    },
    RemoveService {
        id: ServiceId,
    },
    CreateNetwork {
        spec: Box<NetworkSpec>,
    },
    RemoveNetwork {
        id: NetworkId,
    },
    CreateSecret {
        spec: Box<SecretSpec>,
    },
    UpdateSecret {
        id: SecretId,
        version: Version,
        spec: Box<SecretSpec>,
    },
    RemoveSecret {
        id: SecretId,
    },
    CreateConfig {
        spec: Box<ConfigSpec>,
    },
    UpdateConfig {
        id: ConfigId,
        version: Version,
        spec: Box<ConfigSpec>,
    },
    RemoveConfig {
        id: ConfigId,
    },
    UpdateNode {
        id: NodeId,
        version: Version,
        spec: Box<NodeSpec>,
    },
    RemoveNode {
        id: NodeId,
        force: Force,
    },
    UpdateCluster {
        version: Version,
        spec: Box<ClusterSpec>,
        /// The new secret part (25 base-36 digits) when the token is rotated.
        rotate_worker_token: Option<String>,
        rotate_manager_token: Option<String>,
        /// Drawn whenever the spec says that managers are locked.
        #[serde(default)]
        unlock_key: Option<NewUnlockKey>,
        /// What becomes of the certificate authority, drawn whenever the spec asks for another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        root: Option<Box<RootChange>>,
    },
    /// Has these tasks, as far as they run, replaced by others, which are placed anew.
    MoveTasks {
        tasks: Vec<TaskId>,
    },
    /// Keeps what a stack was deployed from as its revision `number`, which must be the next; any
    /// number if none is kept.
    RecordStack {
        name: String,
        number: u64,
        /// When it was deployed, if that is not now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Timestamp>,
        rollback_to: Option<u64>,
        /// Values of secrets are dropped if there are any.
        request: Box<StackRequest>,
    },
    /// Forgets the revisions of a stack.
    ForgetStack {
        name: String,
    },

    // ---- of agents
    /// The latest of each task; what is no legal move is left out (it is old or late).
    Report {
        node: NodeId,
        statuses: Vec<TaskReport>,
    },

    // ---- of the planner
    /// Ends the rotation of the authority; refused while a node has not followed.
    FinishRotation {
        /// What the rotation was to reach.
        wanted: Box<NodeTrust>,
    },
    /// A new task for a slot, placed at once when `node` is given.
    CreateTask(Box<CreateTask>),
    /// Gives a waiting task its node and addresses.
    Assign {
        task: TaskId,
        node: NodeId,
    },
    /// Raises what is wanted of a task. A task without a node ends with it.
    SetDesired {
        task: TaskId,
        desired: Desired,
    },
    /// Why a task is not running yet.
    SetWaiting {
        task: TaskId,
        waiting: Option<Reason>,
    },
    /// Gives up a task of a node that is down.
    Orphan {
        task: TaskId,
    },
    /// Forgets an ended task whose container is gone or can never be asked about.
    DeleteTask {
        task: TaskId,
    },
    /// Writes how far a change has come; `template` is what the service must still want.
    StepRollout {
        service: ServiceId,
        template: TemplateVersion,
        rollout: Rollout,
    },
    /// Goes back to the previous spec because the update failed.
    RollBack {
        service: ServiceId,
        template: TemplateVersion,
        message: String,
    },
}

/// What an update of a service asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceChange {
    Spec(Box<ServiceSpec>),
    /// Back to the previous spec (`rollback=previous`).
    Rollback,
}

/// What becomes of the registry credentials in an update.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistryAuth {
    Keep,
    Set(String),
}

impl std::fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RegistryAuth::Keep => "Keep",
            RegistryAuth::Set(_) => "Set(…)",
        })
    }
}

/// Whether a node that may still run is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Force {
    No,
    Yes,
}

/// A new task.
///
/// Relied on: the service has `template`, is at run `job_iteration` and is not removed; no other
/// task of the slot is wanted but `beside`; the node, if given, has room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreateTask {
    pub service: ServiceId,
    pub slot: Slot,
    pub template: TemplateVersion,
    #[serde(default)]
    pub job_iteration: u64,
    pub node: Option<NodeId>,
    /// `Ready` or `Running`.
    pub desired: Desired,
    pub not_before: Option<Timestamp>,
    #[serde(default)]
    pub restarts: Restarts,
    pub waiting: Option<Reason>,
    /// The task of the slot that runs on until this one does (start-first).
    pub beside: Option<TaskId>,
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    Created { id: Id, warnings: Vec<String> },
    Updated { warnings: Vec<String> },
    Joined { node: NodeId },
    Done,
}

/// What Docker says before the name of a service that is taken.
const CONFLICT: &str = "name conflicts with an existing object: ";

/// Why a command did nothing. The comment on each variant is Docker's HTTP code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// 404.
    #[error("{kind} {name} not found")]
    NotFound { kind: Kind, name: String },
    /// 409.
    #[error("{}{kind} {name} already exists", if *kind == Kind::Service { CONFLICT } else { "" })]
    NameTaken { kind: Kind, name: String },
    /// 409.
    #[error("{message}")]
    Exists { message: String },
    /// 409 (Docker 20.10: 500). Read the object again, then decide afresh.
    #[error("update out of sequence")]
    Stale { kind: Kind, expected: Version, found: Version },
    /// 400. Every problem there is.
    #[error("{}", problems.join("; "))]
    Invalid { problems: Vec<String> },
    /// 400.
    #[error("{message}")]
    InUse { message: String },
    /// 400: right as such, but not now.
    #[error("{message}")]
    Precondition { message: String },
    /// 501.
    #[error("{message}")]
    NotImplemented { message: String },
    /// 503: the cluster has not been bootstrapped, or already has.
    #[error("{message}")]
    Unavailable { message: String },
    /// Planner only: what the batch relied on has changed; the whole batch did nothing.
    #[error("planned on what has changed since: {what}")]
    Outdated { what: String },
}

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Cluster,
    Node,
    Service,
    Task,
    Network,
    Secret,
    Config,
}

impl Kind {
    /// The lower-case word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Cluster => "cluster",
            Kind::Node => "node",
            Kind::Service => "service",
            Kind::Task => "task",
            Kind::Network => "network",
            Kind::Secret => "secret",
            Kind::Config => "config",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// An object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectRef {
    Cluster,
    Node(NodeId),
    Service(ServiceId),
    Task(TaskId),
    Network(NetworkId),
    Secret(SecretId),
    Config(ConfigId),
}

impl ObjectRef {
    /// What kind of object it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            ObjectRef::Cluster => Kind::Cluster,
            ObjectRef::Node(_) => Kind::Node,
            ObjectRef::Service(_) => Kind::Service,
            ObjectRef::Task(_) => Kind::Task,
            ObjectRef::Network(_) => Kind::Network,
            ObjectRef::Secret(_) => Kind::Secret,
            ObjectRef::Config(_) => Kind::Config,
        }
    }
}

/// What one entry did to the state.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Applied {
    pub revision: Revision,
    /// One for each command, in order.
    pub responses: Vec<Result<Response, Refusal>>,
    /// One for each object touched, in order of the first touch.
    pub changes: Vec<Change>,
}

/// That an object changed. Old and new task carry what is gone from the state by then.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub object: ObjectRef,
    pub kind: ChangeKind,
    /// Of a removed object its name (of a task: its service's id and node are in `task`).
    pub name: String,
    /// Of a task: where it belongs, also once it is gone.
    pub task: Option<TaskPlace>,
}

/// Where a task belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPlace {
    pub service: ServiceId,
    pub slot: Slot,
    pub node: Option<NodeId>,
    /// Those on which something of it changed: it has an address there, or had, or ended.
    pub networks: Vec<NetworkId>,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Created,
    Updated,
    Removed,
}
