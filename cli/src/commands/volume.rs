//! `volume`: the volumes of one host, the one whose address was given.
//!
//! A service's volume is made where its task runs; there is no volume of the whole cluster.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::common::{InspectArgs, Listing, label, remove};
use crate::client::{Client, encoded};
use crate::names::{self, Kind};
use crate::output::Table;

/// `swarmctl volume`
#[derive(Debug, Subcommand)]
pub enum VolumeCommand {
    /// Make a volume on this host
    Create(CreateArgs),
    /// List this host's volumes
    #[command(visible_alias = "list")]
    Ls(Listing),
    /// Show volumes with all their properties
    #[command(mut_arg("names", |names| names.add(names::of(Kind::Volume))))]
    Inspect(InspectArgs),
    /// Remove volumes of this host, and what is in them
    #[command(visible_alias = "remove")]
    Rm {
        #[arg(required = true, add = names::of(Kind::Volume))]
        volumes: Vec<String>,
        /// Not an error when there is no such volume
        #[arg(short, long)]
        force: bool,
    },
}

/// `swarmctl volume create`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    swarmctl volume create data\n  \
    swarmctl volume create -o type=nfs -o o=addr=192.0.2.5,rw -o device=:/export data")]
pub struct CreateArgs {
    /// Its name [default: one is made up]
    #[arg(default_value = "", hide_default_value = true)]
    name: String,
    /// The engine's driver
    #[arg(short, long, default_value = "local")]
    driver: String,
    /// An option of the driver
    #[arg(short, long = "opt", value_name = "KEY=VALUE", value_parser = label)]
    options: Vec<(String, String)>,
    /// A label
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Volumes {
    volumes: Option<Vec<Volume>>,
    warnings: Option<Vec<String>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Volume {
    name: String,
    driver: String,
    #[serde(flatten)]
    more: serde_json::Map<String, Value>,
}

/// Runs it.
///
/// # Errors
/// Those of the calls.
pub async fn run(client: &Client, command: &VolumeCommand) -> anyhow::Result<()> {
    match command {
        VolumeCommand::Create(args) => {
            let pairs = |list: &[(String, String)]| {
                Value::Object(list.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect())
            };
            let body = json!({
                "Name": args.name, "Driver": args.driver,
                "DriverOpts": pairs(&args.options), "Labels": pairs(&args.label),
            });
            let made: Volume = client.post("/volumes/create", &body).await?;
            println!("{}", made.name);
        }
        VolumeCommand::Ls(listing) => {
            let path = format!("/volumes?filters={}", listing.query(&[]));
            let answer: Volumes = client.get(&path).await?;
            for warning in answer.warnings.unwrap_or_default() {
                eprintln!("warning: {warning}");
            }
            let mut found = answer.volumes.unwrap_or_default();
            found.sort_by(|a, b| a.name.cmp(&b.name));
            let mut table = Table::new(&["DRIVER", "VOLUME NAME"]);
            for volume in &found {
                table.row(vec![volume.driver.clone(), volume.name.clone()]);
            }
            listing.print(&found, |volume| &volume.name, &table)?;
        }
        VolumeCommand::Inspect(inspect) => {
            let mut found: Vec<Value> = Vec::new();
            for name in &inspect.names {
                found.push(client.get(&format!("/volumes/{}", encoded(name))).await?);
            }
            inspect.print(&found)?;
        }
        VolumeCommand::Rm { volumes, force } => {
            let force = if *force { "?force=1" } else { "" };
            remove(client, volumes, |name| format!("/volumes/{name}{force}")).await?;
        }
    }
    Ok(())
}
