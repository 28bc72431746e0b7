//! The invoices service: `GET /Invoices[?customer-id=]`, `GET /Invoices/{id}`, and
//! `PUT /Invoices {customerId, productId, quantity}`, which asks the other two services first.

use std::sync::Arc;

use anyhow::Context as _;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Extension, Path, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use jiff::{Timestamp, Unit};
use serde::Serialize;
use uuid::Uuid;

use crate::check::Problems;
use crate::http::client::Base;
use crate::http::every_request::CorrelationId;
use crate::http::{Problem, serve};
use crate::resource::{self, LARGEST_BODY, Parameters, Shared, Wanted};
use crate::settings;
use crate::upstream::Upstream;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invoice {
    id: Uuid,
    product_id: Uuid,
    customer_id: Uuid,
    quantity: u64,
    /// ISO 8601, to the millisecond.
    issued_at: Timestamp,
}

const KIND: &str = "invoices";
const PATH: &str = "/Invoices";

/// Most pieces on one invoice.
const MOST: u64 = 1_000_000;

pub struct Invoices {
    shared: Arc<Shared>,
    customers: Upstream,
    products: Upstream,
}

pub async fn run() -> anyhow::Result<()> {
    let shared = Shared::from_env(KIND)?;
    let base = |name, default| -> anyhow::Result<Base> {
        settings::text(name, default).parse().with_context(|| format!("variable {name}"))
    };
    let customers = base("CUSTOMERS_API", "http://customers:8080")?;
    let products = base("PRODUCTS_API", "http://products:8080")?;
    let instance = Arc::clone(&shared.instance);
    serve::run(instance, router(shared, customers, products), 8080).await
}

pub fn router(shared: Arc<Shared>, customers: Base, products: Base) -> Router {
    let upstream = |name, base| Upstream::new(name, base, Arc::clone(&shared.instance));
    let customers = upstream("customers", customers);
    let products = upstream("products", products);
    serve::router()
        .route(PATH, get(list).put(create))
        .route("/Invoices/{id}", get(one))
        .route("/ready", get(async |State(all): State<Arc<Invoices>>| all.shared.ready().await))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(Arc::new(Invoices { shared, customers, products }))
}

async fn list(
    State(all): State<Arc<Invoices>>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let wanted = Wanted::parse(&parameters);
    let customer = parameters.get("customer-id").map(|text| Uuid::parse_str(text));
    let (Wanted { limit, before }, customer) = match (wanted, customer.transpose()) {
        (Ok(wanted), Ok(customer)) => (wanted, customer),
        (wanted, customer) => {
            let mut problems = wanted.err().unwrap_or_default();
            if customer.is_err() {
                problems.insert("customer-id", "must be an id (a UUID)".to_owned());
            }
            return Err(Problem::invalid(problems));
        }
    };
    let filter = customer.map(|id| format!("customer-id={id}&")).unwrap_or_default();
    let of_customer = customer.map(of_customer);
    let page = all.shared.store.page(KIND, of_customer.as_deref(), limit, before).await?;
    Ok(resource::list(page, PATH, &filter, limit, |invoice| invoice))
}

async fn one(
    State(all): State<Arc<Invoices>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    resource::get(&all.shared, KIND, "invoice", &id, |invoice| invoice).await
}

/// Both services are asked at the same time. What they say for sure (there is no such customer)
/// comes before what they cannot say.
async fn create(
    State(all): State<Arc<Invoices>>,
    Extension(correlation): Extension<CorrelationId>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Uuid>, Problem> {
    let mut fields = resource::fields(body)?;
    let customer = fields.id("customerId");
    let product = fields.id("productId");
    let quantity = fields.whole("quantity", 1..=MOST);
    fields.finish().map_err(Problem::invalid)?;

    let (customer_path, product_path) =
        (format!("/Customers/{customer}"), format!("/Products/{product}"));
    let (customer_known, product_known) = tokio::join!(
        all.customers.has(&customer_path, &correlation),
        all.products.has(&product_path, &correlation)
    );
    let mut unknown = Problems::new();
    if matches!(customer_known, Ok(false)) {
        unknown.insert("customerId", format!("names no customer: {customer}"));
    }
    if matches!(product_known, Ok(false)) {
        unknown.insert("productId", format!("names no product: {product}"));
    }
    if !unknown.is_empty() {
        return Err(Problem::invalid(unknown));
    }
    customer_known?;
    product_known?;

    let id = Uuid::new_v4();
    let now = Timestamp::now();
    let issued_at = now.round(Unit::Millisecond).unwrap_or(now);
    let invoice = Invoice { id, product_id: product, customer_id: customer, quantity, issued_at };
    resource::put(&all.shared, KIND, id, &invoice, &[of_customer(customer)]).await
}

/// The list of one customer's invoices.
fn of_customer(id: Uuid) -> String {
    format!("invoices:of:{id}")
}
