//! Routes do not lie for long.

use super::super::world::World;
use super::ROUTES_BOUND;

pub(super) const SAYS: (&str, &str) = (
    "routes-are-true",
    "a connected node does not route to a task without a process for longer than the bound",
);

pub(super) fn check(world: &mut World, host: usize) -> Result<(), String> {
    let now = world.now;
    let mut stale = Vec::new();
    for service in world.hosts[host].orders.services.values() {
        for (task, backend) in &service.backends {
            let at = world.hosts.iter().position(|h| h.node == backend.node);
            // A partitioned node's containers cannot be known to have ended.
            let runs = at.is_some_and(|at| world.hosts[at].engine.runs(*task));
            if !runs {
                stale.push(*task);
            }
        }
    }
    let watch = &mut world.watch.stale_since;
    watch.retain(|(at, task), _| *at != host || stale.contains(task));
    for task in stale {
        let since = *watch.entry((host, task)).or_insert(now);
        // In trouble the way to the leader may be cut for long; then there is nobody to say so.
        if now.since(since) > ROUTES_BOUND && !world.breaking {
            return Err(format!(
                "a node has routed to task {task} since {since:?}, it does not run"
            ));
        }
    }
    Ok(())
}
