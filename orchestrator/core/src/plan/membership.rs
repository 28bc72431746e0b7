//! Which change Raft's membership needs next, so that it follows the nodes' roles.
//!
//! One change at a time, so that any two majorities overlap; whoever can vote is added before
//! whoever should not is taken out; never the last voter.

use std::collections::BTreeSet;

use model::NodeId;
use model::object::NodeState;
use model::spec::Role;

use crate::State;

/// Raft's membership as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RaftMembers {
    pub voters: BTreeSet<NodeId>,
    pub learners: BTreeSet<NodeId>,
    /// Learners whose log is close enough to the leader's to vote.
    pub caught_up: BTreeSet<NodeId>,
    pub leader: NodeId,
}

/// One change of membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipChange {
    /// Begin to replicate to it, at `host:port`.
    AddLearner { node: NodeId, address: String },
    /// Let it vote.
    Promote { node: NodeId },
    /// Take its vote; it stays a learner. If it is the leader, hand leadership over first.
    Demote { node: NodeId },
    /// Stop replicating to it.
    Remove { node: NodeId },
}

/// The next change, or none when membership is as the roles say or no change would be safe. Ask
/// again when it has been made.
#[must_use]
pub fn membership(state: &State, members: &RaftMembers) -> Option<MembershipChange> {
    let manager = |id: &NodeId| state.node(*id).is_some_and(|n| n.spec.role == Role::Manager);
    let alive = |id: &NodeId| {
        *id == members.leader || state.node(*id).is_some_and(|n| n.status.state == NodeState::Ready)
    };
    let known = |id: &NodeId| members.voters.contains(id) || members.learners.contains(id);
    if let Some(node) = members
        .caught_up
        .iter()
        .copied()
        .find(|id| members.learners.contains(id) && manager(id) && alive(id))
    {
        return Some(MembershipChange::Promote { node });
    }
    for node in state.nodes().filter(|n| manager(&n.id) && !known(&n.id)) {
        if let Some(address) = node.manager_address.clone() {
            return Some(MembershipChange::AddLearner { node: node.id, address });
        }
    }
    // Dead ones first: taking them out makes the majority easier to reach. The leader last.
    let mut leaving: Vec<NodeId> =
        members.voters.iter().copied().filter(|id| !manager(id)).collect();
    leaving.sort_by_key(|id| (*id == members.leader, alive(id), *id));
    for node in leaving {
        let rest: Vec<&NodeId> = members.voters.iter().filter(|id| **id != node).collect();
        let reachable = rest.iter().filter(|id| alive(id)).count();
        if reachable > rest.len() / 2 {
            return Some(MembershipChange::Demote { node });
        }
    }
    members
        .learners
        .iter()
        .copied()
        .find(|id| !manager(id))
        .map(|node| MembershipChange::Remove { node })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_kit::World;

    fn members(world: &World, voters: &[&str], learners: &[&str]) -> RaftMembers {
        let ids = |names: &[&str]| names.iter().map(|n| world.node(n)).collect();
        RaftMembers {
            voters: ids(voters),
            learners: ids(learners),
            caught_up: ids(learners),
            leader: world.node(voters[0]),
        }
    }

    fn role(world: &mut World, name: &str, role: Role) {
        world.edit_node(name, |spec| spec.role = role);
    }

    #[test]
    fn a_promoted_node_learns_first_and_votes_then() {
        let mut world = World::with_workers(1);
        let alone = members(&world, &["m1"], &[]);
        assert_eq!(membership(&world.state, &alone), None);
        role(&mut world, "w1", Role::Manager);
        let node = world.node("w1");
        let next = membership(&world.state, &alone);
        assert!(
            matches!(&next, Some(MembershipChange::AddLearner { node: n, .. }) if *n == node),
            "{next:?}"
        );
        let mut learning = members(&world, &["m1"], &["w1"]);
        learning.caught_up.clear();
        assert_eq!(membership(&world.state, &learning), None);
        let ready = members(&world, &["m1"], &["w1"]);
        assert_eq!(membership(&world.state, &ready), Some(MembershipChange::Promote { node }));
    }

    #[test]
    fn a_demoted_node_stops_voting_before_it_stops_learning() {
        let mut world = World::with_workers(2);
        role(&mut world, "w1", Role::Manager);
        role(&mut world, "w2", Role::Manager);
        role(&mut world, "w1", Role::Worker);
        let node = world.node("w1");
        let all = members(&world, &["m1", "w1", "w2"], &[]);
        assert_eq!(membership(&world.state, &all), Some(MembershipChange::Demote { node }));
        let less = members(&world, &["m1", "w2"], &["w1"]);
        assert_eq!(membership(&world.state, &less), Some(MembershipChange::Remove { node }));
    }

    #[test]
    fn nobody_is_demoted_when_the_rest_would_have_no_majority() {
        let mut world = World::with_workers(2);
        role(&mut world, "w1", Role::Manager);
        role(&mut world, "w2", Role::Manager);
        world.silence("w2");
        world.advance(model::Millis(3_000));
        role(&mut world, "w1", Role::Worker);
        // Of m1 and w2 only m1 answers: one of two is no majority.
        let all = members(&world, &["m1", "w1", "w2"], &[]);
        assert_eq!(membership(&world.state, &all), None);
    }
}
