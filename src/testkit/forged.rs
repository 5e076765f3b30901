//! Commits as somebody makes them who keeps no rule: signed, but with any operations.

use std::sync::Arc;

use bytes::Bytes;
use rustdht_core::{CertificateId, CommitId, Entry, EntryId, NetId, Session, Slot, Stamp, Writer, ports::StoredCommit};
use rustdht_wire::{
    Built, EndorsedBy, Extras, Header, Operation, SignedCertificate, SigningKey, endorse, envelope_of, leaf_hash,
    merkle, slot_of,
};

use crate::Author;

/// The session of every forged commit.
const SESSION: Session = Session([9; 8]);

/// A commit about to travel: honestly made, or by one who writes down what he likes.
#[derive(Clone, Debug)]
pub struct Forged {
    /// The commit.
    pub commit: StoredCommit,
    /// Its operations, in their order.
    pub entries: Vec<Entry>,
    /// What travels along.
    pub certificates: Vec<Arc<SignedCertificate>>,
}

impl From<Built> for Forged {
    fn from(built: Built) -> Self {
        let Built { commit, entries, certificates, .. } = built;
        Self { commit, entries, certificates }
    }
}

/// A commit in the name of `author` with any operations; each chain from its leaf up.
#[must_use]
pub fn forge(
    author: &Author,
    net: NetId,
    stamp: Stamp,
    chains: &[&[Arc<SignedCertificate>]],
    ops: Vec<Operation>,
) -> Forged {
    let leaves: Vec<_> = (0..).zip(&ops).map(|(at, op)| leaf_hash(at, op)).collect();
    let header = Header {
        net,
        author: author.public(),
        session: SESSION,
        seq: 0,
        prev: None,
        stamp,
        n: leaves.len() as u16,
        root: merkle::root(&leaves),
        auth: chains.iter().map(|chain| chain[0].id()).collect(),
    };
    let bytes = Bytes::from(header.encode());
    let id = CommitId::of(&bytes);
    let signature = Bytes::copy_from_slice(&author.key().sign(&id.0));
    let commit = StoredCommit { id, header: bytes, signature, leaves: leaves.concat().into(), proofs: Bytes::new() };
    let entries = (0..).zip(ops).map(|(index, op)| Entry {
        id: EntryId::of(&id, index),
        commit: id,
        index,
        soul: op.soul,
        field: op.field,
        kind: op.kind,
        slot: op.slot,
        stamp,
        author: author.public(),
        leaf: None,
        writer: Writer::new(&author.public(), None),
        body: op.body,
        kills: op.kills,
        over: op.over,
        base: op.base,
    });
    let certificates = chains.iter().flat_map(|chain| chain.iter().cloned()).collect();
    Forged { commit, entries: entries.collect(), certificates }
}

/// An operation in the slot that a forged commit of `author` has under `leaf`.
#[must_use]
pub fn slotted(op: Operation, author: &Author, leaf: Option<&CertificateId>) -> Operation {
    let writer = Writer::new(&author.public(), leaf);
    let slot = slot_of(&op.kind, &op.soul, &author.public(), &SESSION, &writer);
    Operation { slot: slot.unwrap_or(Slot::Own), ..op }
}

impl Forged {
    /// The operations `only`, with the certificates.
    ///
    /// # Panics
    /// When there is no such operation, or the header is none.
    #[must_use]
    pub fn envelope(&self, only: &[usize]) -> Bytes {
        self.envelope_with(only, &[], &[])
    }

    /// The operations `only`, with `words` for the commit and the certificates `behind` them.
    ///
    /// # Panics
    /// As [`Forged::envelope`].
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "a test that asks for what cannot be sent fails")]
    pub fn envelope_with(&self, only: &[usize], words: &[EndorsedBy], behind: &[Arc<SignedCertificate>]) -> Bytes {
        let entries: Vec<&Entry> = only.iter().map(|at| &self.entries[*at]).collect();
        let certificates = [&self.certificates[..], behind].concat();
        let extras = Extras { certificates: &certificates, endorsements: words };
        envelope_of(&self.commit, &entries, &extras).unwrap().into()
    }

    /// All operations, with the certificates.
    ///
    /// # Panics
    /// As [`Forged::envelope`].
    #[must_use]
    pub fn whole(&self) -> Bytes {
        self.envelope(&(0..self.entries.len()).collect::<Vec<_>>())
    }

    /// The same under the signature of another key.
    #[must_use]
    pub fn signed_by(mut self, key: &SigningKey) -> Self {
        self.commit.signature = Bytes::copy_from_slice(&key.sign(&self.commit.id.0));
        self
    }

    /// The same with another stamp in its header, under the signature of the first.
    ///
    /// # Panics
    /// When the header is none.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "a test that stamps what is no commit fails")]
    pub fn restamped(mut self, stamp: Stamp) -> Self {
        let header = Header { stamp, ..Header::decode(&self.commit.header).unwrap() };
        self.commit.header = header.encode().into();
        self.commit.id = CommitId::of(&self.commit.header);
        for entry in &mut self.entries {
            (entry.commit, entry.id) = (self.commit.id, EntryId::of(&self.commit.id, entry.index));
        }
        self
    }

    /// The word of a key for this commit, under a certificate.
    #[must_use]
    pub fn word(&self, key: &SigningKey, certificate: &SignedCertificate) -> EndorsedBy {
        EndorsedBy { certificate: certificate.id(), signature: endorse(key, &self.commit.id) }
    }
}
