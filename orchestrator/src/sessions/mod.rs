//! The sessions of the agents: frames in become events for the leader loop, orders out become
//! whole or delta frames.
//!
//! A session lives on the leader only; when leadership goes, every session ends and its agent
//! looks for the new leader.
//!
//! Deliberately absent: any judgement of what frames say (that is the leader loop's) and of who may
//! connect (that is the transport's, by certificate). Read [`streams`] for logs and exec.

mod outbox;
mod serve;
mod streams;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use model::NodeId;
use model::object::{NodeDescription, Revision};
use model::wire::orders::Fence;
use model::wire::session::TaskReport;
use tokio::sync::{mpsc, watch};

pub use outbox::Outbox;
pub use serve::{Settings, for_managers, routes};
pub use streams::{OPEN_TIMEOUT, Stream, StreamError, Streams, open_at};

/// How many events may wait for the leader loop before sessions stop reading.
const EVENTS: usize = 4096;

/// What happened on a session, for the leader loop.
#[derive(Debug)]
pub struct Event {
    pub node: NodeId,
    /// Which of the node's sessions: an older one's events are of no interest.
    pub session: u64,
    pub what: What,
}

/// The kinds of events.
#[derive(Debug)]
pub enum What {
    /// An agent has said hello; orders go to `outbox` from now on.
    Began {
        description: NodeDescription,
        have: Option<Fence>,
        outbox: Outbox,
    },
    /// Sign of life, and which revision its routing has.
    Heartbeat {
        applied: Revision,
    },
    /// Reports to be written and then acknowledged.
    Statuses {
        seq: u64,
        reports: Vec<TaskReport>,
    },
    Description {
        description: NodeDescription,
    },
    /// The agent's orders have a gap: it wants the whole again.
    Resend,
    /// The node leaves for good.
    Leaving,
    /// The session is over.
    Ended,
}

/// Whether this manager leads, as the sessions must know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The term in which this manager leads; absent when it does not.
    pub leading: Option<u64>,
    /// Where the leader listens, `host:port`, if known.
    pub leader: Option<String>,
    /// Where every manager listens.
    pub managers: BTreeMap<NodeId, String>,
}

/// All sessions of this manager.
pub struct Sessions {
    events: mpsc::Sender<Event>,
    leadership: watch::Receiver<Leadership>,
    settings: watch::Receiver<Settings>,
    next: AtomicU64,
    /// The newest session of each node, for streams.
    newest: Mutex<BTreeMap<NodeId, (u64, Outbox)>>,
    pub streams: Streams,
}

impl Sessions {
    /// No session yet. Events come out of the receiver.
    #[must_use]
    pub fn new(
        leadership: watch::Receiver<Leadership>,
        settings: watch::Receiver<Settings>,
    ) -> (Arc<Sessions>, mpsc::Receiver<Event>) {
        let (events, inbox) = mpsc::channel(EVENTS);
        let sessions = Sessions {
            events,
            leadership,
            settings,
            next: AtomicU64::new(1),
            newest: Mutex::default(),
            streams: Streams::default(),
        };
        (Arc::new(sessions), inbox)
    }

    /// How many nodes have a session here.
    #[must_use]
    pub fn count(&self) -> usize {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn outbox(&self, node: NodeId) -> Option<Outbox> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.get(&node).map(|(_, outbox)| outbox.clone())
    }

    fn begin(&self, node: NodeId, outbox: &Outbox) -> u64 {
        let session = self.next.fetch_add(1, Ordering::Relaxed);
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, old)) = newest.insert(node, (session, outbox.clone())) {
            old.close();
        }
        session
    }

    fn end(&self, node: NodeId, session: u64) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.get(&node).is_some_and(|(current, _)| *current == session) {
            newest.remove(&node);
        }
    }
}
