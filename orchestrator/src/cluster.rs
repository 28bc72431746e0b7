//! The cluster below the API: the replicated log, the sessions, the clock.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use model::NodeId;
use model::object::NodeState;
use model::wire::session::StreamRequest;
use orchestrator_core::State;
use orchestrator_core::command::{Applied, Batch, Entry};

use crate::api::cluster::{
    Cluster, Feed, Members, NodeStream, ProposeError, Reachability, ReadError, RequestBody,
    StreamError,
};
use crate::leader::Clock;
use crate::log::{self, Leadership, Log, Standing};
use crate::sessions::{self, OPEN_TIMEOUT, Sessions};
use crate::traces;
use crate::transport::Pool;

/// The API's [`Cluster`] on a manager.
pub struct LiveCluster {
    pub log: Log<State>,
    pub sessions: Arc<Sessions>,
    pub clock: Arc<Clock>,
    /// Connections to the other managers.
    pub pool: Arc<Pool>,
}

impl Cluster for LiveCluster {
    fn node(&self) -> NodeId {
        self.log.node()
    }

    fn read(&self) -> BoxFuture<'_, Result<Arc<State>, ReadError>> {
        async {
            match self.log.read().await {
                Ok(published) => Ok(published.state.clone()),
                Err(error) => {
                    tracing::debug!(%error, "a read found no leader");
                    Err(ReadError::NoLeader)
                }
            }
        }
        .boxed()
    }

    fn state(&self) -> Arc<State> {
        self.log.state().state.clone()
    }

    fn propose(&self, batch: Batch) -> BoxFuture<'_, Result<Arc<Applied>, ProposeError>> {
        let entry = Entry { at: self.clock.now(), batch };
        async move {
            let asked = traces::follow(&self.log.state().state, &entry.batch);
            let outcome = self.log.propose(entry).await;
            traces::written(asked, outcome.as_ref().ok().map(|done| &*done.applied));
            match outcome {
                Ok(done) => Ok(done.applied),
                Err(log::ProposeError::NotLeader { .. }) => Err(ProposeError::NoLeader),
                Err(log::ProposeError::Refused { why }) => Err(ProposeError::Refused { why }),
                Err(log::ProposeError::Unknown { waited_ms }) => {
                    Err(ProposeError::Unknown { waited_ms })
                }
            }
        }
        .boxed()
    }

    fn watch(&self) -> (Arc<State>, BoxStream<'static, Feed>) {
        let (start, changes) = self.log.watch();
        let feed = stream::unfold(changes, |mut changes| async move {
            let feed = match changes.next().await? {
                log::Event::Update(update) => Feed::Applied {
                    after: update.after.state.clone(),
                    applied: update.applied.iter().map(|(_, applied)| applied.clone()).collect(),
                },
                log::Event::Reset(published) => Feed::Reset(published.state.clone()),
            };
            Some((feed, changes))
        });
        (start.state.clone(), feed.boxed())
    }

    fn members(&self) -> Members {
        let state = self.log.state();
        // A manager's agent and its Raft share a host: the node's state tells of both.
        let reachability = |node: NodeId| match state.state.node(node).map(|n| n.status.state) {
            Some(NodeState::Ready) => Reachability::Reachable,
            Some(NodeState::Down | NodeState::Disconnected) => Reachability::Unreachable,
            Some(NodeState::Unknown) | None => Reachability::Unknown,
        };
        let members = self.log.members();
        let Leadership { leader, is_leading, .. } = self.log.leadership();
        // This manager leads only as long as a quorum hears it, another as long as it is heard.
        let hears = self.log.hears_leader();
        let leads = |node: &NodeId| if *node == self.log.node() { is_leading } else { hears };
        Members {
            leader: leader.map(|leader| leader.node).filter(leads),
            managers: members
                .iter()
                .map(|m| match m.standing {
                    Standing::Voter => (m.node, reachability(m.node)),
                    // It has no vote yet: the cluster cannot lean on it.
                    Standing::Learner => (m.node, Reachability::Unknown),
                })
                .collect(),
        }
    }

    fn open_stream(
        &self,
        node: NodeId,
        request: StreamRequest,
        body: RequestBody,
    ) -> BoxFuture<'_, Result<NodeStream, StreamError>> {
        async move {
            let leadership = self.log.leadership();
            let elsewhere = leadership.leader.filter(|leader| leader.node != self.log.node());
            let opened = match elsewhere {
                Some(leader) => sessions::open_at(&self.pool, &leader, node, &request, body).await,
                None => self.sessions.open(node, request, body).await,
            };
            let stream = opened.map_err(|error| match error {
                sessions::StreamError::NotConnected(_) => StreamError::NotConnected,
                sessions::StreamError::Timeout(_) => {
                    let waited_ms = u64::try_from(OPEN_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
                    StreamError::Timeout { waited_ms }
                }
                sessions::StreamError::Malformed(_)
                | sessions::StreamError::Body(_)
                | sessions::StreamError::Relay(_) => StreamError::Broken { why: error.to_string() },
            })?;
            let body = stream.output.into_data_stream();
            let body = body.map(|chunk| chunk.map_err(std::io::Error::other)).boxed();
            Ok(NodeStream { head: stream.head, input: stream.input, body })
        }
        .boxed()
    }
}
