//! The header of a CAR v1: dag-cbor of `{"roots": [...], "version": 1}`.

use cid::Cid;

use crate::{
    protobuf::put_varint,
    value::{Codec, Value},
};

/// Longest header in bytes: some 25,000 roots.
pub(super) const MAX_HEADER_BYTES: u64 = 1 << 20;

/// The pragma of a CAR v2, which reads as the header of a CAR v1 of version 2, behind its length.
pub(super) const PRAGMA: [u8; 10] = *b"\xa1gversion\x02";

/// The header with its length before it. Of one root: fields in the order of DAG-CBOR, the shorter key first.
pub(super) fn encode(root: &Cid) -> Vec<u8> {
    let cid = root.to_bytes();
    let mut header = b"\xa2eroots\x81\xd8\x2a".to_vec();
    // A CID is at most 2 x 10 + 64 bytes long, and stands behind a zero. Lengths are as short as they can be.
    match cid.len() as u8 + 1 {
        short @ ..24 => header.push(0x40 | short),
        long => header.extend([0x58, long]),
    }
    header.push(0);
    header.extend(cid);
    header.extend(b"gversion\x01");
    let mut out = Vec::with_capacity(header.len() + 2);
    put_varint(&mut out, header.len() as u64);
    out.extend(header);
    out
}

/// The roots that a header names.
///
/// # Errors
/// Why it is none.
pub(super) fn roots(header: &[u8]) -> Result<Vec<Cid>, String> {
    let value = Codec::Cbor { links: true }.read(header).map_err(|why| format!("a header with {why}"))?;
    let Value::Map(entries) = &value else { return Err("a header that is no map".into()) };
    // The reader of values reads over numbers: version 1 is the last byte of its field in every header.
    if !header.windows(9).any(|nine| nine == b"gversion\x01") {
        return Err("a header of a version other than 1 or 2".into());
    }
    match entries.iter().find(|(key, _)| key == "roots") {
        Some((_, Value::List(roots))) if roots.iter().all(|root| matches!(root, Value::Link(_))) => Ok(value.links()),
        Some(_) => Err("a header whose roots are no list of links".into()),
        None => Err("a header without roots".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::cid_of;

    #[test]
    fn headers_are_read_as_they_were_written() {
        for cid in [
            cid_of(0x70, b"x"),
            "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKtR6V".parse().unwrap(),
            "bafkqaaa".parse().unwrap(),
        ] {
            let out = encode(&cid);
            assert_eq!(usize::from(out[0]), out.len() - 1);
            assert_eq!(roots(&out[1..]), Ok(vec![cid]));
        }
        assert_eq!(roots(b"\xa2eroots\x80gversion\x01"), Ok(vec![]));
        // As Kubo writes the one of nothing.
        assert_eq!(encode(&"bafkqaaa".parse().unwrap()), *b"\x19\xa2eroots\x81\xd8\x2a\x45\0\x01\x55\0\0gversion\x01");
    }

    #[test]
    fn other_headers_say_why_not() {
        for (header, why) in [
            (&b"\xa2eroots\x80gversion\x03"[..], "a version other than"),
            (b"\xa1gversion\x01", "without roots"),
            (b"\xa2eroots\x81\x05gversion\x01", "no list of links"),
            (b"\x80", "no map"),
            (b"\xa2eroots\x80gversi", "a header with"),
        ] {
            let error = roots(header).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
