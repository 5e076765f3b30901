//! Where in the ciphertext which bytes of the plaintext are.

use std::ops::Range;

use super::{AUTHENTICATOR_BYTES, HEADER_BYTES, PrivateBlobError, ROOM_BYTES, SEGMENT_BYTES};

const SEGMENT: u64 = SEGMENT_BYTES as u64;
const ROOM: u64 = ROOM_BYTES as u64;
const HEADER: u64 = HEADER_BYTES as u64;
const AUTHENTICATOR: u64 = AUTHENTICATOR_BYTES as u64;

/// The size of the ciphertext of so much plaintext; `None` beyond 2^64.
#[must_use]
pub fn ciphertext_size(plaintext: u64) -> Option<u64> {
    let filled = plaintext.checked_add(HEADER)?;
    filled.checked_add(filled.div_ceil(ROOM).checked_mul(AUTHENTICATOR)?)
}

/// The size of the plaintext of so much ciphertext.
///
/// # Errors
/// [`PrivateBlobError::Length`] for a length that no private blob has: below that of an empty one, or with a last segment
/// that holds nothing.
pub fn plaintext_size(ciphertext: u64) -> Result<u64, PrivateBlobError> {
    let segments = segments(ciphertext);
    let overhead = segments.saturating_mul(AUTHENTICATOR).saturating_add(HEADER);
    let last = ciphertext - segments.saturating_sub(1) * SEGMENT;
    match ciphertext.checked_sub(overhead) {
        Some(size) if segments == 1 || last > AUTHENTICATOR => Ok(size),
        _ => Err(PrivateBlobError::Length(ciphertext)),
    }
}

pub(super) const fn segments(ciphertext: u64) -> u64 {
    ciphertext.div_ceil(SEGMENT)
}

/// What of the ciphertext is needed for a range of the plaintext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// These bytes of the ciphertext: whole segments. Of the first one the header is left out.
    pub ciphertext: Range<u64>,
    /// The first and behind the last segment.
    pub(super) segments: Range<u64>,
    /// How much of the first segment's plaintext is not wanted.
    pub(super) skip: usize,
    /// How much is wanted.
    pub(super) length: u64,
    /// The size of the ciphertext.
    pub(super) size: u64,
}

impl Plan {
    /// What a range of the plaintext needs of a ciphertext of `size` bytes. A range that goes beyond its end is cut there.
    ///
    /// # Errors
    /// [`PrivateBlobError::Length`].
    pub fn of(size: u64, range: Range<u64>) -> Result<Self, PrivateBlobError> {
        let plaintext = plaintext_size(size)?;
        let (start, end) = (range.start.min(plaintext), range.end.min(plaintext));
        let length = end.saturating_sub(start);
        // Counted with the header, which takes its part of the first segment, all segments have the same room.
        let (first, behind) =
            if length == 0 { (0, 0) } else { ((start + HEADER) / ROOM, (end + HEADER).div_ceil(ROOM)) };
        let at = |segment: u64| if segment == 0 { HEADER } else { segment * SEGMENT };
        let ciphertext = if length == 0 { 0..0 } else { at(first)..behind.saturating_mul(SEGMENT).min(size) };
        let begins = if first == 0 { HEADER } else { first * ROOM };
        let skip = if length == 0 { 0 } else { start + HEADER - begins };
        // Less than a segment.
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        Ok(Self { ciphertext, segments: first..behind, skip, length, size })
    }

    /// What the last segment needs. Until it opened nothing is known of where the file ends: whoever states the size of a
    /// file, or shows a part of it, opens this one first.
    ///
    /// # Errors
    /// [`PrivateBlobError::Length`].
    pub fn of_last(size: u64) -> Result<Self, PrivateBlobError> {
        let plaintext = plaintext_size(size)?;
        let last = segments(size) - 1;
        let start = if last == 0 { HEADER } else { last * SEGMENT };
        let begins = if last == 0 { 0 } else { last * ROOM - HEADER };
        let length = plaintext - begins;
        Ok(Self { ciphertext: start..size, segments: last..last + 1, skip: 0, length, size })
    }

    /// How many bytes of plaintext come out.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_at_the_edges_of_segments() {
        let first = ROOM - HEADER;
        for (plaintext, ciphertext) in [
            (0, 80),
            (1, 81),
            (first - 1, SEGMENT - 1),
            (first, SEGMENT),
            (first + 1, SEGMENT + 17),
            (first + ROOM, 2 * SEGMENT),
            (first + ROOM + 1, 2 * SEGMENT + 17),
        ] {
            assert_eq!(ciphertext_size(plaintext), Some(ciphertext));
            assert_eq!(plaintext_size(ciphertext), Ok(plaintext));
        }
        for none in [0, 1, 79, SEGMENT + 1, SEGMENT + 16, 2 * SEGMENT + 16] {
            assert_eq!(plaintext_size(none), Err(PrivateBlobError::Length(none)));
        }
        assert_eq!(ciphertext_size(u64::MAX), None);
        assert!(plaintext_size(u64::MAX).is_ok());
    }

    #[test]
    fn a_range_needs_its_segments_only() {
        let first = ROOM - HEADER;
        let size = ciphertext_size(first + ROOM + 100).unwrap();
        for (range, ciphertext, skip) in [
            (0..1, HEADER..SEGMENT, 0),
            (first - 1..first, HEADER..SEGMENT, first - 1),
            (first..first + 1, SEGMENT..2 * SEGMENT, 0),
            (first - 1..first + 1, HEADER..2 * SEGMENT, first - 1),
            (first + ROOM..first + ROOM + 100, 2 * SEGMENT..size, 0),
            (first + ROOM + 99..u64::MAX, 2 * SEGMENT..size, 99),
            (5..5, 0..0, 0),
            (u64::MAX..u64::MAX, 0..0, 0),
        ] {
            let plan = Plan::of(size, range.clone()).unwrap();
            assert_eq!((&plan.ciphertext, plan.skip as u64), (&ciphertext, skip), "{range:?}");
        }
        let last = Plan::of_last(size).unwrap();
        assert_eq!((last.ciphertext, last.segments, last.length), (2 * SEGMENT..size, 2..3, 100));
        let empty = Plan::of_last(80).unwrap();
        assert_eq!((empty.ciphertext, empty.segments, empty.length), (64..80, 0..1, 0));
    }

    proptest! {
        #[test]
        fn sizes_lead_back(plaintext in 0..u64::MAX / 2) {
            prop_assert_eq!(plaintext_size(ciphertext_size(plaintext).unwrap()), Ok(plaintext));
        }

        #[test]
        fn any_length_and_range_is_planned_or_refused(size in any::<u64>(), start in any::<u64>(), end in any::<u64>()) {
            let _ = Plan::of_last(size);
            if let Ok(plan) = Plan::of(size, start..end) {
                prop_assert!(plan.ciphertext.end <= size && plan.skip < SEGMENT_BYTES);
            }
        }
    }
}
