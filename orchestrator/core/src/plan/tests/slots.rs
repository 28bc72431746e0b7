//! How many slots there are, and how each gets its next task.

use model::lifecycle::Desired;
use model::object::RolloutState;
use model::reason::Reason;
use model::spec::Availability;
use model::{Millis, TaskState};

use super::{image, scale, state_of};
use crate::test_kit::{World, web};

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
fn attempts_that_are_used_up_stay_so_when_their_window_is_over() {
    // Found by the simulator: whoever looked later, a new leader perhaps, began anew.
    let mut world = World::with_workers(0);
    world.create(
        r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1"},
            "RestartPolicy":{"MaxAttempts":2,"Window":5000000000}}}"#,
    );
    world.break_image("web:1", 1);
    world.advance(Millis::from_secs(4));
    let last = world.newest("web", 1);
    assert!(matches!(last.waiting, Some(Reason::RestartsExhausted { attempts: 2 })), "{last:?}");
    world.advance(Millis::from_secs(10));
    world.settle();
    assert_eq!(world.newest("web", 1).id, last.id);
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
fn a_new_run_of_a_global_job_leaves_out_a_node_that_is_paused_by_now() {
    // Found by the simulator: what the last run had there counted as held.
    let mut world = World::with_workers(1);
    world.break_image("job:1", 0);
    world.create(
        r#"{"Name":"job","TaskTemplate":{"ContainerSpec":{"Image":"job:1"}},"Mode":{"GlobalJob":{}}}"#,
    );
    world.settle();
    world.edit_node("w1", |spec| spec.availability = Availability::Pause);
    world.update("job", |spec| spec.task_template.force_update += 1);
    world.settle();
    let tasks: Vec<_> = world.state.tasks().collect();
    assert_eq!(tasks.len(), 1, "{}", world.show("job"));
    assert_eq!(tasks[0].node, Some(world.node("m1")));
}

#[test]
fn a_new_run_of_a_job_waits_for_the_old_one_in_each_slot() {
    // Found by the simulator: both runs' processes were there at once.
    let mut world = World::with_workers(1);
    world.create(
        r#"{"Name":"job","TaskTemplate":{"ContainerSpec":{"Image":"job:1"}},"Mode":{"ReplicatedJob":{"MaxConcurrent":1,"TotalCompletions":1}}}"#,
    );
    world.settle();
    world.frozen = true;
    world.update("job", |spec| spec.task_template.force_update += 1);
    while world.plan_once() {}
    let new = world.state.tasks().find(|t| t.job_iteration == 1).expect("of the new run");
    assert_eq!(new.desired, Desired::Ready, "{}", world.show("job"));
    world.frozen = false;
    world.settle();
    let tasks: Vec<_> = world.state.tasks().collect();
    assert!(tasks.len() == 1 && tasks[0].desired == Desired::Running);
}

#[test]
fn what_fails_while_it_drains_is_history_like_any_other() {
    // Found by the simulator: such tasks were kept for ever.
    let mut world = World::with_workers(1);
    world.create(&web(1));
    world.settle();
    for _ in 0..10 {
        let old = world.newest("web", 1);
        world.update("web", |spec| spec.task_template.force_update += 1);
        world.frozen = true;
        while world.state.task(old.id).is_some_and(|t| t.desired < Desired::Draining) {
            assert!(world.plan_once(), "the update goes on");
        }
        world.say(&old, TaskState::Failed, Some(1));
        world.frozen = false;
        world.settle();
        world.advance(Millis::from_secs(6));
    }
    let ended = world.state.tasks().filter(|t| t.status.state.is_terminal());
    assert_eq!(ended.count(), 5, "{}", world.show("web"));
}
