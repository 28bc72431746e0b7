//! Proposes what should happen next, from the state alone.
//!
//! Input: the state, what only the leader's memory knows ([`Live`]), the time, and which keys to
//! look at ([`Agenda`]). Output: batches of commands, and when to ask again. The same input gives
//! the same plan; once its batches are applied, planning again gives none.

mod agenda;
mod live;
pub mod membership;

use model::Timestamp;

pub use agenda::Agenda;
pub use live::Live;

use crate::State;
use crate::command::Batch;

/// Bounds of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Commands in one batch, about. Keeps an entry small enough to be replicated at once.
    pub batch: usize,
    /// Commands in one plan, about; what is left stays on the agenda.
    pub commands: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { batch: 1_000, commands: 10_000 }
    }
}

/// What should be proposed now.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Plan {
    /// To be proposed in this order; each stands or falls by itself.
    pub batches: Vec<Batch>,
    /// Ask again then, even if nothing happens.
    pub wake_at: Option<Timestamp>,
}

/// What should happen next.
///
/// Looks at what is on the agenda and takes it off. When a batch is refused as outdated, or its
/// fate is unknown, put everything back by [`Agenda::everything`] (or note the entries applied
/// since, which is enough when they are known).
pub fn plan(
    state: &State,
    live: &Live,
    now: Timestamp,
    agenda: &mut Agenda,
    limits: &Limits,
) -> Plan {
    let _ = (state, live, now, agenda, limits);
    Plan::default()
}
