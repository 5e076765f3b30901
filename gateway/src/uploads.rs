//! Uploads that can be interrupted: tus 1.0.0 (tus.io), so that its clients upload here.
//!
//! ```text
//!   POST /api/v1/uploads ──> Location ──> PATCH at an offset ... PATCH ──> settled: assembled, pinned ──> Upload-Cid
//!                                 HEAD: where it stands, after a break or a restart
//! ```
//!
//! Served: creation, creation-with-upload, creation-defer-length, expiration, termination, checksum, concatenation. What
//! an answered offset covers is durable.

mod checksum;
mod concat;
mod headers;
mod note;
mod places;
mod receive;
mod rooms;
mod settle;

use axum::{
    extract::{Request, State as Shared},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use rustdht_core::{
    Code, Refusal,
    ports::{NewUpload, UploadError, UploadId, UploadState, UploadStore},
};
use rustdht_node::Principal;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{
    concat::Concat,
    headers::{CHECKSUMS, EXTENSIONS, VERSION, number, put},
    note::{Metadata, Note},
};
pub(crate) use self::{places::Places, rooms::Desk};
use crate::{
    State,
    auth::{Caller, Writer},
    blobs::{HashParam, ProfileParam, options_of},
    body,
    codes::HttpCode,
    limits, pins,
    problem::Problem,
    query,
    routes::measured,
    schema,
};

/// The media type of the bytes of an upload.
const OFFSET_STREAM: &str = "application/offset+octet-stream";
const PATH: &str = "/api/v1/uploads/";

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct UploadQuery {
    /// How the file becomes a DAG, and so its CID; absent `unixfs-v1-2025`.
    #[param(inline)]
    profile: Option<ProfileParam>,
    /// What blocks are hashed with; absent `sha2-256`.
    #[param(inline)]
    hash: Option<HashParam>,
    /// `false`: it is not pinned, and kept for a day.
    pin: Option<bool>,
}

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(measured(routes!(upload_options, post_upload)))
        .routes(measured(routes!(one_upload_options, head_upload, patch_upload, delete_upload, post_as_another_method)))
        .layer(middleware::from_fn(in_tus))
}

/// What every request and answer of the protocol has: its version.
async fn in_tus(request: Request, next: Next) -> Response {
    let told = request.headers().get(headers::RESUMABLE).map(HeaderValue::as_bytes);
    let mut response = if request.method() == Method::OPTIONS || told == Some(VERSION.as_bytes()) {
        next.run(request).await
    } else {
        let detail = format!("a request to an upload says Tus-Resumable: {VERSION}");
        Problem::new(HttpCode::PreconditionFailed, detail).into_response()
    };
    if response.status() == StatusCode::PRECONDITION_FAILED {
        response.headers_mut().insert(headers::TUS_VERSION, HeaderValue::from_static(VERSION));
    }
    response.headers_mut().insert(headers::RESUMABLE, HeaderValue::from_static(VERSION));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        let detail = error.to_string();
        match error {
            UploadError::Unknown => Self::not_found(detail),
            UploadError::Offset { .. } | UploadError::Incomplete { .. } => Self::new(HttpCode::Conflict, detail),
            UploadError::Busy => Self::new(HttpCode::Locked, detail),
            UploadError::TooLong { .. } => Refusal::new(Code::TooLarge, detail).into(),
            UploadError::LengthKnown(_) => Self::malformed(detail).at("upload-length"),
            UploadError::TooMany { .. } | UploadError::NoRoom { .. } => Self::new(HttpCode::Overloaded, detail),
            UploadError::Blob(error) => error.into(),
        }
    }
}

fn store(state: &State) -> Result<&dyn UploadStore, Problem> {
    let store = state.upload_desk().store();
    store.ok_or_else(|| Problem::new(HttpCode::NotImplemented, "this gateway takes no uploads in parts"))
}

/// The upload that a path names, if it is the caller's.
async fn known(state: &State, uri: &Uri, by: Principal) -> Result<(UploadId, UploadState, Note), Problem> {
    let id = query::segment(uri, PATH, 0, "id")?;
    let id: UploadId = id.parse().map_err(|_| Problem::from(UploadError::Unknown))?;
    known_by_id(state, id, by).await
}

async fn known_by_id(state: &State, id: UploadId, by: Principal) -> Result<(UploadId, UploadState, Note), Problem> {
    let upload = store(state)?.state(id).await?;
    // Somebody else's is not there, and one whose time is over neither.
    let note = Note::read(&upload.note).filter(|note| note.is_of(by) && upload.expires_ms > state.now_ms());
    note.map(|note| (id, upload, note)).ok_or_else(|| UploadError::Unknown.into())
}

fn expires_ms(state: &State) -> u64 {
    limits::after(state.now_ms(), limits::UPLOAD_EXPIRY)
}

/// What this gateway knows of the protocol.
fn capabilities(state: &State) -> Response {
    let mut answer = HeaderMap::new();
    put(&mut answer, headers::TUS_VERSION, VERSION);
    put(&mut answer, headers::TUS_EXTENSION, EXTENSIONS);
    put(&mut answer, headers::TUS_CHECKSUM_ALGORITHM, CHECKSUMS);
    if let Some(store) = state.upload_desk().store() {
        put(&mut answer, headers::TUS_MAX_SIZE, &store.max_bytes());
    }
    (StatusCode::NO_CONTENT, answer).into_response()
}

/// What this gateway knows of tus.
#[utoipa::path(
    options, path = "/api/v1/uploads", tag = "blobs",
    responses((status = 204, description = "In its headers: `Tus-Version`, `Tus-Extension`, `Tus-Max-Size`, `Tus-Checksum-Algorithm`")),
)]
pub(crate) async fn upload_options(Shared(state): Shared<State>) -> Response {
    capabilities(&state)
}

/// What this gateway knows of tus, at an upload.
#[utoipa::path(
    options, path = "/api/v1/uploads/{id}", tag = "blobs",
    params(("id" = String, Path, description = "The upload")),
    responses((status = 204, description = "As at `/api/v1/uploads`")),
)]
pub(crate) async fn one_upload_options(Shared(state): Shared<State>) -> Response {
    capabilities(&state)
}

/// Begin an upload (tus 1.0.0).
///
/// For clients of tus, which upload large files in parts and go on after a break. `Upload-Length`, or
/// `Upload-Defer-Length: 1`; `Upload-Metadata` with `filename` and `filetype`; `Upload-Concat` for parts that come at the
/// same time. A body of type `application/offset+octet-stream` is the beginning of the file. An upload that nothing comes for
/// is given up after 24 hours. Needs scope `write`.
#[utoipa::path(
    post, path = "/api/v1/uploads", tag = "blobs",
    params(UploadQuery, headers::Begin),
    request_body(content((Vec<u8> = "application/offset+octet-stream")), description = "The beginning of the file, or nothing"),
    responses(
        (status = 201, description = "It is begun", headers(
            ("Location" = String, description = "The upload"), ("Upload-Offset" = u64, description = "Bytes that are durable"),
            ("Upload-Expires" = String, description = "When it is given up"), ("Upload-Cid" = String, description = "The root, if it is complete"))),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_upload(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<Response, Problem> {
    let by = caller.may_add()?;
    let (parts, body) = request.into_parts();
    let query: UploadQuery = query::parse(&parts.uri)?;
    let options = options_of(query.profile, query.hash);
    let concat = Concat::read(&parts.headers)?;
    let metadata = Metadata::read(&parts.headers)?;
    let note = Note::new(by, metadata, &concat, query.pin.unwrap_or(true));
    let id = UploadId(state.random());
    if let Concat::Final(parts) = &concat {
        let state_now = concat::join(&state, by, id, parts, &note, options).await?;
        return Ok(begun(id, &state_now, &note));
    }
    let length = number(&parts.headers, &headers::LENGTH)?;
    let deferred = match parts.headers.get(headers::DEFER_LENGTH) {
        None => false,
        Some(one) if one.as_bytes() == b"1" => true,
        Some(_) => return Err(Problem::malformed("Upload-Defer-Length is 1 or absent").at("upload-defer-length")),
    };
    if length.is_some() == deferred {
        let detail = "an upload is begun with its Upload-Length, or with Upload-Defer-Length: 1";
        return Err(Problem::malformed(detail).at("upload-length"));
    }
    let new =
        NewUpload { length, options, expires_ms: expires_ms(&state), holder: note.by.clone(), note: note.to_text()? };
    state.upload_desk().reserve(state.node(), id, by, length, 0).await?;
    if let Err(error) = store(&state)?.begin(id, new).await {
        state.upload_desk().forget(id);
        return Err(error.into());
    }
    let begins = body::media_type(&parts.headers) == OFFSET_STREAM;
    let upload = async {
        let mut upload = if begins {
            receive::receive(&state, id, by, 0, &parts.headers, body).await?
        } else {
            store(&state)?.state(id).await?
        };
        settle::if_complete(&state, id, by, &note, &mut upload).await?;
        Ok(upload)
    };
    match upload.await {
        Ok(upload) => Ok(begun(id, &upload, &note)),
        Err(problem) => {
            // Nobody learns its name.
            state.upload_desk().forget(id);
            if let Err(error) = store(&state)?.end(id).await {
                tracing::warn!(upload = %id, %error, "an upload that failed when it began could not be removed");
            }
            Err(problem)
        }
    }
}

fn begun(id: UploadId, upload: &UploadState, note: &Note) -> Response {
    let mut answer = headers::of(upload, note);
    put(&mut answer, header::LOCATION, &format!("{PATH}{id}"));
    (StatusCode::CREATED, answer).into_response()
}

/// Where an upload stands (tus 1.0.0).
///
/// A request that still appends to it is ended first. Once it is complete, `Upload-Cid` and `Location` name the file. Needs
/// scope `write`, and to be the one who began it.
#[utoipa::path(
    head, path = "/api/v1/uploads/{id}", tag = "blobs",
    params(("id" = String, Path, description = "The upload"), headers::Version),
    responses(
        (status = 200, description = "Where it stands", headers(
            ("Upload-Offset" = u64, description = "Bytes that are durable"), ("Upload-Length" = u64, description = "Its length, once known"),
            ("Upload-Metadata" = String, description = "As it was begun with"), ("Upload-Expires" = String, description = "When it is given up"),
            ("Upload-Cid" = String, description = "The root, once it is complete"), ("Location" = String, description = "`/ipfs/{cid}`, once it is complete"))),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn head_upload(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    uri: Uri,
) -> Result<Response, Problem> {
    let by = caller.may_add()?;
    let (id, _, note) = known(&state, &uri, by).await?;
    let mut upload = store(&state)?.interrupt(id).await?;
    settle::if_complete(&state, id, by, &note, &mut upload).await?;
    Ok((StatusCode::OK, headers::of(&upload, &note)).into_response())
}

/// Append to an upload (tus 1.0.0).
///
/// At `Upload-Offset`, which is where it has to be. What comes is kept although the connection breaks, unless it has an
/// `Upload-Checksum`: then all of it or nothing. The last one answers `Upload-Cid`. Needs scope `write`, and to be the one who
/// began it.
#[utoipa::path(
    patch, path = "/api/v1/uploads/{id}", tag = "blobs",
    params(("id" = String, Path, description = "The upload"), headers::Append),
    request_body(content((Vec<u8> = "application/offset+octet-stream")), description = "The next bytes"),
    responses(
        (status = 204, description = "They are durable", headers(
            ("Upload-Offset" = u64, description = "Bytes that are durable"), ("Upload-Expires" = String, description = "When it is given up"),
            ("Upload-Cid" = String, description = "The root, once it is complete"), ("Location" = String, description = "`/ipfs/{cid}`, once it is complete"))),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn patch_upload(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<Response, Problem> {
    append(&state, &caller, request).await
}

async fn append(state: &State, caller: &Caller, request: Request) -> Result<Response, Problem> {
    let by = caller.may_add()?;
    let (parts, body) = request.into_parts();
    let checked = async {
        let (id, upload, note) = known(state, &parts.uri, by).await?;
        if body::media_type(&parts.headers) != OFFSET_STREAM {
            return Err(body::unsupported(&body::media_type(&parts.headers), OFFSET_STREAM));
        }
        if note.parts.is_some() {
            let detail = "an upload that was made of others takes no bytes";
            return Err(Refusal::new(Code::NotAuthorised, detail).into());
        }
        let offset = number(&parts.headers, &headers::OFFSET)?;
        let offset = offset.ok_or_else(|| Problem::malformed("Upload-Offset is missing").at("upload-offset"))?;
        if let Some(length) = number(&parts.headers, &headers::LENGTH)? {
            store(state)?.set_length(id, length).await?;
        }
        if upload.added.is_some() {
            // Before room is taken for it once more.
            return Err(UploadError::Offset { at: upload.offset }.into());
        }
        let limit = upload.length.unwrap_or(store(state)?.max_bytes());
        if number(&parts.headers, &header::CONTENT_LENGTH)?.is_some_and(|more| offset.saturating_add(more) > limit) {
            return Err(UploadError::TooLong { limit }.into());
        }
        Ok((id, note, offset))
    };
    let (id, note, offset) = match checked.await {
        Ok(checked) => checked,
        Err(problem) => {
            pins::discard_body(&parts.headers, body).await;
            return Err(problem);
        }
    };
    let mut upload = receive::receive_more(state, id, by, offset, &parts.headers, body).await?;
    settle::if_complete(state, id, by, &note, &mut upload).await?;
    Ok((StatusCode::NO_CONTENT, headers::of(&upload, &note)).into_response())
}

/// Forget an upload (tus 1.0.0).
///
/// What came of it goes, unless it is complete: a file that was made stays, with its pin. Needs scope `write`, and to be the
/// one who began it.
#[utoipa::path(
    delete, path = "/api/v1/uploads/{id}", tag = "blobs",
    params(("id" = String, Path, description = "The upload"), headers::Version),
    responses((status = 204, description = "It is gone"), (status = "default", response = schema::ProblemAnswer)),
)]
pub(crate) async fn delete_upload(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    end(&state, &caller, &uri).await
}

async fn end(state: &State, caller: &Caller, uri: &Uri) -> Result<StatusCode, Problem> {
    let (id, ..) = known(state, uri, caller.may_add()?).await?;
    store(state)?.end(id).await?;
    state.upload_desk().forget(id);
    Ok(StatusCode::NO_CONTENT)
}

/// Another method, for clients that can only send `POST` (tus 1.0.0).
///
/// `X-HTTP-Method-Override` says which: `PATCH` or `DELETE`.
#[utoipa::path(
    post, path = "/api/v1/uploads/{id}", tag = "blobs",
    params(("id" = String, Path, description = "The upload"), headers::Override),
    responses((status = 204, description = "As the method answers"), (status = "default", response = schema::ProblemAnswer)),
)]
pub(crate) async fn post_as_another_method(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<Response, Problem> {
    match request.headers().get(headers::METHOD_OVERRIDE).map(HeaderValue::as_bytes) {
        Some(b"PATCH") => append(&state, &caller, request).await,
        Some(b"DELETE") => end(&state, &caller, request.uri()).await.map(IntoResponse::into_response),
        _ => Err(Problem::new(
            HttpCode::MethodNotAllowed,
            "POST at an upload stands for the method that X-HTTP-Method-Override names: PATCH or DELETE",
        )),
    }
}
