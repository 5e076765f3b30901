//! Where members were found, and when to try again.

use std::collections::{BTreeMap, BTreeSet};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use rustdht_core::cbor;
use rustdht_wire::protocol::{MAX_ADDRESS_BYTES, MAX_MEMBER_ADDRESSES};

use crate::{
    NetError,
    limits::{AVOID_MS, MAX_BOOK, MAX_SHUNNED, REDIAL_MS},
};

const ROW_PREFIX: &[u8] = b"address/";

#[derive(Debug, Default)]
struct Place {
    /// Most recently confirmed first.
    addresses: Vec<Multiaddr>,
    failures: usize,
    next_ms: u64,
    dialing: bool,
    /// Dialled although it is no known member: it was named by the operator.
    asked_for: bool,
}

impl Place {
    fn is_ready(&self, now_ms: u64) -> bool {
        !self.dialing && self.next_ms <= now_ms && !self.addresses.is_empty()
    }
}

/// The address book.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    places: BTreeMap<PeerId, Place>,
    /// Peers left alone until some time.
    shunned: BTreeMap<PeerId, u64>,
}

/// Splits `/.../p2p/<id>`.
///
/// # Errors
/// [`NetError::Address`] when it is no multiaddr or does not end in `/p2p/`.
pub(crate) fn with_peer(text: &str) -> Result<(PeerId, Multiaddr), NetError> {
    let bad = |reason: &str| NetError::Address { address: text.to_owned(), reason: reason.to_owned() };
    if text.len() > MAX_ADDRESS_BYTES {
        return Err(bad("longer than 256 bytes"));
    }
    let mut address: Multiaddr = text.parse().map_err(|error| bad(&format!("{error}")))?;
    match address.pop() {
        Some(Protocol::P2p(peer)) if !address.is_empty() => Ok((peer, address)),
        _ => Err(bad("it must end in /p2p/ and a PeerId")),
    }
}

/// Whether the address names this machine only.
pub(crate) fn is_loopback(address: &Multiaddr) -> bool {
    address.iter().any(|part| match part {
        Protocol::Ip4(ip) => ip.is_loopback(),
        Protocol::Ip6(ip) => ip.is_loopback(),
        _ => false,
    })
}

fn is_unspecified(address: &Multiaddr) -> bool {
    address.iter().any(|part| match part {
        Protocol::Ip4(ip) => ip.is_unspecified(),
        Protocol::Ip6(ip) => ip.is_unspecified(),
        _ => false,
    })
}

impl Addresses {
    /// Notes an address of a peer; `true` when it was not known.
    pub(crate) fn add(&mut self, peer: PeerId, mut address: Multiaddr) -> bool {
        if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
            address.pop();
        }
        if address.is_empty() || is_unspecified(&address) || address.to_string().len() > MAX_ADDRESS_BYTES {
            return false;
        }
        if !self.places.contains_key(&peer) && self.places.len() >= MAX_BOOK && !self.make_room() {
            return false;
        }
        let place = self.places.entry(peer).or_default();
        if place.addresses.contains(&address) {
            return false;
        }
        // A new one stands before those that have not worked for a while; of a full list the last makes room.
        let at = if place.failures == 0 { place.addresses.len().min(MAX_MEMBER_ADDRESSES - 1) } else { 0 };
        place.addresses.insert(at, address);
        place.addresses.truncate(MAX_MEMBER_ADDRESSES);
        true
    }

    /// Forgets who could not be reached most often of late; `false`: there is nobody like that.
    fn make_room(&mut self) -> bool {
        let failing = self.places.iter().filter(|(_, place)| place.failures > 0 && !place.asked_for && !place.dialing);
        let worst = failing.max_by_key(|(_, place)| place.failures).map(|(peer, _)| *peer);
        worst.is_some_and(|peer| self.places.remove(&peer).is_some())
    }

    /// As [`Addresses::add`], for a peer that the operator named.
    pub(crate) fn ask_for(&mut self, peer: PeerId, address: &Multiaddr) {
        self.add(peer, address.clone());
        self.prefer(&peer, address);
        self.shunned.remove(&peer);
        if let Some(place) = self.places.get_mut(&peer) {
            place.asked_for = true;
            // A dial of the addresses known before may take seconds to fail: this one does not wait for it.
            place.dialing = false;
            place.next_ms = 0;
        }
    }

    /// Whether the operator named it.
    pub(crate) fn is_asked_for(&self, peer: &PeerId) -> bool {
        self.places.get(peer).is_some_and(|place| place.asked_for)
    }

    fn prefer(&mut self, peer: &PeerId, address: &Multiaddr) {
        if let Some(place) = self.places.get_mut(peer)
            && let Some(at) = place.addresses.iter().position(|known| known == address)
        {
            place.addresses[..=at].rotate_right(1);
        }
    }

    /// A dialled address answered: it is tried first from now on.
    pub(crate) fn worked(&mut self, peer: PeerId, address: &Multiaddr) {
        self.add(peer, address.clone());
        let mut address = address.clone();
        if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
            address.pop();
        }
        self.prefer(&peer, &address);
    }

    /// A connection is open.
    pub(crate) fn connected(&mut self, peer: &PeerId) {
        if let Some(place) = self.places.get_mut(peer) {
            place.failures = 0;
            place.dialing = false;
        }
    }

    /// No connection is left; `jitter` is any random number.
    pub(crate) fn disconnected(&mut self, peer: &PeerId, now_ms: u64, jitter: u8) {
        self.later(peer, now_ms, jitter, 0);
    }

    /// A dial failed.
    pub(crate) fn failed(&mut self, peer: &PeerId, now_ms: u64, jitter: u8) {
        let failures = self.places.get(peer).map_or(0, |place| place.failures + 1);
        self.later(peer, now_ms, jitter, failures);
    }

    fn later(&mut self, peer: &PeerId, now_ms: u64, jitter: u8, failures: usize) {
        if let Some(place) = self.places.get_mut(peer) {
            let pause_ms = REDIAL_MS[failures.min(REDIAL_MS.len() - 1)];
            place.failures = failures;
            place.dialing = false;
            place.next_ms = now_ms + pause_ms + pause_ms * u64::from(jitter) / 1024;
        }
    }

    /// Retired peers to dial now: few at a time, the longest waiting first, and each at the longest pause.
    pub(crate) fn due_retired(
        &mut self,
        now_ms: u64,
        most: usize,
        retired: &BTreeSet<PeerId>,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let places = self.places.iter().filter(|(peer, _)| retired.contains(peer));
        let dialing = places.clone().filter(|(_, place)| place.dialing).count();
        let ready = places.filter(|(peer, place)| place.is_ready(now_ms) && !self.shunned.contains_key(peer));
        let mut ready: Vec<(u64, PeerId)> = ready.map(|(peer, place)| (place.next_ms, *peer)).collect();
        ready.sort_unstable();
        let mut due = Vec::new();
        for (_, peer) in ready.into_iter().take(most.saturating_sub(dialing)) {
            if let Some(place) = self.places.get_mut(&peer) {
                place.dialing = true;
                place.failures = place.failures.max(REDIAL_MS.len());
                due.push((peer, place.addresses.clone()));
            }
        }
        due
    }

    /// Peers to dial now, with their addresses; they count as being dialled from here on.
    pub(crate) fn due(&mut self, now_ms: u64, most: usize, wanted: &BTreeSet<PeerId>) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.shunned.retain(|_, until_ms| *until_ms > now_ms);
        let shunned = &self.shunned;
        let dialing = self.places.values().filter(|place| place.dialing).count();
        let due = self.places.iter_mut().filter(|(peer, place)| {
            let meant = place.asked_for || wanted.contains(peer);
            meant && place.is_ready(now_ms) && !shunned.contains_key(peer)
        });
        due.take(most.saturating_sub(dialing))
            .map(|(peer, place)| {
                place.dialing = true;
                (*peer, place.addresses.clone())
            })
            .collect()
    }

    /// Leaves a peer alone for a while and forgets where it is.
    pub(crate) fn shun(&mut self, peer: PeerId, now_ms: u64) {
        if let Some(place) = self.places.get_mut(&peer) {
            if place.asked_for {
                place.dialing = false;
            } else {
                self.places.remove(&peer);
            }
        }
        if self.shunned.len() >= MAX_SHUNNED
            && let Some(first) = self.shunned.iter().min_by_key(|(_, until_ms)| **until_ms).map(|(peer, _)| *peer)
        {
            self.shunned.remove(&first);
        }
        self.shunned.insert(peer, now_ms + AVOID_MS);
    }

    pub(crate) fn is_shunned(&self, peer: &PeerId, now_ms: u64) -> bool {
        self.shunned.get(peer).is_some_and(|until_ms| *until_ms > now_ms)
    }

    /// The addresses of a peer.
    pub(crate) fn of(&self, peer: &PeerId) -> &[Multiaddr] {
        self.places.get(peer).map_or(&[], |place| &place.addresses)
    }

    /// The row that keeps the addresses of a peer: a DAG-CBOR array of texts.
    pub(crate) fn row(&self, peer: &PeerId) -> (Vec<u8>, Option<Vec<u8>>) {
        let addresses = self.of(peer);
        let mut value = Vec::new();
        cbor::array(&mut value, addresses.len());
        addresses.iter().for_each(|address| cbor::text(&mut value, &address.to_string()));
        ([ROW_PREFIX, &peer.to_bytes()].concat(), Some(value).filter(|_| !addresses.is_empty()))
    }

    /// Takes a row that was kept; rows of other owners and broken ones are left alone.
    pub(crate) fn restore(&mut self, key: &[u8], value: &[u8]) {
        let Some(Ok(peer)) = key.strip_prefix(ROW_PREFIX).map(PeerId::from_bytes) else { return };
        if let Ok(cbor::Item::Array(texts)) = cbor::decode(value) {
            for address in texts.iter().filter_map(|text| text.text().ok()?.parse().ok()) {
                self.add(peer, address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(byte: u8) -> PeerId {
        libp2p::identity::Keypair::ed25519_from_bytes([byte; 32]).unwrap().public().to_peer_id()
    }

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
    }

    #[test]
    fn a_lost_member_is_tried_sooner_than_a_silent_one() {
        let mut book = Addresses::default();
        book.add(peer(1), address(1));
        let wanted = BTreeSet::from([peer(1)]);
        assert_eq!(book.due(0, 16, &BTreeSet::new()), []);
        assert_eq!(book.due(0, 16, &wanted).len(), 1);
        assert_eq!(book.due(60_000, 16, &wanted), [], "it is being dialled");
        book.connected(&peer(1));
        book.disconnected(&peer(1), 1_000, 0);
        assert_eq!(book.due(1_249, 16, &wanted), []);
        assert_eq!(book.due(1_250, 16, &wanted).len(), 1);
        let mut now_ms = 2_000;
        for pause_ms in [1_000, 2_000, 5_000, 10_000, 10_000] {
            book.failed(&peer(1), now_ms, 255);
            assert_eq!(book.due(now_ms + pause_ms - 1, 16, &wanted), []);
            now_ms += pause_ms * 5 / 4;
            assert_eq!(book.due(now_ms, 16, &wanted).len(), 1);
        }
    }

    #[test]
    fn the_retired_are_tried_few_at_a_time_and_seldom() {
        let mut book = Addresses::default();
        let retired: BTreeSet<PeerId> = (1..4).map(peer).collect();
        retired.iter().for_each(|peer| assert!(book.add(*peer, address(1))));
        book.ask_for(peer(9), &address(9));
        let due = book.due_retired(0, 2, &retired);
        assert_eq!(due.len(), 2);
        assert_eq!(book.due_retired(0, 2, &retired), [], "two are being dialled");
        book.failed(&due[0].0, 1_000, 0);
        assert!(book.due_retired(1_000, 2, &retired).iter().all(|(peer, _)| *peer != due[0].0));
        book.failed(&due[1].0, 1_000, 0);
        let slowest_ms = REDIAL_MS[REDIAL_MS.len() - 1];
        assert_eq!(book.due_retired(1_000 + slowest_ms - 1, 2, &retired), []);
        assert_eq!(book.due_retired(1_000 + slowest_ms, 2, &retired).len(), 1);
        assert_eq!(book.due(0, 16, &BTreeSet::new()).len(), 1, "the one that the operator named is not among them");
    }

    #[test]
    fn of_a_full_book_the_one_that_fails_most_makes_room() {
        let mut book = Addresses::default();
        let numbered = |number: u32| {
            let mut bytes = [0; 34];
            bytes[..2].copy_from_slice(&[0x12, 32]);
            bytes[2..6].copy_from_slice(&number.to_be_bytes());
            PeerId::from_bytes(&bytes).unwrap()
        };
        (0..MAX_BOOK as u32).for_each(|number| assert!(book.add(numbered(number), address(1))));
        assert!(!book.add(peer(1), address(1)), "all of them may work");
        book.failed(&numbered(5), 0, 0);
        book.failed(&numbered(6), 0, 0);
        book.failed(&numbered(6), 0, 0);
        assert!(book.add(peer(1), address(1)));
        assert!(book.of(&numbered(6)).is_empty() && !book.of(&numbered(5)).is_empty());
    }

    #[test]
    fn a_shunned_peer_is_forgotten_unless_the_operator_named_it() {
        let mut book = Addresses::default();
        book.add(peer(1), address(1));
        book.ask_for(peer(2), &address(2));
        let wanted = BTreeSet::from([peer(1)]);
        book.shun(peer(1), 0);
        book.shun(peer(2), 0);
        assert_eq!(book.due(0, 16, &wanted), []);
        assert!(book.is_shunned(&peer(1), AVOID_MS - 1) && !book.is_shunned(&peer(1), AVOID_MS));
        assert_eq!(book.due(AVOID_MS, 16, &wanted).len(), 1);
        assert!(book.of(&peer(1)).is_empty());
    }

    #[test]
    fn rows_keep_addresses_and_the_book_is_bounded() {
        let mut book = Addresses::default();
        for port in 1..=20 {
            book.add(peer(1), address(port));
        }
        assert_eq!(book.of(&peer(1)).len(), MAX_MEMBER_ADDRESSES);
        book.worked(peer(1), &address(3));
        assert_eq!(book.of(&peer(1))[0], address(3));
        let (key, value) = book.row(&peer(1));
        let mut again = Addresses::default();
        again.restore(&key, &value.unwrap());
        again.restore(b"replica/x", b"noise");
        assert_eq!(again.of(&peer(1)), book.of(&peer(1)));
        assert!(!again.add(peer(2), "/ip4/0.0.0.0/tcp/1".parse().unwrap()));
        assert!(with_peer("/ip4/127.0.0.1/tcp/1").is_err() && with_peer("nonsense").is_err());
        let full = format!("/ip4/127.0.0.1/tcp/1/p2p/{}", peer(1));
        assert_eq!(with_peer(&full).unwrap(), (peer(1), address(1)));
    }

    #[test]
    fn an_address_that_the_operator_names_is_tried_at_once_and_first() {
        let mut book = Addresses::default();
        for port in 1..=MAX_MEMBER_ADDRESSES as u16 {
            book.add(peer(1), address(port));
        }
        let wanted = BTreeSet::from([peer(1)]);
        assert_eq!(book.due(0, 16, &wanted).len(), 1, "the old addresses are being dialled");
        book.ask_for(peer(1), &address(99));
        let due = book.due(0, 16, &wanted);
        assert_eq!(due[0].1[0], address(99));
    }
}
