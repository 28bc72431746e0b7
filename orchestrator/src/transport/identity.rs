//! Who this host is: its certificate, its key, the root that it trusts; and the TLS settings made of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::object::NodeTrust;
use model::{ClusterId, NodeId};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::client::Lane;
use crate::ca::{Subject, trust_of, unit_role};
use crate::log::seal::write_secret;

/// ALPN of connections that carry Raft: HTTP/2 all the same, served on Raft's threads.
pub(super) const ALPN_RAFT: &[u8] = b"swarmctl-raft";

/// ALPN of all others.
const ALPN_H2: &[u8] = b"h2";

/// Where a host keeps its certificate.
#[derive(Clone, Debug)]
pub struct Paths {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub ca: PathBuf,
}

/// Why a host is nobody.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{what} is not valid: {why}")]
    Invalid { what: &'static str, why: String },
}

/// Who this host is.
pub struct Identity {
    pub subject: Subject,
    /// Of which authority it is, and whom it trusts.
    pub trust: NodeTrust,
    server: Arc<ServerConfig>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
    pems: [String; 3],
}

impl Paths {
    /// The files below `folder`, the host's certificates.
    #[must_use]
    pub fn below(folder: &Path) -> Paths {
        Paths {
            cert: folder.join("node.crt"),
            key: folder.join("node.key"),
            ca: folder.join("ca.crt"),
        }
    }
}

impl Identity {
    /// The identity of the files at `paths`.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn load(paths: &Paths) -> Result<Identity, IdentityError> {
        let read = |path: &Path| {
            fs::read_to_string(path)
                .map_err(|source| IdentityError::Read { path: path.to_owned(), source })
        };
        Identity::new(&read(&paths.cert)?, &read(&paths.key)?, &read(&paths.ca)?)
    }

    /// Writes the identity to `paths`, each file whole, readable by its owner only.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn store(&self, paths: &Paths) -> io::Result<()> {
        let [cert, key, ca] = &self.pems;
        write_secret(&paths.ca, ca.as_bytes())?;
        write_secret(&paths.key, key.as_bytes())?;
        write_secret(&paths.cert, cert.as_bytes())
    }

    /// The identity of these texts: the host's certificate and what goes along with it, its key, the
    /// certificates of the roots.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`] when one of them does not read or they do not belong together.
    pub fn new(cert_pem: &str, key_pem: &str, ca_pem: &str) -> Result<Identity, IdentityError> {
        let certs = certificates(cert_pem).map_err(|why| invalid("the certificate", why))?;
        let cas = certificates(ca_pem).map_err(|why| invalid("the root certificate", why))?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|e| invalid("the key", e.to_string()))?;
        let subject = subject_of(&certs[0]).map_err(|why| invalid("the certificate", why))?;
        let mut roots = RootCertStore::empty();
        for ca in &cas {
            roots.add(ca.clone()).map_err(|e| invalid("the root certificate", e.to_string()))?;
        }
        let roots = Arc::new(roots);
        let trust = trust_of(&certs, &cas);
        // The roots go along, so that a host that joins can compare them with its token's digest.
        let chain = certs.into_iter().chain(cas).collect::<Vec<_>>();
        let server = server_config(&roots, &chain, &key)
            .map_err(|why| invalid("the certificate or its key", why))?;
        let pems = [cert_pem, key_pem, ca_pem].map(str::to_owned);
        Ok(Identity { subject, trust, server: Arc::new(server), chain, key, roots, pems })
    }

    /// Whether it is made of the same texts.
    #[must_use]
    pub fn is(&self, other: &Identity) -> bool {
        self.pems == other.pems
    }

    /// How this host answers: anybody may connect, but a certificate that is shown must be of this
    /// cluster's root and valid now.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }

    /// How this host calls others: with its certificate, and only those that have one of the root.
    ///
    /// # Errors
    /// When key and certificate do not belong together.
    pub fn client_config(&self, lane: Lane) -> Result<Arc<ClientConfig>, rustls::Error> {
        let mut config = ClientConfig::builder()
            .with_root_certificates(self.roots.clone())
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = match lane {
            Lane::Raft => vec![ALPN_RAFT.to_vec()],
            Lane::Api | Lane::Streams => vec![ALPN_H2.to_vec()],
        };
        Ok(Arc::new(config))
    }
}

/// What a certificate says of its holder.
pub(super) fn subject_of(certificate: &CertificateDer<'_>) -> Result<Subject, String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|e| e.to_string())?;
    let subject = parsed.subject();
    let node: NodeId = only(subject.iter_common_name())
        .and_then(|text| text.parse().ok())
        .ok_or("its common name is no node id")?;
    let role = only(subject.iter_organizational_unit())
        .and_then(unit_role)
        .ok_or("its organizational unit is no role")?;
    let cluster: ClusterId = only(subject.iter_organization())
        .and_then(|text| text.parse().ok())
        .ok_or("its organization is no cluster id")?;
    Ok(Subject { node, role, cluster })
}

fn only<'a>(
    mut values: impl Iterator<Item = &'a x509_parser::x509::AttributeTypeAndValue<'a>>,
) -> Option<&'a str> {
    let first = values.next()?.as_str().ok()?;
    values.next().is_none().then_some(first)
}

/// At least one.
fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = all.map_err(|e| e.to_string())?;
    if all.is_empty() { Err("there is none".to_owned()) } else { Ok(all) }
}

fn invalid(what: &'static str, why: String) -> IdentityError {
    IdentityError::Invalid { what, why }
}

fn server_config(
    roots: &Arc<RootCertStore>,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<ServerConfig, String> {
    let verifier = WebPkiClientVerifier::builder(roots.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|e| e.to_string())?;
    let mut config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.to_vec(), key.clone_key())
        .map_err(|e| e.to_string())?;
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_RAFT.to_vec()];
    // A resumed session would not look at the client's certificate again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
