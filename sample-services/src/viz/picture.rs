//! Draws what the page shows from what the Docker API says: nodes, each with its tasks.
//!
//! Reads leniently: a field that is missing is shown as missing, never a reason to show nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// The picture of a cluster, asked from a manager.
pub fn of_cluster(info: &Value, nodes: &Value, services: &Value, tasks: &Value) -> Value {
    let names: BTreeMap<&str, &str> = list(services)
        .map(|service| (text(&service["ID"]), text(&service["Spec"]["Name"])))
        .collect();
    let shown: Vec<Value> =
        list(tasks).filter(|task| is_shown(task)).map(|task| task_box(task, &names)).collect();
    let mut nodes: Vec<Value> = list(nodes).map(node_box).collect();
    nodes.sort_by_key(|node| {
        (node["role"] != "manager", text(&node["name"]).to_owned(), text(&node["id"]).to_owned())
    });
    let known: BTreeSet<String> = nodes.iter().map(|node| text(&node["id"]).to_owned()).collect();
    for node in &mut nodes {
        let here: Vec<_> =
            shown.iter().filter(|task| task["node"] == node["id"]).cloned().collect();
        node["tasks"] = sorted(here);
    }
    let homeless: Vec<_> =
        shown.iter().filter(|task| !known.contains(text(&task["node"]))).cloned().collect();
    json!({
        "manager": true,
        "from": text(&info["Name"]),
        "nodes": nodes,
        "services": services_of(services, tasks),
        "waiting": sorted(homeless),
    })
}

/// The picture of one engine that is no manager: its containers, as if it were the only node.
pub fn of_engine(info: &Value, containers: &Value) -> Value {
    let tasks: Vec<Value> = list(containers).map(container_box).collect();
    let name = text(&info["Name"]);
    let swarm = match text(&info["Swarm"]["LocalNodeState"]) {
        "active" => "a worker of a swarm, and only managers know the cluster",
        _ => "a plain Docker Engine that belongs to no swarm",
    };
    json!({
        "manager": false,
        "from": name,
        "note": format!(
            "The socket given to this page is that of {name}: {swarm}. Shown are the containers of \
             this one engine. To see the cluster, run this service on a manager and mount the \
             cluster's socket at /var/run/docker.sock."
        ),
        "nodes": [{
            "id": text(&info["ID"]),
            "name": name,
            "role": "engine",
            "state": "ready",
            "availability": "active",
            "leader": false,
            "os": text(&info["OSType"]),
            "architecture": text(&info["Architecture"]),
            "memory_bytes": info["MemTotal"].as_u64().unwrap_or(0),
            "cpus": info["NCPU"].as_f64().unwrap_or(0.0),
            "engine": text(&info["ServerVersion"]),
            "labels": {},
            "tasks": sorted(tasks),
        }],
        "services": [],
        "waiting": [],
    })
}

/// Tasks that should be there, and those that should not be but still are.
fn is_shown(task: &Value) -> bool {
    let wanted = matches!(text(&task["DesiredState"]), "running" | "ready" | "accepted");
    let gone = matches!(
        text(&task["Status"]["State"]),
        "shutdown" | "complete" | "failed" | "rejected" | "orphaned" | "remove"
    );
    wanted || !gone
}

fn node_box(node: &Value) -> Value {
    let description = &node["Description"];
    json!({
        "id": text(&node["ID"]),
        "name": text(&description["Hostname"]),
        "role": text(&node["Spec"]["Role"]),
        "state": text(&node["Status"]["State"]),
        "message": text(&node["Status"]["Message"]),
        "availability": text(&node["Spec"]["Availability"]),
        "leader": node["ManagerStatus"]["Leader"] == true,
        "address": text(&node["Status"]["Addr"]),
        "os": text(&description["Platform"]["OS"]),
        "architecture": text(&description["Platform"]["Architecture"]),
        "memory_bytes": description["Resources"]["MemoryBytes"].as_u64().unwrap_or(0),
        "cpus": description["Resources"]["NanoCPUs"].as_f64().unwrap_or(0.0) / 1e9,
        "engine": text(&description["Engine"]["EngineVersion"]),
        "labels": if node["Spec"]["Labels"].is_object() { node["Spec"]["Labels"].clone() } else { json!({}) },
    })
}

fn task_box(task: &Value, names: &BTreeMap<&str, &str>) -> Value {
    let service = text(&task["ServiceID"]);
    let status = &task["Status"];
    json!({
        "id": text(&task["ID"]),
        "service": names.get(service).copied().unwrap_or(service),
        "slot": task["Slot"].as_u64().unwrap_or(0),
        "node": text(&task["NodeID"]),
        "image": image(text(&task["Spec"]["ContainerSpec"]["Image"])),
        "state": text(&status["State"]),
        "desired": text(&task["DesiredState"]),
        "since": text(&status["Timestamp"]),
        "message": text(&status["Message"]),
        "error": text(&status["Err"]),
        "container": short(text(&status["ContainerStatus"]["ContainerID"])),
    })
}

fn container_box(container: &Value) -> Value {
    let labels = &container["Labels"];
    let name = container["Names"][0].as_str().unwrap_or_default().trim_start_matches('/');
    let service = match text(&labels["com.docker.swarm.service.name"]) {
        "" => name,
        service => service,
    };
    json!({
        "id": text(&container["Id"]),
        "service": service,
        "slot": 0,
        "node": "",
        "image": image(text(&container["Image"])),
        "state": text(&container["State"]),
        "desired": "running",
        "since": container["Created"].as_i64().and_then(|s| jiff::Timestamp::from_second(s).ok())
            .map(|at| at.to_string()).unwrap_or_default(),
        "message": text(&container["Status"]),
        "container": short(text(&container["Id"])),
    })
}

/// Services by name, with how many tasks run of how many wanted, and how a roll-out goes.
fn services_of(services: &Value, tasks: &Value) -> Vec<Value> {
    let count = |service: &Value, wanted: fn(&Value) -> bool| {
        list(tasks).filter(|task| task["ServiceID"] == service["ID"] && wanted(task)).count()
    };
    let to_run: fn(&Value) -> bool = |task| task["DesiredState"] == "running";
    let running: fn(&Value) -> bool =
        |task| task["DesiredState"] == "running" && task["Status"]["State"] == "running";
    let mut all: Vec<Value> = list(services)
        .map(|service| {
            let mode = &service["Spec"]["Mode"];
            let global = mode["Global"].is_object() || mode["GlobalJob"].is_object();
            let replicas = mode["Replicated"]["Replicas"].as_u64();
            let wanted = replicas.unwrap_or_else(|| count(service, to_run) as u64);
            let ports: Vec<u64> = list(&service["Endpoint"]["Ports"])
                .filter_map(|port| port["PublishedPort"].as_u64())
                .collect();
            json!({
                "name": text(&service["Spec"]["Name"]),
                "image": image(text(&service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"])),
                "mode": if global { "global" } else { "replicated" },
                "wanted": wanted,
                "running": count(service, running),
                "update": text(&service["UpdateStatus"]["State"]),
                "ports": ports,
            })
        })
        .collect();
    all.sort_by_key(|service| text(&service["name"]).to_owned());
    all
}

/// By service, then slot, then id: boxes keep their places from one picture to the next.
fn sorted(mut tasks: Vec<Value>) -> Value {
    tasks.sort_by_key(|task| {
        (text(&task["service"]).to_owned(), task["slot"].as_u64(), text(&task["id"]).to_owned())
    });
    Value::Array(tasks)
}

/// The name without digest.
fn image(name: &str) -> &str {
    name.split('@').next().unwrap_or_default()
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, name: &str, role: &str) -> Value {
        json!({"ID": id, "Description": {"Hostname": name}, "Spec": {"Role": role},
            "Status": {"State": "ready"}})
    }

    fn task(id: &str, slot: u64, node: &str, desired: &str, state: &str) -> Value {
        json!({"ID": id, "ServiceID": "s1", "Slot": slot, "NodeID": node, "DesiredState": desired,
            "Spec": {"ContainerSpec": {"Image": "app:2@sha256:00"}},
            "Status": {"State": state, "Message": "started", "Err": "boom"}})
    }

    #[test]
    fn tasks_are_shown_on_their_nodes_and_finished_ones_are_not() {
        let nodes = json!([node("b", "w1", "worker"), node("a", "m1", "manager")]);
        let services = json!([{"ID": "s1", "Spec": {"Name": "web",
            "Mode": {"Replicated": {"Replicas": 4}}}}]);
        let tasks = json!([
            task("t2", 2, "b", "running", "running"),
            task("t1", 1, "b", "running", "starting"),
            task("t0", 1, "b", "shutdown", "failed"),
            task("t4", 4, "b", "shutdown", "running"),
            task("t3", 3, "", "running", "pending"),
        ]);
        let picture = of_cluster(&json!({"Name": "m1"}), &nodes, &services, &tasks);
        let names: Vec<_> = list(&picture["nodes"]).map(|node| text(&node["name"])).collect();
        assert_eq!(names, ["m1", "w1"], "managers first");
        let here: Vec<_> =
            list(&picture["nodes"][1]["tasks"]).map(|task| text(&task["id"])).collect();
        assert_eq!(here, ["t1", "t2", "t4"]);
        let first = &picture["nodes"][1]["tasks"][0];
        assert_eq!(first["image"], "app:2");
        assert_eq!(first["service"], "web");
        assert_eq!((text(&first["message"]), text(&first["error"])), ("started", "boom"));
        assert_eq!(picture["waiting"][0]["id"], "t3");
        let service = &picture["services"][0];
        assert_eq!((&service["wanted"], &service["running"]), (&json!(4), &json!(1)));
    }

    #[test]
    fn an_answer_with_nothing_in_it_still_gives_a_picture() {
        let null = Value::Null;
        let picture = of_cluster(&null, &null, &null, &null);
        assert_eq!(picture["nodes"], json!([]));
        let picture = of_cluster(&null, &json!([{}]), &json!([{}]), &json!([{}]));
        assert_eq!(picture["nodes"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn an_engine_that_is_no_manager_is_said_to_be_none() {
        let info = json!({"Name": "laptop", "Swarm": {"LocalNodeState": "inactive"}});
        let containers = json!([{"Id": "0123456789abcdef", "Names": ["/db"], "Image": "redis",
            "State": "running", "Created": 0, "Labels": {}}]);
        let picture = of_engine(&info, &containers);
        assert_eq!(picture["manager"], false);
        let note = text(&picture["note"]);
        assert!(note.contains("laptop: a plain Docker Engine"), "{note}");
        let task = &picture["nodes"][0]["tasks"][0];
        assert_eq!((text(&task["service"]), text(&task["container"])), ("db", "0123456789ab"));
        assert_eq!(task["since"], "1970-01-01T00:00:00Z");
    }
}
