//! Anti-entropy with one peer: compare, exchange what differs, and again until equal.

use std::collections::BTreeSet;

use bytes::Bytes;
use rustdht_core::{
    Stamp,
    ports::{IngestOutcome, ReplicaId},
};
use rustdht_wire::protocol::{
    MAX_PUT_ENVELOPES, PUT_BATCH_BYTES, Request, Response, SYNC_FRAME_BYTES, Summary, SyncMessage,
};

use super::{
    Engine, Note, Output, Pending,
    session::{Chunk, Session},
};
use crate::{
    limits::{
        MARK_INTERVAL_MS, MAX_SYNC_IDS, MAX_SYNC_JOBS, MAX_SYNC_RESTARTS, MAX_SYNC_ROUNDS, OFFER_BYTES,
        SYNC_INTERVAL_MS, SYNC_JITTER_MS, SYNC_SETTLE_S, SYNC_SOON_MS, SYNC_YIELD_MS,
    },
    reconcile,
};

/// Marks that are kept: those of the last minute.
const MAX_MARKS: usize = 60;

/// What the next delivery's number was at some time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    taken_ms: u64,
    /// In the seconds of the index.
    seconds: u32,
    number: u64,
}

/// What an answer continues.
#[derive(Debug)]
pub(super) enum Step {
    /// The peer's summary, against ours as it was; it covers every delivery before `mark`.
    Compare { ours: Summary, mark: u64 },
    /// The peer's ranges.
    Ranges,
    /// Envelopes asked for.
    Fetch(Chunk),
    /// Those envelopes, on their way into the store.
    FetchIngest { chunk: Chunk, missing: BTreeSet<rustdht_core::RecordId> },
    /// Envelopes to be offered, on their way out of the store.
    Load,
    /// Offered envelopes.
    Offer { envelopes: usize },
}

impl Engine {
    /// Begins the reconciliations that are due.
    pub(super) fn sync_due(&mut self) {
        let due: Vec<ReplicaId> = self
            .links
            .iter()
            .filter(|(_, link)| link.session.is_none() && link.sync_at_ms <= self.now_ms)
            .map(|(id, _)| id.clone())
            .collect();
        for replica in due {
            let yields = self.members.own() > &replica;
            if let Some(link) = self.links.get_mut(&replica)
                && yields
                && self.now_ms < link.peer_synced_ms + SYNC_YIELD_MS
            {
                // The other side is at it: its end serves both.
                link.sync_at_ms = self.now_ms + SYNC_SOON_MS;
                continue;
            }
            self.begin_sync(&replica);
        }
    }

    /// Begins with the cheap question whether both are equal. Over everything when something may have been lost, else
    /// without the last seconds, whose pushes may be under way.
    pub(super) fn begin_sync(&mut self, peer: &ReplicaId) {
        let settled = Stamp::from_ms(self.wall_ms).index_seconds().saturating_sub(SYNC_SETTLE_S);
        let Some(link) = self.links.get_mut(peer) else { return };
        link.sessions += 1;
        link.session = Some(Session::new(settled));
        let below_seconds = link.equal.then_some(settled);
        self.compare(peer, below_seconds);
    }

    fn compare(&mut self, peer: &ReplicaId, below_seconds: Option<u32>) {
        let ours = self.summary(below_seconds);
        let mark = match below_seconds {
            Some(seconds) => self.marked_before(seconds),
            None => self.deliveries.mark(),
        };
        if let Some(link) = self.links.get_mut(peer)
            && below_seconds.is_none()
        {
            link.dirty = false;
        }
        self.send_sync(peer, Step::Compare { ours, mark }, SyncMessage::Summary(ours));
    }

    /// Notes from time to time which commits were published by then.
    pub(super) fn take_mark(&mut self) {
        if self.marks.back().is_some_and(|last| self.now_ms < last.taken_ms + MARK_INTERVAL_MS) {
            return;
        }
        let seconds = Stamp::from_ms(self.wall_ms).index_seconds();
        self.marks.push_back(Mark { taken_ms: self.now_ms, seconds, number: self.deliveries.mark() });
        if self.marks.len() > MAX_MARKS {
            self.marks.pop_front();
        }
    }

    /// Every delivery with a lesser number is stamped well below these seconds: what is published is stamped with the
    /// time of its publication or an earlier one, give or take the skew of a clock.
    fn marked_before(&self, seconds: u32) -> u64 {
        let old = |mark: &&Mark| mark.seconds.saturating_add(SYNC_SETTLE_S) < seconds;
        self.marks.iter().filter(old).map(|mark| mark.number).max().unwrap_or(0)
    }

    fn send_sync(&mut self, peer: &ReplicaId, step: Step, message: SyncMessage) {
        if let Some(session) = self.links.get_mut(peer).and_then(|link| link.session.as_mut()) {
            session.rounds += 1;
        }
        let token = self.token(Pending::Sync(peer.clone(), step));
        self.out.push(Output::Send { token, to: peer.clone(), request: Request::Sync(message) });
    }

    /// How many ids there are below some second, and their sum. Content, which stands behind all seconds, is among them:
    /// it would never count as settled.
    pub(super) fn summary(&self, below_seconds: Option<u32>) -> Summary {
        let all = self.index.len();
        let content = self.index.rank_below(u32::MAX);
        let end = below_seconds.map_or(content, |seconds| self.index.rank_below(seconds).min(content));
        let sum = self.index.sum(0, end).plus(self.index.sum(content, all));
        Summary { below_seconds, count: (end + all - content) as u64, sum: sum.to_bytes() }
    }

    pub(super) fn sync_answered(&mut self, peer: &ReplicaId, step: Step, response: Option<Response>) {
        match (step, response) {
            (Step::Compare { ours, mark }, Some(Response::Sync(SyncMessage::Summary(theirs))))
                if theirs.below_seconds == ours.below_seconds =>
            {
                self.compared(peer, ours, theirs, mark);
            }
            (Step::Ranges, Some(Response::Sync(SyncMessage::Ranges(message)))) => self.ranges(peer, &message),
            (Step::Fetch(chunk), Some(Response::Fetch { envelopes, missing })) => {
                let asked: BTreeSet<_> = chunk.records.iter().copied().collect();
                let missing: BTreeSet<_> = missing.into_iter().filter(|id| asked.contains(id)).collect();
                let step = Step::FetchIngest { chunk, missing };
                if envelopes.is_empty() {
                    self.sync_ingested(peer, step, &[]);
                } else {
                    let token = self.token(Pending::Sync(peer.clone(), step));
                    self.out.push(Output::Ingest { token, from: peer.clone(), envelopes });
                }
            }
            (Step::Offer { envelopes }, Some(Response::Put { outcomes })) if outcomes.len() == envelopes => {
                for outcome in outcomes {
                    if let IngestOutcome::Refused(refusal) = outcome.0 {
                        self.out.push(Output::Note(Note::Refused { replica: peer.clone(), refusal }));
                    }
                }
                self.update(peer, |session| session.offering -= 1);
            }
            (_, Some(_)) => {
                self.strike(peer, "an answer of another kind");
                self.sync_failed(peer);
            }
            (_, None) => self.sync_failed(peer),
        }
    }

    fn compared(&mut self, peer: &ReplicaId, ours: Summary, theirs: Summary, mark: u64) {
        if ours == theirs {
            self.found_equal(peer, ours.below_seconds.is_none(), mark);
            return;
        }
        let Some(link) = self.links.get_mut(peer) else { return };
        let Some(session) = &mut link.session else { return };
        link.equal = false;
        let compared = Some((ours, theirs));
        let stuck = session.compared == compared;
        if stuck || session.restarts >= MAX_SYNC_RESTARTS || session.rounds >= MAX_SYNC_ROUNDS {
            link.session = None;
            link.sync_at_ms = self.now_ms + if stuck { SYNC_INTERVAL_MS } else { SYNC_SOON_MS };
            self.out.push(Output::Note(Note::Unequal { replica: peer.clone() }));
            return;
        }
        session.compared = compared;
        session.restarts += 1;
        let message = reconcile::begin(&self.index);
        self.send_sync(peer, Step::Ranges, SyncMessage::Ranges(message.into()));
    }

    /// Both sides hold the same. Under a steady load everything is hardly ever equal; but what had settled when the
    /// exchange began is, and the exchange itself covered what was younger and nothing was lost since.
    fn found_equal(&mut self, peer: &ReplicaId, everything: bool, mark: u64) {
        let pause_ms = self.pause_ms(peer);
        let Some(link) = self.links.get_mut(peer) else { return };
        link.failures = 0;
        let exchanged = link.session.as_ref().is_some_and(|session| session.restarts > 0);
        link.equal |= (everything || exchanged) && !link.dirty;
        link.sync_at_ms = self.now_ms + if link.equal { pause_ms } else { SYNC_SOON_MS };
        if let Some(session) = link.session.take() {
            self.out.push(Output::Note(Note::Equal {
                replica: peer.clone(),
                rounds: session.rounds,
                fetched: session.fetched,
                offered: session.offered,
            }));
        }
        for commit in self.deliveries.confirm_below(mark, peer) {
            self.settle(&commit, false);
        }
    }

    /// The peer compares with us and may find us equal: then so do we, and ours is not needed for a while.
    pub(super) fn peer_compared(&mut self, peer: &ReplicaId, theirs: &Summary) -> Summary {
        let ours = self.summary(theirs.below_seconds);
        let pause_ms = self.pause_ms(peer);
        if let Some(link) = self.links.get_mut(peer) {
            link.peer_synced_ms = self.now_ms;
            if ours == *theirs && link.equal {
                link.sync_at_ms = self.now_ms + pause_ms + SYNC_YIELD_MS;
            }
            if ours == *theirs && theirs.below_seconds.is_none() {
                // What was published here is in our index, so it is in theirs, whatever was lost before.
                link.equal = true;
                link.dirty = false;
                link.sync_at_ms = self.now_ms + pause_ms + SYNC_YIELD_MS;
                for commit in self.deliveries.confirm_below(self.deliveries.mark(), peer) {
                    self.settle(&commit, false);
                }
            }
        }
        ours
    }

    /// Half a minute and a jitter that is the same on every run.
    fn pause_ms(&self, peer: &ReplicaId) -> u64 {
        let sessions = self.links.get(peer).map_or(0, |link| link.sessions);
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.members.own().0.as_bytes());
        hasher.update(peer.0.as_bytes());
        hasher.update(&sessions.to_be_bytes());
        let digest = hasher.finalize();
        let jitter = digest.as_bytes()[..8].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        SYNC_INTERVAL_MS + jitter % SYNC_JITTER_MS
    }

    fn ranges(&mut self, peer: &ReplicaId, message: &[u8]) {
        match reconcile::compare(&self.index, message, SYNC_FRAME_BYTES, MAX_SYNC_IDS) {
            Ok(differences) => self.update(peer, |session| session.found(differences)),
            Err(_) => {
                self.strike(peer, "a reconciliation message that is none");
                self.sync_failed(peer);
            }
        }
    }

    /// Changes the session, and does what is next.
    fn update(&mut self, peer: &ReplicaId, change: impl FnOnce(&mut Session)) {
        let Some(session) = self.links.get_mut(peer).and_then(|link| link.session.as_mut()) else { return };
        change(session);
        let mut fetches = Vec::new();
        while session.fetching < MAX_SYNC_JOBS
            && let Some(chunk) = session.chunks.pop_front()
        {
            session.fetching += 1;
            fetches.push(chunk);
        }
        let mut offers = Vec::new();
        while session.offering < MAX_SYNC_JOBS
            && let Some(records) = session.offers.pop_front()
        {
            session.offering += 1;
            offers.push(records);
        }
        // Everything at first, which a quiet pair finds equal; what has settled when more keeps coming.
        let below_seconds = (session.restarts > 1).then_some(session.settled_seconds);
        let exhausted = session.rounds >= MAX_SYNC_ROUNDS;
        let settled = session.is_settled();
        let next = if settled { session.next.take() } else { None };
        for chunk in fetches {
            let records = chunk.records.clone();
            let token = self.token(Pending::Sync(peer.clone(), Step::Fetch(chunk)));
            self.out.push(Output::Send { token, to: peer.clone(), request: Request::Fetch { records } });
        }
        for records in offers {
            let token = self.token(Pending::Sync(peer.clone(), Step::Load));
            self.out.push(Output::LoadRecords { token, records, max_bytes: OFFER_BYTES });
        }
        match next {
            Some(_) if exhausted => {
                if let Some(link) = self.links.get_mut(peer) {
                    link.session = None;
                    link.sync_at_ms = self.now_ms + SYNC_SOON_MS;
                    self.out.push(Output::Note(Note::Unequal { replica: peer.clone() }));
                }
            }
            Some(message) => self.send_sync(peer, Step::Ranges, SyncMessage::Ranges(message.into())),
            None if settled => self.compare(peer, below_seconds),
            None => {}
        }
    }

    pub(super) fn sync_ingested(&mut self, peer: &ReplicaId, step: Step, outcomes: &[IngestOutcome]) {
        for outcome in outcomes {
            if let IngestOutcome::Refused(refusal) = outcome {
                self.out.push(Output::Note(Note::Refused { replica: peer.clone(), refusal: refusal.clone() }));
            }
        }
        if let Step::FetchIngest { chunk, missing } = step {
            self.update(peer, |session| {
                session.fetching -= 1;
                session.fetched(chunk, &missing);
            });
        }
    }

    /// What was loaded goes out in puts of the usual size.
    pub(super) fn sync_loaded(&mut self, peer: &ReplicaId, envelopes: Vec<Bytes>) {
        let mut batches: Vec<Vec<Bytes>> = Vec::new();
        let mut bytes = 0;
        for envelope in envelopes {
            match batches.last_mut() {
                Some(batch) if batch.len() < MAX_PUT_ENVELOPES && bytes + envelope.len() <= PUT_BATCH_BYTES => {
                    bytes += envelope.len();
                    batch.push(envelope);
                }
                _ => {
                    bytes = envelope.len();
                    batches.push(vec![envelope]);
                }
            }
        }
        let puts = batches.len();
        for envelopes in batches {
            let token = self.token(Pending::Sync(peer.clone(), Step::Offer { envelopes: envelopes.len() }));
            self.out.push(Output::Send { token, to: peer.clone(), request: Request::Put { envelopes } });
        }
        self.update(peer, |session| session.offering = session.offering + puts - 1);
    }

    /// Gives the reconciliation up and tries again later: after 1, 2, 4 ... 32 seconds.
    fn sync_failed(&mut self, peer: &ReplicaId) {
        let Some(link) = self.links.get_mut(peer) else { return };
        if link.session.take().is_none() {
            return;
        }
        link.equal = false;
        link.dirty = true;
        link.sync_at_ms = self.now_ms + (SYNC_SOON_MS << link.failures.min(5));
        link.failures += 1;
        // Answers to the abandoned one must not be taken for answers to the next.
        self.pending.retain(|_, pending| !matches!(pending, Pending::Sync(of, _) if of == peer));
        self.out.push(Output::Note(Note::Unequal { replica: peer.clone() }));
    }
}
