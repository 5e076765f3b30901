//! Errors in the form of the Pinning Service API: `{"error":{"reason":...,"details":...}}`.

use axum::{
    Json,
    extract::FromRequestParts,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};

use super::{may_keep, may_look, schema};
use crate::{
    State,
    auth::{Caller, Reader, Writer},
    problem::Problem,
};

/// An error answer of the Pinning Service API. Its reason is the code of the problem in capitals.
#[derive(Debug)]
pub(crate) struct Failure(Problem);

impl<E: Into<Problem>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let field = problem.field();
        let details = match field {
            "" => problem.detail().to_owned(),
            field => format!("{field}: {}", problem.detail()),
        };
        let error = schema::FailureDetail { reason: problem.code().to_ascii_uppercase(), details };
        // Status and headers are those of the problem.
        let (mut parts, _) = problem.into_response().into_parts();
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = Json(schema::FailureAnswer { error }).into_response().into_body();
        debug_assert_ne!(parts.status, StatusCode::OK);
        Response::from_parts(parts, body)
    }
}

/// Whoever may look at his pins.
#[derive(Clone, Debug)]
pub(crate) struct Looker(pub(crate) Caller);

impl FromRequestParts<State> for Looker {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Failure> {
        let Reader(caller) = Reader::from_request_parts(parts, state).await?;
        may_look(&caller)?;
        Ok(Self(caller))
    }
}

/// Whoever may pin.
#[derive(Clone, Debug)]
pub(crate) struct Keeper(pub(crate) Caller);

impl FromRequestParts<State> for Keeper {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Failure> {
        let Writer(caller) = Writer::from_request_parts(parts, state).await?;
        may_keep(&caller)?;
        Ok(Self(caller))
    }
}
