//! The products service: `GET /Products`, `GET /Products/{id}`, `PUT /Products {name}`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use uuid::Uuid;

use crate::http::{Problem, serve};
use crate::resource::{self, LARGEST_BODY, Parameters, Shared, Wanted};

#[derive(Serialize)]
struct Product {
    id: Uuid,
    name: String,
}

const KIND: &str = "products";
const PATH: &str = "/Products";

pub async fn run() -> anyhow::Result<()> {
    let shared = Shared::from_env(KIND)?;
    serve::run(Arc::clone(&shared.instance), router(shared), 8080).await
}

pub fn router(shared: Arc<Shared>) -> Router {
    serve::router()
        .route(PATH, get(list).put(create))
        .route("/Products/{id}", get(one))
        .route("/ready", get(async |State(shared): State<Arc<Shared>>| shared.ready().await))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(shared)
}

async fn list(
    State(shared): State<Arc<Shared>>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let Wanted { limit, before } = Wanted::parse(&parameters).map_err(Problem::invalid)?;
    let page = shared.store.page(KIND, None, limit, before).await?;
    Ok(resource::list(page, PATH, "", limit, |product| product))
}

async fn one(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    resource::get(&shared, KIND, "product", &id, |product| product).await
}

async fn create(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Uuid>, Problem> {
    let mut fields = resource::fields(body)?;
    let name = fields.text("name", 1..=200);
    fields.finish().map_err(Problem::invalid)?;
    let id = Uuid::new_v4();
    resource::put(&shared, KIND, id, &Product { id, name }, &[]).await
}
