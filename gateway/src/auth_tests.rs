//! The decision table of who is the owner.

use axum::http::{HeaderName, HeaderValue};

use super::{Caller as Known, *};

fn access(token: Option<&str>, public: Option<&str>) -> Access {
    Access { token: token.map(Secret::new), anonymous: Anonymous::Read, public_origin: public.map(str::to_owned) }
}

/// Whom a request claims to come from; a token is told as `Err("token")`.
fn ask(access: &Access, method: &Method, peer: &str, headers: &[(&str, &str)]) -> Result<Caller, &'static str> {
    claim(access, method, peer, headers, None)
}

fn claim(
    access: &Access,
    method: &Method,
    peer: &str,
    headers: &[(&str, &str)],
    query_token: Option<&str>,
) -> Result<Caller, &'static str> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let uri = Uri::from_static("/api/v1/nodes/a");
    let peer = Some(peer.parse().unwrap());
    let asks = Asks { uri: &uri, headers: &map, peer, changes: !method.is_safe(), query_token };
    match access.claim(&asks) {
        Ok(Claim::Owner) => Ok(Caller::Owner),
        Ok(Claim::Anonymous) => Ok(Caller::Anonymous),
        Ok(Claim::Token(_)) => Err("token"),
        Err(problem) => Err(problem.code()),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Caller {
    Owner,
    Anonymous,
}

const LOCAL: (&str, &str) = ("host", "127.0.0.1:8480");

#[test]
fn plain_loopback_is_the_owner() {
    let access = access(None, None);
    for host in ["127.0.0.1:8480", "127.9.9.9", "localhost:1", "LOCALHOST", "[::1]:8480", "[::1]"] {
        for peer in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(ask(&access, &Method::PATCH, peer, &[("host", host)]), Ok(Caller::Owner), "{host} {peer}");
        }
    }
}

#[test]
fn what_hints_at_somebody_else_is_anonymous() {
    let access = access(None, None);
    for headers in [
        &[][..],
        &[("host", "evil.example")],
        &[("host", "127.0.0.1.evil.example")],
        &[("host", "localhost.evil.example:8480")],
        &[("host", "::1")],
        &[("host", "0.0.0.0:8480")],
        &[LOCAL, LOCAL],
        &[LOCAL, ("forwarded", "for=1.2.3.4")],
        &[LOCAL, ("x-forwarded-for", "127.0.0.1")],
        &[LOCAL, ("x-forwarded-host", "localhost")],
        &[LOCAL, ("x-real-ip", "127.0.0.1")],
        &[LOCAL, ("via", "1.1 proxy")],
        &[LOCAL, ("origin", "null")],
        &[LOCAL, ("origin", "http://evil.example")],
        &[LOCAL, ("origin", "http://127.0.0.1:3000")],
        &[LOCAL, ("origin", "https://127.0.0.1:8480")],
        &[LOCAL, ("sec-fetch-site", "cross-site")],
        &[LOCAL, ("sec-fetch-site", "same-site")],
    ] {
        assert_eq!(ask(&access, &Method::GET, "127.0.0.1", headers), Ok(Caller::Anonymous), "{headers:?}");
    }
    assert_eq!(ask(&access, &Method::GET, "192.168.1.5", &[LOCAL]), Ok(Caller::Anonymous));
}

#[test]
fn changes_from_another_origin_are_forbidden_even_with_the_token() {
    let access = access(Some("a long enough token"), None);
    let token = ("authorization", "Bearer a long enough token");
    for origin in ["null", "http://evil.example", "http://127.0.0.1:3000", "https://127.0.0.1:8480", "?"] {
        for method in [Method::PATCH, Method::POST, Method::PUT, Method::DELETE] {
            let headers = [LOCAL, ("origin", origin), token];
            assert_eq!(ask(&access, &method, "127.0.0.1", &headers), Err("forbidden_origin"), "{origin}");
        }
    }
    let headers = [LOCAL, ("sec-fetch-site", "cross-site"), token];
    assert_eq!(ask(&access, &Method::POST, "127.0.0.1", &headers), Err("forbidden_origin"));
    let ours = [LOCAL, ("origin", "http://127.0.0.1:8480"), ("sec-fetch-site", "same-origin")];
    assert_eq!(ask(&access, &Method::POST, "127.0.0.1", &ours), Ok(Caller::Owner));
}

#[test]
fn tokens() {
    let with = access(Some("a long enough token"), None);
    let far = "203.0.113.9";
    let host = ("host", "node.example");
    let asked = |access: &Access, peer, value| ask(access, &Method::POST, peer, &[host, ("authorization", value)]);
    assert_eq!(asked(&with, far, "Bearer a long enough token"), Ok(Caller::Owner));
    assert_eq!(asked(&with, far, "bearer a long enough token"), Ok(Caller::Owner));
    // What is no bearer token is refused here, what is another one by whoever reads it: never taken for nothing said.
    for wrong in ["Bearer", "Bearer ", "Basic a long enough token", "a long enough token"] {
        assert_eq!(asked(&with, far, wrong), Err("unauthenticated"), "{wrong}");
        assert_eq!(asked(&with, "127.0.0.1", wrong), Err("unauthenticated"), "{wrong}");
    }
    for other in ["Bearer x", "Bearer a long enough toke"] {
        assert_eq!(asked(&with, "127.0.0.1", other), Err("token"), "{other}");
    }
    assert_eq!(asked(&access(None, None), "127.0.0.1", "Bearer x"), Err("token"));
    assert_eq!(ask(&with, &Method::POST, "127.0.0.1", &[LOCAL]), Ok(Caller::Owner));
}

#[test]
fn a_token_in_the_query_of_a_socket_counts_where_there_is_no_header() {
    let with = access(Some("a long enough token"), None);
    let far = [("host", "node.example")];
    let asked = |headers: &[(&str, &str)], token| claim(&with, &Method::GET, "203.0.113.9", headers, token);
    assert_eq!(asked(&far, Some("a long enough token")), Ok(Caller::Owner));
    assert_eq!(asked(&far, Some("x")), Err("token"));
    assert_eq!(asked(&far, None), Ok(Caller::Anonymous));
    let both = [far[0], ("authorization", "Bearer x")];
    assert_eq!(asked(&both, Some("a long enough token")), Err("token"), "the header wins");
}

#[test]
fn a_public_url_ends_the_rights_of_loopback() {
    let access = access(Some("a long enough token"), Some("https://node.example"));
    assert_eq!(ask(&access, &Method::GET, "127.0.0.1", &[LOCAL]), Ok(Caller::Anonymous));
    let headers =
        [("host", "node.example"), ("origin", "https://node.example"), ("authorization", "Bearer a long enough token")];
    assert_eq!(ask(&access, &Method::POST, "10.0.0.1", &headers), Ok(Caller::Owner));
}

fn known(who: Who, anonymous: Anonymous) -> Known {
    Known { who, method: Method::PATCH, now_ms: 0, anonymous }
}

#[test]
fn local_and_mirror_space_are_the_owners() {
    let anybody = known(Who::Anonymous, Anonymous::Read);
    assert_eq!(anybody.may_read("people/ada").unwrap(), Principal::Anonymous);
    let owner = known(Who::Owner, Anonymous::None);
    for soul in ["_/secret", "^https://a.example/"] {
        assert_eq!(anybody.may_read(soul).unwrap_err().code(), "unauthenticated");
        assert_eq!(owner.may_read(soul).unwrap(), Principal::Owner);
        assert!(!anybody.sees(soul) && owner.sees(soul));
    }
}

#[test]
fn who_is_nobody_reads_at_most() {
    let anybody = known(Who::Anonymous, Anonymous::Read);
    for refused in [
        anybody.may_write("a"),
        anybody.may_add(),
        anybody.may_see(),
        anybody.may_administer(),
        anybody.may_read_under("a"),
        known(Who::Anonymous, Anonymous::None).may_read("a"),
        known(Who::Anonymous, Anonymous::None).may_roam("a"),
        anybody.may_roam("_/a"),
    ] {
        assert_eq!(refused.unwrap_err().code(), "unauthenticated");
    }
    assert_eq!(anybody.may_roam("a").unwrap(), Principal::Anonymous);
    assert_eq!(reader(known(Who::Anonymous, Anonymous::None)).unwrap_err().code(), "unauthenticated");
}
