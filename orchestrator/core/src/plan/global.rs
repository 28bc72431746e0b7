//! Keeps one slot of a global service on every node that suits it.

use std::collections::{BTreeMap, BTreeSet};

use model::lifecycle::Desired;
use model::object::{Node, NodeState, Restarts, Slot, Template};
use model::spec::Availability;

use super::rollout;
use super::slots::{Start, View, Work};
use crate::State;
use crate::fit::Demand;

/// The nodes that should have a task of this template. A paused node keeps what it has.
#[must_use]
pub fn nodes(state: &State, template: &Template, held: &BTreeSet<Slot>) -> BTreeSet<Slot> {
    let demand = Demand::of(state, template);
    let suits = |node: &Node| {
        let held = held.contains(&Slot::Node(node.id));
        node.status.state == NodeState::Ready
            && demand.still_suits(node)
            && demand.runs_on(node)
            && (held || node.spec.availability == Availability::Active)
    };
    state.nodes().filter(|n| suits(n)).map(|n| Slot::Node(n.id)).collect()
}

pub(super) fn plan<'a>(work: &mut Work<'_, 'a>, views: &[View<'a>]) {
    let Some(template) = work.service.templates.get(&work.service.template) else { return };
    let held: BTreeSet<Slot> = views.iter().filter(|v| v.is_held()).map(|v| v.slot).collect();
    let wanted = nodes(work.draft.state, template, &held);
    let (kept, gone): (Vec<&View<'a>>, Vec<&View<'a>>) =
        views.iter().partition(|v| v.is_held() && wanted.contains(&v.slot));
    for view in gone {
        leave(work, view);
    }
    let taken: BTreeSet<Slot> = kept.iter().map(|v| v.slot).collect();
    let past: BTreeMap<Slot, &View<'a>> =
        views.iter().filter(|v| !taken.contains(&v.slot)).map(|v| (v.slot, v)).collect();
    let free: Vec<&Slot> = wanted.difference(&taken).collect();
    let filled: Vec<&View<'a>> = free.iter().filter_map(|slot| past.get(slot).copied()).collect();
    rollout::plan(work, &kept, &filled);
    for slot in free {
        let old = past.get(slot);
        let start = Start::fresh(*slot, work.service.template);
        let old_stopping = old.is_some_and(|v| v.is_leaving());
        let restarts = Restarts { has_run: old.is_some_and(|v| v.has_run()), ..start.restarts };
        work.start(Start { old_stopping, restarts, ..start });
    }
}

/// Ends the tasks of a node that no longer suits; they stay as history while the node does.
fn leave<'a>(work: &mut Work<'_, 'a>, view: &View<'a>) {
    for task in &view.tasks {
        let gone = task.node.is_none_or(|id| work.draft.state.node(id).is_none());
        if task.status.state.is_terminal() && gone {
            work.forget(task);
        } else if task.status.state.is_terminal() {
            work.raise(task, Desired::Shutdown);
        } else if task.desired < Desired::Draining {
            work.stop(task, Desired::Shutdown);
        }
    }
    work.draft.may_cut();
}
