//! Messages that nobody stores. Whoever signed one is held to a pace, whichever way it came; the node hears those of one
//! source in order, and what it accepts is passed on.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use libp2p::{
    PeerId,
    gossipsub::{Message, MessageAcceptance, MessageId, PublishError},
};
use rustdht_wire::protocol::Live;

use super::Running;
use crate::{
    behaviour::live_topic,
    limits::{
        LIVE_BURST_US, LIVE_BYTES_PER_SECOND, LIVE_MESSAGES_PER_SECOND, MAX_LIVE_SOURCES, MAX_LIVE_WAITING,
        MAX_LIVE_WAITING_BYTES, MAX_LIVE_WAITING_OF_ONE,
    },
    metrics,
    pace::Pace,
};

/// One message on its way to the node.
#[derive(Debug)]
struct Waiting {
    id: MessageId,
    /// Who passed it on to us.
    forwarder: PeerId,
    payload: Bytes,
}

#[derive(Debug, Default)]
struct Source {
    messages: Pace,
    bytes: Pace,
    /// The first one is with the node.
    queue: VecDeque<Waiting>,
}

/// The messages under way, by who signed them.
#[derive(Debug, Default)]
pub(super) struct LiveMessages {
    sources: BTreeMap<PeerId, Source>,
    waiting: usize,
    waiting_bytes: usize,
}

impl LiveMessages {
    /// Takes a message, if its source is within its pace and there is room; whether it is the only one of its source.
    fn admit(&mut self, source: PeerId, message: Waiting, now_ms: u64) -> Option<bool> {
        if !self.sources.contains_key(&source) && self.sources.len() >= MAX_LIVE_SOURCES {
            self.sources.retain(|_, source| !source.queue.is_empty() || !source.messages.is_idle(now_ms));
            if self.sources.len() >= MAX_LIVE_SOURCES {
                return None;
            }
        }
        let len = message.payload.len();
        let from = self.sources.entry(source).or_default();
        // A slow node must not make this side keep more and more: what is late is of no use anyway.
        let room = self.waiting < MAX_LIVE_WAITING
            && self.waiting_bytes + len <= MAX_LIVE_WAITING_BYTES
            && from.queue.len() < MAX_LIVE_WAITING_OF_ONE;
        let bytes_us = (len as u64).saturating_mul(1_000_000) / LIVE_BYTES_PER_SECOND;
        let paced = from.messages.take(now_ms, 1_000_000 / LIVE_MESSAGES_PER_SECOND, LIVE_BURST_US)
            && from.bytes.take(now_ms, bytes_us, LIVE_BURST_US);
        if !(room && paced) {
            return None;
        }
        self.waiting += 1;
        self.waiting_bytes += len;
        from.queue.push_back(message);
        Some(from.queue.len() == 1)
    }

    /// The one that the node has heard; and the next one of the same source.
    fn heard(&mut self, source: &PeerId) -> Option<(Waiting, Option<Bytes>)> {
        let from = self.sources.get_mut(source)?;
        let done = from.queue.pop_front()?;
        self.waiting -= 1;
        self.waiting_bytes -= done.payload.len();
        Some((done, from.queue.front().map(|next| next.payload.clone())))
    }
}

impl Running {
    /// Sends a message of this gateway to every member connected now.
    pub(super) fn broadcast(&mut self, payload: Bytes) {
        let message = Live { payload }.encode();
        let topic = live_topic(&self.secret.net);
        match self.swarm.behaviour_mut().gossip().publish(topic, message) {
            Ok(_) => metrics::live("sent"),
            // Alone: there is nobody to tell.
            Err(PublishError::NoPeersSubscribedToTopic) => metrics::live("alone"),
            Err(error) => {
                metrics::live("unsent");
                tracing::debug!(%error, "a live message was not sent");
            }
        }
    }

    /// A member passed a live message on. The signature was verified: `message.source` made it.
    pub(super) fn heard_live(&mut self, forwarder: PeerId, id: &MessageId, message: &Message) {
        let verdict = |running: &mut Self, acceptance, outcome| {
            metrics::live(outcome);
            running.judge(id, &forwarder, acceptance);
        };
        let Ok(live) = Live::decode(&message.data) else {
            // Whoever passes it on should have found out.
            metrics::misbehaved();
            verdict(self, MessageAcceptance::Reject, "malformed");
            return;
        };
        // One who makes up a new key for each message has no pace: only members of the network are heard.
        let source = message.source.filter(|source| self.engine.knows(&Self::replica(source)));
        let Some(source) = source else {
            verdict(self, MessageAcceptance::Ignore, "unknown_source");
            return;
        };
        let payload = live.payload;
        let waiting = Waiting { id: id.clone(), forwarder, payload: payload.clone() };
        match self.live.admit(source, waiting, self.now_ms()) {
            Some(true) => self.spawn_hear(source, payload),
            Some(false) => {}
            None => verdict(self, MessageAcceptance::Ignore, "limited"),
        }
    }

    /// The node has heard a message; `None`: it did not in time.
    pub(super) fn live_judged(&mut self, source: PeerId, accepted: Option<bool>) {
        let Some((done, next)) = self.live.heard(&source) else { return };
        let (acceptance, outcome) = match accepted {
            Some(true) => (MessageAcceptance::Accept, "accepted"),
            Some(false) => (MessageAcceptance::Reject, "refused"),
            None => (MessageAcceptance::Ignore, "late"),
        };
        metrics::live(outcome);
        self.judge(&done.id, &done.forwarder, acceptance);
        if let Some(payload) = next {
            self.spawn_hear(source, payload);
        }
    }

    /// Passes a message on, or not. `false` from gossipsub only says that it is too old to be known.
    pub(super) fn judge(&mut self, id: &MessageId, forwarder: &PeerId, acceptance: MessageAcceptance) {
        self.swarm.behaviour_mut().gossip().report_message_validation_result(id, forwarder, acceptance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Waiting {
        Waiting { id: MessageId::new(&[1]), forwarder: PeerId::random(), payload: vec![0; bytes].into() }
    }

    #[test]
    fn each_source_has_a_pace_of_its_own() {
        let mut live = LiveMessages::default();
        let (loud, quiet) = (PeerId::random(), PeerId::random());
        let mut taken = 0;
        for _ in 0..3 * LIVE_MESSAGES_PER_SECOND {
            if live.admit(loud, message(10), 1000).is_some() {
                taken += 1;
                live.heard(&loud).unwrap();
            }
        }
        assert_eq!(taken, LIVE_MESSAGES_PER_SECOND);
        assert_eq!(live.admit(quiet, message(10), 1000), Some(true));
        assert_eq!(live.admit(loud, message(10), 2000), Some(true), "a second later");
        // Large ones are bounded by their bytes.
        let other = PeerId::random();
        let count = (0..100)
            .filter(|_| {
                let taken = live.admit(other, message(32 * 1024), 1000).is_some();
                live.heard(&other);
                taken
            })
            .count();
        assert_eq!(count, 32, "a MiB");
    }

    #[test]
    fn messages_of_one_source_are_heard_in_order_and_few_wait() {
        let mut live = LiveMessages::default();
        let source = PeerId::random();
        assert_eq!(live.admit(source, message(1), 0), Some(true));
        for number in 2..=MAX_LIVE_WAITING_OF_ONE {
            assert_eq!(live.admit(source, message(number), 0), Some(false), "one after the other");
        }
        assert_eq!(live.admit(source, message(1), 0), None);
        for number in 1..=MAX_LIVE_WAITING_OF_ONE {
            let (done, next) = live.heard(&source).unwrap();
            assert_eq!(done.payload.len(), number);
            assert_eq!(next.map(|next| next.len()), (number < MAX_LIVE_WAITING_OF_ONE).then_some(number + 1));
        }
        assert!(live.heard(&source).is_none());
        assert_eq!((live.waiting, live.waiting_bytes), (0, 0));
    }

    #[test]
    fn a_node_that_hears_nothing_fills_a_bounded_queue() {
        let mut live = LiveMessages::default();
        for _ in 0..2 * MAX_LIVE_SOURCES {
            let source = PeerId::random();
            (0..4).for_each(|_| {
                live.admit(source, message(100), 0);
            });
        }
        assert_eq!(live.waiting, MAX_LIVE_WAITING);
        assert!(live.sources.len() <= MAX_LIVE_SOURCES);
        // Later, whoever has nothing under way makes room.
        assert!(live.sources.len() == MAX_LIVE_SOURCES);
        let (first, _) = live.sources.iter().find(|(_, source)| !source.queue.is_empty()).unwrap();
        let first = *first;
        live.heard(&first).unwrap();
        assert_eq!(live.admit(PeerId::random(), message(1), 60_000), Some(true));
        assert!(live.sources.len() < MAX_LIVE_SOURCES);
    }
}
