//! What goes wrong: one clear message with a way out, an exit code that is not 0, nothing changed.

use orchestrator::api::Cluster as _;
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_does_not_answer_says_what_to_look_at() {
    let world = World::stopped(0);
    for (host, code, says) in [
        ("unix:///no/such.sock", 1, "is the agent running on this host?"),
        ("tcp://127.0.0.1:1", 1, "is the address right"),
        ("ftp://example.com", 2, "unix:///path or tcp://host:port"),
        ("tcp://127.0.0.1", 2, "unix:///path or tcp://host:port"),
    ] {
        for line in ["service ls", "service create --name x demo/web:1", "node drain x", "top"] {
            let done = world.run(&format!("--host {host} {line}")).await;
            assert_eq!(done.code, code, "{host} {line}: {}", done.err);
            assert!(done.err.contains(says) && done.err.contains(host), "{line}: {}", done.err);
            assert!(done.err.contains("nothing was changed"), "{line}: {}", done.err);
            assert!(!done.err.contains("os error"), "{}", done.err);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_leader_every_command_says_so_and_ends() {
    let world = World::stopped(1);
    world.ok("service create -d --name web demo/web:1").await;
    *world.cluster.leaderless.lock().expect("no panic") = true;
    for line in [
        "service ls",
        "ps",
        "service create --name x demo/web:1",
        "service update --force web",
        "service rm web",
        "node drain w1",
        "explain web",
        "secret ls",
    ] {
        let done = world.run(line).await;
        assert_eq!(done.code, 1, "{line}");
        assert!(done.err.contains("does not have a leader"), "{line}: {}", done.err);
    }
    *world.cluster.leaderless.lock().expect("no panic") = false;
    assert_eq!(world.ok("service ls --format {{.Name}}").await, "web\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_outlives_a_change_of_leaders_and_says_when_it_did_not_end() {
    let mut world = World::stopped(1);
    let create = ["service", "create", "--name", "web", "--verify", "0s", "demo/web:1"];
    let leader_goes = async {
        // As soon as the service is there, nobody answers any more.
        while world.cluster.state().service_named("web").is_none() {
            tokio::task::yield_now().await;
        }
        *world.cluster.leaderless.lock().expect("no panic") = true;
        world.cluster.settle();
        *world.cluster.leaderless.lock().expect("no panic") = false;
    };
    let (done, ()) = tokio::join!(world.with_input(&create, "", &[]), leader_goes);
    assert_eq!(done.code, 0, "{}", done.err);
    world.go();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_names_who_uses_it() {
    let world = World::stopped(0);
    world.ok("service create -d --name web -p 8080:80 demo/web:1").await;
    let done = world.run("service create --name other -p 8080:80 demo/web:1").await;
    assert_eq!(done.code, 1);
    assert!(done.err.contains("port '8080' is already in use by service 'web'"), "{}", done.err);
    assert_eq!(world.ok("service ls --format {{.Name}}").await, "web\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_of_a_spec_is_told_at_once() {
    let world = World::stopped(0);
    let done = world
        .run("service create --name web --secret nope --network none-such --constraint a=b Demo/Web:1")
        .await;
    assert_eq!(done.code, 1);
    for says in ["secret not found: nope", "network none-such not found", "Demo/Web:1", "==, !="] {
        assert!(done.err.contains(says), "{says}: {}", done.err);
    }
    assert_eq!(world.get("/services").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_named() {
    let world = World::stopped(0);
    for (line, says) in [
        ("service inspect nope", "service nope not found"),
        ("logs nope", "there is no service or task nope"),
        ("service update --force nope", "service nope not found"),
        ("service scale nope=2", "service nope not found"),
        ("service rm nope", "service nope not found"),
        ("node inspect nope", "node nope not found"),
        ("node drain nope", "node nope not found"),
        ("network inspect nope", "network nope not found"),
        ("stack ps nope", "nothing found in stack: nope"),
    ] {
        let done = world.run(line).await;
        assert_eq!(done.code, 1, "{line}");
        assert!(done.err.contains(says), "{line}: {}", done.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_in_plain_words() {
    let world = World::stopped(0);
    world.ok("network create back").await;
    let done = world.run("network create back").await;
    assert_eq!(done.code, 1);
    assert!(done.err.contains("back") && !done.err.contains("rpc error"), "{}", done.err);
    // The docker CLI reads what its engine would have said.
    world.ok("service create --detach --name web demo/web:1").await;
    let Some(done) = world.docker("service create --detach --no-resolve-image --name web x").await
    else {
        return;
    };
    assert!(done.err.contains("rpc error: code = AlreadyExists desc = "), "{}", done.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_command_line_ends_with_2_and_a_hint() {
    let world = World::stopped(0);
    for (line, says) in [
        ("servce ls", "'service'"),
        ("service creat x", "'create'"),
        ("service create --replica 2 x", "--replicas"),
        ("service scale web", "SERVICE=REPLICAS"),
        ("service create", "<IMAGE>"),
        ("service update --update-order both web", "stop-first, start-first"),
        ("service ls --timeout 5", "--timeout"),
        ("service scale --timeout soon web=1", "--timeout"),
        ("service create --env-file nope.env x", "nope.env"),
        ("secret create s nope.txt", "nope.txt"),
    ] {
        let done = world.run(line).await;
        assert_eq!(done.code, 2, "{line}: {}", done.err);
        assert!(done.err.contains(says), "{line}: {}", done.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_says_that_it_may_have_been_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cut.sock");
    let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut some = [0; 16];
            let _ = stream.read(&mut some).await;
        }
    });
    let world = World::stopped(0);
    let host = format!("unix://{}", path.display());
    let done = world.run(&format!("--host {host} service create --name x demo/web:1")).await;
    server.abort();
    assert_eq!(done.code, 1);
    assert!(done.err.contains("may have been carried out"), "{}", done.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_progress_is_redrawn_in_place() {
    let world = World::start(1);
    let swarmctl = env!("CARGO_BIN_EXE_swarmctl");
    let line =
        format!("{swarmctl} service create --name web --replicas 3 --verify 300ms demo/web:1");
    let shown = tokio::process::Command::new("script")
        .args(["-qefc", &line, "/dev/null"])
        .env("SWARMCTL_HOST", world.host())
        .env("TERM", "xterm")
        .current_dir(world.folder.path())
        .stdin(std::process::Stdio::null())
        .output()
        .await;
    let Ok(shown) = shown else {
        println!("skipped: no script(1)");
        return;
    };
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.status.success(), "{text}");
    assert!(text.contains("\x1b[J") && text.contains("██"), "{text}");
    assert!(text.contains("3/3  converged"), "{text}");
    println!("{text}");
}
