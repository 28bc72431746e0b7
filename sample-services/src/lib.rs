//! The demo stack: three small services with a Redis each, a web page, a gateway, a picture of the
//! cluster, a probe for tests, and the recipes of their images.
//!
//! One program holds them all (`main`): the images then share one layer, and one link serves eight
//! services. Read a service first (`customers` is the shortest), then what it stands on: `resource`
//! (list, get, put), `store` (Redis), `upstream` (calling another service), `http` (serving).

pub mod breaker;
pub mod check;
pub mod customers;
pub mod gateway;
pub mod http;
pub mod images;
pub mod invoices;
pub mod metrics;
pub mod nginx;
pub mod nginx_requests;
pub mod pages;
pub mod probe;
pub mod products;
pub mod resource;
pub mod settings;
pub mod store;
pub mod upstream;
pub mod viz;
pub mod webapp;
