//! Traces of what is done for tasks: the steps that an order leads to, and the engine's part in them.
//!
//! Orders say which span caused them (`Delta::traces`); [`Causes`] keeps that beside them, in memory only.
//! A step is caused by the order, a call to the engine by the step.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_core::worker::Effect;
use model::TaskId;
use model::wire::orders::Delta;
use telemetry::{Context, Kind, Span};

/// Of which part of the program the spans are.
const SCOPE: &str = "agent";

/// What caused the newest order of each task. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Causes(Arc<Mutex<BTreeMap<TaskId, Context>>>);

impl Causes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TaskId, Context>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a delta says. An order that says nothing has no cause any more.
    pub(crate) fn take(&self, delta: &Delta) {
        if !telemetry::is_on() {
            return;
        }
        let mut causes = self.lock();
        for task in delta.tasks.gone.iter().chain(delta.tasks.set.keys()) {
            causes.remove(task);
        }
        let told = delta.traces.iter().filter(|(task, _)| delta.tasks.set.contains_key(task));
        causes.extend(told.filter_map(|(task, text)| Some((*task, Context::read(text)?))));
    }

    /// Begins the span of a step; `container` is its id, or its name while it is not known to be there.
    pub(crate) fn step(&self, effect: &Effect, container: Option<&str>, is_there: bool) -> Span {
        if !telemetry::is_on() {
            return Span::none();
        }
        let Some(cause) = self.lock().get(&effect.task).copied() else { return Span::none() };
        let mut span =
            Span::of(cause, SCOPE, format!("task {}", effect.step.name()), Kind::Consumer);
        span.set("swarm.task.id", effect.task.to_string());
        if let Some(container) = container {
            span.set(if is_there { "container.id" } else { "container.name" }, container);
        }
        span
    }
}

/// Begins the span of a call to the engine, for what caused this task's work.
pub(crate) fn engine(operation: &'static str) -> Vec<Span> {
    if !telemetry::is_on() {
        return Vec::new();
    }
    Span::of_current(SCOPE, &format!("engine {operation}"), Kind::Client)
}
