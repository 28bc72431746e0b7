//! Chooses a node for each of many equal tasks.
//!
//! Every node is judged once for a batch of equal tasks; those that may take one stand in a heap by
//! score, so each further task costs O(log nodes). Preferences make a tree of such heaps: at each
//! level the branch with the fewest tasks of the service comes first. What stands in a heap may be
//! out of date, for another template of the service takes room too: it is judged again when taken.
//!
//! Deliberately absent: moving a running task. It is placed once; a better place is reached by
//! replacing it. Read `fit` for "may it run there".

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use model::object::{Node, Service, Template};
use model::reason::{Objection, Reason};
use model::{Millis, NetworkId, NodeId, TaskState};

use super::draft::Draft;
use crate::fit::Demand;

/// So many failures of a service on one node within [`FAULT_WINDOW`] make the node a last resort
/// for it: one or two are the program's, five in a row only here are the node's. SwarmKit's figures.
const FAULTS: u32 = 5;
const FAULT_WINDOW: Millis = Millis::from_secs(300);

/// Where a task would go, best first. The order of the fields *is* the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Score {
    /// Failures of this service there lately, once they are many.
    failures: u32,
    of_this_service: u32,
    tasks: u32,
    node: NodeId,
}

/// The nodes for the equal tasks of one batch.
pub(super) struct Places<'a> {
    service: &'a Service,
    template: &'a Template,
    demand: Demand,
    root: Branch,
    /// Why the others cannot take one (more).
    objections: BTreeMap<Objection, u32>,
    no_address: Option<NetworkId>,
}

/// The nodes with one value of a preference; without further preferences a heap.
#[derive(Default)]
struct Branch {
    /// Tasks of the service in it.
    tasks: u32,
    /// Nodes in heaps below.
    open: u32,
    children: BTreeMap<String, Branch>,
    nodes: BinaryHeap<Reverse<Score>>,
}

impl Branch {
    fn push(&mut self, path: &[String], score: Score) {
        self.open += 1;
        match path.split_first() {
            Some((first, rest)) => {
                self.children.entry(first.clone()).or_default().push(rest, score);
            }
            None => self.nodes.push(Reverse(score)),
        }
    }

    fn count(&mut self, path: &[String], tasks: u32) {
        self.tasks += tasks;
        if let Some((first, rest)) = path.split_first() {
            self.children.entry(first.clone()).or_default().count(rest, tasks);
        }
    }

    fn pop(&mut self) -> Option<Score> {
        if self.open == 0 {
            return None;
        }
        self.open -= 1;
        let fewest = self
            .children
            .values_mut()
            .filter(|child| child.open > 0)
            .min_by_key(|child| child.tasks);
        match fewest {
            Some(child) => child.pop(),
            None => self.nodes.pop().map(|Reverse(score)| score),
        }
    }
}

impl<'a> Places<'a> {
    /// Judges every node for tasks of this template.
    pub(super) fn open(draft: &Draft<'a>, service: &'a Service, template: &'a Template) -> Self {
        let demand = Demand::of(draft.state, template);
        let mut places = Places {
            service,
            template,
            demand,
            root: Branch::default(),
            objections: BTreeMap::new(),
            no_address: None,
        };
        for node in draft.state.nodes() {
            let path = path(template, node);
            let staying = draft.staying(service.id, node.id);
            if staying > 0 {
                places.root.count(&path, staying);
            }
            match places.demand.unsuited(node) {
                Some(objection) => places.object(objection),
                None => places.offer(draft, node, &path),
            }
        }
        places
    }

    /// The best node for one more task, whose room is then taken; or why there is none.
    pub(super) fn next(&mut self, draft: &mut Draft<'a>) -> Result<NodeId, Reason> {
        while let Some(score) = self.root.pop() {
            let Some(node) = draft.state.node(score.node) else { continue };
            match self.judge(draft, node) {
                Ok(now) if now == score => {}
                Ok(now) => {
                    self.root.push(&path(self.template, node), now);
                    continue;
                }
                Err(objection) => {
                    self.object(objection);
                    continue;
                }
            }
            if let Some(network) = draft.exhausted(node.id, self.template) {
                self.no_address = Some(network);
                continue;
            }
            draft.take_room(self.service.id, node.id, &self.demand.claim, self.template);
            let path = path(self.template, node);
            self.root.count(&path, 1);
            self.offer(draft, node, &path);
            return Ok(node.id);
        }
        match self.no_address {
            Some(network) => Err(Reason::NoAddress { network }),
            None => Err(Reason::NoSuitableNode { objections: self.objections.clone() }),
        }
    }

    /// This node, whose room is then taken; or why not.
    pub(super) fn only(
        draft: &mut Draft<'a>,
        service: &'a Service,
        template: &'a Template,
        id: NodeId,
    ) -> Result<NodeId, Reason> {
        let demand = Demand::of(draft.state, template);
        let objection = match draft.state.node(id) {
            None => Some(Objection::NotReady),
            Some(node) => demand
                .unsuited(node)
                .or_else(|| demand.no_room(node, &draft.used(id), draft.live(service.id, id))),
        };
        if let Some(objection) = objection {
            return Err(Reason::NoSuitableNode { objections: BTreeMap::from([(objection, 1)]) });
        }
        if let Some(network) = draft.exhausted(id, template) {
            return Err(Reason::NoAddress { network });
        }
        draft.take_room(service.id, id, &demand.claim, template);
        Ok(id)
    }

    fn object(&mut self, objection: Objection) {
        *self.objections.entry(objection).or_default() += 1;
    }

    /// Puts the node into its heap if it has room for one more.
    fn offer(&mut self, draft: &Draft<'a>, node: &Node, path: &[String]) {
        match self.judge(draft, node) {
            Ok(score) => self.root.push(path, score),
            Err(objection) => self.object(objection),
        }
    }

    /// How good the node is for one more task, or what speaks against it.
    fn judge(&self, draft: &Draft<'a>, node: &Node) -> Result<Score, Objection> {
        let used = draft.used(node.id);
        let live = draft.live(self.service.id, node.id);
        match self.demand.no_room(node, &used, live) {
            Some(objection) => Err(objection),
            None => Ok(Score {
                failures: failures(draft, self.service, node.id),
                of_this_service: draft.staying(self.service.id, node.id),
                tasks: used.tasks,
                node: node.id,
            }),
        }
    }
}

/// The node's value for each preference of the template, first preference first.
pub(super) fn path(template: &Template, node: &Node) -> Vec<String> {
    let placement = template.task.placement.iter();
    placement
        .flat_map(|p| &p.preferences)
        .filter_map(|preference| preference.spread.as_ref())
        .filter_map(|spread| {
            let over = spread.spread_descriptor.as_str();
            let (labels, name) = if let Some(name) = over.strip_prefix("node.labels.") {
                (&node.spec.labels, name)
            } else {
                (&node.description.engine.labels, over.strip_prefix("engine.labels.")?)
            };
            Some(labels.get(name).cloned().unwrap_or_default())
        })
        .collect()
}

/// The failures of the service on the node lately, if they are many.
fn failures(draft: &Draft<'_>, service: &Service, node: NodeId) -> u32 {
    if draft.state.tally(service.id, node).failed < FAULTS {
        return 0;
    }
    let lately = draft.state.tasks_on(node).filter(|task| {
        task.service == service.id
            && matches!(task.status.state, TaskState::Failed | TaskState::Rejected)
            && draft.now.since(task.status.since) < FAULT_WINDOW
    });
    let failures = u32::try_from(lately.count()).unwrap_or(u32::MAX);
    if failures < FAULTS { 0 } else { failures }
}
