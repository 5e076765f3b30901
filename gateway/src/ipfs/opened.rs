//! Private files as plaintext, for those who hold their key.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use rustdht_core::{
    Code, Refusal,
    ports::{DagStore, Fetch},
};
use rustdht_node::{Principal, PrivateFault, PrivateFile, PrivateLink};

use super::{
    bytes::{Answer, Source},
    conditional::Version,
    denied, fault, headers,
    serve::Ask,
};
use crate::{State, codes::HttpCode, mime, problem::Problem};

/// A browser may keep what its user read, and asks each time whether he still reads it; nobody in between keeps anything. With
/// `no-store` Chromium would read on to where it seeks: 226 MiB and up to 3.1 s instead of 58 MiB and 0.7 s for four seeks in
/// 213 MiB (tests/interop/ipfs/video).
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("private, no-cache");

/// Answers the plaintext, whole or in ranges. It never acts as a page of the API. A link may stand in a public node, so a gateway
/// that shows strangers only what they can verify opens nothing for them.
///
/// # Errors
/// `bad_path` for `reader` being nobody in particular at such a gateway;
/// `bad_value` when the key is not the file's, or the file was cut or changed; `precondition_failed`,
/// `range_not_satisfiable`, `not_found`, `timed_out`, `denied`, `rate_limited`.
pub(crate) async fn answer(
    state: &State,
    link: &PrivateLink,
    reader: Principal,
    request: &HeaderMap,
    head: bool,
) -> Result<Response, Problem> {
    if reader == Principal::Anonymous && !state.ipfs().deserialized() {
        let detail =
            "this gateway opens files only for those whom it knows: ask with a token, or open /ipfs/{cid} yourself";
        return Err(Problem::new(HttpCode::BadPath, detail));
    }
    let mut asked = request.clone();
    // There is one form.
    asked.remove(header::ACCEPT);
    let uri = Uri::try_from(format!("/ipfs/{}", link.cid)).map_err(|_| Problem::not_found("the CID fits no path"))?;
    let ask = Ask { slot: state.ipfs().opening()?, ..Ask::by_path(state, &uri, asked, head)? };
    denied::check(state, &ask.path)?;
    let version = Version::new(format!("\"{}\"", link.cid), None);
    let mut answer = HeaderMap::with_capacity(8);
    headers::put(&mut answer, header::ETAG, &version.tag);
    answer.insert(header::CACHE_CONTROL, CACHE_CONTROL);
    answer.insert(header::CONTENT_SECURITY_POLICY, headers::SANDBOX);
    answer.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    match version.check(&ask.headers) {
        Some(StatusCode::NOT_MODIFIED) => return Ok((StatusCode::NOT_MODIFIED, answer).into_response()),
        Some(_) => return Err(Problem::new(HttpCode::PreconditionFailed, "the file is not what If-Match names")),
        None => {}
    }
    let name = link.name.as_deref();
    let media = link.media.clone().or_else(|| mime::of_name(name?).map(Into::into));
    if let Some(media) = media {
        headers::put(&mut answer, header::CONTENT_TYPE, &media);
    }
    if let Some(name) = name {
        answer.insert(header::CONTENT_DISPOSITION, headers::disposition("inline", name));
    }
    let store: Arc<dyn DagStore> = Arc::clone(state.node().blobs());
    let opened = fault::within(state, PrivateFile::open(store, link.cid, &link.key)).await?;
    let file = opened.map_err(|fault| match fault {
        PrivateFault::Blob(error) => fault::of_blob(error, Fetch::Allowed),
        PrivateFault::Sealed(error) => Refusal::new(Code::BadValue, format!("{}: {error}", link.cid)).into(),
    })?;
    Answer { source: Source::Private(file), status: StatusCode::OK, version, headers: answer }.send(state, &ask).await
}
