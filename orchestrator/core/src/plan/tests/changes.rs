//! Updates, rollbacks, and what goes on while they do.

use model::lifecycle::Desired;
use model::object::{NodeState, RolloutState};
use model::spec::Availability;
use model::{Millis, TaskState};

use super::{image, scale, state_of, with_update};
use crate::command::{Command, Refusal, ServiceChange};
use crate::test_kit::{World, web};

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
fn a_replacement_that_is_lost_with_its_node_still_counts_against_the_budget() {
    // Found by the simulator: its successor and another slot were out of service at once.
    let mut world = World::with_workers(4);
    world.create(&web(3));
    world.settle();
    world.update("web", image("app:2"));
    let current = world.state.service_named("web").expect("there").template;
    // The first slot's new task has a node, and the node is lost before the task runs.
    let node = loop {
        assert!(world.round(), "the update goes on");
        let placed = world.state.tasks().find(|t| t.template == current && t.node.is_some());
        if let Some(node) = placed.and_then(|t| t.node) {
            break node;
        }
    };
    let name = world.state.node(node).expect("there").description.hostname.clone();
    world.silence(&name);
    world.frozen = true;
    world.advance(Millis(2_600));
    let serves = |t: &&std::sync::Arc<model::object::Task>| {
        t.template != current
            && t.desired <= Desired::Running
            && t.status.state == TaskState::Running
    };
    assert_eq!(world.state.tasks().filter(serves).count(), 2, "{}", world.show("web"));
}

#[test]
fn a_slot_whose_node_comes_back_half_way_through_its_replacement_counts_at_once() {
    // Found by the simulator: another slot was begun by the very plan that went on with this one.
    let mut world = World::with_workers(3);
    world.create(
        r#"{"Name":"all","TaskTemplate":{"ContainerSpec":{"Image":"app:1"}},"Mode":{"Global":{}}}"#,
    );
    world.settle();
    world.update("all", image("app:2"));
    let service = world.state.service_named("all").expect("there").clone();
    let new = |world: &World, state: Option<TaskState>| {
        let tasks = world.state.tasks().filter(|t| t.template == service.template);
        let mut tasks = tasks.filter(|t| state.is_none_or(|state| t.status.state == state));
        tasks.find_map(|t| t.node)
    };
    let first = loop {
        assert!(world.round(), "the update goes on");
        if let Some(node) = new(&world, None) {
            break node;
        }
    };
    let name = world.state.node(first).expect("there").description.hostname.clone();
    world.silence(&name);
    world.frozen = true;
    world.advance(Millis(2_600));
    world.frozen = false;
    // The second slot's task runs, of which no plan knows, when the first slot's node is back.
    while new(&world, Some(TaskState::Running)).is_none() {
        assert!(world.round(), "the update goes on");
    }
    world.hear(&name);
    let status =
        Command::NodeStatus { node: first, state: NodeState::Ready, message: String::new() };
    world.client(status).expect("taken");
    let old = |world: &World| {
        let serves = |t: &&std::sync::Arc<model::object::Task>| {
            t.template != service.template && t.desired <= Desired::Running
        };
        world.state.tasks().filter(serves).count()
    };
    let before = old(&world);
    assert!(world.plan_once(), "the slot gets its task");
    assert_eq!(old(&world), before, "{}", world.show("all"));
    world.settle();
    world.advance(Millis::from_secs(6));
    assert_eq!(state_of(&world, "all"), RolloutState::Completed);
    assert_eq!(old(&world), 0);
}

#[test]
fn a_start_first_replacement_that_is_lost_with_its_node_has_not_failed() {
    // Found by the simulator: it was counted and backed off, and another slot was begun meanwhile.
    let mut world = World::with_workers(4);
    world.create(&web(2));
    world.settle();
    world.update("web", |spec| {
        with_update(spec, |u| u.order = "start-first".to_owned());
        image("app:2")(spec);
    });
    let current = world.state.service_named("web").expect("there").template;
    let new = |world: &World| -> Vec<model::object::Task> {
        let tasks = world.state.tasks().filter(|t| t.template == current);
        tasks.filter(|t| t.desired <= Desired::Running).map(|t| (**t).clone()).collect()
    };
    world.frozen = true;
    while new(&world).iter().all(|t| t.node.is_none()) {
        assert!(world.plan_once(), "the update goes on");
    }
    let node = new(&world)[0].node.expect("placed");
    let name = world.state.node(node).expect("there").description.hostname.clone();
    world.silence(&name);
    world.advance(Millis(2_600));
    let left = new(&world);
    assert_eq!(left.len(), 1, "one slot at a time: {}", world.show("web"));
    assert!(left[0].node.is_some_and(|n| n != node), "{}", world.show("web"));
    assert_eq!((left[0].restarts.in_a_row, left[0].not_before), (0, None));
}

#[test]
fn a_start_first_update_is_not_over_while_the_new_task_keeps_failing() {
    // Found by the simulator: it counted as completed, and the old task stayed for good.
    let mut world = World::with_workers(1);
    world.create(&web(1));
    world.update("web", |spec| {
        with_update(spec, |config| {
            "start-first".clone_into(&mut config.order);
            "continue".clone_into(&mut config.failure_action);
        });
    });
    world.settle();
    world.break_image("app:2", 1);
    world.update("web", image("app:2"));
    world.advance(Millis::from_secs(20));
    assert_eq!(state_of(&world, "web"), RolloutState::Running);
    world.mend_image("app:2");
    world.advance(Millis::from_secs(90));
    world.settle();
    assert_eq!(state_of(&world, "web"), RolloutState::Completed);
    let current = world.state.service_named("web").expect("there").template;
    let live: Vec<_> = world.state.tasks().filter(|t| t.desired <= Desired::Running).collect();
    assert!(live.len() == 1 && live[0].template == current);
}

#[test]
fn a_paused_node_keeps_its_global_task_until_it_takes_tasks_again() {
    // Found by the simulator: a replacement that could not be placed stood beside it for good.
    for order in ["stop-first", "start-first"] {
        let mut world = World::with_workers(2);
        world.create(r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"app:1"}},"Mode":{"Global":{}}}"#);
        world.settle();
        world.edit_node("w1", |spec| spec.availability = Availability::Pause);
        world.settle();
        world.update("web", |spec| {
            with_update(spec, |config| order.clone_into(&mut config.order));
            image("app:2")(spec);
        });
        world.advance(Millis::from_secs(30));
        assert_eq!(world.slots("web").len(), 3, "{order}: {}", world.show("web"));
        assert_eq!(state_of(&world, "web"), RolloutState::Running, "{order}");
        world.edit_node("w1", |spec| spec.availability = Availability::Active);
        world.advance(Millis::from_secs(30));
        assert_eq!(world.slots("web").len(), 3, "{order}: {}", world.show("web"));
        assert_eq!(state_of(&world, "web"), RolloutState::Completed, "{order}");
    }
}

#[test]
fn a_move_that_keeps_failing_backs_off() {
    // Found by the simulator: a start-first move began again at once each time.
    let mut world = World::with_workers(2);
    world.create(&web(1));
    world.update("web", |spec| {
        with_update(spec, |config| "start-first".clone_into(&mut config.order));
    });
    world.settle();
    let home = world.newest("web", 1).node.expect("placed");
    world.break_image_beside(home, "web:1", 1);
    let home = world.state.node(home).expect("there").description.hostname.clone();
    world.drain(&home);
    world.advance(Millis::from_secs(20));
    let made = world.newest("web", 1).restarts.in_a_row;
    assert!((3..=8).contains(&made), "{made} tries in 20 s: {}", world.show("web"));
}

#[test]
fn an_update_does_not_wait_for_slots_that_had_no_place_before() {
    // Found by the simulator: the slot without a place was counted as being replaced, for ever.
    let mut world = World::with_workers(1);
    world.create(
        r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1"},
            "Placement":{"MaxReplicas":1}},"Mode":{"Replicated":{"Replicas":3}},
            "UpdateConfig":{"Parallelism":1}}"#,
    );
    world.settle();
    world.update("web", image("web:2"));
    world.advance(Millis::from_secs(60));
    assert_eq!(world.spread("web"), [1, 1]);
    let current = world.state.service_named("web").expect("there").template;
    let live = || world.state.tasks().filter(|t| t.desired <= Desired::Running);
    assert!(live().all(|t| t.template == current), "{}", world.show("web"));
}

#[test]
fn a_node_is_drained_although_an_update_is_stuck() {
    // Found by the simulator: what is outdated waited for the update, also on a drained node.
    let mut world = World::with_workers(1);
    world.create(
        r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1"}},
            "Mode":{"Replicated":{"Replicas":2}},"UpdateConfig":{"Parallelism":1}}"#,
    );
    world.settle();
    world.update("web", |spec| {
        let nowhere = vec!["node.labels.there==no".to_owned()];
        let placement = spec.task_template.placement.get_or_insert_default();
        placement.constraints = nowhere;
    });
    world.advance(Millis::from_secs(30));
    assert_eq!(world.spread("web"), [1], "the update stops there: {}", world.show("web"));
    for node in ["m1", "w1"] {
        world.drain(node);
    }
    world.settle();
    assert_eq!(world.spread("web"), [0usize; 0], "{}", world.show("web"));
}
#[test]
fn a_rollback_is_written_also_when_history_is_to_be_forgotten() {
    // Found by the simulator: both were proposed together and refused together, for ever.
    let mut world = World::with_workers(2);
    world.create(&web(1));
    world.settle();
    world.kill("web", 1, 1);
    world.settle();
    world.update("web", |spec| {
        image("web:2")(spec);
        with_update(spec, |u| {
            u.order = "start-first".to_owned();
            u.failure_action = "rollback".to_owned();
        });
    });
    world.frozen = true;
    assert!(world.plan_once(), "the update begins");
    let new = world.newest("web", 1);
    world.say(&new, TaskState::Rejected, None);
    let cluster = world.state.cluster().expect("started").clone();
    let mut spec = cluster.spec.clone();
    spec.orchestration.task_history_retention_limit = Some(0);
    let command = Command::update_cluster(cluster.meta.version, spec);
    world.client(command).expect("accepted");
    // Every answer is looked at.
    assert!(world.plan_once());
    let service = world.state.service_named("web").expect("there");
    let kind = service.rollout.as_ref().map(|r| r.kind);
    assert_eq!(kind, Some(model::object::RolloutKind::Rollback));
}
