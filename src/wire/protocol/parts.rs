//! The parts of requests and responses, and how each is written and read.

use bytes::Bytes;
use rustdht_core::{
    Code, RecordId, Refusal, cbor,
    cbor::{Item, Reader},
    ports::IngestOutcome,
};

use crate::limits::{MAX_CERTIFICATE_BYTES, MAX_CHAIN};

use super::limits::{
    MAX_ADDRESS_BYTES, MAX_HELLO_MEMBERS, MAX_MEMBER_ADDRESSES, MAX_PUT_ENVELOPES, MAX_REASON_BYTES, MAX_RECORD_BYTES,
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
    /// Only ids of earlier seconds, and content, which is indexed behind all seconds, are meant; `None`: all.
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

/// Keys of the message that has most of them.
const MAX_FIELDS: usize = 4;

/// A value of a message: checked to be strict, but not built. A tree of a hostile message would take a hundred times
/// its bytes, and a stranger may send the first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a>(&'a [u8]);

/// Keys and values of a message.
pub(super) type Fields<'a> = [(&'a str, Field<'a>)];

/// The keys and values of a message, in the order of the encoding.
pub(super) fn entries(message: &[u8]) -> Result<Vec<(&str, Field<'_>)>, Refusal> {
    let mut reader = Reader::new(message);
    let len = reader.map_len(0)?;
    if len > MAX_FIELDS {
        return Err(malformed("a message with other keys than its kind has"));
    }
    let mut last = None;
    let mut entries = Vec::with_capacity(len);
    for _ in 0..len {
        let key = reader.key(&mut last)?;
        entries.push((key, Field(reader.raw(1)?)));
    }
    reader.finish()?;
    Ok(entries)
}

pub(super) fn kind_of<'a>(entries: &Fields<'a>) -> Result<&'a str, Refusal> {
    let kind = entries.iter().find(|(key, _)| *key == "t").ok_or_else(|| malformed("a message without its kind"))?;
    kind.1.item()?.text()
}

/// The values of exactly these keys, in the order of the encoding.
pub(super) fn fields<'a, const N: usize>(entries: &Fields<'a>, keys: [&str; N]) -> Result<[Field<'a>; N], Refusal> {
    if entries.len() != N || entries.iter().zip(keys).any(|((key, _), wanted)| *key != wanted) {
        return Err(malformed("a message with other keys than its kind has"));
    }
    let mut index = 0;
    Ok([(); N].map(|()| {
        index += 1;
        entries[index - 1].1
    }))
}

impl<'a> Field<'a> {
    /// The value, which holds no others.
    pub(super) fn item(self) -> Result<Item<'a>, Refusal> {
        if self.is_nested() { Err(malformed("expected a single value")) } else { cbor::decode(self.0) }
    }

    fn is_nested(self) -> bool {
        self.0.first().is_some_and(|first| matches!(first >> 5, 4 | 5))
    }

    /// The elements of an array, counted before anything is kept for them.
    fn elements<T>(self, most: usize, read: impl Fn(Self) -> Result<T, Refusal>) -> Result<Vec<T>, Refusal> {
        let mut reader = Reader::new(self.0);
        let len = reader.array_len(1)?;
        if len > most {
            return Err(too_large("more elements than a message may hold"));
        }
        let mut elements = Vec::with_capacity(len);
        for _ in 0..len {
            elements.push(read(Field(reader.raw(2)?))?);
        }
        Ok(elements)
    }
}

pub(super) fn write_envelopes(out: &mut Vec<u8>, envelopes: &[Bytes]) {
    cbor::array(out, envelopes.len());
    envelopes.iter().for_each(|envelope| cbor::bytes(out, envelope));
}

pub(super) fn read_envelopes(field: Field<'_>, most: usize) -> Result<Vec<Bytes>, Refusal> {
    field.elements(most, |element| {
        let bytes = element.item()?.bytes()?;
        if bytes.len() > MAX_REPLICA_ENVELOPE_BYTES {
            return Err(too_large("an envelope above its bound"));
        }
        Ok(Bytes::copy_from_slice(bytes))
    })
}

pub(super) fn write_chain(out: &mut Vec<u8>, chain: &[(Bytes, Bytes)]) {
    cbor::array(out, chain.len());
    for (certificate, signature) in chain {
        cbor::array(out, 2);
        cbor::bytes(out, certificate);
        cbor::bytes(out, signature);
    }
}

pub(super) fn read_chain(field: Field<'_>) -> Result<Vec<(Bytes, Bytes)>, Refusal> {
    field.elements(MAX_CHAIN, |element| {
        let [certificate, signature] =
            element.elements(2, Field::item)?.try_into().map_err(|_| malformed("expected a pair"))?;
        let (certificate, signature) = (certificate.bytes()?, signature.array::<64>()?);
        if certificate.len() > MAX_CERTIFICATE_BYTES {
            return Err(too_large("a certificate above its bound"));
        }
        Ok((Bytes::copy_from_slice(certificate), Bytes::copy_from_slice(&signature)))
    })
}

pub(super) fn write_records(out: &mut Vec<u8>, records: &[RecordId]) {
    cbor::array(out, records.len());
    records.iter().for_each(|record| cbor::bytes(out, &record.0));
}

pub(super) fn read_records(field: Field<'_>, most: usize) -> Result<Vec<RecordId>, Refusal> {
    field.elements(most, |element| element.item()?.array().map(RecordId))
}

pub(super) fn write_members(out: &mut Vec<u8>, members: &[Member]) {
    cbor::array(out, members.len());
    for member in members {
        cbor::array(out, 1 + member.addresses.len());
        cbor::bytes(out, &member.record);
        member.addresses.iter().for_each(|address| cbor::text(out, address));
    }
}

pub(super) fn read_members(field: Field<'_>) -> Result<Vec<Member>, Refusal> {
    field.elements(MAX_HELLO_MEMBERS, read_member)
}

fn read_member(field: Field<'_>) -> Result<Member, Refusal> {
    let elements = field.elements(1 + MAX_MEMBER_ADDRESSES, Field::item)?;
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

    pub(super) fn read(kind: &str, entries: &Fields<'_>) -> Result<Self, Refusal> {
        match kind {
            "summary" => {
                let [count, sum, _, below] = fields(entries, ["n", "s", "t", "below"])?;
                let below_seconds = match below.item()? {
                    Item::Null => None,
                    other => Some(u32::try_from(other.uint()?).map_err(|_| malformed("seconds beyond 32 bits"))?),
                };
                let (count, sum) = (count.item()?.uint()?, sum.item()?.array()?);
                Ok(Self::Summary(Summary { below_seconds, count, sum }))
            }
            "ranges" => {
                let [message, _] = fields(entries, ["m", "t"])?;
                let message = message.item()?.bytes()?;
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

    fn read(field: Field<'_>) -> Result<Self, Refusal> {
        if field.is_nested() {
            return match field.elements(3, Field::item)?.as_slice() {
                [until] => Ok(Self(IngestOutcome::Early { until_ms: until.uint()? })),
                [code, detail, field] => {
                    let code = Code::parse(code.text()?).ok_or_else(|| malformed("an unknown refusal code"))?;
                    let mut refusal = Refusal::new(code, clip(detail.text()?).to_owned());
                    refusal.field = clip(field.text()?).to_owned();
                    Ok(Self(IngestOutcome::Refused(refusal)))
                }
                _ => Err(malformed("an unknown outcome")),
            };
        }
        match field.item()? {
            Item::Uint(0) => Ok(Self(IngestOutcome::Durable)),
            Item::Uint(1) => Ok(Self(IngestOutcome::Pending)),
            Item::Uint(2) => Ok(Self(IngestOutcome::Unavailable)),
            _ => Err(malformed("an unknown outcome")),
        }
    }
}

/// The outcomes of a put, one for each envelope.
pub(super) fn read_outcomes(field: Field<'_>) -> Result<Vec<PutOutcome>, Refusal> {
    field.elements(MAX_PUT_ENVELOPES, PutOutcome::read)
}

/// At most [`MAX_REASON_BYTES`] of a text, ending at a character.
fn clip(text: &str) -> &str {
    let end = (0..=MAX_REASON_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}
