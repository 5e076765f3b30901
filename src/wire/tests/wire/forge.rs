//! A second, slow implementation of the format that can also write what is wrong: maps as lists of raw parts, leaves and
//! tree straight from the text of the specification.

use rustdht_core::{NetId, PublicKey, Soul, Stamp, Value, Writer, cbor};
use rustdht_wire::{Place, Rules, SigningKey, Verified, check};

pub(crate) const NET: NetId = NetId([0x11; 32]);
pub(crate) const NOW_MS: u64 = 1_800_000_000_000;
pub(crate) const SESSION: [u8; 8] = [0x5e; 8];
pub(crate) const SALT: [u8; 16] = [0xa5; 16];

pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

pub(crate) fn author() -> PublicKey {
    key().public()
}

/// A soul of the author.
pub(crate) fn owned() -> String {
    format!("{}/blog", Soul::of_key(author()))
}

/// h of the author.
pub(crate) fn writer() -> [u8; 16] {
    Writer::new(&author(), None).0
}

pub(crate) fn rules() -> Rules {
    Rules { net: NET, now_ms: NOW_MS }
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    written(|out| cbor::text(out, text))
}

pub(crate) fn bytes(bytes: &[u8]) -> Vec<u8> {
    written(|out| cbor::bytes(out, bytes))
}

pub(crate) fn uint(number: u64) -> Vec<u8> {
    written(|out| cbor::uint(out, number))
}

pub(crate) fn list(items: &[Vec<u8>]) -> Vec<u8> {
    let mut out = written(|out| cbor::array(out, items.len()));
    items.iter().for_each(|item| out.extend(item));
    out
}

pub(crate) fn ids(ids: &[[u8; 32]]) -> Vec<u8> {
    list(&ids.iter().map(|id| bytes(id)).collect::<Vec<_>>())
}

/// A map of raw parts; written in canonical order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map(Vec<(String, Vec<u8>)>);

impl Map {
    pub(crate) fn with(mut self, key: &str, raw: Vec<u8>) -> Self {
        self.0.retain(|(known, _)| known != key);
        self.0.push((key.into(), raw));
        self.0.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.0.retain(|(known, _)| known != key);
        self
    }

    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, raw)| raw.as_slice())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = written(|out| cbor::map(out, self.0.len()));
        for (key, raw) in &self.0 {
            cbor::text(&mut out, key);
            out.extend(raw);
        }
        out
    }
}

/// The operation `{s, f, k, v, r}` without a slot.
pub(crate) fn own(soul: &str, field: &str, kind: &str, value: &Value) -> Map {
    Map::default()
        .with("s", text(soul))
        .with("f", text(field))
        .with("k", text(kind))
        .with("v", value.to_cbor())
        .with("r", bytes(&SALT))
}

/// The same with a slot.
pub(crate) fn slotted(soul: &str, field: &str, kind: &str, slot: &[u8], value: &Value) -> Map {
    own(soul, field, kind, value).with("t", bytes(slot))
}

/// A register in public space.
pub(crate) fn register(soul: &str, field: &str, value: impl Into<Value>) -> Map {
    slotted(soul, field, "register", &[], &value.into())
}

/// An operation without a value that kills.
pub(crate) fn removal(soul: &str, field: &str, kind: &str, kills: &[[u8; 32]]) -> Map {
    own(soul, field, kind, &Value::Null).without("v").without("r").with("x", ids(kills))
}

/// The operation as a replica passes it on whose value was dropped.
pub(crate) fn dropped(op: &Map) -> Map {
    let hash = value_hash(op);
    op.clone().without("v").without("r").with("w", bytes(&hash))
}

fn payload(raw: &[u8]) -> Vec<u8> {
    cbor::decode(raw).ok().and_then(|item| item.bytes().ok().map(<[u8]>::to_vec)).unwrap_or_default()
}

pub(crate) fn value_hash(op: &Map) -> [u8; 32] {
    let salt = op.get("r").map(payload).unwrap_or_default();
    let salted = [salt, op.get("v").unwrap_or_default().to_vec()].concat();
    *blake3::hash(&salted).as_bytes()
}

pub(crate) fn leaf(index: u16, op: &Map) -> [u8; 32] {
    let mut hashed = op.clone().without("r");
    if op.get("v").is_some() {
        hashed = hashed.with("v", bytes(&value_hash(op)));
    }
    if let Some(hash) = op.get("w") {
        hashed = hashed.without("w").with("v", hash.to_vec());
    }
    let [high, low] = index.to_be_bytes();
    *blake3::hash(&[vec![0, high, low], hashed.encode()].concat()).as_bytes()
}

/// The root of RFC 6962, by splitting.
pub(crate) fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => [0; 32],
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            *blake3::hash(&[&[1][..], &root(left), &root(right)].concat()).as_bytes()
        }
    }
}

/// The audit path of RFC 6962, by splitting.
pub(crate) fn path(leaves: &[[u8; 32]], index: usize) -> Vec<[u8; 32]> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let split = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(split);
    let (mut path, sibling) = if index < split {
        (self::path(left, index), root(right))
    } else {
        (self::path(right, index - split), root(left))
    };
    path.push(sibling);
    path
}

/// A commit about to be signed.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) ops: Vec<Map>,
    pub(crate) header: Map,
    pub(crate) seed: [u8; 32],
}

impl Draft {
    pub(crate) fn new(ops: Vec<Map>) -> Self {
        let leaves: Vec<_> = (0..).zip(&ops).map(|(index, op)| leaf(index, op)).collect();
        let header = Map::default()
            .with("v", uint(1))
            .with("net", bytes(&NET.0))
            .with("author", bytes(&author().0))
            .with("session", bytes(&SESSION))
            .with("seq", uint(0))
            .with("prev", vec![0xf6])
            .with("stamp", uint(Stamp::from_ms(NOW_MS).0))
            .with("n", uint(ops.len() as u64))
            .with("root", bytes(&root(&leaves)))
            .with("auth", vec![0x80]);
        Self { ops, header, seed: [7; 32] }
    }

    /// Replaces a part of the header before it is signed.
    pub(crate) fn head(mut self, key: &str, raw: Vec<u8>) -> Self {
        self.header = self.header.with(key, raw);
        self
    }

    pub(crate) fn leaves(&self) -> Vec<[u8; 32]> {
        (0..).zip(&self.ops).map(|(index, op)| leaf(index, op)).collect()
    }

    pub(crate) fn commit_id(&self) -> [u8; 32] {
        *blake3::hash(&[b"rustdht/commit/1", &self.header.encode()[..]].concat()).as_bytes()
    }

    /// The envelope around these operations, without leaves or proofs.
    pub(crate) fn with_operations(&self, ops: &[(u64, Map)]) -> Map {
        let ops: Vec<_> = ops.iter().map(|(index, op)| list(&[uint(*index), op.encode()])).collect();
        let signature = SigningKey::from_seed(&self.seed).sign(&self.commit_id());
        Map::default().with("h", bytes(&self.header.encode())).with("g", bytes(&signature)).with("ops", list(&ops))
    }

    /// The complete envelope.
    pub(crate) fn complete(&self) -> Map {
        self.with_operations(&(0..).zip(self.ops.iter().cloned()).collect::<Vec<_>>())
    }

    fn some(&self, indices: &[usize]) -> Map {
        self.with_operations(&indices.iter().map(|index| (*index as u64, self.ops[*index].clone())).collect::<Vec<_>>())
    }

    /// Some operations, with all leaves.
    pub(crate) fn with_leaves(&self, indices: &[usize]) -> Map {
        self.some(indices).with("leaves", ids(&self.leaves()))
    }

    /// Some operations, each with its path.
    pub(crate) fn with_proofs(&self, indices: &[usize]) -> Map {
        let leaves = self.leaves();
        let rows: Vec<_> = indices.iter().map(|index| ids(&path(&leaves, *index))).collect();
        self.some(indices).with("proofs", list(&rows))
    }
}

/// Checks and verifies.
pub(crate) fn admit(bytes: &[u8], place: Place) -> Result<Verified, rustdht_core::Refusal> {
    check(bytes, place, &rules())?.verify()
}

/// The code and field with which a door refuses, `"ok"` when it does not.
pub(crate) fn at_door(draft: &Draft) -> (String, String) {
    outcome(&draft.complete().encode(), Place::Door)
}

/// The code and field of the refusal of the whole, `"ok"` when there is none.
pub(crate) fn outcome(bytes: &[u8], place: Place) -> (String, String) {
    match admit(bytes, place) {
        Ok(_) => ("ok".into(), String::new()),
        Err(refusal) => (refusal.code.to_string(), refusal.field),
    }
}
