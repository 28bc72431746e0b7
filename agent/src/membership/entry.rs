//! How this host becomes a node: by starting a cluster, or by a token; and how it renews its certificate.

use std::net::SocketAddr;

use model::api::InitRequest;
use model::object::NodeDescription;
use model::spec::Availability;
use model::wire::join::{Certificate, JoinReply, JoinRequest, JoinToken, RenewRequest};
use model::wire::start::Start;

use super::{MembershipError, Parts, address};
use crate::disk::{self, Care};
use crate::ledger::Member;
use crate::supervise::Running;
use crate::transport::identity::{joining, new_request};
use crate::transport::{Identity, Link, LinkError};

/// Said when no manager could be reached.
const UNREACHABLE: &str =
    ". Is the address right, does a manager run there, and is its port open between the hosts?";

/// Starts a manager with a new cluster; it makes this host's certificate.
pub(super) async fn bootstrap(
    parts: &Parts,
    request: InitRequest,
    description: NodeDescription,
    advertise: &str,
    listen: SocketAddr,
) -> Result<(Member, Identity, Running), MembershipError> {
    let disk_error =
        |what, e: &dyn std::fmt::Display| MembershipError::Disk { what, why: e.to_string() };
    let mut spec = request.spec;
    spec.encryption_config.auto_lock_managers |= request.auto_lock_managers;
    let start = Start {
        description,
        availability: request.availability,
        spec,
        address_pools: request.default_addr_pool,
        subnet_size: u8::try_from(request.subnet_size).unwrap_or(u8::MAX),
        data_path_port: u16::try_from(request.data_path_port).unwrap_or(u16::MAX),
    };
    let file = parts.config.data_dir.join("start.json");
    let bytes =
        serde_json::to_vec(&start).map_err(|e| disk_error("the new cluster's settings", &e))?;
    disk::write(&file, &bytes, Care::Quick)
        .map_err(|e| disk_error("the new cluster's settings", &e))?;
    let full = address::with_port(advertise, listen.port());
    let mut member = Member {
        node: model::NodeId::default(),
        cluster: model::ClusterId::default(),
        managers: vec![full],
        advertise: advertise.to_owned(),
        listen: listen.to_string(),
    };
    let orchestrator = parts.orchestrator(&member)?;
    let started = orchestrator.bootstrap(&file).await;
    // It holds nothing secret and nothing that is needed again.
    let _ = disk::remove(&file);
    let running = match started {
        Ok(running) => running,
        Err(error) => {
            // A failed start may have left a certificate of a cluster that never was.
            let _ = parts.certs.remove();
            return Err(error.into());
        }
    };
    let identity = parts.certs.load()?;
    member.node = identity.node;
    member.cluster = identity.cluster;
    parts.ledger.save_member(&member).map_err(|e| disk_error("the ledger", &e))?;
    tracing::info!(node = %member.node, cluster = %member.cluster, "started a cluster");
    Ok((member, identity, running))
}

/// Gets a certificate for a token from the first manager that can be reached.
pub(super) async fn join(
    parts: &Parts,
    token: &JoinToken,
    remotes: &[String],
    description: NodeDescription,
    availability: Availability,
    advertise: &str,
    listen: SocketAddr,
) -> Result<(Member, Identity), MembershipError> {
    let wrong =
        |what, e: &dyn std::fmt::Display| MembershipError::Disk { what, why: e.to_string() };
    let (key_pem, csr_pem) = new_request().map_err(|e| wrong("a key", &e))?;
    let request = JoinRequest {
        token: token.to_string(),
        csr_pem,
        description,
        availability,
        manager_address: address::with_port(advertise, listen.port()),
    };
    let mut reply: Result<JoinReply, LinkError> =
        Err(LinkError::Unreachable { address: String::new(), why: String::new() });
    for remote in remotes {
        reply = ask(remote, token, &request).await;
        match &reply {
            // The next may be reachable, or know a leader.
            Err(LinkError::Unreachable { .. } | LinkError::Refused { status: 500.., .. }) => {}
            Ok(_) | Err(_) => break,
        }
    }
    let reply = reply.map_err(|problem| {
        let unreachable = matches!(problem, LinkError::Unreachable { .. });
        MembershipError::Link { problem, hint: if unreachable { UNREACHABLE } else { "" } }
    })?;
    let Certificate { cert_pem, ca_pem, .. } = &reply.certificate;
    let identity = Identity::new(cert_pem, &key_pem, ca_pem)?;
    let mut managers: Vec<String> = reply.managers.into_values().collect();
    for remote in remotes {
        if !managers.contains(remote) {
            managers.push(remote.clone());
        }
    }
    let member = Member {
        node: reply.node,
        cluster: identity.cluster,
        managers,
        advertise: advertise.to_owned(),
        listen: listen.to_string(),
    };
    parts.certs.save(cert_pem, &key_pem, ca_pem).map_err(|e| wrong("the certificates", &e))?;
    parts.ledger.save_member(&member).map_err(|e| wrong("the ledger", &e))?;
    tracing::info!(node = %member.node, cluster = %member.cluster, role = reply.role.name(), "joined");
    Ok((member, identity))
}

async fn ask(
    remote: &str,
    token: &JoinToken,
    request: &JoinRequest,
) -> Result<JoinReply, LinkError> {
    Link::open(remote, joining(&token.digest)).await?.ask("/join", request).await
}

/// Gets a new certificate for the role that the node has now, and writes it.
pub(super) async fn renew(
    parts: &Parts,
    identity: &Identity,
    managers: &[String],
) -> Result<Identity, MembershipError> {
    let wrong =
        |what, e: &dyn std::fmt::Display| MembershipError::Disk { what, why: e.to_string() };
    let (key_pem, csr_pem) = new_request().map_err(|e| wrong("a key", &e))?;
    let request = RenewRequest { csr_pem };
    let mut last = None;
    for manager in managers {
        let asked = async {
            Link::open(manager, identity.client())
                .await?
                .ask::<_, Certificate>("/renew", &request)
                .await
        };
        match asked.await {
            Ok(Certificate { cert_pem, ca_pem, .. }) => {
                let renewed = Identity::new(&cert_pem, &key_pem, &ca_pem)?;
                parts
                    .certs
                    .save(&cert_pem, &key_pem, &ca_pem)
                    .map_err(|e| wrong("the certificates", &e))?;
                return Ok(renewed);
            }
            Err(error) => last = Some(error),
        }
    }
    let problem = last.unwrap_or_else(|| LinkError::Unreachable {
        address: String::from("(none known)"),
        why: String::from("no manager is known"),
    });
    Err(MembershipError::Link { problem, hint: "" })
}
