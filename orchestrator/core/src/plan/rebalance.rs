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
