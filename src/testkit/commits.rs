//! Authors that sign commits.

use rustdht_core::{
    Body, CommitId, Field, Kind, NetId, PublicKey, Refusal, Salt, Session, Slot, Soul, Stamp, Value, Writer,
};
use rustdht_wire::{Built, Operation, SigningKey, sign_commit, slot_of};

/// An author with one session.
#[derive(Debug)]
pub struct Author {
    key: SigningKey,
    session: Session,
    seq: u64,
    prev: Option<CommitId>,
}

impl Author {
    /// The author whose seed and session are `number`, repeated.
    #[must_use]
    pub fn new(number: u8) -> Self {
        Self { key: SigningKey::from_seed(&[number; 32]), session: Session([number; 8]), seq: 0, prev: None }
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
        let writer = Writer::new(&author, None);
        let slotted = operations.into_iter().map(|op| {
            let slot = slot_of(&op.kind, &op.soul, &author, &self.session, &writer).unwrap_or(op.slot);
            Operation { slot, ..op }
        });
        let built = sign_commit(&self.key, net, self.session, self.seq, self.prev, stamp, slotted.collect())?;
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
