//! Keeps containers that no service has made off the cluster's networks.
//!
//! The engine knows such a network as a bridge of its own, and would choose an address on it that the
//! managers give to somebody else. Docker refuses networks that are not attachable, in these words.
//! Those that are would need an address from the managers: that is missing, and said so.

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;

use super::reply::{Answer, message};
use super::route::Asked;
use super::{LOOK, Socket, drain, pass, whole};
use crate::networks;

impl Socket {
    /// Creates a container on this host's engine.
    pub(super) async fn create_container(
        &self,
        asked: &Asked,
        request: Request<Incoming>,
    ) -> Result<Answer, Answer> {
        let (parts, body) = request.into_parts();
        let bytes = whole(body).await?;
        for network in networks_of(&serde_json::from_slice(&bytes).unwrap_or_default()) {
            self.may_attach(&network).await?;
        }
        pass::send_whole(&self.engine, &self.path_for_engine(asked).await, parts, bytes).await
    }

    /// Puts a container of this host's engine on a network.
    pub(super) async fn connect_network(
        &self,
        asked: &Asked,
        request: Request<Incoming>,
    ) -> Result<Answer, Answer> {
        let network = asked.path.split('/').nth(2).unwrap_or("");
        if let Err(refusal) = self.may_attach(network).await {
            drain(request).await;
            return Err(refusal);
        }
        self.to_engine(asked, request).await
    }

    /// Refuses a network of the cluster; `network` is its name or id as it stands in a path.
    async fn may_attach(&self, network: &str) -> Result<(), Answer> {
        let local =
            self.engine.call(Method::GET, &format!("/networks/{network}"), None, LOOK).await;
        let local = local.ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let half = local.as_ref().is_some_and(networks::is_half);
        if local.is_some() && !half {
            return Ok(());
        }
        let path = format!("/networks/{network}?scope=swarm");
        let cluster = match self.manager() {
            Ok(manager) => manager.json(Method::GET, &path, None, LOOK).await.ok(),
            Err(_) => None,
        };
        let name = |of: &Value| of["Name"].as_str().unwrap_or(network).to_owned();
        match (cluster, local) {
            (Some(cluster), _) if cluster["Attachable"] != true => {
                let name = name(&cluster);
                Err(message(
                    StatusCode::FORBIDDEN,
                    &format!(
                        "Could not attach to network {name}: rpc error: code = PermissionDenied \
                         desc = network {name} not manually attachable"
                    ),
                ))
            }
            (Some(found), _) | (None, Some(found)) => Err(message(
                StatusCode::NOT_IMPLEMENTED,
                &format!(
                    "Could not attach to network {}: only tasks of services can be on a network of \
                     the cluster so far",
                    name(&found)
                ),
            )),
            // The engine says that there is none.
            (None, None) => Ok(()),
        }
    }
}

/// The networks that a new container asks for, as they stand in a path.
fn networks_of(container: &Value) -> Vec<String> {
    let mode = container["HostConfig"]["NetworkMode"].as_str();
    let others = container["NetworkingConfig"]["EndpointsConfig"].as_object();
    let others = others.into_iter().flat_map(|map| map.keys().map(String::as_str));
    let mut names: Vec<String> = mode
        .into_iter()
        .chain(others)
        .filter(|name| !matches!(*name, "" | "default" | "bridge" | "host" | "none"))
        .filter(|name| !name.starts_with("container:"))
        .map(encoded)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A name as one word of a path.
fn encoded(name: &str) -> String {
    let word = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    name.bytes().map(word).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_networks_of_a_container_are_those_of_both_places_but_the_engines_own() {
        let asks = |mode: &str, others: Value| {
            networks_of(&json!({"HostConfig": {"NetworkMode": mode},
                                "NetworkingConfig": {"EndpointsConfig": others}}))
        };
        assert_eq!(asks("front", json!({"front": {}, "a b": null})), ["a%20b", "front"]);
        assert_eq!(asks("container:4f", Value::Null), Vec::<String>::new());
        assert_eq!(asks("bridge", json!({"host": {}})), Vec::<String>::new());
        assert_eq!(networks_of(&json!({"Image": "web"})), Vec::<String>::new());
    }
}
