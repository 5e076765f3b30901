//! Authors that sign commits.

use std::sync::Arc;

use rustdht_core::{
    Body, CertificateId, CommitId, Field, Kind, NetId, PublicKey, Refusal, Salt, Session, Slot, Soul, Stamp, Value,
};
use rustdht_wire::{
    Built, Certificate, Certificates, Operation, Rights, SignedCertificate, Signing, SigningKey, sign_commit, slot_of,
};

/// An author with one session.
#[derive(Debug)]
pub struct Author {
    key: SigningKey,
    session: Session,
    seq: u64,
    prev: Option<CommitId>,
    auth: Vec<CertificateId>,
    known: Certificates,
}

impl Author {
    /// The author whose seed and session are `number`, repeated.
    #[must_use]
    pub fn new(number: u8) -> Self {
        Self {
            key: SigningKey::from_seed(&[number; 32]),
            session: Session([number; 8]),
            seq: 0,
            prev: None,
            auth: Vec::new(),
            known: Certificates::new(),
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The same author under the first certificate of each chain (leaf first).
    #[must_use]
    pub fn under(mut self, chains: &[&[Arc<SignedCertificate>]]) -> Self {
        self.auth = chains.iter().filter_map(|chain| Some(chain.first()?.id())).collect();
        let all = chains.iter().flat_map(|chain| chain.iter());
        self.known = all.map(|certificate| (certificate.id(), Arc::clone(certificate))).collect();
        self
    }

    /// A certificate for `audience` on all of the author's space, at any time; change it and sign it again for others.
    #[must_use]
    pub fn certificate(&self, net: NetId, audience: PublicKey, rights: Rights) -> Certificate {
        let space = Soul::of_key(self.public());
        Certificate {
            net,
            issuer: self.public(),
            audience,
            prefixes: vec![space.clone()],
            space,
            fields: Vec::new(),
            rights,
            not_before: Stamp(0),
            not_after: Stamp(u64::MAX),
            parent: None,
            nonce: [7; 16],
        }
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// Signs the next commit.
    ///
    /// # Errors
    /// What a door would refuse.
    pub fn sign(&mut self, net: NetId, stamp: Stamp, operations: Vec<Operation>) -> Result<Built, Refusal> {
        let author = self.public();
        let signing = Signing::new(&self.key, net, self.session).under(&self.auth, &self.known)?;
        let slotted = operations.into_iter().map(|op| {
            let standing = signing.standing(&op.soul, &op.field, stamp)?;
            let slot = slot_of(&op.kind, &op.soul, &author, &self.session, &standing.writer).unwrap_or(op.slot);
            Ok(Operation { slot, ..op })
        });
        let slotted = slotted.collect::<Result<_, Refusal>>()?;
        let built = sign_commit(&signing, self.seq, self.prev, stamp, slotted)?;
        self.seq += 1;
        self.prev = Some(built.commit.id);
        Ok(built)
    }
}

fn operation(soul: &Soul, field: &str, kind: &'static str) -> Result<Operation, Refusal> {
    Ok(Operation {
        soul: soul.clone(),
        field: field.parse::<Field>()?,
        kind: Kind::listed(kind),
        slot: Slot::Own,
        body: Body::None,
        kills: Vec::new(),
        over: Vec::new(),
        base: None,
    })
}

/// A register's operation.
///
/// # Errors
/// `bad_field`.
pub fn write(soul: &Soul, field: &str, value: Value) -> Result<Operation, Refusal> {
    let body = Body::Live { value, salt: Some(Salt([7; 16])) };
    Ok(Operation { body, ..operation(soul, field, Kind::REGISTER)? })
}

/// Adds an element to a set.
///
/// # Errors
/// `bad_field`.
pub fn set_add(soul: &Soul, field: &str, value: Value) -> Result<Operation, Refusal> {
    let body = Body::Live { value, salt: Some(Salt([7; 16])) };
    Ok(Operation { body, ..operation(soul, field, Kind::SET)? })
}

/// Removes observed entries from a set.
///
/// # Errors
/// `bad_field`.
pub fn set_remove(soul: &Soul, field: &str, mut kills: Vec<rustdht_core::EntryId>) -> Result<Operation, Refusal> {
    kills.sort_unstable();
    Ok(Operation { kills, ..operation(soul, field, Kind::SET)? })
}
