//! Endorsements: in `members` mode a commit needs the word of a member gateway to pass between replicas.

use rustdht_core::{Mode, Session, Soul, Stamp};
use rustdht_wire::{
    Certificates, EndorsedBy, Extras, Operation, Place, Rules, Signing, check, endorse, named, sign_commit,
    verify_batch, with_extras,
};

use crate::forge::*;

/// Seeds of two gateways.
const GATE: u8 = 30;
const OTHER: u8 = 31;

/// A member certificate: right `endorse` in `~C`.
pub(crate) fn member(issuer: u8, audience: u8) -> Paper {
    Paper::new(issuer, audience)
        .with("space", text(&root_of(COMMUNITY)))
        .prefixes(&[&root_of(COMMUNITY)])
        .rights(&["endorse"])
}

fn members<'a>(certificates: &'a Certificates) -> Rules<'a> {
    Rules { mode: Mode::Members, certificates, ..rules() }
}

fn public_draft() -> Draft {
    Draft::new(vec![register("a", "f", 1)])
}

fn endorsed(draft: &Draft, endorsements: &[Vec<u8>]) -> Vec<u8> {
    draft.complete().with("e", list(endorsements)).encode()
}

fn says(code: &str, field: &str) -> (String, String) {
    (code.into(), field.into())
}

#[test]
fn a_member_gateway_vouches_for_a_commit() {
    let paper = member(COMMUNITY, GATE);
    let known = known(&[&paper]);
    let draft = public_draft();
    let envelope = endorsed(&draft, &[draft.endorsed(GATE, &paper)]);
    for place in [Place::Door, Place::Replica] {
        for mode in [Mode::Open, Mode::Members] {
            let rules = Rules { mode, ..members(&known) };
            let verified = check(&envelope, place, &rules).unwrap().verify().unwrap();
            assert!(verified.entries[0].1.is_ok());
            assert_eq!(verified.endorsements.len(), 1);
            assert_eq!(verified.endorsements[0].certificate, paper.id());
            assert_eq!(verified.certificates, [paper.signed()]);
        }
    }
    assert_eq!(named(&envelope).unwrap().endorsers, [paper.id()]);
    // Its certificate may travel along.
    let along =
        draft.complete().with("e", list(&[draft.endorsed(GATE, &paper)])).with("c", carried(&[&paper])).encode();
    assert_eq!(verdict(&along, Place::Replica, &members(&Certificates::new()), 0), says("ok", ""));
}

#[test]
fn between_replicas_every_space_but_the_communitys_needs_one() {
    let none = Certificates::new();
    let replica = |draft: &Draft| verdict(&draft.complete().encode(), Place::Replica, &members(&none), 0);
    let mine = Draft::new(vec![slotted(&owned(), "f", "register", &writer(), &1.into())]);
    let url = "^https://example.com/a";
    let mirror = Draft::new(vec![slotted(url, "f", "register", &writer(), &1.into())]);
    for draft in [&public_draft(), &mine, &mirror] {
        assert_eq!(replica(draft), says("not_authorised", "ops.0.s"));
    }
    // `~C` and what lies below are exempt.
    for rest in ["", "/pins"] {
        let soul = format!("{}{rest}", root_of(COMMUNITY));
        let writer = rustdht_core::Writer::new(&public(COMMUNITY), None).0;
        let draft = Draft::new(vec![slotted(&soul, "f", "register", &writer, &1.into())]).by(COMMUNITY);
        assert_eq!(replica(&draft), says("ok", ""));
    }
    // A door asks for none: its gateway vouches.
    let door = verdict(&public_draft().complete().encode(), Place::Door, &members(&none), 0);
    assert_eq!(door, says("ok", ""));
    // The operations of one commit are told apart.
    let mixed =
        Draft::new(vec![slotted(&root_of(COMMUNITY), "f", "set", &[], &1.into()).without("t"), register("a", "f", 1)])
            .by(COMMUNITY);
    let at = |index| verdict(&mixed.complete().encode(), Place::Replica, &members(&none), index).0;
    assert_eq!((at(0).as_str(), at(1).as_str()), ("ok", "not_authorised"));
    // An operation that is refused for itself stays refused for that.
    let bad = Draft::new(vec![register("a", "f", rustdht_core::Value::Null)]);
    assert_eq!(replica(&bad).0, "bad_value");
}

/// Why an endorsement does not hold: papers that are known, the pair, and the code at a door.
pub(crate) fn hollow(draft: &Draft) -> Vec<(&'static str, Vec<Paper>, Vec<u8>, &'static str)> {
    let good = member(COMMUNITY, GATE);
    let end = Stamp::from_ms(NOW_MS).0;
    let pair = |paper: &Paper, seed: u8| draft.endorsed(seed, paper);
    let no_right = good.clone().rights(&["delegate", "write"]);
    let elsewhere = Paper::new(OWNER, GATE).rights(&["endorse"]);
    let expired = good.clone().with("not_after", uint(end));
    let not_yet = good.clone().with("not_before", uint(end + 1));
    let foreign = good.clone().with("net", bytes(&[0x12; 32]));
    let self_made = member(GATE, GATE);
    let sub_root = member(COMMUNITY, OTHER);
    let sub = member(OTHER, GATE).under(&sub_root);
    let other_commit = Draft::new(vec![register("b", "f", 1)]);
    vec![
        ("a certificate without the right", vec![no_right.clone()], pair(&no_right, GATE), "not_authorised"),
        ("a certificate of another space", vec![elsewhere.clone()], pair(&elsewhere, GATE), "not_authorised"),
        ("a certificate that has ended", vec![expired.clone()], pair(&expired, GATE), "certificate_expired"),
        ("a certificate that has not begun", vec![not_yet.clone()], pair(&not_yet, GATE), "certificate_expired"),
        ("a certificate of another network", vec![foreign.clone()], pair(&foreign, GATE), "not_authorised"),
        ("a certificate of its own making", vec![self_made.clone()], pair(&self_made, GATE), "not_authorised"),
        ("issued by a member that may not delegate", vec![sub_root, sub.clone()], pair(&sub, GATE), "not_authorised"),
        ("signed by another than the audience", vec![good.clone()], pair(&good, OTHER), "bad_signature"),
        ("of another commit", vec![good.clone()], other_commit.endorsed(GATE, &good), "bad_signature"),
        (
            "the commit id signed without the label",
            vec![good.clone()],
            list(&[good.cid(), bytes(&key_of(GATE).sign(&draft.commit_id()))]),
            "bad_signature",
        ),
    ]
}

#[test]
fn an_endorsement_that_does_not_hold_counts_for_nothing() {
    let draft = public_draft();
    let good = member(COMMUNITY, OTHER).with("nonce", bytes(&[9; 16]));
    for (why, papers, pair, code) in hollow(&draft) {
        let mut certificates = known(&papers.iter().collect::<Vec<_>>());
        certificates.extend(known(&[&good]));
        let rules = members(&certificates);
        let alone = endorsed(&draft, std::slice::from_ref(&pair));
        assert_eq!(verdict(&alone, Place::Door, &rules, 0), says(code, "e.0"), "{why}");
        assert_eq!(verdict(&alone, Place::Replica, &rules, 0), says("not_authorised", "ops.0.s"), "{why}");
        // Beside one that holds it changes nothing between replicas.
        let both = endorsed(&draft, &[pair, draft.endorsed(OTHER, &good)]);
        assert_eq!(verdict(&both, Place::Door, &rules, 0), says(code, "e.0"), "{why}");
        let verified = check(&both, Place::Replica, &rules).unwrap().verify().unwrap();
        assert!(verified.entries[0].1.is_ok(), "{why}");
        assert_eq!(verified.endorsements.len(), 1, "{why}");
        assert_eq!(verified.certificates, [good.signed()], "{why}");
    }
}

#[test]
fn one_that_cannot_be_judged_yet_is_waited_for() {
    let (paper, draft) = (member(COMMUNITY, GATE), public_draft());
    let envelope = endorsed(&draft, &[draft.endorsed(GATE, &paper)]);
    let none = Certificates::new();
    assert_eq!(verdict(&envelope, Place::Door, &members(&none), 0), says("certificate_missing", "e.0"));
    assert_eq!(verdict(&envelope, Place::Replica, &members(&none), 0), says("certificate_missing", "e.0"));
    // Not where it makes no difference.
    assert_eq!(verdict(&envelope, Place::Replica, &rules(), 0), says("ok", ""));
    let other = member(COMMUNITY, OTHER);
    let both = endorsed(&draft, &[draft.endorsed(GATE, &paper), draft.endorsed(OTHER, &other)]);
    let known = known(&[&other]);
    assert_eq!(verdict(&both, Place::Replica, &members(&known), 0), says("ok", ""));
}

#[test]
fn members_may_make_members_when_they_may_delegate() {
    let root = member(COMMUNITY, OTHER).rights(&["delegate", "endorse"]);
    let leaf = member(OTHER, GATE).under(&root);
    let draft = public_draft();
    let known = known(&[&root, &leaf]);
    let envelope = endorsed(&draft, &[draft.endorsed(GATE, &leaf)]);
    let verified = check(&envelope, Place::Replica, &members(&known)).unwrap().verify().unwrap();
    assert!(verified.entries[0].1.is_ok());
    assert_eq!(verified.certificates.len(), 2);
}

#[test]
fn a_mirror_soul_needs_the_word_of_its_own_author() {
    let url = "^https://example.com/a";
    let draft = Draft::new(vec![slotted(url, "f", "register", &writer(), &1.into())]);
    let (own, other) = (member(COMMUNITY, AUTHOR), member(COMMUNITY, GATE));
    let known = known(&[&own, &other]);
    let rules = members(&known);
    let with = |pairs: &[Vec<u8>]| verdict(&endorsed(&draft, pairs), Place::Replica, &rules, 0);
    assert_eq!(with(&[draft.endorsed(GATE, &other)]), says("not_authorised", "ops.0.s"));
    assert_eq!(with(&[draft.endorsed(AUTHOR, &own)]), says("ok", ""));
    assert_eq!(with(&[draft.endorsed(GATE, &other), draft.endorsed(AUTHOR, &own)]), says("ok", ""));
    // The author's own certificate under another's signature is not the author's word.
    let stolen = [draft.endorsed(GATE, &own), draft.endorsed(GATE, &other)];
    assert_eq!(with(&stolen), says("not_authorised", "ops.0.s"));
}

#[test]
fn the_form_of_the_list() {
    let (paper, draft) = (member(COMMUNITY, GATE), public_draft());
    let pair = draft.endorsed(GATE, &paper);
    let door = |e: Vec<u8>| verdict(&draft.complete().with("e", e).encode(), Place::Door, &rules(), 0);
    assert_eq!(door(vec![0x80]), says("malformed", "e"));
    assert_eq!(door(list(&[pair.clone(), pair.clone()])), says("malformed", "e.1"));
    assert_eq!(door(list(&[list(&[paper.cid()])])), says("malformed", "e.0"));
    assert_eq!(door(list(&[list(&[bytes(&[1]), bytes(&[0; 64])])])), says("malformed", "e.0"));
    assert_eq!(door(list(&[list(&[paper.cid(), bytes(&[0; 63])])])), says("malformed", "e.0"));
    let many: Vec<_> =
        (0..33_u8).map(|at| draft.endorsed(GATE, &member(COMMUNITY, GATE).with("nonce", bytes(&[at; 16])))).collect();
    assert_eq!(door(list(&many)), says("out_of_range", "e"));
    let papers: Vec<_> = (0..65_u8).map(|at| member(COMMUNITY, GATE).with("nonce", bytes(&[at; 16]))).collect();
    let all = draft.complete().with("c", carried(&papers.iter().collect::<Vec<_>>())).encode();
    assert_eq!(verdict(&all, Place::Replica, &rules(), 0), says("out_of_range", "c"));
}

#[test]
fn a_gateway_endorses_what_it_signs_and_what_others_signed() {
    let paper = member(COMMUNITY, GATE);
    let known = known(&[&paper]);
    let (gate, client) = (key_of(GATE), key());
    let none = Certificates::new();
    let op = || vec![Operation::decode(&register("a", "f", 1).encode()).unwrap()];
    let stamp = Stamp::from_ms(NOW_MS);
    let community = public(COMMUNITY);
    let endorsing = Signing::new(&client, NET, Session(SESSION));
    let endorsing = endorsing.endorsed_by(&gate, &paper.id(), &community, &known).unwrap();
    let built = sign_commit(&endorsing, 0, None, stamp, op()).unwrap();
    assert_eq!(verdict(&built.envelope, Place::Replica, &members(&none), 0), says("ok", ""));
    assert_eq!(
        built.endorsements,
        [EndorsedBy { certificate: paper.id(), signature: endorse(&gate, &built.commit.id) }]
    );
    // The same onto an envelope that a client signed, as a door does.
    let plain = sign_commit(&Signing::new(&client, NET, Session(SESSION)), 0, None, stamp, op()).unwrap();
    let extras = Extras { certificates: &[paper.signed()], endorsements: &built.endorsements };
    assert_eq!(with_extras(&plain.envelope, &extras).unwrap(), built.envelope.to_vec());
    assert_eq!(with_extras(&built.envelope, &Extras::default()).unwrap(), plain.envelope.to_vec());
    let all: Vec<_> = plain.entries.iter().collect();
    assert_eq!(rustdht_wire::envelope_of(&plain.commit, &all, &extras).unwrap(), built.envelope.to_vec());
    assert!(with_extras(&[0x80], &extras).is_err());
    // Certificates are written once, and never more than an envelope may carry.
    let papers: Vec<_> =
        (0..70_u8).map(|at| member(COMMUNITY, GATE).with("nonce", bytes(&[at; 16])).signed()).collect();
    let twice = [papers.clone(), papers].concat();
    let many = Extras { certificates: &twice, endorsements: &[built.endorsements[0]; 40] };
    let envelope = with_extras(&plain.envelope, &many).unwrap();
    assert_eq!(named(&envelope).map(|named| named.carried.len()).map_err(|refusal| refusal.field), Err("e.1".into()));
    let same = Extras { certificates: &[paper.signed(), paper.signed()], endorsements: &[] };
    assert_eq!(named(&with_extras(&plain.envelope, &same).unwrap()).unwrap().carried.len(), 1);
    let many = Extras { certificates: &twice, endorsements: &[] };
    assert_eq!(named(&with_extras(&plain.envelope, &many).unwrap()).unwrap().carried.len(), 64);
    // Who may not endorse cannot.
    let refuse = |paper: &Paper, key, community| {
        let known = self::known(&[paper]);
        Signing::new(&client, NET, Session(SESSION)).endorsed_by(key, &paper.id(), community, &known).map(|_| ())
    };
    assert!(refuse(&paper, &client, &community).is_err(), "another key");
    let late = paper.clone().with("not_after", uint(stamp.0));
    let certificates = self::known(&[&late]);
    let signing = Signing::new(&client, NET, Session(SESSION));
    let signing = signing.endorsed_by(&gate, &late.id(), &community, &certificates).unwrap();
    assert_eq!(sign_commit(&signing, 0, None, stamp, op()).unwrap_err().code.as_str(), "certificate_expired");
    let elsewhere = Signing::new(&client, NET, Session(SESSION));
    let elsewhere = elsewhere.endorsed_by(&gate, &paper.id(), &public(OWNER), &known).unwrap();
    assert_eq!(sign_commit(&elsewhere, 0, None, stamp, op()).unwrap_err().code.as_str(), "not_authorised");
}

#[test]
fn a_batch_judges_endorsements_as_one_does() {
    let paper = member(COMMUNITY, GATE);
    let known = known(&[&paper]);
    let rules = members(&known);
    let draft = |at: i64| Draft::new(vec![register("a", "f", at)]);
    let envelopes: Vec<Vec<u8>> = (0..200)
        .map(|at| {
            let draft = draft(at);
            let by = if at % 7 == 3 { OTHER } else { GATE };
            endorsed(&draft, &[draft.endorsed(by, &paper)])
        })
        .collect();
    for place in [Place::Door, Place::Replica] {
        let checked = envelopes.iter().map(|envelope| check(envelope, place, &rules).unwrap()).collect();
        let together = verify_batch(checked);
        for (at, (outcome, envelope)) in together.iter().zip(&envelopes).enumerate() {
            assert_eq!(*outcome, check(envelope, place, &rules).unwrap().verify());
            let admitted = outcome.as_ref().is_ok_and(|verified| verified.entries[0].1.is_ok());
            assert_eq!(admitted, at % 7 != 3);
        }
    }
}

#[test]
fn an_endorsement_id_names_commit_and_certificate() {
    let paper = member(COMMUNITY, GATE);
    let commit = rustdht_core::CommitId([5; 32]);
    let cid = [&[0x01, 0x71, 0x1e, 0x20][..], &paper.digest()].concat();
    let expected = blake3::hash(&[&b"rustdht/endorsement/1"[..], &[5; 32], &cid].concat());
    assert_eq!(rustdht_core::EndorsementId::of(&commit, &paper.id()).0, *expected.as_bytes());
    assert_eq!(Soul::of_key(public(COMMUNITY)).to_string(), root_of(COMMUNITY));
}
