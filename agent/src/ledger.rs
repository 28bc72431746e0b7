//! What the agent keeps on disk, so that its host goes on without managers and across restarts.
//!
//! - `orders.json`: the last orders, written durably before the worker acts on them. Bytes of secrets
//!   and registry credentials are left out: a task that needs them after a restart waits until a manager
//!   has sent them again, and running containers have theirs already. A key beside the file would
//!   protect nothing. The relay key stays, since traffic must go on; the file is root's alone.
//! - `tasks.json`: how far each task has come, so that one that has ended is not run again. Written
//!   before the steps that follow from it; need not survive a power failure, because no container does.
//! - `node.json`: which node of which cluster this host is, and where its managers are.
//!
//! A file that does not read is set aside under the name `….broken` and counts as missing.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use agent_core::intake;
use agent_core::worker::Kept;
use model::wire::orders::{Delta, Fence, Orders};
use model::{ClusterId, NodeId, TaskId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::disk::{self, Care};

/// Which node this host is. Written when it joins, removed when it leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub node: NodeId,
    pub cluster: ClusterId,
    /// Where managers listen, `host:port`, the first tried first.
    pub managers: Vec<String>,
    /// Where other hosts reach this one: an IP address.
    pub advertise: String,
    /// Where this host's manager listens, or would, `host:port`.
    pub listen: String,
}

/// The files.
#[derive(Clone, Debug)]
pub struct Ledger {
    directory: PathBuf,
}

impl Ledger {
    /// Under the agent's data directory.
    #[must_use]
    pub fn below(data_dir: &Path) -> Ledger {
        Ledger { directory: data_dir.join("ledger") }
    }

    /// Which node this host is; none when it has not joined.
    #[must_use]
    pub fn member(&self) -> Option<Member> {
        self.load("node.json")
    }

    /// # Errors
    /// Those of the file system.
    pub fn save_member(&self, member: &Member) -> io::Result<()> {
        self.save("node.json", member, Care::Durable)
    }

    /// The last orders, without secrets.
    #[must_use]
    pub fn orders(&self) -> Option<Orders> {
        self.load("orders.json")
    }

    /// # Errors
    /// Those of the file system; the older orders are still there then.
    pub fn save_orders(&self, orders: &Orders) -> io::Result<()> {
        self.save("orders.json", &without_secrets(orders), Care::Durable)
    }

    /// How far each task had come.
    #[must_use]
    pub fn tasks(&self) -> BTreeMap<TaskId, Kept> {
        self.load("tasks.json").unwrap_or_default()
    }

    /// # Errors
    /// Those of the file system.
    pub fn save_tasks(&self, tasks: &BTreeMap<TaskId, Kept>) -> io::Result<()> {
        self.save("tasks.json", tasks, Care::Quick)
    }

    /// Forgets everything: the host has left its cluster.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn forget(&self) -> io::Result<()> {
        ["node.json", "orders.json", "tasks.json"]
            .into_iter()
            .try_for_each(|name| disk::remove(&self.directory.join(name)))
    }

    fn save<T: Serialize>(&self, name: &str, value: &T, care: Care) -> io::Result<()> {
        disk::write(&self.directory.join(name), &serde_json::to_vec(value)?, care)
    }

    fn load<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.directory.join(name);
        let bytes = disk::read(&path)
            .inspect_err(|error| tracing::error!(path = %path.display(), %error, "cannot read"))
            .ok()??;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Some(value),
            Err(error) => {
                let aside = path.with_extension("json.broken");
                let path = path.display();
                tracing::error!(%path, %error, "does not read; set aside, going on without it");
                // If it cannot be moved it will be overwritten by the next save.
                let _ = std::fs::rename(self.directory.join(name), aside);
                None
            }
        }
    }
}

fn without_secrets(orders: &Orders) -> Orders {
    let mut kept = orders.clone();
    for secret in kept.secrets.values_mut() {
        secret.data.clear();
    }
    for task in kept.tasks.values_mut() {
        task.registry_auth = None;
    }
    kept
}

/// What became of orders that came in.
#[derive(Clone, Debug, PartialEq)]
pub enum Intake {
    /// These hold now.
    New(Box<Orders>),
    /// Older than what holds: refused.
    Old { have: Fence, came: Fence },
    /// They do not follow on what holds: ask for the whole.
    Gap,
}

/// Takes whole orders in; older ones are refused.
#[must_use]
pub fn take_whole(have: Option<&Orders>, whole: Orders) -> Intake {
    match (have, intake::whole(have.map(|have| have.fence), whole.fence)) {
        (Some(have), intake::Intake::Old) => Intake::Old { have: have.fence, came: whole.fence },
        _ => Intake::New(Box::new(whole)),
    }
}

/// Takes a delta in; it must start exactly where the orders are.
#[must_use]
pub fn take_delta(have: Option<&Orders>, delta: Delta) -> Intake {
    let Some(have) = have else { return Intake::Gap };
    if intake::delta(Some(have.fence), &delta) == intake::Intake::Old {
        return Intake::Old { have: have.fence, came: delta.to };
    }
    let mut orders = have.clone();
    match orders.take(delta) {
        Ok(()) => Intake::New(Box::new(orders)),
        Err(_) => Intake::Gap,
    }
}

#[cfg(test)]
mod tests {
    use model::object::Revision;
    use model::wire::orders::FileOrder;
    use model::{Id, SecretId};

    use super::*;

    fn at(term: u64, revision: u64) -> Orders {
        Orders { fence: Fence { term, revision: Revision(revision) }, ..Orders::default() }
    }

    #[test]
    fn orders_come_back_without_secrets() {
        let home = tempfile::tempdir().expect("a directory");
        let ledger = Ledger::below(home.path());
        assert_eq!(ledger.orders(), None);
        let mut orders = at(2, 7);
        let secret = FileOrder { name: "key".into(), data: "c2VjcmV0".into(), templating: None };
        orders.secrets.insert(SecretId(Id(1)), secret);
        ledger.save_orders(&orders).expect("saved");
        let text = std::fs::read_to_string(home.path().join("ledger/orders.json")).expect("text");
        assert!(!text.contains("c2VjcmV0"));
        orders.secrets.values_mut().for_each(|s| s.data.clear());
        assert_eq!(ledger.orders(), Some(orders));
        ledger.forget().expect("forgotten");
        assert_eq!(ledger.orders(), None);
    }

    #[test]
    fn a_broken_file_is_set_aside_and_counts_as_missing() {
        let home = tempfile::tempdir().expect("a directory");
        let ledger = Ledger::below(home.path());
        ledger.save_orders(&at(1, 1)).expect("saved");
        let path = home.path().join("ledger/orders.json");
        std::fs::write(&path, "{\"fence\":").expect("torn");
        assert_eq!(ledger.orders(), None);
        assert!(!path.exists());
        assert!(path.with_extension("json.broken").exists());
    }

    #[test]
    fn older_orders_are_refused_and_a_gap_is_noticed() {
        let have = at(3, 10);
        assert!(matches!(take_whole(Some(&have), at(3, 9)), Intake::Old { .. }));
        assert!(matches!(take_whole(Some(&have), at(2, 99)), Intake::Old { .. }));
        assert!(matches!(take_whole(Some(&have), at(4, 1)), Intake::New(_)));
        assert!(matches!(take_whole(Some(&have), at(3, 10)), Intake::New(_)));
        assert!(matches!(take_whole(None, at(0, 0)), Intake::New(_)));
        let follows = have.delta_to(&at(3, 11));
        assert!(matches!(take_delta(Some(&have), follows.clone()), Intake::New(_)));
        assert_eq!(take_delta(None, follows.clone()), Intake::Gap);
        assert_eq!(take_delta(Some(&at(3, 8)), follows), Intake::Gap);
    }
}
