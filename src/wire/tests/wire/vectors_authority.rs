//! Vectors of certificates, endorsements, mirror and content.

use rustdht_core::{Field, Soul, Stamp, Value};
use rustdht_wire::{Place, SignedCertificate, chain};
use serde_json::{Value as Json, json};

use crate::{
    content::{draft_of, operations, sample, soul_of, spoiled, unsigned},
    delegation::{ladder, widened},
    endorsing::{hollow, member},
    forge::*,
    papers::malformed_papers,
    vectors::{Setting, assert_file, commit_case, every_kind, refusal_json},
    vectors_refusals::Case,
};

const URL: &str = "^https://example.com/users/ada";
const GATE: u8 = 30;
const DOOR: Place = Place::Door;
const REPLICA: Place = Place::Replica;

fn below(rest: &str) -> String {
    format!("{}{rest}", root_of(OWNER))
}

fn write(soul: &str, leaf: &Paper) -> Draft {
    Draft::new(vec![slotted(soul, "f", "register", &leaf.writer(), &1.into())]).auth(&[leaf])
}

fn open(place: Place) -> Setting {
    Setting::open(place)
}

fn every_value() -> Map {
    Map::default()
        .with("enc", Value::Enc(vec![1, 2].into()).to_cbor())
        .with("big", Value::Int(i64::MIN).to_cbor())
        .with("float", Value::Float(5.0).to_cbor())
        .with("no", Value::Bool(false).to_cbor())
        .with("link", Value::Link(URL.parse().unwrap()).to_cbor())
        .with("raw", bytes(&[0, 1]))
        .with("text", text("gr\u{fc}\u{df}e"))
        .with("blob", {
            let cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".parse().unwrap();
            Value::Blob(cid).to_cbor()
        })
}

/// Commits that stand under certificates, and between replicas those that partly do not.
fn delegated() -> Vec<Json> {
    let all = Paper::new(OWNER, AUTHOR);
    let blog = Paper::new(OWNER, AUTHOR).prefixes(&[&below("/blog")]).with("nonce", bytes(&[1; 16]));
    let kinds = Draft::new(every_kind(&below("/blog/1"), Some(all.writer()))).auth(&[&all]);
    let chain = ladder(8);
    let chain: Vec<&Paper> = chain.iter().collect();
    let deep = write(&below("/x"), chain[7]);
    let nine = ladder(9);
    let nine: Vec<&Paper> = nine.iter().collect();
    let first = |order: [&Paper; 2], used: &Paper| {
        Draft::new(vec![slotted(&below("/blog"), "f", "register", &used.writer(), &1.into())]).auth(&order)
    };
    let spaces = Draft::new(vec![
        slotted(&below("/blog"), "f", "register", &blog.writer(), &1.into()),
        slotted(&below("/blogger"), "f", "register", &blog.writer(), &1.into()),
        slotted(&owned(), "f", "register", &writer(), &1.into()),
        register("a", "f", 1),
    ])
    .auth(&[&blog]);
    let late = write(&below(""), &all).head("stamp", uint(Stamp::from_ms(NOW_MS + 3_600_000).0));
    let stranger = Paper::new(OWNER, 8);
    let mut cases = vec![
        commit_case("every kind under a certificate", &open(DOOR).knowing(&[&all]), &kinds, &kinds.complete()),
        commit_case("a chain of eight, which is known", &open(DOOR).knowing(&chain), &deep, &deep.complete()),
        commit_case(
            "a chain of eight, which travels along",
            &open(REPLICA),
            &deep,
            &deep.complete().with("c", carried(&chain)),
        ),
        commit_case(
            "two certificates that cover, the narrower first",
            &open(DOOR).knowing(&[&all, &blog]),
            &first([&blog, &all], &blog),
            &first([&blog, &all], &blog).complete(),
        ),
        commit_case(
            "two certificates that cover, the wider first",
            &open(DOOR).knowing(&[&all, &blog]),
            &first([&all, &blog], &all),
            &first([&all, &blog], &all).complete(),
        ),
        commit_case(
            "a prefix, and what only begins like it",
            &open(REPLICA).knowing(&[&blog]),
            &spaces,
            &spaces.complete(),
        ),
        commit_case(
            "between replicas: after the certificate",
            &open(REPLICA).knowing(&[&all]),
            &late,
            &late.complete(),
        ),
        commit_case(
            "between replicas: a certificate of another key",
            &open(REPLICA).knowing(&[&stranger]),
            &write(&below(""), &stranger),
            &write(&below(""), &stranger).complete(),
        ),
        commit_case(
            "between replicas: a chain of nine",
            &open(REPLICA).knowing(&nine),
            &write(&below(""), nine[8]),
            &write(&below(""), nine[8]).complete(),
        ),
    ];
    for (why, root, leaf) in widened() {
        let draft = write(&below("/blog/1"), &leaf);
        let setting = open(REPLICA).knowing(&[&root, &leaf]);
        cases.push(commit_case(&format!("between replicas: {why}"), &setting, &draft, &draft.complete()));
    }
    cases
}

/// Mirror, content, and endorsements.
fn endorsed() -> Vec<Json> {
    let mirror = Draft::new(every_kind(URL, Some(writer())));
    let content = draft_of(operations(&soul_of(&every_value()), &every_value()));
    let public = Draft::new(every_kind("people/ada", None));
    let gate = member(COMMUNITY, GATE);
    let own = member(COMMUNITY, AUTHOR);
    let root = member(COMMUNITY, 31).rights(&["delegate", "endorse"]);
    let leaf = member(31, GATE).under(&root);
    let by = |draft: &Draft, pairs: &[Vec<u8>]| draft.complete().with("e", list(pairs));
    let community = Draft::new(vec![
        own_set(&root_of(COMMUNITY)),
        own_set(&format!("{}/pins", root_of(COMMUNITY))),
        register("a", "f", 1),
    ])
    .by(COMMUNITY);
    let one = Draft::new(vec![register("a", "f", 1)]);
    let members = |papers: &[&Paper]| open(REPLICA).members().knowing(papers);
    let mut cases = vec![
        commit_case("between replicas: every kind in mirror space", &open(REPLICA), &mirror, &mirror.complete()),
        commit_case("content", &open(DOOR), &content, &unsigned(&content)),
        commit_case("members: content needs nobody's word", &members(&[]), &content, &unsigned(&content)),
        commit_case("members: a door asks for no endorsement", &open(DOOR).members(), &one, &one.complete()),
        commit_case(
            "members: every kind, endorsed",
            &members(&[&gate]),
            &public,
            &by(&public, &[public.endorsed(GATE, &gate)]),
        ),
        commit_case(
            "members: an endorser's chain that travels along",
            &members(&[]),
            &one,
            &by(&one, &[one.endorsed(GATE, &leaf)]).with("c", carried(&[&leaf, &root])),
        ),
        commit_case("members: without endorsement", &members(&[]), &community, &community.complete()),
        commit_case(
            "members: an endorser that is not known yet",
            &members(&[]),
            &one,
            &by(&one, &[one.endorsed(GATE, &gate)]),
        ),
        commit_case(
            "members: a mirror soul under another's word",
            &members(&[&gate]),
            &mirror,
            &by(&mirror, &[mirror.endorsed(GATE, &gate)]),
        ),
        commit_case(
            "members: a mirror soul under its author's word",
            &members(&[&own]),
            &mirror,
            &by(&mirror, &[mirror.endorsed(AUTHOR, &own)]),
        ),
    ];
    for (why, papers, pair, _) in hollow(&one) {
        let setting = members(&papers.iter().collect::<Vec<_>>());
        cases.push(commit_case(&format!("members: endorsed, {why}"), &setting, &one, &by(&one, &[pair])));
    }
    cases
}

fn own_set(soul: &str) -> Map {
    own(soul, "f", "set", &1.into())
}

#[test]
fn authority() {
    assert_file(
        "authority.json",
        "As commits.json: commits under certificates, with endorsements, in mirror and content space. `certificates` are those \
         that are known.",
        &[delegated(), endorsed()].concat(),
    );
}

fn paper_json(paper: &Paper) -> Json {
    let signed = SignedCertificate::decode_pair(&paper.pair()).unwrap();
    let certificate = signed.certificate();
    let rights = certificate.rights;
    json!({
        "pair_hex": hex::encode(paper.pair()), "bytes_hex": hex::encode(signed.bytes()),
        "cid": signed.id().to_cid().to_string(), "digest": signed.id().to_string(), "seed": hex::encode([paper.seed; 32]),
        "net": certificate.net.to_string(), "issuer": hex::encode(certificate.issuer.0),
        "audience": hex::encode(certificate.audience.0), "space": certificate.space.as_str(),
        "prefixes": certificate.prefixes.iter().map(Soul::as_str).collect::<Vec<_>>(),
        "fields": certificate.fields.iter().map(Field::as_str).collect::<Vec<_>>(),
        "rights": { "write": rights.write, "delegate": rights.delegate, "endorse": rights.endorse },
        "not_before": certificate.not_before.to_string(), "not_after": certificate.not_after.to_string(),
        "parent": certificate.parent.map(|parent| parent.to_cid().to_string()),
        "nonce": hex::encode(certificate.nonce), "writer": hex::encode(paper.writer()),
    })
}

#[test]
fn certificates() {
    let mut cases: Vec<Json> = [
        Paper::new(OWNER, AUTHOR),
        Paper::new(OWNER, AUTHOR).with("fields", texts(&["body", "title"])).prefixes(&[&below("/a"), &below("/b")]),
        ladder(2).remove(1),
        member(COMMUNITY, GATE).rights(&["delegate", "endorse", "write"]),
    ]
    .iter()
    .map(|paper| {
        let mut case = paper_json(paper);
        case["what"] = "certificate".into();
        case
    })
    .collect();
    for (why, paper, code, _) in malformed_papers() {
        let refusal = SignedCertificate::decode_pair(&paper.pair()).unwrap_err();
        assert_eq!(refusal.code.as_str(), code);
        cases.push(json!({
            "what": "certificate", "why": why, "pair_hex": hex::encode(paper.pair()), "refused": refusal_json(&refusal),
        }));
    }
    let mut chains: Vec<(String, Vec<Paper>)> =
        [1, 8, 9].iter().map(|len| (format!("a chain of {len}"), ladder(*len))).collect();
    chains.push(("a parent that is missing".into(), vec![ladder(2).remove(1)]));
    chains.extend(widened().into_iter().map(|(why, root, leaf)| (why.to_owned(), vec![root, leaf])));
    for (why, papers) in chains {
        let papers: Vec<&Paper> = papers.iter().collect();
        let leaf = papers[papers.len() - 1].id();
        let outcome = chain(&leaf, &known(&papers), &NET);
        let mut case = json!({
            "what": "chain", "why": why, "net": NET.to_string(), "leaf": leaf.to_cid().to_string(),
            "certificates": papers.iter().map(|paper| hex::encode(paper.pair())).collect::<Vec<_>>(),
        });
        match outcome {
            Ok(chain) => {
                case["chain"] = chain.iter().map(|one| one.id().to_cid().to_string()).collect::<Vec<_>>().into();
            }
            Err(refusal) => case["refused"] = refusal_json(&refusal),
        }
        cases.push(case);
    }
    assert_file(
        "certificates.json",
        "Certificates with what they say, those that are refused by themselves, and chains from the leaf up. `writer` is h of the \
         audience under the certificate.",
        &cases,
    );
}

/// The cases of refusals.json that are about authority.
pub(crate) fn refused() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut push = |name: String, setting: Setting, envelope: &Map, code: &'static str, field: &str| {
        cases.push(Case { name, setting, envelope: envelope.encode(), code, field: field.into() });
    };
    let leaf = Paper::new(OWNER, AUTHOR);
    let draft = write(&below("/blog/1"), &leaf);
    let late = write(&below(""), &leaf).head("stamp", uint(Stamp::from_ms(NOW_MS + 3_600_000).0));
    let early = write(&below(""), &leaf).head("stamp", uint(Stamp::from_ms(NOW_MS - 3_600_000).0 - 1));
    let narrow = Paper::new(OWNER, AUTHOR).prefixes(&[&below("/blog")]);
    let titles = Paper::new(OWNER, AUTHOR).with("fields", texts(&["title"]));
    let reader = Paper::new(OWNER, AUTHOR).rights(&["delegate", "endorse"]);
    let stranger = Paper::new(OWNER, 8);
    let bare = Draft::new(vec![slotted(&below("/blog/1"), "f", "register", &writer(), &1.into())]).auth(&[&leaf]);
    let counter = |h: &[u8]| {
        let slot = [h, &SESSION].concat();
        Draft::new(vec![slotted(&below(""), "f", "counter", &slot, &1.into())]).auth(&[&leaf])
    };
    let known = |papers: &[&Paper]| open(DOOR).knowing(papers);
    for place in [DOOR, REPLICA] {
        push(
            "a certificate that is not here".into(),
            open(place),
            &draft.complete(),
            "certificate_missing",
            "h.auth.0",
        );
        let child = ladder(2).remove(1);
        let orphan = write(&below(""), &child);
        let setting = open(place).knowing(&[&child]);
        push("a parent that is not here".into(), setting, &orphan.complete(), "certificate_missing", "h.auth.0");
        let sha256 = hex::decode("d82a58250001711220").unwrap();
        let content = draft.clone().head("auth", list(&[[&sha256[..], &[7; 32]].concat()]));
        push(
            "a CID in auth that is no certificate's".into(),
            open(place),
            &content.complete(),
            "malformed",
            "h.auth.0",
        );
        for (why, envelope, code, field) in spoiled() {
            push(why.into(), open(place), &envelope, code, field);
        }
    }
    push("after the certificate".into(), known(&[&leaf]), &late.complete(), "certificate_expired", "ops.0.s");
    push("before the certificate".into(), known(&[&leaf]), &early.complete(), "certificate_expired", "ops.0.s");
    let outside = write(&below("/blogger"), &narrow);
    push("outside the prefixes".into(), known(&[&narrow]), &outside.complete(), "not_authorised", "ops.0.s");
    let field = write(&below(""), &titles);
    push("another field".into(), known(&[&titles]), &field.complete(), "not_authorised", "ops.0.s");
    let right = write(&below(""), &reader);
    push("without the right to write".into(), known(&[&reader]), &right.complete(), "not_authorised", "ops.0.s");
    let other = write(&below(""), &stranger);
    push("a certificate of another key".into(), known(&[&stranger]), &other.complete(), "not_authorised", "h.auth.0");
    push(
        "under a certificate with the author's bare slot".into(),
        known(&[&leaf]),
        &bare.complete(),
        "bad_slot",
        "ops.0.t",
    );
    push("a counter in another's slot".into(), known(&[&leaf]), &counter(&[1; 16]).complete(), "bad_slot", "ops.0.t");
    let nine = ladder(9);
    let nine: Vec<&Paper> = nine.iter().collect();
    let long = write(&below(""), nine[8]);
    push("a chain of nine".into(), known(&nine), &long.complete(), "not_authorised", "h.auth.0");
    for (why, root, leaf) in widened() {
        let draft = write(&below("/blog/1"), &leaf);
        push(why.into(), known(&[&root, &leaf]), &draft.complete(), "not_authorised", "h.auth.0");
    }
    let forged = Paper { seed: AUTHOR, ..leaf.clone() };
    let along = draft.complete().with("c", carried(&[&forged]));
    push("a forged certificate along".into(), open(DOOR), &along, "bad_signature", "c.0");
    let one = Draft::new(vec![register("a", "f", 1)]);
    let gate = member(COMMUNITY, GATE);
    let by = |pairs: &[Vec<u8>]| one.complete().with("e", list(pairs));
    let pair = one.endorsed(GATE, &gate);
    push(
        "an endorser that is not known".into(),
        open(DOOR).members(),
        &by(std::slice::from_ref(&pair)),
        "certificate_missing",
        "e.0",
    );
    push("an endorser twice".into(), open(DOOR), &by(&[pair.clone(), pair.clone()]), "malformed", "e.1");
    let sha256 = [&hex::decode("d82a58250001711220").unwrap()[..], &[7; 32]].concat();
    let nobody = list(&[sha256, bytes(&[0; 64])]);
    push("a CID in e that is no certificate's".into(), open(DOOR), &by(&[nobody]), "malformed", "e.0");
    for (why, papers, pair, code) in hollow(&one) {
        let setting = open(DOOR).members().knowing(&papers.iter().collect::<Vec<_>>());
        push(format!("endorsed, {why}"), setting, &by(&[pair]), code, "e.0");
    }
    let mirror = Draft::new(vec![slotted(URL, "f", "register", &writer(), &1.into())]);
    push("a mirror soul at a door".into(), open(DOOR), &mirror.complete(), "not_authorised", "ops.0.s");
    let signed = Draft::new(vec![register(&soul_of(&sample()), "a", 1)]);
    push("a signed write of content".into(), open(DOOR), &signed.complete(), "immutable", "ops.0.s");
    cases
}
