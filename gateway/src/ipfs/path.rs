//! Content paths: `/ipfs/{cid}/...` and `/ipns/{name}/...`.

use cid::Cid;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use rustdht_core::ports::MAX_PATH_SEGMENTS;

use super::query::Query;
use crate::{codes::HttpCode, problem::Problem};

/// Longest root. A CID of 64 bytes of hash is 300 characters in the least dense base that is in use, a domain 253; decoding
/// base58 takes the square of its length.
const MAX_ROOT_BYTES: usize = 512;

/// What a segment of a path may not hold as it is (RFC 3986 section 3.3).
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The two kinds of roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// CIDs.
    Ipfs,
    /// Names.
    Ipns,
}

impl Namespace {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ipfs => "ipfs",
            Self::Ipns => "ipns",
        }
    }
}

/// A content path, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContentPath {
    pub(super) namespace: Namespace,
    /// A CID, an IPNS name or a domain; not looked at yet.
    pub(super) root: String,
    pub(super) segments: Vec<String>,
    /// It ended in `/`.
    pub(super) slash: bool,
}

impl ContentPath {
    /// Reads the path of a URL.
    ///
    /// # Errors
    /// `bad_path`.
    pub(super) fn of_url(path: &str) -> Result<Self, Problem> {
        let (namespace, rest) = split_namespace(path).ok_or_else(|| invalid(path))?;
        let (root, rest) = rest.split_once('/').map_or((rest, ""), |(root, rest)| (root, rest));
        let root = decode(root).ok_or_else(|| invalid(path))?;
        check_root(&root)?;
        Ok(Self { namespace, root, segments: segments(rest)?, slash: path.ends_with('/') })
    }

    /// The path of a URL below a root that its host names.
    ///
    /// # Errors
    /// `bad_path`.
    pub(super) fn below(namespace: Namespace, root: String, path: &str) -> Result<Self, Problem> {
        Ok(Self { namespace, root, segments: segments(path)?, slash: path.ends_with('/') })
    }

    /// Reads what a record or DNSLink names, which is not percent-encoded.
    ///
    /// # Errors
    /// `bad_path`.
    pub(super) fn of_target(text: &str) -> Result<Self, Problem> {
        let (namespace, rest) = split_namespace(text.trim()).ok_or_else(|| invalid(text))?;
        let mut parts = rest.split('/').filter(|part| !part.is_empty()).map(str::to_owned);
        let root = parts.next().ok_or_else(|| invalid(text))?;
        let path = Self { namespace, root, segments: parts.collect(), slash: false };
        path.check()?;
        if namespace == Namespace::Ipfs {
            path.cid()?;
        }
        Ok(path)
    }

    /// The root of an immutable path.
    ///
    /// # Errors
    /// `bad_path`: it is no CID.
    pub(super) fn cid(&self) -> Result<Cid, Problem> {
        Cid::try_from(self.root.as_str()).map_err(|error| {
            let detail = format!("invalid path \"{}\": not a CID: {error}", self.text());
            Problem::new(HttpCode::BadPath, detail).at("cid")
        })
    }

    /// Adds what stands behind.
    ///
    /// # Errors
    /// `bad_path`: it gets too long.
    pub(super) fn join(mut self, below: Vec<String>) -> Result<Self, Problem> {
        self.segments.extend(below);
        self.check()?;
        Ok(self)
    }

    fn check(&self) -> Result<(), Problem> {
        check_root(&self.root)?;
        check(&self.segments)
    }

    /// For people: decoded.
    pub(super) fn text(&self) -> String {
        let mut text = format!("/{}/{}", self.namespace.as_str(), self.root);
        for segment in &self.segments {
            text.push('/');
            text.push_str(segment);
        }
        text
    }

    /// For headers and links: percent-encoded.
    pub(super) fn url(&self) -> String {
        let mut url = format!("/{}/{}", self.namespace.as_str(), encode(&self.root));
        url.push_str(&url_of(&self.segments, self.slash));
        url
    }

    /// The last segment: a file's name, if it has one.
    pub(super) fn name(&self) -> Option<&str> {
        self.segments.last().map(String::as_str)
    }
}

/// Namespace and what follows it.
pub(super) fn split_namespace(path: &str) -> Option<(Namespace, &str)> {
    let rest = path.strip_prefix('/')?;
    let (namespace, rest) = rest.split_once('/').unwrap_or((rest, ""));
    match namespace {
        "ipfs" => Some((Namespace::Ipfs, rest)),
        "ipns" => Some((Namespace::Ipns, rest)),
        _ => None,
    }
}

/// Segments as the path of a URL; `/` without any.
pub(super) fn url_of(segments: &[String], slash: bool) -> String {
    let mut url: String = segments.iter().flat_map(|segment| ["/".into(), encode(segment)]).collect();
    if slash {
        url.push('/');
    }
    url
}

/// One segment, percent-encoded.
pub(super) fn encode(segment: &str) -> String {
    utf8_percent_encode(segment, SEGMENT).to_string()
}

/// The decoded segments of a URL's path. Empty ones do not count.
///
/// # Errors
/// `bad_path`.
pub(super) fn segments(path: &str) -> Result<Vec<String>, Problem> {
    let parts = path.split('/').filter(|part| !part.is_empty());
    let segments: Vec<String> =
        parts.map(|part| decode(part).ok_or_else(|| invalid(path))).collect::<Result<_, _>>()?;
    check(&segments)?;
    Ok(segments)
}

/// # Errors
/// `bad_path` for nothing, and for more than any root has.
pub(super) fn check_root(root: &str) -> Result<(), Problem> {
    match root.len() {
        0 => Err(bad("the path has no root: /ipfs/{cid} or /ipns/{name} is expected".to_owned())),
        1..=MAX_ROOT_BYTES => Ok(()),
        _ => Err(bad(format!("no CID and no name is longer than {MAX_ROOT_BYTES} characters"))),
    }
}

fn check(segments: &[String]) -> Result<(), Problem> {
    if segments.len() > MAX_PATH_SEGMENTS {
        return Err(bad(format!("the path has more than {MAX_PATH_SEGMENTS} segments")));
    }
    // A browser resolves these itself; sent, they only confuse who looks at the path (RFC 3986 section 5.2.4).
    if segments.iter().any(|segment| segment == "." || segment == "..") {
        return Err(bad("the path holds '.' or '..'".to_owned()));
    }
    Ok(())
}

fn decode(part: &str) -> Option<String> {
    percent_decode_str(part).decode_utf8().ok().map(Into::into)
}

fn bad(detail: String) -> Problem {
    Problem::new(HttpCode::BadPath, detail)
}

fn invalid(path: &str) -> Problem {
    bad(format!("invalid path \"{path}\": /ipfs/{{cid}} or /ipns/{{name}} is expected, percent-encoded UTF-8"))
}

/// `?uri=ipfs://{cid}/...`: the content path that a browser's protocol handler means (subdomain gateway specification,
/// "URI router"), as a URL's path and query.
///
/// # Errors
/// `bad_path` for another scheme.
pub(super) fn of_uri(query: &Query) -> Option<Result<String, Problem>> {
    let uri = query.get("uri")?;
    let scheme = |scheme: &str| uri.get(..scheme.len()).filter(|head| head.eq_ignore_ascii_case(scheme));
    let namespace = match (scheme("ipfs://"), scheme("ipns://")) {
        (Some(_), _) => Namespace::Ipfs,
        (_, Some(_)) => Namespace::Ipns,
        _ => return Some(Err(bad("the parameter uri begins neither with ipfs:// nor with ipns://".to_owned()))),
    };
    let rest = &uri["ipfs://".len()..];
    let rest = rest.split('#').next().unwrap_or(rest);
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let read = ContentPath::of_url(&format!("/{}/{path}", namespace.as_str()));
    Some(read.map(|read| match query {
        Some(query) => format!("{}?{}", read.url(), super::query::clean(query)),
        None => read.url(),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls() {
        let path = ContentPath::of_url("/ipfs/bafkqaaa/%C4%85//Portugal%252C+a=b%20c/").unwrap();
        assert_eq!((path.root.as_str(), path.slash), ("bafkqaaa", true));
        assert_eq!(path.segments, ["ą", "Portugal%2C+a=b c"]);
        assert_eq!(path.url(), "/ipfs/bafkqaaa/%C4%85/Portugal%252C+a=b%20c/");
        assert_eq!(path.text(), "/ipfs/bafkqaaa/ą/Portugal%2C+a=b c");
        assert_eq!(path.name(), Some("Portugal%2C+a=b c"));
        for bad in ["/ipfs", "/ipfs/", "/ipld/a", "/", "", "/ipfs/a/../b", "/ipfs/a/%2e%2E", "/ipfs/a/.", "/ipfs/a/%FF"]
        {
            assert_eq!(ContentPath::of_url(bad).unwrap_err().code(), "bad_path", "{bad}");
        }
        for long in
            [format!("/ipfs/a{}", "/b".repeat(MAX_PATH_SEGMENTS + 1)), format!("/ipfs/z{}", "2".repeat(100_000))]
        {
            assert_eq!(ContentPath::of_url(&long).unwrap_err().code(), "bad_path");
        }
    }

    #[test]
    fn what_is_no_cid_is_named_as_it_was_asked() {
        let problem = ContentPath::of_url("/ipfs/QmInvalidCID").unwrap().cid().unwrap_err();
        assert!(problem.detail().starts_with("invalid path \"/ipfs/QmInvalidCID\""), "{}", problem.detail());
    }

    #[test]
    fn targets_are_not_decoded() {
        let path = ContentPath::of_target("/ipfs/bafkqaaa/a%20b/").unwrap();
        assert_eq!(path.segments, ["a%20b"]);
        for bad in ["bafkqaaa", "/ipfs/", "/ipfs/nocid", "/ipfs/bafkqaaa/../x", "/ipns", ""] {
            assert!(ContentPath::of_target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn uris() {
        let of = |text: &str| of_uri(&Query::parse(Some(&format!("uri={text}")))).unwrap();
        assert_eq!(of("ipfs%3A%2F%2FQmA%2Fwiki%2Fx.html").unwrap(), "/ipfs/QmA/wiki/x.html");
        assert_eq!(of("ipns://en.wiki.example").unwrap(), "/ipns/en.wiki.example");
        assert_eq!(of("ipfs://QmA/x%3Fa%3Db%23c").unwrap(), "/ipfs/QmA/x?a=b");
        for bad in ["http://a", "ipfs:", "ipfs://", "ipfs:///a", "ipfs://a/../b", "%C3%A4"] {
            assert_eq!(of(bad).unwrap_err().code(), "bad_path", "{bad}");
        }
        assert!(of_uri(&Query::parse(Some("url=ipfs://a"))).is_none());
    }

    proptest! {
        #[test]
        fn a_path_is_its_own_url(segments in prop::collection::vec("([^/\0.]|%[0-9A-F]{2}){1,5}", 0..4), slash: bool) {
            let path = ContentPath { namespace: Namespace::Ipns, root: "a.b".into(), segments, slash };
            let url = path.url();
            prop_assert!(url.is_ascii() && !url.contains(['"', '<', '>', ' ']));
            prop_assert_eq!(ContentPath::of_url(&url).unwrap(), path);
        }

        #[test]
        fn any_text_is_a_path_or_a_problem(text in "(/ip[fn]s/)?[ -~]{0,30}") {
            let _ = ContentPath::of_url(&text);
            let _ = ContentPath::of_target(&text);
        }
    }
}
