//! Errors as answers: problem details (RFC 9457) with a stable code.

use std::borrow::Cow;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rustdht_core::{
    Code, Refusal,
    ports::{BlobError, NameError, ReplicationError, StoreError},
};
use rustdht_node::{AccountFault, NameFault, PinFault};
use serde::Serialize;

use crate::codes::HttpCode;

/// The media type of every error answer.
pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An error answer.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    code: &'static str,
    status: u16,
    detail: Cow<'static, str>,
    field: String,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

/// The members of the answer's JSON object, in their order.
#[derive(Serialize)]
struct Members<'a> {
    r#type: String,
    title: String,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    field: &'a str,
}

impl Problem {
    pub(crate) fn new(code: HttpCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let problem = Self {
            code: code.as_str(),
            status: code.status(),
            detail: detail.into(),
            field: String::new(),
            header: None,
        };
        match code {
            HttpCode::Overloaded => problem.with(header::RETRY_AFTER, HeaderValue::from_static("1")),
            HttpCode::Unauthenticated => problem.with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            _ => problem,
        }
    }

    pub(crate) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(HttpCode::NotFound, detail)
    }

    pub(crate) fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Refusal::new(Code::Malformed, detail).into()
    }

    pub(crate) fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(HttpCode::Unavailable, detail)
    }

    /// The same problem with the part to blame.
    pub(crate) fn at(mut self, field: impl Into<String>) -> Self {
        self.field = field.into();
        self
    }

    /// The same problem with a header of the answer.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some(Box::new((name, value)));
        self
    }

    pub(crate) const fn code(&self) -> &'static str {
        self.code
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn field(&self) -> &str {
        &self.field
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let members = Members {
            r#type: format!("/errors/{}", self.code),
            title: self.code.replace('_', " "),
            status: self.status,
            detail: &self.detail,
            code: self.code,
            field: &self.field,
        };
        let body = serde_json::to_vec(&members).unwrap_or_default();
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(extra) = self.header {
            headers.insert(extra.0, extra.1);
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code.as_str(),
            status: refusal.code.status(),
            detail: refusal.detail,
            field: refusal.field,
            header: None,
        }
    }
}

impl From<rustdht_node::Error> for Problem {
    fn from(error: rustdht_node::Error) -> Self {
        use rustdht_node::Error;
        match error {
            Error::Refused(refusal) => refusal.into(),
            Error::PreconditionFailed(tag) => {
                let problem =
                    Self::new(HttpCode::PreconditionFailed, "the node is not in the state that was asked for");
                match HeaderValue::try_from(tag) {
                    Ok(tag) if !tag.is_empty() => problem.with(header::ETAG, tag),
                    _ => problem,
                }
            }
            Error::NotADocument(kind) => {
                Self::new(HttpCode::NotADocument, format!("the field is a {kind}; editors open text, list and map"))
                    .at("field")
            }
            Error::Overloaded => Self::new(HttpCode::Overloaded, "too many requests are waiting"),
            Error::Store(error) => error.into(),
            Error::Network(error) => error.into(),
            Error::Stopping => Self::unavailable("the node is stopping"),
            Error::Account(fault) => fault.into(),
            Error::Pin(fault) => fault.into(),
            Error::Name(fault) => fault.into(),
            Error::Schema(violation) => {
                let detail = format!("the schema of type '{}' refuses it: {}", violation.kind, violation.detail);
                Self::new(HttpCode::SchemaViolation, detail).at(violation.field)
            }
            Error::SealKey(detail) => {
                tracing::error!(detail, "the seal key does not open a secret");
                Self::unavailable("a secret of this gateway cannot be opened; the log of the node says why")
            }
        }
    }
}

impl From<AccountFault> for Problem {
    fn from(fault: AccountFault) -> Self {
        let (code, field) = match fault {
            AccountFault::NameTaken => (HttpCode::Conflict, "name"),
            AccountFault::Unknown => (HttpCode::NotFound, "name"),
            AccountFault::WrongPassword | AccountFault::Disabled => (HttpCode::Unauthenticated, ""),
            AccountFault::TooMany
            | AccountFault::TooManyTokens
            | AccountFault::TooManyOwnTokens
            | AccountFault::TooManyKeys => (HttpCode::Overloaded, ""),
        };
        Self::new(code, fault.to_string()).at(field)
    }
}

impl From<PinFault> for Problem {
    fn from(fault: PinFault) -> Self {
        let code = match &fault {
            PinFault::Unknown => HttpCode::NotFound,
            PinFault::OverQuota { .. } | PinFault::TooMany { .. } => HttpCode::QuotaExceeded,
            PinFault::TooLarge { .. } => return Refusal::new(Code::TooLarge, fault.to_string()).into(),
            PinFault::Denied { .. } => HttpCode::Denied,
        };
        Self::new(code, fault.to_string())
    }
}

impl From<NameFault> for Problem {
    fn from(fault: NameFault) -> Self {
        let code = match &fault {
            NameFault::UnknownKey(_) => HttpCode::NotFound,
            NameFault::KeyTaken(_) | NameFault::OwnKey => HttpCode::Conflict,
            NameFault::BadKeyName | NameFault::BadKey(_) => {
                return Refusal::new(Code::BadValue, fault.to_string()).into();
            }
            NameFault::TooManyKeys { .. } => HttpCode::Overloaded,
            NameFault::Record(NameError::NotFound(_)) => HttpCode::NotFound,
            NameFault::Record(NameError::Invalid(_)) => return Refusal::new(Code::BadValue, fault.to_string()).into(),
            NameFault::Record(NameError::Stale { .. }) => HttpCode::Conflict,
            NameFault::Record(NameError::Unavailable(_)) => HttpCode::Unavailable,
        };
        Self::new(code, fault.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a request failed on the store");
        Self::unavailable("the store cannot serve now; the log of the node says why")
    }
}

impl From<ReplicationError> for Problem {
    fn from(error: ReplicationError) -> Self {
        match error {
            ReplicationError::Closed => Self::unavailable("the network is down"),
            ReplicationError::TimedOut => Self::new(HttpCode::TimedOut, "no member answered in time"),
            ReplicationError::Invalid(detail) => Refusal::new(Code::BadValue, detail).into(),
        }
    }
}

impl From<BlobError> for Problem {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Missing(_) => Self::not_found(error.to_string()),
            BlobError::OutOfRange { size } => Self::out_of_range(size),
            BlobError::NotAFile(_) => {
                Self::new(HttpCode::NotImplemented, format!("{error}; this version serves files only"))
            }
            BlobError::BadBlock(_) => {
                tracing::error!(%error, "a stored block is damaged");
                Self::unavailable(error.to_string())
            }
            BlobError::NotADirectory(_) | BlobError::UnknownHash(_) => {
                Refusal::new(Code::BadValue, error.to_string()).into()
            }
            BlobError::Bounded(_) => Refusal::new(Code::TooLarge, error.to_string()).into(),
            BlobError::BadName(_) | BlobError::BadCar(_) => Self::malformed(error.to_string()),
            BlobError::Body(detail) => Self::new(HttpCode::BodyIncomplete, format!("the body ended early: {detail}")),
            BlobError::Collecting => Self::new(HttpCode::Overloaded, error.to_string()),
            BlobError::Roots(_) => {
                tracing::error!(%error, "the block store was not collected");
                Self::unavailable(error.to_string())
            }
            BlobError::Storage(error) => {
                tracing::error!(%error, "a request failed on the block store");
                Self::unavailable("the block store cannot serve now; the log of the node says why")
            }
        }
    }
}

impl Problem {
    /// 416 with the size, as RFC 9110 section 15.5.17 asks.
    pub(crate) fn out_of_range(size: u64) -> Self {
        let problem = Self::new(HttpCode::RangeNotSatisfiable, format!("the range lies outside the {size} bytes"));
        match HeaderValue::try_from(format!("bytes */{size}")) {
            Ok(value) => problem.with(header::CONTENT_RANGE, value),
            Err(_) => problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn json(problem: Problem) -> (StatusCode, axum::http::HeaderMap, serde_json::Value) {
        let (parts, body) = problem.into_response().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_refusal_keeps_code_status_and_field() {
        let refusal = Refusal::new(Code::BadValue, "not a value").within("ops.3.value");
        let (status, headers, body) = json(refusal.into()).await;
        assert_eq!(status, 422);
        assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(
            body,
            serde_json::json!({
                "type": "/errors/bad_value", "title": "bad value", "status": 422, "detail": "not a value",
                "code": "bad_value", "field": "ops.3.value",
            })
        );
    }

    #[tokio::test]
    async fn headers_that_a_status_asks_for() {
        let (status, headers, body) = json(Problem::out_of_range(9)).await;
        assert_eq!(
            (status, headers[header::CONTENT_RANGE].to_str().unwrap()),
            (StatusCode::RANGE_NOT_SATISFIABLE, "bytes */9")
        );
        assert!(body.get("field").is_none());
        let (_, headers, _) = json(rustdht_node::Error::PreconditionFailed("\"a\"".into()).into()).await;
        assert_eq!(headers[header::ETAG], "\"a\"");
        let (status, headers, _) = json(rustdht_node::Error::Overloaded.into()).await;
        assert_eq!((status.as_u16(), headers[header::RETRY_AFTER].to_str().unwrap()), (503, "1"));
        let (status, headers, _) = json(Problem::new(HttpCode::Unauthenticated, "x")).await;
        assert_eq!((status.as_u16(), headers[header::WWW_AUTHENTICATE].to_str().unwrap()), (401, "Bearer"));
    }
}
