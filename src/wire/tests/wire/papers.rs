//! Certificates by themselves: their form, and that two implementations write the same bytes.

use rustdht_core::{Code, Soul, Stamp, Value};
use rustdht_wire::{Certificate, Rights, SignedCertificate};

use crate::{
    delegation::{below, family, note},
    forge::*,
};

#[test]
fn a_certificate_that_is_made_here_is_the_one_of_the_text() {
    let (root, leaf) = family();
    let space: Soul = root_of(OWNER).parse().unwrap();
    let made = |issuer: u8, audience: u8, rights: Rights, parent| Certificate {
        net: NET,
        issuer: public(issuer),
        audience: public(audience),
        space: space.clone(),
        prefixes: vec![below("/blog").parse().unwrap(), below("/blog").parse().unwrap()],
        fields: Vec::new(),
        rights,
        not_before: Stamp::from_ms(NOW_MS - 3_600_000),
        not_after: Stamp::from_ms(NOW_MS + 3_600_000),
        parent,
        nonce: [0xc0; 16],
    };
    let rights = Rights { write: true, delegate: true, endorse: false };
    let signed = made(OWNER, 5, rights, None).sign(&key_of(OWNER)).unwrap();
    assert_eq!((signed.bytes()[..].to_vec(), *signed.signature()), (root.map.encode(), root.signature()));
    assert_eq!(signed.encode_pair(), root.pair());
    assert_eq!(SignedCertificate::decode_pair(&root.pair()), Ok(signed.clone()));
    let below = made(5, AUTHOR, Rights { delegate: false, ..rights }, Some(signed.id()));
    assert_eq!(below.sign(&key_of(5)).unwrap().encode_pair(), leaf.pair());
    assert_eq!(below.sign(&key_of(6)).unwrap_err().code, Code::BadKey);
    let bad = |change: &dyn Fn(&mut Certificate)| {
        let mut certificate = below.clone();
        change(&mut certificate);
        let refusal = certificate.sign(&key_of(5)).unwrap_err();
        (refusal.code.as_str(), refusal.field)
    };
    assert_eq!(bad(&|c| c.prefixes.clear()), ("out_of_range", "prefixes".into()));
    assert_eq!(bad(&|c| c.rights = Rights::default()), ("out_of_range", "rights".into()));
    assert_eq!(bad(&|c| c.not_after = c.not_before), ("out_of_range", "not_after".into()));
    assert_eq!(bad(&|c| c.space = note().parse().unwrap()), ("bad_soul", "space".into()));
    assert_eq!(bad(&|c| c.space = "a".parse().unwrap()), ("bad_soul", "space".into()));
    assert_eq!(bad(&|c| c.prefixes.push(root_of(8).parse().unwrap())).0, "bad_soul");
    assert_eq!(bad(&|c| c.audience = rustdht_core::PublicKey([0; 32])), ("bad_key", "audience".into()));
    let many = |c: &mut Certificate| c.fields = (0..65).map(|at| format!("{at}").parse().unwrap()).collect();
    assert_eq!(bad(&many), ("out_of_range", "fields".into()));
    let large = |c: &mut Certificate| c.fields = (0..40).map(|at| format!("{at:0250}").parse().unwrap()).collect();
    assert_eq!(bad(&large).0, "too_large");
}

/// What a certificate by itself is refused for; the names of the vectors.
pub(crate) fn malformed_papers() -> Vec<(&'static str, Paper, &'static str, &'static str)> {
    let good = Paper::new(OWNER, AUTHOR);
    let with = |key: &str, raw: Vec<u8>| good.clone().with(key, raw);
    let without = |key: &str| Paper { map: good.map.clone().without(key), ..good.clone() };
    let small = bytes(&[&[1][..], &[0; 31]].concat());
    let many: Vec<String> = (0..17).map(|at| below(&format!("/{at:02}"))).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let fields: Vec<String> = (0..65).map(|at| format!("{at:02}")).collect();
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    let long: Vec<String> = (0..40).map(|at| format!("{at:0250}")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let weak = Soul::of_key(rustdht_core::PublicKey([0; 32])).to_string();
    vec![
        ("another version", with("v", uint(2)), "malformed", "v"),
        ("an unknown key", with("z", uint(1)), "malformed", "z"),
        ("a key is missing", without("nonce"), "malformed", "nonce"),
        ("a nonce of 15 bytes", with("nonce", bytes(&[0; 15])), "malformed", "nonce"),
        ("a parent that is no certificate", with("parent", bytes(&[0; 32])), "malformed", "parent"),
        ("an issuer of small order", with("issuer", small.clone()), "bad_key", "issuer"),
        ("an audience of small order", with("audience", small), "bad_key", "audience"),
        ("an owner of small order", with("space", text(&weak)).prefixes(&[&weak]), "bad_key", "space"),
        ("a space below the owner's", with("space", text(&below("/blog"))), "bad_soul", "space"),
        ("a public space", with("space", text("a")), "bad_soul", "space"),
        ("a space that is no soul", with("space", text("~z")), "bad_soul", "space"),
        ("a prefix of another space", good.clone().prefixes(&[&root_of(8)]), "bad_soul", "prefixes.0"),
        ("a prefix that is no soul", good.clone().prefixes(&[&below("/")]), "bad_soul", "prefixes.0"),
        ("no prefix", with("prefixes", vec![0x80]), "out_of_range", "prefixes"),
        ("17 prefixes", good.clone().prefixes(&many), "out_of_range", "prefixes"),
        ("prefixes descend", good.clone().prefixes(&[&below("/b"), &below("/a")]), "malformed", "prefixes.1"),
        ("a prefix twice", good.clone().prefixes(&[&below("/a"), &below("/a")]), "malformed", "prefixes.1"),
        ("65 fields", with("fields", texts(&fields)), "out_of_range", "fields"),
        ("fields descend", with("fields", texts(&["b", "a"])), "malformed", "fields.1"),
        ("an empty field key", with("fields", texts(&[""])), "bad_field", "fields.0"),
        ("no right", with("rights", vec![0x80]), "out_of_range", "rights"),
        ("an unknown right", good.clone().rights(&["read"]), "malformed", "rights.0"),
        ("rights descend", good.clone().rights(&["write", "delegate"]), "malformed", "rights.1"),
        (
            "times that admit nothing",
            with("not_after", uint(Stamp::from_ms(NOW_MS - 3_600_000).0)),
            "out_of_range",
            "not_after",
        ),
        ("more than 8 KiB", with("fields", texts(&long)), "too_large", ""),
        ("signed by another", Paper { seed: 8, ..good.clone() }, "bad_signature", ""),
    ]
}

#[test]
fn a_certificate_by_itself() {
    assert!(SignedCertificate::decode_pair(&Paper::new(OWNER, AUTHOR).pair()).is_ok());
    for (why, paper, code, field) in malformed_papers() {
        let refusal = SignedCertificate::decode_pair(&paper.pair()).unwrap_err();
        assert_eq!((refusal.code.as_str(), refusal.field.as_str()), (code, field), "{why}");
    }
    let good = Paper::new(OWNER, AUTHOR);
    assert_eq!(SignedCertificate::decode(&good.map.encode(), &[0; 63]).unwrap_err().code, Code::Malformed);
    let value = Value::from("x");
    assert!(Certificate::decode(&value.to_cbor()).is_err());
}
