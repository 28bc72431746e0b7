//! Which part of the host answers a request: the engine, the manager, or the agent itself. Pure.

use http::{Method, Uri};
use model::api::{API_VERSION, MIN_API_VERSION};

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Ping,
    Info,
    Version,
    Events,
    Init,
    Join,
    Leave,
    /// Lists, creates, or names one network: where it is depends on what it is.
    Networks,
    NetworkCreate,
    NetworkConnect,
    Network,
    /// Asks a registry for an image.
    Distribution,
    /// Names one container, or an exec in one: on this host's engine, else wherever it runs.
    Container,
    ContainerCreate,
    Exec,
    /// What this host measures.
    Metrics,
    /// The cluster's part of the API.
    Manager,
    /// Everything else.
    Engine,
}

/// A path without its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// As the client wrote it, `1.41`.
    pub version: Option<String>,
    /// Without the version, with the query.
    pub path: String,
}

/// A version outside of what is spoken; the text is Docker's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    #[error("client version {0} is too new. Maximum supported API version is {API_VERSION}")]
    TooNew(String),
    #[error(
        "client version {0} is too old. Minimum supported API version is {MIN_API_VERSION}, please upgrade your client to a newer version"
    )]
    TooOld(String),
}

/// The first words of paths that the manager answers.
const CLUSTER: [&str; 16] = [
    "dashboard",
    "swarm",
    "nodes",
    "services",
    "tasks",
    "secrets",
    "configs",
    "stacks",
    "watch",
    "explain",
    "rebalance",
    "backup",
    "restore",
    "prometheus",
    "openapi.json",
    "_swarm",
];

/// Takes the version off a path. One without a slash in front (`*`) gets one: it is passed on behind a
/// version.
///
/// # Errors
/// [`VersionError`] for one that is not spoken.
pub fn asked(uri: &Uri) -> Result<Asked, VersionError> {
    let path = slashed(uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str));
    let versioned = path.strip_prefix("/v").and_then(|rest| {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (version, rest) = rest.split_at(end);
        numbers(version).map(|n| (version, n, rest))
    });
    let Some((version, number, rest)) = versioned else {
        return Ok(Asked { version: None, path });
    };
    if Some(number) > numbers(API_VERSION) {
        return Err(VersionError::TooNew(version.to_owned()));
    }
    if Some(number) < numbers(MIN_API_VERSION) {
        return Err(VersionError::TooOld(version.to_owned()));
    }
    Ok(Asked { version: Some(version.to_owned()), path: slashed(rest) })
}

fn slashed(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// `1.41` as numbers.
#[must_use]
pub fn numbers(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Who answers a method and a path (without version, with or without query).
#[must_use]
pub fn who(method: &Method, path: &str) -> Who {
    let path = path.split('?').next().unwrap_or("");
    let words: Vec<&str> = path.split('/').filter(|w| !w.is_empty()).collect();
    let (get, post) = (method == Method::GET || method == Method::HEAD, method == Method::POST);
    match words[..] {
        ["_ping"] if get => Who::Ping,
        ["info"] if get => Who::Info,
        ["version"] if get => Who::Version,
        ["events"] if get => Who::Events,
        ["swarm", "init"] if post => Who::Init,
        ["swarm", "join"] if post => Who::Join,
        ["swarm", "leave"] if post => Who::Leave,
        ["networks"] if get => Who::Networks,
        ["networks", "create"] if post => Who::NetworkCreate,
        ["networks", _, "connect"] if post => Who::NetworkConnect,
        ["networks", _] if get || method == Method::DELETE => Who::Network,
        ["distribution", .., "json"] if get => Who::Distribution,
        ["containers", "create"] if post => Who::ContainerCreate,
        ["containers", "json" | "create" | "prune"] => Who::Engine,
        ["containers", _, ..] => Who::Container,
        ["exec", id, ..] if id.contains('.') => Who::Exec,
        ["metrics"] if get => Who::Metrics,
        [first, ..] if CLUSTER.contains(&first) => Who::Manager,
        _ => Who::Engine,
    }
}

/// The value of a query's key, percent-decoded; the last one counts.
#[must_use]
pub fn query(path: &str, key: &str) -> Option<String> {
    let (_, query) = path.split_once('?')?;
    let value = query.split('&').rev().find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name == key).then_some(value)
    })?;
    Some(decoded(value))
}

fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let mut rest = bytes.clone();
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let value = digit().zip(digit()).and_then(|(a, b)| u8::try_from(a * 16 + b).ok());
                match value {
                    Some(value) => {
                        out.push(value);
                        bytes.nth(1);
                    }
                    None => out.push(byte),
                }
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A yes in any of Docker's spellings.
#[must_use]
pub fn is_yes(value: Option<String>) -> bool {
    value.is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "1" | "t" | "true"))
}

/// The path for an engine that speaks from `min` to `max`: the client's version, moved into that range.
#[must_use]
pub fn for_engine(asked: &Asked, min: Option<(u32, u32)>, max: Option<(u32, u32)>) -> String {
    let version = asked.version.as_deref().and_then(numbers);
    match (version, min, max) {
        (Some(version), Some(min), Some(max)) => {
            let (major, minor) = version.clamp(min, max.max(min));
            format!("/v{major}.{minor}{}", asked.path)
        }
        // Without a version the engine answers as its newest.
        _ => asked.path.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &'static str) -> Result<Asked, VersionError> {
        asked(&Uri::from_static(path))
    }

    #[test]
    fn the_version_is_taken_off_and_judged() {
        let fine = of("/v1.41/containers/json?all=1").expect("spoken");
        assert_eq!(
            (fine.version.as_deref(), fine.path.as_str()),
            (Some("1.41"), "/containers/json?all=1")
        );
        assert_eq!(of("/v1.24?x").expect("spoken").path, "/?x");
        assert_eq!(of("*").expect("no version").path, "/*");
        assert_eq!(of("://i?").expect("no version").path, "/?");
        assert_eq!(of("/volumes/v1.41").expect("no version").version, None);
        assert_eq!(of("/version").expect("no version").path, "/version");
        let new = of("/v1.99/info").expect_err("too new").to_string();
        assert!(
            new.starts_with("client version 1.99 is too new. Maximum supported API version is 1.")
        );
        assert!(matches!(of("/v1.11/info"), Err(VersionError::TooOld(_))));
    }

    #[test]
    fn every_path_has_somebody_who_answers() {
        let (get, post, delete, head) = (Method::GET, Method::POST, Method::DELETE, Method::HEAD);
        for (method, path, expected) in [
            (&head, "/_ping", Who::Ping),
            (&get, "/info", Who::Info),
            (&get, "/events?since=1", Who::Events),
            (&post, "/swarm/init", Who::Init),
            (&post, "/swarm/leave?force=1", Who::Leave),
            (&get, "/swarm", Who::Manager),
            (&get, "/swarm/unlockkey", Who::Manager),
            (&post, "/services/create", Who::Manager),
            (&get, "/tasks?filters=%7B%7D", Who::Manager),
            (&get, "/stacks", Who::Manager),
            (&get, "/dashboard/", Who::Manager),
            (&get, "/metrics", Who::Metrics),
            (&get, "/prometheus/nodes?port=2378", Who::Manager),
            (&get, "/networks", Who::Networks),
            (&post, "/networks/create", Who::NetworkCreate),
            (&get, "/networks/front?scope=swarm", Who::Network),
            (&delete, "/networks/front", Who::Network),
            (&post, "/networks/front/connect", Who::NetworkConnect),
            (&post, "/networks/front/disconnect", Who::Engine),
            (&post, "/networks/prune", Who::Engine),
            (&get, "/distribution/team/web:1/json", Who::Distribution),
            (&get, "/containers/json", Who::Engine),
            (&post, "/containers/create?name=x", Who::ContainerCreate),
            (&get, "/containers/4f/json", Who::Container),
            (&delete, "/containers/4f", Who::Container),
            (&post, "/exec/4f/start", Who::Engine),
            (&post, "/exec/4f.node/start", Who::Exec),
            (&post, "/build", Who::Engine),
            (&post, "/session", Who::Engine),
            (&get, "/", Who::Engine),
        ] {
            assert_eq!(who(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_query_is_read_and_a_version_moved_to_what_the_engine_speaks() {
        assert_eq!(query("/x?scope=swarm&force=1", "force"), Some("1".into()));
        assert_eq!(query("/x?filters=%7B%22a%22%7D", "filters"), Some("{\"a\"}".into()));
        assert_eq!(query("/x?a=%zz%4", "a"), Some("%zz%4".into()));
        // A sign is no digit.
        assert_eq!(query("/x?a=%+5%-5%2F", "a"), Some("% 5%-5/".into()));
        assert_eq!(query("/x", "force"), None);
        assert!(is_yes(Some("True".into())) && !is_yes(Some("0".into())) && !is_yes(None));
        let asked = of("/v1.47/info").expect("spoken");
        assert_eq!(for_engine(&asked, Some((1, 12)), Some((1, 41))), "/v1.41/info");
        let asked = of("/v1.24/info").expect("spoken");
        assert_eq!(for_engine(&asked, Some((1, 44)), Some((1, 52))), "/v1.44/info");
        assert_eq!(for_engine(&asked, None, None), "/info");
    }
}
