//! Doing what the engine says.

use libp2p::{PeerId, gossipsub::MessageAcceptance};
use rustdht_core::ports::{IngestOutcome, ReplicaId};
use rustdht_dht::{Input, Note, Output, Token};
use rustdht_wire::protocol::{Greeting, Request};

use super::{Running, Sent, Waiting};
use crate::{behaviour::live_topic, metrics};

impl Running {
    pub(super) fn perform(&mut self, output: Output) {
        match output {
            Output::Send { token, to, request } => self.send(token, &to, request),
            Output::Respond { id, response } => {
                if let Some(inbound) = self.inbound.remove(&id) {
                    self.swarm.behaviour_mut().respond(inbound.protocol, inbound.channel, response);
                }
            }
            // Dropping the channel closes the stream without an answer.
            Output::Refuse { id } => drop(self.inbound.remove(&id)),
            Output::Ingest { token, from, envelopes } => self.spawn_ingest(token, from, envelopes),
            Output::LoadRecords { token, records, max_bytes } => self.spawn_load(token, records, max_bytes),
            Output::LoadSoul { token, soul, max_bytes } => self.spawn_load_soul(token, soul, max_bytes),
            Output::Durable { caller, durability } => {
                if let Some(Waiting::Durability(reply)) = self.waiting.remove(&caller) {
                    // The caller may have given up.
                    let _ = reply.send(durability);
                }
            }
            Output::Found { caller, envelopes } => {
                if let Some(Waiting::Soul(reply)) = self.waiting.remove(&caller) {
                    let _ = reply.send(envelopes);
                }
            }
            Output::Judged { caller, outcome } => {
                if let Some(Waiting::Gossip { message, source }) = self.waiting.remove(&caller) {
                    let acceptance = match outcome {
                        IngestOutcome::Durable => MessageAcceptance::Accept,
                        IngestOutcome::Refused(_) => MessageAcceptance::Reject,
                        _ => MessageAcceptance::Ignore,
                    };
                    self.judge(&message, &source, acceptance);
                }
            }
            Output::Announce { envelope } => {
                let topic = live_topic(&self.secret.net);
                if let Err(error) = self.swarm.behaviour_mut().gossip().publish(topic, envelope) {
                    tracing::debug!(%error, "an envelope was not gossiped");
                }
            }
            Output::Save { key, value } => self.save(key, value),
            Output::Distrust { replica } => {
                if let Ok(peer) = replica.0.parse::<PeerId>() {
                    self.ban(peer, "misbehaviour");
                }
            }
            Output::Note(note) => self.note(note),
        }
    }

    fn send(&mut self, token: Token, to: &ReplicaId, request: Request) {
        match to.0.parse::<PeerId>() {
            Ok(peer) if self.sessions.contains_key(&peer) => {
                metrics::request(request.protocol(), "out");
                let id = self.swarm.behaviour_mut().send(&peer, request);
                self.sent.insert(id, Sent::Engine(token));
            }
            _ => self.feed(Input::Failed { token }),
        }
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::MemberLearned { replica, record } => {
                tracing::info!(%replica, "a member is known");
                let Ok(peer) = replica.0.parse::<PeerId>() else { return };
                let member = self.member(&peer, record);
                let others: Vec<PeerId> = self
                    .sessions
                    .iter()
                    .filter(|(other, session)| session.is_member() && **other != peer)
                    .map(|(other, _)| *other)
                    .collect();
                for other in others {
                    let news = Request::Hello(Greeting::Members(vec![member.clone()]));
                    let id = self.swarm.behaviour_mut().send(&other, news);
                    self.sent.insert(id, Sent::Hello(other));
                }
            }
            Note::MemberRetired { replica } => tracing::info!(%replica, "a member was not seen for seven days"),
            Note::QueueDropped { replica, commits } => {
                tracing::debug!(%replica, commits, "a queue was over its bound; reconciliation will deliver");
            }
            Note::Equal { replica, rounds, fetched, offered } => {
                metrics::reconciled("equal");
                tracing::debug!(%replica, rounds, fetched, offered, "reconciled");
            }
            Note::Unequal { replica } => {
                metrics::reconciled("unequal");
                tracing::debug!(%replica, "reconciliation is to be continued");
            }
            Note::Refused { replica, refusal } => {
                metrics::refused(refusal.code.as_str());
                tracing::debug!(%replica, %refusal, "an envelope was refused");
            }
            Note::Misbehaved { replica, what } => {
                metrics::misbehaved();
                tracing::warn!(%replica, what, "a member broke the protocol");
            }
        }
    }
}
