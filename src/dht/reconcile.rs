//! Range-based set reconciliation over an [`Index`], in negentropy v1 messages.
//!
//! A message is `61` and ranges in ascending order; a range is an upper bound and a skip, a fingerprint or a list of
//! ids. The side that began learns the differences; the other answers each message from its index alone and keeps
//! nothing. Bytes are the same as the reference implementation's over a sorted vector; ours reads fingerprints of
//! ranges from the tree's sums, bounds what one message may make it collect, and refuses malformed integers.
//!
//! Source: the negentropy protocol v1 text, and crate `negentropy` 0.5.3 for what the text leaves open.

mod message;

use std::{collections::BTreeSet, ops::ControlFlow};

use rustdht_core::RecordId;

use crate::{Error, Index, Key};
use message::{Bound, Mode, Reader, Writer, fingerprint};

/// Version byte of negentropy v1.
const VERSION: u8 = 0x61;
/// Into how many parts a differing range is split.
const BUCKETS: usize = 16;
/// A range of fewer ids is listed.
const LIST_BELOW: usize = 2 * BUCKETS;
/// Room that the reference implementation leaves below the frame size limit.
const FRAME_SLACK_BYTES: usize = 200;

/// What one message showed to the side that began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Ids that only this side holds.
    pub have: Vec<RecordId>,
    /// Ids that only the other side holds.
    pub need: Vec<RecordId>,
    /// The next message; `None`: every range is settled, or `cut`.
    pub next: Option<Vec<u8>>,
    /// The bound on ids was reached and the rest of the message left unread: begin anew once these are settled.
    pub cut: bool,
}

/// The first message of a round.
#[must_use]
pub fn begin(index: &Index) -> Vec<u8> {
    let mut writer = Writer::new();
    split(&mut writer, index, 0, index.len(), Bound::END);
    writer.out
}

/// The answer to a message, of at most `frame_bytes`.
///
/// # Errors
/// [`Error::Reconcile`] for a message that is not negentropy v1.
pub fn respond(index: &Index, message: &[u8], frame_bytes: usize) -> Result<Vec<u8>, Error> {
    let mut session = Session { index, frame_bytes, initiator: None };
    match message.first() {
        Some(&VERSION) => session.run(message),
        // The text: an unknown version is answered with the one spoken here.
        Some(0x60..=0x6f) => Ok(vec![VERSION]),
        _ => Err(Error::Reconcile("a message that begins with no version")),
    }
}

/// Reads an answer, collecting at most `max_ids` differences of either kind.
///
/// # Errors
/// [`Error::Reconcile`] for a message that is not negentropy v1.
pub fn compare(index: &Index, message: &[u8], frame_bytes: usize, max_ids: usize) -> Result<Differences, Error> {
    if message.first() != Some(&VERSION) {
        return Err(Error::Reconcile("an answer of another version"));
    }
    let collected = Collected { max_ids, ..Collected::default() };
    let mut session = Session { index, frame_bytes, initiator: Some(collected) };
    let out = session.run(message)?;
    let collected = session.initiator.unwrap_or_default();
    let next = (out.len() > 1 && !collected.cut).then_some(out);
    Ok(Differences { have: collected.have, need: collected.need, next, cut: collected.cut })
}

#[derive(Default)]
struct Collected {
    have: Vec<RecordId>,
    need: Vec<RecordId>,
    max_ids: usize,
    cut: bool,
}

struct Session<'a> {
    index: &'a Index,
    frame_bytes: usize,
    initiator: Option<Collected>,
}

impl Session<'_> {
    fn is_full(&self, len: usize) -> bool {
        len > self.frame_bytes.saturating_sub(FRAME_SLACK_BYTES)
    }

    fn run(&mut self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let size = self.index.len();
        let mut reader = Reader::new(&message[1..]);
        let mut writer = Writer::new();
        let mut lower = 0;
        let mut previous = Bound::START;
        let mut skipping = false;
        // What the written ranges cover; the rest is fingerprinted when the frame is full.
        let mut covered = 0;
        while !reader.is_empty() {
            let before = writer.out.len();
            let mut listed = false;
            let bound = reader.bound()?;
            let mut upper = bound.position(self.index).max(lower);
            match reader.mode()? {
                Mode::Skip => skipping = true,
                Mode::Fingerprint => {
                    if reader.fingerprint()? == fingerprint(self.index, lower, upper) {
                        skipping = true;
                    } else {
                        writer.end_skip(&mut skipping, previous);
                        split(&mut writer, self.index, lower, upper, bound);
                    }
                }
                Mode::IdList => {
                    let theirs = reader.ids()?;
                    match &mut self.initiator {
                        Some(collected) => {
                            skipping = true;
                            if !collected.take(self.index, lower, upper, theirs) {
                                return Ok(writer.out);
                            }
                        }
                        None => {
                            let room = self.frame_bytes.saturating_sub(FRAME_SLACK_BYTES).saturating_sub(before);
                            writer.end_skip(&mut skipping, previous);
                            upper = list(&mut writer, self.index, lower, upper, bound, room);
                            covered = upper;
                            listed = true;
                        }
                    }
                }
            }
            // A list is kept even if it filled the frame; ranges that did not fit are taken back.
            if self.is_full(writer.out.len()) {
                if !listed {
                    writer.out.truncate(before);
                }
                writer.bound(Bound::END);
                writer.mode(Mode::Fingerprint);
                writer.out.extend(fingerprint(self.index, covered, size));
                break;
            }
            if writer.out.len() > before {
                covered = upper;
            }
            lower = upper;
            previous = bound;
        }
        Ok(writer.out)
    }
}

impl Collected {
    /// Sorts the ids of a range into have and need; `false` when the bound is reached.
    fn take(&mut self, index: &Index, lower: usize, upper: usize, mut theirs: BTreeSet<RecordId>) -> bool {
        index.each(lower, upper, |key| {
            if !theirs.remove(&key.record) {
                if self.have.len() >= self.max_ids {
                    self.cut = true;
                    return ControlFlow::Break(());
                }
                self.have.push(key.record);
            }
            ControlFlow::Continue(())
        });
        if self.cut {
            return false;
        }
        let room = self.max_ids - self.need.len().min(self.max_ids);
        self.cut = theirs.len() > room;
        self.need.extend(theirs.into_iter().take(room));
        !self.cut
    }
}

/// Writes the range `lower..upper` up to `end`: its ids when they are few, else fingerprints of sixteen parts.
fn split(writer: &mut Writer, index: &Index, lower: usize, upper: usize, end: Bound) {
    let count = upper - lower;
    if count < LIST_BELOW {
        list(writer, index, lower, upper, end, usize::MAX);
        return;
    }
    let mut from = lower;
    for bucket in 0..BUCKETS {
        let to = from + count / BUCKETS + usize::from(bucket < count % BUCKETS);
        let bound = match (to < upper).then(|| (index.get(to - 1), index.get(to))) {
            Some((Some(before), Some(after))) => Bound::between(&before, &after),
            _ => end,
        };
        writer.bound(bound);
        writer.mode(Mode::Fingerprint);
        writer.out.extend(fingerprint(index, from, to));
        from = to;
    }
}

/// Writes ids of the range until `room` bytes are full; returns where it stopped, which is the end of the range
/// written.
fn list(writer: &mut Writer, index: &Index, lower: usize, upper: usize, end: Bound, room: usize) -> usize {
    let mut ids = Vec::new();
    let mut next = None;
    index.each(lower, upper, |key: Key| {
        if ids.len() > room {
            next = Some(key);
            return ControlFlow::Break(());
        }
        ids.extend(key.record.0);
        ControlFlow::Continue(())
    });
    let count = ids.len() / 32;
    writer.bound(next.map_or(end, |key| Bound::at(&key)));
    writer.mode(Mode::IdList);
    writer.number(count as u64);
    writer.out.extend(ids);
    lower + count
}

#[cfg(test)]
mod tests;
