//! The few calls to a Docker API that a lab needs, over a Unix socket, one connection each.
//!
//! HTTP/1.0 on purpose: the answer ends with the connection, so nothing has to be decoded.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;

/// How long an engine may take for a small answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A Docker API at a socket.
pub(super) struct Engine {
    socket: PathBuf,
}

/// The part of `GET /info` that says whether this host belongs to a cluster.
#[derive(Deserialize)]
struct Info {
    #[serde(rename = "Swarm")]
    swarm: Swarm,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Swarm {
    local_node_state: String,
}

/// One line of the progress that an engine reports while it loads images.
#[derive(Deserialize)]
struct Progress {
    stream: Option<String>,
    error: Option<String>,
}

impl Engine {
    pub(super) fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Whether it answers.
    pub(super) fn answers(&self) -> bool {
        self.get("/_ping").is_ok()
    }

    /// Whether the host is an active member of a cluster.
    pub(super) fn is_in_cluster(&self) -> anyhow::Result<bool> {
        let mut text = Vec::new();
        self.get("/info")?.read_to_end(&mut text)?;
        let info: Info = serde_json::from_slice(&text).context("cannot read /info")?;
        Ok(info.swarm.local_node_state == "active")
    }

    /// Whether it has an image of this name.
    pub(super) fn has_image(&self, name: &str) -> bool {
        self.get(&format!("/images/{name}/json")).is_ok()
    }

    /// Writes images as an archive.
    pub(super) fn save_images(&self, names: &[String], to: &mut File) -> anyhow::Result<()> {
        let names: Vec<_> = names.iter().map(|name| format!("names={name}")).collect();
        let stream = self.connect(None)?;
        let mut answer = request(stream, "GET", &format!("/images/get?{}", names.join("&")), None)?;
        io::copy(&mut answer, to).context("the archive broke off")?;
        Ok(())
    }

    /// Loads an archive and answers with what the engine said of it.
    pub(super) fn load_images(&self, mut archive: File) -> anyhow::Result<Vec<String>> {
        let size = archive.metadata()?.len();
        let stream = self.connect(None)?;
        let body = Body { from: &mut archive, size };
        let mut answer = request(stream, "POST", "/images/load", Some(body))?;
        let mut text = Vec::new();
        answer.read_to_end(&mut text)?;
        let mut said = Vec::new();
        for line in serde_json::Deserializer::from_slice(&text).into_iter::<Progress>() {
            let line = line.context("cannot read the engine's answer")?;
            if let Some(error) = line.error {
                bail!("{error}");
            }
            said.extend(line.stream.map(|text| text.trim().to_owned()));
        }
        Ok(said)
    }

    fn get(&self, path: &str) -> anyhow::Result<impl Read + use<>> {
        request(self.connect(Some(ANSWER_WITHIN))?, "GET", path, None)
    }

    fn connect(&self, within: Option<Duration>) -> anyhow::Result<UnixStream> {
        let stream = UnixStream::connect(&self.socket)
            .with_context(|| format!("cannot connect to {}", self.socket.display()))?;
        stream.set_read_timeout(within)?;
        Ok(stream)
    }
}

struct Body<'a> {
    from: &'a mut File,
    size: u64,
}

fn request(
    mut stream: UnixStream,
    method: &str,
    path: &str,
    body: Option<Body<'_>>,
) -> anyhow::Result<impl Read + use<>> {
    let length = body.as_ref().map_or(0, |body| body.size);
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/x-tar\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    if let Some(body) = body {
        io::copy(body.from, &mut stream).context("the engine stopped reading")?;
    }
    let mut answer = BufReader::new(stream);
    let status = read_head(&mut answer)?;
    if !(200..300).contains(&status) {
        let mut said = String::new();
        answer.read_to_string(&mut said)?;
        bail!("{method} {path} was answered with {status}: {}", said.trim());
    }
    Ok(answer)
}

fn read_head(answer: &mut impl BufRead) -> anyhow::Result<u16> {
    let mut line = String::new();
    answer.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.with_context(|| format!("not an HTTP answer: {}", line.trim()))?;
    while !line.trim().is_empty() {
        line.clear();
        answer.read_line(&mut line)?;
    }
    Ok(status)
}

/// The socket of the engine that runs on the machine itself.
pub(super) fn machines_own() -> PathBuf {
    let named = std::env::var("DOCKER_HOST").ok();
    let named = named.as_deref().and_then(|host| host.strip_prefix("unix://"));
    Path::new(named.unwrap_or("/var/run/docker.sock")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_and_the_body_is_left() {
        let mut answer = BufReader::new(&b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\nbody"[..]);
        assert_eq!(read_head(&mut answer).expect("a head"), 404);
        let mut rest = String::new();
        answer.read_to_string(&mut rest).expect("text");
        assert_eq!(rest, "body");
    }

    #[test]
    fn an_answer_that_is_not_http_is_an_error() {
        assert!(read_head(&mut &b""[..]).is_err());
        assert!(read_head(&mut &b"hello\n"[..]).is_err());
    }
}
