//! Values in JSON: links `{"#":"soul"}`, blobs `{"/":"bafy..."}`, bytes `{"/":{"bytes":"..."}}`, ciphertext
//! `{"enc":{"/":{"bytes":"..."}}}`, everything else as plain scalars.

use std::fmt::Write as _;

use cid::Cid;
use data_encoding::BASE64_NOPAD;
use serde_json::value::RawValue;

use crate::{Code, MAX_VALUE_BYTES, Refusal, Value};

/// How integers that a double cannot hold are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ints {
    /// As JSON numbers.
    #[default]
    Numbers,
    /// Beyond 2^53 as decimal strings (`?ints=string`).
    Strings,
}

fn bad(detail: &'static str) -> Refusal {
    Refusal::new(Code::BadValue, detail)
}

/// Appends `text` as a JSON string, escaped as `JSON.stringify` does.
pub fn write_str(out: &mut String, text: &str) {
    out.push('"');
    let mut clean = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            8 => "\\b",
            12 => "\\f",
            0..=0x1f => "",
            _ => continue,
        };
        out.push_str(&text[clean..at]);
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
        clean = at + 1;
    }
    out.push_str(&text[clean..]);
    out.push('"');
}

/// Appends the JSON of a value. Floats keep a fraction or an exponent (`5.0`, `-0.0`, `1e21`), so they read back as
/// floats.
pub fn write(out: &mut String, value: &Value, ints: Ints) {
    const EXACT: i64 = 1 << 53;
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Int(number) if ints == Ints::Strings && !(-EXACT..=EXACT).contains(number) => {
            let _ = write!(out, "\"{number}\"");
        }
        Value::Int(number) => {
            let _ = write!(out, "{number}");
        }
        // ryu, not serde_json: the latter prints `1e+21`.
        Value::Float(number) => out.push_str(ryu::Buffer::new().format_finite(*number)),
        Value::Text(text) => write_str(out, text),
        Value::Bytes(bytes) => write_bytes(out, bytes),
        Value::Link(soul) => {
            out.push_str("{\"#\":");
            write_str(out, soul);
            out.push('}');
        }
        Value::Blob(cid) => {
            let _ = write!(out, "{{\"/\":\"{cid}\"}}");
        }
        Value::Enc(bytes) => {
            out.push_str("{\"enc\":");
            write_bytes(out, bytes);
            out.push('}');
        }
    }
}

fn write_bytes(out: &mut String, bytes: &[u8]) {
    out.push_str("{\"/\":{\"bytes\":\"");
    BASE64_NOPAD.encode_append(bytes, out);
    out.push_str("\"}}");
}

/// Reads a value. Numbers without fraction or exponent are integers (`-0` is the integer 0), all others floats.
///
/// # Errors
/// `bad_value` for an array, another object, an integer outside i64, a float that overflows, or bytes and CIDs in
/// another spelling; `too_large` above 64 KiB of DAG-CBOR; `malformed` for broken JSON.
pub fn read(raw: &RawValue) -> Result<Value, Refusal> {
    let value = read_unbounded(raw.get())?;
    let small = raw.get().len() < MAX_VALUE_BYTES / 2;
    if !small && value.to_cbor().len() > MAX_VALUE_BYTES {
        return Err(Refusal::new(Code::TooLarge, "a value is at most 64 KiB of DAG-CBOR; add larger ones as a blob"));
    }
    Ok(value)
}

fn read_unbounded(text: &str) -> Result<Value, Refusal> {
    let text = text.trim_ascii();
    match text.as_bytes().first() {
        Some(b'n') => Ok(Value::Null),
        Some(b't') => Ok(Value::Bool(true)),
        Some(b'f') => Ok(Value::Bool(false)),
        Some(b'"') => Ok(Value::Text(string(text)?.into())),
        Some(b'{') => read_object(text),
        Some(b'[') => Err(bad("a bare array is not a value: write {\"@set\":[...]} for a set")),
        Some(_) => read_number(text),
        None => Err(malformed("empty")),
    }
}

fn malformed(detail: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::Malformed, format!("not JSON: {detail}"))
}

fn string(text: &str) -> Result<String, Refusal> {
    serde_json::from_str(text).map_err(malformed)
}

fn read_number(text: &str) -> Result<Value, Refusal> {
    if text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        // The parser of JSON rounds some long numbers to a neighbour; this one is exact.
        let number: f64 = text.parse().unwrap_or(f64::INFINITY);
        if number.is_finite() { Ok(Value::Float(number)) } else { Err(bad("a number beyond the range of a double")) }
    } else {
        text.parse().map(Value::Int).map_err(|_| bad("an integer outside the 64-bit range"))
    }
}

/// The only key and its value, when the object has exactly one.
pub fn single_entry(text: &str) -> Result<Option<(String, Box<RawValue>)>, Refusal> {
    let mut entries: std::collections::BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(text).map_err(malformed)?;
    Ok(if entries.len() == 1 { entries.pop_first() } else { None })
}

fn read_object(text: &str) -> Result<Value, Refusal> {
    let hint = || {
        bad(
            "an object is a link {\"#\":soul}, a blob {\"/\":cid}, bytes {\"/\":{\"bytes\":...}} or a wrapped value such as {\"@set\":[...]}",
        )
    };
    let (key, inner) = single_entry(text)?.ok_or_else(hint)?;
    let inner = inner.get();
    match key.as_str() {
        "#" => Ok(Value::Link(
            string(inner).map_err(|_| hint())?.parse().map_err(|_| bad("a link names a well-formed soul"))?,
        )),
        "/" if inner.starts_with('"') => read_cid(&string(inner)?).map(Value::Blob),
        "/" => read_bytes(inner).map(Value::Bytes).ok_or_else(hint),
        "enc" => {
            let (slash, body) = single_entry(inner).ok().flatten().ok_or_else(hint)?;
            if slash != "/" {
                return Err(hint());
            }
            read_bytes(body.get())
                .map(Value::Enc)
                .ok_or_else(|| bad("enc holds {\"/\":{\"bytes\":base64 without padding}}"))
        }
        _ => Err(hint()),
    }
}

/// Reads a CID in its one text: v1 in lower-case base32, v0 in base58btc.
///
/// # Errors
/// `bad_value` for anything else.
pub fn read_cid(text: &str) -> Result<Cid, Refusal> {
    let cid = Cid::try_from(text).map_err(|_| bad("not a CID"))?;
    if cid.to_string() == text {
        Ok(cid)
    } else {
        Err(bad("a CID is written in lower-case base32, version 0 in base58btc"))
    }
}

fn read_bytes(text: &str) -> Option<bytes::Bytes> {
    let (key, body) = single_entry(text).ok()??;
    let encoded = string(body.get()).ok()?;
    if key != "bytes" {
        return None;
    }
    BASE64_NOPAD.decode(encoded.as_bytes()).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Value, Code> {
        let raw: Box<RawValue> = serde_json::from_str(text).map_err(|_| Code::Malformed)?;
        read(&raw).map_err(|refusal| refusal.code)
    }

    #[test]
    fn numbers_keep_their_type() {
        assert_eq!(parse("5"), Ok(Value::Int(5)));
        assert_eq!(parse("-0"), Ok(Value::Int(0)));
        assert!(matches!(parse("-0.0"), Ok(Value::Float(f)) if f.is_sign_negative()));
        assert_eq!(parse("5.0"), Ok(Value::Float(5.0)));
        assert_eq!(parse("1e2"), Ok(Value::Float(100.0)));
        assert_eq!(parse("9.999999999999999e+20"), Ok(Value::Float(999_999_999_999_999_900_000.0)), "not a neighbour");
        assert_eq!(parse("9223372036854775807"), Ok(Value::Int(i64::MAX)));
        assert_eq!(parse("9223372036854775808"), Err(Code::BadValue));
        assert_eq!(parse("1e999"), Err(Code::BadValue));
        assert_eq!(parse("NaN"), Err(Code::Malformed));
    }

    #[test]
    fn what_is_printed_reads_back() {
        for text in [
            "null",
            "true",
            "-7",
            "5.0",
            "1e21",
            "-0.0",
            "\"a\\u0000b\"",
            "{\"#\":\"x\"}",
            "{\"/\":{\"bytes\":\"AQI\"}}",
            "{\"/\":\"bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy\"}",
            "{\"/\":\"QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKtR6V\"}",
            "{\"enc\":{\"/\":{\"bytes\":\"AQI\"}}}",
        ] {
            let value = parse(text).unwrap();
            let mut printed = String::new();
            write(&mut printed, &value, Ints::Numbers);
            assert_eq!(printed, text);
            assert_eq!(Value::from_cbor(&value.to_cbor()).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn other_spellings_and_shapes_are_refused() {
        for text in [
            "[1]",
            "{}",
            "{\"a\":1}",
            "{\"#\":\"\"}",
            "{\"#\":1}",
            "{\"/\":\"x\"}",
            "{\"/\":{\"bytes\":\"AQI=\"}}",
            "{\"/\":{\"bytes\":\"AQJ\"}}",
            "{\"/\":\"BAFKREIGH2AKISCAILDCQABSYG3DFR6CHU3FGPREGIYMSCK7E7AQA4S52ZY\"}",
        ] {
            assert_eq!(parse(text), Err(Code::BadValue), "{text}");
        }
        assert_eq!(parse(&format!("\"{}\"", "x".repeat(MAX_VALUE_BYTES))), Err(Code::TooLarge));
        assert_eq!(parse(&format!("\"{}\"", "x".repeat(MAX_VALUE_BYTES - 5))).map(|_| ()), Ok(()));
    }
}
