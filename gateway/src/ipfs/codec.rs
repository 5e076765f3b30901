//! Values: blocks of dag-json, dag-cbor, json and cbor (path gateway specification, "Response Payload"; IPIP-524).

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rustdht_core::ports::DagStore;

use super::{
    bytes::{Answer, Source},
    conditional::Version,
    directory, headers, html, preview, raw,
    serve::{Ask, Found, not_acceptable},
    want::{DAG_CBOR, DAG_JSON, Format},
};
use crate::{State, codes::HttpCode, problem::Problem};

/// # Errors
/// `not_acceptable` for another codec, `bad_path` for one that is not known, `not_found`, `timed_out`.
pub(super) async fn answer(
    state: &State,
    ask: &Ask,
    store: &dyn DagStore,
    found: &Found,
    asked: Option<Format>,
    codec: u64,
) -> Result<Response, Problem> {
    let own = Format::of_codec(codec);
    let (format, by_name) = match asked {
        Some(format) if format.fits(codec) => (format, true),
        Some(format) if !ask.want.lenient => {
            return Err(not_acceptable(&format!(
                "the value {} has codec {codec:#x}, and {} was asked for; values are not translated: ask with \
                 ?format=raw and translate it yourself",
                found.resolved.cid,
                format.as_str()
            )));
        }
        _ => {
            let own = own.ok_or_else(|| {
                let detail =
                    format!("codec {codec:#x} of {} is not known here; ask with ?format=raw", found.resolved.cid);
                Problem::new(HttpCode::BadPath, detail)
            })?;
            (own, false)
        }
    };
    if !by_name && ask.want.html && !ask.want.download && matches!(codec, DAG_JSON | DAG_CBOR) {
        return page(state, ask, store, found, format, codec).await;
    }
    let version = found.version(Some(format.as_str()));
    let mut headers = found.headers(ask, &version);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(response) = found.unchanged(ask, &version, &headers)? {
        return Ok(response);
    }
    let block = raw::block(state, ask, store, &found.resolved.cid).await?;
    // Browsers show JSON; of CBOR they can only make a file.
    let (kind, extension) = match format {
        Format::Json | Format::DagJson => ("inline", "json"),
        _ => ("attachment", "cbor"),
    };
    let kind = if ask.want.download { "attachment" } else { kind };
    let name = ask.want.filename.clone().unwrap_or_else(|| format!("{}.{extension}", found.resolved.cid));
    headers.insert(header::CONTENT_DISPOSITION, headers::disposition(kind, &name));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media()));
    Answer { source: Source::Held(block), status: found.status, version, headers }.send(state, ask).await
}

/// A value for people, with what links it holds.
async fn page(
    state: &State,
    ask: &Ask,
    store: &dyn DagStore,
    found: &Found,
    format: Format,
    codec: u64,
) -> Result<Response, Problem> {
    if let Some(redirect) = directory::slash(ask, found) {
        return Ok(redirect);
    }
    let cid = &found.resolved.cid;
    let version = Version::new(format!("\"DagIndex-{}_CID-{cid}\"", directory::page_version()), None);
    let mut headers = found.headers(ask, &version);
    directory::of_page(&mut headers, found.freshness);
    if let Some(response) = found.unchanged(ask, &version, &headers)? {
        return Ok(response);
    }
    if ask.head {
        return Ok((StatusCode::OK, headers, Body::empty()).into_response());
    }
    let block = raw::block(state, ask, store, cid).await?;
    let mut page = html::head(&ask.path.text());
    page.push_str(&format!(
        "<h1>{}</h1>\n<p>CID <code translate=\"no\">{cid}</code>, codec <code>{} ({codec:#x})</code>, {}</p>\n\
         <p>Download as <a href=\"?format=raw\" rel=\"nofollow\">block</a>, <a href=\"?format={}\" rel=\"nofollow\">{}</a> or \
         <a href=\"?format=car\" rel=\"nofollow\">archive of all that it links</a>.</p>\n",
        html::escape(&ask.path.text()),
        format.as_str(),
        html::size(block.len() as u64),
        format.as_str(),
        format.as_str(),
    ));
    match preview::html(&block, codec, &directory::gateway_of(&ask.origin)) {
        Some(preview) => page.push_str(&preview),
        None => page.push_str("<p>The block cannot be read as its codec.</p>\n"),
    }
    page.push_str(html::FOOT);
    Ok((StatusCode::OK, headers, page).into_response())
}
