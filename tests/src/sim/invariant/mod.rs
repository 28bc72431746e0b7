//! What must hold, each in its own file with an id and a sentence.

mod addresses;
mod drained;
mod one_live;
mod ranks;
mod replicas;
mod routes;
mod secrets;
mod settled;

use std::collections::BTreeMap;

use agent_core::worker::Step;
use model::{Millis, TaskId, TaskState, Timestamp};
use orchestrator_core::command::Applied;

use super::world::World;

pub(super) use replicas::replicas_agree;
pub(super) use settled::{converged, nothing_left};

type Broken = (String, String);

/// Every invariant: its id and what it says.
pub const INVARIANTS: &[(&str, &str)] = &[
    addresses::SAYS,
    drained::SAYS,
    one_live::SAYS,
    ranks::SAYS,
    replicas::SAYS,
    routes::SAYS,
    secrets::SAYS,
    settled::CONVERGES,
    settled::LEAVES_NOTHING,
    settled::EXPLAINS,
];

/// What the invariants remember between two looks.
#[derive(Default)]
pub struct Watch {
    pub(super) ranks: BTreeMap<TaskId, TaskState>,
    pub(super) looked: u64,
    /// When each task's process was first seen not to run while routes named it.
    pub(super) stale_since: BTreeMap<(usize, TaskId), Timestamp>,
}

/// How long routes may name a task that no longer runs: a lost node is found, its tasks are given
/// up and every node is told.
pub(super) const ROUTES_BOUND: Millis = Millis(12_000);

fn named((id, _): (&str, &str), result: Result<(), String>) -> Result<(), Broken> {
    result.map_err(|why| (id.to_owned(), why))
}

/// Looks after every entry of the log.
pub(super) fn after_entry(world: &mut World, applied: &Applied) -> Result<(), Broken> {
    named(ranks::SAYS, ranks::check(world, applied))?;
    world.watch.looked += 1;
    if world.watch.looked.is_multiple_of(64) {
        named(addresses::SAYS, addresses::check(world))?;
        named(settled::EXPLAINS, settled::explains(world))?;
    }
    Ok(())
}

/// Looks when a host has new orders.
pub(super) fn after_orders(world: &mut World, host: usize) -> Result<(), Broken> {
    named(secrets::SAYS, secrets::check(world, host))?;
    named(routes::SAYS, routes::check(world, host))
}

/// Looks when a container's process has started.
pub(super) fn after_start(world: &World, host: usize, task: TaskId) -> Result<(), Broken> {
    named(one_live::SAYS, one_live::check(world, host, task))
}

/// Looks before an agent takes a step.
pub(super) fn before_step(
    world: &World,
    host: usize,
    task: TaskId,
    step: &Step,
) -> Result<(), Broken> {
    named(drained::SAYS, drained::check(world, host, task, step))
}
