//! A website's `_redirects` (web redirects file specification): rules for paths that do not exist, on origins that no
//! other content has.

mod rules;

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::BytesMut;
use futures::StreamExt;
use rustdht_core::ports::{DagKind, DagStore, Resolved};

use self::rules::{Matched, Rules};
use super::{
    denied, fault, headers,
    names::Target,
    path,
    query::{self, Query},
    serve::{self, Ask, Found},
};
use crate::{State, codes::HttpCode, limits, problem::Problem};

const FILE_NAME: &str = "_redirects";

/// What the rules say of a path that does not exist.
pub(super) enum Outcome {
    /// Nothing, or that there is a page which is not there either.
    Nothing,
    /// The client shall ask elsewhere.
    Redirect(Response),
    /// Another page is shown in its place.
    Show(Box<Found>),
}

/// Reads the rules and applies the first that matches.
///
/// # Errors
/// `bad_redirects`, and those of reading.
pub(super) async fn apply(state: &State, ask: &Ask, store: &dyn DagStore, target: &Target) -> Result<Outcome, Problem> {
    // The website is what its name stands for, which may be a directory below a root.
    let (site, asked) = target.segments.split_at(target.prefix);
    let Some(rules) = read(state, ask, store, target, site).await? else { return Ok(Outcome::Nothing) };
    let Some(Matched { status, to }) = rules.first_match(asked) else { return Ok(Outcome::Nothing) };
    if status.is_redirection() {
        return Ok(Outcome::Redirect(redirect(ask, status, &to)));
    }
    let segments =
        path::segments(to.split(['?', '#']).next().unwrap_or_default()).map_err(|problem| bad(problem.detail()))?;
    let whole = [site, &segments].concat();
    denied::below(state, &target.root, &whole)?;
    let Ok(resolved) = serve::lookup(state, store, &target.root, &whole, ask.fetch).await? else {
        return Ok(Outcome::Nothing);
    };
    let found = Found { resolved, freshness: target.freshness, status, rewritten: Some(segments) };
    Ok(Outcome::Show(Box::new(found)))
}

async fn read(
    state: &State,
    ask: &Ask,
    store: &dyn DagStore,
    target: &Target,
    site: &[String],
) -> Result<Option<Rules>, Problem> {
    let path = [site, &[FILE_NAME.to_owned()]].concat();
    let Ok(file) = serve::lookup(state, store, &target.root, &path, ask.fetch).await? else { return Ok(None) };
    let text = text(state, ask, store, &file).await?;
    Rules::parse(&text).map(Some).map_err(|error| bad(&error))
}

async fn text(state: &State, ask: &Ask, store: &dyn DagStore, file: &Resolved) -> Result<String, Problem> {
    if file.kind != DagKind::File {
        return Err(bad("it is not a file"));
    }
    let size = match file.size {
        Some(size) => size,
        None => {
            let stat = fault::within(state, store.stat(&file.cid)).await?;
            stat.map_err(|error| fault::of_blob(error, ask.fetch))?.size
        }
    };
    if size > limits::MAX_REDIRECTS_BYTES {
        return Err(bad(&format!("redirects file size cannot exceed {} bytes", limits::MAX_REDIRECTS_BYTES)));
    }
    let read = async {
        let mut pieces = store.read(&file.cid, 0..size).await?;
        let mut text = BytesMut::new();
        while let Some(piece) = pieces.next().await {
            text.extend_from_slice(&piece?);
        }
        Ok(text)
    };
    let text = fault::within(state, read).await?.map_err(|error| fault::of_blob(error, ask.fetch))?;
    String::from_utf8(text.to_vec()).map_err(|_| bad("it is not UTF-8"))
}

fn bad(why: &str) -> Problem {
    Problem::new(HttpCode::BadRedirects, format!("could not parse {FILE_NAME}: {why}"))
}

/// The query of the request wins over the one in the rule ("Query Parameters").
fn redirect(ask: &Ask, status: StatusCode, to: &str) -> Response {
    let (to, fragment) = to.split_once('#').map_or((to, None), |(to, fragment)| (to, Some(fragment)));
    let (url, own) = to.split_once('?').map_or((to, None), |(url, own)| (url, Some(own)));
    let query = Query::parse(own).overridden_by(&ask.query);
    let mut location = url.to_owned();
    if !query.is_empty() {
        location.push('?');
        location.push_str(&query);
    }
    if let Some(fragment) = fragment {
        location.push('#');
        location.push_str(&query::clean(fragment));
    }
    let mut answer = HeaderMap::new();
    headers::put(&mut answer, header::LOCATION, &location);
    headers::put(&mut answer, headers::X_IPFS_PATH, &ask.path.url());
    (status, answer).into_response()
}
