//! What makes one operation valid, from its header, its certificates and itself alone.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock},
};

use rustdht_core::{
    Body, CertificateId, Code, Entry, Field, Mode, NetId, PublicKey, Refusal, Session, Slot, Soul, Space, Stamp, Value,
    Writer,
};

use crate::{
    Certificates, Operation, SignedCertificate,
    key::check_key,
    refuse::{Within, malformed, refuse},
    slot::slot_in,
};

/// Through where a commit came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// HTTP, import, a bridge, the first put: the whole commit is judged, the first refusal refuses it.
    Door,
    /// From another replica: each operation is judged by itself.
    Replica,
}

/// What validity depends on besides the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The network of this node.
    pub net: NetId,
    /// The physical clock, in milliseconds since the epoch.
    pub now_ms: u64,
    /// Whether entries need endorsements.
    pub mode: Mode,
    /// The community key, which owns `~C`.
    pub community: PublicKey,
    /// The certificates that are here, as far as [`crate::named`] and their parents name them. What the envelope carries
    /// is looked at besides.
    pub certificates: &'a Certificates,
}

/// Under what an author writes an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The first certificate in `auth` that covers it; `None` where none is needed.
    pub leaf: Option<CertificateId>,
    /// h of author and leaf.
    pub writer: Writer,
}

/// Which mirror souls an operation may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mirror {
    /// None: a bridge writes them.
    Refused,
    /// Any, in the author's own slot.
    Own,
    /// As [`Mirror::Own`], and local souls: a gateway's own commits, which may stay with it.
    Home,
}

/// The author of a commit, with the certificates that it may stand under.
#[derive(Debug)]
pub(crate) struct Author {
    key: PublicKey,
    /// `~K` of the author, made when it is needed.
    root: OnceLock<Soul>,
    own: Writer,
    leaves: Vec<(Arc<SignedCertificate>, Writer)>,
}

impl Author {
    /// `leaves`: certificates whose chain holds and whose audience is the author, in the order of `auth`.
    pub(crate) fn new(key: PublicKey, leaves: Vec<Arc<SignedCertificate>>) -> Self {
        let leaves = leaves
            .into_iter()
            .map(|leaf| {
                let writer = Writer::new(&key, Some(&leaf.id()));
                (leaf, writer)
            })
            .collect();
        Self { key, root: OnceLock::new(), own: Writer::new(&key, None), leaves }
    }

    /// Judges one operation, and says under what it stands.
    ///
    /// # Errors
    /// The first rule that it breaks; `field` names the key.
    pub(crate) fn judge(
        &self,
        op: &Operation,
        session: &Session,
        stamp: Stamp,
        place: Place,
        mirror: Mirror,
    ) -> Result<Standing, Refusal> {
        let (space, standing) = self.stands(&op.soul, &op.field, stamp, mirror).within("s")?;
        self.slot(op, &space, session, &standing)?;
        kills_and_base(op, stamp)?;
        body(op, place)?;
        Ok(standing)
    }

    /// The soul's space, and under what the author may write there.
    pub(crate) fn stands(
        &self,
        soul: &Soul,
        field: &Field,
        stamp: Stamp,
        mirror: Mirror,
    ) -> Result<(Space, Standing), Refusal> {
        let own = Standing { leaf: None, writer: self.own };
        if soul.starts_with('~') {
            return self.owned(soul, field, stamp);
        }
        match soul.space() {
            Space::Public => Ok((Space::Public, own)),
            Space::Mirror if mirror != Mirror::Refused => Ok((Space::Mirror, own)),
            Space::Mirror => refuse(Code::NotAuthorised, "only a bridge writes mirror souls"),
            Space::Content(_) => refuse(Code::Immutable, "a content soul never changes"),
            Space::Owned(_) => refuse(Code::NotAuthorised, "an owned soul begins with ~"),
            Space::Local if mirror == Mirror::Home => Ok((Space::Local, own)),
            Space::Local => refuse(Code::LocalSpace, "local souls never leave their gateway"),
        }
    }

    fn owned(&self, soul: &Soul, field: &Field, stamp: Stamp) -> Result<(Space, Standing), Refusal> {
        if soul.placement_key() == self.root.get_or_init(|| Soul::of_key(self.key)).as_str() {
            return Ok((Space::Owned(self.key), Standing { leaf: None, writer: self.own }));
        }
        let mut covering = self.leaves.iter().filter(|(leaf, _)| {
            let certificate = leaf.certificate();
            certificate.rights.write && certificate.covers(soul, field)
        });
        let mut expired = false;
        let found = covering.find(|(leaf, _)| {
            let admits = leaf.certificate().admits(stamp);
            expired |= !admits;
            admits
        });
        if let Some((leaf, writer)) = found {
            // Which owner it is makes no difference below, and reading the key again is dear.
            return Ok((Space::Owned(self.key), Standing { leaf: Some(leaf.id()), writer: *writer }));
        }
        if expired {
            return refuse(Code::CertificateExpired, "the stamp lies outside the times of the certificate");
        }
        if let Space::Owned(owner) = soul.space() {
            check_key(&owner)?;
        }
        refuse(Code::NotAuthorised, "only the key in an owned soul, or whoever holds its certificate, writes it")
    }

    fn slot(&self, op: &Operation, space: &Space, session: &Session, standing: &Standing) -> Result<(), Refusal> {
        let writer = &standing.writer;
        let fits = match (slot_in(&op.kind, space, &self.key, session, writer), &op.slot) {
            (Some(expected), found) => expected == *found,
            (None, Slot::Own) => true,
            (None, Slot::Explicit(slot)) => !space.has_writer_slots() || slot.starts_with(&writer.0),
        };
        if fits {
            return Ok(());
        }
        refuse(Code::BadSlot, "not the slot that kind, author, session, space and certificate give").within("t")
    }
}

fn kills_and_base(op: &Operation, stamp: Stamp) -> Result<(), Refusal> {
    if !op.kills.is_empty() && !op.slot.is_own() {
        return Err(malformed("only an operation with its own id kills").within("x"));
    }
    if let Some(base) = op.base {
        if !op.kind.is_yjs() || op.kills.is_empty() {
            return Err(malformed("only a text, list or map that kills carries a base").within("b"));
        }
        if base > stamp {
            return refuse(Code::OutOfRange, "a base is at most the stamp").within("b");
        }
    }
    Ok(())
}

fn body(op: &Operation, place: Place) -> Result<(), Refusal> {
    let bad = |part: &str, detail: &'static str| refuse(Code::BadValue, detail).within(part);
    match &op.body {
        Body::Dropped(_) if place == Place::Door => {
            refuse(Code::Malformed, "w travels between replicas only").within("w")
        }
        // Neither is ever dropped: a kill in K would bring back what it killed, a cut-off what it hides.
        Body::Dropped(_) if op.kind.is_null() || op.kind.is_kill() => {
            bad("w", "the value of a null or kill is never dropped")
        }
        Body::Live { value: Value::Null, .. } if op.kind.is_register() => {
            bad("v", "a register never holds null; an entry of kind null deletes")
        }
        Body::Live { value: Value::Null, .. } if op.kind.is_set() => bad("v", "null is no element of a set"),
        Body::Live { value, .. } if op.kind.is_null() && *value != Value::Null => bad("v", "a null has the value null"),
        Body::Live { value, .. }
            if op.kind.is_kill() && !matches!(value, Value::Text(text) if &**text == Entry::ERASE) =>
        {
            bad("v", "a kill has the value \"erase\" or none")
        }
        _ => Ok(()),
    }
}

/// Finds a slot named twice, which only a door can see.
#[derive(Default)]
pub(crate) struct Slots<'a>(HashSet<(&'a str, &'a str, &'a str, &'a [u8])>);

impl<'a> Slots<'a> {
    /// # Errors
    /// `duplicate_operation` when an operation before this one has its slot.
    pub(crate) fn insert(&mut self, op: &'a Entry) -> Result<(), Refusal> {
        match &op.slot {
            Slot::Explicit(slot) if !self.0.insert((&op.soul, &op.field, &op.kind, slot)) => {
                refuse(Code::DuplicateOperation, "a commit names each soul, field, kind and slot at most once")
            }
            _ => Ok(()),
        }
    }
}
