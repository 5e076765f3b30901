//! Counts and times of requests, by route. A handle is registered once per series; a request only adds to it.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use axum::{extract::Request, http::Method, response::Response};
use metrics::{Counter, Gauge, Histogram};
use tokio::time::Instant;
use tower::{Layer, Service};

/// Requests answered, by route, method and class of status.
const REQUESTS_TOTAL: &str = "rustdht_http_requests_total";
/// Seconds from the head of a request to the head of its answer, by route.
const REQUEST_SECONDS: &str = "rustdht_http_request_seconds";
/// Watches open now.
const WATCHERS: &str = "rustdht_http_watchers";
/// Nodes taken by imports.
const IMPORTED_NODES_TOTAL: &str = "rustdht_http_imported_nodes_total";
/// Every metric of this crate, for the test of the list.
pub const NAMES: &[&str] = &[REQUESTS_TOTAL, REQUEST_SECONDS, WATCHERS, IMPORTED_NODES_TOTAL];

const METHODS: [&str; 7] = ["GET", "HEAD", "PATCH", "PUT", "POST", "DELETE", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Tells the recorder what the metrics mean; call it once the recorder is installed.
pub fn describe() {
    metrics::describe_counter!(REQUESTS_TOTAL, "requests answered, by route, method and class of status");
    metrics::describe_histogram!(
        REQUEST_SECONDS,
        metrics::Unit::Seconds,
        "time from the head of a request to the head of its answer"
    );
    metrics::describe_gauge!(WATCHERS, "watches open now");
    metrics::describe_counter!(IMPORTED_NODES_TOTAL, "nodes taken by imports");
}

pub(crate) fn imported_nodes() -> Counter {
    metrics::counter!(IMPORTED_NODES_TOTAL)
}

/// One watch, counted while it lives.
#[derive(Debug)]
pub(crate) struct Watching(Gauge);

impl Watching {
    pub(crate) fn begin() -> Self {
        let gauge = metrics::gauge!(WATCHERS);
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

struct Series {
    route: String,
    seconds: OnceLock<Histogram>,
    requests: [[OnceLock<Counter>; CLASSES.len()]; METHODS.len()],
}

impl Series {
    fn record(&self, method: usize, status: u16, seconds: f64) {
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        self.requests[method][class]
            .get_or_init(|| {
                metrics::counter!(REQUESTS_TOTAL, "route" => self.route.clone(), "method" => METHODS[method], "status" => CLASSES[class])
            })
            .increment(1);
        self.seconds
            .get_or_init(|| metrics::histogram!(REQUEST_SECONDS, "route" => self.route.clone()))
            .record(seconds);
    }
}

fn method_index(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::PATCH => 2,
        Method::PUT => 3,
        Method::POST => 4,
        Method::DELETE => 5,
        _ => 6,
    }
}

/// Measures one route.
#[derive(Clone)]
pub(crate) struct Measure(Arc<Series>);

impl Measure {
    pub(crate) fn new(route: impl Into<String>) -> Self {
        Self(Arc::new(Series { route: route.into(), seconds: OnceLock::new(), requests: Default::default() }))
    }
}

impl<S> Layer<S> for Measure {
    type Service = Measured<S>;
    fn layer(&self, inner: S) -> Measured<S> {
        Measured { inner, series: self.0.clone() }
    }
}

#[derive(Clone)]
pub(crate) struct Measured<S> {
    inner: S,
    series: Arc<Series>,
}

impl<S: Service<Request, Response = Response>> Service<Request> for Measured<S>
where
    S::Future: Unpin,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Measuring<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let method = method_index(request.method());
        Measuring { inner: self.inner.call(request), series: self.series.clone(), method, start: Instant::now() }
    }
}

pub(crate) struct Measuring<F> {
    inner: F,
    series: Arc<Series>,
    method: usize,
    start: Instant,
}

impl<F: Future<Output = Result<Response, E>> + Unpin, E> Future for Measuring<F> {
    type Output = Result<Response, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.inner).poll(context));
        if let Ok(response) = &answer {
            self.series.record(self.method, response.status().as_u16(), self.start.elapsed().as_secs_f64());
        }
        Poll::Ready(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_metrics_is_what_dashboards_rely_on() {
        assert_eq!(
            NAMES,
            [
                "rustdht_http_requests_total",
                "rustdht_http_request_seconds",
                "rustdht_http_watchers",
                "rustdht_http_imported_nodes_total",
            ]
        );
    }

    #[test]
    fn a_request_is_counted_under_its_route_method_and_class() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let measure = Measure::new("/a/{b}");
            measure.0.record(method_index(&Method::PATCH), 404, 0.5);
            measure.0.record(method_index(&Method::PATCH), 412, 0.5);
        });
        let text = handle.render();
        assert!(
            text.contains("rustdht_http_requests_total{route=\"/a/{b}\",method=\"PATCH\",status=\"4xx\"} 2"),
            "{text}"
        );
        assert!(text.contains("rustdht_http_request_seconds_count{route=\"/a/{b}\"} 2"), "{text}");
    }
}
