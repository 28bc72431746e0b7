//! Measures the log alone: writes per second and their latency, failover; and dies on demand.
//!
//! `log-bench writes --members 3 --clients 256 --seconds 5` prints one line of JSON.
//! `log-bench failover --kills 20` kills leaders and measures until the next accepted write.
//! `log-bench until-killed DIR` prints the number of every write once it is acknowledged, for the
//! test that kills it; `log-bench verify DIR` prints which numbers the log then has.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use model::spec::Role;
use model::{ClusterId, Id, NodeId, Timestamp};
use orchestrator::ca::{Authority, NODE_LIFETIME, Subject, new_request, new_root};
use orchestrator::log::{Config, Log, Machine, MembershipError, Timing};
use orchestrator::transport::{Identity, Pool, Server, anybody, for_managers};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Writes as fast as so many clients can, each waiting for its answer.
    Writes {
        #[arg(long, default_value_t = 1)]
        members: u128,
        #[arg(long, default_value_t = 256)]
        clients: u64,
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// Bytes of each value.
        #[arg(long, default_value_t = 200)]
        bytes: usize,
        /// Where the logs lie; a new folder below it is made and removed.
        #[arg(long)]
        folder: Option<PathBuf>,
    },
    /// Kills the leader of three, again and again.
    Failover {
        #[arg(long, default_value_t = 20)]
        kills: u32,
    },
    /// Writes 0, 1, 2 … and prints each that is acknowledged.
    UntilKilled { folder: PathBuf },
    /// Prints every number in the log.
    Verify { folder: PathBuf },
}

/// The numbers that were written.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Numbers {
    all: BTreeSet<u64>,
    count: u64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Number {
    /// Kept when present.
    number: Option<u64>,
    /// Weight.
    text: String,
}

impl Machine for Numbers {
    type Entry = Number;
    type Applied = u64;

    fn empty() -> Self {
        Numbers::default()
    }

    fn apply(&mut self, _: u64, entry: Number) -> u64 {
        self.all.extend(entry.number);
        self.count += 1;
        self.count
    }

    fn save(&self, out: &mut dyn io::Write) -> io::Result<()> {
        Ok(serde_json::to_writer(out, self)?)
    }

    fn load(input: &mut dyn io::Read) -> io::Result<Self> {
        Ok(serde_json::from_reader(input)?)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().what {
        What::Writes { members, clients, seconds, bytes, folder } => {
            writes(members, clients, Duration::from_secs(seconds), bytes, folder).await
        }
        What::Failover { kills } => failover(kills).await,
        What::UntilKilled { folder } => until_killed(&folder).await,
        What::Verify { folder } => verify(&folder).await,
    }
}

struct Manager {
    log: Log<Numbers>,
    address: String,
    stop: CancellationToken,
    folder: PathBuf,
}

fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(0))
}

/// A manager on loopback.
async fn manager(authority: &Authority, number: u128, folder: &Path) -> anyhow::Result<Manager> {
    let node = NodeId(Id(number));
    let (key, request) = new_request()?;
    let subject = Subject { node, role: Role::Manager, cluster: ClusterId(Id(1)) };
    let cert = authority.sign(&request, subject, now(), NODE_LIFETIME)?;
    let identity = Arc::new(Identity::new(&cert, &key, authority.roots_pem())?);
    let identity = watch::Sender::new(identity).subscribe();
    let server = Server::bind("127.0.0.1:0".parse()?).await?;
    let address = server.local_addr()?.to_string();
    let folder = folder.join(number.to_string());
    let config = Config {
        node,
        folder: folder.clone(),
        timing: Timing::default(),
        snapshot_every: 10_000,
        unlock: None,
        alone: None,
    };
    let log = Log::open(config, Pool::new(identity.clone())).await?;
    let stop = CancellationToken::new();
    let router = for_managers(log.routes(), anybody());
    tokio::spawn(server.serve(identity, router, log.runtime(), stop.clone()));
    Ok(Manager { log, address, stop, folder })
}

async fn leads(log: &Log<Numbers>) -> anyhow::Result<()> {
    log.watch_leadership().wait_for(|now| now.is_leading).await?;
    Ok(())
}

/// Adds `new` to the cluster of `leader`, with a vote.
async fn join(leader: &Log<Numbers>, new: &Manager) -> anyhow::Result<()> {
    leader.add_learner(new.log.node(), &new.address).await?;
    loop {
        match leader.promote(new.log.node()).await {
            Ok(()) => return Ok(()),
            Err(MembershipError::Behind { .. } | MembershipError::InProgress) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(other) => return Err(other.into()),
        }
    }
}

async fn cluster(members: u128, folder: &Path) -> anyhow::Result<(Authority, Vec<Manager>)> {
    let authority = Authority::new(&new_root(now())?)?;
    let first = manager(&authority, 1, folder).await?;
    first.log.bootstrap(&first.address).await?;
    leads(&first.log).await?;
    let mut managers = vec![first];
    for number in 2..=members {
        let next = manager(&authority, number, folder).await?;
        join(&managers[0].log, &next).await?;
        managers.push(next);
    }
    Ok((authority, managers))
}

fn scratch(folder: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let folder = folder.unwrap_or_else(std::env::temp_dir);
    let folder = folder.join(format!("log-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).context("the folder for the logs")?;
    Ok(folder)
}

async fn writes(
    members: u128,
    clients: u64,
    span: Duration,
    bytes: usize,
    folder: Option<PathBuf>,
) -> anyhow::Result<()> {
    let folder = scratch(folder)?;
    let (_, managers) = cluster(members, &folder).await?;
    let log = managers[0].log.clone();
    let over = Arc::new(AtomicBool::new(false));
    let failed = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    let started = Instant::now();
    for _ in 0..clients {
        let (log, over, failed) = (log.clone(), over.clone(), failed.clone());
        tasks.push(tokio::spawn(async move {
            let mut waits = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let at = Instant::now();
                let entry = Number { number: None, text: "x".repeat(bytes) };
                match log.propose(entry).await {
                    Ok(_) => waits.push(at.elapsed()),
                    Err(_) => {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            waits
        }));
    }
    tokio::time::sleep(span).await;
    over.store(true, Ordering::Relaxed);
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await?);
    }
    let took = started.elapsed();
    waits.sort_unstable();
    let per_second = waits.len() as f64 / took.as_secs_f64();
    let reads = reads(&log, clients).await;
    println!(
        "{}",
        serde_json::json!({
            "members": u64::try_from(members).unwrap_or(0), "clients": clients,
            "writes_per_second": per_second.round(), "failed": failed.load(Ordering::Relaxed),
            "p50_ms": quantile(&waits, 50), "p99_ms": quantile(&waits, 99),
            "reads_per_second": reads.round(),
        })
    );
    for manager in managers {
        manager.log.stop().await;
        manager.stop.cancel();
    }
    Ok(std::fs::remove_dir_all(folder)?)
}

/// Linearizable reads on the leader, a second long.
async fn reads(log: &Log<Numbers>, clients: u64) -> f64 {
    let started = Instant::now();
    let tasks: Vec<_> = (0..clients.min(16))
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut count = 0u64;
                while started.elapsed() < Duration::from_secs(1) {
                    count += u64::from(log.read().await.is_ok());
                    if count.is_multiple_of(256) {
                        tokio::task::yield_now().await;
                    }
                }
                count
            })
        })
        .collect();
    let mut count = 0;
    for task in tasks {
        count += task.await.unwrap_or(0);
    }
    count as f64 / started.elapsed().as_secs_f64()
}

fn quantile(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |d| (d.as_secs_f64() * 1e6).round() / 1e3)
}

/// The manager that leads, once one does for sure.
async fn the_leader(managers: &[Manager]) -> anyhow::Result<Log<Numbers>> {
    let asked = Instant::now();
    loop {
        if let Some(leader) = managers.iter().find(|m| m.log.leadership().is_leading) {
            return Ok(leader.log.clone());
        }
        if asked.elapsed() > Duration::from_secs(20) {
            bail!("nobody leads");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Kills the leader without telling anybody, measures on another manager, and adds a new third.
async fn failover(kills: u32) -> anyhow::Result<()> {
    let folder = scratch(None)?;
    let (authority, mut managers) = cluster(3, &folder).await?;
    let mut number = 3;
    let mut waits = Vec::new();
    for _ in 0..kills {
        let leader = the_leader(&managers).await?.node();
        let leading = managers.iter().position(|m| m.log.node() == leader);
        let killed = managers.swap_remove(leading.context("the leader is one of them")?);
        let (dead, dead_folder) = (killed.log.node(), killed.folder.clone());
        let log = managers[0].log.clone();
        let at = Instant::now();
        killed.log.abandon();
        killed.stop.cancel();
        drop(killed);
        loop {
            let entry = Number { number: None, text: String::new() };
            if log.propose_anywhere(entry).await.is_ok() {
                break;
            }
        }
        waits.push(at.elapsed());
        let leader = the_leader(&managers).await?;
        leader.remove(dead).await?;
        number += 1;
        let next = manager(&authority, number, &folder).await?;
        join(&leader, &next).await?;
        managers.push(next);
        // The files of the dead are of no more use.
        let _ = std::fs::remove_dir_all(dead_folder);
    }
    waits.sort_unstable();
    println!(
        "{}",
        serde_json::json!({
            "kills": kills, "p50_ms": quantile(&waits, 50), "p99_ms": quantile(&waits, 99),
            "max_ms": quantile(&waits, 100),
        })
    );
    for manager in managers {
        manager.log.stop().await;
        manager.stop.cancel();
    }
    Ok(std::fs::remove_dir_all(folder)?)
}

async fn until_killed(folder: &Path) -> anyhow::Result<()> {
    let authority = Authority::new(&new_root(now())?)?;
    let manager = manager(&authority, 1, folder).await?;
    if manager.log.is_new().await {
        manager.log.bootstrap(&manager.address).await?;
    }
    leads(&manager.log).await?;
    let last = manager.log.state().state.all.last().copied();
    let next = Arc::new(AtomicU64::new(last.map_or(0, |last| last + 1)));
    let tasks: Vec<_> =
        (0..32).map(|_| tokio::spawn(write_for_ever(manager.log.clone(), next.clone()))).collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn write_for_ever(log: Log<Numbers>, next: Arc<AtomicU64>) -> anyhow::Result<()> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        log.propose(Number { number: Some(number), text: "x".repeat(100) }).await?;
        // One write, so that a kill leaves no half line but the last.
        let line = format!("{number}\n");
        let mut out = io::stdout().lock();
        out.write_all(line.as_bytes())?;
        out.flush()?;
    }
}

async fn verify(folder: &Path) -> anyhow::Result<()> {
    let authority = Authority::new(&new_root(now())?)?;
    let manager = manager(&authority, 1, folder).await?;
    leads(&manager.log).await?;
    let published = manager.log.read().await?;
    let mut out = io::stdout().lock();
    for number in &published.state.all {
        writeln!(out, "{number}")?;
    }
    drop(out);
    manager.log.stop().await;
    Ok(())
}
