//! What nodes are told, told as examples.

use model::{Millis, NodeId};

use super::{Projector, orders};
use crate::command::Batch;
use crate::test_kit::{World, web};
use crate::{Entry, State};

const ON_A_NETWORK: &str = r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1"},
    "Networks":[{"Target":"near"}]},"Mode":{"Replicated":{"Replicas":2}}}"#;

fn network(world: &mut World, name: &str) {
    let spec = model::spec::NetworkSpec { name: name.to_owned(), ..Default::default() };
    world.client(crate::command::Command::CreateNetwork { spec: Box::new(spec) }).expect("created");
}

fn peers(state: &State, node: NodeId) -> Vec<NodeId> {
    orders(state, node, 1).peers.into_keys().collect()
}

#[test]
fn a_node_is_told_of_the_nodes_that_its_networks_and_services_name_and_no_others() {
    let mut world = World::with_workers(5);
    network(&mut world, "near");
    world.create(ON_A_NETWORK);
    world.settle();
    let state = &world.state;
    let on: Vec<NodeId> = state.tasks().filter_map(|t| t.node).collect();
    assert_eq!(on.len(), 2);
    for node in state.nodes() {
        let expected: Vec<NodeId> = if on.contains(&node.id) {
            on.iter().copied().filter(|id| *id != node.id).collect()
        } else {
            Vec::new()
        };
        assert_eq!(peers(state, node.id), expected);
    }
    // A published port is open everywhere, so where it leads is known everywhere.
    world.update("web", |spec| {
        spec.endpoint_spec =
            serde_json::from_str(r#"{"Ports":[{"TargetPort":80}]}"#).expect("ports");
    });
    world.advance(Millis::from_secs(20));
    let state = &world.state;
    let on: Vec<NodeId> = state
        .service_named("web")
        .into_iter()
        .flat_map(|service| {
            let live = state.tasks_of(service.id).filter(|t| !t.status.state.is_terminal());
            live.filter_map(|t| t.node).collect::<Vec<_>>()
        })
        .collect();
    for node in state.nodes() {
        let known = peers(state, node.id);
        assert!(on.iter().filter(|id| **id != node.id).all(|id| known.contains(id)));
        assert!(known.len() <= 2, "{known:?}");
    }
}

#[test]
fn a_node_that_came_between_two_looks_is_told_what_the_others_know_already() {
    // A task runs, a node comes and is told so, the task ends: for the others nothing has changed.
    let mut world = World::with_workers(2);
    world.create(&web(1));
    world.update("web", |spec| {
        spec.endpoint_spec =
            serde_json::from_str(r#"{"Ports":[{"TargetPort":80}]}"#).expect("ports");
    });
    world.settle();
    let (first, second) = (world.node("m1"), world.node("w1"));
    let mut projector = Projector::new(1);
    let mut state = world.state.clone();
    let _ = projector.open(&state, first);
    let task = world.newest("web", 1);
    let node = task.node.expect("placed");
    let said = |state: &mut State, now: u64, reached| {
        let report = model::wire::session::TaskReport {
            task: task.id,
            state: reached,
            at: world.now,
            message: String::new(),
            error: String::new(),
            container: None,
            ports: Vec::new(),
        };
        let command = crate::command::Command::Report { node, statuses: vec![report] };
        let batch = Batch { commands: vec![command], base: None };
        let at = world.now + Millis(now);
        let revision = model::object::Revision(state.revision().0 + 1);
        state.apply(revision, &Entry { at, batch })
    };
    // What the projector remembers of the service is from here.
    let ended = said(&mut state, 1, model::TaskState::Failed);
    let _ = projector.update(&state, [&ended]);
    let mut before = world.state.clone();
    let _ = projector.open(&before, second);
    let ended = said(&mut before, 1, model::TaskState::Failed);
    let _ = projector.update(&before, [&ended]);
    let told = projector.orders(second).expect("it is there");
    let service = before.service_named("web").expect("there").id;
    assert!(told.services[&service].backends.is_empty(), "{:?}", told.services);
}
