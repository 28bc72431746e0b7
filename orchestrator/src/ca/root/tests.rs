//! Roots that follow each other, and roots that users give.

use rcgen::{PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SanType};

use super::*;
use crate::ca::{NODE_LIFETIME, host_name, new_root};
use crate::log::clock;

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().expect("certificates")
}

/// Whether a host that trusts `roots` accepts the certificate of node 1, with what goes along.
fn accepts(roots_pem: &str, chain_pem: &str) -> bool {
    let mut roots = RootCertStore::empty();
    for root in certificates(roots_pem) {
        roots.add(root).expect("a root");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .expect("a verifier");
    let name = ServerName::try_from(host_name(NodeId(model::Id(1)))).expect("a name");
    let chain = certificates(chain_pem);
    let now = UnixTime::since_unix_epoch(since_1970(clock()));
    verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], now).is_ok()
}

fn signed(authority: &Authority) -> String {
    let subject = Subject {
        node: NodeId(model::Id(1)),
        role: Role::Worker,
        cluster: ClusterId(model::Id(2)),
    };
    let (_, request) = new_request().expect("a key");
    authority.sign(&request, subject, clock(), NODE_LIFETIME).expect("signed")
}

/// What signs while `rotation` runs.
fn during(present: &CaMaterial, rotation: &RootRotation) -> Authority {
    let next = Authority::new(&rotation.ca).expect("its root");
    let present = Authority::new(present).expect("its root");
    Authority {
        issuer: next.issuer,
        cross_pem: rotation.cross_cert_pem.clone(),
        roots_pem: present.roots_pem + &next.roots_pem,
        digest: present.digest,
    }
}

#[test]
fn a_host_that_trusts_either_root_accepts_certificates_of_a_rotation_that_runs() {
    let (old, new) = (new_root(clock()).expect("a root"), new_root(clock()).expect("a root"));
    let rotation = rotation(&old, new.clone()).expect("a rotation");
    let before = signed(&Authority::new(&old).expect("its root"));
    let between = signed(&during(&old, &rotation));
    let after = signed(&Authority::new(&new).expect("its root"));
    let both = format!("{}{}", old.cert_pem, new.cert_pem);
    for (roots, chain, accepted) in [
        (&old.cert_pem, &before, true),
        (&old.cert_pem, &between, true),
        (&old.cert_pem, &after, false),
        (&both, &before, true),
        (&both, &between, true),
        (&both, &after, true),
        (&new.cert_pem, &before, false),
        (&new.cert_pem, &between, true),
        (&new.cert_pem, &after, true),
    ] {
        assert_eq!(accepts(roots, chain), accepted);
    }
    let said = |chain: &str, roots: &str| trust_of(&certificates(chain), &certificates(roots));
    assert_eq!(said(&before, &old.cert_pem), rotation.present);
    assert_eq!(said(&between, &both), rotation.meanwhile());
    assert_eq!(said(&after, &new.cert_pem), rotation.wanted);
    assert_eq!(said(&before, &both).issuer, rotation.present.issuer);
    assert_eq!(said(&before, &new.cert_pem).issuer, "", "nobody's that is known");
}

/// A root as users make them, with its key.
fn root(key: KeyPair, edit: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Example");
    let printable = "Example root".try_into().expect("printable");
    params.distinguished_name.push(DnType::CommonName, DnValue::PrintableString(printable));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let now = date_time_ymd(1970, 1, 1) + since_1970(clock());
    params.not_before = now - std::time::Duration::from_secs(3600);
    params.not_after = now + std::time::Duration::from_secs(10 * 365 * 24 * 3600);
    edit(&mut params);
    (params.self_signed(&key).expect("signed").pem(), key.serialize_pem())
}

fn pair() -> (String, String) {
    root(KeyPair::generate().expect("a key"), |_| {})
}

#[test]
fn a_given_root_of_another_name_or_kind_of_key_can_follow() {
    let old = new_root(clock()).expect("a root");
    let key = |kind| KeyPair::generate_for(kind).expect("a key");
    for (cert, key) in [
        pair(),
        root(key(&PKCS_ECDSA_P384_SHA384), |_| {}),
        root(key(&PKCS_ED25519), |_| {}),
        root(key(&PKCS_ED25519), |p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))),
    ] {
        let windows = format!("Bag attributes\r\n{}", cert.replace('\n', "\r\n"));
        let given = given(&windows, &key, clock()).expect("it can be used");
        assert_eq!(certificates(&given.cert_pem), certificates(&cert));
        let rotation = rotation(&old, given.clone()).expect("a rotation");
        let between = signed(&during(&old, &rotation));
        assert!(accepts(&old.cert_pem, &between));
        assert!(accepts(&given.cert_pem, &between));
        // And on from there.
        let back = super::rotation(&given, old.clone()).expect("a rotation");
        assert!(accepts(&given.cert_pem, &signed(&during(&given, &back))));
    }
}

#[test]
fn keys_in_the_older_forms_can_be_used() {
    for kind in [&rcgen::PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384] {
        let key = KeyPair::generate_for(kind).expect("a key");
        let (_, info) = x509_parser::pem::parse_x509_pem(key.serialize_pem().as_bytes())
            .map(|(rest, pem)| (rest.to_vec(), pem.contents))
            .expect("PEM");
        // The last value of PKCS #8 is the octets of the older form.
        let at =
            info.windows(2).position(|w| w == b"\x04\x6d" || w == b"\x04\x81").expect("octets");
        let sec1 = if info[at + 1] == 0x6d { &info[at + 2..] } else { &info[at + 3..] };
        let text = BASE64.encode(sec1);
        let older =
            format!("-----BEGIN EC PRIVATE KEY-----\n{text}\n-----END EC PRIVATE KEY-----\n");
        let (cert, newer) = root(key, |_| {});
        let given = given(&cert, &older, clock()).expect("it can be used");
        assert_eq!(given.key_pem.trim(), newer.trim().replace("\r\n", "\n"));
    }
}

#[test]
fn every_problem_of_a_given_root_is_named() {
    let (cert, key) = pair();
    let (other, _) = pair();
    let leaf = root(KeyPair::generate().expect("a key"), |p| p.is_ca = IsCa::NoCa);
    let old = root(KeyPair::generate().expect("a key"), |p| {
        p.not_after = p.not_before + std::time::Duration::from_secs(60);
    });
    let soon = root(KeyPair::generate().expect("a key"), |p| {
        p.not_after = p.not_before + std::time::Duration::from_secs(30 * 24 * 3600);
        p.subject_alt_names = vec![SanType::DnsName("x.example".try_into().expect("a name"))];
    });
    let narrow = root(KeyPair::generate().expect("a key"), |p| {
        p.name_constraints = Some(rcgen::NameConstraints {
            permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("example.org".into())],
            excluded_subtrees: Vec::new(),
        });
    });
    let two = format!("{cert}{other}");
    for (cert, key, problems) in [
        ("", &*key, &["the signing CA cert must also be provided"][..]),
        (&*cert, "", &["the key of the certificate is needed"]),
        ("x", "y", &["not a certificate in PEM form", "not a private key in PEM form"]),
        (&*two, &key, &["cannot contain multiple certificates"]),
        (&*other, &key, &["it is not the key of SigningCACert"]),
        (&*leaf.0, &*leaf.1, &["not a certificate of an authority"]),
        (&*old.0, &*key, &["it expired on", "it is not the key"]),
        (&*soon.0, &*soon.1, &["it expires too soon"]),
        (&*narrow.0, &*narrow.1, &["nodes would not accept what it signs"]),
    ] {
        let found = given(cert, key, clock()).err().expect("it cannot be used");
        assert_eq!(found.len(), problems.len(), "{found:?}");
        for (found, expected) in found.iter().zip(problems) {
            assert!(found.contains(expected), "{found} {expected}");
        }
    }
}
