//! Revisions of stacks: kept, listed, deployed again.

use serde_json::{Value, json};

use crate::client::Client;

fn stack(image: &str, services: &[&str]) -> Value {
    let service = |name: &&str| {
        json!({
            "Name": format!("demo_{name}"),
            "TaskTemplate": {"ContainerSpec": {"Image": image, "Secrets": [{
                "SecretName": "demo_pw", "SecretID": "demo_pw",
                "File": {"Name": "pw", "UID": "0", "GID": "0", "Mode": 292},
            }]}},
        })
    };
    json!({
        "Networks": [{"Name": "demo_back", "Driver": "overlay"}],
        "Secrets": [{"Name": "demo_pw", "Data": "aHVudGVyMg=="}],
        "Services": services.iter().map(service).collect::<Vec<_>>(),
    })
}

async fn deploy(client: &Client, stack: &Value) -> Value {
    let done = client.post("/stacks/demo?prune=1", stack).await.ok();
    client.cluster.settle();
    done
}

async fn image_of(client: &Client, service: &str) -> Value {
    let shown = client.get(&format!("/services/{service}")).await.ok();
    shown["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].clone()
}

#[tokio::test]
async fn every_deployment_that_asks_for_something_else_is_a_revision() {
    let client = Client::new(1);
    assert_eq!(client.get("/stacks/demo/revisions").await.status, 404);
    let first = deploy(&client, &stack("demo/web:1", &["web", "old"])).await;
    assert_eq!(first["Revision"], 1);
    let again = deploy(&client, &stack("demo/web:1", &["web", "old"])).await;
    assert_eq!(again["Revision"], 1, "it asks for the same");
    let tried = client.post("/stacks/demo?dryRun=1", &stack("demo/web:2", &["web"])).await.ok();
    assert_eq!(tried["Revision"], 1, "a dry run is none");
    deploy(&client, &stack("demo/web:2", &["web", "new"])).await;
    let listed = client.get("/stacks/demo/revisions").await.ok();
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    assert_eq!(listed[0]["Revision"], 1);
    assert_eq!((&listed[1]["Newest"], &listed[1]["Services"]), (&json!(true), &json!(2)));
    assert_eq!(listed[1]["Added"], json!(["demo_new"]));
    assert_eq!(listed[1]["Changed"], json!(["demo_web"]));
    assert_eq!(listed[1]["Removed"], json!(["demo_old"]));
    let shown = client.get("/stacks/demo/revisions/1").await;
    assert!(!shown.text.contains("aHVudGVyMg"), "no value of a secret: {}", shown.text);
    let services = &shown.ok()["Request"]["Services"];
    assert_eq!(services[0]["TaskTemplate"]["ContainerSpec"]["Image"], "demo/web:1");
    for (path, status) in [("7", 404), ("0", 404), ("x", 400)] {
        let refused = client.get(&format!("/stacks/demo/revisions/{path}")).await;
        assert_eq!(refused.status, status, "{path}: {}", refused.text);
    }
}

#[tokio::test]
async fn a_rollback_deploys_a_revision_again_and_is_one_itself() {
    let client = Client::new(1);
    deploy(&client, &stack("demo/web:1", &["web", "old"])).await;
    let refused = client.post("/stacks/demo/rollback", &Value::Null).await;
    assert!(refused.status == 400 && refused.message().contains("none to go back to"));
    deploy(&client, &stack("demo/web:2", &["web", "new"])).await;
    deploy(&client, &stack("demo/web:3", &["web", "new"])).await;
    let tried = client.post("/stacks/demo/rollback?to=1&dryRun=1", &Value::Null).await.ok();
    assert_eq!(tried["DryRun"], true);
    assert_eq!(image_of(&client, "demo_web").await, "demo/web:3");
    let done = client.post("/stacks/demo/rollback?to=1", &Value::Null).await.ok();
    assert_eq!(done["Revision"], 4);
    client.cluster.settle();
    assert_eq!(image_of(&client, "demo_web").await, "demo/web:1");
    assert_eq!(client.get("/services/demo_new").await.status, 404, "revision 1 has it not");
    assert_eq!(image_of(&client, "demo_old").await, "demo/web:1");
    let listed = client.get("/stacks/demo/revisions").await.ok();
    assert_eq!(listed[3]["RollbackTo"], 1);
    client.post("/stacks/demo/rollback", &Value::Null).await.ok();
    client.cluster.settle();
    assert_eq!(image_of(&client, "demo_web").await, "demo/web:3", "the one before the newest");
}

#[tokio::test]
async fn a_rollback_that_needs_a_secret_that_is_gone_says_so_and_changes_nothing() {
    let client = Client::new(1);
    deploy(&client, &stack("demo/web:1", &["web"])).await;
    deploy(&client, &json!({"Services": []})).await;
    client.delete("/secrets/demo_pw").await.ok();
    let refused = client.post("/stacks/demo/rollback?to=1", &Value::Null).await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().contains("do not hold the values of secrets: demo_pw"));
    assert_eq!(client.get("/services").await.ok(), json!([]));
}

#[tokio::test]
async fn a_removed_stack_has_no_history() {
    let client = Client::new(1);
    deploy(&client, &stack("demo/web:1", &["web"])).await;
    client.delete("/stacks/demo").await.ok();
    assert_eq!(client.get("/stacks/demo/revisions").await.status, 404);
    client.cluster.settle();
    let done = deploy(&client, &stack("demo/web:1", &["web"])).await;
    assert_eq!(done["Revision"], 1);
}
