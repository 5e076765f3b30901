//! Envelopes from members that wait for something: a certificate, or the kill that drops a value. Kept in memory only:
//! the sender was told that they wait, and reconciles again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use rustdht_core::{CertificateId, Entry, PublicKey, Soul, ports::ReplicaId};
use tokio::sync::Notify;

/// Envelopes that wait in all.
const MAX_COUNT: usize = 8192;
/// Bytes of the envelopes that wait in all.
const MAX_BYTES: usize = 32 << 20;
/// The part of it that one author, and one sender, may take: an eighth and a quarter.
const AUTHORS_PART: usize = 8;
const SENDERS_PART: usize = 4;
/// After this long reconciliation has brought what was missing, or it will bring the envelope again.
const PATIENCE_MS: u64 = 10 * 60_000;

/// What an envelope waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Cause {
    /// A certificate.
    Certificate(CertificateId),
    /// What covers a value-less entry of this node.
    Cover(Soul),
}

/// An envelope that waits.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) envelope: Bytes,
    pub(crate) from: ReplicaId,
    pub(crate) author: PublicKey,
    pub(crate) causes: Vec<Cause>,
    /// The souls it writes, as far as it says: an erase there ends the wait.
    pub(crate) souls: Vec<Soul>,
    pub(crate) since_ms: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    count: usize,
    bytes: usize,
}

impl Load {
    fn fits(self, bytes: usize, part: usize) -> bool {
        self.count < MAX_COUNT / part && self.bytes + bytes <= MAX_BYTES / part
    }

    fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
    }

    fn take(&mut self, bytes: usize) {
        self.count -= 1;
        self.bytes -= bytes;
    }
}

#[derive(Debug, Default)]
struct Pool {
    waiting: BTreeMap<u64, Waiting>,
    known: HashSet<[u8; 32]>,
    by_cause: HashMap<Cause, BTreeSet<u64>>,
    authors: HashMap<PublicKey, Load>,
    senders: HashMap<ReplicaId, Load>,
    all: Load,
    next: u64,
    ready: Vec<Waiting>,
}

/// Envelopes that wait, bounded per author, per sender and in all.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pool: Mutex<Pool>,
    woken: Notify,
}

impl Pool {
    fn remove(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&number)?;
        let bytes = waiting.envelope.len();
        self.known.remove(blake3::hash(&waiting.envelope).as_bytes());
        for cause in &waiting.causes {
            if let Some(numbers) = self.by_cause.get_mut(cause) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.by_cause.remove(cause);
                }
            }
        }
        self.all.take(bytes);
        if let Some(load) = self.authors.get_mut(&waiting.author) {
            load.take(bytes);
            if load.count == 0 {
                self.authors.remove(&waiting.author);
            }
        }
        if let Some(load) = self.senders.get_mut(&waiting.from) {
            load.take(bytes);
            if load.count == 0 {
                self.senders.remove(&waiting.from);
            }
        }
        Some(waiting)
    }

    fn expire(&mut self, now_ms: u64) {
        while let Some((number, waiting)) = self.waiting.first_key_value() {
            if waiting.since_ms + PATIENCE_MS > now_ms {
                break;
            }
            let number = *number;
            self.remove(number);
        }
    }
}

impl Pending {
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an envelope; `false`: there is no room.
    pub(crate) fn keep(&self, waiting: Waiting) -> bool {
        let mut pool = self.pool();
        pool.expire(waiting.since_ms);
        let digest = *blake3::hash(&waiting.envelope).as_bytes();
        if pool.known.contains(&digest) {
            return true;
        }
        let bytes = waiting.envelope.len();
        let author = pool.authors.get(&waiting.author).copied().unwrap_or_default();
        let sender = pool.senders.get(&waiting.from).copied().unwrap_or_default();
        if !(pool.all.fits(bytes, 1) && author.fits(bytes, AUTHORS_PART) && sender.fits(bytes, SENDERS_PART)) {
            return false;
        }
        pool.known.insert(digest);
        pool.all.add(bytes);
        pool.authors.entry(waiting.author).or_default().add(bytes);
        pool.senders.entry(waiting.from.clone()).or_default().add(bytes);
        let number = pool.next;
        pool.next += 1;
        for cause in &waiting.causes {
            pool.by_cause.entry(cause.clone()).or_default().insert(number);
        }
        pool.waiting.insert(number, waiting);
        true
    }

    /// Something that envelopes may wait for is durable here: those are tried again.
    pub(crate) fn came(&self, causes: impl Iterator<Item = Cause>) {
        let mut pool = self.pool();
        if pool.waiting.is_empty() {
            return;
        }
        for cause in causes {
            let Some(numbers) = pool.by_cause.get(&cause).cloned() else { continue };
            for number in numbers {
                if let Some(waiting) = pool.remove(number) {
                    pool.ready.push(waiting);
                }
            }
        }
        if !pool.ready.is_empty() {
            self.woken.notify_one();
        }
    }

    /// An erase must not be outlived by what it covers: what waits and may hold it goes; members bring again what
    /// counts.
    pub(crate) fn erased(&self, eraser: &Entry) {
        let mut pool = self.pool();
        let numbers: Vec<u64> = pool
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.souls.is_empty() || waiting.souls.contains(&eraser.soul))
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            pool.remove(number);
        }
        pool.ready.retain(|waiting| !waiting.souls.is_empty() && !waiting.souls.contains(&eraser.soul));
    }

    /// Waits until something can be tried again, and takes it.
    pub(crate) async fn ready(&self) -> Vec<Waiting> {
        loop {
            let ready = std::mem::take(&mut self.pool().ready);
            if !ready.is_empty() {
                return ready;
            }
            self.woken.notified().await;
        }
    }

    /// Envelopes that wait.
    pub(crate) fn len(&self) -> usize {
        self.pool().waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(author: u8, sender: &str, number: u32, since_ms: u64) -> Waiting {
        Waiting {
            envelope: number.to_be_bytes().to_vec().into(),
            from: ReplicaId(sender.into()),
            author: PublicKey([author; 32]),
            causes: vec![Cause::Certificate(CertificateId([author; 32]))],
            souls: vec!["a".parse().unwrap()],
            since_ms,
        }
    }

    #[test]
    fn each_author_and_sender_has_its_part() {
        let pending = Pending::default();
        let kept = (0..2000).filter(|number| pending.keep(waiting(1, "p", *number, 0))).count();
        assert_eq!(kept, MAX_COUNT / AUTHORS_PART);
        let kept = (2000..6000).filter(|number| pending.keep(waiting((number % 200) as u8, "p", *number, 0))).count();
        assert_eq!(kept, MAX_COUNT / SENDERS_PART - MAX_COUNT / AUTHORS_PART);
        assert!(pending.keep(waiting(7, "q", 6001, 0)), "others have room");
        assert!(pending.keep(waiting(7, "q", 6001, 0)), "what waits already takes none");
        let before = pending.len();
        assert!(pending.keep(waiting(9, "q", 6002, PATIENCE_MS)));
        assert_eq!((before, pending.len()), (MAX_COUNT / SENDERS_PART + 1, 1), "nothing waits for ever");
    }

    #[tokio::test]
    async fn what_came_sets_free_what_waited_for_it() {
        let pending = Pending::default();
        for number in 0..3 {
            pending.keep(waiting(number as u8, "p", number, 0));
        }
        pending.came(std::iter::once(Cause::Certificate(CertificateId([1; 32]))));
        let ready = pending.ready().await;
        assert_eq!((ready.len(), ready[0].author), (1, PublicKey([1; 32])));
        assert_eq!(pending.len(), 2);
        assert!(pending.keep(ready[0].clone()), "it may wait again");
    }
}
