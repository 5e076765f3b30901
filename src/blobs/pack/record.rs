//! One block in a pack.
//!
//! ```text
//! offset  bytes  what
//!      0      8  magic
//!      8      4  length of the data, little endian
//!     12      1  length of the key: 34
//!     13     34  key: that of a sha2-256 or blake3 block is its multihash (digest.rs)
//!     47      4  CRC-32 (IEEE) of the bytes 8..47 and the data, little endian
//!     51      n  data
//!   51+n         zeros up to the next multiple of 512
//! ```
//!
//! Records begin at multiples of 512, so that a reader who lost its place has few offsets to try, however the data of
//! an uploader may look.

use std::{
    fs::File,
    io::{self, IoSlice, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
};

use bytes::Bytes;
use rustdht_core::ports::MAX_BLOCK_BYTES;

use crate::digest::{Digest, KEY_BYTES};

/// Begins a record, and names the version of its form.
const MAGIC: [u8; 8] = *b"\x8brdblk1\n";
/// Records begin at multiples of this.
pub(crate) const ALIGN: u64 = 512;
/// Length of what stands before the data.
pub(crate) const HEADER_BYTES: usize = 13 + KEY_BYTES + 4;
const CHECKSUM: usize = 13 + KEY_BYTES;

/// What stands before the data.
pub(crate) struct Header {
    pub(crate) digest: Digest,
    pub(crate) data_len: u32,
    checksum: u32,
    covered: crc32fast::Hasher,
}

/// The bytes that a record takes in the pack.
pub(crate) const fn padded_len(data_len: u32) -> u64 {
    (HEADER_BYTES as u64 + data_len as u64).next_multiple_of(ALIGN)
}

/// What stands before the data of a block of at most [`MAX_BLOCK_BYTES`].
pub(crate) fn header(digest: &Digest, data: &[u8]) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&(data.len() as u32).to_le_bytes());
    out[12] = KEY_BYTES as u8;
    out[13..CHECKSUM].copy_from_slice(&digest.to_key());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&out[8..CHECKSUM]);
    hasher.update(data);
    out[CHECKSUM..].copy_from_slice(&hasher.finalize().to_le_bytes());
    out
}

/// Writes the record of a block at `offset`, without copying the data first, and returns its length.
pub(crate) fn write(mut file: &File, offset: u64, digest: &Digest, data: &[u8]) -> io::Result<u64> {
    let header = header(digest, data);
    let len = padded_len(data.len() as u32);
    let padding = &[0; ALIGN as usize][..len as usize - HEADER_BYTES - data.len()];
    let mut slices = [&header[..], data, padding].map(IoSlice::new);
    let mut slices = &mut slices[..];
    file.seek(SeekFrom::Start(offset))?;
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// Appends the record of a block to `out` and returns its length.
pub(crate) fn append(out: &mut Vec<u8>, digest: &Digest, data: &[u8]) -> u64 {
    let len = padded_len(data.len() as u32);
    let end = out.len() + len as usize;
    out.extend(header(digest, data));
    out.extend(data);
    out.resize(end, 0);
    len
}

#[cfg(test)]
pub(crate) fn encode(digest: &Digest, data: &[u8]) -> Vec<u8> {
    let mut file = tempfile::tempfile().unwrap();
    write(&file, 0, digest, data).unwrap();
    let (mut out, mut appended) = (Vec::new(), Vec::new());
    file.rewind().unwrap();
    io::Read::read_to_end(&mut file, &mut out).unwrap();
    append(&mut appended, digest, data);
    assert!(out == appended, "a record has one form");
    out
}

impl Header {
    /// Reads a header; `None` when none begins here.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let data_len = u32::from_le_bytes(bytes[8..12].try_into().ok()?);
        if bytes[..8] != MAGIC || data_len as usize > MAX_BLOCK_BYTES || usize::from(bytes[12]) != KEY_BYTES {
            return None;
        }
        let digest = Digest::from_key(&bytes[13..CHECKSUM])?;
        let checksum = u32::from_le_bytes(bytes[CHECKSUM..].try_into().ok()?);
        let mut covered = crc32fast::Hasher::new();
        covered.update(&bytes[8..CHECKSUM]);
        Some(Self { digest, data_len, checksum, covered })
    }

    /// Whether `data` is what was written behind this header.
    pub(crate) fn covers(&self, data: &[u8]) -> bool {
        let mut hasher = self.covered.clone();
        hasher.update(data);
        hasher.finalize() == self.checksum
    }
}

/// Reads the block of `digest` from its record; `None` when the record does not hold it whole.
///
/// # Errors
/// What the disk said, other than that the file ends early.
pub(crate) fn read(file: &File, offset: u32, data_len: u32, digest: &Digest) -> io::Result<Option<Bytes>> {
    let mut bytes = vec![0; HEADER_BYTES + data_len as usize];
    match file.read_exact_at(&mut bytes, u64::from(offset)) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    Ok(block(&bytes.into(), data_len, digest))
}

/// Likewise, as far as the system has it in memory: `None` also when the disk would have to be waited for, or on a system that
/// cannot say.
pub(crate) fn read_cached(file: &File, offset: u32, data_len: u32, digest: &Digest) -> Option<Bytes> {
    #[cfg(target_os = "linux")]
    {
        let mut bytes = vec![0; HEADER_BYTES + data_len as usize];
        let buffers = &mut [io::IoSliceMut::new(&mut bytes)];
        let read = rustix::io::preadv2(file, buffers, u64::from(offset), rustix::io::ReadWriteFlags::NOWAIT).ok()?;
        if read == bytes.len() { block(&bytes.into(), data_len, digest) } else { None }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, offset, data_len, digest);
        None
    }
}

/// The block of `digest` from its record without the padding; `None` when that does not hold it whole.
pub(crate) fn block(record: &Bytes, data_len: u32, digest: &Digest) -> Option<Bytes> {
    let data = record.get(HEADER_BYTES..)?;
    let header = Header::parse(record)?;
    let whole = header.digest == *digest && header.data_len == data_len && header.covers(data);
    whole.then(|| record.slice(HEADER_BYTES..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha2_256;

    #[test]
    fn every_flipped_bit_of_a_record_is_seen() {
        let mut record = encode(&sha2_256(b"data"), b"data");
        assert_eq!(record.len(), 512);
        let whole = |bytes: &[u8]| {
            Header::parse(bytes).is_some_and(|h| h.covers(&bytes[51..51 + h.data_len.min(400) as usize]))
        };
        assert!(whole(&record));
        for bit in 0..(HEADER_BYTES + 4) * 8 {
            record[bit / 8] ^= 1 << (bit % 8);
            assert!(!whole(&record), "bit {bit}");
            record[bit / 8] ^= 1 << (bit % 8);
        }
    }
    #[test]
    fn what_is_in_memory_is_what_is_on_the_disk() {
        let digest = sha2_256(b"data");
        let mut record = encode(&digest, b"data");
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &record).unwrap();
        assert_eq!(read(&file, 0, 4, &digest).unwrap().unwrap(), "data");
        // A file system may be unable to say what is in memory; Linux' own can.
        let cached = |file: &File| read_cached(file, 0, 4, &digest);
        assert_eq!(cached(&file).unwrap_or_else(|| "data".into()), "data");
        record[HEADER_BYTES] ^= 1;
        std::os::unix::fs::FileExt::write_all_at(&file, &record, 0).unwrap();
        assert_eq!(cached(&file), None);
        file.set_len(20).unwrap();
        assert_eq!(cached(&file), None, "it ends early");
    }
}
