//! Plans one service: which slots there should be is its mode's business, the rest is common.

use model::Timestamp;
use model::lifecycle::Desired;
use model::object::Service;
use model::spec::{DEFAULT_TASK_HISTORY, ModeKind};

use super::draft::Draft;
use super::slots::{View, Work, views};
use super::{global, job, replicated};

/// Writes what the service needs. Answers when to look again although nothing happened.
pub(super) fn plan<'a>(draft: &mut Draft<'a>, service: &'a Service) -> Option<Timestamp> {
    let views = views(draft.state, service);
    let mut work = Work::new(draft, service);
    if service.removed.is_some() {
        for view in &views {
            remove(&mut work, view);
        }
        return work.finish();
    }
    match service.spec.mode.kind() {
        ModeKind::Replicated { replicas } => replicated::plan(&mut work, &views, replicas),
        ModeKind::Global => global::plan(&mut work, &views),
        ModeKind::ReplicatedJob { at_once, total } => {
            job::replicated(&mut work, &views, at_once, total);
        }
        ModeKind::GlobalJob => job::global(&mut work, &views),
    }
    if work.is_over() {
        return work.finish();
    }
    let kept =
        work.draft.state.cluster().and_then(|c| c.spec.orchestration.task_history_retention_limit);
    let kept = kept.unwrap_or(DEFAULT_TASK_HISTORY);
    for view in &views {
        trim(&mut work, view, kept);
    }
    work.finish()
}

/// Ends everything in a slot, containers and records included.
pub(super) fn remove(work: &mut Work<'_, '_>, view: &View<'_>) {
    for task in &view.tasks {
        if task.status.state.is_terminal() {
            work.forget(task);
        } else if task.desired < Desired::Draining {
            work.stop(task, Desired::Remove);
        }
        // One that drains ends as `Remove` by itself (see `drain`); one that was told to shut
        // down is told more.
        if task.desired == Desired::Shutdown && !task.status.state.is_terminal() {
            work.raise(task, Desired::Remove);
        }
    }
    work.draft.may_cut();
}

/// Forgets the oldest ended tasks of a slot beyond what is kept.
fn trim(work: &mut Work<'_, '_>, view: &View<'_>, kept: i64) {
    let Ok(kept) = usize::try_from(kept) else { return };
    // One that failed while it drained was told nothing more.
    let is_history = |task: &model::object::Task| {
        let told = matches!(task.desired, Desired::Draining | Desired::Shutdown);
        task.status.state.is_terminal() && told
    };
    let history: Vec<_> = view.tasks.iter().filter(|t| is_history(t)).collect();
    let surplus = history.len().saturating_sub(kept);
    for task in &history[..surplus] {
        work.forget(task);
    }
}
