//! Managers in a simulation: the real Raft, storage, network code and answers of the log, in virtual
//! time, under crashes, torn disks, slow syncs, cut and slow networks and changes of members.
//!
//! Clients put and read through any manager; what they saw must be linearizable. Watchers follow
//! every manager, across leaders and snapshots, and must see every entry once. Nobody may lead a
//! term that another leads, and equal positions mean equal states. In the end everything is mended,
//! and every manager must write and read again. `RAFT_SEEDS=1..500` runs other seeds than the few
//! of each test run.
//!
//! What breaks and when, the network, the disks and the election times follow from the seed. Whom of
//! several waiters tokio wakes first does not, so two runs of a seed may part after a while.

mod history;
mod nemesis;
mod network;
mod world;

use std::ops::Range;
use std::time::Duration;

use self::world::World;
use super::toy::put;
use crate::log::{runtime, time};

/// How many seeds each test run has.
const SEEDS: u64 = 6;

/// One run: what happened, line by line.
fn run(seed: u64) -> Result<Vec<String>, String> {
    in_virtual_time(seed, move || nemesis::live_through(seed))
}

/// What `work` gives, on a thread of its own whose time is virtual and whose chance is the seed's.
fn in_virtual_time<T: Send + 'static, F: Future<Output = Result<T, String>>>(
    seed: u64,
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<T, String> {
    let in_time = move || {
        runtime::seed(seed);
        time::simulate(async { work().await })
    };
    let thread = std::thread::Builder::new().name(format!("seed {seed}")).spawn(in_time);
    thread.expect("a thread").join().map_err(|_| "it panicked".to_owned())?
}

fn seeds() -> Range<u64> {
    let asked = std::env::var("RAFT_SEEDS").ok();
    let asked = asked.as_deref().and_then(|range| {
        let (from, to) = range.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    asked.unwrap_or(1..SEEDS + 1)
}

#[test]
fn what_clients_see_is_linearizable_whatever_breaks() {
    super::toy::show_logs();
    let (seeds, begun) = (seeds(), std::time::Instant::now());
    let mut failed = Vec::new();
    for seed in seeds.clone() {
        match run(seed) {
            Ok(trace) => println!("seed {seed}: {}", trace.last().expect("it ends with a sum")),
            Err(why) => failed.push(format!(
                "seed {seed}: {why}\n  again, with all that happened: RAFT_TRACE=1 RAFT_SEEDS={seed}..{} \
                 cargo test -p orchestrator --lib whatever_breaks -- --nocapture",
                seed + 1
            )),
        }
    }
    println!("{} seeds in {:?}", seeds.end - seeds.start, begun.elapsed());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_leader_that_was_asked_to_hand_over_answers_no_read_from_its_lease() {
    let read = in_virtual_time(1, || async {
        let world = World::new(1, 3);
        world.network.calm();
        nemesis::begin(&world).await;
        let (old, log) = world.leader().ok_or("no leader")?;
        let heir = (old + 1) % 3;
        log.propose(put("x", 1)).await.map_err(|e| e.to_string())?;
        // The others hear the old leader; it does not hear what comes of the handover.
        for at in (0..3).filter(|at| *at != old) {
            world.network.cut(world.host(at).node, world.host(old).node);
        }
        let (asking, node) = (log.clone(), world.host(heir).node);
        let handover = tokio::spawn(async move { asking.transfer_leader(node).await });
        let new = world.log(heir).ok_or("no heir")?;
        let mut leadership = new.watch_leadership();
        let leads = leadership.wait_for(|now| now.is_leading);
        time::timeout(Duration::from_millis(100), leads)
            .await
            .map_err(|_| "the heir does not lead within the lease")?
            .map_err(|e| e.to_string())?;
        new.propose(put("x", 2)).await.map_err(|e| e.to_string())?;
        let read = log.read().await.ok().map(|read| read.state.values["x"]);
        world.network.heal();
        // Whatever comes of it: it has been asked.
        let _ = handover.await;
        for at in 0..3 {
            if let Some(log) = world.log(at) {
                world::end(log).await;
            }
        }
        Ok(read)
    });
    let read = read.expect("a run");
    assert!(read != Some(1), "it answers what was overwritten before it was asked");
}
