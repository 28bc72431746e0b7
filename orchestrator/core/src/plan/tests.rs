//! What the planner does, told as examples.

use model::lifecycle::Desired;
use model::object::{NodeState, RolloutState};
use model::reason::{Objection, Reason};
use model::spec::{Availability, ServiceMode, UpdateConfig};
use model::{Millis, TaskState};

use crate::command::{Command, Force, Refusal, ServiceChange};
use crate::test_kit::{NOBODY, SECOND, World, web};

fn image(name: &str) -> impl FnOnce(&mut model::spec::ServiceSpec) + '_ {
    move |spec| {
        let container = spec.task_template.container_spec.as_mut().expect("a container");
        name.clone_into(&mut container.image);
    }
}

fn with_update(spec: &mut model::spec::ServiceSpec, edit: impl FnOnce(&mut UpdateConfig)) {
    let mut config = spec.effective_update();
    edit(&mut config);
    spec.update_config = Some(config);
}

fn scale(world: &mut World, replicas: u64) {
    world.update("web", |spec| spec.mode = ServiceMode::replicated(replicas));
}

fn state_of(world: &World, name: &str) -> RolloutState {
    let service = world.state.service_named(name).expect("there");
    service.rollout.as_ref().expect("a change").state
}

#[test]
fn replicas_spread_over_the_nodes() {
    let mut world = World::with_workers(2);
    world.create(&web(6));
    world.settle();
    assert_eq!(world.spread("web"), [2, 2, 2]);
    assert_eq!(world.slots("web").len(), 6);
}

#[test]
fn scaling_down_evens_the_nodes_and_leaves_no_trace() {
    let mut world = World::with_workers(2);
    world.create(&web(7));
    world.settle();
    scale(&mut world, 3);
    world.settle();
    assert_eq!(world.spread("web"), [1, 1, 1]);
    assert_eq!(world.state.tasks().len(), 3);
    scale(&mut world, 4);
    world.settle();
    assert_eq!(world.slots("web").len(), 4);
}

#[test]
fn a_killed_container_is_replaced_at_once_in_its_slot() {
    let mut world = World::with_workers(1);
    world.create(&web(2));
    world.settle();
    world.kill("web", 2, 137);
    world.settle();
    assert_eq!(world.slots("web").len(), 2);
    assert_eq!(world.newest("web", 2).restarts.in_a_row, 1);
    let service = world.state.service_named("web").expect("there").id;
    assert_eq!(world.state.tasks_of(service).count(), 3, "the failed one stays as history");
}

#[test]
fn a_crash_loop_backs_off_and_says_so() {
    let mut world = World::with_workers(0);
    world.create(&web(1));
    world.break_image("web:1", 1);
    world.settle();
    let task = world.newest("web", 1);
    assert_eq!(task.desired, Desired::Ready);
    assert!(matches!(task.waiting, Some(Reason::BackOff { failures: 2, .. })), "{task:?}");
    world.advance(Millis(400));
    assert_eq!(world.newest("web", 1).id, task.id);
    world.advance(Millis(200));
    assert_eq!(world.newest("web", 1).restarts.in_a_row, 3);
    let before = world.newest("web", 1).restarts.in_a_row;
    world.advance(Millis::from_secs(20));
    let after = world.newest("web", 1).restarts.in_a_row;
    assert!((before + 3..=before + 5).contains(&after), "{before} {after}");
    let service = world.state.service_named("web").expect("there").id;
    assert!(world.state.tasks_of(service).count() <= 6, "five ended ones are kept");
}

#[test]
fn the_restart_policy_is_obeyed() {
    for (policy, code, tasks) in [
        (r#"{"Condition":"none"}"#, 1, 1),
        (r#"{"Condition":"on-failure"}"#, 0, 1),
        (r#"{"Condition":"on-failure","MaxAttempts":2}"#, 1, 3),
    ] {
        let mut world = World::with_workers(0);
        world.create(&format!(
            r#"{{"Name":"web","TaskTemplate":{{"ContainerSpec":{{"Image":"web:1"}},"RestartPolicy":{policy}}}}}"#
        ));
        world.break_image("web:1", code);
        world.advance(Millis::from_secs(30));
        let service = world.state.service_named("web").expect("there").id;
        assert_eq!(world.state.tasks_of(service).count(), tasks, "{policy}");
        assert_eq!(world.running("web"), "");
    }
}

#[test]
fn an_explicit_delay_is_the_least() {
    let mut world = World::with_workers(0);
    world.create(
        r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1"},
            "RestartPolicy":{"Condition":"any","Delay":5000000000}}}"#,
    );
    world.settle();
    world.kill("web", 1, 1);
    world.settle();
    assert_eq!(world.running("web"), "");
    world.advance(Millis(4_900));
    assert_eq!(world.running("web"), "");
    world.advance(Millis(200));
    assert_ne!(world.running("web"), "");
}

#[test]
fn a_silent_node_keeps_its_tasks_until_the_grace_period_ends() {
    let mut world = World::with_workers(2);
    world.create(&web(3));
    world.settle();
    world.silence("w1");
    world.advance(Millis(1_900));
    assert_eq!(world.slots("web").len(), 3);
    assert!(world.running("web").contains("w1"));
    world.advance(Millis(200));
    assert!(!world.running("web").contains("w1"));
    assert_eq!(world.slots("web").len(), 3);
    assert!(world.show("web").contains("orphaned w1"));
    let task = world.state.tasks().find(|t| t.status.state == TaskState::Orphaned);
    let slot = task.expect("one").slot;
    assert!(world.state.tasks().filter(|t| t.slot == slot).all(|t| t.restarts.in_a_row == 0));
}

#[test]
fn a_node_that_returns_is_cleaned_and_takes_tasks_again() {
    let mut world = World::with_workers(1);
    world.create(&web(4));
    world.settle();
    world.silence("w1");
    world.advance(Millis(2_500));
    assert_eq!(world.spread("web"), [4]);
    world.hear("w1");
    world.advance(SECOND);
    world.settle();
    assert!(!world.show("web").contains("orphaned"));
    assert_eq!(world.spread("web"), [4], "nothing moves by itself");
    world.update("web", |spec| {
        spec.task_template.force_update += 1;
        with_update(spec, |u| u.parallelism = 2);
    });
    world.settle();
    world.advance(Millis::from_secs(6));
    assert_eq!(world.spread("web"), [2, 2], "a forced update spreads again");
    assert_eq!(state_of(&world, "web"), RolloutState::Completed);
}

#[test]
fn a_new_leader_gives_everybody_time_and_doubts_that_most_are_lost() {
    let mut world = World::with_workers(4);
    world.create(&web(5));
    world.settle();
    for node in ["m1", "w1", "w2"] {
        world.silence(node);
    }
    world.live = super::Live::since(world.now);
    world.advance(Millis(3_900));
    assert!(world.state.nodes().all(|n| n.status.state == NodeState::Ready));
    world.advance(Millis(200));
    let down = world.state.nodes().filter(|n| n.status.state == NodeState::Down).count();
    assert_eq!(down, 3);
    assert_eq!(world.slots("web").len(), 5);
}

#[test]
fn an_update_replaces_one_slot_after_the_other() {
    let mut world = World::with_workers(2);
    world.create(&web(3));
    world.settle();
    world.update("web", |spec| {
        image("web:2")(spec);
        with_update(spec, |u| u.delay = 5_000_000_000);
    });
    let templates = |world: &World| {
        let service = world.state.service_named("web").expect("there").clone();
        let new = |slot| world.newest("web", slot).template == service.template;
        (1..=3).filter(|slot| new(*slot)).count()
    };
    world.settle();
    assert_eq!(templates(&world), 1);
    world.advance(Millis(4_900));
    assert_eq!(templates(&world), 1);
    world.advance(Millis(300));
    assert_eq!(templates(&world), 2);
    world.advance(Millis(5_200));
    assert_eq!(templates(&world), 3);
    assert_eq!(state_of(&world, "web"), RolloutState::Running);
    world.advance(Millis(5_500));
    assert_eq!(state_of(&world, "web"), RolloutState::Completed);
    assert_eq!(world.slots("web").len(), 3);
}

#[test]
fn an_unchanged_redeploy_and_a_scale_replace_nothing() {
    let mut world = World::with_workers(1);
    world.create(&web(2));
    world.settle();
    let before: Vec<_> = (1..=2).map(|slot| world.newest("web", slot).id).collect();
    world.update("web", |_| {});
    scale(&mut world, 3);
    world.settle();
    let after: Vec<_> = (1..=2).map(|slot| world.newest("web", slot).id).collect();
    assert_eq!(before, after);
    assert!(world.state.service_named("web").expect("there").rollout.is_none());
}

#[test]
fn a_failing_update_pauses_and_the_old_tasks_go_on() {
    let mut world = World::with_workers(1);
    world.create(&web(3));
    world.settle();
    world.break_image("web:2", 1);
    world.update("web", image("web:2"));
    world.settle();
    let service = world.state.service_named("web").expect("there").clone();
    let rollout = service.rollout.clone().expect("a change");
    assert_eq!(rollout.docker_state(), "paused");
    assert!(rollout.message.starts_with("update paused due to failure or early termination"));
    assert_eq!(world.slots("web").len(), 2);
    world.advance(Millis::from_secs(10));
    assert_eq!(world.slots("web").len(), 2);
    // A slot with the old template that fails meanwhile gets the old template again.
    let slot = world.slots("web").into_iter().next().expect("one").parse().expect("a number");
    let old = world.newest("web", slot).template;
    world.kill("web", slot, 1);
    world.settle();
    assert_eq!(world.newest("web", slot).template, old);
    // Going back replaces only what was replaced.
    world.change("web", ServiceChange::Rollback).expect("has a previous spec");
    world.settle();
    world.advance(Millis::from_secs(6));
    assert_eq!(world.slots("web").len(), 3);
    let service = world.state.service_named("web").expect("there");
    assert_eq!(service.template, old);
    assert_eq!(service.rollout.as_ref().expect("one").docker_state(), "rollback_completed");
}

#[test]
fn a_failing_update_undoes_itself_when_asked_to() {
    let mut world = World::with_workers(1);
    world.create(&web(3));
    world.settle();
    let old = world.newest("web", 1).template;
    world.break_image("web:2", 1);
    world.update("web", |spec| {
        image("web:2")(spec);
        with_update(spec, |u| u.failure_action = "rollback".to_owned());
    });
    world.settle();
    world.advance(Millis::from_secs(10));
    let service = world.state.service_named("web").expect("there").clone();
    assert_eq!(service.rollout.as_ref().expect("one").docker_state(), "rollback_completed");
    assert_eq!(service.template, old);
    assert_eq!(world.slots("web").len(), 3);
    assert_eq!(service.spec.task_template.container_spec.as_ref().expect("one").image, "web:1");
}

#[test]
fn start_first_keeps_the_old_task_until_the_new_one_runs() {
    let mut world = World::with_workers(1);
    world.create(&web(2));
    world.settle();
    world.break_image("web:2", 1);
    world.update("web", |spec| {
        image("web:2")(spec);
        with_update(spec, |u| u.order = "start-first".to_owned());
    });
    world.settle();
    assert_eq!(state_of(&world, "web"), RolloutState::Paused);
    assert_eq!(world.slots("web").len(), 2, "the broken version took nothing down");
    world.update("web", image("web:3"));
    world.settle();
    world.advance(Millis::from_secs(6));
    assert_eq!(state_of(&world, "web"), RolloutState::Completed);
    assert_eq!(world.slots("web").len(), 2);
    let template = world.state.service_named("web").expect("there").template;
    assert!((1..=2).all(|slot| world.newest("web", slot).template == template));
}

#[test]
fn start_first_without_room_for_both_turns_stop_first() {
    let mut world = World::with_workers(0);
    world.create(
        r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1"}},
            "UpdateConfig":{"Parallelism":1,"Order":"start-first"},
            "EndpointSpec":{"Ports":[{"TargetPort":80,"PublishedPort":8080,"PublishMode":"host"}]}}"#,
    );
    world.settle();
    world.expect("web", "1 running m1");
    world.update("web", image("web:2"));
    world.settle();
    world.expect("web", "1 shutdown m1 | 1 running m1");
}

#[test]
fn a_drained_node_loses_its_tasks_in_turn() {
    let mut world = World::with_workers(2);
    world.create(&web(6));
    world.settle();
    world.drain("w1");
    world.settle();
    assert_eq!(world.spread("web"), [3, 3]);
    assert!(!world.running("web").contains("w1"));
    world.edit_node("w1", |spec| spec.availability = Availability::Active);
    scale(&mut world, 8);
    world.settle();
    assert_eq!(world.spread("web"), [3, 2, 3]);
}

#[test]
fn a_paused_node_keeps_what_it_has() {
    let mut world = World::with_workers(1);
    world.create(&web(2));
    world.settle();
    world.edit_node("w1", |spec| spec.availability = Availability::Pause);
    scale(&mut world, 5);
    world.settle();
    assert_eq!(world.spread("web"), [4, 1]);
}

#[test]
fn a_constraint_that_is_no_longer_met_moves_the_task() {
    let mut world = World::with_workers(2);
    for node in ["w1", "w2"] {
        world.edit_node(node, |spec| {
            spec.labels.insert("disk".to_owned(), "ssd".to_owned());
        });
    }
    world.create(
        r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1"},
            "Placement":{"Constraints":["node.labels.disk==ssd"],"MaxReplicas":1}},
            "Mode":{"Replicated":{"Replicas":3}}}"#,
    );
    world.settle();
    assert_eq!(world.spread("web"), [1, 1]);
    let waiting = world.state.tasks().find_map(|t| t.waiting.clone()).expect("a reason");
    let Reason::NoSuitableNode { objections } = waiting else { panic!("{waiting:?}") };
    assert_eq!(objections[&Objection::Constraint], 1);
    assert_eq!(objections[&Objection::MaxReplicas], 2);
    world.edit_node("w1", |spec| spec.labels.clear());
    world.edit_node("m1", |spec| {
        spec.labels.insert("disk".to_owned(), "ssd".to_owned());
    });
    world.settle();
    assert_eq!(world.spread("web"), [1, 1]);
    assert!(!world.running("web").contains("w1"));
}

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
fn a_global_service_is_on_every_node_that_suits() {
    let mut world = World::with_workers(2);
    world.create(
        r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1"},
            "Placement":{"Constraints":["node.role==worker"]}},"Mode":{"Global":{}}}"#,
    );
    world.settle();
    assert_eq!(world.spread("web"), [1, 1]);
    world.join("w3", 9);
    world.settle();
    assert_eq!(world.spread("web"), [1, 1, 1]);
    world.drain("w1");
    world.settle();
    assert_eq!(world.spread("web"), [1, 1]);
    world.update("web", image("web:2"));
    world.settle();
    world.advance(Millis::from_secs(6));
    assert_eq!(world.spread("web"), [1, 1]);
    assert_eq!(state_of(&world, "web"), RolloutState::Completed);
}

#[test]
fn a_job_runs_to_completion_and_again_when_updated() {
    let mut world = World::with_workers(1);
    world.break_image("job:1", 0);
    world.create(
        r#"{"Name":"job","TaskTemplate":{"ContainerSpec":{"Image":"job:1"}},
            "Mode":{"ReplicatedJob":{"MaxConcurrent":2,"TotalCompletions":5}}}"#,
    );
    world.settle();
    let id = world.state.service_named("job").expect("there").id;
    let done = |world: &World| {
        world.state.tasks_of(id).filter(|t| t.status.state == TaskState::Complete).count()
    };
    assert_eq!(done(&world), 5);
    world.update("job", |spec| spec.task_template.force_update += 1);
    world.settle();
    assert_eq!(done(&world), 5);
    assert!(world.state.tasks_of(id).all(|t| t.job_iteration == 1));
}

#[test]
fn a_global_job_runs_once_on_each_node() {
    let mut world = World::with_workers(2);
    world.break_image("job:1", 0);
    world.create(
        r#"{"Name":"job","TaskTemplate":{"ContainerSpec":{"Image":"job:1"}},"Mode":{"GlobalJob":{}}}"#,
    );
    world.settle();
    let id = world.state.service_named("job").expect("there").id;
    assert!(world.state.tasks_of(id).all(|t| t.status.state == TaskState::Complete));
    assert_eq!(world.state.tasks_of(id).count(), 3);
}

#[test]
fn a_planned_stop_waits_until_every_node_routes_without_the_task() {
    let mut world = World::with_workers(1);
    world.create(
        r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1"}},
            "Mode":{"Replicated":{"Replicas":2}},
            "EndpointSpec":{"Ports":[{"TargetPort":80,"PublishedPort":8080}]}}"#,
    );
    world.settle();
    world.frozen = true;
    world.silence("m1");
    scale(&mut world, 1);
    world.plan_once();
    let task = world.state.draining().next().expect("one drains").clone();
    world.advance(Millis(100));
    assert_eq!(world.state.task(task.id).expect("there").desired, Desired::Draining);
    world.advance(Millis(1_700));
    assert_eq!(world.state.task(task.id).expect("there").desired, Desired::Draining);
    world.advance(Millis(300));
    assert_eq!(world.state.task(task.id).expect("there").desired, Desired::Remove, "2 s");
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
    // Six addresses: one for the service, one for the node, four for tasks.
    assert_eq!(world.slots("web").len(), 4);
    assert!(world.state.tasks().any(|t| matches!(t.waiting, Some(Reason::NoAddress { .. }))));
    world.update("web", image("web:2"));
    world.settle();
    assert_eq!(world.slots("web").len(), 4);
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

#[test]
fn a_plan_from_before_a_clients_write_does_nothing() {
    let mut world = World::with_workers(0);
    let id = world.create(&web(1));
    let base = world.state.revision();
    scale(&mut world, 2);
    let task = crate::command::CreateTask {
        service: id,
        slot: model::object::Slot::Replica(1),
        template: world.state.service(id).expect("there").template,
        job_iteration: 0,
        node: None,
        desired: Desired::Running,
        not_before: None,
        restarts: model::object::Restarts::default(),
        waiting: None,
        beside: None,
    };
    let commands = vec![Command::CreateTask(Box::new(task))];
    let batch = crate::Batch { commands, base: Some(base) };
    let applied = world.entry(batch);
    assert!(matches!(applied.responses[0], Err(Refusal::Outdated { .. })));
    assert!(applied.changes.is_empty());
    assert_eq!(world.state.tasks().len(), 0);
}

#[test]
fn a_node_can_be_removed_when_it_is_down_or_by_force() {
    let mut world = World::with_workers(2);
    world.create(&web(3));
    world.settle();
    let id = world.node("w1");
    let refused = world.client(Command::RemoveNode { id, force: Force::No }).expect_err("ready");
    assert!(refused.to_string().ends_with("is not down and can't be removed"), "{refused}");
    world.client(Command::RemoveNode { id, force: Force::Yes }).expect("forced");
    world.settle();
    assert_eq!(world.slots("web").len(), 3);
    assert_eq!(world.spread("web").iter().sum::<usize>(), 3);
    let id = NOBODY.into();
    let missing = world.client(Command::RemoveNode { id, force: Force::Yes });
    assert!(matches!(missing, Err(Refusal::NotFound { .. })));
}
