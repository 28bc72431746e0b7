//! The addresses of one network: who may have the next one.
//!
//! A cursor walks round the subnet, so an address that was given back is the last to be given
//! again; besides, it rests for [`REST`] first, because peers may still hold connections to it.
//! When nothing else is left, the one that has rested longest is given early: a small subnet
//! must not stop an update.

use std::net::Ipv4Addr;

use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use serde::{Deserialize, Serialize};

use model::object::Subnet;
use model::spec::NetworkSpec;
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
    /// Given, or kept by the spec (gateway, auxiliary addresses).
    used: RedBlackTreeSetSync<u32>,
    /// How many of `used` lie outside first..=last.
    outside: usize,
    /// Given back: until when each rests.
    resting: RedBlackTreeMapSync<u32, Timestamp>,
}

impl Pool {
    /// All addresses of `subnet` but its first, its last and those the spec keeps.
    #[must_use]
    pub fn new(subnet: Subnet, spec: &NetworkSpec) -> Pool {
        let size = subnet.size();
        let (mut first, mut last) = (1, size.saturating_sub(2).max(1));
        let mut used = RedBlackTreeSetSync::new_sync();
        let settings = spec.ipam.as_ref().and_then(|ipam| ipam.config.first());
        if let Some(settings) = settings {
            let range = settings.ip_range.parse::<Subnet>().ok();
            if let Some(range) = range.filter(|r| subnet.contains(r.address)) {
                let start = u32::from(range.address) - u32::from(subnet.address);
                first = first.max(start);
                last = last.min(start + range.size() - 1);
            }
            let addresses = settings.auxiliary_addresses.values().chain([&settings.gateway]);
            for address in addresses.filter_map(|text| text.parse::<Ipv4Addr>().ok()) {
                if subnet.contains(address) {
                    used.insert_mut(u32::from(address) - u32::from(subnet.address));
                }
            }
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
        assert_eq!(first, Ipv4Addr::new(10, 1, 0, 1));
        pool.give_back(first, Timestamp(0));
        let given: Vec<Ipv4Addr> = (0..6).filter_map(|_| pool.take(Timestamp(1))).collect();
        assert_eq!(given.len(), 6);
        assert_eq!(given.last(), Some(&first));
        assert_eq!(pool.take(Timestamp(1)), None);
        assert_eq!(pool.free(), 0);
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
