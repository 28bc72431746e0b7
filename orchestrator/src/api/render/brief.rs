//! Nodes, services and tasks with what a picture of the cluster shows and nothing else.
//!
//! The same fields in the same places, fewer of them: whoever reads the whole can read the brief.
//! Left out on purpose is everything that may hold a password (environment, arguments, configs).

use std::sync::Arc;

use model::api::{Node, Service, TlsInfo};
use model::spec::{ContainerSpec, ServiceSpec, TaskSpec};

/// How much of an object is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Detail {
    Whole,
    Brief,
}

/// The node in so much detail.
pub(in crate::api) fn node(detail: Detail, mut node: Node) -> Node {
    match detail {
        Detail::Whole => {}
        Detail::Brief => {
            node.description.tls_info = TlsInfo::default();
            node.description.engine.plugins.clear();
            node.description.capabilities.clear();
        }
    }
    node
}

/// The service in so much detail.
pub(in crate::api) fn service(detail: Detail, mut service: Service) -> Service {
    match detail {
        Detail::Whole => {}
        Detail::Brief => {
            service.spec = spec(&service.spec);
            service.previous_spec = service.previous_spec.as_deref().map(spec);
            service.endpoint.spec = Default::default();
            service.endpoint.virtual_ips.clear();
        }
    }
    service
}

fn spec(whole: &ServiceSpec) -> Arc<ServiceSpec> {
    Arc::new(ServiceSpec {
        name: whole.name.clone(),
        labels: whole.labels.clone(),
        mode: whole.mode.clone(),
        task_template: task_spec(&whole.task_template),
        update_config: whole.update_config.clone(),
        ..ServiceSpec::default()
    })
}

/// Of what a task is made of: the image.
pub(super) fn task_spec(whole: &TaskSpec) -> TaskSpec {
    let image = whole.container_spec.as_ref().map(|c| c.image.clone()).unwrap_or_default();
    TaskSpec {
        container_spec: Some(ContainerSpec { image, ..ContainerSpec::default() }),
        ..TaskSpec::default()
    }
}
