//! Roots as subdomains of a gateway, and back (subdomain gateway specification).

use axum::http::{HeaderMap, Uri};
use cid::Cid;
use rustdht_core::ports::IpnsName;

use super::{
    hosts, label,
    path::{self, ContentPath, Namespace},
    query::Query,
};
use crate::{codes::HttpCode, problem::Problem};

/// The subdomain of a root that was asked by path; `None`: what was asked is no root, which its route will say.
///
/// # Errors
/// `bad_path` when the root fits in no label.
pub(super) fn of_path(authority: &str, uri: &Uri, headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let query = Query::parse(uri.query());
    let is_router = path::split_namespace(uri.path()).is_some_and(|(_, rest)| rest.is_empty());
    if is_router && let Some(moved) = path::of_uri(&query) {
        return moved.map(Some);
    }
    let Ok(path) = ContentPath::of_url(uri.path()) else { return Ok(None) };
    let Some(label) = label_of(path.namespace, &path.root)? else { return Ok(None) };
    Ok(Some(url(&label, path.namespace, authority, &path.segments, path.slash, &query, headers)))
}

/// The label of a root as it stands in a path.
fn label_of(namespace: Namespace, root: &str) -> Result<Option<String>, Problem> {
    match namespace {
        Namespace::Ipfs => Cid::try_from(root).ok().map(|cid| label::of_cid(&cid)).transpose(),
        Namespace::Ipns => match root.parse::<IpnsName>() {
            Ok(name) => label::of_name(&name).map(Some),
            Err(_) if hosts::is_domain(root) => label::inline(&root.to_ascii_lowercase()).map(Some),
            // A domain that was inlined before.
            Err(_) if hosts::is_domain(&label::uninline(root)) => Ok(Some(root.to_ascii_lowercase())),
            Err(_) => Ok(None),
        },
    }
}

pub(super) fn url(
    label: &str,
    namespace: Namespace,
    gateway: &str,
    segments: &[String],
    slash: bool,
    query: &Query,
    headers: &HeaderMap,
) -> String {
    // Only a proxy in front speaks TLS (subdomain gateway specification, `X-Forwarded-Proto`).
    let https = headers.get("x-forwarded-proto").is_some_and(|value| value == "https");
    let scheme = if https { "https" } else { "http" };
    let path = match path::url_of(segments, slash && !segments.is_empty()) {
        path if path.is_empty() => "/".to_owned(),
        path => path,
    };
    let query = query.text();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{scheme}://{label}.{}.{gateway}{path}{mark}{query}", namespace.as_str())
}

/// What stands in front of `.ipfs.` or `.ipns.`.
pub(super) enum Labelled {
    /// A root as a content path has it.
    Root(String),
    /// One that has another label, so that it has one origin only.
    Canonical(String),
}

/// # Errors
/// `bad_path` for what is neither a CID nor can be a name, or fits in no label.
pub(super) fn root_of(namespace: Namespace, text: &str) -> Result<Labelled, Problem> {
    path::check_root(text)?;
    // Host names have no case; base32 has none either. Of the rest, as it was sent.
    let lower = text.to_ascii_lowercase();
    let known = match namespace {
        Namespace::Ipfs => {
            Cid::try_from(text).or_else(|_| Cid::try_from(lower.as_str())).ok().map(|cid| label::of_cid(&cid))
        }
        Namespace::Ipns => text.parse().or_else(|_| lower.parse()).ok().map(|name| label::of_name(&name)),
    };
    match known.transpose()? {
        Some(label) if label == lower => Ok(Labelled::Root(label)),
        Some(label) => Ok(Labelled::Canonical(label)),
        None if namespace == Namespace::Ipns => {
            // `en-wikipedia--on--ipfs-org`, or the domain with its dots.
            let domain = if lower.contains('.') { lower } else { label::uninline(&lower) };
            Ok(Labelled::Root(domain))
        }
        None => {
            let detail = format!("invalid path \"/{}/{text}\": not a CID", namespace.as_str());
            Err(Problem::new(HttpCode::BadPath, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn redirect(uri: &str, headers: &[(&'static str, &str)]) -> Result<Option<String>, String> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        of_path("example.com:80", &uri.parse().unwrap(), &headers).map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn paths_become_subdomains() {
        const V0: &str = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKtR6V";
        const V1: &str = "bafybeie5nqv6kd3qnfjupgvz34woh3oksc3iau6abmyajn7qvtf5acd2ky";
        let to = |label: &str, rest: &str| Ok(Some(format!("http://{label}.example.com:80{rest}")));
        for (path, expected) in [
            (format!("/ipfs/{V0}"), to(&format!("{V1}.ipfs"), "/")),
            (format!("/ipfs/{V1}/?a=b%20c&d"), to(&format!("{V1}.ipfs"), "/?a=b%20c&d")),
            (
                format!("/ipfs/{V1}/Portugal%252C+Espa%c3%b1a=x%20y.txt"),
                to(&format!("{V1}.ipfs"), "/Portugal%252C+Espa%C3%B1a=x%20y.txt"),
            ),
            (format!("/ipfs/{V1}//evil.example/"), to(&format!("{V1}.ipfs"), "/evil.example/")),
            (
                "/ipns/12D3KooWRBy97UB99e3J6hiPesre1MZeuNQvfan4gBziswrRJsNK/x".into(),
                to("k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8.ipns", "/x"),
            ),
            ("/ipns/En.Wikipedia-on-IPFS.org/wiki/".into(), to("en-wikipedia--on--ipfs-org.ipns", "/wiki/")),
            ("/ipns/en-wikipedia--on--ipfs-org".into(), to("en-wikipedia--on--ipfs-org.ipns", "/")),
            ("/ipfs/?uri=ipfs://QmA/x%3Fy".into(), Ok(Some("/ipfs/QmA/x?y".into()))),
            ("/ipfs/QmInvalidCID".into(), Ok(None)),
            ("/ipfs/".into(), Ok(None)),
            ("/ipns/word".into(), Ok(None)),
        ] {
            assert_eq!(redirect(&path, &[]), expected, "{path}");
        }
        let secure = redirect(&format!("/ipfs/{V1}/"), &[("x-forwarded-proto", "https")]).unwrap().unwrap();
        assert!(secure.starts_with("https://bafy"), "{secure}");
        let odd = redirect(&format!("/ipfs/{V1}/"), &[("x-forwarded-proto", "javascript")]).unwrap().unwrap();
        assert!(odd.starts_with("http://bafy"), "{odd}");
    }

    #[test]
    fn a_root_has_one_label() {
        let of = |namespace, text: &str| match root_of(namespace, text) {
            Ok(Labelled::Root(root)) => root,
            Ok(Labelled::Canonical(label)) => format!("-> {label}"),
            Err(problem) => problem.detail().to_owned(),
        };
        let v1 = "bafybeie5nqv6kd3qnfjupgvz34woh3oksc3iau6abmyajn7qvtf5acd2ky";
        assert_eq!(of(Namespace::Ipfs, v1), v1);
        assert_eq!(of(Namespace::Ipfs, &v1.to_ascii_uppercase()), v1);
        assert_eq!(of(Namespace::Ipfs, "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKtR6V"), format!("-> {v1}"));
        assert!(of(Namespace::Ipfs, "a.b").starts_with("invalid path \"/ipfs/a.b\""));
        let name = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8";
        assert_eq!(of(Namespace::Ipns, name), name);
        let as_file = name.parse::<IpnsName>().unwrap().multihash().to_owned();
        let as_file = Cid::new_v1(0x70, as_file).to_string_of_base(cid::multibase::Base::Base36Lower).unwrap();
        assert_eq!(of(Namespace::Ipns, &as_file), format!("-> {name}"));
        assert_eq!(of(Namespace::Ipns, "en-wikipedia--on--ipfs-org"), "en.wikipedia-on-ipfs.org");
        assert_eq!(of(Namespace::Ipns, "en.wikipedia-on-ipfs.org"), "en.wikipedia-on-ipfs.org");
    }
}
