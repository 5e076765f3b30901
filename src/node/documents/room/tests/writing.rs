//! From an editor to the others, to the journal, and to signed entries.

use super::*;
use crate::documents::limits::{RETRY_FIRST_MS, SIGN_AFTER_MS, SIGN_BYTES};

#[test]
fn nobody_hears_of_a_keystroke_before_it_is_durable_and_its_editor_is_told_when_it_is() {
    let mut room = room();
    let (ada, bob) = (Client::new(1), Client::new(2));
    enter(&mut room, A, Principal::Owner, &ada);
    enter(&mut room, B, account(2), &bob);
    let effects = room.frame(A, &ada.insert(0, "hello"), NOW);
    assert_eq!(effects, []);
    assert_eq!(room.unsent(), None);
    let (rows, effects) = journal(&mut room, NOW);
    assert_eq!((rows.len(), rows[0].by), (1, Principal::Owner));
    assert_eq!((sent(&effects, A).len(), sent(&effects, B).len()), (1, 1));
    pass(&effects, &[(A, &ada), (B, &bob)]);
    assert_eq!((ada.text(), bob.text()), ("hello".into(), "hello".into()));
    let Some(Body::Preview(preview)) = room.unsent() else { panic!("other gateways hear of it") };
    assert_eq!(Update::decode(&preview).unwrap(), rows[0].update);
    assert_eq!(room.unsent(), None, "once");
}

#[test]
fn one_flush_makes_one_row_for_each_author() {
    let mut room = room();
    let (ada, bob) = (Client::new(1), Client::new(2));
    enter(&mut room, A, Principal::Owner, &ada);
    enter(&mut room, B, account(2), &bob);
    for _ in 0..3 {
        room.frame(A, &ada.insert(0, "a"), NOW);
        room.frame(B, &bob.insert(0, "b"), NOW);
    }
    let rows = room.rows();
    assert_eq!(
        rows.iter().map(|row| (row.number, row.by)).collect::<Vec<_>>(),
        [(0, Principal::Owner), (1, account(2))]
    );
    assert_eq!(rows[1].update.structs().iter().collect::<Vec<_>>(), [(2, 0, 3)]);
    room.durable(&rows, NOW);
    let mut due = room.due(NOW + SIGN_AFTER_MS);
    due.sort_by_key(|due| due.rows.clone());
    assert_eq!(
        due.iter().map(|due| (due.by, due.rows.clone())).collect::<Vec<_>>(),
        [(Principal::Owner, vec![0]), (account(2), vec![1]),]
    );
}

#[test]
fn keystrokes_are_signed_after_a_while_or_when_they_are_many_or_when_nobody_is_left() {
    let ada = Client::new(1);
    let mut room = room();
    enter(&mut room, A, Principal::Owner, &ada);
    room.frame(A, &ada.insert(0, "a"), NOW);
    journal(&mut room, NOW);
    assert!(room.due(NOW + SIGN_AFTER_MS - 1).is_empty());
    assert_eq!(room.next_ms(), Some(NOW + SIGN_AFTER_MS));
    assert_eq!(room.due(NOW + SIGN_AFTER_MS).len(), 1);
    assert!(room.due(NOW + 10 * SIGN_AFTER_MS).is_empty(), "they are being signed");
    room.signed(Principal::Owner, Verdict::Signed, NOW);
    assert!(room.is_settled());

    room.frame(A, &ada.insert(0, &"x".repeat(SIGN_BYTES)), NOW);
    journal(&mut room, NOW);
    assert_eq!(room.due(NOW).len(), 1);
    room.frame(A, &ada.insert(0, "b"), NOW);
    journal(&mut room, NOW);
    assert!(room.due(NOW + SIGN_AFTER_MS).is_empty(), "one commit of an author at a time");
    room.signed(Principal::Owner, Verdict::Signed, NOW);
    assert!(room.due(NOW).is_empty());
    room.leave(A, NOW);
    let due = room.due(NOW);
    assert_eq!((due.len(), due[0].rows.clone()), (1, vec![2]));
}

#[test]
fn what_could_not_be_signed_is_tried_again_with_what_came_since() {
    let ada = Client::new(1);
    let mut room = room();
    enter(&mut room, A, Principal::Owner, &ada);
    room.frame(A, &ada.insert(0, "a"), NOW);
    journal(&mut room, NOW);
    room.due(NOW + SIGN_AFTER_MS);
    room.frame(A, &ada.insert(1, "b"), NOW);
    journal(&mut room, NOW);
    room.signed(Principal::Owner, Verdict::Later, NOW);
    assert_eq!(room.failures(), 1);
    assert!(room.due(NOW + RETRY_FIRST_MS - 1).is_empty());
    let due = room.due(NOW + SIGN_AFTER_MS);
    assert_eq!(due[0].rows, [0, 1]);
    assert_eq!(due[0].parts[0].structs().iter().collect::<Vec<_>>(), [(1, 0, 2)]);
    room.signed(Principal::Owner, Verdict::Signed, NOW);
    assert_eq!(room.failures(), 0);
}

#[test]
fn rows_of_an_earlier_run_are_signed_unless_they_were_signed_or_deleted() {
    let ada = Client::new(1);
    let updates: Vec<Update> = ["a", "b", "c"].iter().map(|text| update_in(&ada.insert(0, text))).collect();
    let mut other = room();
    other.view(hides(&[entry(1, 1, &updates[0])], &updates[2]));
    for (number, update) in (4..).zip(&updates) {
        other.restore_row(number, Principal::Owner, Some(update.clone()));
    }
    other.restore_row(7, Principal::Owner, None);
    let due = other.due(NOW);
    assert_eq!(due[0].rows, [4, 5, 6, 7], "all of the rows go");
    assert_eq!(due[0].parts, [updates[1].clone()]);
    let bob = Client::new(2);
    enter(&mut other, B, account(2), &bob);
    assert_eq!(bob.text(), "ba");
    other.frame(B, &bob.insert(0, "x"), NOW);
    assert_eq!(other.rows()[0].number, 8, "numbers go on");
}

#[test]
fn an_update_whose_base_is_missing_is_acknowledged_and_kept_and_given_to_nobody() {
    let (ada, bob) = (Client::new(1), Client::new(2));
    let (first, second) = (ada.insert(0, "a"), ada.insert(1, "b"));
    let mut room = room();
    enter(&mut room, B, account(2), &bob);
    room.join(A, Principal::Owner, tag(A), true);
    room.frame(A, &second, NOW);
    let (_, effects) = journal(&mut room, NOW);
    assert_eq!((sent(&effects, A).len(), sent(&effects, B).len()), (1, 0));
    room.frame(A, &first, NOW);
    let (_, effects) = journal(&mut room, NOW);
    pass(&effects, &[(B, &bob)]);
    assert_eq!(bob.text(), "ab", "both become ready at once");
}
