//! Names of what there is, for completion in a shell.
//!
//! Asked for while somebody waits at a prompt: short time limits, and no names at all rather than
//! an error.

use std::time::Duration;

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use serde_json::Value;

use crate::client::Client;
use crate::endpoint::{Endpoint, Said, environment};

/// How long a prompt may wait.
const PATIENCE: Duration = Duration::from_millis(1500);

/// What is to be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Service,
    /// A service and what has to follow: `web=`.
    Scale,
    Task,
    Node,
    Stack,
    Secret,
    Config,
    Network,
    /// Of the host of the API.
    Volume,
}

/// The names of a kind, as clap wants them.
#[must_use]
pub fn of(kind: Kind) -> ArgValueCandidates {
    ArgValueCandidates::new(move || names(kind).into_iter().map(CompletionCandidate::new).collect())
}

fn names(kind: Kind) -> Vec<String> {
    let asked = || {
        let client = Client::at(&Endpoint::choose(&Said::default(), &environment).ok()?).ok()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let names = runtime.block_on(async {
            tokio::time::timeout(PATIENCE, ask(&client, kind)).await.ok().flatten()
        });
        runtime.shutdown_background();
        names
    };
    let mut names = asked().unwrap_or_default();
    names.sort();
    names.dedup();
    names
}

async fn ask(client: &Client, kind: Kind) -> Option<Vec<String>> {
    let list = |path: &'static str| async move { client.get::<Vec<Value>>(path).await.ok() };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let all = |found: Vec<Value>, of: fn(&Value) -> &Value| {
        found.iter().filter_map(|object| text(of(object))).collect::<Vec<_>>()
    };
    Some(match kind {
        Kind::Service => all(list("/services").await?, |s| &s["Spec"]["Name"]),
        Kind::Scale => {
            let services = all(list("/services").await?, |s| &s["Spec"]["Name"]);
            services.into_iter().map(|name| format!("{name}=")).collect()
        }
        Kind::Volume => {
            let mut answer: Value = client.get("/volumes").await.ok()?;
            let Value::Array(volumes) = answer["Volumes"].take() else { return None };
            all(volumes, |v| &v["Name"])
        }
        Kind::Node => all(list("/nodes").await?, |n| &n["Description"]["Hostname"]),
        Kind::Secret => all(list("/secrets").await?, |s| &s["Spec"]["Name"]),
        Kind::Config => all(list("/configs").await?, |c| &c["Spec"]["Name"]),
        Kind::Network => all(list("/networks").await?, |n| &n["Name"]),
        Kind::Stack => {
            all(list("/services").await?, |s| &s["Spec"]["Labels"][model::spec::STACK_LABEL])
        }
        Kind::Task => {
            let services = list("/services").await?;
            let name_of = |id: &Value| {
                services.iter().find(|s| s["ID"] == *id).and_then(|s| text(&s["Spec"]["Name"]))
            };
            let tasks =
                list("/tasks?filters=%7B%22desired-state%22%3A%5B%22running%22%5D%7D").await?;
            let slot = |task: &Value| task["Slot"].as_u64().filter(|slot| *slot > 0);
            let name = |task: &Value| {
                let service = name_of(&task["ServiceID"])?;
                Some(match slot(task) {
                    Some(slot) => format!("{service}.{slot}"),
                    None => format!("{service}.{}", text(&task["NodeID"])?),
                })
            };
            let mut names: Vec<String> = tasks.iter().filter_map(name).collect();
            names.extend(all(services.clone(), |s| &s["Spec"]["Name"]));
            names
        }
    })
}
