//! Reads a message of a stranger: strict about the form, bounded in what is kept of it.

use bytes::Bytes;
use cid::Cid;

use super::proto::{Fields, Value};
use super::{DAG_PB, Entry, Kind, Message, Payload, Presence};
use crate::DecodeError;
use crate::hash::{Hash, SHA2_256, servable};
use crate::limits::{MAX_BLOCK_BYTES, MAX_CID_BYTES, MAX_ITEMS_PER_MESSAGE};

/// A block that is at least this part of its message shares the message's memory; a smaller one is copied out, so that
/// what is kept never holds more than four times its size.
const SHARED_PART: usize = 4;

/// Reads one message without its length. Time and memory are linear in its length, and not more than
/// [`MAX_ITEMS_PER_MESSAGE`] of each kind are kept.
pub(crate) fn decode(frame: &Bytes) -> Result<Message, DecodeError> {
    let mut message = Message::default();
    let mut fields = Fields::new(frame);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => wantlist(value.bytes("wantlist")?, &mut message)?,
            2 => {
                let data = value.bytes("blocks")?;
                keep_block(frame, Hash::new(SHA2_256, 32), data, &mut message);
            }
            3 => payload(frame, value.bytes("payload")?, &mut message)?,
            4 => presence(value.bytes("blockPresences")?, &mut message)?,
            // pendingBytes: a hint that nothing here is decided by.
            5 => drop(value.number("pendingBytes")?),
            _ => {}
        }
    }
    Ok(message)
}

fn wantlist(bytes: &[u8], message: &mut Message) -> Result<(), DecodeError> {
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => entry(value.bytes("entries")?, message)?,
            2 => message.full = value.number("full")? != 0,
            _ => {}
        }
    }
    Ok(())
}

fn entry(bytes: &[u8], message: &mut Message) -> Result<(), DecodeError> {
    let (mut cid, mut priority, mut cancel) = (None, 0, false);
    let (mut kind, mut send_dont_have) = (Kind::Block, false);
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => cid = Some(value.bytes("block")?),
            // An int32 is sent as its sign-extended 64 bits.
            2 => priority = value.number("priority")? as i32,
            3 => cancel = value.number("cancel")? != 0,
            4 => kind = if value.number("wantType")? == 0 { Kind::Block } else { Kind::Have },
            5 => send_dont_have = value.number("sendDontHave")? != 0,
            _ => {}
        }
    }
    if message.wants.len() >= MAX_ITEMS_PER_MESSAGE {
        message.dropped_wants += 1;
        return Ok(());
    }
    match cid.and_then(read_cid) {
        Some(cid) => message.wants.push(Entry { cid, priority, cancel, kind, send_dont_have }),
        None => message.refused += 1,
    }
    Ok(())
}

/// `None`: not a CID, longer than boxo allows, or one that nobody serves. Not a fault of the message: other
/// implementations ask for identity CIDs without meaning harm.
fn read_cid(bytes: &[u8]) -> Option<Cid> {
    if bytes.len() > MAX_CID_BYTES {
        return None;
    }
    let mut rest = bytes;
    let cid = Cid::read_bytes(&mut rest).ok()?;
    (rest.is_empty() && servable(&cid)).then_some(cid)
}

fn payload(frame: &Bytes, bytes: &[u8], message: &mut Message) -> Result<(), DecodeError> {
    let (mut prefix, mut data) = (&[][..], &[][..]);
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => prefix = value.bytes("prefix")?,
            2 => data = value.bytes("data")?,
            _ => {}
        }
    }
    keep_block(frame, hash_of(prefix)?, data, message);
    Ok(())
}

/// What a prefix says: version, codec, hash function and its length, as four varints.
fn hash_of(prefix: &[u8]) -> Result<Option<Hash>, DecodeError> {
    let mut fields = Fields::new(prefix);
    let mut next = || fields.varint().map_err(|_| DecodeError::Prefix);
    let (version, codec, code, len) = (next()?, next()?, next()?, next()?);
    if !fields.is_empty() || version > 1 || (version == 0 && codec != DAG_PB) {
        return Err(DecodeError::Prefix);
    }
    Ok(usize::try_from(len).ok().and_then(|len| Hash::new(code, len)))
}

fn keep_block(frame: &Bytes, hash: Option<Hash>, data: &[u8], message: &mut Message) {
    let fits = data.len() <= MAX_BLOCK_BYTES && message.blocks.len() < MAX_ITEMS_PER_MESSAGE;
    let Some(hash) = hash.filter(|_| fits) else {
        message.refused += 1;
        return;
    };
    let shares = data.len() * SHARED_PART >= frame.len();
    let data = if shares { frame.slice_ref(data) } else { Bytes::copy_from_slice(data) };
    message.blocks.push(Payload { hash, data });
}

fn presence(bytes: &[u8], message: &mut Message) -> Result<(), DecodeError> {
    let (mut cid, mut have) = (None, true);
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, value) => cid = Some(value.bytes("cid")?),
            (2, Value::Varint(kind)) => have = kind == 0,
            (2, _) => return Err(DecodeError::Type("type")),
            _ => {}
        }
    }
    match cid.and_then(read_cid) {
        Some(cid) if message.presences.len() < MAX_ITEMS_PER_MESSAGE => message.presences.push(Presence { cid, have }),
        _ => message.refused += 1,
    }
    Ok(())
}
