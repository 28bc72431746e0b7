//! Backups: what is in them, into which cluster they go back; and tasks that are spread again.

use serde_json::{Value, json};

use crate::client::{Client, service};

/// Two services on a network with a secret and a config, a job, a stack.
async fn filled() -> Client {
    let client = Client::new(1);
    client.post("/networks/create", &json!({"Name": "back", "Driver": "overlay"})).await.ok();
    client.post("/secrets/create", &json!({"Name": "pw", "Data": "aHVudGVyMg=="})).await.ok();
    client.post("/configs/create", &json!({"Name": "site", "Data": "c2l0ZQ=="})).await.ok();
    let mut web = service("web");
    let file = json!({"Name": "x", "UID": "0", "GID": "0", "Mode": 292});
    web["TaskTemplate"]["Networks"] = json!([{"Target": "back"}]);
    web["TaskTemplate"]["ContainerSpec"]["Secrets"] =
        json!([{"SecretName": "pw", "SecretID": "pw", "File": file}]);
    web["TaskTemplate"]["ContainerSpec"]["Configs"] =
        json!([{"ConfigName": "site", "ConfigID": "site", "File": file}]);
    web["EndpointSpec"] = json!({"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]});
    client.create(&web).await;
    let mut job = service("once");
    job["Mode"] = json!({"ReplicatedJob": {"TotalCompletions": 1}});
    client.create(&job).await;
    let stack = json!({"Services": [{
        "Name": "demo_app", "TaskTemplate": {"ContainerSpec": {"Image": "demo/web:1"}},
    }]});
    client.post("/stacks/demo", &stack).await.ok();
    client.cluster.settle();
    let node = client.get("/nodes/w1").await.ok();
    let mut spec = node["Spec"].clone();
    spec["Labels"] = json!({"disk": "ssd"});
    let version = &node["Version"]["Index"];
    client.post(&format!("/nodes/w1/update?version={version}"), &spec).await.ok();
    client
}

fn actions(reply: &Value, action: &str) -> Vec<String> {
    let changes = reply["Changes"].as_array().expect("changes").iter();
    let of = changes.filter(|c| c["Action"] == action);
    of.map(|c| c["Name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn a_backup_goes_into_a_new_cluster_and_everything_runs_there() {
    let old = filled().await;
    let backup = old.get("/backup").await.ok();
    assert_eq!(backup["Secrets"][0]["Data"], "aHVudGVyMg==");
    let text = backup.to_string();
    for (list, ids) in [("/networks", "Id"), ("/secrets", "ID"), ("/configs", "ID")] {
        for object in old.get(list).await.ok().as_array().expect("a list") {
            assert!(!text.contains(object[ids].as_str().expect("an id")), "no id of {list}");
        }
    }
    assert!(!text.contains(&"w".repeat(25)), "no join token");
    let new = Client::new(1);
    let tried = new.post("/backup?dryRun=1", &backup).await.ok();
    let made = ["back", "pw", "site", "demo_app", "web"];
    let mut creates = actions(&tried, "create");
    creates.sort();
    let mut wanted: Vec<String> = made.iter().map(|s| (*s).to_owned()).collect();
    wanted.sort();
    assert_eq!(creates, wanted);
    assert_eq!(new.get("/services").await.ok(), json!([]), "a dry run changes nothing");
    let done = new.post("/backup", &backup).await.ok();
    assert!(done["Warnings"].to_string().contains("job once is left out"), "{done}");
    assert_eq!(actions(&done, "update"), ["w1"], "it got its label back");
    new.cluster.settle();
    let shown = new.get("/services/web?status=1").await.ok();
    assert_eq!(shown["Endpoint"]["Ports"][0]["PublishedPort"], 8080);
    let tasks = new.get("/tasks?filters={\"service\":[\"web\"]}").await.ok();
    let runs = tasks.as_array().expect("a list").iter();
    assert_eq!(runs.filter(|t| t["Status"]["State"] == "running").count(), 2);
    let secret = &shown["Spec"]["TaskTemplate"]["ContainerSpec"]["Secrets"][0];
    assert_eq!(secret["SecretID"], new.get("/secrets/pw").await.ok()["ID"]);
    let revisions = |client: &Client| {
        let (router, cluster) = (client.router.clone(), client.cluster.clone());
        async move { Client { router, cluster }.get("/stacks/demo/revisions").await.ok() }
    };
    assert_eq!(revisions(&new).await, revisions(&old).await);
    let mut again = new.get("/backup").await.ok();
    let mut first = backup.clone();
    for side in [&mut again, &mut first] {
        for key in ["ClusterID", "CreatedAt", "Revision", "Nodes"] {
            side[key] = Value::Null;
        }
        for list in ["Services", "Networks"] {
            let list = side[list].as_array_mut().expect("a list");
            list.retain(|o| o["Spec"]["Name"] != "once");
            list.sort_by_key(ToString::to_string);
        }
    }
    assert_eq!(again, first, "a backup of what was restored is the backup");
}

#[tokio::test]
async fn a_cluster_that_is_not_empty_is_refused_unless_it_is_to_be_replaced() {
    let backup = filled().await.get("/backup").await.ok();
    let other = Client::new(0);
    other.create(&service("web")).await;
    other.create(&service("stray")).await;
    other.post("/secrets/create", &json!({"Name": "old", "Data": "YQ=="})).await.ok();
    let refused = other.post("/backup", &backup).await;
    assert_eq!(refused.status, 409);
    assert!(refused.message().contains("it has 2 services, 1 secret."), "{}", refused.text);
    let done = other.post("/backup?replace=1&jobs=1", &backup).await.ok();
    assert_eq!(actions(&done, "remove"), ["stray", "old"]);
    assert!(actions(&done, "update").contains(&"web".to_owned()), "{done}");
    assert!(actions(&done, "create").contains(&"once".to_owned()), "{done}");
    assert!(done["Warnings"].to_string().contains("host w1 is not in this cluster"), "{done}");
    other.cluster.settle();
    assert_eq!(other.get("/services/stray").await.status, 404);
    let again = other.post("/backup?replace=1&jobs=1", &backup).await.ok();
    assert!(actions(&again, "create").is_empty() && actions(&again, "update").is_empty());
}

#[tokio::test]
async fn what_is_no_backup_is_refused_and_changes_nothing() {
    let client = Client::new(0);
    for (body, says) in [
        (json!({}), "its format is 0"),
        (json!({"Format": 2}), "its format is 2"),
        (json!({"Format": 1, "Services": [{"Spec": {"Name": "x"}}]}), "missing container spec"),
    ] {
        let refused = client.post("/backup", &body).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        assert!(refused.message().contains(says), "{}", refused.text);
    }
}

#[tokio::test]
async fn tasks_are_spread_again_when_it_is_asked_for() {
    let client = Client::new(2);
    let pause = async |availability: &str| {
        for name in ["w1", "w2"] {
            let node = client.get(&format!("/nodes/{name}")).await.ok();
            let mut spec = node["Spec"].clone();
            spec["Availability"] = json!(availability);
            let version = &node["Version"]["Index"];
            let path = format!("/nodes/{name}/update?version={version}");
            client.post(&path, &spec).await.ok();
        }
    };
    pause("pause").await;
    let mut web = service("web");
    web["Mode"]["Replicated"]["Replicas"] = json!(6);
    client.create(&web).await;
    pause("active").await;
    let tried = client.post("/rebalance?dryRun=1", &Value::Null).await.ok();
    let moves = tried["Moves"].as_array().expect("moves").clone();
    assert_eq!(moves.len(), 4);
    assert!(moves.iter().all(|m| m["From"] == "m1" && m["To"] != "m1"), "{tried}");
    assert_eq!(client.get("/services/web/progress").await.ok()["Verdict"], "converged");
    client.post("/rebalance", &Value::Null).await.ok();
    assert_eq!(client.get("/services/web/progress").await.ok()["Verdict"], "waiting");
    client.cluster.settle();
    assert_eq!(client.get("/services/web/progress").await.ok()["Verdict"], "converged");
    let again = client.post("/rebalance?services=web", &Value::Null).await.ok();
    assert_eq!(again["Moves"], json!([]));
    assert_eq!(client.post("/rebalance?services=absent", &Value::Null).await.status, 404);
}
