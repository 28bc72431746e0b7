//! A cluster's backup in a file, and tasks that are spread again.

use std::os::unix::fs::PermissionsExt as _;

use crate::world::{World, lines};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_private_can_be_sealed_and_goes_into_a_new_cluster() {
    let world = World::start(1);
    world.write("pw.txt", "hunter2");
    world.write("pass", "correct horse battery\n");
    world.write("short", "horse\n");
    world.ok("secret create pw pw.txt").await;
    world.ok("service create --name web --secret pw --verify 0s demo/web:1").await;
    let done = world.run("backup plain.json").await;
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.err.contains("1 service, 0 networks, 1 secret with their values"), "{}", done.err);
    assert!(done.err.contains("not sealed"), "{}", done.err);
    let mode = std::fs::metadata(world.path("plain.json")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let refused = world.run("backup plain.json").await;
    assert!(refused.code == 1 && refused.err.contains("is there already"), "{}", refused.err);
    let refused = world.run("backup --passphrase-file short x.sealed").await;
    assert!(refused.code == 1 && refused.err.contains("at least 12"), "{}", refused.err);
    world.ok("backup --passphrase-file pass web.sealed").await;
    let sealed = std::fs::read(world.path("web.sealed")).expect("a file");
    let secret = data_encoding::BASE64.encode(b"hunter2").into_bytes();
    assert!(!sealed.windows(secret.len()).any(|w| w == secret));

    let new = World::start(1);
    std::fs::write(new.path("web.sealed"), &sealed).expect("a file");
    new.write("pass", "correct horse battery\n");
    new.write("wrong", "correct horse battery?\n");
    let refused = new.run("restore web.sealed").await;
    assert!(refused.code == 1 && refused.err.contains("is sealed"), "{}", refused.err);
    let refused = new.run("restore --passphrase-file wrong web.sealed").await;
    assert!(refused.code == 1 && refused.err.contains("passphrase is wrong"), "{}", refused.err);
    let restore = "restore --passphrase-file pass web.sealed --verify 0s";
    let plan = new.ok(&format!("{restore} --plan")).await;
    assert!(lines(&plan).contains(&"create service web".to_owned()), "{plan}");
    let out = new.ok(restore).await;
    assert!(lines(&out).contains(&"created service web".to_owned()), "{out}");
    assert!(lines(&new.ok("service ls").await)[1].contains("web replicated 1/1"));
    let refused = new.run(restore).await;
    assert!(refused.code == 1 && refused.err.contains("the cluster is not empty"));
    let out = new.ok(&format!("{restore} --replace")).await;
    assert!(lines(&out).contains(&"unchanged service web".to_owned()), "{out}");
    new.write("bad.json", "{\"Services\": 3}");
    let refused = new.run("restore bad.json").await;
    assert!(refused.code == 1 && refused.err.contains("bad.json is no backup"), "{}", refused.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_spread_over_nodes_that_came_back() {
    let world = World::start(2);
    for node in ["w1", "w2"] {
        world.ok(&format!("node update --availability pause {node}")).await;
    }
    let flags = "--replicas 6 --update-parallelism 2 --update-monitor 10ms --verify 0s";
    world.ok(&format!("service create --name web {flags} demo/web:1")).await;
    for node in ["w1", "w2"] {
        world.ok(&format!("node update --availability active {node}")).await;
    }
    let plan = lines(&world.ok("rebalance --dry-run").await);
    assert_eq!((plan.len(), plan[0].as_str()), (5, "NAME FROM TO"), "{plan:?}");
    assert_eq!(world.ok("service ps --running -q --filter node=m1 web").await.lines().count(), 6);
    world.ok("rebalance --verify 0s").await;
    for node in ["m1", "w1", "w2"] {
        let filter = format!("service ps --running -q --filter node={node} web");
        assert_eq!(world.ok(&filter).await.lines().count(), 2, "{node}");
    }
    assert_eq!(world.ok("rebalance").await, "nothing to move\n");
}
