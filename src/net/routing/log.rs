//! Provider records on disk: what came since the last row, as a row of its own, for as long as records last.
//!
//! A row for each record would be a transaction for each message of a stranger.

use std::collections::VecDeque;

use libp2p::{Multiaddr, PeerId};
use rustdht_core::cbor::{self, Item};

use super::{Kept, Which};
use crate::limits::{MAX_LOG_BYTES, MAX_LOG_ROW_RECORDS, PROVIDER_RECORD_MS};

const PREFIX: &[u8] = b"kad/";

/// A row to be written; without a value, to be removed.
pub(crate) type Row = (Vec<u8>, Option<Vec<u8>>);

/// The rows of one DHT.
#[derive(Debug)]
pub(crate) struct Log {
    which: Which,
    fresh: Vec<Kept>,
    /// Rows there are: when they were written, and their bytes.
    rows: VecDeque<(u64, usize)>,
    bytes: usize,
}

impl Log {
    pub(crate) const fn new(which: Which) -> Self {
        Self { which, fresh: Vec::new(), rows: VecDeque::new(), bytes: 0 }
    }

    /// Notes a record for the next row. Beyond the bound it is kept in memory only: its provider comes again in a day.
    pub(crate) fn note(&mut self, kept: Kept) {
        if self.fresh.len() < MAX_LOG_ROW_RECORDS {
            self.fresh.push(kept);
        }
    }

    /// The row of what came since the last time, and rows that nobody needs any more.
    pub(crate) fn flush(&mut self, now_ms: u64) -> Vec<Row> {
        let mut rows = Vec::new();
        if !self.fresh.is_empty() {
            let value = write(&std::mem::take(&mut self.fresh));
            // Two rows of one time would be one.
            let at_ms = self.rows.back().map_or(now_ms, |(last_ms, _)| now_ms.max(last_ms + 1));
            self.rows.push_back((at_ms, value.len()));
            self.bytes += value.len();
            rows.push((self.key(at_ms), Some(value)));
        }
        while let Some((at_ms, bytes)) = self.rows.front().copied() {
            if at_ms + PROVIDER_RECORD_MS > now_ms && self.bytes <= MAX_LOG_BYTES {
                break;
            }
            self.rows.pop_front();
            self.bytes -= bytes;
            rows.push((self.key(at_ms), None));
        }
        rows
    }

    fn key(&self, at_ms: u64) -> Vec<u8> {
        [PREFIX, self.which.name().as_bytes(), b"/", &at_ms.to_be_bytes()].concat()
    }

    /// The records of a row that was kept; none of other rows. Rows come in the order of their keys.
    pub(crate) fn restore(&mut self, key: &[u8], value: &[u8]) -> Vec<Kept> {
        let rest = key.strip_prefix(PREFIX).and_then(|key| key.strip_prefix(self.which.name().as_bytes()));
        let Some(at) = rest.and_then(|rest| rest.strip_prefix(b"/")).and_then(|at| at.try_into().ok()) else {
            return Vec::new();
        };
        self.rows.push_back((u64::from_be_bytes(at), value.len()));
        self.bytes += value.len();
        read(value).unwrap_or_default()
    }
}

/// DAG-CBOR: an array of `[key, peer, until, [address]]`.
fn write(records: &[Kept]) -> Vec<u8> {
    let mut out = Vec::with_capacity(records.len() * 160);
    cbor::array(&mut out, records.len());
    for record in records {
        cbor::array(&mut out, 4);
        cbor::bytes(&mut out, &record.key);
        cbor::bytes(&mut out, &record.peer.to_bytes());
        cbor::uint(&mut out, record.until_ms);
        cbor::array(&mut out, record.addresses.len());
        record.addresses.iter().for_each(|address| cbor::bytes(&mut out, address.as_ref()));
    }
    out
}

fn read(value: &[u8]) -> Option<Vec<Kept>> {
    let Item::Array(records) = cbor::decode(value).ok()? else { return None };
    let kept = records.iter().filter_map(|record| {
        let [key, peer, until_ms, addresses] = record.elements().ok()? else { return None };
        let addresses = addresses.elements().ok()?.iter();
        Some(Kept {
            key: key.bytes().ok()?.to_vec(),
            peer: PeerId::from_bytes(peer.bytes().ok()?).ok()?,
            until_ms: until_ms.uint().ok()?,
            addresses: addresses
                .filter_map(|address| Multiaddr::try_from(address.bytes().ok()?.to_vec()).ok())
                .collect(),
        })
    });
    Some(kept.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(number: u8) -> Kept {
        let peer = PeerId::from_bytes(&[&[0x12, 32][..], &[number; 32]].concat()).unwrap();
        let addresses = vec!["/ip4/192.0.2.1/tcp/1".parse().unwrap(), "/dns4/example.org/tcp/2".parse().unwrap()];
        Kept { key: peer.to_bytes(), peer, addresses, until_ms: 1_000 + u64::from(number) }
    }

    #[test]
    fn what_is_written_is_restored_and_ends() {
        let mut log = Log::new(Which::Public);
        assert_eq!(log.flush(5), []);
        log.note(kept(1));
        log.note(kept(2));
        let rows = log.flush(5);
        log.note(kept(3));
        let more = log.flush(5);
        assert_eq!((rows.len(), more.len()), (1, 1));
        assert_ne!(rows[0].0, more[0].0);
        let mut again = Log::new(Which::Public);
        let mut other = Log::new(Which::Network);
        for (key, value) in rows.iter().chain(&more) {
            assert_eq!(other.restore(key, value.as_deref().unwrap()), []);
        }
        assert_eq!(again.restore(&rows[0].0, rows[0].1.as_deref().unwrap()), [kept(1), kept(2)]);
        assert_eq!(again.restore(&more[0].0, more[0].1.as_deref().unwrap()), [kept(3)]);
        assert_eq!(again.restore(b"address/x", b"noise"), []);
        assert_eq!(again.flush(5 + PROVIDER_RECORD_MS - 1), []);
        assert_eq!(again.flush(5 + PROVIDER_RECORD_MS), [(rows[0].0.clone(), None)]);
        assert_eq!(again.flush(6 + PROVIDER_RECORD_MS), [(more[0].0.clone(), None)]);
    }

    #[test]
    fn rows_are_bounded() {
        let mut log = Log::new(Which::Network);
        let (mut rows, mut now_ms) = (0_i64, 0);
        while now_ms < 400 {
            now_ms += 1;
            (0..MAX_LOG_ROW_RECORDS + 5).for_each(|_| log.note(kept(1)));
            rows += log.flush(now_ms).iter().map(|(_, value)| if value.is_some() { 1 } else { -1 }).sum::<i64>();
            assert!(log.bytes <= MAX_LOG_BYTES);
            if rows < now_ms as i64 {
                return;
            }
        }
        panic!("no row was removed");
    }
}
