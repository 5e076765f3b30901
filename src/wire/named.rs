//! What an envelope names, read without judging it.

use rustdht_core::{CertificateId, Code, CommitId, Refusal, cbor::Reader};

use crate::{
    Header, certificate,
    envelope::{read_certificates, read_endorsements},
    key::{check_key, verify_signature},
    limits::MAX_ENVELOPE_BYTES,
    refuse::{Within, malformed, refuse},
};

/// The certificates around an envelope: whoever checks it loads those that are here, with their parents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The leaf certificates that the header names.
    pub auth: Vec<CertificateId>,
    /// The endorsers' certificates.
    pub endorsers: Vec<CertificateId>,
    /// Certificates that travel in the envelope, each with its parent; neither form nor signature is verified.
    pub carried: Vec<(CertificateId, Option<CertificateId>)>,
}

/// Reads what an envelope names. Cheap: it ends before the operations.
///
/// # Errors
/// What [`crate::check`] refuses in these parts; an envelope that passes here may still be refused there.
pub fn named(envelope: &[u8]) -> Result<Named, Refusal> {
    if envelope.len() > MAX_ENVELOPE_BYTES {
        return refuse(Code::TooLarge, "an envelope is at most 1 MiB; split the operations over several commits");
    }
    let mut reader = Reader::new(envelope);
    let mut named = Named::default();
    let mut last = None;
    // The keys before the operations are c, e, g and h, in this order.
    for _ in 0..reader.map_len(0)? {
        match reader.key(&mut last)? {
            "c" => {
                for (bytes, _) in read_certificates(&mut reader).within("c")? {
                    // What is no certificate has no parent; whether that matters is for the check to say.
                    named.carried.push((certificate::id_of(bytes), certificate::parent_of(bytes).unwrap_or_default()));
                }
            }
            "e" => {
                let endorsements = read_endorsements(&mut reader).within("e")?;
                named.endorsers.extend(endorsements.iter().map(|endorsement| endorsement.certificate));
            }
            "g" => {
                reader.raw(1).within("g")?;
            }
            "h" => {
                named.auth = Header::decode(reader.item(1)?.bytes().within("h")?).within("h")?.auth;
                return Ok(named);
            }
            _ => break,
        }
    }
    Err(malformed("an envelope carries its header").within("h"))
}

/// Verifies who signed an envelope that cannot be judged yet, so that nobody has something kept in another's name.
///
/// # Errors
/// `malformed`, `bad_key`, `bad_signature`.
pub fn verify_author(envelope: &[u8]) -> Result<(), Refusal> {
    let mut reader = Reader::new(envelope);
    let (mut last, mut signature) = (None, None);
    for _ in 0..reader.map_len(0)? {
        match reader.key(&mut last)? {
            "g" => signature = Some(reader.item(1)?.array::<64>().within("g")?),
            "h" => {
                let bytes = reader.item(1)?.bytes().within("h")?;
                let header = Header::decode(bytes).within("h")?;
                let signature =
                    signature.ok_or_else(|| malformed("a signed commit carries its signature").within("g"))?;
                check_key(&header.author).within("h.author")?;
                return verify_signature(&header.author, &CommitId::of(bytes).0, &signature).within("g");
            }
            _ => {
                reader.raw(1)?;
            }
        }
    }
    Err(malformed("an envelope carries its header").within("h"))
}
