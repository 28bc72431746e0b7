//! Makes Raft's membership follow the nodes' roles, one change at a time.

use std::collections::BTreeSet;

use orchestrator_core::State;
use orchestrator_core::plan::membership::{MembershipChange, RaftMembers, membership};

use crate::log::{Log, MembershipError, Standing};

/// A learner this many entries behind is taken for caught up: the log refuses the promotion if not.
const CAUGHT_UP_WITHIN: u64 = 512;

/// How long to wait after a change that was not made.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// The change that the core wants next.
pub(super) fn next(log: &Log<State>, state: &State) -> Option<MembershipChange> {
    let members = log.members();
    let of = |standing| members.iter().filter(move |m| m.standing == standing).map(|m| m.node);
    let last = members.iter().find(|m| m.node == log.node()).and_then(|m| m.matched).unwrap_or(0);
    let caught_up: BTreeSet<_> = members
        .iter()
        .filter(|m| m.matched.is_some_and(|at| last.saturating_sub(at) <= CAUGHT_UP_WITHIN))
        .map(|m| m.node)
        .collect();
    let raft = RaftMembers {
        voters: of(Standing::Voter).collect(),
        learners: of(Standing::Learner).collect(),
        caught_up,
        leader: log.node(),
    };
    membership(state, &raft)
}

/// Makes it. What fails is tried again, because it is still wanted when asked next.
pub(super) async fn make(log: Log<State>, change: MembershipChange) {
    let made = match &change {
        MembershipChange::AddLearner { node, address } => log.add_learner(*node, address).await,
        MembershipChange::Promote { node } => log.promote(*node).await,
        MembershipChange::Demote { node } => hand_over_and_demote(&log, *node).await,
        MembershipChange::Remove { node } => log.remove(*node).await,
    };
    match made {
        Ok(()) => tracing::info!(?change, "managers changed"),
        Err(error) => {
            tracing::warn!(?change, %error, "managers not changed yet");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn hand_over_and_demote(
    log: &Log<State>,
    node: model::NodeId,
) -> Result<(), MembershipError> {
    if node != log.node() {
        return log.demote(node).await;
    }
    // The leader does not take its own vote: the next leader does.
    let next = log
        .members()
        .into_iter()
        .filter(|m| m.standing == Standing::Voter && m.node != node)
        .max_by_key(|m| m.matched)
        .map(|m| m.node);
    match next {
        Some(next) => log.transfer_leader(next).await,
        None => Err(MembershipError::Refused { why: "no other manager could lead".to_owned() }),
    }
}
