//! The outgoing half of a session: the newest orders, and the few frames besides.

use std::sync::Arc;

use bytes::Bytes;
use model::wire::frame;
use model::wire::orders::Orders;
use model::wire::session::FromManager;
use tokio::sync::{mpsc, watch};

/// Frames besides orders that may wait for a slow agent; beyond it the session is ended.
const FRAMES: usize = 64;

/// Where the leader loop puts what an agent should get.
#[derive(Clone, Debug)]
pub struct Outbox {
    orders: Arc<watch::Sender<Option<Arc<Orders>>>>,
    frames: mpsc::Sender<FromManager>,
    closed: Arc<watch::Sender<bool>>,
}

/// The session's end of an [`Outbox`].
#[derive(Debug)]
pub(super) struct Inlet {
    orders: watch::Receiver<Option<Arc<Orders>>>,
    frames: mpsc::Receiver<FromManager>,
    closed: watch::Receiver<bool>,
    /// What the agent has, once it has been sent.
    sent: Option<Arc<Orders>>,
}

impl Outbox {
    pub(super) fn new() -> (Outbox, Inlet) {
        let (orders, orders_rx) = watch::channel(None);
        let (frames, frames_rx) = mpsc::channel(FRAMES);
        let (closed, closed_rx) = watch::channel(false);
        let outbox =
            Outbox { orders: Arc::new(orders), frames, closed: Arc::new(closed) };
        let inlet = Inlet { orders: orders_rx, frames: frames_rx, closed: closed_rx, sent: None };
        (outbox, inlet)
    }

    /// Replaces the orders. Those that were not sent yet are skipped.
    pub fn orders(&self, orders: Arc<Orders>) {
        self.orders.send_replace(Some(orders));
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

impl Inlet {
    /// The next bytes for the agent; none when the session is over.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                biased;
                _ = self.closed.wait_for(|closed| *closed) => return None,
                frame = self.frames.recv() => return encode(&frame?),
                changed = self.orders.changed() => {
                    changed.ok()?;
                    let newest = self.orders.borrow_and_update().clone();
                    if let Some(bytes) = newest.and_then(|orders| self.order(orders)) {
                        return Some(bytes);
                    }
                }
            }
        }
    }

    /// The agent has asked for the whole again.
    pub(super) fn resend(&mut self) {
        self.sent = None;
        self.orders.mark_changed();
    }

    fn order(&mut self, orders: Arc<Orders>) -> Option<Bytes> {
        let frame = match &self.sent {
            Some(sent) if sent.fence == orders.fence => return None,
            Some(sent) if sent.fence.term == orders.fence.term => {
                FromManager::Delta { delta: Box::new(sent.delta_to(&orders)) }
            }
            Some(_) | None => FromManager::Orders { orders: Box::new((*orders).clone()) },
        };
        self.sent = Some(orders);
        encode(&frame)
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

    fn orders(revision: u64) -> Arc<Orders> {
        let fence = Fence { term: 1, revision: Revision(revision) };
        Arc::new(Orders { fence, ..Orders::default() })
    }

    async fn frame(inlet: &mut Inlet) -> FromManager {
        let mut decoder = Decoder::default();
        decoder.push(&inlet.next().await.expect("open"));
        decoder.next_frame().expect("good").expect("whole")
    }

    #[tokio::test]
    async fn the_first_orders_are_whole_and_overtaken_ones_are_skipped() {
        let (outbox, mut inlet) = Outbox::new();
        outbox.orders(orders(1));
        assert!(matches!(frame(&mut inlet).await, FromManager::Orders { .. }));
        outbox.orders(orders(2));
        outbox.orders(orders(3));
        let FromManager::Delta { delta } = frame(&mut inlet).await else { panic!("a delta") };
        assert_eq!((delta.from.revision, delta.to.revision), (Revision(1), Revision(3)));
        inlet.resend();
        assert!(matches!(frame(&mut inlet).await, FromManager::Orders { .. }));
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
