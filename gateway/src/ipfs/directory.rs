//! Directories: their page, or a list of what is in them (path gateway specification, "Generated HTML with directory
//! index").

use std::sync::{Arc, LazyLock};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use rustdht_core::ports::{BlobError, DagEntry, DagKind, DagStore};

use super::{
    conditional::Version,
    fault, file, flow, headers, html,
    names::Freshness,
    path, query,
    serve::{self, Ask, Found, Origin},
};
use crate::{State, limits, problem::Problem};

/// Entries of the list that are sent as one piece.
const ROWS_PER_PIECE: usize = 128;
/// Where a website on a domain of its own links CIDs to: the domain need not be a gateway of them.
const CID_SITE: &str = "https://cid.ipfs.tech/#";

/// # Errors
/// `not_found`, `timed_out`.
pub(super) async fn answer(
    state: &State,
    ask: &Ask,
    store: Arc<dyn DagStore>,
    found: Found,
) -> Result<Response, Problem> {
    if let Some(redirect) = slash(ask, &found) {
        return Ok(redirect);
    }
    let name = ["index.html".to_owned()];
    if let Ok(index) = serve::lookup(state, store.as_ref(), &found.resolved.cid, &name, ask.fetch).await?
        && index.kind == DagKind::File
    {
        return file::answer_index(state, ask, store, &found, &index).await;
    }
    if found.rewritten.is_some() {
        // Its entries have no URL below the one that was asked.
        return Err(Problem::not_found("the website's rules name a directory without a page"));
    }
    list(state, ask, store.as_ref(), &found).await
}

/// A redirect to the same path with `/` at its end, so that relative links work and service workers stay below it;
/// `None` when it has one.
pub(super) fn slash(ask: &Ask, found: &Found) -> Option<Response> {
    let needed = found.rewritten.is_none() && !ask.url.ends_with('/');
    needed.then(|| ask.redirect(StatusCode::MOVED_PERMANENTLY, &format!("{}/", ask.url)))
}

/// Changes with the code that makes pages, so that caches ask for the new ones.
pub(super) fn page_version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let mut hasher = blake3::Hasher::new();
        for source in [
            &include_bytes!("directory.rs")[..],
            include_bytes!("html.rs"),
            include_bytes!("codec.rs"),
            include_bytes!("preview.rs"),
        ] {
            hasher.update(source);
        }
        hasher.finalize().to_hex()[..8].to_owned()
    });
    &VERSION
}

/// The headers of a page that this gateway made.
pub(super) fn of_page(headers: &mut HeaderMap, freshness: Freshness) {
    headers.remove(header::LAST_MODIFIED);
    headers.remove(header::CACHE_CONTROL);
    if let Some(value) = headers::cache_control_of_page(freshness) {
        headers.insert(header::CACHE_CONTROL, value);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    headers.insert(header::CONTENT_SECURITY_POLICY, html::POLICY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

async fn list(state: &State, ask: &Ask, store: &dyn DagStore, found: &Found) -> Result<Response, Problem> {
    let cid = &found.resolved.cid;
    let version = Version::new(format!("\"DirIndex-{}_CID-{cid}\"", page_version()), None);
    let mut headers = found.headers(ask, &version);
    of_page(&mut headers, found.freshness);
    if let Some(response) = found.unchanged(ask, &version, &headers)? {
        return Ok(response);
    }
    if ask.head {
        return Ok((StatusCode::OK, headers, Body::empty()).into_response());
    }
    let entries = fault::within(state, store.entries(cid)).await?;
    let entries = entries.map_err(|error| fault::of_blob(error, ask.fetch))?;
    let links = Links {
        base: ask.url.clone(),
        gateway: gateway_of(&ask.origin),
        elsewhere: matches!(ask.origin, Origin::DnsLink { .. }),
    };
    let head = top(ask, &cid.to_string());
    let mut left = limits::MAX_LISTED_ENTRIES;
    let rows = entries
        .take(limits::MAX_LISTED_ENTRIES + 1)
        .ready_chunks(ROWS_PER_PIECE)
        .map(move |entries| rows(&links, entries, &mut left));
    let pieces = stream::iter([Ok(Bytes::from(head))])
        .chain(rows)
        .chain(stream::iter([Ok(Bytes::from(format!("</table>\n{}", html::FOOT)))]))
        .boxed();
    Ok((StatusCode::OK, headers, flow::body(state, ask, pieces)).into_response())
}

/// Everything above the first entry.
fn top(ask: &Ask, cid: &str) -> String {
    let mut page = html::head(&ask.path.text());
    page.push_str(&format!("<h1>Index of {}</h1>\n", crumbs(ask)));
    page.push_str(&format!("<p><code translate=\"no\">{cid}</code></p>\n<table>\n"));
    if !ask.path.segments.is_empty() {
        page.push_str(&format!(
            "<tr><td><a href=\"{}..\">..</a></td><td></td><td></td></tr>\n",
            html::escape(&ask.url)
        ));
    }
    page
}

/// The path with a link for each of its parts, to the gateway that shows them.
fn crumbs(ask: &Ask) -> String {
    let namespace = ask.path.namespace.as_str();
    let (mut url, root) = match &ask.origin {
        // The domain is the root.
        Origin::DnsLink { authority } => (format!("//{authority}"), format!("//{authority}/")),
        origin => {
            let url = format!("{}/{namespace}/{}", gateway_of(origin), path::encode(&ask.path.root));
            (url.clone(), url)
        }
    };
    let mut crumbs = format!("/{namespace}/<a href=\"{}\">{}</a>", html::escape(&root), html::escape(&ask.path.root));
    for segment in &ask.path.segments {
        url.push('/');
        url.push_str(&path::encode(segment));
        crumbs.push_str(&format!("/<a href=\"{}\">{}</a>", html::escape(&url), html::escape(segment)));
    }
    crumbs
}

/// In front of `/ipfs/`: where other roots are shown.
pub(super) fn gateway_of(origin: &Origin) -> String {
    match origin {
        Origin::Subdomain { gateway } => format!("//{gateway}"),
        Origin::Path | Origin::DnsLink { .. } => String::new(),
    }
}

struct Links {
    /// The directory's path, ending in `/`.
    base: String,
    gateway: String,
    /// CIDs are not shown under this host.
    elsewhere: bool,
}

fn rows(links: &Links, entries: Vec<Result<DagEntry, BlobError>>, left: &mut usize) -> Result<Bytes, BlobError> {
    let mut page = String::new();
    for entry in entries {
        let entry = entry?;
        if *left == 0 {
            page.push_str(
                "<tr><td>There are more; <a href=\"?format=car&amp;dag-scope=entity\" rel=\"nofollow\">the archive</a> has them all.</td><td></td><td></td></tr>\n",
            );
            break;
        }
        *left -= 1;
        page.push_str(&row(links, &entry));
    }
    Ok(page.into())
}

fn row(links: &Links, entry: &DagEntry) -> String {
    let cid = entry.cid.to_string();
    let name = path::encode(&entry.name);
    let href = format!("{}{name}", links.base);
    let hash = if links.elsewhere {
        format!("{CID_SITE}{cid}\" target=\"_blank\" rel=\"noreferrer noopener")
    } else {
        // The name is escaped twice, as the specifications' suite wants it.
        html::escape(&format!("{}/ipfs/{cid}?filename={}", links.gateway, query::encode(&name))).into_owned()
    };
    let short = if cid.len() > 12 { format!("{}\u{2026}{}", &cid[..4], &cid[cid.len() - 4..]) } else { cid };
    format!(
        "<tr><td><a href=\"{}\">{}</a></td><td><a class=\"ipfs-hash\" translate=\"no\" href=\"{hash}\">{short}</a></td>\
         <td title=\"Cumulative size of the DAG\">{}</td></tr>\n",
        html::escape(&href),
        html::escape(&entry.name),
        html::size(entry.size),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> DagEntry {
        DagEntry {
            name: name.into(),
            cid: "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".parse().unwrap(),
            size: 1500,
        }
    }

    fn links(elsewhere: bool, gateway: &str) -> Links {
        Links { base: "/a/".into(), gateway: gateway.into(), elsewhere }
    }

    #[test]
    fn names_of_strangers_are_text() {
        let row = row(&links(false, "//g.example:1"), &entry("<b>\"'&ź.txt"));
        assert!(
            row.contains("<a href=\"/a/%3Cb%3E%22&#39;&amp;%C5%BA.txt\">&lt;b&gt;&#34;&#39;&amp;ź.txt</a>"),
            "{row}"
        );
        assert!(row.contains("href=\"//g.example:1/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy?filename=%253Cb%253E%2522%27%26%25C5%25BA.txt\">bafk…52zy</a>"), "{row}");
        assert!(row.contains(">1.5 kB<"));
    }

    #[test]
    fn a_website_links_its_cids_elsewhere() {
        let row = row(&links(true, ""), &entry("a"));
        assert!(row.contains("href=\"https://cid.ipfs.tech/#bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy\" target=\"_blank\" rel=\"noreferrer noopener\">"), "{row}");
    }

    #[test]
    fn the_list_is_bounded_and_an_error_ends_it() {
        let mut left = 2;
        let entries = || (0..3).map(|at| Ok(entry(&format!("e{at}")))).collect::<Vec<_>>();
        let page = rows(&links(false, ""), entries(), &mut left).unwrap();
        let page = String::from_utf8(page.to_vec()).unwrap();
        assert!(page.contains(">e1<") && !page.contains(">e2<") && page.contains("There are more"), "{page}");
        let cut = vec![Ok(entry("a")), Err(BlobError::Missing(entry("a").cid))];
        assert!(rows(&links(false, ""), cut, &mut 9).is_err());
    }
}
