//! The overlay of a node: one bridge and one VXLAN port for each network, static forwarding.
//!
//! Every network is one stretched layer-2 segment. The agent owns the bridge, the engine is told
//! to use it; the VXLAN port joins it to the other nodes. Nothing is learned and nothing is
//! flooded: the orders say where every address is, and its MAC follows from the address. Only an
//! attachable network floods and learns, because nobody knows its other containers.
//!
//! [`desired`] says what should be, [`diff`] which steps lead there from what the kernel has.
//! The same steps repeated change nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use model::NetworkId;
use model::object::Subnet;
use model::wire::orders::{NetworkOrder, Orders};

/// Names of bridges begin so.
pub const BRIDGE_PREFIX: &str = "ob";
/// Names of VXLAN ports begin so.
pub const VXLAN_PREFIX: &str = "ov";
/// Characters of the network's id in a link's name; 15 in all is the kernel's limit.
const ID_CHARS: usize = 8;
/// What the engine calls the option for a network's MTU.
pub const MTU_OPTION: &str = "com.docker.network.driver.mtu";
/// Octets that a VXLAN packet adds over IPv4; 20 more over IPv6.
const VXLAN_OVERHEAD_V4: u32 = 50;
const VXLAN_OVERHEAD_V6: u32 = 70;
/// The smallest MTU that IPv4 must carry.
const SMALLEST_MTU: u32 = 576;

/// A hardware address.
pub type Mac = [u8; 6];

/// What the packets between nodes run over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Underlay {
    /// This node's address.
    pub local: IpAddr,
    /// Of the link that has the address.
    pub mtu: u32,
    /// UDP port of the tunnels.
    pub port: u16,
}

/// One network on this node, as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub network: NetworkId,
    pub bridge: String,
    pub vxlan: String,
    pub vni: u32,
    pub mtu: u32,
    /// This node's address on the network; also decides the bridge's MAC.
    pub gateway: Ipv4Addr,
    pub prefix: u8,
    /// Unknown addresses are flooded to `flood` and learned.
    pub learning: bool,
    /// Every address on another node, and the node's underlay address.
    pub remote: BTreeMap<Ipv4Addr, IpAddr>,
    pub flood: BTreeSet<IpAddr>,
}

/// A link of ours as the kernel has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub up: bool,
    pub mtu: u32,
    pub mac: Mac,
    /// Index of the bridge it is a port of.
    pub master: Option<u32>,
    pub kind: LinkKind,
}

/// What a link is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LinkKind {
    #[default]
    Bridge,
    Vxlan {
        vni: u32,
        local: Option<IpAddr>,
        port: u16,
        learning: bool,
    },
}

/// What the kernel has of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub bridge: Option<Link>,
    pub vxlan: Option<Link>,
    /// IPv4 addresses of the bridge.
    pub addresses: BTreeSet<Ipv4Addr>,
    /// Links that are ports of the bridge, the VXLAN port not counted.
    pub other_ports: u32,
    /// Static entries of the tunnel: MAC to underlay address.
    pub tunnel: BTreeMap<Mac, IpAddr>,
    /// Static entries of the bridge that point to the tunnel.
    pub forward: BTreeSet<Mac>,
    /// Permanent neighbours on the bridge.
    pub neighbours: BTreeMap<Ipv4Addr, Mac>,
    /// Where the tunnel floods to.
    pub flood: BTreeSet<IpAddr>,
}

/// What the kernel has, by the part of the link's name behind its prefix.
pub type Kernel = BTreeMap<String, Found>;

/// One change of the kernel. Names are link names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    AddBridge {
        bridge: String,
        mac: Mac,
        mtu: u32,
    },
    /// Up, with this MAC and MTU.
    SetBridge {
        bridge: String,
        mac: Mac,
        mtu: u32,
    },
    AddAddress {
        bridge: String,
        address: Ipv4Addr,
        prefix: u8,
    },
    AddVxlan {
        vxlan: String,
        vni: u32,
        local: IpAddr,
        port: u16,
        mtu: u32,
        learning: bool,
    },
    /// Makes the tunnel a port of the bridge, up, with suppression of neighbour requests.
    Enslave {
        vxlan: String,
        bridge: String,
        mtu: u32,
        learning: bool,
    },
    DeleteLink {
        name: String,
    },
    /// Sends the address to a node: tunnel entry, bridge entry and neighbour.
    SetRemote {
        bridge: String,
        vxlan: String,
        address: Ipv4Addr,
        node: IpAddr,
    },
    DeleteTunnel {
        vxlan: String,
        mac: Mac,
        node: IpAddr,
    },
    DeleteForward {
        vxlan: String,
        mac: Mac,
    },
    DeleteNeighbour {
        bridge: String,
        address: Ipv4Addr,
    },
    AddFlood {
        vxlan: String,
        node: IpAddr,
    },
    DeleteFlood {
        vxlan: String,
        node: IpAddr,
    },
}

/// The part of a network's link names that tells networks apart.
#[must_use]
pub fn link_id(network: NetworkId) -> String {
    // The first digit carries little; the last ones are as good as any.
    let text = network.to_string();
    text[text.len() - ID_CHARS..].to_owned()
}

/// The name of a network's bridge.
#[must_use]
pub fn bridge_name(network: NetworkId) -> String {
    format!("{BRIDGE_PREFIX}{}", link_id(network))
}

/// The MAC address that belongs to an address; see [`model::object::mac_of`].
#[must_use]
pub fn mac_of(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// The MTU of a network: what its options say, else what the underlay leaves.
#[must_use]
pub fn mtu(order: &NetworkOrder, underlay: &Underlay) -> u32 {
    let overhead = if underlay.local.is_ipv4() { VXLAN_OVERHEAD_V4 } else { VXLAN_OVERHEAD_V6 };
    let fits = underlay.mtu.saturating_sub(overhead).max(SMALLEST_MTU);
    match order.options.get(MTU_OPTION).and_then(|text| text.parse::<u32>().ok()) {
        Some(asked) if asked >= SMALLEST_MTU => asked,
        Some(_) | None => fits,
    }
}

/// The addresses that this node's engine may give to containers that nobody ordered.
///
/// The upper half of the subnet, cut into slices of a sixteenth of the subnet (at most 64
/// addresses); the place of the gateway among the addresses chooses the slice. Managers give
/// addresses from below, so the two meet only when the subnet is nearly full.
#[must_use]
pub fn standalone_range(subnet: Subnet, gateway: Ipv4Addr) -> Subnet {
    let slice = (subnet.size() / 16).clamp(1, 64);
    let slices = (subnet.size() / 2 / slice).max(1);
    let place = u32::from(gateway).wrapping_sub(u32::from(subnet.address)) % slices;
    let start = subnet.size() / 2 + place * slice;
    Subnet {
        address: Ipv4Addr::from(u32::from(subnet.address) + start),
        prefix: u8::try_from(32 - slice.ilog2()).unwrap_or(32),
    }
}

/// What should be on this node.
#[must_use]
pub fn desired(orders: &Orders, underlay: &Underlay) -> Vec<Segment> {
    orders.networks.values().map(|order| segment(order, orders, underlay)).collect()
}

/// What should be of one network.
#[must_use]
pub fn segment(order: &NetworkOrder, orders: &Orders, underlay: &Underlay) -> Segment {
    let node_address =
        |node: &model::NodeId| orders.peers.get(node)?.address.parse::<IpAddr>().ok();
    // This node is none of its own peers: what is here has no address to be sent to.
    let remote: BTreeMap<Ipv4Addr, IpAddr> = order
        .members
        .tasks
        .iter()
        .chain(&order.members.gateways)
        .filter(|(address, node)| **address != order.gateway && **node != orders.node.id)
        .filter_map(|(address, node)| Some((*address, node_address(node)?)))
        .filter(|(_, node)| node.is_ipv4() == underlay.local.is_ipv4() && *node != underlay.local)
        .collect();
    let flood = if order.attachable { remote.values().copied().collect() } else { BTreeSet::new() };
    let id = link_id(order.id);
    Segment {
        network: order.id,
        bridge: format!("{BRIDGE_PREFIX}{id}"),
        vxlan: format!("{VXLAN_PREFIX}{id}"),
        vni: order.vni,
        mtu: mtu(order, underlay),
        gateway: order.gateway,
        prefix: order.subnet.prefix,
        learning: order.attachable,
        remote,
        flood,
    }
}

/// What leads from `kernel` to `segments`, in the order in which it must be done.
///
/// A network that is in neither `segments` nor use (another link is a port of its bridge) is
/// deleted; one that is still in use stays until its last container has gone.
#[must_use]
pub fn diff(segments: &[Segment], kernel: &Kernel, underlay: &Underlay) -> Vec<Step> {
    let mut steps = Vec::new();
    let wanted: BTreeSet<&str> =
        segments.iter().map(|s| &s.bridge[BRIDGE_PREFIX.len()..]).collect();
    for (id, found) in kernel {
        if !wanted.contains(id.as_str()) && found.other_ports == 0 {
            delete_links(id, found, &mut steps);
        }
    }
    let nothing = Found::default();
    for segment in segments {
        let id = &segment.bridge[BRIDGE_PREFIX.len()..];
        diff_segment(segment, kernel.get(id).unwrap_or(&nothing), underlay, &mut steps);
    }
    steps
}

/// What deletes every link of ours.
#[must_use]
pub fn delete_all(kernel: &Kernel) -> Vec<Step> {
    let mut steps = Vec::new();
    for (id, found) in kernel {
        delete_links(id, found, &mut steps);
    }
    steps
}

fn delete_links(id: &str, found: &Found, steps: &mut Vec<Step>) {
    if found.vxlan.is_some() {
        steps.push(Step::DeleteLink { name: format!("{VXLAN_PREFIX}{id}") });
    }
    if found.bridge.is_some() {
        steps.push(Step::DeleteLink { name: format!("{BRIDGE_PREFIX}{id}") });
    }
}

fn diff_segment(segment: &Segment, found: &Found, underlay: &Underlay, steps: &mut Vec<Step>) {
    let bridge = segment.bridge.clone();
    let vxlan = segment.vxlan.clone();
    let mac = mac_of(segment.gateway);
    match &found.bridge {
        None => {
            steps.push(Step::AddBridge { bridge: bridge.clone(), mac, mtu: segment.mtu });
        }
        Some(link) if !link.up || link.mac != mac || link.mtu != segment.mtu => {
            steps.push(Step::SetBridge { bridge: bridge.clone(), mac, mtu: segment.mtu });
        }
        Some(_) => {}
    }
    if found.bridge.is_none() || !found.addresses.contains(&segment.gateway) {
        steps.push(Step::AddAddress {
            bridge: bridge.clone(),
            address: segment.gateway,
            prefix: segment.prefix,
        });
    }
    let kind = LinkKind::Vxlan {
        vni: segment.vni,
        local: Some(underlay.local),
        port: underlay.port,
        learning: segment.learning,
    };
    // None of these can be changed in place: a tunnel that differs is made anew.
    let kept = found.vxlan.as_ref().filter(|link| link.kind == kind);
    if kept.is_none() {
        if found.vxlan.is_some() {
            steps.push(Step::DeleteLink { name: vxlan.clone() });
        }
        steps.push(Step::AddVxlan {
            vxlan: vxlan.clone(),
            vni: segment.vni,
            local: underlay.local,
            port: underlay.port,
            mtu: segment.mtu,
            learning: segment.learning,
        });
    }
    let attached = kept.filter(|link| {
        link.master.is_some() && link.master == found.bridge.as_ref().map(|b| b.index)
    });
    if !attached.is_some_and(|link| link.up && link.mtu == segment.mtu) {
        steps.push(Step::Enslave {
            vxlan: vxlan.clone(),
            bridge: bridge.clone(),
            mtu: segment.mtu,
            learning: segment.learning,
        });
    }
    let nothing = Found::default();
    // A fresh tunnel has lost its entries, one that was taken off the bridge those of the bridge.
    let tunnel = if kept.is_some() { &found.tunnel } else { &nothing.tunnel };
    let flood = if kept.is_some() { &found.flood } else { &nothing.flood };
    let forward = if attached.is_some() { &found.forward } else { &nothing.forward };
    let neighbours = if found.bridge.is_some() { &found.neighbours } else { &nothing.neighbours };
    for (address, node) in &segment.remote {
        let mac = mac_of(*address);
        let whole = tunnel.get(&mac) == Some(node)
            && forward.contains(&mac)
            && neighbours.get(address) == Some(&mac);
        if !whole {
            steps.push(Step::SetRemote {
                bridge: bridge.clone(),
                vxlan: vxlan.clone(),
                address: *address,
                node: *node,
            });
        }
    }
    let macs: BTreeSet<Mac> = segment.remote.keys().map(|address| mac_of(*address)).collect();
    for (mac, node) in tunnel.iter().filter(|(mac, _)| !macs.contains(*mac)) {
        steps.push(Step::DeleteTunnel { vxlan: vxlan.clone(), mac: *mac, node: *node });
    }
    for mac in forward.difference(&macs) {
        steps.push(Step::DeleteForward { vxlan: vxlan.clone(), mac: *mac });
    }
    for address in neighbours.keys().filter(|address| !segment.remote.contains_key(*address)) {
        steps.push(Step::DeleteNeighbour { bridge: bridge.clone(), address: *address });
    }
    for node in segment.flood.difference(flood) {
        steps.push(Step::AddFlood { vxlan: vxlan.clone(), node: *node });
    }
    for node in flood.difference(&segment.flood) {
        steps.push(Step::DeleteFlood { vxlan: vxlan.clone(), node: *node });
    }
}

#[cfg(test)]
mod tests;
