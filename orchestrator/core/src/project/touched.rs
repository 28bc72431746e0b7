//! Which parts of which nodes' orders entries of the log touch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::object::Service;
use model::wire::orders::ServiceOrder;
use model::{ConfigId, NetworkId, NodeId, SecretId, ServiceId, TaskId};

use super::{parts, table};
use crate::State;
use crate::command::{Applied, ObjectRef};

/// The parts of orders that some entries touch.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) cluster: bool,
    /// Own description changed; also told to the nodes whose orders name it.
    pub(super) nodes: BTreeSet<NodeId>,
    /// On the node that has the task.
    pub(super) tasks: BTreeMap<NodeId, BTreeSet<TaskId>>,
    pub(super) services: BTreeSet<ServiceId>,
    /// A service itself changed, so that other nodes may have to know it.
    pub(super) specs: bool,
    pub(super) networks: BTreeMap<NetworkId, table::Touched>,
    pub(super) secrets: BTreeSet<SecretId>,
    pub(super) configs: BTreeSet<ConfigId>,
}

/// Every service that has changed, as it was then: much of what changes of one is told to nobody.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    services: BTreeMap<ServiceId, Arc<Service>>,
}

impl Touched {
    /// `told` are the services as nodes were told of them.
    pub(super) fn by<'a>(
        applied: impl IntoIterator<Item = &'a Applied>,
        state: &State,
        seen: &mut Seen,
        told: &BTreeMap<ServiceId, Arc<ServiceOrder>>,
    ) -> Touched {
        let mut touched = Touched::default();
        for change in applied.into_iter().flat_map(|a| &a.changes) {
            match change.object {
                ObjectRef::Cluster => touched.cluster = true,
                ObjectRef::Node(id) => {
                    touched.nodes.insert(id);
                    // Managers' addresses are told to all.
                    touched.cluster = true;
                    let own = touched.tasks.entry(id).or_default();
                    own.extend(state.tasks_on(id).map(|t| t.id));
                }
                ObjectRef::Service(id) => {
                    touched.services.insert(id);
                    if seen.says_the_same(state, id) {
                        continue;
                    }
                    touched.specs = true;
                    // A service's own words are in its tasks' orders.
                    for task in state.tasks_of(id) {
                        if let Some(node) = task.node {
                            touched.tasks.entry(node).or_default().insert(task.id);
                        }
                    }
                }
                ObjectRef::Task(id) => {
                    let Some(place) = &change.task else { continue };
                    if !serves_as_told(state, told, place.service, id) {
                        touched.services.insert(place.service);
                    }
                    for network in &place.networks {
                        let on = touched.networks.entry(*network).or_default();
                        on.tasks.insert(id);
                        on.nodes.extend(place.node);
                    }
                    if let Some(node) = place.node {
                        touched.tasks.entry(node).or_default().insert(id);
                    }
                }
                ObjectRef::Network(id) => {
                    touched.networks.entry(id).or_default().itself = true;
                }
                ObjectRef::Secret(id) => {
                    touched.secrets.insert(id);
                }
                ObjectRef::Config(id) => {
                    touched.configs.insert(id);
                }
            }
        }
        touched
    }
}

impl Seen {
    /// Whether a service is, to its tasks and to whom must know it, what it was before its last change:
    /// a step of its rollout is nothing to them.
    fn says_the_same(&mut self, state: &State, id: ServiceId) -> bool {
        let Some(now) = state.service(id) else {
            self.services.remove(&id);
            return false;
        };
        let Some(before) = self.services.insert(id, now.clone()) else { return false };
        let words = |s: &Service| (s.template, s.removed.is_some());
        words(&before) == words(now)
            && before.spec.name == now.spec.name
            && before.spec.labels == now.spec.labels
            && before.endpoint == now.endpoint
            && before.registry_auth == now.registry_auth
    }
}

/// Whether a task is the backend of its service, or none, that nodes were told: most of what a
/// task reports changes nothing of that.
fn serves_as_told(
    state: &State,
    told: &BTreeMap<ServiceId, Arc<ServiceOrder>>,
    service: ServiceId,
    task: TaskId,
) -> bool {
    let Some(told) = told.get(&service) else { return false };
    let now = state.task(task).and_then(|task| parts::backend(task));
    told.backends.get(&task) == now.as_ref()
}
