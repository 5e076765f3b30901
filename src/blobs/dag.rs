//! Cutting a file into blocks, by `rust-unixfs`.

use bytes::Bytes;
use cid::Cid;
use multihash_codetable::Code;
use rust_unixfs::file::adder::{BalancedCollector, Chunker, FileAdder};
use rustdht_core::ports::{AddHash, AddOptions, AddProfile};

/// How a file becomes a DAG. The CIDs are version 1, leaves are raw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    /// Size of the leaves in bytes.
    pub(crate) chunk_bytes: usize,
    /// Most links of a block.
    pub(crate) width: usize,
    /// What blocks are hashed with.
    pub(crate) hash: AddHash,
}

impl From<AddOptions> for Profile {
    fn from(AddOptions { profile, hash }: AddOptions) -> Self {
        match profile {
            // IPIP-499, `unixfs-v1-2025`.
            AddProfile::UnixfsV1 => Self { chunk_bytes: 1 << 20, width: 1024, hash },
            AddProfile::Legacy => Self { chunk_bytes: 256 << 10, width: 174, hash },
        }
    }
}

/// A block and the CID that it was given; it need not be hashed again.
pub(crate) type Block = (Cid, Bytes);

/// A file on its way to a DAG. Holds one chunk, and the links of one block for each level.
pub(crate) struct Dag {
    adder: FileAdder,
    blocks: Vec<Block>,
    last: Option<Cid>,
    /// Bytes of all blocks so far, each as often as it was made.
    tree_bytes: u64,
}

impl Dag {
    pub(crate) fn new(profile: impl Into<Profile>) -> Self {
        let profile = profile.into();
        let hasher = match profile.hash {
            AddHash::Sha2 => Code::Sha2_256,
            AddHash::Blake3 => Code::Blake3_256,
        };
        let adder = FileAdder::builder()
            .with_chunker(Chunker::Size(profile.chunk_bytes))
            .with_collector(BalancedCollector::with_branching_factor(profile.width))
            .with_hasher(hasher)
            .build();
        Self { adder, blocks: Vec::new(), last: None, tree_bytes: 0 }
    }

    /// Takes the next bytes of the file. Whole chunks are hashed where they stand, without being buffered first.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (blocks, used) = self.adder.push(bytes);
            for (cid, block) in blocks {
                self.tree_bytes += block.len() as u64;
                self.blocks.push((cid, block.into()));
            }
            bytes = &bytes[used..];
        }
        self.last = self.blocks.last().map(|(cid, _)| *cid).or(self.last);
    }

    /// The blocks that became ready since the last call.
    pub(crate) fn take_blocks(&mut self) -> Vec<Block> {
        std::mem::take(&mut self.blocks)
    }

    /// The remaining blocks, the root, and the bytes of all blocks that were made.
    pub(crate) fn finish(mut self) -> (Vec<Block>, Option<(Cid, u64)>) {
        for (cid, block) in self.adder.finish() {
            self.tree_bytes += block.len() as u64;
            self.blocks.push((cid, block.into()));
        }
        // The root is the block made last; of a file of exactly one chunk it was made by `push`.
        let root = self.blocks.last().map(|(cid, _)| *cid).or(self.last);
        (self.blocks, root.map(|cid| (cid, self.tree_bytes)))
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngCore, SeedableRng};
    use sha2::Digest as _;

    use super::*;
    use crate::{dagpb::DAG_PB, digest::cid_of, node::RAW};

    fn root_of(profile: Profile, pieces: impl IntoIterator<Item = Vec<u8>>) -> String {
        let mut dag = Dag::new(profile);
        for piece in pieces {
            dag.push(&piece);
            dag.take_blocks();
        }
        dag.finish().1.unwrap().0.to_string()
    }

    /// The bytes that Kubo's own tests add: the ChaCha20 key stream of the seed's SHA-256 (test/cli/add_test.go). Its
    /// roots for 1,024 and 1,025 MiB at width 1024 are compared by examples/blob_bench.rs.
    fn kubo_bytes(seed: &str, mebibytes: usize) -> impl Iterator<Item = Vec<u8>> {
        let mut stream = rand_chacha::ChaCha20Rng::from_seed(sha2::Sha256::digest(seed).into());
        (0..mebibytes).map(move |_| {
            let mut piece = vec![0; 1 << 20];
            stream.fill_bytes(&mut piece);
            piece
        })
    }

    #[test]
    fn roots_are_those_that_kubo_expects() {
        let v1 = Profile::from(AddOptions::default());
        let legacy = Profile::from(AddOptions { profile: AddProfile::Legacy, ..AddOptions::default() });
        for profile in [v1, legacy] {
            assert_eq!(root_of(profile, []), "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
            let hello = root_of(profile, [b"hello world".to_vec()]);
            assert_eq!(hello, "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
        }
        let narrow = Profile { width: 174, ..v1 };
        for (profile, seed, mebibytes, root) in [
            (narrow, "v1-seed", 174, "bafybeigwduxcf2aawppv3isnfeshnimkyplvw3hthxjhr2bdeje4tdaicu"),
            (narrow, "v1-seed", 175, "bafybeidhd7lo2n2v7lta5yamob3xwhbxcczmmtmhquwhjesi35jntf7mpu"),
        ] {
            assert_eq!(root_of(profile, kubo_bytes(seed, mebibytes)), root, "{seed} {mebibytes}");
        }
    }

    fn varint(out: &mut Vec<u8>, mut number: u64) {
        while number >= 0x80 {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }

    /// The balanced layout again, level by level over the whole file at once: (CID, bytes of the file, bytes of blocks).
    fn balanced(profile: Profile, file: &[u8]) -> Cid {
        let leaf = |chunk: &[u8]| (cid_of(RAW, chunk), chunk.len() as u64, chunk.len() as u64);
        let mut level: Vec<_> = file.chunks(profile.chunk_bytes).map(leaf).collect();
        if level.is_empty() {
            return cid_of(RAW, b"");
        }
        while level.len() > 1 {
            level = level.chunks(profile.width).map(parent).collect();
        }
        level[0].0
    }

    fn parent(children: &[(Cid, u64, u64)]) -> (Cid, u64, u64) {
        let (mut node, mut data) = (Vec::new(), vec![8, 2, 0x18]);
        varint(&mut data, children.iter().map(|child| child.1).sum());
        for (cid, span, tree) in children {
            let mut link = vec![0x0a, 0x24];
            link.extend(cid.to_bytes());
            link.extend([0x12, 0, 0x18]);
            varint(&mut link, *tree);
            node.push(0x12);
            varint(&mut node, link.len() as u64);
            node.extend(link);
            data.push(0x20);
            varint(&mut data, *span);
        }
        node.push(0x0a);
        varint(&mut node, data.len() as u64);
        node.extend(data);
        let total = node.len() as u64 + children.iter().map(|child| child.2).sum::<u64>();
        (cid_of(DAG_PB, &node), children.iter().map(|child| child.1).sum(), total)
    }

    #[test]
    fn every_small_shape_is_the_balanced_one() {
        let profile = Profile { chunk_bytes: 5, width: 3, hash: AddHash::Sha2 };
        let file: Vec<u8> = (0..600_u32).map(|i| (i * 7 % 251) as u8).collect();
        for len in 0..file.len() {
            let whole = root_of(profile, [file[..len].to_vec()]);
            assert_eq!(whole, balanced(profile, &file[..len]).to_string(), "{len}");
            let pieces = file[..len].chunks(1 + len % 13).map(<[u8]>::to_vec);
            assert_eq!(root_of(profile, pieces), whole, "{len} in pieces");
        }
    }
}
