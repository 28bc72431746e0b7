//! Replaces slots: the one engine behind update, rollback, drain and changed constraints.
//!
//! It looks at every wanted slot and sees by itself how far things are: a slot is done when its
//! task has the current template and has run for the monitor time. Kept in the state is only what
//! the tasks cannot tell: whether the change goes on, and how many new tasks have failed.
//!
//! Two reasons to replace: *outdated* (another template than the current one, while the change
//! runs; budget: parallelism and delay) and *evicted* (its node no longer suits; budget:
//! parallelism of slots that do not serve). Both go stop-first or start-first as the spec says; a
//! start-first replacement that has no room beside the old task turns stop-first.
//!
//! A slot that does not serve anyway is replaced before one that does.

use model::lifecycle::Desired;
use model::object::{Rollout, RolloutKind, RolloutState, Slot, Task, TemplateVersion};
use model::spec::{Availability, UpdateConfig};
use model::{Millis, TaskId, TaskState};

use super::restart::Verdict;
use super::slots::{Start, View, Work, is_lost};
use crate::check;
use crate::command::Command;
use crate::fit::Demand;

/// Without an update config, at most one in so many slots is out of service at once for a drain.
const EVICTED_SHARE: u64 = 3;

/// What one slot needs of the engine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    /// The task has an old template.
    Outdated,
    /// The task's node no longer suits.
    Evicted,
}

/// A slot as the engine sees it.
struct Case<'v, 'a> {
    view: &'v View<'a>,
    /// The task to keep or to replace.
    old: Option<&'a Task>,
    /// A start-first replacement under way.
    new: Option<&'a Task>,
    /// Ended by itself, not dealt with.
    ended: Option<&'a Task>,
    need: Need,
    /// The task's node no longer suits, whatever else is needed.
    evicted: bool,
    serves: bool,
}

/// Looks after every wanted slot of a replicated or global service. `filled` are what is on record of
/// slots without a task that get one by this plan, whatever the change may do.
pub(super) fn plan<'a>(work: &mut Work<'_, 'a>, views: &[&View<'a>], filled: &[&View<'a>]) {
    let service = work.service;
    let mut engine = Engine::of(work, views.len() as u64);
    engine.expect(filled);
    let mut cases: Vec<Case<'_, 'a>> = views.iter().map(|view| engine.look(work, view)).collect();
    match engine.judge(work, service.rollout.as_ref()) {
        Course::On => {}
        // The next plan sees the old spec as the current one.
        Course::Back => return,
        Course::Pause => {
            (engine.runs, engine.paused) = (false, true);
            for case in cases.iter_mut().filter(|c| c.need == Need::Outdated) {
                case.need = Need::Nothing;
            }
        }
    }
    // Free replacements first, then by number: cases are in the order of their slots.
    cases.sort_by_key(|case| case.serves);
    for case in &cases {
        if case.need != Need::Nothing && engine.allows(case) {
            engine.replace(work, case);
        } else {
            engine.keep(work, case);
        }
        work.draft.may_cut();
    }
}

/// The slot is a node's, and the node is paused: it keeps its task and gets no other.
fn is_paused(work: &Work<'_, '_>, view: &View<'_>) -> bool {
    let Slot::Node(node) = view.slot else { return false };
    let node = work.draft.state.node(node);
    node.is_some_and(|n| n.spec.availability == Availability::Pause)
}

/// How the change goes on.
enum Course {
    On,
    Pause,
    Back,
}

struct Engine {
    /// The change runs: outdated slots are replaced.
    runs: bool,
    /// The change stopped half-way and waits for a person.
    paused: bool,
    config: UpdateConfig,
    current: TemplateVersion,
    slots: u64,
    demand: Option<Demand>,
    /// Slots that the change works on, and may work on.
    in_flight: u64,
    parallel: u64,
    /// Slots out of service for a move, and how many may be.
    away: u64,
    away_limit: u64,
    /// Outdated slots left over.
    left: u64,
    /// New tasks whose monitor time is not over.
    watched: u64,
    failures: u32,
    failed: Option<TaskId>,
}

impl Engine {
    fn of(work: &Work<'_, '_>, slots: u64) -> Engine {
        let service = work.service;
        let rollout = service.rollout.as_ref();
        let kind = rollout.map_or(RolloutKind::Update, |r| r.kind);
        let config = match kind {
            RolloutKind::Update => service.spec.effective_update(),
            RolloutKind::Rollback => service.spec.effective_rollback(),
        };
        let all = |parallelism: u64| if parallelism == 0 { u64::MAX } else { parallelism };
        let away_limit = match &service.spec.update_config {
            Some(config) => all(config.parallelism),
            None => slots.div_ceil(EVICTED_SHARE).max(1),
        };
        let template = service.templates.get(&service.template);
        Engine {
            runs: rollout.is_some_and(|r| r.state == RolloutState::Running),
            paused: rollout.is_some_and(|r| r.state == RolloutState::Paused),
            parallel: all(config.parallelism),
            config,
            current: service.template,
            slots,
            demand: template.map(|t| Demand::of(work.draft.state, t)),
            in_flight: 0,
            away: 0,
            away_limit,
            left: 0,
            watched: 0,
            failures: 0,
            failed: None,
        }
    }

    /// Counts slots that get a task by this plan as the next one will.
    fn expect(&mut self, filled: &[&View<'_>]) {
        if self.runs {
            self.watched += filled.len() as u64;
            let replaced = filled.iter().filter(|view| view.is_replaced(self.current));
            self.in_flight += replaced.count() as u64;
        }
    }

    /// Sees what a slot holds and needs, and counts it.
    fn look<'v, 'a>(&mut self, work: &mut Work<'_, 'a>, view: &'v View<'a>) -> Case<'v, 'a> {
        let mut live = view.live();
        let (old, mut new) = (live.next(), live.next());
        let paused = is_paused(work, view);
        if let (Some(old), Some(candidate)) = (old, new) {
            let going_back = old.template == self.current && candidate.template != self.current;
            let overtaken = self.runs && candidate.template != self.current;
            // It gets its place when its node takes tasks again; then it is made anew.
            let stuck = paused && candidate.node.is_none();
            if (going_back || overtaken || stuck) && candidate.status.state != TaskState::Running {
                work.stop(candidate, Desired::Shutdown);
                new = None;
            }
        }
        let serving = |t: Option<&Task>| t.is_some_and(|t| t.status.state == TaskState::Running);
        let ended = view.ended();
        let subject = new.or(old).or(ended);
        let outdated = self.runs && subject.is_some_and(|t| t.template != self.current);
        let evicted = new.is_none() && old.is_some_and(|t| self.evicts(work, t));
        let need = match (outdated, evicted) {
            _ if new.is_some() => Need::Nothing,
            // A paused node keeps what it has; the change goes on there when it takes tasks again.
            (true, _) if paused => {
                self.left += 1;
                Need::Nothing
            }
            (true, _) => Need::Outdated,
            (false, true) => Need::Evicted,
            (false, false) => Need::Nothing,
        };
        let serves = serving(old) || serving(new);
        let case = Case { view, old, new, ended, need, evicted, serves };
        self.count(work, &case);
        let fresh = |t: &&Task| t.waiting.is_none() && old.is_none_or(|old| view.is_older(old, t));
        if let Some(ended) = ended.filter(fresh) {
            self.note_failure(work, ended);
        }
        case
    }

    fn evicts(&self, work: &Work<'_, '_>, task: &Task) -> bool {
        // A rebalancing marked it (see `rebalance`).
        if task.leaves {
            return true;
        }
        let node = task.node.and_then(|id| work.draft.state.node(id));
        match (&self.demand, node) {
            (Some(demand), Some(node)) if task.template == self.current => {
                !demand.still_suits(node)
            }
            // What an old template asked for is judged by that template.
            _ => work.must_leave(task),
        }
    }

    fn count(&mut self, work: &mut Work<'_, '_>, case: &Case<'_, '_>) {
        if case.need == Need::Outdated {
            self.left += 1;
        }
        // Also one that has failed before: while the old task is there, the slot is not done.
        if self.runs && case.new.is_some() {
            self.watched += 1;
        }
        let Some(newest) = case.new.or(case.old) else {
            // A new task that was lost with its node is followed by another: the slot is still out
            // of service for the change.
            let lost = |t: &Task| t.template == self.current && is_lost(t);
            let replaced = case.view.tasks.iter().any(|t| t.template != self.current);
            if self.runs && replaced && case.ended.is_some_and(lost) {
                self.watched += 1;
                self.in_flight += 1;
            }
            return;
        };
        let first_try = newest.restarts.in_a_row == 0;
        let is_replacement = case.view.tasks.len() > 1;
        // One without a place is not waited for: it may never get one, and the next node would then
        // never be drained.
        let on_its_way = newest.node.is_some() && newest.status.state != TaskState::Running;
        if first_try && is_replacement && on_its_way {
            self.away += 1;
        }
        if !self.runs || newest.template != self.current || !first_try {
            return;
        }
        let replaced = case.view.is_replaced(self.current);
        let since = newest.status.running_since;
        let running = newest.status.state == TaskState::Running;
        let now = work.draft.now;
        match since.filter(|_| running) {
            None => {
                self.watched += 1;
                self.in_flight += u64::from(replaced);
            }
            Some(since) => {
                let free_at = since + Millis::from_nanos(self.config.delay);
                if replaced && free_at > now {
                    self.in_flight += 1;
                    work.wake_at(free_at);
                }
                let safe_at = since + self.config.effective_monitor();
                let began = work.service.rollout.as_ref().map(|r| r.started_at);
                if safe_at > now && began.is_some_and(|began| newest.meta.created_at >= began) {
                    self.watched += 1;
                    work.wake_at(safe_at);
                }
            }
        }
    }

    /// Whether the budget lets the slot be replaced now, and takes it.
    fn allows(&mut self, case: &Case<'_, '_>) -> bool {
        // One that has not even a node costs nobody anything.
        let idle = case.old.is_some_and(|t| t.node.is_none());
        match case.need {
            Need::Nothing => false,
            Need::Outdated if idle || self.in_flight < self.parallel => {
                self.in_flight += 1;
                true
            }
            // Also when the change is stuck.
            Need::Outdated | Need::Evicted
                if case.evicted && (!case.serves || self.away < self.away_limit) =>
            {
                self.away += 1;
                true
            }
            Need::Outdated | Need::Evicted => false,
        }
    }

    fn replace<'a>(&self, work: &mut Work<'_, 'a>, case: &Case<'_, 'a>) {
        // A move keeps the template and the failures of the task that moves.
        let moved = case.old.filter(|_| case.need == Need::Evicted);
        let template = moved.map_or(self.current, |old| self.template_for(old));
        let mut start = Start::fresh(case.view.slot, template);
        start.restarts.has_run = case.view.has_run();
        start.had_place = case.view.tasks.iter().any(|t| t.node.is_some());
        if let Some(old) = moved {
            (start.restarts, start.not_before) = (old.passed_on(), old.not_before);
        }
        if let Some(ended) = case.ended {
            // A start-first replacement that failed is tried again, but not in a hot loop.
            let retry = ended.template == template && case.old.is_some();
            if retry && is_lost(ended) {
                // It did not fail; its node was lost.
                (start.restarts, start.not_before) = (ended.passed_on(), ended.not_before);
            } else if retry {
                match work.verdict(ended, template) {
                    Verdict::Again { restarts, not_before } => {
                        (start.restarts, start.not_before) = (restarts, not_before);
                    }
                    Verdict::Exhausted { .. } | Verdict::Finished => {
                        if let Some(old) = case.old {
                            work.tend(case.view, old);
                        }
                        work.raise(ended, Desired::Shutdown);
                        return;
                    }
                }
            }
            work.raise(ended, Desired::Shutdown);
        }
        let Some(old) = case.old else {
            start.old_stopping = case.view.is_leaving();
            work.start(start);
            return;
        };
        let serves = old.status.state == TaskState::Running;
        if self.config.starts_first() && serves {
            start.beside = Some(old);
            if let Some(node) = old.node {
                work.draft.passes(work.service.id, node);
            }
        } else {
            work.stop(old, Desired::Shutdown);
            start.old_stopping = old.node.is_some() || case.view.is_leaving();
        }
        work.start(start);
    }

    fn keep<'a>(&self, work: &mut Work<'_, 'a>, case: &Case<'_, 'a>) {
        match (case.old, case.new) {
            (Some(old), Some(new)) => {
                if new.status.state == TaskState::Running {
                    work.stop(old, Desired::Shutdown);
                } else {
                    work.tend(case.view, new);
                }
            }
            (Some(old), None) => work.tend(case.view, old),
            (None, _) => {}
        }
        let Some(ended) = case.ended else { return };
        if case.old.is_none() {
            let template = self.template_for(ended);
            work.renew(case.view, ended, template);
        } else {
            // Another task lives in the slot, older or newer: the ended one is history.
            work.raise(ended, Desired::Shutdown);
        }
    }

    /// The template for a slot that is renewed for another reason than the change: the new one
    /// while the change goes on and at rest, its own while the change is paused.
    fn template_for(&self, task: &Task) -> TemplateVersion {
        if self.paused { task.template } else { self.current }
    }

    /// Counts a new task that failed within its monitor time.
    fn note_failure(&mut self, work: &Work<'_, '_>, task: &Task) {
        let Some(rollout) = &work.service.rollout else { return };
        let young = task
            .status
            .running_since
            .is_none_or(|since| work.draft.now.since(since) <= self.config.effective_monitor());
        let counted = self.runs
            && young
            && task.template == self.current
            && task.meta.created_at >= rollout.started_at
            && task.status.state != TaskState::Orphaned
            && work.verdict(task, self.current) != Verdict::Finished;
        if counted {
            self.failures += 1;
            self.failed = Some(task.id);
        }
    }

    /// Writes how the change goes on: failed too often, done, or neither.
    fn judge(&self, work: &mut Work<'_, '_>, rollout: Option<&Rollout>) -> Course {
        let Some(rollout) = rollout.filter(|r| r.state == RolloutState::Running) else {
            return Course::On;
        };
        let mut course = Course::On;
        let (service, template) = (work.service, self.current);
        let mut next = rollout.clone();
        next.failures += self.failures;
        let ratio = f64::from(next.failures) / self.slots.max(1) as f64;
        let failed = self.failed.filter(|_| ratio > self.config.max_failure_ratio);
        if let Some(task) = failed.filter(|_| self.config.failure_action != "continue") {
            let word = match rollout.kind {
                RolloutKind::Update => "update",
                RolloutKind::Rollback => "rollback",
            };
            let why = format!("due to failure or early termination of task {task}");
            let back = self.config.failure_action == "rollback"
                && rollout.kind == RolloutKind::Update
                && can_go_back(work);
            if back {
                let message = format!("{word} rolled back {why}");
                work.roll_back(message);
                return Course::Back;
            }
            course = Course::Pause;
            next.state = RolloutState::Paused;
            next.message = format!("{word} paused {why}");
        } else if self.left == 0 && self.watched == 0 && self.failures == 0 {
            next.state = RolloutState::Completed;
            next.ended_at = Some(work.draft.now);
            next.message = match rollout.kind {
                RolloutKind::Update => "update completed".to_owned(),
                RolloutKind::Rollback => "rollback completed".to_owned(),
            };
        }
        if next != *rollout {
            work.draft.push(Command::StepRollout { service: service.id, template, rollout: next });
        }
        course
    }
}

/// Whether the previous spec would still be accepted: what it names may be gone by now, and its
/// networks may have no address left. If so, the addresses that it needs are taken.
fn can_go_back(work: &mut Work<'_, '_>) -> bool {
    let (state, service) = (work.draft.state, work.service);
    let previous = service.previous_spec.as_ref();
    let checked = previous.and_then(|spec| check::service(state, spec, Some(service)).ok());
    checked.is_some_and(|checked| {
        let networks = state.wants_addresses_on(&checked.spec, &service.endpoint);
        work.draft.take_addresses(&networks)
    })
}
