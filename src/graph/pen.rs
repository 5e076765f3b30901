//! Who writes.

use rustdht_core::{CertificateId, Kind, PublicKey, Session, Slot, Writer};

use crate::Rules;

/// A writer: the author, the process slot in which it writes, and the certificate under which it does so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pen {
    /// Who signs.
    pub author: PublicKey,
    /// The session of the commit that will be signed.
    pub session: Session,
    /// The certificate that covers the operation; `None` where the author owns the space or it needs none.
    pub leaf: Option<CertificateId>,
    writer: Writer,
}

impl Pen {
    /// The pen of an author.
    #[must_use]
    pub fn new(author: PublicKey, session: Session, leaf: Option<CertificateId>) -> Self {
        Self { author, session, leaf, writer: Writer::new(&author, leaf.as_ref()) }
    }

    /// `h` of author and certificate.
    #[must_use]
    pub const fn writer(&self) -> Writer {
        self.writer
    }

    /// The slot that v 1 gives this writer for a kind; `None` for a kind that v 1 does not list.
    ///
    /// | kind | public space | owned and mirror space |
    /// |---|---|---|
    /// | register, null | empty | h |
    /// | counter, max, min | author, session | h, session |
    /// | set, flag, text, list, map, kill | the entry's own id | the entry's own id |
    #[must_use]
    pub fn slot_of(&self, kind: &Kind, rules: &Rules) -> Option<Slot> {
        let one_for_all = || if rules.writer_slots { self.named_slot(rules, &[]) } else { Slot::Explicit([].into()) };
        match kind.as_str() {
            Kind::REGISTER | Kind::NULL => Some(one_for_all()),
            Kind::COUNTER | Kind::MAX | Kind::MIN => Some(self.named_slot(rules, &self.session.0)),
            Kind::SET | Kind::FLAG | Kind::TEXT | Kind::LIST | Kind::MAP | Kind::KILL => Some(Slot::Own),
            _ => None,
        }
    }

    /// A slot that only this writer has: `h || name` in owned and mirror space, `author || name` elsewhere. With the
    /// author in front 32 bytes are left for the name ([`Slot::MAX_BYTES`]).
    #[must_use]
    pub fn named_slot(&self, rules: &Rules, name: &[u8]) -> Slot {
        let writer: &[u8] = if rules.writer_slots { &self.writer.0 } else { &self.author.0 };
        Slot::Explicit([writer, name].concat().into())
    }
}

#[cfg(test)]
mod tests {
    use rustdht_core::{Kind, Soul};

    use super::*;

    #[test]
    fn slots_are_those_that_commits_are_judged_by() {
        let author = PublicKey([7; 32]);
        for leaf in [None, Some(CertificateId([3; 32]))] {
            let pen = Pen::new(author, Session([9; 8]), leaf);
            for soul in ["a".parse().unwrap(), Soul::of_key(author), "^https://example.com/a".parse::<Soul>().unwrap()]
            {
                for kind in Kind::LISTED.iter().chain(&["hologram"]) {
                    let kind: Kind = kind.parse().unwrap();
                    let judged = rustdht_wire::slot_of(&kind, &soul, &author, &pen.session, &pen.writer());
                    assert_eq!(pen.slot_of(&kind, &Rules::of(&soul)), judged, "{kind} {soul}");
                }
            }
        }
    }
}
