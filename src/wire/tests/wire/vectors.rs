//! The vectors of docs/spec/vectors: built here, compared with the committed files. `RUSTDHT_UPDATE=1` rewrites them.

use std::{fs, path::PathBuf};

use rustdht_core::{Body, Entry, Mode, Refusal, Slot, Stamp, Timing, Value, json};
use rustdht_wire::{Place, Rules, check};
use serde_json::{Value as Json, json};

use crate::forge::*;

/// Compares a file with what it should hold, or writes it.
pub(crate) fn assert_file(name: &str, about: &str, cases: &[Json]) {
    let path = file(name);
    let mut text = serde_json::to_string_pretty(&json!({ "about": about, "cases": cases })).unwrap();
    text.push('\n');
    if std::env::var_os("RUSTDHT_UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "{name} is not what this code makes: look why, or run again with RUSTDHT_UPDATE=1");
}

fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "docs", "spec", "vectors", name].iter().collect()
}

/// The cases of a committed file.
pub(crate) fn cases(name: &str) -> Vec<Json> {
    let read: Json = serde_json::from_str(&fs::read_to_string(file(name)).unwrap()).unwrap();
    read["cases"].as_array().unwrap().clone()
}

pub(crate) fn place_text(place: Place) -> &'static str {
    match place {
        Place::Door => "door",
        Place::Replica => "replica",
    }
}

pub(crate) fn value_json(value: &Value) -> String {
    let mut out = String::new();
    json::write(&mut out, value, json::Ints::Numbers);
    out
}

pub(crate) fn refusal_json(refusal: &Refusal) -> Json {
    json!({ "code": refusal.code.as_str(), "status": refusal.code.status(), "field": refusal.field })
}

/// Under what an envelope is checked besides the clock and the network.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) place: Place,
    pub(crate) mode: Mode,
    pub(crate) known: Vec<Paper>,
}

impl Setting {
    pub(crate) fn open(place: Place) -> Self {
        Self { place, mode: Mode::Open, known: Vec::new() }
    }

    pub(crate) fn knowing(self, papers: &[&Paper]) -> Self {
        Self { known: papers.iter().map(|paper| (*paper).clone()).collect(), ..self }
    }

    pub(crate) fn members(self) -> Self {
        Self { mode: Mode::Members, ..self }
    }

    pub(crate) fn check<T>(&self, bytes: &[u8], then: impl FnOnce(rustdht_wire::Checked) -> T) -> Result<T, Refusal> {
        let known = known(&self.known.iter().collect::<Vec<_>>());
        let rules = Rules { mode: self.mode, certificates: &known, ..rules() };
        check(bytes, self.place, &rules).map(then)
    }

    /// The keys of a case that say so.
    pub(crate) fn json(&self) -> Json {
        json!({
            "place": place_text(self.place),
            "now_ms": NOW_MS,
            "net": NET.to_string(),
            "mode": self.mode.as_str(),
            "community": hex::encode(public(COMMUNITY).0),
            "certificates": self.known.iter().map(|paper| hex::encode(paper.pair())).collect::<Vec<_>>(),
        })
    }
}

/// The keys of two objects in one.
pub(crate) fn joined(mut a: Json, b: Json) -> Json {
    if let (Json::Object(a), Json::Object(b)) = (&mut a, b) {
        a.extend(b);
    }
    a
}

fn entry_json(entry: &Entry) -> Json {
    let ids = |ids: &[rustdht_core::EntryId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut object = json!({
        "index": entry.index,
        "id": entry.id.to_string(),
        "soul": entry.soul.as_str(),
        "field": entry.field.as_str(),
        "kind": entry.kind.as_str(),
        "slot_hex": match &entry.slot { Slot::Explicit(slot) => Json::from(hex::encode(slot)), Slot::Own => Json::Null },
        "stamp": entry.stamp.to_string(),
        "author": hex::encode(entry.author.0),
        "leaf": entry.leaf.map(|leaf| leaf.to_cid().to_string()),
        "writer": hex::encode(entry.writer.0),
        "kills": ids(&entry.kills),
        "over": ids(&entry.over),
        "base": entry.base.map(|base| base.to_string()),
    });
    match &entry.body {
        Body::None => {}
        Body::Live { value, salt } => {
            object["value_json"] = value_json(value).into();
            object["value_cbor"] = hex::encode(value.to_cbor()).into();
            object["salt"] = salt.map(|salt| salt.to_string()).into();
        }
        Body::Dropped(hash) => object["value_hash"] = hash.to_string().into(),
    }
    object
}

/// One operation of each listed kind and one of another, on `soul`; `h` where slots begin with it.
pub(crate) fn every_kind(soul: &str, h: Option<[u8; 16]>) -> Vec<Map> {
    let name = h.map(|h| h.to_vec()).unwrap_or_default();
    let session = h.map_or([&author().0[..], &SESSION].concat(), |h| [&h[..], &SESSION].concat());
    let update = Value::Bytes(vec![0, 0].into());
    vec![
        slotted(soul, "register", "register", &name, &"a text".into()).with("o", ids(&[[1; 32], [2; 32]])),
        slotted(soul, "null", "null", &name, &Value::Null),
        removal(soul, "kill", "kill", &[[3; 32], [4; 32]]),
        own(soul, "erase", "kill", &"erase".into()),
        own(soul, "set", "set", &Value::Link("people/bob".parse().unwrap())),
        removal(soul, "set", "set", &[[5; 32]]),
        own(soul, "flag", "flag", &true.into()),
        slotted(soul, "counter", "counter", &session, &5.into()),
        slotted(soul, "max", "max", &session, &Value::Float(2.5)),
        slotted(soul, "min", "min", &session, &(-3).into()),
        own(soul, "text", "text", &update),
        own(soul, "text", "text", &update).with("x", ids(&[[6; 32]])).with("b", uint(Stamp::from_ms(NOW_MS - 5000).0)),
        own(soul, "list", "list", &update),
        own(soul, "map", "map", &update),
        own(soul, "tensor", "tensor", &Value::Enc(vec![1, 2, 3].into())),
        slotted(soul, "tensor", "tensor", &[&name[..], b"x"].concat(), &false.into()),
    ]
}

pub(crate) fn commit_case(name: &str, setting: &Setting, draft: &Draft, envelope: &Map) -> Json {
    let bytes = envelope.encode();
    let checked = setting.check(&bytes, |checked| checked).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
    let verified = checked.verify().unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
    let header = &verified.header;
    let (due, until_ms) = match verified.timing {
        Timing::Deferred { until_ms } => ("deferred", Json::from(until_ms)),
        _ => ("admitted", Json::Null),
    };
    let case = json!({
        "name": name,
        "seed": verified.commit.signature.first().map(|_| hex::encode(draft.seed)),
        "envelope_hex": hex::encode(bytes),
        "commit_id": verified.commit.id.to_string(),
        "timing": due,
        "until_ms": until_ms,
        "value_less": verified.value_less,
        "leaves": draft.leaves().iter().map(hex::encode).collect::<Vec<_>>(),
        "header": {
            "bytes_hex": hex::encode(header.encode()),
            "author": hex::encode(header.author.0),
            "session": header.session.to_string(),
            "seq": header.seq,
            "prev": header.prev.map(|prev| prev.to_string()),
            "stamp": header.stamp.to_string(),
            "n": header.n,
            "root": hex::encode(header.root),
            "auth": header.auth.iter().map(|id| id.to_cid().to_string()).collect::<Vec<_>>(),
        },
        "endorsed_under": verified.endorsements.iter().map(|by| by.certificate.to_cid().to_string()).collect::<Vec<_>>(),
        "chains": verified.certificates.iter().map(|one| one.id().to_cid().to_string()).collect::<Vec<_>>(),
        "operations": verified.entries.iter().map(|(index, entry)| match entry {
            Ok(entry) => entry_json(entry),
            Err(refusal) => json!({ "index": index, "refused": refusal_json(refusal) }),
        }).collect::<Vec<_>>(),
    });
    joined(setting.json(), case)
}

#[test]
fn commits() {
    let public = Draft::new(every_kind("people/ada", None));
    let mine = Draft::new(every_kind(&owned(), Some(writer())));
    let five = Draft::new((0..5).map(|at| register("a", &format!("f{at}"), at)).collect());
    let later = five.clone().head("seq", uint(1)).head("prev", bytes(&five.commit_id()));
    let future = five.clone().head("stamp", uint(Stamp::from_ms(NOW_MS + 3_600_000).0));
    let edge = five.clone().head("stamp", uint(Stamp::from_ms(NOW_MS + 60_000).0));
    let values = Draft::new(
        [
            "false",
            "0",
            "-1",
            "1.5",
            "\"\"",
            "\"a\\u0000b\"",
            "{\"#\":\"x\"}",
            "{\"/\":{\"bytes\":\"AQI\"}}",
            "{\"/\":\"bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy\"}",
            "{\"enc\":{\"/\":{\"bytes\":\"AQI\"}}}",
        ]
        .iter()
        .enumerate()
        .map(|(at, text)| {
            let raw: Box<serde_json::value::RawValue> = serde_json::from_str(text).unwrap();
            register("values", &format!("f{at}"), json::read(&raw).unwrap())
        })
        .collect(),
    );
    let blank = |indices: &[u64]| -> Vec<(u64, Map)> {
        (0..)
            .zip(&public.ops)
            .map(|(at, op)| (at, if indices.contains(&at) { dropped(op) } else { op.clone() }))
            .collect()
    };
    let twice = Draft::new(vec![register("a", "f", 1), register("a", "f", 2)]);
    let mixed = Draft::new(vec![register("a", "f", 1), register("_/mine", "f", 1), register("a", "g", Value::Null)]);
    let changed = [(0, register("a", "f0", 99)), (4, five.ops[4].clone())];
    let door = |name: &str, draft: &Draft| commit_case(name, &Setting::open(Place::Door), draft, &draft.complete());
    let replica =
        |name: &str, draft: &Draft, envelope: &Map| commit_case(name, &Setting::open(Place::Replica), draft, envelope);
    let mut cases = vec![
        door("one operation", &Draft::new(vec![register("a", "f", 1)])),
        door("every kind in public space", &public),
        door("every kind in owned space", &mine),
        door("every type of value", &values),
        door("the second commit of a session", &later),
        door("sixty seconds ahead", &edge),
        door("an hour ahead", &future),
        replica("some operations with all leaves", &public, &public.with_leaves(&[0, 3, 15])),
        replica("values that were dropped, all operations", &public, &public.with_operations(&blank(&[0, 4, 10]))),
        replica(
            "values that were dropped, with leaves",
            &public,
            &public.with_operations(&blank(&[0, 4])[..6]).with("leaves", ids(&public.leaves())),
        ),
        replica("one slot twice, as between replicas", &twice, &twice.complete()),
        replica("operations that are refused alone", &mixed, &mixed.complete()),
        replica(
            "a changed value beside a right one, with proofs",
            &five,
            &five.with_operations(&changed).with("proofs", five.with_proofs(&[0, 4]).get("proofs").unwrap().to_vec()),
        ),
        replica(
            "a changed value beside a right one, with leaves",
            &five,
            &five.with_operations(&changed).with("leaves", ids(&five.leaves())),
        ),
    ];
    for at in 0..5 {
        cases.push(replica(&format!("operation {at} of five, with its proof"), &five, &five.with_proofs(&[at])));
    }
    assert_file(
        "commits.json",
        "Envelopes that pass, and what they say. The author signs with the Ed25519 key of `seed`. An operation with \
         `refused` is refused alone, as between replicas; `leaves` are those of the whole commit.",
        &cases,
    );
}
