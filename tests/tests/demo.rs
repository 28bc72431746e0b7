//! The demo's exercises, as a user does them, on real engines.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cluster_tests::cluster::{Answer, Cluster, eventually, http, text_of};
use cluster_tests::lab::{built_directory, program};
use serde_json::{Value, json};

/// Long enough for a whole stack on two busy cores.
const DEPLOY: Duration = Duration::from_secs(120);
/// Long enough for anything that should take seconds.
const SOON: Duration = Duration::from_secs(30);

/// The images of the demo, made once for all tests of this file.
fn images() -> &'static str {
    static IMAGES: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    IMAGES.get_or_init(|| {
        let folder = built_directory().join("test-images");
        let mut command = std::process::Command::new(program("sample-services"));
        command.args(["images", "--out"]).arg(&folder);
        text_of(command).expect("images can be made");
        folder.display().to_string()
    })
}

fn spec(name: &str) -> String {
    format!("{}/../specs/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A cluster with the demo's images on every host.
fn cluster(label: &str, managers: u8, workers: u8) -> Cluster {
    let lab = Cluster::up(label, managers, workers);
    for archive in ["demo.tar", "probe.tar"] {
        lab.run(&["load", &format!("{}/{archive}", images())]);
    }
    lab
}

fn ok(answer: Answer) -> Result<Answer> {
    ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
    Ok(answer)
}

/// Creates a thing and gives its id.
fn put(address: &str, path: &str, body: &Value) -> Result<String> {
    let answer = ok(http("PUT", address, path, Some(body))?)?;
    Ok(answer.json()?.as_str().context("an id as a string")?.to_owned())
}

/// Which instances answer `path`, over several requests.
fn instances(address: &str, path: &str, requests: usize) -> Result<BTreeSet<String>> {
    let mut seen = BTreeSet::new();
    for _ in 0..requests {
        let answer = ok(http("GET", address, path, None)?)?;
        seen.insert(answer.header("x-instance").context("X-Instance")?.to_owned());
    }
    Ok(seen)
}

/// Waits until a service has `count` running tasks and gives (name, node) of each.
fn settled(lab: &Cluster, service: &str, count: usize, limit: Duration) -> Vec<(String, String)> {
    eventually(&format!("{count} tasks of {service} run"), limit, || {
        let running = lab.running("m1", service)?;
        ensure!(running.len() == count, "{running:?}");
        Ok(running)
    })
}

mod on_real_hosts {
    use super::*;

    #[test]
    fn the_demo_stack_serves_through_every_node() {
        let lab = cluster("demo", 1, 2);
        lab.swarmctl("m1", &["deploy", "demo", "-c", &spec("demo.yml")]).expect("it deploys");
        for host in ["m1", "w1", "w2"] {
            for port in [80, 8080] {
                eventually(&format!("{host} answers on {port}"), DEPLOY, || {
                    ok(http("GET", &lab.address(host, port), "/", None)?)
                });
            }
            let shop = lab.address(host, 80);
            let (customer, product) = eventually("things can be made", SOON, || {
                let customer = json!({"name": "Ada", "address": "1 Loop Lane"});
                let customer = put(&shop, "/Customers", &customer)?;
                let product = put(&shop, "/Products", &json!({"name": format!("bolt {host}")}))?;
                Ok((customer, product))
            });
            let invoice = json!({"customerId": customer, "productId": product, "quantity": 2});
            let invoice =
                eventually("an invoice can be made", SOON, || put(&shop, "/Invoices", &invoice));
            for (path, id) in
                [("/Customers", &customer), ("/Products", &product), ("/Invoices", &invoice)]
            {
                let list = ok(http("GET", &shop, path, None).expect("an answer")).expect("a list");
                assert!(list.body.contains(id.as_str()), "{path} through {host}: {}", list.body);
            }
            let unknown = json!({"customerId": "nobody", "productId": product, "quantity": 1});
            let refused = http("PUT", &shop, "/Invoices", Some(&unknown)).expect("an answer");
            assert_eq!(refused.status, 400, "{}", refused.body);
            assert!(refused.body.contains("customerId"), "{}", refused.body);
        }

        // Nothing had to be tried twice.
        let tasks = lab.docker("m1", &["stack", "ps", "demo"]).expect("a list");
        assert!(!tasks.contains("Rejected") && !tasks.contains("Failed"), "{tasks}");

        // Scale: on different nodes, requests spread over all.
        lab.docker("m1", &["service", "scale", "--detach", "demo_customers=3"]).expect("scale");
        let running = settled(&lab, "demo_customers", 3, SOON);
        let nodes: BTreeSet<_> = running.iter().map(|(_, node)| node.as_str()).collect();
        assert_eq!(nodes.len(), 3, "{running:?}");
        eventually("three instances answer", SOON, || {
            let seen = instances(&lab.address("w1", 80), "/Customers", 30)?;
            ensure!(seen.len() == 3, "{seen:?}");
            Ok(())
        });

        // A redeploy of the same file replaces nothing.
        let before = lab.running("m1", "demo_products").expect("tasks");
        lab.swarmctl("m1", &["deploy", "demo", "-c", &spec("demo.yml")]).expect("it deploys again");
        assert_eq!(before, lab.running("m1", "demo_products").expect("tasks"));

        lab.docker("m1", &["stack", "rm", "demo"]).expect("it goes");
        for host in ["m1", "w1", "w2"] {
            eventually("no container is left", SOON, || {
                let left =
                    lab.engine(host, &["ps", "-aq", "--filter", "label=com.docker.swarm.task.id"])?;
                ensure!(left.is_empty(), "{left}");
                Ok(())
            });
        }
    }

    #[test]
    fn a_stack_file_written_for_swarm_mode_deploys_unchanged() {
        let lab = cluster("older", 1, 1);
        let file = format!("{}/fixtures/swarm-3.2.yml", env!("CARGO_MANIFEST_DIR"));
        lab.swarmctl("m1", &["deploy", "shop", "-c", &file]).expect("it deploys");
        let shop = lab.address("w1", 80);
        let (customer, product) = eventually("things can be made", SOON, || {
            let customer = json!({"name": "Ada", "address": "1 Loop Lane"});
            let customer = put(&shop, "/Customers", &customer)?;
            Ok((customer, put(&shop, "/Products", &json!({"name": "bolt"}))?))
        });
        let invoice = json!({"customerId": customer, "productId": product, "quantity": 2});
        eventually("an invoice can be made", SOON, || put(&shop, "/Invoices", &invoice));
        eventually("the picture of the cluster answers", SOON, || {
            ok(http("GET", &lab.address("w1", 8080), "/", None)?)
        });
        // The docker command finds nothing to change in what swarmctl has deployed.
        let before = lab.running("m1", "shop_products").expect("tasks");
        lab.docker("m1", &["stack", "deploy", "--detach=false", "-c", &file, "shop"])
            .expect("docker deploys it, too");
        assert_eq!(before, lab.running("m1", "shop_products").expect("tasks"));
    }

    #[test]
    fn a_killed_container_is_replaced_at_once_and_then_backed_off() {
        let lab = cluster("kill", 1, 1);
        lab.docker(
            "m1",
            &[
                "service",
                "create",
                "--detach",
                "--name",
                "web",
                "--constraint",
                "node.role==worker",
                "swarm-demo/probe:1",
                "sleep",
            ],
        )
        .expect("create");
        settled(&lab, "web", 1, SOON);
        let kill = || -> Result<String> {
            let id = lab.engine(
                "w1",
                &["ps", "-q", "--filter", "label=com.docker.swarm.service.name=web"],
            )?;
            let id = id.trim().to_owned();
            ensure!(!id.is_empty() && !id.contains('\n'), "one container: {id:?}");
            lab.engine("w1", &["kill", &id])?;
            Ok(id)
        };
        let first = kill().expect("it can be killed");
        let began = Instant::now();
        eventually("another container runs", Duration::from_secs(5), || {
            let id = lab.engine(
                "w1",
                &["ps", "-q", "--filter", "label=com.docker.swarm.service.name=web"],
            )?;
            ensure!(!id.trim().is_empty() && id.trim() != first, "{id:?}");
            Ok(())
        });
        println!("a container was killed; another ran {} ms later", began.elapsed().as_millis());
        let reason = eventually("the back-off is shown", Duration::from_secs(60), || {
            // While it is backed off there is nothing to kill.
            let _ = kill();
            let text = lab.docker("m1", &["service", "ps", "--no-trunc", "web"])?;
            ensure!(text.contains("backing off"), "{text}");
            Ok(text)
        });
        println!("{reason}");
    }

    #[test]
    fn a_lost_worker_s_tasks_run_elsewhere_and_it_returns_clean() {
        let lab = cluster("loss", 1, 2);
        lab.docker(
            "m1",
            &[
                "service",
                "create",
                "--detach",
                "--name",
                "web",
                "--replicas",
                "6",
                "swarm-demo/probe:1",
                "sleep",
            ],
        )
        .expect("create");
        settled(&lab, "web", 6, SOON);
        lab.run(&["kill", "w2"]);
        let began = Instant::now();
        eventually("six tasks run on the other hosts", SOON, || {
            let running = lab.running("m1", "web")?;
            let elsewhere = running.iter().filter(|(_, node)| node != "w2").count();
            ensure!(elsewhere == 6, "{running:?}");
            Ok(())
        });
        println!(
            "w2 was powered off; its tasks ran elsewhere {} ms later",
            began.elapsed().as_millis()
        );
        lab.run(&["start", "w2"]);
        eventually("w2 is ready again", SOON, || {
            let nodes =
                lab.docker("m1", &["node", "ls", "--format", "{{.Hostname}} {{.Status}}"])?;
            ensure!(nodes.contains("w2 Ready"), "{nodes}");
            Ok(())
        });
        eventually("its old containers are gone", SOON, || {
            let left =
                lab.engine("w2", &["ps", "-aq", "--filter", "label=com.docker.swarm.task.id"])?;
            ensure!(left.is_empty(), "{left}");
            Ok(())
        });
        lab.docker(
            "m1",
            &["service", "update", "--detach", "--force", "--update-parallelism", "0", "web"],
        )
        .expect("force");
        eventually("the work is spread again", DEPLOY, || {
            let running = lab.running("m1", "web")?;
            let on_w2 = running.iter().filter(|(_, node)| node == "w2").count();
            ensure!(running.len() == 6 && on_w2 == 2, "{running:?}");
            Ok(())
        });
    }

    #[test]
    fn a_rolling_update_goes_one_by_one_and_back() {
        let lab = cluster("roll", 1, 2);
        lab.docker(
            "m1",
            &[
                "service",
                "create",
                "--detach",
                "--name",
                "web",
                "--replicas",
                "10",
                "--update-delay",
                "5s",
                "--update-monitor",
                "1s",
                "--publish",
                "8000:8000",
                "--env",
                "V=1",
                "swarm-demo/probe:1",
                "serve",
                "--port",
                "8000",
            ],
        )
        .expect("create");
        settled(&lab, "web", 10, DEPLOY);
        let began = Instant::now();
        let mut update = lab.docker_command(
            "m1",
            &["service", "update", "--detach=false", "--env-add", "V=2", "web"],
        );
        let mut update = update.stdout(std::process::Stdio::null()).spawn().expect("docker");
        let mut least = 10;
        while update.try_wait().expect("a child").is_none() {
            // A task that is being replaced is missing; never more than one is.
            let running = lab.running("m1", "web").expect("tasks");
            least = least.min(running.len());
            std::thread::sleep(Duration::from_millis(200));
        }
        assert!(update.wait().expect("a child").success(), "the update converged");
        assert!(least >= 9, "at one time only {least} tasks ran");
        assert!(began.elapsed() >= Duration::from_secs(45), "nine delays of 5 s are at least 45 s");
        let images =
            |field: &str| lab.docker("m1", &["service", "inspect", "--format", field, "web"]);
        let env = "{{.Spec.TaskTemplate.ContainerSpec.Env}}";
        assert!(images(env).expect("inspect").contains("V=2"));
        lab.docker(
            "m1",
            &[
                "service",
                "update",
                "--detach",
                "--update-delay",
                "0s",
                "--rollback-parallelism",
                "0",
                "--rollback-monitor",
                "1s",
                "web",
            ],
        )
        .expect("settings");
        lab.docker(
            "m1",
            &[
                "service",
                "update",
                "--detach",
                "--env-add",
                "V=3",
                "--update-parallelism",
                "0",
                "web",
            ],
        )
        .expect("update");
        lab.docker("m1", &["service", "rollback", "--detach", "web"]).expect("rollback");
        eventually("the rollback is complete", DEPLOY, || {
            let state = images("{{.UpdateStatus.State}}")?;
            ensure!(state.trim() == "rollback_completed", "{state}");
            ensure!(images(env)?.contains("V=2"), "{}", images(env)?);
            ensure!(lab.running("m1", "web")?.len() == 10, "ten tasks");
            Ok(())
        });
    }

    /// `docker …` with this input: its exit code and what it printed.
    fn with_input(lab: &Cluster, host: &str, arguments: &[&str], input: &str) -> (i32, String) {
        let mut command = lab.docker_command(host, arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("docker starts");
        let mut stdin = child.stdin.take().expect("piped");
        let input = input.to_owned();
        let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().expect("docker ends");
        // It may end before it has read everything.
        let _ = writing.join();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }

    /// Every manager carries out what names a container of another host, streams included.
    fn containers_of_other_hosts_are_reached(lab: &Cluster) {
        let create = ["service", "create", "--detach", "--name", "web", "--mode", "global"];
        let rest = ["--env", "PORT=8000", "swarm-demo/probe:1", "serve"];
        lab.docker("m1", &[&create[..], &rest].concat()).expect("create");
        settled(lab, "web", 3, DEPLOY);
        let long = "a line for a container elsewhere\n".repeat(50_000);
        // More than a request that is kept in memory on its way may have.
        let folder = tempfile::tempdir().expect("a folder");
        let (sent, back) = (folder.path().join("sent"), folder.path().join("back"));
        let bytes: Vec<u8> = (0..20_u32 << 20).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&sent, &bytes).expect("written");
        for (asked, on) in [("m1", "m2"), ("m2", "m3"), ("m3", "m1")] {
            let label = "label=com.docker.swarm.service.name=web";
            let id = lab.engine(on, &["ps", "-q", "--no-trunc", "--filter", label]).expect("ps");
            let cat = ["exec", "-i", &id, "/bin/probe", "cat", "/dev/stdin"];
            let (code, text) = with_input(lab, asked, &cat, &long);
            assert_eq!((code, text.len()), (0, long.len()), "{asked} to {on}: {:.200}", text);
            let crash = ["exec", &id[..12], "/bin/probe", "crash", "--code", "7"];
            assert_eq!(with_input(lab, asked, &crash, "").0, 7, "{asked} to {on}");
            let format = "{{.State.Status}} {{.Config.Hostname}}";
            let shown = lab.docker(asked, &["inspect", "--format", format, &id]).expect("inspect");
            assert!(shown.starts_with("running "), "{shown}");
            let top = lab.docker(asked, &["top", &id]).expect("top");
            assert!(top.contains("probe"), "{top}");
            let stats = ["stats", "--no-stream", "--format", "{{.PIDs}}", &id];
            let stats = lab.docker(asked, &stats).expect("stats");
            assert!(stats.trim().parse::<u32>().is_ok_and(|pids| pids > 0), "{stats}");
            lab.docker(asked, &["logs", &id]).expect("logs");
            let (sent, back) = (sent.to_string_lossy(), back.to_string_lossy());
            let there = format!("{id}:/large");
            lab.docker(asked, &["cp", "-q", &sent, &there]).expect("cp there");
            lab.docker(asked, &["cp", "-q", &there, &back]).expect("cp back");
            assert!(std::fs::read(&*back).expect("it came") == bytes, "{asked} to {on}");
        }
        let named = lab.running("m1", "web").expect("tasks");
        let (task, _) = named.iter().find(|(_, node)| node == "m3").expect("one on m3");
        let done = lab.swarmctl("m1", &["exec", task, "/bin/probe", "cat", "/etc/hostname"]);
        assert!(done.is_ok(), "{done:?}");
        let none = lab.docker("m1", &["exec", "nosuch", "true"]).expect_err("there is none");
        assert!(none.to_string().contains("No such container: nosuch"), "{none}");
        lab.docker("m1", &["service", "rm", "web"]).expect("rm");
    }

    #[test]
    fn three_managers_survive_the_loss_of_their_leader() {
        let lab = cluster("quorum", 3, 0);
        let leader = |from: &str| -> Result<String> {
            let nodes =
                lab.docker(from, &["node", "ls", "--format", "{{.Hostname}} {{.ManagerStatus}}"])?;
            let line = nodes.lines().find(|l| l.ends_with("Leader")).context(nodes.clone())?;
            Ok(line.split(' ').next().unwrap_or_default().to_owned())
        };
        eventually("all three are managers", SOON, || {
            let nodes = lab.docker("m1", &["node", "ls", "--format", "{{.ManagerStatus}}"])?;
            let able = nodes.lines().filter(|l| *l == "Leader" || *l == "Reachable").count();
            ensure!(able == 3, "{nodes}");
            Ok(())
        });
        containers_of_other_hosts_are_reached(&lab);
        let lost = leader("m1").expect("a leader");
        let other = ["m1", "m2", "m3"].into_iter().find(|m| *m != lost).expect("another");
        lab.docker(other, &["config", "create", "before", "/etc/hostname"]).expect("a write");
        lab.run(&["kill", &lost]);
        let began = Instant::now();
        eventually("writes go on", Duration::from_secs(10), || {
            lab.docker(other, &["config", "create", "after", "/etc/hostname"])
        });
        println!(
            "the leader was powered off; a write was accepted {} ms later",
            began.elapsed().as_millis()
        );
        let configs =
            lab.docker(other, &["config", "ls", "--format", "{{.Name}}"]).expect("a list");
        assert_eq!(configs.lines().collect::<BTreeSet<_>>(), BTreeSet::from(["before", "after"]));
    }

    #[test]
    fn everything_killed_at_once_comes_back_with_all_that_was_acknowledged() {
        let lab = cluster("crash", 1, 1);
        lab.docker(
            "m1",
            &[
                "service",
                "create",
                "--detach",
                "--name",
                "steady",
                "--replicas",
                "2",
                "--publish",
                "8000:8000",
                "swarm-demo/probe:1",
                "serve",
                "--port",
                "8000",
            ],
        )
        .expect("create");
        settled(&lab, "steady", 2, SOON);
        let containers = |host: &str| {
            lab.engine(
                host,
                &[
                    "ps",
                    "--no-trunc",
                    "--format",
                    "{{.ID}} {{.Status}}",
                    "--filter",
                    "label=com.docker.swarm.service.name=steady",
                ],
            )
            .map(|text| {
                text.lines()
                    .map(|l| l.split(' ').next().unwrap_or_default().to_owned())
                    .collect::<BTreeSet<_>>()
            })
        };
        let before = (containers("m1").expect("ps"), containers("w1").expect("ps"));
        let mut acknowledged = Vec::new();
        for n in 0..10 {
            let name = format!("more{n}");
            lab.docker(
                "m1",
                &["service", "create", "--detach", "--name", &name, "swarm-demo/probe:1", "sleep"],
            )
            .expect("create");
            acknowledged.push(name);
        }
        for host in ["m1", "w1"] {
            lab.exec(host, &["sh", "-c", "kill -9 $(pidof agent orchestrator)"]);
        }
        // Names and traffic go on meanwhile; the state comes back whole.
        eventually("the manager answers again", SOON, || lab.docker("m1", &["node", "ls"]));
        let services =
            lab.docker("m1", &["service", "ls", "--format", "{{.Name}}"]).expect("a list");
        for name in &acknowledged {
            assert!(services.lines().any(|l| l == name), "{name} is missing: {services}");
            settled(&lab, name, 1, SOON);
        }
        let after = (containers("m1").expect("ps"), containers("w1").expect("ps"));
        assert_eq!(before, after, "no healthy container was restarted");
        for host in ["m1", "w1"] {
            eventually("ingress answers", SOON, || {
                ok(http("GET", &lab.address(host, 8000), "/", None)?)
            });
        }
    }

    #[test]
    fn a_partitioned_worker_ends_up_with_exactly_its_tasks() {
        let lab = cluster("split", 1, 2);
        lab.docker(
            "m1",
            &[
                "service",
                "create",
                "--detach",
                "--name",
                "web",
                "--replicas",
                "4",
                "--constraint",
                "node.role==worker",
                "swarm-demo/probe:1",
                "sleep",
            ],
        )
        .expect("create");
        settled(&lab, "web", 4, SOON);
        lab.run(&["partition", "w1"]);
        eventually("all four run on w2", SOON, || {
            let running = lab.running("m1", "web")?;
            let there = running.iter().filter(|(_, node)| node == "w2").count();
            ensure!(there == 4, "{running:?}");
            Ok(())
        });
        // Cut off, w1 goes on with what it was told last.
        let alone = lab
            .engine("w1", &["ps", "-q", "--filter", "label=com.docker.swarm.service.name=web"])
            .expect("ps");
        assert_eq!(alone.lines().count(), 2, "{alone}");
        lab.run(&["heal"]);
        eventually("w1 runs exactly what it should", SOON, || {
            let wanted = lab.running("m1", "web")?.iter().filter(|(_, node)| node == "w1").count();
            let left = lab.engine(
                "w1",
                &["ps", "-aq", "--filter", "label=com.docker.swarm.service.name=web"],
            )?;
            ensure!(left.lines().count() == wanted, "{left}");
            let nodes =
                lab.docker("m1", &["node", "ls", "--format", "{{.Hostname}} {{.Status}}"])?;
            ensure!(nodes.contains("w1 Ready"), "{nodes}");
            Ok(())
        });
    }
}
