use super::*;

fn form(accept: Option<&'static str>) -> Result<Form, &'static str> {
    let mut headers = HeaderMap::new();
    if let Some(accept) = accept {
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    }
    Form::of(&headers).map_err(|problem| problem.code())
}

#[test]
fn forms() {
    for (accept, expected) in [
        (None, Ok(Form::Json)),
        (Some("application/json"), Ok(Form::Json)),
        (Some("*/*"), Ok(Form::Json)),
        (Some("application/x-ndjson"), Ok(Form::Lines)),
        (Some("application/x-ndjson,application/json"), Ok(Form::Lines)),
        (Some("text/html, application/*;q=0.5"), Ok(Form::Json)),
        (Some("text/html"), Err("not_acceptable")),
    ] {
        assert_eq!(form(accept), expected, "{accept:?}");
    }
}

#[test]
fn peer_ids_in_both_forms() {
    let base58 = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";
    let cid = "k51qzi5uqu5dljtg5upm7x7ugan9lql3ewyknv4r4mhhkwzn8n7cnbd1unfwgq";
    assert_eq!(peer_id(base58).as_deref(), Some(base58));
    assert_eq!(peer_id(cid).as_deref(), Some(base58));
    assert_eq!(peer_id("x"), None);
}

#[test]
fn records_are_those_of_the_specification() {
    let found =
        Provider { peer: "p".into(), addresses: vec!["/a".into()], protocols: vec!["transport-bitswap".into()] };
    let bare = Provider { peer: "q".into(), addresses: vec![], protocols: vec![] };
    assert_eq!(
        String::from_utf8(providers_json(&[found.clone(), bare])).unwrap(),
        r#"{"Providers":[{"Schema":"peer","ID":"p","Addrs":["/a"],"Protocols":["transport-bitswap"]},{"Schema":"peer","ID":"q","Addrs":[]}]}"#
    );
    assert_eq!(String::from_utf8(peers_json(&[])).unwrap(), r#"{"Peers":[]}"#);
    assert!(record_line(&found).ends_with(b"}\n"));
}
