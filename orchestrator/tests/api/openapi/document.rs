//! Makes the OpenAPI 3.1 document of the API from the types that requests and answers are made of.
//!
//! A type has two shapes: what may be sent (`ServiceSpec.Request`: most fields may be left out) and
//! what is answered. Deliberately absent: what a single engine answers (Docker's own document
//! describes that), and the pages of the dashboard.

use model::api;
use model::spec::{ClusterSpec, ConfigSpec, NetworkSpec, NodeSpec, SecretSpec, ServiceSpec};
use schemars::generate::{Contract, SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

type Shape = fn(&mut SchemaGenerator) -> Schema;

/// What an answer carries.
enum Body {
    Nothing,
    Json(Shape),
    /// A stream of one of these types.
    Stream(&'static [&'static str]),
}

/// One request.
struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    /// Parameters of the query; a `!` behind one says that it must be there.
    query: &'static [&'static str],
    takes: Option<Shape>,
    status: u16,
    gives: Body,
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Parameters of every list.
const LIST: &[&str] = &["filters", "limit", "continue"];
const LOGS: &[&str] = &["stdout", "stderr", "follow", "timestamps", "details", "since", "tail"];
const FRAMES: Body = Body::Stream(&[
    "application/vnd.docker.multiplexed-stream",
    "application/vnd.docker.raw-stream",
]);

const fn get(path: &'static str, summary: &'static str, gives: Body) -> Operation {
    Operation { method: "get", path, summary, query: &[], takes: None, status: 200, gives }
}

const fn post(path: &'static str, summary: &'static str, takes: Shape) -> Operation {
    let (query, gives) = (&[], Body::Nothing);
    Operation { method: "post", path, summary, query, takes: Some(takes), status: 200, gives }
}

/// A POST without a body.
const fn act(path: &'static str, summary: &'static str) -> Operation {
    let (query, gives) = (&[], Body::Nothing);
    Operation { method: "post", path, summary, query, takes: None, status: 200, gives }
}

const fn delete(path: &'static str, summary: &'static str, status: u16) -> Operation {
    let (query, gives) = (&[], Body::Nothing);
    Operation { method: "delete", path, summary, query, takes: None, status, gives }
}

impl Operation {
    const fn query(mut self, query: &'static [&'static str]) -> Operation {
        self.query = query;
        self
    }

    fn gives(mut self, status: u16, gives: Body) -> Operation {
        (self.status, self.gives) = (status, gives);
        self
    }
}

fn operations() -> Vec<Operation> {
    [services(), tasks_and_nodes(), parts(), cluster(), ours()].into_iter().flatten().collect()
}

fn created() -> Body {
    Body::Json(of::<api::Created>)
}

fn services() -> Vec<Operation> {
    vec![
        get("/services", "List services", Body::Json(of::<Vec<api::Service>>)).query(&[
            "filters",
            "status",
            "insertDefaults",
            "limit",
            "continue",
        ]),
        post("/services/create", "Create a service", of::<ServiceSpec>).gives(201, created()),
        get("/services/{id}", "Inspect a service", Body::Json(of::<api::Service>))
            .query(&["insertDefaults"]),
        delete("/services/{id}", "Remove a service", 200),
        post("/services/{id}/update", "Update a service, or roll it back", of::<ServiceSpec>)
            .query(&["version!", "rollback", "registryAuthFrom"])
            .gives(200, Body::Json(of::<api::ServiceUpdated>)),
        get("/services/{id}/logs", "The log of every task of a service", FRAMES).query(LOGS),
        get(
            "/services/{id}/progress",
            "How far a service is from what was asked",
            Body::Json(of::<api::Progress>),
        ),
    ]
}

fn tasks_and_nodes() -> Vec<Operation> {
    vec![
        get("/tasks", "List tasks", Body::Json(of::<Vec<api::Task>>)).query(LIST),
        get("/tasks/{id}", "Inspect a task", Body::Json(of::<api::Task>)),
        get("/tasks/{id}/logs", "The log of a task", FRAMES).query(LOGS),
        get("/nodes", "List nodes", Body::Json(of::<Vec<api::Node>>)).query(LIST),
        get("/nodes/{id}", "Inspect a node", Body::Json(of::<api::Node>)),
        delete("/nodes/{id}", "Remove a node", 200).query(&["force"]),
        post("/nodes/{id}/update", "Update a node: role, availability, labels", of::<NodeSpec>)
            .query(&["version!"]),
    ]
}

fn parts() -> Vec<Operation> {
    vec![
        get("/networks", "List the cluster's networks", Body::Json(of::<Vec<api::Network>>))
            .query(LIST),
        post("/networks/create", "Create a network", of::<NetworkSpec>)
            .gives(201, Body::Json(of::<api::NetworkCreated>)),
        get("/networks/{id}", "Inspect a network", Body::Json(of::<api::Network>))
            .query(&["scope", "verbose"]),
        delete("/networks/{id}", "Remove a network", 204),
        get("/secrets", "List secrets", Body::Json(of::<Vec<api::Secret>>)).query(LIST),
        post("/secrets/create", "Create a secret", of::<SecretSpec>).gives(201, created()),
        get("/secrets/{id}", "Inspect a secret", Body::Json(of::<api::Secret>)),
        delete("/secrets/{id}", "Remove a secret", 204),
        post("/secrets/{id}/update", "Update a secret's labels", of::<SecretSpec>)
            .query(&["version!"]),
        get("/configs", "List configs", Body::Json(of::<Vec<api::Config>>)).query(LIST),
        post("/configs/create", "Create a config", of::<ConfigSpec>).gives(201, created()),
        get("/configs/{id}", "Inspect a config", Body::Json(of::<api::Config>)),
        delete("/configs/{id}", "Remove a config", 204),
        post("/configs/{id}/update", "Update a config's labels", of::<ConfigSpec>)
            .query(&["version!"]),
    ]
}

fn cluster() -> Vec<Operation> {
    vec![
        get("/swarm", "Inspect the cluster", Body::Json(of::<api::Swarm>)),
        post("/swarm/update", "Update the cluster's settings", of::<ClusterSpec>).query(&[
            "version!",
            "rotateWorkerToken",
            "rotateManagerToken",
            "rotateManagerUnlockKey",
        ]),
        get("/swarm/unlockkey", "The key that unlocks managers", Body::Json(of::<api::UnlockKey>)),
        post("/swarm/unlock", "Unlock a manager", of::<api::UnlockKey>),
        post("/swarm/init", "Start a cluster with this host", of::<api::InitRequest>)
            .gives(200, Body::Json(of::<String>)),
        post("/swarm/join", "Enter a cluster with this host", of::<api::JoinBody>),
        get("/_swarm/info", "The Swarm part of /info", Body::Json(of::<api::SwarmInfo>)),
        get("/events", "What happens, as it happens", Body::Stream(&["application/json"]))
            .query(&["filters", "since", "until"]),
    ]
}

/// What Docker lacks.
fn ours() -> Vec<Operation> {
    let reply = || Body::Json(of::<api::StackReply>);
    vec![
        get("/watch", "Objects as they change, resumable", Body::Stream(&["application/x-ndjson"]))
            .query(&["since", "kinds", "view"]),
        get(
            "/explain/{kind}/{id}",
            "What the planner thinks, and why not",
            Body::Json(of::<api::Explanation>),
        ),
        act("/rebalance", "Spread tasks over the nodes again")
            .query(&["services", "dryRun"])
            .gives(200, Body::Json(of::<api::RebalanceReply>)),
        get("/backup", "Everything that clients have written", Body::Json(of::<api::Backup>)),
        post("/backup", "Restore a backup", of::<api::Backup>)
            .query(&["replace", "jobs", "dryRun"])
            .gives(200, Body::Json(of::<api::RestoreReply>)),
        get("/stacks", "List stacks", Body::Json(of::<Vec<api::StackSummary>>)),
        post("/stacks/{name}", "Deploy a stack, whole or not at all", of::<api::StackRequest>)
            .query(&["dryRun", "prune"])
            .gives(200, reply()),
        delete("/stacks/{name}", "Remove a stack", 200).query(&["dryRun"]).gives(200, reply()),
        get(
            "/stacks/{name}/services",
            "List a stack's services",
            Body::Json(of::<Vec<api::Service>>),
        ),
        get(
            "/stacks/{name}/revisions",
            "What was deployed under a stack's name",
            Body::Json(of::<Vec<api::StackRevisionSummary>>),
        ),
        get(
            "/stacks/{name}/revisions/{number}",
            "What one deployment asked for",
            Body::Json(of::<api::StackRevisionBody>),
        ),
        act("/stacks/{name}/rollback", "Deploy a revision once more")
            .query(&["to", "dryRun"])
            .gives(200, reply()),
        get("/openapi.json", "This document", Body::Json(of::<Map<String, Value>>)),
    ]
}

/// Shapes of what is sent, and of what is answered.
struct Shapes {
    sent: SchemaGenerator,
    answered: SchemaGenerator,
}

fn generator(contract: Contract) -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
        settings.contract = contract;
    });
    settings.into_generator()
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut shapes =
        Shapes { sent: generator(Contract::Deserialize), answered: generator(Contract::Serialize) };
    let mut paths = Map::new();
    let operations = operations();
    for operation in &operations {
        let entry = paths.entry(operation.path).or_insert_with(|| json!({}));
        entry[operation.method] = described(&mut shapes, operation);
        if let Some(kind) = operation.path.strip_suffix("/create") {
            let status = operation.status.to_string();
            entry[operation.method]["responses"][status]["links"] = links(kind, &operations);
        }
    }
    let error = of::<api::ErrorBody>(&mut shapes.answered);
    let mut schemas = shapes.answered.take_definitions(true);
    for (name, mut schema) in shapes.sent.take_definitions(true) {
        refer_to_sent(&mut schema);
        allow_null(&mut schema);
        schemas.insert(format!("{name}.Request"), schema);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "swarmctl",
            "version": api::API_VERSION,
            "description": "The cluster's part of the Docker Engine API, and what Docker lacks.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": format!("/v{}", api::API_VERSION)}, {"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {"Refused": {
                "description": "Refused; the message says why",
                "content": {"application/json": {"schema": error}},
            }},
        },
    })
}

/// What can be done with the object of a kind that has just been created.
fn links(kind: &str, operations: &[Operation]) -> Value {
    let id = if kind == "/networks" { "$response.body#/Id" } else { "$response.body#/ID" };
    let one = format!("{kind}/{{id}}");
    let of_it = operations.iter().filter(|operation| operation.path.starts_with(&one));
    let link = |operation| {
        let name = operation_id(operation);
        (name.clone(), json!({"operationId": name, "parameters": {"id": id}}))
    };
    Value::Object(of_it.map(link).collect())
}

/// References to a type become references to its shape in requests.
fn refer_to_sent(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "$ref" => text.push_str(".Request"),
                    value => refer_to_sent(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(refer_to_sent),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Null in a request is the same as leaving a field out.
fn allow_null(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            let required = map.get("required").cloned().unwrap_or_default();
            let is_required =
                |name: &str| required.as_array().is_some_and(|r| r.contains(&json!(name)));
            if let Some(Value::Object(fields)) = map.get_mut("properties") {
                for (name, field) in fields {
                    if !is_required(name) && !fits_null(field) {
                        *field = json!({"anyOf": [field.take(), {"type": "null"}]});
                    }
                }
            }
            map.values_mut().for_each(allow_null);
        }
        Value::Array(items) => items.iter_mut().for_each(allow_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn fits_null(schema: &Value) -> bool {
    let null = json!("null");
    let one_of = |options: &Value| options.as_array().is_some_and(|o| o.iter().any(fits_null));
    schema == &json!(true)
        || schema["type"] == null
        || schema["type"].as_array().is_some_and(|kinds| kinds.contains(&null))
        || one_of(&schema["anyOf"])
        || one_of(&schema["oneOf"])
}

fn described(shapes: &mut Shapes, operation: &Operation) -> Value {
    let in_path = operation.path.split('/').filter_map(|word| {
        let name = word.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
    });
    let in_query = operation.query.iter().map(|name| {
        let required = name.ends_with('!');
        let name = name.trim_end_matches('!');
        json!({"name": name, "in": "query", "required": required, "schema": parameter(name)})
    });
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
    let answer = match &operation.gives {
        Body::Nothing => json!({"description": "Done"}),
        Body::Json(shape) => json!({
            "description": "Done",
            "content": {"application/json": {"schema": shape(&mut shapes.answered)}},
        }),
        Body::Stream(kinds) => {
            let content: Map<String, Value> =
                kinds.iter().map(|kind| ((*kind).to_owned(), json!({}))).collect();
            json!({"description": "A stream", "content": content})
        }
    };
    let refused = json!({"$ref": "#/components/responses/Refused"});
    let mut described = json!({
        "operationId": operation_id(operation),
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {operation.status.to_string(): answer, "default": refused},
    });
    if let Some(shape) = operation.takes {
        let mut schema = shape(&mut shapes.sent).to_value();
        refer_to_sent(&mut schema);
        described["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schema}}});
    }
    described
}

/// What a parameter of the query may be.
fn parameter(name: &str) -> Value {
    match name {
        "version" | "to" => json!({"type": "integer", "minimum": 0}),
        "limit" => json!({"type": "integer", "minimum": 1}),
        "since" | "until" | "tail" | "filters" | "kinds" | "services" | "continue" => {
            json!({"type": "string"})
        }
        "view" => json!({"enum": ["whole", "brief"]}),
        "rollback" => json!({"enum": ["previous"]}),
        "registryAuthFrom" => json!({"enum": ["spec", "previous-spec"]}),
        "scope" => json!({"enum": ["swarm", "local", "global"]}),
        // As Docker reads them.
        _ => json!({
            "type": ["boolean", "string"],
            "description": "False: `0`, `no`, `false`, `none` or nothing. Anything else: true.",
        }),
    }
}

/// `get_services_id_logs`.
fn operation_id(operation: &Operation) -> String {
    let words = operation.path.split(|c: char| !c.is_ascii_alphanumeric());
    let words = std::iter::once(operation.method).chain(words.filter(|word| !word.is_empty()));
    words.collect::<Vec<_>>().join("_")
}
