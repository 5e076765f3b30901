//! The envelope: a signed header, some or all of its operations, and what ties them to the header's root.

use rustdht_core::{Code, Refusal, cbor::Reader};

use crate::{
    EndorsedBy, Place, certificate,
    limits::{MAX_CERTIFICATES, MAX_ENDORSEMENTS, MAX_ENVELOPE_BYTES, MAX_OPERATIONS, MAX_PROOF_LEN},
    merkle::Hash,
    operation::RawOperation,
    refuse::{Within, malformed, refuse},
};

/// What ties the operations of an envelope to the root.
#[derive(Debug)]
pub(crate) enum Ties {
    /// Nothing: all n operations are there.
    Complete,
    /// All n leaves.
    Leaves(Vec<Hash>),
    /// One row per operation: the siblings from the leaf up.
    Proofs(Vec<Vec<Hash>>),
}

/// A certificate's bytes and signature, as they came.
pub(crate) type Pair<'a> = (&'a [u8], [u8; 64]);

/// An envelope as it came; its header and operations are not yet looked at.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    /// The signed header, verbatim.
    pub(crate) header: &'a [u8],
    /// The signature; content commits have none.
    pub(crate) signature: Option<&'a [u8; 64]>,
    /// Certificates that travel along: bytes and signature.
    pub(crate) certificates: Vec<Pair<'a>>,
    /// Endorsements of the commit, each certificate once.
    pub(crate) endorsements: Vec<EndorsedBy>,
    /// Index and operation, ascending.
    pub(crate) operations: Vec<(u16, RawOperation<'a>)>,
    pub(crate) ties: Ties,
}

impl<'a> Envelope<'a> {
    /// Reads the outline.
    ///
    /// # Errors
    /// `too_large` above 1 MiB, `too_many_operations` above 1,024, `malformed` for what is not an envelope, or carries
    /// at a door what only travels between replicas.
    pub(crate) fn decode(bytes: &'a [u8], place: Place) -> Result<Self, Refusal> {
        if bytes.len() > MAX_ENVELOPE_BYTES {
            return refuse(Code::TooLarge, "an envelope is at most 1 MiB; split the operations over several commits");
        }
        let mut reader = Reader::new(bytes);
        let (mut header, mut signature, mut operations, mut leaves, mut proofs) = (None, None, None, None, None);
        let (mut certificates, mut endorsements) = (Vec::new(), Vec::new());
        let mut last = None;
        for _ in 0..reader.map_len(0)? {
            let key = reader.key(&mut last)?;
            match key {
                "h" => header = Some(reader.item(1)?.bytes().within(key)?),
                "g" => {
                    let bytes = reader.item(1)?.bytes().within(key)?;
                    signature = Some(bytes.try_into().map_err(|_| malformed("a signature has 64 bytes").within(key))?);
                }
                "ops" => operations = Some(read_operations(&mut reader)?),
                "c" => certificates = read_certificates(&mut reader).within(key)?,
                "e" => endorsements = read_endorsements(&mut reader).within(key)?,
                "leaves" => leaves = Some(read_hashes(&mut reader, 1, MAX_OPERATIONS).within(key)?),
                "proofs" => proofs = Some(read_proofs(&mut reader).within(key)?),
                _ => return Err(malformed("an envelope has no such key").within(key)),
            }
        }
        reader.finish()?;
        let header = header.ok_or_else(|| malformed("an envelope carries its header").within("h"))?;
        let operations: Vec<_> = operations.ok_or_else(|| malformed("an envelope carries operations").within("ops"))?;
        let ties = match (leaves, proofs) {
            (None, None) => Ties::Complete,
            (Some(leaves), None) => Ties::Leaves(leaves),
            (None, Some(rows)) if rows.len() == operations.len() => Ties::Proofs(rows),
            (None, Some(_)) => return Err(malformed("proofs have one row per operation").within("proofs")),
            (Some(_), Some(_)) => return Err(malformed("leaves or proofs, not both").within("proofs")),
        };
        match ties {
            Ties::Leaves(_) if place == Place::Door => {
                Err(malformed("leaves travel between replicas only").within("leaves"))
            }
            Ties::Proofs(_) if place == Place::Door => {
                Err(malformed("proofs travel between replicas only").within("proofs"))
            }
            ties => Ok(Self { header, signature, certificates, endorsements, operations, ties }),
        }
    }
}

fn read_operations<'a>(reader: &mut Reader<'a>) -> Result<Vec<(u16, RawOperation<'a>)>, Refusal> {
    let len = reader.array_len(1).within("ops")?;
    if len == 0 {
        return Err(malformed("an envelope carries at least one operation").within("ops"));
    }
    if len > MAX_OPERATIONS {
        return refuse(Code::TooManyOperations, "a commit has at most 1,024 operations").within("ops");
    }
    let mut operations: Vec<(u16, RawOperation<'a>)> = Vec::with_capacity(len);
    for position in 0..len {
        let (index, op) = read_operation(reader).map_err(|refusal| refusal.within(&format!("ops.{position}")))?;
        if operations.last().is_some_and(|(last, _)| *last >= index) {
            return Err(malformed("operations ascend by index").within(&format!("ops.{position}")));
        }
        operations.push((index, op));
    }
    Ok(operations)
}

fn read_operation<'a>(reader: &mut Reader<'a>) -> Result<(u16, RawOperation<'a>), Refusal> {
    if reader.array_len(2)? != 2 {
        return Err(malformed("an operation travels as its index and its map"));
    }
    let index = u16::try_from(reader.item(3)?.uint()?)
        .or_else(|_| refuse(Code::OutOfRange, "the index of an operation is below n"))?;
    Ok((index, RawOperation::read(reader, 3)?))
}

fn read_hashes(reader: &mut Reader<'_>, depth: usize, most: usize) -> Result<Vec<Hash>, Refusal> {
    let len = reader.array_len(depth)?;
    if len > most {
        return Err(malformed("more hashes than a tree of 1,024 leaves has"));
    }
    (0..len).map(|_| reader.item(depth + 1)?.array()).collect()
}

fn read_proofs(reader: &mut Reader<'_>) -> Result<Vec<Vec<Hash>>, Refusal> {
    let len = reader.array_len(1)?;
    if len > MAX_OPERATIONS {
        return Err(malformed("more rows than a commit has operations"));
    }
    (0..len).map(|_| read_hashes(reader, 2, MAX_PROOF_LEN)).collect()
}

/// `[[bytes, b64]]`.
pub(crate) fn read_certificates<'a>(reader: &mut Reader<'a>) -> Result<Vec<Pair<'a>>, Refusal> {
    read_pairs(reader, MAX_CERTIFICATES, |reader| reader.item(3)?.bytes())
}

/// `[[CID, b64]]`, each CID once.
pub(crate) fn read_endorsements(reader: &mut Reader<'_>) -> Result<Vec<EndorsedBy>, Refusal> {
    let pairs = read_pairs(reader, MAX_ENDORSEMENTS, |reader| certificate::read_id(&reader.item(3)?))?;
    let mut endorsements: Vec<EndorsedBy> = Vec::with_capacity(pairs.len());
    for (at, (certificate, signature)) in pairs.into_iter().enumerate() {
        if endorsements.iter().any(|known| known.certificate == certificate) {
            return Err(malformed("a certificate endorses once").within(&at.to_string()));
        }
        endorsements.push(EndorsedBy { certificate, signature });
    }
    Ok(endorsements)
}

/// Pairs of something and a signature.
fn read_pairs<'a, T>(
    reader: &mut Reader<'a>,
    most: usize,
    read: impl Fn(&mut Reader<'a>) -> Result<T, Refusal>,
) -> Result<Vec<(T, [u8; 64])>, Refusal> {
    let len = reader.array_len(1)?;
    if len == 0 {
        return Err(malformed("an empty list is left out"));
    }
    if len > most {
        return refuse(Code::OutOfRange, "at most 64 certificates and 32 endorsements travel along");
    }
    let mut pairs = Vec::with_capacity(len);
    for at in 0..len {
        let mut pair = || {
            if reader.array_len(2)? != 2 {
                return Err(malformed("expected a pair"));
            }
            Ok((read(reader)?, reader.item(3)?.array::<64>()?))
        };
        pairs.push(pair().map_err(|refusal| refusal.within(&at.to_string()))?);
    }
    Ok(pairs)
}
