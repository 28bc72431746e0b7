//! The orders on this host: taken in from the session, put on disk, handed to worker and data plane.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::wire::orders::{Delta, Fence, Orders};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ledger::{Intake, Ledger, take_delta, take_whole};
use crate::traces::Causes;

/// Where orders come in and go out.
pub struct Desk {
    latest: watch::Sender<Option<Arc<Orders>>>,
    durable: watch::Sender<Option<Arc<Orders>>>,
    /// What the ledger had at the start.
    kept: Option<Arc<Orders>>,
    ledger: Ledger,
    /// The node leaves: what managers order does not count any more.
    closed: AtomicBool,
    causes: Causes,
}

impl Desk {
    /// Begins with what the ledger has.
    #[must_use]
    pub fn open(ledger: Ledger) -> Arc<Desk> {
        let kept = ledger.orders().map(Arc::new);
        let latest = watch::Sender::new(kept.clone());
        Arc::new(Desk {
            latest,
            durable: watch::Sender::new(kept.clone()),
            kept,
            ledger,
            closed: AtomicBool::new(false),
            causes: Causes::default(),
        })
    }

    /// The newest.
    #[must_use]
    pub fn latest(&self) -> watch::Receiver<Option<Arc<Orders>>> {
        self.latest.subscribe()
    }

    /// The newest that would survive a crash.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<Option<Arc<Orders>>> {
        self.durable.subscribe()
    }

    /// What the ledger had at the start; whatever else comes is a manager's word, or our own.
    #[must_use]
    pub fn kept(&self) -> Option<Arc<Orders>> {
        self.kept.clone()
    }

    /// The position of the newest.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        self.latest.borrow().as_ref().map(|orders| orders.fence)
    }

    /// Takes whole orders in. False when they are older than what is here.
    pub fn whole(&self, orders: Orders) -> bool {
        let have = self.latest.borrow().clone();
        self.enter(take_whole(have.as_deref(), orders))
    }

    /// What caused the orders of tasks, where traces are recorded.
    #[must_use]
    pub fn causes(&self) -> Causes {
        self.causes.clone()
    }

    /// Takes a delta in. False when it does not follow: the whole is needed.
    pub fn delta(&self, delta: Delta) -> bool {
        // First: whoever acts on the orders looks there.
        self.causes.take(&delta);
        let have = self.latest.borrow().clone();
        self.enter(take_delta(have.as_deref(), delta))
    }

    /// Orders of our own making: nothing should run here any more, and no manager is asked.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let mut orders = self.latest.borrow().as_deref().cloned().unwrap_or_default();
        orders.tasks.clear();
        orders.networks.clear();
        orders.services.clear();
        orders.secrets.clear();
        orders.configs.clear();
        let orders = Some(Arc::new(orders));
        self.latest.send_replace(orders.clone());
        self.durable.send_replace(orders);
    }

    fn enter(&self, intake: Intake) -> bool {
        if self.closed.load(Ordering::SeqCst) {
            return true;
        }
        match intake {
            Intake::New(orders) => {
                self.latest.send_replace(Some(Arc::from(orders)));
                true
            }
            Intake::Old { have, came } => {
                tracing::warn!(?have, ?came, "refused orders older than those that hold");
                false
            }
            Intake::Gap => false,
        }
    }

    /// Puts the newest on disk, again and again, until `stop`. What comes while one is being written
    /// is written next, as one.
    pub async fn save(self: Arc<Self>, stop: CancellationToken) {
        let mut latest = self.latest.subscribe();
        while !stop.is_cancelled() {
            // Orders may have come before this began.
            let newest = latest.borrow_and_update().clone();
            let settled = match (&newest, &*self.durable.borrow()) {
                (None, _) => true,
                (Some(newest), Some(written)) => Arc::ptr_eq(newest, written),
                (Some(_), None) => false,
            };
            let Some(orders) = newest.filter(|_| !settled) else {
                tokio::select! {
                    () = stop.cancelled() => return,
                    changed = latest.changed() => if changed.is_err() { return },
                }
                continue;
            };
            let (ledger, writing) = (self.ledger.clone(), orders.clone());
            let written = tokio::task::spawn_blocking(move || ledger.save_orders(&writing)).await;
            match written {
                Ok(Ok(())) => {}
                // Doing what is ordered matters more than being able to do it again after a crash.
                Ok(Err(error)) => tracing::error!(%error, "cannot write the orders to disk"),
                Err(error) => tracing::error!(%error, "cannot write the orders to disk"),
            }
            if !stop.is_cancelled() {
                self.durable.send_replace(Some(orders));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::object::Revision;

    use super::*;

    #[tokio::test]
    async fn orders_are_durable_once_they_are_on_disk_and_older_ones_are_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let ledger = Ledger::below(home.path());
        let desk = Desk::open(ledger.clone());
        let stop = CancellationToken::new();
        let saving = tokio::spawn(desk.clone().save(stop.clone()));
        let at = |revision| Orders {
            fence: Fence { term: 1, revision: Revision(revision) },
            ..Orders::default()
        };
        let mut durable = desk.durable();
        assert!(desk.whole(at(5)));
        durable
            .wait_for(|o| o.as_ref().is_some_and(|o| o.fence == at(5).fence))
            .await
            .expect("saved");
        assert_eq!(ledger.orders(), Some(at(5)));
        assert!(!desk.whole(at(4)));
        assert!(desk.delta(at(5).delta_to(&at(6))));
        assert!(!desk.delta(at(5).delta_to(&at(7))));
        assert_eq!(desk.fence(), Some(at(6).fence));
        stop.cancel();
        saving.await.expect("ends");
    }
}
