//! The queue of events and what each does.

use std::collections::{BTreeMap, BTreeSet};

use agent_core::worker::{Phase, Step};
use model::object::{CaMaterial, JoinSecrets, NodeDescription, Revision};
use model::spec::{Availability, ClusterSpec, Platform, Resources, Role};
use model::wire::session::{FromAgent, FromManager, TaskReport};
use model::{Millis, NodeId, TaskId, Timestamp};
use orchestrator_core::command::{Applied, Batch, Bootstrap, Command, JoinNode, Refusal, Response};
use orchestrator_core::plan::{Limits, plan};

use super::client::Client;
use super::host::Host;
use super::invariant::{self, Watch};
use super::managers::{Managers, Origin, Proposal};
use super::random::Random;

/// What a run is like.
#[derive(Clone, Debug)]
pub struct Settings {
    pub managers: usize,
    /// Hosts in all; the first ones are the managers.
    pub agents: usize,
    /// How long faults and clients go on.
    pub minutes: u64,
    pub faults: bool,
    pub trace: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { managers: 3, agents: 7, minutes: 3, faults: true, trace: false }
    }
}

/// The simulated time at which a world begins; any will do that is not near zero.
const BEGIN: Timestamp = Timestamp(1_000_000_000);
/// Between two heartbeats: the cluster's default.
const BEAT_MS: u64 = 500;
/// Silence of the leader after which an agent looks for another.
const SILENCE: Millis = Millis(1_500);

/// Something that happens at a time.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// The proposal is agreed on.
    Commit(u64),
    Elect,
    Plan {
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
    /// The host's names and routes are now those of the orders.
    Routed {
        host: usize,
        life: u64,
    },
    Drive {
        host: usize,
        life: u64,
    },
    StepEnds {
        host: usize,
        life: u64,
        task: TaskId,
        step: Step,
    },
    Healthy {
        host: usize,
        task: TaskId,
    },
    Exits {
        host: usize,
        task: TaskId,
        pid: i64,
        code: i64,
    },
    Fault,
    Client,
    ManagerUp(usize),
    HostUp(usize),
    EngineUp(usize),
    Healed(usize),
}

/// A simulated cluster.
pub struct World {
    pub(super) settings: Settings,
    pub(super) random: Random,
    pub(super) now: Timestamp,
    queue: BTreeMap<(Timestamp, u64), Event>,
    numbered: u64,
    pub(super) managers: Managers,
    pub(super) hosts: Vec<Host>,
    by_node: BTreeMap<NodeId, usize>,
    proposals: BTreeMap<u64, Proposal>,
    last_commit: Timestamp,
    sessions: u64,
    /// Hosts that managers cannot reach, and that cannot reach managers.
    pub(super) cut_to: BTreeSet<usize>,
    pub(super) cut_from: BTreeSet<usize>,
    last_delivery: BTreeMap<(usize, bool), Timestamp>,
    pub(super) breaking: bool,
    pub(super) client: Client,
    pub(super) watch: Watch,
    pub(super) events: u64,
    pub(super) trace: Vec<String>,
}

type Broken = (String, String);

impl World {
    /// A started cluster of this seed: every host has joined.
    ///
    /// # Panics
    /// When the cluster cannot be started.
    #[must_use]
    pub fn new(seed: u64, settings: Settings) -> World {
        let mut world = World {
            random: Random::of(seed),
            now: BEGIN,
            queue: BTreeMap::new(),
            numbered: 0,
            managers: Managers::new(settings.managers),
            hosts: Vec::new(),
            by_node: BTreeMap::new(),
            proposals: BTreeMap::new(),
            last_commit: BEGIN,
            sessions: 0,
            cut_to: BTreeSet::new(),
            cut_from: BTreeSet::new(),
            last_delivery: BTreeMap::new(),
            breaking: settings.faults,
            client: Client::default(),
            watch: Watch::default(),
            events: 0,
            trace: Vec::new(),
            settings,
        };
        world.managers.lead(0, BEGIN);
        for number in 0..world.settings.agents {
            world.join(seed, number);
        }
        world.managers.lead(0, BEGIN);
        for host in 0..world.hosts.len() {
            world.later(1, Event::Connect { host, life: 0 });
            world.later(2, Event::Beat { host, life: 0 });
        }
        world.later(100, Event::Client);
        if world.breaking {
            world.later(3_000, Event::Fault);
        }
        world
    }

    fn join(&mut self, seed: u64, number: usize) {
        let manager = number < self.settings.managers;
        let name = if manager { format!("m{}", number + 1) } else { format!("w{}", number + 1) };
        let join = JoinNode {
            description: NodeDescription {
                hostname: name.clone(),
                platform: Platform { os: "linux".to_owned(), architecture: "x86_64".to_owned() },
                resources: Resources {
                    nano_cpus: 8_000_000_000,
                    memory_bytes: 16 << 30,
                    ..Resources::default()
                },
                address: format!("10.200.{}.{}", number / 250, number % 250 + 1),
                ..NodeDescription::default()
            },
            role: if manager { Role::Manager } else { Role::Worker },
            availability: Availability::Active,
            manager_address: None,
        };
        let command = if number == 0 {
            Command::Bootstrap(Box::new(Bootstrap {
                seed,
                spec: ClusterSpec::default(),
                ca: CaMaterial::default(),
                tokens: JoinSecrets::default(),
                address_pools: Vec::new(),
                subnet_size: 0,
                data_path_port: 4789,
                relay_key: String::new(),
                node: join,
            }))
        } else {
            Command::JoinNode(Box::new(join))
        };
        let batch = Batch { commands: vec![command], base: None };
        let applied = self.managers.commit(&Managers::entry(batch, self.now)).expect("a leader");
        let Ok(Response::Joined { node }) = applied.responses[0] else {
            panic!("{:?}", applied.responses)
        };
        self.by_node.insert(node, number);
        self.hosts.push(Host::new(name, node));
    }

    /// Simulated milliseconds since the start.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        self.now.since(BEGIN).0
    }

    pub(super) fn later(&mut self, in_ms: u64, event: Event) {
        self.numbered += 1;
        self.queue.insert((self.now + Millis(in_ms), self.numbered), event);
    }

    /// The whole run: trouble, then peace in which it must converge, then nothing.
    ///
    /// # Errors
    /// What did not hold.
    pub(super) fn live_through(&mut self) -> Result<(), Broken> {
        self.until(BEGIN + Millis::from_secs(self.settings.minutes * 60))?;
        self.make_peace();
        self.converge("liveness", Millis::from_secs(300), invariant::converged)?;
        invariant::replicas_agree(self).map_err(|e| ("replicas-agree".to_owned(), e))?;
        self.client.kept(self.managers.newest()).map_err(|e| ("write-lost".to_owned(), e))?;
        self.remove_all();
        self.converge("leak", Millis::from_secs(120), invariant::nothing_left)
    }

    fn converge(
        &mut self,
        what: &str,
        bound: Millis,
        check: fn(&World) -> Result<(), String>,
    ) -> Result<(), Broken> {
        let end = self.now + bound;
        loop {
            self.until(self.now + Millis::from_secs(1))?;
            match check(self) {
                Ok(()) => return Ok(()),
                Err(why) if self.now >= end => return Err((what.to_owned(), why)),
                Err(_) => {}
            }
        }
    }

    fn until(&mut self, end: Timestamp) -> Result<(), Broken> {
        while let Some(((at, _), _)) = self.queue.first_key_value() {
            if *at > end {
                break;
            }
            let Some(((at, _), event)) = self.queue.pop_first() else { break };
            self.now = at;
            self.events += 1;
            if self.settings.trace {
                self.trace.push(format!("{:>9} {event:?}", self.elapsed_ms()));
            }
            self.happen(event)?;
        }
        self.now = end;
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Commit(id) => return self.commit(id),
            Event::Elect => self.elect(),
            Event::Plan { term } => self.plan(term),
            Event::Connect { host, life } => self.connect(host, life),
            Event::ToLeader { host, session, frame } => self.leader_hears(host, session, *frame),
            Event::ToHost { host, session, frame } => {
                return self.host_hears(host, session, *frame);
            }
            Event::Beat { host, life } => self.beat(host, life),
            Event::Routed { host, life } => self.routed(host, life),
            Event::Drive { host, life } => {
                if self.hosts[host].life == life {
                    return self.drive(host);
                }
            }
            Event::StepEnds { host, life, task, step } => {
                return self.step_ends(host, life, task, &step);
            }
            Event::Healthy { host, task } => {
                self.hosts[host].engine.heal(task);
                return self.engine_says(host, task);
            }
            Event::Exits { host, task, pid, code } => {
                let same = self.hosts[host].engine.containers.get(&task).is_some_and(
                    |c| matches!(c.phase, Phase::Running { pid: now, .. } if now == pid),
                );
                if same {
                    self.hosts[host].engine.end(task, code);
                    return self.engine_says(host, task);
                }
            }
            Event::Fault => self.fault(),
            Event::Client => self.client_acts(),
            Event::ManagerUp(manager) => self.managers.replicas[manager].up = true,
            Event::HostUp(host) => return self.host_up(host),
            Event::EngineUp(host) => {
                self.hosts[host].engine_up = true;
                self.hosts[host].see_all();
                return self.drive(host);
            }
            Event::Healed(host) => {
                self.cut_to.remove(&host);
                self.cut_from.remove(&host);
            }
        }
        Ok(())
    }

    // ---- managers

    /// Hands a batch to the leader. False when there is none.
    pub(super) fn propose(&mut self, batch: Batch, origin: Origin) -> bool {
        let Some(leader) = &self.managers.leader else { return false };
        let term = leader.term;
        let latency = self.random.range(1, 6);
        let at = (self.now + Millis(latency)).max(self.last_commit);
        self.last_commit = at;
        let entry = Managers::entry(batch, self.now);
        self.numbered += 1;
        let id = self.numbered;
        self.proposals.insert(id, Proposal { term, entry, origin });
        let wait = at.since(self.now).0;
        self.later(wait, Event::Commit(id));
        true
    }

    fn commit(&mut self, id: u64) -> Result<(), Broken> {
        let Some(proposal) = self.proposals.remove(&id) else { return Ok(()) };
        if self.managers.leader.as_ref().is_none_or(|l| l.term != proposal.term) {
            return Ok(());
        }
        let Some(applied) = self.managers.commit(&proposal.entry) else { return Ok(()) };
        self.applied(&applied, proposal.origin);
        invariant::after_entry(self, &applied)
    }

    fn applied(&mut self, applied: &Applied, origin: Origin) {
        let Some(leader) = &mut self.managers.leader else { return };
        let state = &self.managers.replicas[leader.manager].state;
        leader.agenda.note(state, applied);
        let deltas = leader.projector.update(state, [applied]);
        let revision = state.revision();
        let mut frames = Vec::new();
        for (node, delta) in deltas {
            leader.live.sent(node, delta.to.revision);
            frames.push((node, FromManager::Delta { delta: Box::new(delta) }));
        }
        leader.live.projected(revision);
        match &origin {
            Origin::Planner => {
                leader.planned -= 1;
                let outdated =
                    |r: &Result<Response, Refusal>| matches!(r, Err(Refusal::Outdated { .. }));
                if applied.responses.iter().any(outdated) {
                    leader.agenda.everything(state);
                }
            }
            Origin::Agent { session, seq } => {
                let node = leader.sessions.iter().find(|(_, s)| *s == session).map(|(n, _)| *n);
                frames.extend(node.map(|n| (n, FromManager::StatusAck { seq: *seq })));
            }
            Origin::Client(number) => self.client.answered(*number, &applied.responses[0]),
        }
        for (node, frame) in frames {
            self.to_host(node, frame);
        }
        self.queue_plan();
    }

    fn queue_plan(&mut self) {
        let now = self.now;
        let Some(leader) = &mut self.managers.leader else { return };
        if leader.planned > 0 || leader.plan_queued || leader.agenda.is_idle(now) {
            return;
        }
        leader.plan_queued = true;
        let term = leader.term;
        self.later(1, Event::Plan { term });
    }

    fn plan(&mut self, term: u64) {
        let now = self.now;
        let Some(leader) = self.managers.leader.as_mut().filter(|l| l.term == term) else { return };
        leader.plan_queued = false;
        if leader.planned > 0 {
            return;
        }
        let state = &self.managers.replicas[leader.manager].state;
        let planned = plan(state, &leader.live, now, &mut leader.agenda, &Limits::default());
        leader.planned = planned.batches.len();
        for batch in planned.batches {
            self.propose(batch, Origin::Planner);
        }
        if let Some(at) = planned.wake_at {
            let wait = at.since(now).0.max(1);
            self.later(wait, Event::Plan { term });
        }
    }

    /// The leader is gone. What it had proposed is agreed on up to some point, and nobody is told.
    pub(super) fn lose_leader(&mut self) {
        if self.managers.leader.is_none() {
            return;
        }
        let open: Vec<u64> = self.proposals.keys().copied().collect();
        let agreed = self.random.index(open.len() + 1);
        for id in &open[..agreed] {
            if let Some(proposal) = self.proposals.remove(id) {
                let bytes = serde_json::to_vec(&proposal.entry).expect("an entry can be written");
                self.managers.log.push(bytes);
            }
        }
        for proposal in std::mem::take(&mut self.proposals).into_values() {
            if let Origin::Client(number) = proposal.origin {
                self.client.unknown(number);
            }
        }
        self.managers.leader = None;
        let wait = self.random.range(300, 1_500);
        self.later(wait, Event::Elect);
    }

    fn elect(&mut self) {
        if self.managers.leader.is_some() {
            return;
        }
        let up: Vec<usize> =
            (0..self.settings.managers).filter(|m| self.managers.replicas[*m].up).collect();
        if up.len() * 2 <= self.settings.managers {
            self.later(500, Event::Elect);
            return;
        }
        let chosen = up[self.random.index(up.len())];
        self.last_commit = self.now;
        self.managers.lead(chosen, self.now);
        self.queue_plan();
    }

    fn leader_hears(&mut self, host: usize, session: u64, frame: FromAgent) {
        let (now, node) = (self.now, self.hosts[host].node);
        let Some(leader) = &mut self.managers.leader else { return };
        if leader.sessions.get(&node) != Some(&session) {
            return;
        }
        let state = &self.managers.replicas[leader.manager].state;
        leader.live.heard(node, now);
        match frame {
            FromAgent::Heartbeat { seq, applied } => {
                leader.live.applied(node, applied);
                leader.agenda.note_heartbeat(state, node);
                self.to_host(node, FromManager::HeartbeatAck { seq });
            }
            FromAgent::Statuses { seq, statuses } => {
                let batch =
                    Batch { commands: vec![Command::Report { node, statuses }], base: None };
                self.propose(batch, Origin::Agent { session, seq });
            }
            FromAgent::Resend => {
                let orders = leader.projector.open(state, node).clone();
                leader.live.sent(node, orders.fence.revision);
                self.to_host(node, FromManager::Orders { orders: Box::new(orders) });
            }
            FromAgent::Hello { .. } | FromAgent::Description { .. } | FromAgent::Leaving => {}
        }
        self.queue_plan();
    }

    // ---- the network

    /// When something sent now arrives, in order for each direction; none when it does not.
    fn arrival(&mut self, host: usize, to_host: bool) -> Option<u64> {
        let cut = if to_host { &self.cut_to } else { &self.cut_from };
        if cut.contains(&host) || !self.hosts[host].up {
            return None;
        }
        if self.breaking && self.random.number().is_multiple_of(500) {
            return None;
        }
        let slow = self.breaking && self.random.number().is_multiple_of(200);
        let latency = if slow { self.random.range(50, 900) } else { self.random.range(1, 8) };
        let last = self.last_delivery.get(&(host, to_host)).copied().unwrap_or(self.now);
        let at = last.max(self.now + Millis(latency));
        self.last_delivery.insert((host, to_host), at);
        Some(at.since(self.now).0)
    }

    fn to_host(&mut self, node: NodeId, frame: FromManager) {
        let Some(host) = self.by_node.get(&node).copied() else { return };
        let leader = self.managers.leader.as_ref();
        let Some(session) = leader.and_then(|l| l.sessions.get(&node)).copied() else { return };
        let Some(wait) = self.arrival(host, true) else { return };
        let frame = Box::new(frame);
        if self.breaking && self.random.number().is_multiple_of(1_000) {
            let frame = frame.clone();
            self.later(wait, Event::ToHost { host, session, frame });
        }
        self.later(wait, Event::ToHost { host, session, frame });
    }

    fn to_leader(&mut self, host: usize, frame: FromAgent) {
        let Some(session) = self.hosts[host].session else { return };
        let Some(wait) = self.arrival(host, false) else { return };
        self.later(wait, Event::ToLeader { host, session, frame: Box::new(frame) });
    }

    // ---- hosts

    fn connect(&mut self, host: usize, life: u64) {
        let now = self.now;
        if self.hosts[host].life != life || !self.hosts[host].up {
            return;
        }
        let reachable = !self.cut_to.contains(&host) && !self.cut_from.contains(&host);
        let Some(leader) = self.managers.leader.as_mut().filter(|_| reachable) else {
            let wait = self.random.range(100, 400);
            self.later(wait, Event::Connect { host, life });
            return;
        };
        self.sessions += 1;
        let (session, node) = (self.sessions, self.hosts[host].node);
        let state = &self.managers.replicas[leader.manager].state;
        leader.sessions.insert(node, session);
        leader.live.heard(node, now);
        leader.agenda.note_heartbeat(state, node);
        let orders = leader.projector.open(state, node).clone();
        leader.live.sent(node, orders.fence.revision);
        let host_now = &mut self.hosts[host];
        host_now.session = Some(session);
        host_now.heard_leader = now;
        host_now.in_flight.clear();
        host_now.pending = host_now.worker.reports().into_iter().map(|r| (r.task, r)).collect();
        self.to_host(node, FromManager::Orders { orders: Box::new(orders) });
        self.send_reports(host);
        self.queue_plan();
    }

    fn host_hears(&mut self, host: usize, session: u64, frame: FromManager) -> Result<(), Broken> {
        let now = self.now;
        let known = &mut self.hosts[host];
        if !known.up || known.session != Some(session) {
            return Ok(());
        }
        known.heard_leader = now;
        match frame {
            FromManager::Orders { orders } => {
                // An older leader's word is not obeyed.
                if orders.fence < known.orders.fence {
                    return Ok(());
                }
                known.orders = *orders;
            }
            FromManager::Delta { delta } => {
                if known.orders.take(*delta).is_err() {
                    self.to_leader(host, FromAgent::Resend);
                    return Ok(());
                }
            }
            FromManager::StatusAck { seq } => {
                let reported: Vec<TaskReport> = known.in_flight.remove(&seq).unwrap_or_default();
                for report in reported {
                    if known.pending.get(&report.task) == Some(&report) {
                        known.pending.remove(&report.task);
                    }
                }
                if !known.pending.is_empty() {
                    self.send_reports(host);
                }
                return Ok(());
            }
            FromManager::Welcome { .. }
            | FromManager::NotLeader { .. }
            | FromManager::HeartbeatAck { .. }
            | FromManager::Open { .. }
            | FromManager::Removed => return Ok(()),
        }
        known.save();
        let life = known.life;
        let wait = self.random.range(1, 20);
        self.later(wait, Event::Routed { host, life });
        self.drive(host)?;
        invariant::after_orders(self, host)
    }

    fn routed(&mut self, host: usize, life: u64) {
        if self.hosts[host].life == life {
            self.heartbeat(host);
        }
    }

    fn heartbeat(&mut self, host: usize) {
        let known = &mut self.hosts[host];
        known.beat += 1;
        let (seq, applied): (u64, Revision) = (known.beat, known.orders.fence.revision);
        self.to_leader(host, FromAgent::Heartbeat { seq, applied });
    }

    fn beat(&mut self, host: usize, life: u64) {
        if self.hosts[host].life != life || !self.hosts[host].up {
            return;
        }
        let now = self.now;
        let known = &mut self.hosts[host];
        if known.session.is_some() && now.since(known.heard_leader) > SILENCE {
            known.session = None;
            self.later(1, Event::Connect { host, life });
        }
        self.heartbeat(host);
        let known = &mut self.hosts[host];
        // What got no answer in a while is sent again; now and then the engine is listed anew.
        if known.beat.is_multiple_of(4) {
            known.in_flight.clear();
        }
        if known.beat.is_multiple_of(10) && known.engine_up {
            known.see_all();
            self.later(1, Event::Drive { host, life });
        }
        self.send_reports(host);
        self.later(BEAT_MS, Event::Beat { host, life });
    }

    fn send_reports(&mut self, host: usize) {
        let known = &mut self.hosts[host];
        if known.session.is_none() || known.pending.is_empty() || !known.in_flight.is_empty() {
            return;
        }
        known.report_seq += 1;
        let seq = known.report_seq;
        let statuses: Vec<TaskReport> = known.pending.values().cloned().collect();
        known.in_flight.insert(seq, statuses.clone());
        self.to_leader(host, FromAgent::Statuses { seq, statuses });
    }

    /// The agent looks at its orders and its containers and acts.
    pub(super) fn drive(&mut self, host: usize) -> Result<(), Broken> {
        let now = self.now;
        let known = &mut self.hosts[host];
        if !known.up {
            return Ok(());
        }
        let life = known.life;
        let planned = known.worker.plan(&known.orders, now);
        known.save();
        for report in planned.reports {
            known.pending.insert(report.task, report);
        }
        for effect in planned.effects {
            invariant::before_step(self, host, effect.task, &effect.step)?;
            let wait = match &effect.step {
                Step::Pull => self.random.range(5, 3_000),
                Step::Create | Step::Start { .. } => self.random.range(20, 200),
                Step::Stop { .. } => self.random.range(5, 1_500),
                Step::Inspect
                | Step::Hook { .. }
                | Step::Kill { .. }
                | Step::Remove { .. }
                | Step::Abandon => self.random.range(2, 60),
            };
            let (task, step) = (effect.task, effect.step);
            self.later(wait, Event::StepEnds { host, life, task, step });
        }
        if let Some(at) = planned.wake_at {
            let wait = at.since(now).0.max(1);
            self.later(wait, Event::Drive { host, life });
        }
        self.send_reports(host);
        Ok(())
    }

    fn step_ends(
        &mut self,
        host: usize,
        life: u64,
        task: TaskId,
        step: &Step,
    ) -> Result<(), Broken> {
        let fails = !self.hosts[host].engine_up || (self.breaking && self.random.chance(1));
        let known = &mut self.hosts[host];
        let image = known
            .orders
            .tasks
            .get(&task)
            .and_then(|t| t.spec.container_spec.as_ref())
            .map(|c| c.image.clone())
            .unwrap_or_default();
        let ran = known.engine.runs(task);
        let outcome = known.engine.take(task, step, &image, fails);
        let started = !ran && known.engine.runs(task);
        let pid = known.engine.containers.get(&task).map_or(0, |c| match c.phase {
            Phase::Running { pid, .. } => pid,
            Phase::Created | Phase::Ended(_) => 0,
        });
        if started {
            invariant::after_start(self, host, task)?;
            let wait = self.random.range(5, 300);
            self.later(wait, Event::Healthy { host, task });
            if self.hosts[host].crashing || image.ends_with(":bad") {
                let wait = self.random.range(5, 1_000);
                self.later(wait, Event::Exits { host, task, pid, code: 1 });
            }
        }
        let now = self.now;
        let known = &mut self.hosts[host];
        if !known.up || known.life != life {
            return Ok(());
        }
        known.worker.done(task, outcome, now);
        self.drive(host)
    }

    /// The engine's event stream tells the agent of a container; now and then it does not.
    fn engine_says(&mut self, host: usize, task: TaskId) -> Result<(), Broken> {
        let lost = self.breaking && self.random.chance(2);
        let known = &mut self.hosts[host];
        if !known.up || !known.engine_up || lost {
            return Ok(());
        }
        let mark = known.worker.mark();
        let sight = known.engine.sight(task);
        known.worker.see(mark, task, sight);
        self.drive(host)
    }

    fn host_up(&mut self, host: usize) -> Result<(), Broken> {
        let now = self.now;
        let known = &mut self.hosts[host];
        if known.up {
            return Ok(());
        }
        known.restart(now);
        let life = known.life;
        self.later(1, Event::Connect { host, life });
        self.later(2, Event::Beat { host, life });
        self.drive(host)
    }
}
