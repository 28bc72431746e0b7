//! Roots: which authority a certificate is of, how one root vouches for the next, and whether one
//! that was given can be used.

use std::collections::BTreeSet;
use std::sync::Arc;

use data_encoding::BASE64;
use model::object::{CaMaterial, NodeTrust, RootRotation};
use model::spec::Role;
use model::wire::join::digest_text;
use model::{ClusterId, Millis, NodeId, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use sha2::{Digest as _, Sha256};
use x509_parser::der_parser::asn1_rs::Tag;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::X509Name;

use super::{Authority, CaError, Subject, digest_of, new_request, new_secrets, serial, since_1970};

/// How much of its life a root that is given must have before it: nodes' certificates end with it.
const ROOT_LEFT: Millis = Millis::from_secs(365 * 24 * 3600);

/// Which authority a host's certificate is of and whom the host trusts.
///
/// `chain` is its certificate and those that go along with it. The authority is looked for among
/// those and the roots, by its name and by the signature; nobody's is empty.
#[must_use]
pub fn trust_of(chain: &[CertificateDer<'_>], roots: &[CertificateDer<'_>]) -> NodeTrust {
    let leaf = chain.first().and_then(|der| X509Certificate::from_der(der).ok());
    let issuer = leaf.and_then(|(_, leaf)| {
        chain.iter().skip(1).chain(roots).find_map(|der| {
            let (_, issuer) = X509Certificate::from_der(der).ok()?;
            let named = issuer.subject().as_raw() == leaf.issuer().as_raw();
            (named && leaf.verify_signature(Some(issuer.public_key())).is_ok())
                .then(|| issuer_id(&issuer))
        })
    });
    NodeTrust { issuer: issuer.unwrap_or_default(), roots: roots.iter().map(digest_of).collect() }
}

/// What hosts say whose certificate is of the root, and which trust it alone.
///
/// # Errors
/// When it does not read.
pub fn trust_in(root_pem: &str) -> Result<NodeTrust, CaError> {
    let der = read(root_pem)?;
    let (_, root) = X509Certificate::from_der(&der).map_err(|_| unreadable())?;
    Ok(NodeTrust { issuer: issuer_id(&root), roots: BTreeSet::from([digest_of(&der)]) })
}

/// An authority as certificates name it: by its name and its key.
fn issuer_id(root: &X509Certificate<'_>) -> String {
    let mut hash = Sha256::new();
    hash.update(root.subject().as_raw());
    hash.update(root.public_key().raw);
    digest_text(&hash.finalize().into())
}

/// The rotation from the present root to the next.
///
/// # Errors
/// When one of them does not read, or there are no random numbers.
pub fn rotation(present: &CaMaterial, next: CaMaterial) -> Result<RootRotation, CaError> {
    let signer = Authority::new(present)?;
    let der = read(&next.cert_pem)?;
    let (_, root) = X509Certificate::from_der(&der).map_err(|_| unreadable())?;
    let key = KeyPair::from_pem(&next.key_pem).map_err(CaError::Authority)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = name_of(root.subject())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(serial()?);
    let at = |seconds: i64| {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        date_time_ymd(1970, 1, 1) + since_1970(Timestamp(seconds.saturating_mul(1000)))
    };
    params.not_before = at(root.validity().not_before.timestamp());
    params.not_after = at(root.validity().not_after.timestamp());
    let cross = params.signed_by(&key, &signer.issuer).map_err(CaError::Authority)?;
    Ok(RootRotation {
        cross_cert_pem: cross.pem(),
        wanted: trust_in(&next.cert_pem)?,
        present: trust_in(&present.cert_pem)?,
        tokens: new_secrets()?,
        ca: next,
    })
}

/// Reads and judges an authority that a user gives: a certificate and its key, PEM.
///
/// # Errors
/// Every problem there is.
pub fn given(cert_pem: &str, key_pem: &str, now: Timestamp) -> Result<CaMaterial, Vec<String>> {
    let mut problems = Vec::new();
    let certificate = match (cert_pem.is_empty(), key_pem.is_empty()) {
        (true, _) => {
            problems.push(
                "if a signing CA key is provided, the signing CA cert must also be provided"
                    .to_owned(),
            );
            None
        }
        (false, no_key) => {
            if no_key {
                problems.push(
                    "CAConfig.SigningCAKey: the key of the certificate is needed; an authority \
                     without it would be an external one, which is not supported"
                        .to_owned(),
                );
            }
            judged_certificate(cert_pem, now, &mut problems)
        }
    };
    let key = if key_pem.is_empty() { None } else { judged_key(key_pem, &mut problems) };
    if let (Some(der), Some(key)) = (&certificate, &key)
        && let Ok((_, parsed)) = X509Certificate::from_der(der)
        && parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw()
    {
        problems.push("CAConfig.SigningCAKey: it is not the key of SigningCACert".to_owned());
    }
    let (Some(der), Some(key), true) = (certificate, key, problems.is_empty()) else {
        return Err(problems);
    };
    let material = CaMaterial { cert_pem: pem(&der), key_pem: key.serialize_pem() };
    match holds(&material, &der, now) {
        Ok(()) => Ok(material),
        Err(why) => Err(vec![format!(
            "CAConfig.SigningCACert: nodes would not accept what it signs: {why}"
        )]),
    }
}

/// The certificate, if it is one; what speaks against it.
fn judged_certificate(
    text: &str,
    now: Timestamp,
    problems: &mut Vec<String>,
) -> Option<CertificateDer<'static>> {
    let mut wrong = |why: &str| problems.push(format!("CAConfig.SigningCACert: {why}"));
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let mut all = match all {
        Ok(all) if !all.is_empty() => all,
        Ok(_) | Err(_) => {
            wrong("it is not a certificate in PEM form");
            return None;
        }
    };
    if all.len() > 1 {
        wrong("the desired CA certificate cannot contain multiple certificates");
        return None;
    }
    let der = all.remove(0);
    let Ok((_, parsed)) = X509Certificate::from_der(&der) else {
        wrong("it is not a certificate in PEM form");
        return None;
    };
    if !parsed.is_ca() {
        wrong("it is not a certificate of an authority (basic constraints: CA)");
    }
    if parsed.key_usage().ok().flatten().is_some_and(|usage| !usage.value.key_cert_sign()) {
        wrong("its key may not sign certificates (key usage)");
    }
    if name_of(parsed.subject()).is_err() {
        wrong("its name is not of the usual form");
    }
    let at = |seconds: i64| Timestamp(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000));
    let validity = parsed.validity();
    if at(validity.not_before.timestamp()) > now {
        wrong(&format!("it is valid only from {}", validity.not_before));
    }
    if at(validity.not_after.timestamp()) <= now {
        wrong(&format!("it expired on {}", validity.not_after));
    } else if at(validity.not_after.timestamp()) < now + ROOT_LEFT {
        wrong(&format!("it expires too soon, on {}: a year is the least", validity.not_after));
    }
    Some(der)
}

/// The key, if it is of a kind that hosts can check.
fn judged_key(text: &str, problems: &mut Vec<String>) -> Option<KeyPair> {
    let key = match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
        Ok(key) => key,
        Err(_) => {
            let why =
                "CAConfig.SigningCAKey: it is not a private key in PEM form without a password";
            problems.push(why.to_owned());
            return None;
        }
    };
    let forms = match &key {
        PrivateKeyDer::Pkcs8(key) => vec![key.secret_pkcs8_der().to_vec()],
        PrivateKeyDer::Sec1(key) => {
            [P256, P384].map(|kind| pkcs8(kind, key.secret_sec1_der())).to_vec()
        }
        PrivateKeyDer::Pkcs1(key) => vec![pkcs8(RSA, key.secret_pkcs1_der())],
        _ => Vec::new(),
    };
    let read = forms.into_iter().find_map(|der| {
        KeyPair::try_from(&PrivateKeyDer::from(PrivatePkcs8KeyDer::from(der))).ok()
    });
    if read.is_none() {
        problems.push(
            "CAConfig.SigningCAKey: its kind cannot be used; ECDSA on P-256 or P-384, Ed25519 and \
             RSA from 2048 bits can"
                .to_owned(),
        );
    }
    read
}

/// Signs for a node that does not exist and looks at it as a host would.
fn holds(root: &CaMaterial, der: &CertificateDer<'static>, now: Timestamp) -> Result<(), String> {
    let authority = Authority::new(root).map_err(|e| e.to_string())?;
    let subject =
        Subject { node: NodeId::default(), role: Role::Manager, cluster: ClusterId::default() };
    let (_, request) = new_request().map_err(|e| e.to_string())?;
    let signed = authority
        .sign(&request, subject, now, Millis::from_secs(3600))
        .map_err(|e| e.to_string())?;
    let leaf = CertificateDer::from_pem_slice(signed.as_bytes()).map_err(|e| e.to_string())?;
    let mut roots = RootCertStore::empty();
    roots.add(der.clone()).map_err(|e| e.to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|e| e.to_string())?;
    let name = ServerName::try_from(super::role_unit(Role::Manager)).map_err(|e| e.to_string())?;
    let at = UnixTime::since_unix_epoch(since_1970(now));
    verifier.verify_server_cert(&leaf, &[], &name, &[], at).map(|_| ()).map_err(|e| e.to_string())
}

/// A name as rcgen writes it again, so that certificates of the root name it byte for byte.
fn name_of(name: &X509Name<'_>) -> Result<DistinguishedName, CaError> {
    let mut written = DistinguishedName::new();
    for part in name.iter() {
        let mut values = part.iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Err(unreadable()) };
        let oid: Vec<u64> =
            value.attr_type().iter().map(Iterator::collect).ok_or_else(unreadable)?;
        let text = std::str::from_utf8(value.attr_value().data).map_err(|_| unreadable())?;
        let kind = value.attr_value().header.tag();
        let value = if kind == Tag::Utf8String {
            DnValue::Utf8String(text.to_owned())
        } else if kind == Tag::PrintableString {
            DnValue::PrintableString(text.try_into().map_err(CaError::Authority)?)
        } else if kind == Tag::Ia5String {
            DnValue::Ia5String(text.try_into().map_err(CaError::Authority)?)
        } else {
            return Err(unreadable());
        };
        let kind = DnType::from_oid(&oid);
        if written.get(&kind).is_some() {
            return Err(unreadable());
        }
        written.push(kind, value);
    }
    Ok(written)
}

fn unreadable() -> CaError {
    CaError::Authority(rcgen::Error::CouldNotParseCertificate)
}

fn read(pem: &str) -> Result<CertificateDer<'static>, CaError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| unreadable())
}

/// In the form of which there is only one, whatever the user's text looked like.
fn pem(der: &CertificateDer<'_>) -> String {
    let text = BASE64.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap_or_default()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// `AlgorithmIdentifier`s, DER: of an EC key on a curve, of an RSA key (RFC 5480, RFC 8017).
const P256: &[u8] =
    b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";
const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

/// A key of an older form ("EC PRIVATE KEY", "RSA PRIVATE KEY") in that of PKCS #8 (RFC 5208).
fn pkcs8(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let mut inner = vec![0x02, 0x01, 0x00];
    inner.extend_from_slice(algorithm);
    inner.extend(tagged(0x04, key));
    tagged(0x30, &inner)
}

/// A DER value: tag, length, content.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut value = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short @ 0..128) => value.push(short),
        Ok(_) | Err(_) => {
            let bytes = content.len().to_be_bytes();
            let length: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
            // At most the eight bytes of a length of this machine.
            value.push(0x80 | u8::try_from(length.len()).unwrap_or(0));
            value.extend(length);
        }
    }
    value.extend_from_slice(content);
    value
}

#[cfg(test)]
mod tests;
