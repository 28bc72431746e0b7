//! Where a connection to a published port may go, and which relayed ones this node takes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use model::object::Subnet;
use model::spec::Protocol;
use model::wire::orders::{Orders, TaskOrder};
use model::{NodeId, ServiceId, TaskId};
use serde::{Deserialize, Serialize};

use super::local::LocalContainer;

/// What ingress carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Transport {
    Tcp,
    Udp,
}

/// A port that this node has open for the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    pub transport: Transport,
    pub port: u16,
}

impl std::fmt::Display for PublishedPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        write!(f, "{}/{name}", self.port)
    }
}

/// All that ingress and relay of this node need to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    pub ports: BTreeMap<PublishedPort, Port>,
    /// Tasks of this node, by which relayed connections name their goal. Also those that get no
    /// new traffic: another node may not have heard of it yet.
    pub local: BTreeMap<TaskId, LocalTask>,
    /// Addresses of containers: a client from there cannot keep its address, because the answer
    /// would find a shorter way back.
    pub subnets: Vec<Subnet>,
}

/// One published port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub service: ServiceId,
    pub service_name: String,
    /// Tasks that get new connections.
    pub targets: Vec<Target>,
}

/// One task behind a published port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub task: TaskId,
    pub place: Place,
    /// Inside the container.
    pub port: u16,
}

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Here(Dial),
    /// Its node's relay is asked.
    Node {
        node: NodeId,
        address: IpAddr,
    },
}

/// How a task of this node is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dial {
    pub address: Ipv4Addr,
    pub source: Source,
}

/// Whose address a connection to a task carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The client's own: its answers come back through this host.
    Client,
    /// This host's.
    Host,
}

/// A task of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalTask {
    pub dial: Dial,
    /// The ports inside the container that its service publishes.
    pub ports: BTreeSet<(Transport, u16)>,
}

impl Routes {
    /// The routes that hold under `orders` with these containers here.
    #[must_use]
    pub fn new(orders: &Orders, local: &[LocalContainer]) -> Routes {
        let dials: BTreeMap<TaskId, Dial> = orders
            .tasks
            .values()
            .filter_map(|task| Some((task.id, dial(task, orders, local)?)))
            .collect();
        let mut routes = Routes {
            subnets: orders.networks.values().map(|network| network.subnet).collect(),
            ..Routes::default()
        };
        for service in orders.services.values() {
            let published = service.ports.iter().filter(|port| !port.publish_mode.is_host());
            for port in published {
                let transport = match port.protocol.effective() {
                    Protocol::Udp => Transport::Udp,
                    Protocol::Tcp | Protocol::Unset => Transport::Tcp,
                    // Refused by the managers; no proxy of ours speaks it.
                    Protocol::Sctp => continue,
                };
                for (id, task) in &orders.tasks {
                    if task.service == service.id
                        && let Some(dial) = dials.get(id)
                    {
                        routes
                            .local
                            .entry(*id)
                            .or_insert_with(|| LocalTask { dial: *dial, ports: BTreeSet::new() })
                            .ports
                            .insert((transport, port.target_port));
                    }
                }
                if port.published_port == 0 {
                    continue;
                }
                let targets = service
                    .backends
                    .iter()
                    .filter_map(|(task, backend)| {
                        let place = if backend.node == orders.node.id {
                            Place::Here(*dials.get(task)?)
                        } else {
                            let peer = orders.peers.get(&backend.node).filter(|p| p.alive)?;
                            Place::Node { node: backend.node, address: peer.address.parse().ok()? }
                        };
                        Some(Target { task: *task, place, port: port.target_port })
                    })
                    .collect();
                let key = PublishedPort { transport, port: port.published_port };
                routes.ports.entry(key).or_insert_with(|| Port {
                    service: service.id,
                    service_name: service.name.clone(),
                    targets,
                });
            }
        }
        routes
    }

    /// Whether a connection to a container may carry this client's address.
    #[must_use]
    pub fn can_keep(&self, client: IpAddr) -> bool {
        match client {
            IpAddr::V4(address) => {
                !address.is_loopback()
                    && !address.is_unspecified()
                    && !self.subnets.iter().any(|subnet| subnet.contains(address))
            }
            IpAddr::V6(_) => false,
        }
    }
}

/// A network that leads out first, so that answers to a client's address come back to this host.
fn dial(task: &TaskOrder, orders: &Orders, local: &[LocalContainer]) -> Option<Dial> {
    let leads_out = |a: &&model::object::Attachment| {
        orders.networks.get(&a.network).is_some_and(|network| !network.internal)
    };
    if let Some(attachment) = task.attachments.iter().find(leads_out) {
        return Some(Dial { address: attachment.address, source: Source::Client });
    }
    if let Some(attachment) = task.attachments.first() {
        return Some(Dial { address: attachment.address, source: Source::Host });
    }
    let container = local.iter().find(|container| container.task == Some(task.id))?;
    if let Some(address) = container.engine_address {
        return Some(Dial { address, source: Source::Client });
    }
    container.host_network.then_some(Dial { address: Ipv4Addr::LOCALHOST, source: Source::Host })
}

#[cfg(test)]
mod tests {
    use model::Id;

    use super::*;
    use crate::net::names::tests::{HERE, NET_A, NET_B, THERE, orders};

    const WEB: PublishedPort = PublishedPort { transport: Transport::Tcp, port: 80 };

    fn places(routes: &Routes) -> Vec<Place> {
        routes.ports[&WEB].targets.iter().map(|target| target.place).collect()
    }

    #[test]
    fn a_port_leads_to_every_live_task_wherever_it_is() {
        let mut orders = orders();
        let routes = Routes::new(&orders, &[]);
        let here =
            Place::Here(Dial { address: Ipv4Addr::new(10, 1, 0, 10), source: Source::Client });
        let there = "192.0.2.2".parse().expect("an address");
        assert_eq!(places(&routes), [here, Place::Node { node: THERE, address: there }]);
        assert_eq!(routes.ports[&WEB].targets[0].port, 8000);
        for peer in orders.peers.values_mut() {
            peer.alive = false;
        }
        assert_eq!(places(&Routes::new(&orders, &[])), [here]);
    }

    #[test]
    fn a_task_that_gets_no_new_traffic_still_takes_relayed_connections() {
        let mut orders = orders();
        for service in orders.services.values_mut() {
            let service = std::sync::Arc::make_mut(service);
            service.backends.retain(|_, backend| backend.node != HERE);
        }
        let routes = Routes::new(&orders, &[]);
        assert_eq!(places(&routes).len(), 1);
        let local = &routes.local[&TaskId(Id(100))];
        assert_eq!(local.ports, BTreeSet::from([(Transport::Tcp, 8000)]));
    }

    #[test]
    fn a_task_is_dialled_on_a_network_that_leads_out() {
        let mut orders = orders();
        let task = TaskId(Id(100));
        let dial = |orders: &Orders, local: &[LocalContainer]| {
            Routes::new(orders, local).local.get(&task).map(|local| local.dial)
        };
        if let Some(network) = orders.networks.get_mut(&NET_A) {
            network.internal = true;
        }
        let out = Dial { address: Ipv4Addr::new(10, 2, 0, 10), source: Source::Client };
        assert_eq!(dial(&orders, &[]), Some(out));
        if let Some(network) = orders.networks.get_mut(&NET_B) {
            network.internal = true;
        }
        let inside = Dial { address: Ipv4Addr::new(10, 1, 0, 10), source: Source::Host };
        assert_eq!(dial(&orders, &[]), Some(inside));
        if let Some(task) = orders.tasks.get_mut(&task) {
            task.attachments.clear();
        }
        assert_eq!(dial(&orders, &[]), None);
        let mut container = LocalContainer { task: Some(task), ..Default::default() };
        container.host_network = true;
        let host = Dial { address: Ipv4Addr::LOCALHOST, source: Source::Host };
        assert_eq!(dial(&orders, &[container.clone()]), Some(host));
        container.engine_address = Some(Ipv4Addr::new(172, 17, 0, 2));
        let bridge = Dial { address: Ipv4Addr::new(172, 17, 0, 2), source: Source::Client };
        assert_eq!(dial(&orders, &[container]), Some(bridge));
    }

    #[test]
    fn clients_among_the_containers_cannot_keep_their_address() {
        let routes = Routes::new(&orders(), &[]);
        for (client, kept) in [
            ("198.51.100.7", true),
            ("127.0.0.1", false),
            ("10.1.0.77", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(routes.can_keep(client.parse().expect("an address")), kept, "{client}");
        }
    }
}
