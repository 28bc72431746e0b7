//! Takes one entry of the log into the state.
//!
//! A batch of clients or agents: each command by itself. A planner's batch: whole or not at all.
//! It is refused when a command's own conditions do not hold (each says which, in `task` and
//! `service`), or when a client wrote a service or node that it touches after the revision it was
//! planned at.

use model::object::Revision;

use super::State;
use super::step::{Changes, Step};
use crate::command::{Applied, Batch, Command, Entry, Refusal, Response};

impl State {
    /// Takes in the entry at `revision`. The same entries give the same state on every manager.
    pub fn apply(&mut self, revision: Revision, entry: &Entry) -> Applied {
        let now = self.clock.max(entry.at);
        let before = entry.batch.base.map(|base| (base, self.clone()));
        self.revision = revision;
        self.clock = now;
        let mut step = Step { state: self, revision, now, made: 0, changes: Changes::default() };
        let Some((base, before)) = before else {
            let responses = entry.batch.commands.iter().map(|c| step.command(c)).collect();
            return Applied { revision, responses, changes: step.changes.list };
        };
        match step.whole(&entry.batch, base) {
            Ok(responses) => Applied { revision, responses, changes: step.changes.list },
            Err(refusal) => {
                *self = State { revision, clock: now, ..before };
                let responses = vec![Err(refusal); entry.batch.commands.len()];
                Applied { revision, responses, changes: Vec::new() }
            }
        }
    }
}

impl Step<'_> {
    fn whole(
        &mut self,
        batch: &Batch,
        base: Revision,
    ) -> Result<Vec<Result<Response, Refusal>>, Refusal> {
        let mut responses = Vec::with_capacity(batch.commands.len());
        for command in &batch.commands {
            self.not_written_since(command, base)?;
            responses.push(Ok(self.command(command)?));
        }
        Ok(responses)
    }

    /// Refuses what was planned before a client's last word on the service or node.
    fn not_written_since(&self, command: &Command, base: Revision) -> Result<(), Refusal> {
        let (service, node) = match command {
            Command::CreateTask(new) => (Some(new.service), new.node),
            Command::Assign { task, node } => {
                (self.state.task(*task).map(|t| t.service), Some(*node))
            }
            Command::SetDesired { task, .. }
            | Command::SetWaiting { task, .. }
            | Command::DeleteTask { task } => (self.state.task(*task).map(|t| t.service), None),
            Command::StepRollout { service, .. } | Command::RollBack { service, .. } => {
                (Some(*service), None)
            }
            Command::Orphan { .. }
            | Command::NodeStatus { .. }
            | Command::Bootstrap(_)
            | Command::JoinNode(_)
            | Command::FinishRotation { .. }
            | Command::ManagerTrust { .. }
            | Command::DescribeNode { .. }
            | Command::CreateService { .. }
            | Command::UpdateService { .. }
            | Command::RemoveService { .. }
            | Command::CreateNetwork { .. }
            | Command::RemoveNetwork { .. }
            | Command::CreateSecret { .. }
            | Command::UpdateSecret { .. }
            | Command::RemoveSecret { .. }
            | Command::CreateConfig { .. }
            | Command::UpdateConfig { .. }
            | Command::RemoveConfig { .. }
            | Command::UpdateNode { .. }
            | Command::RemoveNode { .. }
            | Command::UpdateCluster { .. }
            | Command::MoveTasks { .. }
            | Command::RecordStack { .. }
            | Command::ForgetStack { .. }
            | Command::Report { .. } => (None, None),
        };
        let service = service.and_then(|id| self.state.service(id)).map(|s| s.meta.version);
        let node = node.and_then(|id| self.state.node(id)).map(|n| n.meta.version);
        if service.into_iter().chain(node).any(|version| version.0 > base.0) {
            return Err(Refusal::Outdated { what: "a client wrote since".to_owned() });
        }
        Ok(())
    }

    /// Runs a command that may be refused half-way (no address left) so that it then did nothing.
    fn or_undo(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<Response, Refusal>,
    ) -> Result<Response, Refusal> {
        let before = (self.state.clone(), self.changes.clone());
        let result = run(self);
        if result.is_err() {
            (*self.state, self.changes) = before;
        }
        result
    }

    fn command(&mut self, command: &Command) -> Result<Response, Refusal> {
        if self.state.cluster.is_none() && !matches!(command, Command::Bootstrap(_)) {
            let message = "this cluster has not been started".to_owned();
            return Err(Refusal::Unavailable { message });
        }
        match command {
            Command::Bootstrap(start) => self.bootstrap(start),
            Command::JoinNode(join) => self.join_node(join),
            Command::DescribeNode { node, description } => self.describe_node(*node, description),
            Command::NodeStatus { node, state, message } => {
                self.node_status(*node, *state, message)
            }
            Command::UpdateNode { id, version, spec } => self.update_node(*id, *version, spec),
            Command::RemoveNode { id, force } => self.remove_node(*id, *force),
            Command::UpdateCluster {
                version,
                spec,
                rotate_worker_token,
                rotate_manager_token,
                unlock_key,
                root,
            } => self.update_cluster(
                *version,
                spec,
                rotate_worker_token.as_deref(),
                rotate_manager_token.as_deref(),
                unlock_key.as_ref(),
                root.as_deref(),
            ),
            Command::ManagerTrust { node, trust } => self.manager_trust(*node, trust),
            Command::FinishRotation { wanted } => self.finish_rotation(wanted),
            Command::CreateService { spec, registry_auth } => {
                self.or_undo(|step| step.create_service(spec, registry_auth.clone()))
            }
            Command::UpdateService { id, version, change, registry_auth } => {
                self.or_undo(|step| step.update_service(*id, *version, change, registry_auth))
            }
            Command::RemoveService { id } => self.remove_service(*id),
            Command::StepRollout { service, template, rollout } => {
                self.step_rollout(*service, *template, rollout)
            }
            Command::RollBack { service, template, message } => {
                self.roll_back(*service, *template, message)
            }
            Command::CreateNetwork { spec } => self.create_network(spec),
            Command::RemoveNetwork { id } => self.remove_network(*id),
            Command::CreateSecret { spec } => self.create_secret(spec),
            Command::UpdateSecret { id, version, spec } => self.update_secret(*id, *version, spec),
            Command::RemoveSecret { id } => self.remove_secret(*id),
            Command::CreateConfig { spec } => self.create_config(spec),
            Command::UpdateConfig { id, version, spec } => self.update_config(*id, *version, spec),
            Command::RemoveConfig { id } => self.remove_config(*id),
            Command::MoveTasks { tasks } => self.move_tasks(tasks),
            Command::RecordStack { name, number, at, rollback_to, request } => {
                self.record_stack(name, *number, (*at, *rollback_to), request)
            }
            Command::ForgetStack { name } => self.forget_stack(name),
            Command::Report { node, statuses } => self.report(*node, statuses),
            Command::CreateTask(new) => self.create_task(new),
            Command::Assign { task, node } => self.assign(*task, *node),
            Command::SetDesired { task, desired } => self.set_desired(*task, *desired),
            Command::SetWaiting { task, waiting } => self.set_waiting(*task, waiting.as_ref()),
            Command::Orphan { task } => self.orphan(*task),
            Command::DeleteTask { task } => self.delete_task(*task),
        }
    }
}
