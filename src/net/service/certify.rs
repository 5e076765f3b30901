//! Member certificates: asked from a few connected members one after the other, and given when the node issues any.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use libp2p::{PeerId, request_response::ResponseChannel};
use rustdht_core::{PublicKey, ports::ReplicationError};
use rustdht_dht::CallerId;
use rustdht_wire::protocol::{Request, Response};
use tokio::sync::oneshot;

use super::{Running, Sent, Session};
use crate::{
    limits::{
        CERTIFY_PEERS, CERTIFY_REQUEST_US, CERTIFY_WINDOW_US, MAX_CERTIFY_ASKS, MAX_CERTIFY_PACES, MAX_CERTIFY_SERVED,
    },
    metrics,
    pace::Pace,
};

/// A chain from the leaf up, each certificate as bytes and signature.
pub(crate) type Chain = Vec<(Bytes, Bytes)>;

struct Ask {
    gateway: PublicKey,
    left: VecDeque<PeerId>,
    /// Somebody said that he issues none.
    answered: bool,
    reply: oneshot::Sender<Result<Chain, ReplicationError>>,
}

/// Requests for certificates in both directions.
#[derive(Default)]
pub(super) struct Certificates {
    asks: HashMap<CallerId, Ask>,
    serving: usize,
    paces: BTreeMap<PeerId, Pace>,
}

impl Certificates {
    pub(super) fn served(&mut self) {
        self.serving = self.serving.saturating_sub(1);
    }

    /// Whether a peer may ask now.
    fn admit(&mut self, peer: PeerId, now_ms: u64) -> bool {
        if !self.paces.contains_key(&peer) && self.paces.len() >= MAX_CERTIFY_PACES {
            self.paces.retain(|_, pace| !pace.is_idle(now_ms));
            if self.paces.len() >= MAX_CERTIFY_PACES {
                return false;
            }
        }
        let paced = self.paces.entry(peer).or_default().take(now_ms, CERTIFY_REQUEST_US, CERTIFY_WINDOW_US);
        paced && self.serving < MAX_CERTIFY_SERVED
    }
}

impl Running {
    /// Dropping the channel refuses the request: the asker tries the next member.
    pub(super) fn serve_certify(&mut self, peer: PeerId, gateway: PublicKey, channel: ResponseChannel<Response>) {
        if self.certificates.admit(peer, self.now_ms()) {
            self.certificates.serving += 1;
            self.spawn_certify(gateway, channel);
        } else {
            metrics::rejected("certify_too_often");
        }
    }

    pub(super) fn certify(&mut self, gateway: PublicKey, reply: oneshot::Sender<Result<Chain, ReplicationError>>) {
        if self.certificates.asks.len() >= MAX_CERTIFY_ASKS {
            // The caller may have given up.
            let _ = reply.send(Err(ReplicationError::TimedOut));
            return;
        }
        let members = self.sessions.iter().filter(|(_, session)| session.is_member());
        let mut members: Vec<PeerId> = members.map(|(peer, _)| *peer).collect();
        // Not the same ones each time: some issue no certificates.
        if !members.is_empty() {
            let start = u64::from_be_bytes(self.random()) % members.len() as u64;
            members.rotate_left(start as usize);
        }
        members.truncate(CERTIFY_PEERS);
        let caller = CallerId(self.next_id());
        let ask = Ask { gateway, left: members.into(), answered: false, reply };
        self.certificates.asks.insert(caller, ask);
        self.certify_next(caller);
    }

    fn certify_next(&mut self, caller: CallerId) {
        let Some(mut ask) = self.certificates.asks.remove(&caller) else { return };
        while let Some(peer) = ask.left.pop_front() {
            if ask.reply.is_closed() {
                return;
            }
            if self.sessions.get(&peer).is_some_and(Session::is_member) {
                let request = Request::Certify { gateway: ask.gateway };
                metrics::request(request.protocol(), "out");
                let id = self.swarm.behaviour_mut().send(&peer, request);
                self.sent.insert(id, Sent::Certify(caller));
                self.certificates.asks.insert(caller, ask);
                return;
            }
        }
        let answer = if ask.answered { Ok(Chain::new()) } else { Err(ReplicationError::TimedOut) };
        let _ = ask.reply.send(answer);
    }

    /// A member answered; `None`: it did not in time.
    pub(super) fn certified(&mut self, caller: CallerId, response: Option<Response>) {
        match response {
            Some(Response::Certify(chain)) if !chain.is_empty() => {
                if let Some(ask) = self.certificates.asks.remove(&caller) {
                    let _ = ask.reply.send(Ok(chain));
                }
            }
            response => {
                if let Some(ask) = self.certificates.asks.get_mut(&caller) {
                    ask.answered |= response.is_some();
                }
                self.certify_next(caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_asks_a_few_times_and_then_slowly() {
        let mut certificates = Certificates::default();
        let (one, other) = (PeerId::random(), PeerId::random());
        let mut asked = |peer, now_ms| (0..9).filter(|_| certificates.admit(peer, now_ms)).count();
        assert_eq!([asked(one, 0), asked(one, 9_999), asked(one, 10_000), asked(other, 10_000)], [3, 0, 1, 3]);
        certificates.serving = MAX_CERTIFY_SERVED;
        assert!(!certificates.admit(PeerId::random(), 0));
        certificates.served();
        assert!(certificates.admit(PeerId::random(), 0));
    }

    #[test]
    fn paces_are_bounded_and_idle_ones_make_room() {
        let mut certificates = Certificates::default();
        let admitted = (0..2 * MAX_CERTIFY_PACES).filter(|_| certificates.admit(PeerId::random(), 0)).count();
        assert_eq!((admitted, certificates.paces.len()), (MAX_CERTIFY_PACES, MAX_CERTIFY_PACES));
        assert!(certificates.admit(PeerId::random(), 60_000));
        assert_eq!(certificates.paces.len(), 1);
    }
}
