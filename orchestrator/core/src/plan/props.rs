//! What holds whatever happens: random histories of clients, crashes, lost nodes and drains.
//!
//! The test kit checks after every entry that indexes, room, addresses and slots are right, that a
//! replica that reads the log's bytes is equal, and that deltas add up to the whole; after every
//! plan, that it is repeatable and was taken as proposed. Here: that ranks only rise, that no slot
//! has two running tasks unless an update says start-first, and that things end well.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use model::lifecycle::Desired;
use model::object::{RolloutState, Slot};
use model::reason::Reason;
use model::spec::{Availability, ModeKind, ServiceMode};
use model::{Millis, NodeId, ServiceId, TaskId, TaskState};

use crate::test_kit::World;

const NODES: [&str; 4] = ["m1", "w1", "w2", "w3"];
const SERVICES: [&str; 3] = ["a", "b", "g"];

/// Billionths of a CPU that each task has reserved.
const RESERVED: i64 = 700_000_000;

#[derive(Clone, Debug)]
enum Event {
    Scale(usize, u64),
    Image { service: usize, image: u8, order: bool, action: u8 },
    Rollback(usize),
    Kill(usize, usize),
    Silence(usize),
    Hear(usize),
    Availability(usize, u8),
    Break(u8, bool),
    Advance(u64),
    Remove(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..2usize, 0..7u64).prop_map(|(s, n)| Event::Scale(s, n)),
        (0..3usize, 0..4u8, any::<bool>(), 0..3u8).prop_map(|(service, image, order, action)| {
            Event::Image { service, image, order, action }
        }),
        (0..3usize).prop_map(Event::Rollback),
        (0..3usize, 0..6usize).prop_map(|(s, n)| Event::Kill(s, n)),
        (1..4usize).prop_map(Event::Silence),
        (1..4usize).prop_map(Event::Hear),
        (0..4usize, 0..3u8).prop_map(|(n, a)| Event::Availability(n, a)),
        (0..4u8, any::<bool>()).prop_map(|(i, on)| Event::Break(i, on)),
        (1..40u64).prop_map(|n| Event::Advance(n * 100)),
        (0..3usize).prop_map(Event::Remove),
    ]
}

fn spec(name: &str) -> String {
    let mode = if name == "g" { r#""Global":{}"# } else { r#""Replicated":{"Replicas":3}"# };
    format!(
        r#"{{"Name":"{name}","TaskTemplate":{{"ContainerSpec":{{"Image":"i:0"}},
            "Resources":{{"Reservations":{{"NanoCPUs":{RESERVED}}}}}}},"Mode":{{{mode}}},
            "EndpointSpec":{{"Ports":[{{"TargetPort":80}}]}}}}"#
    )
}

fn happen(world: &mut World, event: &Event) {
    let there = |world: &World, s: usize| world.state.service_named(SERVICES[s]).is_some();
    match *event {
        Event::Scale(s, replicas) => {
            if there(world, s) {
                world.update(SERVICES[s], |spec| spec.mode = ServiceMode::replicated(replicas));
            } else {
                world.create(&spec(SERVICES[s]));
            }
        }
        Event::Image { service, image, order, action } if there(world, service) => {
            world.update(SERVICES[service], |spec| {
                let mut config = spec.effective_update();
                config.parallelism = u64::from(action);
                config.order = if order { "start-first" } else { "stop-first" }.to_owned();
                config.failure_action =
                    ["pause", "continue", "rollback"][usize::from(action)].to_owned();
                spec.update_config = Some(config);
                if let Some(container) = &mut spec.task_template.container_spec {
                    container.image = format!("i:{image}");
                }
            });
        }
        Event::Rollback(s) if there(world, s) => {
            // Refused when there is nothing to go back to.
            let _ = world.change(SERVICES[s], crate::command::ServiceChange::Rollback);
        }
        Event::Kill(s, nth) if there(world, s) => {
            let id = world.state.service_named(SERVICES[s]).expect("there").id;
            let running = |t: &&std::sync::Arc<model::object::Task>| {
                t.status.state == TaskState::Running && t.desired == Desired::Running
            };
            let victim = world.state.tasks_of(id).filter(running).nth(nth).cloned();
            if let Some(task) = victim.filter(|t| world.can_speak(t.node)) {
                world.say(&task, TaskState::Failed, Some(1));
            }
        }
        Event::Silence(n) => world.silence(NODES[n]),
        Event::Hear(n) => world.hear(NODES[n]),
        Event::Availability(n, to) => world.edit_node(NODES[n], |spec| {
            spec.availability =
                [Availability::Active, Availability::Pause, Availability::Drain][usize::from(to)];
        }),
        Event::Break(image, on) => {
            let name = format!("i:{image}");
            if on { world.break_image(&name, 1) } else { world.mend_image(&name) }
        }
        Event::Advance(ms) => world.advance(Millis(ms)),
        Event::Remove(s) if there(world, s) => world.remove(SERVICES[s]),
        Event::Image { .. } | Event::Rollback(_) | Event::Kill(..) | Event::Remove(_) => {}
    }
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    ranks: BTreeMap<TaskId, TaskState>,
    /// Services that were start-first at some time: pairs made then may outlast the spec.
    paired: BTreeSet<ServiceId>,
}

/// Ranks only rise; no two tasks run in a slot unless the update says start-first.
fn watch(world: &World, seen: &mut Seen) {
    for service in world.state.services() {
        if service.spec.effective_update().starts_first() {
            seen.paired.insert(service.id);
        }
    }
    let mut running: BTreeMap<(ServiceId, Slot), u32> = BTreeMap::new();
    for task in world.state.tasks() {
        let before = seen.ranks.insert(task.id, task.status.state);
        assert!(before.is_none_or(|b| b <= task.status.state), "{before:?} {task:?}");
        let holds = task.status.state > TaskState::Ready && !task.status.state.is_terminal();
        if holds && !seen.paired.contains(&task.service) {
            *running.entry((task.service, task.slot)).or_default() += 1;
        }
    }
    assert!(running.values().all(|n| *n <= 1), "{running:?}");
}

/// Another task does not fit on the node.
fn full(world: &World, node: NodeId) -> bool {
    let there = world.state.tasks_on(node).filter(|t| !t.status.state.is_terminal());
    let reserved: i64 = there.map(|_| RESERVED).sum();
    let node = world.state.node(node).expect("nodes stay");
    reserved + RESERVED > node.description.resources.nano_cpus
}

/// Everything is mended: what must be true soon after.
fn ends_well(world: &mut World) {
    for image in 0..4 {
        world.mend_image(&format!("i:{image}"));
    }
    for node in NODES {
        world.hear(node);
        world.edit_node(node, |spec| spec.availability = Availability::Active);
    }
    world.advance(Millis::from_secs(150));
    world.settle();
    let services: Vec<_> = world.state.services().cloned().collect();
    for service in services {
        let expected = match service.spec.mode.kind() {
            ModeKind::Replicated { replicas } => usize::try_from(replicas).expect("few"),
            ModeKind::Global => NODES.len(),
            ModeKind::ReplicatedJob { .. } | ModeKind::GlobalJob => unreachable!("no jobs here"),
        };
        let name = &service.spec.name;
        let running = world.running(name);
        let number = if running.is_empty() { 0 } else { running.split(" | ").count() };
        // Replicas always find room somewhere; a global service's task has one node, which may be full
        // of what was put there while the others were away.
        let tasks = world.state.tasks_of(service.id);
        let tasks = tasks.filter(|t| t.node.is_none() && !t.status.state.is_terminal());
        let no_room = tasks.filter(|t| matches!(t.slot, Slot::Node(node) if full(world, node)));
        let no_room = no_room
            .inspect(|t| assert!(matches!(t.waiting, Some(Reason::NoSuitableNode { .. })), "{t:?}"))
            .count();
        assert_eq!(number + no_room, expected, "{name}: {}", world.show(name));
        let rollout = service.rollout.as_ref().map(|r| r.state);
        assert!(no_room > 0 || rollout != Some(RolloutState::Running), "{name}: {service:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_it_ends_well(events in prop::collection::vec(event(), 1..40)) {
        run(&events);
    }
}

#[test]
fn a_global_service_leaves_out_a_node_that_is_full() {
    // Two nodes are drained and one is lost: what they had fills the last one.
    run(&[
        Event::Scale(0, 5),
        Event::Availability(0, 2),
        Event::Availability(1, 2),
        Event::Silence(2),
        Event::Image { service: 2, image: 1, order: false, action: 0 },
        Event::Advance(2_000),
    ]);
}

fn run(events: &[Event]) {
    let mut world = World::with_workers(3);
    for name in SERVICES {
        world.create(&spec(name));
    }
    world.settle();
    let mut seen = Seen::default();
    for event in events {
        happen(&mut world, event);
        for _ in 0..3 {
            watch(&world, &mut seen);
            world.round();
        }
        watch(&world, &mut seen);
    }
    ends_well(&mut world);
}
