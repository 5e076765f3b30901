//! The decision table of who is the owner.

use axum::http::{HeaderName, HeaderValue};

use super::*;

fn access(token: Option<&str>, public: Option<&str>) -> Access {
    Access { token: token.map(Secret::new), anonymous: Anonymous::Read, public_origin: public.map(str::to_owned) }
}

fn ask(access: &Access, method: &Method, peer: &str, headers: &[(&str, &str)]) -> Result<Caller, &'static str> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    access
        .caller(method, &Uri::from_static("/api/v1/nodes/a"), &map, Some(peer.parse().unwrap()))
        .map_err(|problem| problem.code())
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
    for wrong in ["Bearer", "Bearer ", "Bearer x", "Basic a long enough token", "a long enough token"] {
        assert_eq!(asked(&with, far, wrong), Err("unauthenticated"), "{wrong}");
        assert_eq!(asked(&with, "127.0.0.1", wrong), Err("unauthenticated"), "{wrong}");
    }
    assert_eq!(asked(&access(None, None), "127.0.0.1", "Bearer x"), Err("unauthenticated"));
    assert_eq!(ask(&with, &Method::POST, "127.0.0.1", &[LOCAL]), Ok(Caller::Owner));
}

#[test]
fn a_public_url_ends_the_rights_of_loopback() {
    let access = access(Some("a long enough token"), Some("https://node.example"));
    assert_eq!(ask(&access, &Method::GET, "127.0.0.1", &[LOCAL]), Ok(Caller::Anonymous));
    let headers =
        [("host", "node.example"), ("origin", "https://node.example"), ("authorization", "Bearer a long enough token")];
    assert_eq!(ask(&access, &Method::POST, "10.0.0.1", &headers), Ok(Caller::Owner));
}

#[test]
fn private_space_is_the_owners() {
    assert!(Reader(Caller::Anonymous).may_read("people/ada").is_ok());
    assert!(Reader(Caller::Anonymous).may_read("_/secret").is_err());
    assert!(Reader(Caller::Anonymous).may_read("^https://a.example/").is_err());
    assert!(Reader(Caller::Owner).may_read("_/secret").is_ok());
}
