//! The asking half of the probe: HTTP, name look-ups, TCP and UDP.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;

use crate::http::client::{self, Base};
use crate::http::dial;

pub struct Question {
    pub url: String,
    pub times: u32,
    pub limit: Duration,
    pub method: String,
    pub body: String,
    pub include: bool,
}

pub async fn get(question: &Question) -> anyhow::Result<ExitCode> {
    let url = &question.url;
    let with_scheme = if url.contains("://") { url.clone() } else { format!("http://{url}") };
    let uri: Uri = with_scheme.parse().with_context(|| format!("{url} is no URL"))?;
    let authority = uri.authority().with_context(|| format!("{url} names no host"))?;
    let base: Base = authority.as_str().parse()?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut code = ExitCode::SUCCESS;
    for _ in 0..question.times {
        let body = Full::new(Bytes::from(question.body.clone()));
        let request = Request::builder().method(question.method.as_str()).uri(path).body(body)?;
        match client::fetch(&base, request, question.limit).await {
            Ok(answer) => {
                if question.include {
                    println!("{}", answer.status());
                    for (name, value) in answer.headers() {
                        println!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
                    }
                    println!();
                }
                println!("{}", String::from_utf8_lossy(answer.body()).trim_end());
                if !(answer.status().is_success() || answer.status().is_redirection()) {
                    eprintln!("{url}: {}", answer.status());
                    code = ExitCode::FAILURE;
                }
            }
            Err(error) => {
                eprintln!("{url}: {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

pub async fn resolve(name: &str, all: bool) -> anyhow::Result<()> {
    let mut found: Vec<_> = dial::look_up(name, 0).await?.iter().map(|a| a.ip()).collect();
    found.retain(|address| all || address.is_ipv4());
    found.sort();
    found.dedup();
    if found.is_empty() {
        bail!("the name {name} has no IPv4 address");
    }
    for address in found {
        println!("{address}");
    }
    Ok(())
}

pub async fn tcp(to: &str, text: &str) -> anyhow::Result<()> {
    let Base { host, port } = to.parse()?;
    let mut stream = dial::dial(&host, port).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    println!("{answer}");
    Ok(())
}

pub async fn udp(to: &str, text: &str, limit: Duration) -> anyhow::Result<()> {
    let Base { host, port } = to.parse()?;
    let address = dial::look_up(&host, port).await?[0];
    let local = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(address).await?;
    socket.send(text.as_bytes()).await?;
    let mut answer = vec![0; 65_536];
    let length = tokio::time::timeout(limit, socket.recv(&mut answer))
        .await
        .with_context(|| format!("no answer from {address} within {} ms", limit.as_millis()))??;
    println!("{}", String::from_utf8_lossy(&answer[..length]));
    Ok(())
}
