//! The page's stream made of lists, for a socket that is Docker's own: a manager in Swarm mode, or a
//! plain engine, which is shown as a cluster of one node.
//!
//! Docker tells of no task that changes, so the lists are read again and again while somebody looks,
//! and sent whole when they differ. What is sent is picked field by field: specs hold passwords.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc;

use super::docker::{Engine, EngineError};

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Sends `first`, then what differs, until the reader goes or the engine cannot be asked.
pub(super) fn follow(engine: Engine, first: String, permit: OwnedSemaphorePermit) -> Response {
    let (lines, mut queue) = mpsc::channel::<Bytes>(1);
    tokio::spawn(async move {
        let _permit = permit;
        let mut last = first;
        if lines.send(last.clone().into()).await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = lines.closed() => return,
            }
            let Ok(now) = look(&engine).await else { return };
            // Also what has not changed shows that the connection is alive.
            let line = if now == last {
                "{\"Revision\":1,\"Changes\":[]}\n".to_owned()
            } else {
                now.clone()
            };
            if lines.send(line.into()).await.is_err() {
                return;
            }
            last = now;
        }
    });
    let frames = futures_frames(move |context| queue.poll_recv(context));
    super::streaming(Body::new(StreamBody::new(frames)))
}

fn futures_frames(
    mut next: impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<Bytes>>,
) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, std::convert::Infallible>> {
    futures_util::stream::poll_fn(move |context| {
        next(context).map(|part| part.map(|bytes| Ok(Frame::data(bytes))))
    })
}

/// Everything there is as one line. Whoever tells about nodes is a manager; who refuses is asked for
/// its own containers.
pub(super) async fn look(engine: &Engine) -> Result<String, EngineError> {
    let changes = match engine.get("/nodes").await {
        Ok(nodes) => {
            let (services, tasks) =
                tokio::try_join!(engine.get("/services"), engine.get("/tasks"))?;
            of_cluster(&nodes, &services, &tasks)
        }
        Err(EngineError::Refused { .. }) => {
            let info = engine.get("/info").await?;
            of_engine(&info, &engine.get("/containers/json").await?)
        }
        Err(error @ (EngineError::Connect { .. } | EngineError::Send(_))) => return Err(error),
    };
    Ok(format!("{}\n", json!({"Revision": 1, "Reset": true, "Changes": changes})))
}

fn of_cluster(nodes: &Value, services: &Value, tasks: &Value) -> Vec<Value> {
    let nodes = list(nodes).map(|node| {
        let said = &node["Description"];
        change(
            "node",
            json!({
                "ID": node["ID"],
                "Spec": pick(&node["Spec"], &["Name", "Labels", "Role", "Availability"]),
                "Description": {
                    "Hostname": said["Hostname"],
                    "Platform": said["Platform"],
                    "Resources": pick(&said["Resources"], &["NanoCPUs", "MemoryBytes"]),
                    "Engine": pick(&said["Engine"], &["EngineVersion"]),
                },
                "Status": node["Status"],
                "ManagerStatus": node["ManagerStatus"],
            }),
        )
    });
    let services = list(services).map(|service| {
        let spec = &service["Spec"];
        change(
            "service",
            json!({
                "ID": service["ID"],
                "CreatedAt": service["CreatedAt"],
                "Spec": {
                    "Name": spec["Name"],
                    "Mode": spec["Mode"],
                    "TaskTemplate": image(&spec["TaskTemplate"]),
                },
                "Endpoint": pick(&service["Endpoint"], &["Ports"]),
                "UpdateStatus": service["UpdateStatus"],
            }),
        )
    });
    let tasks = list(tasks).map(|task| {
        let mut shown = pick(
            task,
            &["ID", "CreatedAt", "ServiceID", "NodeID", "Slot", "Status", "DesiredState"],
        );
        shown["Spec"] = image(&task["Spec"]);
        change("task", shown)
    });
    nodes.chain(services).chain(tasks).collect()
}

fn of_engine(info: &Value, containers: &Value) -> Vec<Value> {
    let node = json!({
        "ID": info["ID"],
        "Spec": {"Role": "engine, no manager", "Availability": "active", "Labels": {}},
        "Description": {
            "Hostname": info["Name"],
            "Platform": {"OS": info["OSType"], "Architecture": info["Architecture"]},
            "Resources": {
                "NanoCPUs": info["NCPU"].as_u64().unwrap_or(0).saturating_mul(1_000_000_000),
                "MemoryBytes": info["MemTotal"],
            },
            "Engine": {"EngineVersion": info["ServerVersion"]},
        },
        "Status": {"State": "ready"},
    });
    let mut changes = vec![change("node", node)];
    for container in list(containers) {
        let name = container["Names"][0].as_str().unwrap_or("").trim_start_matches('/');
        let at = container["Created"].as_i64().unwrap_or(0);
        let at = jiff::Timestamp::from_second(at).unwrap_or_default().to_string();
        let running = container["State"] == "running";
        changes.push(change(
            "service",
            json!({
                "ID": name, "CreatedAt": at,
                "Spec": {"Name": name, "Mode": {"Replicated": {"Replicas": 1}},
                    "TaskTemplate": {"ContainerSpec": {"Image": container["Image"]}}},
            }),
        ));
        changes.push(change(
            "task",
            json!({
                "ID": container["Id"], "CreatedAt": at, "ServiceID": name, "NodeID": info["ID"],
                "Spec": {"ContainerSpec": {"Image": container["Image"]}},
                "DesiredState": if running { "running" } else { "shutdown" },
                "Status": {
                    "State": container["State"], "Timestamp": at, "Message": container["Status"],
                    "ContainerStatus": {"ContainerID": container["Id"]},
                },
            }),
        ));
    }
    changes
}

fn change(kind: &str, object: Value) -> Value {
    json!({"Kind": kind, "ID": object["ID"], "Action": "create", "Object": object})
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Of an object these fields, those that it has.
fn pick(object: &Value, names: &[&str]) -> Value {
    let known =
        names.iter().filter_map(|name| Some(((*name).to_owned(), object.get(name)?.clone())));
    Value::Object(known.collect())
}

fn image(spec: &Value) -> Value {
    json!({"ContainerSpec": {"Image": spec["ContainerSpec"]["Image"]}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_task_nothing_is_shown_that_may_hold_a_password() {
        let tasks = json!([{"ID": "t1", "Spec": {"ContainerSpec": {"Image": "web:1",
            "Env": ["PASSWORD=hunter2"], "Args": ["--key=hunter2"]}}, "Status": {"State": "running"}}]);
        let services = json!([{"ID": "s1", "Spec": {"Name": "web", "TaskTemplate":
            {"ContainerSpec": {"Image": "web:1", "Env": ["PASSWORD=hunter2"]}}}}]);
        let shown = Value::Array(of_cluster(&Value::Null, &services, &tasks)).to_string();
        assert!(shown.contains("web:1") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn lists_with_nothing_in_them_are_an_empty_cluster() {
        assert!(of_cluster(&Value::Null, &json!([]), &Value::Null).is_empty());
        assert_eq!(of_cluster(&json!([{}]), &json!([{}]), &json!([{}])).len(), 3);
    }

    #[test]
    fn a_plain_engine_is_a_cluster_of_one_node() {
        let info = json!({"ID": "e", "Name": "laptop", "NCPU": 2});
        let containers = json!([{"Id": "0123456789abcdef", "Names": ["/db"], "Image": "redis",
            "State": "running", "Created": 0}]);
        let changes = of_engine(&info, &containers);
        assert_eq!(changes[0]["Object"]["Description"]["Hostname"], "laptop");
        assert_eq!(changes[2]["Object"]["Status"]["Timestamp"], "1970-01-01T00:00:00Z");
        assert_eq!(changes[2]["Object"]["NodeID"], "e");
    }
}
