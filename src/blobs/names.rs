//! The form of IPNS records (specs.ipfs.tech/ipns/ipns-record): made and checked here, kept and looked up elsewhere.
//!
//! Signature V2 over the DAG-CBOR document is what counts. The fields of version 1 are written for older readers, and
//! when they are there they have to say the same as the document; the signature V1 is never looked at.

mod record;
mod time;

use bytes::Bytes;
use libp2p_identity::{Keypair, PeerId, PublicKey};
use rustdht_core::ports::{IpnsName, MAX_IPNS_RECORD_BYTES, NameDraft, NameError, NameRecord, NameRecords};

use record::{Document, Entry};

/// Before the document in what signature V2 is over.
const SIGNED_V2: &[u8] = b"ipns-signature:";
/// What an empty value stands for: no bytes (as boxo reads it; the data of such a record is in its other fields).
const NOTHING: &str = "/ipfs/bafkqaaa";
/// Multihash code of a name that holds its key.
const IDENTITY: u64 = 0;
/// Longest cache time that is believed, in seconds: a year. Nanoseconds beyond it are nobody's intention.
const MAX_TTL_S: u64 = 365 * 86_400;

/// Makes and checks records.
#[derive(Clone, Copy, Debug, Default)]
pub struct IpnsRecords;

fn invalid(why: impl Into<String>) -> NameError {
    NameError::Invalid(why.into())
}

fn refuse<T>(why: &'static str) -> Result<T, NameError> {
    Err(invalid(why))
}

/// The key of a name: inlined in it, or carried by the record.
fn key_of(name: &IpnsName, carried: Option<&[u8]>) -> Result<PublicKey, NameError> {
    let encoded = match carried {
        Some(carried) => carried,
        None if name.multihash().code() == IDENTITY => name.multihash().digest(),
        None => return refuse("it carries no public key, and its name is the hash of one"),
    };
    let key = PublicKey::try_decode_protobuf(encoded).map_err(|error| invalid(format!("its public key: {error}")))?;
    // The peer id of a key is its name.
    if PeerId::from_public_key(&key).as_ref() != name.multihash() {
        return refuse("its public key is not that of the name");
    }
    Ok(key)
}

/// What the document's value stands for, as a path.
fn path_of(value: &[u8]) -> Result<String, NameError> {
    if value.is_empty() {
        return Ok(NOTHING.to_owned());
    }
    // Old records hold the bytes of a CID.
    if value[0] != b'/' {
        let cid = cid::Cid::try_from(value).ok().filter(|cid| cid.encoded_len() == value.len());
        return cid.map(|cid| format!("/ipfs/{cid}")).ok_or_else(|| invalid("its value is neither a path nor a CID"));
    }
    let text = std::str::from_utf8(value).map_err(|_| invalid("its value is not UTF-8"))?;
    let known =
        ["/ipfs/", "/ipns/"].iter().any(|prefix| text.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()));
    if known { Ok(text.to_owned()) } else { refuse("its value is no path under /ipfs/ or /ipns/") }
}

impl NameRecords for IpnsRecords {
    fn check(&self, name: &IpnsName, record: Bytes, now_ms: u64) -> Result<NameRecord, NameError> {
        if record.len() > MAX_IPNS_RECORD_BYTES {
            return refuse("larger than 10 KiB");
        }
        let entry = Entry::read(&record).map_err(invalid)?;
        let Some(signature) = entry.signature_v2.filter(|signature| !signature.is_empty()) else {
            return refuse("no signature V2");
        };
        let Some(data) = entry.data.filter(|data| !data.is_empty()) else { return refuse("no document") };
        let key = key_of(name, entry.public_key.filter(|key| !key.is_empty()))?;
        if !key.verify(&[SIGNED_V2, data].concat(), signature) {
            return refuse("the signature V2 is not one of the name's key over the document");
        }
        let document = Document::read(data).map_err(invalid)?;
        if entry.has_v1() && !entry.says_the_same(&document) {
            return refuse("the fields of version 1 do not say what the document says");
        }
        let until = std::str::from_utf8(document.validity).ok().and_then(time::read);
        let until_ms = until.ok_or_else(|| invalid("its validity is no time of RFC 3339"))?;
        if until_ms < now_ms {
            return Err(invalid(format!("its time was over at {}", time::write(until_ms))));
        }
        let value = path_of(document.value)?;
        let ttl_s = (document.ttl_ns / 1_000_000_000).min(MAX_TTL_S);
        let sequence = document.sequence;
        Ok(NameRecord { value, ttl_s, sequence, until_ms, bytes: record })
    }

    fn sign(&self, seed: &[u8; 32], draft: &NameDraft) -> Result<NameRecord, NameError> {
        path_of(draft.value.as_bytes())?;
        let ttl_s = draft.ttl_s.min(MAX_TTL_S);
        let validity = time::write(draft.until_ms);
        let document = Document {
            value: draft.value.as_bytes(),
            validity: validity.as_bytes(),
            sequence: draft.sequence,
            ttl_ns: ttl_s * 1_000_000_000,
        };
        let mut seed = *seed;
        let keypair = Keypair::ed25519_from_bytes(&mut seed).map_err(|error| invalid(error.to_string()))?;
        let sign = |parts: &[&[u8]]| keypair.sign(&parts.concat()).map_err(|error| invalid(error.to_string()));
        let data = document.write();
        let signature_v2 = sign(&[SIGNED_V2, &data])?;
        // The document's value, its validity and the name of the kind of validity, as text.
        let signature_v1 = sign(&[document.value, document.validity, b"EOL"])?;
        let bytes: Bytes = Entry::write(&document, &signature_v1, &signature_v2, &data).into();
        if bytes.len() > MAX_IPNS_RECORD_BYTES {
            return refuse("a value that makes it larger than 10 KiB");
        }
        Ok(NameRecord { value: draft.value.clone(), ttl_s, sequence: draft.sequence, until_ms: draft.until_ms, bytes })
    }
}

#[cfg(test)]
mod tests;
