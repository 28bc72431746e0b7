//! The cluster's state as a [`Machine`]: `orchestrator-core` decides what an entry means, and which
//! change of members is next.

use std::io;

use model::Timestamp;
use model::object::Revision;
use orchestrator_core::plan::membership::{MembershipChange, RaftMembers};
use orchestrator_core::{Applied, Entry, State};

use super::Log;
use super::machine::Machine;
use super::members::{MembershipError, PROMOTE_WITHIN, Standing};

impl Machine for State {
    type Entry = Entry;
    type Applied = Applied;

    fn empty() -> Self {
        State::default()
    }

    fn stamp(entry: &mut Entry, now: Timestamp) {
        entry.at = now;
    }

    fn apply(&mut self, position: u64, entry: Entry) -> Applied {
        State::apply(self, Revision(position), &entry)
    }

    fn save(&self, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(&self.to_bytes())
    }

    fn load(input: &mut dyn io::Read) -> io::Result<Self> {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        State::from_bytes(&bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    }
}

impl Log<State> {
    /// The members as the core's decision on them takes them in. On the leader only: nobody else
    /// knows who has caught up.
    #[must_use]
    pub fn raft_members(&self) -> RaftMembers {
        let members = self.members();
        let last = members.iter().filter_map(|m| m.matched).max().unwrap_or(0);
        let of = |standing| {
            members.iter().filter(move |m| m.standing == standing).map(|m| m.node).collect()
        };
        let caught_up = members.iter().filter(|m| {
            m.standing == Standing::Learner
                && m.matched.is_some_and(|at| last.saturating_sub(at) <= PROMOTE_WITHIN)
        });
        RaftMembers {
            voters: of(Standing::Voter),
            learners: of(Standing::Learner),
            caught_up: caught_up.map(|m| m.node).collect(),
            leader: self.node(),
        }
    }

    /// Makes the change that the core decided on.
    ///
    /// # Errors
    /// See [`MembershipError`]; decide afresh after any.
    pub async fn change_members(&self, change: MembershipChange) -> Result<(), MembershipError> {
        match change {
            MembershipChange::AddLearner { node, address } => {
                self.add_learner(node, &address).await
            }
            MembershipChange::Promote { node } => self.promote(node).await,
            MembershipChange::Demote { node } => self.demote(node).await,
            MembershipChange::Remove { node } => self.remove(node).await,
        }
    }
}
