//! The web page of the demo: customers, products and invoices through the gateway's paths.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::http::serve;
use crate::pages::{self, Files};
use crate::settings::Instance;

const PAGE: Files = include!(concat!(env!("OUT_DIR"), "/webapp.rs"));

pub async fn run() -> anyhow::Result<()> {
    let instance = Instance::from_env("webapp");
    serve::run(Arc::clone(&instance), router(), 80).await
}

pub fn router() -> Router {
    let router = serve::router()
        .route("/ready", get(async || axum::Json(serde_json::json!({"ready": true}))));
    pages::serve(router, PAGE)
}
