//! Who this host is: its certificate and key, the root that it trusts, and the TLS settings made of them.
//!
//! Files, below the data directory's `certificates/`, each readable by root only: `node.crt`, `node.key`,
//! `ca.crt`. The orchestrator of the same host uses the same files. All three are replaced together: the new
//! ones are on disk as `next.json` before the first is touched, and whoever reads first completes that.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::object::NodeTrust;
use model::spec::Role;
use model::wire::join::digest_text;
use model::{ClusterId, NodeId, Timestamp};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::disk::{self, Care};

/// The name in every manager's certificate.
pub const MANAGER_NAME: &str = "swarm-manager";

/// Why a host is nobody.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot read {path}")]
    Read { path: String, source: io::Error },
    #[error("{what} is not valid: {why}")]
    Invalid { what: &'static str, why: String },
}

/// Who this host is.
pub struct Identity {
    pub node: NodeId,
    pub cluster: ClusterId,
    /// The role that the certificate was made for.
    pub role: Role,
    pub valid_from: Timestamp,
    pub valid_to: Timestamp,
    /// Of which authority the certificate is, and whom this host trusts.
    pub trust: NodeTrust,
    client: Arc<ClientConfig>,
}

/// What follows the three files, while they are replaced.
#[derive(Serialize, Deserialize)]
struct Next {
    cert: String,
    key: String,
    ca: String,
}

/// Its name.
const NEXT: &str = "next.json";

/// The three files.
#[derive(Clone, Debug)]
pub struct Certs {
    directory: PathBuf,
}

impl Certs {
    #[must_use]
    pub fn below(data_dir: &Path) -> Certs {
        Certs { directory: data_dir.join("certificates") }
    }

    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Who this host is by its files.
    ///
    /// # Errors
    /// As [`IdentityError`] says.
    pub fn load(&self) -> Result<Identity, IdentityError> {
        let path = self.directory.join(NEXT);
        let read = |source| IdentityError::Read { path: path.display().to_string(), source };
        if let Some(bytes) = disk::read(&path).map_err(read)? {
            let next: Next = serde_json::from_slice(&bytes).map_err(|e| read(e.into()))?;
            self.replace(&next).map_err(read)?;
        }
        let read = |name: &str| {
            let path = self.directory.join(name);
            std::fs::read_to_string(&path)
                .map_err(|source| IdentityError::Read { path: path.display().to_string(), source })
        };
        Identity::new(&read("node.crt")?, &read("node.key")?, &read("ca.crt")?)
    }

    /// Replaces the files, all or none of them.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self, cert_pem: &str, key_pem: &str, ca_pem: &str) -> io::Result<()> {
        let [cert, key, ca] = [cert_pem, key_pem, ca_pem].map(str::to_owned);
        let next = Next { cert, key, ca };
        let bytes = serde_json::to_vec(&next).map_err(io::Error::from)?;
        disk::write(&self.directory.join(NEXT), &bytes, Care::Durable)?;
        self.replace(&next)
    }

    /// The certificate last: the orchestrator looks at the files again when it changes.
    fn replace(&self, next: &Next) -> io::Result<()> {
        for (name, text) in
            [("ca.crt", &next.ca), ("node.key", &next.key), ("node.crt", &next.cert)]
        {
            disk::write(&self.directory.join(name), text.as_bytes(), Care::Durable)?;
        }
        disk::remove(&self.directory.join(NEXT))
    }

    /// # Errors
    /// Those of the file system.
    pub fn remove(&self) -> io::Result<()> {
        [NEXT, "node.crt", "node.key", "ca.crt"]
            .into_iter()
            .try_for_each(|name| disk::remove(&self.directory.join(name)))
    }
}

impl Identity {
    /// From the texts of the certificate and what goes along with it, the key, and the roots.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`] when one does not read or they do not belong together.
    pub fn new(cert_pem: &str, key_pem: &str, ca_pem: &str) -> Result<Identity, IdentityError> {
        let invalid = |what, why: String| IdentityError::Invalid { what, why };
        let certificates = |pem: &str, what| {
            let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
            match all {
                Ok(all) if all.is_empty() => Err(invalid(what, "there is none".to_owned())),
                Ok(all) => Ok(all),
                Err(e) => Err(invalid(what, e.to_string())),
            }
        };
        let certs = certificates(cert_pem, "the node's certificate")?;
        let cas = certificates(ca_pem, "the cluster's root certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|e| invalid("the node's key", e.to_string()))?;
        let mut roots = RootCertStore::empty();
        for ca in &cas {
            roots
                .add(ca.clone())
                .map_err(|e| invalid("the cluster's root certificate", e.to_string()))?;
        }
        let trust = trust_of(&certs, &cas);
        let read = subject(&certs[0]).map_err(|why| invalid("the node's certificate", why))?;
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| invalid("the TLS library", e.to_string()))?
            .with_root_certificates(roots)
            .with_client_auth_cert(certs.into_iter().chain(cas).collect(), key)
            .map_err(|e| invalid("the node's certificate or key", e.to_string()))?;
        client.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Identity {
            node: read.0,
            role: read.1,
            cluster: read.2,
            valid_from: read.3,
            valid_to: read.4,
            trust,
            client: Arc::new(client),
        })
    }

    /// The TLS settings with which this host calls managers.
    #[must_use]
    pub fn client(&self) -> Arc<ClientConfig> {
        self.client.clone()
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("node", &self.node).finish_non_exhaustive()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Which authority the first certificate is of, found among those that go along with it and the roots
/// by its name and by the signature (nobody's is empty); and the digests of the roots.
fn trust_of(chain: &[CertificateDer<'_>], roots: &[CertificateDer<'_>]) -> NodeTrust {
    let leaf = chain.first().and_then(|der| X509Certificate::from_der(der).ok());
    let issuer = leaf.and_then(|(_, leaf)| {
        chain.iter().skip(1).chain(roots).find_map(|der| {
            let (_, issuer) = X509Certificate::from_der(der).ok()?;
            let (name, key) = (issuer.subject(), issuer.public_key());
            if name.as_raw() != leaf.issuer().as_raw() || leaf.verify_signature(Some(key)).is_err()
            {
                return None;
            }
            let mut hash = Sha256::new();
            hash.update(name.as_raw());
            hash.update(key.raw);
            Some(digest_text(&hash.finalize().into()))
        })
    });
    let digest = |root: &CertificateDer<'_>| digest_text(&Sha256::digest(root).into());
    NodeTrust { issuer: issuer.unwrap_or_default(), roots: roots.iter().map(digest).collect() }
}

type Subject = (NodeId, Role, ClusterId, Timestamp, Timestamp);

/// What a certificate says: common name, organizational unit, organization, validity.
fn subject(certificate: &CertificateDer<'_>) -> Result<Subject, String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|e| e.to_string())?;
    let name = parsed.subject();
    let text = |mut values: Box<dyn Iterator<Item = String>>| values.next().unwrap_or_default();
    let strings =
        |values: Vec<String>| -> Box<dyn Iterator<Item = String>> { Box::new(values.into_iter()) };
    let read =
        |v: &x509_parser::x509::AttributeTypeAndValue<'_>| v.as_str().ok().map(str::to_owned);
    let node = text(strings(name.iter_common_name().filter_map(read).collect()));
    let unit = text(strings(name.iter_organizational_unit().filter_map(read).collect()));
    let cluster = text(strings(name.iter_organization().filter_map(read).collect()));
    let role = match unit.as_str() {
        MANAGER_NAME => Role::Manager,
        "swarm-worker" => Role::Worker,
        other => return Err(format!("{other:?} is no role")),
    };
    let at = |seconds: i64| Timestamp(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000));
    Ok((
        node.parse().map_err(|e| format!("its common name: {e}"))?,
        role,
        cluster.parse().map_err(|e| format!("its organization: {e}"))?,
        at(parsed.validity().not_before.timestamp()),
        at(parsed.validity().not_after.timestamp()),
    ))
}

/// A new key, and the request to certify it (both PEM). The request names nobody: the manager decides.
///
/// # Errors
/// Only when the operating system gives no random numbers.
pub fn new_request() -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key)?;
    Ok((key.serialize_pem(), request.pem()?))
}

/// TLS settings for a host that has nothing but a token: whoever answers must show a root certificate
/// with the token's digest and a manager's certificate of that root.
#[must_use]
pub fn joining(digest: &str) -> Arc<ClientConfig> {
    let verifier = Fingerprint { digest: digest.to_owned(), provider: provider() };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has suites for the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// What the verifier says when no root with the digest was shown; [`link`](super::link) looks for it.
pub(super) const NO_MATCH: &str = "no root certificate with the token's digest";

#[derive(Debug)]
struct Fingerprint {
    digest: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Fingerprint {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let digest = |c: &CertificateDer<'_>| digest_text(&Sha256::digest(c).into());
        let root = intermediates.iter().find(|c| digest(c) == self.digest);
        let root = root.ok_or_else(|| rustls::Error::General(NO_MATCH.to_owned()))?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
                .build()
                .map_err(|e| rustls::Error::General(e.to_string()))?;
        // During a rotation of the authority a manager's certificate leads to it by another.
        verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, DnType, IsCa, Issuer};

    use super::*;

    /// A root and a worker's certificate of it: certificate, key, root.
    fn files() -> [String; 3] {
        let key = || KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_key = key();
        let root = params.self_signed(&root_key).expect("signed");
        let issuer = Issuer::from_ca_cert_der(root.der(), root_key).expect("its own");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let id = NodeId(model::Id(1)).to_string();
        params.distinguished_name.push(DnType::CommonName, id.clone());
        params.distinguished_name.push(DnType::OrganizationalUnitName, "swarm-worker");
        params.distinguished_name.push(DnType::OrganizationName, id);
        let key = key();
        let cert = params.signed_by(&key, &issuer).expect("signed");
        [cert.pem(), key.serialize_pem(), root.pem()]
    }

    #[test]
    fn an_identity_is_replaced_whole_even_by_a_crash() {
        let home = tempfile::tempdir().expect("a directory");
        let certs = Certs::below(home.path());
        let [cert, key, ca] = files();
        certs.save(&cert, &key, &ca).expect("saved");
        let old = certs.load().expect("whole").trust;
        let [cert, key, ca] = files();
        let next = Next { cert, key: key.clone(), ca: ca.clone() };
        // Everything that is written before the last file, and no more.
        let bytes = serde_json::to_vec(&next).expect("JSON");
        disk::write(&certs.directory.join(NEXT), &bytes, Care::Durable).expect("written");
        for (name, text) in [("ca.crt", &ca), ("node.key", &key)] {
            disk::write(&certs.directory.join(name), text.as_bytes(), Care::Quick)
                .expect("written");
        }
        let new = certs.load().expect("whole").trust;
        assert_ne!(new, old);
        assert!(!new.issuer.is_empty());
        assert!(!certs.directory.join(NEXT).exists());
        assert_eq!(certs.load().expect("whole").trust, new);
    }

    #[test]
    fn a_host_that_trusts_two_roots_says_whose_certificate_it_has() {
        let ([cert, key, own], [_, _, other]) = (files(), files());
        let alone = Identity::new(&cert, &key, &own).expect("whole").trust;
        let both = Identity::new(&cert, &key, &format!("{other}{own}")).expect("whole").trust;
        assert_eq!(both.issuer, alone.issuer);
        assert_eq!(both.roots.len(), 2);
        assert!(both.roots.is_superset(&alone.roots));
        let strange = Identity::new(&cert, &key, &other).expect("whole").trust;
        assert_eq!(strange.issuer, "");
    }
}
