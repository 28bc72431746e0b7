//! Where tasks go, and why they go nowhere.

use model::lifecycle::Desired;
use model::object::RolloutState;
use model::reason::Reason;
use model::spec::{Availability, ServiceMode};
use model::{Millis, TaskState};

use super::{image, state_of, with_update};
use crate::command::{Command, Refusal};
use crate::test_kit::{SECOND, World, web};

#[test]
fn reservations_fit_and_room_is_taken_as_it_comes() {
    let mut world = World::with_workers(1);
    world.create(
        r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1"},
            "Resources":{"Reservations":{"NanoCPUs":3000000000}}},
            "Mode":{"Replicated":{"Replicas":3}}}"#,
    );
    world.settle();
    assert_eq!(world.spread("web"), [1, 1]);
    world.join("w2", 9);
    world.settle();
    assert_eq!(world.spread("web"), [1, 1, 1]);
}

/// Five addresses, for services, nodes and tasks.
fn small_network(world: &mut World, name: &str) {
    let spec = format!(r#"{{"Name":"{name}","IPAM":{{"Config":[{{"Subnet":"10.9.0.0/29"}}]}}}}"#);
    let spec = serde_json::from_str(&spec).expect("a network");
    world.client(Command::CreateNetwork { spec: Box::new(spec) }).expect("created");
}

#[test]
fn a_node_that_gets_a_task_keeps_its_gateway_when_others_are_taken_back() {
    let mut world = World::with_workers(2);
    small_network(&mut world, "small");
    let on = |name: &str, replicas: u64, node: &str| {
        format!(
            r#"{{"Name":"{name}","TaskTemplate":{{"ContainerSpec":{{"Image":"web:1"}},
                "Networks":[{{"Target":"small"}}],
                "Placement":{{"Constraints":["node.hostname=={node}"]}}}},
                "EndpointSpec":{{"Mode":"dnsrr"}},"Mode":{{"Replicated":{{"Replicas":{replicas}}}}}}}"#
        )
    };
    // Of five addresses w1's gateway and task have two; they go, and the gateway stays for a while.
    world.create(&on("first", 1, "w1"));
    world.settle();
    world.remove("first");
    world.advance(Millis::from_secs(10));
    // m1 takes all that is left, or one less; then a task comes back to w1.
    world.create(&on("second", 3, "m1"));
    world.settle();
    world.create(&on("third", 2, "w1"));
    world.settle();
    world.advance(Millis::from_secs(10));
    let network = world.state.network_named("small").expect("there");
    for task in world.state.tasks().filter(|t| !t.status.state.is_terminal()) {
        if let Some(node) = task.node {
            assert!(network.gateways.contains_key(&node), "{task:?}");
        }
    }
    assert!(world.state.tasks().any(|t| matches!(t.waiting, Some(Reason::NoAddress { .. }))));
}

#[test]
fn two_templates_of_one_service_share_the_room_of_a_node() {
    let mut world = World::with_workers(2);
    world.edit_node("m1", |spec| spec.availability = Availability::Drain);
    world.create(
        r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1"},
            "Resources":{"Reservations":{"NanoCPUs":2000000000}}},
            "Mode":{"Replicated":{"Replicas":3}}}"#,
    );
    world.settle();
    // What does not run is replaced first: slots 1 and 3 get the new template, which pauses.
    world.break_image("web:2", 1);
    world.kill("web", 1, 1);
    world.kill("web", 3, 1);
    world.update("web", |spec| {
        image("web:2")(spec);
        with_update(spec, |u| u.parallelism = 2);
    });
    world.settle();
    world.mend_image("web:2");
    world.advance(Millis::from_secs(10));
    let of = |world: &World, slot| world.newest("web", slot).template;
    assert_eq!(of(&world, 1), of(&world, 3));
    assert_ne!(of(&world, 1), of(&world, 2));
    assert_eq!(world.slots("web").len(), 3);
    // All are lost at once and the one node that is left has room for two.
    world.edit_node("m1", |spec| spec.availability = Availability::Active);
    world.silence("w1");
    world.silence("w2");
    world.advance(Millis::from_secs(10));
    assert_eq!(world.spread("web"), [2]);
}

#[test]
fn preferences_spread_over_zones_before_nodes() {
    let mut world = World::with_workers(3);
    for (node, zone) in [("m1", "a"), ("w1", "a"), ("w2", "a"), ("w3", "b")] {
        world.edit_node(node, |spec| {
            spec.labels.insert("zone".to_owned(), zone.to_owned());
        });
    }
    world.create(
        r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1"},
            "Placement":{"Preferences":[{"Spread":{"SpreadDescriptor":"node.labels.zone"}}]}},
            "Mode":{"Replicated":{"Replicas":6}}}"#,
    );
    world.settle();
    assert_eq!(world.spread("web"), [1, 1, 1, 3]);
}

#[test]
fn removing_a_service_and_its_network_leaves_nothing() {
    let mut world = World::with_workers(2);
    let spec = serde_json::from_str(r#"{"Name":"net","Driver":"overlay"}"#).expect("a spec");
    world.client(Command::CreateNetwork { spec: Box::new(spec) }).expect("a network");
    world.create(
        r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1"},
            "Networks":[{"Target":"net","Aliases":["w"]}]},
            "Mode":{"Replicated":{"Replicas":3}},
            "EndpointSpec":{"Ports":[{"TargetPort":80,"PublishedPort":8080},{"TargetPort":81}]}}"#,
    );
    world.settle();
    let network = world.state.network_named("net").expect("there").id;
    let service = world.state.service_named("web").expect("there");
    assert_eq!(service.endpoint.ports[1].published_port, 30_000);
    assert_eq!(service.endpoint.vips.len(), 1);
    let in_use = world.client(Command::RemoveNetwork { id: network });
    assert!(matches!(in_use, Err(Refusal::InUse { .. })), "{in_use:?}");
    world.silence("w2");
    world.remove("web");
    world.client(Command::RemoveNetwork { id: network }).expect("no service uses it");
    assert!(world.state.network_named("net").is_none());
    world.advance(Millis::from_secs(5));
    assert_eq!(world.state.services().len(), 0);
    assert_eq!(world.state.tasks().len(), 0);
    assert!(world.state.network(network).is_none());
}

#[test]
fn a_service_with_a_port_and_no_network_gets_the_ingress_network() {
    let mut world = World::with_workers(0);
    world.create(
        r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1"}},
            "EndpointSpec":{"Ports":[{"TargetPort":80,"PublishedPort":8080}]}}"#,
    );
    world.settle();
    let ingress = world.state.network_named("ingress").expect("made at bootstrap").id;
    let task = world.newest("web", 1);
    assert_eq!(task.attachments.iter().map(|a| a.network).collect::<Vec<_>>(), [ingress]);
    let spec = &world.state.service_named("web").expect("there").spec;
    assert!(spec.task_template.networks.is_empty(), "clients see what they sent");
}

#[test]
fn an_exhausted_network_is_the_reason() {
    let mut world = World::with_workers(0);
    let spec =
        serde_json::from_str(r#"{"Name":"net","IPAM":{"Config":[{"Subnet":"10.9.0.0/29"}]}}"#);
    let spec = Box::new(spec.expect("a spec"));
    world.client(Command::CreateNetwork { spec }).expect("a network");
    world.create(
        r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1"},
            "Networks":[{"Target":"net"}]},"Mode":{"Replicated":{"Replicas":6}}}"#,
    );
    world.settle();
    // Five addresses beside the gateway: one for the service, one for the node, three for tasks.
    assert_eq!(world.slots("web").len(), 3);
    assert!(world.state.tasks().any(|t| matches!(t.waiting, Some(Reason::NoAddress { .. }))));
    world.update("web", image("web:2"));
    world.settle();
    assert_eq!(world.slots("web").len(), 3);
}

#[test]
fn a_start_waits_for_what_it_depends_on() {
    let mut world = World::with_workers(0);
    world.create(
        r#"{"Name":"app","TaskTemplate":{"ContainerSpec":{"Image":"app:1"}},
            "DependsOn":[{"Service":"db","Condition":"service_healthy"}]}"#,
    );
    world.settle();
    let waiting = world.newest("app", 1).waiting.expect("a reason");
    assert_eq!(waiting.to_string(), "waiting for db (service_healthy)");
    assert_eq!(world.newest("app", 1).status.state, TaskState::Ready, "prepared meanwhile");
    world.create(r#"{"Name":"db","TaskTemplate":{"ContainerSpec":{"Image":"db:1"}}}"#);
    world.settle();
    world.expect("app", "1 running m1");
}

#[test]
fn a_slot_that_has_never_run_waits_also_after_a_lost_node_and_an_update() {
    let mut world = World::with_workers(1);
    world.create(
        r#"{"Name":"app","TaskTemplate":{"ContainerSpec":{"Image":"app:1"}},
            "Mode":{"Replicated":{"Replicas":2}},
            "DependsOn":[{"Service":"db","Condition":"service_healthy"}]}"#,
    );
    world.settle();
    let waits = |world: &World| {
        (1..=2).all(|slot| {
            let waiting = world.newest("app", slot).waiting;
            waiting.is_some_and(|why| why.to_string() == "waiting for db (service_healthy)")
        })
    };
    assert!(waits(&world));
    world.silence("w1");
    world.advance(Millis::from_secs(5));
    assert!(world.show("app").contains("orphaned w1"), "{}", world.show("app"));
    assert!(waits(&world), "{}", world.show("app"));
    world.update("app", image("app:2"));
    world.advance(Millis::from_secs(5));
    assert!(waits(&world), "{}", world.show("app"));
    world.create(r#"{"Name":"db","TaskTemplate":{"ContainerSpec":{"Image":"db:1"}}}"#);
    world.settle();
    world.advance(Millis::from_secs(5));
    assert_eq!(world.slots("app").len(), 2, "{}", world.show("app"));
}

#[test]
fn a_restart_does_not_wait_for_what_has_a_bad_moment() {
    let mut world = World::with_workers(0);
    world.create(r#"{"Name":"db","TaskTemplate":{"ContainerSpec":{"Image":"db:1"}}}"#);
    world.create(
        r#"{"Name":"app","TaskTemplate":{"ContainerSpec":{"Image":"app:1"}},
            "DependsOn":[{"Service":"db","Condition":"service_healthy"}]}"#,
    );
    world.settle();
    world.update("db", |spec| spec.mode = ServiceMode::replicated(0));
    world.settle();
    world.kill("app", 1, 1);
    world.settle();
    world.kill("app", 1, 1);
    world.settle();
    assert!(matches!(world.newest("app", 1).waiting, Some(Reason::BackOff { .. })));
    world.advance(SECOND);
    assert_eq!(world.newest("app", 1).status.state, TaskState::Running);
}

#[test]
fn everything_that_does_not_run_says_why() {
    let mut world = World::with_workers(1);
    world.create(&web(3));
    world.break_image("web:1", 3);
    world.create(
        r#"{"Name":"big","TaskTemplate":{"ContainerSpec":{"Image":"big:1"},
            "Resources":{"Reservations":{"MemoryBytes":99000000000}}}}"#,
    );
    for _ in 0..20 {
        world.advance(SECOND);
        for task in world.state.tasks().filter(|t| t.desired <= Desired::Running) {
            let busy = task.status.state >= TaskState::Assigned
                && task.status.state < TaskState::Complete
                && task.desired == Desired::Running;
            assert!(busy || task.waiting.is_some() || !task.status.error.is_empty(), "{task:?}");
        }
    }
}

/// `web` with so many replicas on a small network of which `others` take the rest, and a large network.
fn beside_a_full_network(replicas: u64) -> World {
    let mut world = World::with_workers(1);
    small_network(&mut world, "small");
    let large = serde_json::from_str(r#"{"Name":"large"}"#).expect("a network");
    world.client(Command::CreateNetwork { spec: Box::new(large) }).expect("created");
    world.create(&format!(
        r#"{{"Name":"web","TaskTemplate":{{"ContainerSpec":{{"Image":"web:1"}},
            "Networks":[{{"Target":"small"}}]}},"Mode":{{"Replicated":{{"Replicas":{replicas}}}}}}}"#
    ));
    world.create(
        r#"{"Name":"others","TaskTemplate":{"ContainerSpec":{"Image":"web:1"},
            "Networks":[{"Target":"small"}]},"EndpointSpec":{"Mode":"dnsrr"},
            "Mode":{"Replicated":{"Replicas":6}}}"#,
    );
    world.settle();
    world
}

#[test]
fn a_change_that_cannot_be_undone_for_want_of_an_address_is_paused() {
    // Found by the simulator: the same rollback was asked for, and refused, for ever.
    let mut world = beside_a_full_network(1);
    world.break_image("web:2", 1);
    world.update("web", |spec| {
        image("web:2")(spec);
        with_update(spec, |u| u.failure_action = "rollback".to_owned());
        spec.task_template.networks[0].target = "large".to_owned();
    });
    world.settle();
    world.advance(Millis::from_secs(10));
    assert_eq!(state_of(&world, "web"), RolloutState::Paused, "{}", world.show("web"));
}

#[test]
fn an_address_that_a_service_no_longer_needs_is_given_to_whoever_waits() {
    // Found by the simulator: nobody looked until the leader changed.
    let mut world = beside_a_full_network(0);
    let before = world.slots("others").len();
    world.update("web", |spec| spec.task_template.networks[0].target = "large".to_owned());
    world.settle();
    assert_eq!(world.slots("others").len(), before + 1);
}
