//! Live, ready, and what Prometheus scrapes.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use axum::{
    Json,
    extract::State as Shared,
    http::{HeaderName, HeaderValue, header},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{State, auth::Admin, problem::Problem, routes::measured, schema};

const NO_STORE: [(HeaderName, HeaderValue); 1] = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// Whether the gateway wants traffic. Starts as not ready; the composition root flips it. A clone is the same latch.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

const STARTING: u8 = 0;
const READY: u8 = 1;
const STOPPING: u8 = 2;

impl Readiness {
    /// Everything is started. Without effect once the stop has begun.
    pub fn set_ready(&self) {
        self.0.compare_exchange(STARTING, READY, Ordering::Relaxed, Ordering::Relaxed).ok();
    }

    /// The stop has begun: load balancers should look elsewhere.
    pub fn set_stopping(&self) {
        self.0.store(STOPPING, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), Problem> {
        match self.0.load(Ordering::Relaxed) {
            READY => Ok(()),
            STARTING => Err(Problem::unavailable("the node is starting")),
            _ => Err(Problem::unavailable("the node is stopping")),
        }
    }
}

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(measured(routes!(get_live)))
        .routes(measured(routes!(get_ready)))
        .routes(measured(routes!(get_metrics)))
}

type Answer = ([(HeaderName, HeaderValue); 1], Json<schema::Health>);

fn healthy(status: &str) -> Answer {
    (NO_STORE, Json(schema::Health { status: status.to_owned() }))
}

/// Ask whether the process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "operation",
    responses((status = 200, description = "It does", body = schema::Health)),
)]
pub(crate) async fn get_live() -> Answer {
    healthy("ok")
}

/// Ask whether the gateway can serve.
///
/// It cannot while it starts, while it stops, and when the database does not answer.
#[utoipa::path(
    get, path = "/readyz", tag = "operation",
    responses(
        (status = 200, description = "It can", body = schema::Health),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_ready(Shared(state): Shared<State>) -> Result<Answer, Problem> {
    state.readiness().check()?;
    if state.stopping().is_cancelled() {
        return Err(Problem::unavailable("the node is stopping"));
    }
    state.node().ready().await?;
    Ok(healthy("ready"))
}

/// Read the metrics.
///
/// In the text format of Prometheus. Needs scope `admin`.
#[utoipa::path(
    get, path = "/metrics", tag = "operation",
    responses(
        (status = 200, description = "The metrics", body = String, content_type = "text/plain"),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_metrics(
    Shared(state): Shared<State>,
    _: Admin,
) -> Result<([(HeaderName, HeaderValue); 2], String), Problem> {
    let handle = state.prometheus().ok_or_else(|| Problem::not_found("no metrics are recorded here"))?;
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let [no_store] = NO_STORE;
    Ok(([(header::CONTENT_TYPE, text), no_store], handle.render()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latch_goes_one_way() {
        let latch = Readiness::default();
        assert!(latch.check().is_err());
        latch.clone().set_ready();
        assert!(latch.check().is_ok());
        latch.set_stopping();
        latch.set_ready();
        assert!(latch.check().is_err());
    }
}
