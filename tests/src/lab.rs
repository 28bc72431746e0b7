//! A lab for one test: its own name and address range, gone when the test ends, however it ends.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use serde::Deserialize;

/// The image of the test program, `sample-services/src/probe`.
pub const PROBE: &str = "swarm-demo/probe:1";

/// How much of each log is shown when a test fails.
const SHOWN_LINES: &str = "60";

/// A running lab.
pub struct Lab {
    name: String,
}

/// A line of `swarmctl lab ls --format json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Host {
    pub name: String,
    pub role: String,
    pub address: Ipv4Addr,
    pub state: String,
    pub pid: Option<i32>,
    pub engine_socket: PathBuf,
    pub cluster_socket: PathBuf,
}

impl Lab {
    /// Brings up a lab with these flags of `swarmctl lab up`; `label` is short and unique per test.
    pub fn up(label: &str, flags: &[&str]) -> Self {
        let lab = Self::named(label);
        lab.run(&[&["up"], flags].concat());
        lab
    }

    /// A lab that is not up yet, but will be taken down.
    pub fn named(label: &str) -> Self {
        require_root();
        remove_orphans();
        Self { name: format!("t-{label}-{}", std::process::id()) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// `swarmctl lab …` for this lab, ready to be started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("swarmctl"));
        command.args(["lab", "--name", &self.name]).args(arguments).env_remove("DOCKER_HOST");
        command
    }

    /// Runs `swarmctl lab …` and answers whatever comes of it.
    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("swarmctl starts")
    }

    /// Runs `swarmctl lab …`, which must succeed, and answers with what it printed.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(
            output.status.success(),
            "swarmctl lab {} ended with {}: {}{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        String::from_utf8(output.stdout).expect("text")
    }

    /// Runs a command inside a host.
    #[track_caller]
    pub fn exec(&self, host: &str, command: &[&str]) -> String {
        self.run(&[&["exec", host], command].concat()).trim().to_owned()
    }

    /// Every host as it is now.
    #[track_caller]
    pub fn hosts(&self) -> Vec<Host> {
        serde_json::from_str(&self.run(&["ls", "--format", "json"])).expect("the promised form")
    }

    /// One host as it is now.
    #[track_caller]
    pub fn host(&self, name: &str) -> Host {
        self.hosts().into_iter().find(|host| host.name == name).expect("a host of this lab")
    }

    /// Loads [`PROBE`] into every host.
    #[track_caller]
    pub fn load_probe(&self) {
        let directory = tempfile::tempdir().expect("a directory");
        let made = Command::new(program("sample-services"))
            .args(["images", "--only", "probe", "--out"])
            .arg(directory.path())
            .output()
            .expect("sample-services starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let archive = directory.path().join("probe.tar");
        self.run(&["load", archive.to_str().expect("text")]);
    }

    /// Takes the lab down; also done when it is dropped.
    #[track_caller]
    pub fn down(&self) {
        self.run(&["down"]);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if thread::panicking() {
            self.show_logs();
        }
        let output = self.output(&["down"]);
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

impl Lab {
    fn show_logs(&self) {
        let list = self.output(&["ls", "--format", "json"]);
        let hosts: Vec<Host> = serde_json::from_slice(&list.stdout).unwrap_or_default();
        for host in hosts {
            for log in ["init", "engine", "agent"] {
                let text = self.output(&["logs", &host.name, log, "--tail", SHOWN_LINES]).stdout;
                if !text.is_empty() {
                    eprintln!("-- {} {log}\n{}", host.name, String::from_utf8_lossy(&text));
                }
            }
        }
    }
}

/// Takes down what tests left that were killed before they could: labs named after a process that
/// is no more.
fn remove_orphans() {
    for entry in std::fs::read_dir("/run/swarmctl-lab").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("t-").and_then(|rest| rest.rsplit_once('-'));
        if owner.is_some_and(|(_, pid)| !Path::new("/proc").join(pid).exists()) {
            drop(Lab { name });
        }
    }
}

/// Tests on real hosts make namespaces; without root they fail rather than pass unseen.
///
/// # Panics
/// When the test does not run as root.
pub fn require_root() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let is_root = effective.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0");
    assert!(is_root, "tests on real hosts make network namespaces: run them as root");
}

/// A program of this workspace, built into the directory above the tests.
///
/// # Panics
/// When it was not built.
pub fn program(name: &str) -> PathBuf {
    let built = built_directory().join(name);
    assert!(built.is_file(), "{} is missing: run `cargo build --workspace`", built.display());
    built
}

/// Where this workspace's programs are built.
#[must_use]
pub fn built_directory() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    test.parent().and_then(Path::parent).expect("two directories up").to_owned()
}
