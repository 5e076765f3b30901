//! The parts of requests and responses, and how each is written and read.

use bytes::Bytes;
use rustdht_core::{Code, RecordId, Refusal, cbor, cbor::Item, ports::IngestOutcome};

use super::limits::{
    MAX_ADDRESS_BYTES, MAX_HELLO_MEMBERS, MAX_MEMBER_ADDRESSES, MAX_REASON_BYTES, MAX_RECORD_BYTES,
    MAX_REPLICA_ENVELOPE_BYTES, SYNC_FRAME_BYTES,
};

/// A member as others know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its signed replica record, unverified.
    pub record: Bytes,
    /// Where it was last reached, as multiaddrs.
    pub addresses: Vec<String>,
}

/// What the side that opens says, in the order of the exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// Asks the other side to prove the network key.
    Open {
        /// Fresh; the other side's proof covers it.
        nonce: [u8; 32],
        /// Random per start of the process: a new one says that older connections are dead.
        incarnation: [u8; 8],
    },
    /// Proves the network key.
    Prove {
        /// Over the nonce of the challenge.
        proof: [u8; 32],
        /// The members it knows, itself first.
        members: Vec<Member>,
    },
    /// Members learned since; only after both sides have proved themselves.
    Members(Vec<Member>),
}

/// What the side that was greeted answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `Open`: its own proof and nonce.
    Challenge {
        /// Over the nonce of `Open`.
        proof: [u8; 32],
        /// Fresh; the next proof covers it.
        nonce: [u8; 32],
        /// As in `Open`.
        incarnation: [u8; 8],
    },
    /// To `Prove` when it holds, and to `Members`.
    Welcome(Vec<Member>),
    /// To anything that does not hold.
    Denied,
}

/// A set of record ids in 40 bytes: how many, and their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Only ids of earlier seconds are meant; `None`: all.
    pub below_seconds: Option<u32>,
    /// How many there are.
    pub count: u64,
    /// Their sum modulo 2^256 as little-endian integers.
    pub sum: [u8; 32],
}

/// A round of reconciliation, in both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncMessage {
    /// Are we equal? Answered with the summary of the same seconds.
    Summary(Summary),
    /// A negentropy v1 message.
    Ranges(Bytes),
}

/// What became of a put envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutOutcome(pub IngestOutcome);

pub(super) fn malformed(detail: &'static str) -> Refusal {
    Refusal::new(Code::Malformed, detail)
}

pub(super) fn too_large(detail: &'static str) -> Refusal {
    Refusal::new(Code::TooLarge, detail)
}

/// The values of exactly these keys, in the order of the encoding.
pub(super) fn fields<'a, 'i, const N: usize>(
    entries: &'i [(&'a str, Item<'a>)],
    keys: [&str; N],
) -> Result<[&'i Item<'a>; N], Refusal> {
    if entries.len() != N || entries.iter().zip(keys).any(|((key, _), wanted)| *key != wanted) {
        return Err(malformed("a message with other keys than its kind has"));
    }
    let mut index = 0;
    Ok([(); N].map(|()| {
        index += 1;
        &entries[index - 1].1
    }))
}

fn bounded<'i, 'a>(item: &'i Item<'a>, most: usize) -> Result<&'i [Item<'a>], Refusal> {
    let elements = item.elements()?;
    if elements.len() > most { Err(too_large("more elements than a message may hold")) } else { Ok(elements) }
}

pub(super) fn write_envelopes(out: &mut Vec<u8>, envelopes: &[Bytes]) {
    cbor::array(out, envelopes.len());
    envelopes.iter().for_each(|envelope| cbor::bytes(out, envelope));
}

pub(super) fn read_envelopes(item: &Item<'_>, most: usize) -> Result<Vec<Bytes>, Refusal> {
    let read = |element: &Item<'_>| {
        let bytes = element.bytes()?;
        if bytes.len() > MAX_REPLICA_ENVELOPE_BYTES {
            return Err(too_large("an envelope above its bound"));
        }
        Ok(Bytes::copy_from_slice(bytes))
    };
    bounded(item, most)?.iter().map(read).collect()
}

pub(super) fn write_records(out: &mut Vec<u8>, records: &[RecordId]) {
    cbor::array(out, records.len());
    records.iter().for_each(|record| cbor::bytes(out, &record.0));
}

pub(super) fn read_records(item: &Item<'_>, most: usize) -> Result<Vec<RecordId>, Refusal> {
    bounded(item, most)?.iter().map(|element| element.array().map(RecordId)).collect()
}

pub(super) fn write_members(out: &mut Vec<u8>, members: &[Member]) {
    cbor::array(out, members.len());
    for member in members {
        cbor::array(out, 1 + member.addresses.len());
        cbor::bytes(out, &member.record);
        member.addresses.iter().for_each(|address| cbor::text(out, address));
    }
}

pub(super) fn read_members(item: &Item<'_>) -> Result<Vec<Member>, Refusal> {
    bounded(item, MAX_HELLO_MEMBERS)?.iter().map(read_member).collect()
}

fn read_member(item: &Item<'_>) -> Result<Member, Refusal> {
    let elements = bounded(item, 1 + MAX_MEMBER_ADDRESSES)?;
    let (record, addresses) = elements.split_first().ok_or_else(|| malformed("a member without its record"))?;
    let record = record.bytes()?;
    if record.len() > MAX_RECORD_BYTES {
        return Err(too_large("a replica record above its bound"));
    }
    let read = |element: &Item<'_>| {
        let text = element.text()?;
        if text.len() > MAX_ADDRESS_BYTES { Err(too_large("an address above its bound")) } else { Ok(text.to_owned()) }
    };
    Ok(Member {
        record: Bytes::copy_from_slice(record),
        addresses: addresses.iter().map(read).collect::<Result<_, _>>()?,
    })
}

impl SyncMessage {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Summary(summary) => {
                cbor::map(out, 4);
                cbor::text(out, "n");
                cbor::uint(out, summary.count);
                cbor::text(out, "s");
                cbor::bytes(out, &summary.sum);
                cbor::text(out, "t");
                cbor::text(out, "summary");
                cbor::text(out, "below");
                match summary.below_seconds {
                    Some(seconds) => cbor::uint(out, u64::from(seconds)),
                    None => cbor::null(out),
                }
            }
            Self::Ranges(message) => {
                cbor::map(out, 2);
                cbor::text(out, "m");
                cbor::bytes(out, message);
                cbor::text(out, "t");
                cbor::text(out, "ranges");
            }
        }
    }

    pub(super) fn read(kind: &str, entries: &[(&str, Item<'_>)]) -> Result<Self, Refusal> {
        match kind {
            "summary" => {
                let [count, sum, _, below] = fields(entries, ["n", "s", "t", "below"])?;
                let below_seconds = match below {
                    Item::Null => None,
                    other => Some(u32::try_from(other.uint()?).map_err(|_| malformed("seconds beyond 32 bits"))?),
                };
                Ok(Self::Summary(Summary { below_seconds, count: count.uint()?, sum: sum.array()? }))
            }
            "ranges" => {
                let [message, _] = fields(entries, ["m", "t"])?;
                let message = message.bytes()?;
                if message.len() > SYNC_FRAME_BYTES {
                    return Err(too_large("a reconciliation message above its bound"));
                }
                Ok(Self::Ranges(Bytes::copy_from_slice(message)))
            }
            _ => Err(malformed("an unknown kind of message")),
        }
    }
}

impl PutOutcome {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match &self.0 {
            IngestOutcome::Durable => cbor::uint(out, 0),
            IngestOutcome::Pending => cbor::uint(out, 1),
            IngestOutcome::Unavailable => cbor::uint(out, 2),
            IngestOutcome::Early { until_ms } => {
                cbor::array(out, 1);
                cbor::uint(out, *until_ms);
            }
            IngestOutcome::Refused(refusal) => {
                cbor::array(out, 3);
                cbor::text(out, refusal.code.as_str());
                cbor::text(out, clip(&refusal.detail));
                cbor::text(out, clip(&refusal.field));
            }
        }
    }

    pub(super) fn read(item: &Item<'_>) -> Result<Self, Refusal> {
        Ok(Self(match item {
            Item::Uint(0) => IngestOutcome::Durable,
            Item::Uint(1) => IngestOutcome::Pending,
            Item::Uint(2) => IngestOutcome::Unavailable,
            Item::Array(elements) => match elements.as_slice() {
                [until] => IngestOutcome::Early { until_ms: until.uint()? },
                [code, detail, field] => {
                    let code = Code::parse(code.text()?).ok_or_else(|| malformed("an unknown refusal code"))?;
                    let mut refusal = Refusal::new(code, clip(detail.text()?).to_owned());
                    refusal.field = clip(field.text()?).to_owned();
                    IngestOutcome::Refused(refusal)
                }
                _ => return Err(malformed("an unknown outcome")),
            },
            _ => return Err(malformed("an unknown outcome")),
        }))
    }
}

/// At most [`MAX_REASON_BYTES`] of a text, ending at a character.
fn clip(text: &str) -> &str {
    let end = (0..=MAX_REASON_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}
