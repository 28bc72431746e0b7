//! When everything is as it should be, nobody changes anything.

use model::Millis;
use model::lifecycle::Desired;
use model::object::{RolloutState, Service, Task};

use super::super::world::World;

pub(super) const SAYS: (&str, &str) =
    ("quiet", "a cluster that is as it should be stays so, and its planner proposes nothing");

/// Whether anything may still be written by the passing of time: a new leader has not heard of
/// everybody yet, an update waits for its monitor time, a slot without a node for the end of its
/// back-off, or an engine is still at something.
pub(in crate::sim) fn may_go_on(world: &World) -> bool {
    let Some((leader, state)) = world.managers.leading() else { return true };
    let running = |s: &std::sync::Arc<Service>| {
        s.rollout.as_ref().is_some_and(|r| r.state == RolloutState::Running)
    };
    let time = super::leader_time(world);
    let held_back = |t: &std::sync::Arc<Task>| {
        t.desired == Desired::Ready && t.node.is_none() && t.not_before.is_some_and(|at| at > time)
    };
    world.now.since(leader.since) < Millis::from_secs(8)
        || state.services().any(running)
        || state.tasks().any(held_back)
        || world.hosts.iter().any(|host| !host.flights.is_empty())
}

pub(super) fn check(world: &World, plans_before: u64) -> Result<(), String> {
    let more = world.watch.plans_written - plans_before;
    if more > 0 {
        let last = &world.watch.last_plan;
        return Err(format!("{more} plans were written although nothing had happened: {last:?}"));
    }
    super::settled(world)
}
