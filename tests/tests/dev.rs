//! `swarmctl dev`: a host is a cluster of its own for as long as the command runs, and is afterwards as it was.

use std::process::Child;
use std::time::Duration;

use anyhow::{Result, ensure};
use cluster_tests::cluster::eventually;
use cluster_tests::lab::{Lab, PROBE};

/// Long enough for anything that should take seconds, on two busy cores.
const SOON: Duration = Duration::from_secs(60);

/// The engine's view of the cluster.
const DOCKER: [&str; 3] = ["docker", "-H", "unix:///run/swarmctl-dev/docker.sock"];

/// What a cluster could leave on a host.
const TRACES: &str = "ip -br link | cut -d' ' -f1; ip route | cut -d' ' -f1-3; nft list tables; docker ps -aq; \
                      docker network ls --format '{{.Name}}'; docker volume ls -q; \
                      ss -ltunH | awk '{print $5}'; ls /var/lib";

/// Begins `swarmctl dev` in the host.
fn begin(lab: &Lab, flags: &str) -> Child {
    let line = format!("swarmctl dev {flags} & echo $! >/run/dev.pid; wait $!");
    lab.command(&["exec", "m1", "sh", "-c", &line]).spawn().expect("swarmctl starts")
}

/// Has it end as a user would.
fn end(lab: &Lab, mut running: Child) {
    lab.exec("m1", &["sh", "-c", "kill $(cat /run/dev.pid)"]);
    assert!(running.wait().expect("it ends").success());
}

/// `docker …` against the cluster.
fn docker(lab: &Lab, words: &[&str]) -> Result<String> {
    let output = lab.output(&[&["exec", "m1"], &DOCKER[..], words].concat());
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn is_ready(lab: &Lab) {
    eventually("the cluster is there", SOON, || {
        let nodes = docker(lab, &["node", "ls", "--format", "{{.Status}}"])?;
        ensure!(nodes == "Ready", "{nodes}");
        Ok(())
    });
}

mod on_real_hosts {
    use super::*;

    #[test]
    fn a_host_is_a_cluster_of_its_own_while_swarmctl_dev_runs() {
        let lab = Lab::up("dev", &["--no-cluster", "--workers", "0"]);
        lab.load_probe();
        let before = lab.exec("m1", &["sh", "-c", TRACES]);

        let running = begin(&lab, "--keep");
        is_ready(&lab);
        let second = lab.output(&["exec", "m1", "swarmctl", "dev"]);
        let text = String::from_utf8_lossy(&second.stderr);
        assert!(text.contains("serves /run/swarmctl-dev/docker.sock already"), "{text}");
        docker(&lab, &["service", "create", "-q", "--name", "web", PROBE, "serve"]).expect("made");
        end(&lab, running);

        let running = begin(&lab, "");
        is_ready(&lab);
        let services = docker(&lab, &["service", "ls", "--format", "{{.Name}}"]);
        assert_eq!(services.expect("a list"), "web", "it was kept");
        let exec = ["swarmctl", "-H", DOCKER[2], "service", "exec", "web", "/bin/probe"];
        let name = lab.exec("m1", &[&exec[..], &["cat", "/etc/hostname"]].concat());
        assert!(!name.is_empty());
        end(&lab, running);
        assert_eq!(lab.exec("m1", &["sh", "-c", TRACES]), before, "nothing is left");
    }
}
