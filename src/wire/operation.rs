//! One operation: its map on the wire, and its leaf.

use rustdht_core::{
    Body, Code, CommitId, Entry, EntryId, Field, Kind, MAX_KILLS, MAX_OVER, MAX_VALUE_BYTES, Refusal, Salt, Slot, Soul,
    Stamp, Value, ValueHash,
    cbor::{self, Reader},
};

use crate::{
    Header, Standing,
    merkle::Hash,
    refuse::{Within, malformed, refuse},
};

/// Entries of an operation's map that are kept while it is read; a valid one has at most nine.
const MAX_KEYS: usize = 16;

/// One operation of a commit. Whether kind, slot and the rest go together is judged by [`crate::check`].
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// The node.
    pub soul: Soul,
    /// The field.
    pub field: Field,
    /// The kind.
    pub kind: Kind,
    /// What competes.
    pub slot: Slot,
    /// The value with its salt, or the hash that is left of them.
    pub body: Body,
    /// What a removal observed; ascending, without repeats.
    pub kills: Vec<EntryId>,
    /// What the writer saw; ascending, without repeats.
    pub over: Vec<EntryId>,
    /// The least base or stamp of what a compaction kills.
    pub base: Option<Stamp>,
}

impl Operation {
    /// The entry that this operation is in its commit.
    pub(crate) fn into_entry(self, commit: CommitId, index: u16, header: &Header, standing: Standing) -> Entry {
        let Self { soul, field, kind, slot, body, kills, over, base } = self;
        let Standing { leaf, writer } = standing;
        let (id, stamp, author) = (EntryId::of(&commit, index), header.stamp, header.author);
        Entry { id, commit, index, soul, field, kind, slot, stamp, author, leaf, writer, body, kills, over, base }
    }
}

/// The parts of an operation or an entry that its map is made of.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) soul: &'a str,
    pub(crate) field: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) slot: &'a Slot,
    pub(crate) body: &'a Body,
    pub(crate) kills: &'a [EntryId],
    pub(crate) over: &'a [EntryId],
    pub(crate) base: Option<Stamp>,
}

impl<'a> From<&'a Operation> for Parts<'a> {
    fn from(op: &'a Operation) -> Self {
        let Operation { soul, field, kind, slot, body, kills, over, base } = op;
        Self { soul, field, kind, slot, body, kills, over, base: *base }
    }
}

impl<'a> From<&'a Entry> for Parts<'a> {
    fn from(entry: &'a Entry) -> Self {
        let Entry { soul, field, kind, slot, body, kills, over, base, .. } = entry;
        Self { soul, field, kind, slot, body, kills, over, base: *base }
    }
}

/// What stands for the value in a map.
#[derive(Clone, Copy)]
pub(crate) enum Written<'a> {
    /// Nothing: the operation has no value.
    Absent,
    /// `v` and `r`: the value's DAG-CBOR and its salt.
    Live(&'a [u8], Option<&'a Salt>),
    /// `w`: the hash of a dropped value.
    Dropped(&'a ValueHash),
    /// `v` as a leaf has it: the hash in place of the value, no salt.
    Leaf(&'a ValueHash),
}

impl Parts<'_> {
    /// Appends the map, with `value` for its value.
    pub(crate) fn write(&self, out: &mut Vec<u8>, value: Written<'_>) {
        let salted = matches!(value, Written::Live(_, Some(_)));
        let keys = 3
            + usize::from(self.base.is_some())
            + usize::from(!self.over.is_empty())
            + usize::from(salted)
            + usize::from(!self.slot.is_own())
            + usize::from(!matches!(value, Written::Absent))
            + usize::from(!self.kills.is_empty());
        cbor::map(out, keys);
        if let Some(base) = self.base {
            cbor::text(out, "b");
            cbor::uint(out, base.0);
        }
        cbor::text(out, "f");
        cbor::text(out, self.field);
        cbor::text(out, "k");
        cbor::text(out, self.kind);
        write_ids(out, "o", self.over);
        if let Written::Live(_, Some(salt)) = value {
            cbor::text(out, "r");
            cbor::bytes(out, &salt.0);
        }
        cbor::text(out, "s");
        cbor::text(out, self.soul);
        if let Slot::Explicit(slot) = self.slot {
            cbor::text(out, "t");
            cbor::bytes(out, slot);
        }
        match value {
            Written::Absent => {}
            Written::Live(value, _) => {
                cbor::text(out, "v");
                out.extend_from_slice(value);
            }
            Written::Leaf(hash) => {
                cbor::text(out, "v");
                cbor::bytes(out, &hash.0);
            }
            Written::Dropped(hash) => {
                cbor::text(out, "w");
                cbor::bytes(out, &hash.0);
            }
        }
        write_ids(out, "x", self.kills);
    }

    /// Appends the map as it travels.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self.body {
            Body::None => self.write(out, Written::Absent),
            Body::Live { value, salt } => self.write(out, Written::Live(&value.to_cbor(), salt.as_ref())),
            Body::Dropped(hash) => self.write(out, Written::Dropped(hash)),
        }
    }
}

fn write_ids(out: &mut Vec<u8>, key: &str, ids: &[EntryId]) {
    if ids.is_empty() {
        return;
    }
    cbor::text(out, key);
    cbor::array(out, ids.len());
    for id in ids {
        cbor::bytes(out, &id.0);
    }
}

/// The hash of a value's DAG-CBOR behind its salt: `BLAKE3(r || v)`.
pub(crate) fn hash_value_bytes(value: &[u8], salt: &[u8]) -> ValueHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(salt);
    hasher.update(value);
    ValueHash(*hasher.finalize().as_bytes())
}

/// Starts the bytes that a leaf hashes: `00 || u16 i`.
pub(crate) fn begin_leaf(out: &mut Vec<u8>, index: u16) {
    out.clear();
    out.push(0);
    out.extend(index.to_be_bytes());
}

/// `BLAKE3(00 || u16 i || op without r, its v replaced by the hash of salt and value)`.
#[must_use]
pub fn leaf_hash(index: u16, op: &Operation) -> Hash {
    let mut bytes = Vec::with_capacity(256);
    begin_leaf(&mut bytes, index);
    let parts = Parts::from(op);
    match &op.body {
        Body::None => parts.write(&mut bytes, Written::Absent),
        Body::Live { value, salt } => {
            let hash = hash_value_bytes(&value.to_cbor(), salt.as_ref().map_or(&[], |salt| &salt.0));
            parts.write(&mut bytes, Written::Leaf(&hash));
        }
        Body::Dropped(hash) => parts.write(&mut bytes, Written::Leaf(hash)),
    }
    *blake3::hash(&bytes).as_bytes()
}

/// Whether values bring salts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Salted {
    /// In signed commits, always.
    Yes,
    /// In content commits, never; one that is there is kept, to be refused.
    No,
}

/// An operation as it came: strict DAG-CBOR, of the right outline, its parts not yet looked at.
///
/// The leaf follows from the outline alone, so a replica can check the path of an operation that it then refuses.
#[derive(Debug)]
pub(crate) struct RawOperation<'a> {
    keys: Vec<(&'a str, &'a [u8])>,
}

impl<'a> RawOperation<'a> {
    /// Reads the map that `reader` stands before, inside `depth` arrays.
    ///
    /// # Errors
    /// `malformed` when it is not a map with r a byte string, w a byte string of 32 bytes, and not both v and w.
    pub(crate) fn read(reader: &mut Reader<'a>, depth: usize) -> Result<Self, Refusal> {
        let len = reader.map_len(depth)?;
        let mut keys = Vec::with_capacity(len.min(MAX_KEYS));
        let mut last = None;
        for _ in 0..len {
            let key = reader.key(&mut last)?;
            keys.push((key, reader.raw(depth + 1)?));
        }
        let raw = Self { keys };
        if let Some(salt) = raw.get("r") {
            cbor::decode(salt)?.bytes().within("r")?;
        }
        if let Some(hash) = raw.get("w") {
            cbor::decode(hash)?.array::<32>().within("w")?;
            if raw.get("v").is_some() {
                return Err(malformed("w stands in place of v").within("w"));
            }
        }
        Ok(raw)
    }

    fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.keys.iter().find(|(key, _)| *key == name).map(|(_, raw)| *raw)
    }

    /// The text of s, unless it is something else.
    pub(crate) fn soul_text(&self) -> Option<&'a str> {
        Reader::new(self.get("s")?).item(0).ok()?.text().ok()
    }

    /// The leaf of this operation at `index`; `scratch` is any buffer.
    pub(crate) fn leaf(&self, index: u16, scratch: &mut Vec<u8>) -> Hash {
        begin_leaf(scratch, index);
        cbor::map(scratch, self.keys.len() - usize::from(self.get("r").is_some()));
        for (key, raw) in &self.keys {
            match *key {
                "r" => {}
                "v" => {
                    let salt = self.get("r").map_or(&[] as &[u8], payload);
                    cbor::text(scratch, "v");
                    cbor::bytes(scratch, &hash_value_bytes(raw, salt).0);
                }
                // Nothing stands between v and w in the order of keys, so the map stays canonical.
                "w" => {
                    cbor::text(scratch, "v");
                    scratch.extend_from_slice(raw);
                }
                _ => {
                    cbor::text(scratch, key);
                    scratch.extend_from_slice(raw);
                }
            }
        }
        *blake3::hash(scratch).as_bytes()
    }

    /// Looks at the parts. `last` is the soul of the operation before: mostly the same, and costly to read when it holds
    /// a key.
    ///
    /// # Errors
    /// As [`Operation::decode`].
    pub(crate) fn parse(&self, last: &mut Option<Soul>, salt: Salted) -> Result<Operation, Refusal> {
        for (key, _) in &self.keys {
            if !matches!(*key, "b" | "f" | "k" | "o" | "r" | "s" | "t" | "v" | "w" | "x") {
                return Err(malformed("an operation has no such key").within(key));
            }
        }
        let text = |name: &'static str| {
            let raw =
                self.get(name).ok_or_else(|| malformed("an operation names soul, field and kind").within(name))?;
            Reader::new(raw).item(0)?.text().within(name)
        };
        let name = text("s")?;
        let soul = match last {
            Some(last) if last.as_str() == name => last.clone(),
            _ => last.insert(name.parse().within("s")?).clone(),
        };
        let field: Field = text("f")?.parse().within("f")?;
        let kind: Kind = text("k")?.parse().within("k")?;
        let slot = match self.get("t") {
            None => Slot::Own,
            Some(raw) => {
                let slot = Reader::new(raw).item(0)?.bytes().within("t")?;
                if slot.len() > Slot::MAX_BYTES {
                    return refuse(Code::BadSlot, "a slot has at most 64 bytes").within("t");
                }
                Slot::Explicit(slot.into())
            }
        };
        let base = match self.get("b") {
            None => None,
            Some(raw) => Some(Stamp(Reader::new(raw).item(0)?.uint().within("b")?)),
        };
        let kills = self.ids("x", MAX_KILLS, "a kill names 1 to 8,192 entries")?;
        let over = self.ids("o", MAX_OVER, "a writer names 1 to 4 entries that it saw")?;
        let body = self.body(salt)?;
        if matches!(body, Body::None) && kills.is_empty() {
            return refuse(Code::Malformed, "an operation has a value, or kills, or both");
        }
        Ok(Operation { soul, field, kind, slot, body, kills, over, base })
    }

    fn body(&self, salted: Salted) -> Result<Body, Refusal> {
        let salt = match self.get("r") {
            None => None,
            Some(raw) => Some(Salt(Reader::new(raw).item(0)?.array().within("r")?)),
        };
        match (self.get("v"), self.get("w"), salt) {
            (Some(raw), _, salt @ Some(_)) => Ok(Body::Live { value: value(raw).within("v")?, salt }),
            (Some(raw), _, None) if salted == Salted::No => {
                Ok(Body::Live { value: value(raw).within("v")?, salt: None })
            }
            (Some(_), _, None) => refuse(Code::Malformed, "v goes with r").within("r"),
            (None, _, Some(_)) => refuse(Code::Malformed, "r goes with v").within("r"),
            (None, Some(raw), None) => Ok(Body::Dropped(ValueHash(Reader::new(raw).item(0)?.array().within("w")?))),
            (None, None, None) => Ok(Body::None),
        }
    }

    fn ids(&self, name: &'static str, most: usize, bounds: &'static str) -> Result<Vec<EntryId>, Refusal> {
        let Some(raw) = self.get(name) else { return Ok(Vec::new()) };
        let mut reader = Reader::new(raw);
        let len = reader.array_len(0).within(name)?;
        if len == 0 || len > most {
            return refuse(Code::OutOfRange, bounds).within(name);
        }
        let mut ids: Vec<EntryId> = Vec::with_capacity(len);
        for at in 0..len {
            let id = EntryId(reader.item(1)?.array().map_err(|refusal| refusal.within(&format!("{name}.{at}")))?);
            if ids.last().is_some_and(|last| *last >= id) {
                return refuse(Code::Malformed, "ids ascend without repeats").within(&format!("{name}.{at}"));
            }
            ids.push(id);
        }
        Ok(ids)
    }
}

/// The bytes of a byte string whose canonical encoding is `raw`.
fn payload(raw: &[u8]) -> &[u8] {
    Reader::new(raw).item(0).ok().and_then(|item| item.bytes().ok()).unwrap_or_default()
}

fn value(raw: &[u8]) -> Result<Value, Refusal> {
    if raw.len() > MAX_VALUE_BYTES {
        return refuse(Code::TooLarge, "a value is at most 64 KiB of DAG-CBOR; larger ones are blobs");
    }
    if raw.first().is_some_and(|first| first >> 5 == 4) {
        return refuse(Code::BadValue, "an array is not a value");
    }
    Value::from_cbor(raw)
}

impl Operation {
    /// The map as it travels: a live value as v and r, a dropped one as w.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        Parts::from(self).encode(&mut out);
        out
    }

    /// Reads the map of an operation of a signed commit.
    ///
    /// # Errors
    /// `malformed` for an unknown or missing key, a part of the wrong type, v without r, r without v, neither value nor
    /// kills, ids out of order; `bad_soul`, `bad_field`, `bad_kind`, `bad_slot` (over 64 bytes), `bad_value`,
    /// `too_large`; `out_of_range` for too many or no ids. `field` names the key.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new(bytes);
        let raw = RawOperation::read(&mut reader, 0)?;
        reader.finish()?;
        raw.parse(&mut None, Salted::Yes)
    }
}
