//! `explain`: in plain words, why a service, a task or a node is as it is.

use clap::Args;
use model::api::Explanation;

use crate::ago::ago;
use crate::client::{CallError, Client, encoded};
use crate::names;
use crate::output::{Format, Table, print, printed};

/// `swarmctl explain`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    swarmctl explain web            a service\n  \
    swarmctl explain web.2          a task\n  \
    swarmctl explain node w1        a node\n\n\
    Exit code: 0 when nothing is left to do, 1 when something waits or was not found.")]
pub struct ExplainArgs {
    /// service, task or node, if the name alone would not do; then the name or id
    #[arg(num_args = 1..=2, required = true, value_name = "[KIND] NAME", add = names::of(names::Kind::Service))]
    what: Vec<String>,
    /// table, json, yaml, or a template as '{{.Settled}}'
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

const KINDS: [&str; 3] = ["service", "task", "node"];

/// Runs it; the answer is whether nothing is left to do.
///
/// # Errors
/// Those of the calls, and when there is no such thing.
pub async fn run(client: &Client, args: &ExplainArgs) -> anyhow::Result<bool> {
    let found = match args.what.as_slice() {
        [kind, name] => {
            anyhow::ensure!(
                KINDS.contains(&kind.as_str()),
                "cannot explain {kind:?}: service, task or node"
            );
            explanation(client, kind, name).await?
        }
        [name] => search(client, name).await?,
        _ => unreachable!("clap takes one or two words"),
    };
    match args.format {
        Format::Table => print(&text(&found))?,
        _ => print(&printed(&args.format, std::slice::from_ref(&found), &Table::default())?)?,
    }
    Ok(found.settled)
}

async fn explanation(client: &Client, kind: &str, name: &str) -> Result<Explanation, CallError> {
    client.get(&format!("/explain/{kind}/{}", encoded(name))).await
}

async fn search(client: &Client, name: &str) -> anyhow::Result<Explanation> {
    for kind in KINDS {
        match explanation(client, kind, name).await {
            Err(error) if error.is_not_found() => {}
            other => return Ok(other?),
        }
    }
    anyhow::bail!("there is no service, task or node {name} (swarmctl service ls, ps, node ls)")
}

fn text(found: &Explanation) -> String {
    let mut text = format!(
        "{} {}: {}\n",
        found.kind,
        found.name,
        if found.settled { "settled, nothing is left to do" } else { "not settled" }
    );
    for sentence in &found.sentences {
        text += &format!("  {sentence}\n");
    }
    if !found.waiting.is_empty() {
        let mut table = Table::new(&["TASK", "NODE", "STATE", "SINCE", "WHY"]);
        for task in &found.waiting {
            let name = task.name.strip_suffix(&task.task_id).unwrap_or(&task.name);
            table.row(vec![
                name.trim_end_matches('.').to_owned(),
                task.node.clone(),
                task.state.clone(),
                ago(task.since),
                task.text.clone(),
            ]);
        }
        text += "\n";
        text += &table.render();
    }
    text
}
