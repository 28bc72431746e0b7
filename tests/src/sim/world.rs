//! A simulated cluster: what it is made of, how it begins, how its time passes.

use std::collections::{BTreeMap, BTreeSet};

use model::object::NodeDescription;
use model::spec::{Availability, NodeSpec, Platform, Resources, Role};
use model::{Millis, NodeId, Timestamp};
use orchestrator_core::command::{Batch, Bootstrap, Command, JoinNode, Response};
use orchestrator_core::plan::Limits;
use orchestrator_core::state::INGRESS;

use super::client::Client;
use super::event::{Event, Queue};
use super::host::Host;
use super::invariant::{self, Watch};
use super::managers::{Managers, Origin, Proposal};
use super::random::Random;

/// What some hosts have two of.
const GPUS: &str = r#"[{"DiscreteResourceSpec":{"Kind":"gpu","Value":2}}]"#;

/// What a run is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub managers: usize,
    /// Hosts in all; the first ones are the managers.
    pub agents: usize,
    /// How long users and faults go on.
    pub seconds: u64,
    /// Things break.
    pub faults: bool,
    /// Frames are lost, doubled and late, answers do not come, events are missed.
    pub weather: bool,
    /// Only these acts of users and faults; all of them when absent.
    pub only: Option<BTreeSet<u64>>,
    pub trace: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            managers: 3,
            agents: 7,
            seconds: 180,
            faults: true,
            weather: true,
            only: None,
            trace: false,
        }
    }
}

/// Something that users asked for or that broke, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    pub number: u64,
    pub at_ms: u64,
    pub what: String,
}

/// The simulated time at which a world begins; any will do that is not near zero.
pub(super) const BEGIN: Timestamp = Timestamp(1_000_000_000);

/// An invariant that does not hold: its id, and what was seen.
pub type Broken = (String, String);

/// A simulated cluster.
pub struct World {
    pub(super) seed: u64,
    pub(super) settings: Settings,
    pub(super) random: Random,
    pub(super) now: Timestamp,
    queue: Queue,
    pub(super) managers: Managers,
    pub(super) hosts: Vec<Host>,
    pub(super) by_node: BTreeMap<NodeId, usize>,
    pub(super) proposals: BTreeMap<u64, Proposal>,
    pub(super) numbered: u64,
    pub(super) last_commit: Timestamp,
    /// The leader's disk is slow until then.
    pub(super) slow_log_until: Timestamp,
    pub(super) sessions: u64,
    /// Weather and faults go on.
    pub(super) breaking: bool,
    /// How much the planner writes at once: little, in some clusters.
    pub(super) limits: Limits,
    /// Since when nothing breaks.
    pub(super) peace_since: Timestamp,
    /// Pulls fail, or take very long.
    pub(super) registry_down: bool,
    pub(super) registry_slow: bool,
    /// What starts from these ends at once.
    pub(super) bad_images: BTreeSet<String>,
    pub(super) client: Client,
    pub(super) watch: Watch,
    pub(super) acts: Vec<Act>,
    pub(super) events: u64,
    pub(super) trace: Vec<String>,
}

impl World {
    /// A started cluster of this seed: every host has joined.
    ///
    /// # Panics
    /// When the cluster cannot be started.
    #[must_use]
    pub fn new(seed: u64, settings: Settings) -> World {
        let mut world = World {
            seed,
            random: Random::of(seed),
            now: BEGIN,
            queue: Queue::default(),
            managers: Managers::new(settings.managers),
            hosts: Vec::new(),
            by_node: BTreeMap::new(),
            proposals: BTreeMap::new(),
            numbered: 0,
            last_commit: BEGIN,
            slow_log_until: BEGIN,
            sessions: 0,
            breaking: settings.faults || settings.weather,
            limits: if settings.faults && seed.is_multiple_of(4) {
                Limits { batch: 5, commands: 40 }
            } else {
                Limits::default()
            },
            peace_since: BEGIN,
            registry_down: false,
            registry_slow: false,
            bad_images: BTreeSet::new(),
            client: Client::default(),
            watch: Watch::default(),
            acts: Vec::new(),
            events: 0,
            trace: Vec::new(),
            settings,
        };
        world.managers.lead(0, BEGIN);
        for number in 0..world.settings.agents {
            world.join(number);
        }
        world.managers.lead(0, BEGIN);
        for host in 0..world.hosts.len() {
            world.later(1, Event::Connect { host, life: 0 });
            world.later(2, Event::Beat { host, life: 0 });
        }
        world
    }

    /// Lets users and faults come.
    pub(super) fn stir(&mut self) {
        self.later(100, Event::Wish(0));
        if self.settings.faults {
            self.later(3_000, Event::Fault(0));
        }
    }

    /// The host's description of itself.
    pub(super) fn joins(&self, number: usize) -> JoinNode {
        let manager = number < self.settings.managers;
        let name = if manager { format!("m{}", number + 1) } else { format!("w{}", number + 1) };
        // One host of five is of another kind, and every other has two GPUs.
        let arch = if number % 5 == 3 { "aarch64" } else { "x86_64" };
        let gpus = if number.is_multiple_of(2) { GPUS } else { "[]" };
        JoinNode {
            description: NodeDescription {
                hostname: name,
                platform: Platform { os: "linux".to_owned(), architecture: arch.to_owned() },
                resources: Resources {
                    nano_cpus: 8_000_000_000,
                    memory_bytes: 16 << 30,
                    generic_resources: serde_json::from_str(gpus).expect("resources"),
                    ..Resources::default()
                },
                address: format!("10.200.{}.{}", number / 250, number % 250 + 1),
                ..NodeDescription::default()
            },
            role: if manager { Role::Manager } else { Role::Worker },
            availability: Availability::Active,
            manager_address: Some(format!("10.200.{}.{}:4243", number / 250, number % 250 + 1)),
        }
    }

    fn join(&mut self, number: usize) {
        let join = self.joins(number);
        let name = join.description.hostname.clone();
        let command = if number == 0 {
            Command::Bootstrap(Box::new(Bootstrap::bare(self.seed, join)))
        } else {
            Command::JoinNode(Box::new(join))
        };
        let batch = Batch { commands: vec![command], base: None };
        let applied = self.managers.commit(&Managers::entry(batch, self.now)).expect("a leader");
        let Ok(Response::Joined { node }) = applied.responses[0] else {
            panic!("{:?}", applied.responses)
        };
        // Every host is in a zone, for the constraints of some services.
        let zone = if number.is_multiple_of(2) { "a" } else { "b" };
        let known = self.managers.newest().node(node).expect("it has joined");
        let mut spec: NodeSpec = known.spec.clone();
        spec.labels.insert("zone".to_owned(), zone.to_owned());
        let version = known.meta.version;
        let label = Command::UpdateNode { id: node, version, spec: Box::new(spec) };
        let batch = Batch { commands: vec![label], base: None };
        let _ = self.managers.commit(&Managers::entry(batch, self.now));
        self.by_node.insert(node, number);
        self.hosts.push(Host::new(name, node));
    }

    /// Simulated milliseconds since the start.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        self.now.since(BEGIN).0
    }

    pub(super) fn later(&mut self, in_ms: u64, event: Event) {
        self.queue.put(self.now + Millis(in_ms), event);
    }

    /// Acts come more slowly to a large cluster: each of them moves more there.
    pub(super) fn pace(&self) -> u64 {
        (self.settings.agents as u64 / 8).max(1)
    }

    /// Whether an act takes place. One that does not leaves no trace.
    pub(super) fn admits(&self, act: u64) -> bool {
        self.settings.only.as_ref().is_none_or(|only| only.contains(&act))
    }

    /// Notes an act.
    pub(super) fn note_act(&mut self, number: u64, what: String) {
        if self.settings.trace {
            self.trace.push(format!("{:>9} -- {number}: {what}", self.elapsed_ms()));
        }
        self.acts.push(Act { number, at_ms: self.elapsed_ms(), what });
    }

    /// The whole run: trouble, then peace in which it must converge, then nothing.
    ///
    /// # Errors
    /// What did not hold.
    pub(super) fn live_through(&mut self) -> Result<(), Broken> {
        self.stir();
        let free = self.free_addresses();
        self.until(BEGIN + Millis::from_secs(self.settings.seconds))?;
        self.make_peace();
        // First as the nodes are: what is drained stays so.
        self.converge("liveness", Millis::from_secs(300), invariant::settled)?;
        self.stays_quiet()?;
        self.client.activate = true;
        self.converge("liveness", Millis::from_secs(300), invariant::all_active_and_settled)?;
        invariant::replicas_agree(self)?;
        invariant::writes_kept(self)?;
        self.client.removing = true;
        self.converge("leak", Millis::from_secs(180), invariant::nothing_left)?;
        let left = self.free_addresses();
        if left != free {
            let why = format!("the ingress network has {left} free addresses, it had {free}");
            return Err(("leak".to_owned(), why));
        }
        Ok(())
    }

    /// Of the one network that is never removed.
    fn free_addresses(&self) -> usize {
        let state = self.managers.newest();
        state.network_named(INGRESS).map_or(0, |network| state.free_addresses(network.id))
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
            invariant::in_peace(self)?;
            match check(self) {
                Ok(()) => return Ok(()),
                Err(why) if self.now >= end => return Err((what.to_owned(), why)),
                Err(_) => {}
            }
        }
    }

    /// Once everything is as it should be, nobody writes anything.
    fn stays_quiet(&mut self) -> Result<(), Broken> {
        // Late words of agents first.
        for _ in 0..10 {
            self.until(self.now + Millis::from_secs(2))?;
            if !invariant::may_go_on(self) {
                break;
            }
        }
        if invariant::may_go_on(self) || invariant::settled(self).is_err() {
            return Ok(());
        }
        let before = self.watch.plans_written;
        self.until(self.now + Millis::from_secs(4))?;
        invariant::quiet(self, before)
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// What did not hold.
    pub(super) fn until(&mut self, end: Timestamp) -> Result<(), Broken> {
        while let Some((at, event)) = self.queue.pop(end) {
            self.now = at;
            if let Some(host) = event.agent().map(|host| &self.hosts[host])
                && host.paused_until > at
            {
                let wait = host.paused_until.since(at).0;
                self.later(wait, event);
                continue;
            }
            self.events += 1;
            if self.settings.trace {
                self.trace.push(format!("{:>9} {event}", self.elapsed_ms()));
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
            Event::Work { term } => return self.work(term),
            Event::Connect { host, life } => self.connect(host, life),
            Event::ToLeader { host, session, frame } => self.leader_hears(host, session, *frame),
            Event::ToHost { host, session, frame } => {
                return self.host_hears(host, session, *frame);
            }
            Event::Beat { host, life } => return self.beat(host, life),
            Event::Routed { host, life, revision } => self.routed(host, life, revision),
            Event::Drive { host, life } => return self.wake_host(host, life),
            Event::Listed { host, life, mark, listed } => {
                return self.listed(host, life, mark, listed);
            }
            Event::StepEnds { host, life, task, step, flight } => {
                return self.step_ends(host, life, task, &step, flight);
            }
            Event::Healthy { host, task, pid } => return self.check_passes(host, task, pid),
            Event::Unhealthy { host, task, pid } => return self.check_fails(host, task, pid),
            Event::Exits { host, task, pid, code } => return self.exits(host, task, pid, code),
            Event::Removed { host, task } => return self.goes(host, task),
            Event::Wish(number) => {
                invariant::now_and_then(self)?;
                self.wish(number);
            }
            Event::Fault(number) => {
                invariant::now_and_then(self)?;
                self.fault(number);
            }
            Event::Mend => self.users_mend(),
            Event::ManagerUp(manager) => self.manager_up(manager),
            Event::HostUp(host) => return self.host_up(host),
            Event::EngineUp(host) => return self.engine_up(host),
            Event::Healed(host) => {
                (self.hosts[host].cut_to, self.hosts[host].cut_from) = (false, false);
            }
            Event::RegistryUp => (self.registry_down, self.registry_slow) = (false, false),
            Event::StaleGone(term) => {
                if self.managers.stale.as_ref().is_some_and(|(l, _)| l.term == term) {
                    self.managers.stale = None;
                }
            }
            Event::Shaken(host) => self.shaken(host),
            Event::Rejoin(host) => self.rejoin(host),
        }
        Ok(())
    }

    /// A removed host asks to join; its answer comes with the entry.
    fn rejoin(&mut self, host: usize) {
        let join = self.joins(host);
        let batch = Batch { commands: vec![Command::JoinNode(Box::new(join))], base: None };
        if !self.propose(batch, Origin::Host(host)) {
            self.later(500, Event::Rejoin(host));
        }
    }
}
