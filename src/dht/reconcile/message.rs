//! The parts of a negentropy v1 message.

use std::collections::BTreeSet;

use rustdht_core::RecordId;
use sha2::{Digest, Sha256};

use crate::{Error, Index, Key};

/// Bytes of a fingerprint.
const FINGERPRINT_BYTES: usize = 16;
/// The time of the bound behind everything.
const INFINITY: u64 = u64::MAX;

/// What a range holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Skip,
    Fingerprint,
    IdList,
}

/// An exclusive upper bound: a time and a prefix of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    seconds: u64,
    prefix: [u8; 32],
    prefix_len: usize,
}

impl Bound {
    pub(super) const START: Self = Self { seconds: 0, prefix: [0; 32], prefix_len: 0 };
    pub(super) const END: Self = Self { seconds: INFINITY, prefix: [0; 32], prefix_len: 0 };

    /// Just below `key`.
    pub(super) fn at(key: &Key) -> Self {
        Self { seconds: u64::from(key.seconds), prefix: key.record.0, prefix_len: 32 }
    }

    /// The shortest bound that separates two neighbours.
    pub(super) fn between(before: &Key, after: &Key) -> Self {
        if before.seconds != after.seconds {
            return Self { seconds: u64::from(after.seconds), ..Self::START };
        }
        let shared = before.record.0.iter().zip(&after.record.0).take_while(|(a, b)| a == b).count();
        let prefix_len = (shared + 1).min(32);
        let mut prefix = [0; 32];
        prefix[..prefix_len].copy_from_slice(&after.record.0[..prefix_len]);
        Self { seconds: u64::from(after.seconds), prefix, prefix_len }
    }

    /// How many keys lie below the bound.
    pub(super) fn position(&self, index: &Index) -> usize {
        match u32::try_from(self.seconds) {
            Ok(seconds) => index.rank(&Key { seconds, record: RecordId(self.prefix) }),
            Err(_) => index.len(),
        }
    }
}

/// The first 16 bytes of SHA-256 over the sum of the ids and their count.
pub(super) fn fingerprint(index: &Index, lower: usize, upper: usize) -> [u8; FINGERPRINT_BYTES] {
    let mut count = Vec::with_capacity(10);
    write_number(&mut count, (upper - lower) as u64);
    let digest = Sha256::new().chain_update(index.sum(lower, upper).to_bytes()).chain_update(count).finalize();
    let mut out = [0; FINGERPRINT_BYTES];
    out.copy_from_slice(&digest[..FINGERPRINT_BYTES]);
    out
}

/// Variable-length integers: seven bits a byte, most significant first.
fn write_number(out: &mut Vec<u8>, number: u64) {
    let groups = (64 - number.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let bits = (number >> (7 * group)) as u8 & 0x7f;
        out.push(if group == 0 { bits } else { bits | 0x80 });
    }
}

pub(super) struct Writer {
    pub(super) out: Vec<u8>,
    last_seconds: u64,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { out: vec![super::VERSION], last_seconds: 0 }
    }

    pub(super) fn number(&mut self, number: u64) {
        write_number(&mut self.out, number);
    }

    /// Times are written as differences plus one; 0 is infinity.
    pub(super) fn bound(&mut self, bound: Bound) {
        let written = if bound.seconds == INFINITY { 0 } else { bound.seconds.saturating_sub(self.last_seconds) + 1 };
        self.last_seconds = bound.seconds;
        self.number(written);
        self.number(bound.prefix_len as u64);
        self.out.extend_from_slice(&bound.prefix[..bound.prefix_len]);
    }

    pub(super) fn mode(&mut self, mode: Mode) {
        self.number(match mode {
            Mode::Skip => 0,
            Mode::Fingerprint => 1,
            Mode::IdList => 2,
        });
    }

    /// Writes the skip that the ranges before `until` amount to, if any.
    pub(super) fn end_skip(&mut self, skipping: &mut bool, until: Bound) {
        if std::mem::take(skipping) {
            self.bound(until);
            self.mode(Mode::Skip);
        }
    }
}

pub(super) struct Reader<'a> {
    rest: &'a [u8],
    last_seconds: u64,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Self {
        Self { rest, last_seconds: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or(Error::Reconcile("a message that ends early"))?;
        self.rest = tail;
        Ok(head)
    }

    fn number(&mut self) -> Result<u64, Error> {
        let mut number = 0_u64;
        loop {
            let byte = self.take(1)?[0];
            if number >> 57 != 0 {
                return Err(Error::Reconcile("an integer beyond 64 bits"));
            }
            number = number << 7 | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
    }

    pub(super) fn bound(&mut self) -> Result<Bound, Error> {
        let seconds = match self.number()? {
            0 => INFINITY,
            written => self.last_seconds.saturating_add(written - 1),
        };
        self.last_seconds = seconds;
        let prefix_len = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if prefix_len > 32 {
            return Err(Error::Reconcile("a bound with more than 32 bytes of id"));
        }
        let mut prefix = [0; 32];
        prefix[..prefix_len].copy_from_slice(self.take(prefix_len)?);
        Ok(Bound { seconds, prefix, prefix_len })
    }

    pub(super) fn mode(&mut self) -> Result<Mode, Error> {
        match self.number()? {
            0 => Ok(Mode::Skip),
            1 => Ok(Mode::Fingerprint),
            2 => Ok(Mode::IdList),
            _ => Err(Error::Reconcile("an unknown mode")),
        }
    }

    pub(super) fn fingerprint(&mut self) -> Result<[u8; FINGERPRINT_BYTES], Error> {
        let mut out = [0; FINGERPRINT_BYTES];
        out.copy_from_slice(self.take(FINGERPRINT_BYTES)?);
        Ok(out)
    }

    pub(super) fn ids(&mut self) -> Result<BTreeSet<RecordId>, Error> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        // The count comes from the peer: nothing is reserved that the message does not hold.
        if count > self.rest.len() / 32 {
            return Err(Error::Reconcile("a list longer than the message"));
        }
        let mut ids = BTreeSet::new();
        for _ in 0..count {
            let mut id = [0; 32];
            id.copy_from_slice(self.take(32)?);
            ids.insert(RecordId(id));
        }
        Ok(ids)
    }
}
