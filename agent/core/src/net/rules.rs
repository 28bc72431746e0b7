//! The nftables text of the host and of one container, each one whole table.
//!
//! A table is always replaced as a whole: the text begins with `add` and `delete`, so the kernel
//! takes old for new in one transaction and no packet meets half of it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use super::overlay::{BRIDGE_PREFIX, Segment};
use super::vip::VipTable;

/// The name of our table, on the host (`inet`) and in a container (`ip`).
pub const TABLE: &str = "swarmctl";
/// Where the agent listens for DNS inside a container: next to the engine's own address.
pub const DNS_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// Its port; 53 is diverted to it.
pub const DNS_PORT: u16 = 5300;
/// Packets with this mark reach the engine's own resolver in a container, not the agent's.
pub const ENGINE_DNS_MARK: u32 = 0x0053_0000;
/// Marks packets that belong to a transparent socket of the ingress proxy.
pub const TRANSPARENT_MARK: u32 = 0x0004_0000;

/// The host's table: who may send into the tunnels, which networks may talk to each other (none),
/// and which packets belong to the proxy though they carry a client's address.
#[must_use]
pub fn host(segments: &[Segment], peers: &BTreeSet<IpAddr>, port: u16) -> String {
    let mut text = replace("inet");
    let v4: Vec<String> = peers.iter().filter(|p| p.is_ipv4()).map(ToString::to_string).collect();
    let v6: Vec<String> = peers.iter().filter(|p| p.is_ipv6()).map(ToString::to_string).collect();
    let same: Vec<String> =
        segments.iter().map(|s| format!("\"{0}\" . \"{0}\" : accept", s.bridge)).collect();
    let _ = write!(
        text,
        "table inet {TABLE} {{\n\
         \x20 set peers {{\n    type ipv4_addr\n{}  }}\n\
         \x20 set peers6 {{\n    type ipv6_addr\n{}  }}\n\
         \x20 map same {{\n    type ifname . ifname : verdict\n{}  }}\n\
         \x20 chain input {{\n\
         \x20   type filter hook input priority -10; policy accept;\n\
         \x20   udp dport {port} ip saddr != @peers drop\n\
         \x20   udp dport {port} ip6 saddr != @peers6 drop\n\
         \x20 }}\n\
         \x20 chain forward {{\n\
         \x20   type filter hook forward priority -10; policy accept;\n\
         \x20   iifname . oifname vmap @same\n\
         \x20   iifname \"{BRIDGE_PREFIX}*\" oifname \"{BRIDGE_PREFIX}*\" counter drop\n\
         \x20 }}\n\
         \x20 chain pre {{\n\
         \x20   type filter hook prerouting priority -150; policy accept;\n",
        elements(&v4),
        elements(&v6),
        elements(&same),
    );
    for from in [&format!("{BRIDGE_PREFIX}*"), "docker0"] {
        for protocol in ["tcp", "udp"] {
            let _ = writeln!(
                text,
                "    iifname \"{from}\" meta l4proto {protocol} socket transparent 1 \
                 meta mark set meta mark | {TRANSPARENT_MARK:#x}"
            );
        }
    }
    text.push_str("  }\n}\n");
    text
}

/// A container's table: virtual addresses to tasks, refusal where there is none, DNS to the agent.
#[must_use]
pub fn container(table: &VipTable) -> String {
    let mut text = replace("ip");
    let mut vips = vec![format!("{DNS_ADDRESS} : goto dns")];
    let mut dead = Vec::new();
    let mut chains = String::new();
    for (vip, backends) in &table.services {
        if backends.is_empty() {
            dead.push(vip.to_string());
            continue;
        }
        let chain = chain_name(*vip);
        vips.push(format!("{vip} : goto {chain}"));
        let _ = writeln!(chains, "  chain {chain} {{\n    {}\n  }}", translation(backends));
    }
    let _ = write!(
        text,
        "table ip {TABLE} {{\n\
         {chains}\
         \x20 chain dns {{\n\
         \x20   meta mark {ENGINE_DNS_MARK:#x} return\n\
         \x20   meta l4proto {{ tcp, udp }} th dport 53 dnat to {DNS_ADDRESS}:{DNS_PORT}\n\
         \x20 }}\n\
         \x20 map vips {{\n    type ipv4_addr : verdict\n{}  }}\n\
         \x20 set dead {{\n    type ipv4_addr\n{}  }}\n\
         \x20 chain output {{\n\
         \x20   type nat hook output priority -105; policy accept;\n\
         \x20   ip daddr vmap @vips\n\
         \x20 }}\n\
         \x20 chain refuse {{\n\
         \x20   type filter hook output priority 0; policy accept;\n\
         \x20   ip daddr @dead meta l4proto tcp reject with tcp reset\n\
         \x20   ip daddr @dead reject with icmp type port-unreachable\n\
         \x20 }}\n\
         }}\n",
        elements(&vips),
        elements(&dead),
    );
    text
}

/// Removes our table of a family; succeeds where there is none.
#[must_use]
pub fn nothing(family: &str) -> String {
    replace(family)
}

fn replace(family: &str) -> String {
    format!("add table {family} {TABLE}\ndelete table {family} {TABLE}\n")
}

fn elements(list: &[String]) -> String {
    if list.is_empty() {
        return String::new();
    }
    format!("    elements = {{ {} }}\n", list.join(", "))
}

fn chain_name(vip: Ipv4Addr) -> String {
    format!("svc_{:08x}", u32::from(vip))
}

/// `random`, not `inc`: a counter begins again with each table, and every client with the first.
fn translation(backends: &BTreeSet<Ipv4Addr>) -> String {
    let mut list = backends.iter().enumerate();
    if backends.len() == 1
        && let Some((_, only)) = list.next()
    {
        return format!("dnat to {only}");
    }
    let slots: Vec<String> = list.map(|(slot, address)| format!("{slot} : {address}")).collect();
    format!("dnat to numgen random mod {} map {{ {} }}", backends.len(), slots.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_containers_table_is_replaced_as_a_whole() {
        let ip = |last| Ipv4Addr::new(10, 1, 0, last);
        let table = VipTable {
            services: BTreeMap::from([
                (ip(5), BTreeSet::from([ip(10), ip(11)])),
                (ip(6), BTreeSet::from([ip(12)])),
                (ip(7), BTreeSet::new()),
            ]),
        };
        let expected = "\
add table ip swarmctl
delete table ip swarmctl
table ip swarmctl {
  chain svc_0a010005 {
    dnat to numgen random mod 2 map { 0 : 10.1.0.10, 1 : 10.1.0.11 }
  }
  chain svc_0a010006 {
    dnat to 10.1.0.12
  }
  chain dns {
    meta mark 0x530000 return
    meta l4proto { tcp, udp } th dport 53 dnat to 127.0.0.11:5300
  }
  map vips {
    type ipv4_addr : verdict
    elements = { 127.0.0.11 : goto dns, 10.1.0.5 : goto svc_0a010005, 10.1.0.6 : goto svc_0a010006 }
  }
  set dead {
    type ipv4_addr
    elements = { 10.1.0.7 }
  }
  chain output {
    type nat hook output priority -105; policy accept;
    ip daddr vmap @vips
  }
  chain refuse {
    type filter hook output priority 0; policy accept;
    ip daddr @dead meta l4proto tcp reject with tcp reset
    ip daddr @dead reject with icmp type port-unreachable
  }
}
";
        assert_eq!(container(&table), expected);
    }

    #[test]
    fn a_host_takes_tunnel_packets_from_peers_and_keeps_networks_apart() {
        let segment = Segment {
            network: model::NetworkId::default(),
            bridge: "ob1".into(),
            vxlan: "ov1".into(),
            vni: 1,
            mtu: 1450,
            gateway: Ipv4Addr::new(10, 1, 0, 1),
            prefix: 24,
            learning: false,
            remote: BTreeMap::new(),
            flood: BTreeSet::new(),
        };
        let peers = BTreeSet::from(["192.0.2.2".parse().expect("an address")]);
        let expected = "\
add table inet swarmctl
delete table inet swarmctl
table inet swarmctl {
  set peers {
    type ipv4_addr
    elements = { 192.0.2.2 }
  }
  set peers6 {
    type ipv6_addr
  }
  map same {
    type ifname . ifname : verdict
    elements = { \"ob1\" . \"ob1\" : accept }
  }
  chain input {
    type filter hook input priority -10; policy accept;
    udp dport 4789 ip saddr != @peers drop
    udp dport 4789 ip6 saddr != @peers6 drop
  }
  chain forward {
    type filter hook forward priority -10; policy accept;
    iifname . oifname vmap @same
    iifname \"ob*\" oifname \"ob*\" counter drop
  }
  chain pre {
    type filter hook prerouting priority -150; policy accept;
    iifname \"ob*\" meta l4proto tcp socket transparent 1 meta mark set meta mark | 0x40000
    iifname \"ob*\" meta l4proto udp socket transparent 1 meta mark set meta mark | 0x40000
    iifname \"docker0\" meta l4proto tcp socket transparent 1 meta mark set meta mark | 0x40000
    iifname \"docker0\" meta l4proto udp socket transparent 1 meta mark set meta mark | 0x40000
  }
}
";
        assert_eq!(host(&[segment], &peers, 4789), expected);
        assert_eq!(nothing("inet"), "add table inet swarmctl\ndelete table inet swarmctl\n");
    }
}
