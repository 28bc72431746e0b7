//! The certificate authority of running managers is replaced, and nobody notices.

use model::object::NodeTrust;
use orchestrator_core::command::{Batch, Command, Entry};
use serde_json::Value;

use super::*;
use crate::log::clock;

/// What a client on a manager's host is answered.
async fn api(at: &Router, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let request = axum::extract::Request::builder().method(method).uri(path).body(body);
    let answer = at.clone().oneshot(request.expect("a request")).await.expect("never fails");
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn swarm(at: &Running) -> Value {
    let (status, swarm) = api(&at.local, "GET", "/swarm", &Value::Null).await;
    assert_eq!(status, 200, "{swarm}");
    swarm
}

/// Writes a command, wherever the leader is.
async fn write(managers: &[&Running], command: &Command) {
    let written = async {
        for manager in managers.iter().cycle() {
            let batch = Batch { commands: vec![command.clone()], base: None };
            if manager.log.propose(Entry { at: clock(), batch }).await.is_ok() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, written).await.expect("a leader in time");
}

/// What the agent of a manager's host does when it is told of another authority.
async fn renew(managers: &[&Running], host: &Running) -> NodeTrust {
    let paths = paths(host.folder.path());
    let (key, csr_pem) = new_request().expect("a key");
    let certificate: Certificate =
        ask(&host.pool(), &host.target(), "/renew", &RenewRequest { csr_pem })
            .await
            .expect("renewed");
    let identity = Identity::new(&certificate.cert_pem, &key, &certificate.ca_pem).expect("whole");
    identity.store(&paths).expect("stored");
    describe(managers, host.log.node(), &identity.trust).await;
    identity.trust.clone()
}

async fn describe(managers: &[&Running], node: NodeId, trust: &NodeTrust) {
    let state = managers[0].log.state();
    let known = state.state.node(node).map(|node| node.description.clone());
    let description =
        Box::new(NodeDescription { trust: Some(trust.clone()), ..known.unwrap_or_default() });
    write(managers, &Command::DescribeNode { node, description }).await;
}

/// A request that takes both sides' certificates.
async fn asked(pool: &Arc<Pool>, target: &Target) -> Result<Certificate, CallError> {
    let (_, csr_pem) = new_request().expect("a key");
    ask(pool, target, "/renew", &RenewRequest { csr_pem }).await
}

/// New connections from every host to every other.
async fn all_reach_each_other(managers: &[&Running]) {
    for from in managers {
        for to in managers {
            for lane in [Lane::Api, Lane::Raft] {
                let target = Target { node: Some(to.log.node()), lane, ..to.target() };
                asked(&from.pool(), &target).await.expect("certificates that hold");
            }
        }
    }
}

/// Waits until `manager` has applied what makes `is` true.
async fn until(manager: &Running, is: impl Fn(&orchestrator_core::State) -> bool) {
    let mut changes = manager.log.watch().1;
    let reached = async {
        while !is(&manager.log.state().state) {
            changes.next().await.expect("a running log");
        }
    };
    timeout(SOON, reached).await.expect("in time");
}

fn is_over(state: &orchestrator_core::State) -> bool {
    state.cluster().is_some_and(|cluster| cluster.rotation.is_none() && cluster.trust.is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_get_another_authority_while_they_run() {
    let first = Running::first_as(Running::whole).await;
    let second = join_manager_as(Running::whole, &first, &first).await;
    let third = join_manager_as(Running::whole, &first, &first).await;
    let managers = [&first, &second, &third];
    for manager in managers {
        describe(&managers, manager.log.node(), &manager.identity().trust).await;
    }
    let old = [first.identity(), second.identity()];
    let old_token = first.token(Role::Worker);
    let before = swarm(&first).await;
    let mut spec = before["Spec"].clone();
    spec["CAConfig"]["ForceRotate"] = 1.into();
    let path = format!("/swarm/update?version={}", before["Version"]["Index"]);
    assert_eq!(api(&first.local, "POST", &path, &spec).await.0, 200);

    // While some have followed and others have not, everybody talks to everybody.
    let wanted = renew(&managers, &first).await;
    assert_eq!(wanted.roots.len(), 2, "both meanwhile");
    all_reach_each_other(&managers).await;
    // A host joins by the old token, at a manager that has the new certificate.
    let (key, request) = join_request(old_token.clone(), "w1", "");
    let reply: JoinReply =
        ask(&second.pool(), &first.target(), "/join", &request).await.expect("let in");
    let Certificate { cert_pem, ca_pem, .. } = &reply.certificate;
    let worker = Identity::new(cert_pem, &key, ca_pem).expect("an identity");
    assert_eq!(worker.trust, wanted);
    describe(&managers, reply.node, &worker.trust).await;
    let worker = pool(worker);
    for manager in managers {
        asked(&worker, &manager.target()).await.expect("either kind of certificate");
    }
    renew(&managers, &second).await;
    all_reach_each_other(&managers).await;
    let during = swarm(&first).await;
    assert_eq!(during["RootRotationInProgress"], true);
    assert_eq!(during["JoinTokens"], before["JoinTokens"]);
    assert_eq!(during["TLSInfo"]["TrustRoot"], before["TLSInfo"]["TrustRoot"]);
    let key = |swarm: &Value| swarm["TLSInfo"]["CertIssuerPublicKey"].clone();
    assert_ne!(key(&during), key(&before));

    // The last one: each process says itself that it uses its new certificate.
    renew(&managers, &third).await;
    for manager in managers {
        until(manager, is_over).await;
    }
    let after = swarm(&first).await;
    assert_eq!(after["RootRotationInProgress"], false);
    assert_eq!(key(&after), key(&during));
    assert_ne!(after["TLSInfo"]["TrustRoot"], before["TLSInfo"]["TrustRoot"]);
    for role in ["Worker", "Manager"] {
        let token = |swarm: &Value| swarm["JoinTokens"][role].as_str().expect("text").to_owned();
        let (new, old) = (token(&after), token(&before));
        let [new, old] = [&new, &old].map(|token| token.split('-').collect::<Vec<_>>());
        assert!(new[2] != old[2] && new[3] != old[3], "{role}: {new:?} {old:?}");
    }
    // One after the other forgets the old root.
    for manager in managers {
        assert_eq!(renew(&managers, manager).await.roots.len(), 1);
        all_reach_each_other(&managers).await;
    }
    let (_, request) = join_request(old_token, "w2", "");
    let refused: Result<JoinReply, _> =
        ask(&first.pool(), &first.target(), "/join", &request).await;
    let what = format!("{refused:?}");
    assert!(matches!(refused, Err(CallError::Refused { status, .. }) if status == 403), "{what}");
    // Certificates of the old root open nothing any more, once a process has looked at its files.
    for old in old {
        let old = Arc::new(old);
        let shut_out = async {
            // Each try is a new connection.
            let stranger = || Pool::new(watch::Sender::new(old.clone()).subscribe());
            while asked(&stranger(), &third.target()).await.is_ok() {}
        };
        timeout(SOON, shut_out).await.expect("in time");
    }
    // A manager that starts anew finds the others by its new certificate.
    let listen = third.listen;
    let folder = third.stop().await;
    let manager = Manager::open(settings(folder.path(), listen)).await.expect("the manager");
    let third = Running::whole(folder, listen, manager);
    let managers = [&first, &second, &third];
    let node = reply.node;
    let lost = Command::RemoveNode { id: node, force: orchestrator_core::command::Force::Yes };
    write(&managers, &lost).await;
    until(&third, |state| state.node(node).is_none()).await;
    for manager in [third, second, first] {
        manager.stop().await;
    }
}
