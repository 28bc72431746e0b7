//! Rust's client for Docker against the API: what it asks, it can read.

use std::collections::HashMap;

use bollard::models::{
    ConfigSpec, NetworkCreateRequest, SecretSpec, ServiceSpec, ServiceSpecMode,
    ServiceSpecModeReplicated, TaskSpec, TaskSpecContainerSpec,
};
use bollard::query_parameters::{
    InspectNetworkOptions, InspectServiceOptions, ListConfigsOptions, ListNetworksOptions,
    ListNodesOptions, ListSecretsOptions, ListServicesOptions, ListTasksOptions,
    UpdateServiceOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use orchestrator::api::Api;
use tokio::net::UnixListener;

use crate::front::front;
use crate::memory::Memory;

/// Seconds that no request takes unless it hangs.
const TIMEOUT: u64 = 30;

fn spec(replicas: i64) -> ServiceSpec {
    let container = TaskSpecContainerSpec {
        image: Some("demo/web:1".to_owned()),
        ..TaskSpecContainerSpec::default()
    };
    ServiceSpec {
        name: Some("web".to_owned()),
        mode: Some(ServiceSpecMode {
            replicated: Some(ServiceSpecModeReplicated { replicas: Some(replicas) }),
            ..ServiceSpecMode::default()
        }),
        task_template: Some(TaskSpec { container_spec: Some(container), ..TaskSpec::default() }),
        ..ServiceSpec::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bollard_reads_what_it_asks_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("docker.sock");
    let cluster = Memory::with_workers(2);
    let api = Api::new(cluster.clone());
    let router = front(&api).fallback_service(api.router());
    let listener = UnixListener::bind(&socket).expect("a socket");
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let path = socket.display().to_string();
    let docker = Docker::connect_with_unix(&path, TIMEOUT, API_DEFAULT_VERSION).expect("a client");

    let made = docker.create_service(spec(2), None).await.expect("create");
    let id = made.id.expect("an id");
    cluster.settle();
    let by_name = HashMap::from([("name".to_owned(), vec!["web".to_owned()])]);
    let options = ListServicesOptions { filters: Some(by_name), status: Some(true) };
    let listed = docker.list_services(Some(options)).await.expect("list");
    let status = listed[0].service_status.clone().expect("with status");
    assert_eq!((listed.len(), status.running_tasks), (1, Some(2)));

    let options = None::<InspectServiceOptions>;
    let service = docker.inspect_service("web", options).await.expect("inspect");
    let version = service.version.and_then(|v| v.index).expect("a version");
    let version = i32::try_from(version).expect("small");
    let options = UpdateServiceOptionsBuilder::new().version(version).build();
    docker.update_service(&id, spec(3), options.clone(), None).await.expect("update");
    let stale = docker.update_service(&id, spec(4), options, None).await;
    assert!(stale.is_err_and(|e| e.to_string().contains("out of sequence")));
    cluster.settle();
    let tasks = docker.list_tasks(None::<ListTasksOptions>).await.expect("tasks");
    assert_eq!(tasks.len(), 3);
    docker.inspect_task(tasks[0].id.as_deref().expect("an id")).await.expect("a task");

    assert_eq!(docker.list_nodes(None::<ListNodesOptions>).await.expect("nodes").len(), 3);
    docker.inspect_node("w1").await.expect("a node");
    docker.inspect_swarm().await.expect("the swarm");

    let data = Some("YQ==".to_owned());
    let name = Some("key".to_owned());
    let config = ConfigSpec { name: name.clone(), data: data.clone(), ..ConfigSpec::default() };
    docker.create_config(config).await.expect("a config");
    let secret = SecretSpec { name, data, ..SecretSpec::default() };
    docker.create_secret(secret).await.expect("a secret");
    assert_eq!(docker.list_configs(None::<ListConfigsOptions>).await.expect("configs").len(), 1);
    assert_eq!(docker.list_secrets(None::<ListSecretsOptions>).await.expect("secrets").len(), 1);

    let network = NetworkCreateRequest {
        name: "front".to_owned(),
        driver: Some("overlay".to_owned()),
        ..NetworkCreateRequest::default()
    };
    docker.create_network(network).await.expect("a network");
    let options = None::<InspectNetworkOptions>;
    docker.inspect_network("front", options).await.expect("it is there");
    let networks = docker.list_networks(None::<ListNetworksOptions>).await.expect("networks");
    assert!(networks.iter().any(|n| n.name.as_deref() == Some("front")));
    docker.remove_network("front").await.expect("gone");
    docker.delete_service("web").await.expect("gone");
    server.abort();
}
