//! The customers service: `GET /Customers`, `GET /Customers/{id}`, `PUT /Customers {name, address}`.
//!
//! Version 2 (image tag `customers-v2`) differs so that one sees it: it greets each customer.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::http::{Problem, serve};
use crate::resource::{self, LARGEST_BODY, Parameters, Shared, Wanted};

/// A customer as stored.
#[derive(Serialize, Deserialize)]
struct Customer {
    id: Uuid,
    name: String,
    address: String,
}

/// A customer as version 2 shows it.
#[derive(Serialize)]
struct Greeted {
    #[serde(flatten)]
    customer: Customer,
    greeting: String,
}

const KIND: &str = "customers";
const PATH: &str = "/Customers";

pub async fn run() -> anyhow::Result<()> {
    let shared = Shared::from_env(KIND)?;
    serve::run(Arc::clone(&shared.instance), router(shared), 8080).await
}

pub fn router(shared: Arc<Shared>) -> Router {
    serve::router()
        .route(PATH, get(list).put(create))
        .route("/Customers/{id}", get(one))
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
    Ok(resource::list(page, PATH, "", limit, shown_by(&shared)))
}

async fn one(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    resource::get(&shared, KIND, "customer", &id, shown_by(&shared)).await
}

async fn create(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Uuid>, Problem> {
    let mut fields = resource::fields(body)?;
    let name = fields.text("name", 1..=200);
    let address = fields.text("address", 1..=500);
    fields.finish().map_err(Problem::invalid)?;
    let id = Uuid::new_v4();
    resource::put(&shared, KIND, id, &Customer { id, name, address }, &[]).await
}

/// How this version shows a customer; what is stored is the same in both.
fn shown_by(shared: &Shared) -> resource::Show {
    if shared.instance.version == "1" { |customer| customer } else { greeted }
}

fn greeted(document: String) -> String {
    let Ok(customer) = serde_json::from_str::<Customer>(&document) else { return document };
    let greeting = format!("Hello, {}!", customer.name);
    serde_json::to_string(&Greeted { customer, greeting }).unwrap_or(document)
}
