//! `rebalance`: spreads tasks over the nodes again.

use std::collections::BTreeSet;

use model::api::RebalanceReply;
use serde_json::Value;

use crate::client::{Client, encoded};
use crate::names;
use crate::output::{Format, Table, print, printed};
use crate::wait::{self, Awaited};

/// `swarmctl rebalance`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing moves by itself when nodes return: this moves what should be elsewhere, as \
    many tasks at once as the service's update parallelism says (without it: a third), stop-first or \
    start-first as it says.\n\nExamples:\n  \
    swarmctl rebalance --plan       what would move\n  \
    swarmctl rebalance\n  \
    swarmctl rebalance db           only this service, also if it has volumes on its hosts"
)]
pub struct RebalanceArgs {
    /// Only these services; those with volumes on their hosts move only when they are named
    #[arg(add = names::of(names::Kind::Service))]
    services: Vec<String>,
    /// Say what would move; change nothing
    #[arg(long, visible_alias = "dry-run")]
    plan: bool,
    /// table, json, yaml, or a template as '{{.Name}} {{.To}}'
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    #[command(flatten)]
    wait: wait::Args,
}

/// Has tasks moved, and waits until they run elsewhere.
///
/// # Errors
/// Those of the call, and when a service does not converge.
pub async fn run(client: &Client, args: &RebalanceArgs) -> anyhow::Result<()> {
    let services = encoded(&args.services.join(","));
    let path = format!("/rebalance?services={services}&dryRun={}", u8::from(args.plan));
    let reply: RebalanceReply = client.post(&path, &Value::Null).await?;
    let mut table = Table::new(&["NAME", "FROM", "TO"]);
    for it in &reply.moves {
        table.row(vec![it.name.clone(), it.from.clone(), it.to.clone()]);
    }
    for left in &reply.left {
        eprintln!("{} stays as it is: {}", left.service, left.reason);
    }
    if reply.moves.is_empty() && args.format == Format::Table {
        return print("nothing to move\n");
    }
    print(&printed(&args.format, &reply.moves, &table)?)?;
    if args.plan {
        return Ok(());
    }
    let moved: BTreeSet<&String> = reply.moves.iter().map(|it| &it.service_id).collect();
    let moved: Vec<Awaited> = moved.into_iter().map(|id| Awaited::unchanged(id.clone())).collect();
    wait::converged(client, &moved, &args.wait).await
}
