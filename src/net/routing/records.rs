//! What this node keeps for a DHT: records of names that were checked, and who provides what.
//!
//! In memory, since the DHT answers from it in the swarm's task; provider records are written to the store as they come
//! ([`super::Log`]), records of names are rows of the node.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
};

use libp2p::{
    Multiaddr, PeerId,
    kad::{
        ProviderRecord, Record, RecordKey as Key,
        store::{Error, RecordStore, Result},
    },
};
use rustdht_core::ports::{IpnsName, MAX_PEER_ADDRESSES, NameRecord};

use crate::limits::{MAX_KEY_PROVIDERS, MAX_NAME_BYTES_KEPT, MAX_PROVIDER_RECORDS, PROVIDER_RECORD_MS};

/// A provider record as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Bytes of the multihash.
    pub(crate) key: Vec<u8>,
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
    /// When it ends, in milliseconds since the epoch.
    pub(crate) until_ms: u64,
}

#[derive(Debug)]
struct Held {
    peer: PeerId,
    until_ms: u64,
}

#[derive(Debug)]
struct Place {
    addresses: Vec<Multiaddr>,
    records: u32,
}

struct Name {
    record: Record,
    sequence: u64,
    until_ms: u64,
}

/// See the [module](self).
pub(crate) struct Records {
    local: PeerId,
    now_ms: u64,
    names: HashMap<Key, Name>,
    /// By when they came; the oldest makes room.
    name_order: VecDeque<Key>,
    name_bytes: usize,
    providers: HashMap<Key, Vec<Held>>,
    places: HashMap<PeerId, Place>,
    /// By when they end; one that was renewed stands here twice, and counts by the record itself.
    order: VecDeque<(u64, Key, PeerId)>,
    count: usize,
}

impl Records {
    pub(crate) fn new(local: PeerId) -> Self {
        Self {
            local,
            now_ms: 0,
            names: HashMap::new(),
            name_order: VecDeque::new(),
            name_bytes: 0,
            providers: HashMap::new(),
            places: HashMap::new(),
            order: VecDeque::new(),
            count: 0,
        }
    }

    /// Lets go of what is over.
    pub(crate) fn advance(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        while self.order.front().is_some_and(|(until_ms, ..)| *until_ms <= now_ms) {
            self.drop_oldest();
        }
    }

    /// Provider records held.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// A record of a name that was checked; one that is newer stays.
    pub(crate) fn put_name(&mut self, name: &IpnsName, record: &NameRecord) {
        let key = Key::from(name.routing_key());
        let newer = |held: &Name| (held.sequence, held.until_ms) > (record.sequence, record.until_ms);
        if record.until_ms <= self.now_ms || self.names.get(&key).is_some_and(newer) {
            return;
        }
        let bytes = record.bytes.len();
        let name = Name {
            record: Record::new(key.clone(), record.bytes.to_vec()),
            sequence: record.sequence,
            until_ms: record.until_ms,
        };
        match self.names.insert(key.clone(), name) {
            Some(before) => self.name_bytes -= before.record.value.len(),
            None => self.name_order.push_back(key),
        }
        self.name_bytes += bytes;
        while self.name_bytes > MAX_NAME_BYTES_KEPT
            && let Some(oldest) = self.name_order.pop_front()
        {
            if let Some(gone) = self.names.remove(&oldest) {
                self.name_bytes -= gone.record.value.len();
            }
        }
    }

    /// A record that came from its provider just now.
    pub(crate) fn provided_by(&mut self, record: ProviderRecord) -> Option<Kept> {
        let kept = Kept {
            key: record.key.to_vec(),
            peer: record.provider,
            addresses: record.addresses.into_iter().take(MAX_PEER_ADDRESSES).collect(),
            until_ms: self.now_ms + PROVIDER_RECORD_MS,
        };
        self.keep(kept.clone()).then_some(kept)
    }

    /// Keeps a provider record. `false`: it is this node's own, or none for a block.
    pub(crate) fn keep(&mut self, kept: Kept) -> bool {
        let Kept { key, peer, addresses, until_ms } = kept;
        if peer == self.local || !is_multihash(&key) || until_ms <= self.now_ms {
            return false;
        }
        let key = Key::from(key);
        let held = self.providers.entry(key.clone()).or_default();
        let place = self.places.entry(peer).or_insert(Place { addresses: Vec::new(), records: 0 });
        if !addresses.is_empty() {
            place.addresses = addresses;
        }
        match held.iter_mut().find(|held| held.peer == peer) {
            Some(held) => held.until_ms = held.until_ms.max(until_ms),
            None => {
                held.push(Held { peer, until_ms });
                place.records += 1;
                self.count += 1;
            }
        }
        let oldest = held.iter().min_by_key(|held| held.until_ms).map(|held| held.peer);
        let crowded = held.len() > MAX_KEY_PROVIDERS;
        self.order.push_back((until_ms, key.clone(), peer));
        if crowded && let Some(oldest) = oldest {
            self.forget(&key, &oldest);
        }
        while self.count > MAX_PROVIDER_RECORDS || self.order.len() > 2 * MAX_PROVIDER_RECORDS {
            self.drop_oldest();
        }
        true
    }

    /// Drops the record that ends first, unless it was renewed.
    fn drop_oldest(&mut self) {
        let Some((until_ms, key, peer)) = self.order.pop_front() else { return };
        let same = |held: &Held| held.peer == peer && held.until_ms == until_ms;
        if self.providers.get(&key).is_some_and(|held| held.iter().any(same)) {
            self.forget(&key, &peer);
        }
    }

    fn forget(&mut self, key: &Key, peer: &PeerId) {
        let Some(held) = self.providers.get_mut(key) else { return };
        let before = held.len();
        held.retain(|held| held.peer != *peer);
        if held.len() == before {
            return;
        }
        if held.is_empty() {
            self.providers.remove(key);
        }
        self.count -= 1;
        if let Some(place) = self.places.get_mut(peer) {
            place.records -= 1;
            if place.records == 0 {
                self.places.remove(peer);
            }
        }
    }
}

fn is_multihash(key: &[u8]) -> bool {
    cid::multihash::Multihash::<64>::from_bytes(key).is_ok()
}

impl RecordStore for Records {
    type RecordsIter<'a> = std::vec::IntoIter<Cow<'a, Record>>;
    type ProvidedIter<'a> = std::iter::Empty<Cow<'a, ProviderRecord>>;

    fn get(&self, key: &Key) -> Option<Cow<'_, Record>> {
        self.names.get(key).filter(|name| name.until_ms > self.now_ms).map(|name| Cow::Borrowed(&name.record))
    }

    /// What was not checked does not come in by this door.
    fn put(&mut self, record: Record) -> Result<()> {
        if self.names.get(&record.key).is_some_and(|name| name.record.value == record.value) {
            Ok(())
        } else {
            Err(Error::MaxRecords)
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(gone) = self.names.remove(key) {
            self.name_bytes -= gone.record.value.len();
            self.name_order.retain(|known| known != key);
        }
    }

    fn records(&self) -> Self::RecordsIter<'_> {
        let records: Vec<_> = self.names.values().map(|name| Cow::Borrowed(&name.record)).collect();
        records.into_iter()
    }

    fn add_provider(&mut self, record: ProviderRecord) -> Result<()> {
        if self.provided_by(record).is_some() { Ok(()) } else { Err(Error::MaxProvidedKeys) }
    }

    fn providers(&self, key: &Key) -> Vec<ProviderRecord> {
        let held = self.providers.get(key).into_iter().flatten().filter(|held| held.until_ms > self.now_ms);
        held.map(|held| {
            let addresses = self.places.get(&held.peer).map(|place| place.addresses.clone()).unwrap_or_default();
            ProviderRecord::new(key.clone(), held.peer, addresses)
        })
        .collect()
    }

    /// What this node provides it announces by a schedule of its own.
    fn provided(&self) -> Self::ProvidedIter<'_> {
        std::iter::empty()
    }

    fn remove_provider(&mut self, key: &Key, peer: &PeerId) {
        self.forget(key, peer);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn peer(number: u32) -> PeerId {
        let mut bytes = [0; 34];
        bytes[..2].copy_from_slice(&[0x12, 32]);
        bytes[2..6].copy_from_slice(&number.to_be_bytes());
        PeerId::from_bytes(&bytes).unwrap()
    }

    fn kept(key: u32, by: u32, until_ms: u64) -> Kept {
        let address = format!("/ip4/192.0.2.1/tcp/{}", by % 60_000 + 1).parse().unwrap();
        Kept { key: peer(key).to_bytes(), peer: peer(by), addresses: vec![address], until_ms }
    }

    fn of(records: &Records, key: u32) -> Vec<PeerId> {
        let mut peers: Vec<PeerId> =
            records.providers(&Key::from(peer(key).to_bytes())).into_iter().map(|record| record.provider).collect();
        peers.sort_unstable();
        peers
    }

    #[test]
    fn provider_records_end_and_are_renewed() {
        let mut records = Records::new(peer(0));
        assert!(records.keep(kept(1, 5, 100)) && records.keep(kept(1, 6, 110)));
        assert!(!records.keep(kept(1, 0, 100)), "our own");
        assert!(!records.keep(Kept { key: b"not a multihash".to_vec(), ..kept(1, 5, 100) }));
        assert_eq!(of(&records, 1), [peer(5), peer(6)]);
        records.advance(90);
        records.keep(kept(1, 5, 200));
        records.advance(100);
        assert_eq!((of(&records, 1), records.len()), (vec![peer(5), peer(6)], 2), "it was renewed");
        records.advance(110);
        assert_eq!(of(&records, 1), [peer(5)]);
        let found = records.providers(&Key::from(peer(1).to_bytes()));
        assert_eq!(found[0].addresses, ["/ip4/192.0.2.1/tcp/6".parse().unwrap()]);
        records.advance(200);
        assert!(of(&records, 1).is_empty() && records.len() == 0 && records.places.is_empty());
        assert!(!records.keep(kept(1, 5, 200)), "over already");
    }

    #[test]
    fn provider_records_are_bounded() {
        let mut records = Records::new(peer(0));
        for by in 1..=2 * MAX_KEY_PROVIDERS as u32 {
            records.keep(kept(1, by, u64::from(by)));
        }
        assert_eq!(of(&records, 1).len(), MAX_KEY_PROVIDERS);
        assert_eq!(of(&records, 1)[0], peer(MAX_KEY_PROVIDERS as u32 + 1), "the newest stay");
        for key in 0..MAX_PROVIDER_RECORDS as u32 + 10 {
            records.keep(kept(key + 10, 3, 1_000 + u64::from(key)));
        }
        assert_eq!(records.len(), MAX_PROVIDER_RECORDS);
        // One that renews a record for ever fills nothing.
        for round in 0..3 * MAX_PROVIDER_RECORDS as u64 {
            records.keep(kept(10 + MAX_PROVIDER_RECORDS as u32, 3, 2_000_000 + round));
        }
        assert!(records.order.len() <= 2 * MAX_PROVIDER_RECORDS && records.len() <= MAX_PROVIDER_RECORDS);
    }

    fn record(sequence: u64, until_ms: u64, len: usize) -> NameRecord {
        NameRecord { bytes: Bytes::from(vec![7; len]), value: String::new(), ttl_s: 0, sequence, until_ms }
    }

    #[test]
    fn only_checked_records_of_names_are_kept_and_the_newest_wins() {
        let mut records = Records::new(peer(0));
        let name = IpnsName::of_ed25519(&[1; 32]);
        let key = Key::from(name.routing_key());
        assert!(records.put(Record::new(key.clone(), vec![1])).is_err(), "not by this door");
        records.put_name(&name, &record(2, 100, 3));
        records.put_name(&name, &record(1, 900, 4));
        assert_eq!(records.get(&key).unwrap().value.len(), 3);
        records.put_name(&name, &record(2, 200, 5));
        assert_eq!(records.get(&key).unwrap().value.len(), 5);
        records.advance(200);
        assert!(records.get(&key).is_none());
        for number in 0..4000_u32 {
            let mut public = [0; 32];
            public[..4].copy_from_slice(&number.to_be_bytes());
            records.put_name(&IpnsName::of_ed25519(&public), &record(0, 900, 10_000));
        }
        assert!(records.name_bytes <= MAX_NAME_BYTES_KEPT && records.names.len() == records.name_order.len());
    }
}
