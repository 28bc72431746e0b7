//! Decides the next step of every task on this host.
//!
//! Input: the orders, what the engine showed ([`Sight`]), how earlier steps ended ([`Outcome`]), the
//! time. Output: a [`Plan`] with the steps to take now, the reports that changed and when to ask
//! again. [`Worker::plan`] looks at what is, never at what just happened, so it may be called at any
//! moment and as often as one likes.
//!
//! What always holds: one step in flight for a task · a task is started at most once and its reported
//! rank never falls · a container that is not known to be absent or present is looked at before it is
//! touched · what the orders do not name is let alone until a manager has said so · a terminal state is
//! reported only when the process has ended · nothing is done while the engine is out of sight.
//!
//! Read `task` for the decisions about one task, `sight` and `step` for the words.

mod sight;
mod step;
mod task;

use std::collections::BTreeMap;

use model::lifecycle::TaskState;
use model::wire::orders::Orders;
use model::wire::session::TaskReport;
use model::{Millis, TaskId, Timestamp};

pub use sight::{Container, Exit, Health, Phase, Sight};
pub use step::{Effect, HookPoint, Outcome, Step};
pub use task::{Ending, Kept};

use task::{Progress, Want};

/// How much is done at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Containers being created or started.
    pub starts: usize,
    /// Images being pulled.
    pub pulls: usize,
}

impl Default for Limits {
    /// Starting a container costs about 150 ms of CPU, so a few at once keep every core busy.
    fn default() -> Self {
        Limits { starts: 4, pulls: 3 }
    }
}

/// What to do now, what changed, when the answer may change by time alone.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub effects: Vec<Effect>,
    /// The latest of every task whose report has changed since the last plan.
    pub reports: Vec<TaskReport>,
    pub wake_at: Option<Timestamp>,
}

/// A moment in the worker's own order of events, for knowledge that may be outdated when it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

/// Everything the worker remembers between two plans.
#[derive(Debug, Default)]
pub struct Worker {
    limits: Limits,
    /// False while the engine cannot be asked.
    engine: bool,
    /// A manager has been heard since this worker began.
    confirmed: bool,
    events: u64,
    /// When a task was last forgotten or the engine last lost: what was asked before may be outdated.
    known_since: u64,
    tasks: BTreeMap<TaskId, Progress>,
}

impl Worker {
    /// A worker that remembers what an earlier one kept. The engine is out of sight.
    #[must_use]
    pub fn new(limits: Limits, kept: BTreeMap<TaskId, Kept>) -> Worker {
        let tasks = kept.into_iter().map(|(task, kept)| (task, Progress::remembered(kept)));
        Worker {
            limits,
            engine: false,
            confirmed: false,
            events: 0,
            known_since: 0,
            tasks: tasks.collect(),
        }
    }

    /// Orders have come from a manager since this worker began. Until then they are those of a disk,
    /// which may have been full or torn: what they do not name may be what they should name.
    pub fn confirm(&mut self) {
        self.confirmed = true;
    }

    /// What must survive a restart of the agent, so that a task that has ended is not run again.
    #[must_use]
    pub fn keep(&self) -> BTreeMap<TaskId, Kept> {
        self.tasks.iter().map(|(task, p)| (*task, p.kept.clone())).collect()
    }

    /// The latest report of every task: what a new leader is told.
    #[must_use]
    pub fn reports(&self) -> Vec<TaskReport> {
        self.tasks.iter().filter_map(|(task, p)| p.report(*task)).collect()
    }

    /// What is known of a task's container.
    #[must_use]
    pub fn sight(&self, task: TaskId) -> Sight {
        self.tasks.get(&task).map(|p| p.sight.clone()).unwrap_or_default()
    }

    /// The running containers by task.
    pub fn running(&self) -> impl Iterator<Item = (TaskId, &Container, i64)> {
        self.tasks.iter().filter_map(|(task, p)| match &p.sight {
            Sight::Present(c) => match c.phase {
                Phase::Running { pid, .. } => Some((*task, c, pid)),
                Phase::Created | Phase::Ended(_) => None,
            },
            Sight::Unknown | Sight::Absent => None,
        })
    }

    /// Whether any task or container is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Take this before asking the engine, and give it back with the answer.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.events)
    }

    /// The engine cannot be asked: everything is unknown until the next [`Worker::see_all`].
    pub fn lose_sight(&mut self) {
        self.engine = false;
        for progress in self.tasks.values_mut() {
            progress.sight = Sight::Unknown;
        }
        self.events += 1;
        self.known_since = self.events;
    }

    /// Takes a whole list of the containers that carry our label, by task.
    ///
    /// A task that is not listed has no container. What changed after `mark` is not overwritten but
    /// looked at again.
    pub fn see_all(&mut self, mark: Mark, mut listed: BTreeMap<TaskId, Container>) {
        self.engine = true;
        let known: Vec<TaskId> = self.tasks.keys().copied().collect();
        for task in known {
            let sight = listed.remove(&task).map_or(Sight::Absent, Sight::Present);
            self.see(mark, task, sight);
        }
        for (task, container) in listed {
            self.see(mark, task, Sight::Present(container));
        }
    }

    /// Takes what an inspection of one container showed.
    pub fn see(&mut self, mark: Mark, task: TaskId, sight: Sight) {
        let outdated = mark.0 < self.known_since;
        self.events += 1;
        let events = self.events;
        if sight == Sight::Absent && !self.tasks.contains_key(&task) {
            return;
        }
        let progress = self.tasks.entry(task).or_default();
        if progress.step.is_some() || progress.changed > mark.0 || outdated {
            progress.look_again = true;
            return;
        }
        progress.sight = sight;
        progress.changed = events;
    }

    /// Takes the end of the step in flight for a task.
    pub fn done(&mut self, task: TaskId, outcome: Outcome, now: Timestamp) {
        self.events += 1;
        let events = self.events;
        let Some(progress) = self.tasks.get_mut(&task) else { return };
        let Some(step) = progress.step.take() else { return };
        progress.changed = events;
        progress.finish(&step, outcome, now);
        if !self.engine {
            progress.sight = Sight::Unknown;
        }
    }

    /// The steps to take now. They count as in flight until [`Worker::done`] is called for them.
    pub fn plan(&mut self, orders: &Orders, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        for task in orders.tasks.keys() {
            // While the engine is in sight, every container with our label is known.
            let sight = if self.engine { Sight::Absent } else { Sight::Unknown };
            self.tasks.entry(*task).or_insert_with(|| Progress::new(sight));
        }
        let mut heavy = Vec::new();
        let (mut starts, mut pulls) = self.in_flight();
        for (task, progress) in &mut self.tasks {
            let order = orders.tasks.get(task);
            if order.is_none() && !self.confirmed && !progress.was_told_to_end() {
                continue;
            }
            let want = progress.want(order, orders, self.engine, now);
            match want {
                Want::Nothing => {}
                Want::Wait(until) => plan.wake_at = earliest(plan.wake_at, Some(until)),
                Want::Step(step @ (Step::Pull | Step::Create | Step::Start { .. })) => {
                    heavy.push((*task, step));
                }
                Want::Step(Step::Abandon) => {
                    plan.effects.push(Effect { task: *task, step: Step::Abandon });
                }
                Want::Step(step) => {
                    progress.step = Some(step.clone());
                    plan.effects.push(Effect { task: *task, step });
                }
            }
        }
        // What can be started is started before anything new is created.
        heavy.sort_by_key(|(_, step)| !matches!(step, Step::Start { .. }));
        for (task, step) in heavy {
            let (count, limit) = match step {
                Step::Pull => (&mut pulls, self.limits.pulls),
                _ => (&mut starts, self.limits.starts),
            };
            if *count >= limit {
                continue;
            }
            *count += 1;
            if let Some(progress) = self.tasks.get_mut(&task) {
                progress.begin(&step, now);
                progress.step = Some(step.clone());
            }
            plan.effects.push(Effect { task, step });
        }
        if !plan.effects.is_empty() {
            self.events += 1;
            for effect in &plan.effects {
                if let Some(progress) = self.tasks.get_mut(&effect.task) {
                    progress.changed = self.events;
                }
            }
        }
        let sure = self.engine && self.confirmed;
        let before = self.tasks.len();
        self.tasks.retain(|task, p| orders.tasks.contains_key(task) || !sure || !p.has_left());
        if self.tasks.len() < before {
            self.events += 1;
            self.known_since = self.events;
        }
        for (task, progress) in &mut self.tasks {
            if orders.tasks.contains_key(task) && std::mem::take(&mut progress.dirty) {
                plan.reports.extend(progress.report(*task));
            }
        }
        plan
    }

    fn in_flight(&self) -> (usize, usize) {
        let steps = || self.tasks.values().filter_map(|p| p.step.as_ref());
        let starts = steps().filter(|s| matches!(s, Step::Create | Step::Start { .. })).count();
        (starts, steps().filter(|s| matches!(s, Step::Pull)).count())
    }
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

/// Between two tries of a step that ended without an answer, or that the engine refused although it
/// must succeed in the end: doubles from a quarter of a second up to ten seconds.
fn pause_after(tries: u32) -> Millis {
    Millis((250u64 << tries.min(6)).min(10_000))
}

/// States that the worker itself never gives are those before a task reaches its node.
fn rises(from: TaskState, to: TaskState) -> bool {
    to.rank() > from.rank()
}

#[cfg(test)]
mod props;
#[cfg(test)]
mod tests;
