//! What the worker decides, case by case.

use std::sync::Arc;

use model::lifecycle::{Desired, TaskState};
use model::object::Slot;
use model::spec::{ContainerSpec, EngineOptions, Hook, SecretReference, TaskSpec};
use model::wire::orders::{Orders, TaskOrder};
use model::{Id, Millis, ServiceId, TaskId, Timestamp};

use super::*;

pub(super) fn task(n: u128) -> TaskId {
    TaskId(Id(n))
}

pub(super) fn order(id: TaskId, desired: Desired) -> TaskOrder {
    TaskOrder {
        id,
        service: ServiceId::default(),
        service_name: String::from("web"),
        stack: None,
        slot: Slot::Replica(1),
        name: format!("web.1.{id}"),
        desired,
        not_before: None,
        spec: Arc::new(TaskSpec {
            container_spec: Some(ContainerSpec {
                image: String::from("web:latest"),
                ..ContainerSpec::default()
            }),
            ..TaskSpec::default()
        }),
        attachments: Vec::new(),
        host_ports: Vec::new(),
        labels: model::spec::Labels::new(),
        registry_auth: None,
    }
}

pub(super) fn orders(tasks: impl IntoIterator<Item = TaskOrder>) -> Orders {
    Orders { tasks: tasks.into_iter().map(|t| (t.id, t)).collect(), ..Orders::default() }
}

fn container(phase: Phase) -> Container {
    Container { id: String::from("c"), phase, ports: Vec::new() }
}

fn running(health: Health) -> Phase {
    Phase::Running { pid: 42, health }
}

fn exit(code: i64) -> Phase {
    Phase::Ended(Exit { code, ..Exit::default() })
}

fn seen(phase: Phase) -> Outcome {
    Outcome::Done(Some(Sight::Present(container(phase))))
}

/// One task under one worker, with the steps it asks for.
struct One {
    worker: Worker,
    orders: Orders,
    now: Timestamp,
}

impl One {
    fn new(desired: Desired) -> One {
        let mut worker = Worker::new(Limits::default(), BTreeMap::new());
        worker.confirm();
        worker.see_all(worker.mark(), BTreeMap::new());
        One { worker, orders: orders([order(task(1), desired)]), now: Timestamp(1_000) }
    }

    /// A task whose container has been started and shows `phase`.
    fn started(phase: Phase) -> One {
        let mut one = One::new(Desired::Running);
        one.take("pull", Outcome::Done(None));
        one.take("create", seen(Phase::Created));
        one.take("start", seen(phase));
        one
    }

    fn order(&mut self) -> &mut TaskOrder {
        self.orders.tasks.get_mut(&task(1)).expect("the one task")
    }

    fn step(&mut self) -> Option<Step> {
        let mut plan = self.worker.plan(&self.orders, self.now);
        assert!(plan.effects.len() <= 1);
        plan.effects.pop().map(|e| e.step)
    }

    /// Expects the step of that name and ends it so.
    fn take(&mut self, name: &str, outcome: Outcome) {
        let step = self.step();
        assert_eq!(step.as_ref().map(Step::name), Some(name));
        self.worker.done(task(1), outcome, self.now);
    }

    fn see(&mut self, phase: Phase) {
        let mark = self.worker.mark();
        self.worker.see(mark, task(1), Sight::Present(container(phase)));
    }

    fn state(&mut self) -> TaskState {
        let _ = self.worker.plan(&self.orders, self.now);
        self.report().state
    }

    fn report(&self) -> TaskReport {
        self.worker.reports().pop().expect("a report")
    }
}

#[test]
fn a_task_is_pulled_created_started_and_then_runs() {
    let mut one = One::new(Desired::Running);
    one.take("pull", Outcome::Done(None));
    assert_eq!(one.report().state, TaskState::Preparing);
    one.take("create", seen(Phase::Created));
    one.take("start", seen(running(Health::Unchecked)));
    assert_eq!(one.state(), TaskState::Running);
    assert_eq!(one.report().container.expect("a container").pid, 42);
    assert_eq!(one.step(), None);
}

#[test]
fn a_task_with_a_health_check_runs_once_it_has_passed() {
    let mut one = One::started(running(Health::Starting));
    assert_eq!(one.state(), TaskState::Starting);
    one.see(running(Health::Healthy));
    assert_eq!(one.state(), TaskState::Running);
}

#[test]
fn an_unhealthy_container_leaves_traffic_is_stopped_and_has_then_failed() {
    let mut one = One::started(running(Health::Healthy));
    assert_eq!(one.state(), TaskState::Running);
    one.see(running(Health::Unhealthy { output: String::from("no answer\n") }));
    assert_eq!(one.step().expect("a stop").name(), "stop");
    assert_eq!(one.report().state, TaskState::Draining);
    one.worker.done(task(1), seen(exit(0)), one.now);
    assert_eq!(one.state(), TaskState::Failed);
    assert_eq!(one.report().error, "unhealthy container: no answer");
}

#[test]
fn the_way_a_process_ends_says_what_became_of_its_task() {
    let memory = Phase::Ended(Exit { code: 137, out_of_memory: true, ..Exit::default() });
    for (phase, state, error) in [
        (exit(0), TaskState::Complete, ""),
        (exit(3), TaskState::Failed, "task: non-zero exit (3)"),
        (
            memory,
            TaskState::Failed,
            "task: non-zero exit (137): killed because it ran out of memory",
        ),
    ] {
        let mut one = One::started(running(Health::Unchecked));
        assert_eq!(one.state(), TaskState::Running);
        one.see(phase);
        assert_eq!(one.state(), state);
        assert_eq!(one.report().error, error);
        assert_eq!(one.step(), None, "an ended container stays for its logs");
        one.order().desired = Desired::Remove;
        one.take("remove", Outcome::Done(None));
        assert_eq!(one.state(), TaskState::Remove);
    }
}

#[test]
fn a_refused_image_rejects_the_task_in_the_engines_words() {
    let mut one = One::new(Desired::Running);
    one.take("pull", Outcome::Refused(String::from("No such image: web:latest")));
    assert_eq!(one.report().state, TaskState::Rejected);
    assert_eq!(one.report().error, "No such image: web:latest");
}

#[test]
fn a_container_that_does_not_start_has_failed() {
    let mut one = One::new(Desired::Running);
    one.take("pull", Outcome::Done(None));
    one.take("create", seen(Phase::Created));
    one.take("start", Outcome::Refused(String::from("exec: not found")));
    assert_eq!(one.report().state, TaskState::Failed);
    assert_eq!(one.report().error, "starting container failed: exec: not found");
}

#[test]
fn a_task_that_may_only_get_ready_waits_there_and_then_for_its_time() {
    let mut one = One::new(Desired::Ready);
    one.take("pull", Outcome::Done(None));
    one.take("create", seen(Phase::Created));
    assert_eq!(one.step(), None);
    assert_eq!(one.report().state, TaskState::Ready);
    one.order().desired = Desired::Running;
    one.order().not_before = Some(one.now + Millis(500));
    let plan = one.worker.plan(&one.orders, one.now);
    assert_eq!((plan.effects.len(), plan.wake_at), (0, Some(one.now + Millis(500))));
    one.now = one.now + Millis(500);
    one.take("start", seen(running(Health::Unchecked)));
}

#[test]
fn draining_is_reported_and_the_container_goes_on() {
    let mut one = One::started(running(Health::Unchecked));
    one.order().desired = Desired::Draining;
    assert_eq!(one.state(), TaskState::Draining);
    assert_eq!(one.step(), None);
    one.order().desired = Desired::Shutdown;
    assert_eq!(one.step().expect("a stop").name(), "stop");
    one.worker.done(task(1), seen(exit(143)), one.now);
    assert_eq!(one.state(), TaskState::Shutdown);
    assert_eq!(one.report().error, "");
}

#[test]
fn a_task_that_never_started_has_nothing_to_drain() {
    let mut one = One::new(Desired::Ready);
    one.take("pull", Outcome::Done(None));
    one.take("create", seen(Phase::Created));
    assert_eq!(one.step(), None);
    one.order().desired = Desired::Draining;
    assert_eq!(one.state(), TaskState::Shutdown);
}

#[test]
fn a_pull_is_given_up_when_its_task_is_not_wanted_any_more() {
    let mut one = One::new(Desired::Running);
    assert_eq!(one.step(), Some(Step::Pull));
    one.order().desired = Desired::Shutdown;
    assert_eq!(one.step(), Some(Step::Abandon));
    assert_eq!(one.step(), None, "asked once");
    one.worker.done(task(1), Outcome::Abandoned, one.now);
    assert_eq!(one.state(), TaskState::Shutdown);
}

#[test]
fn nothing_is_done_while_the_engine_is_out_of_sight() {
    let mut one = One::started(running(Health::Unchecked));
    one.worker.lose_sight();
    one.order().desired = Desired::Shutdown;
    assert_eq!(one.step(), None);
    assert_eq!(one.report().state, TaskState::Starting);
    let mark = one.worker.mark();
    let here = container(running(Health::Unchecked));
    one.worker.see_all(mark, BTreeMap::from([(task(1), here)]));
    assert_eq!(one.step().expect("a stop").name(), "stop");
}

#[test]
fn a_step_without_an_answer_is_followed_by_a_look_after_a_pause() {
    let mut one = One::new(Desired::Running);
    one.take("pull", Outcome::Done(None));
    one.take("create", Outcome::Unknown(String::from("no answer")));
    let plan = one.worker.plan(&one.orders, one.now);
    assert_eq!((plan.effects.len(), plan.wake_at), (0, Some(one.now + Millis(250))));
    one.now = one.now + Millis(250);
    one.take("inspect", seen(Phase::Created));
    one.take("start", seen(running(Health::Unchecked)));
}

#[test]
fn a_list_older_than_a_step_does_not_overwrite_what_the_step_did() {
    let mut one = One::new(Desired::Running);
    one.take("pull", Outcome::Done(None));
    let mark = one.worker.mark();
    one.take("create", seen(Phase::Created));
    one.worker.see_all(mark, BTreeMap::new());
    assert_eq!(one.step(), Some(Step::Inspect), "it is looked at again instead");
}

#[test]
fn containers_of_unknown_tasks_are_stopped_and_removed() {
    let mut worker = Worker::new(Limits::default(), BTreeMap::new());
    let orders = Orders::default();
    let stray = container(running(Health::Unchecked));
    worker.see_all(worker.mark(), BTreeMap::from([(task(9), stray)]));
    // What a disk holds may be outdated.
    assert_eq!(worker.plan(&orders, Timestamp(1)).effects, []);
    assert!(!worker.is_empty());
    worker.confirm();
    let mut names = Vec::new();
    while let Some(effect) = worker.plan(&orders, Timestamp(1)).effects.pop() {
        names.push(effect.step.name());
        let outcome = match effect.step {
            Step::Stop { .. } => seen(exit(0)),
            _ => Outcome::Done(None),
        };
        worker.done(task(9), outcome, Timestamp(1));
    }
    assert_eq!(names, ["stop", "remove"]);
    assert!(worker.is_empty());
    assert_eq!(worker.reports(), []);
}

#[test]
fn an_ended_task_is_not_run_again_after_a_restart_of_the_agent() {
    let mut one = One::started(running(Health::Unchecked));
    one.see(exit(1));
    assert_eq!(one.state(), TaskState::Failed);
    let mut worker = Worker::new(Limits::default(), one.worker.keep());
    // Somebody has removed the container meanwhile.
    worker.see_all(worker.mark(), BTreeMap::new());
    let plan = worker.plan(&one.orders, one.now);
    assert_eq!(plan.effects, []);
    assert_eq!(plan.reports[0].state, TaskState::Failed, "and is reported again");
}

/// What a worker that remembers nothing does about a running container.
fn found_running(desired: Desired) -> Plan {
    let mut worker = Worker::new(Limits::default(), BTreeMap::new());
    let here = container(running(Health::Unchecked));
    worker.see_all(worker.mark(), BTreeMap::from([(task(1), here)]));
    worker.plan(&orders([order(task(1), desired)]), Timestamp(5))
}

#[test]
fn a_running_container_is_adopted_by_a_worker_that_remembers_nothing() {
    let plan = found_running(Desired::Running);
    assert_eq!(plan.effects, []);
    assert_eq!(plan.reports[0].state, TaskState::Running);
}

#[test]
fn what_has_ended_is_not_run_again_though_outdated_orders_did_not_name_it() {
    let mut one = One::started(running(Health::Unchecked));
    one.see(exit(1));
    let mut worker = Worker::new(Limits::default(), one.worker.keep());
    worker.see_all(worker.mark(), BTreeMap::new());
    assert_eq!(worker.plan(&Orders::default(), one.now).effects, []);
    worker.confirm();
    let plan = worker.plan(&one.orders, one.now);
    assert_eq!(plan.effects, []);
    assert_eq!(plan.reports[0].state, TaskState::Failed);
}

#[test]
fn a_container_that_drains_is_not_stopped_because_nothing_is_remembered_of_it() {
    assert_eq!(found_running(Desired::Draining).effects, []);
}

#[test]
fn a_stop_that_was_begun_goes_on_without_a_manager() {
    let mut one = One::started(running(Health::Unchecked));
    one.order().desired = Desired::Shutdown;
    assert!(matches!(one.step(), Some(Step::Stop { .. })));
    let mut worker = Worker::new(Limits::default(), one.worker.keep());
    worker
        .see_all(worker.mark(), BTreeMap::from([(task(1), container(running(Health::Unchecked)))]));
    let plan = worker.plan(&Orders::default(), one.now);
    assert!(matches!(plan.effects[0].step, Step::Stop { .. }), "{plan:?}");
}

#[test]
fn hooks_run_after_the_start_and_before_the_stop() {
    let hooked = |one: &mut One| {
        let mut spec = TaskSpec::clone(&one.order().spec);
        if let Some(container) = &mut spec.container_spec {
            container.engine = Some(Box::new(EngineOptions {
                post_start: vec![Hook::default(), Hook::default()],
                pre_stop: vec![Hook::default()],
                ..EngineOptions::default()
            }));
        }
        one.order().spec = Arc::new(spec);
    };
    let mut one = One::started(running(Health::Unchecked));
    hooked(&mut one);
    one.take("hook", Outcome::Done(None));
    one.take("hook", Outcome::Done(None));
    assert_eq!(one.state(), TaskState::Running);
    one.order().desired = Desired::Shutdown;
    one.take("hook", Outcome::Refused(String::from("exit code 1")));
    assert_eq!(one.step().expect("a stop").name(), "stop");

    let mut one = One::started(running(Health::Unchecked));
    hooked(&mut one);
    one.take("hook", Outcome::Refused(String::from("exit code 1")));
    one.take("hook", Outcome::Done(None));
    one.take("stop", seen(exit(0)));
    assert_eq!(one.state(), TaskState::Failed);
    assert_eq!(one.report().error, "post-start command 1 failed: exit code 1");
}

#[test]
fn a_container_that_outlives_its_stops_is_killed() {
    let mut one = One::started(running(Health::Unchecked));
    one.order().desired = Desired::Shutdown;
    one.take("stop", seen(running(Health::Unchecked)));
    one.take("stop", seen(running(Health::Unchecked)));
    one.take("kill", seen(exit(137)));
    assert_eq!(one.state(), TaskState::Shutdown);
}

#[test]
fn a_task_whose_secret_is_not_here_waits_and_says_so() {
    let mut one = One::new(Desired::Running);
    let mut spec = TaskSpec::clone(&one.order().spec);
    if let Some(container) = &mut spec.container_spec {
        container.secrets.push(SecretReference {
            secret_name: String::from("key"),
            secret_id: Id(7).to_string(),
            file: None,
        });
    }
    one.order().spec = Arc::new(spec);
    assert_eq!(one.step(), None);
    assert_eq!(one.report().message, "waiting until a manager sends secret key again");
}

#[test]
fn no_more_containers_are_made_at_once_than_allowed_and_starts_come_first() {
    let limits = Limits { starts: 2, pulls: 1 };
    let mut worker = Worker::new(limits, BTreeMap::new());
    worker.see_all(worker.mark(), BTreeMap::new());
    let orders = orders((1..=5).map(|n| order(task(n), Desired::Running)));
    let mut created = Vec::new();
    while created.len() < 2 {
        for effect in worker.plan(&orders, Timestamp(1)).effects {
            match effect.step {
                Step::Pull => worker.done(effect.task, Outcome::Done(None), Timestamp(1)),
                _ => created.push(effect),
            }
        }
    }
    for effect in &created {
        worker.done(effect.task, seen(Phase::Created), Timestamp(1));
    }
    let next = worker.plan(&orders, Timestamp(1)).effects;
    let names: Vec<&str> = next.iter().map(|e| e.step.name()).collect();
    assert_eq!(names.iter().filter(|n| **n == "start").count(), 2, "{names:?}");
    assert_eq!(names.iter().filter(|n| **n == "create").count(), 0, "{names:?}");
}
