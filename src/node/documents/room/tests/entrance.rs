//! Who may come in, and what is refused.

use super::*;

#[test]
fn an_editor_is_asked_for_what_is_lacking_and_given_what_it_lacks() {
    let mut room = room();
    let (ada, bob) = (Client::new(1), Client::new(2));
    ada.insert(0, "written offline");
    enter(&mut room, A, Principal::Owner, &ada);
    assert!(room.has_staged());
    journal(&mut room, NOW);
    enter(&mut room, B, account(2), &bob);
    assert_eq!(bob.text(), "written offline");
    assert!(!room.has_staged(), "the second brought nothing new");
}

#[test]
fn the_changes_of_who_may_only_read_are_dropped_and_he_is_told() {
    let mut room = room();
    let (ada, eve) = (Client::new(1), Client::new(2));
    enter(&mut room, A, Principal::Owner, &ada);
    room.join(B, Principal::Anonymous, tag(B), false);
    let frame = eve.insert(0, "x");
    let effects = room.frame(B, &frame, NOW);
    let denied = message::permission_denied("you may read this document, not change it");
    assert_eq!(effects, [Effect::Send(B, denied)]);
    assert!(!room.has_staged());
    // Its answer to the first step, which brings nothing, is no change.
    let nothing = message::step_2(&Update::default().encode());
    assert_eq!(room.frame(B, &nothing, NOW), []);
    // It may show its cursor.
    let states = message::awareness(&[1, 2, 1, 2, b'{', b'}']);
    assert_eq!(sent(&room.frame(B, &states, NOW), A).len(), 1);
}

#[test]
fn what_is_not_of_the_protocol_closes() {
    let mut room = room();
    for frame in [&[0, 7][..], &[0, 0, 9], &[0, 2, 1, 9], &[0, 0, 1, 9], &[1, 1, 9]] {
        room.join(A, Principal::Owner, tag(A), true);
        assert_eq!(closes(&room.frame(A, frame, NOW)), [(A, Close::Malformed)], "{frame:?}");
        assert!(room.is_deserted());
    }
    // A frame of an editor that is closed already.
    assert_eq!(room.frame(A, &Client::new(1).step_1(), NOW), []);
}

#[test]
fn a_change_that_cannot_be_split_is_refused_and_a_long_text_is_not() {
    let mut room = room();
    let (ada, bob) = (Client::new(1), Client::new(2));
    enter(&mut room, A, Principal::Owner, &ada);
    assert_eq!(closes(&room.frame(A, &ada.insert(0, &"x".repeat(200_000)), NOW)), []);
    enter(&mut room, B, account(2), &bob);
    let large = bob.edit(|txn, text| {
        text.insert_embed(txn, 0, "x".repeat(70_000));
    });
    assert_eq!(closes(&room.frame(B, &large, NOW)), [(B, Close::TooLarge)]);
    journal(&mut room, NOW);
    let due = room.due(NOW + 10_000);
    assert!(due[0].parts.len() > 3 && due[0].parts.iter().all(|part| part.encode().len() <= 64 << 10));
}

#[test]
fn another_element_under_a_name_that_is_taken_is_refused_and_the_same_one_is_not() {
    let mut room = room();
    let (ada, copy, twin) = (Client::new(7), Client::new(7), Client::new(7));
    enter(&mut room, A, Principal::Owner, &ada);
    room.frame(A, &ada.insert(0, "ada"), NOW);
    // Another one at the same time, before the first is durable.
    room.join(B, account(2), tag(B), true);
    assert_eq!(closes(&room.frame(B, &copy.insert(0, "eve"), NOW)), [(B, Close::Forbidden)]);
    journal(&mut room, NOW);
    room.join(B, account(2), tag(B), true);
    let other = message::update(&copy.doc.transact().encode_diff_v1(&StateVector::default()));
    assert_eq!(closes(&room.frame(B, &other, NOW)), [(B, Close::Forbidden)]);
    room.join(B, account(2), tag(B), true);
    let same = twin.insert(0, "ada");
    assert_eq!(room.frame(B, &same, NOW), []);
    assert!(!room.has_staged(), "it is here already");
}

#[test]
fn who_holds_what_was_deleted_is_closed_before_it_is_heard() {
    let ada = Client::new(1);
    let gone = update_in(&ada.insert(0, "deleted"));
    let mut room = room();
    assert_eq!(room.view(hides(&[], &gone)), Change::Goes(vec![]));
    room.join(A, Principal::Owner, tag(A), true);
    let effects = room.frame(A, &ada.step_1(), NOW);
    assert_eq!(effects, [Effect::Close(A, Close::Deleted)], "and it is given nothing");
    // One that does not say what it has.
    room.join(A, Principal::Owner, tag(A), true);
    let more = ada.insert(7, " and more");
    for frame in [message::update(&gone.encode()), ada.edit(|txn, text| text.remove_range(txn, 0, 2))] {
        room.join(A, Principal::Owner, tag(A), true);
        assert_eq!(closes(&room.frame(A, &frame, NOW)), [(A, Close::Deleted)]);
        assert!(!room.has_staged());
    }
    drop(more);
    // A new one of somebody who knows nothing of it.
    let bob = Client::new(2);
    enter(&mut room, B, Principal::Owner, &bob);
    room.frame(B, &bob.insert(0, "anew"), NOW);
    assert!(room.has_staged());
}
