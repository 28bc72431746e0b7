//! What must hold, each in its own file with an id and a sentence.
//!
//! Cheap looks are taken after every event that could break what they look at; those that read the
//! whole state, now and then.

mod addresses;
mod arrive;
mod at_once;
mod back_off;
mod beside;
mod budget;
mod dirty;
mod drained;
mod drains;
mod ends;
mod explains;
mod fence;
mod first;
mod given_up;
mod gives_up;
mod history;
mod hooks;
mod jobs;
mod last_resort;
mod leak;
mod liveness;
mod names;
mod one_holder;
mod one_live;
mod orders;
mod placed;
mod progress;
mod projected;
mod quiet;
mod ranks;
mod refused;
mod replicas;
mod reports;
mod routes;
mod secrets;
mod serving;
mod told;
mod verdict;
mod writes;
mod written;

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_core::worker::Step;
use model::lifecycle::Desired;
use model::object::{Rollout, RolloutKind, Service, Task};
use model::spec::UpdateConfig;
use model::wire::orders::Fence;
use model::wire::session::TaskReport;
use model::{Millis, NodeId, TaskId, TaskState, Timestamp};
use orchestrator_core::command::{Applied, Command, ObjectRef};
use orchestrator_core::{Batch, Entry, State};

use super::engine::Fate;
use super::world::{Broken, World};

pub(super) use leak::nothing_left;
pub(super) use liveness::{all_active_and_settled, settled};
pub(super) use quiet::may_go_on;

/// Every invariant: its id and what it says.
pub const INVARIANTS: &[(&str, &str)] = &[
    addresses::SAYS,
    arrive::SAYS,
    at_once::SAYS,
    back_off::SAYS,
    beside::SAYS,
    budget::SAYS,
    dirty::SAYS,
    drained::SAYS,
    drains::SAYS,
    ends::SAYS,
    explains::SAYS,
    fence::SAYS,
    first::SAYS,
    given_up::SAYS,
    gives_up::SAYS,
    history::SAYS,
    hooks::SAYS,
    jobs::SAYS,
    leak::SAYS,
    liveness::SAYS,
    names::SAYS,
    one_holder::SAYS,
    one_live::SAYS,
    orders::SAYS,
    placed::SAYS,
    progress::SAYS,
    projected::SAYS,
    quiet::SAYS,
    ranks::SAYS,
    refused::SAYS,
    replicas::SAYS,
    reports::SAYS,
    routes::SAYS,
    secrets::SAYS,
    serving::SAYS,
    told::SAYS,
    verdict::SAYS,
    writes::SAYS,
    written::SAYS,
];

/// What the invariants remember between two looks.
#[derive(Default)]
pub struct Watch {
    tasks: BTreeMap<TaskId, Seen>,
    /// Entries since the last look at the whole state.
    entries: usize,
    handed_out: u64,
    /// Whose orders were looked at last.
    turn: usize,
    /// Orders that hosts have taken in.
    arrived: u64,
    empty_plans: u64,
    /// Batches of the planner that were agreed on.
    pub(super) plans_written: u64,
    /// The last of them.
    pub(super) last_plan: Vec<Command>,
    /// Batches of the planner that were refused, in a row.
    refused: u32,
    back_off: back_off::Ends,
    routes: routes::Stale,
    addresses: addresses::Sizes,
    failing: gives_up::Failing,
    first: first::Known,
    started: reports::Started,
    history: history::Dropped,
    hooks: hooks::Run,
    silences: given_up::Silences,
    written: written::Known,
}

/// A task as it was after the entry that changed it last.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    state: TaskState,
    desired: Desired,
    /// The position of that entry in the log.
    version: u64,
}

/// What one entry did to a task.
pub(super) struct Move {
    task: Arc<Task>,
    before: Option<Seen>,
}

impl Watch {
    /// The leader of this term has heard a node again after so long.
    pub(super) fn note_silence(&mut self, term: u64, node: NodeId, silent: Millis) {
        let (known, longest) = self.silences.entry(node).or_insert((term, silent));
        *longest = if *known == term { silent.max(*longest) } else { silent };
        *known = term;
    }
}

fn named((id, _): (&str, &str), result: Result<(), String>) -> Result<(), Broken> {
    result.map_err(|why| (id.to_owned(), why))
}

/// Looks after every entry of the log.
pub(super) fn after_entry(
    world: &mut World,
    entry: &Entry,
    applied: &Applied,
) -> Result<(), Broken> {
    named(progress::SAYS, progress::check(world, entry, applied))?;
    named(written::SAYS, written::check(world, entry, applied))?;
    let moves = moves(world, applied);
    let clock = world.managers.newest().clock();
    named(ranks::SAYS, ranks::check(&moves, clock))?;
    named(placed::SAYS, placed::check(world, &moves))?;
    named(placed::SAYS, last_resort::check(world, entry, &moves))?;
    named(budget::SAYS, budget::check(world, &moves))?;
    named(beside::SAYS, beside::check(world, &moves))?;
    named(back_off::SAYS, back_off::check(world, entry, &moves))?;
    named(jobs::SAYS, jobs::check(world, &moves))?;
    named(gives_up::SAYS, gives_up::check(world, &moves))?;
    named(ends::SAYS, ends::check(world, entry, applied, &moves))?;
    named(first::SAYS, first::check(world, entry, applied, &moves))?;
    named(serving::SAYS, serving::check(world, &moves))?;
    named(drained::SAYS, drained::check_plan(world, entry, &moves))?;
    named(drains::SAYS, drains::check(world, &moves))?;
    named(history::SAYS, history::check(world, entry, applied))?;
    world.watch.entries += 1;
    // A look at everything costs what everything is.
    let tasks = world.managers.newest().tasks().len();
    if world.watch.entries >= 64 + tasks / 4 {
        world.watch.entries = 0;
        named(one_holder::SAYS, one_holder::check(world))?;
        named(addresses::SAYS, addresses::check(world))?;
        named(writes::SAYS, writes::check(world))?;
    }
    Ok(())
}

/// Looks at an entry of which everything was refused; `before` is the leader's state before it.
pub(super) fn after_refusal(
    world: &World,
    before: Option<State>,
    entry: &Entry,
    applied: &Applied,
) -> Result<(), Broken> {
    named(refused::SAYS, refused::check(world, before, entry, applied))
}

fn moves(world: &mut World, applied: &Applied) -> Vec<Move> {
    let Some((_, state)) = world.managers.leading() else { return Vec::new() };
    let mut moves = Vec::new();
    for change in &applied.changes {
        let ObjectRef::Task(id) = change.object else { continue };
        let Some(task) = state.task(id) else {
            world.watch.tasks.remove(&id);
            continue;
        };
        let version = applied.revision.0;
        let now = Seen { state: task.status.state, desired: task.desired, version };
        let before = world.watch.tasks.insert(id, now);
        // One that was made while nobody looked (a new leader caught up): nothing is known of it.
        let new = task.meta.version.0 == applied.revision.0;
        let before = if new { before } else { before.or(Some(now)) };
        moves.push(Move { task: task.clone(), before });
    }
    moves
}

/// Notes how tasks are when a leader begins: nobody saw the last entries of the one before.
pub(super) fn after_election(world: &mut World) {
    let Some((_, state)) = world.managers.leading() else { return };
    let version = state.revision().0;
    let seen = |t: &Arc<Task>| (t.id, Seen { state: t.status.state, desired: t.desired, version });
    world.watch.tasks = state.tasks().map(seen).collect();
}

/// Looks when the leader has sent what was applied.
pub(super) fn after_handing_out(world: &mut World) -> Result<(), Broken> {
    world.watch.handed_out += 1;
    // What is looked at, one node's orders after the other's, is as large as the cluster.
    let every = (world.hosts.len() as u64 * 2).max(32);
    if world.watch.handed_out.is_multiple_of(every) {
        world.watch.turn += 1;
        named(projected::SAYS, projected::check(world))?;
        named(orders::SAYS, orders::check_one(world))?;
    }
    Ok(())
}

/// Looks when the planner had nothing to propose.
pub(super) fn after_an_empty_plan(world: &mut World) -> Result<(), Broken> {
    world.watch.empty_plans += 1;
    if world.watch.empty_plans.is_multiple_of(32) {
        named(dirty::SAYS, dirty::check(world))?;
        idle(world)?;
    }
    Ok(())
}

/// Looks at everything when there is nothing to plan.
fn idle(world: &World) -> Result<(), Broken> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    named(explains::SAYS, explains::check(world))?;
    named(drains::SAYS, drains::check_left(state))?;
    named(verdict::SAYS, verdict::check(world))
}

/// Looks at what the planner proposes.
pub(super) fn after_planning(world: &World, batches: &[Batch]) -> Result<(), Broken> {
    named(given_up::SAYS, given_up::check_plan(world, batches))
}

/// Looks now and then: whenever users ask for something or something breaks.
pub(super) fn now_and_then(world: &World) -> Result<(), Broken> {
    named(given_up::SAYS, given_up::check(world))
}

/// Looks when a host has taken orders in; `had` is the fence of those before.
pub(super) fn after_orders(
    world: &mut World,
    host: usize,
    had: Option<Fence>,
) -> Result<(), Broken> {
    named(fence::SAYS, fence::check(world, host, had))?;
    named(arrive::SAYS, arrive::check(world, host))?;
    named(routes::SAYS, routes::check(world, host))
}

/// Looks when a host has taken orders in that tell of tasks or their files.
pub(super) fn after_orders_of_tasks(world: &World, host: usize) -> Result<(), Broken> {
    named(secrets::SAYS, secrets::check(world, host))
}

/// Looks when a container's process has started.
pub(super) fn after_start(world: &mut World, host: usize, task: TaskId) -> Result<(), Broken> {
    named(reports::SAYS, reports::check_start(world, host, task))?;
    named(one_live::SAYS, one_live::check(world, host, task))?;
    named(back_off::SAYS, back_off::check_start(world, task))
}

/// Notes that a container's process has ended by itself.
pub(super) fn after_exit(world: &mut World, task: TaskId, code: i64) {
    back_off::note_exit(world, task, code);
}

/// Looks before an agent takes a step.
pub(super) fn before_step(
    world: &World,
    host: usize,
    task: TaskId,
    step: &Step,
) -> Result<(), Broken> {
    named(told::SAYS, told::check(world, host, task, step))?;
    named(at_once::SAYS, at_once::check(world, host, task, step))?;
    named(hooks::SAYS, hooks::check(world, host, task, step))?;
    named(drained::SAYS, drained::check(world, host, task, step))
}

/// Looks when an agent has begun all that it wants to do.
pub(super) fn after_steps(world: &World, host: usize) -> Result<(), Broken> {
    named(at_once::SAYS, at_once::check_pulls(world, host))
}

/// Notes what an engine was asked to do.
pub(super) fn after_step(world: &mut World, task: TaskId, step: &Step, fate: Fate) {
    if matches!(fate, Fate::Done | Fate::DoneUnheard) {
        hooks::note(world, task, step);
    }
}

/// Looks at what an agent has to say.
pub(super) fn before_reports(
    world: &World,
    host: usize,
    reports: &[TaskReport],
) -> Result<(), Broken> {
    named(hooks::SAYS, hooks::check_reports(world, host, reports))?;
    named(reports::SAYS, reports::check(world, host, reports))
}

/// Looks while nothing breaks: a leader that is idle must have nothing to do.
pub(super) fn in_peace(world: &World) -> Result<(), Broken> {
    let idle = world.managers.leader.as_ref().is_some_and(|l| {
        let time = world.now + l.ahead;
        let due = l.wake_at.is_some_and(|at| at <= time);
        l.planned == 0 && l.unseen.is_empty() && l.agenda.is_idle(time) && !due
    });
    if !idle {
        return Ok(());
    }
    named(dirty::SAYS, dirty::check(world))?;
    self::idle(world)
}

/// Looks once everything was as it should be, some seconds ago.
pub(super) fn quiet(world: &World, plans_before: u64) -> Result<(), Broken> {
    named(quiet::SAYS, quiet::check(world, plans_before))?;
    named(names::SAYS, names::check(world))
}

/// Lets every manager catch up and compares.
pub(super) fn replicas_agree(world: &mut World) -> Result<(), Broken> {
    named(replicas::SAYS, replicas::check(world))
}

/// Compares what was acknowledged with what is there.
pub(super) fn writes_kept(world: &World) -> Result<(), Broken> {
    named(writes::SAYS, writes::check(world))
}

/// What a change of a service goes by.
fn config_of(service: &Service, rollout: &Rollout) -> UpdateConfig {
    match rollout.kind {
        RolloutKind::Update => service.spec.effective_update(),
        RolloutKind::Rollback => service.spec.effective_rollback(),
    }
}

/// The leader's time, for what entries say of time.
fn leader_time(world: &World) -> Timestamp {
    world.managers.leader.as_ref().map_or(world.now, |leader| world.now + leader.ahead)
}
