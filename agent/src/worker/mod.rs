//! Keeps the containers of this host as the orders want them: the acting half of the worker.
//!
//! One loop owns the core's [`Worker`]. What happens (orders, the end of a step, news from the engine)
//! comes in as an [`Event`]; whatever has come is taken in, then one plan is made and its steps are
//! spawned. Read `steps` for how a step is taken, `watch` for how the engine is watched.

mod reports;
mod steps;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_core::worker::{Container, Effect, Kept, Limits, Mark, Outcome, Sight, Step, Worker};
use model::wire::orders::Orders;
use model::{TaskId, Timestamp};
use tokio::sync::{mpsc, oneshot, watch as tokio_watch};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::engine::files::Files;
use crate::engine::{Containers, EngineError, Happened, Place, Seen};
use crate::ledger::Ledger;
use crate::plane::{LocalTask, Net};
use crate::traces::Causes;

pub use reports::Reports;

/// Between two plans when nothing happens: a safety net.
const LOOK_AROUND: Duration = Duration::from_secs(30);

/// Everything the worker acts through.
pub struct Tools {
    pub engine: Arc<dyn Containers>,
    pub net: Arc<dyn Net>,
    pub files: Files,
    pub ledger: Ledger,
    pub reports: Reports,
    pub limits: Limits,
    /// What tasks on a manager get that ask for the engine's socket; empty for the engine's own.
    pub socket: Option<String>,
}

/// Where the worker gets its orders.
#[derive(Clone)]
pub struct Sources {
    /// The newest, for names and routes.
    pub latest: tokio_watch::Receiver<Option<Arc<Orders>>>,
    /// The newest that are on disk, for containers.
    pub durable: tokio_watch::Receiver<Option<Arc<Orders>>>,
    /// Those that were on disk at the start: older than any that came from a manager since.
    pub kept: Option<Arc<Orders>>,
    /// What caused them.
    pub causes: Causes,
}

/// What happened.
enum Event {
    Ended {
        task: TaskId,
        number: u64,
        outcome: Outcome,
        seen: Option<Seen>,
    },
    EngineHere,
    EngineGone(String),
    Listed {
        mark: Mark,
        result: Result<BTreeMap<TaskId, Seen>, EngineError>,
    },
    Happened(Happened),
    Looked {
        mark: Mark,
        task: TaskId,
        result: Result<Option<Seen>, EngineError>,
    },
    /// Answered once no container of ours is left.
    Empty(oneshot::Sender<()>),
}

/// A hold on a worker that runs.
#[derive(Clone)]
pub struct Handle {
    events: mpsc::UnboundedSender<Event>,
}

impl Handle {
    /// Waits until the worker has no task and no container left.
    pub async fn empty(&self) {
        let (sender, receiver) = oneshot::channel();
        if self.events.send(Event::Empty(sender)).is_ok() {
            // An error means that the worker has ended; then there is nothing to wait for.
            let _ = receiver.await;
        }
    }
}

/// Starts the loop. It ends with `stop`, without touching any container.
pub fn spawn(tools: Tools, sources: Sources, stop: CancellationToken) -> Handle {
    let (sender, receiver) = mpsc::unbounded_channel();
    let kept = tools.ledger.tasks();
    let state = Shell {
        core: Worker::new(tools.limits, kept.clone()),
        tools: Arc::new(tools),
        sources,
        events: sender.clone(),
        flights: BTreeMap::new(),
        next_flight: 0,
        places: BTreeMap::new(),
        kept,
        routed: None,
        engine_here: false,
        waiting: Vec::new(),
    };
    tokio::spawn(watch::run(state.tools.engine.clone(), sender.clone(), stop.clone()));
    tokio::spawn(state.run(receiver, stop));
    Handle { events: sender }
}

/// A step on its way.
struct Flight {
    number: u64,
    abort: AbortHandle,
}

struct Shell {
    core: Worker,
    tools: Arc<Tools>,
    sources: Sources,
    events: mpsc::UnboundedSender<Event>,
    flights: BTreeMap<TaskId, Flight>,
    next_flight: u64,
    /// Where containers are on the network, by id.
    places: BTreeMap<String, Place>,
    /// What the ledger has.
    kept: BTreeMap<TaskId, Kept>,
    /// What the data plane was last told.
    routed: Option<(Arc<Orders>, Vec<LocalTask>)>,
    engine_here: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Shell {
    async fn run(mut self, mut events: mpsc::UnboundedReceiver<Event>, stop: CancellationToken) {
        loop {
            let wake_at = self.act();
            let wait = wake_at.map_or(LOOK_AROUND, |at| {
                Duration::from_millis(at.since(now()).0).min(LOOK_AROUND)
            });
            let (latest, durable) = (&mut self.sources.latest, &mut self.sources.durable);
            let first = tokio::select! {
                () = stop.cancelled() => return,
                event = events.recv() => event,
                Ok(()) = latest.changed() => None,
                Ok(()) = durable.changed() => None,
                () = tokio::time::sleep(wait) => None,
            };
            if let Some(event) = first {
                self.take(event);
            }
            while let Ok(event) = events.try_recv() {
                self.take(event);
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Ended { task, number, outcome, seen } => {
                if self.flights.get(&task).is_some_and(|f| f.number == number) {
                    self.flights.remove(&task);
                    self.remember(seen.as_ref());
                    self.core.done(task, outcome, now());
                }
            }
            Event::EngineHere => {
                self.engine_here = true;
                self.list();
            }
            Event::EngineGone(why) => {
                if std::mem::take(&mut self.engine_here) {
                    tracing::warn!(
                        why,
                        "the engine is out of sight; nothing is done until it is back"
                    );
                }
                self.core.lose_sight();
            }
            Event::Listed { mark, result: Ok(listed) } => {
                tracing::debug!(containers = listed.len(), "the engine is in sight");
                listed.values().for_each(|seen| self.remember(Some(seen)));
                let containers = listed.into_iter().map(|(task, seen)| (task, seen.container));
                self.core.see_all(mark, containers.collect());
            }
            Event::Listed { result: Err(error), .. } => {
                tracing::warn!(%error, "cannot list containers, trying again");
                if self.engine_here {
                    self.list();
                }
            }
            Event::Happened(happened) => self.look(&happened),
            Event::Looked { mark, task, result } => match result {
                Ok(seen) => {
                    self.remember(seen.as_ref());
                    self.core.see(mark, task, sight(seen));
                }
                Err(_) => self.core.see(mark, task, Sight::Unknown),
            },
            Event::Empty(sender) => self.waiting.push(sender),
        }
    }

    fn remember(&mut self, seen: Option<&Seen>) {
        if let Some(seen) = seen {
            self.places.insert(seen.container.id.clone(), seen.place.clone());
        }
    }

    fn list(&self) {
        let (engine, events) = (self.tools.engine.clone(), self.events.clone());
        let mark = self.core.mark();
        tokio::spawn(async move {
            let result = engine.list().await;
            if result.is_err() {
                tokio::time::sleep(watch::PAUSE).await;
            }
            // Fails only when the worker has ended.
            let _ = events.send(Event::Listed { mark, result });
        });
    }

    /// Looks at a container of which something was heard.
    fn look(&mut self, happened: &Happened) {
        let task = happened.task;
        // The step that starts a container looks at it itself.
        let own_doing = matches!(happened.action.as_str(), "create" | "start");
        let of_interest = happened.action.starts_with("health_status")
            || matches!(
                happened.action.as_str(),
                "create" | "start" | "die" | "destroy" | "pause" | "unpause" | "rename"
            );
        if !of_interest || (own_doing && self.flights.contains_key(&task)) {
            return;
        }
        let (tools, events, mark) = (self.tools.clone(), self.events.clone(), self.core.mark());
        let name = self.name_of(task);
        tokio::spawn(async move {
            let result = steps::look(&*tools.engine, task, name.as_deref()).await;
            // Fails only when the worker has ended.
            let _ = events.send(Event::Looked { mark, task, result });
        });
    }

    /// The container's id or name, when either is known.
    fn name_of(&self, task: TaskId) -> Option<String> {
        if let Sight::Present(Container { id, .. }) = self.core.sight(task) {
            return Some(id);
        }
        let durable = self.sources.durable.borrow();
        durable.as_ref()?.tasks.get(&task).map(|order| order.name.clone())
    }

    /// Plans, keeps, acts; gives the time of the next plan.
    fn act(&mut self) -> Option<Timestamp> {
        let durable = self.sources.durable.borrow_and_update().clone();
        let mut wake_at = None;
        // Without any orders nothing is known to be unwanted.
        if let Some(orders) = durable {
            if self.sources.kept.as_ref().is_none_or(|kept| !Arc::ptr_eq(kept, &orders)) {
                self.core.confirm();
            }
            let plan = self.core.plan(&orders, now());
            self.keep();
            wake_at = plan.wake_at;
            for report in &plan.reports {
                tracing::info!(task = %report.task, state = %report.state, error = report.error, "task");
            }
            self.tools.reports.put(plan.reports);
            self.tools.reports.retain(|task| orders.tasks.contains_key(&task));
            for effect in plan.effects {
                self.begin(effect, &orders);
            }
        }
        self.route();
        if self.core.is_empty() && self.flights.is_empty() {
            for waiting in self.waiting.drain(..) {
                // Who asked may have gone.
                let _ = waiting.send(());
            }
        }
        wake_at
    }

    /// Writes down how far tasks have come, before acting on it.
    fn keep(&mut self) {
        let kept = self.core.keep();
        if kept != self.kept {
            if let Err(error) = self.tools.ledger.save_tasks(&kept) {
                tracing::error!(%error, "cannot write the ledger; a restart may run ended tasks again");
            }
            self.kept = kept;
        }
    }

    fn begin(&mut self, effect: Effect, orders: &Arc<Orders>) {
        let task = effect.task;
        if effect.step == Step::Abandon {
            if let Some(flight) = self.flights.remove(&task) {
                flight.abort.abort();
                self.core.done(task, Outcome::Abandoned, now());
                // The core wants to be asked again.
                let _ = self.events.send(Event::Ended {
                    task,
                    number: u64::MAX,
                    outcome: Outcome::Abandoned,
                    seen: None,
                });
            }
            return;
        }
        self.next_flight += 1;
        let number = self.next_flight;
        let name = self.name_of(task);
        let (tools, orders, events) = (self.tools.clone(), orders.clone(), self.events.clone());
        let is_there = matches!(self.core.sight(task), Sight::Present(_));
        let mut span = self.sources.causes.step(&effect, name.as_deref(), is_there);
        let step = tokio::spawn(async move {
            let taken = steps::take(&tools, &orders, &effect, name.as_deref());
            let (outcome, seen) = telemetry::within(span.causes(), taken).await;
            if let Outcome::Refused(why) | Outcome::Unknown(why) = &outcome {
                span.fail(why.as_str());
            }
            drop(span);
            // Fails only when the worker has ended.
            let _ = events.send(Event::Ended { task, number, outcome, seen });
        });
        self.flights.insert(task, Flight { number, abort: step.abort_handle() });
    }

    /// Tells the data plane what should be true and what runs here.
    fn route(&mut self) {
        let Some(latest) = self.sources.latest.borrow_and_update().clone() else { return };
        let mut local = Vec::new();
        for (task, container, pid) in self.core.running() {
            let Some(order) = latest.tasks.get(&task) else { continue };
            let addresses = order.attachments.iter().map(|a| (a.network, a.address)).collect();
            let place = self.places.get(&container.id).cloned().unwrap_or_default();
            local.push(LocalTask {
                task,
                container: container.id.clone(),
                pid,
                netns: place.netns,
                addresses,
                engine_address: place.engine_address,
                host_network: place.host_network,
            });
        }
        let same = self
            .routed
            .as_ref()
            .is_some_and(|(orders, tasks)| Arc::ptr_eq(orders, &latest) && *tasks == local);
        if !same {
            let ids: std::collections::BTreeSet<&str> =
                local.iter().map(|l| l.container.as_str()).collect();
            self.places.retain(|id, _| ids.contains(id.as_str()));
            self.tools.net.apply(latest.clone(), local.clone());
            self.routed = Some((latest, local));
        }
    }
}

fn sight(seen: Option<Seen>) -> Sight {
    seen.map_or(Sight::Absent, |s| Sight::Present(s.container))
}

fn now() -> Timestamp {
    crate::clock::now()
}
