//! Spans: something that took time, what caused it, and how it ended.

use std::time::SystemTime;

use crate::context::Context;
use crate::export;

tokio::task_local! {
    /// What caused the work of this task; several when work was done for several at once.
    static CAUSES: Vec<Context>;
}

/// What caused what this task does now; empty when nobody asked for a trace.
#[must_use]
pub fn current() -> Vec<Context> {
    CAUSES.try_with(Clone::clone).unwrap_or_default()
}

/// Does the work as caused by these.
pub async fn within<F: Future>(causes: Vec<Context>, work: F) -> F::Output {
    if causes.is_empty() { work.await } else { CAUSES.scope(causes, work).await }
}

/// On which side of a call a span is. The numbers are OTLP's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Internal = 1,
    /// Answers a request.
    Server = 2,
    /// Asks somebody.
    Client = 3,
    /// Sends what another acts on later.
    Producer = 4,
    Consumer = 5,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Number(i64),
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// A finished span.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    /// Which part of the program it is of.
    pub scope: &'static str,
    pub context: Context,
    pub parent: Option<[u8; 8]>,
    pub name: String,
    pub kind: Kind,
    pub began: SystemTime,
    pub ended: SystemTime,
    pub attributes: Vec<(&'static str, Value)>,
    pub error: Option<String>,
}

/// Something that takes time; told when it is dropped. Does nothing while no collector is configured.
#[derive(Debug)]
#[must_use]
pub struct Span(Option<Box<Told>>);

impl Span {
    /// One that is never told.
    pub fn none() -> Span {
        Span(None)
    }

    /// Begins a trace.
    pub fn root(scope: &'static str, name: impl Into<String>, kind: Kind) -> Span {
        begin(scope, name, kind, None)
    }

    /// Begins what `cause` has led to.
    pub fn of(cause: Context, scope: &'static str, name: impl Into<String>, kind: Kind) -> Span {
        begin(scope, name, kind, Some(cause))
    }

    /// Begins the same for each of what caused this task's work.
    #[must_use]
    pub fn of_current(scope: &'static str, name: &str, kind: Kind) -> Vec<Span> {
        current().into_iter().map(|cause| Span::of(cause, scope, name, kind)).collect()
    }

    /// As a cause; none of a span that is not told.
    #[must_use]
    pub fn context(&self) -> Option<Context> {
        self.0.as_ref().map(|told| told.context)
    }

    /// As what [`within`] wants: this span, or nothing.
    #[must_use]
    pub fn causes(&self) -> Vec<Context> {
        self.context().into_iter().collect()
    }

    /// It began then, not when it was made.
    pub fn began(&mut self, at: SystemTime) {
        if let Some(told) = &mut self.0 {
            told.began = at;
        }
    }

    /// Says something about it.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(told) = &mut self.0 {
            told.attributes.push((key, value.into()));
        }
    }

    /// It went wrong, and how.
    pub fn fail(&mut self, why: impl Into<String>) {
        if let Some(told) = &mut self.0 {
            told.error = Some(why.into());
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(mut told) = self.0.take() {
            // A clock that was set back makes a span short, not negative.
            told.ended = SystemTime::now().max(told.began);
            export::put(*told);
        }
    }
}

fn begin(scope: &'static str, name: impl Into<String>, kind: Kind, cause: Option<Context>) -> Span {
    if !export::is_on() {
        return Span::none();
    }
    let (Some(span), Some(trace)) = (random(), cause.map_or_else(random, |c| Some(c.trace))) else {
        return Span::none();
    };
    let now = SystemTime::now();
    Span(Some(Box::new(Told {
        scope,
        context: Context { trace, span },
        parent: cause.map(|cause| cause.span),
        name: name.into(),
        kind,
        began: now,
        ended: now,
        attributes: Vec::new(),
        error: None,
    })))
}

/// A new id; none when the system has no randomness, and then there is no span.
fn random<const N: usize>() -> Option<[u8; N]> {
    let mut id = [0; N];
    getrandom::fill(&mut id).ok()?;
    Some(id)
}
