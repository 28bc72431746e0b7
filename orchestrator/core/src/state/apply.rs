//! Takes one entry of the log into the state.

use model::object::Revision;

use super::State;
use crate::command::{Applied, Entry};

impl State {
    /// Takes in the entry at `revision`. The same entries give the same state on every manager.
    pub fn apply(&mut self, revision: Revision, entry: &Entry) -> Applied {
        self.revision = revision;
        self.clock = self.clock.max(entry.at);
        Applied { revision, responses: Vec::new(), changes: Vec::new() }
    }
}
