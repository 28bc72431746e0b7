//! The managers, their clients and watchers, and what these have seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::NodeId;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::super::toy::{Toy, config, node, put};
use super::history::{Asked, Operation, is_linearizable};
use super::network::Network;
use crate::log::open::Parts;
use crate::log::seal::Seal;
use crate::log::store::simulated::Disk;
use crate::log::threads::Threads;
use crate::log::time::{Instant, sleep, timeout};
use crate::log::{Config, Event, Log, ProposeError, Published};

/// Entries between two snapshots: few, so that some are taken and sent in every run.
const SNAPSHOT_EVERY: u64 = 25;
const KEYS: u64 = 4;
/// The judge of histories has a bit for each operation.
const MOST_OPERATIONS: usize = 120;

/// Who a host is, and what it has: this outlives the manager.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) node: NodeId,
    pub(super) disk: Disk,
    folder: Arc<TempDir>,
}

impl Host {
    fn new(number: u64, seed: u64) -> Host {
        Host {
            node: node(u128::from(number)),
            disk: Disk::new(seed * 1_000 + number),
            folder: Arc::new(tempfile::tempdir().expect("a folder")),
        }
    }
}

#[derive(Default)]
struct Seen {
    moments: u64,
    operations: BTreeMap<String, Vec<Operation>>,
    /// The state at each position, as the first who had it had it.
    states: BTreeMap<u64, Toy>,
    leaders: BTreeMap<u64, NodeId>,
    problems: Vec<String>,
    trace: Vec<String>,
}

pub(super) struct World {
    pub(super) network: Network,
    seed: u64,
    hosts: Mutex<Vec<Host>>,
    /// Hosts that are being stopped, started or replaced.
    busy: Mutex<BTreeSet<usize>>,
    seal: Arc<Seal>,
    began: Instant,
    logs: Mutex<Vec<Option<Log<Toy>>>>,
    seen: Mutex<Seen>,
    /// Clients ask no more.
    over: AtomicBool,
}

impl World {
    pub(super) fn new(seed: u64, managers: u64) -> Arc<World> {
        Arc::new(World {
            network: Network::new(seed),
            seed,
            hosts: Mutex::new((1..=managers).map(|number| Host::new(number, seed)).collect()),
            busy: Mutex::default(),
            seal: Arc::new(Seal::new(&Zeroizing::new([9; 32])).expect("random bytes")),
            began: Instant::now(),
            logs: Mutex::new((0..managers).map(|_| None).collect()),
            seen: Mutex::default(),
            over: AtomicBool::new(false),
        })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn logs(&self) -> MutexGuard<'_, Vec<Option<Log<Toy>>>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many hosts there are.
    pub(super) fn size(&self) -> usize {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn host(&self, at: usize) -> Host {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)[at].clone()
    }

    /// Another node, with nothing on its disk, takes the place of a host.
    pub(super) fn replace(&self, at: usize) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let number = hosts.iter().map(|host| host.node.0.0).max().unwrap_or(0) + 1;
        let number = u64::try_from(number).expect("few hosts");
        hosts[at] = Host::new(number, self.seed);
        drop(hosts);
        self.note(format!("{at} is now node {number}"));
    }

    /// From now on the host is the caller's to stop and start; false when it is somebody's.
    pub(super) fn take(&self, at: usize) -> bool {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(at)
    }

    pub(super) fn give_back(&self, at: usize) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&at);
    }

    pub(super) fn note(&self, what: impl std::fmt::Display) {
        let line = format!("{:>6} {what}", self.began.elapsed().as_millis());
        if std::env::var_os("RAFT_TRACE").is_some() {
            println!("{line}");
        }
        self.seen().trace.push(line);
    }

    fn problem(&self, what: String) {
        self.note(format!("PROBLEM {what}"));
        self.seen().problems.push(what);
    }

    pub(super) fn log(&self, host: usize) -> Option<Log<Toy>> {
        self.logs()[host].clone()
    }

    /// Who leads, by its own word.
    pub(super) fn leader(&self) -> Option<(usize, Log<Toy>)> {
        let logs = self.logs();
        let leads = |log: &&Log<Toy>| log.leadership().is_leading;
        let found = logs.iter().enumerate().find(|(_, l)| l.as_ref().is_some_and(|l| leads(&l)));
        found.and_then(|(at, log)| Some((at, log.clone()?)))
    }

    /// The manager of a host starts with what is on its disk. The power may go meanwhile, `cuts`
    /// after so many writes; then it starts again.
    pub(super) async fn start(self: &Arc<Self>, at: usize, cuts: Option<u32>) {
        let host = self.host(at);
        for writes in [cuts, None] {
            let before = host.disk.power_cuts();
            host.disk.cut_power_in(writes);
            let began = self.begin(at, &host).await;
            host.disk.cut_power_in(None);
            if host.disk.power_cuts() == before {
                if let Err(why) = began {
                    self.problem(format!("{at} does not start: {why}"));
                }
                return;
            }
            self.note(format!("{at} loses power as it starts"));
            self.network.unplug(host.node);
            let half_started = self.logs()[at].take();
            if let Some(log) = half_started {
                end(log).await;
            }
        }
    }

    async fn begin(self: &Arc<Self>, at: usize, host: &Host) -> Result<(), String> {
        let line = self.network.line(host.node);
        let life = line.life;
        let store = host.disk.open(self.seal.clone()).map_err(|e| e.to_string())?;
        let config =
            Config { snapshot_every: SNAPSHOT_EVERY, ..config(host.node, host.folder.path()) };
        let seal = self.seal.clone();
        let parts = Parts { seal, store, threads: Threads::lent(), carrier: Arc::new(line) };
        let log = Log::begin(config, parts).await.map_err(|e| e.to_string())?;
        self.network.plug(host.node, life, log.routes());
        self.note(format!("{at} runs, from position {}", log.state().position));
        tokio::spawn(self.clone().watch(at, log.clone()));
        tokio::spawn(self.clone().watch_leadership(at, host.node, log.clone()));
        self.logs()[at] = Some(log);
        Ok(())
    }

    /// The power of a host goes: now, or in the middle of a write, after so many more.
    pub(super) async fn crash(&self, at: usize, writes: Option<u32>) {
        let host = self.host(at);
        let before = host.disk.power_cuts();
        if writes.is_some() {
            host.disk.cut_power_in(writes);
            for _ in 0..300 {
                if host.disk.power_cuts() > before {
                    break;
                }
                sleep(Duration::from_millis(1)).await;
            }
        }
        self.network.unplug(host.node);
        let torn = host.disk.power_cuts() > before;
        if !torn {
            host.disk.cut_power();
        }
        let Some(log) = self.logs()[at].take() else { return };
        let how = if torn { " as it writes" } else { "" };
        self.note(format!("{at} loses power{how}"));
        end(log).await;
    }

    /// A manager is told to end.
    pub(super) async fn stop(&self, at: usize) {
        let Some(log) = self.logs()[at].take() else { return };
        self.note(format!("{at} is told to stop"));
        let host = self.host(at);
        let _ = timeout(Duration::from_secs(5), log.stop()).await;
        self.network.unplug(host.node);
        host.disk.cut_power();
        end(log).await;
    }

    /// Follows one life of a manager: every entry comes once, whole and in order.
    async fn watch(self: Arc<Self>, at: usize, log: Log<Toy>) {
        let (start, mut changes) = log.watch();
        drop(log);
        let (mut position, mut puts) = (start.position, start.state.puts);
        self.agree(at, &start);
        while let Some(event) = changes.next().await {
            match event {
                Event::Update(update) => {
                    let after = &update.after;
                    let came = update.applied.len() as u64;
                    let in_order = update.applied.windows(2).all(|two| two[0].0 < two[1].0);
                    let first = update.applied.first().map_or(u64::MAX, |(at, _)| *at);
                    if puts + came != after.state.puts || !in_order || first <= position {
                        self.problem(format!(
                            "the watch of {at} had {puts} puts at {position}, got {came} from \
                             {first} on, and is to have {} at {}",
                            after.state.puts, after.position
                        ));
                    }
                    (position, puts) = (after.position, after.state.puts);
                    self.agree(at, after);
                }
                Event::Reset(state) => {
                    if state.position < position {
                        self.problem(format!("the watch of {at} goes back from {position}"));
                    }
                    (position, puts) = (state.position, state.state.puts);
                    self.agree(at, &state);
                }
            }
        }
    }

    /// Equal positions, equal states.
    fn agree(&self, at: usize, published: &Published<Toy>) {
        let position = published.position;
        let same = {
            let mut seen = self.seen();
            let known = seen.states.entry(position).or_insert_with(|| (*published.state).clone());
            *known == *published.state
        };
        if !same {
            self.problem(format!("{at} has another state than others at {position}"));
        }
    }

    async fn watch_leadership(self: Arc<Self>, at: usize, node: NodeId, log: Log<Toy>) {
        let mut leadership = log.watch_leadership();
        drop(log);
        loop {
            let now = leadership.borrow_and_update().clone();
            if now.is_leading {
                let first = *self.seen().leaders.entry(now.term).or_insert(node);
                if first != node {
                    self.problem(format!("{node} and {first} lead term {}", now.term));
                }
                self.note(format!("{at} leads term {}", now.term));
            }
            if leadership.changed().await.is_err() {
                return;
            }
        }
    }

    /// A client that asks one thing after the other, of any manager.
    pub(super) async fn client(self: Arc<Self>, number: u64, seed: u64) {
        let mut random = SmallRng::seed_from_u64(seed * 1_000 + 900 + number);
        let mut count = 0;
        while !self.over.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(random.random_range(10..160))).await;
            let at = random.random_range(0..self.size());
            let Some(log) = self.log(at) else { continue };
            let key = format!("k{}", random.random_range(0..KEYS));
            if self.seen().operations.get(&key).is_some_and(|o| o.len() >= MOST_OPERATIONS) {
                continue;
            }
            count += 1;
            let asked = if random.random_bool(0.55) {
                Asked::Swap(number * 1_000_000 + count)
            } else {
                Asked::Read
            };
            self.ask(at, &log, key, asked).await;
        }
    }

    async fn ask(&self, at: usize, log: &Log<Toy>, key: String, asked: Asked) {
        let called = self.moment();
        let answer = match asked {
            Asked::Swap(value) => match log.propose_anywhere(put(&key, value)).await {
                Ok(done) => Some(*done.applied),
                Err(ProposeError::Unknown { .. }) => None,
                // Nothing was written: whoever reads it all the same has no explanation.
                Err(ProposeError::NotLeader { .. } | ProposeError::Refused { .. }) => return,
            },
            Asked::Read => match log.read().await {
                Ok(read) => Some(read.state.values.get(&key).copied()),
                Err(_) => return,
            },
        };
        let moment = self.moment();
        self.note(format!("{key} {asked:?} at {at}: {answer:?}"));
        let answer = answer.map(|seen| (moment, seen));
        let operation = Operation { asked, called, answer };
        self.seen().operations.entry(key).or_default().push(operation);
    }

    fn moment(&self) -> u64 {
        let mut seen = self.seen();
        seen.moments += 1;
        seen.moments
    }

    /// Every manager must write, read what it wrote, and have what all have.
    pub(super) async fn recover(&self, bound: Duration) {
        self.over.store(true, Ordering::Relaxed);
        for at in 0..self.size() {
            let Some(log) = self.log(at) else {
                self.problem(format!("{at} does not run in the end"));
                continue;
            };
            let key = format!("end{at}");
            let write = async {
                while log.propose_anywhere(put(&key, 1)).await.is_err() {
                    sleep(Duration::from_millis(50)).await;
                }
                while log.read().await.is_err() {
                    sleep(Duration::from_millis(50)).await;
                }
            };
            if timeout(bound, write).await.is_err() {
                self.problem(format!("{at} does not write and read after all is mended"));
            }
        }
        let newest = self.logs().iter().flatten().map(|log| log.state().position).max();
        for at in 0..self.size() {
            let Some(log) = self.log(at) else { continue };
            let wait = async {
                while Some(log.state().position) < newest {
                    sleep(Duration::from_millis(20)).await;
                }
            };
            if timeout(bound, wait).await.is_err() {
                self.problem(format!("{at} does not catch up after all is mended"));
            }
            self.agree(at, &log.state());
        }
    }

    /// What did not hold, or what happened.
    pub(super) fn verdict(&self) -> Result<Vec<String>, String> {
        let mut seen = self.seen();
        let histories = std::mem::take(&mut seen.operations);
        for (key, operations) in &histories {
            if !is_linearizable(operations) {
                seen.problems.push(format!("what clients saw of {key} is not linearizable"));
            }
        }
        let operations: usize = histories.values().map(Vec::len).sum();
        let terms = seen.leaders.len();
        seen.trace.push(format!("{operations} operations, {terms} leaders"));
        if seen.problems.is_empty() {
            return Ok(std::mem::take(&mut seen.trace));
        }
        Err(seen.problems.join("; "))
    }
}

/// What is left of a manager in memory goes.
pub(super) async fn end(log: Log<Toy>) {
    let _ = timeout(Duration::from_secs(20), log.0.raft.shutdown()).await;
    log.abandon();
}
