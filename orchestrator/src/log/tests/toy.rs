//! A machine that is easy to judge, and managers in one process to run it on.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::spec::Role;
use model::{ClusterId, Id, NodeId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::ca::{Authority, NODE_LIFETIME, Subject, new_request, new_root};
use crate::log::{Config, Log, Machine, Timing};
use crate::transport::{Identity, Pool};

/// Longer than anything here may take, even beside other builds.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// Keys and values, and how often anything was put.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Toy {
    pub(super) values: BTreeMap<String, u64>,
    pub(super) puts: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Put {
    pub(super) key: String,
    pub(super) value: u64,
}

impl Machine for Toy {
    type Entry = Put;
    type Applied = Option<u64>;

    fn empty() -> Self {
        Toy::default()
    }

    fn apply(&mut self, _: u64, entry: Put) -> Option<u64> {
        self.puts += 1;
        self.values.insert(entry.key, entry.value)
    }

    fn save(&self, out: &mut dyn io::Write) -> io::Result<()> {
        Ok(serde_json::to_writer(out, self)?)
    }

    fn load(input: &mut dyn io::Read) -> io::Result<Self> {
        Ok(serde_json::from_reader(input)?)
    }
}

pub(super) fn put(key: impl ToString, value: u64) -> Put {
    Put { key: key.to_string(), value }
}

pub(super) fn node(number: u128) -> NodeId {
    NodeId(Id(number))
}

pub(super) const CLUSTER: ClusterId = ClusterId(Id(77));

/// The authority of a test's cluster.
pub(super) fn authority() -> Authority {
    let root = new_root(now()).expect("a root");
    Authority::new(&root).expect("its own root")
}

pub(super) fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    Timestamp(u64::try_from(since.as_millis()).expect("before the year 584,000,000"))
}

/// A certified identity.
pub(super) fn identity(authority: &Authority, node: NodeId, role: Role) -> Identity {
    let (key, request) = new_request().expect("a key");
    let subject = Subject { node, role, cluster: CLUSTER };
    let cert = authority.sign(&request, subject, now(), NODE_LIFETIME).expect("signed");
    Identity::new(&cert, &key, authority.roots_pem()).expect("an identity")
}

pub(super) fn config(node: NodeId, folder: &Path) -> Config {
    Config {
        node,
        folder: folder.to_owned(),
        timing: Timing::default(),
        snapshot_every: 5000,
        unlock: None,
        alone: None,
    }
}

/// A pool that will not be used.
pub(super) fn no_pool(node: NodeId) -> Arc<Pool> {
    let identity = Arc::new(identity(&authority(), node, Role::Manager));
    Pool::new(watch::Sender::new(identity).subscribe())
}

/// Waits until `log` may act as the leader.
pub(super) async fn leads(log: &Log<Toy>) {
    let mut leadership = log.watch_leadership();
    let leading = leadership.wait_for(|now| now.is_leading);
    tokio::time::timeout(SOON, leading).await.expect("a leader in time").expect("a running log");
}

/// Prints what is logged, when `SWARMCTL_LOG` says what of it.
pub(super) fn show_logs() {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("SWARMCTL_LOG") {
        // Another test may have been first.
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    }
}
