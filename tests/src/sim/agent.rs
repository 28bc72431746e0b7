//! What agents do: connect, take orders in, act on them through the engine, report.

use std::collections::BTreeMap;

use agent_core::intake::{self, Intake};
use agent_core::worker::{Container, Mark, Outcome, Step};
use model::object::Revision;
use model::wire::session::{FromAgent, FromManager, TaskReport};
use model::{Millis, TaskId};

use super::event::Event;
use super::invariant;
use super::world::{Broken, World};

/// Between two heartbeats: the cluster's default.
const BEAT_MS: u64 = 500;
/// Silence of the leader after which an agent looks for another.
const SILENCE: Millis = Millis(2_000);
/// Reports that were not acknowledged are sent again after this.
const AGAIN: Millis = Millis(2_000);

impl World {
    pub(super) fn connect(&mut self, host: usize, life: u64) {
        let now = self.now;
        let known = &self.hosts[host];
        if known.life != life || !known.up || known.removed {
            return;
        }
        let reachable = !known.cut_to && !known.cut_from;
        let mislead = self.managers.leader.is_none() || self.random.chance(50);
        if reachable && mislead && self.managers.stale.is_some() {
            self.connect_to_stale(host);
            return;
        }
        let node = known.node;
        let Some(leader) = self.managers.leader.as_mut().filter(|_| reachable) else {
            let wait = self.random.range(100, 400);
            self.later(wait, Event::Connect { host, life });
            return;
        };
        self.sessions += 1;
        let session = self.sessions;
        let time = now + leader.ahead;
        let state = &self.managers.replicas[leader.manager].state;
        if state.node(node).is_none() {
            self.removed(host);
            return;
        }
        leader.sessions.insert(node, session);
        leader.reporting.remove(&node);
        leader.live.began(node, time);
        leader.agenda.note_heartbeat(state, node);
        let orders = leader.projector.open(state, node).clone();
        leader.live.sent(node, orders.fence.revision);
        let known = &mut self.hosts[host];
        (known.session, known.told) = (Some(session), false);
        (known.heard_leader, known.heard_by_leader) = (now, now);
        known.start_reports_over();
        self.to_host(node, FromManager::Orders { orders: Box::new(orders) });
        self.send_reports(host);
        self.poke();
    }

    /// A manager that does not know yet that it leads no more gives orders too.
    fn connect_to_stale(&mut self, host: usize) {
        let Some((stale, state)) = &mut self.managers.stale else { return };
        let node = self.hosts[host].node;
        let orders = stale.projector.open(state, node).clone();
        self.sessions += 1;
        (self.hosts[host].session, self.hosts[host].told) = (Some(self.sessions), false);
        self.hosts[host].heard_leader = self.now;
        let frame = Box::new(FromManager::Orders { orders: Box::new(orders) });
        let session = self.sessions;
        self.later(2, Event::ToHost { host, session, frame });
    }

    /// The cluster does not know the node any more: it cleans up and joins again.
    fn removed(&mut self, host: usize) {
        let known = &mut self.hosts[host];
        known.crash();
        known.ledger = super::host::Ledger::default();
        known.removed = true;
        known.forgot = true;
        known.engine.containers.clear();
        self.later(1_000, Event::Rejoin(host));
    }

    pub(super) fn host_hears(
        &mut self,
        host: usize,
        session: u64,
        frame: FromManager,
    ) -> Result<(), Broken> {
        let now = self.now;
        let known = &mut self.hosts[host];
        if !known.up || known.session != Some(session) {
            return Ok(());
        }
        known.heard_leader = now;
        let have = known.orders.as_ref().map(|orders| orders.fence);
        // What the worker goes by may have changed.
        let mut concerns_worker = !known.heard;
        match frame {
            FromManager::Orders { orders } => {
                if intake::whole(have, orders.fence) == Intake::Old {
                    self.hang_up(host);
                    return Ok(());
                }
                known.orders = Some(*orders);
                known.told = true;
                concerns_worker = true;
            }
            FromManager::Delta { delta } => {
                concerns_worker |= !delta.tasks.is_empty()
                    || !delta.secrets.is_empty()
                    || !delta.configs.is_empty();
                let taken = match (&mut known.orders, intake::delta(have, &delta)) {
                    (Some(orders), Intake::Take) => orders.take(*delta).is_ok(),
                    (Some(_) | None, _) => false,
                };
                if !taken {
                    self.to_leader(host, FromAgent::Resend);
                    return Ok(());
                }
            }
            FromManager::StatusAck { seq } => {
                known.pending.retain(|_, (_, sent)| *sent == 0 || *sent > seq);
                known.reports_sent = None;
                self.send_reports(host);
                return Ok(());
            }
            FromManager::Removed => {
                self.removed(host);
                return Ok(());
            }
            FromManager::Welcome { .. }
            | FromManager::NotLeader { .. }
            | FromManager::HeartbeatAck { .. }
            | FromManager::Open { .. } => return Ok(()),
        }
        known.heard = true;
        known.worker.confirm();
        let life = known.life;
        let revision = known.orders.as_ref().map_or(0, |orders| orders.fence.revision.0);
        let wait = self.random.range(1, 20);
        self.later(wait, Event::Routed { host, life, revision });
        invariant::after_orders(self, host, have)?;
        if !concerns_worker {
            return Ok(());
        }
        invariant::after_orders_of_tasks(self, host)?;
        self.drive(host)
    }

    /// The connection breaks.
    pub(super) fn shaken(&mut self, host: usize) {
        if self.hosts[host].up && self.hosts[host].session.is_some() {
            self.hang_up(host);
        }
    }

    /// The session ends from this side; another manager is tried.
    fn hang_up(&mut self, host: usize) {
        self.hosts[host].session = None;
        let life = self.hosts[host].life;
        let wait = self.random.range(50, 200);
        self.later(wait, Event::Connect { host, life });
    }

    pub(super) fn routed(&mut self, host: usize, life: u64, revision: u64) {
        let known = &mut self.hosts[host];
        if known.life == life && known.applied.0 < revision {
            known.applied = Revision(revision);
            self.heartbeat(host);
        }
    }

    fn heartbeat(&mut self, host: usize) {
        let known = &mut self.hosts[host];
        known.beat += 1;
        let (seq, applied) = (known.beat, known.applied);
        self.to_leader(host, FromAgent::Heartbeat { seq, applied });
    }

    pub(super) fn beat(&mut self, host: usize, life: u64) -> Result<(), Broken> {
        let now = self.now;
        let known = &mut self.hosts[host];
        if known.life != life || !known.up {
            return Ok(());
        }
        if known.session.is_some() && now.since(known.heard_leader) > SILENCE {
            self.hang_up(host);
        }
        self.heartbeat(host);
        let known = &mut self.hosts[host];
        if known.reports_sent.is_some_and(|at| now.since(at) >= AGAIN) {
            known.reports_sent = None;
            self.send_reports(host);
        }
        let known = &mut self.hosts[host];
        // Now and then the engine is listed anew: events may have been missed.
        let look = known.beat.is_multiple_of(20) && known.engine_up;
        self.later(BEAT_MS, Event::Beat { host, life });
        if look {
            // The answer is on its way while other things happen.
            let known = &self.hosts[host];
            let (mark, listed) = (known.worker.mark(), known.engine.containers.clone());
            let wait = if self.breaking { self.random.range(0, 400) } else { 1 };
            self.later(wait, Event::Listed { host, life, mark, listed });
        }
        Ok(())
    }

    /// The engine has answered what containers there are; what happened meanwhile is not in it.
    pub(super) fn listed(
        &mut self,
        host: usize,
        life: u64,
        mark: Mark,
        listed: BTreeMap<TaskId, Container>,
    ) -> Result<(), Broken> {
        let known = &mut self.hosts[host];
        if known.life != life || !known.up || !known.engine_up {
            return Ok(());
        }
        known.worker.see_all(mark, listed);
        self.drive(host)
    }

    fn send_reports(&mut self, host: usize) {
        let now = self.now;
        let known = &mut self.hosts[host];
        if known.session.is_none() || known.pending.is_empty() || known.reports_sent.is_some() {
            return;
        }
        known.report_seq += 1;
        known.reports_sent = Some(now);
        let seq = known.report_seq;
        let statuses: Vec<TaskReport> = known
            .pending
            .values_mut()
            .map(|(report, sent)| {
                *sent = seq;
                report.clone()
            })
            .collect();
        self.to_leader(host, FromAgent::Statuses { seq, statuses });
    }

    /// The worker wanted to be asked at this time.
    pub(super) fn wake_host(&mut self, host: usize, life: u64) -> Result<(), Broken> {
        let known = &mut self.hosts[host];
        if known.life != life || known.wake_at.is_none_or(|at| at > self.now) {
            return Ok(());
        }
        known.wake_at = None;
        self.drive(host)
    }

    /// The agent looks at its orders and its containers and acts.
    pub(super) fn drive(&mut self, host: usize) -> Result<(), Broken> {
        let now = self.now;
        let known = &mut self.hosts[host];
        if known.paused_until > now {
            if known.wake_at.is_none_or(|at| at > known.paused_until) {
                known.wake_at = Some(known.paused_until);
                let (life, wait) = (known.life, known.paused_until.since(now).0);
                self.later(wait, Event::Drive { host, life });
            }
            return Ok(());
        }
        let (true, Some(orders)) = (known.up, &known.orders) else { return Ok(()) };
        let (life, time) = (known.life, known.time(now));
        let planned = known.worker.plan(orders, time);
        let reports = planned.reports;
        invariant::before_reports(self, host, &reports)?;
        self.hosts[host].say(reports);
        for effect in planned.effects {
            invariant::before_step(self, host, effect.task, &effect.step)?;
            if effect.step == Step::Abandon {
                self.abandon(host, effect.task);
                continue;
            }
            let wait = self.duration(&effect.step);
            let known = &mut self.hosts[host];
            known.flight += 1;
            known.tell_engine(effect.task);
            let (task, step, flight) = (effect.task, Box::new(effect.step), known.flight);
            known.flights.insert(task, (step.name(), flight));
            self.later(wait, Event::StepEnds { host, life, task, step, flight });
        }
        invariant::after_steps(self, host)?;
        if let Some(at) = planned.wake_at {
            let at = now + Millis(at.since(time).0.max(1));
            let known = &mut self.hosts[host];
            if known.wake_at.is_none_or(|known| known > at) {
                known.wake_at = Some(at);
                let wait = at.since(now).0;
                self.later(wait, Event::Drive { host, life });
            }
        }
        self.send_reports(host);
        Ok(())
    }

    /// A pull is broken off; the worker is asked again at once.
    fn abandon(&mut self, host: usize, task: TaskId) {
        let known = &mut self.hosts[host];
        known.flights.remove(&task);
        let time = known.time(self.now);
        known.worker.done(task, Outcome::Abandoned, time);
        let at = self.now + Millis(1);
        if known.wake_at.is_none_or(|known| known > at) {
            known.wake_at = Some(at);
            let life = known.life;
            self.later(1, Event::Drive { host, life });
        }
    }

    pub(super) fn host_up(&mut self, host: usize) -> Result<(), Broken> {
        let now = self.now;
        let known = &mut self.hosts[host];
        if known.up || known.removed {
            return Ok(());
        }
        known.restart(now);
        let life = known.life;
        if let Some(orders) = &known.orders {
            let revision = orders.fence.revision.0;
            self.later(5, Event::Routed { host, life, revision });
        }
        self.later(1, Event::Connect { host, life });
        self.later(2, Event::Beat { host, life });
        self.drive(host)
    }

    pub(super) fn engine_up(&mut self, host: usize) -> Result<(), Broken> {
        self.hosts[host].engine_up = true;
        self.hosts[host].see_all();
        self.drive(host)
    }
}
