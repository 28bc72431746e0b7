//! The cluster's certificate authority: makes the root, signs nodes, judges join tokens.
//!
//! The root's key is part of the replicated state ([`CaMaterial`]), so every manager can sign. A
//! node's certificate says who it is and what it may do, in SwarmKit's form: subject `CN` = node
//! id, `OU` = role, `O` = cluster id. Nothing here reads a clock: times come in.

mod root;
mod token;

use std::time::Duration;

use model::object::{CaMaterial, Cluster};
use model::spec::Role;
use model::wire::join::digest_text;
use model::wire::start::MANAGER_NAME;
use model::{ClusterId, Millis, NodeId, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

use crate::log::seal::random;

pub use self::root::{given, rotation, trust_in, trust_of};
pub use self::token::{TokenError, check_token, join_token, new_secret, new_secrets};

/// How long the root is valid. It cannot be renewed without every host's consent, only rotated.
const ROOT_YEARS: u64 = 20;

/// How long a node's certificate is valid unless the cluster says otherwise: 90 days.
pub const NODE_LIFETIME: Millis = Millis::from_secs(90 * 24 * 3600);

/// How far a certificate is dated back, for hosts whose clocks are behind.
const BACKDATE: Millis = Millis::from_secs(3600);

/// The common name of the root.
const ROOT_NAME: &str = "swarm-ca";

/// Why something cannot be certified. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The other side's fault.
    #[error("the certificate signing request is not valid")]
    Request(#[source] rcgen::Error),
    /// Ours: the stored certificate or key is damaged.
    #[error("the cluster's certificate authority cannot be used")]
    Authority(#[source] rcgen::Error),
    #[error("the operating system gives no random numbers")]
    Random(#[from] std::io::Error),
}

/// What a certificate says of its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    pub node: NodeId,
    pub role: Role,
    pub cluster: ClusterId,
}

/// Signs for the cluster.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// What goes along with every certificate.
    cross_pem: String,
    roots_pem: String,
    digest: String,
}

/// A new root certificate and its key: ECDSA on P-256.
///
/// # Errors
/// Only when the operating system gives no random numbers.
pub fn new_root(now: Timestamp) -> Result<CaMaterial, CaError> {
    let key = KeyPair::generate().map_err(CaError::Authority)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, ROOT_NAME);
    // One authority between it and a node: that which follows it in a rotation.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params.serial_number = Some(serial()?);
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(now - BACKDATE);
    params.not_after = date_time_ymd(1970, 1, 1)
        + since_1970(now + Millis::from_secs(ROOT_YEARS * 365 * 24 * 3600));
    let root = params.self_signed(&key).map_err(CaError::Authority)?;
    Ok(CaMaterial { cert_pem: root.pem(), key_pem: key.serialize_pem() })
}

/// A new key, and the request to certify it. The request names nobody: the manager decides who
/// its holder is.
///
/// # Errors
/// Only when the operating system gives no random numbers.
pub fn new_request() -> Result<(String, String), CaError> {
    let key = KeyPair::generate().map_err(CaError::Request)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(CaError::Request)?;
    Ok((key.serialize_pem(), request.pem().map_err(CaError::Request)?))
}

/// Judges a request before anything is done for it.
///
/// # Errors
/// [`CaError::Request`] when it does not read or its signature is wrong.
pub fn check_request(csr_pem: &str) -> Result<(), CaError> {
    CertificateSigningRequestParams::from_pem(csr_pem).map(|_| ()).map_err(CaError::Request)
}

/// The digest of a root certificate, as join tokens carry it.
#[must_use]
pub fn digest_of(certificate: &CertificateDer<'_>) -> String {
    digest_text(&Sha256::digest(certificate).into())
}

impl Authority {
    /// The authority of a stored root.
    ///
    /// # Errors
    /// When certificate or key do not read.
    pub fn new(root: &CaMaterial) -> Result<Authority, CaError> {
        let key = KeyPair::from_pem(&root.key_pem).map_err(CaError::Authority)?;
        let certificate = CertificateDer::from_pem_slice(root.cert_pem.as_bytes())
            .map_err(|_| CaError::Authority(rcgen::Error::CouldNotParseCertificate))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(CaError::Authority)?;
        let digest = digest_of(&certificate);
        let (cross_pem, roots_pem) = (String::new(), root.cert_pem.clone());
        Ok(Authority { issuer, cross_pem, roots_pem, digest })
    }

    /// That which signs for the cluster now: while the authority is rotated, the one that follows.
    /// Join tokens go on naming the present one.
    ///
    /// # Errors
    /// When certificate or key do not read.
    pub fn of(cluster: &Cluster) -> Result<Authority, CaError> {
        let present = Authority::new(&cluster.ca)?;
        let Some(rotation) = &cluster.rotation else { return Ok(present) };
        let next = Authority::new(&rotation.ca)?;
        Ok(Authority {
            issuer: next.issuer,
            cross_pem: rotation.cross_cert_pem.clone(),
            roots_pem: present.roots_pem + &next.roots_pem,
            digest: present.digest,
        })
    }

    /// The root certificates that nodes trust.
    #[must_use]
    pub fn roots_pem(&self) -> &str {
        &self.roots_pem
    }

    /// The root's digest, as join tokens carry it.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// A certificate for the key in `csr_pem`, saying `subject` and valid for `lifetime`; behind it
    /// what ties it to the authority before, during a rotation.
    ///
    /// Of the request only the key is used, after its signature has been verified.
    ///
    /// # Errors
    /// [`CaError::Request`] when the request is not valid.
    pub fn sign(
        &self,
        csr_pem: &str,
        subject: Subject,
        now: Timestamp,
        lifetime: Millis,
    ) -> Result<String, CaError> {
        let request =
            CertificateSigningRequestParams::from_pem(csr_pem).map_err(CaError::Request)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, subject.node.to_string());
        params.distinguished_name.push(DnType::OrganizationalUnitName, role_unit(subject.role));
        params.distinguished_name.push(DnType::OrganizationName, subject.cluster.to_string());
        let name = |text: String| text.try_into().map(SanType::DnsName).map_err(CaError::Authority);
        params.subject_alt_names =
            vec![name(host_name(subject.node))?, name(role_unit(subject.role).to_owned())?];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial()?);
        params.not_before = date_time_ymd(1970, 1, 1) + since_1970(now - BACKDATE);
        params.not_after = date_time_ymd(1970, 1, 1) + since_1970(now + lifetime);
        let signed =
            params.signed_by(&request.public_key, &self.issuer).map_err(CaError::Authority)?;
        Ok(signed.pem() + &self.cross_pem)
    }
}

/// The DNS name in a node's certificate that no other node has. An id alone could be all digits,
/// which is no DNS name.
#[must_use]
pub fn host_name(node: NodeId) -> String {
    format!("{node}.swarm")
}

/// What a certificate calls a role; also the DNS name that all nodes of the role share.
#[must_use]
pub fn role_unit(role: Role) -> &'static str {
    match role {
        Role::Manager => MANAGER_NAME,
        Role::Worker => "swarm-worker",
    }
}

/// The role that a certificate calls so.
#[must_use]
pub fn unit_role(unit: &str) -> Option<Role> {
    [Role::Manager, Role::Worker].into_iter().find(|role| role_unit(*role) == unit)
}

fn since_1970(at: Timestamp) -> Duration {
    Duration::from_millis(at.0)
}

fn serial() -> Result<SerialNumber, CaError> {
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    // Positive, as RFC 5280 asks.
    bytes[0] &= 0x7f;
    Ok(SerialNumber::from_slice(&bytes))
}
