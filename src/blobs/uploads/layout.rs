//! The blocks of a file above its leaves, from nothing but the leaves' CIDs and lengths: the balanced layout of UnixFS.
//!
//! `rust-unixfs` builds the same while it cuts a file, but its state cannot be written down and taken up again.

use bytes::Bytes;
use cid::Cid;
use rustdht_core::ports::AddHash;

use crate::{
    dag::Block,
    dagpb::{DAG_PB, PbLink, PbNode},
    digest::make_cid,
    protobuf::put_number,
    unixfs::Kind,
};

/// A block, and what is below it.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) cid: Cid,
    /// Bytes of the file.
    pub(super) span: u64,
    /// Bytes of all blocks.
    tsize: u64,
}

impl Part {
    /// A raw leaf.
    pub(super) const fn leaf(cid: Cid, bytes: u64) -> Self {
        Self { cid, span: bytes, tsize: bytes }
    }
}

/// The blocks above the leaves, those of each level in order, and the root; `None` without a leaf.
pub(super) fn above(mut level: Vec<Part>, width: usize, hash: AddHash) -> (Vec<Block>, Option<Cid>) {
    let mut blocks = Vec::new();
    while level.len() > 1 {
        level = level
            .chunks(width)
            .map(|parts| {
                let (block, part) = over(parts, hash);
                blocks.push((part.cid, block));
                part
            })
            .collect();
    }
    (blocks, level.first().map(|root| root.cid))
}

fn over(parts: &[Part], hash: AddHash) -> (Bytes, Part) {
    let span = parts.iter().map(|part| part.span).sum();
    let mut unixfs = Vec::with_capacity(8 + 6 * parts.len());
    put_number(&mut unixfs, 1, Kind::File as u64);
    put_number(&mut unixfs, 3, span);
    for part in parts {
        put_number(&mut unixfs, 4, part.span);
    }
    let links = parts.iter().map(|part| PbLink { cid: part.cid, name: Bytes::new(), tsize: part.tsize }).collect();
    let block = Bytes::from(PbNode { links, data: Some(unixfs.into()) }.encode());
    let below: u64 = parts.iter().map(|part| part.tsize).sum();
    let part = Part { cid: make_cid(DAG_PB, hash, &block), span, tsize: below + block.len() as u64 };
    (block, part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dag::{Dag, Profile},
        node::RAW,
    };

    #[test]
    fn it_is_the_layout_of_a_file_that_came_at_once() {
        for hash in [AddHash::Sha2, AddHash::Blake3] {
            for width in [2, 3, 174] {
                let profile = Profile { chunk_bytes: 5, width, hash };
                for leaves in [1, 2, 3, 4, 5, 8, 9, 10, 27, 28, 174, 175, 400] {
                    for last in [1, 5] {
                        let data: Vec<u8> =
                            (0..(leaves - 1) * 5 + last).map(|at: usize| (at * 31 % 253) as u8).collect();
                        let mut dag = Dag::new(profile);
                        dag.push(&data);
                        let mut made = dag.take_blocks();
                        let (rest, root) = dag.finish();
                        made.extend(rest);
                        let parts: Vec<_> = data
                            .chunks(5)
                            .map(|leaf| Part::leaf(make_cid(RAW, hash, leaf), leaf.len() as u64))
                            .collect();
                        let (blocks, own) = above(parts, width, hash);
                        assert_eq!(own, root.map(|(cid, _)| cid), "{leaves} leaves, width {width}");
                        let mut inner: Vec<_> = made.into_iter().filter(|(cid, _)| cid.codec() == DAG_PB).collect();
                        let mut blocks = blocks;
                        inner.sort_by_key(|(cid, _)| cid.to_bytes());
                        blocks.sort_by_key(|(cid, _)| cid.to_bytes());
                        inner.dedup();
                        blocks.dedup();
                        assert_eq!(blocks, inner);
                    }
                }
            }
        }
    }
}
