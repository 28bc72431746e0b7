//! The simulated managers: one agreed log, replicas that apply it, and at most one leader.
//!
//! Raft itself is not simulated here (it is tested with its own storage); what it promises is: a
//! total order, nothing acknowledged is lost, an answer is written, refused or unknown. Replicas
//! apply late, and all end with the same bytes.

use std::collections::BTreeMap;

use model::object::Revision;
use model::{NodeId, Timestamp};
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
    /// Sessions by node.
    pub sessions: BTreeMap<NodeId, u64>,
    /// Batches of the planner that were proposed and not applied yet.
    pub planned: usize,
    /// A plan is already in the queue of events.
    pub plan_queued: bool,
}

/// Who asked for an entry.
#[derive(Clone, Debug)]
pub enum Origin {
    Planner,
    Client(u64),
    /// Statuses with this number, from a session.
    Agent {
        session: u64,
        seq: u64,
    },
}

/// A proposal on its way to being agreed.
pub struct Proposal {
    pub term: u64,
    pub entry: Entry,
    pub origin: Origin,
}

/// One manager's replica.
#[derive(Default)]
pub struct Replica {
    pub state: State,
    pub up: bool,
}

/// The managers.
pub struct Managers {
    /// As bytes, as the disk has it.
    pub log: Vec<Vec<u8>>,
    pub replicas: Vec<Replica>,
    pub leader: Option<Leadership>,
    pub term: u64,
}

impl Managers {
    /// So many managers with an empty log.
    #[must_use]
    pub fn new(number: usize) -> Managers {
        let replicas = (0..number).map(|_| Replica { up: true, ..Replica::default() }).collect();
        Managers { log: Vec::new(), replicas, leader: None, term: 0 }
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

    /// Agrees on an entry; the leader applies it.
    ///
    /// # Panics
    /// When the log does not read back.
    pub fn commit(&mut self, entry: &Entry) -> Option<Applied> {
        self.log.push(serde_json::to_vec(entry).expect("an entry can be written"));
        let leader = self.leader.as_ref()?.manager;
        self.catch_up(leader)
    }

    /// A replica applies what it lacks. Answers what the last entry did.
    ///
    /// # Panics
    /// When the log does not read back.
    pub fn catch_up(&mut self, manager: usize) -> Option<Applied> {
        let replica = &mut self.replicas[manager];
        let from = usize::try_from(replica.state.revision().0).expect("a position in the log");
        let mut last = None;
        for (at, bytes) in self.log.iter().enumerate().skip(from) {
            let entry: Entry = serde_json::from_slice(bytes).expect("the log reads back");
            last = Some(replica.state.apply(Revision(at as u64 + 1), &entry));
        }
        last
    }

    /// A manager becomes leader.
    pub fn lead(&mut self, manager: usize, now: Timestamp) {
        self.term += 1;
        let _ = self.catch_up(manager);
        let mut agenda = Agenda::default();
        agenda.everything(&self.replicas[manager].state);
        self.leader = Some(Leadership {
            manager,
            term: self.term,
            live: Live::since(now),
            agenda,
            projector: Projector::new(self.term),
            sessions: BTreeMap::new(),
            planned: 0,
            plan_queued: false,
        });
    }

    /// An entry for one batch.
    #[must_use]
    pub fn entry(batch: Batch, at: Timestamp) -> Entry {
        Entry { at, batch }
    }
}
