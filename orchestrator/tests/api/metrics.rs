//! What a manager says of the cluster to Prometheus: numbers, and what there is to scrape.

use model::metrics::Page;
use model::spec::Availability;
use orchestrator::metrics::{discovery, of_state};
use orchestrator_core::command::Command;
use serde_json::json;

use crate::client::{Client, service};

fn value(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test]
async fn tasks_nodes_and_updates_are_counted_from_the_state() {
    let client = Client::new(2);
    client.create(&service("web")).await;
    let mut broken = service("broken");
    broken["TaskTemplate"]["ContainerSpec"]["Image"] = json!("demo/web:fails");
    broken["Mode"]["Replicated"]["Replicas"] = json!(1);
    client.create(&broken).await;
    let mut homeless = service("homeless");
    homeless["TaskTemplate"]["Placement"] = json!({"Constraints": ["node.labels.gpu==yes"]});
    client.create(&homeless).await;
    let page = of_state(&model_state(&client));
    assert_eq!(
        value(&page, "swarmctl_nodes{role=\"worker\",state=\"ready\"}"),
        Some(2.0),
        "{page}"
    );
    assert_eq!(value(&page, "swarmctl_service_tasks_running{service=\"web\"}"), Some(2.0));
    assert_eq!(value(&page, "swarmctl_service_tasks_desired{service=\"homeless\"}"), Some(2.0));
    assert_eq!(value(&page, "swarmctl_service_tasks_unplaced{service=\"homeless\"}"), Some(2.0));
    assert_eq!(value(&page, "swarmctl_service_tasks_failing{service=\"broken\"}"), Some(1.0));
    assert_eq!(value(&page, "swarmctl_service_update_running{service=\"web\"}"), Some(0.0));
    assert!(value(&page, "swarmctl_tasks{state=\"running\"}") >= Some(2.0));
}

#[tokio::test]
async fn nodes_are_found_with_the_labels_of_prometheus_own_discovery() {
    let client = Client::new(1);
    let worker = model_state(&client).find_node("w1").one().expect("w1").clone();
    let mut spec = worker.spec.clone();
    spec.labels.insert("rack-no".to_owned(), "7".to_owned());
    spec.availability = Availability::Drain;
    let version = worker.meta.version;
    client.cluster.apply(vec![Command::UpdateNode {
        id: worker.id,
        version,
        spec: Box::new(spec),
    }]);
    let found = discovery::nodes(&model_state(&client), 2378);
    assert_eq!(found.len(), 2);
    let group = found.iter().find(|g| g.targets == ["192.0.2.2:2378"]).expect("w1");
    let label = |name: &str| group.labels[&format!("__meta_dockerswarm_{name}")].as_str();
    assert_eq!(
        [
            label("node_hostname"),
            label("node_role"),
            label("node_availability"),
            label("node_status")
        ],
        ["w1", "worker", "drain", "ready"]
    );
    assert_eq!(label("node_label_rack_no"), "7");
}

#[tokio::test]
async fn only_tasks_that_ask_are_scraped_and_at_the_address_that_they_name() {
    let client = Client::new(2);
    for name in ["front", "shop_data"] {
        let body = json!({"Name": name, "Driver": "overlay", "CheckDuplicate": true});
        client.post("/networks/create", &body).await.ok();
    }
    client.create(&service("silent")).await;
    let mut web = service("web");
    web["Labels"] = json!({"prometheus.io/scrape": "true", "prometheus.io/port": "9100",
        "prometheus.io/path": "/m", "prometheus.io/network": "data"});
    web["TaskTemplate"]["Networks"] = json!([{"Target": "front"}, {"Target": "shop_data"}]);
    client.create(&web).await;
    let state = model_state(&client);
    let found = discovery::tasks(&state);
    assert_eq!(found.len(), 2, "{found:?}");
    let data = state.find_network("shop_data").one().expect("a network").clone();
    for group in &found {
        let (address, port) = group.targets[0].split_once(':').expect("host:port");
        assert!(data.subnet.contains(address.parse().expect("an address")), "{group:?}");
        assert_eq!(port, "9100");
        assert_eq!(group.labels["__metrics_path__"], "/m");
        assert_eq!(group.labels["__meta_dockerswarm_service_name"], "web");
        assert_eq!(group.labels["__meta_dockerswarm_network_name"], "shop_data");
        assert_eq!(group.labels["__meta_dockerswarm_service_label_prometheus_io_port"], "9100");
    }
    // Two networks, and nobody said which.
    let mut vague = web.clone();
    vague["Name"] = json!("vague");
    vague["Labels"] = json!({"prometheus.io/scrape": "true", "prometheus.io/port": "9100"});
    client.create(&vague).await;
    assert_eq!(discovery::tasks(&model_state(&client)).len(), 2);
}

#[test]
fn every_family_of_the_state_is_one_of_the_list() {
    let page = of_state(&orchestrator_core::State::default());
    for name in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = name.split(' ').next().unwrap_or("");
        assert!(orchestrator::metrics::FAMILIES.iter().any(|f| f.name == name), "{name}");
    }
    assert_ne!(Page::default().into_text(), page);
}

fn model_state(client: &Client) -> std::sync::Arc<orchestrator_core::State> {
    use orchestrator::api::cluster::Cluster as _;
    client.cluster.state()
}
