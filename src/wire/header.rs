//! The signed header of a commit.

use rustdht_core::{
    CertificateId, Code, CommitId, NetId, PublicKey, Refusal, Session, Stamp,
    cbor::{self, Item},
};

use crate::{
    certificate,
    limits::{MAX_AUTH, MAX_HEADER_BYTES, MAX_OPERATIONS},
    refuse::{Within, malformed, refuse},
};

/// The version of the format.
pub(crate) const VERSION: u64 = 1;

/// The keys of a header, all of them always, in their canonical order.
const KEYS: [&str; 10] = ["n", "v", "net", "seq", "auth", "prev", "root", "stamp", "author", "session"];

/// What the author signs: who, when, and the root of the tree over the operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The network.
    pub net: NetId,
    /// The author, who is also the signer.
    pub author: PublicKey,
    /// Tells the author's process slots apart.
    pub session: Session,
    /// Counts the commits of a session, from 0.
    pub seq: u64,
    /// The session's commit before this one; `None` exactly when `seq` is 0.
    pub prev: Option<CommitId>,
    /// The stamp of every operation.
    pub stamp: Stamp,
    /// The number of operations, 1 to 1,024.
    pub n: u16,
    /// The root of the tree over the leaves.
    pub root: [u8; 32],
    /// The leaf certificates that cover the operations; at most 4, each once.
    pub auth: Vec<CertificateId>,
}

impl Header {
    /// The canonical DAG-CBOR.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        cbor::map(&mut out, KEYS.len());
        cbor::text(&mut out, "n");
        cbor::uint(&mut out, self.n.into());
        cbor::text(&mut out, "v");
        cbor::uint(&mut out, VERSION);
        cbor::text(&mut out, "net");
        cbor::bytes(&mut out, &self.net.0);
        cbor::text(&mut out, "seq");
        cbor::uint(&mut out, self.seq);
        cbor::text(&mut out, "auth");
        cbor::array(&mut out, self.auth.len());
        for id in &self.auth {
            cbor::cid(&mut out, &id.to_cid());
        }
        cbor::text(&mut out, "prev");
        match &self.prev {
            Some(prev) => cbor::bytes(&mut out, &prev.0),
            None => cbor::null(&mut out),
        }
        cbor::text(&mut out, "root");
        cbor::bytes(&mut out, &self.root);
        cbor::text(&mut out, "stamp");
        cbor::uint(&mut out, self.stamp.0);
        cbor::text(&mut out, "author");
        cbor::bytes(&mut out, &self.author.0);
        cbor::text(&mut out, "session");
        cbor::bytes(&mut out, &self.session.0);
        out
    }

    /// Reads a header; what is read encodes to the same bytes.
    ///
    /// # Errors
    /// `too_many_operations` for n above 1,024, `out_of_range` for n = 0 or more than four certificates, `malformed`
    /// for anything else that is not a header. `field` names the key.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_HEADER_BYTES {
            return refuse(Code::Malformed, "a header is at most 4 KiB");
        }
        let entries = cbor::decode_map(bytes)?;
        if let Some((unknown, _)) = entries.iter().find(|(key, _)| !KEYS.contains(key)) {
            return Err(malformed("a header has ten keys and no other").within(unknown));
        }
        let get = |name: &str| {
            let found = entries.iter().find(|(key, _)| *key == name);
            found.map(|(_, item)| item).ok_or_else(|| malformed("a header has all ten keys").within(name))
        };
        let uint = |name: &str| get(name)?.uint().within(name);
        if uint("v")? != VERSION {
            return refuse(Code::Malformed, "this is version 1").within("v");
        }
        let n = match uint("n")? {
            0 => return refuse(Code::OutOfRange, "a commit has at least one operation").within("n"),
            n => u16::try_from(n).ok().filter(|n| usize::from(*n) <= MAX_OPERATIONS).ok_or_else(|| {
                Refusal::new(Code::TooManyOperations, "a commit has at most 1,024 operations").within("n")
            })?,
        };
        let seq = uint("seq")?;
        let prev = match get("prev")? {
            Item::Null => None,
            item => Some(CommitId(item.array().within("prev")?)),
        };
        if prev.is_none() != (seq == 0) {
            return refuse(Code::Malformed, "prev is null exactly when seq is 0").within("prev");
        }
        Ok(Self {
            net: NetId(get("net")?.array().within("net")?),
            author: PublicKey(get("author")?.array().within("author")?),
            session: Session(get("session")?.array().within("session")?),
            seq,
            prev,
            stamp: Stamp(uint("stamp")?),
            n,
            root: get("root")?.array().within("root")?,
            auth: certificates(get("auth")?).within("auth")?,
        })
    }
}

fn certificates(item: &Item<'_>) -> Result<Vec<CertificateId>, Refusal> {
    let items = item.elements()?;
    if items.len() > MAX_AUTH {
        return refuse(Code::OutOfRange, "a header names at most 4 certificates");
    }
    let mut ids = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let id = certificate::read_id(item).map_err(|refusal| refusal.within(&at.to_string()))?;
        if ids.contains(&id) {
            return Err(malformed("a header names a certificate once").within(&at.to_string()));
        }
        ids.push(id);
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            net: NetId([1; 32]),
            author: PublicKey([2; 32]),
            session: Session([3; 8]),
            seq: 1,
            prev: Some(CommitId([4; 32])),
            stamp: Stamp(5),
            n: 6,
            root: [7; 32],
            auth: vec![CertificateId([8; 32])],
        }
    }

    fn refusal(change: impl FnOnce(&mut Header)) -> (Code, String) {
        let mut header = header();
        change(&mut header);
        let refusal = Header::decode(&header.encode()).unwrap_err();
        (refusal.code, refusal.field)
    }

    #[test]
    fn what_is_encoded_decodes() {
        assert_eq!(Header::decode(&header().encode()), Ok(header()));
        let first = Header { seq: 0, prev: None, auth: Vec::new(), n: 1024, stamp: Stamp(u64::MAX), ..header() };
        assert_eq!(Header::decode(&first.encode()), Ok(first));
    }

    #[test]
    fn bounds_and_ties_are_checked() {
        assert_eq!(refusal(|h| h.n = 0), (Code::OutOfRange, "n".into()));
        assert_eq!(refusal(|h| h.n = 1025), (Code::TooManyOperations, "n".into()));
        assert_eq!(refusal(|h| h.seq = 0), (Code::Malformed, "prev".into()));
        assert_eq!(refusal(|h| h.prev = None), (Code::Malformed, "prev".into()));
        assert_eq!(refusal(|h| h.auth.push(h.auth[0])), (Code::Malformed, "auth.1".into()));
        let more: Vec<_> = (0..5).map(|i| CertificateId([i; 32])).collect();
        assert_eq!(refusal(|h| h.auth.clone_from(&more)), (Code::OutOfRange, "auth".into()));
        assert!(Header::decode(&Header { auth: more[..4].to_vec(), ..header() }.encode()).is_ok());
    }

    #[test]
    fn keys_are_these_ten() {
        let bytes = header().encode();
        let entries = cbor::decode_map(&bytes).unwrap();
        for skip in 0..entries.len() {
            let mut rest = entries.clone();
            let (name, _) = rest.remove(skip);
            let mut out = Vec::new();
            cbor::item(&mut out, &Item::Map(rest));
            assert_eq!(Header::decode(&out).unwrap_err(), malformed("a header has all ten keys").within(name));
        }
        let mut more = entries.clone();
        more.push(("surplus", Item::Null));
        let mut out = Vec::new();
        cbor::item(&mut out, &Item::Map(more));
        assert_eq!(Header::decode(&out).unwrap_err().field, "surplus");
        let mut other = entries.clone();
        other[1].1 = Item::Uint(2);
        let mut out = Vec::new();
        cbor::item(&mut out, &Item::Map(other));
        assert_eq!(Header::decode(&out).unwrap_err().field, "v");
        assert!(Header::decode(&[0; MAX_HEADER_BYTES + 1]).is_err());
        assert!(Header::decode(&[0x80]).is_err());
    }
}
