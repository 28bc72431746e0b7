//! Managers come and go: promoted, demoted, all of them away for a minute. Their authority changes.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cluster_tests::cluster::{Cluster, eventually, http, text_of};
use cluster_tests::lab::{PROBE, program};

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
    fn the_certificate_authority_changes_under_running_services_and_without_its_leader() {
        let cluster = Cluster::up("rotate", 3, 2);
        cluster.load_probe();
        everywhere(&cluster, "web");
        // One host is none of the cluster's: it joins when the authority has changed.
        cluster.docker("w2", &["swarm", "leave"]).expect("it leaves");
        eventually("w2 is gone", SOON, || cluster.docker("m1", &["node", "rm", "w2"]));
        let stay = ["m1", "m2", "m3", "w1"];
        let running = || stay.map(|host| containers(&cluster, host, "web").expect("ps"));
        let before = running();
        let root = cluster.docker("m1", &["swarm", "ca"]).expect("a root");
        let old_token = token(&cluster);

        let said = cluster.docker("m2", &["swarm", "ca", "--rotate"]).expect("rotated");
        let new_root = cluster.docker("m3", &["swarm", "ca"]).expect("a root");
        assert!(said.ends_with(&new_root), "{said}");
        assert_ne!(new_root, root);
        followed(&cluster, 4);
        assert_eq!(running(), before, "no container was restarted");

        let manager = cluster.address("m1", 2377);
        let join =
            |token: &str| cluster.docker("w2", &["swarm", "join", "--token", token, &manager]);
        let refused = join(&old_token).expect_err("the token of another authority");
        assert!(refused.to_string().contains("belongs to another cluster"), "{refused}");
        join(&token(&cluster)).expect("joined");
        serving(&cluster, "web");

        // A host that is off holds the next one up, whoever leads meanwhile.
        cluster.run(&["kill", "w2"]);
        let leader = leader(&cluster, "m1").expect("a leader");
        let other = stay.into_iter().find(|host| *host != leader).expect("another manager");
        let mut rotation = Rotation::start(&cluster, other);
        rotation.says("waiting for w2 (down)");
        cluster.exec(&leader, &["sh", "-c", "kill -9 $(pidof orchestrator)"]);
        eventually("another leads, and it waits for w2", SOON, || {
            let format = "{{.Hostname}} {{.TLSStatus}}";
            let nodes = cluster.docker(other, &["node", "ls", "--format", format])?;
            let behind: Vec<&str> = nodes.lines().filter(|n| !n.ends_with(" Ready")).collect();
            ensure!(behind == ["w2 Needs Rotation"], "{nodes}");
            Ok(())
        });
        assert_eq!(rotation.program.try_wait().expect("known"), None, "it waits");
        assert_eq!(cluster.docker(other, &["swarm", "ca"]).expect("a root"), new_root);
        cluster.run(&["start", "w2"]);
        let last_root = rotation.ends();
        assert_eq!(cluster.docker(&leader, &["swarm", "ca"]).expect("a root"), last_root);
        assert_ne!(last_root, new_root);
        followed(&cluster, 5);
        serving(&cluster, "web");
        assert_eq!(running(), before, "no container was restarted");
        settled(&cluster, "m1", &["m1", "m2", "m3"]);
        // Whoever starts anew has what it needs.
        for host in ["m1", "w1"] {
            cluster.run(&["restart", "agent", host, "--kill"]);
        }
        eventually("m1 is back", SOON, || cluster.docker("m1", &["node", "ls"]));
        everywhere(&cluster, "more");
        assert_eq!(running(), before, "no container was restarted");
    }

    /// The token that makes a host a worker.
    fn token(cluster: &Cluster) -> String {
        let token = cluster.docker("m1", &["swarm", "join-token", "-q", "worker"]);
        token.expect("a token").trim().to_owned()
    }

    /// Has a service run on each of five hosts.
    fn everywhere(cluster: &Cluster, service: &str) {
        let create = ["service", "create", "--detach", "--name", service, "--mode", "global"];
        cluster.docker("m1", &[&create[..], &[PROBE, "sleep"]].concat()).expect("create");
        serving(cluster, service);
    }

    fn serving(cluster: &Cluster, service: &str) {
        eventually("it runs on five hosts", SOON, || {
            let running = cluster.running("m1", service)?;
            ensure!(running.len() == 5, "{running:?}");
            Ok(())
        });
    }

    /// Waits until this many nodes are there, all ready and with certificates of the authority.
    fn followed(cluster: &Cluster, count: usize) {
        eventually("every node has followed", SOON, || {
            let format = "{{.Status}} {{.TLSStatus}}";
            let nodes = cluster.docker("m1", &["node", "ls", "--format", format])?;
            ensure!(nodes.lines().filter(|n| *n == "Ready Ready").count() == count, "{nodes}");
            Ok(())
        });
    }

    /// `swarmctl ca --rotate`, which waits; ended with the test.
    struct Rotation {
        program: Child,
        said: BufReader<std::process::ChildStderr>,
    }

    impl Rotation {
        fn start(cluster: &Cluster, host: &str) -> Rotation {
            let socket = cluster.host(host).cluster_socket;
            let mut program = Command::new(program("swarmctl"))
                .args(["--host", &format!("unix://{}", socket.display()), "ca", "--rotate"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("swarmctl starts");
            let said = BufReader::new(program.stderr.take().expect("piped"));
            Rotation { program, said }
        }

        /// Reads until it says this.
        fn says(&mut self, words: &str) {
            let mut all = String::new();
            while !all.contains(words) {
                let more = self.said.read_line(&mut all).expect("text");
                assert!(more > 0, "it ended without {words:?}: {all}");
            }
        }

        /// Waits for its end, and answers with the certificate that it prints.
        fn ends(mut self) -> String {
            let mut rest = String::new();
            std::io::Read::read_to_string(&mut self.said, &mut rest).expect("text");
            let mut root = String::new();
            let mut out = self.program.stdout.take().expect("piped");
            std::io::Read::read_to_string(&mut out, &mut root).expect("text");
            assert!(self.program.wait().expect("it ends").success(), "{rest}");
            root
        }
    }

    impl Drop for Rotation {
        fn drop(&mut self) {
            let _ = self.program.kill();
            let _ = self.program.wait();
        }
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
