//! Answering the requests of peers. Nothing is remembered between two requests.

use bytes::Bytes;
use rustdht_core::{
    RecordId,
    ports::{IngestOutcome, ReplicaId},
};
use rustdht_wire::protocol::{
    MAX_ANSWER_ENVELOPES, MAX_FETCH_BYTES, MAX_GET_BYTES, MAX_REPLICA_ENVELOPE_BYTES, PutOutcome, Request, Response,
    SYNC_FRAME_BYTES, SyncMessage,
};

use super::{CallerId, Engine, Note, Output, Pending, RequestId};
use crate::{
    limits::{MAX_HEARD, MAX_SERVED},
    reconcile,
};

impl Engine {
    pub(super) fn serve(&mut self, id: RequestId, from: &ReplicaId, request: Request) {
        let Some(link) = self.links.get_mut(from) else {
            self.out.push(Output::Refuse { id });
            return;
        };
        let busy = link.serving >= MAX_SERVED;
        match request {
            Request::Sync(SyncMessage::Summary(theirs)) => {
                let ours = self.peer_compared(from, &theirs);
                self.respond(id, Response::Sync(SyncMessage::Summary(ours)));
            }
            Request::Sync(SyncMessage::Ranges(message)) => {
                link.peer_synced_ms = self.now_ms;
                match reconcile::respond(&self.index, &message, SYNC_FRAME_BYTES) {
                    Ok(answer) => self.respond(id, Response::Sync(SyncMessage::Ranges(answer.into()))),
                    Err(_) => {
                        self.strike(from, "a reconciliation message that is none");
                        self.out.push(Output::Refuse { id });
                    }
                }
            }
            Request::Put { envelopes } if busy || envelopes.is_empty() => {
                let outcomes = vec![PutOutcome(IngestOutcome::Unavailable); envelopes.len()];
                self.respond(id, Response::Put { outcomes });
            }
            Request::Put { envelopes } => {
                link.serving += 1;
                let pending = Pending::ServePut { peer: from.clone(), id, envelopes: envelopes.len() };
                let token = self.token(pending);
                self.out.push(Output::Ingest { token, from: from.clone(), envelopes });
            }
            Request::Fetch { records } if !busy => {
                link.serving += 1;
                let token = self.token(Pending::ServeFetch { peer: from.clone(), id });
                self.out.push(Output::LoadRecords { token, records, max_bytes: MAX_FETCH_BYTES });
            }
            Request::Get { soul } if !busy => {
                link.serving += 1;
                let token = self.token(Pending::ServeGet { peer: from.clone(), id });
                self.out.push(Output::LoadSoul { token, soul, max_bytes: MAX_GET_BYTES });
            }
            Request::Fetch { .. } | Request::Get { .. } | Request::Hello(_) | Request::Certify { .. } => {
                self.out.push(Output::Refuse { id });
            }
        }
    }

    fn respond(&mut self, id: RequestId, response: Response) {
        self.out.push(Output::Respond { id, response });
    }

    fn served(&mut self, peer: &ReplicaId) {
        if let Some(link) = self.links.get_mut(peer) {
            link.serving -= 1;
        }
    }

    pub(super) fn put_served(&mut self, peer: &ReplicaId, id: RequestId, envelopes: usize, outcomes: &[IngestOutcome]) {
        self.served(peer);
        for outcome in outcomes {
            if let IngestOutcome::Refused(refusal) = outcome {
                self.out.push(Output::Note(Note::Refused { replica: peer.clone(), refusal: refusal.clone() }));
            }
        }
        let mut outcomes: Vec<PutOutcome> = outcomes.iter().cloned().map(PutOutcome).collect();
        outcomes.resize(envelopes, PutOutcome(IngestOutcome::Unavailable));
        self.respond(id, Response::Put { outcomes });
    }

    pub(super) fn fetch_served(
        &mut self,
        peer: &ReplicaId,
        id: RequestId,
        envelopes: Vec<Bytes>,
        missing: Vec<RecordId>,
    ) {
        self.served(peer);
        let envelopes = fitting(envelopes, MAX_FETCH_BYTES);
        self.respond(id, Response::Fetch { envelopes, missing });
    }

    pub(super) fn get_served(&mut self, peer: &ReplicaId, id: RequestId, envelopes: Vec<Bytes>) {
        self.served(peer);
        self.respond(id, Response::Get { envelopes: fitting(envelopes, MAX_GET_BYTES) });
    }

    /// An envelope came by gossip.
    pub(super) fn hear(&mut self, caller: CallerId, from: &ReplicaId, envelope: Bytes) {
        if self.heard >= MAX_HEARD || !self.links.contains_key(from) {
            self.out.push(Output::Judged { caller, outcome: IngestOutcome::Unavailable });
            return;
        }
        self.heard += 1;
        let token = self.token(Pending::Heard { peer: from.clone(), caller });
        self.out.push(Output::Ingest { token, from: from.clone(), envelopes: vec![envelope] });
    }

    pub(super) fn judge(&mut self, caller: CallerId, outcome: IngestOutcome) {
        self.heard -= 1;
        self.out.push(Output::Judged { caller, outcome });
    }
}

/// As many envelopes as fit the answer; the first always does.
fn fitting(envelopes: Vec<Bytes>, max_bytes: usize) -> Vec<Bytes> {
    let mut fitting: Vec<Bytes> = Vec::new();
    let mut bytes = 0;
    for envelope in envelopes {
        // One above its bound would make the whole answer unreadable.
        if envelope.len() > MAX_REPLICA_ENVELOPE_BYTES {
            continue;
        }
        bytes += envelope.len() + 5;
        if !fitting.is_empty() && (bytes > max_bytes || fitting.len() >= MAX_ANSWER_ENVELOPES) {
            break;
        }
        fitting.push(envelope);
    }
    fitting
}
