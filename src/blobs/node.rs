//! What a block of a file holds: bytes, and links to further blocks with the bytes that each stands for.
//!
//! Read with a reader of our own instead of the visitor of `rust-unixfs`: that one visits the neighbours of a range as
//! well, which may be missing, and adds the sizes that a stranger claims without looking for overflow.

use bytes::Bytes;
use cid::Cid;

use crate::{
    dagpb::{DAG_PB, PbNode},
    unixfs::{Kind, UnixFs},
};

/// Multicodec `raw`.
pub(crate) const RAW: u64 = 0x55;
/// Most links of a block. Honest files have 174 or 1,024, and 8,192 fill the greatest block that most tools make.
pub(crate) const MAX_LINKS: usize = 1 << 14;

/// A part of a file further down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) cid: Cid,
    /// Bytes of the file that it stands for.
    pub(crate) span_bytes: u64,
}

/// A block of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Bytes of the file that stand in the block itself, before what is linked.
    pub(crate) data: Bytes,
    pub(crate) links: Vec<Link>,
    /// Bytes of the file from this block on down: the data and the spans of the links.
    pub(crate) size_bytes: u64,
}

impl Node {
    /// Reads a block as a part of a file.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn parse(cid: &Cid, block: &Bytes) -> Result<Self, String> {
        match cid.codec() {
            RAW => Ok(Self { data: block.clone(), links: Vec::new(), size_bytes: block.len() as u64 }),
            DAG_PB => Self::parse_dag_pb(block).map_err(Into::into),
            other => Err(format!("codec 0x{other:x} holds no file")),
        }
    }

    fn parse_dag_pb(block: &Bytes) -> Result<Self, &'static str> {
        let node = PbNode::parse(block, MAX_LINKS)?;
        let unixfs = UnixFs::parse(node.data.as_ref().ok_or("a dag-pb node without data")?)?;
        Self::of(node, unixfs)
    }

    /// A block that was read already.
    pub(crate) fn of(node: PbNode, unixfs: UnixFs) -> Result<Self, &'static str> {
        match unixfs.kind {
            Kind::Raw | Kind::File => {}
            Kind::Directory | Kind::Shard => return Err("a directory"),
            Kind::Metadata => return Err("metadata"),
            Kind::Symlink => return Err("a symbolic link"),
        }
        if node.links.len() > MAX_LINKS {
            return Err("a block with too many links");
        }
        if unixfs.spans.len() != node.links.len() {
            return Err("a file with another number of sizes than links");
        }
        let linked = unixfs.spans.iter().try_fold(0_u64, |sum, span| sum.checked_add(*span));
        let size_bytes = linked.and_then(|linked| linked.checked_add(unixfs.data.len() as u64));
        let size_bytes = size_bytes.ok_or("a file beyond 2^64 bytes")?;
        if unixfs.size_bytes.is_some_and(|claimed| claimed != size_bytes) {
            return Err("a file whose size is not that of its parts");
        }
        let links = node.links.into_iter().zip(unixfs.spans);
        let links = links.map(|(link, span_bytes)| Link { cid: link.cid, span_bytes }).collect();
        Ok(Self { data: unixfs.data, links, size_bytes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use rustdht_core::ports::AddHash;

    use super::*;
    use crate::{
        dag::{Dag, Profile},
        digest::cid_of,
    };

    fn parse(block: &[u8]) -> Result<Node, String> {
        let block = Bytes::copy_from_slice(block);
        Node::parse(&cid_of(DAG_PB, &block), &block)
    }

    fn root() -> Vec<u8> {
        let mut dag = Dag::new(Profile { chunk_bytes: 10, width: 8, hash: AddHash::Sha2 });
        dag.push(b"0123456789012345678901234");
        dag.finish().0.pop().unwrap().1.to_vec()
    }

    #[test]
    fn a_file_is_told_from_what_is_none() {
        assert_eq!(parse(&root()).unwrap().links.iter().map(|link| link.span_bytes).collect::<Vec<_>>(), [10, 10, 5]);
        // A file with its bytes inside, as older adds make of small files.
        let node = parse(&hex("0a0d08021207636f6e74656e741807")).unwrap();
        assert_eq!((&node.data[..], node.size_bytes), (&b"content"[..], 7));
        // The same without the optional size, and a raw leaf.
        assert_eq!(parse(&hex("0a0b08021207636f6e74656e74")).unwrap().data, "content");
        assert_eq!(parse(&hex("0a0d08001207636f6e74656e741807")).unwrap().data, "content");
        for (block, why) in [
            ("0a0d08021207636f6e74656e741808", "a file whose size is not that of its parts"),
            ("0a020801", "a directory"),
            ("0a020805", "a directory"),
            ("0a020804", "a symbolic link"),
            ("0a0408022001", "a file with another number of sizes than links"),
            ("0a020809", "a UnixFS node of an unknown type"),
            ("", "a dag-pb node without data"),
            ("0a0208020a020802", "a dag-pb node with a field that there is not, or twice"),
            ("0a0308", "a protobuf message that ends inside a field"),
            ("120012000a18080220ffffffffffffffffff0120ffffffffffffffffff01", "a link without a CID"),
            ("0a0d080218ffffffffffffffffff02", "a varint beyond 64 bits"),
            ("0b", "a protobuf group or reserved wire type"),
        ] {
            assert_eq!(parse(&hex(block)).unwrap_err(), why, "{block}");
        }
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        let mut link = vec![0x12, 0x26, 0x0a, 0x24];
        link.extend(cid_of(RAW, b"").to_bytes());
        let mut block = [link.clone(), link].concat();
        block.extend(hex("0a18080220ffffffffffffffffff0120ffffffffffffffffff01"));
        assert_eq!(parse(&block).unwrap_err(), "a file beyond 2^64 bytes");
    }

    fn hex(text: &str) -> Vec<u8> {
        let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
        text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }

    proptest! {
        #[test]
        fn any_bytes_and_any_damage_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..1000_usize, byte in any::<u8>(), cut in 0..1000_usize) {
            let _ = parse(&bytes);
            let mut damaged = root();
            let len = damaged.len();
            damaged[at % len] = byte;
            damaged.truncate(len - cut % len);
            if let Ok(node) = parse(&damaged) {
                let spans: u64 = node.links.iter().map(|link| link.span_bytes).sum();
                prop_assert_eq!(node.size_bytes, spans + node.data.len() as u64);
            }
        }
    }
}
