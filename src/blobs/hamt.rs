//! The shards of a wide directory (UnixFS specification, "HAMT Sharded Directories"): which slot a name belongs to, and
//! the shard that a block holds.
//!
//! The hash is murmur3-x64-64: the first half of MurmurHash3 x64 128 with seed 0, read from its most significant bit.

use bytes::Bytes;

use crate::{
    dagpb::{PbLink, PbNode},
    unixfs::UnixFs,
};

/// Multicodec `murmur3-x64-64`.
pub(crate) const MURMUR3: u64 = 0x22;
/// Slots of a shard as everybody writes them.
pub(crate) const FANOUT: u64 = 256;
/// Most slots of a shard that is read, as boxo bounds it.
const MAX_FANOUT: u64 = 1024;

/// The hash of a name.
pub(crate) fn hash(name: &[u8]) -> u64 {
    // A slice never fails to be read.
    murmur3::murmur3_x64_128(&mut &*name, 0).map_or(0, |hash| hash as u64)
}

/// The slot of a hash in a shard whose parents used up `consumed` bits; `None` when there are too few left.
pub(crate) const fn slot(hash: u64, consumed: u32, bits: u32) -> Option<u64> {
    if consumed + bits > u64::BITS { None } else { Some((hash << consumed) >> (u64::BITS - bits)) }
}

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// An entry of the directory.
    Entry { name: Bytes, link: PbLink },
    /// The shard of all entries whose hashes go on like that.
    Shard(PbLink),
}

/// A shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    /// Bits of the hash that one level uses.
    pub(crate) bits: u32,
    /// By number, ascending.
    pub(crate) slots: Vec<(u64, Slot)>,
}

impl Shard {
    /// Reads a shard, and checks that its bit field and the names of its links say the same.
    pub(crate) fn of(node: PbNode, unixfs: &UnixFs) -> Result<Self, &'static str> {
        if unixfs.hash != Some(MURMUR3) {
            return Err("a shard with a hash other than murmur3-x64-64");
        }
        let fanout = unixfs.fanout.filter(|fanout| fanout.is_power_of_two() && (8..=MAX_FANOUT).contains(fanout));
        let fanout = fanout.ok_or("a shard whose fanout is not a power of two from 8 to 1,024")?;
        if unixfs.data.len() as u64 > fanout / 8 {
            return Err("a shard whose bit field is wider than its fanout");
        }
        // The field is big-endian, zero bytes at its front left out.
        let bytes = unixfs.data.iter().rev().enumerate();
        let set =
            bytes.flat_map(|(at, byte)| (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| at * 8 + bit));
        let set: Vec<u64> = set.map(|bit| bit as u64).collect();
        if set.len() != node.links.len() {
            return Err("a shard whose bit field has another number of slots than there are links");
        }
        let digits = digits(fanout);
        let slots = set.into_iter().zip(node.links).map(|(number, link)| {
            let prefix = format!("{number:0digits$X}");
            let name = link
                .name
                .strip_prefix(prefix.as_bytes())
                .ok_or("a shard whose links are in other slots than its bit field says")?;
            let name = link.name.slice_ref(name);
            Ok::<_, &'static str>((
                number,
                if name.is_empty() { Slot::Shard(link) } else { Slot::Entry { name, link } },
            ))
        });
        Ok(Self { bits: fanout.trailing_zeros(), slots: slots.collect::<Result<_, _>>()? })
    }

    /// What the slot of a hash holds.
    pub(crate) fn get(&self, slot: u64) -> Option<&Slot> {
        let at = self.slots.binary_search_by_key(&slot, |(number, _)| *number).ok()?;
        Some(&self.slots[at].1)
    }
}

/// Hexadecimal digits of the greatest slot, which every link of a shard begins with.
const fn digits(fanout: u64) -> usize {
    (fanout.trailing_zeros() as usize).div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{digest::cid_of, unixfs::Kind};

    #[test]
    fn names_hash_and_fall_into_slots_as_in_boxo() {
        // The numbers of boxo's tests (ipld/unixfs/hamt/util_test.go).
        let bytes = u64::from_be_bytes([255, 127, 79, 45, 116, 99, 35, 17]);
        let mut consumed = 0;
        for (bits, expected) in [(4, 15), (4, 15), (3, 3), (3, 7), (3, 6), (15, 20269)] {
            assert_eq!(slot(bytes, consumed, bits), Some(expected), "{consumed}");
            consumed += bits;
        }
        assert_eq!((slot(bytes, 56, 8), slot(bytes, 57, 8)), (Some(17), None));
        // MurmurHash3 x64 128 of nothing is zero; of the other text, the first half as the reference prints it.
        assert_eq!((hash(b""), hash(b"hello")), (0, 0xcbd8_a7b3_41bd_9b02));
    }

    fn shard(field: &[u8], names: &[&str], fanout: u64, hash: u64) -> Result<Shard, &'static str> {
        let link = |name: &&str| PbLink { cid: cid_of(0x55, b"x"), name: (*name).to_owned().into(), tsize: 1 };
        let node = PbNode { links: names.iter().map(link).collect(), data: None };
        let mut unixfs = UnixFs::new(Kind::Shard, Bytes::copy_from_slice(field));
        (unixfs.hash, unixfs.fanout) = (Some(hash), Some(fanout));
        Shard::of(node, &unixfs)
    }

    #[test]
    fn a_shard_that_lies_is_refused() {
        let good = shard(&[1, 4], &["02a", "08"], 256, MURMUR3).unwrap();
        assert!(matches!(good.get(2), Some(Slot::Entry { name, .. }) if name == "a"));
        assert!(matches!(good.get(8), Some(Slot::Shard(_))) && good.get(3).is_none());
        assert!(shard(&[1], &["0a"], 16, MURMUR3).is_ok() && shard(&[1], &["000a"], 1024, MURMUR3).is_ok());
        for (field, names, fanout, hash, why) in [
            (&[4][..], &["02a"][..], 256, 0x23, "a shard with a hash other than murmur3-x64-64"),
            (&[4], &["02a"], 200, MURMUR3, "a shard whose fanout is not a power of two from 8 to 1,024"),
            (&[4], &["02a"], 1 << 20, MURMUR3, "a shard whose fanout is not a power of two from 8 to 1,024"),
            (&[0, 4], &["2a"], 8, MURMUR3, "a shard whose bit field is wider than its fanout"),
            (
                &[4],
                &["02a", "03b"],
                256,
                MURMUR3,
                "a shard whose bit field has another number of slots than there are links",
            ),
            (&[5], &["02a"], 256, MURMUR3, "a shard whose bit field has another number of slots than there are links"),
            (&[4], &["03a"], 256, MURMUR3, "a shard whose links are in other slots than its bit field says"),
            (&[4], &["2"], 256, MURMUR3, "a shard whose links are in other slots than its bit field says"),
        ] {
            assert_eq!(shard(field, names, fanout, hash).unwrap_err(), why, "{field:?} {names:?}");
        }
    }
}
