//! One manager alone: writes, reads, watches, restarts.

use std::collections::{BTreeMap, BTreeSet};

use openraft::raft::AppendEntriesRequest;
use openraft::{BasicNode, EntryPayload};

use super::toy::{Toy, config, leads, no_pool, node, put};
use crate::log::types::{CommittedLeader, Entry, LogId, Members, Vote, Voter};
use crate::log::{Config, Event, Log, OpenError, ProposeError, Timing};

async fn open(config: Config) -> Log<Toy> {
    let pool = no_pool(config.node);
    Log::open(config, pool).await.expect("a log")
}

#[tokio::test]
async fn a_manager_alone_writes_reads_and_remembers() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open(config(node(1), folder.path())).await;
    assert!(log.is_new().await);
    log.bootstrap("127.0.0.1:1").await.expect("a new cluster");
    leads(&log).await;
    let first = log.propose(put("a", 1)).await.expect("written");
    assert_eq!(*first.applied, None);
    let second = log.propose(put("a", 2)).await.expect("written");
    assert_eq!(*second.applied, Some(1));
    let read = log.read().await.expect("a leader");
    assert_eq!(read.state.values["a"], 2);
    assert!(read.position >= second.position);
    log.stop().await;
    drop(log);

    let log = open(config(node(1), folder.path())).await;
    assert!(!log.is_new().await);
    assert!(matches!(log.bootstrap("127.0.0.1:1").await, Err(OpenError::InCluster)));
    leads(&log).await;
    assert_eq!(log.read().await.expect("a leader").state.values["a"], 2);
    log.stop().await;
}

#[tokio::test]
async fn a_log_that_was_dropped_in_the_middle_opens_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open(config(node(1), folder.path())).await;
    log.bootstrap("127.0.0.1:1").await.expect("a new cluster");
    leads(&log).await;
    for i in 0..50 {
        log.propose(put(i, i)).await.expect("written");
    }
    log.abandon();
    drop(log);
    let deadline = tokio::time::Instant::now() + super::toy::SOON;
    let log = loop {
        // Its threads let go of the file a moment later.
        match Log::<Toy>::open(config(node(1), folder.path()), no_pool(node(1))).await {
            Ok(log) => break log,
            Err(e) => assert!(tokio::time::Instant::now() < deadline, "{e}"),
        }
    };
    leads(&log).await;
    assert_eq!(log.read().await.expect("a leader").state.puts, 50);
    log.stop().await;
}

#[tokio::test]
async fn snapshots_shorten_the_log_and_carry_the_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let often = || Config { snapshot_every: 20, ..config(node(1), folder.path()) };
    let log = open(often()).await;
    log.bootstrap("127.0.0.1:1").await.expect("a new cluster");
    leads(&log).await;
    for i in 0..500 {
        log.propose(put(i % 7, i)).await.expect("written");
    }
    log.stop().await;
    drop(log);
    let snapshots = folder.path().join("snapshots");
    assert!(std::fs::read_dir(&snapshots).expect("the folder").count() >= 2);

    let log = open(often()).await;
    leads(&log).await;
    let read = log.read().await.expect("a leader");
    assert_eq!(read.state.puts, 500);
    assert_eq!(read.state.values["3"], 493);
    log.stop().await;
    drop(log);

    // The newest snapshot is cut: the one before and the log lead to the same state.
    let newest = std::fs::read_dir(&snapshots)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .max()
        .expect("a snapshot");
    std::fs::File::options().write(true).open(newest).expect("it").set_len(100).expect("cut");
    let log = open(often()).await;
    leads(&log).await;
    assert_eq!(log.read().await.expect("a leader").state.puts, 500);
    log.stop().await;
}

#[tokio::test]
async fn what_is_on_disk_tells_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open(Config { snapshot_every: 10, ..config(node(1), folder.path()) }).await;
    log.bootstrap("127.0.0.1:1").await.expect("a new cluster");
    leads(&log).await;
    for i in 0..40 {
        log.propose(put("hush-hush", i)).await.expect("written");
    }
    log.stop().await;
    let mut files = vec![folder.path().join("log.redb")];
    let snapshots = std::fs::read_dir(folder.path().join("snapshots")).expect("the folder");
    files.extend(snapshots.map(|entry| entry.expect("an entry").path()));
    assert!(files.len() > 1);
    for file in files {
        let bytes = std::fs::read(&file).expect("a file");
        assert!(!bytes.windows(9).any(|w| w == b"hush-hush"), "{}", file.display());
    }
}

#[tokio::test]
async fn a_watcher_sees_every_change_once_and_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open(config(node(1), folder.path())).await;
    log.bootstrap("127.0.0.1:1").await.expect("a new cluster");
    leads(&log).await;
    log.propose(put("before", 0)).await.expect("written");
    let (start, mut changes) = log.watch();
    let writer = {
        let log = log.clone();
        tokio::spawn(async move {
            for i in 0..300 {
                log.propose(put(i, i)).await.expect("written");
            }
        })
    };
    let mut seen = start.state.puts;
    while seen < 301 {
        match changes.next().await.expect("a running log") {
            Event::Update(update) => {
                seen += update.applied.len() as u64;
                assert_eq!(update.after.state.puts, seen);
                let (last, _) = update.applied.last().expect("never empty");
                assert_eq!(update.after.position, *last);
            }
            Event::Reset(_) => panic!("a watcher that keeps up is never reset"),
        }
    }
    writer.await.expect("the writer");
    log.stop().await;
}

#[tokio::test]
async fn a_watcher_that_falls_behind_begins_again_from_the_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open(config(node(1), folder.path())).await;
    log.bootstrap("127.0.0.1:1").await.expect("a new cluster");
    leads(&log).await;
    let (_, mut changes) = log.watch();
    for i in 0..1100 {
        log.propose(put(i, i)).await.expect("written");
    }
    match changes.next().await.expect("a running log") {
        Event::Reset(state) => assert_eq!(state.state.puts, 1100),
        Event::Update(_) => panic!("1100 batches do not fit"),
    }
    assert!(changes.try_next().is_none());
    log.stop().await;
}

#[tokio::test]
async fn an_entry_that_is_too_large_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open(config(node(1), folder.path())).await;
    log.bootstrap("127.0.0.1:1").await.expect("a new cluster");
    leads(&log).await;
    let refused = log.propose(put("x".repeat(crate::log::MAX_ENTRY), 1)).await;
    assert!(matches!(refused, Err(ProposeError::Refused { .. })));
    assert_eq!(log.read().await.expect("a leader").state.puts, 0);
    log.stop().await;
}

#[tokio::test]
async fn a_log_that_was_never_in_a_cluster_neither_writes_nor_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open(config(node(1), folder.path())).await;
    assert!(matches!(
        log.propose(put("a", 1)).await,
        Err(ProposeError::NotLeader { leader: None })
    ));
    assert!(log.read().await.is_err());
    log.stop().await;
}

#[tokio::test]
async fn a_manager_that_comes_back_empty_does_not_lead_the_cluster_of_its_past() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open(config(node(1), folder.path())).await;
    // What another leader sends first: that this node was once the only manager.
    let leader_id = CommittedLeader { term: 1, node_id: Voter(node(1)) };
    let voters = vec![BTreeSet::from([Voter(node(1))])];
    let nodes = BTreeMap::from([(Voter(node(1)), BasicNode::new("127.0.0.1:1"))]);
    let members = Members::new(voters, nodes).expect("members");
    let past =
        Entry { log_id: LogId { leader_id, index: 0 }, payload: EntryPayload::Membership(members) };
    let other = CommittedLeader { term: 2, node_id: Voter(node(2)) };
    let message = AppendEntriesRequest {
        vote: Vote { leader_id: other, committed: true },
        prev_log_id: None,
        entries: vec![past],
        leader_commit: None,
    };
    log.0.raft.append_entries(message).await.expect("it takes entries");
    never_leads(log).await;
    // Neither does it after a restart, with that entry on its disk.
    never_leads(open(config(node(1), folder.path())).await).await;
}

/// Waits as long as several elections take, then stops it.
async fn never_leads(log: Log<Toy>) {
    let mut leadership = log.watch_leadership();
    let leading = leadership.wait_for(|now| now.is_leading);
    let several_elections = Timing::default().election_max * 5;
    assert!(tokio::time::timeout(several_elections, leading).await.is_err(), "it leads");
    log.stop().await;
}
