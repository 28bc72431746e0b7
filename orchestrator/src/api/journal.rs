//! What happened lately, for those who follow: events, and which objects changed.
//!
//! Fed by the cluster's changes, on every manager alike, so that whoever followed one manager can
//! go on at another. Memory is bounded: the oldest goes first, and who asks for what is gone is
//! told so. Holds no objects; what changed is shown as it is now.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::StreamExt as _;
use model::api::Event;
use orchestrator_core::command::{ChangeKind, ObjectRef};
use orchestrator_core::state::State;
use tokio::sync::{broadcast, watch};

use super::cluster::{Cluster, Feed};
use super::events;
use super::watch::Rendered;

/// Events kept, about 300 bytes each. Docker's engine keeps 256.
const EVENTS: usize = 4_096;

/// Changes of objects kept, about 64 bytes each: minutes of a busy cluster.
const CHANGES: usize = 65_536;

/// Steps that a follower may be behind before it has to start again.
const BACKLOG: usize = 1_024;

/// One object that changed.
#[derive(Clone, Debug)]
pub(super) struct Touched {
    pub(super) object: ObjectRef,
    pub(super) kind: ChangeKind,
}

/// What one batch of entries did.
pub(super) struct Step {
    pub(super) after: Arc<State>,
    pub(super) touched: Vec<Touched>,
    pub(super) events: Vec<Arc<Event>>,
    /// Changes were missed before this: begin again from `after`.
    pub(super) reset: bool,
    /// The changes as text, made when the first follower needs them: whole, and brief.
    pub(super) rendered: [OnceLock<Vec<Rendered>>; 2],
}

/// See the module.
pub(super) struct Journal {
    kept: Mutex<Kept>,
    steps: broadcast::Sender<Arc<Step>>,
    /// The revision of what has been taken in.
    reached: watch::Sender<u64>,
}

struct Kept {
    now: Arc<State>,
    /// Everything after this revision is in `changes`.
    from: u64,
    /// By revision: what had changed when it was reached.
    changes: VecDeque<(u64, Vec<Touched>)>,
    /// Length of all lists in `changes`.
    number: usize,
    events: VecDeque<Arc<Event>>,
}

/// A place in the journal.
pub(super) struct Place {
    /// The state here.
    pub(super) now: Arc<State>,
    /// What comes after it.
    pub(super) steps: broadcast::Receiver<Arc<Step>>,
}

/// The history does not go back so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooOld {
    pub(super) oldest: u64,
}

impl Journal {
    /// Begins to follow the cluster. The task ends with the cluster's changes.
    pub(super) fn follow(
        cluster: &Arc<dyn Cluster>,
    ) -> (Arc<Journal>, tokio::task::JoinHandle<()>) {
        let (now, mut feed) = cluster.watch();
        let journal = Arc::new(Journal::new(now));
        let kept = journal.clone();
        let task = tokio::spawn(async move {
            while let Some(next) = feed.next().await {
                kept.take(next);
            }
        });
        (journal, task)
    }

    fn new(now: Arc<State>) -> Journal {
        let kept = Kept {
            from: now.revision().0,
            now,
            changes: VecDeque::new(),
            number: 0,
            events: VecDeque::new(),
        };
        let reached = watch::Sender::new(kept.from);
        Journal { kept: Mutex::new(kept), steps: broadcast::Sender::new(BACKLOG), reached }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what follows.
    fn take(&self, feed: Feed) {
        let mut kept = self.lock();
        let step = match feed {
            Feed::Applied { after, applied } => {
                let mut touched = BTreeMap::new();
                let changes = applied.iter().flat_map(|a| a.changes.iter());
                let mut found = Vec::new();
                for change in changes {
                    found.extend(events::of(&kept.now, &after, change));
                    // The last is what the object is now.
                    touched.insert(change.object, change.kind);
                }
                let touched: Vec<Touched> =
                    touched.into_iter().map(|(object, kind)| Touched { object, kind }).collect();
                kept.note(after.revision().0, touched.clone());
                let events: Vec<Arc<Event>> = found.into_iter().map(Arc::new).collect();
                kept.events.extend(events.iter().cloned());
                let surplus = kept.events.len().saturating_sub(EVENTS);
                kept.events.drain(..surplus);
                Step { after, touched, events, reset: false, rendered: Default::default() }
            }
            Feed::Reset(after) => {
                kept.from = after.revision().0;
                kept.changes.clear();
                kept.number = 0;
                Step {
                    after,
                    touched: Vec::new(),
                    events: Vec::new(),
                    reset: true,
                    rendered: Default::default(),
                }
            }
        };
        kept.now = step.after.clone();
        self.reached.send_replace(kept.now.revision().0);
        // Nobody following is no error. Sent under the lock: a place taken has no gap.
        let _ = self.steps.send(Arc::new(step));
    }

    /// Waits until everything up to `revision` has been taken in.
    pub(super) async fn has_reached(&self, revision: u64) {
        // It ends with the journal only, and then nobody waits.
        let _ = self.reached.subscribe().wait_for(|reached| *reached >= revision).await;
    }

    /// From now on.
    pub(super) fn here(&self) -> Place {
        let kept = self.lock();
        Place { now: kept.now.clone(), steps: self.steps.subscribe() }
    }

    /// From now on, and the events that are kept.
    pub(super) fn with_events(&self) -> (Vec<Arc<Event>>, Place) {
        let kept = self.lock();
        let place = Place { now: kept.now.clone(), steps: self.steps.subscribe() };
        (kept.events.iter().cloned().collect(), place)
    }

    /// From now on, and what changed after `revision`, each object once.
    pub(super) fn since(&self, revision: u64) -> Result<(Vec<Touched>, Place), TooOld> {
        let kept = self.lock();
        if revision < kept.from {
            return Err(TooOld { oldest: kept.from });
        }
        let first = kept.changes.partition_point(|(at, _)| *at <= revision);
        let touched: BTreeMap<ObjectRef, ChangeKind> = kept
            .changes
            .range(first..)
            .flat_map(|(_, touched)| touched.iter().map(|t| (t.object, t.kind)))
            .collect();
        let touched = touched.into_iter().map(|(object, kind)| Touched { object, kind }).collect();
        Ok((touched, Place { now: kept.now.clone(), steps: self.steps.subscribe() }))
    }
}

impl Kept {
    fn note(&mut self, revision: u64, touched: Vec<Touched>) {
        self.number += touched.len();
        self.changes.push_back((revision, touched));
        while self.number > CHANGES {
            let Some((at, oldest)) = self.changes.pop_front() else { break };
            self.number -= oldest.len();
            self.from = at;
        }
    }
}
