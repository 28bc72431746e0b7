//! Bridges, tunnels and forwarding entries through rtnetlink: reads what is there, does steps.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use agent_core::net::overlay::{
    BRIDGE_PREFIX, Found, Kernel, Link, LinkKind, Mac, Step, Underlay, VXLAN_PREFIX, mac_of,
};
use agent_core::net::rules::TRANSPARENT_MARK;
use futures_util::{StreamExt, TryStreamExt, stream};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{RouteScope, RouteType};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{
    Handle, IpVersion, LinkBridge, LinkBridgePort, LinkUnspec, LinkVxlan, RouteMessageBuilder,
};

use super::{KernelError, sysctl};

/// How many forwarding entries are under way at once.
const AT_ONCE: usize = 64;
/// Routers that a tunnel packet may pass.
const TUNNEL_TTL: u8 = 64;
/// The routing table for packets that belong to transparent sockets, and its rule's place.
const TRANSPARENT_TABLE: u32 = 4242;
const TRANSPARENT_PRIORITY: u32 = 100;
/// Of a link whose index is asked for by its name's number.
const LOOPBACK: u32 = 1;
const NO_MAC: Mac = [0; 6];
/// States of a neighbour, as bits (`linux/neighbour.h`).
const NUD_REACHABLE: u16 = 0x02;
const NUD_NOARP: u16 = 0x40;
const NUD_PERMANENT: u16 = 0x80;
/// "Exists already" and "no such …", as the kernel says it.
const EXISTS: i32 = -17;
const GONE: [i32; 3] = [-2, -3, -19];

/// The links of this process's namespace.
#[derive(Clone, Debug)]
pub struct Links {
    handle: Handle,
}

impl Links {
    /// Works through this connection, which somebody else keeps running.
    #[must_use]
    pub fn new(handle: Handle) -> Links {
        Links { handle }
    }

    /// What the kernel has of our networks.
    ///
    /// # Errors
    /// When it cannot be read; nothing was changed.
    pub async fn read(&self) -> Result<Kernel, KernelError> {
        let mut kernel = Kernel::new();
        let mut places: BTreeMap<u32, (String, Part)> = BTreeMap::new();
        let mut masters = Vec::new();
        let links = self.handle.link().get().execute();
        for message in collect("reading links", links).await? {
            let (index, name, link) = read_link(&message);
            if let Some(master) = link.master {
                masters.push((index, master));
            }
            let Some((id, part)) = our_name(&name, &message) else { continue };
            let found = kernel.entry(id.clone()).or_default();
            match part {
                Part::Bridge => found.bridge = Some(link),
                Part::Vxlan => found.vxlan = Some(link),
            }
            places.insert(index, (id, part));
        }
        for (index, master) in masters {
            if !places.contains_key(&index)
                && let Some((id, Part::Bridge)) = places.get(&master)
                && let Some(found) = kernel.get_mut(id)
            {
                found.other_ports += 1;
            }
        }
        if kernel.is_empty() {
            return Ok(kernel);
        }
        let addresses = self.handle.address().get().execute();
        for message in collect("reading addresses", addresses).await? {
            let Some((id, Part::Bridge)) = places.get(&message.header.index) else { continue };
            for attribute in &message.attributes {
                if let (AddressAttribute::Address(IpAddr::V4(address)), Some(found)) =
                    (attribute, kernel.get_mut(id))
                {
                    found.addresses.insert(*address);
                }
            }
        }
        let neighbours =
            self.handle.neighbours().get().set_address_family(AddressFamily::Inet).execute();
        for message in collect("reading neighbours", neighbours).await? {
            if let Some((id, Part::Bridge)) = places.get(&message.header.ifindex)
                && let Some(found) = kernel.get_mut(id)
            {
                read_neighbour(&message, found);
            }
        }
        let forwards =
            self.handle.neighbours().get().set_address_family(AddressFamily::Bridge).execute();
        for message in collect("reading forwarding entries", forwards).await? {
            if let Some((id, Part::Vxlan)) = places.get(&message.header.ifindex)
                && let Some(found) = kernel.get_mut(id)
            {
                read_forward(&message, found);
            }
        }
        Ok(kernel)
    }

    /// Does steps in their order; entries of the same kind go side by side.
    ///
    /// # Errors
    /// The first that failed. The others of its kind are done, later ones are not.
    pub async fn perform(&self, steps: &[Step]) -> Result<(), KernelError> {
        let mut indexes: BTreeMap<String, u32> = BTreeMap::new();
        for message in collect("reading links", self.handle.link().get().execute()).await? {
            let (index, name, _) = read_link(&message);
            indexes.insert(name, index);
        }
        for chunk in steps.chunk_by(|a, b| !is_link_step(a) && !is_link_step(b)) {
            if let [step] = chunk
                && is_link_step(step)
            {
                self.perform_link(step, &mut indexes).await?;
                continue;
            }
            let entries: Vec<_> =
                chunk.iter().map(|step| self.perform_entry(step, &indexes)).collect();
            let outcomes: Vec<Result<(), KernelError>> =
                stream::iter(entries).buffer_unordered(AT_ONCE).collect().await;
            outcomes.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }

    async fn perform_link(
        &self,
        step: &Step,
        indexes: &mut BTreeMap<String, u32>,
    ) -> Result<(), KernelError> {
        let what = || format!("{step:?}");
        match step {
            Step::AddBridge { bridge, mac, mtu } => {
                let message = LinkBridge::new(bridge).mtu(*mtu).address(mac.to_vec()).up().build();
                done(what, self.handle.link().add(message).execute().await)?;
                let index = self.index_of(bridge).await?;
                indexes.insert(bridge.clone(), index);
                sysctl::prepare_bridge(bridge);
            }
            Step::SetBridge { bridge, mac, mtu } => {
                let message = LinkUnspec::new_with_index(index(indexes, bridge)?)
                    .mtu(*mtu)
                    .address(mac.to_vec())
                    .up()
                    .build();
                done(what, self.handle.link().set(message).execute().await)?;
                sysctl::prepare_bridge(bridge);
            }
            Step::AddAddress { bridge, address, prefix } => {
                let request = self.handle.address().add(
                    index(indexes, bridge)?,
                    IpAddr::V4(*address),
                    *prefix,
                );
                done(what, request.replace().execute().await)?;
            }
            Step::AddVxlan { vxlan, vni, local, port, mtu, learning } => {
                let mut builder = LinkVxlan::new(vxlan, *vni)
                    .port(*port)
                    .learning(*learning)
                    .ttl(TUNNEL_TTL)
                    .mtu(*mtu);
                builder = match local {
                    IpAddr::V4(address) => builder.local(*address),
                    IpAddr::V6(address) => builder.local6(*address),
                };
                done(what, self.handle.link().add(builder.build()).execute().await)?;
                let index = self.index_of(vxlan).await?;
                indexes.insert(vxlan.clone(), index);
            }
            Step::Enslave { vxlan, bridge, mtu, learning } => {
                let port = index(indexes, vxlan)?;
                let message = LinkUnspec::new_with_index(port)
                    .mtu(*mtu)
                    .controller(index(indexes, bridge)?)
                    .up()
                    .build();
                done(what, self.handle.link().set(message).execute().await)?;
                // Settings of a port are part of `RTM_NEWLINK` only.
                let message =
                    LinkBridgePort::new(port).learning(*learning).neigh_suppress(true).build();
                done(what, self.handle.link().change(message).execute().await)?;
            }
            Step::DeleteLink { name } => {
                if let Some(index) = indexes.remove(name) {
                    forgiving(what, self.handle.link().del(index).execute().await, &GONE)?;
                }
            }
            Step::SetRemote { .. }
            | Step::DeleteTunnel { .. }
            | Step::DeleteForward { .. }
            | Step::DeleteNeighbour { .. }
            | Step::AddFlood { .. }
            | Step::DeleteFlood { .. } => self.perform_entry(step, indexes).await?,
        }
        Ok(())
    }

    async fn perform_entry(
        &self,
        step: &Step,
        indexes: &BTreeMap<String, u32>,
    ) -> Result<(), KernelError> {
        let what = || format!("{step:?}");
        match step {
            Step::SetRemote { bridge, vxlan, address, node } => {
                let mac = mac_of(*address);
                let port = index(indexes, vxlan)?;
                let tunnel = tunnel_entry(port, mac, *node);
                self.neighbour_request(what, New::Replace, tunnel).await?;
                self.neighbour_request(what, New::Replace, forward_entry(port, mac)).await?;
                let neighbour = neighbour_entry(index(indexes, bridge)?, *address, mac);
                self.neighbour_request(what, New::Replace, neighbour).await
            }
            Step::DeleteTunnel { vxlan, mac, node } => {
                self.delete_neighbour(what, tunnel_entry(index(indexes, vxlan)?, *mac, *node)).await
            }
            Step::DeleteForward { vxlan, mac } => {
                self.delete_neighbour(what, forward_entry(index(indexes, vxlan)?, *mac)).await
            }
            Step::DeleteNeighbour { bridge, address } => {
                let entry = neighbour_entry(index(indexes, bridge)?, *address, mac_of(*address));
                self.delete_neighbour(what, entry).await
            }
            Step::AddFlood { vxlan, node } => {
                let entry = tunnel_entry(index(indexes, vxlan)?, NO_MAC, *node);
                self.neighbour_request(what, New::Append, entry).await
            }
            Step::DeleteFlood { vxlan, node } => {
                let entry = tunnel_entry(index(indexes, vxlan)?, NO_MAC, *node);
                self.delete_neighbour(what, entry).await
            }
            Step::AddBridge { .. }
            | Step::SetBridge { .. }
            | Step::AddAddress { .. }
            | Step::AddVxlan { .. }
            | Step::Enslave { .. }
            | Step::DeleteLink { .. } => Ok(()),
        }
    }

    /// Packets of transparent sockets are taken in here though their destination is elsewhere.
    ///
    /// # Errors
    /// When rule or route is refused; connections then carry this host's address.
    pub async fn ensure_transparent_route(&self) -> Result<(), KernelError> {
        let what = || "the route for transparent sockets".to_owned();
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .output_interface(LOOPBACK)
            .table_id(TRANSPARENT_TABLE)
            .kind(RouteType::Local)
            .scope(RouteScope::Host)
            .build();
        forgiving(what, self.handle.route().add(route).replace().execute().await, &[EXISTS])?;
        if !self.transparent_rules().await?.is_empty() {
            return Ok(());
        }
        let mut request = self
            .handle
            .rule()
            .add()
            .v4()
            .fw_mark(TRANSPARENT_MARK)
            .priority(TRANSPARENT_PRIORITY)
            .table_id(TRANSPARENT_TABLE)
            .action(RuleAction::ToTable);
        request.message_mut().attributes.push(RuleAttribute::FwMask(TRANSPARENT_MARK));
        forgiving(what, request.execute().await, &[EXISTS])
    }

    /// Takes back what [`Links::ensure_transparent_route`] made.
    ///
    /// # Errors
    /// When rule or route cannot be deleted.
    pub async fn remove_transparent_route(&self) -> Result<(), KernelError> {
        let what = || "the route for transparent sockets".to_owned();
        for rule in self.transparent_rules().await? {
            forgiving(what, self.handle.rule().del(rule).execute().await, &GONE)?;
        }
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .output_interface(LOOPBACK)
            .table_id(TRANSPARENT_TABLE)
            .kind(RouteType::Local)
            .scope(RouteScope::Host)
            .build();
        forgiving(what, self.handle.route().del(route).execute().await, &GONE)
    }

    async fn transparent_rules(
        &self,
    ) -> Result<Vec<rtnetlink::packet_route::rule::RuleMessage>, KernelError> {
        let rules =
            collect("reading rules", self.handle.rule().get(IpVersion::V4).execute()).await?;
        Ok(rules
            .into_iter()
            .filter(|rule| {
                rule.attributes.contains(&RuleAttribute::FwMark(TRANSPARENT_MARK))
                    && rule.attributes.contains(&RuleAttribute::Table(TRANSPARENT_TABLE))
            })
            .collect())
    }

    /// What the tunnels run over: the link that has this address.
    ///
    /// # Errors
    /// When no link has it.
    pub async fn underlay(&self, local: IpAddr, port: u16) -> Result<Underlay, KernelError> {
        let addresses = self.handle.address().get().execute();
        let mut owner = None;
        for message in collect("reading addresses", addresses).await? {
            let has = message.attributes.iter().any(|attribute| {
                matches!(attribute, AddressAttribute::Local(a) | AddressAttribute::Address(a) if *a == local)
            });
            if has {
                owner = Some(message.header.index);
            }
        }
        let missing = || KernelError::Netlink {
            what: "looking for the underlay".into(),
            message: format!("no link of this host has the address {local}"),
        };
        let owner = owner.ok_or_else(missing)?;
        let links = self.handle.link().get().match_index(owner).execute();
        let messages = collect("reading links", links).await?;
        let (_, _, link) = read_link(messages.first().ok_or_else(missing)?);
        Ok(Underlay { local, mtu: link.mtu, port })
    }

    async fn index_of(&self, name: &str) -> Result<u32, KernelError> {
        let links = self.handle.link().get().match_name(name.to_owned()).execute();
        let found = collect("reading a new link", links).await?;
        found.first().map(|message| message.header.index).ok_or_else(|| KernelError::Netlink {
            what: format!("link {name}"),
            message: "vanished at once".into(),
        })
    }

    async fn neighbour_request(
        &self,
        what: impl Fn() -> String,
        new: New,
        entry: NeighbourMessage,
    ) -> Result<(), KernelError> {
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewNeighbour(entry));
        request.header.flags = NLM_F_REQUEST
            | NLM_F_ACK
            | NLM_F_CREATE
            | match new {
                New::Replace => NLM_F_REPLACE,
                New::Append => NLM_F_APPEND,
            };
        let mut handle = self.handle.clone();
        let mut answers = match handle.request(request) {
            Ok(answers) => answers,
            Err(error) => return done(what, Err(error)),
        };
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::Error(error) = answer.payload {
                let outcome = Err(rtnetlink::Error::NetlinkError(error));
                return forgiving(what, outcome, &[EXISTS]);
            }
        }
        Ok(())
    }

    async fn delete_neighbour(
        &self,
        what: impl Fn() -> String,
        entry: NeighbourMessage,
    ) -> Result<(), KernelError> {
        forgiving(what, self.handle.neighbours().del(entry).execute().await, &GONE)
    }
}

#[derive(Clone, Copy)]
enum New {
    Replace,
    Append,
}

#[derive(Clone, Copy)]
enum Part {
    Bridge,
    Vxlan,
}

fn is_link_step(step: &Step) -> bool {
    match step {
        Step::AddBridge { .. }
        | Step::SetBridge { .. }
        | Step::AddAddress { .. }
        | Step::AddVxlan { .. }
        | Step::Enslave { .. }
        | Step::DeleteLink { .. } => true,
        Step::SetRemote { .. }
        | Step::DeleteTunnel { .. }
        | Step::DeleteForward { .. }
        | Step::DeleteNeighbour { .. }
        | Step::AddFlood { .. }
        | Step::DeleteFlood { .. } => false,
    }
}

/// The network's part of a link's name, if the link is one of ours.
fn our_name(name: &str, message: &LinkMessage) -> Option<(String, Part)> {
    let is = |wanted: &InfoKind| {
        message.attributes.iter().any(|attribute| match attribute {
            LinkAttribute::LinkInfo(infos) => {
                infos.iter().any(|info| matches!(info, LinkInfo::Kind(kind) if kind == wanted))
            }
            _ => false,
        })
    };
    let (id, part) = match name.strip_prefix(BRIDGE_PREFIX) {
        Some(id) if is(&InfoKind::Bridge) => (id, Part::Bridge),
        Some(_) => return None,
        None => (name.strip_prefix(VXLAN_PREFIX).filter(|_| is(&InfoKind::Vxlan))?, Part::Vxlan),
    };
    let ours = id.len() == 8 && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    ours.then(|| (id.to_owned(), part))
}

fn read_link(message: &LinkMessage) -> (u32, String, Link) {
    let mut name = String::new();
    let mut link = Link {
        index: message.header.index,
        up: message.header.flags.contains(LinkFlags::Up),
        ..Link::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name.clone_from(text),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Controller(master) => link.master = Some(*master),
            LinkAttribute::Address(bytes) => {
                link.mac = bytes.as_slice().try_into().unwrap_or_default();
            }
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Data(InfoData::Vxlan(data)) = info {
                        link.kind = read_vxlan(data);
                    }
                }
            }
            _ => {}
        }
    }
    (message.header.index, name, link)
}

fn read_vxlan(data: &[InfoVxlan]) -> LinkKind {
    let (mut vni, mut local, mut port, mut learning) = (0, None, 0, false);
    for info in data {
        match info {
            InfoVxlan::Id(id) => vni = *id,
            InfoVxlan::Local(address) => local = Some(IpAddr::V4(*address)),
            InfoVxlan::Local6(address) => local = Some(IpAddr::V6(*address)),
            InfoVxlan::Port(number) => port = *number,
            InfoVxlan::Learning(on) => learning = *on,
            _ => {}
        }
    }
    LinkKind::Vxlan { vni, local, port, learning }
}

fn read_neighbour(message: &NeighbourMessage, found: &mut Found) {
    if message.header.state != NeighbourState::Permanent {
        return;
    }
    let (mut address, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(a)) => address = Some(*a),
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = Mac::try_from(bytes.as_slice()).ok();
            }
            _ => {}
        }
    }
    if let (Some(address), Some(mac)) = (address, mac) {
        found.neighbours.insert(address, mac);
    }
}

/// Entries of the bridge are static (`NUD_NOARP`), entries of the tunnel carry a destination.
fn read_forward(message: &NeighbourMessage, found: &mut Found) {
    let (mut node, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(a)) => {
                node = Some(IpAddr::V4(*a));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(a)) => {
                node = Some(IpAddr::V6(*a));
            }
            // Some versions of the parser give addresses of this family as they came.
            NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => {
                node = address_of(bytes);
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = Mac::try_from(bytes.as_slice()).ok();
            }
            _ => {}
        }
    }
    let Some(mac) = mac else { return };
    let fixed = u16::from(message.header.state) & (NUD_NOARP | NUD_PERMANENT) != 0;
    if message.header.flags.contains(NeighbourFlags::Own) {
        if let Some(node) = node.filter(|_| fixed) {
            if mac == NO_MAC {
                found.flood.insert(node);
            } else {
                found.tunnel.insert(mac, node);
            }
        }
    } else if message.header.state == NeighbourState::Noarp {
        found.forward.insert(mac);
    }
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(octets));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

fn tunnel_entry(index: u32, mac: Mac, node: IpAddr) -> NeighbourMessage {
    let destination = match node {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    };
    // A tunnel takes nothing that is neither permanent nor reachable.
    let state = if mac == NO_MAC {
        NeighbourState::Permanent
    } else {
        NeighbourState::Other(NUD_NOARP | NUD_REACHABLE)
    };
    let mut entry = bridge_entry(index, mac, state, NeighbourFlags::Own);
    entry.attributes.push(NeighbourAttribute::Destination(destination));
    entry
}

fn forward_entry(index: u32, mac: Mac) -> NeighbourMessage {
    bridge_entry(index, mac, NeighbourState::Noarp, NeighbourFlags::Controller)
}

fn bridge_entry(
    index: u32,
    mac: Mac,
    state: NeighbourState,
    flags: NeighbourFlags,
) -> NeighbourMessage {
    let mut entry = NeighbourMessage::default();
    entry.header.family = AddressFamily::Bridge;
    entry.header.ifindex = index;
    entry.header.state = state;
    entry.header.flags = flags;
    entry.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
    entry
}

fn neighbour_entry(index: u32, address: Ipv4Addr, mac: Mac) -> NeighbourMessage {
    let mut entry = NeighbourMessage::default();
    entry.header.family = AddressFamily::Inet;
    entry.header.ifindex = index;
    entry.header.state = NeighbourState::Permanent;
    entry.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::Inet(address)));
    entry.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
    entry
}

fn index(indexes: &BTreeMap<String, u32>, name: &str) -> Result<u32, KernelError> {
    indexes.get(name).copied().ok_or_else(|| KernelError::Netlink {
        what: format!("link {name}"),
        message: "is not there".into(),
    })
}

async fn collect<T>(
    what: &str,
    stream: impl futures_util::Stream<Item = Result<T, rtnetlink::Error>>,
) -> Result<Vec<T>, KernelError> {
    stream
        .try_collect()
        .await
        .map_err(|e| KernelError::Netlink { what: what.to_owned(), message: e.to_string() })
}

fn done(
    what: impl Fn() -> String,
    outcome: Result<(), rtnetlink::Error>,
) -> Result<(), KernelError> {
    outcome.map_err(|e| KernelError::Netlink { what: what(), message: e.to_string() })
}

/// Like [`done`], but these refusals mean that nothing was left to do.
fn forgiving(
    what: impl Fn() -> String,
    outcome: Result<(), rtnetlink::Error>,
    allowed: &[i32],
) -> Result<(), KernelError> {
    match outcome {
        Err(rtnetlink::Error::NetlinkError(message))
            if message.code.is_some_and(|code| allowed.contains(&code.get())) =>
        {
            Ok(())
        }
        other => done(what, other),
    }
}
