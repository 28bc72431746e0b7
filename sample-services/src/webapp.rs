//! The web page of the demo: customers, products and invoices through the gateway's paths.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::http::serve;
use crate::pages::{self, Asset};
use crate::settings::Instance;

const ASSETS: [Asset; 4] = [
    Asset {
        path: "/",
        kind: "text/html; charset=utf-8",
        content: include_str!("../webapp/index.html"),
    },
    Asset {
        path: "/app.js",
        kind: "text/javascript; charset=utf-8",
        content: include_str!("../webapp/app.js"),
    },
    Asset {
        path: "/style.css",
        kind: "text/css; charset=utf-8",
        content: include_str!("../webapp/style.css"),
    },
    Asset {
        path: "/favicon.ico",
        kind: "image/svg+xml",
        content: include_str!("../webapp/icon.svg"),
    },
];

pub async fn run() -> anyhow::Result<()> {
    let instance = Instance::from_env("webapp");
    serve::run(Arc::clone(&instance), router(), 80).await
}

pub fn router() -> Router {
    let router = serve::router()
        .route("/ready", get(async || axum::Json(serde_json::json!({"ready": true}))));
    pages::serve(router, &ASSETS)
}
