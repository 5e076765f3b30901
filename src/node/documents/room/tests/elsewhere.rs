//! Other gateways: previews, their signed form, deletions and disputes.

use super::*;
use crate::documents::limits::{ADOPT_AFTER_MS, AWARENESS_TIMEOUT_MS, MAX_PREVIEWS};

const FAR: PublicKey = PublicKey([99; 32]);

fn preview(update: &Update) -> Body {
    Body::Preview(update.encode().into())
}

#[test]
fn a_preview_reaches_editors_at_once_and_is_neither_journalled_nor_signed() {
    let (far, bob) = (Client::new(1), Client::new(2));
    let mut room = room();
    enter(&mut room, B, account(2), &bob);
    let update = update_in(&far.insert(0, "far"));
    let effects = room.heard(FAR, &preview(&update), NOW);
    pass(&effects, &[(B, &bob)]);
    assert_eq!(bob.text(), "far");
    assert!(!room.has_staged() && room.is_settled());
    assert_eq!(room.unsent(), None, "it is not passed on");
    // The signed form changes nothing for editors, and lets the preview go.
    assert_eq!(room.previews.len(), 1);
    assert_eq!(room.view(view(&[entry(1, 1, &update)])), Change::Goes(vec![]));
    assert_eq!((room.previews.len(), room.preview_bytes), (0, 0));
}

#[test]
fn previews_are_for_open_documents_and_bounded() {
    let far = Client::new(1);
    let mut room = room();
    assert_eq!(room.heard(FAR, &preview(&update_in(&far.insert(0, "x"))), NOW), []);
    assert!(room.previews.is_empty(), "nobody is here");
    enter(&mut room, B, account(2), &Client::new(2));
    for _ in 0..MAX_PREVIEWS + 5 {
        room.heard(FAR, &preview(&update_in(&far.insert(0, "x"))), NOW);
    }
    assert_eq!(room.previews.len(), MAX_PREVIEWS);
    assert_eq!(room.heard(FAR, &Body::Preview(Bytes::from_static(&[9])), NOW), []);
}

#[test]
fn an_editor_that_comes_back_brings_what_is_only_a_preview_here() {
    let (far, bob) = (Client::new(1), Client::new(2));
    let mut room = room();
    enter(&mut room, B, account(2), &bob);
    room.heard(FAR, &preview(&update_in(&far.insert(0, "far"))), NOW);
    // The editor of the other gateway, which died, comes here.
    enter(&mut room, A, account(1), &far);
    let (rows, _) = journal(&mut room, NOW);
    assert_eq!((rows[0].by, rows[0].update.structs().iter().collect::<Vec<_>>()), (account(1), vec![(1, 0, 3)]));
    assert!(room.previews.is_empty());
}

#[test]
fn a_preview_on_which_an_editor_built_is_signed_here_when_nobody_else_does() {
    let (far, near, bob) = (Client::new(1), Client::new(3), Client::new(2));
    let mut room = room();
    enter(&mut room, B, account(2), &bob);
    let first = far.insert(0, "far");
    near.take(&first);
    // The second builds on the first, and the editor here on the second alone.
    let updates = [update_in(&first), update_in(&near.insert(3, "!")), update_in(&far.insert(0, "never built on"))];
    for update in &updates[..2] {
        pass(&room.heard(FAR, &preview(update), NOW), &[(B, &bob)]);
    }
    room.frame(B, &bob.insert(4, " and on"), NOW + 1);
    journal(&mut room, NOW + 1);
    room.heard(FAR, &preview(&updates[2]), NOW + 1);
    room.adopt(NOW + ADOPT_AFTER_MS - 1);
    assert!(!room.has_staged());
    room.adopt(NOW + ADOPT_AFTER_MS);
    let (rows, effects) = journal(&mut room, NOW + ADOPT_AFTER_MS);
    assert_eq!(rows[0].by, account(2));
    let signed: Vec<_> = rows[0].update.structs().iter().collect();
    assert_eq!(signed, [(1, 0, 3), (3, 0, 1)], "with what it builds on itself");
    assert_eq!(sent(&effects, B), Vec::<Bytes>::new(), "its editors have it");
    assert_eq!(room.previews.len(), 1);
    assert_eq!(room.due(NOW + 2 * ADOPT_AFTER_MS)[0].parts.len(), 1);
}

#[test]
fn signed_updates_come_in_the_order_of_their_dependencies() {
    let (far, bob) = (Client::new(1), Client::new(2));
    let updates: Vec<Update> = (0..4).map(|at| update_in(&far.insert(at, "x"))).collect();
    let entries: Vec<_> = (1..).zip(&updates).map(|(n, update)| entry(n, u64::from(n), update)).collect();
    let mut room = room();
    enter(&mut room, B, account(2), &bob);
    // The second and fourth wait.
    let Change::Goes(effects) = room.view(view(&[entries[1].clone(), entries[3].clone()])) else { panic!() };
    assert_eq!(effects, []);
    let Change::Goes(effects) = room.view(view(&[entries[0].clone(), entries[1].clone(), entries[3].clone()])) else {
        panic!()
    };
    pass(&effects, &[(B, &bob)]);
    assert_eq!(bob.text(), "xx");
    let Change::Goes(effects) = room.view(view(&entries)) else { panic!() };
    pass(&effects, &[(B, &bob)]);
    assert_eq!(bob.text(), "xxxx");
}

#[test]
fn a_deletion_ends_the_room_with_what_is_not_signed() {
    let (ada, bob) = (Client::new(1), Client::new(2));
    let update = update_in(&ada.insert(0, "text"));
    let signed = entry(1, 1, &update);
    for (case, gone) in [("cut off", hides(&[], &update)), ("hidden by a revocation", view(&[]))] {
        let mut room = room();
        room.view(view(std::slice::from_ref(&signed)));
        enter(&mut room, B, account(2), &bob);
        room.frame(B, &bob.insert(0, "more "), NOW);
        journal(&mut room, NOW);
        assert_eq!(room.view(gone), Change::Ends(Close::Deleted), "{case}");
        assert_eq!(room.drop_rows(), [0]);
        assert_eq!(room.close_all(Close::Deleted), [Effect::Close(B, Close::Deleted)]);
    }
    let mut room = room();
    room.view(view(&[signed]));
    // A compaction replaces what it kills.
    let more = update_in(&ada.insert(0, "more "));
    let both = rustdht_graph::yjs::merge([&update, &more]);
    assert!(matches!(room.view(View { hidden: update.structs(), ..view(&[entry(2, 2, &both)]) }), Change::Goes(_)));
}

#[test]
fn what_was_written_before_a_deletion_goes_with_it_though_it_was_never_signed() {
    for (cut_ms, ends) in [(NOW - 1, false), (NOW, true)] {
        let bob = Client::new(2);
        let mut room = room();
        enter(&mut room, B, account(2), &bob);
        room.frame(B, &bob.insert(0, "text"), NOW);
        journal(&mut room, NOW);
        let change = room.view(View { cut_ms, ..View::default() });
        assert_eq!(change == Change::Ends(Close::Deleted), ends, "{change:?}");
        assert_eq!(room.everything().iter().collect::<Vec<_>>(), [(2, 0, 4)]);
        // The same deletion does not end what was written after it.
        assert!(matches!(room.view(View { cut_ms, ..View::default() }), Change::Goes(_)));
    }
}

#[test]
fn what_editors_hold_otherwise_than_the_view_ends_the_room() {
    let (ada, eve, bob) = (Client::new(7), Client::new(7), Client::new(2));
    let (here, there) = (update_in(&ada.insert(0, "here")), update_in(&eve.insert(0, "evil")));
    // The other one is older: the view shows it.
    for (stamp, ends) in [(1, true), (3, false)] {
        let mut room = room();
        room.view(view(&[entry(1, 2, &here)]));
        enter(&mut room, B, account(2), &bob);
        let other = entry(2, stamp, &there);
        let mut entries = vec![entry(1, 2, &here), other];
        entries.sort_by_key(|entry| entry.stamp);
        let change = room.view(view(&entries));
        assert_eq!(change == Change::Ends(Close::Resolved), ends, "{change:?}");
        let late = Client::new(3);
        enter(&mut room, A, account(1), &late);
        assert_eq!(late.text(), if ends { "evil" } else { "here" });
    }
}

#[test]
fn who_is_there_is_seen_across_gateways() {
    let mut room = room();
    let effects = room.join(A, Principal::Owner, tag(A), true);
    assert!(effects.contains(&Effect::Tell(Body::Query)), "the first asks who is there");
    assert!(!room.join(B, account(2), tag(B), true).contains(&Effect::Tell(Body::Query)));
    let effects = room.frame(A, &message::awareness(&[1, 5, 1, 2, b'{', b'}']), NOW);
    let told: Vec<_> = effects.iter().filter(|effect| matches!(effect, Effect::Tell(Body::Awareness(_)))).collect();
    assert_eq!((told.len(), sent(&effects, B).len()), (1, 1));
    let Effect::Tell(body) = told[0] else { panic!() };
    // What another gateway hears.
    let mut far = super::room();
    far.join(B, account(2), tag(B), true);
    let effects = far.heard(FAR, body, NOW);
    let frame = &sent(&effects, B)[0];
    assert!(String::from_utf8_lossy(frame).contains(r#""id":"user 1""#), "{frame:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Tell(_))), "it is not passed on");
    assert!(!far.heard(FAR, &Body::Query, NOW).iter().any(|effect| matches!(effect, Effect::Tell(_))));
    assert!(matches!(room.heard(FAR, &Body::Query, NOW)[..], [Effect::Tell(Body::Awareness(_))]));
    // It ends when its editor goes, and when it is not renewed.
    let effects = room.leave(A, NOW);
    assert!(matches!(effects[..], [Effect::Send(B, _), Effect::Tell(Body::Awareness(_))]), "{effects:?}");
    assert_eq!(sent(&far.tick(NOW + AWARENESS_TIMEOUT_MS), B).len(), 1);
}

#[test]
fn nothing_of_a_private_document_is_told() {
    let ada = Client::new(1);
    let mut room = room();
    room.view(View { private: true, ..View::default() });
    let mut effects = room.join(A, account(1), tag(A), true);
    effects.extend(room.frame(A, &message::awareness(&[1, 5, 1, 2, b'{', b'}']), NOW));
    room.frame(A, &ada.insert(0, "secret"), NOW);
    effects.extend(journal(&mut room, NOW).1);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Tell(_))));
    assert_eq!(room.unsent(), None);
    assert_eq!(room.heard(FAR, &Body::Query, NOW), []);
}
