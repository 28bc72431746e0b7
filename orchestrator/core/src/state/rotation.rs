//! The rotation of the certificate authority: how it begins, whom it waits for, how it ends.
//!
//! It has one phase. From its begin on nodes get certificates of the new authority and trust both;
//! each such certificate travels with the new authority's name as the present one certified it, so
//! nodes that have not heard of it yet trust it too. Once every node has such a certificate and
//! trusts the new authority, that one stands alone. Until then nobody depends on anything but the
//! present authority, so a rotation may be replaced by another or taken back at any time.
//!
//! Deliberately absent: making and reading certificates. Those come in as text, with what nodes
//! will say of them ([`NodeTrust`]).

use model::object::{Cluster, Node, NodeTrust, RootRotation};
use model::spec::Role;

use super::State;
use super::step::Step;
use crate::command::{Refusal, Response, RootChange};

/// What a node says is what is wanted.
fn is_of(said: Option<&NodeTrust>, wanted: &NodeTrust) -> bool {
    said.is_some_and(|said| said.issuer == wanted.issuer && said.roots.is_superset(&wanted.roots))
}

/// The node is of the new authority: its agent is and, on a manager, the orchestrator's process
/// is, too, which takes a new certificate into use a moment later.
fn has_followed(node: &Node, wanted: &NodeTrust) -> bool {
    let agent = is_of(node.description.trust.as_ref(), wanted);
    agent
        && match node.spec.role {
            Role::Worker => true,
            Role::Manager => is_of(node.manager_trust.as_ref(), wanted),
        }
}

impl State {
    /// The nodes that the rotation of the authority waits for; none when there is no rotation.
    pub fn awaited(&self) -> impl Iterator<Item = &Node> {
        let rotation = self.cluster().and_then(|cluster| cluster.rotation.as_ref());
        rotation.into_iter().flat_map(|rotation| {
            let nodes = self.nodes().map(AsRef::as_ref);
            nodes.filter(|node| !has_followed(node, &rotation.wanted))
        })
    }

    /// The rotation that can end now, because it waits for nobody.
    pub(crate) fn finished_rotation(&self) -> Option<&RootRotation> {
        let rotation = self.cluster()?.rotation.as_ref()?;
        self.awaited().next().is_none().then_some(rotation)
    }
}

/// Begins a rotation, puts another in the place of the one that runs, or takes it back.
pub(super) fn change_root(cluster: &mut Cluster, change: &RootChange) {
    match change {
        RootChange::Rotate(rotation) => cluster.rotation = Some((**rotation).clone()),
        RootChange::Keep { present } => {
            if cluster.rotation.take().is_some() {
                // Some nodes may have followed it: they come back.
                cluster.trust = Some(present.clone());
            }
        }
    }
}

impl Step<'_> {
    /// Ends the rotation towards `wanted`.
    pub(super) fn finish_rotation(&mut self, wanted: &NodeTrust) -> Result<Response, Refusal> {
        let outdated = || Refusal::Outdated { what: "the rotation of the authority".to_owned() };
        let rotation = self.state.finished_rotation().cloned().ok_or_else(outdated)?;
        let Some(cluster) = self.state.cluster().filter(|_| rotation.wanted == *wanted) else {
            return Err(outdated());
        };
        let mut cluster = (**cluster).clone();
        cluster.ca = rotation.ca;
        cluster.trust = Some(rotation.wanted);
        cluster.tokens = rotation.tokens;
        cluster.rotation = None;
        self.written(&mut cluster.meta);
        self.put_cluster(cluster);
        Ok(Response::Done)
    }

    /// Notes which certificate a manager's process uses.
    pub(super) fn manager_trust(
        &mut self,
        id: model::NodeId,
        trust: &NodeTrust,
    ) -> Result<Response, Refusal> {
        let mut node = self.known_node(id)?;
        if node.spec.role == Role::Manager && node.manager_trust.as_ref() != Some(trust) {
            node.manager_trust = Some(trust.clone());
            node.meta.updated_at = self.now;
            self.put_node(node);
        }
        Ok(Response::Done)
    }
}
