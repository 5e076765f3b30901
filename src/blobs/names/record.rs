//! The bytes of a record: a protobuf message with a DAG-CBOR document in it.

use rustdht_core::cbor::{self, Item};

use crate::protobuf::{Fields, Value, put_bytes, put_number};

/// The one kind of validity: until a time.
const EOL: u64 = 0;

/// Fields of the protobuf message, as they came.
#[derive(Debug, Default)]
pub(super) struct Entry<'a> {
    value: Option<&'a [u8]>,
    signature_v1: Option<&'a [u8]>,
    validity_type: u64,
    validity: Option<&'a [u8]>,
    sequence: u64,
    ttl_ns: u64,
    pub(super) public_key: Option<&'a [u8]>,
    pub(super) signature_v2: Option<&'a [u8]>,
    pub(super) data: Option<&'a [u8]>,
}

impl<'a> Entry<'a> {
    pub(super) fn read(record: &'a [u8]) -> Result<Self, &'static str> {
        let mut fields = Fields::new(record);
        let mut entry = Self::default();
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(value)) => entry.value = Some(value),
                (2, Value::Bytes(signature)) => entry.signature_v1 = Some(signature),
                (3, Value::Varint(kind)) => entry.validity_type = kind,
                (4, Value::Bytes(validity)) => entry.validity = Some(validity),
                (5, Value::Varint(sequence)) => entry.sequence = sequence,
                (6, Value::Varint(ttl_ns)) => entry.ttl_ns = ttl_ns,
                (7, Value::Bytes(key)) => entry.public_key = Some(key),
                (8, Value::Bytes(signature)) => entry.signature_v2 = Some(signature),
                (9, Value::Bytes(data)) => entry.data = Some(data),
                (1..=9, _) => return Err("a field of the wrong kind"),
                _ => {}
            }
        }
        Ok(entry)
    }

    /// Whether it has fields that older readers go by. One of version 2 alone has none (IPIP-428).
    pub(super) fn has_v1(&self) -> bool {
        let there = |field: Option<&[u8]>| field.is_some_and(|field| !field.is_empty());
        there(self.signature_v1) || there(self.value)
    }

    pub(super) fn says_the_same(&self, document: &Document<'_>) -> bool {
        self.value.unwrap_or_default() == document.value
            && self.validity.unwrap_or_default() == document.validity
            && self.validity_type == EOL
            && self.sequence == document.sequence
            && self.ttl_ns == document.ttl_ns
    }

    /// A record whose key stands in its name.
    pub(super) fn write(document: &Document<'_>, signature_v1: &[u8], signature_v2: &[u8], data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 * data.len() + 192);
        put_bytes(&mut out, 1, document.value);
        put_bytes(&mut out, 2, signature_v1);
        put_number(&mut out, 3, EOL);
        put_bytes(&mut out, 4, document.validity);
        put_number(&mut out, 5, document.sequence);
        put_number(&mut out, 6, document.ttl_ns);
        put_bytes(&mut out, 8, signature_v2);
        put_bytes(&mut out, 9, data);
        out
    }
}

/// What signature V2 is over.
#[derive(Debug)]
pub(super) struct Document<'a> {
    pub(super) value: &'a [u8],
    /// RFC 3339.
    pub(super) validity: &'a [u8],
    pub(super) sequence: u64,
    pub(super) ttl_ns: u64,
}

impl<'a> Document<'a> {
    pub(super) fn read(data: &'a [u8]) -> Result<Self, &'static str> {
        let entries = cbor::decode_map(data).map_err(|_| "its document is no map of strict DAG-CBOR")?;
        let find = |name: &str| entries.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
        let bytes = |name, missing| match find(name) {
            Some(Item::Bytes(bytes)) => Ok(*bytes),
            _ => Err(missing),
        };
        let number = |name, missing| match find(name) {
            Some(Item::Uint(number)) => Ok(*number),
            _ => Err(missing),
        };
        if number("ValidityType", "its document has no ValidityType")? != EOL {
            return Err("a kind of validity that is not known here");
        }
        Ok(Self {
            value: bytes("Value", "its document has no Value")?,
            validity: bytes("Validity", "its document has no Validity")?,
            sequence: number("Sequence", "its document has no Sequence")?,
            // A cache time is a hint: a record without one is none the worse.
            ttl_ns: if find("TTL").is_none() { 0 } else { number("TTL", "its TTL is no number")? },
        })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.value.len() + 112);
        cbor::map(&mut out, 5);
        cbor::text(&mut out, "TTL");
        cbor::uint(&mut out, self.ttl_ns);
        cbor::text(&mut out, "Value");
        cbor::bytes(&mut out, self.value);
        cbor::text(&mut out, "Sequence");
        cbor::uint(&mut out, self.sequence);
        cbor::text(&mut out, "Validity");
        cbor::bytes(&mut out, self.validity);
        cbor::text(&mut out, "ValidityType");
        cbor::uint(&mut out, EOL);
        out
    }
}
