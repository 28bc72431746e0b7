//! The specs that show one thing each, deployed on real engines; what is measured there, and what
//! Prometheus makes of it.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cluster_tests::cluster::{Cluster, eventually, http};
use serde_json::Value;

/// Long enough for a small stack on two busy cores.
const DEPLOY: Duration = Duration::from_secs(120);
/// Long enough for anything that should take seconds.
const SOON: Duration = Duration::from_secs(60);

/// Where the agents of these tests serve metrics.
const METRICS: u16 = 2378;

fn spec(name: &str) -> String {
    format!("{}/../specs/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The value of a series on a host's page.
fn measured(lab: &Cluster, host: &str, series: &str) -> Result<f64> {
    let page = http("GET", &lab.address(host, METRICS), "/metrics", None)?;
    ensure!(page.status == 200, "{}", page.body);
    let value = page.body.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    Ok(value.with_context(|| format!("no {series} in {}", page.body))?.parse()?)
}

/// A program that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Debian's Prometheus with our rules, which do not wait; none where it is not installed.
fn prometheus(manager: &str, folder: &std::path::Path) -> Option<(Ends, String)> {
    let packaging = format!("{}/../packaging/prometheus", env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(format!("{packaging}/{name}")).expect(name);
    let config = read("prometheus.yml")
        .replace("MANAGER:2378", manager)
        .replace(": 15s", ": 1s")
        .replace(": 30s", ": 1s");
    let rules: String = read("swarmctl.rules.yml")
        .lines()
        .filter(|line| !line.trim_start().starts_with("for:"))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(folder.join("prometheus.yml"), config).expect("written");
    std::fs::write(folder.join("swarmctl.rules.yml"), rules).expect("written");
    // A port that is free now; Prometheus tells of none that it chose.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address").to_string();
    drop(free);
    let child = Command::new("prometheus")
        .current_dir(folder)
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"])
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    child.ok().map(|child| (Ends(child), address))
}

fn ask(address: &str, path: &str) -> Result<Value> {
    http("GET", address, path, None)?.json()
}

mod on_real_hosts {
    use super::*;

    #[test]
    fn patterns_run_are_measured_and_an_alert_fires_for_a_lost_node() {
        let flags = format!("--metrics-addr :{METRICS}");
        let lab =
            Cluster::with("pat", &["--managers", "1", "--workers", "1", "--agent-flags", &flags]);
        lab.load_probe();

        // Self-healing: one of three is told to be unhealthy, and is replaced.
        lab.swarmctl("m1", &["deploy", "healing", "-c", &spec("self-healing.yml")])
            .expect("deploys");
        let first = lab.running("m1", "healing_web").expect("tasks");
        assert_eq!(first.len(), 3, "{first:?}");
        let web = lab.address("w1", 8090);
        assert_eq!(http("GET", &web, "/", None).expect("an answer").status, 200);
        http("POST", &web, "/fail", None).expect("an answer");
        eventually("the unhealthy task is replaced", SOON, || {
            let now = lab.running("m1", "healing_web")?;
            let all = lab
                .docker("m1", &["service", "ps", "healing_web", "--format", "{{.CurrentState}}"])?;
            ensure!(now.len() == 3 && all.contains("Failed"), "{all}");
            Ok(())
        });

        // One on every node, each at its own node's port.
        lab.swarmctl("m1", &["deploy", "agents", "-c", &spec("global-agent.yml")])
            .expect("deploys");
        let nodes: BTreeSet<String> = lab
            .running("m1", "agents_agent")
            .expect("tasks")
            .into_iter()
            .map(|(_, node)| node)
            .collect();
        assert_eq!(nodes, ["m1", "w1"].map(String::from).into());
        for host in ["m1", "w1"] {
            let own = http("GET", &lab.address(host, 9100), "/?env=1", None).expect("an answer");
            assert!(own.body.contains(&format!("\"{host}\"")), "{}", own.body);
        }

        // Jobs: every task completes, once.
        lab.swarmctl("m1", &["deploy", "batch", "-c", &spec("jobs.yml")]).expect("completes");
        let shares = lab.swarmctl("m1", &["logs", "batch_resize"]).expect("logs");
        for share in 0..4 {
            assert!(shares.contains(&format!("SHARE={share}")), "{shares}");
        }
        let list = lab.swarmctl("m1", &["job", "ls"]).expect("a list");
        assert!(list.contains("batch_inventory") && list.contains("4/4"), "{list}");

        // What is measured: of the manager, of the traffic that has just been, of the containers.
        assert_eq!(measured(&lab, "m1", "swarmctl_raft_is_leader").expect("a value"), 1.0);
        assert!(
            measured(&lab, "m1", "swarmctl_raft_commit_duration_seconds_count").expect("one") > 5.0
        );
        let running = "swarmctl_service_tasks_running{service=\"healing_web\"}";
        assert_eq!(measured(&lab, "m1", running).expect("a value"), 3.0);
        let taken = "swarmctl_ingress_connections_total{service=\"healing_web\"}";
        assert!(measured(&lab, "w1", taken).expect("a value") >= 2.0);
        let creates = "swarmctl_engine_request_duration_seconds_count{operation=\"create\"}";
        assert!(measured(&lab, "w1", creates).expect("a value") >= 2.0);
        let page = http("GET", &lab.address("w1", METRICS), "/metrics", None).expect("a page").body;
        assert!(
            page.contains("swarmctl_container_memory_usage_bytes{service=\"agents_agent\""),
            "{page}"
        );
        assert!(page.contains("swarmctl_process_open_fds{program=\"dataplane\"}"), "{page}");
        let refused = http("GET", &lab.address("w1", METRICS), "/prometheus/nodes", None);
        assert_eq!(refused.expect("an answer").status, 503);

        // Debian's Prometheus finds both hosts by itself; one is killed.
        let folder = tempfile::tempdir().expect("a folder");
        let manager = lab.address("m1", METRICS);
        let Some((_prometheus, address)) = prometheus(&manager, folder.path()) else {
            println!("skipped: there is no prometheus (Debian: apt-get install prometheus)");
            return;
        };
        eventually("both hosts are scraped", DEPLOY, || {
            let up = ask(&address, "/api/v1/query?query=sum(up%7Bjob=%22swarmctl%22%7D)")?;
            ensure!(up.pointer("/data/result/0/value/1") == Some(&"2".into()), "{up}");
            Ok(())
        });
        let page = http("GET", &manager, "/metrics", None).expect("a page").body;
        promtool_takes(&page);
        lab.run(&["kill", "w1"]);
        eventually("an alert names the lost node", DEPLOY, || {
            let alerts = ask(&address, "/api/v1/alerts")?;
            let fires = |alert: &Value| {
                alert["labels"]["alertname"] == "SwarmctlNodeDown"
                    && alert["labels"]["hostname"] == "w1"
                    && alert["state"] == "firing"
            };
            let all = alerts["data"]["alerts"].as_array().context("a list")?;
            ensure!(all.iter().any(fires), "{alerts}");
            Ok(())
        });
    }

    /// `promtool check metrics` has no complaint.
    fn promtool_takes(page: &str) {
        use std::io::Write as _;
        let mut command = Command::new("promtool");
        command.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else { return };
        let mut input = child.stdin.take().expect("piped");
        input.write_all(page.as_bytes()).expect("it reads");
        drop(input);
        let done = child.wait_with_output().expect("it ends");
        assert!(done.status.success(), "{}\n{page}", String::from_utf8_lossy(&done.stderr));
    }
}
