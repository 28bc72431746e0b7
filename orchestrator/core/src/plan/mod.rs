//! Proposes what should happen next, from the state alone.
//!
//! Input: the state, what only the leader's memory knows ([`Live`]), the time, and which keys to
//! look at ([`Agenda`]). Output: batches of commands, and when to ask again. The same input gives
//! the same plan; once its batches are applied, planning again gives none.
//!
//! The parts, in the order in which they run: `nodes` (who is silent), `trust` (whether
//! the authority has been rotated), `drain` (who may stop now),
//! then for each service `service`, which asks `replicated`, `global` or `job` which slots there
//! should be, `slots` what each slot needs, `restart` and `rollout` when, `place` where.

mod agenda;
mod draft;
mod drain;
mod gate;
mod global;
mod job;
mod live;
pub mod membership;
mod nodes;
mod place;
#[cfg(test)]
mod props;
mod rebalance;
mod replicated;
mod restart;
mod rollout;
mod service;
mod slots;
#[cfg(test)]
mod tests;
mod trust;

use model::Timestamp;

pub use agenda::Agenda;
pub use global::nodes as global_slots;
pub use live::Live;
pub use nodes::{heartbeat, silence_limit};
pub use rebalance::{Left, Move, Rebalance, rebalance};

use crate::State;
use crate::command::Batch;
use draft::Draft;

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
/// Looks at what is on the agenda and takes it off. The leader's loop:
///
/// 1. at the start: [`Live::since`], [`Agenda::everything`];
/// 2. for each entry applied: [`Agenda::note`], then `Projector::update`; for each delta sent
///    [`Live::sent`], and when all are, [`Live::projected`];
/// 3. for each session [`Live::began`], for each frame of an agent [`Live::heard`], [`Live::applied`] of a
///    heartbeat, then [`Agenda::note_heartbeat`]; [`Live::slept`] first when the loop itself was held up;
/// 4. whenever the agenda is not idle, at `wake_at` at the latest, and only when every batch of the
///    last plan has its answer: plan and propose. When a batch was refused, or its fate is unknown,
///    [`Agenda::everything`] first.
pub fn plan(
    state: &State,
    live: &Live,
    now: Timestamp,
    agenda: &mut Agenda,
    limits: &Limits,
) -> Plan {
    let mut draft = Draft::new(state, now, *limits);
    if state.cluster().is_some() {
        nodes::plan(&mut draft, live, agenda);
        if !draft.is_empty() {
            // What follows from a node's fate is planned once it is written: a task that is put on
            // a node which is given up in the same batch would have all of it refused, for ever.
            return Plan { batches: draft.finish(), wake_at: Some(now) };
        }
        trust::plan(&mut draft, agenda);
        drain::plan(&mut draft, live, agenda);
        agenda.take_due(state, now);
        while let Some(id) = agenda.services.pop_first() {
            draft.services = std::mem::take(&mut agenda.services);
            if let Some(service) = state.service(id) {
                let wake = service::plan(&mut draft, service);
                if let Some(at) = wake {
                    agenda.wake(id, at);
                }
            }
            agenda.services = std::mem::take(&mut draft.services);
            draft.end_of_key();
            if draft.is_full() {
                break;
            }
        }
    }
    let more = !agenda.services.is_empty();
    let wake_at = if more { Some(now) } else { agenda.next() };
    Plan { batches: draft.finish(), wake_at }
}
