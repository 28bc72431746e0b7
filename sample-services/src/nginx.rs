//! The api-gateway as nginx: the configuration for it, and how it is started in place of this program.
//!
//! Input: where the services are and which name server the container has. The names are looked up
//! again and again, so services may come, go and move. `gateway` is the same in Rust, for an image
//! that was made on a machine without nginx. Its `/metrics` is `nginx_requests`, a process beside it.

use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::gateway::Routes;
use crate::http::client::Base;
use crate::nginx_requests::{self, PAGE, REQUESTS};
use crate::settings;

/// Where Debian's package has it.
pub const PROGRAM: &str = "/usr/sbin/nginx";

/// Everything nginx writes.
const FOLDER: &str = "/tmp/nginx";

/// Requests a second of one client; short bursts may be twice as many. Above what a benchmark of the
/// demo does, below what a flood is. 0 switches it off.
const RATE: u32 = 5_000;

/// What the configuration is made of.
pub struct Settings {
    pub routes: Routes,
    /// Asked for the services' names; none: what `/etc/hosts` says when it starts.
    pub resolver: Option<String>,
    pub port: u16,
    pub rate: u32,
    pub folder: String,
    pub version: String,
}

/// Becomes nginx. Returns only when that fails.
///
/// # Errors
/// A variable that is wrong, a folder that cannot be written, no nginx.
pub fn become_nginx() -> anyhow::Result<()> {
    let rate = settings::text("RATE_LIMIT", &RATE.to_string());
    let resolv = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let settings = Settings {
        routes: Routes::from_env()?,
        resolver: name_server(&resolv),
        port: settings::port("PORT", 80)?,
        rate: rate
            .parse()
            .with_context(|| format!("variable RATE_LIMIT is {rate:?}, no number"))?,
        folder: FOLDER.to_owned(),
        version: settings::text("SAMPLE_VERSION", "1"),
    };
    std::fs::create_dir_all(FOLDER).with_context(|| format!("make {FOLDER}"))?;
    let file = format!("{FOLDER}/nginx.conf");
    std::fs::write(&file, config(&settings)).with_context(|| format!("write {file}"))?;
    // Before nginx, whose child it becomes; it ends with the container.
    let counting = nginx_requests::start_beside(Path::new(FOLDER), &settings.version);
    counting.context("start what counts requests")?;
    let error = command(Path::new(&file)).exec();
    Err(error).with_context(|| format!("start {PROGRAM}"))
}

/// nginx with that configuration, in the foreground.
pub fn command(config: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["-e", "stderr", "-g", "daemon off;", "-c"]).arg(config);
    command
}

/// The first name server that a `resolv.conf` names.
fn name_server(resolv: &str) -> Option<String> {
    let mut words = resolv.lines().map(str::split_whitespace);
    let address =
        words.find_map(|mut line| (line.next() == Some("nameserver")).then(|| line.next()))?;
    let address = address?;
    Some(if address.contains(':') { format!("[{address}]") } else { address.to_owned() })
}

/// The text of `nginx.conf`.
pub fn config(settings: &Settings) -> String {
    let Settings { routes, resolver, port, rate, folder, version } = settings;
    let mut text = HEAD.replace("{folder}", folder).replace("{requests}", REQUESTS);
    if let Some(resolver) = resolver {
        // Not longer than the answers themselves say: a task that is gone is gone.
        let _ =
            writeln!(text, "    resolver {resolver} valid=1s ipv6=off;\n    resolver_timeout 2s;");
    }
    if *rate > 0 {
        let _ = writeln!(
            text,
            "    limit_req_zone $binary_remote_addr zone=clients:1m rate={rate}r/s;\n    \
             limit_req zone=clients burst={} nodelay;\n    limit_req_status 429;",
            rate.saturating_mul(2)
        );
    }
    let server = SERVER.replace("{port}", &port.to_string()).replace("{version}", version);
    text.push_str(&server.replace("{page}", &format!("{folder}/{PAGE}")));
    for (name, path, base) in [
        ("customers", "~ ^/Customers(/|$)", &routes.customers),
        ("products", "~ ^/Products(/|$)", &routes.products),
        ("invoices", "~ ^/Invoices(/|$)", &routes.invoices),
        ("webapp", "/", &routes.webapp),
    ] {
        text.push_str(&location(name, path, base));
    }
    text.push_str("    }\n}\n");
    text
}

/// A variable as the address makes nginx look the name up while it runs.
fn location(name: &str, path: &str, base: &Base) -> String {
    format!(
        "
        location {path} {{
            set $service {name};
            set $upstream http://{base};
            proxy_pass $upstream;
            error_page 502 504 = @again;
            error_page 429 = @slower;
        }}
"
    )
}

const HEAD: &str = r#"# Written when the gateway starts.
worker_processes 2;
pid {folder}/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }

http {
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;

    # One id through all services' logs: the client's when it is short and plain, else a new one.
    map $http_x_correlation_id $correlation {
        "~^[!-~]{1,128}$" $http_x_correlation_id;
        default $request_id;
    }
    log_format json escape=json '{"timestamp":"$time_iso8601","level":"INFO","message":"answered",'
        '"service":"api-gateway","correlation_id":"$correlation","method":"$request_method","path":"$uri",'
        '"status":$status,"seconds":$request_time,"upstream":"$upstream_addr","client":"$remote_addr"}';
    map $uri $is_logged { ~^/(health|ready|metrics)$ 0; default 1; }
    access_log /dev/stdout json if=$is_logged;
    # For /metrics: one short datagram a request, to the process that counts them.
    log_format counted '$request_method $service $status $request_time';
    access_log syslog:server=unix:{folder}/{requests},nohostname,tag=n counted if=$is_logged;

    server_tokens off;
    default_type application/json;
    recursive_error_pages on;
    proxy_http_version 1.1;
    proxy_connect_timeout 2s;
    proxy_read_timeout 30s;
    # A body is passed on as it comes, an answer too.
    proxy_request_buffering off;
    proxy_buffering off;
    client_max_body_size 1m;
    proxy_set_header Host $http_host;
    proxy_set_header Connection "";
    proxy_set_header X-Correlation-Id $correlation;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_hide_header X-Correlation-Id;
    add_header X-Correlation-Id $correlation always;
    add_header X-Gateway $hostname always;
"#;

const SERVER: &str = r#"
    server {
        listen {port} default_server backlog=4096;
        set $service none;
        set $upstream "";
        location = /health { return 200 '{"healthy":true}'; }
        location = /ready { return 200 '{"ready":true}'; }
        location = /metrics { proxy_pass http://unix:{page}:/metrics; }

        # Asking changes nothing, so asking twice does not either: another task may answer.
        location @again {
            if ($request_method !~ ^(GET|HEAD|OPTIONS)$) { return 503; }
            proxy_pass $upstream;
            error_page 502 503 504 = @unavailable;
        }
        location @unavailable {
            add_header Retry-After 1 always;
            add_header X-Correlation-Id $correlation always;
            add_header X-Gateway $hostname always;
            add_header X-Instance $hostname always;
            add_header X-Version {version} always;
            return 503 '{"error":"$service cannot be reached","reason":"no task of it answered"}';
        }
        location @slower {
            add_header Retry-After 1 always;
            add_header X-Correlation-Id $correlation always;
            add_header X-Gateway $hostname always;
            return 429 '{"error":"too many requests","reason":"this client asks faster than the gateway allows"}';
        }
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_s_own_name_server_is_asked() {
        let resolv =
            "# made by the engine\nsearch example\nnameserver 127.0.0.11\nnameserver ::1\n";
        assert_eq!(name_server(resolv).as_deref(), Some("127.0.0.11"));
        assert_eq!(name_server("nameserver fd00::53").as_deref(), Some("[fd00::53]"));
        assert_eq!(name_server("nameserver"), None);
        assert_eq!(name_server(""), None);
    }
}
