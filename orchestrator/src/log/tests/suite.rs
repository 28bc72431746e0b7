//! openraft's own suite over our storage.

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::toy::Toy;
use crate::log::machine::{Driver, Publisher};
use crate::log::seal::Seal;
use crate::log::snapshot::Snapshots;
use crate::log::store::Store;
use crate::log::types::TypeConfig;

struct OnDisk;

impl StoreBuilder<TypeConfig, Store, Driver<Toy>, TempDir> for OnDisk {
    async fn build(&self) -> Result<(TempDir, Store, Driver<Toy>), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().expect("a folder");
        let seal = Arc::new(Seal::new(&Zeroizing::new([9; 32])).expect("random bytes"));
        let store = Store::open(&folder.path().join("log.redb"), seal.clone()).expect("a store");
        let snapshots = Snapshots::open(&folder.path().join("snapshots"), seal).expect("a folder");
        let driver = Driver::new(Arc::new(snapshots), Publisher::new());
        Ok((folder, store, driver))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_storage_keeps_what_raft_relies_on() {
    Suite::test_all(OnDisk).await.expect("every check of the suite");
}
