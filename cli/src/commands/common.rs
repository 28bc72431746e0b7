//! What many commands share: how lists are asked for, how several things are removed.

use clap::Args;
use serde::Serialize;

use crate::client::{CallError, Client, filters};
use crate::output::{Format, Table, print, printed};

/// How a list is printed, and what of it.
#[derive(Debug, Args)]
pub struct Listing {
    /// Only ids (of stacks and volumes: names)
    #[arg(short, long)]
    pub quiet: bool,
    /// Only what matches, as name=web or label=tier=front
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = filter)]
    pub filter: Vec<(String, String)>,
    /// table, json, yaml, or a template as '{{.ID}} {{.Name}}'
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

impl Listing {
    /// The `filters=` query value: what the user asked for and what the command asks for.
    #[must_use]
    pub fn query(&self, matching: &[(&str, &str)]) -> String {
        let own = self.filter.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        filters(&own.chain(matching.iter().copied()).collect::<Vec<_>>())
    }

    /// Prints the list.
    ///
    /// # Errors
    /// When the format asks for a field that is not there.
    pub fn print<T: Serialize>(
        &self,
        objects: &[T],
        id: impl Fn(&T) -> &str,
        table: &Table,
    ) -> anyhow::Result<()> {
        if self.quiet {
            return print(&objects.iter().map(|o| format!("{}\n", id(o))).collect::<String>());
        }
        print(&printed(&self.format, objects, table)?)
    }
}

/// Which things are shown whole.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Names, ids or beginnings of ids
    #[arg(required = true)]
    pub names: Vec<String>,
    /// json, yaml, or a template as '{{.Spec.Name}}'
    #[arg(short, long, value_name = "FORMAT", default_value = "json")]
    pub format: Format,
    /// For people: the same as --format yaml
    #[arg(long)]
    pub pretty: bool,
}

impl InspectArgs {
    /// Prints what was found.
    ///
    /// # Errors
    /// When the format asks for a field that is not there.
    pub fn print<T: Serialize>(&self, found: &[T]) -> anyhow::Result<()> {
        let format = match (&self.format, self.pretty) {
            (_, true) => &Format::Yaml,
            (Format::Table, false) => &Format::Json,
            (format, false) => format,
        };
        print(&printed(format, found, &Table::default())?)
    }
}

/// `KEY=VALUE` of `--filter`.
///
/// # Errors
/// When there is no `=`.
pub fn filter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_lowercase(), value.to_owned()))
        }
        _ => Err("KEY=VALUE is meant, as name=web".to_owned()),
    }
}

/// `KEY=VALUE` of `--label`; without a value it is empty.
///
/// # Errors
/// When there is no key.
pub fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.trim().is_empty() {
        return Err("KEY=VALUE is meant".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// Removes each; goes on when one cannot be removed, and fails at the end.
///
/// # Errors
/// With every refusal.
pub async fn remove(
    client: &Client,
    names: &[String],
    path: impl Fn(&str) -> String,
) -> anyhow::Result<()> {
    let mut refused: Vec<String> = Vec::new();
    for name in names {
        match client.delete(&path(&crate::client::encoded(name))).await {
            Ok(()) => println!("{name}"),
            Err(error @ CallError::Refused { .. }) => refused.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    anyhow::ensure!(refused.is_empty(), "{}", refused.join("\n"));
    Ok(())
}
