//! Responses.

use bytes::Bytes;
use rustdht_core::{RecordId, Refusal, cbor};

use super::{
    Protocol,
    limits::{MAX_ANSWER_ENVELOPES, MAX_FETCH_RECORDS},
    parts::{
        Fields, PutOutcome, Reply, SyncMessage, entries, fields, kind_of, malformed, read_chain, read_envelopes,
        read_members, read_outcomes, read_records, too_large, write_chain, write_envelopes, write_members,
        write_records,
    },
};

/// The answer to a request of the same protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// See [`Reply`].
    Hello(Reply),
    /// One outcome for each envelope, in order.
    Put {
        /// As many as envelopes.
        outcomes: Vec<PutOutcome>,
    },
    /// Envelopes that carry entries of the soul; none: nothing is known of it.
    Get {
        /// At most [`super::MAX_GET_BYTES`] in all.
        envelopes: Vec<Bytes>,
    },
    /// See [`SyncMessage`].
    Sync(SyncMessage),
    /// Envelopes that carry as many of the records as fit.
    Fetch {
        /// At most [`super::MAX_FETCH_BYTES`] in all.
        envelopes: Vec<Bytes>,
        /// Records that are not here; those that did not fit are in neither part.
        missing: Vec<RecordId>,
    },
    /// A chain of certificates from the leaf up, each as its bytes and signature, unverified; none: not issued here. At
    /// most [`crate::limits::MAX_CHAIN`].
    Certify(Vec<(Bytes, Bytes)>),
}

impl Response {
    /// The bytes on the wire.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        match self {
            Self::Hello(reply) => write_reply(&mut out, reply),
            Self::Put { outcomes } => {
                cbor::map(&mut out, 2);
                cbor::text(&mut out, "o");
                cbor::array(&mut out, outcomes.len());
                outcomes.iter().for_each(|outcome| outcome.write(&mut out));
                cbor::text(&mut out, "t");
                cbor::text(&mut out, "put");
            }
            Self::Get { envelopes } => {
                cbor::map(&mut out, 2);
                cbor::text(&mut out, "e");
                write_envelopes(&mut out, envelopes);
                cbor::text(&mut out, "t");
                cbor::text(&mut out, "get");
            }
            Self::Sync(message) => message.write(&mut out),
            Self::Fetch { envelopes, missing } => {
                cbor::map(&mut out, 3);
                cbor::text(&mut out, "e");
                write_envelopes(&mut out, envelopes);
                cbor::text(&mut out, "m");
                write_records(&mut out, missing);
                cbor::text(&mut out, "t");
                cbor::text(&mut out, "fetch");
            }
            Self::Certify(chain) => {
                cbor::map(&mut out, 2);
                cbor::text(&mut out, "c");
                write_chain(&mut out, chain);
                cbor::text(&mut out, "t");
                cbor::text(&mut out, "certify");
            }
        }
        out
    }

    /// Reads a response of `protocol`.
    ///
    /// # Errors
    /// `too_large` above a bound, else `malformed`.
    pub fn decode(protocol: Protocol, bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > protocol.max_response_bytes() {
            return Err(too_large("a response above its bound"));
        }
        let entries = entries(bytes)?;
        let kind = kind_of(&entries)?;
        match (protocol, kind) {
            (Protocol::Hello, kind) => read_reply(kind, &entries).map(Self::Hello),
            (Protocol::Put, "put") => {
                let [outcomes, _] = fields(&entries, ["o", "t"])?;
                Ok(Self::Put { outcomes: read_outcomes(outcomes)? })
            }
            (Protocol::Get, "get") => {
                let [envelopes, _] = fields(&entries, ["e", "t"])?;
                Ok(Self::Get { envelopes: read_envelopes(envelopes, MAX_ANSWER_ENVELOPES)? })
            }
            (Protocol::Sync, kind) => SyncMessage::read(kind, &entries).map(Self::Sync),
            (Protocol::Fetch, "fetch") => {
                let [envelopes, missing, _] = fields(&entries, ["e", "m", "t"])?;
                Ok(Self::Fetch {
                    envelopes: read_envelopes(envelopes, MAX_ANSWER_ENVELOPES)?,
                    missing: read_records(missing, MAX_FETCH_RECORDS)?,
                })
            }
            (Protocol::Certify, "certify") => Ok(Self::Certify(read_chain(fields(&entries, ["c", "t"])?[0])?)),
            _ => Err(malformed("an unknown kind of message")),
        }
    }
}

fn write_reply(out: &mut Vec<u8>, reply: &Reply) {
    match reply {
        Reply::Challenge { proof, nonce, incarnation } => {
            cbor::map(out, 4);
            cbor::text(out, "i");
            cbor::bytes(out, incarnation);
            cbor::text(out, "n");
            cbor::bytes(out, nonce);
            cbor::text(out, "p");
            cbor::bytes(out, proof);
            cbor::text(out, "t");
            cbor::text(out, "challenge");
        }
        Reply::Welcome(members) => {
            cbor::map(out, 2);
            cbor::text(out, "m");
            write_members(out, members);
            cbor::text(out, "t");
            cbor::text(out, "welcome");
        }
        Reply::Denied => {
            cbor::map(out, 1);
            cbor::text(out, "t");
            cbor::text(out, "denied");
        }
    }
}

fn read_reply(kind: &str, entries: &Fields<'_>) -> Result<Reply, Refusal> {
    match kind {
        "challenge" => {
            let [incarnation, nonce, proof, _] = fields(entries, ["i", "n", "p", "t"])?;
            Ok(Reply::Challenge {
                proof: proof.item()?.array()?,
                nonce: nonce.item()?.array()?,
                incarnation: incarnation.item()?.array()?,
            })
        }
        "welcome" => {
            let [members, _] = fields(entries, ["m", "t"])?;
            Ok(Reply::Welcome(read_members(members)?))
        }
        "denied" => fields(entries, ["t"]).map(|[_]| Reply::Denied),
        _ => Err(malformed("an unknown kind of message")),
    }
}
