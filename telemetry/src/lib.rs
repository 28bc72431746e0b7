//! Traces: what one request led to, from the API to the engines, told to a collector over OTLP/HTTP.
//!
//! A [`Span`] is begun with whatever caused it ([`Context`]) and is told when it is dropped. Inside one
//! program the cause travels with the task ([`within`], [`current`]); between programs as W3C's
//! `traceparent`. Nothing is made while no collector is configured ([`start`]), and nothing here ever
//! waits for one: spans go into a bounded queue, and what does not fit is counted and dropped.
//!
//! Read `context` for what travels, `span` for what is told, `otlp` for the form, `export` for the way.
//! Not in `model`, because it sends; not in `agent` or `orchestrator`, because both need it.
//!
//! Deliberately absent: sampling (whoever calls decides, by the flag in `traceparent`), metrics and logs
//! over OTLP (Prometheus scrapes, journald reads), TLS (a collector on the host or its network forwards).

mod context;
mod export;
mod otlp;
mod span;

pub use context::{Context, TRACEPARENT, Wish};
pub use export::{Endpoint, EndpointError, SPANS, flush, is_on, start};
pub use span::{Kind, Span, Value, current, within};
