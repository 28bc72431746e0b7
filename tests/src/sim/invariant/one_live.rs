//! At most one process for a slot on the nodes that the cluster can see.

use model::TaskId;
use model::object::NodeState;

use super::super::world::World;

pub(super) const SAYS: (&str, &str) = (
    "one-live",
    "a slot has at most one process on live nodes, unless its update says start-first",
);

pub(super) fn check(world: &World, host: usize, task: TaskId) -> Result<(), String> {
    let state = world.managers.newest();
    let Some(started) = state.task(task) else { return Ok(()) };
    let Some(service) = state.service(started.service) else { return Ok(()) };
    let says = |s: &model::spec::ServiceSpec| {
        s.effective_update().starts_first() || s.effective_rollback().starts_first()
    };
    if says(&service.spec) || service.previous_spec.as_ref().is_some_and(|s| says(s)) {
        return Ok(());
    }
    let ready = |node| state.node(node).is_some_and(|n| n.status.state == NodeState::Ready);
    if !ready(world.hosts[host].node) || started.status.state.is_terminal() {
        // The cluster has given this one up; its node will learn of it.
        return Ok(());
    }
    for other in state.tasks_in(started.service, started.slot).filter(|t| t.id != task) {
        let at = other.node.and_then(|node| world.by_node.get(&node));
        let Some(at) = at.filter(|at| world.hosts[**at].engine.runs(other.id)) else { continue };
        // Given up with its node, or known to have ended: nobody counts on it.
        if !other.status.state.is_terminal() && ready(world.hosts[*at].node) {
            return Err(format!("tasks {task} and {} of one slot both run", other.id));
        }
    }
    Ok(())
}
