//! What managers do: agree, apply, plan, hand out orders, lose and win the leadership.
//!
//! It follows the leader loop of the shell: one report and one plan are on their way to the log at
//! a time, and what comes meanwhile is joined.

use model::wire::session::{FromAgent, FromManager, TaskReport};
use model::{Millis, NodeId, Timestamp};
use orchestrator_core::command::{Applied, Batch, Command, ObjectRef, Refusal, Response};
use orchestrator_core::plan::plan;

use super::event::Event;
use super::invariant;
use super::managers::{Managers, Origin, Proposal, Reports};
use super::world::{Broken, World};

impl World {
    /// Hands a batch to the leader. False when there is none.
    pub(super) fn propose(&mut self, batch: Batch, origin: Origin) -> bool {
        let Some(leader) = &self.managers.leader else { return false };
        let (term, time) = (leader.term, self.now + leader.ahead);
        let slow = self.slow_log_until > self.now;
        let latency = if slow { self.random.range(50, 900) } else { self.random.range(1, 6) };
        let at = (self.now + Millis(latency)).max(self.last_commit);
        self.last_commit = at;
        let unanswered = self.breaking && self.settings.weather && self.random.once_in(400);
        let entry = Managers::entry(batch, time);
        self.numbered += 1;
        let id = self.numbered;
        self.proposals.insert(id, Proposal { term, entry, origin, unanswered });
        let wait = at.since(self.now).0;
        self.later(wait, Event::Commit(id));
        true
    }

    pub(super) fn commit(&mut self, id: u64) -> Result<(), Broken> {
        let Some(proposal) = self.proposals.remove(&id) else { return Ok(()) };
        if self.managers.leader.as_ref().is_none_or(|l| l.term != proposal.term) {
            return Ok(());
        }
        let before = self.managers.leading().map(|(_, state)| state.clone());
        let Some(applied) = self.managers.commit(&proposal.entry) else { return Ok(()) };
        invariant::after_refusal(self, before, &proposal.entry, &applied)?;
        if self.settings.trace {
            let commands = &proposal.entry.batch.commands;
            self.trace.push(format!("{:>9} agreed: {commands:?}", self.elapsed_ms()));
        }
        if matches!(proposal.origin, Origin::Planner) {
            self.watch.plans_written += 1;
            self.watch.last_plan.clone_from(&proposal.entry.batch.commands);
        }
        invariant::after_entry(self, &proposal.entry, &applied)?;
        self.answer(&applied, &proposal);
        if let Some(leader) = &mut self.managers.leader {
            leader.unseen.push(applied);
        }
        self.poke();
        Ok(())
    }

    /// Tells whoever asked.
    fn answer(&mut self, applied: &Applied, proposal: &Proposal) {
        let Some(leader) = &mut self.managers.leader else { return };
        let state = &self.managers.replicas[leader.manager].state;
        let mut acknowledged = Vec::new();
        match &proposal.origin {
            Origin::Planner => {
                leader.planned -= 1;
                let refused = applied.responses.iter().any(Result::is_err);
                if refused || proposal.unanswered {
                    leader.agenda.everything(state);
                }
            }
            Origin::Agents => {
                let written = leader.reported.take().unwrap_or_default();
                for (node, session, seq) in written {
                    let current = leader.sessions.get(&node) == Some(&session);
                    if current && !proposal.unanswered {
                        acknowledged.push((node, FromManager::StatusAck { seq }));
                    }
                }
            }
            Origin::Client(number) => {
                if proposal.unanswered {
                    self.client.unknown(*number);
                } else {
                    self.client.answered(*number, &applied.responses[0]);
                }
            }
            Origin::Host(host) => self.joined(*host, &applied.responses[0]),
        }
        for (node, frame) in acknowledged {
            self.to_host(node, frame);
        }
    }

    fn joined(&mut self, host: usize, answer: &Result<Response, Refusal>) {
        let Ok(Response::Joined { node }) = answer else { return };
        self.by_node.insert(*node, host);
        let known = &mut self.hosts[host];
        (known.node, known.removed) = (*node, false);
        known.restart(self.now);
        let life = known.life;
        self.later(1, Event::Connect { host, life });
        self.later(2, Event::Beat { host, life });
    }

    /// The leader looks soon.
    pub(super) fn poke(&mut self) {
        let now = self.now;
        let Some(leader) = &mut self.managers.leader else { return };
        let soon = now + Millis(1);
        if leader.work_at.is_none_or(|at| at > soon) {
            leader.work_at = Some(soon);
            let term = leader.term;
            self.later(1, Event::Work { term });
        }
    }

    /// The leader takes in what was applied, writes what was reported, and plans.
    pub(super) fn work(&mut self, term: u64) -> Result<(), Broken> {
        let now = self.now;
        let Some(leader) = self.managers.leader.as_mut().filter(|l| l.term == term) else {
            return Ok(());
        };
        if leader.work_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        leader.work_at = None;
        self.hand_out();
        invariant::after_handing_out(self)?;
        self.write_reports();
        self.ask_planner()?;
        self.sleep();
        Ok(())
    }

    fn hand_out(&mut self) {
        let Some(leader) = &mut self.managers.leader else { return };
        let state = &self.managers.replicas[leader.manager].state;
        let applied = std::mem::take(&mut leader.unseen);
        for one in &applied {
            leader.agenda.note(state, one);
        }
        let deltas = leader.projector.update(state, &applied);
        let mut frames: Vec<(NodeId, FromManager)> = Vec::with_capacity(deltas.len());
        for (node, delta) in deltas {
            leader.live.sent(node, delta.to.revision);
            frames.push((node, FromManager::Delta { delta: Box::new(delta) }));
        }
        leader.live.projected(state.revision());
        let changes = applied.iter().flat_map(|one| &one.changes);
        let gone: Vec<NodeId> = changes
            .filter_map(|change| match change.object {
                ObjectRef::Node(node) => Some(node),
                _ => None,
            })
            .filter(|node| leader.sessions.contains_key(node) && state.node(*node).is_none())
            .collect();
        for (node, frame) in frames {
            self.to_host(node, frame);
        }
        for node in gone {
            self.to_host(node, FromManager::Removed);
            let Some(leader) = &mut self.managers.leader else { return };
            leader.sessions.remove(&node);
            leader.projector.close(node);
            leader.live.forget(node);
        }
    }

    fn write_reports(&mut self) {
        let Some(leader) = &mut self.managers.leader else { return };
        if leader.reported.is_some() || leader.reporting.is_empty() {
            return;
        }
        let (mut commands, mut sent) = (Vec::new(), Vec::new());
        for (node, reports) in std::mem::take(&mut leader.reporting) {
            sent.push((node, reports.session, reports.seq));
            let statuses: Vec<TaskReport> = reports.tasks.into_values().collect();
            commands.push(Command::Report { node, statuses });
        }
        leader.reported = Some(sent);
        self.propose(Batch { commands, base: None }, Origin::Agents);
    }

    fn ask_planner(&mut self) -> Result<(), Broken> {
        let limits = self.limits;
        let Some(leader) = &mut self.managers.leader else { return Ok(()) };
        let time = self.now + leader.ahead;
        let due = leader.wake_at.is_some_and(|at| at <= time);
        if leader.planned > 0 || (leader.agenda.is_idle(time) && !due) {
            return Ok(());
        }
        let state = &self.managers.replicas[leader.manager].state;
        let planned = plan(state, &leader.live, time, &mut leader.agenda, &limits);
        leader.wake_at = planned.wake_at;
        leader.planned = planned.batches.len();
        invariant::after_planning(self, &planned.batches)?;
        let quiet = planned.batches.is_empty();
        for batch in planned.batches {
            self.propose(batch, Origin::Planner);
        }
        if quiet { invariant::after_an_empty_plan(self) } else { Ok(()) }
    }

    /// Until the planner wants to be asked, unless something happens.
    fn sleep(&mut self) {
        let now = self.now;
        let Some(leader) = &mut self.managers.leader else { return };
        let Some(at) = leader.wake_at.filter(|_| leader.planned == 0) else { return };
        let at = now + Millis(at.since(now + leader.ahead).0.max(1));
        if leader.work_at.is_none_or(|known| known > at) {
            leader.work_at = Some(at);
            let (term, wait) = (leader.term, at.since(now).0);
            self.later(wait, Event::Work { term });
        }
    }

    /// The leader is gone, or cut off (`unaware`: it goes on for a while as if nothing had been).
    /// What it had proposed is agreed on up to some point, and nobody is told.
    pub(super) fn lose_leader(&mut self, unaware: bool) {
        let Some(leader) = self.managers.leader.take() else { return };
        if unaware {
            let state = self.managers.replicas[leader.manager].state.clone();
            let wait = self.random.range(2_000, 8_000);
            self.later(wait, Event::StaleGone(leader.term));
            self.managers.stale = Some((leader, state));
        }
        let open: Vec<u64> = self.proposals.keys().copied().collect();
        let agreed = self.random.index(open.len() + 1);
        for id in &open[..agreed] {
            if let Some(proposal) = self.proposals.remove(id) {
                self.managers.append(&proposal.entry);
                self.forget(&proposal.origin);
            }
        }
        for proposal in std::mem::take(&mut self.proposals).into_values() {
            self.forget(&proposal.origin);
        }
        let wait = self.random.range(300, 1_500);
        self.later(wait, Event::Elect);
    }

    /// Whoever asked hears nothing.
    fn forget(&mut self, origin: &Origin) {
        match origin {
            Origin::Client(number) => self.client.unknown(*number),
            // If it was agreed on after all, a node stays that nobody is; the users remove it.
            Origin::Host(host) => self.later(1_000, Event::Rejoin(*host)),
            Origin::Planner | Origin::Agents => {}
        }
    }

    pub(super) fn elect(&mut self) {
        if self.managers.leader.is_some() {
            return;
        }
        let able = self.able_managers();
        if !self.has_quorum() {
            self.later(500, Event::Elect);
            return;
        }
        let chosen = able[self.random.index(able.len())];
        self.last_commit = self.now;
        if self.random.once_in(4) {
            // It had been away for so long that it was sent a snapshot.
            let state = &self.managers.replicas[chosen].state;
            if state.revision() < self.managers.newest().revision() {
                self.managers.install_snapshot(chosen);
            }
        }
        self.managers.lead(chosen, self.now);
        invariant::after_election(self);
        if self.managers.stale.is_some() {
            // Whoever has heard the new leader and then loses it may come to the old one again.
            for host in 0..self.hosts.len() {
                if self.random.chance(40) {
                    let wait = self.random.range(100, 4_000);
                    self.later(wait, Event::Shaken(host));
                }
            }
        }
        self.poke();
    }

    /// Managers that are up and reach each other.
    fn able_managers(&self) -> Vec<usize> {
        let able = |manager: &usize| {
            let host = &self.hosts[*manager];
            let reached = !host.cut_to && !host.cut_from && host.paused_until <= self.now;
            self.managers.replicas[*manager].up && reached
        };
        (0..self.settings.managers).filter(able).collect()
    }

    /// More than half of the managers can agree.
    pub(super) fn has_quorum(&self) -> bool {
        self.able_managers().len() * 2 > self.settings.managers
    }

    pub(super) fn manager_up(&mut self, manager: usize) {
        self.managers.replicas[manager].up = true;
    }

    pub(super) fn leader_hears(&mut self, host: usize, session: u64, frame: FromAgent) {
        let node = self.hosts[host].node;
        let Some(leader) = &mut self.managers.leader else { return };
        let time: Timestamp = self.now + leader.ahead;
        if leader.sessions.get(&node) != Some(&session) {
            return;
        }
        let state = &self.managers.replicas[leader.manager].state;
        let silent = self.now.since(self.hosts[host].heard_by_leader);
        self.watch.note_silence(leader.term, node, silent);
        self.hosts[host].heard_by_leader = self.now;
        leader.live.heard(node, time);
        leader.agenda.note_heartbeat(state, node);
        match frame {
            FromAgent::Heartbeat { seq, applied } => {
                leader.live.applied(node, applied);
                leader.agenda.note_heartbeat(state, node);
                let idle = leader.agenda.is_idle(time);
                self.to_host(node, FromManager::HeartbeatAck { seq });
                if idle {
                    return;
                }
            }
            FromAgent::Statuses { seq, statuses } => {
                let news: Vec<TaskReport> =
                    statuses.into_iter().filter(|r| !state.knows(r)).collect();
                if news.is_empty() && !leader.reporting.contains_key(&node) {
                    self.to_host(node, FromManager::StatusAck { seq });
                    return;
                }
                let waiting = leader.reporting.entry(node).or_insert_with(|| Reports {
                    session,
                    seq,
                    tasks: std::collections::BTreeMap::new(),
                });
                (waiting.session, waiting.seq) = (session, seq);
                waiting.tasks.extend(news.into_iter().map(|r| (r.task, r)));
            }
            FromAgent::Resend => {
                let orders = leader.projector.open(state, node).clone();
                leader.live.sent(node, orders.fence.revision);
                self.to_host(node, FromManager::Orders { orders: Box::new(orders) });
            }
            FromAgent::Hello { .. } | FromAgent::Description { .. } | FromAgent::Leaving => {}
        }
        self.poke();
    }
}
