//! Certificates: who may write another's space, in which part of it, when, and what a chain may pass on.

use rustdht_core::{Code, Field, Mode, Session, Soul, Stamp, Writer};
use rustdht_wire::{
    Certificates, Operation, Place, Rules, Signing, chain, check, missing, named, sign_commit, slot_of,
};

use crate::forge::*;

const PLACES: [Place; 2] = [Place::Door, Place::Replica];

pub(crate) fn below(rest: &str) -> String {
    format!("{}{rest}", root_of(OWNER))
}

pub(crate) fn note() -> String {
    below("/blog/1")
}

/// The author writes a register of the owner's under `leaf`.
fn write(soul: &str, field: &str, leaf: &Paper) -> Draft {
    Draft::new(vec![slotted(soul, field, "register", &leaf.writer(), &1.into())]).auth(&[leaf])
}

fn with<'a>(certificates: &'a Certificates) -> Rules<'a> {
    Rules { certificates, ..rules() }
}

/// Code and field of operation 0, the same whether the certificates are known or travel along.
fn judged(draft: &Draft, papers: &[&Paper], place: Place) -> (String, String) {
    let known = known(papers);
    let by_name = verdict(&draft.complete().encode(), place, &with(&known), 0);
    let along = draft.complete().with("c", carried(papers)).encode();
    assert_eq!(verdict(&along, place, &rules(), 0), by_name);
    assert_eq!(verdict(&along, place, &with(&known), 0), by_name);
    by_name
}

fn says(code: &str, field: &str) -> (String, String) {
    (code.into(), field.into())
}

/// A chain that does not hold refuses the whole at a door, and covers nothing between replicas.
fn broken(draft: &Draft, papers: &[&Paper]) {
    assert_eq!(judged(draft, papers, Place::Door), says("not_authorised", "h.auth.0"));
    assert_eq!(judged(draft, papers, Place::Replica), says("not_authorised", "ops.0.s"));
}

fn uncovered(draft: &Draft, papers: &[&Paper]) {
    for place in PLACES {
        assert_eq!(judged(draft, papers, place), says("not_authorised", "ops.0.s"));
    }
}

fn holds(draft: &Draft, papers: &[&Paper]) {
    for place in PLACES {
        assert_eq!(judged(draft, papers, place), says("ok", ""));
    }
}

#[test]
fn a_certificate_lets_its_audience_write() {
    let leaf = Paper::new(OWNER, AUTHOR);
    let draft = write(&note(), "title", &leaf);
    holds(&draft, &[&leaf]);
    let known = known(&[&leaf]);
    for place in PLACES {
        let verified = check(&draft.complete().encode(), place, &with(&known)).unwrap().verify().unwrap();
        let entry = verified.entries[0].1.as_ref().unwrap();
        assert_eq!((entry.leaf, entry.writer.0), (Some(leaf.id()), leaf.writer()));
        assert_eq!(verified.certificates, [leaf.signed()]);
        // What a replica stores of it passes it on.
        let extras = rustdht_wire::Extras { certificates: &verified.certificates, endorsements: &[] };
        let again = rustdht_wire::envelope_of(&verified.commit, &[entry], &extras).unwrap();
        assert_eq!(verdict(&again, Place::Replica, &rules(), 0), says("ok", ""));
    }
    // Without it the same commit waits.
    for place in PLACES {
        assert_eq!(verdict(&draft.complete().encode(), place, &rules(), 0), says("certificate_missing", "h.auth.0"));
    }
    // A header that does not name it does not use it.
    let unnamed = draft.clone().head("auth", vec![0x80]);
    uncovered(&unnamed, &[&leaf]);
}

#[test]
fn nobody_writes_where_no_certificate_allows_it() {
    let leaf = Paper::new(OWNER, AUTHOR);
    // Its holder is another key.
    broken(&write(&note(), "f", &Paper::new(OWNER, 8)), &[&Paper::new(OWNER, 8)]);
    // It gives no right to write.
    let endorser = leaf.clone().rights(&["delegate", "endorse"]);
    uncovered(&write(&note(), "f", &endorser), &[&endorser]);
    // It is about another space.
    let elsewhere = Paper::new(8, AUTHOR).with("space", text(&root_of(8))).prefixes(&[&root_of(8)]);
    uncovered(&write(&note(), "f", &elsewhere), &[&elsewhere]);
    holds(&write(&root_of(8), "f", &elsewhere), &[&elsewhere]);
    // It belongs to another network.
    let foreign = leaf.clone().with("net", bytes(&[0x12; 32]));
    broken(&write(&note(), "f", &foreign), &[&foreign]);
    // The author issued it to itself, for a space that is another's.
    let mine = Paper::new(AUTHOR, AUTHOR);
    broken(&write(&note(), "f", &mine), &[&mine]);
}

#[test]
fn a_forged_certificate_is_none() {
    let forged = Paper { seed: AUTHOR, ..Paper::new(OWNER, AUTHOR) };
    let envelope = write(&note(), "f", &forged).complete().with("c", carried(&[&forged])).encode();
    assert_eq!(verdict(&envelope, Place::Door, &rules(), 0), says("bad_signature", "c.0"));
    // Between replicas it is as if it were not there: another copy of the same bytes may be the right one.
    assert_eq!(verdict(&envelope, Place::Replica, &rules(), 0), says("certificate_missing", "h.auth.0"));
    // Whether the certificate is known makes no difference at a door.
    let good = Paper::new(OWNER, AUTHOR);
    let envelope = write(&note(), "f", &good).complete().with("c", carried(&[&forged])).encode();
    let known = known(&[&good]);
    assert_eq!(verdict(&envelope, Place::Door, &with(&known), 0), says("bad_signature", "c.0"));
    assert_eq!(verdict(&envelope, Place::Replica, &with(&known), 0), says("ok", ""));
    // What travels along and is not needed must hold at a door too, and is not looked at between replicas.
    let draft = Draft::new(vec![register("a", "f", 1)]);
    for (bad, field, code) in [
        (carried(&[&good, &forged]), "c.1", "bad_signature"),
        (list(&[list(&[bytes(&[1]), bytes(&[0; 64])])]), "c.0", "malformed"),
    ] {
        let envelope = draft.complete().with("c", bad).encode();
        assert_eq!(verdict(&envelope, Place::Door, &rules(), 0), says(code, field));
        assert_eq!(verdict(&envelope, Place::Replica, &rules(), 0), says("ok", ""));
    }
    // A leaf whose bytes are no certificate will never hold, whoever signs it.
    let nonsense = Paper::new(OWNER, AUTHOR).with("v", uint(2));
    let envelope = write(&note(), "f", &nonsense).complete().with("c", carried(&[&nonsense])).encode();
    assert_eq!(verdict(&envelope, Place::Door, &rules(), 0), says("malformed", "c.0.v"));
    assert_eq!(verdict(&envelope, Place::Replica, &rules(), 0), says("not_authorised", "ops.0.s"));
}

#[test]
fn times_are_stamps() {
    let leaf = Paper::new(OWNER, AUTHOR);
    let (first, end) = (Stamp::from_ms(NOW_MS - 3_600_000).0, Stamp::from_ms(NOW_MS + 3_600_000).0);
    let at = |stamp: u64| write(&note(), "f", &leaf).head("stamp", uint(stamp));
    holds(&at(first), &[&leaf]);
    holds(&at(end - 1), &[&leaf]);
    for stamp in [first - 1, end, end + 1] {
        for place in PLACES {
            assert_eq!(judged(&at(stamp), &[&leaf], place), says("certificate_expired", "ops.0.s"));
        }
    }
    // Expired is what only its times forbid.
    let narrow = leaf.clone().prefixes(&[&below("/x")]);
    uncovered(&write(&note(), "f", &narrow).head("stamp", uint(end)), &[&narrow]);
    // Another certificate that admits it decides.
    let later = Paper::new(OWNER, AUTHOR).with("not_after", uint(end + 10)).with("nonce", bytes(&[1; 16]));
    let draft = write(&note(), "f", &later).auth(&[&leaf, &later]).head("stamp", uint(end));
    holds(&draft, &[&leaf, &later]);
}

#[test]
fn a_prefix_covers_itself_and_what_lies_below() {
    let leaf = Paper::new(OWNER, AUTHOR).prefixes(&[&below("/blog")]);
    for rest in ["/blog", "/blog/1", "/blog/1/2", "/blog//"] {
        holds(&write(&below(rest), "f", &leaf), &[&leaf]);
    }
    for rest in ["", "/blogger", "/blo", "/blog.", "/BLOG", "/other/blog"] {
        uncovered(&write(&below(rest), "f", &leaf), &[&leaf]);
    }
    let two = Paper::new(OWNER, AUTHOR).prefixes(&[&below("/a"), &below("/b")]);
    holds(&write(&below("/b/1"), "f", &two), &[&two]);
    uncovered(&write(&below("/c"), "f", &two), &[&two]);
}

#[test]
fn fields_are_listed_or_all() {
    let leaf = Paper::new(OWNER, AUTHOR).with("fields", texts(&["body", "title"]));
    holds(&write(&note(), "title", &leaf), &[&leaf]);
    holds(&write(&note(), "body", &leaf), &[&leaf]);
    for field in ["titles", "t", "a", "z"] {
        uncovered(&write(&note(), field, &leaf), &[&leaf]);
    }
}

#[test]
fn the_first_that_covers_gives_the_slot() {
    let blog = Paper::new(OWNER, AUTHOR).prefixes(&[&below("/blog")]);
    let all = Paper::new(OWNER, AUTHOR).with("nonce", bytes(&[1; 16]));
    let on = |soul: &str, leaf: &Paper, order: [&Paper; 2]| {
        Draft::new(vec![slotted(soul, "f", "register", &leaf.writer(), &1.into())]).auth(&order)
    };
    let papers = [&blog, &all];
    holds(&on(&note(), &blog, [&blog, &all]), &papers);
    holds(&on(&note(), &all, [&all, &blog]), &papers);
    holds(&on(&below("/x"), &all, [&blog, &all]), &papers);
    for place in PLACES {
        assert_eq!(judged(&on(&note(), &all, [&blog, &all]), &papers, place), says("bad_slot", "ops.0.t"));
        assert_eq!(judged(&on(&note(), &blog, [&all, &blog]), &papers, place), says("bad_slot", "ops.0.t"));
    }
    // Under a certificate the slot is never that of the author without one, nor that of another session.
    let bare = Draft::new(vec![slotted(&note(), "f", "register", &writer(), &1.into())]).auth(&[&all]);
    let session = |h: &[u8], session: &[u8]| {
        let slot = [h, session].concat();
        Draft::new(vec![slotted(&note(), "f", "counter", &slot, &1.into())]).auth(&[&all])
    };
    for place in PLACES {
        assert_eq!(judged(&bare, &[&all], place), says("bad_slot", "ops.0.t"));
        assert_eq!(judged(&session(&writer(), &SESSION), &[&all], place).0, "bad_slot");
        assert_eq!(judged(&session(&all.writer(), &[0; 8]), &[&all], place).0, "bad_slot");
    }
    holds(&session(&all.writer(), &SESSION), &[&all]);
    // In the author's own space, and in public space, it stands under none.
    for (soul, slot) in [(owned(), writer().to_vec()), ("a".into(), Vec::new())] {
        let draft = Draft::new(vec![slotted(&soul, "f", "register", &slot, &1.into())]).auth(&[&all]);
        holds(&draft, &[&all]);
        let known = known(&[&all]);
        let verified = check(&draft.complete().encode(), Place::Door, &with(&known)).unwrap().verify().unwrap();
        assert_eq!(verified.entries[0].1.as_ref().unwrap().leaf, None);
    }
}

/// A root that may delegate everything, and a leaf below it.
pub(crate) fn family() -> (Paper, Paper) {
    let root = Paper::new(OWNER, 5).rights(&["delegate", "write"]).prefixes(&[&below("/blog")]);
    let leaf = Paper::new(5, AUTHOR).prefixes(&[&below("/blog")]).under(&root);
    (root, leaf)
}

#[test]
fn whoever_may_delegate_passes_on_what_it_has() {
    let (root, leaf) = family();
    holds(&write(&note(), "f", &leaf), &[&root, &leaf]);
    let narrower = leaf.clone().prefixes(&[&note()]).with("fields", texts(&["f"]));
    holds(&write(&note(), "f", &narrower), &[&root, &narrower]);
    // The parent travels along and is stored with it.
    let envelope = write(&note(), "f", &leaf).complete().with("c", carried(&[&leaf, &root])).encode();
    let verified = check(&envelope, Place::Replica, &rules()).unwrap().verify().unwrap();
    assert_eq!(verified.certificates.len(), 2);
    let named = named(&envelope).unwrap();
    assert_eq!(named.auth, [leaf.id()]);
    assert_eq!(named.carried, [(leaf.id(), Some(root.id())), (root.id(), None)]);
    // The parent alone is missing.
    let known = known(&[&leaf]);
    for place in PLACES {
        let refusal = check(&write(&note(), "f", &leaf).complete().encode(), place, &with(&known)).unwrap_err();
        assert_eq!((refusal.code, refusal.field.as_str()), (Code::CertificateMissing, "h.auth.0"));
        assert!(refusal.detail.contains(&root.id().to_cid().to_string()), "{}", refusal.detail);
    }
    assert_eq!(missing(&leaf.id(), &known), Some(root.id()));
    assert_eq!(missing(&leaf.id(), &Certificates::new()), Some(leaf.id()));
    assert_eq!(missing(&leaf.id(), &self::known(&[&leaf, &root])), None);
}

/// Each way in which a certificate may exceed its parent.
pub(crate) fn widened() -> Vec<(&'static str, Paper, Paper)> {
    let (root, leaf) = family();
    let (first, end) = (Stamp::from_ms(NOW_MS - 3_600_000).0, Stamp::from_ms(NOW_MS + 3_600_000).0);
    let fields = |paper: &Paper, fields: &[&str]| paper.clone().with("fields", texts(fields));
    let one = fields(&root, &["f"]);
    let no_delegate = root.clone().rights(&["write"]);
    let only_delegate = root.clone().rights(&["delegate"]);
    vec![
        ("a prefix beside the parent's", root.clone(), leaf.clone().prefixes(&[&below("/blog"), &below("/blogger")])),
        ("a prefix above the parent's", root.clone(), leaf.clone().prefixes(&[&below("")])),
        ("all fields of some", one.clone(), leaf.clone().under(&one)),
        ("a field beside the parent's", one.clone(), fields(&leaf, &["f", "g"]).under(&one)),
        ("a right that the parent has not", only_delegate.clone(), leaf.clone().under(&only_delegate)),
        ("the right to endorse", root.clone(), leaf.clone().rights(&["endorse", "write"])),
        ("earlier than the parent", root.clone(), leaf.clone().with("not_before", uint(first - 1))),
        ("later than the parent", root.clone(), leaf.clone().with("not_after", uint(end + 1))),
        ("a parent that may not delegate", no_delegate.clone(), leaf.clone().under(&no_delegate)),
        (
            "issued by another than the parent's audience",
            root.clone(),
            Paper::new(8, AUTHOR).prefixes(&[&below("/blog")]).under(&root),
        ),
        (
            "issued by the owner under a parent of another",
            root.clone(),
            Paper::new(OWNER, AUTHOR).prefixes(&[&below("/blog")]).under(&root),
        ),
        ("a parent of another network", root.clone().with("net", bytes(&[0x12; 32])), {
            let foreign = root.clone().with("net", bytes(&[0x12; 32]));
            leaf.clone().under(&foreign)
        }),
        ("a parent that the owner did not issue", Paper::new(8, 5).rights(&["delegate", "write"]), {
            leaf.clone().under(&Paper::new(8, 5).rights(&["delegate", "write"]))
        }),
    ]
}

#[test]
fn nothing_is_passed_on_that_the_parent_does_not_allow() {
    for (why, root, leaf) in widened() {
        let draft = write(&note(), "f", &leaf);
        let known = known(&[&root, &leaf]);
        assert_eq!(chain(&leaf.id(), &known, &NET).unwrap_err().code, Code::NotAuthorised, "{why}");
        broken(&draft, &[&root, &leaf]);
    }
    // Another space: the leaf is about its issuer's own.
    let (root, _) = family();
    let stray = Paper::new(5, AUTHOR).with("space", text(&root_of(5))).prefixes(&[&root_of(5)]).under(&root);
    let draft = Draft::new(vec![slotted(&root_of(5), "f", "register", &stray.writer(), &1.into())]).auth(&[&stray]);
    broken(&draft, &[&root, &stray]);
}

/// A chain of `len` certificates, the leaf last: from the owner to key 20, to 21, ... to the author.
pub(crate) fn ladder(len: usize) -> Vec<Paper> {
    let mut chain: Vec<Paper> = Vec::new();
    for at in 0..len {
        let issuer = if at == 0 { OWNER } else { 19 + at as u8 };
        let audience = if at + 1 == len { AUTHOR } else { 20 + at as u8 };
        let paper = Paper::new(issuer, audience).rights(&["delegate", "write"]);
        chain.push(match chain.last() {
            Some(parent) => paper.under(parent),
            None => paper,
        });
    }
    chain
}

#[test]
fn a_chain_has_at_most_eight_certificates() {
    for (len, good) in [(1, true), (2, true), (8, true), (9, false), (10, false)] {
        let papers = ladder(len);
        let papers: Vec<&Paper> = papers.iter().collect();
        let draft = write(&note(), "f", papers[len - 1]);
        if good {
            holds(&draft, &papers);
            assert_eq!(chain(&papers[len - 1].id(), &known(&papers), &NET).unwrap().len(), len);
        } else {
            broken(&draft, &papers);
        }
    }
}

#[test]
fn a_parent_is_named_by_its_digest_so_no_chain_is_a_circle() {
    // Nobody can name a certificate before it exists; a parent that nobody has ends the way up.
    let leaf = Paper::new(5, AUTHOR).with("parent", Paper::new(9, 9).cid());
    assert_eq!(chain(&leaf.id(), &known(&[&leaf]), &NET).unwrap_err().code, Code::CertificateMissing);
}

#[test]
fn each_operation_is_judged_alike_alone_and_with_all_others() {
    let leaf = Paper::new(OWNER, AUTHOR).prefixes(&[&below("/blog")]);
    let good = slotted(&note(), "f", "register", &leaf.writer(), &1.into());
    let bad = slotted(&below("/private"), "f", "register", &leaf.writer(), &1.into());
    let draft = Draft::new(vec![good, bad, register("a", "f", 1)]).auth(&[&leaf]);
    let known = known(&[&leaf]);
    assert_eq!(verdict(&draft.complete().encode(), Place::Door, &with(&known), 0), says("not_authorised", "ops.1.s"));
    let expected = ["ok", "not_authorised", "ok"];
    for (index, expected) in expected.into_iter().enumerate() {
        let at = |envelope: &Map| verdict(&envelope.encode(), Place::Replica, &with(&known), index as u16).0;
        assert_eq!(at(&draft.complete()), expected);
        assert_eq!(at(&draft.with_leaves(&[0, 1, 2])), expected);
        assert_eq!(at(&draft.with_proofs(&[index])), expected);
        assert_eq!(at(&draft.with_leaves(&[index])), expected);
    }
}

#[test]
fn what_is_signed_under_a_certificate_is_admitted() {
    let (root, leaf) = family();
    let known = known(&[&root, &leaf]);
    let key = key();
    let stamp = Stamp::from_ms(NOW_MS);
    let signing = || Signing::new(&key, NET, Session(SESSION));
    let under = signing().under(&[leaf.id()], &known).unwrap();
    let (soul, field): (Soul, Field) = (note().parse().unwrap(), "f".parse().unwrap());
    let standing = under.standing(&soul, &field, stamp).unwrap();
    assert_eq!((standing.leaf, standing.writer.0), (Some(leaf.id()), leaf.writer()));
    assert_eq!(under.standing(&owned().parse().unwrap(), &field, stamp).unwrap().leaf, None);
    assert_eq!(under.standing(&below("/x").parse().unwrap(), &field, stamp).unwrap_err().code, Code::NotAuthorised);
    let late = Stamp::from_ms(NOW_MS + 3_600_000);
    assert_eq!(under.standing(&soul, &field, late).unwrap_err().code, Code::CertificateExpired);
    let op = |standing: Writer| {
        let mut op = Operation::decode(&register("a", "f", 1).encode()).unwrap();
        op.soul = soul.clone();
        op.slot = slot_of(&op.kind, &soul, &author(), &Session(SESSION), &standing).unwrap();
        op
    };
    let built = sign_commit(&under, 0, None, stamp, vec![op(standing.writer)]).unwrap();
    assert_eq!(built.certificates.len(), 2);
    for place in PLACES {
        // The chain travels along: the receiver knows nothing.
        let verified = check(&built.envelope, place, &rules()).unwrap().verify().unwrap();
        assert_eq!(verified.entries[0].1.as_ref(), Ok(&built.entries[0]));
        assert_eq!(verified.commit, built.commit);
    }
    let refused = sign_commit(&under, 0, None, stamp, vec![op(Writer(writer()))]).unwrap_err();
    assert_eq!((refused.code, refused.field.as_str()), (Code::BadSlot, "ops.0.t"));
    let refused = sign_commit(&under, 0, None, late, vec![op(standing.writer)]).unwrap_err();
    assert_eq!((refused.code, refused.field.as_str()), (Code::CertificateExpired, "ops.0.s"));
    let refuse = |auth: &[rustdht_core::CertificateId], known: &Certificates| {
        let refusal = signing().under(auth, known).unwrap_err();
        (refusal.code, refusal.field)
    };
    assert_eq!(refuse(&[leaf.id()], &Certificates::new()), (Code::CertificateMissing, "h.auth.0".into()));
    assert_eq!(refuse(&[leaf.id(), leaf.id()], &known), (Code::Malformed, "h.auth.1".into()));
    assert_eq!(refuse(&[leaf.id(); 5], &known), (Code::OutOfRange, "h.auth".into()));
    assert_eq!(refuse(&[root.id()], &known), (Code::NotAuthorised, "h.auth.0".into()));
}

#[test]
fn the_mode_changes_nothing_about_certificates_at_a_door() {
    let leaf = Paper::new(OWNER, AUTHOR);
    let known = known(&[&leaf]);
    let rules = Rules { mode: Mode::Members, ..with(&known) };
    assert_eq!(verdict(&write(&note(), "f", &leaf).complete().encode(), Place::Door, &rules, 0), says("ok", ""));
}
