//! Customers, products and invoices, each against a real Redis.

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request as AxumRequest;
use axum::routing::get;
use bytes::Bytes;
use common::{
    Redis, Served, ask, base, customers, customers_version, free_port, invoices, products,
};
use http::{Request, StatusCode};
use http_body_util::Full;
use sample_services::http::every_request::CorrelationId;
use sample_services::settings::Instance;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

const ADA: &str = r#"{"name": "Ada", "address": "1 Engine Street"}"#;
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

#[tokio::test]
async fn what_was_put_can_be_read_and_listed() {
    let redis = Redis::start();
    let customers = customers(redis.port).await;
    let id = customers.created("/Customers", ADA).await;
    let wanted = json!({"id": id, "name": "Ada", "address": "1 Engine Street"});
    assert_eq!(customers.get(&format!("/Customers/{id}")).await.body, wanted);
    let list = customers.get("/Customers").await;
    assert_eq!(list.body, json!([wanted]));
    assert_eq!(list.header("x-total-count"), "1");
    assert_eq!(list.header("link"), "");
    assert_eq!(list.header("x-instance"), "customers-host");
    assert_eq!(list.header("x-version"), "1");
    assert!(list.text.starts_with(r#"[{"id":"#), "the id comes first: {}", list.text);
}

#[tokio::test]
async fn lists_are_newest_first_and_each_page_leads_to_the_next() {
    let redis = Redis::start();
    let products = products(redis.port).await;
    for number in 0..7 {
        products.created("/Products", &format!(r#"{{"name": "p{number}"}}"#)).await;
    }
    let mut seen = Vec::new();
    let mut path = "/Products?limit=3".to_owned();
    loop {
        let page = products.get(&path).await;
        assert_eq!(page.header("x-total-count").parse::<usize>().ok(), Some(7 + seen.len() / 3));
        for product in page.body.as_array().expect("a list") {
            seen.push(product["name"].as_str().expect("a name").to_owned());
        }
        // What is added meanwhile is newer and does not shift the pages that follow.
        products.created("/Products", r#"{"name": "late"}"#).await;
        let link = page.header("link").to_owned();
        let Some(next) = link.strip_prefix('<').and_then(|link| link.split_once('>')) else {
            break;
        };
        assert_eq!(next.1, "; rel=\"next\"");
        path = next.0.to_owned();
    }
    assert_eq!(seen, ["p6", "p5", "p4", "p3", "p2", "p1", "p0"]);
}

#[tokio::test]
async fn wrong_requests_get_a_json_answer_that_names_what_is_wrong() {
    let redis = Redis::start();
    let (customers, products) = (customers(redis.port).await, products(redis.port).await);
    let invoices = invoices(redis.port, customers.base(), products.base()).await;
    let large = format!(r#"{{"name": "{}"}}"#, "x".repeat(70_000));
    for (service, method, path, body, status, named) in [
        (&customers, "PUT", "/Customers", r#"{"name": "", "address": 3}"#, 400, "name address"),
        (&customers, "PUT", "/Customers", "[]", 400, ""),
        (&customers, "PUT", "/Customers", "{", 400, ""),
        (&products, "PUT", "/Products", r#"{"name": "  "}"#, 400, "name"),
        (&products, "PUT", "/Products", &large, 413, ""),
        (&invoices, "PUT", "/Invoices", r#"{"quantity": 0}"#, 400, "customerId productId quantity"),
        (&customers, "GET", "/Customers?limit=0", "", 400, "limit"),
        (&invoices, "GET", "/Invoices?customer-id=x", "", 400, "customer-id"),
        (&customers, "GET", &format!("/Customers/{NOBODY}"), "", 404, ""),
        (&products, "GET", "/Products/x", "", 404, ""),
        (&invoices, "GET", "/Invoices/%20", "", 404, ""),
        (&invoices, "GET", "/nothing", "", 404, ""),
        (&invoices, "DELETE", "/Invoices", "", 405, ""),
    ] {
        let answer = ask(&service.base(), method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        assert_eq!(answer.header("content-type"), "application/json", "{method} {path}");
        let error = answer.body["error"].as_str().unwrap_or_default();
        assert!(!error.is_empty(), "{method} {path}: {}", answer.text);
        for field in named.split_whitespace() {
            let problem = answer.body["fields"][field].as_str().unwrap_or_default();
            assert!(!problem.is_empty(), "{method} {path}: {}", answer.text);
            assert!(error.contains(&format!("{field} {problem}")), "{error}");
        }
    }
    for (service, path) in
        [(&customers, "/Customers"), (&products, "/Products"), (&invoices, "/Invoices")]
    {
        assert_eq!(service.get(path).await.body, json!([]), "nothing was stored in {path}");
    }
}

#[tokio::test]
async fn version_2_greets_the_customers_that_version_1_stored() {
    let redis = Redis::start();
    let (old, new) = (customers(redis.port).await, customers_version("2", redis.port).await);
    let id = old.created("/Customers", ADA).await;
    let shown = new.get(&format!("/Customers/{id}")).await;
    assert_eq!(shown.header("x-version"), "2");
    assert_eq!(shown.body["greeting"], "Hello, Ada!");
    assert_eq!(shown.body["address"], "1 Engine Street");
    assert_eq!(new.get("/Customers").await.body[0], shown.body);
    assert_eq!(old.get("/Customers").await.body[0]["greeting"], Value::Null);
}

#[tokio::test]
async fn an_invoice_needs_a_customer_and_a_product_that_exist() {
    let redis = Redis::start();
    let (customers, products) = (customers(redis.port).await, products(redis.port).await);
    let invoices = invoices(redis.port, customers.base(), products.base()).await;
    let ada = customers.created("/Customers", ADA).await;
    let bob = customers.created("/Customers", r#"{"name": "Bob", "address": "here"}"#).await;
    let mill = products.created("/Products", r#"{"name": "mill"}"#).await;
    let body = |customer: &str, product: &str| {
        json!({"customerId": customer, "productId": product, "quantity": 3}).to_string()
    };
    for (customer, product, named) in [
        (NOBODY, mill.as_str(), vec!["customerId"]),
        (ada.as_str(), NOBODY, vec!["productId"]),
        (NOBODY, NOBODY, vec!["customerId", "productId"]),
    ] {
        let refused = invoices.put("/Invoices", &body(customer, product)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        let fields: Vec<_> = refused.body["fields"].as_object().expect("fields").keys().collect();
        assert_eq!(fields, named);
    }
    let first = invoices.created("/Invoices", &body(&ada, &mill)).await;
    let second = invoices.created("/Invoices", &body(&bob, &mill)).await;
    let invoice = invoices.get(&format!("/Invoices/{first}")).await.body;
    let issued: jiff::Timestamp =
        invoice["issuedAt"].as_str().and_then(|text| text.parse().ok()).expect("ISO 8601");
    assert!(jiff::Timestamp::now().duration_since(issued).as_secs().abs() < 60);
    let wanted = json!({"id": first, "customerId": ada, "productId": mill, "quantity": 3,
        "issuedAt": invoice["issuedAt"]});
    assert_eq!(invoice, wanted);
    let ids = async |path: &str| {
        let list = invoices.get(path).await.body;
        let list = list.as_array().expect("a list").iter();
        list.map(|invoice| invoice["id"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("/Invoices").await, [second.clone(), first.clone()]);
    assert_eq!(ids(&format!("/Invoices?customer-id={ada}")).await, [first]);
    assert_eq!(ids(&format!("/Invoices?customer-id={bob}&limit=1")).await, [second]);
    assert_eq!(ids(&format!("/Invoices?customer-id={NOBODY}")).await, [""; 0]);
}

#[tokio::test]
async fn a_service_says_why_it_is_not_ready_and_finds_its_redis_by_itself() {
    let port = free_port();
    let customers = customers(port).await;
    for answer in [
        customers.get("/ready").await,
        customers.get("/Customers").await,
        customers.put("/Customers", ADA).await,
    ] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        let reason = answer.body["reason"].as_str().expect("a reason");
        assert!(reason.contains(&format!("127.0.0.1:{port}")), "{reason}");
        assert!(reason.contains("refused"), "{reason}");
    }
    assert_eq!(customers.get("/health").await.status, StatusCode::OK, "alive all the same");

    let redis = Redis::start_on(port).expect("the port is still free");
    assert_eq!(customers.get("/ready").await.status, StatusCode::OK);
    customers.created("/Customers", ADA).await;
    drop(redis);
    assert_eq!(customers.get("/Customers").await.status, StatusCode::SERVICE_UNAVAILABLE);
    let _redis = Redis::start_on(port).expect("the port is still free");
    customers.created("/Customers", ADA).await;
    assert_eq!(customers.get("/Customers").await.header("x-total-count"), "1");
}

#[tokio::test]
async fn requests_to_a_silent_redis_wait_together_not_one_after_the_other() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let customers = customers(silent.local_addr().expect("bound").port()).await;
    let started = Instant::now();
    let requests: Vec<_> = (0..30)
        .map(|_| {
            let base = customers.base();
            tokio::spawn(async move { ask(&base, "GET", "/Customers", "").await.status })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.expect("answered"), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "took {:?}", started.elapsed());
}

/// A dependency that answers 200 unless told otherwise, and remembers the correlation ids.
struct Dependency {
    served: Served,
    /// Codes to answer with before 200.
    failures: Arc<Mutex<Vec<u16>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn dependency() -> Dependency {
    let failures = Arc::new(Mutex::new(Vec::<u16>::new()));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (codes, ids) = (Arc::clone(&failures), Arc::clone(&asked));
    let router = Router::new().fallback(async move |request: AxumRequest| {
        let id = CorrelationId::of(request.headers()).as_str().to_owned();
        ids.lock().expect("not poisoned").push(id);
        let code = codes.lock().expect("not poisoned").pop().unwrap_or(200);
        let status = StatusCode::from_u16(code).expect("a code");
        (status, axum::Json(json!({"error": "broken", "reason": "the disk is full"})))
    });
    let instance = Instance::new("dependency", "dependency-host".into(), "1".into());
    Dependency { served: Served::start(instance, router).await, failures, asked }
}

fn order() -> String {
    json!({"customerId": NOBODY, "productId": NOBODY, "quantity": 1}).to_string()
}

#[tokio::test]
async fn one_failed_call_is_made_again_and_the_correlation_id_is_handed_on() {
    let redis = Redis::start();
    let (customers, products) = (dependency().await, dependency().await);
    let invoices = invoices(redis.port, customers.served.base(), products.served.base()).await;
    customers.failures.lock().expect("not poisoned").extend([500, 503]);
    let request = Request::put("/Invoices").header("x-correlation-id", "order-17");
    let request = request.body(Full::new(Bytes::from(order()))).expect("a request");
    let answer = common::send(&invoices.base(), request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.header("x-correlation-id"), "order-17");
    assert_eq!(*customers.asked.lock().expect("not poisoned"), ["order-17"; 3]);
    assert_eq!(*products.asked.lock().expect("not poisoned"), ["order-17"]);
}

#[tokio::test]
async fn a_dependency_that_keeps_failing_is_left_alone_and_tried_again_later() {
    let redis = Redis::start();
    let (customers, products) = (dependency().await, dependency().await);
    let invoices = invoices(redis.port, customers.served.base(), products.served.base()).await;
    customers.failures.lock().expect("not poisoned").extend([503; 5]);

    let half_failed = invoices.put("/Invoices", &order()).await;
    assert_eq!(half_failed.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(half_failed.body["error"], "customers cannot be reached");
    assert_eq!(half_failed.body["reason"], "it answered 503 (the disk is full)");

    // The fifth failure in a row opens the breaker, within the second request.
    let opened = invoices.put("/Invoices", &order()).await;
    assert_eq!(opened.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(customers.asked.lock().expect("not poisoned").len(), 5);
    let refused = invoices.put("/Invoices", &order()).await;
    let reason = refused.body["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("not asked, for it failed 5 times in a row"), "{reason}");
    assert!(reason.contains("the disk is full"), "{reason}");
    assert_eq!(customers.asked.lock().expect("not poisoned").len(), 5, "left alone");
    let metrics = invoices.get("/metrics").await.text;
    assert!(metrics.contains("upstream_breaker_open{upstream=\"customers\"} 1"), "{metrics}");
    assert!(metrics.contains("upstream_breaker_open{upstream=\"products\"} 0"), "{metrics}");
    assert_eq!(invoices.get("/Invoices").await.body, json!([]), "nothing was stored");

    // As a client does that honours Retry-After.
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    tokio::time::sleep(Duration::from_secs(wait + 1)).await;
    invoices.created("/Invoices", &order()).await;
    let metrics = invoices.get("/metrics").await.text;
    assert!(metrics.contains("upstream_breaker_open{upstream=\"customers\"} 0"), "{metrics}");
}

#[tokio::test]
async fn a_dependency_that_is_not_there_is_named_with_the_reason() {
    let redis = Redis::start();
    let products = dependency().await;
    let gone = free_port();
    let invoices = invoices(redis.port, base(gone), products.served.base()).await;
    let answer = invoices.put("/Invoices", &order()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.body["error"], "customers cannot be reached");
    let reason = answer.body["reason"].as_str().expect("a reason");
    assert!(reason.contains(&format!("127.0.0.1:{gone}: connection refused")), "{reason}");
}

#[tokio::test]
async fn what_is_certainly_wrong_is_said_even_when_the_rest_is_unknown() {
    let redis = Redis::start();
    let customers = customers(redis.port).await;
    let invoices = invoices(redis.port, customers.base(), base(free_port())).await;
    let answer = invoices.put("/Invoices", &order()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.body["fields"]["customerId"].is_string(), "{}", answer.text);
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_takes_nothing_new() {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (entered, leave) = (Arc::clone(&entered), Arc::clone(&leave));
        async move || {
            entered.notify_one();
            leave.notified().await;
            "slow but whole"
        }
    };
    let router = Router::new().route("/slow", get(handler)).route("/fast", get(async || "fast"));
    let instance = Instance::new("slow", "host".into(), "1".into());
    let mut served = Served::start(instance, router).await;
    let address = served.address;

    let mut idle = tokio::net::TcpStream::connect(address).await.expect("connected");
    let in_flight = tokio::spawn({
        let base = served.base();
        async move { ask(&base, "GET", "/slow", "").await }
    });
    entered.notified().await;
    drop(served.stop.take());
    // Connected before the stop, sent just after it: still answered.
    idle.write_all(b"GET /fast HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let mut text = String::new();
    idle.read_to_string(&mut text).await.expect("answered and closed");
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");

    leave.notify_one();
    let answer = in_flight.await.expect("answered");
    assert_eq!(answer.text, "slow but whole");
    assert_eq!(answer.header("connection"), "close");
    served.done.await.expect("serving ends");
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "no longer listening");
}
