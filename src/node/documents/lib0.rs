//! The variable-length encoding of lib0 that the Yjs protocols are written in: integers of 7 bits a byte, least
//! significant first, and byte strings behind their length.

/// A frame that is not what the protocol says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Greatest integer: JavaScript's greatest safe one, as lib0 checks it.
pub(crate) const MAX_UINT: u64 = (1 << 53) - 1;

/// Reads from the front of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn uint(&mut self) -> Result<u64, Malformed> {
        let (mut number, mut shift) = (0_u64, 0);
        loop {
            let (first, rest) = self.0.split_first().ok_or(Malformed)?;
            self.0 = rest;
            // Seven bits each: the eighth byte reaches bit 55, and a ninth cannot be needed.
            if shift > 49 {
                return Err(Malformed);
            }
            number |= u64::from(first & 0x7f) << shift;
            shift += 7;
            if first & 0x80 == 0 {
                return if number <= MAX_UINT { Ok(number) } else { Err(Malformed) };
            }
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.uint()?).map_err(|_| Malformed)?;
        if len > self.0.len() {
            return Err(Malformed);
        }
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }
}

/// Appends an integer.
pub(crate) fn uint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends bytes behind their length.
pub(crate) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_encodings() {
        // As lib0 writes them (encoding.writeVarUint).
        for (number, expected) in [
            (0_u64, vec![0]),
            (127, vec![127]),
            (128, vec![128, 1]),
            (300, vec![172, 2]),
            (4_294_967_295, vec![255, 255, 255, 255, 15]),
            (MAX_UINT, vec![255, 255, 255, 255, 255, 255, 255, 15]),
        ] {
            let mut out = Vec::new();
            uint(&mut out, number);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn what_is_too_large_or_cut_is_refused() {
        for bytes in [
            &[][..],
            &[0x80],
            &[255, 255, 255, 255, 255, 255, 255, 16],
            &[255, 255, 255, 255, 255, 255, 255, 255, 1],
            &[0x80; 40],
        ] {
            assert_eq!(Reader::new(bytes).uint(), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(Reader::new(&[2, 1]).bytes(), Err(Malformed));
        assert_eq!(Reader::new(&[1, 0xff]).text(), Err(Malformed));
    }

    proptest! {
        #[test]
        fn numbers_and_strings_come_back(number in 0..=MAX_UINT, text in ".{0,40}") {
            let mut out = Vec::new();
            uint(&mut out, number);
            bytes(&mut out, text.as_bytes());
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.uint(), Ok(number));
            prop_assert_eq!(reader.text(), Ok(text.as_str()));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut reader = Reader::new(&noise);
            while !reader.is_empty() && reader.bytes().is_ok() {}
        }
    }
}
