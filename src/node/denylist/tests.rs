use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Roots of the specification's examples and of the vectors that its implementations share.
const LIST: &str = "version: 1
name: examples
hints:
  gateway_status: 410
---
# a comment
/ipfs/bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq
/ipfs/QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8/*
/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/test*
/ipfs/QmTuvSQbEDR3sarFAN9kAeXBpiBCyYYNxdxciazBba11eC/test/*
/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked*
!/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blockednot
!/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked/not
!/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked/exceptions*
/ipns/domain.example gateway_status:451
/ipns/domain2.example/path

/ipns/k51qzi5uqu5dhmzyv3zac033i7rl9hkgczxyl81lwoukda2htteop7d3x0y1mf
//d9d295bde21f422d471a90f2a37ec53049fdf3e5fa3ee2e8f20e10003da429e7
//6ef262a67f2c7caa9722b0fe46aced2f1559c749eab2bcf2f2701f43f802e900
//fb5a70b1aade810d21e8195a0da05f40ebd099e4b4d6bf088dc604e4fcf34263
//3f8b9febd851873b3774b937cce126910699ceac56e72e64b866f8e258d09572
//QmX9dhRcQcKUw3Ws8485T5a9dtjrSCQaUAHnG4iK9i4ceM
//gW813G35CnLsy7gRYYHuf63hrz71U1xoLFDVeV7actx6oX
//QmX6zeaAb8mC285YbXe4ac7LmX3jvrHBiFrw8kNnCM1bk4
//QmcwfDuZYijxztHVR7w71WtdDaETsrGUU3ARWbNiYD3Hhp
//QmdGtYErkPjfpUPjVMUypoX8XTE9PUTBBF6KE9AwWaBs1e
//QmQouNeftXbxGRt4U8s838diCuMPPHCfpHTR5w8bRREs9d
/ipfs/QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn
/ipfs/bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku
/ipfs/bafkqaaa
";

fn rules(text: &str) -> DenyRules {
    DenyRules::read(text.as_bytes(), "file").unwrap()
}

fn list(text: &str) -> Denylist {
    let list = Denylist::default();
    list.replace(vec![rules(text)]);
    list
}

fn split(path: &str) -> (&str, &str, Vec<String>) {
    let mut parts = path.trim_matches('/').split('/');
    let (namespace, root) = (parts.next().unwrap(), parts.next().unwrap());
    (namespace, root, parts.map(str::to_owned).collect())
}

/// What the rules say of exactly a path.
fn exactly(list: &Denylist, path: &str) -> bool {
    let (namespace, root, rest) = split(path);
    let cid = || root.parse::<Cid>().unwrap();
    let root = if namespace == "ipfs" { DenyRoot::Cid(&cid()) } else { DenyRoot::Name(root) };
    Denylist::exact(&list.lists(), root, &rest.join("/")).flatten().is_some()
}

/// What the gateway is told.
fn denied(list: &Denylist, path: &str) -> Option<Denied> {
    let (namespace, root, rest) = split(path);
    let cid = || root.parse::<Cid>().unwrap();
    let root = if namespace == "ipfs" { DenyRoot::Cid(&cid()) } else { DenyRoot::Name(root) };
    list.denied(root, &rest)
}

#[test]
fn the_vectors_that_implementations_share() {
    let list = list(LIST);
    for path in [
        "/ipfs/bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq",
        "/ipfs/bafkreihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq",
        "/ipfs/QmesfgDQ3q6prBy2Kg2gKbW4MAGuWiRP2DVuGA5MZSERLo",
        "/ipfs/QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8",
        "/ipfs/QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8/a/b",
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/test",
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/test2",
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/test/one",
        "/ipfs/QmTuvSQbEDR3sarFAN9kAeXBpiBCyYYNxdxciazBba11eC/test2",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked2",
        "/ipns/domain.example",
        "/ipns/domain2.example/path",
        "/ipns/k51qzi5uqu5dhmzyv3zac033i7rl9hkgczxyl81lwoukda2htteop7d3x0y1mf",
        "/ipns/bafzaajaiaejcaotjfs57kieazxny5japcmy5p2pgv2cic77tu6ogghttvurnrufx",
        "/ipns/12D3KooWDkNqEJNmreF3NYYFK1ws7Ra2fuW6cHBTu567SPV3LdYA",
        "/ipfs/bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e",
        "/ipfs/bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e/path",
        "/ipns/k51qzi5uqu5dixwsch9wpd9rolqby1m0uqj5hhxwtxal0dwltastfmh01dlniq",
        "/ipns/bafzaajaiaejca3vrvdzmu4qntwa2pn6apsd4ug5k63ckdyhnd3g6vdvgvujdw62s",
        "/ipns/very-bad-example.eth",
        "/ipfs/bafybeidjwik6im54nrpfg7osdvmx7zojl5oaxqel5cmsz46iuelwf5acja",
        "/ipfs/QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR",
        "/ipfs/bafyb4ieqht3b2rssdmc7sjv2cy2gfdilxkfh7623nvndziyqnawkmo266a/path",
        "/ipfs/f01701e20903cf61d46521b05f926ba1634628d0bba8a7ffb5b6d5a3ca310682ca63b5ef0/path",
        "/ipns/my.domain.com",
        "/ipns/my.domain2.com/path",
        "/ipns/k51qzi5uqu5dixwsch9wpd9rolqby1m0uqj5hhxwtxal0dwltastfmh01dabcd",
        "/ipns/bafzaajaiaejca3vrvdzmu4qntwa2pn6apsd4ug5k63ckdyhnd3g6vdvgvujczuoq/mypath",
    ] {
        assert!(exactly(&list, path) && denied(&list, path).is_some(), "{path} is to be denied");
    }
    for path in [
        "/ipfs/bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq/sub2",
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/tes",
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2",
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/one/test",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blockednot",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked/not",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked/exceptions/one",
        "/ipns/domainaefa.example",
        "/ipns/domain.example/path",
        "/ipns/domain2.example",
        "/ipns/domain2.example/path2",
        "/ipns/12D3KooWDkNqEJNmreF3NYYFK1ws7Ra2fuW6cHBTu567SPV3LdYA/path",
        "/ipfs/bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e/path2",
        // Only that codec, in the older notation.
        "/ipfs/bafkreiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e",
        "/ipfs/bafyb4ieqht3b2rssdmc7sjv2cy2gfdilxkfh7623nvndziyqnawkmo266a",
        "/ipfs/bafyb4ieqht3b2rssdmc7sjv2cy2gfdilxkfh7623nvndziyqnawkmo266a/path2",
        "/ipns/my.domain2.com/path2",
        "/ipns/k51qzi5uqu5dixwsch9wpd9rolqby1m0uqj5hhxwtxal0dwltastfmh01d1234/mypath2",
        // Nobody means these.
        "/ipfs/QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
        "/ipfs/bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
        "/ipfs/bafkqaaa",
    ] {
        assert!(!exactly(&list, path), "{path} is not to be denied");
    }
}

#[test]
fn what_lies_below_something_denied_is_denied_unless_a_rule_allows_it() {
    let list = list(LIST);
    for path in [
        "/ipfs/bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq/sub",
        "/ipns/domain.example/path/below",
        "/ipns/domain2.example/path/below",
        "/ipfs/bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e/path/below",
    ] {
        assert!(denied(&list, path).is_some(), "{path}");
    }
    let allowed = "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked/not";
    assert_eq!(denied(&list, allowed), None);
    assert!(denied(&list, "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked/note").is_some());
    assert_eq!(denied(&list, "/ipns/domain2.example/other"), None);
}

#[test]
fn the_last_rule_and_the_last_list_win() {
    let cid = "QmecDgNqCRirkc3Cjz9eoRBNwXGckJ9WvTdmY16HP88768";
    let text = format!("/ipfs/{cid}/photo*\n!/ipfs/{cid}/photo123.jpg\n!/ipns/my.domain\n/ipns/my.domain\n");
    let denylist = list(&text);
    assert!(denied(&denylist, &format!("/ipfs/{cid}/photo1")).is_some());
    assert!(denied(&denylist, &format!("/ipfs/{cid}/photo123.jpg")).is_none());
    assert!(denied(&denylist, "/ipns/my.domain").is_some());
    denylist.replace(vec![rules(&text), rules("!/ipns/my.domain\n")]);
    assert!(denied(&denylist, "/ipns/my.domain").is_none());
    denylist.replace(vec![rules("!/ipns/my.domain\n"), rules(&text)]);
    assert!(denied(&denylist, "/ipns/my.domain").is_some());
    // The same hash, first denied, then allowed.
    let hash = "//QmX9dhRcQcKUw3Ws8485T5a9dtjrSCQaUAHnG4iK9i4ceM";
    let cid: Cid = "QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR".parse().unwrap();
    assert!(!list(&format!("!{hash}\n{hash}\n")).admits(&cid));
    assert!(list(&format!("{hash}\n{hash}\n!{hash}\n")).admits(&cid));
    assert!(Denylist::default().admits(&cid));
}

#[test]
fn who_forbids_is_told_with_the_list() {
    let list = list(LIST);
    let told = |path| denied(&list, path).unwrap();
    assert_eq!((told("/ipns/domain.example").by_law, &*told("/ipns/domain.example").list), (true, "examples"));
    assert!(!told("/ipns/domain2.example/path").by_law);
    let whole = rules("hints:\n  gateway_status: 451\n---\n/ipns/a.example\n/ipns/b.example gateway_status=410\n");
    assert_eq!(&**whole.name(), "file");
    list.replace(vec![whole]);
    assert!(denied(&list, "/ipns/a.example").unwrap().by_law && !denied(&list, "/ipns/b.example").unwrap().by_law);
}

#[test]
fn lines_that_are_no_rules_are_told_and_the_others_stand() {
    let text = "/ipfs/nonsense\n/ipfs/\n//\n//zz\nsome words\n\u{fffd}\n/ipns/a.example\n/ipns/%ff.example/%ff\n";
    let rules = rules(text);
    assert_eq!(rules.len(), 1);
    let (told, more) = rules.unreadable();
    assert_eq!((told.len(), told[0].0, more), (7, 1, 0));
    assert_eq!(told[6], (8, "a path that is not UTF-8"));
    let many = "x\n".repeat(100);
    let many = DenyRules::read(many.as_bytes(), "many").unwrap();
    assert_eq!((many.unreadable().0.len(), many.unreadable().1), (8, 92));
    let odd = DenyRules::read(&b"\xff\xfe\n/ipns/a.example\n"[..], "odd").unwrap();
    assert_eq!((odd.len(), odd.unreadable().0), (1, &[(1, "not UTF-8")][..]));
}

#[test]
fn paths_are_decoded_and_an_escaped_asterisk_is_none() {
    let cid = "QmecDgNqCRirkc3Cjz9eoRBNwXGckJ9WvTdmY16HP88768";
    let list = list(&format!("/ipfs/{cid}/a%20b/%C3%A9\n/ipfs/{cid}/star%2A\n"));
    assert!(denied(&list, &format!("/ipfs/{cid}/a b/é")).is_some());
    assert!(denied(&list, &format!("/ipfs/{cid}/star*")).is_some());
    assert!(denied(&list, &format!("/ipfs/{cid}/starfish")).is_none());
}

#[test]
fn a_list_beyond_the_bounds_of_the_format_is_refused() {
    let long = format!("/ipns/{}\n", "a".repeat(2 << 20));
    assert!(matches!(DenyRules::read(long.as_bytes(), "x"), Err(DenyRulesError::Line(1))));
    assert!(matches!(DenyRules::read(&b"version: 2\n---\n"[..], "x"), Err(DenyRulesError::Version(_))));
    // A header that does not end within its bound is none: its lines are rules.
    let filler = format!("{}\n", "#".repeat(1023)).repeat(1025);
    let late = DenyRules::read(format!("/ipns/a.example\n{filler}---\n/ipns/b.example\n").as_bytes(), "x").unwrap();
    assert_eq!((late.len(), late.unreadable().0.len()), (2, 1), "the line of dashes is no rule");
}

#[test]
fn half_a_million_double_hashes_answer_within_microseconds() {
    let lines: String = (0..500_000_u32)
        .map(|number| format!("//{}\n", hex::encode(sha2::Sha256::digest(number.to_be_bytes()))))
        .collect();
    let list = list(&lines);
    let cid: Cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".parse().unwrap();
    let started = tokio::time::Instant::now();
    for _ in 0..1000 {
        assert!(list.admits(&cid));
    }
    // A test build, and a busy machine: the bound is generous.
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
}

use sha2::Digest as _;

proptest! {
    #[test]
    fn any_bytes_are_read_and_any_rule_denies_what_it_names(
        noise in proptest::collection::vec(any::<u8>(), 0..400),
        path in "[a-z%*/ é]{0,12}",
    ) {
        let _ = DenyRules::read(&noise[..], "noise");
        let cid: Cid = "QmecDgNqCRirkc3Cjz9eoRBNwXGckJ9WvTdmY16HP88768".parse().unwrap();
        let segments: Vec<String> = path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
        let encoded: Vec<String> = segments.iter().map(|segment| {
            percent_encoding::utf8_percent_encode(segment, percent_encoding::NON_ALPHANUMERIC).to_string()
        }).collect();
        let list = list(&format!("/ipfs/{cid}/{}\n", encoded.join("/")));
        prop_assert!(list.denied(DenyRoot::Cid(&cid), &segments).is_some(), "{path}");
        let below: Vec<String> = segments.iter().cloned().chain(["x".to_owned()]).collect();
        prop_assert!(list.denied(DenyRoot::Cid(&cid), &below).is_some());
        prop_assert!(segments.is_empty() || list.denied_cid(&cid).is_none());
    }
}
