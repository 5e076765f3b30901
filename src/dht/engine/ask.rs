//! Asking the others for a soul.

use bytes::Bytes;
use rustdht_core::{Soul, ports::ReplicaId};
use rustdht_wire::protocol::{MAX_GET_BYTES, Request};

use super::{CallerId, Engine, Output, Pending};
use crate::limits::{ASK_DEADLINE_MS, ASK_GRACE_MS, ASKED_PEERS, MAX_ASKS};

/// An ask under way.
#[derive(Debug)]
pub(super) struct Ask {
    waiting: usize,
    envelopes: Vec<Bytes>,
    bytes: usize,
    ends_ms: u64,
}

impl Engine {
    pub(super) fn ask(&mut self, caller: CallerId, soul: &Soul) {
        // Those known to be equal know most.
        let mut peers: Vec<(bool, &ReplicaId)> = self.links.iter().map(|(id, link)| (!link.equal, id)).collect();
        peers.sort_unstable();
        let peers: Vec<ReplicaId> = peers.into_iter().take(ASKED_PEERS).map(|(_, id)| id.clone()).collect();
        if peers.is_empty() || self.asks.len() >= MAX_ASKS {
            self.out.push(Output::Found { caller, envelopes: Vec::new() });
            return;
        }
        let ends_ms = self.now_ms + ASK_DEADLINE_MS;
        self.asks.insert(caller, Ask { waiting: peers.len(), envelopes: Vec::new(), bytes: 0, ends_ms });
        for to in peers {
            let token = self.token(Pending::Ask { peer: to.clone(), caller });
            self.out.push(Output::Send { token, to, request: Request::Get { soul: soul.clone() } });
        }
    }

    pub(super) fn ask_answered(&mut self, caller: CallerId, envelopes: Vec<Bytes>) {
        let Some(ask) = self.asks.get_mut(&caller) else { return };
        ask.waiting -= 1;
        for envelope in envelopes {
            if ask.bytes + envelope.len() <= MAX_GET_BYTES && !ask.envelopes.contains(&envelope) {
                ask.bytes += envelope.len();
                ask.envelopes.push(envelope);
            }
        }
        if !ask.envelopes.is_empty() {
            ask.ends_ms = ask.ends_ms.min(self.now_ms + ASK_GRACE_MS);
        }
        if ask.waiting == 0 {
            self.end_ask(caller);
        }
    }

    fn end_ask(&mut self, caller: CallerId) {
        if let Some(ask) = self.asks.remove(&caller) {
            self.out.push(Output::Found { caller, envelopes: ask.envelopes });
        }
    }

    /// Ends the asks whose time is over.
    pub(super) fn end_asks(&mut self) {
        let over: Vec<CallerId> =
            self.asks.iter().filter(|(_, ask)| ask.ends_ms <= self.now_ms).map(|(caller, _)| *caller).collect();
        over.into_iter().for_each(|caller| self.end_ask(caller));
    }
}
