//! Adding files.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Json,
    body::Body,
    extract::{Request, State as Shared},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use rustdht_core::ports::{AddOptions, Added, BlobError};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{State, auth::Writer, body, codes::HttpCode, mime, problem::Problem, query, routes::measured, schema};

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(measured(routes!(post_blob)))
}

/// How a file becomes a DAG.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
pub(crate) enum ProfileParam {
    /// 1 MiB chunks, 1,024 links per node, raw leaves, CIDv1.
    #[serde(rename = "unixfs-v1-2025")]
    UnixfsV1,
    /// 256 KiB chunks, 174 links per node, raw leaves, CIDv1.
    #[serde(rename = "legacy")]
    Legacy,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ProfileQuery {
    /// How the file becomes a DAG, and so its CID; absent `unixfs-v1-2025`.
    #[param(inline)]
    profile: Option<ProfileParam>,
}

/// Add a file.
///
/// The raw body, or the first file of a multipart form, of any size. It is durable once answered; a body that breaks
/// off leaves nothing. Needs scope `write`.
#[utoipa::path(
    post, path = "/api/v1/blobs", tag = "blobs",
    params(ProfileQuery),
    request_body(content((Vec<u8> = "application/octet-stream"), (Vec<u8> = "multipart/form-data")), description = "The bytes"),
    responses(
        (status = 201, description = "The file, under its CID", body = schema::Blob, headers(("Location" = String, description = "`/ipfs/{cid}`"))),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_blob(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<(StatusCode, [(HeaderName, HeaderValue); 1], Json<schema::Blob>), Problem> {
    caller.may_add()?;
    let options = match query::parse::<ProfileQuery>(request.uri())?.profile {
        None | Some(ProfileParam::UnixfsV1) => AddOptions::UnixfsV1,
        Some(ProfileParam::Legacy) => AddOptions::Legacy,
    };
    let _permit = state
        .uploads()
        .clone()
        .try_acquire_owned()
        .map_err(|_| Problem::new(HttpCode::Overloaded, "too many uploads are running"))?;
    let (parts, body) = request.into_parts();
    let (pieces, stalled) = noting_a_stall(body);
    let (added, said) = add(&state, options, &parts.headers, pieces)
        .await
        .map_err(|problem| if stalled.load(Ordering::Relaxed) { body::stalled() } else { problem })?;
    let location = HeaderValue::try_from(format!("/ipfs/{}", added.cid))
        .map_err(|_| Problem::unavailable("the CID fits no header"))?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(describe(&added, said))))
}

/// The pieces of a body, and whether they ended because the client paused for too long: neither the form's reader nor
/// the block store hands that on.
fn noting_a_stall(body: Body) -> (impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static, Arc<AtomicBool>) {
    let stalled = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stalled);
    let pieces = body::pieces(body).inspect(move |piece| {
        if piece.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::TimedOut) {
            seen.store(true, Ordering::Relaxed);
        }
    });
    (pieces, stalled)
}

/// Stores the file that the pieces hold; the second part is the type that the client told.
async fn add(
    state: &State,
    options: AddOptions,
    headers: &HeaderMap,
    pieces: impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static,
) -> Result<(Added, Option<String>), Problem> {
    let store = state.node().blobs();
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    Ok(if body::media_type(headers) == "multipart/form-data" {
        let part = first_file(content_type, pieces).await?;
        let said = part.content_type().map(ToString::to_string);
        (store.add(part.map(|piece| piece.map_err(cut)).boxed(), options).await?, said)
    } else {
        (store.add(pieces.map(|piece| piece.map_err(cut)).boxed(), options).await?, Some(content_type.to_owned()))
    })
}

fn cut(error: impl std::fmt::Display) -> BlobError {
    BlobError::Body(error.to_string())
}

fn describe(added: &Added, said: Option<String>) -> schema::Blob {
    // What curl and forms say when nobody said anything tells nothing about the bytes.
    let told = said.filter(|said| {
        let bare = said.split(';').next().unwrap_or("").trim();
        !matches!(bare, "" | mime::UNKNOWN | "application/x-www-form-urlencoded" | "multipart/form-data")
    });
    let mime = told.unwrap_or_else(|| mime::sniff(&added.head).to_owned());
    schema::Blob { cid: added.cid.to_string(), size: added.size, mime }
}

/// The first part of a form that is a file, else its first part.
async fn first_file(
    content_type: &str,
    pieces: impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static,
) -> Result<multer::Field<'static>, Problem> {
    let bad = |error: multer::Error| Problem::malformed(format!("not a multipart form: {error}"));
    let boundary = multer::parse_boundary(content_type).map_err(bad)?;
    let mut form = multer::Multipart::new(pieces, boundary);
    while let Some(part) = form.next_field().await.map_err(bad)? {
        if part.file_name().is_some() {
            return Ok(part);
        }
    }
    Err(Problem::malformed("the form holds no file"))
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn form(text: &'static str) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
        body::pieces(Body::from(text))
    }

    #[tokio::test]
    async fn the_first_file_of_a_form() {
        let text = "--b\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/x-a\r\n\r\nbytes\r\n--b--\r\n";
        let part = first_file("multipart/form-data; boundary=b", form(text)).await.unwrap();
        assert_eq!(part.content_type().unwrap().to_string(), "text/x-a");
        assert_eq!(part.bytes().await.unwrap(), "bytes");
        let none = first_file("multipart/form-data; boundary=b", form("--b--\r\n")).await;
        assert_eq!(none.unwrap_err().code(), "malformed");
        assert_eq!(first_file("multipart/form-data", form(text)).await.unwrap_err().code(), "malformed");
    }

    #[tokio::test]
    async fn a_form_that_breaks_off_is_an_error() {
        let text = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\nbyt";
        let part = first_file("multipart/form-data; boundary=b", form(text)).await.unwrap();
        assert!(part.bytes().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_told_from_a_cut() {
        let begun = || stream::iter([Ok::<_, std::io::Error>("--b\r\nContent-")]);
        let (pieces, stalled) = noting_a_stall(Body::from_stream(begun().chain(stream::pending())));
        assert!(first_file("multipart/form-data; boundary=b", pieces).await.is_err());
        assert!(stalled.load(Ordering::Relaxed));
        let cut = stream::iter([Err(std::io::ErrorKind::ConnectionReset.into())]);
        let (pieces, stalled) = noting_a_stall(Body::from_stream(begun().chain(cut)));
        assert!(first_file("multipart/form-data; boundary=b", pieces).await.is_err());
        assert!(!stalled.load(Ordering::Relaxed));
    }

    #[test]
    fn the_type_is_what_was_said_or_what_the_bytes_tell() {
        let cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".parse().unwrap();
        let added = Added { cid, size: 3, head: bytes::Bytes::from_static(b"abc") };
        assert_eq!(describe(&added, Some("image/x-odd".into())).mime, "image/x-odd");
        for nothing in [None, Some(""), Some("application/octet-stream"), Some("application/x-www-form-urlencoded")] {
            assert_eq!(describe(&added, nothing.map(str::to_owned)).mime, "text/plain; charset=utf-8");
        }
    }
}
