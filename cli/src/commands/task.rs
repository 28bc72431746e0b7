//! Tasks as rows: `ps`, `service ps`, `stack ps`, `node ps`.

use std::collections::BTreeMap;

use clap::Args;
use model::api::{Node, Service, Task};

use super::common::Listing;
use crate::ago::ago_within;
use crate::client::Client;
use crate::output::{Format, Table, capital, short};

/// How tasks are listed.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Do not shorten ids and errors
    #[arg(long)]
    no_trunc: bool,
    /// Only tasks that should run
    #[arg(long)]
    running: bool,
    #[command(flatten)]
    listing: Listing,
}

/// Errors are cut to so many characters unless they are asked for whole.
const ERROR_WIDTH: usize = 60;

/// The tasks that match, each slot's newest first.
///
/// # Errors
/// Those of the calls.
pub async fn list(
    client: &Client,
    matching: &[(&str, &str)],
    args: &ListArgs,
) -> anyhow::Result<()> {
    let mut pairs = matching.to_vec();
    if args.running {
        pairs.push(("desired-state", "running"));
    }
    let path = format!("/tasks?filters={}", args.listing.query(&pairs));
    let tasks: Vec<Task> = client.get(&path).await?;
    let services: Vec<Service> = client.get("/services").await?;
    let nodes: Vec<Node> = client.get("/nodes").await?;
    show(tasks, &services, &nodes, args)
}

fn show(
    mut tasks: Vec<Task>,
    services: &[Service],
    nodes: &[Node],
    args: &ListArgs,
) -> anyhow::Result<()> {
    let services: BTreeMap<&str, &str> =
        services.iter().map(|s| (s.id.as_str(), s.spec.name.as_str())).collect();
    let nodes: BTreeMap<&str, &str> =
        nodes.iter().map(|n| (n.id.as_str(), n.description.hostname.as_str())).collect();
    let name = |task: &Task| name_of(task, &services);
    tasks.sort_by_cached_key(|task| {
        let newest_first = std::cmp::Reverse(task.created_at);
        let service = services.get(task.service_id.as_str()).copied().unwrap_or_default();
        // A slot's tasks belong together, wherever they ran; a global service has one a node.
        let node = if task.slot > 0 { String::new() } else { task.node_id.clone() };
        (service.to_owned(), task.slot, node, newest_first)
    });
    let is_tree = args.listing.format == Format::Table;
    let headings =
        ["ID", "NAME", "IMAGE", "NODE", "DESIRED STATE", "CURRENT STATE", "ERROR", "PORTS"];
    let mut table = Table::new(&headings);
    let mut above = None;
    for task in &tasks {
        let own = name(task);
        // Docker's tree: older tasks of a slot hang below the newest.
        let hangs = is_tree && above.as_ref() == Some(&own);
        let shown = if hangs { format!(" \\_ {own}") } else { own.clone() };
        above = Some(own);
        let image = task.spec.container_spec.as_ref().map_or("", |c| c.image.as_str());
        let image = image.split('@').next().unwrap_or_default();
        let id = if args.no_trunc { &task.id } else { short(&task.id) };
        table.row(vec![
            id.to_owned(),
            shown,
            image.to_owned(),
            nodes.get(task.node_id.as_str()).copied().unwrap_or_default().to_owned(),
            capital(&task.desired_state),
            format!("{} {}", capital(&task.status.state), ago_within(task.status.timestamp)),
            cut(&task.status.err, args.no_trunc),
            ports(task),
        ]);
    }
    args.listing.print(&tasks, |task| &task.id, &table)
}

/// `service.slot`, or `service.node` of a global service and, as docker has it, of a job's slot 0.
pub fn name_of(task: &Task, services: &BTreeMap<&str, &str>) -> String {
    let service = services.get(task.service_id.as_str()).copied().unwrap_or(&task.service_id);
    if task.slot > 0 || task.node_id.is_empty() {
        format!("{service}.{}", task.slot)
    } else {
        format!("{service}.{}", task.node_id)
    }
}

fn ports(task: &Task) -> String {
    let port = |p: &model::spec::PortConfig| {
        format!("*:{}->{}/{}", p.published_port, p.target_port, p.protocol.name())
    };
    task.status.port_status.ports.iter().map(port).collect::<Vec<_>>().join(",")
}

fn cut(text: &str, whole: bool) -> String {
    let text = text.replace('\n', " ");
    if text.is_empty() || whole {
        return text;
    }
    let mut short: String = text.chars().take(ERROR_WIDTH).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("\"{short}\"")
}
