//! Reports on their way to the leader: the latest of each task, kept until it is acknowledged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::TaskId;
use model::wire::session::TaskReport;
use tokio::sync::Notify;

/// Shared between the worker, which puts, and the session, which sends.
#[derive(Clone, Debug, Default)]
pub struct Reports {
    shared: Arc<(Mutex<Waiting>, Notify)>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// With the number of the frame that carried it last; 0 before it was sent.
    unacknowledged: BTreeMap<TaskId, (TaskReport, u64)>,
    /// The latest of every task that has been reported, acknowledged or not.
    all: BTreeMap<TaskId, TaskReport>,
    seq: u64,
    changed: bool,
}

impl Reports {
    /// Newer reports; each takes the place of an older one of its task.
    pub fn put(&self, reports: Vec<TaskReport>) {
        if reports.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        for report in reports {
            waiting.all.insert(report.task, report.clone());
            waiting.unacknowledged.insert(report.task, (report, 0));
        }
        waiting.changed = true;
        drop(waiting);
        self.shared.1.notify_one();
    }

    /// Forgets tasks that the orders do not name any more.
    pub fn retain(&self, ordered: impl Fn(TaskId) -> bool) {
        let mut waiting = self.lock();
        waiting.all.retain(|task, _| ordered(*task));
        waiting.unacknowledged.retain(|task, _| ordered(*task));
    }

    /// A new leader: everything is to be sent again.
    pub fn start_over(&self) {
        let mut waiting = self.lock();
        let all = waiting.all.clone();
        waiting.unacknowledged =
            all.into_iter().map(|(task, report)| (task, (report, 0))).collect();
        waiting.changed = true;
        drop(waiting);
        self.shared.1.notify_one();
    }

    /// Everything not acknowledged, under a new number; nothing when there is nothing.
    #[must_use]
    pub fn batch(&self) -> Option<(u64, Vec<TaskReport>)> {
        let mut waiting = self.lock();
        waiting.changed = false;
        if waiting.unacknowledged.is_empty() {
            return None;
        }
        waiting.seq += 1;
        let seq = waiting.seq;
        let mut reports = Vec::with_capacity(waiting.unacknowledged.len());
        for (report, sent) in waiting.unacknowledged.values_mut() {
            *sent = seq;
            reports.push(report.clone());
        }
        Some((seq, reports))
    }

    /// The leader has everything up to that number.
    pub fn acknowledged(&self, seq: u64) {
        self.lock().unacknowledged.retain(|_, (_, sent)| *sent == 0 || *sent > seq);
    }

    /// Returns when something new has been put.
    pub async fn changed(&self) {
        while !self.lock().changed {
            self.shared.1.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use model::lifecycle::TaskState;
    use model::{Id, Timestamp};

    use super::*;

    fn report(n: u128, state: TaskState) -> TaskReport {
        TaskReport {
            task: TaskId(Id(n)),
            state,
            at: Timestamp(1),
            message: String::new(),
            error: String::new(),
            container: None,
            ports: Vec::new(),
        }
    }

    #[test]
    fn only_the_latest_of_a_task_is_sent_and_again_until_it_is_acknowledged() {
        let reports = Reports::default();
        reports.put(vec![report(1, TaskState::Accepted), report(2, TaskState::Accepted)]);
        reports.put(vec![report(1, TaskState::Ready)]);
        let (first, batch) = reports.batch().expect("a batch");
        assert_eq!(batch, [report(1, TaskState::Ready), report(2, TaskState::Accepted)]);
        reports.put(vec![report(1, TaskState::Running)]);
        reports.acknowledged(first);
        let (second, batch) = reports.batch().expect("what came meanwhile");
        assert_eq!(batch, [report(1, TaskState::Running)]);
        let (third, batch) = reports.batch().expect("not acknowledged yet");
        assert!(third > second);
        assert_eq!(batch, [report(1, TaskState::Running)]);
        reports.acknowledged(second);
        assert!(reports.batch().is_some(), "the number acknowledged is not that of the last frame");
        reports.acknowledged(third + 1);
        assert_eq!(reports.batch(), None);
    }

    #[test]
    fn a_new_leader_is_told_everything_that_is_still_ordered() {
        let reports = Reports::default();
        reports.put(vec![report(1, TaskState::Running), report(2, TaskState::Failed)]);
        let (seq, _) = reports.batch().expect("a batch");
        reports.acknowledged(seq);
        reports.retain(|task| task == TaskId(Id(1)));
        reports.start_over();
        assert_eq!(reports.batch().expect("a batch").1, [report(1, TaskState::Running)]);
    }
}
