//! Directories as blocks (UnixFS specification, and boxo's `ipld/unixfs` where that leaves a choice).

use bytes::Bytes;
use cid::Cid;
use rustdht_core::ports::{AddOptions, AddProfile, BlobError};

use super::{
    Leaf,
    names::{self, Child, Folder},
};
use crate::{
    dag::Block,
    dagpb::{DAG_PB, PbLink, PbNode, data_len, link_len},
    digest::make_cid,
    hamt,
    unixfs::{Kind, UnixFs},
};

/// A directory that counts more is sharded; one that counts just this is not.
const SHARDED_ABOVE_BYTES: usize = 262_144;

/// Makes the blocks of directories, those below before those above, and gives each away at once.
pub(super) struct Encoder<F> {
    options: AddOptions,
    keep: F,
}

impl<F: FnMut(Block) -> Result<(), BlobError>> Encoder<F> {
    pub(super) const fn new(options: AddOptions, keep: F) -> Self {
        Self { options, keep }
    }

    /// Makes a directory and all below it. Recursion is bounded by the length of a path.
    pub(super) fn folder(&mut self, folder: Folder) -> Result<Leaf, BlobError> {
        let mut links = Vec::with_capacity(folder.len());
        for (name, child) in folder {
            let leaf = match child {
                Child::Folder(folder) => self.folder(folder)?,
                Child::Leaf { cid, tree_bytes } => Leaf { cid: names::cid(&cid)?, tree_bytes },
            };
            links.push(PbLink { cid: leaf.cid, name: Bytes::from(String::from(name)), tsize: leaf.tree_bytes });
        }
        if self.counted(&links) > SHARDED_ABOVE_BYTES {
            let mut hashed: Vec<_> = links.into_iter().map(|link| (hamt::hash(&link.name), link)).collect();
            hashed.sort_by_key(|(hash, _)| *hash);
            return self.shard(&hashed, 0);
        }
        self.block(&PbNode { links, data: Some(UnixFs::new(Kind::Directory, Bytes::new()).encode().into()) })
    }

    /// What a directory in one block would count. IPIP-499 names the two ways "links-bytes" and "block-bytes".
    fn counted(&self, links: &[PbLink]) -> usize {
        match self.options.profile {
            AddProfile::Legacy => links.iter().map(|link| link.name.len() + link.cid.encoded_len()).sum(),
            AddProfile::UnixfsV1 => {
                let links: usize = links.iter().map(|link| link_len(&link.cid, link.name.len(), link.tsize)).sum();
                links + data_len(2)
            }
        }
    }

    /// Makes the shard of entries whose hashes begin with the same `consumed` bits, sorted by hash.
    fn shard(&mut self, entries: &[(u64, PbLink)], consumed: u32) -> Result<Leaf, BlobError> {
        let bits = hamt::FANOUT.trailing_zeros();
        let slot = |hash| hamt::slot(hash, consumed, bits);
        let mut field = [0_u8; hamt::FANOUT as usize / 8];
        let mut links = Vec::new();
        for group in entries.chunk_by(|a, b| slot(a.0) == slot(b.0)) {
            let number = slot(group[0].0).ok_or_else(|| {
                BlobError::BadName(format!("{:?} hashes like another name", String::from_utf8_lossy(&group[0].1.name)))
            })?;
            // Big-endian: slot 0 is the lowest bit of the last byte.
            field[field.len() - 1 - number as usize / 8] |= 1 << (number % 8);
            let mut name = format!("{number:02X}").into_bytes();
            links.push(if let [(_, link)] = group {
                name.extend_from_slice(&link.name);
                PbLink { name: name.into(), ..link.clone() }
            } else {
                let below = self.shard(group, consumed + bits)?;
                PbLink { cid: below.cid, name: name.into(), tsize: below.tree_bytes }
            });
        }
        let zeros = field.iter().take_while(|byte| **byte == 0).count();
        let mut data = UnixFs::new(Kind::Shard, Bytes::copy_from_slice(&field[zeros..]));
        (data.hash, data.fanout) = (Some(hamt::MURMUR3), Some(hamt::FANOUT));
        self.block(&PbNode { links, data: Some(data.encode().into()) })
    }

    fn block(&mut self, node: &PbNode) -> Result<Leaf, BlobError> {
        let block = node.encode();
        let cid: Cid = make_cid(DAG_PB, self.options.hash, &block);
        let below = node.links.iter().fold(0_u64, |sum, link| sum.saturating_add(link.tsize));
        let leaf = Leaf { cid, tree_bytes: below.saturating_add(block.len() as u64) };
        (self.keep)((cid, block.into()))?;
        Ok(leaf)
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngCore, SeedableRng};
    use rustdht_core::ports::AddHash;
    use sha2::Digest as _;

    use super::*;
    use crate::digest::cid_of;

    fn root(profile: AddProfile, names: impl IntoIterator<Item = String>) -> (Cid, Vec<Block>) {
        let leaf = || Child::Leaf { cid: cid_of(0x55, b"x").to_bytes().into(), tree_bytes: 1 };
        let folder: Folder = names.into_iter().map(|name| (name.into(), leaf())).collect();
        let mut blocks = Vec::new();
        let mut encoder = Encoder::new(AddOptions { profile, hash: AddHash::Sha2 }, |block| {
            blocks.push(block);
            Ok(())
        });
        let root = encoder.folder(folder).unwrap();
        let below: usize = blocks.iter().map(|(_, block)| block.len()).sum();
        assert!(root.tree_bytes as usize >= below);
        (root.cid, blocks)
    }

    /// The names that Kubo's tests make (test/cli/add_test.go): letters chosen by the ChaCha20 key stream of the seed's
    /// SHA-256. Each file holds "x".
    fn names(seed: &str, files: usize, len: usize, last: usize) -> Vec<String> {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz01234567890-_";
        let mut stream = rand_chacha::ChaCha20Rng::from_seed(sha2::Sha256::digest(seed).into());
        let mut bytes = vec![0; (files - 1) * len + last];
        stream.fill_bytes(&mut bytes);
        let text: String = bytes.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect();
        (0..files).map(|i| text[i * len..i * len + if i + 1 == files { last } else { len }].to_owned()).collect()
    }

    #[test]
    fn directories_at_the_threshold_have_the_roots_that_kubo_gives_them() {
        // The first two are those of test/cli/cid_profiles_test.go; the others what Kubo 0.43 answers with its default
        // profile and `--cid-version=1`: 4,096 x 64 = 262,144 bytes, and 4,033 x 65 = 262,145.
        let (v1, legacy) = ("hamt-unixfs-v1-2025", "hamt-unixfs-v0-2015");
        for (profile, seed, files, len, last, sharded, expected) in [
            (
                AddProfile::UnixfsV1,
                v1,
                4766,
                11,
                21,
                false,
                "bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4",
            ),
            (
                AddProfile::UnixfsV1,
                v1,
                4766,
                11,
                22,
                true,
                "bafybeiegvuterwurhdtkikfhbxcldohmxp566vpjdofhzmnhv6o4freidu",
            ),
            (
                AddProfile::Legacy,
                legacy,
                4096,
                28,
                28,
                false,
                "bafybeiar4ulqbtrt6i7jbtnhalywqtx76uuregcaq4mnment5ylh5zjjte",
            ),
            (
                AddProfile::Legacy,
                legacy,
                4033,
                29,
                29,
                true,
                "bafybeidevn4f7uqfstp7qfx3ysewgzl4mskaliw5vnb5cunj6y4bpgnmqi",
            ),
        ] {
            let (cid, blocks) = root(profile, names(seed, files, len, last));
            assert_eq!((cid.to_string().as_str(), blocks.len() > 1), (expected, sharded), "{seed} {files} {last}");
        }
    }

    #[test]
    fn the_empty_directory_has_its_well_known_root() {
        for profile in [AddProfile::UnixfsV1, AddProfile::Legacy] {
            let (cid, blocks) = root(profile, []);
            assert_eq!(cid.to_string(), "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354");
            assert_eq!(blocks[0].1, [0x0a, 2, 8, 1][..]);
        }
    }
}
