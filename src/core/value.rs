//! Values: the closed list of what a field may hold, and their strict DAG-CBOR.

use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;

use crate::{Code, Refusal, Soul, cbor};

/// Greatest size of a value's DAG-CBOR in bytes; anything larger is a blob.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;

/// A link to the node of this soul.
pub type Link = Soul;

/// A value of a field or of an element of a collection.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Deletes where it is written; only entries of kind `null` hold it.
    Null,
    /// true or false.
    Bool(bool),
    /// A number written without fraction or exponent.
    Int(i64),
    /// Any other finite number.
    Float(f64),
    /// UTF-8; may hold U+0000.
    Text(Arc<str>),
    /// Raw bytes.
    Bytes(Bytes),
    /// A link to another node.
    Link(Link),
    /// A blob, by CID.
    Blob(Cid),
    /// Ciphertext of a private node.
    Enc(Bytes),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

fn bad(detail: &'static str) -> Refusal {
    Refusal::new(Code::BadValue, detail)
}

impl Value {
    /// Appends the canonical DAG-CBOR of the value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => cbor::null(out),
            Self::Bool(flag) => cbor::bool(out, *flag),
            Self::Int(number) => cbor::int(out, *number),
            Self::Float(number) => cbor::float(out, *number),
            Self::Text(text) => cbor::text(out, text),
            Self::Bytes(bytes) => cbor::bytes(out, bytes),
            Self::Link(soul) => {
                cbor::map(out, 1);
                cbor::text(out, "#");
                cbor::text(out, soul);
            }
            Self::Blob(cid) => cbor::cid(out, cid),
            Self::Enc(bytes) => {
                cbor::map(out, 1);
                cbor::text(out, "enc");
                cbor::bytes(out, bytes);
            }
        }
    }

    /// The canonical DAG-CBOR of the value.
    #[must_use]
    pub fn to_cbor(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        self.encode(&mut out);
        out
    }

    /// Reads strict DAG-CBOR.
    ///
    /// # Errors
    /// `malformed` when it is not strict DAG-CBOR, `bad_value` when it is not a value, `too_large` above 64 KiB.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, Refusal> {
        Self::from_item(&cbor::decode(bytes)?, bytes.len())
    }

    /// Interprets a decoded item whose encoding was `encoded_len` bytes long.
    ///
    /// # Errors
    /// `bad_value` when it is not a value, `too_large` above 64 KiB.
    pub fn from_item(item: &cbor::Item<'_>, encoded_len: usize) -> Result<Self, Refusal> {
        if encoded_len > MAX_VALUE_BYTES {
            return Err(Refusal::new(Code::TooLarge, "a value is at most 64 KiB of DAG-CBOR; larger ones are blobs"));
        }
        Ok(match item {
            cbor::Item::Null => Self::Null,
            cbor::Item::Bool(flag) => Self::Bool(*flag),
            cbor::Item::Uint(number) => Self::Int(i64::try_from(*number).map_err(|_| bad("an integer outside i64"))?),
            // -1 - n, so every n up to i64::MAX fits.
            cbor::Item::Nint(number) => {
                Self::Int(-1 - i64::try_from(*number).map_err(|_| bad("an integer outside i64"))?)
            }
            cbor::Item::Float(number) => Self::Float(*number),
            cbor::Item::Text(text) => Self::Text((*text).into()),
            cbor::Item::Bytes(bytes) => Self::Bytes(Bytes::copy_from_slice(bytes)),
            cbor::Item::Cid(cid) => Self::Blob(*cid),
            cbor::Item::Map(entries) => match entries.as_slice() {
                [("#", cbor::Item::Text(soul))] => {
                    Self::Link(soul.parse().map_err(|_| bad("a link names a well-formed soul"))?)
                }
                [("enc", cbor::Item::Bytes(bytes))] => Self::Enc(Bytes::copy_from_slice(bytes)),
                _ => return Err(bad("a map is only a link {\"#\": soul} or ciphertext {\"enc\": bytes}")),
            },
            cbor::Item::Array(_) => return Err(bad("an array is not a value")),
        })
    }
}
