//! Derives what each node is told from the state.
//!
//! [`orders`] makes the whole for one node; a [`Projector`] keeps the orders of every node with a
//! session and makes deltas from what an entry changed. Both use the same functions for the parts
//! (`parts`), so that a delta applied to the old orders gives the new ones.

mod expand;
mod parts;
mod projector;
mod renew;
mod table;
#[cfg(test)]
mod tests;
mod touched;

use std::sync::Arc;

use model::wire::orders::{Fence, Members, Orders};
use model::{NetworkId, NodeId};

pub use projector::Projector;

use crate::State;
use table::Table;

/// Everything that should be true on `node`, fenced with `term` and the state's revision. Empty but
/// for the fence when the node is unknown.
#[must_use]
pub fn orders(state: &State, node: NodeId, term: u64) -> Orders {
    whole(state, node, term, &mut |id| Table::of(state, id).members)
}

/// As [`orders`], with the members of networks as `members` knows them.
fn whole(
    state: &State,
    node: NodeId,
    term: u64,
    members: &mut dyn FnMut(NetworkId) -> Arc<Members>,
) -> Orders {
    let fence = Fence { term, revision: state.revision() };
    let Some(known) = state.node(node) else { return Orders { fence, ..Orders::default() } };
    let mut orders = Orders {
        fence,
        node: parts::node(known),
        cluster: parts::cluster(state),
        tasks: state.tasks_on(node).filter_map(|t| Some((t.id, parts::task(state, t)?))).collect(),
        ..Orders::default()
    };
    let networks = parts::networks_on(state, node);
    orders.networks = networks
        .iter()
        .filter_map(|id| Some((*id, parts::network(state, *id, node, &members(*id))?)))
        .collect();
    orders.services = parts::services_for(state, &networks)
        .into_iter()
        .filter_map(|id| Some((id, parts::service(state, id)?)))
        .collect();
    orders.peers = parts::named(&orders)
        .into_keys()
        .filter_map(|id| Some((id, parts::peer(state.node(id)?))))
        .collect();
    let (secrets, configs) = parts::files_on(state, node);
    orders.secrets =
        secrets.into_iter().filter_map(|id| Some((id, parts::secret(state, id)?))).collect();
    orders.configs =
        configs.into_iter().filter_map(|id| Some((id, parts::config(state, id)?))).collect();
    orders
}
