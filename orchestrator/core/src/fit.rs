//! Says whether a node may run a task, and if not, its first objection.
//!
//! Two halves: [`Demand::unsuited`] looks at what a node is, [`Demand::no_room`] at what is left of
//! it. The planner asks both; `apply` asks the second again, because room changes between plan and
//! log position.

use std::collections::BTreeMap;

use model::object::{Node, NodeState, Template};
use model::reason::Objection;
use model::spec::{Availability, Platform};

use crate::State;
use crate::constraint::{Constraint, architecture};
use crate::state::{Claim, NodeUse, generic};

/// What a task of a template asks of its node.
#[derive(Clone, Debug)]
pub struct Demand {
    pub claim: Claim,
    constraints: Vec<Constraint>,
    platforms: Vec<Platform>,
    /// Per node; 0 means no limit.
    max_replicas: u64,
    volume_drivers: Vec<String>,
    /// A host port of it is published on every node by a service.
    port_published: bool,
}

impl Demand {
    /// What tasks of this template ask for.
    #[must_use]
    pub fn of(state: &State, template: &Template) -> Demand {
        let claim = Claim::of(template);
        let placement = template.task.placement.as_ref();
        let mounts = template.task.container_spec.iter().flat_map(|c| &c.mounts);
        let driver = |m: &model::spec::Mount| {
            let name = m.volume_options.as_ref()?.driver_config.as_ref()?.name.clone();
            (!name.is_empty() && name != "local").then_some(name)
        };
        Demand {
            port_published: claim.host_ports.iter().any(|port| state.port_user(*port).is_some()),
            claim,
            constraints: placement
                .map(|p| p.constraints.iter().filter_map(|text| text.parse().ok()).collect())
                .unwrap_or_default(),
            platforms: placement.map(|p| p.platforms.clone()).unwrap_or_default(),
            max_replicas: placement.map_or(0, |p| p.max_replicas),
            volume_drivers: mounts.filter_map(driver).collect(),
        }
    }

    /// Whether the node keeps a task that it has: the half of the constraints' meaning that is
    /// looked at again while a task runs.
    #[must_use]
    pub fn still_suits(&self, node: &Node) -> bool {
        node.spec.availability != Availability::Drain
            && self.constraints.iter().all(|c| c.met_by(node))
    }

    /// Whether the image exists for the node's platform.
    #[must_use]
    pub fn runs_on(&self, node: &Node) -> bool {
        self.platforms.is_empty() || self.platforms.iter().any(|p| runs(node, p))
    }

    /// What speaks against the node as such.
    #[must_use]
    pub fn unsuited(&self, node: &Node) -> Option<Objection> {
        if let Some(objection) = closed(node) {
            return Some(objection);
        }
        if !self.constraints.iter().all(|c| c.met_by(node)) {
            return Some(Objection::Constraint);
        }
        if !self.runs_on(node) {
            return Some(Objection::Platform);
        }
        let has = |driver: &String| {
            let known = node.description.engine.plugins.get("Volume");
            // `name:tag` and `name` are the same plugin.
            known.is_some_and(|k| {
                k.iter().any(|p| p == driver || p.split(':').next() == Some(driver))
            })
        };
        (!self.volume_drivers.iter().all(has)).then_some(Objection::Plugin)
    }

    /// What speaks against one more task there, with `used` of it taken and `live` tasks of the
    /// service on it.
    #[must_use]
    pub fn no_room(&self, node: &Node, used: &NodeUse, live: u32) -> Option<Objection> {
        if let Some(objection) = closed(node) {
            return Some(objection);
        }
        let has = &node.description.resources;
        let total: BTreeMap<String, i64> = if self.claim.generic.is_empty() {
            BTreeMap::new()
        } else {
            has.generic_resources.iter().filter_map(generic).fold(
                BTreeMap::new(),
                |mut sum, (kind, number)| {
                    *sum.entry(kind).or_default() += number;
                    sum
                },
            )
        };
        let fits = |asked: i64, taken: i64, total: i64| asked == 0 || asked + taken <= total;
        let generic_fits = self.claim.generic.iter().all(|(kind, asked)| {
            let taken = used.generic.get(kind).copied().unwrap_or(0);
            fits(*asked, taken, total.get(kind).copied().unwrap_or(0))
        });
        if !fits(self.claim.nano_cpus, used.nano_cpus, has.nano_cpus)
            || !fits(self.claim.memory_bytes, used.memory_bytes, has.memory_bytes)
            || !generic_fits
        {
            return Some(Objection::Resources);
        }
        let taken = |port| used.host_ports.contains_key(port);
        if self.port_published || self.claim.host_ports.iter().any(taken) {
            return Some(Objection::HostPort);
        }
        if self.max_replicas != 0 && u64::from(live) >= self.max_replicas {
            return Some(Objection::MaxReplicas);
        }
        None
    }
}

/// Whether the node takes no new task at all.
fn closed(node: &Node) -> Option<Objection> {
    if node.status.state != NodeState::Ready {
        return Some(Objection::NotReady);
    }
    (node.spec.availability != Availability::Active).then_some(Objection::NotActive)
}

/// Whether the node runs images of the platform. What either side leaves out matches anything.
fn runs(node: &Node, platform: &Platform) -> bool {
    let own = &node.description.platform;
    let same = |a: &str, b: &str| a.is_empty() || b.is_empty() || a == b;
    same(&platform.os, &own.os)
        && same(architecture(&platform.architecture), architecture(&own.architecture))
}
