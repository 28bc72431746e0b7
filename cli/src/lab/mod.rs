//! `swarmctl lab`: hosts on one machine, each a set of namespaces with its own engine and agent.
//!
//! A lab is a switch (a Linux bridge in a network namespace of its own) and hosts. A host is a
//! pid-namespace init ([`init`]) with net, mount, uts, ipc and cgroup namespaces beside it, under
//! which everything of that host lives; one SIGKILL to it is a power-off. What a host keeps over a
//! power-off (`/etc`, `/var`) is a directory under [`paths::Paths::state`]; what it loses (`/run`)
//! is one under [`paths::Paths::run`], where the sockets can be reached from outside.
//!
//! Read [`args`] for what users can say, [`state`] for what is remembered, [`up`] and [`down`] for
//! the two ends of a lab's life, [`launch`] and [`init`] for how a host comes to be.

mod address;
mod args;
mod cgroup;
mod check;
mod cluster;
mod copy;
mod cuts;
mod down;
mod engine;
mod exec;
mod init;
mod launch;
mod load;
mod lock;
mod logs;
mod ls;
mod net;
mod paths;
mod power;
mod process;
mod state;
mod up;

use std::process::ExitCode;

pub use args::{LabArgs, LabCommand};
pub(crate) use check::find_agent;

/// The user asked for something that cannot be: exit code 2, nothing changed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Runs one `swarmctl lab` command and says how the process should end.
///
/// # Errors
/// Anything but wrong usage, which is printed here and ends in exit code 2.
pub fn run(args: LabArgs) -> anyhow::Result<ExitCode> {
    match dispatch(args) {
        Err(error) if error.downcast_ref::<Usage>().is_some() => {
            eprintln!("swarmctl: {error:#}");
            Ok(ExitCode::from(2))
        }
        outcome => outcome,
    }
}

fn dispatch(args: LabArgs) -> anyhow::Result<ExitCode> {
    let paths = paths::Paths::new(args.state_dir);
    let name = args.name;
    match args.command {
        LabCommand::HostLaunch => return launch::host_launch(),
        LabCommand::HostInit => return init::run(),
        _ => check::is_root()?,
    }
    match args.command {
        LabCommand::Up(up) => up::run(&paths, &name.unwrap_or_default(), up),
        LabCommand::Ls { format } => ls::run(&paths, name.as_ref(), format),
        LabCommand::Exec { host, command } => exec::run(&paths, &known(name), &host, &command),
        LabCommand::Kill { hosts } => power::kill(&paths, &known(name), &hosts),
        LabCommand::Start { hosts } => power::start(&paths, &known(name), &hosts),
        LabCommand::Pause { hosts } => power::pause(&paths, &known(name), &hosts),
        LabCommand::Resume { hosts } => power::resume(&paths, &known(name), &hosts),
        LabCommand::Restart(restart) => power::restart(&paths, &known(name), &restart),
        LabCommand::Partition { hosts } => cuts::partition(&paths, &known(name), &hosts),
        LabCommand::Cut { from, to, one_way } => {
            cuts::cut(&paths, &known(name), &from, &to, one_way.into())
        }
        LabCommand::Heal { hosts } => cuts::heal(&paths, &known(name), &hosts),
        LabCommand::Load(load) => load::run(&paths, &known(name), load),
        LabCommand::Logs(logs) => logs::run(&paths, &known(name), &logs),
        LabCommand::Down { all } => down::run(&paths, name, all),
        LabCommand::HostLaunch | LabCommand::HostInit => unreachable!("handled above"),
    }
}

fn known(name: Option<state::LabName>) -> state::LabName {
    name.unwrap_or_default()
}
