//! A member of the swarm that keeps to no rule, against a gateway: what it pushes is answered with its code and shows
//! nowhere, however it arrives, and honest members go on.

mod peer;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use reqwest::{Method, StatusCode};
use rustdht_core::{CertificateId, Code, Entry, Kind, NetId, Soul, Stamp, Value};
use rustdht_testkit::{Author, Forged, forge, set_add, set_remove, slotted, write};
use rustdht_wire::{Certificate, Invite, Operation, Rights, SignedCertificate};
use serde_json::{Value as Json, json};

use crate::gateway::Gateway;
use peer::{Parcel, Peer, Wares, altered, answered, now_ms, refusals, soon};

const WRITE: Rights = Rights { write: true, delegate: false, endorse: false };
const ALL: Rights = Rights { write: true, delegate: true, endorse: false };

/// What is to become of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The gateway refuses it.
    Refused(Code),
    /// It is admitted, and has no effect.
    Idle,
    /// It is kept aside for a certificate that never comes.
    Waits,
}
use Fate::{Idle, Refused, Waits};

/// An envelope that must show nowhere.
struct Attempt {
    what: &'static str,
    parcel: Parcel,
    fate: Fate,
}

/// Whose spaces and names are at stake.
struct Cast {
    net: NetId,
    network_key: [u8; 32],
    now_ms: u64,
    owner: Author,
    /// Holds certificates of the owner.
    guest: Author,
    /// Holds none.
    stranger: Author,
    root: Soul,
    blog: Soul,
    board: Soul,
    /// Of the owner for the guest, on the blog: one that holds, and one that the owner withdraws.
    good: Arc<SignedCertificate>,
    withdrawn: Arc<SignedCertificate>,
}

/// What honest authors signed and an honest member passed on.
struct Honest {
    /// Title, visits, tags, and on the board votes and motto.
    first: Forged,
    /// Written over since.
    old_mood: Forged,
    /// Three fields, of which only the first was passed on.
    pages: Forged,
}

fn text(soul: &Soul, field: &str, value: &str) -> Operation {
    write(soul, field, Value::from(value)).unwrap()
}

fn counter(soul: &Soul, field: &str, total: i64) -> Operation {
    Operation { kind: Kind::listed(Kind::COUNTER), ..write(soul, field, Value::Int(total)).unwrap() }
}

/// A removal of kind `kill`.
fn kill(of: &Entry) -> Operation {
    Operation { kind: Kind::listed(Kind::KILL), ..set_remove(&of.soul, &of.field, vec![of.id]).unwrap() }
}

impl Cast {
    fn new(invite: &Invite) -> Self {
        let (owner, guest, stranger) = (Author::new(41), Author::new(42), Author::new(43));
        let (net, root) = (invite.charter.net(), Soul::of_key(owner.public()));
        let certificate = |nonce| {
            let certificate = owner.certificate(net, guest.public(), WRITE);
            let prefixes = vec![format!("{root}/blog").parse().unwrap()];
            Arc::new(Certificate { nonce: [nonce; 16], prefixes, ..certificate }.sign(owner.key()).unwrap())
        };
        let (good, withdrawn) = (certificate(1), certificate(2));
        let (blog, board) = (format!("{root}/blog").parse().unwrap(), "board".parse().unwrap());
        let network_key = invite.network_key;
        let now_ms = now_ms();
        Self { net, network_key, now_ms, owner, guest, stranger, root, blog, board, good, withdrawn }
    }

    fn ago(&self, ms: u64) -> Stamp {
        Stamp::from_ms(self.now_ms - ms)
    }

    /// Signed by its author, in no chain.
    fn plain(&self, author: &Author, ops: Vec<Operation>) -> Forged {
        forge(author, self.net, self.ago(0), &[], ops)
    }

    /// One operation of the guest under a chain, in the slot that it gives.
    fn under(&self, chain: &[Arc<SignedCertificate>], ms_ago: u64, op: Operation) -> Forged {
        let op = slotted(op, &self.guest, Some(&chain[0].id()));
        forge(&self.guest, self.net, self.ago(ms_ago), &[chain], vec![op])
    }

    /// A certificate of the owner for the guest, on all of the owner's space.
    fn certificate(&self, change: impl FnOnce(&mut Certificate)) -> Arc<SignedCertificate> {
        let mut certificate = self.owner.certificate(self.net, self.guest.public(), WRITE);
        change(&mut certificate);
        Arc::new(certificate.sign(self.owner.key()).unwrap())
    }

    /// A certificate that the guest issues itself under `parent`, with less or with more.
    fn child(&self, parent: &SignedCertificate, change: impl FnOnce(&mut Certificate)) -> Arc<SignedCertificate> {
        let (issuer, parent_id) = (self.guest.public(), Some(parent.id()));
        let mut certificate = Certificate { issuer, parent: parent_id, ..parent.certificate().clone() };
        change(&mut certificate);
        Arc::new(certificate.sign(self.guest.key()).unwrap())
    }

    /// What an honest member passes on; each is taken.
    async fn play(&mut self, honest: &Peer) -> Honest {
        let (net, blog, board) = (self.net, self.blog.clone(), self.board.clone());
        let stamps = [40_000, 35_000, 30_000, 25_000, 20_000, 10_000].map(|ms| self.ago(ms));
        let mut sign = |stamp: usize, ops| Forged::from(self.owner.sign(net, stamps[stamp], ops).unwrap());
        let first = sign(
            0,
            vec![
                text(&blog, "title", "honest"),
                counter(&blog, "visits", 5),
                set_add(&blog, "tags", Value::from("mine")).unwrap(),
                counter(&board, "votes", 3),
                text(&board, "motto", "honest"),
            ],
        );
        let old_mood = sign(1, vec![text(&blog, "mood", "old")]);
        let mood = sign(2, vec![text(&blog, "mood", "new")]);
        let pages = ["page1", "page2", "page3"].map(|page| text(&blog, page, "honest"));
        let pages = sign(3, pages.into());
        let withdrawn = Value::Blob(self.withdrawn.id().to_cid());
        let withdrawal = sign(5, vec![set_add(&self.root, "revoked", withdrawn).unwrap()]);
        let mut guest = Author::new(42).under(&[&[Arc::clone(&self.good)]]);
        let by_guest = guest.sign(net, stamps[4], vec![text(&blog, "guest", "welcome")]).unwrap().into();
        for (what, commit) in [
            ("what the owner wrote", &first),
            ("what is written over", &old_mood),
            ("what writes it over", &mood),
            ("what the guest wrote under a certificate", &by_guest),
            ("the withdrawal of another certificate", &withdrawal),
        ] {
            honest.put(what, &honest.whole(commit)).await;
        }
        honest.put("one of three operations with its path", &honest.endorsed(&pages, &[0])).await;
        Honest { first, old_mood, pages }
    }

    /// What the owner's blog and the public board show, from then on.
    fn shown(&self) -> [(&Soul, Json); 2] {
        let counter = |total: &str| json!({"@counter": total});
        let blog = json!({
            "title": "honest", "visits": counter("5"), "tags": {"@set": ["mine"]}, "mood": "new", "page1": "honest",
            "guest": "welcome",
        });
        [(&self.blog, blog), (&self.board, json!({"votes": counter("3"), "motto": "honest"}))]
    }

    /// Foreign names, foreign spaces, foreign slots.
    fn impostures(&self, honest: &Honest, hostile: &Peer, community: &Soul, member: &Peer) -> Vec<Attempt> {
        let Self { owner, guest, stranger, blog, board, .. } = self;
        let title = || text(blog, "title", "forged");
        let own = |op, author: &Author| vec![slotted(op, author, None)];
        let forged = |op, author: &Author| self.plain(author, own(op, author));
        let attempt = |what, forged: &Forged, fate| Attempt { what, parcel: hostile.whole(forged), fate };
        let by_guest = |op| self.under(&[Arc::clone(&self.good)], 0, op);
        let [.., votes, motto] = &honest.first.entries[..] else { panic!("five operations") };
        let visits = &honest.first.entries[1];
        let in_slot_of = |entry: &Entry, op| Operation { slot: entry.slot.clone(), ..op };
        let put_out = set_add(community, "revoked", Value::Blob(member.leaf().id().to_cid())).unwrap();
        let erase = Operation { kind: Kind::listed(Kind::KILL), ..text(blog, "page1", Entry::ERASE) };
        let bad_net = forge(stranger, NetId([7; 32]), self.ago(0), &[], own(text(board, "motto", "x"), stranger));
        let mirror: Soul = "^https://example.com/a".parse().unwrap();
        let content: Soul = "#bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".parse().unwrap();
        vec![
            attempt(
                "the owner's name under the signature of another",
                &forged(title(), owner).signed_by(stranger.key()),
                Refused(Code::BadSignature),
            ),
            attempt("a stranger in the owner's space", &forged(title(), stranger), Refused(Code::NotAuthorised)),
            attempt(
                "a stranger in the owner's space and slot",
                &self.plain(stranger, own(title(), owner)),
                Refused(Code::NotAuthorised),
            ),
            attempt(
                "the guest outside of what its certificate names",
                &by_guest(text(&self.root, "title", "forged")),
                Refused(Code::NotAuthorised),
            ),
            attempt(
                "a stranger who withdraws the guest's certificate",
                &forged(set_add(&self.root, "revoked", Value::Blob(self.good.id().to_cid())).unwrap(), stranger),
                Refused(Code::NotAuthorised),
            ),
            attempt(
                "a member that puts another out",
                &forge(&hostile.author, self.net, self.ago(0), &[&hostile.chain], vec![put_out]),
                Refused(Code::NotAuthorised),
            ),
            attempt(
                "an old value under a new stamp",
                &honest.old_mood.clone().restamped(self.ago(0)),
                Refused(Code::BadSignature),
            ),
            attempt(
                "a total in another's slot on the board",
                &self.plain(stranger, vec![in_slot_of(votes, counter(board, "votes", 900))]),
                Refused(Code::BadSlot),
            ),
            attempt(
                "a total in the owner's slot under a certificate",
                &forge(
                    guest,
                    self.net,
                    self.ago(0),
                    &[&[Arc::clone(&self.good)]],
                    vec![in_slot_of(visits, counter(blog, "visits", 900))],
                ),
                Refused(Code::BadSlot),
            ),
            attempt("a kill of another's total", &self.plain(stranger, vec![kill(votes)]), Idle),
            attempt("a kill of another's register", &self.plain(stranger, vec![kill(motto)]), Idle),
            attempt("a kill of the owner's total under a certificate", &by_guest(kill(visits)), Idle),
            attempt("an erase of what the owner wrote under a certificate", &by_guest(erase), Idle),
            attempt(
                "a kill of the owner's element by a stranger",
                &self.plain(stranger, vec![kill(&honest.first.entries[2])]),
                Refused(Code::NotAuthorised),
            ),
            attempt("another network", &bad_net, Refused(Code::WrongNetwork)),
            attempt(
                "a mirror of one who is no member",
                &forged(text(&mirror, "x", "forged"), stranger),
                Refused(Code::NotAuthorised),
            ),
            attempt("signed content", &forged(text(&content, "x", "forged"), stranger), Refused(Code::Immutable)),
        ]
    }

    /// Certificates that do not hold, or no longer.
    fn delegations(&self, hostile: &Peer) -> Vec<Attempt> {
        let title = || text(&self.blog, "title", "forged");
        let attempt = |what, chain: &[Arc<SignedCertificate>], ms_ago, fate| {
            let parcel = hostile.whole(&self.under(chain, ms_ago, title()));
            Attempt { what, parcel, fate }
        };
        let refused = |what, chain: &[Arc<SignedCertificate>], code| attempt(what, chain, 0, Refused(code));
        let over = self.certificate(|certificate| certificate.not_after = self.ago(1000));
        let early = self.certificate(|certificate| certificate.not_before = Stamp::from_ms(self.now_ms + 3_600_000));
        let fields = self.certificate(|certificate| {
            certificate.rights = ALL;
            certificate.fields = vec!["motto".parse().unwrap()];
        });
        let more_fields = self.child(&fields, |certificate| certificate.fields = Vec::new());
        let deep = self.certificate(|certificate| {
            certificate.rights = ALL;
            certificate.prefixes = vec![format!("{}/deep", self.blog).parse().unwrap()];
        });
        let higher = self.child(&deep, |certificate| certificate.prefixes = vec![self.root.clone()]);
        let passed_on = self.child(&self.good, |certificate| certificate.nonce = [9; 16]);
        let short = self.certificate(|certificate| {
            certificate.rights = ALL;
            certificate.not_after = self.ago(1000);
        });
        let longer = self.child(&short, |certificate| certificate.not_after = Stamp(u64::MAX));
        let own = self.child(&self.good, |certificate| certificate.parent = None);
        // What the owner never signed, with the signature of something that he did.
        let wanted = self.certificate(|certificate| certificate.nonce = [8; 16]);
        let forged = hostile.whole(&self.under(&[Arc::clone(&wanted)], 0, title()));
        let forged = altered(forged, wanted.signature(), self.good.signature());
        let forged = Attempt {
            what: "a delegation that the owner never signed",
            parcel: forged,
            fate: Refused(Code::CertificateMissing),
        };
        let absent = self.child(&self.good, |certificate| certificate.parent = Some(CertificateId([9; 32])));
        let waits = attempt("a delegation whose origin is not here", &[absent], 0, Waits);
        vec![
            refused("a delegation that is over", &[over], Code::CertificateExpired),
            refused("a delegation that has not begun", &[early], Code::CertificateExpired),
            refused("a delegation widened to all fields", &[more_fields, fields], Code::NotAuthorised),
            refused("a delegation widened to all souls", &[higher, deep], Code::NotAuthorised),
            refused("a delegation widened in time", &[longer, short], Code::NotAuthorised),
            refused(
                "a delegation passed on without the right",
                &[passed_on, Arc::clone(&self.good)],
                Code::NotAuthorised,
            ),
            refused("a delegation that the guest gave itself", &[own], Code::NotAuthorised),
            attempt("a write under a withdrawn delegation", &[Arc::clone(&self.withdrawn)], 0, Idle),
            attempt("the same, dated back before the withdrawal", &[Arc::clone(&self.withdrawn)], 15_000, Idle),
            forged,
            waits,
        ]
    }

    /// Values and paths that are not those of the signed tree.
    fn altered_trees(&self, honest: &Honest, hostile: &Peer) -> Vec<Attempt> {
        let parcel = || hostile.endorsed(&honest.pages, &[1]);
        // The sibling of the second leaf is the first.
        let sibling = &honest.pages.commit.leaves[..32];
        let mut other = sibling.to_vec();
        other[0] ^= 1;
        let refused = |what, parcel| Attempt { what, parcel, fate: Refused(Code::BadRoot) };
        vec![
            refused("an altered path", altered(parcel(), sibling, &other)),
            refused("another value on the same path", altered(parcel(), b"fhonest", b"fforged")),
            refused("another field on the same path", altered(parcel(), b"page2", b"title")),
        ]
    }

    /// Public writes without the word of a member.
    fn unendorsed(&self, hostile: &Peer, member: &Peer, community: &Soul) -> Vec<Attempt> {
        let key = &self.network_key;
        let gate: Soul = "gate".parse().unwrap();
        let at_gate =
            |field| self.plain(&self.stranger, vec![slotted(text(&gate, field, "forged"), &self.stranger, None)]);
        let refused = |what, parcel| Attempt { what, parcel, fate: Refused(Code::NotAuthorised) };
        let bare = at_gate("bare");
        let (own, claimed, stolen, other) = (at_gate("own"), at_gate("claimed"), at_gate("stolen"), at_gate("other"));
        let rights = Rights { write: true, delegate: true, endorse: true };
        let stranger = &self.stranger;
        let of_own = stranger.certificate(self.net, stranger.public(), rights);
        let of_community =
            Certificate { space: community.clone(), prefixes: vec![community.clone()], ..of_own.clone() };
        let of_own = Arc::new(of_own.sign(stranger.key()).unwrap());
        let of_community = Arc::new(of_community.sign(stranger.key()).unwrap());
        let by = |commit: &Forged, certificate: &Arc<SignedCertificate>| {
            let word = commit.word(stranger.key(), certificate);
            Parcel::of(commit, &[0], &[word], std::slice::from_ref(certificate), key)
        };
        let by_thief = stolen.word(hostile.author.key(), member.leaf());
        let by_thief = Parcel::of(&stolen, &[0], &[by_thief], &member.chain, key);
        let elsewhere = bare.word(hostile.author.key(), hostile.leaf());
        let elsewhere = Parcel::of(&other, &[0], &[elsewhere], &hostile.chain, key);
        vec![
            refused("a public write that nobody endorsed", Parcel::of(&bare, &[0], &[], &[], key)),
            refused("one endorsed under the stranger's own space", by(&own, &of_own)),
            refused("one endorsed under a certificate that the community did not issue", by(&claimed, &of_community)),
            refused("one endorsed in another member's name", by_thief),
            refused("one with the endorsement of another commit", elsewhere),
        ]
    }
}

struct Scene {
    gateway: Gateway,
    honest: Peer,
    hostile: Peer,
    /// The export as it is to stay.
    export: String,
}

async fn page(gateway: &Gateway) -> String {
    gateway.request(Method::GET, "/metrics", None).await.text().await.unwrap()
}

async fn shows(gateway: &Gateway, soul: &str) -> Json {
    gateway.data(&soul.replace('/', "%2F")).await
}

/// How often each code was counted since.
fn since(before: &BTreeMap<String, u64>, now: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let risen = now.into_iter().map(|(code, count)| {
        let known = before.get(&code).copied().unwrap_or_default();
        (code, count - known)
    });
    risen.filter(|(_, count)| *count > 0).collect()
}

impl Scene {
    /// Pushes an envelope and waits for its answer: the codes, as the gateway counts them and as it answers.
    async fn refusals(&self, what: &str, parcel: &Parcel) -> [BTreeMap<String, u64>; 2] {
        let before = (refusals(&page(&self.gateway).await), answered());
        self.hostile.push(parcel).await;
        soon(what, async || answered() != before.1 || self.hostile.is_taken(parcel.commit).await).await;
        [since(&before.0, refusals(&page(&self.gateway).await)), since(&before.1, answered())]
    }

    async fn attempt(&self, Attempt { what, parcel, fate }: &Attempt) {
        match fate {
            Refused(code) => {
                let once: BTreeMap<String, u64> = [(code.as_str().to_owned(), 1)].into();
                assert_eq!(self.refusals(what, parcel).await, [once.clone(), once], "{what}");
                assert!(!self.hostile.is_taken(parcel.commit).await, "{what} is not durable");
            }
            Idle => assert_eq!(self.refusals(what, parcel).await, [BTreeMap::new(), BTreeMap::new()], "{what}"),
            // There is no answer to be seen of it; the gateway counts it at the end.
            Waits => self.hostile.push(parcel).await,
        }
        assert_eq!(self.gateway.export().await, self.export, "{what} changes nothing");
    }

    /// The lines of the export, less those of souls that came since.
    async fn export_without(&self, souls: &[&str]) -> String {
        let starts: Vec<String> = souls.iter().map(|soul| format!("{{\"soul\":\"{soul}\"")).collect();
        let export = self.gateway.export().await;
        let kept = export.split_inclusive('\n').filter(|line| !starts.iter().any(|start| line.starts_with(start)));
        kept.collect()
    }
}

async fn whatever_it_sends_shows_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&folder.path().join("data"), &[]);
    let invite: Invite = gateway.invite().await.parse().unwrap();
    answered();
    let honest = Peer::join(&invite, 51, Wares::default()).await.certified().await;
    // It is a member like the other, and gives its word for all that it makes up.
    let hostile = Peer::join(&invite, 52, Wares::default()).await.certified().await;
    let mut cast = Cast::new(&invite);
    let control = cast.play(&honest).await;
    for (soul, data) in cast.shown() {
        assert_eq!(shows(&gateway, soul).await, data);
    }
    let community = Soul::of_key(invite.charter.charter().community);
    let export = gateway.export().await;
    let scene = Scene { gateway, honest, hostile, export };
    let (gateway, honest, hostile) = (&scene.gateway, &scene.honest, &scene.hostile);

    let mut attempts = cast.impostures(&control, hostile, &community, honest);
    attempts.extend(cast.delegations(hostile));
    attempts.extend(cast.altered_trees(&control, hostile));
    attempts.extend(cast.unendorsed(hostile, honest, &community));
    for attempt in &attempts {
        scene.attempt(attempt).await;
    }

    // Of a commit the good operation counts and the other does not, as if each had come alone.
    let good = slotted(text(&"mixed".parse().unwrap(), "x", "fine"), &cast.stranger, None);
    let bad = slotted(text(&cast.blog, "title", "forged"), &cast.stranger, None);
    let mixed = cast.plain(&cast.stranger, vec![good, bad]);
    let once: BTreeMap<String, u64> = [(Code::NotAuthorised.as_str().to_owned(), 1)].into();
    for (what, parcel) in [
        ("the bad one of two operations alone", hostile.endorsed(&mixed, &[1])),
        ("a good operation and a bad one", hostile.whole(&mixed)),
    ] {
        assert_eq!(scene.refusals(what, &parcel).await, [once.clone(), once.clone()], "{what}");
    }
    assert_eq!(shows(gateway, "mixed").await, json!({"x": "fine"}));
    assert_eq!(scene.export_without(&["mixed"]).await, scene.export);

    // The same once more, told of in a reconciliation, by a peer that joins with all of it in its index.
    let refused = attempts.iter().filter(|attempt| matches!(attempt.fate, Refused(_)));
    let mut wanted: BTreeMap<String, u64> = BTreeMap::new();
    for attempt in refused.clone() {
        let Refused(code) = attempt.fate else { continue };
        *wanted.entry(code.as_str().to_owned()).or_default() += 1;
    }
    let before = refusals(&page(gateway).await);
    let wares = Wares::new(refused.map(|attempt| attempt.parcel.clone()).collect());
    let reconciling = Peer::join(&invite, 53, wares).await;
    soon("reconciliation offers all of it", async || {
        let counted = since(&before, refusals(&page(gateway).await));
        wanted.iter().all(|(code, count)| counted.get(code).is_some_and(|counted| counted >= count))
    })
    .await;
    assert_eq!(scene.export_without(&["mixed"]).await, scene.export);

    // And in answer to a question: the gateway asks its members for a soul that it does not know.
    let given = reconciling.wares.given.load(Ordering::Relaxed);
    let answer = gateway.request(Method::GET, "/api/v1/nodes/gate", None).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert!(reconciling.wares.asked.lock().unwrap().iter().any(|soul| soul.as_str() == "gate"));
    assert!(reconciling.wares.given.load(Ordering::Relaxed) > given, "what it has of it was given");

    // The gateway goes on, with those who are honest and with its own users; and nobody is banned.
    let still =
        cast.owner.sign(cast.net, Stamp::from_ms(now_ms()), vec![text(&"after".parse().unwrap(), "x", "honest")]);
    honest.put("what is honest afterwards", &honest.whole(&still.unwrap().into())).await;
    assert_eq!(shows(gateway, "after").await, json!({"x": "honest"}));
    gateway.patch("own", json!({"x": "own"})).await;
    assert_eq!(shows(gateway, "own").await, json!({"x": "own"}));
    let newcomer = Peer::join(&invite, 54, Wares::default()).await;
    for peer in [honest, hostile, &reconciling, &newcomer] {
        assert!(peer.is_connected().await);
    }
    for (soul, data) in cast.shown() {
        assert_eq!(shows(gateway, soul).await, data);
    }
    assert_eq!(scene.export_without(&["mixed", "after", "own"]).await, scene.export);
    let page = page(gateway).await;
    assert!(page.lines().any(|line| line == "rustdht_node_pending_envelopes 1"), "the one that waits, and no other");
    assert!(!page.contains("rustdht_net_misbehaviour_total"), "a refusal is no breach of the protocol");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_member_changes_nothing_and_honest_ones_go_on() {
    let test = Box::pin(whatever_it_sends_shows_nowhere());
    tokio::time::timeout(Duration::from_secs(40), test).await.unwrap();
}
