//! Where everything of a lab lies on the machine.

use std::fs;
use std::path::PathBuf;

use super::state::{HostName, LabName};

/// What is lost when a lab goes down or the machine stops: sockets, the switch's namespace.
///
/// Fixed and short, because the path of a Unix socket has at most 107 bytes.
const RUN: &str = "/run/swarmctl-lab";

/// The two roots.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    /// Hosts' disks and the labs' own files.
    pub state: PathBuf,
    /// Runtime directories.
    pub run: PathBuf,
}

impl Paths {
    pub(super) fn new(state: PathBuf) -> Self {
        Self { state, run: RUN.into() }
    }

    /// The labs of which there is a trace, sorted.
    pub(super) fn labs(&self) -> Vec<LabName> {
        let mut names: Vec<LabName> = [&self.state, &self.run]
            .into_iter()
            .filter_map(|root| fs::read_dir(root).ok())
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    pub(super) fn lab_state(&self, lab: &LabName) -> PathBuf {
        self.state.join(lab.as_str())
    }

    pub(super) fn lab_run(&self, lab: &LabName) -> PathBuf {
        self.run.join(lab.as_str())
    }

    pub(super) fn lab_file(&self, lab: &LabName) -> PathBuf {
        self.lab_state(lab).join("lab.json")
    }

    /// The file over which the switch's network namespace is mounted.
    pub(super) fn switch(&self, lab: &LabName) -> PathBuf {
        self.lab_run(lab).join("switch")
    }

    pub(super) fn host(&self, lab: &LabName, host: &HostName) -> HostPaths {
        HostPaths {
            disk: self.lab_state(lab).join(host.as_str()),
            run: self.lab_run(lab).join(host.as_str()),
        }
    }
}

/// Where everything of one host lies, seen from outside.
#[derive(Clone, Debug)]
pub(super) struct HostPaths {
    /// What survives a power-off.
    pub disk: PathBuf,
    /// The host's `/run`.
    pub run: PathBuf,
}

impl HostPaths {
    pub(super) fn etc(&self) -> PathBuf {
        self.disk.join("etc")
    }

    pub(super) fn var(&self) -> PathBuf {
        self.disk.join("var")
    }

    pub(super) fn log(&self, of: &str) -> PathBuf {
        self.disk.join("var/log").join(of).with_extension("log")
    }

    /// The engine's own API.
    pub(super) fn engine_socket(&self) -> PathBuf {
        self.run.join("docker.sock")
    }

    /// The API of the cluster, served by the agent.
    pub(super) fn cluster_socket(&self) -> PathBuf {
        self.run.join("swarmctl/docker.sock")
    }

    /// Where the host's init takes requests.
    pub(super) fn init_socket(&self) -> PathBuf {
        self.run.join("lab/init.sock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_socket_path_fits_an_address() {
        let longest: String = "x".repeat(32);
        let host = Paths::new("/nowhere".into())
            .host(&longest.parse().expect("a name"), &longest.parse().expect("a name"));
        assert!(host.cluster_socket().as_os_str().len() <= 107);
    }
}
