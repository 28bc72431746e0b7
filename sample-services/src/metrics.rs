//! Counts what this process answered and called, and prints it as Prometheus text.
//!
//! Labels are bounded: routes as written in the router (never the path asked for), methods, codes,
//! names of the services called.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

/// Upper bounds of the duration histogram, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

#[derive(Default)]
pub struct Metrics {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// None where only ends are known.
    in_flight: Option<u64>,
    requests: BTreeMap<(String, String, u16), u64>,
    durations: BTreeMap<String, Histogram>,
    calls: BTreeMap<(String, &'static str), u64>,
    breaker_open: BTreeMap<String, u8>,
}

#[derive(Default)]
struct Histogram {
    counts: [u64; BUCKETS.len()],
    total: u64,
    sum_seconds: f64,
}

impl Metrics {
    pub fn begin(&self) {
        let mut inner = self.lock();
        inner.in_flight = Some(inner.in_flight.unwrap_or(0) + 1);
    }

    pub fn end(&self, method: &str, route: &str, status: u16, took: Duration) {
        let mut inner = self.lock();
        inner.in_flight = inner.in_flight.map(|count| count.saturating_sub(1));
        *inner.requests.entry((method.to_owned(), route.to_owned(), status)).or_default() += 1;
        let seconds = took.as_secs_f64();
        let histogram = inner.durations.entry(route.to_owned()).or_default();
        histogram.total += 1;
        histogram.sum_seconds += seconds;
        for (count, bound) in histogram.counts.iter_mut().zip(BUCKETS) {
            *count += u64::from(seconds <= bound);
        }
    }

    /// Counts one call to another service; `outcome` is `ok`, `failed` or `refused` (breaker open).
    pub fn called(&self, upstream: &str, outcome: &'static str) {
        *self.lock().calls.entry((upstream.to_owned(), outcome)).or_default() += 1;
    }

    pub fn breaker(&self, upstream: &str, open: u8) {
        self.lock().breaker_open.insert(upstream.to_owned(), open);
    }

    /// The text exposition format, version 0.0.4.
    pub fn render(&self, service: &str, version: &str) -> String {
        let inner = self.lock();
        let mut out = String::with_capacity(4096);
        let mut line = |text: std::fmt::Arguments| {
            out.write_fmt(text).expect("writing to a string cannot fail");
            out.push('\n');
        };
        line(format_args!("# HELP sample_build_info Which service and version this is."));
        line(format_args!("# TYPE sample_build_info gauge"));
        line(format_args!("sample_build_info{{service=\"{service}\",version=\"{version}\"}} 1"));
        if let Some(in_flight) = inner.in_flight {
            line(format_args!("# HELP http_requests_in_flight Requests being answered."));
            line(format_args!("# TYPE http_requests_in_flight gauge"));
            line(format_args!("http_requests_in_flight {in_flight}"));
        }
        line(format_args!("# HELP http_requests_total Requests answered."));
        line(format_args!("# TYPE http_requests_total counter"));
        for ((method, route, status), count) in &inner.requests {
            line(format_args!(
                "http_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}} {count}"
            ));
        }
        line(format_args!("# HELP http_request_duration_seconds Time to the answer's head."));
        line(format_args!("# TYPE http_request_duration_seconds histogram"));
        for (route, histogram) in &inner.durations {
            for (bound, count) in BUCKETS.iter().zip(histogram.counts) {
                line(format_args!(
                    "http_request_duration_seconds_bucket{{route=\"{route}\",le=\"{bound}\"}} {count}"
                ));
            }
            let Histogram { total, sum_seconds, .. } = histogram;
            line(format_args!(
                "http_request_duration_seconds_bucket{{route=\"{route}\",le=\"+Inf\"}} {total}"
            ));
            line(format_args!(
                "http_request_duration_seconds_sum{{route=\"{route}\"}} {sum_seconds}"
            ));
            line(format_args!("http_request_duration_seconds_count{{route=\"{route}\"}} {total}"));
        }
        line(format_args!("# HELP upstream_requests_total Attempts to call another service."));
        line(format_args!("# TYPE upstream_requests_total counter"));
        for ((upstream, outcome), count) in &inner.calls {
            line(format_args!(
                "upstream_requests_total{{upstream=\"{upstream}\",outcome=\"{outcome}\"}} {count}"
            ));
        }
        line(format_args!("# HELP upstream_breaker_open 1 while calls are refused unasked."));
        line(format_args!("# TYPE upstream_breaker_open gauge"));
        for (upstream, open) in &inner.breaker_open {
            line(format_args!("upstream_breaker_open{{upstream=\"{upstream}\"}} {open}"));
        }
        out
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // A panic while counting leaves at worst one count short; go on with what is there.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_and_put_into_buckets() {
        let metrics = Metrics::default();
        metrics.begin();
        metrics.begin();
        metrics.end("GET", "/Customers", 200, Duration::from_millis(3));
        metrics.called("customers", "failed");
        metrics.breaker("customers", 1);
        let text = metrics.render("customers", "2");
        for wanted in [
            "sample_build_info{service=\"customers\",version=\"2\"} 1",
            "http_requests_in_flight 1",
            "http_requests_total{method=\"GET\",route=\"/Customers\",status=\"200\"} 1",
            "http_request_duration_seconds_bucket{route=\"/Customers\",le=\"0.0025\"} 0",
            "http_request_duration_seconds_bucket{route=\"/Customers\",le=\"0.005\"} 1",
            "http_request_duration_seconds_bucket{route=\"/Customers\",le=\"+Inf\"} 1",
            "upstream_requests_total{upstream=\"customers\",outcome=\"failed\"} 1",
            "upstream_breaker_open{upstream=\"customers\"} 1",
        ] {
            assert!(text.lines().any(|line| line == wanted), "{wanted} is missing in\n{text}");
        }
    }
}
