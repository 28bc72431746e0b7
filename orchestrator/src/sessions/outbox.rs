//! The outgoing half of a session: orders, and the few frames besides.
//!
//! Orders wait in one place, not in a queue: what is put there while the agent is slow is joined
//! with what waits already, so it gets one delta to the newest and no memory can grow.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use model::wire::frame;
use model::wire::orders::{Delta, Orders};
use model::wire::session::FromManager;
use tokio::sync::{Notify, mpsc, watch};

/// Frames besides orders that may wait for a slow agent; beyond it the session is ended.
const FRAMES: usize = 64;

/// Where the leader loop puts what an agent should get.
#[derive(Clone, Debug)]
pub struct Outbox {
    orders: Arc<Waiting>,
    frames: mpsc::Sender<FromManager>,
    closed: Arc<watch::Sender<bool>>,
}

/// The session's end of an [`Outbox`].
#[derive(Debug)]
pub(super) struct Inlet {
    orders: Arc<Waiting>,
    frames: mpsc::Receiver<FromManager>,
    closed: watch::Receiver<bool>,
}

/// Orders on their way.
#[derive(Debug, Default)]
struct Waiting {
    frame: Mutex<Option<Pending>>,
    more: Notify,
}

#[derive(Debug)]
enum Pending {
    Whole(Box<Orders>),
    Delta(Box<Delta>),
}

impl Outbox {
    pub(super) fn new() -> (Outbox, Inlet) {
        let orders = Arc::new(Waiting::default());
        let (frames, frames_rx) = mpsc::channel(FRAMES);
        let (closed, closed_rx) = watch::channel(false);
        let outbox = Outbox { orders: orders.clone(), frames, closed: Arc::new(closed) };
        (outbox, Inlet { orders, frames: frames_rx, closed: closed_rx })
    }

    /// Everything that should be true on the node, in place of what waits.
    pub fn whole(&self, orders: Orders) {
        *self.orders.lock() = Some(Pending::Whole(Box::new(orders)));
        self.orders.more.notify_one();
    }

    /// What changed since the last orders put here. A gap ends the session.
    pub fn delta(&self, delta: Delta) {
        let mut waiting = self.orders.lock();
        let joined = match waiting.take() {
            None => Some(Pending::Delta(Box::new(delta))),
            Some(Pending::Whole(mut orders)) => {
                orders.take(delta).ok().map(|()| Pending::Whole(orders))
            }
            Some(Pending::Delta(earlier)) => {
                earlier.then(delta).ok().map(|both| Pending::Delta(Box::new(both)))
            }
        };
        if joined.is_none() {
            self.close();
        }
        *waiting = joined;
        drop(waiting);
        self.orders.more.notify_one();
    }

    /// Sends a frame. An agent that has let [`FRAMES`] of them pile up loses its session, and
    /// begins a new one when it is well again.
    pub fn send(&self, frame: FromManager) {
        if self.frames.try_send(frame).is_err() {
            self.close();
        }
    }

    /// Ends the session.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }
}

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Pending>> {
        self.frame.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inlet {
    /// The next bytes for the agent; none when the session is over. Losing the future loses
    /// nothing.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                biased;
                _ = self.closed.wait_for(|closed| *closed) => return None,
                frame = self.frames.recv() => return encode(&frame?),
                () = self.orders.more.notified() => {
                    let waiting = self.orders.lock().take();
                    match waiting {
                        Some(Pending::Whole(orders)) => {
                            return encode(&FromManager::Orders { orders });
                        }
                        Some(Pending::Delta(delta)) => {
                            return encode(&FromManager::Delta { delta });
                        }
                        None => {}
                    }
                }
            }
        }
    }
}

/// A frame's bytes. One that cannot be written (too large) ends the session; it is logged here.
pub(super) fn encode(frame: &FromManager) -> Option<Bytes> {
    match frame::encode(frame) {
        Ok(bytes) => Some(Bytes::from(bytes)),
        Err(error) => {
            tracing::error!(%error, "a frame for an agent cannot be written");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::object::Revision;
    use model::wire::frame::Decoder;
    use model::wire::orders::Fence;

    fn orders(revision: u64) -> Orders {
        let fence = Fence { term: 1, revision: Revision(revision) };
        Orders { fence, ..Orders::default() }
    }

    async fn frame(inlet: &mut Inlet) -> FromManager {
        let mut decoder = Decoder::default();
        decoder.push(&inlet.next().await.expect("open"));
        decoder.next_frame().expect("good").expect("whole")
    }

    #[tokio::test]
    async fn deltas_that_wait_become_one() {
        let (outbox, mut inlet) = Outbox::new();
        outbox.whole(orders(1));
        assert!(matches!(frame(&mut inlet).await, FromManager::Orders { .. }));
        outbox.delta(orders(1).delta_to(&orders(2)));
        outbox.delta(orders(2).delta_to(&orders(3)));
        let FromManager::Delta { delta } = frame(&mut inlet).await else { panic!("a delta") };
        assert_eq!((delta.from.revision, delta.to.revision), (Revision(1), Revision(3)));
    }

    #[tokio::test]
    async fn a_delta_behind_waiting_orders_is_taken_into_them() {
        let (outbox, mut inlet) = Outbox::new();
        outbox.whole(orders(1));
        outbox.delta(orders(1).delta_to(&orders(2)));
        let FromManager::Orders { orders } = frame(&mut inlet).await else { panic!("orders") };
        assert_eq!(orders.fence.revision, Revision(2));
    }

    #[tokio::test]
    async fn a_gap_ends_the_session() {
        let (outbox, mut inlet) = Outbox::new();
        outbox.whole(orders(1));
        outbox.delta(orders(2).delta_to(&orders(3)));
        assert!(inlet.next().await.is_none());
    }

    #[tokio::test]
    async fn an_agent_that_takes_nothing_loses_its_session() {
        let (outbox, mut inlet) = Outbox::new();
        for seq in 0..=u64::try_from(FRAMES).expect("small") {
            outbox.send(FromManager::HeartbeatAck { seq });
        }
        assert!(inlet.next().await.is_none());
    }
}
