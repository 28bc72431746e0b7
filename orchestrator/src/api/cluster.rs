//! What the API needs of the cluster: reads, proposals, changes, members, streams to nodes.
//!
//! The program implements it over the replicated log and the agents' sessions; tests over a state
//! in memory. A follower hands its requests to the leader below this trait.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use model::NodeId;
use model::wire::session::{StreamHead, StreamRequest};
use orchestrator_core::command::{Applied, Batch};
use orchestrator_core::state::State;
use tokio::sync::mpsc;

/// The cluster as the API sees it.
pub trait Cluster: Send + Sync + 'static {
    /// The node whose manager this is.
    fn node(&self) -> NodeId;

    /// The state, containing everything acknowledged before this call.
    fn read(&self) -> BoxFuture<'_, Result<Arc<State>, ReadError>>;

    /// The state as far as this manager knows it.
    fn state(&self) -> Arc<State>;

    /// Puts the batch into the log and tells what came of it.
    fn propose(&self, batch: Batch) -> BoxFuture<'_, Result<Arc<Applied>, ProposeError>>;

    /// The state now, and every change after it, without a gap.
    fn watch(&self) -> (Arc<State>, BoxStream<'static, Feed>);

    /// The managers, as this one sees them.
    fn members(&self) -> Members;

    /// Asks a node's engine, with the request's body; its answer comes as a stream.
    fn open_stream(
        &self,
        node: NodeId,
        request: StreamRequest,
        body: RequestBody,
    ) -> BoxFuture<'_, Result<NodeStream, StreamError>>;
}

/// What follows on a state.
#[derive(Clone, Debug)]
pub enum Feed {
    /// Entries applied, oldest first, and the state after the last.
    Applied { after: Arc<State>, applied: Vec<Arc<Applied>> },
    /// Changes were missed: begin again from here.
    Reset(Arc<State>),
}

/// The managers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    pub leader: Option<NodeId>,
    /// Of every manager: whether the leader heard of it lately.
    pub managers: BTreeMap<NodeId, Reachability>,
}

/// Whether a manager takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reachability {
    #[default]
    Unknown,
    Reachable,
    Unreachable,
}

impl Reachability {
    /// Docker's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reachability::Unknown => "unknown",
            Reachability::Reachable => "reachable",
            Reachability::Unreachable => "unreachable",
        }
    }
}

/// A request's body on its way to an engine, as it comes. An error in it ends the request.
pub type RequestBody = BoxStream<'static, std::io::Result<Bytes>>;

/// The answer of a node's engine.
pub struct NodeStream {
    pub head: StreamHead,
    /// Once the engine has switched to a raw stream: its input. Dropping it ends that half.
    pub input: mpsc::Sender<Bytes>,
    /// The body, as it comes. Dropping it ends the request.
    pub body: BoxStream<'static, std::io::Result<Bytes>>,
}

/// Why a proposal did not take effect, or may not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nothing written. Try again when there is a leader.
    #[error("{NO_LEADER}")]
    NoLeader,
    /// Nothing written, and trying again is of no use.
    #[error("{why}")]
    Refused { why: String },
    /// Perhaps written. Read before any retry.
    #[error(
        "no answer from the log after {waited_ms} ms: the change may or may not have been made"
    )]
    Unknown { waited_ms: u64 },
}

/// Why the state cannot be read. Trying again is safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("{NO_LEADER}")]
    NoLeader,
}

/// Why a node's engine cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    #[error("the node has no session with the managers")]
    NotConnected,
    #[error("the node did not answer within {waited_ms} ms")]
    Timeout { waited_ms: u64 },
    #[error("the node's stream ended: {why}")]
    Broken { why: String },
}

/// In Docker's words.
pub(super) const NO_LEADER: &str = "The swarm does not have a leader. It's possible that too few managers \
    are online. Make sure more than half of the managers are online.";
