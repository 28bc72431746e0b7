//! Hosts come and go: what a refused join changes, and what a node that leaves keeps.

use std::time::Duration;

use anyhow::ensure;
use cluster_tests::cluster::{Cluster, eventually, http};
use cluster_tests::lab::{Lab, PROBE};

/// Long enough for anything that should take seconds, on two busy cores.
const SOON: Duration = Duration::from_secs(60);

/// Everything on a host that a node could have made, as text.
fn footprint(lab: &Lab, host: &str) -> String {
    let look = "ip -o link | sed 's/.*: \\(.*\\)@*.*: <.*/\\1/' | sort; \
                ip -o -4 addr show up | awk '{print $2, $4}' | sort; \
                ip rule; ip route show table all | grep -v fe80 | sort; ip netns; \
                nft list tables; \
                ss -Hltnu | awk '{print $1, $5}' | sort; \
                docker ps -aq; docker network ls --format '{{.Name}}' | sort; \
                ls /var/lib/swarmctl | sort; \
                cat /proc/self/mountinfo | awk '{print $5}' | grep swarmctl | sort";
    lab.exec(host, &["sh", "-c", look])
}

/// `swarmctl …` on a host itself.
fn on_host(lab: &Lab, host: &str, arguments: &[&str]) -> (Option<i32>, String) {
    // By its name: where it was built may be hidden on a host.
    let command = [&["exec", host, "swarmctl"][..], arguments].concat();
    let output = lab.output(&command);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

mod on_real_hosts {
    use super::*;

    #[test]
    fn a_worker_that_leaves_keeps_nothing_and_may_join_again() {
        let cluster = Cluster::with("leave", &["--managers", "1", "--workers", "1"]);
        cluster.load_probe();
        let token = cluster.docker("m1", &["swarm", "join-token", "-q", "worker"]).expect("token");
        let token = token.trim();
        let manager = cluster.address("m1", 2377);
        // What a host looks like that was a node and is none: only then is it like any other.
        assert_eq!(on_host(&cluster, "w1", &["leave"]).0, Some(0));
        let before = footprint(&cluster, "w1");
        eventually("it is known to be gone", SOON, || {
            let nodes =
                cluster.docker("m1", &["node", "ls", "--format", "{{.Hostname}} {{.Status}}"])?;
            ensure!(nodes.contains("w1 Disconnected"), "{nodes}");
            Ok(())
        });
        cluster.docker("m1", &["node", "rm", "w1"]).expect("a node that left can be removed");

        let (code, said) = on_host(&cluster, "w1", &["join", "--token", token, &manager]);
        assert_eq!(code, Some(0), "{said}");
        cluster.docker("m1", &["network", "create", "-d", "overlay", "backend"]).expect("network");
        let create = [
            &["service", "create", "--detach", "--name", "web", "--mode", "global"][..],
            &["--network", "backend", "--publish", "8000:8000", "--mount", "type=tmpfs,target=/x"],
            &[PROBE, "serve", "--port", "8000"],
        ];
        cluster.docker("m1", &create.concat()).expect("create");
        eventually("w1 serves", SOON, || {
            let running = cluster.running("m1", "web")?;
            ensure!(running.iter().any(|(_, node)| node == "w1"), "{running:?}");
            http("GET", &cluster.address("w1", 8000), "/", None)
        });
        assert_ne!(footprint(&cluster, "w1"), before);

        let (code, said) = on_host(&cluster, "w1", &["leave"]);
        assert_eq!(code, Some(0), "{said}");
        eventually("nothing is left", SOON, || {
            let after = footprint(&cluster, "w1");
            ensure!(after == before, "before:\n{before}\nafter:\n{after}");
            Ok(())
        });
        http("GET", &cluster.address("m1", 8000), "/", None).expect("the others go on");
    }

    #[test]
    fn a_refused_join_says_why_and_changes_nothing() {
        let cluster = Cluster::with("refuse", &["--managers", "1", "--workers", "1"]);
        assert_eq!(on_host(&cluster, "w1", &["leave"]).0, Some(0));
        let before = footprint(&cluster, "w1");
        let token = cluster.docker("m1", &["swarm", "join-token", "-q", "worker"]).expect("token");
        let token = token.trim();
        let manager = cluster.address("m1", 2377);
        let nobody = cluster.address("w1", 2377);
        let (digest, secret) = token.rsplit_once('-').expect("a token's parts");
        let wrong_secret = format!("{digest}-{}", "0".repeat(secret.len()));
        let wrong_digest = token.replacen(&digest[9..19], "0000000000", 1);
        for (token, address, words) in [
            (wrong_secret.as_str(), &manager, "token"),
            (wrong_digest.as_str(), &manager, "belongs to another cluster"),
            ("SWMTKN-1-nonsense", &manager, "token"),
            (token, &nobody, "cannot be reached"),
        ] {
            let (code, said) = on_host(&cluster, "w1", &["join", "--token", token, address]);
            println!("{code:?}: {said}");
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains(words), "{words:?} is not in: {said}");
            assert_eq!(said.trim().lines().count(), 1, "{said}");
            assert!(!said.contains(secret), "the secret is shown: {said}");
        }
        // A port in use is told before anything is made.
        let serve = "exec sample-services probe serve --port 2377 >/dev/null 2>&1 </dev/null &";
        cluster.exec("w1", &["sh", "-c", serve]);
        eventually("the port is taken", SOON, || http("GET", &nobody, "/", None));
        let (code, said) = on_host(&cluster, "w1", &["init", "--advertise-addr", "eth0"]);
        println!("{code:?}: {said}");
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("2377") && said.to_lowercase().contains("in use"), "{said}");
        cluster.exec("w1", &["sh", "-c", "kill $(pidof sample-services)"]);
        eventually("nothing changed", SOON, || {
            let after = footprint(&cluster, "w1");
            ensure!(after == before, "before:\n{before}\nafter:\n{after}");
            Ok(())
        });
    }
}
