//! Three managers in one process: real disks, real TLS on loopback.

use std::time::{Duration, Instant};

use model::NodeId;
use model::spec::Role;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::gate::Gate;
use super::toy::{SOON, Toy, authority, config, identity, leads, node, put};
use crate::ca::Authority;
use crate::log::types::Voter;
use crate::log::{Config, Log, MembershipError, ProposeError, Standing};
use crate::transport::{Pool, Server, anybody, for_managers};

struct Manager {
    log: Log<Toy>,
    node: NodeId,
    gate: Gate,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Manager {
    /// A manager that has its certificate and runs, but is in no cluster yet.
    async fn start(authority: &Authority, number: u128, snapshot_every: u64) -> Manager {
        super::toy::show_logs();
        let node = node(number);
        let folder = tempfile::tempdir().expect("a folder");
        let identity = identity(authority, node, Role::Manager);
        let identity = watch::Sender::new(std::sync::Arc::new(identity)).subscribe();
        let server = Server::bind("127.0.0.1:0".parse().expect("an address")).await.expect("bound");
        let gate = Gate::before(server.local_addr().expect("its address")).await;
        let config = Config { snapshot_every, ..config(node, folder.path()) };
        let log = Log::open(config, Pool::new(identity.clone())).await.expect("a log");
        let stop = CancellationToken::new();
        let router = for_managers(log.routes(), anybody());
        tokio::spawn(server.serve(identity, router, log.runtime(), stop.clone()));
        Manager { log, node, gate, stop, _folder: folder }
    }

    fn address(&self) -> String {
        self.gate.address.to_string()
    }

    /// Ends it as a power failure would: nobody is told, nothing is handed over.
    fn kill(self) {
        self.log.abandon();
        self.gate.close();
        self.stop.cancel();
    }

    /// Waits until it has applied `puts` puts.
    async fn has(&self, puts: u64) {
        let (start, mut changes) = self.log.watch();
        let mut seen = start.state.puts;
        let wait = async {
            while seen < puts {
                match changes.next().await.expect("a running log") {
                    crate::log::Event::Update(update) => seen = update.after.state.puts,
                    crate::log::Event::Reset(state) => seen = state.state.puts,
                }
            }
        };
        let reached = timeout(SOON, wait).await;
        assert!(reached.is_ok(), "{}: {puts} puts in time", self.node);
        assert_eq!(seen, puts);
    }
}

/// Adds `new` to the cluster of `leader` and lets it vote.
async fn join(leader: &Log<Toy>, new: &Manager) {
    let address = new.address();
    made(|| leader.add_learner(new.node, &address)).await;
    let caught_up = |metrics: &openraft::RaftMetrics<_>| {
        let members = metrics.replication.as_ref();
        members.is_some_and(|r| r.get(&Voter(new.node)).is_some_and(|at| at.is_some()))
    };
    let wait = leader.0.raft.wait(Some(SOON));
    wait.metrics(caught_up, "the new manager gets entries").await.expect("in time");
    made(|| leader.promote(new.node)).await;
}

/// Asks for a change of members until it is made: on a busy machine one answer may not come.
async fn made<F: Future<Output = Result<(), MembershipError>>>(change: impl Fn() -> F) {
    let ask = async {
        while let Err(error) = change().await {
            assert!(!matches!(error, MembershipError::Refused { .. }), "{error}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, ask).await.expect("the members are changed in time");
}

/// Three voters, the first of which leads.
async fn three() -> [Manager; 3] {
    let authority = authority();
    let first = Manager::start(&authority, 1, 5000).await;
    first.log.bootstrap(&first.address()).await.expect("a new cluster");
    leads(&first.log).await;
    let second = Manager::start(&authority, 2, 5000).await;
    join(&first.log, &second).await;
    let third = Manager::start(&authority, 3, 5000).await;
    join(&first.log, &third).await;
    [first, second, third]
}

async fn stop(managers: impl IntoIterator<Item = Manager>) {
    for manager in managers {
        manager.log.stop().await;
        manager.stop.cancel();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_manager_acknowledges_every_manager_has() {
    let [first, second, third] = three().await;
    for i in 0..100 {
        first.log.propose(put(i, i)).await.expect("written");
    }
    second.has(100).await;
    third.has(100).await;
    let states: Vec<Toy> =
        [&first, &second, &third].map(|m| (*m.log.state().state).clone()).into_iter().collect();
    assert!(states.windows(2).all(|pair| pair[0] == pair[1]));
    stop([third, second, first]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_refuses_writes_but_passes_them_on_when_asked_to() {
    let [first, second, third] = three().await;
    match second.log.propose(put("a", 1)).await {
        Err(ProposeError::NotLeader { leader: Some(leader) }) => {
            assert_eq!((leader.node, leader.address), (first.node, first.address()));
        }
        other => panic!("{other:?}"),
    }
    first.log.propose(put("a", 1)).await.expect("written");
    let done = second.log.propose_anywhere(put("a", 2)).await.expect("passed on");
    assert_eq!(*done.applied, Some(1));
    assert_eq!(second.log.state().state.values["a"], 2);
    stop([third, second, first]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_on_a_follower_contains_what_was_acknowledged_before() {
    let [first, second, third] = three().await;
    for i in 0..50 {
        first.log.propose(put("a", i)).await.expect("written");
        let read = second.log.read().await.expect("a leader");
        assert_eq!(read.state.values["a"], i);
    }
    stop([third, second, first]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_go_on_when_the_leader_is_lost() {
    let [first, second, third] = three().await;
    first.log.propose(put("a", 1)).await.expect("written");
    first.kill();
    let started = Instant::now();
    let write = async {
        loop {
            match second.log.propose_anywhere(put("a", 2)).await {
                // Handed to the dead leader, which can have written nothing.
                Err(ProposeError::Unknown { .. }) => {}
                other => break other.expect("written"),
            }
        }
    };
    let done = timeout(SOON, write).await.expect("in time");
    assert_eq!(*done.applied, Some(1), "what was acknowledged is there");
    println!("next write {:?} after the loss", started.elapsed());
    let before = second.log.leadership().term;
    assert!(before > 1);
    third.has(2).await;
    stop([third, second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_a_quorum_acknowledges_nothing_and_knows_it() {
    let [first, second, third] = three().await;
    second.kill();
    third.kill();
    let mut leadership = first.log.watch_leadership();
    let lost = leadership.wait_for(|now| !now.is_leading);
    timeout(SOON, lost).await.expect("in time").expect("a running log");
    assert!(first.log.read().await.is_err());
    assert!(matches!(
        first.log.propose(put("a", 1)).await,
        Err(ProposeError::NotLeader { .. } | ProposeError::Unknown { .. })
    ));
    stop([first]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_hears_nothing_does_not_depose_the_leader() {
    let [first, second, third] = three().await;
    let before = first.log.leadership();
    // It still reaches the others, who tell it that they have a leader.
    third.gate.close();
    // Ten election times: time enough to be elected several times over, were it let.
    let until = Instant::now() + first.log.timing().election_max * 10;
    let mut count = 0;
    while Instant::now() < until {
        first.log.propose(put("a", count)).await.expect("the leader writes on");
        count += 1;
    }
    third.gate.open();
    third.has(count).await;
    assert_eq!(first.log.leadership(), before);
    assert_eq!(third.log.leadership().term, before.term);
    stop([third, second, first]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_knows_whether_it_hears_the_leader() {
    let [first, second, third] = three().await;
    assert!(first.log.hears_leader() && third.log.hears_leader());
    third.gate.close();
    let hears = async |expected: bool| {
        while third.log.hears_leader() != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, hears(false)).await.expect("it falls silent");
    assert!(third.log.leadership().leader.is_some(), "the last known is kept");
    assert!(second.log.hears_leader());
    third.gate.open();
    timeout(SOON, hears(true)).await.expect("it is heard again");
    stop([third, second, first]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_stop_hands_the_leadership_over() {
    let [first, second, third] = three().await;
    let mut leadership = second.log.watch_leadership();
    let started = Instant::now();
    first.log.stop().await;
    let other = leadership.wait_for(|now| now.leader.as_ref().is_some_and(|l| l.node != node(1)));
    let next = timeout(SOON, other).await.expect("in time").expect("a running log").clone();
    println!("{:?} leads {:?} after the stop began", next.leader, started.elapsed());
    drop(next);
    second.log.propose_anywhere(put("a", 1)).await.expect("written");
    stop([third, second]).await;
    first.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_come_and_go() {
    let [first, second, third] = three().await;
    let log = &first.log;
    let standing =
        |node: NodeId| log.members().into_iter().find(|m| m.node == node).map(|m| m.standing);
    made(|| log.demote(third.node)).await;
    log.demote(third.node).await.expect("again changes nothing");
    assert_eq!(standing(third.node), Some(Standing::Learner));
    log.propose(put("a", 1)).await.expect("written");
    third.has(1).await;
    made(|| log.promote(third.node)).await;
    assert_eq!(standing(third.node), Some(Standing::Voter));
    made(|| log.remove(third.node)).await;
    log.remove(third.node).await.expect("again changes nothing");
    assert_eq!(standing(third.node), None);
    log.propose(put("b", 1)).await.expect("two are enough for two");
    made(|| log.remove(second.node)).await;
    log.propose(put("c", 1)).await.expect("one is enough for one");
    let last = log.remove(first.node).await;
    assert!(matches!(last, Err(MembershipError::Refused { .. })), "{last:?}");
    stop([third, second, first]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_comes_late_gets_a_snapshot() {
    let authority = authority();
    let first = Manager::start(&authority, 1, 50).await;
    first.log.bootstrap(&first.address()).await.expect("a new cluster");
    leads(&first.log).await;
    // Long values, so that the snapshot takes several frames.
    for i in 0..400u64 {
        first.log.propose(put(format!("{i}{}", "x".repeat(2000)), i)).await.expect("written");
    }
    let late = Manager::start(&authority, 2, 50).await;
    join(&first.log, &late).await;
    late.has(400).await;
    assert_eq!(late.log.state().state, first.log.state().state);
    first.log.propose(put("a", 1)).await.expect("written by both");
    late.has(401).await;
    stop([late, first]).await;
}
