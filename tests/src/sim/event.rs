//! What happens in a simulated cluster, and the queue that puts it in the order of time.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;

use agent_core::worker::{Container, Mark, Step};
use model::wire::session::{FromAgent, FromManager};
use model::{TaskId, Timestamp};

/// Something that happens at a time. A host is meant by its number; `life` is the run of its agent
/// that the event belongs to.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// The proposal is agreed on.
    Commit(u64),
    Elect,
    /// The leader takes in what came and asks its planner.
    Work {
        term: u64,
    },
    Connect {
        host: usize,
        life: u64,
    },
    ToLeader {
        host: usize,
        session: u64,
        frame: Box<FromAgent>,
    },
    ToHost {
        host: usize,
        session: u64,
        frame: Box<FromManager>,
    },
    Beat {
        host: usize,
        life: u64,
    },
    /// The host's names and routes are now those of this revision.
    Routed {
        host: usize,
        life: u64,
        revision: u64,
    },
    Drive {
        host: usize,
        life: u64,
    },
    /// The engine's list of containers, as it was when it was asked for.
    Listed {
        host: usize,
        life: u64,
        mark: Mark,
        listed: BTreeMap<TaskId, Container>,
    },
    StepEnds {
        host: usize,
        life: u64,
        task: TaskId,
        step: Box<Step>,
        flight: u64,
    },
    /// The health check gives a verdict.
    Healthy {
        host: usize,
        task: TaskId,
        pid: i64,
    },
    Unhealthy {
        host: usize,
        task: TaskId,
        pid: i64,
    },
    Exits {
        host: usize,
        task: TaskId,
        pid: i64,
        code: i64,
    },
    /// Somebody removes a container.
    Removed {
        host: usize,
        task: TaskId,
    },
    /// The next thing that users ask for, and the next that breaks.
    Wish(u64),
    Fault(u64),
    /// Users look whether what was broken on purpose is still so.
    Mend,
    ManagerUp(usize),
    HostUp(usize),
    EngineUp(usize),
    Healed(usize),
    RegistryUp,
    /// A stale leader learns at last that it is one.
    StaleGone(u64),
    /// A host's session breaks.
    Shaken(usize),
    /// A host that was removed asks to join again.
    Rejoin(usize),
}

impl Event {
    /// The host whose agent would have to act, if it can.
    pub(super) fn agent(&self) -> Option<usize> {
        match self {
            Event::Connect { host, .. }
            | Event::ToHost { host, .. }
            | Event::Beat { host, .. }
            | Event::Routed { host, .. }
            | Event::Drive { host, .. }
            | Event::Listed { host, .. } => Some(*host),
            Event::Commit(_)
            | Event::Elect
            | Event::Work { .. }
            | Event::ToLeader { .. }
            | Event::StepEnds { .. }
            | Event::Healthy { .. }
            | Event::Unhealthy { .. }
            | Event::Exits { .. }
            | Event::Removed { .. }
            | Event::Wish(_)
            | Event::Fault(_)
            | Event::Mend
            | Event::ManagerUp(_)
            | Event::HostUp(_)
            | Event::EngineUp(_)
            | Event::Healed(_)
            | Event::RegistryUp
            | Event::StaleGone(_)
            | Event::Shaken(_)
            | Event::Rejoin(_) => None,
        }
    }
}

impl fmt::Display for Event {
    /// One line of the trace: whole, but for orders, of which the fence says enough.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::ToHost { host, session, frame } => {
                write!(f, "to host {host} ({session}): ")?;
                match &**frame {
                    FromManager::Orders { orders } => write!(
                        f,
                        "orders {}.{}: {} tasks, {} services",
                        orders.fence.term,
                        orders.fence.revision.0,
                        orders.tasks.len(),
                        orders.services.len()
                    ),
                    FromManager::Delta { delta } => write!(
                        f,
                        "delta {} -> {}.{}: tasks {:?} gone {:?}",
                        delta.from.revision.0,
                        delta.to.term,
                        delta.to.revision.0,
                        delta
                            .tasks
                            .set
                            .values()
                            .map(|t| format!("{} {:?}", t.id, t.desired))
                            .collect::<Vec<_>>(),
                        delta.tasks.gone
                    ),
                    other => write!(f, "{other:?}"),
                }
            }
            other => write!(f, "{other:?}"),
        }
    }
}

/// Events by time; those of one time in the order in which they were put.
#[derive(Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Item>,
    numbered: u64,
}

struct Item {
    at: Timestamp,
    number: u64,
    event: Event,
}

impl Queue {
    pub(super) fn put(&mut self, at: Timestamp, event: Event) {
        self.numbered += 1;
        self.heap.push(Item { at, number: self.numbered, event });
    }

    /// The next event, if it is not later than `end`.
    pub(super) fn pop(&mut self, end: Timestamp) -> Option<(Timestamp, Event)> {
        if self.heap.peek()?.at > end {
            return None;
        }
        self.heap.pop().map(|item| (item.at, item.event))
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    /// The earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}
