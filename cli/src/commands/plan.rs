//! `deploy --plan` and `stack diff`: what a deploy would change, before it does.
//!
//! The managers say what would happen to each object (a dry run of the very deploy); this adds the
//! values before and after, and the tasks that would be replaced.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use compose::Specs;
use compose::diff::{KeyChange, keys};
use model::api::{
    Network, Node, Service, StackAction, StackChange, StackReply, StackRequest, StackRevisionBody,
    Task,
};
use model::spec::{PublishMode, STACK_LABEL, ServiceSpec};
use serde::Serialize;
use serde_json::Value;

use super::task::name_of;
use crate::client::{Client, encoded, filters};

/// How a plan is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// What a deploy would do.
#[derive(Debug, Default, Serialize)]
pub struct Plan {
    stack: String,
    changes: Vec<Change>,
    /// Services that run and that the files do not have.
    left: Vec<String>,
    warnings: Vec<String>,
}

/// One object that does not stay as it is, or does.
#[derive(Debug, Serialize)]
struct Change {
    action: StackAction,
    kind: String,
    name: String,
    /// Of an update, in the words of the request.
    keys: Vec<KeyChange>,
    /// Tasks that would end: replaced by others in an update, stopped in a removal.
    tasks: Vec<String>,
}

/// Asks what deploying `specs` would change.
///
/// # Errors
/// Those of the calls; a stack that would be refused is one.
pub async fn plan(
    client: &Client,
    stack: &str,
    specs: Specs,
    prune: Prune,
) -> anyhow::Result<Plan> {
    let request = request(specs);
    let prune = u8::from(prune == Prune::Yes);
    let path = format!("/stacks/{}?dryRun=1&prune={prune}", encoded(stack));
    let reply: StackReply = client.post(&path, &request).await?;
    planned(client, stack, &request, reply).await
}

/// Asks what going back to a revision would change.
///
/// # Errors
/// Those of the calls.
pub async fn of_rollback(client: &Client, stack: &str, to: Option<u64>) -> anyhow::Result<Plan> {
    let name = encoded(stack);
    let to = match to {
        Some(to) => to,
        None => super::revisions::before_newest(client, stack).await?,
    };
    let wanted: StackRevisionBody = client.get(&format!("/stacks/{name}/revisions/{to}")).await?;
    let path = format!("/stacks/{name}/rollback?dryRun=1&to={to}");
    let reply: StackReply = client.post(&path, &Value::Null).await?;
    planned(client, stack, &wanted.request, reply).await
}

/// The plan that a dry run's answer is, beside what runs now.
async fn planned(
    client: &Client,
    stack: &str,
    request: &StackRequest,
    reply: StackReply,
) -> anyhow::Result<Plan> {
    let label = filters(&[("label", &format!("{STACK_LABEL}={stack}"))]);
    let services: Vec<Service> = client.get(&format!("/services?filters={label}")).await?;
    let running =
        filters(&[("label", &format!("{STACK_LABEL}={stack}")), ("desired-state", "running")]);
    let tasks: Vec<Task> = client.get(&format!("/tasks?filters={running}")).await?;
    let networks: Vec<Network> = client.get("/networks").await?;
    let nodes: Vec<Node> = client.get("/nodes").await?;
    Ok(Now { services, tasks, networks, nodes }.plan(stack, request, reply))
}

/// Whether services that the files do not have are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prune {
    Yes,
    No,
}

/// The request that deploys `specs`.
#[must_use]
pub fn request(specs: Specs) -> StackRequest {
    StackRequest {
        networks: specs.networks,
        secrets: specs.secrets,
        configs: specs.configs,
        services: specs.services,
    }
}

/// What is there.
#[derive(Default)]
struct Now {
    services: Vec<Service>,
    tasks: Vec<Task>,
    networks: Vec<Network>,
    nodes: Vec<Node>,
}

impl Now {
    fn plan(&self, stack: &str, wanted: &StackRequest, reply: StackReply) -> Plan {
        let named: Vec<&str> = reply.changes.iter().map(|c| c.name.as_str()).collect();
        let mut left: Vec<String> = self
            .services
            .iter()
            .map(|s| s.spec.name.clone())
            .filter(|name| !named.contains(&name.as_str()))
            .collect();
        left.sort();
        Plan {
            stack: stack.to_owned(),
            left,
            changes: reply.changes.into_iter().map(|c| self.change(c, wanted)).collect(),
            warnings: reply.warnings,
        }
    }

    fn change(&self, change: StackChange, wanted: &StackRequest) -> Change {
        let mut out = Change {
            action: change.action,
            kind: change.kind,
            name: change.name,
            keys: Vec::new(),
            tasks: Vec::new(),
        };
        let old = self.services.iter().find(|s| s.spec.name == out.name);
        if out.kind != "service" {
            out.keys = change.fields.into_iter().map(unknown).collect();
            return out;
        }
        let Some(old) = old else { return out };
        if out.action == StackAction::Remove {
            out.tasks = self.tasks_of(old);
            return out;
        }
        let new = wanted.services.iter().find(|s| s.name == out.name);
        if let (StackAction::Update, Some(new)) = (out.action, new) {
            out.keys = self.keys(&old.spec, new, &change.fields);
            if replaces_tasks(&old.spec, new, &change.fields) {
                out.tasks = self.tasks_of(old);
            }
        }
        out
    }

    /// The values of the fields that the managers say would change.
    fn keys(&self, old: &ServiceSpec, new: &ServiceSpec, fields: &[String]) -> Vec<KeyChange> {
        let json = |spec: &ServiceSpec| serde_json::to_value(spec).unwrap_or_default();
        let (mut old, new) = (json(old), json(new));
        let names = self.networks.iter().map(|n| (n.id.as_str(), n.name.as_str())).collect();
        with_names(&mut old, &names);
        let mut out = Vec::new();
        for field in fields {
            let (before, after) = (at(&old, field), at(&new, field));
            let changes = keys(before, after, field);
            if changes.is_empty() {
                out.push(unknown(field.clone()));
            }
            out.extend(changes);
        }
        out
    }

    fn tasks_of(&self, service: &Service) -> Vec<String> {
        let services = BTreeMap::from([(service.id.as_str(), service.spec.name.as_str())]);
        let mut tasks: Vec<&Task> =
            self.tasks.iter().filter(|t| t.service_id == service.id).collect();
        tasks.sort_by_key(|task| (task.slot, &task.node_id));
        tasks
            .into_iter()
            .map(|task| {
                let node = self.nodes.iter().find(|n| n.id == task.node_id);
                let node = node.map_or("no node yet", |n| n.description.hostname.as_str());
                let name = if task.slot == 0 {
                    service.spec.name.clone()
                } else {
                    name_of(task, &services)
                };
                format!("{name} on {node}")
            })
            .collect()
    }
}

/// A field whose values are not to be had.
fn unknown(path: String) -> KeyChange {
    KeyChange { path, before: None, after: None }
}

/// What the field at a dotted path is.
fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(value, |value, key| value.get(key).unwrap_or(&Value::Null))
}

/// Ids of networks become their names.
fn with_names(value: &mut Value, names: &BTreeMap<&str, &str>) {
    match value {
        Value::String(text) => {
            if let Some(name) = names.get(text.as_str()) {
                *text = (*name).to_owned();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| with_names(item, names)),
        Value::Object(map) => map.values_mut().for_each(|item| with_names(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What a container is made of is fixed: to change it means another container. So are the ports
/// that it opens on its host.
fn replaces_tasks(old: &ServiceSpec, new: &ServiceSpec, fields: &[String]) -> bool {
    let host_ports = |spec: &ServiceSpec| {
        let ports = spec.endpoint_spec.as_ref().map(|e| e.ports.clone()).unwrap_or_default();
        ports.into_iter().any(|p| p.publish_mode == PublishMode::Host)
    };
    fields.iter().any(|field| {
        field.starts_with("TaskTemplate")
            || (field.starts_with("EndpointSpec") && (host_ports(old) || host_ports(new)))
    })
}

impl Plan {
    /// True when a deploy would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.iter().all(|c| c.action == StackAction::Keep)
    }

    /// The plan as text, its warnings not among it.
    ///
    /// # Errors
    /// When it has no JSON form, which it always has.
    pub fn show(&self, format: Format) -> anyhow::Result<String> {
        Ok(match format {
            Format::Text => self.text(),
            Format::Json => serde_json::to_string_pretty(self)? + "\n",
        })
    }

    /// What the managers warn of.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for change in self.changes.iter().filter(|c| c.action != StackAction::Keep) {
            let Change { action, kind, name, keys, tasks } = change;
            let _ = match action {
                StackAction::Create => writeln!(out, "+ {kind} {name}"),
                StackAction::Remove => writeln!(out, "- {kind} {name}"),
                StackAction::Update | StackAction::Keep => writeln!(out, "~ {kind} {name}"),
            };
            for key in keys {
                let _ = match (&key.before, &key.after) {
                    (None, None) => writeln!(out, "    {}", key.path),
                    _ => writeln!(out, "    {key}"),
                };
            }
            if keys.is_empty() && *action == StackAction::Update {
                let _ = writeln!(
                    out,
                    "    {}",
                    if kind == "service" { "credentials" } else { "content" }
                );
            }
            if !tasks.is_empty() {
                let word = if *action == StackAction::Remove { "stops" } else { "replaces" };
                let _ = writeln!(out, "    {word} {}", tasks.join(", "));
            }
        }
        let count = |action| self.changes.iter().filter(|c| c.action == action).count();
        let replaced: usize = self
            .changes
            .iter()
            .filter(|c| c.action == StackAction::Update)
            .map(|c| c.tasks.len())
            .sum();
        if !self.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(
            out,
            "{} to create, {} to update ({replaced} tasks to replace), {} to remove, {} unchanged",
            count(StackAction::Create),
            count(StackAction::Update),
            count(StackAction::Remove),
            count(StackAction::Keep),
        );
        if !self.left.is_empty() {
            let _ = writeln!(
                out,
                "running, and not in the files (--prune removes them): {}",
                self.left.join(", ")
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn spec(json: &str) -> ServiceSpec {
        serde_json::from_str(json).expect("a spec")
    }

    fn service(id: &str, json: &str) -> Service {
        Service { id: id.to_owned(), spec: Arc::new(spec(json)), ..Service::default() }
    }

    fn task(service: &str, slot: u64) -> Task {
        let (service_id, node_id) = (service.to_owned(), "n1".to_owned());
        Task { service_id, slot, node_id, ..Task::default() }
    }

    fn now() -> Now {
        let mut node = Node { id: "n1".into(), ..Node::default() };
        node.description.hostname = "m1".into();
        Now {
            services: vec![
                service(
                    "1",
                    r#"{"Name":"s_web","TaskTemplate":{"ContainerSpec":{"Image":"web:1","Env":["A=1"]},
                        "Networks":[{"Target":"net1","Aliases":["web"]}]},
                        "Mode":{"Replicated":{"Replicas":2}}}"#,
                ),
                service(
                    "2",
                    r#"{"Name":"s_old","TaskTemplate":{"ContainerSpec":{"Image":"old"}}}"#,
                ),
            ],
            tasks: vec![task("1", 2), task("1", 1), task("2", 1)],
            networks: vec![Network {
                id: "net1".into(),
                name: "s_default".into(),
                ..Network::default()
            }],
            nodes: vec![node],
        }
    }

    fn change(action: StackAction, kind: &str, name: &str, fields: &[&str]) -> StackChange {
        let fields = fields.iter().map(|f| (*f).to_owned()).collect();
        let (kind, name) = (kind.to_owned(), name.to_owned());
        StackChange { action, kind, name, id: String::new(), fields }
    }

    #[test]
    fn a_plan_says_what_is_added_changed_key_by_key_and_removed_and_whose_tasks_end() {
        let wanted = StackRequest {
            services: vec![spec(
                r#"{"Name":"s_web","TaskTemplate":{"ContainerSpec":{"Image":"web:2","Env":["A=1","B=2"]},
                    "Networks":[{"Target":"s_default","Aliases":["web"]}]},
                    "Mode":{"Replicated":{"Replicas":3}}}"#,
            )],
            ..StackRequest::default()
        };
        let image = "TaskTemplate.ContainerSpec.Image";
        let env = "TaskTemplate.ContainerSpec.Env";
        let reply = StackReply {
            changes: vec![
                change(StackAction::Remove, "service", "s_old", &[]),
                change(StackAction::Keep, "network", "s_default", &[]),
                change(StackAction::Create, "network", "s_front", &[]),
                change(StackAction::Update, "config", "s_conf", &[]),
                change(
                    StackAction::Update,
                    "service",
                    "s_web",
                    &[image, env, "Mode.Replicated.Replicas"],
                ),
            ],
            ..StackReply::default()
        };
        let plan = now().plan("s", &wanted, reply);
        assert!(!plan.is_empty());
        assert_eq!(
            plan.text(),
            "- service s_old\n    \
                stops s_old.1 on m1\n\
             + network s_front\n\
             ~ config s_conf\n    \
                content\n\
             ~ service s_web\n    \
                TaskTemplate.ContainerSpec.Image: \"web:1\" -> \"web:2\"\n    \
                TaskTemplate.ContainerSpec.Env: [\"A=1\"] -> [\"A=1\",\"B=2\"]\n    \
                Mode.Replicated.Replicas: 2 -> 3\n    \
                replaces s_web.1 on m1, s_web.2 on m1\n\n\
             1 to create, 2 to update (2 tasks to replace), 1 to remove, 1 unchanged\n"
        );
    }

    #[test]
    fn more_replicas_replace_nothing_and_services_that_stay_behind_are_named() {
        let wanted = StackRequest {
            services: vec![spec(r#"{"Name":"s_web","Mode":{"Replicated":{"Replicas":5}}}"#)],
            ..StackRequest::default()
        };
        let field = "Mode.Replicated.Replicas";
        let reply = StackReply {
            changes: vec![change(StackAction::Update, "service", "s_web", &[field])],
            ..StackReply::default()
        };
        let text = now().plan("s", &wanted, reply).text();
        assert!(text.contains("    Mode.Replicated.Replicas: 2 -> 5\n\n"), "{text}");
        assert!(text.contains("(0 tasks to replace)"), "{text}");
        assert!(text.ends_with("not in the files (--prune removes them): s_old\n"), "{text}");
    }

    #[test]
    fn a_stack_as_it_should_be_is_no_change() {
        let reply = StackReply {
            changes: vec![change(StackAction::Keep, "service", "s_web", &[])],
            ..StackReply::default()
        };
        let plan = now().plan("s", &StackRequest::default(), reply);
        assert!(plan.is_empty());
        assert!(plan.text().starts_with("0 to create, 0 to update"), "{}", plan.text());
    }
}
