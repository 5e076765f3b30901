//! Damages valid envelopes at random and watches that nothing passes that nobody signed.
//!
//! Bytes are flipped, cut, repeated and spliced from one envelope into another; the CBOR is taken apart, changed inside and
//! put together canonically again, also inside the header and certificates; signatures are swapped and made by wrong keys.

use std::{collections::BTreeMap, sync::Arc};

use rustdht_core::{
    Body, CertificateId, CommitId, Entry, Kind, Mode, NetId, PublicKey, Refusal, Salt, Session, Slot, Soul, Stamp,
    Value,
    cbor::{self, Item},
};
use rustdht_wire::{
    Built, Certificate, Certificates, Extras, Operation, Place, Rights, Rules, Signing, SigningKey, check,
    content_commit, content_soul, envelope_of, named, sign_commit, slot_of,
};

const NET: NetId = NetId([0x11; 32]);
const NOW_MS: u64 = 1_800_000_000_000;

/// A repeatable stream of numbers.
#[derive(Debug)]
pub(crate) struct Dice(blake3::OutputReader);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(blake3::Hasher::new().update(&seed.to_be_bytes()).finalize_xof())
    }

    fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.number() % end.max(1) as u64) as usize
    }
}

/// A valid envelope, and what its author signed.
#[derive(Debug)]
struct Sample {
    name: &'static str,
    place: Place,
    mode: Mode,
    envelope: Vec<u8>,
    entries: Vec<Entry>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) mutants: u64,
    /// Not damaged after all.
    pub(crate) identical: u64,
    /// Passed at a door with the signed parts untouched: only what travels along was changed.
    pub(crate) beside: u64,
    /// Passed between replicas and brought nothing but what was signed.
    pub(crate) parts: u64,
    /// Refusals by code.
    pub(crate) refused: BTreeMap<&'static str, u64>,
}

/// The mutator.
#[derive(Debug)]
pub(crate) struct Mutator {
    dice: Dice,
    samples: Vec<Sample>,
    /// Everything that was signed: a part may be completed from another envelope of its commit.
    signed: Vec<Entry>,
    known: Certificates,
    pub(crate) tally: Tally,
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

fn certificate(issuer: u8, audience: u8, space: u8, rights: Rights, parent: Option<CertificateId>) -> Certificate {
    let space = Soul::of_key(key(space).public());
    Certificate {
        net: NET,
        issuer: key(issuer).public(),
        audience: key(audience).public(),
        prefixes: vec![space.clone()],
        space,
        fields: Vec::new(),
        rights,
        not_before: Stamp(0),
        not_after: Stamp(u64::MAX),
        parent,
        nonce: [3; 16],
    }
}

fn operation(signing: &Signing<'_>, author: &PublicKey, soul: &str, field: usize, kind: &'static str) -> Operation {
    let (soul, kind): (Soul, Kind) = (soul.parse().unwrap(), kind.parse().unwrap());
    let field = format!("f{field}").parse().unwrap();
    let writer = signing.standing(&soul, &field, Stamp::from_ms(NOW_MS)).unwrap().writer;
    let slot = slot_of(&kind, &soul, author, &Session([5; 8]), &writer).unwrap_or(Slot::Own);
    let value = match kind.as_str() {
        "null" => Value::Null,
        "kill" => "erase".into(),
        "text" => Value::Bytes(vec![0, 0].into()),
        "tensor" => Value::Enc(vec![1, 2, 3].into()),
        "max" => Value::Float(0.5),
        "set" => Value::Link("people/bob".parse().unwrap()),
        _ => 5.into(),
    };
    let kills = if slot.is_own() { vec![[7; 32].into(), [9; 32].into()] } else { Vec::new() };
    let base = kind.is_yjs().then_some(Stamp(9));
    let body = Body::Live { value, salt: Some(Salt([4; 16])) };
    Operation { soul, field, kind, slot, body, kills, over: vec![[1; 32].into()], base }
}

fn built(signing: &Signing<'_>, souls: &[&str]) -> Built {
    let kinds = ["register", "null", "kill", "set", "flag", "counter", "max", "min", "text", "tensor"];
    let author = key(1).public();
    let operations = kinds.iter().enumerate();
    let operations =
        operations.map(|(at, kind)| operation(signing, &author, souls[at % souls.len()], at, kind)).collect();
    sign_commit(signing, 1, Some(CommitId([8; 32])), Stamp::from_ms(NOW_MS), operations).unwrap()
}

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        let author = key(1);
        let write = Rights { write: true, ..Rights::default() };
        let root = certificate(2, 4, 2, Rights { delegate: true, ..write }, None).sign(&key(2)).unwrap();
        let leaf = certificate(4, 1, 2, write, Some(root.id())).sign(&key(4)).unwrap();
        let endorse = Rights { endorse: true, ..Rights::default() };
        let member = certificate(3, 6, 3, endorse, None).sign(&key(3)).unwrap();
        let (leaf_id, member_id) = (leaf.id(), member.id());
        let all: Certificates = [root, leaf, member].map(|one| (one.id(), Arc::new(one))).into();
        let (own, others) = (Soul::of_key(author.public()).to_string(), format!("{}/x", Soul::of_key(key(2).public())));
        let community = key(3).public();
        let gate = key(6);
        let plain = || Signing::new(&author, NET, Session([5; 8]));
        let open = built(&plain(), &["people/ada", &own]);
        let delegated = built(&plain().under(&[leaf_id], &all).unwrap(), &[&others, "people/ada"]);
        let endorsed =
            plain().under(&[leaf_id], &all).unwrap().endorsed_by(&gate, &member_id, &community, &all).unwrap();
        let endorsed = built(&endorsed, &[&others, &own, "people/ada"]);
        let mirror = built(&plain().with_mirror(), &["^https://example.com/a"]);
        let short = sign_commit(
            &plain(),
            0,
            None,
            Stamp::from_ms(NOW_MS),
            vec![operation(&plain(), &author.public(), "a", 1, "register")],
        );
        let fields = vec![("a".parse().unwrap(), 1.into()), ("bc".parse().unwrap(), "text".into())];
        let content = content_commit(NET, &content_soul(&fields).unwrap(), fields).unwrap();
        let part = |built: &Built, indices: &[usize], blank: bool| {
            let mut entries: Vec<Entry> = indices.iter().map(|index| built.entries[*index].clone()).collect();
            for entry in entries.iter_mut().filter(|entry| blank && !entry.kind.is_null() && !entry.kind.is_kill()) {
                entry.body = entry.body.dropped();
            }
            let extras = Extras { certificates: &built.certificates, endorsements: &built.endorsements };
            (envelope_of(&built.commit, &entries.iter().collect::<Vec<_>>(), &extras).unwrap(), entries)
        };
        let mut samples = Vec::new();
        let mut add = |name, place, mode, envelope: Vec<u8>, entries: Vec<Entry>| {
            samples.push(Sample { name, place, mode, envelope, entries });
        };
        for (name, built) in [
            ("open", open.clone()),
            ("delegated", delegated),
            ("endorsed", endorsed.clone()),
            ("short", short.unwrap()),
            ("content", content),
        ] {
            add(name, Place::Door, Mode::Open, built.envelope.to_vec(), built.entries.clone());
            add(name, Place::Replica, Mode::Open, built.envelope.to_vec(), built.entries);
        }
        add("mirror", Place::Replica, Mode::Open, mirror.envelope.to_vec(), mirror.entries.clone());
        for (name, built, indices, blank) in [
            ("proofs", &open, &[2][..], false),
            ("leaves", &open, &[0, 2, 3, 5, 6, 7, 8, 9], false),
            ("value-less", &open, &[0, 1, 2, 3, 8], true),
            ("endorsed part", &endorsed, &[1, 4], false),
        ] {
            let mode = if name == "endorsed part" { Mode::Members } else { Mode::Open };
            let (envelope, entries) = part(built, indices, blank);
            add(name, Place::Replica, mode, envelope, entries);
        }
        add("members", Place::Replica, Mode::Members, endorsed.envelope.to_vec(), endorsed.entries.clone());
        let signed = samples.iter().flat_map(|sample| sample.entries.iter().cloned()).collect();
        let (dice, tally) = (Dice::new(seed), Tally::default());
        let mutator = Self { dice, samples, signed, known: Certificates::new(), tally };
        for sample in &mutator.samples {
            let found = mutator
                .admitted(sample, &sample.envelope)
                .unwrap_or_else(|refusal| panic!("{}: {refusal}", sample.name));
            assert_eq!(found, sample.entries, "{}", sample.name);
        }
        mutator
    }

    fn admitted(&self, sample: &Sample, envelope: &[u8]) -> Result<Vec<Entry>, Refusal> {
        let community = key(3).public();
        let rules = Rules { net: NET, now_ms: NOW_MS, mode: sample.mode, community, certificates: &self.known };
        let verified = check(envelope, sample.place, &rules)?.verify()?;
        Ok(verified.entries.into_iter().filter_map(|(_, entry)| entry.ok()).collect())
    }

    /// Makes one mutant and judges it.
    ///
    /// # Panics
    /// When something passes that was not signed.
    pub(crate) fn step(&mut self) {
        let at = self.dice.below(self.samples.len());
        let mutant = self.mutant(at);
        let sample = &self.samples[at];
        self.tally.mutants += 1;
        // Reading only the outline must survive it too.
        let outline = named(&mutant).is_ok();
        if mutant == sample.envelope {
            self.tally.identical += 1;
            return;
        }
        let found = match self.admitted(sample, &mutant) {
            Ok(found) => found,
            Err(refusal) => {
                *self.tally.refused.entry(refusal.code.as_str()).or_default() += 1;
                return;
            }
        };
        let passed = || format!("{} at {:?}: {}", sample.name, sample.place, hex::encode(&mutant));
        assert!(outline, "passed, though its outline cannot be read: {}", passed());
        for entry in &found {
            assert!(self.signed.contains(entry), "an entry that nobody signed: {}", passed());
        }
        if sample.place == Place::Door {
            assert_eq!(signed_parts(&mutant), signed_parts(&sample.envelope), "another spelling: {}", passed());
            self.tally.beside += 1;
        } else {
            self.tally.parts += 1;
        }
    }

    fn mutant(&mut self, at: usize) -> Vec<u8> {
        let original = self.samples[at].envelope.clone();
        let other = self.dice.below(self.samples.len());
        match self.dice.below(10) {
            0..4 => self.damage(original, other),
            4 => {
                let keep = self.dice.below(original.len());
                original[..keep].to_vec()
            }
            5 => self.swap(&original, other),
            _ => self.rewrite(&original),
        }
    }

    /// Changes, inserts, removes, repeats, swaps or splices bytes in one to four places.
    fn damage(&mut self, mut bytes: Vec<u8>, other: usize) -> Vec<u8> {
        let dice = &mut self.dice;
        for _ in 0..=dice.below(4) {
            let at = dice.below(bytes.len());
            match dice.below(9) {
                0..3 => bytes[at] ^= 1 << dice.below(8),
                3 => bytes[at] = dice.number() as u8,
                4 => bytes.insert(at, dice.number() as u8),
                5 if bytes.len() > 1 => {
                    bytes.remove(at);
                }
                6 => {
                    let len = dice.below(80).min(bytes.len() - at);
                    let to = dice.below(bytes.len());
                    let part = bytes[at..at + len].to_vec();
                    bytes.splice(to..to, part);
                }
                7 => {
                    let source = &self.samples[other].envelope;
                    let from = dice.below(source.len());
                    let len = dice.below(80).min(source.len() - from).min(bytes.len() - at);
                    bytes[at..at + len].copy_from_slice(&source[from..from + len]);
                }
                _ => {
                    let to = dice.below(bytes.len());
                    bytes.swap(at, to);
                }
            }
        }
        bytes
    }

    /// Takes a key of another envelope, mostly its signature.
    fn swap(&mut self, original: &[u8], other: usize) -> Vec<u8> {
        let (Node::Map(mut own), Node::Map(others)) = (read(original), read(&self.samples[other].envelope)) else {
            return original.to_vec();
        };
        let wanted = ["g", "g", "g", "h", "ops", "c", "e", "leaves", "proofs"][self.dice.below(9)];
        if let Some((_, part)) = others.into_iter().find(|(name, _)| name == wanted) {
            own.retain(|(name, _)| name != wanted);
            own.push((wanted.into(), part));
        }
        write(&Node::Map(own))
    }

    /// Takes the CBOR apart, changes one to three items, and writes it canonically; sometimes signs it with a wrong key.
    fn rewrite(&mut self, original: &[u8]) -> Vec<u8> {
        let mut tree = read(original);
        for _ in 0..=self.dice.below(3) {
            let at = self.dice.below(tree.count());
            tree.change(at, &mut self.dice);
        }
        if self.dice.below(4) == 0
            && let Node::Map(parts) = &mut tree
            && let Some((_, header)) = parts.iter().find(|(name, _)| name == "h")
        {
            let mut bytes = Vec::new();
            header.payload(&mut bytes);
            let forged = key(99).sign(&CommitId::of(&bytes).0);
            parts.retain(|(name, _)| name != "g");
            parts.push(("g".into(), Node::Bytes(forged.to_vec())));
        }
        write(&tree)
    }
}

/// The raw h, g and ops of an envelope.
fn signed_parts(envelope: &[u8]) -> Vec<(String, Vec<u8>)> {
    let Node::Map(parts) = read(envelope) else { return Vec::new() };
    let kept = parts.into_iter().filter(|(name, _)| !matches!(name.as_str(), "c" | "e"));
    kept.map(|(name, part)| (name, write(&part))).collect()
}

/// A CBOR item that can be changed.
#[derive(Clone, Debug)]
enum Node {
    Uint(u64),
    Nint(u64),
    Float(f64),
    Bool(bool),
    Null,
    Text(String),
    Bytes(Vec<u8>),
    /// A byte string that holds a map: a header or a certificate.
    Wrapped(Box<Node>),
    Cid(cid::Cid),
    Array(Vec<Node>),
    Map(Vec<(String, Node)>),
}

fn read(bytes: &[u8]) -> Node {
    cbor::decode(bytes).map_or_else(|_| Node::Bytes(bytes.to_vec()), |item| from_item(&item))
}

fn from_item(item: &Item<'_>) -> Node {
    match item {
        Item::Uint(number) => Node::Uint(*number),
        Item::Nint(number) => Node::Nint(*number),
        Item::Float(number) => Node::Float(*number),
        Item::Bool(flag) => Node::Bool(*flag),
        Item::Null => Node::Null,
        Item::Text(text) => Node::Text((*text).into()),
        Item::Cid(cid) => Node::Cid(*cid),
        Item::Array(items) => Node::Array(items.iter().map(from_item).collect()),
        Item::Map(entries) => Node::Map(entries.iter().map(|(key, item)| ((*key).into(), from_item(item))).collect()),
        Item::Bytes(bytes) => match cbor::decode(bytes) {
            Ok(item @ Item::Map(_)) => Node::Wrapped(Box::new(from_item(&item))),
            _ => Node::Bytes(bytes.to_vec()),
        },
    }
}

fn write(node: &Node) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    node.write(&mut out);
    out
}

impl Node {
    /// The bytes inside a byte string.
    fn payload(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bytes(bytes) => out.extend(bytes),
            Self::Wrapped(inner) => inner.write(out),
            _ => {}
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Uint(number) => cbor::uint(out, *number),
            Self::Nint(number) => cbor::item(out, &Item::Nint(*number)),
            Self::Float(number) => cbor::float(out, *number),
            Self::Bool(flag) => cbor::bool(out, *flag),
            Self::Null => cbor::null(out),
            Self::Text(text) => cbor::text(out, text),
            Self::Cid(cid) => cbor::cid(out, cid),
            Self::Bytes(_) | Self::Wrapped(_) => {
                let mut inner = Vec::new();
                self.payload(&mut inner);
                cbor::bytes(out, &inner);
            }
            Self::Array(items) => {
                cbor::array(out, items.len());
                items.iter().for_each(|item| item.write(out));
            }
            Self::Map(entries) => {
                let mut entries: Vec<_> = entries.iter().collect();
                entries.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
                cbor::map(out, entries.len());
                for (key, item) in entries {
                    cbor::text(out, key);
                    item.write(out);
                }
            }
        }
    }

    /// How many items there are.
    fn count(&self) -> usize {
        1 + match self {
            Self::Array(items) => items.iter().map(Self::count).sum(),
            Self::Map(entries) => entries.iter().map(|(_, item)| item.count()).sum(),
            Self::Wrapped(inner) => inner.count(),
            _ => 0,
        }
    }

    /// Changes item number `at`, counted from the outside in.
    fn change(&mut self, at: usize, dice: &mut Dice) {
        let mut before = 1;
        let mut inner: Vec<&mut Self> = match self {
            _ if at == 0 => return self.alter(dice),
            Self::Array(items) => items.iter_mut().collect(),
            Self::Map(entries) => entries.iter_mut().map(|(_, item)| item).collect(),
            Self::Wrapped(inner) => vec![inner],
            _ => Vec::new(),
        };
        for item in &mut inner {
            let count = item.count();
            if at < before + count {
                return item.change(at - before, dice);
            }
            before += count;
        }
    }

    fn alter(&mut self, dice: &mut Dice) {
        match (&mut *self, dice.below(6)) {
            (_, 0) => *self = random(dice),
            (Self::Uint(number), _) => *number = near(*number, dice),
            (Self::Nint(number), _) => *number = near(*number, dice),
            (Self::Bool(flag), _) => *flag = !*flag,
            (Self::Float(number), _) => *number = -*number,
            (Self::Text(text), 1) => text.push('x'),
            (Self::Text(text), _) => {
                text.pop();
            }
            (Self::Bytes(bytes), 1) => bytes.push(0),
            (Self::Bytes(bytes), 2) => {
                bytes.pop();
            }
            (Self::Bytes(bytes), _) if !bytes.is_empty() => {
                let at = dice.below(bytes.len());
                bytes[at] ^= 1 << dice.below(8);
            }
            (Self::Array(items), how) if !items.is_empty() => {
                let (at, to) = (dice.below(items.len()), dice.below(items.len()));
                match how {
                    1 | 2 => {
                        items.remove(at);
                    }
                    3 => items.insert(at, items[to].clone()),
                    4 => items.push(random(dice)),
                    _ => items.swap(at, to),
                }
            }
            (Self::Map(entries), how) if !entries.is_empty() => {
                let at = dice.below(entries.len());
                match how {
                    1..=3 => {
                        entries.remove(at);
                    }
                    4 => entries[at].0.push('x'),
                    _ => {
                        let name = ["b", "o", "r", "t", "v", "w", "x", "c", "e", "g"][dice.below(10)];
                        entries.retain(|(known, _)| known != name);
                        entries.push((name.into(), random(dice)));
                    }
                }
            }
            _ => *self = random(dice),
        }
    }
}

fn near(number: u64, dice: &mut Dice) -> u64 {
    match dice.below(4) {
        0 => number.wrapping_add(1),
        1 => number.wrapping_sub(1),
        2 => 0,
        _ => dice.number(),
    }
}

fn random(dice: &mut Dice) -> Node {
    match dice.below(10) {
        0 => Node::Null,
        1 => Node::Bool(true),
        2 => Node::Uint(dice.below(3) as u64),
        3 => Node::Uint(dice.number()),
        4 => Node::Text("people/ada".into()),
        5 => Node::Bytes(vec![dice.number() as u8; [0, 8, 16, 32, 64][dice.below(5)]]),
        6 => Node::Array(Vec::new()),
        7 => Node::Array(vec![Node::Bytes(vec![dice.number() as u8; 32])]),
        8 => Node::Cid(CertificateId([dice.number() as u8; 32]).to_cid()),
        _ => Node::Map(Vec::new()),
    }
}
