//! The words of measuring: families of metrics, tallies of them, and Prometheus' text format.
//!
//! A [`Family`] says what is measured and is the only place that names it: the page of a program, the
//! list in `docs/metrics.md` and the tests of alert rules all come from the same tables. A [`Page`] is
//! what is scraped. [`Counters`] and [`Histograms`] are what a program counts in while it runs; nothing
//! here reads a clock.
//!
//! Format: <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

/// What a page is, for the header `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One measured thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    /// `seconds`, `bytes`, or what is counted.
    pub unit: &'static str,
    pub help: &'static str,
    pub labels: &'static [&'static str],
}

/// How a family's values behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Rises until the program ends.
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    /// Prometheus' word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// Declares families, a constant each, and the list of them, `FAMILIES`: a line is
/// `NAME = "name", Kind, "unit", ["label", …], "help";`. What stands in front is what the list is of.
#[macro_export]
macro_rules! families {
    ($(#[$of:meta])+ $($name:ident = $text:literal, $kind:ident, $unit:literal, $labels:expr, $help:literal;)+) => {
        $(#[doc = $help] pub(crate) const $name: $crate::metrics::Family = $crate::metrics::Family {
            name: $text,
            kind: $crate::metrics::Kind::$kind,
            unit: $unit,
            help: $help,
            labels: &$labels,
        };)+
        $(#[$of])+
        pub const FAMILIES: &[$crate::metrics::Family] = &[$($name),+];
    };
}

/// Between the values of several labels in a key. No name in a cluster has it.
const BETWEEN: char = '\u{1f}';

fn key<'a>(labels: &[&'a str]) -> Cow<'a, str> {
    match labels {
        [one] => Cow::Borrowed(one),
        several => Cow::Owned(several.join("\u{1f}")),
    }
}

/// Numbers by the values of labels. Can be a `static`.
#[derive(Debug, Default)]
pub struct Counters(Mutex<BTreeMap<String, u64>>);

impl Counters {
    #[must_use]
    pub const fn new() -> Counters {
        Counters(Mutex::new(BTreeMap::new()))
    }

    fn with<R>(&self, work: impl FnOnce(&mut BTreeMap<String, u64>) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds to the series of these labels.
    pub fn add(&self, labels: &[&str], count: u64) {
        let key = key(labels);
        self.with(|map| match map.get_mut(&*key) {
            Some(value) => *value = value.saturating_add(count),
            None => drop(map.insert(key.into_owned(), count)),
        });
    }

    /// Takes one away: for things that are open now.
    pub fn take(&self, labels: &[&str]) {
        self.with(|map| {
            if let Some(value) = map.get_mut(&*key(labels)) {
                *value = value.saturating_sub(1);
            }
        });
    }

    /// Forgets the series whose first label is none of these, so that names that come and go do not
    /// fill the page.
    pub fn keep(&self, first: impl Fn(&str) -> bool) {
        self.with(|map| map.retain(|key, _| first(key.split(BETWEEN).next().unwrap_or(key))));
    }

    /// Writes the family.
    pub fn write(&self, page: &mut Page, family: &Family) {
        page.begin(family);
        let all = self.with(|map| map.clone());
        for (key, value) in all {
            page.sample(family, &values_of(family, &key), value as f64);
        }
    }
}

fn values_of<'a>(family: &Family, key: &'a str) -> Vec<&'a str> {
    if family.labels.is_empty() { Vec::new() } else { key.split(BETWEEN).collect() }
}

/// Upper bounds of buckets for durations, seconds: from a local call to one that is given up.
pub const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// How values were spread.
#[derive(Clone, Debug, PartialEq)]
struct Spread {
    /// For each of [`SECONDS`], how many were not above it and above the one before.
    counts: [u64; SECONDS.len()],
    above: u64,
    sum: f64,
}

/// Durations by the values of labels. Can be a `static`.
#[derive(Debug, Default)]
pub struct Histograms(Mutex<BTreeMap<String, Spread>>);

impl Histograms {
    #[must_use]
    pub const fn new() -> Histograms {
        Histograms(Mutex::new(BTreeMap::new()))
    }

    /// Takes one duration in.
    pub fn observe(&self, labels: &[&str], seconds: f64) {
        let key = key(labels);
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !map.contains_key(&*key) {
            let empty = Spread { counts: [0; SECONDS.len()], above: 0, sum: 0.0 };
            map.insert(key.clone().into_owned(), empty);
        }
        let Some(spread) = map.get_mut(&*key) else { return };
        spread.sum += seconds;
        match SECONDS.iter().position(|bound| seconds <= *bound) {
            Some(at) => spread.counts[at] += 1,
            None => spread.above += 1,
        }
    }

    /// As [`Counters::keep`].
    pub fn keep(&self, first: impl Fn(&str) -> bool) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.retain(|key, _| first(key.split(BETWEEN).next().unwrap_or(key)));
    }

    /// Writes the family.
    pub fn write(&self, page: &mut Page, family: &Family) {
        page.begin(family);
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (key, spread) in all {
            let values = values_of(family, &key);
            let mut total = 0;
            for (bound, count) in SECONDS.iter().zip(spread.counts) {
                total += count;
                page.line(family, "_bucket", &values, Some(&bound.to_string()), total as f64);
            }
            total += spread.above;
            page.line(family, "_bucket", &values, Some("+Inf"), total as f64);
            page.line(family, "_sum", &values, None, spread.sum);
            page.line(family, "_count", &values, None, total as f64);
        }
    }
}

/// What is scraped, as it is put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page(String);

impl Page {
    /// The head of a family; its samples follow.
    pub fn begin(&mut self, family: &Family) {
        let Family { name, help, kind, .. } = family;
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {}", kind.name());
    }

    /// A value of the family that was begun last.
    pub fn sample(&mut self, family: &Family, values: &[&str], value: f64) {
        self.line(family, "", values, None, value);
    }

    /// A family of one value.
    pub fn one(&mut self, family: &Family, value: f64) {
        self.begin(family);
        self.sample(family, &[], value);
    }

    /// A family of some values.
    pub fn all<'a>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = (Vec<&'a str>, f64)>,
    ) {
        self.begin(family);
        for (values, value) in samples {
            self.sample(family, &values, value);
        }
    }

    fn line(
        &mut self,
        family: &Family,
        suffix: &str,
        values: &[&str],
        bound: Option<&str>,
        value: f64,
    ) {
        let _ = write!(self.0, "{}{suffix}", family.name);
        let named = family.labels.iter().copied().zip(values.iter().copied());
        let labels: Vec<String> = named
            .chain(bound.map(|bound| ("le", bound)))
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        if !labels.is_empty() {
            let _ = write!(self.0, "{{{}}}", labels.join(","));
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// The text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// One page of several programs' pages: a family that several have is begun once.
#[must_use]
pub fn merged<'a>(pages: impl IntoIterator<Item = &'a str>) -> String {
    let mut order: Vec<&str> = Vec::new();
    let mut families: BTreeMap<&str, (String, String)> = BTreeMap::new();
    for page in pages {
        let mut current = "";
        for line in page.lines().filter(|line| !line.is_empty()) {
            let comment = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
            if let Some(name) = comment.and_then(|rest| rest.split(' ').next()) {
                current = name;
                if !families.contains_key(name) {
                    order.push(name);
                }
            }
            let (head, samples) = families.entry(current).or_default();
            if comment.is_none() {
                let _ = writeln!(samples, "{line}");
            } else if !head.contains(&line[..7]) {
                let _ = writeln!(head, "{line}");
            }
        }
    }
    order
        .iter()
        .filter_map(|name| families.get(name))
        .map(|(head, samples)| format!("{head}{samples}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLS: Family = Family {
        name: "calls_total",
        kind: Kind::Counter,
        unit: "calls",
        help: "Calls.",
        labels: &["service", "outcome"],
    };
    const TOOK: Family = Family {
        name: "took_seconds",
        kind: Kind::Histogram,
        unit: "seconds",
        help: "Time.",
        labels: &["what"],
    };

    fn text(write: impl FnOnce(&mut Page)) -> String {
        let mut page = Page::default();
        write(&mut page);
        page.into_text()
    }

    #[test]
    fn counters_are_written_with_their_labels_and_forgotten_with_their_names() {
        let counters = Counters::new();
        counters.add(&["web", "fine"], 2);
        counters.add(&["we\"b", "fine"], 1);
        counters.add(&["web", "fine"], 1);
        assert_eq!(
            text(|page| counters.write(page, &CALLS)),
            "# HELP calls_total Calls.\n# TYPE calls_total counter\n\
             calls_total{service=\"we\\\"b\",outcome=\"fine\"} 1\n\
             calls_total{service=\"web\",outcome=\"fine\"} 3\n"
        );
        counters.keep(|service| service == "db");
        assert_eq!(text(|page| counters.write(page, &CALLS)).lines().count(), 2);
    }

    #[test]
    fn a_histogram_counts_each_value_in_every_bucket_above_it() {
        let histograms = Histograms::new();
        for seconds in [0.0005, 0.7, 99.0] {
            histograms.observe(&["create"], seconds);
        }
        let text = text(|page| histograms.write(page, &TOOK));
        let value = |bound: &str| {
            let name = format!("took_seconds_bucket{{what=\"create\",le=\"{bound}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&name)).map(str::to_owned)
        };
        assert_eq!(value("0.0005").as_deref(), Some("1"));
        assert_eq!(value("0.5").as_deref(), Some("1"));
        assert_eq!(value("1").as_deref(), Some("2"));
        assert_eq!(value("30").as_deref(), Some("2"));
        assert_eq!(value("+Inf").as_deref(), Some("3"));
        assert!(text.ends_with("took_seconds_count{what=\"create\"} 3\n"), "{text}");
    }

    #[test]
    fn pages_of_several_programs_become_one_that_begins_each_family_once() {
        let page = |service: &str| {
            let counters = Counters::new();
            counters.add(&[service, "fine"], 1);
            text(|page| {
                counters.write(page, &CALLS);
                page.one(&Family { name: "up", labels: &[], ..TOOK }, 1.5);
            })
        };
        let (one, two) = (page("a"), page("b"));
        let both = merged([one.as_str(), two.as_str()]);
        assert_eq!(both.matches("# TYPE calls_total").count(), 1, "{both}");
        assert_eq!(both.matches("# TYPE up").count(), 1, "{both}");
        assert!(
            both.contains(
                "calls_total{service=\"a\",outcome=\"fine\"} 1\n\
                 calls_total{service=\"b\",outcome=\"fine\"} 1\n"
            ),
            "{both}"
        );
    }
}
