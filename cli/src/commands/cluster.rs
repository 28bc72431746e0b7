//! `init`, `join`, `leave`, `token`: how a host gets into a cluster and out of it.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::client::Client;

/// `swarmctl init`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  swarmctl init --advertise-addr 192.0.2.10")]
pub struct InitArgs {
    /// Where other hosts reach this one: ADDRESS or ADDRESS:PORT (default: the address of the
    /// default route)
    #[arg(long, value_name = "ADDR")]
    advertise_addr: Option<String>,
    /// Where the manager listens
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:2377")]
    listen_addr: String,
    /// Pools for networks that do not name a subnet, CIDR
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    default_addr_pool: Vec<String>,
    /// Prefix length of such networks
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u8).range(16..=29))]
    default_addr_pool_mask_length: Option<u8>,
    /// Whether this host takes tasks
    #[arg(long, value_enum, default_value_t)]
    availability: Availability,
    /// Managers wait for a key after a restart; prints it
    #[arg(long)]
    autolock: bool,
    /// On a manager whose others are lost for good: go on alone with the state that is here. They
    /// must not come back with their old state
    #[arg(long)]
    force_new_cluster: bool,
}

/// `swarmctl join`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  swarmctl join --token SWMTKN-1-… 192.0.2.10:2377\n\n\
                  The token decides the role: `swarmctl token worker` or `swarmctl token manager` on a manager prints it.")]
pub struct JoinArgs {
    /// The join token
    #[arg(long, env = "SWARMCTL_JOIN_TOKEN", hide_env_values = true)]
    token: String,
    /// A manager of the cluster, ADDRESS or ADDRESS:PORT
    #[arg(required = true)]
    managers: Vec<String>,
    /// Where other hosts reach this one: ADDRESS or ADDRESS:PORT (default: the address that the
    /// manager is reached from)
    #[arg(long, value_name = "ADDR")]
    advertise_addr: Option<String>,
    /// Where the manager listens, should this host become one
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:2377")]
    listen_addr: String,
    /// Whether this host takes tasks
    #[arg(long, value_enum, default_value_t)]
    availability: Availability,
}

/// `swarmctl leave`
#[derive(Debug, Args)]
pub struct LeaveArgs {
    /// Leave even if this is a manager: the cluster may lose its quorum, the last manager its state
    #[arg(short, long)]
    force: bool,
}

/// `swarmctl token`
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// For which role
    #[arg(value_enum)]
    role: Role,
    /// Make a new token; the old one is void from then on
    #[arg(long)]
    rotate: bool,
    /// Only the token
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Availability {
    #[default]
    Active,
    Pause,
    Drain,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Role {
    Worker,
    Manager,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct InitRequest<'a> {
    listen_addr: &'a str,
    advertise_addr: &'a str,
    availability: &'a str,
    default_addr_pool: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    subnet_size: Option<u8>,
    auto_lock_managers: bool,
    force_new_cluster: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct JoinRequest<'a> {
    listen_addr: &'a str,
    advertise_addr: &'a str,
    availability: &'a str,
    remote_addrs: Vec<String>,
    join_token: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Swarm {
    pub(super) version: SwarmVersion,
    pub(super) spec: serde_json::Value,
    join_tokens: JoinTokens,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SwarmVersion {
    pub(super) index: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct JoinTokens {
    worker: String,
    manager: String,
}

/// The port that managers listen on.
const PORT: u16 = 2377;

/// Makes this host the first manager of a new cluster.
pub async fn init(client: &Client, args: &InitArgs) -> anyhow::Result<ExitCode> {
    let request = InitRequest {
        listen_addr: &args.listen_addr,
        advertise_addr: args.advertise_addr.as_deref().unwrap_or_default(),
        availability: args.availability.word(),
        default_addr_pool: &args.default_addr_pool,
        subnet_size: args.default_addr_pool_mask_length,
        auto_lock_managers: args.autolock,
        force_new_cluster: args.force_new_cluster,
    };
    let node: String = client.post("/swarm/init", &request).await?;
    if args.force_new_cluster {
        println!(
            "This host, node {node}, is the only manager now. Next: remove the lost ones\n(swarmctl node rm --force NAME) and promote others."
        );
        return Ok(ExitCode::SUCCESS);
    }
    println!("Cluster made: this host is node {node}, its first manager.\n");
    println!("To add a worker, run on the other host:\n");
    print_join(client, Role::Worker).await?;
    println!("\nTo add a manager: swarmctl token manager");
    if args.autolock {
        println!();
        super::lock::show(client).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes this host a node of an existing cluster.
pub async fn join(client: &Client, args: &JoinArgs) -> anyhow::Result<ExitCode> {
    let request = JoinRequest {
        listen_addr: &args.listen_addr,
        advertise_addr: args.advertise_addr.as_deref().unwrap_or_default(),
        availability: args.availability.word(),
        remote_addrs: args.managers.iter().map(|address| with_port(address)).collect(),
        join_token: &args.token,
    };
    let _: serde_json::Value = client.post("/swarm/join", &request).await?;
    println!("This host has joined the cluster.");
    Ok(ExitCode::SUCCESS)
}

/// Takes this host out of its cluster.
pub async fn leave(client: &Client, args: &LeaveArgs) -> anyhow::Result<ExitCode> {
    let path = if args.force { "/swarm/leave?force=1" } else { "/swarm/leave" };
    let _: serde_json::Value = client.post(path, &()).await?;
    println!("This host has left the cluster.");
    Ok(ExitCode::SUCCESS)
}

/// Prints, or renews, a join token.
pub async fn token(client: &Client, args: &TokenArgs) -> anyhow::Result<ExitCode> {
    if args.rotate {
        let swarm: Swarm = client.get("/swarm").await?;
        let which = match args.role {
            Role::Worker => "rotateWorkerToken",
            Role::Manager => "rotateManagerToken",
        };
        let path = format!("/swarm/update?version={}&{which}=true", swarm.version.index);
        let _: serde_json::Value = client.post(&path, &swarm.spec).await?;
    }
    if args.quiet {
        let swarm: Swarm = client.get("/swarm").await?;
        println!("{}", args.role.token(&swarm.join_tokens));
    } else {
        println!("To add a {}, run on the other host:\n", args.role.word());
        print_join(client, args.role).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn print_join(client: &Client, role: Role) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Info {
        swarm: InfoSwarm,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct InfoSwarm {
        #[serde(default)]
        node_addr: String,
    }
    let swarm: Swarm = client.get("/swarm").await?;
    let info: Info = client.get("/info").await?;
    let token = role.token(&swarm.join_tokens);
    println!("    swarmctl join --token {token} {}", with_port(&info.swarm.node_addr));
    Ok(())
}

/// `host` and, unless it has one, the managers' port.
fn with_port(host: &str) -> String {
    let has_port = host.rsplit_once(':').is_some_and(|(name, port)| {
        port.parse::<u16>().is_ok() && (!name.contains(':') || name.ends_with(']'))
    });
    match (has_port, host.contains(':') && !host.starts_with('[')) {
        (true, _) => host.to_owned(),
        (false, true) => format!("[{host}]:{PORT}"),
        (false, false) => format!("{host}:{PORT}"),
    }
}

impl Availability {
    fn word(self) -> &'static str {
        match self {
            Availability::Active => "active",
            Availability::Pause => "pause",
            Availability::Drain => "drain",
        }
    }
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Role::Worker => "worker",
            Role::Manager => "manager",
        }
    }

    fn token(self, tokens: &JoinTokens) -> &str {
        match self {
            Role::Worker => &tokens.worker,
            Role::Manager => &tokens.manager,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_s_port_is_filled_in() {
        assert_eq!(with_port("192.0.2.1"), "192.0.2.1:2377");
        assert_eq!(with_port("192.0.2.1:99"), "192.0.2.1:99");
        assert_eq!(with_port("2001:db8::1"), "[2001:db8::1]:2377");
        assert_eq!(with_port("[2001:db8::1]:99"), "[2001:db8::1]:99");
        assert_eq!(with_port("host"), "host:2377");
    }
}
