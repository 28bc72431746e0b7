//! The socket's API over TCP, for clients elsewhere: TLS always, and nobody without a credential.
//!
//! A client shows a certificate of the authority that `--api-tls-client-ca` names, or a token of the
//! file that `--api-tokens` names: `Authorization: Bearer TOKEN`, or for browsers `Basic` with the
//! token as password. Whoever gets in may do everything, as on the socket.
//!
//! The files are read again when they change, so that certificates are renewed and tokens revoked
//! without a restart. What cannot be read then leaves what was there before.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use data_encoding::BASE64;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::reply::{self, Answer, message};
use super::{GRACE, Socket};
use crate::config::TcpApi;

/// How long a client may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The shortest token, characters: 128 bits as hexadecimal digits or base 64 are longer.
const SHORTEST: usize = 20;

/// Why the API cannot be served over TCP.
#[derive(Debug, thiserror::Error)]
pub enum TcpError {
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("{path}: {why}")]
    File { path: String, why: String },
}

/// The port, bound, with its files read.
pub struct TcpServer {
    listener: TcpListener,
    files: TcpApi,
    loaded: Mutex<(Vec<Option<SystemTime>>, Arc<Loaded>)>,
}

/// What the files say.
struct Loaded {
    tls: Arc<ServerConfig>,
    tokens: Tokens,
}

/// The digests of the tokens that are let in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens(Vec<[u8; 32]>);

/// What a connection's requests need besides.
pub(super) enum Door {
    /// Whoever connects may ask: a local socket, or a client with a certificate.
    Open,
    /// Each request needs a token.
    Token(Arc<dyn Fn(&HeaderMap) -> bool + Send + Sync>),
}

impl Door {
    /// Refuses a request without a credential.
    pub(super) fn check(&self, headers: &mut HeaderMap) -> Result<(), Answer> {
        let lets_in = match self {
            Door::Open => return Ok(()),
            Door::Token(lets_in) => lets_in(headers),
        };
        // It is for us, not for the engine.
        headers.remove(AUTHORIZATION);
        if lets_in {
            return Ok(());
        }
        let mut answer = message(
            StatusCode::UNAUTHORIZED,
            "a client certificate or a token is needed (Authorization: Bearer TOKEN)",
        );
        let basic = HeaderValue::from_static("Basic realm=\"swarmctl\"");
        answer.headers_mut().insert(WWW_AUTHENTICATE, basic);
        Err(reply::finish(answer))
    }
}

impl TcpServer {
    /// Binds the address and reads the files.
    ///
    /// # Errors
    /// As [`TcpError`] says.
    pub async fn bind(api: TcpApi) -> Result<TcpServer, TcpError> {
        let loaded = load(&api)?;
        let stamps = stamps(&api);
        let listener = TcpListener::bind(api.address)
            .await
            .map_err(|source| TcpError::Listen { address: api.address, source })?;
        Ok(TcpServer { listener, files: api, loaded: Mutex::new((stamps, Arc::new(loaded))) })
    }

    /// The bound address.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What the files say now.
    fn loaded(&self) -> Arc<Loaded> {
        let mut known = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamps(&self.files);
        if known.0 != now {
            known.0 = now;
            match load(&self.files) {
                Ok(loaded) => known.1 = Arc::new(loaded),
                Err(error) => {
                    tracing::error!(%error, "the API's certificates or tokens do not read; the last ones stay in use")
                }
            }
        }
        known.1.clone()
    }

    /// Answers requests until `stop`.
    pub async fn serve(self, socket: Arc<Socket>, stop: CancellationToken) {
        let server = Arc::new(self);
        let connections = TaskTracker::new();
        loop {
            let stream = tokio::select! {
                () = stop.cancelled() => break,
                accepted = server.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of file descriptors: others will be closed.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let (server, socket, stop) = (server.clone(), socket.clone(), stop.clone());
            connections.spawn(async move {
                if let Some((stream, door)) = server.greet(stream).await {
                    socket.connection(stream, door, stop).await;
                }
            });
        }
        connections.close();
        // Streams (logs, exec) would go on for ever.
        let _ = tokio::time::timeout(GRACE, connections.wait()).await;
    }

    async fn greet(self: &Arc<Self>, stream: TcpStream) -> Option<(TlsStream<TcpStream>, Door)> {
        // An interactive exec feels every delay; if it cannot be set it is only slower.
        let _ = stream.set_nodelay(true);
        let acceptor = TlsAcceptor::from(self.loaded().tls.clone());
        let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a client's handshake failed");
                return None;
            }
            Err(_) => return None,
        };
        let has_certificate = stream.get_ref().1.peer_certificates().is_some_and(|c| !c.is_empty());
        let door = if has_certificate {
            Door::Open
        } else {
            let server = self.clone();
            Door::Token(Arc::new(move |headers| server.loaded().tokens.admit(headers)))
        };
        Some((stream, door))
    }
}

/// When each file was written last.
fn stamps(api: &TcpApi) -> Vec<Option<SystemTime>> {
    let files = [Some(&api.cert), Some(&api.key), api.client_ca.as_ref(), api.tokens.as_ref()];
    let written = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    files.into_iter().flatten().map(|path| written(path)).collect()
}

fn load(api: &TcpApi) -> Result<Loaded, TcpError> {
    let wrong = |path: &Path, why: String| TcpError::File { path: path.display().to_string(), why };
    let read = |path: &Path| std::fs::read(path).map_err(|e| wrong(path, e.to_string()));
    let certificates = |path: &Path| {
        let text = read(path)?;
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        match all {
            Ok(all) if !all.is_empty() => Ok(all),
            Ok(_) => Err(wrong(path, "there is no certificate in it (PEM)".to_owned())),
            Err(e) => Err(wrong(path, e.to_string())),
        }
    };
    let chain = certificates(&api.cert)?;
    let key = PrivateKeyDer::from_pem_slice(&read(&api.key)?)
        .map_err(|e| wrong(&api.key, format!("no private key (PEM): {e}")))?;
    let tokens = match &api.tokens {
        None => Tokens::default(),
        Some(path) => {
            let mode = std::fs::metadata(path).map_err(|e| wrong(path, e.to_string()))?;
            if mode.permissions().mode() & 0o077 != 0 {
                let why = "others may read or write it; chmod 600".to_owned();
                return Err(wrong(path, why));
            }
            let text = String::from_utf8_lossy(&read(path)?).into_owned();
            Tokens::parse(&text).map_err(|why| wrong(path, why))?
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(&api.cert, e.to_string()))?;
    let builder = match &api.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|e| wrong(path, e.to_string()))?;
            }
            let mut verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            if api.tokens.is_some() {
                verifier = verifier.allow_unauthenticated();
            }
            let verifier = verifier.build().map_err(|e| wrong(path, e.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut tls = builder
        .with_single_cert(chain, key)
        .map_err(|e| wrong(&api.cert, format!("{e} (the key is {})", api.key.display())))?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Loaded { tls: Arc::new(tls), tokens })
}

impl Tokens {
    /// One token a line; `#` begins a comment.
    fn parse(text: &str) -> Result<Tokens, String> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
        let mut tokens = Vec::new();
        for (number, token) in lines.enumerate().filter(|(_, token)| !token.is_empty()) {
            if token.len() < SHORTEST || token.contains(char::is_whitespace) {
                return Err(format!(
                    "line {}: a token has at least {SHORTEST} characters and no spaces",
                    number + 1
                ));
            }
            tokens.push(Sha256::digest(token).into());
        }
        if tokens.is_empty() {
            return Err("there is no token in it".to_owned());
        }
        Ok(Tokens(tokens))
    }

    fn admit(&self, headers: &HeaderMap) -> bool {
        let Some(shown) = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()) else {
            return false;
        };
        let (scheme, rest) = shown.split_once(' ').unwrap_or((shown, ""));
        let token = if scheme.eq_ignore_ascii_case("bearer") {
            rest.trim().to_owned()
        } else if scheme.eq_ignore_ascii_case("basic") {
            let decoded = BASE64.decode(rest.trim().as_bytes()).unwrap_or_default();
            let decoded = String::from_utf8_lossy(&decoded).into_owned();
            decoded.split_once(':').map_or("", |(_, password)| password).to_owned()
        } else {
            return false;
        };
        let digest: [u8; 32] = Sha256::digest(token).into();
        // Every one is compared, so that the time says nothing.
        self.0.iter().fold(false, |found, known| bool::from(known.ct_eq(&digest)) | found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_in_either_form_and_nothing_else_is() {
        let tokens = Tokens::parse("# ann\n0123456789abcdefghij\n\nzyxwvutsrqponmlkjihg # ci\n");
        let tokens = tokens.expect("two tokens");
        let admitted = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, text.parse().expect("a header"));
            tokens.admit(&headers)
        };
        assert!(admitted("Bearer 0123456789abcdefghij"));
        assert!(admitted("bearer  zyxwvutsrqponmlkjihg"));
        let basic = |text: &str| format!("Basic {}", BASE64.encode(text.as_bytes()));
        assert!(admitted(&basic("ann:0123456789abcdefghij")));
        for wrong in ["Bearer ", "Bearer 0123456789abcdefghi", "0123456789abcdefghij", "Basic %%"] {
            assert!(!admitted(wrong), "{wrong}");
        }
        assert!(!admitted(&basic("0123456789abcdefghij:x")));
        assert!(!tokens.admit(&HeaderMap::new()));
    }

    #[test]
    fn a_file_without_a_good_token_is_refused() {
        assert_eq!(Tokens::parse("# none\n"), Err("there is no token in it".to_owned()));
        assert!(Tokens::parse("short").is_err_and(|why| why.starts_with("line 1: ")));
    }
}
