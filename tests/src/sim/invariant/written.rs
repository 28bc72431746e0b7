//! What clients wrote is what is there, and nobody overwrites what they have not seen.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use model::object::{Node, Revision, Service};
use model::spec::ServiceSpec;
use model::{NetworkId, NodeId, ServiceId};
use orchestrator_core::command::{Applied, Command, ObjectRef, ServiceChange};
use orchestrator_core::{Entry, State};

use super::super::world::World;

pub(super) const SAYS: (&str, &str) = (
    "as-written",
    "a service is what its last accepted write said and is reached where it was; what was decided before that \
     write is refused",
);

/// Services and nodes as they were after the last entry.
#[derive(Default)]
pub(super) struct Known {
    revision: Revision,
    services: BTreeMap<ServiceId, Arc<Service>>,
    nodes: BTreeMap<NodeId, Arc<Node>>,
}

pub(super) fn check(world: &mut World, entry: &Entry, applied: &Applied) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    let known = &mut world.watch.written;
    let mut judged = Ok(());
    if known.revision.0 + 1 == applied.revision.0 {
        let answers = entry.batch.commands.iter().zip(&applied.responses);
        for (command, _) in answers.filter(|(_, answer)| answer.is_ok()) {
            judged = judged.and_then(|()| match entry.batch.base {
                None => known.client(state, command),
                Some(base) => known.planner(state, command, base, applied.revision),
            });
        }
        known.take_in(state, applied);
    } else {
        // A new leader caught up meanwhile.
        known.services = state.services().map(|s| (s.id, s.clone())).collect();
        known.nodes = state.nodes().map(|n| (n.id, n.clone())).collect();
    }
    known.revision = applied.revision;
    judged
}

impl Known {
    fn take_in(&mut self, state: &State, applied: &Applied) {
        for change in &applied.changes {
            match change.object {
                ObjectRef::Service(id) => match state.service(id) {
                    Some(service) => drop(self.services.insert(id, service.clone())),
                    None => drop(self.services.remove(&id)),
                },
                ObjectRef::Node(id) => match state.node(id) {
                    Some(node) => drop(self.nodes.insert(id, node.clone())),
                    None => drop(self.nodes.remove(&id)),
                },
                ObjectRef::Cluster
                | ObjectRef::Task(_)
                | ObjectRef::Network(_)
                | ObjectRef::Secret(_)
                | ObjectRef::Config(_) => {}
            }
        }
    }

    /// A client's command that was accepted.
    fn client(&self, state: &State, command: &Command) -> Result<(), String> {
        match command {
            Command::UpdateService { id, version, change, .. } => {
                let (Some(before), Some(after)) = (self.services.get(id), state.service(*id))
                else {
                    return Err(format!("service {id} was updated, it is not there"));
                };
                let name = &before.spec.name;
                if before.meta.version != *version {
                    return Err(format!("an update of {name} overwrote one that it had not seen"));
                }
                match change {
                    ServiceChange::Spec(spec) => same(spec, &after.spec)?,
                    ServiceChange::Rollback => {
                        let previous = before.previous_spec.as_ref();
                        same(previous.ok_or("there is nothing to go back to")?, &after.spec)?;
                    }
                }
                renewed(before, after)
            }
            Command::UpdateNode { id, version, spec } => {
                let (Some(before), Some(after)) = (self.nodes.get(id), state.node(*id)) else {
                    return Err(format!("node {id} was updated, it is not there"));
                };
                let name = &before.description.hostname;
                if before.meta.version != *version {
                    return Err(format!("an update of {name} overwrote one that it had not seen"));
                }
                if after.spec.availability != spec.availability || after.spec.labels != spec.labels
                {
                    return Err(format!("{name} is {:?}, not {spec:?}", after.spec));
                }
                Ok(())
            }
            Command::RemoveService { id }
                if state.service(*id).is_some_and(|s| s.removed.is_none()) =>
            {
                Err(format!("service {id} was removed and is there"))
            }
            Command::CreateService { spec, .. } => {
                let after = state.service_named(&spec.name);
                same(spec, &after.ok_or("a service was created and is not there")?.spec)
            }
            _ => Ok(()),
        }
    }

    /// A command of the planner that was accepted.
    fn planner(
        &self,
        state: &State,
        command: &Command,
        base: Revision,
        now: Revision,
    ) -> Result<(), String> {
        let (service, node) = match command {
            Command::CreateTask(new) => (Some(new.service), new.node),
            Command::Assign { task, node } => (state.task(*task).map(|t| t.service), Some(*node)),
            Command::SetDesired { task, .. } | Command::SetWaiting { task, .. } => {
                (state.task(*task).map(|t| t.service), None)
            }
            Command::StepRollout { service, .. } | Command::RollBack { service, .. } => {
                (Some(*service), None)
            }
            _ => (None, None),
        };
        let service = service.and_then(|id| self.services.get(&id));
        let node = node.and_then(|id| self.nodes.get(&id));
        let written =
            service.map(|s| s.meta.version).into_iter().chain(node.map(|n| n.meta.version));
        if let Some(version) = written.into_iter().find(|v| v.0 > base.0) {
            return Err(format!(
                "what was planned at {base:?} went into the log at {now:?}, after a write at \
                 {version:?}: {command:?}"
            ));
        }
        let Some(before) = service else { return Ok(()) };
        let Some(after) = state.service(before.id) else { return Ok(()) };
        if let Command::RollBack { .. } = command {
            let previous = before.previous_spec.as_ref();
            same(previous.ok_or("there is nothing to go back to")?, &after.spec)?;
            return renewed(before, after);
        }
        Ok(())
    }
}

/// What users ask for, as far as it is written down as they wrote it.
fn same(asked: &ServiceSpec, is: &ServiceSpec) -> Result<(), String> {
    let image =
        |spec: &ServiceSpec| spec.task_template.container_spec.as_ref().map(|c| c.image.clone());
    let constraints = |spec: &ServiceSpec| spec.task_template.placement.clone();
    let force = |spec: &ServiceSpec| spec.task_template.force_update;
    if (image(asked), force(asked), constraints(asked)) != (image(is), force(is), constraints(is))
        || asked.mode.kind() != is.mode.kind()
        || asked.effective_update() != is.effective_update()
        || asked.labels != is.labels
    {
        return Err(format!("{} was asked for as {asked:?}, it is {is:?}", is.name));
    }
    Ok(())
}

/// Another task's template is another template; the spec before is kept to go back to.
fn renewed(before: &Service, after: &Service) -> Result<(), String> {
    let name = &after.spec.name;
    let task = |service: &Service| service.spec.task_template.clone();
    if task(before) != task(after) && before.template == after.template {
        return Err(format!("{name} was changed, its tasks need not"));
    }
    let other = |(network, address): &(&NetworkId, &Ipv4Addr)| {
        after.endpoint.vips.get(*network).is_some_and(|new| new != *address)
    };
    if let Some((_, address)) = before.endpoint.vips.iter().find(other) {
        return Err(format!("{name} was changed and has another virtual address than {address}"));
    }
    let (was, is) = (&before.endpoint.ports, &after.endpoint.ports);
    if before.spec.endpoint_spec == after.spec.endpoint_spec && was != is {
        return Err(format!("{name} was changed and is published as {is:?}, not {was:?}"));
    }
    if before.spec != after.spec && after.previous_spec.as_ref() != Some(&before.spec) {
        return Err(format!("{name} was changed and cannot go back"));
    }
    Ok(())
}
