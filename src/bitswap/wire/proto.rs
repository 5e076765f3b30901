//! As much of the protobuf wire format as the messages use.

use crate::DecodeError;

/// Length of the longest varint.
pub(crate) const MAX_VARINT_BYTES: usize = 10;

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire types 1 and 5, which the schema does not use.
    Fixed,
}

impl<'a> Value<'a> {
    pub(super) const fn bytes(self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(DecodeError::Type(field)),
        }
    }

    pub(super) const fn number(self, field: &'static str) -> Result<u64, DecodeError> {
        match self {
            Self::Varint(number) => Ok(number),
            _ => Err(DecodeError::Type(field)),
        }
    }
}

/// The fields of a message, one after the other.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field; `Ok(None)` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        if key >> 3 == 0 {
            return Err(DecodeError::Field);
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(DecodeError::Field),
        };
        Ok(Some((key >> 3, value)))
    }

    /// A bare varint.
    pub(super) fn varint(&mut self) -> Result<u64, DecodeError> {
        let (number, len) = varint(self.rest)?.ok_or(DecodeError::Truncated)?;
        self.rest = &self.rest[len..];
        Ok(number)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], DecodeError> {
        let parts = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let (head, tail) = parts.ok_or(DecodeError::Truncated)?;
        self.rest = tail;
        Ok(head)
    }
}

/// The varint at the start of `bytes` and its length; `None` when it goes on behind their end.
pub(crate) fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, DecodeError> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().take(MAX_VARINT_BYTES).enumerate() {
        let low = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if at == MAX_VARINT_BYTES - 1 && *byte > 1 {
            return Err(DecodeError::Varint);
        }
        number |= low << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((number, at + 1)));
        }
    }
    if bytes.len() >= MAX_VARINT_BYTES { Err(DecodeError::Varint) } else { Ok(None) }
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Bytes of a varint.
pub(super) const fn varint_len(number: u64) -> usize {
    // One byte for each started group of seven bits, and one for zero.
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends a field of wire type 0.
pub(super) fn put_number(out: &mut Vec<u8>, field: u8, number: u64) {
    out.push(field << 3);
    put_varint(out, number);
}

/// Appends key and length of a field of wire type 2.
pub(super) fn put_head(out: &mut Vec<u8>, field: u8, len: usize) {
    out.push(field << 3 | 2);
    put_varint(out, len as u64);
}

/// Appends a field of wire type 2.
pub(super) fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    put_head(out, field, bytes.len());
    out.extend_from_slice(bytes);
}
