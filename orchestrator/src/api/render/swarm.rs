//! The cluster itself: what everyone may know, and the join tokens.

use data_encoding::BASE64;
use model::api::{ClusterInfo, JoinTokens, Swarm, TlsInfo};
use model::object::Cluster;
use model::wire::join::{JoinToken, digest_text};
use sha2::{Digest as _, Sha256};

/// What everyone may know.
pub(in crate::api) fn cluster_info(cluster: &Cluster, tls_info: TlsInfo) -> ClusterInfo {
    ClusterInfo {
        id: cluster.id.to_string(),
        version: cluster.meta.version.into(),
        created_at: cluster.meta.created_at.into(),
        updated_at: cluster.meta.updated_at.into(),
        spec: cluster.spec.clone(),
        tls_info,
        root_rotation_in_progress: false,
        default_addr_pool: cluster.address_pools.clone(),
        subnet_size: u32::from(cluster.subnet_size),
        data_path_port: u32::from(cluster.data_path_port),
    }
}

/// With the join tokens.
pub(in crate::api) fn swarm(cluster: &Cluster, tls_info: TlsInfo) -> Swarm {
    let digest = digest_text(&ca_digest(&cluster.ca.cert_pem));
    let token =
        |secret: &str| JoinToken { digest: digest.clone(), secret: secret.to_owned() }.to_string();
    let join_tokens = JoinTokens {
        worker: token(&cluster.tokens.worker),
        manager: token(&cluster.tokens.manager),
    };
    Swarm { info: cluster_info(cluster, tls_info), join_tokens }
}

/// SHA-256 of the certificate's DER; of nothing when it is no certificate.
fn ca_digest(pem: &str) -> [u8; 32] {
    let der = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map(|(_, pem)| pem.contents);
    Sha256::digest(der.unwrap_or_default()).into()
}

/// Whom the nodes trust; only the text when it is no certificate.
pub(in crate::api) fn tls_info(pem: &str) -> TlsInfo {
    let mut info = TlsInfo { trust_root: pem.to_owned(), ..TlsInfo::default() };
    if let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(pem.as_bytes())
        && let Ok((_, certificate)) = x509_parser::parse_x509_certificate(&pem.contents)
    {
        info.cert_issuer_subject = BASE64.encode(certificate.subject().as_raw());
        info.cert_issuer_public_key = BASE64.encode(certificate.public_key().raw);
    }
    info
}
