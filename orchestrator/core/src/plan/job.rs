//! Runs a job's tasks to completion: so many at once, so many in all, or one on each node.

use std::collections::BTreeSet;

use model::TaskState;
use model::lifecycle::Desired;
use model::object::{Slot, Task};

use super::global;
use super::restart::Verdict;
use super::slots::{Start, View, Work, is_lost};

/// What became of the slots in this run of the job.
#[derive(Default)]
struct Run {
    live: u64,
    done: u64,
    /// Failed for good.
    given_up: u64,
    taken: BTreeSet<Slot>,
    /// A task of an earlier run has not ended there yet.
    ending: BTreeSet<Slot>,
}

pub(super) fn replicated<'a>(
    work: &mut Work<'_, 'a>,
    views: &[View<'a>],
    at_once: u64,
    total: u64,
) {
    let run = tend(work, views, None);
    let open = total.saturating_sub(run.done + run.given_up + run.live);
    let starts = at_once.saturating_sub(run.live).min(open);
    let mut number = 0;
    for _ in 0..starts {
        while run.taken.contains(&Slot::Replica(number)) {
            number += 1;
        }
        let slot = Slot::Replica(number);
        let start = Start::fresh(slot, work.service.template);
        work.start(Start { old_stopping: run.ending.contains(&slot), ..start });
        number += 1;
    }
}

pub(super) fn global<'a>(work: &mut Work<'_, 'a>, views: &[View<'a>]) {
    let Some(template) = work.service.templates.get(&work.service.template) else { return };
    // What an earlier run had on a paused node is no task of this one.
    let iteration = work.service.iteration();
    let held = |v: &&View<'_>| {
        v.tasks.iter().any(|t| t.job_iteration == iteration && t.desired <= Desired::Running)
    };
    let held: BTreeSet<Slot> = views.iter().filter(held).map(|v| v.slot).collect();
    let wanted = global::nodes(work.draft.state, template, &held);
    let run = tend(work, views, Some(&wanted));
    for slot in wanted.difference(&run.taken) {
        let start = Start::fresh(*slot, work.service.template);
        work.start(Start { old_stopping: run.ending.contains(slot), ..start });
    }
}

/// Looks after the tasks of this run, ends those of earlier ones, counts.
fn tend<'a>(work: &mut Work<'_, 'a>, views: &[View<'a>], only: Option<&BTreeSet<Slot>>) -> Run {
    let iteration = work.service.iteration();
    let of_run = |task: &Task| task.job_iteration == iteration;
    let mut run = Run::default();
    for view in views {
        for task in view.tasks.iter().filter(|t| !of_run(t)) {
            if task.status.state.is_terminal() {
                work.forget(task);
            } else {
                work.raise(task, Desired::Remove);
                run.ending.insert(view.slot);
            }
        }
        let unwanted = only.is_some_and(|only| !only.contains(&view.slot));
        let live: Option<&Task> = view.live().find(|t| of_run(t));
        let complete =
            view.tasks.iter().any(|t| of_run(t) && t.status.state == TaskState::Complete);
        if complete {
            run.done += 1;
            run.taken.insert(view.slot);
        } else if let Some(task) = live {
            run.live += 1;
            run.taken.insert(view.slot);
            if unwanted {
                work.stop(task, Desired::Shutdown);
            } else {
                work.tend(view, task);
            }
        } else if let Some(ended) = view.ended().filter(|t| of_run(t)) {
            run.taken.insert(view.slot);
            if unwanted {
                work.raise(ended, Desired::Shutdown);
            } else {
                let template = work.service.template;
                let lost = is_lost(ended);
                let again = matches!(work.verdict(ended, template), Verdict::Again { .. });
                work.renew(view, ended, template);
                if lost || again {
                    run.live += 1;
                } else {
                    run.given_up += 1;
                }
            }
        }
        work.draft.may_cut();
    }
    run
}
