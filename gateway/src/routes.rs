//! The router: every resource, with its place in the OpenAPI document.

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt};

use crate::{
    State, accounts, admin, blobs, certificates, codes::HttpCode, commits, content, export, health, history, import,
    ipfs, names, nodes, openapi, pages, pins, private_files, problem::Problem, recipients, routing, schemas, status,
    telemetry::Measure, tokens, uploads, watch, yjs,
};

/// Counts and times the requests of one resource under its path.
pub(crate) fn measured(routes: UtoipaMethodRouter<State>) -> UtoipaMethodRouter<State> {
    let path = routes.1.paths.keys().next().cloned().unwrap_or_default();
    routes.layer(Measure::new(path))
}

pub(crate) fn documented() -> OpenApiRouter<State> {
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(nodes::router())
        .merge(commits::router())
        .merge(import::router())
        .merge(export::router())
        .merge(watch::router())
        .merge(yjs::router())
        .merge(blobs::router())
        .merge(uploads::router())
        .merge(pins::router())
        .merge(private_files::router())
        .merge(ipfs::router())
        .merge(names::router())
        .merge(routing::router())
        .merge(content::router())
        .merge(history::router())
        .merge(accounts::router())
        .merge(tokens::router())
        .merge(certificates::router())
        .merge(recipients::router())
        .merge(schemas::router())
        .merge(admin::router())
        .merge(status::router())
        .merge(health::router())
}

/// Everything this gateway serves, behind the gate that keeps hosts of content away from the API. A bridge's router has
/// to be merged in front of the gate: here.
pub fn router(state: State) -> Router {
    let (router, _) = documented().split_for_parts();
    let router = router.merge(pages::router()).fallback(not_found).method_not_allowed_fallback(method_not_allowed);
    router.with_state(state.clone()).layer(ipfs::Gate::new(state))
}

async fn not_found(request: Request) -> Response {
    if request.uri().path() == "/api/v1/nodes/" {
        let empty = "".parse::<rustdht_core::Soul>();
        return empty.map_or_else(|refusal| Problem::from(refusal).at("soul").into_response(), |_| not_here());
    }
    not_here()
}

fn not_here() -> Response {
    Problem::not_found("nothing is served under this path; /docs lists what is").into_response()
}

async fn method_not_allowed(request: Request) -> Response {
    Problem::new(HttpCode::MethodNotAllowed, format!("{} is not a method of this resource", request.method()))
        .into_response()
}
