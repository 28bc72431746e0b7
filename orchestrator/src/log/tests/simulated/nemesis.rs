//! A run: a cluster begins, things break for a while, everything is mended.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;

use super::world::{World, end};
use crate::log::time::{Instant, sleep, timeout};

/// How long things break.
const TROUBLE: Duration = Duration::from_secs(12);
/// How long the cluster may take to be well again.
const BOUND: Duration = Duration::from_secs(60);

/// The whole run of a seed.
pub(super) async fn live_through(seed: u64) -> Result<Vec<String>, String> {
    let mut random = SmallRng::seed_from_u64(seed);
    let world = World::new(seed, if seed.is_multiple_of(4) { 5 } else { 3 });
    begin(&world).await;
    let clients: Vec<_> =
        (1..=3).map(|number| tokio::spawn(world.clone().client(number, seed))).collect();
    let mut mending = JoinSet::new();
    let until = Instant::now() + TROUBLE;
    while Instant::now() < until {
        sleep(Duration::from_millis(random.random_range(50..900))).await;
        break_something(&world, &mut random, &mut mending);
    }
    world.note("everything is mended");
    world.network.calm();
    while mending.join_next().await.is_some() {}
    world.network.calm();
    for at in 0..world.size() {
        world.host(at).disk.set_slow(false);
        if world.log(at).is_none() {
            world.start(at, None).await;
        }
    }
    let all_vote = async {
        for at in 0..world.size() {
            while !invite(&world, at).await {
                sleep(Duration::from_millis(50)).await;
            }
        }
    };
    // Whoever cannot be promoted is found below.
    let _ = timeout(BOUND, all_vote).await;
    world.recover(BOUND).await;
    for client in clients {
        let _ = timeout(BOUND, client).await;
    }
    for at in 0..world.size() {
        if let Some(log) = world.log(at) {
            end(log).await;
        }
    }
    world.verdict()
}

/// Makes the manager of a host a voter, whatever it was. Whether it is one.
async fn invite(world: &World, at: usize) -> bool {
    let Some((_, leader)) = world.leader() else { return false };
    let node = world.host(at).node;
    leader.add_learner(node, &node.to_string()).await.is_ok() && leader.promote(node).await.is_ok()
}

/// The first manager makes the cluster, the others join.
pub(super) async fn begin(world: &Arc<World>) {
    for at in 0..world.size() {
        world.start(at, None).await;
    }
    let first = world.log(0).expect("it runs");
    first.bootstrap("1").await.expect("a new cluster");
    for at in 1..world.size() {
        while !invite(world, at).await {
            sleep(Duration::from_millis(30)).await;
        }
    }
    world.note("the cluster is complete");
}

fn break_something(world: &Arc<World>, random: &mut SmallRng, mending: &mut JoinSet<()>) {
    let managers = world.size();
    let at = random.random_range(0..managers);
    let other = (at + random.random_range(1..managers)) % managers;
    let wait = Duration::from_millis(random.random_range(30..2_500));
    let all = random.random_bool(0.15);
    let writes = random.random_bool(0.7).then(|| random.random_range(0..40));
    let again = random.random_bool(0.2).then(|| random.random_range(0..40));
    match random.random_range(0..100) {
        0..30 => {
            // One, or all at once.
            for at in (0..managers).filter(|host| all || *host == at) {
                if world.log(at).is_none() || !world.take(at) {
                    continue;
                }
                let world = world.clone();
                mending.spawn(async move {
                    world.crash(at, writes).await;
                    sleep(wait).await;
                    world.start(at, again).await;
                    world.give_back(at);
                });
            }
        }
        30..38 => {
            if world.log(at).is_none() || !world.take(at) {
                return;
            }
            let world = world.clone();
            mending.spawn(async move {
                world.stop(at).await;
                sleep(wait).await;
                world.start(at, again).await;
                world.give_back(at);
            });
        }
        38..60 => {
            let (one, two) = (world.host(at).node, world.host(other).node);
            let others: Vec<_> = (0..managers)
                .filter(|host| *host != at)
                .map(|host| world.host(host).node)
                .collect();
            let way = random.random_range(0..4);
            world.note(format!("{at} is cut off for {wait:?}, in the way {way}"));
            let cut = |from, to| world.network.cut(from, to);
            match way {
                0 => others.iter().for_each(|node| {
                    cut(one, *node);
                    cut(*node, one);
                }),
                1 => others.iter().for_each(|node| cut(one, *node)),
                2 => others.iter().for_each(|node| cut(*node, one)),
                _ => {
                    cut(one, two);
                    cut(two, one);
                }
            }
            let world = world.clone();
            mending.spawn(async move {
                sleep(wait).await;
                world.network.heal();
            });
        }
        60..70 => {
            world.note(format!("the disk of {at} is slow for {wait:?}"));
            let disk = world.host(at).disk;
            disk.set_slow(true);
            mending.spawn(async move {
                sleep(wait).await;
                disk.set_slow(false);
            });
        }
        70..84 => {
            let Some((from, leader)) = world.leader() else { return };
            let node = world.host(other).node;
            world.note(format!("{from} is to hand over to {other}"));
            mending.spawn(async move {
                // It may be down, or no voter.
                let _ = leader.transfer_leader(node).await;
            });
        }
        84..92 => {
            // A leader hands over before it loses its vote, or is removed.
            let Some((_, leader)) = world.leader().filter(|(from, _)| *from != at) else { return };
            let node = world.host(at).node;
            world.note(format!("{at} loses its vote for {wait:?}"));
            let world = world.clone();
            mending.spawn(async move {
                let _ = leader.demote(node).await;
                drop(leader);
                sleep(wait).await;
                if let Some((_, leader)) = world.leader() {
                    let _ = leader.promote(node).await;
                }
            });
        }
        _ => {
            let Some((_, leader)) = world.leader().filter(|(from, _)| *from != at) else { return };
            if !world.take(at) {
                return;
            }
            let node = world.host(at).node;
            world.note(format!("{at} is removed"));
            let world = world.clone();
            mending.spawn(async move {
                let removed = leader.remove(node).await.is_ok();
                drop(leader);
                if removed {
                    world.crash(at, None).await;
                    world.replace(at);
                    world.start(at, again).await;
                    for _ in 0..20 {
                        if invite(&world, at).await {
                            break;
                        }
                        sleep(wait / 10).await;
                    }
                }
                world.give_back(at);
            });
        }
    }
}
