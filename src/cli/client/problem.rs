//! Problems (RFC 9457) as errors with an exit code.

use reqwest::{Response, StatusCode};
use serde::Deserialize;

use crate::exit::{Exit, coded};

/// A problem is a few hundred bytes; a proxy's error page may be any size.
const MAX_PROBLEM_BYTES: usize = 64 * 1024;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
    code: Option<String>,
    field: Option<String>,
    /// An answer of the Pinning Service API instead.
    error: Option<Failure>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    reason: String,
    #[serde(default)]
    details: Option<String>,
}

/// The error that a non-2xx answer stands for.
pub(super) async fn explain(mut answer: Response) -> anyhow::Error {
    let status = answer.status();
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_PROBLEM_BYTES {
            break;
        }
    }
    of(status, &body)
}

fn of(status: StatusCode, body: &[u8]) -> anyhow::Error {
    let mut problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    if let Some(Failure { reason, details }) = problem.error.take() {
        problem.detail = problem.detail.or(details);
        problem.code = problem.code.or_else(|| Some(reason.to_ascii_lowercase()));
    }
    let mut text = problem.detail.or(problem.title).unwrap_or_else(|| format!("the gateway answered {status}"));
    if let Some(field) = problem.field.filter(|field| !field.is_empty()) {
        text = format!("{field}: {text}");
    }
    if let Some(code) = problem.code {
        text = format!("{text} [{code}]");
    }
    let exit = match status {
        StatusCode::NOT_FOUND => Exit::NotFound,
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Exit::Conflict,
        _ => Exit::Failure,
    };
    if status == StatusCode::UNAUTHORIZED {
        text.push_str("; give a token with --token-file or RUSTDHT_TOKEN_FILE");
    }
    coded(exit, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_status() {
        let exit = |status: u16| crate::exit::of(&of(StatusCode::from_u16(status).unwrap(), b"{}"));
        assert_eq!(exit(404), Exit::NotFound);
        assert_eq!(exit(409), Exit::Conflict);
        assert_eq!(exit(412), Exit::Conflict);
        for status in [400, 401, 403, 413, 416, 422, 500, 503] {
            assert_eq!(exit(status), Exit::Failure);
        }
    }

    #[test]
    fn what_where_and_code_are_told() {
        let body = br#"{"type":"/errors/bad_value","title":"Bad value","status":422,"detail":"a bare array is not a value","code":"bad_value","field":"data.x"}"#;
        assert_eq!(
            of(StatusCode::UNPROCESSABLE_ENTITY, body).to_string(),
            "data.x: a bare array is not a value [bad_value]"
        );
        let body = br#"{"error":{"reason":"NOT_FOUND","details":"there is no such pin"}}"#;
        assert_eq!(of(StatusCode::NOT_FOUND, body).to_string(), "there is no such pin [not_found]");
        assert_eq!(of(StatusCode::BAD_GATEWAY, b"<html>").to_string(), "the gateway answered 502 Bad Gateway");
        assert!(of(StatusCode::UNAUTHORIZED, b"{}").to_string().contains("--token-file"));
    }

    proptest::proptest! {
        #[test]
        fn any_body_gives_an_error(status in 400u16..600, body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            proptest::prop_assert!(!of(StatusCode::from_u16(status).unwrap(), &body).to_string().is_empty());
        }
    }
}
