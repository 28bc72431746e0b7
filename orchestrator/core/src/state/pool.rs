//! The addresses of one network: who may have the next one.
//!
//! A cursor walks round the subnet, so an address that was given back is the last to be given
//! again; besides, it rests for [`REST`] first, because peers may still hold connections to it.
//! When nothing else is left, the one that has rested longest is given early: a small subnet
//! must not stop an update.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use serde::{Deserialize, Serialize};

use model::object::Subnet;
use model::spec::{IpamConfig, NetworkSpec};
use model::{Millis, Timestamp};

/// How long a freed address rests: longer than any stale neighbour or connection-tracking entry
/// that we have measured keeps pointing at it.
pub const REST: Millis = Millis::from_secs(120);

/// The addresses of one network. Numbers are offsets from the network's own address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    subnet: Subnet,
    /// The first and last offset that may be given.
    first: u32,
    last: u32,
    /// Where the walk goes on.
    cursor: u32,
    /// Given, or kept: the gateway that is shown, and the spec's auxiliary addresses.
    used: RedBlackTreeSetSync<u32>,
    /// How many of `used` lie outside first..=last.
    outside: usize,
    /// Given back: until when each rests.
    resting: RedBlackTreeMapSync<u32, Timestamp>,
}

impl Pool {
    /// All addresses of `subnet` but its first, its last, the gateway and those the spec keeps.
    #[must_use]
    pub fn new(subnet: Subnet, spec: &NetworkSpec) -> Pool {
        let (first, last) = range(subnet, spec);
        let mut used: RedBlackTreeSetSync<u32> = auxiliary(subnet, spec).into_iter().collect();
        if let Some(gateway) = gateway(subnet, spec) {
            used.insert_mut(u32::from(gateway).wrapping_sub(u32::from(subnet.address)));
        }
        let outside = used.iter().filter(|o| !(first..=last).contains(*o)).count();
        Pool {
            subnet,
            first,
            last,
            cursor: first,
            used,
            outside,
            resting: RedBlackTreeMapSync::new_sync(),
        }
    }

    /// How many addresses can still be given, resting ones included.
    #[must_use]
    pub fn free(&self) -> usize {
        let size = (self.last + 1).saturating_sub(self.first) as usize;
        (size + self.outside).saturating_sub(self.used.size())
    }

    /// The next address, or none when every one is held.
    pub fn take(&mut self, now: Timestamp) -> Option<Ipv4Addr> {
        let size = (self.last + 1).saturating_sub(self.first);
        let found = (0..size)
            .map(|step| self.first + (self.cursor - self.first + step) % size)
            .find(|offset| {
                !self.used.contains(offset)
                    && self.resting.get(offset).is_none_or(|until| *until <= now)
            })
            .or_else(|| {
                self.resting.iter().min_by_key(|(offset, until)| (**until, **offset)).map(|r| *r.0)
            })?;
        self.resting.remove_mut(&found);
        self.used.insert_mut(found);
        self.cursor = if found >= self.last { self.first } else { found + 1 };
        self.subnet.nth(found)
    }

    /// Gives an address back.
    pub fn give_back(&mut self, address: Ipv4Addr, now: Timestamp) {
        let offset = u32::from(address).wrapping_sub(u32::from(self.subnet.address));
        if self.used.remove_mut(&offset) {
            self.resting.insert_mut(offset, now + REST);
        }
    }

    /// Whether the address is given.
    #[must_use]
    pub fn holds(&self, address: Ipv4Addr) -> bool {
        self.used.contains(&u32::from(address).wrapping_sub(u32::from(self.subnet.address)))
    }
}

/// The address that clients are shown as a network's gateway: the one that the spec names, else, as
/// Docker chooses it, the first that could be given. Nobody else gets it. Containers have another:
/// every node is their gateway to itself.
#[must_use]
pub fn gateway(subnet: Subnet, spec: &NetworkSpec) -> Option<Ipv4Addr> {
    let asked = settings(spec).and_then(|settings| settings.gateway.parse().ok());
    asked.filter(|address| subnet.contains(*address)).or_else(|| {
        let (first, last) = range(subnet, spec);
        let kept = auxiliary(subnet, spec);
        (first..=last).find(|offset| !kept.contains(offset)).and_then(|offset| subnet.nth(offset))
    })
}

fn settings(spec: &NetworkSpec) -> Option<&IpamConfig> {
    spec.ipam.as_ref().and_then(|ipam| ipam.config.first())
}

/// The first and the last offset that may be given.
fn range(subnet: Subnet, spec: &NetworkSpec) -> (u32, u32) {
    let (first, last) = (1, subnet.size().saturating_sub(2).max(1));
    let range = settings(spec).and_then(|settings| settings.ip_range.parse::<Subnet>().ok());
    let Some(range) = range.filter(|r| subnet.contains(r.address)) else { return (first, last) };
    let start = u32::from(range.address) - u32::from(subnet.address);
    (first.max(start), last.min(start + range.size() - 1))
}

/// The offsets that the spec keeps for something else.
fn auxiliary(subnet: Subnet, spec: &NetworkSpec) -> BTreeSet<u32> {
    let addresses = settings(spec).into_iter().flat_map(|s| s.auxiliary_addresses.values());
    addresses
        .filter_map(|text| text.parse::<Ipv4Addr>().ok())
        .filter(|address| subnet.contains(*address))
        .map(|address| u32::from(address) - u32::from(subnet.address))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(cidr: &str) -> Pool {
        Pool::new(cidr.parse().expect("a subnet"), &NetworkSpec::default())
    }

    #[test]
    fn a_freed_address_is_the_last_to_be_given_again() {
        let mut pool = pool("10.1.0.0/29");
        let first = pool.take(Timestamp(0)).expect("free");
        assert_eq!(first, Ipv4Addr::new(10, 1, 0, 2), "the one before is the gateway");
        pool.give_back(first, Timestamp(0));
        let given: Vec<Ipv4Addr> = (0..6).filter_map(|_| pool.take(Timestamp(1))).collect();
        assert_eq!(given.len(), 5);
        assert_eq!(given.last(), Some(&first));
        assert_eq!(pool.take(Timestamp(1)), None);
        assert_eq!(pool.free(), 0);
    }

    #[test]
    fn the_gateway_that_is_shown_is_given_to_nobody() {
        for (config, shown) in [
            ("", "10.1.0.1"),
            (r#","Gateway":"10.1.0.9""#, "10.1.0.9"),
            (r#","IPRange":"10.1.0.128/28""#, "10.1.0.128"),
            (r#","AuxiliaryAddresses":{"router":"10.1.0.1"}"#, "10.1.0.2"),
        ] {
            let text = format!(r#"{{"IPAM":{{"Config":[{{"Subnet":"10.1.0.0/24"{config}}}]}}}}"#);
            let spec: NetworkSpec = serde_json::from_str(&text).expect("a spec");
            let subnet = "10.1.0.0/24".parse().expect("a subnet");
            let gateway = gateway(subnet, &spec).expect("there is room");
            assert_eq!(gateway.to_string(), shown, "{config}");
            let mut pool = Pool::new(subnet, &spec);
            let given: Vec<Ipv4Addr> = std::iter::from_fn(|| pool.take(Timestamp(0))).collect();
            assert!(given.len() > 10 && !given.contains(&gateway), "{config}: {given:?}");
            assert!(pool.holds(gateway));
        }
    }

    #[test]
    fn the_spec_keeps_its_gateway_and_narrows_the_range() {
        let spec: NetworkSpec = serde_json::from_str(
            r#"{"IPAM":{"Config":[{"Subnet":"10.1.0.0/24","IPRange":"10.1.0.128/30","Gateway":"10.1.0.129"}]}}"#,
        )
        .expect("a spec");
        let mut pool = Pool::new("10.1.0.0/24".parse().expect("a subnet"), &spec);
        assert_eq!(pool.free(), 3);
        let given: Vec<u8> =
            std::iter::from_fn(|| pool.take(Timestamp(0))).map(|a| a.octets()[3]).collect();
        assert_eq!(given, [128, 130, 131]);
    }
}
