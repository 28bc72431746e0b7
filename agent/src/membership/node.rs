//! What runs while the host is a node: session, worker, manager, and the upkeep of certificate and role.

use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;
use model::object::{NodeDescription, NodeTrust};
use model::spec::Role;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{MembershipError, Parts, View, address, entry};
use crate::clock;
use crate::ledger::Member;
use crate::orders::Desk;
use crate::session::{self, Session, Standing};
use crate::supervise::Running;
use crate::transport::Identity;
use crate::worker::{self, Reports, Sources, Tools};

/// After a renewal that failed.
const RENEW_AGAIN: Duration = Duration::from_secs(15);
/// The same, while the cluster waits for it, or the node for its new role: managers first change their own
/// membership.
const ROLE_AGAIN: Duration = Duration::from_millis(500);
/// How often the certificate's age and the host's description are looked at.
const LOOK: Duration = Duration::from_secs(60);
/// Until the engine answers for the first time.
const LOOK_FIRST: Duration = Duration::from_secs(1);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(4);

/// A node that runs.
pub(super) struct Node {
    member: Member,
    parts: Arc<Parts>,
    desk: Arc<Desk>,
    worker: worker::Handle,
    standing: watch::Receiver<Standing>,
    leaving: CancellationToken,
    stop: CancellationToken,
    keeper: JoinHandle<()>,
}

impl Node {
    /// Starts everything. `running` is the manager that has just started the cluster.
    pub fn start(
        parts: Arc<Parts>,
        member: Member,
        identity: Identity,
        running: Option<Running>,
    ) -> Result<Node, MembershipError> {
        let stop = CancellationToken::new();
        match address::host_of(&member.advertise).parse() {
            Ok(advertise) => parts.net.begin(advertise),
            Err(error) => {
                tracing::error!(advertise = member.advertise, %error, "no address for the data plane")
            }
        }
        let desk = Desk::open(parts.ledger.clone());
        let reports = Reports::default();
        tokio::spawn(desk.clone().save(stop.clone()));
        let worker = worker::spawn(
            Tools {
                engine: parts.engine.clone(),
                net: parts.net.clone(),
                files: parts.files.clone(),
                ledger: parts.ledger.clone(),
                reports: reports.clone(),
                limits: parts.limits(),
                socket: parts.socket_for_tasks(),
            },
            Sources {
                latest: desk.latest(),
                durable: desk.durable(),
                kept: desk.kept(),
                causes: desk.causes(),
            },
            stop.clone(),
        );
        let role = identity.role;
        let identity = watch::Sender::new(Arc::new(identity));
        let description = watch::Sender::new(NodeDescription {
            hostname: address::hostname(),
            address: address::host_of(&member.advertise).to_owned(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            trust: Some(identity.borrow().trust.clone()),
            ..NodeDescription::default()
        });
        let standing = watch::Sender::default();
        let node = Node {
            desk: desk.clone(),
            worker,
            standing: standing.subscribe(),
            leaving: CancellationToken::new(),
            keeper: tokio::spawn(
                Keeper {
                    parts: parts.clone(),
                    member: member.clone(),
                    desk: desk.clone(),
                    identity: identity.clone(),
                    description: description.clone(),
                    standing: standing.subscribe(),
                    stop: stop.clone(),
                }
                .run(running),
            ),
            member: member.clone(),
            parts: parts.clone(),
            stop: stop.clone(),
        };
        let session = Session {
            identity: identity.subscribe(),
            desk,
            reports,
            applied: parts.net.applied(),
            description: description.subscribe(),
            engine: parts.engine.clone(),
            managers: member.managers.clone(),
            standing,
            leaving: node.leaving.clone(),
            main: Handle::current(),
        };
        session::spawn(session, stop).map_err(|e| MembershipError::Disk {
            what: "the session's thread",
            why: e.to_string(),
        })?;
        parts.view.send_replace(View { member: Some(member), role, standing: Standing::default() });
        Ok(node)
    }

    pub fn member(&self) -> &Member {
        &self.member
    }

    /// Waits until there is a session with the leader; the last trouble when that takes too long.
    pub async fn connected(&self, limit: Duration) -> Result<(), String> {
        let mut standing = self.standing.clone();
        let connected = standing.wait_for(|s| matches!(s, Standing::Connected(_)));
        if tokio::time::timeout(limit, connected).await.is_ok_and(|r| r.is_ok()) {
            return Ok(());
        }
        Err(match &*self.standing.borrow() {
            Standing::Trouble(why) => why.clone(),
            _ => format!("none was found in {} s", limit.as_secs()),
        })
    }

    /// Stops and removes every container of the node.
    pub async fn empty(&self, limit: Duration) {
        self.desk.close();
        if tokio::time::timeout(limit, self.worker.empty()).await.is_err() {
            tracing::warn!("not every container could be removed in time");
        }
    }

    /// Tells the leader that the node leaves, if there is one.
    pub async fn say_goodbye(&self) {
        let mut standing = self.standing.clone();
        if matches!(&*standing.borrow(), Standing::Connected(_)) {
            self.leaving.cancel();
            let left = standing.wait_for(|s| !matches!(s, Standing::Connected(_)));
            // A leader that does not hear it will find the node silent.
            let _ = tokio::time::timeout(GOODBYE, left).await;
        }
    }

    /// Ends everything that runs; containers stay as they are.
    pub async fn stop(self) {
        self.stop.cancel();
        // An error means that it has ended already.
        let _ = self.keeper.await;
        self.parts.view.send_replace(View::default());
    }
}

/// Keeps role, certificate, manager and description as they should be.
struct Keeper {
    parts: Arc<Parts>,
    member: Member,
    desk: Arc<Desk>,
    identity: watch::Sender<Arc<Identity>>,
    description: watch::Sender<NodeDescription>,
    standing: watch::Receiver<Standing>,
    stop: CancellationToken,
}

/// A manager that is kept running.
struct Kept {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Kept {
    async fn end(self) {
        self.stop.cancel();
        // An error means that it has ended already.
        let _ = self.task.await;
    }
}

impl Keeper {
    async fn run(mut self, running: Option<Running>) {
        let mut manager = None;
        if self.identity.borrow().role == Role::Manager {
            manager = self.keep_manager(running);
        } else {
            // The agent may have ended after it got a worker's certificate and before this.
            self.remove_manager().await;
        }
        let mut orders = self.desk.latest();
        let mut renew_after: Option<tokio::time::Instant> = None;
        // What the last renewal was asked for with. Orders that are older than a certificate (they
        // were on disk, or came from a leader that lags) ask for it once and no more.
        let mut followed: Option<NodeTrust> = None;
        let mut described: Option<tokio::time::Instant> = None;
        loop {
            // Orders may change many times a second, a host does not.
            if described.is_none_or(|at| at.elapsed() >= LOOK) && self.describe().await {
                described = Some(tokio::time::Instant::now());
            }
            let (ordered, trust) = {
                let orders = orders.borrow_and_update();
                let trust = orders.as_ref().and_then(|o| o.cluster.trust.clone());
                (orders.as_ref().map(|o| o.node.role), trust)
            };
            let (role, from, to, trusts) = {
                let identity = self.identity.borrow();
                (identity.role, identity.valid_from, identity.valid_to, identity.trust.clone())
            };
            // The manager that renews gives what holds by then, which may be newer than the orders.
            if trust.as_ref() == Some(&trusts) {
                followed = None;
            }
            let other_trust = trust.filter(|t| *t != trusts && followed.as_ref() != Some(t));
            let wanted = ordered.unwrap_or(role);
            self.parts.view.send_modify(|view| {
                view.role = role;
                view.standing = self.standing.borrow_and_update().clone();
            });
            // Its log may go only when the other managers do not count on it any more: the leader
            // gives a worker's certificate after it has taken this node out of the log.
            if role == Role::Worker
                && let Some(kept) = manager.take()
            {
                tracing::info!("this node is no manager any more");
                kept.end().await;
                self.remove_manager().await;
            }
            let due = wanted != role
                || other_trust.is_some()
                || clock::wall() >= renewal(self.member.node, from, to);
            let paused = renew_after.is_some_and(|at| at > tokio::time::Instant::now());
            if due && !paused {
                renew_after = match self.renew().await {
                    Ok(()) => {
                        followed = other_trust.clone();
                        None
                    }
                    Err(error) => {
                        let waited_for = wanted != role || other_trust.is_some();
                        let pause = if waited_for { ROLE_AGAIN } else { RENEW_AGAIN };
                        tracing::warn!(%error, "cannot renew the certificate");
                        Some(tokio::time::Instant::now() + pause)
                    }
                };
                if renew_after.is_none() {
                    continue;
                }
            }
            if manager.is_none() && wanted == Role::Manager && role == Role::Manager {
                manager = self.keep_manager(None);
            }
            let look = if described.is_none() { LOOK_FIRST } else { LOOK };
            let again = renew_after.map(|at| at.duration_since(tokio::time::Instant::now()));
            let look = again.filter(|_| due).map_or(look, |again| again.min(look));
            tokio::select! {
                () = self.stop.cancelled() => break,
                Ok(()) = orders.changed() => {}
                Ok(()) = self.standing.changed() => {}
                () = tokio::time::sleep(look) => {}
            }
        }
        if let Some(kept) = manager {
            kept.end().await;
        }
    }

    fn keep_manager(&self, running: Option<Running>) -> Option<Kept> {
        let orchestrator = match self.parts.orchestrator(&self.member) {
            Ok(orchestrator) => orchestrator,
            Err(error) => {
                tracing::error!(%error, "this node is a manager, but none can be started");
                return None;
            }
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(orchestrator.keep(running, stop.clone()));
        Some(Kept { stop, task })
    }

    async fn remove_manager(&self) {
        match self.parts.orchestrator(&self.member) {
            Ok(orchestrator) => orchestrator.remove().await,
            Err(error) => tracing::debug!(%error, "no manager can have been here"),
        }
    }

    async fn renew(&self) -> Result<(), MembershipError> {
        let identity = self.identity.borrow().clone();
        let mut managers: Vec<String> = match &*self.desk.latest().borrow() {
            Some(orders) => orders.cluster.managers.values().cloned().collect(),
            None => Vec::new(),
        };
        // A demoted manager's own process knows the least about it; the others are asked first.
        managers.extend(self.member.managers.iter().cloned());
        managers.dedup();
        let renewed = entry::renew(&self.parts, &identity, &managers).await?;
        tracing::info!(role = renewed.role.name(), "the certificate was renewed");
        let trust = renewed.trust.clone();
        self.identity.send_replace(Arc::new(renewed));
        // Said only now that it is used.
        self.description.send_modify(|description| description.trust = Some(trust));
        Ok(())
    }

    /// What the host is like. False when the engine does not answer.
    async fn describe(&self) -> bool {
        let Ok(info) = self.parts.engine.info().await else { return false };
        let host = address::host_of(&self.member.advertise);
        let mut description = crate::engine::describe(&info, &address::hostname(), host);
        description.capabilities.clone_from(&self.description.borrow().capabilities);
        description.trust = Some(self.identity.borrow().trust.clone());
        self.description.send_if_modified(|current| {
            let changed = *current != description;
            *current = description;
            changed
        });
        true
    }
}

/// When a certificate is renewed: at 50 to 80 % of its life, each node at its own share, so that nodes
/// that joined together do not come together.
fn renewal(node: model::NodeId, from: Timestamp, to: Timestamp) -> Timestamp {
    let life = to.since(from).0;
    let share = u64::try_from(node.0.0 % 300).unwrap_or(0);
    Timestamp(from.0 + life / 1_000 * (500 + share))
}

#[cfg(test)]
mod tests {
    use model::{Id, NodeId};

    use super::*;

    #[test]
    fn a_certificate_is_renewed_in_the_second_half_of_its_life_but_not_at_its_end() {
        let (from, to) = (Timestamp(1_000_000), Timestamp(2_000_000));
        let all: Vec<u64> = (0..1_000).map(|n| renewal(NodeId(Id(n * 7)), from, to).0).collect();
        assert!(all.iter().all(|at| (1_500_000..1_800_000).contains(at)));
        assert!(all.iter().collect::<std::collections::BTreeSet<_>>().len() > 100, "spread");
    }
}
