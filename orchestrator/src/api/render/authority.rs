//! The certificate authority as clients see it: of the cluster, and of each node.
//!
//! Docker's client tells from these how far a rotation has come: a node has a new certificate when
//! its issuer is the cluster's, and a new root when its trust is.

use std::collections::BTreeSet;

use data_encoding::BASE64;
use model::api::TlsInfo;
use model::object::{Cluster, Node, NodeTrust};
use model::spec::Role;

use crate::ca::trust_in;

/// A root, read once.
#[derive(Clone, Default)]
struct Root {
    pem: String,
    /// What nodes say that are of it.
    trust: NodeTrust,
    /// Its name and key, Base64 of their DER.
    subject: String,
    key: String,
}

/// The cluster's authority, and the one that follows while it is rotated.
#[derive(Clone, Default)]
pub(in crate::api) struct Authorities {
    present: Root,
    next: Option<Root>,
}

impl Root {
    /// Only the text when it is no certificate.
    fn new(pem: &str) -> Root {
        let mut root = Root { pem: pem.to_owned(), ..Root::default() };
        if let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(pem.as_bytes())
            && let Ok((_, certificate)) = x509_parser::parse_x509_certificate(&pem.contents)
        {
            root.subject = BASE64.encode(certificate.subject().as_raw());
            root.key = BASE64.encode(certificate.public_key().raw);
        }
        root.trust = trust_in(pem).unwrap_or_default();
        root
    }
}

impl Authorities {
    pub(in crate::api) fn of(cluster: &Cluster) -> Authorities {
        let next = cluster.rotation.as_ref().map(|rotation| Root::new(&rotation.ca.cert_pem));
        Authorities { present: Root::new(&cluster.ca.cert_pem), next }
    }

    /// Whether they are still the cluster's.
    pub(in crate::api) fn are_of(&self, cluster: &Cluster) -> bool {
        let next = cluster.rotation.as_ref().map(|rotation| &rotation.ca.cert_pem);
        self.present.pem == cluster.ca.cert_pem && self.next.as_ref().map(|r| &r.pem) == next
    }

    /// Whom nodes trust and who signs for them now.
    pub(in crate::api) fn cluster(&self) -> TlsInfo {
        info(&self.present.pem, self.signs())
    }

    fn signs(&self) -> &Root {
        self.next.as_ref().unwrap_or(&self.present)
    }

    /// The same of one node, by what its agent and its manager have said. Of a manager whichever is
    /// behind. A node that has said nothing is taken for one like all others, but not while they
    /// change.
    pub(in crate::api) fn node(&self, node: &Node) -> TlsInfo {
        let manager = match node.spec.role {
            Role::Manager => Some(node.manager_trust.as_ref()),
            Role::Worker => None,
        };
        let parts = [Some(node.description.trust.as_ref()), manager];
        let said: Vec<&NodeTrust> = parts.into_iter().flatten().flatten().collect();
        let silent = parts.into_iter().flatten().any(|said| said.is_none());
        if silent && self.next.is_some() {
            return TlsInfo::default();
        }
        let wanted = self.signs();
        let behind = said.iter().find(|said| said.issuer != wanted.trust.issuer);
        let unknown = Root::default();
        let issuer = match behind {
            None => wanted,
            Some(said) if said.issuer == self.present.trust.issuer => &self.present,
            Some(_) => &unknown,
        };
        let trusted = said.iter().all(|said| self.is_trusted(&said.roots));
        info(if trusted { &self.present.pem } else { "" }, issuer)
    }

    /// Whether these roots are what the cluster's trust is: in a rotation the next one may be among
    /// them, after it nothing else may.
    fn is_trusted(&self, roots: &BTreeSet<String>) -> bool {
        match &self.next {
            Some(_) => roots.is_superset(&self.present.trust.roots),
            None => *roots == self.present.trust.roots,
        }
    }

    /// What join tokens name.
    pub(in crate::api) fn digest(&self) -> &str {
        self.present.trust.roots.first().map_or("", String::as_str)
    }
}

fn info(trust_root: &str, issuer: &Root) -> TlsInfo {
    TlsInfo {
        trust_root: trust_root.to_owned(),
        cert_issuer_subject: issuer.subject.clone(),
        cert_issuer_public_key: issuer.key.clone(),
    }
}
