//! Tests of the names, and the orders that other tests of this folder use too.

use std::sync::Arc;

use model::lifecycle::Desired;
use model::object::{Attachment, Slot, Subnet};
use model::spec::{Labels, PortConfig, Protocol, PublishMode, TaskSpec};
use model::wire::orders::{Backend, Members, NetworkOrder, PeerOrder, ServiceNetwork, TaskOrder};
use model::{Id, NodeId, ServiceId, TaskId};

use super::*;

pub(crate) const NET_A: NetworkId = NetworkId(Id(0xa));
pub(crate) const NET_B: NetworkId = NetworkId(Id(0xb));
pub(crate) const HERE: NodeId = NodeId(Id(1));
pub(crate) const THERE: NodeId = NodeId(Id(2));

pub(crate) fn asker(networks: &[NetworkId]) -> Asker {
    Asker { networks: networks.to_vec(), nameservers: Vec::new() }
}

fn network(id: NetworkId, name: &str, second: u8) -> NetworkOrder {
    NetworkOrder {
        id,
        name: name.into(),
        vni: u32::from(second),
        subnet: Subnet { address: Ipv4Addr::new(10, second, 0, 0), prefix: 24 },
        gateway: Ipv4Addr::new(10, second, 0, 1),
        internal: false,
        attachable: false,
        encrypted: false,
        options: Labels::new(),
        labels: Labels::new(),
        members: Arc::new(Members {
            tasks: BTreeMap::new(),
            gateways: BTreeMap::from([
                (Ipv4Addr::new(10, second, 0, 1), HERE),
                (Ipv4Addr::new(10, second, 0, 2), THERE),
            ]),
        }),
    }
}

fn service(id: u128, name: &str) -> ServiceOrder {
    ServiceOrder {
        id: ServiceId(Id(id)),
        name: name.into(),
        stack: Some("demo".into()),
        dnsrr: false,
        networks: BTreeMap::new(),
        ports: Vec::new(),
        backends: BTreeMap::new(),
    }
}

/// Two networks, this node and one other. `demo_web` (VIP, task 100 here and 101 there) on both
/// networks, `demo_db` (two tasks by DNS) and `demo_idle` (VIP, no task) on the first.
pub(crate) fn orders() -> Orders {
    let mut orders = Orders::default();
    orders.node.id = HERE;
    orders.cluster.data_path_port = 4789;
    let peer = PeerOrder { hostname: "there".into(), address: "192.0.2.2".into(), alive: true };
    orders.peers.insert(THERE, peer);
    let mut a = network(NET_A, "demo_default", 1);
    let tasks = &mut Arc::make_mut(&mut a.members).tasks;
    tasks.insert(Ipv4Addr::new(10, 1, 0, 10), HERE);
    tasks.insert(Ipv4Addr::new(10, 1, 0, 11), THERE);
    orders.networks.insert(NET_A, a);
    orders.networks.insert(NET_B, network(NET_B, "demo_back", 2));

    let mut web = service(1, "demo_web");
    let aliases = BTreeSet::from(["web".to_owned(), "Site".to_owned()]);
    for (net, second) in [(NET_A, 1), (NET_B, 2)] {
        let vip = Some(Ipv4Addr::new(10, second, 0, 5));
        web.networks.insert(net, ServiceNetwork { vip, aliases: aliases.clone() });
    }
    web.ports.push(PortConfig {
        protocol: Protocol::Tcp,
        target_port: 8000,
        published_port: 80,
        publish_mode: PublishMode::Ingress,
        ..PortConfig::default()
    });
    for (task, node, last) in [(100, HERE, 10), (101, THERE, 11)] {
        web.backends.insert(
            TaskId(Id(task)),
            Backend {
                node,
                slot: Slot::Replica(task as u64 - 99),
                addresses: BTreeMap::from([
                    (NET_A, Ipv4Addr::new(10, 1, 0, last)),
                    (NET_B, Ipv4Addr::new(10, 2, 0, last)),
                ]),
            },
        );
    }
    orders.services.insert(web.id, web.into());

    let mut db = service(2, "demo_db");
    db.dnsrr = true;
    let on = ServiceNetwork { vip: None, aliases: BTreeSet::from(["db".to_owned()]) };
    db.networks.insert(NET_A, on);
    for (task, last) in [(200, 20), (201, 21)] {
        db.backends.insert(
            TaskId(Id(task)),
            Backend {
                node: THERE,
                slot: Slot::Replica(task as u64 - 199),
                addresses: BTreeMap::from([(NET_A, Ipv4Addr::new(10, 1, 0, last))]),
            },
        );
    }
    orders.services.insert(db.id, db.into());

    let mut idle = service(3, "demo_idle");
    let vip = Some(Ipv4Addr::new(10, 1, 0, 7));
    idle.networks.insert(NET_A, ServiceNetwork { vip, aliases: BTreeSet::new() });
    orders.services.insert(idle.id, idle.into());

    orders.tasks.insert(TaskId(Id(100)), task(100));
    orders
}

fn task(id: u128) -> TaskOrder {
    let container = model::spec::ContainerSpec { hostname: "front".into(), ..Default::default() };
    TaskOrder {
        id: TaskId(Id(id)),
        service: ServiceId(Id(1)),
        service_name: "demo_web".into(),
        stack: Some("demo".into()),
        slot: Slot::Replica(1),
        name: format!("demo_web.1.{}", Id(id)),
        desired: Desired::Running,
        not_before: None,
        spec: Arc::new(TaskSpec { container_spec: Some(container), ..Default::default() }),
        attachments: vec![
            Attachment { network: NET_A, address: Ipv4Addr::new(10, 1, 0, 10) },
            Attachment { network: NET_B, address: Ipv4Addr::new(10, 2, 0, 10) },
        ],
        host_ports: Vec::new(),
        labels: Labels::new(),
        registry_auth: None,
    }
}

fn addresses(found: Found) -> String {
    match found {
        Found::Addresses(list) => {
            list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }
        Found::Pointer(name) => format!("-> {name}"),
        Found::Nobody => "nobody".into(),
        Found::Elsewhere => "elsewhere".into(),
    }
}

#[test]
fn a_name_means_what_its_network_says() {
    let own = LocalContainer {
        id: "c1".into(),
        names: BTreeSet::from(["Shell".to_owned()]),
        addresses: BTreeMap::from([(NET_A, Ipv4Addr::new(10, 1, 0, 130))]),
        ..Default::default()
    };
    let names = Names::new(&orders(), &[own]);
    let both = [NET_A, NET_B];
    let task = format!("demo_web.2.{}", Id(101));
    for (networks, name, expected) in [
        (&both[..1], "demo_web", "10.1.0.5"),
        (&both[1..], "demo_web", "10.2.0.5"),
        (&both[..], "web", "10.1.0.5"),
        (&both[..1], "site", "10.1.0.5"),
        (&both[..1], "tasks.web", "10.1.0.10 10.1.0.11"),
        (&both[..1], "tasks.demo_web", "10.1.0.10 10.1.0.11"),
        (&both[..1], "db", "10.1.0.20 10.1.0.21"),
        (&both[1..], "db", "elsewhere"),
        (&both[..1], "demo_idle", "10.1.0.7"),
        (&both[..1], "tasks.demo_idle", ""),
        (&both[..1], &task, "10.1.0.11"),
        (&both[..1], "front", "10.1.0.10"),
        (&both[..1], "shell", "10.1.0.130"),
        (&both[1..], "shell", "elsewhere"),
        (&both[..], "web.demo_back", "10.2.0.5"),
        (&both[..1], "web.demo_back", "elsewhere"),
        (&both[..1], "example.org", "elsewhere"),
        (&both[..1], "5.0.1.10.in-addr.arpa", "-> demo_web.demo_default"),
        (&both[..1], "99.0.1.10.in-addr.arpa", "nobody"),
        (&both[1..], "5.0.1.10.in-addr.arpa", "elsewhere"),
        (&[], "web", "elsewhere"),
    ] {
        let found = addresses(names.find(&asker(networks), Vips::Work, name));
        assert_eq!(found, expected, "{name} on {networks:?}");
    }
}

#[test]
fn without_virtual_addresses_a_name_stands_for_its_tasks() {
    let names = Names::new(&orders(), &[]);
    let found = names.find(&asker(&[NET_A]), Vips::Missing, "web");
    assert_eq!(addresses(found), "10.1.0.10 10.1.0.11");
}

#[test]
fn services_that_share_an_alias_are_all_named() {
    let mut orders = orders();
    for service in orders.services.values_mut() {
        let service = std::sync::Arc::make_mut(service);
        if let Some(on) = service.networks.get_mut(&NET_A) {
            on.aliases.insert("all".into());
        }
    }
    let found = Names::new(&orders, &[]).find(&asker(&[NET_A]), Vips::Work, "all");
    assert_eq!(addresses(found), "10.1.0.5 10.1.0.7 10.1.0.20 10.1.0.21");
}

#[test]
fn every_address_comes_first_equally_often() {
    let all: Vec<Ipv4Addr> = (1..=4).map(|last| Ipv4Addr::new(10, 0, 0, last)).collect();
    let mut first = BTreeMap::<Ipv4Addr, u32>::new();
    for seed in 0..4000 {
        let mut list = all.clone();
        shuffle(&mut list, seed);
        assert_eq!(list.iter().collect::<BTreeSet<_>>().len(), 4);
        *first.entry(list[0]).or_default() += 1;
    }
    assert!(first.values().all(|count| (850..1150).contains(count)), "{first:?}");
}
