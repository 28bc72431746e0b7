//! The simulated managers: one agreed log, replicas that apply it, a leader, perhaps a stale one.
//!
//! Raft itself is not simulated here (it is tested with its own storage); what it promises is: a
//! total order, nothing acknowledged is lost, an answer is written, refused or unknown. Replicas
//! apply late, some from a snapshot, and all end with the same bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::object::Revision;
use model::wire::session::TaskReport;
use model::{Millis, NodeId, TaskId, Timestamp};
use orchestrator_core::command::Applied;
use orchestrator_core::plan::{Agenda, Live};
use orchestrator_core::project::Projector;
use orchestrator_core::{Batch, Entry, State};

/// What a leader remembers while it leads.
pub struct Leadership {
    pub manager: usize,
    pub term: u64,
    pub live: Live,
    pub agenda: Agenda,
    pub projector: Projector,
    /// Sessions by node, and nodes by session.
    pub sessions: BTreeMap<NodeId, u64>,
    /// Applied, but neither planned on nor sent yet.
    pub unseen: Vec<Applied>,
    /// Reports to be written, by node.
    pub reporting: BTreeMap<NodeId, Reports>,
    /// Reports that are on their way to the log: of which session, up to which number.
    pub reported: Option<Vec<(NodeId, u64, u64)>>,
    /// Batches of the planner that were proposed and have no answer yet.
    pub planned: usize,
    /// When the planner wants to be asked again.
    pub wake_at: Option<Timestamp>,
    /// When the leader looks next.
    pub work_at: Option<Timestamp>,
    /// When it began to lead.
    pub since: Timestamp,
    /// What this leader adds to the true time.
    pub ahead: Millis,
}

/// Reports of one node: the latest of each task.
pub struct Reports {
    pub session: u64,
    pub seq: u64,
    pub tasks: BTreeMap<TaskId, TaskReport>,
}

/// Who asked for an entry.
#[derive(Clone, Debug)]
pub enum Origin {
    Planner,
    Client(u64),
    Agents,
    /// A host that joins again.
    Host(usize),
}

/// A proposal on its way to being agreed.
pub struct Proposal {
    pub term: u64,
    pub entry: Entry,
    pub origin: Origin,
    /// It will be in the log, but whoever asked is not told.
    pub unanswered: bool,
}

/// One manager's replica.
#[derive(Default)]
pub struct Replica {
    pub state: State,
    pub up: bool,
    /// What its host's clock shows more than the true time; it counts from the next start on.
    pub clock: Millis,
}

/// The managers.
pub struct Managers {
    /// As read back from their bytes.
    pub log: Vec<Arc<Entry>>,
    pub replicas: Vec<Replica>,
    pub leader: Option<Leadership>,
    /// One that was cut off or paused and does not know yet that it leads no more.
    pub stale: Option<(Leadership, State)>,
    pub term: u64,
}

impl Managers {
    /// So many managers with an empty log.
    #[must_use]
    pub fn new(number: usize) -> Managers {
        let replicas = (0..number).map(|_| Replica { up: true, ..Replica::default() }).collect();
        Managers { log: Vec::new(), replicas, leader: None, stale: None, term: 0 }
    }

    /// The replica of the leader.
    #[must_use]
    pub fn leading(&self) -> Option<(&Leadership, &State)> {
        let leader = self.leader.as_ref()?;
        Some((leader, &self.replicas[leader.manager].state))
    }

    /// The newest state there is, leader or not. It knows everything that was acknowledged.
    #[must_use]
    pub fn newest(&self) -> &State {
        let newest = self.replicas.iter().max_by_key(|r| r.state.revision());
        &newest.expect("there is a manager").state
    }

    /// Puts an entry into the log, the way a disk would have it.
    ///
    /// # Panics
    /// When the entry does not read back as it was written.
    pub fn append(&mut self, entry: &Entry) {
        let bytes = serde_json::to_vec(entry).expect("an entry can be written");
        let read: Entry = serde_json::from_slice(&bytes).expect("an entry reads back");
        assert_eq!(read, *entry, "an entry reads back as it was written");
        self.log.push(Arc::new(read));
    }

    /// Agrees on an entry; the leader applies it.
    pub fn commit(&mut self, entry: &Entry) -> Option<Applied> {
        self.append(entry);
        let leader = self.leader.as_ref()?.manager;
        self.catch_up(leader)
    }

    /// A replica applies what it lacks. Answers what the last entry did.
    ///
    /// # Panics
    /// When a position does not fit into memory.
    pub fn catch_up(&mut self, manager: usize) -> Option<Applied> {
        let state = &mut self.replicas[manager].state;
        let from = usize::try_from(state.revision().0).expect("a position in the log");
        let mut last = None;
        for (at, entry) in self.log.iter().enumerate().skip(from) {
            last = Some(state.apply(Revision(at as u64 + 1), entry));
        }
        last
    }

    /// A replica that is far behind gets a snapshot of the newest state.
    ///
    /// # Panics
    /// When the snapshot does not read.
    pub fn install_snapshot(&mut self, manager: usize) {
        let bytes = self.newest().to_bytes();
        self.replicas[manager].state = State::from_bytes(&bytes).expect("a snapshot reads");
    }

    /// A manager becomes leader.
    pub fn lead(&mut self, manager: usize, now: Timestamp) {
        self.term += 1;
        let _ = self.catch_up(manager);
        let replica = &self.replicas[manager];
        let mut agenda = Agenda::default();
        agenda.everything(&replica.state);
        // A leader's time goes on from where its predecessors' was: never behind the log's.
        let ahead = Millis(replica.clock.0.max(replica.state.clock().since(now).0));
        self.leader = Some(Leadership {
            manager,
            term: self.term,
            live: Live::since(now + ahead),
            agenda,
            projector: Projector::new(self.term),
            sessions: BTreeMap::new(),
            unseen: Vec::new(),
            reporting: BTreeMap::new(),
            reported: None,
            planned: 0,
            wake_at: None,
            work_at: None,
            since: now,
            ahead,
        });
    }

    /// An entry for one batch.
    #[must_use]
    pub fn entry(batch: Batch, at: Timestamp) -> Entry {
        Entry { at, batch }
    }
}
