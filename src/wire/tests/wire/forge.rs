//! A second, slow implementation of the format that can also write what is wrong: maps as lists of raw parts, leaves and
//! tree straight from the text of the specification.

use std::sync::{Arc, LazyLock};

use rustdht_core::{CertificateId, Mode, NetId, PublicKey, Soul, Stamp, Value, Writer, cbor};
use rustdht_wire::{Certificates, Checked, Place, Rules, SignedCertificate, SigningKey, Verified, check};

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

/// An open network in which no certificate is known.
pub(crate) fn rules() -> Rules<'static> {
    static NONE: LazyLock<Certificates> = LazyLock::new(Certificates::new);
    Rules { net: NET, now_ms: NOW_MS, mode: Mode::Open, community: public(COMMUNITY), certificates: &NONE }
}

/// Seeds of the owner of a space and of the community.
pub(crate) const OWNER: u8 = 1;
pub(crate) const COMMUNITY: u8 = 3;
/// The author of every draft.
pub(crate) const AUTHOR: u8 = 7;

pub(crate) fn key_of(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

pub(crate) fn public(seed: u8) -> PublicKey {
    key_of(seed).public()
}

/// `~K` of a seed.
pub(crate) fn root_of(seed: u8) -> String {
    Soul::of_key(public(seed)).to_string()
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

    /// Keys and raw parts, in canonical order.
    pub(crate) fn entries(&self) -> &[(String, Vec<u8>)] {
        &self.0
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

/// A certificate about to be signed.
#[derive(Clone, Debug)]
pub(crate) struct Paper {
    pub(crate) map: Map,
    pub(crate) seed: u8,
}

pub(crate) fn texts(texts: &[&str]) -> Vec<u8> {
    list(&texts.iter().map(|one| text(one)).collect::<Vec<_>>())
}

impl Paper {
    /// From `issuer` to `audience`: right `write` on all of the owner's space for an hour around now.
    pub(crate) fn new(issuer: u8, audience: u8) -> Self {
        let map = Map::default()
            .with("v", uint(1))
            .with("net", bytes(&NET.0))
            .with("issuer", bytes(&public(issuer).0))
            .with("audience", bytes(&public(audience).0))
            .with("space", text(&root_of(OWNER)))
            .with("prefixes", texts(&[&root_of(OWNER)]))
            .with("fields", vec![0x80])
            .with("rights", texts(&["write"]))
            .with("not_before", uint(Stamp::from_ms(NOW_MS - 3_600_000).0))
            .with("not_after", uint(Stamp::from_ms(NOW_MS + 3_600_000).0))
            .with("parent", vec![0xf6])
            .with("nonce", bytes(&[0xc0; 16]));
        Self { map, seed: issuer }
    }

    pub(crate) fn with(mut self, key: &str, raw: Vec<u8>) -> Self {
        self.map = self.map.with(key, raw);
        self
    }

    /// The same under a certificate of the issuer's.
    pub(crate) fn under(self, parent: &Self) -> Self {
        let cid = parent.cid();
        self.with("parent", cid)
    }

    pub(crate) fn rights(self, rights: &[&str]) -> Self {
        self.with("rights", texts(rights))
    }

    pub(crate) fn prefixes(self, prefixes: &[&str]) -> Self {
        self.with("prefixes", texts(prefixes))
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        *blake3::hash(&self.map.encode()).as_bytes()
    }

    pub(crate) fn id(&self) -> CertificateId {
        CertificateId(self.digest())
    }

    /// Tag 42 around `00 01 71 1e 20` and the digest.
    pub(crate) fn cid(&self) -> Vec<u8> {
        [&[0xd8, 0x2a, 0x58, 0x25, 0x00, 0x01, 0x71, 0x1e, 0x20][..], &self.digest()].concat()
    }

    pub(crate) fn signature(&self) -> [u8; 64] {
        let digest = *blake3::hash(&[b"rustdht/cert/1", &self.map.encode()[..]].concat()).as_bytes();
        key_of(self.seed).sign(&digest)
    }

    /// `[bytes, b64]`.
    pub(crate) fn pair(&self) -> Vec<u8> {
        list(&[bytes(&self.map.encode()), bytes(&self.signature())])
    }

    pub(crate) fn signed(&self) -> Arc<SignedCertificate> {
        Arc::new(SignedCertificate::decode(&self.map.encode(), &self.signature()).unwrap())
    }

    /// h of the audience under this certificate.
    pub(crate) fn writer(&self) -> [u8; 16] {
        let audience = payload(self.map.get("audience").unwrap());
        let digest = blake3::hash(&[&audience[..], &self.digest()].concat());
        digest.as_bytes()[..16].try_into().unwrap()
    }
}

/// Certificates as a node knows them.
pub(crate) fn known(papers: &[&Paper]) -> Certificates {
    papers.iter().map(|paper| (paper.id(), paper.signed())).collect()
}

/// The key c of an envelope.
pub(crate) fn carried(papers: &[&Paper]) -> Vec<u8> {
    list(&papers.iter().map(|paper| paper.pair()).collect::<Vec<_>>())
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

    /// By another author.
    pub(crate) fn by(mut self, seed: u8) -> Self {
        self.seed = [seed; 32];
        self.head("author", bytes(&public(seed).0))
    }

    /// Under these leaf certificates.
    pub(crate) fn auth(self, papers: &[&Paper]) -> Self {
        self.head("auth", list(&papers.iter().map(|paper| paper.cid()).collect::<Vec<_>>()))
    }

    /// One pair of the key e: the holder of `seed` endorses under a certificate.
    pub(crate) fn endorsed(&self, seed: u8, paper: &Paper) -> Vec<u8> {
        let digest = *blake3::hash(&[&b"rustdht/endorse/1"[..], &self.commit_id()].concat()).as_bytes();
        list(&[paper.cid(), bytes(&key_of(seed).sign(&digest))])
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

/// Code and field of the whole, or of operation `index`; `"ok"` when there is none.
pub(crate) fn verdict(bytes: &[u8], place: Place, rules: &Rules<'_>, index: u16) -> (String, String) {
    let outcome = check(bytes, place, rules).and_then(Checked::verify).and_then(|verified| {
        let found = verified.entries.into_iter().find(|(at, _)| *at == index);
        found.expect("the operation is there").1
    });
    match outcome {
        Ok(_) => ("ok".into(), String::new()),
        Err(refusal) => (refusal.code.to_string(), refusal.field),
    }
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
