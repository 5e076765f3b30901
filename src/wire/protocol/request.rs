//! Requests.

use bytes::Bytes;
use rustdht_core::{PublicKey, RecordId, Refusal, Soul, cbor};

use super::{
    Protocol,
    limits::{MAX_FETCH_RECORDS, MAX_PUT_ENVELOPES},
    parts::{
        Fields, Greeting, SyncMessage, entries, fields, kind_of, malformed, read_envelopes, read_members, read_records,
        too_large, write_envelopes, write_members, write_records,
    },
};

/// A request of one of the protocols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// See [`Greeting`].
    Hello(Greeting),
    /// Make these durable, and say of each what became of it.
    Put {
        /// At most [`MAX_PUT_ENVELOPES`].
        envelopes: Vec<Bytes>,
    },
    /// Envelopes that carry every entry of a soul.
    Get {
        /// The node.
        soul: Soul,
    },
    /// See [`SyncMessage`].
    Sync(SyncMessage),
    /// Envelopes that carry these records.
    Fetch {
        /// At most [`MAX_FETCH_RECORDS`].
        records: Vec<RecordId>,
    },
    /// Make this gateway a member: issue it a certificate.
    Certify {
        /// The gateway key.
        gateway: PublicKey,
    },
}

impl Request {
    /// The protocol that carries it.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        match self {
            Self::Hello(_) => Protocol::Hello,
            Self::Put { .. } => Protocol::Put,
            Self::Get { .. } => Protocol::Get,
            Self::Sync(_) => Protocol::Sync,
            Self::Fetch { .. } => Protocol::Fetch,
            Self::Certify { .. } => Protocol::Certify,
        }
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        match self {
            Self::Hello(greeting) => write_greeting(&mut out, greeting),
            Self::Put { envelopes } => {
                out.reserve(envelopes.iter().map(|envelope| envelope.len() + 5).sum());
                cbor::map(&mut out, 2);
                cbor::text(&mut out, "e");
                write_envelopes(&mut out, envelopes);
                cbor::text(&mut out, "t");
                cbor::text(&mut out, "put");
            }
            Self::Get { soul } => {
                cbor::map(&mut out, 2);
                cbor::text(&mut out, "s");
                cbor::text(&mut out, soul);
                cbor::text(&mut out, "t");
                cbor::text(&mut out, "get");
            }
            Self::Sync(message) => message.write(&mut out),
            Self::Fetch { records } => {
                cbor::map(&mut out, 2);
                cbor::text(&mut out, "r");
                write_records(&mut out, records);
                cbor::text(&mut out, "t");
                cbor::text(&mut out, "fetch");
            }
            Self::Certify { gateway } => {
                cbor::map(&mut out, 2);
                cbor::text(&mut out, "g");
                cbor::bytes(&mut out, &gateway.0);
                cbor::text(&mut out, "t");
                cbor::text(&mut out, "certify");
            }
        }
        out
    }

    /// Reads a request of `protocol`.
    ///
    /// # Errors
    /// `too_large` above a bound, `bad_soul` for a soul that is none, else `malformed`.
    pub fn decode(protocol: Protocol, bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > protocol.max_request_bytes() {
            return Err(too_large("a request above its bound"));
        }
        let entries = entries(bytes)?;
        let kind = kind_of(&entries)?;
        match (protocol, kind) {
            (Protocol::Hello, kind) => read_greeting(kind, &entries).map(Self::Hello),
            (Protocol::Put, "put") => {
                let [envelopes, _] = fields(&entries, ["e", "t"])?;
                Ok(Self::Put { envelopes: read_envelopes(envelopes, MAX_PUT_ENVELOPES)? })
            }
            (Protocol::Get, "get") => {
                let [soul, _] = fields(&entries, ["s", "t"])?;
                Ok(Self::Get { soul: soul.item()?.text()?.parse()? })
            }
            (Protocol::Sync, kind) => SyncMessage::read(kind, &entries).map(Self::Sync),
            (Protocol::Fetch, "fetch") => {
                let [records, _] = fields(&entries, ["r", "t"])?;
                Ok(Self::Fetch { records: read_records(records, MAX_FETCH_RECORDS)? })
            }
            (Protocol::Certify, "certify") => {
                let [gateway, _] = fields(&entries, ["g", "t"])?;
                Ok(Self::Certify { gateway: PublicKey(gateway.item()?.array()?) })
            }
            _ => Err(malformed("an unknown kind of message")),
        }
    }
}

fn write_greeting(out: &mut Vec<u8>, greeting: &Greeting) {
    match greeting {
        Greeting::Open { nonce, incarnation } => {
            cbor::map(out, 3);
            cbor::text(out, "i");
            cbor::bytes(out, incarnation);
            cbor::text(out, "n");
            cbor::bytes(out, nonce);
            cbor::text(out, "t");
            cbor::text(out, "open");
        }
        Greeting::Prove { proof, members } => {
            cbor::map(out, 3);
            cbor::text(out, "m");
            write_members(out, members);
            cbor::text(out, "p");
            cbor::bytes(out, proof);
            cbor::text(out, "t");
            cbor::text(out, "prove");
        }
        Greeting::Members(members) => {
            cbor::map(out, 2);
            cbor::text(out, "m");
            write_members(out, members);
            cbor::text(out, "t");
            cbor::text(out, "members");
        }
    }
}

fn read_greeting(kind: &str, entries: &Fields<'_>) -> Result<Greeting, Refusal> {
    match kind {
        "open" => {
            let [incarnation, nonce, _] = fields(entries, ["i", "n", "t"])?;
            Ok(Greeting::Open { nonce: nonce.item()?.array()?, incarnation: incarnation.item()?.array()? })
        }
        "prove" => {
            let [members, proof, _] = fields(entries, ["m", "p", "t"])?;
            Ok(Greeting::Prove { proof: proof.item()?.array()?, members: read_members(members)? })
        }
        "members" => {
            let [members, _] = fields(entries, ["m", "t"])?;
            Ok(Greeting::Members(read_members(members)?))
        }
        _ => Err(malformed("an unknown kind of message")),
    }
}
