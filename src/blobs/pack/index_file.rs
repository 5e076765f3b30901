//! `<n>.idx`: the records of a pack, so that opening the store does not read the pack.
//!
//! ```text
//! magic 8 | covered u64 | count u32 | count x (key 34, offset u32, data length u32) | CRC-32 of all before u32
//! ```
//!
//! Numbers are little endian. `covered` is the length of the pack that the file speaks for; what was appended later is
//! scanned. An index is written only after that part of its pack is durable, and is nothing but a shortcut: without it,
//! or when it is damaged, the pack is scanned.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use rustdht_core::ports::MAX_BLOCK_BYTES;

use super::{
    Entry, index_path,
    record::{ALIGN, padded_len},
    sync_dir,
};
use crate::digest::{Digest, KEY_BYTES};

const MAGIC: [u8; 8] = *b"\x8brdidx1\n";
const HEAD_BYTES: usize = 8 + 8 + 4;
const ENTRY_BYTES: usize = KEY_BYTES + 4 + 4;
/// Most records in a pack; bounds an index file to 11 MiB.
pub(crate) const MAX_ENTRIES: usize = 1 << 18;

/// Writes the index of pack `number`: whole, or not at all.
pub(crate) fn write(dir: &Path, number: u32, covered: u64, entries: &[Entry]) -> io::Result<()> {
    let path = index_path(dir, number);
    let unfinished = path.with_extension("tmp");
    let mut file = File::create(&unfinished)?;
    file.write_all(&encode(covered, entries))?;
    file.sync_all()?;
    fs::rename(&unfinished, &path)?;
    sync_dir(dir)
}

/// The index of pack `number` as (covered bytes, records); `None` when there is none that can be trusted.
pub(crate) fn read(dir: &Path, number: u32, pack_len: u64) -> Option<(u64, Vec<Entry>)> {
    let path = index_path(dir, number);
    let longest = HEAD_BYTES + MAX_ENTRIES * ENTRY_BYTES + 4;
    if fs::metadata(&path).ok()?.len() > longest as u64 {
        return None;
    }
    let (covered, entries) = parse(&fs::read(&path).ok()?)?;
    (covered <= pack_len).then_some((covered, entries))
}

/// An index as bytes.
pub(crate) fn encode(covered: u64, entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES + entries.len() * ENTRY_BYTES + 4);
    out.extend(MAGIC);
    out.extend(covered.to_le_bytes());
    out.extend((entries.len() as u32).to_le_bytes());
    for entry in entries {
        out.extend(entry.digest.to_key());
        out.extend(entry.offset.to_le_bytes());
        out.extend(entry.data_len.to_le_bytes());
    }
    out.extend(crc32fast::hash(&out).to_le_bytes());
    out
}

/// Reads an index as (covered bytes, records); `None` when it cannot be trusted.
pub(crate) fn parse(bytes: &[u8]) -> Option<(u64, Vec<Entry>)> {
    let (body, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (head, rows) = body.split_at_checked(HEAD_BYTES)?;
    let covered = u64::from_le_bytes(head[8..16].try_into().ok()?);
    let count = u32::from_le_bytes(head[16..].try_into().ok()?);
    if head[..8] != MAGIC || !covered.is_multiple_of(ALIGN) || rows.len() != count as usize * ENTRY_BYTES {
        return None;
    }
    let entries = rows.chunks_exact(ENTRY_BYTES).map(|row| entry(row, covered)).collect::<Option<_>>()?;
    Some((covered, entries))
}

fn entry(row: &[u8], covered: u64) -> Option<Entry> {
    let (hash, numbers) = row.split_at(KEY_BYTES);
    let entry = Entry {
        digest: Digest::from_key(hash)?,
        offset: u32::from_le_bytes(numbers[..4].try_into().ok()?),
        data_len: u32::from_le_bytes(numbers[4..].try_into().ok()?),
    };
    let offset = u64::from(entry.offset);
    let sound = entry.data_len as usize <= MAX_BLOCK_BYTES
        && offset.is_multiple_of(ALIGN)
        && offset + padded_len(entry.data_len) <= covered;
    sound.then_some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha2_256;

    #[test]
    fn a_damaged_or_cut_index_is_not_trusted() {
        let entries = [
            Entry { digest: sha2_256(b"a"), offset: 0, data_len: 1 },
            Entry { digest: sha2_256(b"b"), offset: 512, data_len: 9 },
        ];
        let good = encode(1024, &entries);
        let (covered, read) = parse(&good).unwrap();
        assert_eq!((covered, read.len(), read[1].offset, read[1].data_len), (1024, 2, 512, 9));
        assert!(read[0].digest == entries[0].digest);
        for length in 0..good.len() {
            assert!(parse(&good[..length]).is_none(), "cut to {length}");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&bad).is_none(), "bit {bit}");
        }
        assert!(parse(&encode(1023, &entries)).is_none(), "an entry behind what is covered");
    }
}
