//! The primitives of lib0's encoding (the library under Yjs): variable-length integers, strings, buffers.
//!
//! Stricter than lib0: integers stand in their shortest form, so that what is read has one spelling.

use rustdht_core::{Code, Refusal};

/// Greatest integer that a double holds exactly, and so the greatest that Yjs can mean.
pub(super) const MAX_SAFE: u64 = (1 << 53) - 1;

pub(super) fn malformed(detail: &'static str) -> Refusal {
    Refusal::new(Code::BadValue, detail)
}

/// Reads from a byte string; never past its end.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn finish(&self) -> Result<(), Refusal> {
        if self.rest.is_empty() { Ok(()) } else { Err(malformed("a Yjs update has bytes behind its end")) }
    }

    pub(super) fn byte(&mut self) -> Result<u8, Refusal> {
        let (first, rest) = self.rest.split_first().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Refusal> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// At most 2^53 - 1, least significant seven bits first.
    pub(super) fn uint(&mut self) -> Result<u64, Refusal> {
        self.tail(0, 0)
    }

    fn tail(&mut self, mut value: u64, mut shift: u32) -> Result<u64, Refusal> {
        loop {
            let byte = self.byte()?;
            if shift >= 56 {
                return Err(malformed("a Yjs update holds an integer beyond 2^53"));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                if byte == 0 && shift > 0 {
                    return Err(malformed("a Yjs update holds an integer that is not in its shortest form"));
                }
                break;
            }
            shift += 7;
        }
        if value > MAX_SAFE { Err(malformed("a Yjs update holds an integer beyond 2^53")) } else { Ok(value) }
    }

    /// A signed integer: the sign is the second bit. Minus nought is nought.
    pub(super) fn int(&mut self) -> Result<i64, Refusal> {
        let first = self.byte()?;
        let low = u64::from(first & 0x3f);
        let size = if first & 0x80 == 0 { low } else { self.tail(low, 6)? };
        let size = i64::try_from(size).map_err(|_| malformed("a Yjs update holds an integer beyond 2^53"))?;
        Ok(if first & 0x40 == 0 { size } else { -size })
    }

    pub(super) fn uint32(&mut self) -> Result<u32, Refusal> {
        u32::try_from(self.uint()?).map_err(|_| malformed("a Yjs update holds a length beyond 32 bits"))
    }

    pub(super) fn buffer(&mut self) -> Result<&'a [u8], Refusal> {
        let len = self.uint()?;
        self.take(usize::try_from(len).map_err(|_| truncated())?)
    }

    /// UTF-8 without surrogates, as lib0's fatal decoder wants it.
    pub(super) fn text(&mut self) -> Result<&'a str, Refusal> {
        std::str::from_utf8(self.buffer()?).map_err(|_| malformed("a Yjs update holds a string that is not UTF-8"))
    }
}

fn truncated() -> Refusal {
    malformed("a Yjs update ends too early")
}

pub(super) fn write_uint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or_default());
}

pub(super) fn write_int(out: &mut Vec<u8>, value: i64) {
    let mut size = value.unsigned_abs();
    let sign = if value < 0 { 0x40 } else { 0 };
    let more = if size > 0x3f { 0x80 } else { 0 };
    out.push(u8::try_from(size & 0x3f).unwrap_or_default() | sign | more);
    size >>= 6;
    if more != 0 {
        write_uint(out, size);
    }
}

pub(super) fn write_buffer(out: &mut Vec<u8>, bytes: &[u8]) {
    write_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Length of [`write_uint`] in bytes.
pub(super) fn uint_len(value: u64) -> usize {
    (64 - value.max(1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_read_back() {
        for value in [0, 1, 63, 64, 127, 128, 8191, 8192, 1 << 32, MAX_SAFE] {
            let mut out = Vec::new();
            write_uint(&mut out, value);
            assert_eq!(out.len(), uint_len(value));
            assert_eq!(Reader::new(&out).uint(), Ok(value));
            for signed in [i64::try_from(value).unwrap(), -i64::try_from(value).unwrap()] {
                let mut out = Vec::new();
                write_int(&mut out, signed);
                let mut reader = Reader::new(&out);
                assert_eq!(reader.int(), Ok(signed));
                assert_eq!(reader.finish(), Ok(()));
            }
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for bytes in [&[0x80_u8, 0][..], &[0x80], &[0xff; 8], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f]] {
            assert!(Reader::new(bytes).uint().is_err(), "{bytes:?}");
        }
        assert!(Reader::new(&[2, 0xc3, 0x28]).text().is_err());
        assert!(Reader::new(&[3, 0xed, 0xa0, 0x80]).text().is_err(), "a surrogate");
        assert!(Reader::new(&[0xff, 0xff, 0x7f, 1]).buffer().is_err(), "longer than what is there");
    }
}
