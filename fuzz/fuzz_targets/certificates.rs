//! Certificates, keys and requests for them, as hosts and managers read them.
//!
//! The first byte says which text the bytes are; half of them get a PEM frame, to come further.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use model::object::CaMaterial;
use model::spec::Role;
use model::{ClusterId, Id, NodeId, Timestamp};
use orchestrator::ca::{Authority, NODE_LIFETIME, Subject, check_request, new_request, new_root};

const NOW: Timestamp = Timestamp(1_795_254_000_000);

struct Known {
    root: CaMaterial,
    authority: Authority,
    certificate: String,
    key: String,
    request: String,
}

fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| {
        // Another may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = new_root(NOW).expect("a root");
        let authority = Authority::new(&root).expect("its own root");
        let (key, request) = new_request().expect("a key");
        let certificate = authority.sign(&request, subject(), NOW, NODE_LIFETIME).expect("signed");
        Known { root, authority, certificate, key, request }
    })
}

fn subject() -> Subject {
    Subject { node: NodeId(Id(1)), role: Role::Worker, cluster: ClusterId(Id(2)) }
}

fn framed(kind: &str, bytes: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(bytes);
    format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n")
}

fuzz_target!(|bytes: &[u8]| {
    let Some((what, bytes)) = bytes.split_first() else { return };
    let known = known();
    let kind = ["CERTIFICATE REQUEST", "CERTIFICATE", "PRIVATE KEY", "CERTIFICATE"];
    let kind = kind[usize::from(*what >> 1) % 4];
    let text = if what & 1 == 0 {
        framed(kind, bytes)
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    };
    match (what >> 1) % 4 {
        0 => {
            let judged = check_request(&text);
            let signed = known.authority.sign(&text, subject(), NOW, NODE_LIFETIME);
            assert_eq!(judged.is_ok(), signed.is_ok(), "what is judged good is signed");
        }
        1 => {
            let _ = orchestrator::transport::Identity::new(&text, &known.key, &known.root.cert_pem);
            let _ = agent::transport::Identity::new(&text, &known.key, &known.root.cert_pem);
        }
        2 => {
            let (cert, root) = (&known.certificate, &known.root.cert_pem);
            let _ = orchestrator::transport::Identity::new(cert, &text, root);
            let _ = agent::transport::Identity::new(cert, &text, root);
            let damaged = CaMaterial { key_pem: text, ..known.root.clone() };
            let _ = Authority::new(&damaged);
        }
        _ => {
            let (cert, key) = (&known.certificate, &known.key);
            let _ = orchestrator::transport::Identity::new(cert, key, &text);
            let _ = agent::transport::Identity::new(cert, key, &text);
            let damaged = CaMaterial { cert_pem: text, ..known.root.clone() };
            if let Ok(authority) = Authority::new(&damaged) {
                let _ = authority.sign(&known.request, subject(), NOW, NODE_LIFETIME);
            }
        }
    }
});
