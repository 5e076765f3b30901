//! Pages for people: the API reference and one page per error code. All are embedded; nothing is loaded from elsewhere.

use std::sync::LazyLock;

use axum::{
    Router,
    http::{HeaderName, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;

use crate::{State, auth::Reader, openapi, problem::Problem};

/// Only our own script, style and document; no frames, no forms.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi::openapi_json().into());

macro_rules! error_pages {
    ($($code:literal)*) => {
        /// Code and page, in Markdown.
        const ERROR_PAGES: &[(&str, &str)] =
            &[$(($code, include_str!(concat!("../../docs/errors/", $code, ".md"))),)*];
    };
}

error_pages! {
    "malformed" "not_authorised" "certificate_missing" "certificate_expired" "certificate_revoked" "local_space"
    "too_large" "too_many_operations" "wrong_network" "bad_key" "bad_signature" "bad_root" "bad_soul" "bad_field"
    "bad_kind" "bad_slot" "bad_value" "out_of_range" "duplicate_operation" "too_early" "stale" "immutable"
    "body_incomplete" "unauthenticated" "forbidden_origin" "insufficient_scope" "registration_closed" "not_found" "method_not_allowed" "body_timeout"
    "conflict" "not_a_document" "schema_violation" "rate_limited" "precondition_failed" "unsupported_media_type" "range_not_satisfiable" "not_implemented" "overloaded" "unavailable"
    "timed_out" "bad_path" "not_acceptable" "denied" "misdirected" "denied_by_law" "bad_redirects" "name_unresolved" "quota_exceeded" "locked" "checksum_mismatch"
}

pub(crate) fn router() -> Router<State> {
    Router::new()
        .route("/openapi.json", get(async |_: Reader| page("application/json", DOCUMENT.clone())))
        .route(
            "/docs",
            get(async |_: Reader| page("text/html; charset=utf-8", include_bytes!("docs/index.html")[..].into())),
        )
        .route(
            "/docs/docs.js",
            get(async |_: Reader| page("text/javascript; charset=utf-8", include_bytes!("docs/docs.js")[..].into())),
        )
        .route(
            "/docs/docs.css",
            get(async |_: Reader| page("text/css; charset=utf-8", include_bytes!("docs/docs.css")[..].into())),
        )
        .route("/errors/{code}", get(error_page))
}

fn page(mime: &'static str, body: Bytes) -> Response {
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(mime)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, body).into_response()
}

async fn error_page(_: Reader, uri: Uri) -> Result<Response, Problem> {
    let code = uri.path().strip_prefix("/errors/").unwrap_or_default();
    let (_, text) = ERROR_PAGES
        .iter()
        .find(|(known, _)| *known == code)
        .ok_or_else(|| Problem::not_found("no error code of that name"))?;
    Ok(page("text/markdown; charset=utf-8", Bytes::from_static(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use rustdht_core::Code;

    use super::*;
    use crate::codes::HttpCode;

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let core = Code::ALL.iter().map(|code| (code.as_str(), code.status()));
        let http = HttpCode::ALL.iter().map(|code| (code.as_str(), code.status()));
        let known: Vec<(&str, u16)> = core.chain(http).collect();
        assert_eq!(known.len(), ERROR_PAGES.len());
        for (code, status) in known {
            let (_, text) =
                ERROR_PAGES.iter().find(|(page, _)| *page == code).unwrap_or_else(|| panic!("no page {code}"));
            assert!(text.starts_with(&format!("# {code}\n\nStatus {status}.")), "{code}: {text}");
        }
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors");
        let files = std::fs::read_dir(folder).unwrap().filter(|file| file.as_ref().unwrap().file_name() != "README.md");
        assert_eq!(files.count(), ERROR_PAGES.len());
    }

    #[test]
    fn the_reference_loads_nothing_from_elsewhere() {
        for text in [include_str!("docs/index.html"), include_str!("docs/docs.js"), include_str!("docs/docs.css")] {
            assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("//cdn"));
            assert!(!text.contains("innerHTML"), "text of the document is never markup");
        }
    }
}
