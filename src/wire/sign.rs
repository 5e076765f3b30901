//! Making commits.

use std::sync::Arc;

use bytes::Bytes;
use rustdht_core::{
    Body, CertificateId, Code, CommitId, Entry, Field, MAX_KILLS, MAX_OVER, MAX_VALUE_BYTES, NetId, PublicKey, Refusal,
    Session, Slot, Soul, Stamp, Value, ValueHash, cbor, ports::StoredCommit,
};

use crate::{
    Certificates, EndorsedBy, Extras, Header, Operation, Place, SignedCertificate, SigningKey, Standing,
    assemble::write_extras,
    chain,
    endorse::{check_endorser, endorse},
    limits::{MAX_AUTH, MAX_ENVELOPE_BYTES, MAX_OPERATIONS},
    merkle::{self, Hash},
    operation::{Parts, Written, begin_leaf},
    refuse::{Within, malformed, refuse},
    rules::{Author, Mirror, Slots},
};

/// A commit that was just made.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// The header.
    pub header: Header,
    /// What is stored of the commit beside its entries.
    pub commit: StoredCommit,
    /// The entries, by index.
    pub entries: Vec<Entry>,
    /// The chains of its leaves and of its endorser; they travel in the envelope.
    pub certificates: Vec<Arc<SignedCertificate>>,
    /// The endorsement that travels in the envelope.
    pub endorsements: Vec<EndorsedBy>,
    /// The complete envelope, as a door takes it.
    pub envelope: Bytes,
}

/// Who signs, in which network and session, under which certificates.
#[derive(Debug)]
pub struct Signing<'a> {
    key: &'a SigningKey,
    net: NetId,
    session: Session,
    auth: Vec<CertificateId>,
    author: Author,
    mirror: Mirror,
    certificates: Vec<Arc<SignedCertificate>>,
    endorser: Option<Endorser<'a>>,
}

#[derive(Debug)]
struct Endorser<'a> {
    key: &'a SigningKey,
    certificate: Arc<SignedCertificate>,
    community: PublicKey,
}

impl<'a> Signing<'a> {
    /// Without certificates.
    #[must_use]
    pub fn new(key: &'a SigningKey, net: NetId, session: Session) -> Self {
        Self {
            key,
            net,
            session,
            auth: Vec::new(),
            author: Author::new(key.public(), Vec::new()),
            mirror: Mirror::Refused,
            certificates: Vec::new(),
            endorser: None,
        }
    }

    /// Under these leaf certificates, in this order; `known` holds their chains.
    ///
    /// # Errors
    /// `out_of_range` for more than 4, `malformed` for one twice, `certificate_missing`, `not_authorised`.
    pub fn under(mut self, auth: &[CertificateId], known: &Certificates) -> Result<Self, Refusal> {
        if auth.len() > MAX_AUTH {
            return refuse(Code::OutOfRange, "a header names at most 4 certificates").within("h.auth");
        }
        let mut leaves = Vec::with_capacity(auth.len());
        for (at, id) in auth.iter().enumerate() {
            if auth[..at].contains(id) {
                return Err(malformed("a header names a certificate once").within(&format!("h.auth.{at}")));
            }
            let chain =
                chain::chain(id, known, &self.net).map_err(|refusal| refusal.within(&format!("h.auth.{at}")))?;
            if chain.first().is_none_or(|leaf| leaf.certificate().audience != self.key.public()) {
                return refuse(Code::NotAuthorised, "the certificate was issued to another key")
                    .within(&format!("h.auth.{at}"));
            }
            leaves.extend(chain.first().cloned());
            self.carry(chain);
        }
        self.auth = auth.to_vec();
        self.author = Author::new(self.key.public(), leaves);
        Ok(self)
    }

    /// As a bridge, which writes mirror souls.
    #[must_use]
    pub fn with_mirror(mut self) -> Self {
        self.mirror = Mirror::Own;
        self
    }

    /// As the gateway itself, which writes mirror souls, and local ones that it sends to nobody.
    #[must_use]
    pub fn at_home(mut self) -> Self {
        self.mirror = Mirror::Home;
        self
    }

    /// Endorsed by the holder of a certificate of the community.
    ///
    /// # Errors
    /// `certificate_missing`; `not_authorised` when the certificate does not allow it, or is another key's.
    pub fn endorsed_by(
        mut self,
        key: &'a SigningKey,
        certificate: &CertificateId,
        community: &PublicKey,
        known: &Certificates,
    ) -> Result<Self, Refusal> {
        let chain = chain::chain(certificate, known, &self.net)?;
        let Some(leaf) = chain.first().filter(|leaf| leaf.certificate().audience == key.public()) else {
            return refuse(Code::NotAuthorised, "the certificate was issued to another key");
        };
        self.endorser = Some(Endorser { key, certificate: Arc::clone(leaf), community: *community });
        self.carry(chain);
        Ok(self)
    }

    fn carry(&mut self, chain: Vec<Arc<SignedCertificate>>) {
        for certificate in chain {
            if !self.certificates.iter().any(|known| known.id() == certificate.id()) {
                self.certificates.push(certificate);
            }
        }
    }

    /// Under what an operation on this soul and field stands at this stamp: its slot follows from the writer.
    ///
    /// # Errors
    /// Why the author may not write there.
    pub fn standing(&self, soul: &Soul, field: &Field, stamp: Stamp) -> Result<Standing, Refusal> {
        self.author.stands(soul, field, stamp, self.mirror).map(|(_, standing)| standing)
    }
}

/// Signs the operations as one commit. Values bring their salts with them.
///
/// The operations are held to the same rules as at a door, so that nothing is signed that another member refuses.
///
/// # Errors
/// What [`crate::check`] would say of the commit at a door; `malformed` for a value without salt or a dropped one.
pub fn sign_commit(
    signing: &Signing<'_>,
    seq: u64,
    prev: Option<CommitId>,
    stamp: Stamp,
    operations: Vec<Operation>,
) -> Result<Built, Refusal> {
    let n = match operations.len() {
        0 => return refuse(Code::OutOfRange, "a commit has at least one operation"),
        n if n > MAX_OPERATIONS => return refuse(Code::TooManyOperations, "a commit has at most 1,024 operations"),
        n => n as u16,
    };
    if prev.is_none() != (seq == 0) {
        return refuse(Code::Malformed, "prev is null exactly when seq is 0").within("h.prev");
    }
    let Signing { key, net, session, .. } = *signing;
    let auth = signing.auth.clone();
    let mut header = Header { net, author: key.public(), session, seq, prev, stamp, n, root: [0; 32], auth };
    let mut body = Vec::with_capacity(operations.len() * 192);
    let mut leaves: Vec<Hash> = Vec::with_capacity(operations.len());
    let mut standings: Vec<Standing> = Vec::with_capacity(operations.len());
    let mut scratch = Scratch::default();
    for (index, op) in (0..n).zip(&operations) {
        let mut write = || {
            standings.push(signing.author.judge(op, &session, stamp, Place::Door, signing.mirror)?);
            check_parts(op)?;
            cbor::array(&mut body, 2);
            cbor::uint(&mut body, index.into());
            leaves.push(scratch.write(op, index, &mut body)?);
            Ok(())
        };
        write().map_err(|refusal: Refusal| refusal.within(&format!("ops.{index}")))?;
    }
    header.root = merkle::root(&leaves);
    let header_bytes = Bytes::from(header.encode());
    let id = CommitId::of(&header_bytes);
    let signature = key.sign(&id.0);
    let endorsements = endorsements(signing, &id, stamp)?;
    let extras = Extras { certificates: &signing.certificates, endorsements: &endorsements };
    let envelope = envelope(&header_bytes, &signature, n, &body, &extras)?;
    let entries: Vec<Entry> = (0..n)
        .zip(operations)
        .zip(standings)
        .map(|((index, op), standing)| op.into_entry(id, index, &header, standing))
        .collect();
    let mut slots = Slots::default();
    for entry in &entries {
        slots.insert(entry).map_err(|refusal| refusal.within(&format!("ops.{}", entry.index)))?;
    }
    let commit = StoredCommit {
        id,
        header: header_bytes,
        signature: Bytes::copy_from_slice(&signature),
        leaves: leaves.concat().into(),
        proofs: Bytes::new(),
    };
    let certificates = signing.certificates.clone();
    Ok(Built { header, commit, entries, certificates, endorsements, envelope })
}

fn endorsements(signing: &Signing<'_>, commit: &CommitId, stamp: Stamp) -> Result<Vec<EndorsedBy>, Refusal> {
    let Some(Endorser { key, certificate, community }) = &signing.endorser else { return Ok(Vec::new()) };
    check_endorser(certificate, community, stamp)?;
    Ok(vec![EndorsedBy { certificate: certificate.id(), signature: endorse(key, commit) }])
}

fn envelope(
    header: &[u8],
    signature: &[u8; 64],
    n: u16,
    operations: &[u8],
    extras: &Extras<'_>,
) -> Result<Bytes, Refusal> {
    let mut out = Vec::with_capacity(header.len() + operations.len() + 96 + extras.size_bytes());
    cbor::map(&mut out, 3 + extras.keys());
    write_extras(&mut out, extras);
    cbor::text(&mut out, "g");
    cbor::bytes(&mut out, signature);
    cbor::text(&mut out, "h");
    cbor::bytes(&mut out, header);
    cbor::text(&mut out, "ops");
    cbor::array(&mut out, n.into());
    out.extend_from_slice(operations);
    if out.len() > MAX_ENVELOPE_BYTES {
        return refuse(Code::TooLarge, "an envelope is at most 1 MiB; split the operations over several commits");
    }
    Ok(out.into())
}

/// What a decoded operation has by itself, and one made here might lack.
fn check_parts(op: &Operation) -> Result<(), Refusal> {
    for (name, ids, most) in [("x", &op.kills, MAX_KILLS), ("o", &op.over, MAX_OVER)] {
        if ids.len() > most {
            return refuse(Code::OutOfRange, "at most 8,192 kills, and 4 entries seen").within(name);
        }
        if !ids.is_sorted_by(|a, b| a < b) {
            return refuse(Code::Malformed, "ids ascend without repeats").within(name);
        }
    }
    match (&op.slot, &op.body) {
        (Slot::Explicit(slot), _) if slot.len() > Slot::MAX_BYTES => {
            refuse(Code::BadSlot, "a slot has at most 64 bytes").within("t")
        }
        (_, Body::Live { value: Value::Float(number), .. }) if !number.is_finite() => {
            refuse(Code::BadValue, "a number that is not finite").within("v")
        }
        (_, Body::None) if op.kills.is_empty() => Err(malformed("an operation has a value, or kills, or both")),
        (_, Body::Live { salt: None, .. }) => Err(malformed("v goes with r").within("r")),
        _ => Ok(()),
    }
}

/// Buffers that are used again from operation to operation.
#[derive(Default)]
struct Scratch {
    /// Salt and value.
    salted: Vec<u8>,
    leaf: Vec<u8>,
}

impl Scratch {
    /// Appends the operation to `out` and returns its leaf.
    fn write(&mut self, op: &Operation, index: u16, out: &mut Vec<u8>) -> Result<Hash, Refusal> {
        let parts = Parts::from(op);
        begin_leaf(&mut self.leaf, index);
        if let Body::Live { value, salt: Some(salt) } = &op.body {
            self.salted.clear();
            self.salted.extend_from_slice(&salt.0);
            value.encode(&mut self.salted);
            let encoded = &self.salted[salt.0.len()..];
            if encoded.len() > MAX_VALUE_BYTES {
                return refuse(Code::TooLarge, "a value is at most 64 KiB of DAG-CBOR; larger ones are blobs")
                    .within("v");
            }
            let hash = ValueHash(*blake3::hash(&self.salted).as_bytes());
            parts.write(&mut self.leaf, Written::Leaf(&hash));
            parts.write(out, Written::Live(encoded, Some(salt)));
        } else {
            parts.write(&mut self.leaf, Written::Absent);
            parts.write(out, Written::Absent);
        }
        Ok(*blake3::hash(&self.leaf).as_bytes())
    }
}
