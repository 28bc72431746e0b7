//! Judges nodes by their heartbeats, and gives up the tasks of those that are lost.

use std::collections::BTreeSet;

use model::lifecycle::Owner;
use model::object::{Node, NodeState};
use model::spec::{DEFAULT_HEARTBEAT, HEARTBEAT_LIMIT};
use model::{Millis, NodeId, TaskState, Timestamp};

use super::agenda::Agenda;
use super::draft::Draft;
use super::live::Live;
use crate::State;
use crate::command::Command;

/// How long a node may be silent, unless it is known to be slow ([`Live::patience`]).
pub fn silence_limit(state: &State) -> Millis {
    Millis(heartbeat(state).0 * HEARTBEAT_LIMIT)
}

/// The period of heartbeats.
pub fn heartbeat(state: &State) -> Millis {
    state.cluster().map_or(DEFAULT_HEARTBEAT, |c| c.spec.dispatcher.heartbeat())
}

pub(super) fn plan(draft: &mut Draft<'_>, live: &Live, agenda: &mut Agenda) {
    let changed = std::mem::take(&mut agenda.nodes);
    let now = draft.now;
    let mut back = BTreeSet::new();
    if !changed.is_empty() || agenda.nodes_at.is_none_or(|at| at <= now) {
        agenda.nodes_at = judge(draft, live, &mut back);
    }
    // One that is just back keeps what has not been given up yet.
    for id in changed.difference(&back) {
        give_up(draft, *id);
    }
}

/// Who is up, who is down; `back`: who was down. Answers when the next may become silent.
fn judge(draft: &mut Draft<'_>, live: &Live, back: &mut BTreeSet<NodeId>) -> Option<Timestamp> {
    let (state, now) = (draft.state, draft.now);
    let usual = silence_limit(state);
    let (mut silent, mut known) = (Vec::new(), 0usize);
    let mut wake: Option<Timestamp> = None;
    for node in state.nodes() {
        let heard = live.heard_at(node.id);
        let limit = live.patience(node.id, usual);
        match node.status.state {
            NodeState::Ready | NodeState::Unknown => {
                known += 1;
                // A new leader, and a node that has just joined, start a new count.
                let from = heard.max(live.leader_since).max(node.meta.created_at);
                if from + limit <= now {
                    silent.push(node);
                } else {
                    wake = Some(wake.map_or(from + limit, |at| at.min(from + limit)));
                    if node.status.state == NodeState::Unknown && heard > Timestamp(0) {
                        up(draft, node);
                    }
                }
            }
            NodeState::Down => {
                if heard > Timestamp(0) && now.since(heard) < limit {
                    back.insert(node.id);
                    up(draft, node);
                }
            }
            NodeState::Disconnected => {
                if heard > node.status.since && now.since(heard) < limit {
                    back.insert(node.id);
                    up(draft, node);
                }
            }
        }
    }
    // Most nodes silent at once, just after the leader changed: rather the new leader's fault
    // than theirs (agents on their way to it, a half-cut network). One more period for all.
    let second_look = live.leader_since + usual + usual;
    if silent.len() * 2 > known && known >= 3 && now < second_look {
        return Some(wake.map_or(second_look, |at| at.min(second_look)));
    }
    for node in silent {
        let message = format!("no heartbeat for {}", live.patience(node.id, usual));
        draft.push(Command::NodeStatus { node: node.id, state: NodeState::Down, message });
        orphan_all(draft, node.id);
        draft.end_of_key();
    }
    wake
}

fn up(draft: &mut Draft<'_>, node: &Node) {
    let message = String::new();
    draft.push(Command::NodeStatus { node: node.id, state: NodeState::Ready, message });
}

/// The tasks of a node that is down already.
fn give_up(draft: &mut Draft<'_>, id: NodeId) {
    let Some(node) = draft.state.node(id) else { return };
    match node.status.state {
        NodeState::Down | NodeState::Disconnected => orphan_all(draft, id),
        NodeState::Ready | NodeState::Unknown => {}
    }
}

fn orphan_all(draft: &mut Draft<'_>, node: NodeId) {
    let lost = |state: TaskState| state.may_become(TaskState::Orphaned, Owner::Planner);
    for task in draft.state.tasks_on(node).filter(|t| lost(t.status.state)) {
        draft.push(Command::Orphan { task: task.id });
        draft.may_cut();
    }
}
