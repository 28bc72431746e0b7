//! The cluster's state as a [`Machine`]: `orchestrator-core` decides what an entry means.

use std::io;

use model::object::Revision;
use orchestrator_core::{Applied, Entry, State};

use super::machine::Machine;

impl Machine for State {
    type Entry = Entry;
    type Applied = Applied;

    fn empty() -> Self {
        State::default()
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
