//! Gives each lab an address range that nobody else on the machine uses, and each host an address.
//!
//! Pure: the ranges in use come in as values. A host's address follows from its role and number
//! only, so that it never changes when hosts are added.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::state::Role;

/// A /24; its `.1` is the machine that the lab runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet([u8; 3]);

/// A destination in the machine's routing table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub network: Ipv4Addr,
    pub prefix_len: u8,
}

/// Routes wider than this are a site's summary or a tunnel's, not a network that is in use here.
const WIDEST_ROUTE_THAT_COUNTS: u8 = 16;

impl Subnet {
    /// The machine that the lab runs on.
    pub(super) fn outside(self) -> Ipv4Addr {
        self.address(1)
    }

    /// The address of the host with this role and number (from 1).
    pub(super) fn host(self, role: Role, number: u8) -> Ipv4Addr {
        match role {
            Role::Manager => self.address(10 + number),
            Role::Worker => self.address(100 + number),
        }
    }

    /// The link on the machine that leads to the lab; at most 15 bytes, unique by range.
    pub(super) fn link_name(self) -> String {
        let [a, b, c] = self.0;
        format!("swl{a}-{b}-{c}")
    }

    fn address(self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.0;
        Ipv4Addr::new(a, b, c, last)
    }

    pub(super) fn overlaps(self, route: Route) -> bool {
        let shorter = route.prefix_len.min(24);
        let mask = u32::MAX.checked_shl(32 - u32::from(shorter)).unwrap_or(0);
        u32::from(self.address(0)) & mask == u32::from(route.network) & mask
    }
}

/// The first 10.210.N.0/24 that neither another lab nor a route of the machine uses.
pub(super) fn free_subnet(labs: &[Subnet], routes: &[Route]) -> Option<Subnet> {
    (0..=255).map(|third| Subnet([10, 210, third])).find(|candidate| {
        !labs.contains(candidate) && !routes.iter().any(|route| conflicts(*candidate, *route))
    })
}

/// Whether a route of the machine stands in the way of a lab with this range.
pub(super) fn conflicts(subnet: Subnet, route: Route) -> bool {
    route.prefix_len >= WIDEST_ROUTE_THAT_COUNTS && subnet.overlaps(route)
}

/// Reads the text of `/proc/net/route`.
pub(super) fn parse_routes(text: &str) -> Vec<Route> {
    let field = |text: Option<&str>| {
        text.and_then(|hex| u32::from_str_radix(hex, 16).ok()).map(u32::swap_bytes)
    };
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let network = field(fields.nth(1))?;
            let mask = field(fields.nth(5))?;
            Some(Route { network: network.into(), prefix_len: mask.leading_ones() as u8 })
        })
        .collect()
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.0;
        write!(f, "{a}.{b}.{c}.0/24")
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("`{text}` is not an IPv4 range of the form A.B.C.0/24");
        let address: Ipv4Addr =
            text.strip_suffix("/24").ok_or_else(refused)?.parse().map_err(|_| refused())?;
        match address.octets() {
            [a @ 1..=223, b, c, 0] if a != 127 => Ok(Self([a, b, c])),
            _ => Err(refused()),
        }
    }
}

impl TryFrom<String> for Subnet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().expect("a range")
    }

    fn route(text: &str, prefix_len: u8) -> Route {
        Route { network: text.parse().expect("an address"), prefix_len }
    }

    #[test]
    fn a_lab_gets_the_first_range_that_is_free() {
        let labs = [subnet("10.210.0.0/24"), subnet("10.210.2.0/24")];
        let routes = [route("10.210.1.128", 25), route("192.168.0.0", 16)];
        assert_eq!(free_subnet(&labs, &routes), Some(subnet("10.210.3.0/24")));
    }

    #[test]
    fn a_wide_route_does_not_use_up_every_range() {
        let routes = [route("0.0.0.0", 0), route("10.0.0.0", 8)];
        assert_eq!(free_subnet(&[], &routes), Some(subnet("10.210.0.0/24")));
        assert_eq!(free_subnet(&[], &[route("10.210.0.0", 16)]), None);
    }

    #[test]
    fn addresses_of_managers_and_workers_never_meet() {
        let lab = subnet("10.210.7.0/24");
        let mut all: Vec<_> =
            (1..=Role::Manager.most()).map(|n| lab.host(Role::Manager, n)).collect();
        all.extend((1..=Role::Worker.most()).map(|n| lab.host(Role::Worker, n)));
        all.push(lab.outside());
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
        assert_eq!(lab.host(Role::Manager, 1).to_string(), "10.210.7.11");
        assert_eq!(lab.host(Role::Worker, 2).to_string(), "10.210.7.102");
    }

    #[test]
    fn the_longest_link_name_fits_the_kernels_fifteen_bytes() {
        assert!(subnet("223.255.255.0/24").link_name().len() <= 15);
    }

    #[test]
    fn the_routing_table_is_read_as_the_kernel_prints_it() {
        let text = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(parse_routes(text), [route("0.0.0.0", 0), route("192.0.2.0", 24)]);
    }

    #[test]
    fn a_range_is_read_back_as_it_is_printed_and_others_are_refused() {
        assert_eq!(subnet("10.1.2.0/24").to_string(), "10.1.2.0/24");
        for text in ["10.1.2.3/24", "10.1.2.0/16", "10.1.2.0", "x/24", "127.0.0.0/24", "0.0.0.0/24"]
        {
            assert!(text.parse::<Subnet>().is_err(), "{text} was accepted");
        }
    }
}
