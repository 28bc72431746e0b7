//! A slot that keeps failing is started again, but more and more slowly.

use std::collections::BTreeMap;

use model::lifecycle::Desired;
use model::object::{Service, Slot, Task};
use model::reason::Reason;
use model::{Millis, ServiceId, TaskId, TaskState, Timestamp};

use orchestrator_core::command::Command;
use orchestrator_core::{Entry, State};

use super::super::world::World;
use super::Move;

pub(super) const SAYS: (&str, &str) = (
    "back-off",
    "a task that ended by itself is counted, and after two in a row the next waits 0.5 s, 1 s, 2 s …; one that \
     only moves has the count and the time of the one before",
);

/// Which process of each slot ended last by itself, when, and under which leader.
pub(super) type Ends = BTreeMap<(ServiceId, Slot), (TaskId, Timestamp, u64)>;

/// What the documentation promises.
fn promised(failures: u32) -> Millis {
    match failures {
        0 | 1 => Millis(0),
        more => Millis((500u64 << (more - 2).min(7)).min(60_000)),
    }
}

pub(super) fn note_exit(world: &mut World, task: TaskId, _code: i64) {
    let Some(task) = world.managers.newest().task(task) else { return };
    let key = (task.service, task.slot);
    if task.desired <= Desired::Running {
        world.watch.back_off.insert(key, (task.id, world.now, world.managers.term));
    }
}

/// Looks at new tasks: what came before them in their slot must be counted.
pub(super) fn check(world: &World, entry: &Entry, moves: &[Move]) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    let Some(base) = entry.batch.base else { return Ok(()) };
    given_up(state, entry)?;
    for Move { task, before } in moves {
        if before.is_some() {
            continue;
        }
        let Some(service) = state.service(task.service) else { continue };
        let ended = |t: &&std::sync::Arc<Task>| {
            t.id != task.id && t.template == task.template && t.job_iteration == task.job_iteration
        };
        let Some(last) = state.tasks_in(task.service, task.slot).filter(ended).last() else {
            continue;
        };
        // What it was when this was planned: an end that was written since is not known there.
        let known = moves.iter().find(|m| m.task.id == last.id).and_then(|m| m.before);
        let Some(known) = known.filter(|b| b.version <= base.0) else { continue };
        if known.desired > Desired::Running || service.job.is_some() {
            continue;
        }
        let (had, has) = (last.restarts, task.restarts);
        if known.state == TaskState::Orphaned && has.in_a_row > had.in_a_row {
            return Err(format!("task {} counts {} as failed, which was lost", task.id, last.id));
        }
        // Lost with its node, or to leave it: what follows is the same task elsewhere.
        let ended = known.state.is_terminal() || last.status.state.is_terminal();
        let lives = !ended && last.node.is_some();
        let moved = known.state == TaskState::Orphaned || lives;
        let same = (had.in_a_row, had.in_window, last.not_before);
        let passed_on = (has.in_a_row, has.in_window, task.not_before);
        if moved && same != passed_on {
            return Err(format!(
                "task {} only moves, after {} ({same:?}), and has {passed_on:?}",
                task.id, last.id
            ));
        }
        // Ended by itself, while it was wanted: not stopped, not lost with its node. (One that was
        // stopped drains first, or has never run.)
        let by_itself =
            matches!(known.state, TaskState::Failed | TaskState::Rejected | TaskState::Complete)
                && last.drain.is_none();
        if by_itself {
            counted(world, service, last, task)?;
            let policy = service.templates.get(&task.template);
            let policy = policy.and_then(|t| t.task.restart_policy.as_ref());
            let condition = policy.map_or("any", |p| p.condition.as_str());
            let well = known.state == TaskState::Complete;
            if condition == "none" || (condition == "on-failure" && well) {
                let is = known.state;
                return Err(format!("task {} follows {}, which is {is}", task.id, last.id));
            }
        }
        let policy = service.spec.task_template.restart_policy.as_ref();
        let most = policy.and_then(|p| p.max_attempts).unwrap_or(0);
        if most > 0 && by_itself && has.in_window > most {
            return Err(format!("task {} is attempt {}", task.id, task.restarts.in_window));
        }
    }
    Ok(())
}

/// After so long a task counts as healthy; for so long nobody can tell.
const HEALTHY: Millis = Millis::from_secs(60);
const NEARLY: Millis = Millis::from_secs(15);
/// From plan to log position.
const SLOW: Millis = Millis::from_secs(4);

/// A task is given up when its attempts are used up, those of its window.
fn given_up(state: &State, entry: &Entry) -> Result<(), String> {
    for command in &entry.batch.commands {
        let Command::SetWaiting { task, waiting: Some(Reason::RestartsExhausted { .. }) } = command
        else {
            continue;
        };
        let Some(task) = state.task(*task) else { continue };
        let service = state.service(task.service);
        let template = service.and_then(|s| s.templates.get(&task.template));
        let policy = template.and_then(|t| t.task.restart_policy.as_ref());
        let Some(policy) = policy.filter(|p| p.condition != "none") else { continue };
        let (most, had) = (policy.max_attempts.unwrap_or(0), task.restarts.in_window);
        if had < most || most == 0 {
            return Err(format!("task {} is given up after {had} attempts of {most}", task.id));
        }
        let window = policy.window.filter(|w| *w > 0).map(Millis::from_nanos);
        let age = task.restarts.window_began.map(|began| state.clock().since(began));
        if let (Some(window), Some(age)) = (window, age)
            && age.0 > window.0 + SLOW.0
        {
            return Err(format!("task {} is given up for attempts {age} ago", task.id));
        }
    }
    Ok(())
}

/// The next task of a slot has the count of the one before, and one more.
fn counted(world: &World, service: &Service, last: &Task, task: &Task) -> Result<(), String> {
    let time = super::leader_time(world);
    let (had, has) = (last.restarts, task.restarts);
    let ran = last.status.running_since.map_or(Millis(0), |since| time.since(since));
    let wrong = |what: &str| {
        Err(format!("task {} follows {} ({had:?}) without {what}: {has:?}", task.id, last.id))
    };
    if has.in_a_row == 0 {
        return wrong("being counted");
    }
    if ran.0 + NEARLY.0 < HEALTHY.0 && has.in_a_row != had.in_a_row + 1 {
        return wrong("one failure more in a row");
    }
    if ran.0 > HEALTHY.0 + NEARLY.0 && has.in_a_row != 1 {
        return wrong("a new count, although it had been healthy");
    }
    let template = service.templates.get(&task.template);
    let policy = template.and_then(|t| t.task.restart_policy.as_ref());
    let window = policy.and_then(|p| p.window).filter(|w| *w > 0).map(Millis::from_nanos);
    // It was judged when it ended; by its host's clock, that is when it says.
    let age = had.window_began.map(|began| task.meta.created_at.since(began));
    let goes_on = match (window, age) {
        (None, _) => had.window_began.is_some(),
        (Some(window), Some(age)) => age < window,
        (Some(_), None) => false,
    };
    let unsure = matches!((window, age), (Some(w), Some(a)) if a >= w && a.0 < w.0 + SLOW.0);
    let expected = if goes_on { had.in_window + 1 } else { 1 };
    if !unsure && has.in_window != expected {
        return wrong("counting the attempts of its window");
    }
    Ok(())
}

/// Looks at a process that starts: not too soon after the one before.
pub(super) fn check_start(world: &World, id: TaskId) -> Result<(), String> {
    let state = world.managers.newest();
    let Some(task) = state.task(id) else { return Ok(()) };
    let failures = task.restarts.in_a_row;
    let key = (task.service, task.slot);
    let Some((last, ended, term)) = world.watch.back_off.get(&key) else { return Ok(()) };
    // It must be what this one follows, and was counted; one that was lost with its node, or was to
    // leave it when nobody knew that it had ended, is followed at once.
    let older = state.tasks_in(task.service, task.slot).take_while(|t| t.id != id);
    let before = older.filter(|t| t.template == task.template).last();
    let failed = |t: &std::sync::Arc<Task>| {
        let counts = t.restarts.in_a_row < failures;
        t.id == *last && counts && matches!(t.status.state, TaskState::Failed | TaskState::Complete)
    };
    if !before.is_some_and(failed) {
        return Ok(());
    }
    // Another leader's clock may be ahead of the last one's.
    if *term != world.managers.term {
        return Ok(());
    }
    // A move that was begun before that is not its restart.
    let ahead = super::leader_time(world).since(world.now);
    if task.meta.created_at < *ended + ahead {
        return Ok(());
    }
    let template = state.service(task.service).and_then(|s| s.templates.get(&task.template));
    let policy = template.and_then(|t| t.task.restart_policy.as_ref());
    let delay = policy.and_then(|p| p.delay).map_or(Millis(0), Millis::from_nanos);
    let waited = world.now.since(*ended);
    let least = if failures == 0 { Millis(0) } else { promised(failures).max(delay) };
    if waited < least {
        return Err(format!(
            "task {id} was started {waited} after failure {failures} in a row, not {least}"
        ));
    }
    Ok(())
}
