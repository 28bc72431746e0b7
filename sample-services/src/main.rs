//! Starts the service that the program is called by: `customers`, or `sample-services customers`.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use sample_services::{
    customers, gateway, http, images, invoices, nginx, nginx_requests, probe, products, viz, webapp,
};

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.is_empty() {
        arguments.push("sample-services".into());
    }
    let mut name = file_name(&arguments[0]);
    if !images::APPLETS.contains(&name.as_str()) && arguments.len() > 1 {
        arguments.remove(0);
        name = file_name(&arguments[0]);
    }
    match start(&name, arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(name: &str, arguments: Vec<OsString>) -> anyhow::Result<ExitCode> {
    if name == "images" {
        return images::command::run(arguments).map(|()| ExitCode::SUCCESS);
    }
    if name == nginx_requests::NAME {
        return nginx_requests::run().map(|()| ExitCode::SUCCESS);
    }
    if name == "api-gateway" && Path::new(nginx::PROGRAM).is_file() {
        return nginx::become_nginx().map(|()| ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, usize::from).min(4))
        .enable_all()
        .build()?;
    if matches!(name, "customers" | "products" | "invoices" | "webapp" | "api-gateway" | "viz") {
        log_as_json();
    }
    runtime.block_on(async {
        match name {
            "customers" => customers::run().await,
            "products" => products::run().await,
            "invoices" => invoices::run().await,
            "webapp" => webapp::run().await,
            "api-gateway" => gateway::run().await,
            "viz" => viz::run().await,
            "healthcheck" => http::healthcheck::run().await,
            "probe" => return probe::run(arguments).await,
            _ => anyhow::bail!("no such service; there are: {}", images::APPLETS.join(", ")),
        }?;
        Ok(ExitCode::SUCCESS)
    })
}

fn file_name(path: &OsString) -> String {
    Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// One JSON object a line on standard output; `RUST_LOG` sets the level (default `info`).
fn log_as_json() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter)
        .init();
}
