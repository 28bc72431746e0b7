//! Makes answers of the cluster's objects. Pure: state in, `model::api` out.
//!
//! What other systems' clients cannot understand is worded for them: a task that is draining is
//! shown with the desired state `shutdown` and the state `shutdown`, so that nobody sends it new
//! work (decision 4). Our own clients ask for the states as they are ([`States::Exact`]).

mod authority;
mod brief;
mod defaults;
mod network;
mod node;
mod service;
mod swarm;
mod task;

pub(super) use authority::Authorities;
pub(super) use brief::{Detail, node as node_in, service as service_in};
pub(super) use defaults::with_defaults;
pub(super) use network::{network, predefined, services as network_services};
pub(super) use node::node;
pub(super) use service::{service, status as service_status, update_status};
pub(super) use swarm::{cluster_info, swarm};
pub(super) use task::{TaskView, name as task_name};

use model::api::{Config, Secret};
use model::object;
use model::spec::SecretSpec;

/// In whose words states are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum States {
    /// Those that Docker has.
    Docker,
    /// As they are.
    Exact,
}

/// A secret, without its data.
pub(super) fn secret(secret: &object::Secret) -> Secret {
    Secret {
        id: secret.id.to_string(),
        version: secret.meta.version.into(),
        created_at: secret.meta.created_at.into(),
        updated_at: secret.meta.updated_at.into(),
        spec: SecretSpec {
            name: secret.spec.name.clone(),
            labels: secret.spec.labels.clone(),
            data: String::new(),
            driver: secret.spec.driver.clone(),
            templating: secret.spec.templating.clone(),
            extra: secret.spec.extra.clone(),
        },
    }
}

/// A config.
pub(super) fn config(config: &object::Config) -> Config {
    Config {
        id: config.id.to_string(),
        version: config.meta.version.into(),
        created_at: config.meta.created_at.into(),
        updated_at: config.meta.updated_at.into(),
        spec: config.spec.clone(),
    }
}
