//! What users can say to `swarmctl lab`, as clap types.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::address::Subnet;
use super::state::{HostName, LabName};

/// Arguments of `swarmctl lab`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  swarmctl lab up                              one manager m1, two workers w1 and w2
  swarmctl lab up --managers 3 --name quorum   a second lab beside the first
  swarmctl lab exec m1 docker node ls
  swarmctl lab kill w2 && swarmctl lab start w2
  swarmctl lab partition w1 && swarmctl lab heal
  swarmctl lab down --all")]
pub struct LabArgs {
    /// Which lab
    #[arg(long, global = true, env = "SWARMCTL_LAB", help = "Which lab [default: lab]")]
    pub(super) name: Option<LabName>,
    /// Where the hosts' disks are kept
    #[arg(
        long,
        global = true,
        env = "SWARMCTL_LAB_STATE",
        value_name = "DIR",
        default_value = "/var/lib/swarmctl-lab"
    )]
    pub(super) state_dir: PathBuf,
    #[command(subcommand)]
    pub(super) command: LabCommand,
}

/// What to do with a lab.
#[derive(Subcommand)]
pub enum LabCommand {
    /// Start a lab, or bring one up to date: missing and killed hosts are started
    Up(UpArgs),
    /// List hosts with their addresses, states and sockets
    Ls {
        /// How to print
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Run a command inside a host (a shell when none is given); its exit code is passed on
    Exec {
        /// The host
        // Not `host`: values of that name belong to the global `--host`.
        #[arg(id = "lab-host", value_name = "HOST")]
        host: HostName,
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Power hosts off: everything of theirs dies at once, their disks stay as they are
    Kill {
        /// The hosts
        #[arg(required = true)]
        hosts: Vec<HostName>,
    },
    /// Power hosts on again and wait for their engines
    Start {
        /// The hosts
        #[arg(required = true)]
        hosts: Vec<HostName>,
    },
    /// Freeze every process of the hosts
    Pause {
        /// The hosts
        #[arg(required = true)]
        hosts: Vec<HostName>,
    },
    /// Let frozen hosts go on
    Resume {
        /// The hosts
        #[arg(required = true)]
        hosts: Vec<HostName>,
    },
    /// Restart the agent or the engine of hosts
    Restart(RestartArgs),
    /// Cut these hosts off from all others of the lab (they still see each other)
    Partition {
        /// The hosts
        #[arg(required = true)]
        hosts: Vec<HostName>,
    },
    /// Cut the link between two hosts (`outside` is the machine the lab runs on)
    Cut {
        /// One end
        from: HostName,
        /// The other end
        to: HostName,
        /// Only drop what the first sends to the second
        #[arg(long)]
        one_way: bool,
    },
    /// Undo cuts and partitions: all, or those that touch the given hosts
    Heal {
        /// The hosts
        hosts: Vec<HostName>,
    },
    /// Load an image into every host's engine
    Load(LoadArgs),
    /// Print what a host's engine or agent logged
    Logs(LogsArgs),
    /// Remove a lab and every trace of it
    Down {
        /// Every lab on this machine
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// Make the namespaces of one host and start its init (internal)
    #[command(hide = true)]
    HostLaunch,
    /// Be the init of one host (internal)
    #[command(hide = true)]
    HostInit,
}

/// Arguments of `lab up`.
#[derive(Args)]
pub struct UpArgs {
    /// How many managers, m1, m2 … [default: 1, or as many as there are]
    #[arg(long)]
    pub(super) managers: Option<u8>,
    /// How many workers, w1, w2 … [default: 2, or as many as there are]
    #[arg(long)]
    pub(super) workers: Option<u8>,
    /// Engines only: no cluster is formed, and agents run only when --agent is given
    #[arg(long)]
    pub(super) no_cluster: bool,
    /// The agent program [default: `agent` beside swarmctl]
    #[arg(long, value_name = "PATH")]
    pub(super) agent: Option<PathBuf>,
    /// More flags for every agent, separated by blanks
    #[arg(long, value_name = "FLAGS", allow_hyphen_values = true)]
    pub(super) agent_flags: Option<String>,
    /// More flags for every dockerd, separated by blanks
    #[arg(long, value_name = "FLAGS", allow_hyphen_values = true)]
    pub(super) engine_flags: Option<String>,
    /// The hosts' address range, a /24 [default: the first free 10.210.N.0/24]
    #[arg(long, value_name = "A.B.C.0/24")]
    pub(super) subnet: Option<Subnet>,
}

/// Arguments of `lab restart`.
#[derive(Args)]
pub struct RestartArgs {
    /// What to restart
    #[arg(value_enum)]
    pub(super) what: Program,
    /// The hosts
    #[arg(required = true)]
    pub(super) hosts: Vec<HostName>,
    /// Kill it (SIGKILL) instead of asking it to stop (SIGTERM)
    #[arg(long)]
    pub(super) kill: bool,
}

/// Arguments of `lab load`.
#[derive(Args)]
pub struct LoadArgs {
    /// An image archive as `docker save` writes it, `-` for standard input
    #[arg(required_unless_present = "image")]
    pub(super) file: Option<PathBuf>,
    /// Take images by name instead, from a lab host that has them or from this machine's engine
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    pub(super) image: Vec<String>,
    /// Only into these hosts
    #[arg(long, value_name = "HOST")]
    pub(super) into: Vec<HostName>,
}

/// Arguments of `lab logs`.
#[derive(Args)]
pub struct LogsArgs {
    /// The host
    #[arg(id = "lab-host", value_name = "HOST")]
    pub(super) host: HostName,
    /// Whose log
    #[arg(value_enum, default_value = "agent")]
    pub(super) what: Log,
    /// Go on printing as more is written
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Only the last N lines
    #[arg(short = 'n', long, value_name = "N")]
    pub(super) tail: Option<usize>,
}

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// Columns for people
    Table,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// A supervised program of a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Program {
    /// `agent`
    Agent,
    /// `dockerd`
    Engine,
}

/// A log of a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Log {
    /// What `agent` wrote
    Agent,
    /// What `dockerd` wrote
    Engine,
    /// What the host's init wrote
    Init,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        /// As `swarmctl` itself has it.
        #[arg(long, global = true)]
        host: Option<String>,
        #[command(flatten)]
        lab: LabArgs,
    }

    fn parse(line: &str) -> Result<LabArgs, clap::Error> {
        Cli::try_parse_from(std::iter::once("lab").chain(line.split(' '))).map(|cli| cli.lab)
    }

    #[test]
    fn a_command_for_exec_keeps_its_own_flags() {
        let args = parse("exec --name one m1 ls -la --name two").expect("parses");
        assert_eq!(args.name.expect("given").as_str(), "one");
        let LabCommand::Exec { host, command } = args.command else { panic!("not exec") };
        assert_eq!(host.as_str(), "m1");
        assert_eq!(command, ["ls", "-la", "--name", "two"]);
    }

    #[test]
    fn a_host_of_the_lab_is_not_taken_for_the_clusters_address() {
        for line in ["exec m1 true", "logs m1", "load - --into m1"] {
            let words = std::iter::once("lab").chain(line.split(' '));
            let cli = Cli::try_parse_from(words).expect("parses");
            assert_eq!(cli.host, None, "{line}");
        }
    }

    #[test]
    fn flags_for_the_engine_may_begin_with_dashes() {
        let args = Cli::try_parse_from(["lab", "up", "--engine-flags", "--debug --mtu 1400"])
            .expect("parses");
        let LabCommand::Up(up) = args.lab.command else { panic!("not up") };
        assert_eq!(up.engine_flags.as_deref(), Some("--debug --mtu 1400"));
    }

    #[test]
    fn names_that_could_leave_their_directory_are_refused() {
        for line in ["ls --name ../x", "kill m1/..", "kill M1", "ls --name -x", "kill"] {
            assert!(parse(line).is_err(), "{line} was accepted");
        }
    }

    #[test]
    fn a_load_needs_a_file_or_an_image() {
        assert!(parse("load").is_err());
        assert!(parse("load - --image x").is_err());
        assert!(parse("load --image x --image y").is_ok());
    }
}
