//! Rotations of the certificate authority, as nodes follow them or do not.

use model::NodeId;
use model::object::{CaMaterial, Cluster, JoinSecrets, NodeTrust, RootRotation};
use model::spec::Role;

use crate::command::{Batch, Command, Force, Refusal, RootChange};
use crate::test_kit::{SECOND, World};

/// What nodes of a root say.
fn trust(root: &str) -> NodeTrust {
    NodeTrust { issuer: format!("signed by {root}"), roots: [root.to_owned()].into() }
}

fn rotation(from: &str, to: &str) -> RootRotation {
    let text = |what: &str| format!("{what} of {to}");
    RootRotation {
        ca: CaMaterial { cert_pem: text("certificate"), key_pem: text("key") },
        cross_cert_pem: format!("{to} by {from}"),
        wanted: trust(to),
        present: trust(from),
        tokens: JoinSecrets { worker: text("worker"), manager: text("manager") },
    }
}

fn cluster(world: &World) -> Cluster {
    (**world.state.cluster().expect("started")).clone()
}

fn change(world: &mut World, change: RootChange) {
    let cluster = cluster(world);
    let mut spec = cluster.spec.clone();
    spec.ca_config.force_rotate += 1;
    spec.ca_config.signing_ca_key = "a key".to_owned();
    let mut command = Command::update_cluster(cluster.meta.version, spec);
    if let Command::UpdateCluster { root, .. } = &mut command {
        *root = Some(Box::new(change));
    }
    world.client(command).expect("may");
}

fn rotate(world: &mut World, from: &str, to: &str) {
    change(world, RootChange::Rotate(Box::new(rotation(from, to))));
}

/// The end of a rotation that is not the one that runs, or does not run any more.
fn finish_too_late(world: &mut World, root: &str) {
    let commands = vec![Command::FinishRotation { wanted: Box::new(trust(root)) }];
    let batch = Batch { commands, base: Some(world.state.revision()) };
    let response = world.entry(batch).responses.remove(0);
    assert!(matches!(response, Err(Refusal::Outdated { .. })), "{response:?}");
}

/// The agent of a node does what its orders say.
fn follow(world: &mut World, name: &str) {
    let node = world.node(name);
    let trust = world.told(name).cluster.trust.clone();
    let mut description = world.state.node(node).expect("there").description.clone();
    description.trust = trust;
    let description = Box::new(description);
    world.client(Command::DescribeNode { node, description }).expect("may");
}

/// So does its manager.
fn manager_follows(world: &mut World, name: &str) {
    let node = world.node(name);
    let trust = world.told(name).cluster.trust.clone().expect("told");
    world.client(Command::ManagerTrust { node, trust: Box::new(trust) }).expect("may");
}

fn awaited(world: &World) -> Vec<NodeId> {
    world.state.awaited().map(|node| node.id).collect()
}

/// Whose certificate signs alone, if no rotation runs.
fn alone(world: &World) -> Option<String> {
    let cluster = cluster(world);
    cluster.rotation.is_none().then_some(cluster.ca.cert_pem)
}

#[test]
fn the_next_authority_stands_alone_once_every_node_has_followed() {
    let mut world = World::with_workers(2);
    let before = cluster(&world);
    rotate(&mut world, "old", "new");
    world.settle();
    let told = world.told("w1").cluster.trust.clone().expect("told");
    assert_eq!(told.issuer, trust("new").issuer);
    assert_eq!(told.roots, ["new".to_owned(), "old".to_owned()].into(), "both meanwhile");
    for name in ["w1", "w2", "m1"] {
        assert!(cluster(&world).rotation.is_some(), "{name} has not followed");
        assert!(awaited(&world).contains(&world.node(name)));
        assert!(cluster(&world).ca == before.ca);
        assert!(cluster(&world).tokens == before.tokens, "hosts join as before");
        follow(&mut world, name);
        world.settle();
    }
    assert_eq!(awaited(&world), [world.node("m1")], "its process uses the old one still");
    manager_follows(&mut world, "m1");
    world.settle();
    let after = cluster(&world);
    assert!(after.rotation.is_none());
    assert!(after.ca == rotation("old", "new").ca);
    assert!(after.tokens == rotation("old", "new").tokens);
    assert!(after.meta.version > before.meta.version, "clients see that it was written");
    assert_eq!(world.told("w1").cluster.trust, Some(trust("new")), "the old one is dropped");
    assert_eq!(after.spec.ca_config.force_rotate, 1);
    assert_eq!(after.spec.ca_config.signing_ca_key, "", "the spec keeps no key");
}

#[test]
fn a_node_that_is_down_is_waited_for_until_it_follows_or_is_removed() {
    let mut world = World::with_workers(3);
    world.silence("w1");
    world.silence("w2");
    world.advance(SECOND);
    world.advance(SECOND);
    world.advance(SECOND);
    rotate(&mut world, "old", "new");
    for name in ["m1", "w3"] {
        follow(&mut world, name);
    }
    manager_follows(&mut world, "m1");
    world.advance(SECOND);
    assert_eq!(awaited(&world), [world.node("w1"), world.node("w2")]);
    // One comes back and is told of it.
    world.hear("w1");
    world.settle();
    follow(&mut world, "w1");
    world.settle();
    assert_eq!(awaited(&world), [world.node("w2")]);
    assert_eq!(alone(&world), None);
    let id = world.node("w2");
    world.client(Command::RemoveNode { id, force: Force::No }).expect("it is down");
    world.settle();
    assert_eq!(alone(&world), Some(rotation("old", "new").ca.cert_pem));
}

#[test]
fn a_host_that_joins_meanwhile_is_waited_for_too() {
    let mut world = World::with_workers(0);
    rotate(&mut world, "old", "new");
    follow(&mut world, "m1");
    world.join("w1", 2);
    manager_follows(&mut world, "m1");
    world.settle();
    assert_eq!(awaited(&world), [world.node("w1")]);
    follow(&mut world, "w1");
    world.settle();
    assert_eq!(alone(&world), Some(rotation("old", "new").ca.cert_pem));
}

#[test]
fn a_new_leader_ends_what_another_began() {
    let mut world = World::with_workers(1);
    rotate(&mut world, "old", "new");
    follow(&mut world, "m1");
    manager_follows(&mut world, "m1");
    follow(&mut world, "w1");
    // Not planned before the leader was lost.
    world.change_leader();
    world.settle();
    assert_eq!(alone(&world), Some(rotation("old", "new").ca.cert_pem));
    assert_eq!(world.told("w1").cluster.trust, Some(trust("new")));
}

#[test]
fn a_rotation_takes_the_place_of_the_one_that_runs() {
    let mut world = World::with_workers(1);
    rotate(&mut world, "old", "new");
    for name in ["m1", "w1"] {
        follow(&mut world, name);
    }
    rotate(&mut world, "old", "newer");
    manager_follows(&mut world, "m1");
    world.settle();
    assert_eq!(awaited(&world).len(), 2, "what followed the first has not followed the second");
    // A plan that was made for the first does nothing to the second.
    finish_too_late(&mut world, "new");
    for name in ["m1", "w1"] {
        follow(&mut world, name);
    }
    world.settle();
    assert_eq!(alone(&world), Some(rotation("old", "newer").ca.cert_pem));
    finish_too_late(&mut world, "newer");
}

#[test]
fn a_rotation_can_be_taken_back() {
    let mut world = World::with_workers(1);
    let before = cluster(&world);
    rotate(&mut world, "old", "new");
    follow(&mut world, "w1");
    change(&mut world, RootChange::Keep { present: trust("old") });
    world.settle();
    let after = cluster(&world);
    assert!(after.rotation.is_none());
    assert!(after.ca == before.ca && after.tokens == before.tokens);
    let told = world.told("w1").cluster.trust.clone();
    assert_eq!(told, Some(trust("old")), "who has followed comes back");
}

#[test]
fn a_manager_that_is_demoted_and_promoted_says_anew_what_it_uses() {
    let mut world = World::with_workers(1);
    world.edit_node("w1", |spec| spec.role = Role::Manager);
    rotate(&mut world, "old", "new");
    for name in ["m1", "w1"] {
        follow(&mut world, name);
        manager_follows(&mut world, name);
    }
    world.edit_node("w1", |spec| spec.role = Role::Worker);
    assert_eq!(awaited(&world), []);
    manager_follows(&mut world, "w1");
    world.edit_node("w1", |spec| spec.role = Role::Manager);
    assert_eq!(awaited(&world), [world.node("w1")], "what it said as it went does not count");
}

#[test]
fn a_client_that_knows_of_no_rotation_asks_for_none() {
    let mut world = World::with_workers(0);
    rotate(&mut world, "old", "new");
    let cluster = cluster(&world);
    let mut spec = cluster.spec.clone();
    spec.ca_config.force_rotate = 0;
    let command = Command::update_cluster(cluster.meta.version, spec);
    world.client(command).expect("may");
    let after = self::cluster(&world);
    assert_eq!(after.spec.ca_config.force_rotate, 1);
    assert!(after.rotation == cluster.rotation);
}
