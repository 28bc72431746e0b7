//! `node`: the hosts of the cluster.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand, ValueEnum};
use model::api::{Explanation, Node, SwarmInfo, Task};
use model::spec::{Availability, NodeSpec, Role};

use super::common::{InspectArgs, Listing};
use super::task;
use crate::client::{CallError, Client, filters};
use crate::names::{self, Kind};
use crate::output::{Format, Table, capital};

/// `swarmctl node`
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// List the hosts
    #[command(visible_alias = "list")]
    Ls(Listing),
    /// Show hosts with all their properties; `self` is the host of the API
    #[command(mut_arg("names", |names| names.add(names::of(Kind::Node))))]
    Inspect(InspectArgs),
    /// List the tasks of hosts
    Ps {
        /// Names, ids or beginnings of ids
        #[arg(default_value = "self", add = names::of(Kind::Node))]
        nodes: Vec<String>,
        #[command(flatten)]
        list: task::ListArgs,
    },
    /// Change a host's labels, role or availability
    Update(UpdateArgs),
    /// Make hosts managers
    Promote {
        #[arg(required = true, add = names::of(Kind::Node))]
        nodes: Vec<String>,
    },
    /// Make hosts workers
    Demote {
        #[arg(required = true, add = names::of(Kind::Node))]
        nodes: Vec<String>,
    },
    /// Move every task away from hosts and give them no more
    #[command(after_help = "Examples:\n  \
        swarmctl node drain w2                              wait until w2 is empty\n  \
        swarmctl node update --availability active w2       take tasks again\n\n\
        Exit code: 0 when the hosts are empty, 1 when they are not in time.")]
    Drain {
        #[arg(required = true, add = names::of(Kind::Node))]
        nodes: Vec<String>,
        /// Do not wait
        #[arg(short, long)]
        detach: bool,
        /// How long to wait at most, as 90s or 5m
        #[arg(long, value_name = "SPAN", value_parser = crate::wait::span, default_value = "5m")]
        timeout: Duration,
    },
    /// Remove hosts that are down from the cluster
    #[command(visible_alias = "remove")]
    Rm {
        #[arg(required = true, add = names::of(Kind::Node))]
        nodes: Vec<String>,
        /// Also a host that is not down
        #[arg(short, long)]
        force: bool,
    },
}

/// `swarmctl node update`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    swarmctl node update --label-add disk=ssd w1\n  \
    swarmctl node update --availability pause w1")]
pub struct UpdateArgs {
    #[arg(add = names::of(Kind::Node))]
    node: String,
    /// Add or change a label
    #[arg(long, value_name = "KEY=VALUE")]
    label_add: Vec<String>,
    /// Remove a label
    #[arg(long, value_name = "KEY")]
    label_rm: Vec<String>,
    #[arg(long, value_enum)]
    role: Option<RoleWord>,
    #[arg(long, value_enum)]
    availability: Option<AvailabilityWord>,
}

/// The part of `/info` that is read here.
#[derive(serde::Deserialize)]
struct Info {
    #[serde(rename = "Swarm")]
    swarm: SwarmInfo,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleWord {
    Worker,
    Manager,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AvailabilityWord {
    Active,
    Pause,
    Drain,
}

/// Runs it.
///
/// # Errors
/// Those of the calls.
pub async fn run(client: &Client, command: &NodeCommand) -> anyhow::Result<()> {
    match command {
        NodeCommand::Ls(listing) => ls(client, listing).await,
        NodeCommand::Inspect(inspect) => {
            let mut found = Vec::new();
            for node in &inspect.names {
                found.push(find(client, node).await?);
            }
            inspect.print(&found)
        }
        NodeCommand::Ps { nodes, list } => {
            let mut ids = Vec::new();
            for node in nodes {
                ids.push(find(client, node).await?.id);
            }
            let matching: Vec<(&str, &str)> = ids.iter().map(|id| ("node", id.as_str())).collect();
            task::list(client, &matching, list).await
        }
        NodeCommand::Update(args) => update(client, args).await,
        NodeCommand::Promote { nodes } => {
            change(client, nodes, |spec| spec.role = Role::Manager, "promoted to manager").await
        }
        NodeCommand::Demote { nodes } => {
            change(client, nodes, |spec| spec.role = Role::Worker, "demoted to worker").await
        }
        NodeCommand::Drain { nodes, detach, timeout } => {
            let drain = |spec: &mut NodeSpec| spec.availability = Availability::Drain;
            change(client, nodes, drain, "draining").await?;
            if *detach {
                return Ok(());
            }
            for node in nodes {
                empty(client, node, *timeout).await?;
            }
            Ok(())
        }
        NodeCommand::Rm { nodes, force } => {
            for node in nodes {
                let found = find(client, node).await?;
                let force = if *force { "?force=1" } else { "" };
                client.delete(&format!("/nodes/{}{force}", found.id)).await?;
                println!("{node}");
            }
            Ok(())
        }
    }
}

async fn ls(client: &Client, listing: &Listing) -> anyhow::Result<()> {
    let path = format!("/nodes?filters={}", listing.query(&[]));
    let mut nodes: Vec<Node> = client.get(&path).await?;
    nodes.sort_by(|a, b| a.description.hostname.cmp(&b.description.hostname));
    let own = own_id(client).await?;
    let headings = ["ID", "HOSTNAME", "STATUS", "AVAILABILITY", "MANAGER STATUS", "ENGINE VERSION"];
    let mut table = Table::new(&headings);
    for node in &nodes {
        let star = match listing.format {
            Format::Table if node.id == own => " *",
            Format::Table => "  ",
            _ => "",
        };
        let manager = node.manager_status.as_ref().map_or(String::new(), |m| {
            if m.leader { "Leader".to_owned() } else { capital(&m.reachability) }
        });
        table.row(vec![
            format!("{}{star}", node.id),
            node.description.hostname.clone(),
            capital(&node.status.state),
            capital(node.spec.availability.name()),
            manager,
            node.description.engine.engine_version.clone(),
        ]);
    }
    listing.print(&nodes, |node| &node.id, &table)
}

/// Between two looks at a node that is being emptied.
const LOOK: Duration = Duration::from_millis(300);

/// Waits until nothing is left on a drained node.
async fn empty(client: &Client, name: &str, timeout: Duration) -> anyhow::Result<()> {
    let node = find(client, name).await?;
    let begin = Instant::now();
    loop {
        let path = format!("/tasks?filters={}", filters(&[("node", &node.id)]));
        let left = match client.get::<Vec<Task>>(&path).await {
            Ok(tasks) => Some(tasks.iter().filter(|t| !is_over(&t.status.state)).count()),
            // A manager may just be changing: the cluster is asked again.
            Err(CallError::Refused { status, .. }) if status.is_server_error() => None,
            Err(error) => return Err(error.into()),
        };
        if left == Some(0) {
            println!("{name}: empty");
            return Ok(());
        }
        if begin.elapsed() >= timeout {
            let why: Explanation = client.get(&format!("/explain/node/{}", node.id)).await?;
            anyhow::bail!(
                "{name} still has {} tasks; it stays drained\n  {}\nmore: swarmctl node ps {name}",
                left.map_or("some".to_owned(), |left| left.to_string()),
                why.sentences.join("\n  ")
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether a task in this state has no process any more.
pub(crate) fn is_over(state: &str) -> bool {
    matches!(state, "complete" | "shutdown" | "failed" | "rejected" | "remove" | "orphaned")
}

/// The id of the node whose API this is.
///
/// # Errors
/// Those of the call.
pub async fn own_id(client: &Client) -> Result<String, CallError> {
    let info: Info = client.get("/info").await?;
    Ok(info.swarm.node_id)
}

/// The node that a user means.
async fn find(client: &Client, text: &str) -> anyhow::Result<Node> {
    let text = if text == "self" { own_id(client).await? } else { text.to_owned() };
    Ok(client.get(&format!("/nodes/{}", crate::client::encoded(&text))).await?)
}

async fn change(
    client: &Client,
    nodes: &[String],
    edit: impl Fn(&mut NodeSpec),
    what: &str,
) -> anyhow::Result<()> {
    for name in nodes {
        let mut node = find(client, name).await?;
        edit(&mut node.spec);
        write(client, &node).await?;
        println!("{name}: {what}");
    }
    Ok(())
}

async fn update(client: &Client, args: &UpdateArgs) -> anyhow::Result<()> {
    let mut node = find(client, &args.node).await?;
    for label in &args.label_add {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        node.spec.labels.insert(key.to_owned(), value.to_owned());
    }
    for key in &args.label_rm {
        anyhow::ensure!(
            node.spec.labels.remove(key).is_some(),
            "{} has no label {key:?}",
            args.node
        );
    }
    match args.role {
        Some(RoleWord::Worker) => node.spec.role = Role::Worker,
        Some(RoleWord::Manager) => node.spec.role = Role::Manager,
        None => {}
    }
    match args.availability {
        Some(AvailabilityWord::Active) => node.spec.availability = Availability::Active,
        Some(AvailabilityWord::Pause) => node.spec.availability = Availability::Pause,
        Some(AvailabilityWord::Drain) => node.spec.availability = Availability::Drain,
        None => {}
    }
    write(client, &node).await?;
    println!("{}", args.node);
    Ok(())
}

async fn write(client: &Client, node: &Node) -> anyhow::Result<()> {
    let path = format!("/nodes/{}/update?version={}", node.id, node.version.index);
    let _: serde_json::Value = client.post(&path, &node.spec).await?;
    Ok(())
}
