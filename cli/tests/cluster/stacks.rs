//! Stacks: deployed, compared with what was deployed before, gone back to.

use crate::world::{World, lines};

fn file(image: &str) -> String {
    format!(
        "services: {{web: {{image: 'demo/web:{image}', deploy: {{replicas: 2, update_config: {{monitor: 10ms}}}}}}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deployed_before_is_listed_compared_and_deployed_again() {
    let world = World::start(1);
    for number in ["1", "2"] {
        world.write("compose.yml", &file(number));
        let out = world.ok("deploy shop --verify 0s").await;
        assert!(out.contains(&format!("stack shop is at revision {number}")), "{out}");
    }
    let table = lines(&world.ok("stack history shop").await);
    assert_eq!(table[0], "REVISION DEPLOYED SERVICES CHANGES");
    assert!(table[1].starts_with("2 * ") && table[1].ends_with(" 1 ~ shop_web"), "{table:?}");
    assert_eq!(world.ok("stack history -q shop").await, "2\n1\n");
    assert!(world.ok("stack history shop 1").await.contains("\"demo/web:1\""));
    let between = world.run("stack diff shop --from 1 --to 2").await;
    assert_eq!(between.code, 1, "they differ: {}", between.err);
    let change = "TaskTemplate.ContainerSpec.Image: \"demo/web:1\" -> \"demo/web:2\"";
    assert!(between.out.contains(change), "{}", between.out);
    let running = world.run("stack diff shop --to 1").await;
    assert!(running.code == 1 && running.out.contains("replaces shop_web.1"), "{}", running.out);
    assert_eq!(world.run("stack diff shop --to 2").await.code, 0, "that is what runs");
    let plan = world.ok("stack rollback shop --plan").await;
    assert!(plan.contains("\"demo/web:2\" -> \"demo/web:1\""), "{plan}");
    let out = world.ok("stack rollback shop --to 1 --verify 0s").await;
    assert!(out.contains("stack shop is at revision 3"), "{out}");
    let image = &world.get("/services/shop_web").await["Spec"]["TaskTemplate"]["ContainerSpec"];
    assert_eq!(image["Image"], "demo/web:1");
    let table = lines(&world.ok("stack history shop").await);
    assert!(table[1].ends_with("rollback to 1; ~ shop_web"), "{table:?}");
    let wrong = world.run("stack rollback shop --to 9").await;
    assert_eq!(wrong.code, 1);
    assert!(wrong.err.contains("has no revision 9: 1 to 3 are kept"), "{}", wrong.err);
    let wrong = world.run("stack diff shop --from 1").await;
    assert!(wrong.code == 2 && wrong.err.contains("--to"), "{}", wrong.err);
    let out = world.ok("stack rm shop").await;
    assert!(out.starts_with("Removing service shop_web\n"), "{out}");
    let gone = world.run("stack history shop").await;
    assert!(gone.code == 1 && gone.err.contains("stack shop not found"), "{}", gone.err);
}
