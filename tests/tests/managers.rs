//! Managers come and go: promoted, demoted, all of them away for a minute.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cluster_tests::cluster::{Cluster, eventually, http, text_of};
use cluster_tests::lab::PROBE;

/// Long enough for anything that should take seconds, on two busy cores.
const SOON: Duration = Duration::from_secs(60);

/// How long the managers stay away.
const AWAY: Duration = Duration::from_secs(60);

/// Names and states of the managers, as `docker node ls` shows them on a host.
fn managers(cluster: &Cluster, host: &str) -> Result<Vec<(String, String)>> {
    let format = "{{.Hostname}} {{.ManagerStatus}}";
    let nodes = cluster.docker(host, &["node", "ls", "--format", format])?;
    let pair = |line: &str| line.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
    Ok(nodes.lines().filter_map(pair).filter(|(_, status)| !status.is_empty()).collect())
}

fn leader(cluster: &Cluster, host: &str) -> Result<String> {
    let all = managers(cluster, host)?;
    let leader = all.iter().find(|(_, status)| status == "Leader");
    Ok(leader.with_context(|| format!("no leader: {all:?}"))?.0.clone())
}

/// Waits until exactly these hosts are managers, and each can be reached.
fn settled(cluster: &Cluster, host: &str, expected: &[&str]) {
    eventually(&format!("{expected:?} are the managers"), SOON, || {
        let all = managers(cluster, host)?;
        let names: BTreeSet<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        ensure!(names == expected.iter().copied().collect(), "{all:?}");
        ensure!(all.iter().all(|(_, s)| s == "Leader" || s == "Reachable"), "{all:?}");
        Ok(())
    });
}

/// Containers of the service on a host, by id.
fn containers(cluster: &Cluster, host: &str, service: &str) -> Result<BTreeSet<String>> {
    let filter = format!("label=com.docker.swarm.service.name={service}");
    let ids = cluster.engine(host, &["ps", "-q", "--no-trunc", "--filter", &filter])?;
    Ok(ids.lines().map(str::to_owned).collect())
}

fn serve(cluster: &Cluster, name: &str, publish: &str) {
    let create = [
        &["service", "create", "--detach", "--name", name, "--replicas", "2"][..],
        &["--constraint", "node.role==worker", "--network", "backend", "--publish", publish],
        &[PROBE, "serve", "--port", "8000"],
    ];
    cluster.docker("m1", &create.concat()).expect("create");
    eventually(&format!("two tasks of {name} run"), SOON, || {
        let running = cluster.running("m1", name)?;
        ensure!(running.len() == 2, "{running:?}");
        Ok(())
    });
}

mod on_real_hosts {
    use super::*;

    #[test]
    fn without_managers_containers_names_and_ingress_go_on() {
        let cluster = Cluster::up("away", 1, 2);
        cluster.load_probe();
        cluster.docker("m1", &["network", "create", "-d", "overlay", "backend"]).expect("network");
        serve(&cluster, "web", "8000:8000");
        serve(&cluster, "client", "8001:8000");
        let workers = ["w1", "w2"];
        for host in workers {
            eventually("ingress answers", SOON, || ask(&cluster, host, 8000));
            eventually("a name is found", SOON, || ask_by_name(&cluster, host));
        }
        let before = workers.map(|host| containers(&cluster, host, "web").expect("ps"));

        cluster.run(&["kill", "m1"]);
        let began = Instant::now();
        let mut asked = 0;
        let mut restarted = false;
        while began.elapsed() < AWAY {
            for host in workers {
                ask(&cluster, host, 8000).expect("ingress goes on");
                ask_by_name(&cluster, host).expect("names go on");
                asked += 1;
            }
            // Half way the agents die, too: what they were told is on their disks.
            if !restarted && began.elapsed() > AWAY / 2 {
                restarted = true;
                for host in workers {
                    cluster.exec(host, &["sh", "-c", "kill -9 $(pidof agent)"]);
                }
                for host in workers {
                    eventually("the agent is back", SOON, || cluster.docker(host, &["version"]));
                }
            }
        }
        println!("{asked} rounds of requests through two workers while no manager ran");

        cluster.run(&["start", "m1"]);
        eventually("all nodes are ready again", SOON, || {
            let nodes = cluster.docker("m1", &["node", "ls", "--format", "{{.Status}}"])?;
            ensure!(nodes.lines().count() == 3 && nodes.lines().all(|s| s == "Ready"), "{nodes}");
            Ok(())
        });
        for service in ["web", "client"] {
            eventually("its tasks are known to run", SOON, || {
                let running = cluster.running("m1", service)?;
                ensure!(running.len() == 2, "{running:?}");
                Ok(())
            });
        }
        let after = workers.map(|host| containers(&cluster, host, "web").expect("ps"));
        assert_eq!(before, after, "no healthy container was restarted");
    }

    /// One request to a published port of a host.
    fn ask(cluster: &Cluster, host: &str, port: u16) -> Result<()> {
        let answer = http("GET", &cluster.address(host, port), "/", None)?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
        Ok(())
    }

    /// One request to a service by its name, from a container of the other service.
    fn ask_by_name(cluster: &Cluster, host: &str) -> Result<()> {
        let ids = containers(cluster, host, "client")?;
        let id = ids.first().context("a container of client")?;
        cluster.engine(host, &["exec", id, "/bin/probe", "get", "http://web:8000/"])?;
        Ok(())
    }

    #[test]
    fn workers_become_managers_and_managers_become_workers_again() {
        let cluster = Cluster::up("roles", 1, 2);
        cluster.load_probe();
        cluster.docker("m1", &["node", "promote", "w1", "w2"]).expect("promote");
        settled(&cluster, "w2", &["m1", "w1", "w2"]);
        cluster.docker("w1", &["config", "create", "one", "/etc/hostname"]).expect("a write");

        // The leader goes; the others go on, and it is an ordinary worker afterwards.
        let first = leader(&cluster, "w1").expect("a leader");
        assert_eq!(first, "m1");
        cluster.docker("w1", &["node", "demote", "m1"]).expect("demote");
        settled(&cluster, "w1", &["w1", "w2"]);
        cluster.docker("w2", &["config", "create", "two", "/etc/hostname"]).expect("a write");
        eventually("m1 says that it is a worker", SOON, || {
            let refused = cluster.docker("m1", &["node", "ls"]).err().context("it answered")?;
            ensure!(refused.to_string().contains("This node is not a swarm manager"), "{refused}");
            Ok(())
        });
        assert_eq!(cluster.exec("m1", &["sh", "-c", "pidof orchestrator || true"]), "");
        let nodes = cluster.docker("w1", &["node", "ls", "--format", "{{.Hostname}} {{.Status}}"]);
        assert!(nodes.as_ref().is_ok_and(|n| n.contains("m1 Ready")), "{nodes:?}");

        // It takes work as before, also the kind only workers get.
        let create = ["service", "create", "--detach", "--name", "web", "--mode", "global"];
        let rest = ["--constraint", "node.role==worker", PROBE, "sleep"];
        cluster.docker("w1", &[&create[..], &rest].concat()).expect("create");
        eventually("a task runs on m1", SOON, || {
            let running = cluster.running("w1", "web")?;
            ensure!(running.len() == 1 && running[0].1 == "m1", "{running:?}");
            Ok(())
        });

        // And back; nothing of what was written is missing.
        cluster.docker("w1", &["node", "promote", "m1"]).expect("promote");
        settled(&cluster, "m1", &["m1", "w1", "w2"]);
        let configs = cluster.docker("m1", &["config", "ls", "--format", "{{.Name}}"]).expect("ls");
        assert_eq!(configs.lines().collect::<BTreeSet<_>>(), BTreeSet::from(["one", "two"]));
    }

    #[test]
    fn a_locked_manager_waits_for_its_key_and_its_containers_go_on() {
        let cluster = Cluster::up("locked", 1, 1);
        cluster.load_probe();
        let create = ["service", "create", "--detach", "--name", "web", "--mode", "global"];
        cluster.docker("m1", &[&create[..], &[PROBE, "sleep"]].concat()).expect("create");
        eventually("its tasks run", SOON, || {
            let running = cluster.running("m1", "web")?;
            ensure!(running.len() == 2, "{running:?}");
            Ok(())
        });
        let before = ["m1", "w1"].map(|host| containers(&cluster, host, "web").expect("ps"));
        cluster.swarmctl("m1", &["autolock", "on"]).expect("locked");
        let key = cluster.docker("m1", &["swarm", "unlock-key", "-q"]).expect("a key");
        let data_key = "/var/lib/swarmctl/manager/data-key.json";
        eventually("the key on the disk is locked", SOON, || {
            let file = cluster.exec("m1", &["cat", data_key]);
            ensure!(file.contains("\"wrapped\":true"), "not yet");
            Ok(())
        });

        // It does not matter how the manager ended.
        cluster.exec("m1", &["sh", "-c", "kill -9 $(pidof orchestrator)"]);
        eventually("the manager says that it is locked", SOON, || {
            let format = "{{.Swarm.LocalNodeState}}";
            let state = cluster.docker("m1", &["info", "--format", format])?;
            ensure!(state.trim() == "locked", "{state}");
            Ok(())
        });
        let refused = cluster.docker("m1", &["service", "ls"]).expect_err("it is locked");
        assert!(refused.to_string().contains("docker swarm unlock"), "{refused}");
        let give = |key: &str| {
            let file = tempfile::NamedTempFile::new()?;
            std::fs::write(file.path(), format!("{key}\n"))?;
            let mut unlock = cluster.docker_command("m1", &["swarm", "unlock"]);
            unlock.stdin(file.reopen()?);
            text_of(unlock)
        };
        let wrong = give(&format!("SWMKEY-1-{}", "A".repeat(43)));
        let wrong = wrong.expect_err("another key");
        assert!(wrong.to_string().contains("invalid key"), "{wrong}");
        give(key.trim()).expect("unlocked");
        eventually("the manager leads again", SOON, || {
            let running = cluster.running("m1", "web")?;
            ensure!(running.len() == 2, "{running:?}");
            Ok(())
        });
        let after = ["m1", "w1"].map(|host| containers(&cluster, host, "web").expect("ps"));
        assert_eq!(before, after, "no container was restarted");

        cluster.docker("m1", &["swarm", "update", "--autolock=false"]).expect("not locked");
        eventually("the key on the disk is not locked", SOON, || {
            let file = cluster.exec("m1", &["cat", data_key]);
            ensure!(file.contains("\"wrapped\":false"), "not yet");
            Ok(())
        });
        cluster.run(&["restart", "agent", "m1"]);
        eventually("the manager starts without a key", SOON, || {
            let running = cluster.running("m1", "web")?;
            ensure!(running.len() == 2, "{running:?}");
            Ok(())
        });
    }

    #[test]
    fn one_manager_of_two_goes_on_alone_when_it_is_told_to() {
        let cluster = Cluster::up("alone", 2, 0);
        settled(&cluster, "m1", &["m1", "m2"]);
        cluster.docker("m1", &["config", "create", "one", "/etc/hostname"]).expect("a write");
        cluster.run(&["kill", "m2"]);
        cluster.docker("m1", &["config", "create", "two", "/etc/hostname"]).expect_err("no quorum");
        let again = ["swarm", "init"];
        let refused = cluster.docker("m1", &again).expect_err("part of a cluster");
        assert!(refused.to_string().contains("already part of a swarm"), "{refused}");
        let alone = ["swarm", "init", "--force-new-cluster"];
        let said = cluster.docker("m1", &alone).expect("it goes on alone");
        assert!(said.contains("is now a manager"), "{said}");
        cluster.docker("m1", &["config", "create", "three", "/etc/hostname"]).expect("a write");
        let configs = cluster.docker("m1", &["config", "ls", "--format", "{{.Name}}"]).expect("ls");
        // Of the second nobody could say whether it was written.
        let names: BTreeSet<&str> = configs.lines().filter(|name| *name != "two").collect();
        assert_eq!(names, BTreeSet::from(["one", "three"]));
        eventually("the lost manager can be removed", SOON, || {
            cluster.docker("m1", &["node", "rm", "--force", "m2"])
        });
        settled(&cluster, "m1", &["m1"]);
    }

    #[test]
    fn the_last_manager_can_be_neither_demoted_nor_removed() {
        let cluster = Cluster::up("last", 1, 1);
        for arguments in [&["node", "demote", "m1"][..], &["node", "rm", "--force", "m1"]] {
            let refused = cluster.docker("m1", arguments).expect_err("it is the last");
            println!("{refused}");
        }
        let refused = cluster.docker("m1", &["swarm", "leave"]).expect_err("not without --force");
        assert!(refused.to_string().contains("--force"), "{refused}");
        settled(&cluster, "m1", &["m1"]);
    }
}
