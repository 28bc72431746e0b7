//! What is remembered of a lab between two commands: one JSON file, replaced as a whole.
//!
//! Every resource is written down before it is made, so that a command that died half way can be
//! undone by another.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::Usage;
use super::address::Subnet;
use super::paths::Paths;
use super::process::ProcessRef;

/// The version of the file's form that this program writes and reads.
const VERSION: u32 = 1;

/// A lab.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Lab {
    pub version: u32,
    pub name: LabName,
    pub subnet: Subnet,
    pub cluster: Cluster,
    pub programs: Programs,
    pub hosts: Vec<Host>,
    pub cuts: BTreeSet<Cut>,
    /// Directories, one a hierarchy, under which each host has its control group.
    pub cgroups: BTreeSet<PathBuf>,
}

/// What hosts run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Programs {
    /// The agent program; none means that no agents run.
    pub agent: Option<PathBuf>,
    pub agent_flags: Vec<String>,
    pub engine_flags: Vec<String>,
}

/// What was started when a host was powered on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Boot {
    pub init: ProcessRef,
    pub programs: Programs,
    /// Tells the agent's file from a newer one at the same path.
    pub agent_build: String,
}

/// Whether `up` forms a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cluster {
    /// Every host is joined to one cluster.
    Formed,
    /// Hosts are left as they are.
    Bare,
}

/// A host of a lab.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Host {
    pub name: HostName,
    pub role: Role,
    pub address: Ipv4Addr,
    pub power: Power,
}

/// What a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    Manager,
    Worker,
}

/// Whether a host was last switched on or off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "power")]
pub(super) enum Power {
    Off,
    On(Boot),
    Paused(Boot),
}

/// Nothing passes from the first to the second.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Cut {
    pub from: HostName,
    pub to: HostName,
}

/// Lower-case letters, digits and inner dashes, at most 32: safe as host name and as file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

/// The name of a lab, of the same form as a host's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct LabName(String);

impl Lab {
    /// Reads a lab; `None` when there is none of this name.
    pub(super) fn load(paths: &Paths, name: &LabName) -> anyhow::Result<Option<Self>> {
        let file = paths.lab_file(name);
        let text = match fs::read(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.with_context(|| format!("cannot read {}", file.display()))?,
        };
        let lab: Self = serde_json::from_slice(&text).with_context(|| {
            format!("{} is damaged; `swarmctl lab down --name {name}` removes it", file.display())
        })?;
        anyhow::ensure!(
            lab.version == VERSION,
            "{} was written by another version of swarmctl; `swarmctl lab down --name {name}` removes it",
            file.display()
        );
        Ok(Some(lab))
    }

    /// Reads a lab that must be there.
    pub(super) fn load_known(paths: &Paths, name: &LabName) -> anyhow::Result<Self> {
        Self::load(paths, name)?.ok_or_else(|| {
            let known: Vec<_> = paths.labs().iter().map(ToString::to_string).collect();
            let known = if known.is_empty() {
                "there is none; `swarmctl lab up` makes one".into()
            } else {
                format!("known: {}", known.join(", "))
            };
            Usage(format!("no lab is named `{name}` ({known})")).into()
        })
    }

    /// Writes the lab; afterwards the file is the old or the new one, never half of either.
    pub(super) fn save(&self, paths: &Paths) -> anyhow::Result<()> {
        let file = paths.lab_file(&self.name);
        let text = serde_json::to_vec_pretty(self)?;
        write_whole(&file, &text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// The hosts of these names, or an error that lists the known ones.
    pub(super) fn find(&self, names: &[HostName]) -> anyhow::Result<Vec<Host>> {
        names.iter().map(|name| self.host(name).cloned()).collect()
    }

    /// The host of this name, or an error that lists the known ones.
    pub(super) fn host(&self, name: &HostName) -> anyhow::Result<&Host> {
        self.hosts.iter().find(|host| host.name == *name).ok_or_else(|| self.unknown(name))
    }

    pub(super) fn host_mut(&mut self, name: &HostName) -> anyhow::Result<&mut Host> {
        let unknown = self.unknown(name);
        self.hosts.iter_mut().find(|host| host.name == *name).ok_or(unknown)
    }

    fn unknown(&self, name: &HostName) -> anyhow::Error {
        let known: Vec<_> = self.hosts.iter().map(|host| host.name.as_str()).collect();
        Usage(format!("lab `{}` has no host `{name}` (known: {})", self.name, known.join(", ")))
            .into()
    }

    /// A lab without hosts.
    pub(super) fn empty(name: LabName, subnet: Subnet) -> Self {
        Self {
            version: VERSION,
            name,
            subnet,
            cluster: Cluster::Bare,
            programs: Programs::default(),
            hosts: Vec::new(),
            cuts: BTreeSet::new(),
            cgroups: BTreeSet::new(),
        }
    }

    /// Adds hosts until there are `count` of the role; hosts that are there stay as they are.
    ///
    /// # Errors
    /// When there are more already, or more are asked for than there are addresses.
    pub(super) fn grow(&mut self, role: Role, count: u8) -> Result<(), Usage> {
        let (most, name) = (role.most(), &self.name);
        if count > most {
            return Err(Usage(format!("a lab has at most {most} {role}s, not {count}")));
        }
        let present = self.count(role);
        if present > count {
            return Err(Usage(format!(
                "lab `{name}` has {present} {role}s, {count} were asked for; hosts are only ever \
                 added, `swarmctl lab down --name {name}` starts afresh"
            )));
        }
        for number in present + 1..=count {
            self.hosts.push(Host {
                name: role.host_name(number),
                role,
                address: self.subnet.host(role, number),
                power: Power::Off,
            });
        }
        self.hosts.sort_by_key(|host| (host.role, host.address));
        Ok(())
    }

    /// How many hosts of the role there are.
    pub(super) fn count(&self, role: Role) -> u8 {
        self.hosts.iter().filter(|host| host.role == role).count() as u8
    }
}

impl Host {
    /// The init of a host that is switched on, unless it died by itself.
    pub(super) fn init(&self) -> Option<&ProcessRef> {
        Some(&self.boot()?.init).filter(|init| init.is_alive())
    }

    /// How the host was last powered on, unless it was powered off since.
    pub(super) fn boot(&self) -> Option<&Boot> {
        match &self.power {
            Power::Off => None,
            Power::On(boot) | Power::Paused(boot) => Some(boot),
        }
    }

    /// The host's port on the switch.
    pub(super) fn port(&self) -> String {
        format!("p{}", self.address.octets()[3])
    }

    /// The hardware address follows from the IP address, so that a power cycle does not leave the
    /// others with a stale neighbour entry.
    pub(super) fn mac(&self) -> String {
        let [a, b, c, d] = self.address.octets();
        format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
    }
}

impl Role {
    /// How many hosts of this role have an address (see [`Subnet::host`]).
    pub(super) const fn most(self) -> u8 {
        match self {
            Self::Manager => 90,
            Self::Worker => 150,
        }
    }

    fn host_name(self, number: u8) -> HostName {
        match self {
            Self::Manager => HostName(format!("m{number}")),
            Self::Worker => HostName(format!("w{number}")),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manager => "manager",
            Self::Worker => "worker",
        })
    }
}

fn write_whole(file: &Path, text: &[u8]) -> std::io::Result<()> {
    let fresh = file.with_extension("json.new");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, file)
}

fn checked(text: &str) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=32).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("a name is 1 to 32 lower-case letters, digits and inner dashes".to_owned())
    }
}

macro_rules! name {
    ($name:ident) => {
        impl $name {
            pub(super) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                checked(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name!(HostName);
name!(LabName);

impl Default for LabName {
    fn default() -> Self {
        Self("lab".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lab() -> Lab {
        let subnet = "10.210.4.0/24".parse().expect("a range");
        Lab::empty(LabName::default(), subnet)
    }

    #[test]
    fn growing_keeps_the_hosts_that_are_there() {
        let mut lab = lab();
        lab.grow(Role::Worker, 1).expect("grows");
        lab.grow(Role::Manager, 1).expect("grows");
        let w1 = lab.hosts[1].clone();
        lab.grow(Role::Worker, 3).expect("grows");
        let names: Vec<_> = lab.hosts.iter().map(|host| host.name.as_str()).collect();
        assert_eq!(names, ["m1", "w1", "w2", "w3"]);
        assert_eq!(lab.hosts[1], w1);
    }

    #[test]
    fn a_lab_never_shrinks_and_never_outgrows_its_addresses() {
        let mut lab = lab();
        lab.grow(Role::Manager, 3).expect("grows");
        let error = lab.grow(Role::Manager, 1).expect_err("must not shrink").to_string();
        assert!(error.contains("has 3 managers, 1 were asked for"), "{error}");
        assert!(lab.grow(Role::Worker, 151).is_err());
        assert_eq!(lab.hosts.len(), 3);
    }

    #[test]
    fn an_unknown_host_is_answered_with_the_known_ones() {
        let mut lab = lab();
        lab.grow(Role::Worker, 2).expect("grows");
        let error = lab.host(&"w9".parse().expect("a name")).expect_err("unknown");
        assert_eq!(error.to_string(), "lab `lab` has no host `w9` (known: w1, w2)");
        assert!(error.downcast_ref::<Usage>().is_some());
    }

    #[test]
    fn a_saved_lab_is_read_back_the_same() {
        let dir = tempfile::tempdir().expect("a directory");
        let paths = Paths::new(dir.path().to_owned());
        let mut lab = lab();
        lab.grow(Role::Manager, 2).expect("grows");
        let init = ProcessRef { pid: 42, started_ticks: 7, boot: "b".into() };
        let boot = Boot { init, programs: Programs::default(), agent_build: "1".into() };
        lab.hosts[0].power = Power::On(boot);
        lab.cuts.insert(Cut { from: lab.hosts[0].name.clone(), to: lab.hosts[1].name.clone() });
        fs::create_dir_all(paths.lab_state(&lab.name)).expect("a directory");
        lab.save(&paths).expect("saves");
        assert_eq!(Lab::load(&paths, &lab.name).expect("loads"), Some(lab));
    }

    #[test]
    fn a_damaged_file_is_an_error_that_says_how_to_go_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let paths = Paths::new(dir.path().to_owned());
        let name = LabName::default();
        fs::create_dir_all(paths.lab_state(&name)).expect("a directory");
        fs::write(paths.lab_file(&name), "{").expect("writes");
        let error = Lab::load(&paths, &name).expect_err("damaged").to_string();
        assert!(error.contains("swarmctl lab down --name lab"), "{error}");
    }
}
