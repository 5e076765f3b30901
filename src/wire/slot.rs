//! Which slot an operation of a listed kind has.

use rustdht_core::{Kind, PublicKey, Session, Slot, Soul, Space, Writer};

/// The slot that v 1 gives an operation of this kind; `None` for a kind that v 1 does not list.
///
/// | kind | public space | owned and mirror space |
/// |---|---|---|
/// | register, null | empty | h |
/// | counter, max, min | author, session | h, session |
/// | set, flag, text, list, map, kill | the entry's own id | the entry's own id |
#[must_use]
pub fn slot_of(kind: &Kind, soul: &Soul, author: &PublicKey, session: &Session, writer: &Writer) -> Option<Slot> {
    slot_in(kind, &soul.space(), author, session, writer)
}

pub(crate) fn slot_in(
    kind: &Kind,
    space: &Space,
    author: &PublicKey,
    session: &Session,
    writer: &Writer,
) -> Option<Slot> {
    let name: &[u8] = match (kind.as_str(), space.has_writer_slots()) {
        (Kind::REGISTER | Kind::NULL, false) => &[],
        (Kind::COUNTER | Kind::MAX | Kind::MIN, false) => &author.0,
        (Kind::REGISTER | Kind::NULL | Kind::COUNTER | Kind::MAX | Kind::MIN, true) => &writer.0,
        (Kind::SET | Kind::FLAG | Kind::TEXT | Kind::LIST | Kind::MAP | Kind::KILL, _) => return Some(Slot::Own),
        _ => return None,
    };
    let session: &[u8] = if matches!(kind.as_str(), Kind::REGISTER | Kind::NULL) { &[] } else { &session.0 };
    Some(Slot::Explicit([name, session].concat().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_kind_has_a_slot_and_no_other() {
        let (author, session) = (PublicKey([7; 32]), Session([9; 8]));
        let writer = Writer::new(&author, None);
        let owned = Soul::of_key(author);
        let public: Soul = "a".parse().unwrap();
        let mirror: Soul = "^https://example.com/a".parse().unwrap();
        let slot = |kind: &'static str, soul| slot_of(&Kind::listed(kind), soul, &author, &session, &writer);
        for kind in Kind::LISTED {
            assert!(slot(kind, &public).is_some(), "{kind}");
            assert_eq!(slot(kind, &owned), slot(kind, &mirror), "{kind}");
        }
        assert_eq!(slot("register", &public), Some(Slot::Explicit([].into())));
        assert_eq!(slot("null", &owned), Some(Slot::Explicit(writer.0.into())));
        assert_eq!(slot("max", &public), Some(Slot::Explicit([&[7; 32][..], &[9; 8]].concat().into())));
        assert_eq!(slot("counter", &owned), Some(Slot::Explicit([&writer.0[..], &[9; 8]].concat().into())));
        for kind in ["set", "flag", "text", "list", "map", "kill"] {
            assert_eq!(slot_of(&kind.parse().unwrap(), &owned, &author, &session, &writer), Some(Slot::Own));
        }
        assert_eq!(slot_of(&"tensor".parse().unwrap(), &public, &author, &session, &writer), None);
    }
}
