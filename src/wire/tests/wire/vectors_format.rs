//! Vectors of what commits are made of: souls, values, HAM order, keys.

use std::cmp::Ordering;

use rustdht_core::{PublicKey, Soul, Space, Value, ham, json, partition_of};
use rustdht_wire::check_key;
use serde_json::{Value as Json, json, value::RawValue};

use crate::{
    forge::*,
    signatures::small_order_encodings,
    vectors::{assert_file, value_json},
};

const CONTENT: &str = "#bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

#[test]
fn souls() {
    let root = Soul::of_key(author()).to_string();
    let long = "x".repeat(512);
    let good = [
        "a",
        "people/ada",
        "_",
        "_x",
        "a~b",
        "a/",
        "/",
        "~K".trim_start_matches('~'),
        "h\u{e9}",
        "he\u{301}",
        "\u{1f600}",
        "a b",
        "constructor",
        &root,
        &format!("{root}/blog"),
        &format!("{root}/blog/1"),
        &format!("{root}//"),
        CONTENT,
        "^https://example.com/",
        "^https://example.com/users/ada?x=1#f",
        "^http://127.0.0.1:8080/a",
        "_/x",
        "_/x/y",
        &long,
    ]
    .map(|text| {
        let soul: Soul = text.parse().unwrap();
        let space = match soul.space() {
            Space::Owned(_) => "owned",
            Space::Content(_) => "content",
            Space::Mirror => "mirror",
            Space::Local => "local",
            Space::Public => "public",
        };
        json!({ "soul": text, "space": space, "placement_key": soul.placement_key(), "partition": partition_of(&soul) })
    });
    let truncated = &root[..root.len() - 1];
    let bad = [
        "",
        "a\0b",
        "~",
        "~z",
        "~x/y",
        truncated,
        &format!("{root}/"),
        &format!("{root}x"),
        &root.replacen("~z", "~", 1),
        "#",
        "#abc",
        "#QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKtR6V",
        "#bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
        &format!("#{}", CONTENT[1..].to_ascii_uppercase()),
        &format!("{CONTENT}/x"),
        "^",
        "^example.com",
        "^ftp://example.com/",
        "^https://EXAMPLE.com/",
        "^https://example.com",
        "^https://example.com:443/",
        "^https://example.com/a b",
        "_/",
        &format!("{long}x"),
    ]
    .map(|text| json!({ "soul": text, "code": text.parse::<Soul>().unwrap_err().code.as_str() }));
    assert_file(
        "souls.json",
        "Souls with their space, placement key and partition of 4,096; those with `code` are refused with it.",
        &[&good[..], &bad].concat(),
    );
}

#[test]
fn keys() {
    let key_case = |why: &str, bytes: [u8; 32]| {
        let code = check_key(&PublicKey(bytes)).err().map(|refusal| refusal.code.as_str());
        let unit = if code.is_some() { Json::Null } else { Soul::of_key(PublicKey(bytes)).to_string().into() };
        json!({ "why": why, "key": hex::encode(bytes), "code": code, "soul": unit })
    };
    let mut cases = vec![key_case("the key of the seed 07 x 32", author().0)];
    let mixed = curve25519_dalek::constants::ED25519_BASEPOINT_POINT + curve25519_dalek::constants::EIGHT_TORSION[1];
    cases.push(key_case("a point of mixed order", mixed.compress().to_bytes()));
    assert!(cases.iter().all(|case| case["code"].is_null()));
    for bytes in small_order_encodings() {
        cases.push(key_case("small order", bytes));
    }
    for low in 0xed..=0xff {
        let mut bytes = [0xff; 32];
        bytes[0] = low;
        bytes[31] = 0x7f;
        cases.push(key_case("y is not below 2^255 - 19", bytes));
    }
    let not_points = (2..=255).map(|low| [low, 0, 0, 0].repeat(8)).filter_map(|bytes| {
        let bytes: [u8; 32] = bytes.try_into().ok()?;
        curve25519_dalek::edwards::CompressedEdwardsY(bytes).decompress().is_none().then_some(bytes)
    });
    for bytes in not_points.take(3) {
        cases.push(key_case("not a point", bytes));
    }
    assert!(cases[2..].iter().all(|case| case["code"] == "bad_key"));
    assert_file("keys.json", "Keys that may author and own, and those that are refused with `code`.", &cases);
}

fn read(text: &str) -> Result<Value, rustdht_core::Refusal> {
    let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
    json::read(&raw)
}

#[test]
fn values() {
    let good = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "23",
        "24",
        "255",
        "256",
        "65535",
        "65536",
        "4294967295",
        "4294967296",
        "-1",
        "-24",
        "-25",
        "-256",
        "-257",
        "9007199254740991",
        "9007199254740993",
        "9223372036854775807",
        "-9223372036854775808",
        "0.0",
        "-0.0",
        "5.0",
        "1.5",
        "1e2",
        "1e21",
        "1e-7",
        "5e-324",
        "1.7976931348623157e308",
        "0.1",
        "123456789012345680.0",
        "\"\"",
        "\"a\"",
        "\"\\u0000\"",
        "\"\\b\\t\\n\\f\\r\\\"\\\\\"",
        "\"\\u001f\\u007f\\u2028\"",
        "\"/\"",
        "\"\\ud83d\\ude00\"",
        "\"\u{ffff}\"",
        "{\"#\":\"people/ada\"}",
        "{\"/\":\"bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy\"}",
        "{\"/\":\"QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKtR6V\"}",
        "{\"/\":{\"bytes\":\"\"}}",
        "{\"/\":{\"bytes\":\"AQI\"}}",
        "{\"/\":{\"bytes\":\"+/8\"}}",
        "{\"enc\":{\"/\":{\"bytes\":\"AQI\"}}}",
    ]
    .map(|text| {
        let value = read(text).unwrap();
        let encoded = value.to_cbor();
        assert_eq!(Value::from_cbor(&encoded).unwrap(), value);
        json!({ "json": text, "cbor": hex::encode(encoded), "printed": value_json(&value), "ham": ham::text(&value) })
    });
    let bad_json = [
        "[1]",
        "{}",
        "{\"a\":1}",
        "{\"#\":\"\"}",
        "{\"#\":1}",
        "{\"#\":\"~x\"}",
        "{\"#\":\"a\",\"b\":1}",
        "{\"/\":\"x\"}",
        "{\"/\":{\"bytes\":\"AQI=\"}}",
        "{\"/\":{\"bytes\":\"AQJ\"}}",
        "{\"/\":{\"bytes\":\"-_8\"}}",
        "{\"/\":\"BAFKREIGH2AKISCAILDCQABSYG3DFR6CHU3FGPREGIYMSCK7E7AQA4S52ZY\"}",
        "{\"enc\":\"AQI\"}",
        "9223372036854775808",
        "-9223372036854775809",
        "1e999",
    ]
    .map(|text| json!({ "json": text, "code": read(text).unwrap_err().code.as_str() }));
    let bad_cbor = [
        ("an array", "80"),
        ("an empty map", "a0"),
        ("a map of another key", "a1616101"),
        ("an integer beyond i64", "1b8000000000000000"),
        ("an integer below i64", "3b8000000000000000"),
        ("a link to no soul", "a1612360"),
        ("enc without bytes", "a163656e6360"),
        ("a longer integer than needed", "1817"),
        ("a half float", "f93c00"),
        ("a single float", "fa3f800000"),
        ("not a number", "fb7ff8000000000000"),
        ("infinity", "fb7ff0000000000000"),
        ("undefined", "f7"),
        ("an indefinite text", "7f6161ff"),
        ("another tag", "c100"),
        ("tag 42 without the zero byte", "d82a4101"),
        ("a text that is not UTF-8", "62c328"),
        ("a surrogate", "63eda080"),
        ("bytes behind the item", "0000"),
        ("the end inside an item", "6261"),
        ("nothing", ""),
    ]
    .map(|(why, text)| {
        let refusal = Value::from_cbor(&hex::decode(text).unwrap()).unwrap_err();
        json!({ "why": why, "cbor": text, "code": refusal.code.as_str() })
    });
    assert_file(
        "values.json",
        "JSON as a client writes it, the DAG-CBOR of the value, the JSON that is printed for it, and its HAM text. Cases with \
         `code` are refused with it, from JSON or from DAG-CBOR.",
        &[&good[..], &bad_json, &bad_cbor].concat(),
    );
}

#[test]
fn ham_order() {
    let rising = [
        "\"\"",
        "\" \"",
        "\"1\"",
        "\"A\"",
        "\"a\"",
        "\"a\\u0000\"",
        "\"aa\"",
        "\"b\"",
        "\"\\n\"",
        "\"\u{e9}\"",
        "\"\u{1f600}\"",
        "\"\u{ffff}\"",
        "-1",
        "-1.5",
        "-2",
        "0",
        "1",
        "1e21",
        "1.5",
        "10",
        "2",
        "false",
        "null",
        "true",
        "{\"#\":\"a\"}",
        "{\"#\":\"b\"}",
        "{\"/\":\"bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy\"}",
        "{\"/\":{\"bytes\":\"AQI\"}}",
        "{\"enc\":{\"/\":{\"bytes\":\"AQI\"}}}",
    ];
    let mut values: Vec<(&str, Value)> = rising.iter().map(|text| (*text, read(text).unwrap())).collect();
    values.sort_by(|(_, a), (_, b)| ham::compare_values(a, b));
    let pair = |(a_json, a): &(&str, Value), (b_json, b): &(&str, Value)| {
        let order = match ham::compare_values(a, b) {
            Ordering::Less => "less",
            Ordering::Equal => "equal",
            Ordering::Greater => "greater",
        };
        json!({ "a": a_json, "b": b_json, "a_text": ham::text(a), "b_text": ham::text(b), "a_is": order })
    };
    let mut cases: Vec<Json> = values.windows(2).map(|two| pair(&two[0], &two[1])).collect();
    assert!(cases.iter().all(|case| case["a_is"] == "less"));
    for (a, b, order) in [
        ("5", "5.0", "equal"),
        ("0", "-0.0", "equal"),
        ("9007199254740992", "9007199254740993", "equal"),
        ("\"\u{10000}\"", "\"\u{ffff}\"", "less"),
        ("\"\u{e000}\"", "\"\u{10ffff}\"", "greater"),
        ("\"zzz\"", "0", "less"),
        ("{\"#\":\"a\"}", "true", "greater"),
        ("10", "9", "less"),
        ("1e-7", "1", "greater"),
    ] {
        let case = pair(&(a, read(a).unwrap()), &(b, read(b).unwrap()));
        assert_eq!(case["a_is"], order, "{a} {b}");
        cases.push(case);
    }
    assert_file(
        "ham.json",
        "Pairs of values at one stamp in one slot: `a` is less, equal or greater in HAM order. Equal ones are decided by entry id.",
        &cases,
    );
}
