//! Follows the state change by change, without a gap.

use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::machine::{Machine, Published, Publisher, Update};

/// What a watcher sees next.
pub enum Event<M: Machine> {
    /// Entries that follow directly on what was seen before.
    Update(Arc<Update<M>>),
    /// The watcher fell too far behind, or a snapshot replaced the state: begin again from here.
    Reset(Arc<Published<M>>),
}

/// Every change after a known state, in order.
pub struct Changes<M: Machine> {
    publisher: Arc<Publisher<M>>,
    updates: broadcast::Receiver<Option<Arc<Update<M>>>>,
    /// Position of the newest state that the watcher has seen.
    seen: u64,
}

impl<M: Machine> Changes<M> {
    pub(super) fn begin(publisher: Arc<Publisher<M>>) -> (Arc<Published<M>>, Changes<M>) {
        // Subscribed first: an update between the two lines is then seen twice, and skipped once.
        let updates = publisher.updates.subscribe();
        let state = publisher.current.load_full();
        let seen = state.position;
        (state, Changes { publisher, updates, seen })
    }

    /// The next change; waits for it. `None` when the log has ended.
    pub async fn next(&mut self) -> Option<Event<M>> {
        loop {
            let received = self.updates.recv().await;
            let event = match received {
                Ok(update) => self.event(update),
                Err(RecvError::Lagged(_)) => Some(self.reset()),
                Err(RecvError::Closed) => return None,
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// The next change if it is there already.
    pub fn try_next(&mut self) -> Option<Event<M>> {
        loop {
            let event = match self.updates.try_recv() {
                Ok(update) => self.event(update),
                Err(TryRecvError::Lagged(_)) => Some(self.reset()),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            };
            if event.is_some() {
                return event;
            }
        }
    }

    fn event(&mut self, update: Option<Arc<Update<M>>>) -> Option<Event<M>> {
        match update {
            None => Some(self.reset()),
            Some(update) if update.after.position <= self.seen => None,
            Some(update) => {
                self.seen = update.after.position;
                Some(Event::Update(update))
            }
        }
    }

    fn reset(&mut self) -> Event<M> {
        // Everything sent before is contained in the state that is current now.
        self.updates = self.updates.resubscribe();
        let state = self.publisher.current.load_full();
        self.seen = state.position;
        Event::Reset(state)
    }
}
