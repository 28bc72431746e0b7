//! The leader loop: takes what agents say, asks the planner, proposes, and hands out orders.
//!
//! Runs on every manager and does nothing where it does not lead. Everything it remembers ([`Desk`])
//! begins with a leadership and ends with it; what must outlive it is in the state. All decisions
//! are `orchestrator_core`'s: this file waits, proposes and passes on.
//!
//! One report and one plan are on their way to the log at a time. What comes meanwhile is joined,
//! so a slow disk makes batches larger, not queues longer.

mod clock;
mod desk;
mod members;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use model::Millis;
use orchestrator_core::State;
use orchestrator_core::command::{Batch, Entry};
use telemetry::{Context, within};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::log::Event as LogEvent;
use crate::log::{Changes, Log, ProposeError};
use crate::sessions::{Event, Leadership, Settings};

pub use clock::Clock;
use desk::Desk;

/// Between two looks at everything, the safety net under the dirty keys.
const FULL_PASS: Duration = Duration::from_secs(60);

/// How many events are taken before plans and orders are made of them.
const EVENTS: usize = 256;

/// The loop looks at the clock at least this often; when it comes much later, the host had no time for
/// it, and none for what agents said.
const PULSE: Duration = Duration::from_millis(500);

/// How long to wait before a plan is made anew when the log's answer is not known.
const UNKNOWN_PAUSE: Duration = Duration::from_millis(100);

/// What the loop works with.
pub struct LeaderLoop {
    pub log: Log<State>,
    pub events: mpsc::Receiver<Event>,
    /// What the sessions are told.
    pub leadership: watch::Sender<Leadership>,
    pub settings: watch::Sender<Settings>,
    pub clock: Arc<Clock>,
}

/// What came of proposing a plan.
enum Planned {
    Done,
    /// Some of it may be in the log, or is not: look at everything again.
    Unknown,
}

impl LeaderLoop {
    /// Runs until the log stops.
    pub async fn run(mut self) {
        let mut raft = self.log.watch_leadership();
        loop {
            let now = raft.borrow_and_update().clone();
            self.tell(None);
            if now.is_leading {
                self.lead(now.term, &mut raft).await;
                continue;
            }
            tokio::select! {
                changed = raft.changed() => if changed.is_err() { return },
                // Late words of sessions that ended with the leadership.
                event = self.events.recv() => if event.is_none() { return },
            }
        }
    }

    /// One leadership, from its first confirmed read to its end.
    async fn lead(&mut self, term: u64, raft: &mut watch::Receiver<crate::log::Leadership>) {
        let (start, mut changes) = self.log.watch();
        // Sessions of an earlier leadership may have left events behind.
        while self.events.try_recv().is_ok() {}
        self.clock.catch_up(start.state.clock());
        let mut desk = Desk::new(term, start.state.clone(), self.clock.now());
        self.settings.send_replace(desk.settings());
        self.tell(Some(term));
        tracing::info!(term, "leading");

        let mut reporting: Option<BoxFuture<'static, bool>> = None;
        let mut planning: Option<BoxFuture<'static, Planned>> = None;
        let mut membership: Option<BoxFuture<'static, ()>> = None;
        let mut full_pass = tokio::time::interval(FULL_PASS);
        let mut inbox = Vec::with_capacity(EVENTS);
        let mut pulse = tokio::time::interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut awake = Instant::now();
        loop {
            // While a plan is on its way the planner is not asked, however late it is.
            let wake_at = if planning.is_none() { desk.wake_at() } else { None };
            let wake = self.clock.until(wake_at);
            tokio::select! {
                changed = raft.changed() => {
                    let now = raft.borrow_and_update().clone();
                    if changed.is_err() || !now.is_leading || now.term != term {
                        break;
                    }
                    self.tell(Some(term));
                }
                event = changes.next() => match event {
                    Some(event) => take_changes(&mut desk, event, &mut changes),
                    None => break,
                },
                count = self.events.recv_many(&mut inbox, EVENTS) => {
                    if count == 0 {
                        break;
                    }
                    let now = self.clock.now();
                    desk.slept(time_lost(&mut awake), now);
                    for event in inbox.drain(..) {
                        desk.event(event, now);
                    }
                }
                written = finished(&mut reporting) => desk.reported(written),
                planned = finished(&mut planning) => {
                    if matches!(planned, Planned::Unknown) {
                        desk.look_at_everything();
                    }
                }
                () = finished(&mut membership) => {}
                () = wake => {}
                _ = pulse.tick() => {}
                _ = full_pass.tick() => desk.look_at_everything(),
            }
            desk.slept(time_lost(&mut awake), self.clock.now());
            let settings = desk.settings();
            self.settings.send_if_modified(|old| std::mem::replace(old, settings) != settings);
            if reporting.is_none()
                && let Some(batch) = desk.reports()
            {
                reporting = Some(report(self.log.clone(), self.entry(batch)).boxed());
            }
            if planning.is_none() {
                let now = self.clock.now();
                let batches = tokio::task::block_in_place(|| desk.plan(now));
                if !batches.is_empty() {
                    let entries = batches
                        .into_iter()
                        .map(|(batch, causes)| (self.entry(batch), causes))
                        .collect();
                    planning = Some(propose(self.log.clone(), entries).boxed());
                }
            }
            if membership.is_none()
                && let Some(change) = members::next(&self.log, desk.state())
            {
                membership = Some(members::make(self.log.clone(), change).boxed());
            }
        }
        tracing::info!(term, "not leading any more");
    }

    fn entry(&self, batch: Batch) -> Entry {
        Entry { at: self.clock.now(), batch }
    }

    /// Tells the sessions how things stand.
    fn tell(&self, leading: Option<u64>) {
        let leader = self.log.leadership().leader.map(|leader| leader.address);
        let managers =
            self.log.members().into_iter().map(|member| (member.node, member.address)).collect();
        let now = Leadership { leading, leader, managers };
        self.leadership.send_if_modified(|old| {
            let changed = *old != now;
            *old = now;
            changed
        });
    }
}

/// What the loop lost since it last looked, beyond what it may take.
fn time_lost(awake: &mut Instant) -> Millis {
    let lost = awake.elapsed().saturating_sub(PULSE * 2);
    *awake = Instant::now();
    Millis(u64::try_from(lost.as_millis()).unwrap_or(u64::MAX))
}

/// Waits for what is in the slot and empties it; for ever while it is empty.
async fn finished<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    match slot {
        Some(future) => {
            let outcome = future.await;
            *slot = None;
            outcome
        }
        None => std::future::pending().await,
    }
}

/// Everything that has been applied by now.
fn take_changes(desk: &mut Desk, first: LogEvent<State>, changes: &mut Changes<State>) {
    let mut event = Some(first);
    let mut updates = Vec::new();
    while let Some(next) = event {
        match next {
            LogEvent::Update(update) => updates.push(update),
            LogEvent::Reset(published) => {
                updates.clear();
                desk.reset(published.state.clone());
            }
        }
        event = changes.try_next();
    }
    desk.applied(&updates);
}

/// Proposes a plan's batches in order, all at once: the log groups them.
async fn propose(log: Log<State>, entries: Vec<(Entry, Vec<Context>)>) -> Planned {
    let writes = entries.into_iter().map(|(entry, causes)| within(causes, log.propose(entry)));
    let outcomes = join_all(writes).await;
    let mut planned = Planned::Done;
    for outcome in outcomes {
        match outcome {
            Ok(done) => {
                for refusal in done.applied.responses.iter().filter_map(|r| r.as_ref().err()) {
                    tracing::debug!(%refusal, "a planned batch was refused");
                    planned = Planned::Unknown;
                }
            }
            Err(ProposeError::NotLeader { .. }) => planned = Planned::Unknown,
            Err(error) => {
                tracing::warn!(%error, "a plan's fate is not known");
                tokio::time::sleep(UNKNOWN_PAUSE).await;
                planned = Planned::Unknown;
            }
        }
    }
    planned
}

/// Proposes reports. True when they are in the log.
async fn report(log: Log<State>, entry: Entry) -> bool {
    match log.propose(entry).await {
        Ok(_) => true,
        Err(ProposeError::NotLeader { .. }) => false,
        Err(error) => {
            tracing::warn!(%error, "reports of agents may not be in the log");
            tokio::time::sleep(UNKNOWN_PAUSE).await;
            false
        }
    }
}
