//! Who this host is: its certificate and key, the root that it trusts, and the TLS settings made of them.
//!
//! Files, below the data directory's `certificates/`, each readable by root only: `node.crt`, `node.key`,
//! `ca.crt`. The orchestrator of the same host uses the same files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    client: Arc<ClientConfig>,
}

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
        let read = |name: &str| {
            let path = self.directory.join(name);
            std::fs::read_to_string(&path)
                .map_err(|source| IdentityError::Read { path: path.display().to_string(), source })
        };
        Identity::new(&read("node.crt")?, &read("node.key")?, &read("ca.crt")?)
    }

    /// Replaces the files; the certificate last, so that a crash between them is noticed by the key.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self, cert_pem: &str, key_pem: &str, ca_pem: &str) -> io::Result<()> {
        for (name, text) in [("ca.crt", ca_pem), ("node.key", key_pem), ("node.crt", cert_pem)] {
            disk::write(&self.directory.join(name), text.as_bytes(), Care::Durable)?;
        }
        Ok(())
    }

    /// # Errors
    /// Those of the file system.
    pub fn remove(&self) -> io::Result<()> {
        ["node.crt", "node.key", "ca.crt"]
            .into_iter()
            .try_for_each(|name| disk::remove(&self.directory.join(name)))
    }
}

impl Identity {
    /// From the texts of certificate, key and root.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`] when one does not read or they do not belong together.
    pub fn new(cert_pem: &str, key_pem: &str, ca_pem: &str) -> Result<Identity, IdentityError> {
        let invalid = |what, why: String| IdentityError::Invalid { what, why };
        let certificate = |pem: &str, what| {
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| invalid(what, e.to_string()))
        };
        let cert = certificate(cert_pem, "the node's certificate")?;
        let ca = certificate(ca_pem, "the cluster's root certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|e| invalid("the node's key", e.to_string()))?;
        let mut roots = RootCertStore::empty();
        roots
            .add(ca.clone())
            .map_err(|e| invalid("the cluster's root certificate", e.to_string()))?;
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| invalid("the TLS library", e.to_string()))?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![cert.clone(), ca], key)
            .map_err(|e| invalid("the node's certificate or key", e.to_string()))?;
        client.alpn_protocols = vec![b"h2".to_vec()];
        let read = subject(&cert).map_err(|why| invalid("the node's certificate", why))?;
        Ok(Identity {
            node: read.0,
            role: read.1,
            cluster: read.2,
            valid_from: read.3,
            valid_to: read.4,
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
        verifier.verify_server_cert(end_entity, &[], name, ocsp, now)
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
