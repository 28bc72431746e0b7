//! Stops draining tasks once nobody sends them anything new.
//!
//! A task that is to stop leaves names and routes first (desired: draining). It may stop when every
//! live node has acknowledged a revision without it, or after [`BOUND`].

use model::lifecycle::Desired;
use model::object::{NodeState, Revision, Task};
use model::spec::ModeKind;
use model::{Millis, Timestamp};

use super::agenda::Agenda;
use super::draft::Draft;
use super::live::Live;
use super::nodes::silence_limit;
use crate::State;
use crate::command::Command;

/// How long a stop waits for acknowledgements: as long as a node may be silent by default. Who has
/// not answered by then is about to be given up, and traffic sent by it is lost anyway.
pub(super) const BOUND: Millis = Millis::from_secs(2);

pub(super) fn plan(draft: &mut Draft<'_>, live: &Live, agenda: &mut Agenda) {
    let (state, now) = (draft.state, draft.now);
    let look = std::mem::take(&mut agenda.drain) || agenda.drain_at.is_some_and(|at| at <= now);
    if !look {
        return;
    }
    let acknowledged = acknowledged_by_all(state, live, now);
    let mut wake: Option<Timestamp> = None;
    for task in state.draining() {
        let Some(drain) = task.drain else { continue };
        let bound = drain.since + BOUND;
        if acknowledged >= drain.revision || bound <= now {
            draft.push(Command::SetDesired { task: task.id, desired: end_of(state, task) });
            draft.may_cut();
        } else {
            wake = Some(wake.map_or(bound, |at| at.min(bound)));
        }
    }
    agenda.drain_at = wake;
    draft.end_of_key();
}

/// The oldest revision that any live node still routes by. A node that has just come back routes by
/// what it had, also before it is called ready again.
fn acknowledged_by_all(state: &State, live: &Live, now: Timestamp) -> Revision {
    let limit = silence_limit(state);
    state
        .nodes()
        .filter(|n| n.status.state == NodeState::Ready || live.heard_at(n.id) + limit > now)
        .map(|n| live.acknowledged(n.id))
        .min()
        .unwrap_or(Revision(u64::MAX))
}

/// A task whose slot goes on is kept as history; one whose slot ends goes with its container.
fn end_of(state: &State, task: &Task) -> Desired {
    let Some(service) = state.service(task.service).filter(|s| s.removed.is_none()) else {
        return Desired::Remove;
    };
    let wanted = |t: &Task| t.desired <= Desired::Running;
    let goes_on = state.tasks_in(task.service, task.slot).any(|t| wanted(t));
    match service.spec.mode.kind() {
        ModeKind::Replicated { .. } if !goes_on => Desired::Remove,
        ModeKind::ReplicatedJob { .. } | ModeKind::GlobalJob => Desired::Remove,
        ModeKind::Replicated { .. } | ModeKind::Global => Desired::Shutdown,
    }
}
