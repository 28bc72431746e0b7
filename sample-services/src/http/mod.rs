//! Serving and calling over HTTP, the same way in every service.

pub mod client;
pub mod dial;
pub mod every_request;
pub mod healthcheck;
pub mod problem;
pub mod serve;

pub use problem::Problem;
