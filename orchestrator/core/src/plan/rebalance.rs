//! Says which tasks should move so that services are spread evenly over the nodes again.
//!
//! Input: the state. Output: tasks with the node that each would leave and the one that it would
//! come to, and services that are left as they are, with the reason. Nothing moves by this: whoever
//! asks marks the tasks (`Command::MoveTasks`), and `rollout` replaces marked tasks as it replaces
//! those of a drained node, within the service's own limits. Where a replacement goes is then decided
//! by `place`, by the same order that is used here.
//!
//! Two passes: first each service by itself (by its placement preferences, then by node), then the
//! nodes' numbers of tasks, as far as no service is spread worse for it. A task moves only when that
//! makes a difference of two or more smaller, so that a second call finds nothing more.
//!
//! Deliberately absent: global services and jobs, which have no choice or soon end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::lifecycle::Desired;
use model::object::{Node, RolloutState, Service, Slot, Task, Template};
use model::spec::ModeKind;
use model::{NodeId, ServiceId, TaskId, TaskState};

use super::Limits;
use super::draft::Draft;
use super::place::path;
use crate::State;
use crate::fit::Demand;

/// One task that should move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    pub task: TaskId,
    pub service: ServiceId,
    pub slot: Slot,
    pub from: NodeId,
    /// Where it would be put now.
    pub to: NodeId,
}

/// Why a service is left as it is although it could be spread better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// An update, a rollback or an earlier rebalancing is not done, or is paused.
    Changing,
    /// Its tasks keep data in volumes of their hosts, which would stay behind. It is moved when it is
    /// asked for by name.
    HasVolumes,
}

/// What should move.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Rebalance {
    pub moves: Vec<Move>,
    pub left: BTreeMap<ServiceId, Left>,
}

/// What should move. `only`: these services, also those with volumes; empty means all.
pub fn rebalance(state: &State, only: &BTreeSet<ServiceId>) -> Rebalance {
    let mut found = Rebalance::default();
    let mut draft = Draft::new(state, state.clock(), Limits::default());
    let mut spreads: Vec<Spread<'_>> = Vec::new();
    for service in state.services() {
        let asked = only.is_empty() || only.contains(&service.id);
        let Some(spread) = Spread::of(&draft, service).filter(|_| asked) else { continue };
        spreads.push(spread);
    }
    for spread in &mut spreads {
        let kept = spread.kept(only);
        if let (Some(why), true) = (kept, spread.next_move(&draft).is_some()) {
            found.left.insert(spread.service.id, why);
        }
        if kept.is_some() {
            continue;
        }
        while let Some(step) = spread.next_move(&draft) {
            found.moves.push(spread.take(&mut draft, step));
        }
    }
    let mut free: Vec<_> = spreads.into_iter().filter(|s| s.kept(only).is_none()).collect();
    // Each step makes the sum of the squares of the nodes' numbers smaller: it ends.
    while let Some((at, step)) = level(&free, &draft) {
        found.moves.push(free[at].take(&mut draft, step));
    }
    found
}

/// From which spot to which.
type Step = (usize, usize);

/// The first move that makes the nodes' numbers of tasks more equal and no service less so.
fn level(spreads: &[Spread<'_>], draft: &Draft<'_>) -> Option<(usize, Step)> {
    spreads.iter().enumerate().find_map(|(at, spread)| Some((at, spread.neutral_move(draft)?)))
}

/// How a service is spread.
struct Spread<'a> {
    service: &'a Service,
    template: &'a Template,
    demand: Demand,
    /// The nodes that may run its tasks.
    spots: Vec<Spot<'a>>,
}

struct Spot<'a> {
    node: &'a Node,
    /// Its value for each placement preference.
    path: Vec<String>,
    /// Tasks of the service there.
    count: u32,
    /// Those that can move, the last first to go.
    movable: Vec<&'a Task>,
}

impl<'a> Spread<'a> {
    /// None for what is not spread: jobs, global services, services that are being removed.
    fn of(draft: &Draft<'a>, service: &'a Arc<Service>) -> Option<Spread<'a>> {
        let is_replicated = matches!(service.spec.mode.kind(), ModeKind::Replicated { .. });
        if !is_replicated || service.removed.is_some() {
            return None;
        }
        let state: &'a State = draft.state;
        let template: &'a Template = service.templates.get(&service.template)?;
        let demand = Demand::of(state, template);
        let mut spots: Vec<Spot<'a>> = state
            .nodes()
            .filter(|node| demand.unsuited(node).is_none())
            .map(|node| Spot {
                node,
                path: path(template, node),
                count: draft.live(service.id, node.id),
                movable: Vec::new(),
            })
            .collect();
        for task in state.tasks_of(service.id) {
            let runs = task.status.state == TaskState::Running && task.desired == Desired::Running;
            let spot = spots.iter_mut().find(|spot| Some(spot.node.id) == task.node);
            if let Some(spot) = spot.filter(|_| runs) {
                spot.movable.push(task);
            }
        }
        Some(Spread { service, template, demand, spots })
    }

    /// Why nothing of it may move.
    fn kept(&self, only: &BTreeSet<ServiceId>) -> Option<Left> {
        let changes = self
            .service
            .rollout
            .as_ref()
            .is_some_and(|r| matches!(r.state, RolloutState::Running | RolloutState::Paused));
        let moving = self.spots.iter().flat_map(|spot| &spot.movable).any(|task| task.leaves);
        if changes || moving {
            return Some(Left::Changing);
        }
        let container = self.template.task.container_spec.as_ref();
        let mut mounts = container.iter().flat_map(|c| &c.mounts);
        let has_volumes = mounts.any(|mount| {
            let options = mount.volume_options.as_ref();
            let driver = options.and_then(|o| o.driver_config.as_ref()).map_or("", |d| &d.name);
            mount.r#type == "volume" && !mount.source.is_empty() && matches!(driver, "" | "local")
        });
        (has_volumes && only.is_empty()).then_some(Left::HasVolumes)
    }

    /// The move that makes the service's spread more even.
    fn next_move(&self, draft: &Draft<'_>) -> Option<Step> {
        let all: Vec<usize> = (0..self.spots.len()).collect();
        self.within(draft, &all, 0)
    }

    /// Among nodes that have the same values for the preferences above `depth`.
    fn within(&self, draft: &Draft<'_>, members: &[usize], depth: usize) -> Option<Step> {
        let mut branches: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for at in members {
            let Some(value) = self.spots[*at].path.get(depth) else {
                return self.between(draft, members, members, |spot| spot.count);
            };
            branches.entry(value).or_default().push(*at);
        }
        let sum = |members: &[usize]| members.iter().map(|at| self.spots[*at].count).sum::<u32>();
        let mut order: Vec<&Vec<usize>> = branches.values().collect();
        order.sort_by_key(|members| sum(members));
        for fullest in order.iter().rev() {
            for emptiest in order.iter().filter(|low| sum(fullest) >= sum(low) + 2) {
                let step = (self.fullest(fullest), self.emptiest(draft, emptiest));
                if let (Some(from), Some(to)) = step {
                    return Some((from, to));
                }
            }
        }
        order.iter().find_map(|members| self.within(draft, members, depth + 1))
    }

    /// From the fullest to the emptiest, when they differ by two or more in what `of` counts.
    fn between(
        &self,
        draft: &Draft<'_>,
        from: &[usize],
        to: &[usize],
        of: impl Fn(&Spot<'_>) -> u32,
    ) -> Option<Step> {
        let (from, to) = (self.fullest(from)?, self.emptiest(draft, to)?);
        (of(&self.spots[from]) >= of(&self.spots[to]) + 2).then_some((from, to))
    }

    fn fullest(&self, members: &[usize]) -> Option<usize> {
        let movable = members.iter().filter(|at| !self.spots[**at].movable.is_empty());
        movable.max_by_key(|at| (self.spots[**at].count, std::cmp::Reverse(**at))).copied()
    }

    fn emptiest(&self, draft: &Draft<'_>, members: &[usize]) -> Option<usize> {
        let open = members.iter().filter(|at| self.has_room(draft, &self.spots[**at]));
        let tasks = |at: usize| draft.used(self.spots[at].node.id).tasks;
        open.min_by_key(|at| (self.spots[**at].count, tasks(**at), **at)).copied()
    }

    fn has_room(&self, draft: &Draft<'_>, spot: &Spot<'_>) -> bool {
        let used = draft.used(spot.node.id);
        self.demand.no_room(spot.node, &used, spot.count).is_none()
            && draft.exhausted(spot.node.id, self.template).is_none()
    }

    /// A move after which the service is spread as well as before and the nodes' numbers of tasks
    /// are more equal.
    fn neutral_move(&self, draft: &Draft<'_>) -> Option<Step> {
        let tasks = |at: usize| total(draft, &self.spots[at]);
        let mut order: Vec<usize> = (0..self.spots.len()).collect();
        order.sort_by_key(|at| (tasks(*at), *at));
        for from in order.iter().rev().copied().filter(|at| !self.spots[*at].movable.is_empty()) {
            for to in order.iter().copied().take_while(|to| tasks(from) >= tasks(*to) + 2) {
                let (a, b) = (&self.spots[from], &self.spots[to]);
                if a.path == b.path && a.count > b.count && self.has_room(draft, b) {
                    return Some((from, to));
                }
            }
        }
        None
    }

    fn take(&mut self, draft: &mut Draft<'a>, (from, to): Step) -> Move {
        let to_node = self.spots[to].node.id;
        let from_node = self.spots[from].node.id;
        self.spots[from].count -= 1;
        self.spots[to].count += 1;
        let task = self.spots[from].movable.pop().expect("only a spot with such a task is left");
        draft.take_room(self.service.id, to_node, &self.demand.claim, self.template);
        draft.leaves(self.service.id, from_node);
        draft.gone(from_node);
        let (service, slot) = (self.service.id, task.slot);
        Move { task: task.id, service, slot, from: from_node, to: to_node }
    }
}

/// Tasks on the node once the moves so far are made.
fn total(draft: &Draft<'_>, spot: &Spot<'_>) -> u32 {
    draft.used(spot.node.id).tasks.saturating_sub(draft.going(spot.node.id))
}

#[cfg(test)]
mod tests {
    use model::Millis;
    use model::spec::Availability;

    use super::*;
    use crate::command::Command;
    use crate::test_kit::{SECOND, World, web};

    fn service(name: &str, replicas: u64, more: &str) -> String {
        format!(
            r#"{{"Name":"{name}","TaskTemplate":{{"ContainerSpec":{{"Image":"web:1"{more}}}}},
                "Mode":{{"Replicated":{{"Replicas":{replicas}}}}}}}"#
        )
    }

    /// Everything on `m1`, then `w1` and `w2` take tasks as well.
    fn crowded(services: &[String]) -> World {
        let mut world = World::with_workers(2);
        for node in ["w1", "w2"] {
            world.edit_node(node, |spec| spec.availability = Availability::Pause);
        }
        for spec in services {
            world.create(spec);
        }
        world.settle();
        world.advance(Millis::from_secs(10));
        for node in ["w1", "w2"] {
            world.edit_node(node, |spec| spec.availability = Availability::Active);
        }
        world.settle();
        world
    }

    fn mark(world: &mut World) -> usize {
        let found = rebalance(&world.state, &BTreeSet::new());
        let tasks: Vec<TaskId> = found.moves.iter().map(|m| m.task).collect();
        world.client(Command::MoveTasks { tasks: tasks.clone() }).expect("taken");
        tasks.len()
    }

    /// The smallest number of running tasks that was seen on the way.
    fn let_it_happen(world: &mut World, service: &str) -> usize {
        let mut least = world.slots(service).len();
        for _ in 0..600 {
            world.round();
            least = least.min(world.slots(service).len());
            world.now = world.now + Millis(50);
        }
        world.settle();
        least
    }

    #[test]
    fn a_service_is_spread_over_the_nodes_that_came_back_a_few_tasks_at_a_time() {
        let mut world = crowded(&[web(9)]);
        assert_eq!(world.spread("web"), [9]);
        assert_eq!(mark(&mut world), 6);
        let least = let_it_happen(&mut world, "web");
        assert!(least >= 6, "a third at most is away: {least}");
        assert_eq!(world.spread("web"), [3, 3, 3]);
        assert_eq!(rebalance(&world.state, &BTreeSet::new()), Rebalance::default());
    }

    #[test]
    fn parallelism_bounds_a_move_and_start_first_keeps_every_slot_served() {
        let mut world = crowded(&[web(6)]);
        world.update("web", |spec| {
            let config = spec.update_config.get_or_insert_default();
            config.parallelism = 1;
            config.order = "start-first".to_owned();
        });
        world.settle();
        assert_eq!(mark(&mut world), 4);
        let least = let_it_happen(&mut world, "web");
        assert_eq!((least, world.spread("web")), (6, vec![2, 2, 2]));
    }

    #[test]
    fn many_services_of_one_task_are_spread_by_the_nodes_numbers() {
        let names: Vec<String> = (0..6).map(|i| format!("s{i}")).collect();
        let specs: Vec<String> = names.iter().map(|name| service(name, 1, "")).collect();
        let mut world = crowded(&specs);
        assert_eq!(mark(&mut world), 4);
        let_it_happen(&mut world, "s0");
        let on = |world: &World, node: &str| world.state.node_use(world.node(node)).tasks;
        assert_eq!(["m1", "w1", "w2"].map(|node| on(&world, node)), [2, 2, 2]);
        assert_eq!(mark(&mut world), 0, "there is nothing left to move");
    }

    #[test]
    fn what_is_even_stays_and_an_odd_task_is_no_reason() {
        let mut world = World::with_workers(2);
        world.create(&web(7));
        world.settle();
        assert_eq!(rebalance(&world.state, &BTreeSet::new()), Rebalance::default());
    }

    #[test]
    fn preferences_are_evened_out_first() {
        let mut world = World::with_workers(2);
        for (node, zone) in [("m1", "a"), ("w1", "a"), ("w2", "b")] {
            world.edit_node(node, |spec| {
                spec.labels.insert("zone".to_owned(), zone.to_owned());
            });
        }
        world.edit_node("w2", |spec| spec.availability = Availability::Pause);
        let id = world.create(
            r#"{"Name":"web","Mode":{"Replicated":{"Replicas":4}},"TaskTemplate":{
                "ContainerSpec":{"Image":"web:1"},
                "Placement":{"Preferences":[{"Spread":{"SpreadDescriptor":"node.labels.zone"}}]}}}"#,
        );
        world.settle();
        world.edit_node("w2", |spec| spec.availability = Availability::Active);
        world.settle();
        let found = rebalance(&world.state, &BTreeSet::from([id]));
        assert_eq!(found.moves.len(), 2);
        assert!(found.moves.iter().all(|m| m.to == world.node("w2")));
        mark(&mut world);
        let_it_happen(&mut world, "web");
        assert_eq!(world.spread("web"), [1, 1, 2]);
    }

    #[test]
    fn services_with_volumes_and_services_that_change_are_left_and_named() {
        let mounts = r#","Mounts":[{"Type":"volume","Source":"data","Target":"/data"}]"#;
        let mut world = crowded(&[service("db", 4, mounts), web(4)]);
        let db = world.state.service_named("db").expect("there").id;
        world.update("web", |spec| spec.task_template.force_update += 1);
        let web = world.state.service_named("web").expect("there").id;
        let found = rebalance(&world.state, &BTreeSet::new());
        let left = BTreeMap::from([(db, Left::HasVolumes), (web, Left::Changing)]);
        assert_eq!(found, Rebalance { moves: Vec::new(), left });
        let found = rebalance(&world.state, &BTreeSet::from([db]));
        // Two for its own spread, the third because m1 still has the most tasks of all nodes.
        assert_eq!(found.moves.len(), 3, "it was asked for by name");
        world.advance(SECOND);
    }
}
