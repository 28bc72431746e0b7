//! Commands about tasks: the life cycle's table, executed.

use std::sync::Arc;

use model::lifecycle::{Desired, Owner};
use model::object::{Attachment, Drain, NodeState, Slot, Task, TaskStatus, Template};
use model::reason::Reason;
use model::wire::session::TaskReport;
use model::{NodeId, TaskId, TaskState};

use super::service::overlay_networks;
use super::step::Step;
use crate::command::{CreateTask, Refusal, Response};
use crate::fit::Demand;

fn outdated<T>(what: String) -> Result<T, Refusal> {
    Err(Refusal::Outdated { what })
}

impl Step<'_> {
    pub(super) fn create_task(&mut self, new: &CreateTask) -> Result<Response, Refusal> {
        let service = self.state.service(new.service).cloned();
        let Some(service) = service.filter(|s| s.removed.is_none()) else {
            return outdated(format!("service {}", new.service));
        };
        let Some(template) = service.templates.get(&new.template).cloned() else {
            return outdated(format!("the template of service {}", new.service));
        };
        if service.iteration() != new.job_iteration {
            return outdated(format!("the run of job {}", new.service));
        }
        let wanted = |t: &Arc<Task>| t.desired <= Desired::Running && !t.status.state.is_terminal();
        let others = self.state.tasks_in(new.service, new.slot).filter(|t| wanted(t));
        if others.map(|t| t.id).any(|id| Some(id) != new.beside) {
            return outdated(format!("slot {:?} of service {}", new.slot, new.service));
        }
        let id = TaskId(self.make_id());
        let mut task = Task {
            id,
            meta: self.fresh(),
            service: new.service,
            slot: new.slot,
            template: new.template,
            job_iteration: new.job_iteration,
            node: None,
            desired: new.desired,
            status: TaskStatus {
                state: TaskState::Pending,
                since: self.now,
                message: "pending task scheduling".to_owned(),
                ..TaskStatus::default()
            },
            attachments: Vec::new(),
            not_before: new.not_before,
            restarts: new.restarts,
            waiting: new.waiting.clone(),
            drain: None,
            leaves: false,
        };
        if let Some(node) = new.node {
            self.give_node(&mut task, node, &template)?;
        }
        self.put_task(task);
        Ok(Response::Created { id: id.0, warnings: Vec::new() })
    }

    pub(super) fn assign(&mut self, id: TaskId, node: NodeId) -> Result<Response, Refusal> {
        let task = self.state.task(id).filter(|t| {
            t.node.is_none() && t.desired <= Desired::Running && !t.status.state.is_terminal()
        });
        let Some(task) = task.cloned() else { return outdated(format!("task {id}")) };
        let service = self.state.service(task.service);
        let Some(template) = service.and_then(|s| s.templates.get(&task.template)).cloned() else {
            return outdated(format!("service {}", task.service));
        };
        let mut task = (*task).clone();
        self.give_node(&mut task, node, &template)?;
        self.put_task(task);
        Ok(Response::Done)
    }

    /// Gives a task its node, if there is room, and an address on each network.
    fn give_node(
        &mut self,
        task: &mut Task,
        id: NodeId,
        template: &Template,
    ) -> Result<(), Refusal> {
        let Some(node) = self.state.node(id).cloned() else {
            return outdated(format!("node {id}"));
        };
        if matches!(task.slot, Slot::Node(own) if own != id) {
            return outdated(format!("task {} belongs to another node", task.id));
        }
        let demand = Demand::of(self.state, template);
        let used = self.state.node_use(id);
        let live = self.state.tally(task.service, id).live;
        if let Some(objection) = demand.no_room(&node, &used, live) {
            return outdated(format!("node {id}: {objection}"));
        }
        for network in overlay_networks(template) {
            let given = self
                .ensure_gateway(network, id)
                .and_then(|()| self.take_address(network, Some(id)));
            let Some(address) = given else {
                return outdated(format!("network {network} has no free address"));
            };
            task.attachments.push(Attachment { network, address });
        }
        task.node = Some(id);
        task.status.state = TaskState::Assigned;
        task.status.since = self.now;
        "scheduler assigned task to node".clone_into(&mut task.status.message);
        if task.desired == Desired::Running {
            task.waiting = None;
        }
        Ok(())
    }

    pub(super) fn set_desired(
        &mut self,
        id: TaskId,
        desired: Desired,
    ) -> Result<Response, Refusal> {
        let Some(task) = self.state.task(id).cloned() else {
            return outdated(format!("task {id}"));
        };
        if desired <= task.desired {
            return Ok(Response::Done);
        }
        let mut task = (*task).clone();
        task.desired = desired;
        match desired {
            Desired::Ready | Desired::Running => {
                if task.status.state.is_terminal() {
                    return outdated(format!("task {id} has ended"));
                }
                if task.node.is_some() {
                    task.waiting = None;
                }
            }
            Desired::Draining => {
                task.drain = Some(Drain { revision: self.revision, since: self.now });
                task.waiting = None;
            }
            Desired::Shutdown | Desired::Remove => task.waiting = None,
        }
        if desired >= Desired::Draining
            && task.status.state.may_become(TaskState::Shutdown, Owner::Planner)
        {
            task.status.state = TaskState::Shutdown;
            task.status.since = self.now;
        }
        let nobody_has_it = task.node.is_none_or(|node| self.state.node(node).is_none());
        let forget = desired == Desired::Remove && nobody_has_it;
        self.put_task(task);
        if forget {
            self.drop_task(id);
        }
        Ok(Response::Done)
    }

    pub(super) fn set_waiting(
        &mut self,
        id: TaskId,
        waiting: Option<&Reason>,
    ) -> Result<Response, Refusal> {
        let Some(task) = self.state.task(id) else { return outdated(format!("task {id}")) };
        if task.waiting.as_ref() != waiting {
            let mut task = (**task).clone();
            task.waiting = waiting.cloned();
            self.put_task(task);
        }
        Ok(Response::Done)
    }

    pub(super) fn orphan(&mut self, id: TaskId) -> Result<Response, Refusal> {
        let Some(task) = self.state.task(id).cloned() else {
            return outdated(format!("task {id}"));
        };
        let down = task.node.and_then(|node| self.state.node(node)).is_none_or(|node| {
            matches!(node.status.state, NodeState::Down | NodeState::Disconnected)
        });
        if !down || !task.status.state.may_become(TaskState::Orphaned, Owner::Planner) {
            return outdated(format!("task {id} is not lost"));
        }
        let mut task = (*task).clone();
        task.status.state = TaskState::Orphaned;
        task.status.since = self.now;
        "its node is lost".clone_into(&mut task.status.message);
        self.put_task(task);
        Ok(Response::Done)
    }

    /// Marks those that run; others have moved, or will be placed anew anyway.
    pub(super) fn move_tasks(&mut self, tasks: &[TaskId]) -> Result<Response, Refusal> {
        for id in tasks {
            let Some(task) = self.state.task(*id) else { continue };
            let runs = task.status.state == TaskState::Running && task.desired == Desired::Running;
            if runs && !task.leaves && matches!(task.slot, Slot::Replica(_)) {
                let mut task = (**task).clone();
                task.leaves = true;
                self.put_task(task);
            }
        }
        Ok(Response::Done)
    }

    pub(super) fn delete_task(&mut self, id: TaskId) -> Result<Response, Refusal> {
        let Some(task) = self.state.task(id) else { return Ok(Response::Done) };
        let reachable = task.node.and_then(|node| self.state.node(node)).is_some_and(|node| {
            !matches!(node.status.state, NodeState::Down | NodeState::Disconnected)
        });
        if reachable || !task.status.state.is_terminal() {
            return outdated(format!("task {id} may still hold a container"));
        }
        self.drop_task(id);
        Ok(Response::Done)
    }

    pub(super) fn report(
        &mut self,
        node: NodeId,
        statuses: &[TaskReport],
    ) -> Result<Response, Refusal> {
        for status in statuses {
            let task = self.state.task(status.task).filter(|t| t.node == Some(node)).cloned();
            if let Some(task) = task {
                self.take_report(&task, status);
            }
        }
        Ok(Response::Done)
    }

    fn take_report(&mut self, task: &Task, report: &TaskReport) {
        let (from, to) = (task.status.state, report.state);
        if to == TaskState::Remove {
            if task.desired == Desired::Remove || from == TaskState::Orphaned {
                self.drop_task(task.id);
            }
            return;
        }
        let moved = from.may_become(to, Owner::Agent);
        if !moved && from != to {
            return;
        }
        let mut new = task.clone();
        let status = &mut new.status;
        status.state = to;
        if moved {
            status.since = report.at;
            if to == TaskState::Running {
                // By the log's time, not the node's: monitor and back-off are counted with the
                // leader's clock.
                status.running_since = Some(self.now);
            }
        }
        status.message.clone_from(&report.message);
        status.error.clone_from(&report.error);
        if report.container.is_some() {
            status.container.clone_from(&report.container);
        }
        status.ports.clone_from(&report.ports);
        if to >= TaskState::Starting {
            new.waiting = None;
        }
        if new != *task {
            self.put_task(new);
        }
    }
}
