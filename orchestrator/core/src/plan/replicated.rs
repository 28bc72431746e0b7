//! Keeps exactly so many slots of a replicated service: fills up from the lowest free number,
//! gives up the slots that are missed least.

use std::collections::{BTreeMap, BTreeSet};

use model::object::Slot;
use model::{NodeId, TaskState};

use super::rollout;
use super::service::remove;
use super::slots::{Start, View, Work};

pub(super) fn plan<'a>(work: &mut Work<'_, 'a>, views: &[View<'a>], replicas: u64) {
    let held: Vec<&View<'a>> = views.iter().filter(|v| v.is_held()).collect();
    let wanted = usize::try_from(replicas).unwrap_or(usize::MAX);
    let surplus: BTreeSet<Slot> = surplus(&held, held.len().saturating_sub(wanted));
    let (gone, kept): (Vec<&View<'a>>, Vec<&View<'a>>) =
        views.iter().partition(|v| !v.is_held() || surplus.contains(&v.slot));
    for view in gone {
        remove(work, view);
    }
    let missing = wanted.saturating_sub(kept.len());
    let taken: BTreeSet<Slot> = kept.iter().map(|v| v.slot).collect();
    let free = (1..).map(Slot::Replica).filter(|slot| !taken.contains(slot)).take(missing);
    let free: BTreeSet<Slot> = free.collect();
    let filled: Vec<&View<'a>> = views.iter().filter(|v| free.contains(&v.slot)).collect();
    rollout::plan(work, &kept, &filled);
    let leaving: BTreeSet<Slot> =
        filled.iter().filter(|v| v.is_leaving()).map(|v| v.slot).collect();
    for slot in free {
        let start = Start::fresh(slot, work.service.template);
        work.start(Start { old_stopping: leaving.contains(&slot), ..start });
    }
}

/// The slots to give up: those that do not serve first, then from the nodes with most of them;
/// newer numbers before older.
fn surplus(held: &[&View<'_>], number: usize) -> BTreeSet<Slot> {
    if number == 0 {
        return BTreeSet::new();
    }
    let mut on_node: BTreeMap<NodeId, u32> = BTreeMap::new();
    let mut ranked: Vec<(bool, u32, Slot)> = Vec::with_capacity(held.len());
    for view in held {
        let serving = view.live().find(|t| t.status.state == TaskState::Running);
        // The nth of its node, by slot number: taking the highest first evens the nodes out.
        let nth = serving.and_then(|t| t.node).map_or(0, |node| {
            let count = on_node.entry(node).or_default();
            *count += 1;
            *count
        });
        ranked.push((serving.is_none(), nth, view.slot));
    }
    ranked.sort_unstable();
    ranked.into_iter().rev().take(number).map(|(_, _, slot)| slot).collect()
}
