//! `version`: of this client, and of what it talks to.

use clap::Args;
use model::api::API_VERSION;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::output::{Format, Table, print, printed};

/// `swarmctl version`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  swarmctl version --format '{{.Server.Version}}'")]
pub struct VersionArgs {
    /// table, json, yaml, or a template as '{{.Server.Version}}'
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Versions {
    client: Own,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Server>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Own {
    version: &'static str,
    api_version: &'static str,
    host: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Server {
    version: String,
    api_version: String,
    #[serde(rename = "MinAPIVersion")]
    min_api_version: String,
    os: String,
    arch: String,
}

/// Runs it. The client's own version is told also when nobody answers.
///
/// # Errors
/// When nobody answers, or the format asks for a field that is not there.
pub async fn run(client: &Client, args: &VersionArgs) -> anyhow::Result<()> {
    let answer = client.get::<Server>("/version").await;
    let (server, trouble) = match answer {
        Ok(server) => (Some(server), None),
        Err(error) => (None, Some(error)),
    };
    let own = Own {
        version: env!("CARGO_PKG_VERSION"),
        api_version: API_VERSION,
        host: client.host().to_owned(),
    };
    let versions = Versions { client: own, server };
    match args.format {
        Format::Table => {
            let own = &versions.client;
            let mut text = format!(
                "Client:\n Version:      {}\n API version:  {}\n Talks to:     {}\n",
                own.version, own.api_version, own.host
            );
            if let Some(server) = &versions.server {
                text += &format!(
                    "\nServer:\n Version:      {}\n API version:  {} (minimum {})\n OS/Arch:      {}/{}\n",
                    server.version,
                    server.api_version,
                    server.min_api_version,
                    server.os,
                    server.arch
                );
            }
            print(&text)?;
        }
        _ => print(&printed(&args.format, std::slice::from_ref(&versions), &Table::default())?)?,
    }
    trouble.map_or(Ok(()), |trouble| Err(trouble.into()))
}
