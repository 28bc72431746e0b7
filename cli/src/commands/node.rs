//! `node`: the hosts of the cluster.

use clap::{Args, Subcommand, ValueEnum};
use model::api::{Node, SwarmInfo};
use model::spec::{Availability, NodeSpec, Role};

use super::task;
use crate::client::Client;
use crate::output::{Format, Table, render};

/// `swarmctl node`
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// List the hosts
    Ls {
        /// Only ids
        #[arg(short, long)]
        quiet: bool,
        /// How to print
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Show hosts with all their properties
    Inspect {
        /// Names, ids or beginnings of ids; `self` is the host of the API
        #[arg(required = true)]
        nodes: Vec<String>,
        /// How to print
        #[arg(long, value_enum, default_value = "json")]
        format: Format,
    },
    /// List a host's tasks
    Ps {
        /// Name, id or beginning of an id
        #[arg(default_value = "self")]
        node: String,
        #[command(flatten)]
        list: task::ListArgs,
    },
    /// Change a host's labels, role or availability
    Update(UpdateArgs),
    /// Make hosts managers
    Promote {
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Make hosts workers
    Demote {
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Move every task away from hosts and give them no more
    Drain {
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Remove hosts that are down from the cluster
    Rm {
        #[arg(required = true)]
        nodes: Vec<String>,
        /// Also a host that is not down
        #[arg(short, long)]
        force: bool,
    },
}

/// `swarmctl node update`
#[derive(Debug, Args)]
pub struct UpdateArgs {
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
        NodeCommand::Ls { quiet, format } => ls(client, *quiet, *format).await,
        NodeCommand::Inspect { nodes, format } => {
            let mut found = Vec::new();
            for node in nodes {
                found.push(find(client, node).await?);
            }
            let json = || serde_json::to_string_pretty(&found).unwrap_or_default() + "\n";
            print!("{}", render(*format, &found, json)?);
            Ok(())
        }
        NodeCommand::Ps { node, list } => {
            let node = find(client, node).await?;
            task::list(client, &[("node", &node.id)], list).await
        }
        NodeCommand::Update(args) => update(client, args).await,
        NodeCommand::Promote { nodes } => {
            change(client, nodes, |spec| spec.role = Role::Manager, "promoted to manager").await
        }
        NodeCommand::Demote { nodes } => {
            change(client, nodes, |spec| spec.role = Role::Worker, "demoted to worker").await
        }
        NodeCommand::Drain { nodes } => {
            let drain = |spec: &mut NodeSpec| spec.availability = Availability::Drain;
            change(client, nodes, drain, "draining").await
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

async fn ls(client: &Client, quiet: bool, format: Format) -> anyhow::Result<()> {
    let nodes: Vec<Node> = client.get("/nodes").await?;
    if quiet {
        for node in &nodes {
            println!("{}", node.id);
        }
        return Ok(());
    }
    let info: Info = client.get("/info").await?;
    let table = || {
        let headings =
            ["ID", "HOSTNAME", "STATUS", "AVAILABILITY", "MANAGER STATUS", "ENGINE VERSION"];
        let mut table = Table::new(&headings);
        for node in &nodes {
            let star = if node.id == info.swarm.node_id { "*" } else { " " };
            let manager = node.manager_status.as_ref().map_or(String::new(), |m| {
                if m.leader { "Leader".to_owned() } else { capital(&m.reachability) }
            });
            table.row(vec![
                format!("{} {star}", node.id),
                node.description.hostname.clone(),
                capital(&node.status.state),
                capital(node.spec.availability.name()),
                manager,
                node.description.engine.engine_version.clone(),
            ]);
        }
        table.render()
    };
    print!("{}", render(format, &nodes, table)?);
    Ok(())
}

/// The node that a user means.
async fn find(client: &Client, text: &str) -> anyhow::Result<Node> {
    let text = if text == "self" {
        let info: Info = client.get("/info").await?;
        info.swarm.node_id
    } else {
        text.to_owned()
    };
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

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
