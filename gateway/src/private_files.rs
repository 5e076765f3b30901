//! Files in fields of private nodes: encrypted on the way in, opened for recipients on the way out.

use axum::{
    extract::{Request, State as Shared},
    http::{Method, Uri},
    response::{IntoResponse, Response},
};
use rustdht_core::{Field, Refusal, Soul};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    State,
    auth::{Reader, Writer},
    blobs, commits, ipfs,
    nodes::answer,
    problem::Problem,
    query::{self, WaitQuery},
    routes::measured,
    schema,
};

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(measured(routes!(get_content, put_content, delete_content)))
}

/// The node and the field of a path.
fn place(uri: &Uri) -> Result<(Soul, Field), Problem> {
    let part = |at, name| query::segment(uri, "/api/v1/nodes/", at, name);
    let soul = part(0, "soul")?.parse().map_err(|refusal: Refusal| Problem::from(refusal).at("soul"))?;
    let field = part(2, "field")?.parse().map_err(|refusal: Refusal| Problem::from(refusal).at("field"))?;
    Ok((soul, field))
}

/// Read the private file of a field.
///
/// Its plaintext, for who reads the field: the gateway opens it with the key in the link that the field holds. Of a range
/// only the segments are read that it lies in; what is missing here is fetched from others. No
/// cache in between keeps it, a browser asks each time, and it is sandboxed like all content of strangers.
#[utoipa::path(
    get, path = "/api/v1/nodes/{soul}/fields/{field}/content", tag = "blobs",
    params(
        ("soul" = String, Path, description = "The soul, percent-encoded in one segment"),
        ("field" = String, Path, description = "The field, percent-encoded in one segment"),
        ("Range" = Option<String>, Header, description = "Bytes of the plaintext; several are answered as `multipart/byteranges`"),
    ),
    responses(
        (status = 200, description = "The plaintext", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "`If-None-Match` names it"),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_content(
    Shared(state): Shared<State>,
    Reader(caller): Reader,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let (soul, field) = place(&parts.uri)?;
    let reader = caller.may_read(&soul)?;
    let link = Box::pin(state.node().private_link(&soul, &field, reader)).await?;
    let link = link.ok_or_else(|| Problem::not_found("the field holds no link to a private file").at("field"))?;
    ipfs::answer_opened(&state, &link, reader, &parts.headers, parts.method == Method::HEAD).await
}

/// Put a file into a field of a private node.
///
/// The gateway encrypts it under a new key, adds the ciphertext like any upload, and writes the link with the key into the
/// field, where only the recipients of the node read it; `blobs` of the node names the ciphertext. The body is as for
/// `POST /api/v1/blobs?private=true`, the answer that of PATCH. Needs scope `write`, for files and for the node.
#[utoipa::path(
    put, path = "/api/v1/nodes/{soul}/fields/{field}/content", tag = "blobs",
    params(
        ("soul" = String, Path, description = "The soul, percent-encoded in one segment"),
        ("field" = String, Path, description = "The field, percent-encoded in one segment"),
        blobs::AddQuery, WaitQuery,
    ),
    request_body(content((Vec<u8> = "application/octet-stream"), (Vec<u8> = "multipart/form-data")), description = "The bytes"),
    responses(
        (status = 200, description = "Durable at enough replicas", body = schema::Written),
        (status = 202, description = "Durable here; `outstanding` names who has not confirmed", body = schema::Written),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn put_content(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<Response, Problem> {
    let (soul, field) = place(request.uri())?;
    let by = caller.may_write(&soul)?;
    caller.may_add()?;
    let wait = query::parse::<WaitQuery>(request.uri())?.wait()?;
    // Before anything is sent for nothing.
    state.node().check_private_writer(&soul, by).await?;
    let link = Box::pin(blobs::add_private(&state, by, request)).await?;
    let written = Box::pin(state.node().put_private_link(by, &soul, &field, &link, wait)).await?;
    Ok(answer::written(&soul, &written))
}

/// Take a private file out of a field.
///
/// The field is erased, so that the key is forgotten everywhere, and `blobs` of the node names the ciphertext no more. What the
/// uploader pinned stays pinned.
#[utoipa::path(
    delete, path = "/api/v1/nodes/{soul}/fields/{field}/content", tag = "blobs",
    params(
        ("soul" = String, Path, description = "The soul, percent-encoded in one segment"),
        ("field" = String, Path, description = "The field, percent-encoded in one segment"),
        WaitQuery,
    ),
    responses(
        (status = 200, description = "Durable at enough replicas", body = schema::Committed),
        (status = 202, description = "Durable here; `outstanding` names who has not confirmed", body = schema::Committed),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn delete_content(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<Response, Problem> {
    let (soul, field) = place(request.uri())?;
    let by = caller.may_write(&soul)?;
    let wait = query::parse::<WaitQuery>(request.uri())?.wait()?;
    let committed = Box::pin(state.node().take_private_link(by, &soul, &field, wait)).await?;
    Ok(commits::answer(committed).into_response())
}
