//! This user's login at an image's registry, as `docker login` stored it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use data_encoding::{BASE64, BASE64URL};
use serde_json::{Value, json};

/// The header that carries it.
pub const HEADER: &str = "x-registry-auth";

/// What docker calls its own hub in its files.
const HUB: &str = "https://index.docker.io/v1/";

/// The header's value for an image; none when there is no login.
///
/// # Errors
/// When docker's file or its credential helper cannot be read.
pub fn login(image: &str) -> anyhow::Result<Option<String>> {
    let directory = std::env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".docker")));
    let Some(directory) = directory else { return Ok(None) };
    let path = directory.join("config.json");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => anyhow::bail!("{}: {e}", path.display()),
    };
    stored(&text, &registry_of(image), &path)
}

fn stored(text: &str, registry: &str, path: &Path) -> anyhow::Result<Option<String>> {
    let config: Value =
        serde_json::from_str(text).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
    let helper = config["credHelpers"][registry].as_str().or(config["credsStore"].as_str());
    let entry = match helper {
        Some(helper) => asked(helper, registry)?,
        None => config["auths"][registry].clone(),
    };
    if entry.is_null() {
        return Ok(None);
    }
    let mut login = json!({ "serveraddress": registry });
    let pair = entry["auth"].as_str().and_then(|auth| BASE64.decode(auth.as_bytes()).ok());
    if let Some((user, password)) =
        pair.and_then(|pair| String::from_utf8(pair).ok()?.split_once(':').map(own))
    {
        login["username"] = user.into();
        login["password"] = password.trim_end_matches('\0').into();
    }
    for (ours, theirs) in [
        ("username", "username"),
        ("username", "Username"),
        ("password", "password"),
        ("password", "Secret"),
        ("identitytoken", "identitytoken"),
    ] {
        if let Some(value) = entry[theirs].as_str().filter(|value| !value.is_empty()) {
            login[ours] = value.into();
        }
    }
    Ok(Some(BASE64URL.encode(login.to_string().as_bytes())))
}

fn own((user, password): (&str, &str)) -> (String, String) {
    (user.to_owned(), password.to_owned())
}

/// What a credential helper knows; null when nothing.
fn asked(helper: &str, registry: &str) -> anyhow::Result<Value> {
    let program = format!("docker-credential-{helper}");
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| anyhow::anyhow!("the credential helper {program}: {e}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(registry.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    // It ends with 1 when it has nothing.
    Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
}

/// The registry of an image, as docker's file names it.
fn registry_of(image: &str) -> String {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => match host {
            "docker.io" | "index.docker.io" => HUB.to_owned(),
            host => host.to_owned(),
        },
        _ => HUB.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_of_the_image_s_registry_is_found() {
        let path = Path::new("config.json");
        // "ann:secret"
        let text = r#"{"auths":{"reg.example:5000":{"auth":"YW5uOnNlY3JldA=="}}}"#;
        let found = stored(text, &registry_of("reg.example:5000/shop/web:1"), path);
        let header = found.expect("readable").expect("a login");
        let read: Value =
            serde_json::from_slice(&BASE64URL.decode(header.as_bytes()).expect("base64"))
                .expect("JSON");
        assert_eq!(
            read,
            json!({"username":"ann","password":"secret","serveraddress":"reg.example:5000"})
        );
        assert_eq!(stored(text, &registry_of("shop/web"), path).expect("readable"), None);
        assert!(stored("{", HUB, path).is_err());
    }
}
