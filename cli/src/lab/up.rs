//! `lab up`: makes a lab what it should be, whatever there is of it already.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;

use anyhow::Context;

use super::args::{Format, UpArgs};
use super::paths::Paths;
use super::state::{Cluster, Lab, LabName, Power, Role};
use super::{Usage, address, cgroup, check, cluster, cuts, launch, lock, ls, net, power};

/// Hosts of a lab of which nobody said how many there should be.
const MANAGERS: u8 = 1;
const WORKERS: u8 = 2;

/// Runs `lab up`.
pub(super) fn run(paths: &Paths, name: &LabName, args: UpArgs) -> anyhow::Result<ExitCode> {
    check::has_programs()?;
    check::has_cgroups()?;
    let lock = lock::lab(paths, name)?;
    let outcome = bring_up(paths, name, args);
    if outcome.is_err() && !paths.lab_file(name).exists() {
        // Refused before there was anything: leave no empty directory behind.
        let _ = fs::remove_dir(paths.lab_run(name));
        let _ = fs::remove_dir(&paths.run);
    }
    let lab = outcome?;
    drop(lock);
    print(paths, &lab)?;
    Ok(ExitCode::SUCCESS)
}

fn bring_up(paths: &Paths, name: &LabName, args: UpArgs) -> anyhow::Result<Lab> {
    let mut lab = plan(paths, name, args)?;
    net::ensure_switch(paths, &lab)?;
    cuts::apply(paths, &lab)?;
    launch::refresh_hosts_files(paths, &lab)?;
    let names: Vec<_> = lab.hosts.iter().map(|host| host.name.clone()).collect();
    power::ensure_up_to_date(paths, &mut lab)?;
    power::ensure_on(paths, &mut lab, &names)?;
    power::wait_ready(paths, &lab, &names)?;
    if lab.cluster == Cluster::Formed {
        cluster::ensure_formed(paths, &lab, &mut cluster::OwnCommands)?;
    }
    Ok(lab)
}

/// What the lab should be, written down; nothing is made yet.
fn plan(paths: &Paths, name: &LabName, args: UpArgs) -> anyhow::Result<Lab> {
    let agent = match (args.no_cluster, args.agent) {
        (true, None) => None,
        (_, named) => Some(check::find_agent(named)?),
    };
    // Until the lab is written down, nobody else may choose its range.
    let addresses = lock::addresses(paths)?;
    let mut lab = match Lab::load(paths, name)? {
        Some(lab) => match args.subnet {
            Some(other) if other != lab.subnet => {
                return Err(Usage(format!(
                    "lab `{name}` has the range {}; another one needs `swarmctl lab down` first",
                    lab.subnet
                ))
                .into());
            }
            Some(_) | None => lab,
        },
        None => Lab::empty(name.clone(), choose_subnet(paths, args.subnet)?),
    };
    let present = |role, fallback| Some(lab.count(role)).filter(|n| *n > 0).unwrap_or(fallback);
    let managers = args.managers.unwrap_or_else(|| present(Role::Manager, MANAGERS));
    let fallback = if lab.hosts.is_empty() { WORKERS } else { 0 };
    let workers = args.workers.unwrap_or_else(|| present(Role::Worker, fallback));
    lab.cluster = if args.no_cluster { Cluster::Bare } else { Cluster::Formed };
    if lab.cluster == Cluster::Formed && managers == 0 {
        return Err(Usage("a cluster needs a manager; or ask for --no-cluster".into()).into());
    }
    if managers == 0 && workers == 0 {
        return Err(Usage("a lab needs a host".into()).into());
    }
    lab.grow(Role::Manager, managers)?;
    lab.grow(Role::Worker, workers)?;
    lab.programs.agent = agent;
    if let Some(flags) = args.agent_flags {
        lab.programs.agent_flags = flags.split_whitespace().map(str::to_owned).collect();
    }
    if let Some(flags) = args.engine_flags {
        lab.programs.engine_flags = flags.split_whitespace().map(str::to_owned).collect();
    }
    lab.cgroups.extend(cgroup::bases(name)?);
    make_root(paths, name)?;
    lab.save(paths)?;
    drop(addresses);
    Ok(lab)
}

fn make_root(paths: &Paths, name: &LabName) -> anyhow::Result<()> {
    let state = paths.lab_state(name);
    fs::create_dir_all(&state).with_context(|| format!("cannot make {}", state.display()))?;
    // Hosts' disks hold copies of `/etc/shadow` and of secrets.
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700))?;
    Ok(())
}

fn choose_subnet(paths: &Paths, asked: Option<address::Subnet>) -> anyhow::Result<address::Subnet> {
    let mut taken = Vec::new();
    for other in paths.labs() {
        // A lab that cannot be read is no reason to refuse another one.
        if let Ok(Some(lab)) = Lab::load(paths, &other) {
            taken.push(lab.subnet);
        }
    }
    let routes = net::routes()?;
    match asked {
        Some(subnet) => {
            let in_use = taken.contains(&subnet)
                || routes.iter().any(|route| address::conflicts(subnet, *route));
            if in_use {
                return Err(Usage(format!("the range {subnet} is in use on this machine")).into());
            }
            Ok(subnet)
        }
        None => address::free_subnet(&taken, &routes)
            .context("every range 10.210.N.0/24 is in use on this machine; name one with --subnet"),
    }
}

fn print(paths: &Paths, lab: &Lab) -> anyhow::Result<()> {
    ls::print(&ls::rows(paths, lab), Format::Table)?;
    let on = lab.hosts.iter().find(|host| host.power != Power::Off);
    if let Some(host) = on {
        let place = paths.host(&lab.name, &host.name);
        let socket = match lab.cluster {
            Cluster::Formed => place.cluster_socket(),
            Cluster::Bare => place.engine_socket(),
        };
        eprintln!("try: docker -H unix://{} info", socket.display());
    }
    Ok(())
}
