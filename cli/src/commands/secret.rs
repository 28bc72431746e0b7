//! `secret` and `config`: files that services read. They are alike, but for what may be read back.

use std::io::Read as _;
use std::path::Path;

use clap::{Args, Subcommand};
use data_encoding::{BASE64, BASE64_NOPAD};
use model::api::{Config, Created, Secret};
use model::spec::{ConfigSpec, Driver, SecretSpec};

use super::common::{InspectArgs, Listing, label, remove};
use crate::BadInput;
use crate::ago::ago;
use crate::client::{Client, encoded};
use crate::names;
use crate::output::{Table, print};

/// `swarmctl secret`
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Make a secret of a file or of standard input
    #[command(after_help = "Examples:\n  \
        swarmctl secret create db_password ./password.txt\n  \
        printf %s \"$PASSWORD\" | swarmctl secret create db_password -")]
    Create(CreateArgs),
    /// List secrets
    #[command(visible_alias = "list")]
    Ls(Listing),
    /// Show secrets, without what they hold
    #[command(mut_arg("names", |names| names.add(names::of(names::Kind::Secret))))]
    Inspect(InspectArgs),
    /// Remove secrets that no service uses
    #[command(visible_alias = "remove")]
    Rm {
        #[arg(required = true, add = names::of(names::Kind::Secret))]
        secrets: Vec<String>,
    },
}

/// `swarmctl config`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Make a config of a file or of standard input
    #[command(after_help = "Examples:\n  \
        swarmctl config create site.conf ./site.conf\n  \
        generate | swarmctl config create --label team=web site.conf -")]
    Create(CreateArgs),
    /// List configs
    #[command(visible_alias = "list")]
    Ls(Listing),
    /// Show configs; --data prints what one holds
    #[command(mut_arg("names", |names| names.add(names::of(names::Kind::Config))))]
    Inspect(ConfigInspect),
    /// Remove configs that no service uses
    #[command(visible_alias = "remove")]
    Rm {
        #[arg(required = true, add = names::of(names::Kind::Config))]
        configs: Vec<String>,
    },
}

/// `secret create`, `config create`
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Its name
    name: String,
    /// A file; `-` reads standard input
    #[arg(default_value = "-")]
    file: String,
    /// A label
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// What fills in its placeholders for each task: golang
    #[arg(long, value_name = "DRIVER", value_parser = ["golang"])]
    template_driver: Option<String>,
}

/// `config inspect`
#[derive(Debug, Args)]
pub struct ConfigInspect {
    #[command(flatten)]
    inspect: InspectArgs,
    /// Print only what it holds
    #[arg(long)]
    data: bool,
}

/// The most that is read of a file, bytes: more than the cluster takes, which says so itself.
const MOST: u64 = 2 << 20;

/// Runs `secret`.
///
/// # Errors
/// Those of the calls, and when a file cannot be read.
pub async fn secret(client: &Client, command: &SecretCommand) -> anyhow::Result<()> {
    match command {
        SecretCommand::Create(args) => {
            let spec = SecretSpec {
                name: args.name.clone(),
                labels: args.label.iter().cloned().collect(),
                data: args.data()?,
                templating: args.templating(),
                ..SecretSpec::default()
            };
            created(client.post("/secrets/create", &spec).await?);
        }
        SecretCommand::Ls(listing) => {
            let path = format!("/secrets?filters={}", listing.query(&[]));
            let mut found: Vec<Secret> = client.get(&path).await?;
            found.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
            let mut table = Table::new(&["ID", "NAME", "CREATED", "UPDATED"]);
            for secret in &found {
                let (made, changed) = (ago(secret.created_at), ago(secret.updated_at));
                table.row(vec![secret.id.clone(), secret.spec.name.clone(), made, changed]);
            }
            listing.print(&found, |secret| &secret.id, &table)?;
        }
        SecretCommand::Inspect(inspect) => {
            let mut found: Vec<Secret> = Vec::new();
            for name in &inspect.names {
                found.push(client.get(&format!("/secrets/{}", encoded(name))).await?);
            }
            inspect.print(&found)?;
        }
        SecretCommand::Rm { secrets } => {
            remove(client, secrets, |name| format!("/secrets/{name}")).await?;
        }
    }
    Ok(())
}

/// Runs `config`.
///
/// # Errors
/// Those of the calls, and when a file cannot be read.
pub async fn config(client: &Client, command: &ConfigCommand) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Create(args) => {
            let spec = ConfigSpec {
                name: args.name.clone(),
                labels: args.label.iter().cloned().collect(),
                data: args.data()?,
                templating: args.templating(),
                ..ConfigSpec::default()
            };
            created(client.post("/configs/create", &spec).await?);
        }
        ConfigCommand::Ls(listing) => {
            let path = format!("/configs?filters={}", listing.query(&[]));
            let mut found: Vec<Config> = client.get(&path).await?;
            found.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
            let mut table = Table::new(&["ID", "NAME", "CREATED", "UPDATED"]);
            for config in &found {
                let (made, changed) = (ago(config.created_at), ago(config.updated_at));
                table.row(vec![config.id.clone(), config.spec.name.clone(), made, changed]);
            }
            listing.print(&found, |config| &config.id, &table)?;
        }
        ConfigCommand::Inspect(ConfigInspect { inspect, data }) => {
            let mut found: Vec<Config> = Vec::new();
            for name in &inspect.names {
                found.push(client.get(&format!("/configs/{}", encoded(name))).await?);
            }
            if *data {
                for config in &found {
                    print(&String::from_utf8_lossy(&decoded(&config.spec.data)))?;
                }
            } else {
                inspect.print(&found)?;
            }
        }
        ConfigCommand::Rm { configs } => {
            remove(client, configs, |name| format!("/configs/{name}")).await?;
        }
    }
    Ok(())
}

impl CreateArgs {
    /// What the file holds, in base64.
    fn data(&self) -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        if self.file == "-" {
            std::io::stdin().take(MOST).read_to_end(&mut bytes)?;
        } else {
            let file = std::fs::File::open(Path::new(&self.file));
            file.and_then(|file| file.take(MOST).read_to_end(&mut bytes))
                .map_err(|e| BadInput(format!("{}: {e} (- reads standard input)", self.file)))?;
        }
        Ok(BASE64.encode(&bytes))
    }

    fn templating(&self) -> Option<Driver> {
        let name = self.template_driver.clone()?;
        Some(Driver { name, ..Driver::default() })
    }
}

fn created(made: Created) {
    for warning in &made.warnings {
        eprintln!("warning: {warning}");
    }
    println!("{}", made.id);
}

fn decoded(data: &str) -> Vec<u8> {
    let digits = data.trim_end_matches('=').replace('-', "+").replace('_', "/");
    BASE64_NOPAD.decode(digits.as_bytes()).unwrap_or_default()
}
