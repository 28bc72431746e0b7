//! `network`: what tasks talk over.

use clap::{Args, Subcommand};
use model::api::{Network, NetworkCreated};
use model::spec::{Ipam, IpamConfig, NetworkSpec};

use super::common::{InspectArgs, Listing, label, remove};
use crate::client::{Client, encoded};
use crate::names;
use crate::output::{Table, short};

/// `swarmctl network`
#[derive(Debug, Subcommand)]
pub enum NetworkCommand {
    /// Make a network across the hosts
    Create(CreateArgs),
    /// List networks: those of the cluster, and those of this host's engine
    #[command(visible_alias = "list")]
    Ls {
        #[command(flatten)]
        listing: Listing,
        /// Do not shorten ids
        #[arg(long)]
        no_trunc: bool,
    },
    /// Show networks with all their properties
    #[command(mut_arg("names", |names| names.add(names::of(names::Kind::Network))))]
    Inspect {
        #[command(flatten)]
        inspect: InspectArgs,
        /// Also the services and tasks on them
        #[arg(short, long)]
        verbose: bool,
    },
    /// Remove networks that nothing uses
    #[command(visible_alias = "remove")]
    Rm {
        #[arg(required = true, add = names::of(names::Kind::Network))]
        networks: Vec<String>,
    },
}

/// `swarmctl network create`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    swarmctl network create back\n  \
    swarmctl network create --subnet 10.9.0.0/24 --internal back\n  \
    swarmctl network create -d bridge local       one on this host only")]
pub struct CreateArgs {
    /// Its name
    name: String,
    /// overlay: across the hosts; any other: one of this host's engine
    #[arg(short, long, default_value = "overlay")]
    driver: String,
    /// Its addresses, CIDR [default: the next free of the cluster's pools]
    #[arg(long, value_name = "CIDR")]
    subnet: Option<String>,
    /// The address of its gateway
    #[arg(long, value_name = "ADDRESS", requires = "subnet")]
    gateway: Option<String>,
    /// Give only these addresses to tasks
    #[arg(long, value_name = "CIDR", requires = "subnet")]
    ip_range: Option<String>,
    /// An address that is never given to a task
    #[arg(long, value_name = "NAME=ADDRESS", value_parser = label, requires = "subnet")]
    aux_address: Vec<(String, String)>,
    /// Also for containers that no service has started
    #[arg(long)]
    attachable: bool,
    /// Without a way out
    #[arg(long)]
    internal: bool,
    /// With IPv6
    #[arg(long)]
    ipv6: bool,
    /// An option of the driver, as encrypted= or com.docker.network.driver.mtu=1400
    #[arg(short, long = "opt", value_name = "KEY=VALUE", value_parser = label)]
    options: Vec<(String, String)>,
    /// A label
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
}

/// Runs it.
///
/// # Errors
/// Those of the calls.
pub async fn run(client: &Client, command: &NetworkCommand) -> anyhow::Result<()> {
    match command {
        NetworkCommand::Create(args) => {
            let made: NetworkCreated = client.post("/networks/create", &args.spec()).await?;
            if !made.warning.is_empty() {
                eprintln!("warning: {}", made.warning);
            }
            println!("{}", made.id);
        }
        NetworkCommand::Ls { listing, no_trunc } => {
            let path = format!("/networks?filters={}", listing.query(&[]));
            let mut found: Vec<Network> = client.get(&path).await?;
            found.sort_by(|a, b| a.name.cmp(&b.name));
            let mut table = Table::new(&["NETWORK ID", "NAME", "DRIVER", "SCOPE"]);
            for network in &found {
                let id = if *no_trunc { &network.id } else { short(&network.id) };
                table.row(vec![
                    id.to_owned(),
                    network.name.clone(),
                    network.driver.clone(),
                    network.scope.clone(),
                ]);
            }
            listing.print(&found, |network| &network.id, &table)?;
        }
        NetworkCommand::Inspect { inspect, verbose } => {
            // As the API has them: an engine's own networks have fields of their own.
            let mut found: Vec<serde_json::Value> = Vec::new();
            for name in &inspect.names {
                let path = format!("/networks/{}?verbose={}", encoded(name), u8::from(*verbose));
                found.push(client.get(&path).await?);
            }
            inspect.print(&found)?;
        }
        NetworkCommand::Rm { networks } => {
            remove(client, networks, |name| format!("/networks/{name}")).await?;
        }
    }
    Ok(())
}

impl CreateArgs {
    fn spec(&self) -> NetworkSpec {
        let ipam = self.subnet.as_ref().map(|subnet| Ipam {
            driver: "default".to_owned(),
            config: vec![IpamConfig {
                subnet: subnet.clone(),
                gateway: self.gateway.clone().unwrap_or_default(),
                ip_range: self.ip_range.clone().unwrap_or_default(),
                auxiliary_addresses: self.aux_address.iter().cloned().collect(),
                ..IpamConfig::default()
            }],
            ..Ipam::default()
        });
        NetworkSpec {
            name: self.name.clone(),
            driver: self.driver.clone(),
            ipam,
            attachable: self.attachable,
            internal: self.internal,
            enable_ipv6: self.ipv6.then_some(true),
            options: self.options.iter().cloned().collect(),
            labels: self.label.iter().cloned().collect(),
            ..NetworkSpec::default()
        }
    }
}
