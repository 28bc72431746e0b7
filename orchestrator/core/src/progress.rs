//! Judges how far a service is from what was asked of it.
//!
//! Input: the state and the time. Output: counts, a verdict, and which tasks tell why. Whoever waits
//! for a deployment asks this and nothing else, because only the managers know which template a task
//! has.
//!
//! Deliberately absent: how it is shown, and how long a client waits.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use model::api::Verdict;
use model::lifecycle::Desired;
use model::object::{RolloutKind, RolloutState, Service, Slot, Task};
use model::reason::Reason;
use model::spec::ModeKind;
use model::{Millis, TaskState, Timestamp};

use crate::State;
use crate::plan::global_slots;

/// How far a service is.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement<'a> {
    pub verdict: Verdict,
    /// Tasks that are as they should be: of the current template and running; of a job, completed.
    pub done: u64,
    pub wanted: u64,
    /// Tasks that are still to be replaced or taken away.
    pub outdated: u64,
    /// How long every task has run; zero unless it has converged.
    pub stable_for: Millis,
    /// Tasks that do not run yet, or that nothing is started for.
    pub waiting: Vec<&'a Task>,
    /// Tasks of this change that failed, newest first. After a rollback those of the template that
    /// was given up: they tell why.
    pub failed: Vec<&'a Task>,
}

/// Judges a service as it is at `now`.
#[must_use]
pub fn judge<'a>(state: &'a State, service: &Service, now: Timestamp) -> Judgement<'a> {
    let tasks: Vec<&Task> = state
        .tasks_of(service.id)
        .map(Arc::as_ref)
        .filter(|t| service.job.is_none_or(|job| job.iteration == t.job_iteration))
        .collect();
    let live: Vec<&Task> =
        tasks.iter().copied().filter(|t| t.desired <= Desired::Running).collect();
    let is_current = |t: &Task| t.template == service.template;
    let wanted = wanted(state, service, &live);
    let gave_up =
        count(live.iter().filter(|t| {
            is_current(t) && matches!(t.waiting, Some(Reason::RestartsExhausted { .. }))
        }));
    let (done, outdated, stuck) = if service.job.is_some() {
        let done = count(tasks.iter().filter(|t| t.status.state == TaskState::Complete));
        let works = live.iter().any(|t| !t.status.state.is_terminal());
        (done, 0, gave_up > 0 && !works && done + gave_up >= wanted)
    } else {
        let is_done = |t: &Task| {
            is_current(t)
                && !t.leaves
                && (t.status.state == TaskState::Running || has_finished(service, t))
        };
        let old = count(live.iter().filter(|t| !is_current(t) || t.leaves));
        let surplus = count(live.iter()).saturating_sub(wanted);
        (count(live.iter().filter(|t| is_done(t))), old.max(surplus), gave_up > 0)
    };
    let verdict = match service.rollout.as_ref().map(|r| r.state) {
        Some(RolloutState::Paused) => Verdict::Paused,
        Some(RolloutState::Running) => Verdict::Waiting,
        Some(RolloutState::Completed) | None => {
            if done >= wanted && outdated == 0 {
                Verdict::Converged
            } else if stuck {
                Verdict::GaveUp
            } else {
                Verdict::Waiting
            }
        }
    };
    let newest = live.iter().filter(|t| is_current(t)).filter_map(|t| t.status.running_since).max();
    Judgement {
        verdict,
        done,
        wanted,
        outdated,
        stable_for: match (verdict, newest) {
            (Verdict::Converged, Some(newest)) => now.since(newest),
            _ => Millis(0),
        },
        waiting: live
            .iter()
            .copied()
            .filter(|t| t.status.state < TaskState::Running || t.waiting.is_some())
            .collect(),
        failed: failed(service, &tasks),
    }
}

fn count<T>(tasks: impl Iterator<Item = T>) -> u64 {
    u64::try_from(tasks.count()).unwrap_or(u64::MAX)
}

fn wanted(state: &State, service: &Service, live: &[&Task]) -> u64 {
    match service.spec.mode.kind() {
        ModeKind::Replicated { replicas } => replicas,
        ModeKind::ReplicatedJob { total, .. } => total,
        ModeKind::Global | ModeKind::GlobalJob => {
            let held: BTreeSet<Slot> = live.iter().map(|t| t.slot).collect();
            let template = service.templates.get(&service.template);
            template.map_or(0, |t| count(global_slots(state, t, &held).iter()))
        }
    }
}

/// The task ended well and its restart policy starts no other: that is how it should be.
fn has_finished(service: &Service, task: &Task) -> bool {
    let policy = &service.spec.task_template.restart_policy;
    let condition = policy.as_ref().map_or("", |p| p.condition.as_str());
    task.status.state == TaskState::Complete && matches!(condition, "none" | "on-failure")
}

fn failed<'a>(service: &Service, tasks: &[&'a Task]) -> Vec<&'a Task> {
    let back = service.rollout.as_ref().is_some_and(|r| r.kind == RolloutKind::Rollback);
    let mut failed: Vec<&Task> = tasks
        .iter()
        .copied()
        .filter(|t| matches!(t.status.state, TaskState::Failed | TaskState::Rejected))
        .filter(|t| (t.template == service.template) != back)
        .collect();
    failed.sort_by_key(|t| (Reverse(t.status.since), t.id));
    failed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_kit::{SECOND, World, web};

    /// Verdict, done, wanted, outdated.
    fn judged(world: &World, name: &str) -> (Verdict, u64, u64, u64) {
        let service = world.state.service_named(name).expect("it is there");
        let judged = judge(&world.state, service, world.now);
        (judged.verdict, judged.done, judged.wanted, judged.outdated)
    }

    fn with_policy(image: &str, mode: &str, policy: &str) -> String {
        format!(
            r#"{{"Name":"web","Mode":{mode},"TaskTemplate":{{
                "ContainerSpec":{{"Image":"{image}"}},"RestartPolicy":{policy}}}}}"#
        )
    }

    #[test]
    fn a_service_has_converged_when_every_task_runs_with_the_current_template() {
        let mut world = World::with_workers(2);
        world.create(&web(3));
        assert_eq!(judged(&world, "web"), (Verdict::Waiting, 0, 3, 0));
        world.settle();
        assert_eq!(judged(&world, "web"), (Verdict::Converged, 3, 3, 0));
        world.advance(SECOND);
        let service = world.state.service_named("web").expect("it is there");
        let stable = judge(&world.state, service, world.now).stable_for;
        assert!(stable >= SECOND, "{stable}");
    }

    #[test]
    fn an_update_is_waited_for_until_no_old_task_is_left() {
        let mut world = World::with_workers(2);
        world.create(&web(2));
        world.settle();
        world.update("web", |spec| spec.task_template.force_update += 1);
        let (verdict, done, wanted, outdated) = judged(&world, "web");
        assert_eq!((verdict, done, wanted, outdated), (Verdict::Waiting, 0, 2, 2));
        world.advance(Millis::from_secs(60));
        assert_eq!(judged(&world, "web"), (Verdict::Converged, 2, 2, 0));
    }

    #[test]
    fn what_is_taken_away_is_waited_for() {
        let mut world = World::with_workers(2);
        world.create(&web(3));
        world.settle();
        world.update("web", |spec| {
            spec.mode.replicated = Some(model::spec::Replicated { replicas: Some(1) });
        });
        let (verdict, _, wanted, outdated) = judged(&world, "web");
        assert_eq!((verdict, wanted, outdated), (Verdict::Waiting, 1, 2));
    }

    #[test]
    fn a_service_that_may_not_be_restarted_has_given_up_and_says_what_failed() {
        let mut world = World::with_workers(1);
        world.break_image("web:bad", 3);
        let policy = r#"{"Condition":"on-failure","MaxAttempts":1,"Delay":0}"#;
        world.create(&with_policy("web:bad", r#"{"Replicated":{"Replicas":1}}"#, policy));
        world.advance(Millis::from_secs(120));
        assert_eq!(judged(&world, "web").0, Verdict::GaveUp);
        let service = world.state.service_named("web").expect("it is there");
        let judged = judge(&world.state, service, world.now);
        assert!(!judged.failed.is_empty() && !judged.waiting.is_empty());
    }

    #[test]
    fn a_task_that_ended_well_is_done_when_nothing_is_to_restart_it() {
        let mut world = World::with_workers(1);
        world.break_image("web:once", 0);
        let policy = r#"{"Condition":"none"}"#;
        world.create(&with_policy("web:once", r#"{"Replicated":{"Replicas":1}}"#, policy));
        world.advance(Millis::from_secs(10));
        assert_eq!(judged(&world, "web"), (Verdict::Converged, 1, 1, 0));
    }

    #[test]
    fn a_job_has_converged_when_its_tasks_are_complete() {
        let mut world = World::with_workers(1);
        world.break_image("web:once", 0);
        let mode = r#"{"ReplicatedJob":{"MaxConcurrent":1,"TotalCompletions":2}}"#;
        world.create(&with_policy("web:once", mode, r#"{"Condition":"none"}"#));
        assert_eq!(judged(&world, "web"), (Verdict::Waiting, 0, 2, 0));
        world.advance(Millis::from_secs(30));
        assert_eq!(judged(&world, "web"), (Verdict::Converged, 2, 2, 0));
    }

    #[test]
    fn a_global_service_wants_a_task_on_every_node_that_may_run_it() {
        let mut world = World::with_workers(2);
        world.create(&with_policy("web:1", r#"{"Global":{}}"#, "{}"));
        world.settle();
        assert_eq!(judged(&world, "web"), (Verdict::Converged, 3, 3, 0));
    }
}
