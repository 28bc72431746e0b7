//! Tests of the overlay: the steps, done to a model of the kernel, give what was wanted.

use proptest::prelude::*;

use super::*;
use crate::net::names::tests::{NET_A, orders};

fn underlay() -> Underlay {
    Underlay { local: "192.0.2.1".parse().expect("an address"), mtu: 1500, port: 4789 }
}

/// Does steps to a kernel as Linux would.
fn perform(kernel: &mut Kernel, steps: &[Step]) {
    let id = |name: &str| name[2..].to_owned();
    for (next, step) in (100..).zip(steps) {
        match step.clone() {
            Step::AddBridge { bridge, mac, mtu } => {
                let found = kernel.entry(id(&bridge)).or_default();
                assert!(found.bridge.is_none(), "added twice");
                found.bridge = Some(Link { index: next, up: true, mtu, mac, ..Default::default() });
            }
            Step::SetBridge { bridge, mac, mtu } => {
                let found = kernel.entry(id(&bridge)).or_default();
                let link = found.bridge.as_mut().expect("a bridge");
                (link.up, link.mac, link.mtu) = (true, mac, mtu);
            }
            Step::AddAddress { bridge, address, .. } => {
                let found = kernel.entry(id(&bridge)).or_default();
                assert!(found.bridge.is_some());
                found.addresses.insert(address);
            }
            Step::AddVxlan { vxlan, vni, local, port, mtu, learning } => {
                let found = kernel.entry(id(&vxlan)).or_default();
                assert!(found.vxlan.is_none(), "added twice");
                let kind = LinkKind::Vxlan { vni, local: Some(local), port, learning };
                found.vxlan = Some(Link { index: next, mtu, kind, ..Default::default() });
            }
            Step::Enslave { vxlan, mtu, .. } => {
                let found = kernel.entry(id(&vxlan)).or_default();
                let bridge = found.bridge.as_ref().expect("a bridge").index;
                let link = found.vxlan.as_mut().expect("a tunnel");
                (link.master, link.up, link.mtu) = (Some(bridge), true, mtu);
            }
            Step::DeleteLink { name } => {
                let found = kernel.entry(id(&name)).or_default();
                if name.starts_with(BRIDGE_PREFIX) {
                    found.bridge = None;
                    found.addresses.clear();
                    found.neighbours.clear();
                } else {
                    found.vxlan = None;
                    found.tunnel.clear();
                    found.flood.clear();
                }
                found.forward.clear();
            }
            Step::SetRemote { bridge, address, node, .. } => {
                let found = kernel.entry(id(&bridge)).or_default();
                assert!(found.vxlan.as_ref().is_some_and(|link| link.master.is_some()));
                found.tunnel.insert(mac_of(address), node);
                found.forward.insert(mac_of(address));
                found.neighbours.insert(address, mac_of(address));
            }
            Step::DeleteTunnel { vxlan, mac, .. } => {
                assert!(kernel.entry(id(&vxlan)).or_default().tunnel.remove(&mac).is_some());
            }
            Step::DeleteForward { vxlan, mac } => {
                assert!(kernel.entry(id(&vxlan)).or_default().forward.remove(&mac));
            }
            Step::DeleteNeighbour { bridge, address } => {
                let found = kernel.entry(id(&bridge)).or_default();
                assert!(found.neighbours.remove(&address).is_some());
            }
            Step::AddFlood { vxlan, node } => {
                assert!(kernel.entry(id(&vxlan)).or_default().flood.insert(node));
            }
            Step::DeleteFlood { vxlan, node } => {
                assert!(kernel.entry(id(&vxlan)).or_default().flood.remove(&node));
            }
        }
    }
    kernel.retain(|_, found| found.bridge.is_some() || found.vxlan.is_some());
}

/// Brings a kernel to what is wanted.
fn settle(kernel: &mut Kernel, segments: &[Segment]) {
    let steps = diff(segments, kernel, &underlay());
    perform(kernel, &steps);
}

#[test]
fn a_segment_follows_from_the_orders() {
    let orders = orders();
    let segments = desired(&orders, &underlay());
    let a = segments.iter().find(|s| s.network == NET_A).expect("the network");
    assert_eq!((a.bridge.as_str(), a.vxlan.as_str()), ("ob0000000a", "ov0000000a"));
    assert_eq!((a.mtu, a.prefix, a.learning), (1450, 24, false));
    let there: IpAddr = "192.0.2.2".parse().expect("an address");
    let expected =
        BTreeMap::from([(Ipv4Addr::new(10, 1, 0, 2), there), (Ipv4Addr::new(10, 1, 0, 11), there)]);
    assert_eq!(a.remote, expected);
    assert!(a.flood.is_empty());
}

#[test]
fn an_attachable_network_floods_and_learns_and_options_choose_the_mtu() {
    let mut orders = orders();
    let network = orders.networks.get_mut(&NET_A).expect("the network");
    network.attachable = true;
    network.options.insert(MTU_OPTION.into(), "1300".into());
    let segment = segment(&orders.networks[&NET_A], &orders, &underlay());
    assert!(segment.learning);
    assert_eq!(segment.mtu, 1300);
    assert_eq!(segment.flood.len(), 1);
}

#[test]
fn steps_lead_to_what_is_wanted_and_then_nothing_is_left_to_do() {
    let orders = orders();
    let segments = desired(&orders, &underlay());
    let mut kernel = Kernel::new();
    settle(&mut kernel, &segments);
    assert_eq!(diff(&segments, &kernel, &underlay()), []);
    assert_eq!(kernel.len(), 2);
    let steps = delete_all(&kernel);
    perform(&mut kernel, &steps);
    assert!(kernel.is_empty());
}

#[test]
fn a_bridge_made_again_by_others_gets_its_tunnel_back() {
    let segments = desired(&orders(), &underlay());
    let mut kernel = Kernel::new();
    settle(&mut kernel, &segments);
    let found = kernel.values_mut().next().expect("a network");
    found.bridge.as_mut().expect("a bridge").index = 7;
    found.vxlan.as_mut().expect("a tunnel").master = None;
    found.forward.clear();
    found.neighbours.clear();
    let steps = diff(&segments, &kernel, &underlay());
    assert!(matches!(steps[0], Step::Enslave { .. }), "{steps:?}");
    perform(&mut kernel, &steps);
    assert_eq!(diff(&segments, &kernel, &underlay()), []);
}

#[test]
fn a_network_in_use_stays_until_its_last_container_has_gone() {
    let mut kernel = Kernel::new();
    settle(&mut kernel, &desired(&orders(), &underlay()));
    for found in kernel.values_mut() {
        found.other_ports = 1;
    }
    assert_eq!(diff(&[], &kernel, &underlay()), []);
    for found in kernel.values_mut() {
        found.other_ports = 0;
    }
    settle(&mut kernel, &[]);
    assert!(kernel.is_empty());
}

#[test]
fn standalone_containers_get_a_slice_of_the_upper_half() {
    let subnet: Subnet = "10.1.0.0/24".parse().expect("a subnet");
    let range = standalone_range(subnet, Ipv4Addr::new(10, 1, 0, 1));
    assert_eq!(range.to_string(), "10.1.0.144/28");
    let next = standalone_range(subnet, Ipv4Addr::new(10, 1, 0, 2));
    assert!(!range.overlaps(next));
    for prefix in 8..=30 {
        let subnet = Subnet { address: Ipv4Addr::new(10, 0, 0, 0), prefix };
        for place in 0..subnet.size().min(300) {
            let range = standalone_range(subnet, subnet.nth(place).expect("inside"));
            assert!(subnet.overlaps(range) && range.prefix > prefix, "{subnet} {range}");
            assert!(u32::from(range.address) >= u32::from(subnet.address) + subnet.size() / 2);
            assert!(u32::from(range.address).is_multiple_of(range.size()));
        }
    }
}

prop_compose! {
    fn any_segment()(
        id in 1u32..5,
        vni in 1u32..3,
        mtu in prop_oneof![Just(1450u32), Just(1300)],
        learning: bool,
        remote in proptest::collection::btree_map(2u8..12, 2u8..5, 0..8),
    ) -> Segment {
        let node = |last: u8| IpAddr::from([192, 0, 2, last]);
        let remote: BTreeMap<Ipv4Addr, IpAddr> = remote
            .into_iter()
            .map(|(last, n)| (Ipv4Addr::new(10, id as u8, 0, last), node(n)))
            .collect();
        Segment {
            network: NetworkId(model::Id(u128::from(id))),
            bridge: format!("ob{id}"),
            vxlan: format!("ov{id}"),
            vni,
            mtu,
            gateway: Ipv4Addr::new(10, id as u8, 0, 1),
            prefix: 24,
            learning,
            flood: if learning { remote.values().copied().collect() } else { BTreeSet::new() },
            remote,
        }
    }
}

fn any_segments() -> impl Strategy<Value = Vec<Segment>> {
    proptest::collection::vec(any_segment(), 0..5).prop_map(|mut list| {
        list.sort_by(|a, b| a.bridge.cmp(&b.bridge));
        list.dedup_by(|a, b| a.bridge == b.bridge);
        list
    })
}

proptest! {
    #[test]
    fn from_any_state_the_steps_lead_to_any_other(old in any_segments(), new in any_segments()) {
        let mut kernel = Kernel::new();
        settle(&mut kernel, &old);
        settle(&mut kernel, &new);
        let mut fresh = Kernel::new();
        settle(&mut fresh, &new);
        prop_assert_eq!(diff(&new, &kernel, &underlay()), vec![]);
        for (id, found) in &kernel {
            let other = &fresh[id];
            prop_assert_eq!(&found.tunnel, &other.tunnel);
            prop_assert_eq!(&found.forward, &other.forward);
            prop_assert_eq!(&found.neighbours, &other.neighbours);
            prop_assert_eq!(&found.flood, &other.flood);
        }
        prop_assert_eq!(kernel.len(), fresh.len());
    }
}
