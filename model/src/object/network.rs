//! Networks, secrets and configs as the cluster keeps them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Meta;
use crate::spec::{ConfigSpec, NetworkSpec, SecretSpec};
use crate::time::Timestamp;
use crate::{ConfigId, NetworkId, NodeId, SecretId};

/// An overlay network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    pub id: NetworkId,
    pub meta: Meta,
    pub spec: Arc<NetworkSpec>,
    /// VXLAN network identifier, unique in the cluster.
    pub vni: u32,
    pub subnet: Subnet,
    /// The gateway address of each node that has, or lately had, a task here.
    pub gateways: BTreeMap<NodeId, Ipv4Addr>,
    /// Removal was accepted; goes when its last task has gone.
    pub removed: Option<Timestamp>,
}

/// An IPv4 network: `address` with the host bits zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subnet {
    pub address: Ipv4Addr,
    /// 8 to 30.
    pub prefix: u8,
}

impl Subnet {
    /// The number of addresses, network and broadcast address included.
    #[must_use]
    pub fn size(self) -> u32 {
        1 << (32 - u32::from(self.prefix.clamp(1, 32)))
    }

    /// The address `offset` places after the network address, if it lies inside.
    #[must_use]
    pub fn nth(self, offset: u32) -> Option<Ipv4Addr> {
        (offset < self.size()).then(|| Ipv4Addr::from(u32::from(self.address) + offset))
    }

    /// Whether `address` lies inside.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address).wrapping_sub(u32::from(self.address)) < self.size()
    }

    /// Whether the two share an address.
    #[must_use]
    pub fn overlaps(self, other: Subnet) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl std::str::FromStr for Subnet {
    type Err = ParseSubnetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseSubnetError(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        if !(8..=30).contains(&prefix) {
            return Err(wrong());
        }
        let mask = u32::MAX << (32 - u32::from(prefix));
        Ok(Subnet { address: Ipv4Addr::from(u32::from(address) & mask), prefix })
    }
}

/// A text that is no subnet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IPv4 subnet in CIDR form with a prefix of 8 to 30")]
pub struct ParseSubnetError(pub String);

/// The MAC address that belongs to an address: `02:42` and its four bytes, so that an address that
/// changes hands keeps its MAC and no peer's neighbour table goes stale.
#[must_use]
pub fn mac_of(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// A secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Secret {
    pub id: SecretId,
    pub meta: Meta,
    pub spec: Arc<SecretSpec>,
}

/// A config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    pub id: ConfigId,
    pub meta: Meta,
    pub spec: Arc<ConfigSpec>,
}
