//! Reading a pack back when no index file tells what is in it.

use std::{fs::File, io, os::unix::fs::FileExt};

use bytes::Bytes;

use super::{
    Entry,
    record::{ALIGN, HEADER_BYTES, Header, padded_len},
};

/// A pack, wherever it lies.
pub(crate) trait ReadAt {
    /// Fills `out` with what begins at `position`.
    fn read_exact_at(&self, out: &mut [u8], position: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, out: &mut [u8], position: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, out, position)
    }
}

impl ReadAt for Bytes {
    fn read_exact_at(&self, out: &mut [u8], position: u64) -> io::Result<()> {
        let range = usize::try_from(position).ok().and_then(|from| Some(from..from.checked_add(out.len())?));
        let found = range.and_then(|range| self.get(range)).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }
}

/// Bytes read at once while looking for the next record.
const WINDOW_BYTES: usize = 1 << 20;

/// Appends to `entries` the valid records of `file` between `from` and `len`, in order, and returns where the last of
/// all `entries` ends (0 when there is none).
///
/// A record that does not check out is stepped over. A block must also hash to its multihash: it could be a look-alike inside
/// the data of a damaged block, or of one that was written in part, and a look-alike that hashes right does no harm. What
/// a file hashes to says nothing of itself: such a note is believed where every record before it was good.
pub(crate) fn scan(file: &impl ReadAt, from: u64, len: u64, entries: &mut Vec<Entry>) -> io::Result<u64> {
    let mut position = from;
    let mut end = from;
    let mut lost = false;
    let mut data = Vec::new();
    while position < len {
        if let Some(header) = record_at(file, position, len, &mut data)?
            && (header.digest.matches(&data) || !(lost || header.digest.is_block()))
            && let Ok(offset) = u32::try_from(position)
        {
            entries.push(Entry { digest: header.digest, offset, data_len: header.data_len });
            position += padded_len(header.data_len);
            end = position;
        } else {
            lost = true;
            position = next_magic(file, position + ALIGN, len)?;
        }
    }
    Ok(end)
}

fn record_at(file: &impl ReadAt, position: u64, len: u64, data: &mut Vec<u8>) -> io::Result<Option<Header>> {
    if len - position < HEADER_BYTES as u64 {
        return Ok(None);
    }
    let mut head = [0; HEADER_BYTES];
    file.read_exact_at(&mut head, position)?;
    let Some(header) = Header::parse(&head) else { return Ok(None) };
    let start = position + HEADER_BYTES as u64;
    if len - start < u64::from(header.data_len) {
        return Ok(None);
    }
    data.resize(header.data_len as usize, 0);
    file.read_exact_at(data, start)?;
    Ok(header.covers(data).then_some(header))
}

/// The next multiple of 512, from `position` on, where a header stands; `len` when there is none.
fn next_magic(file: &impl ReadAt, mut position: u64, len: u64) -> io::Result<u64> {
    let mut window = Vec::new();
    while position < len {
        window.resize(usize::try_from(len - position).unwrap_or(WINDOW_BYTES).min(WINDOW_BYTES), 0);
        file.read_exact_at(&mut window, position)?;
        for (step, sector) in window.chunks(ALIGN as usize).enumerate() {
            if Header::parse(sector).is_some() {
                return Ok(position + step as u64 * ALIGN);
            }
        }
        position += window.len() as u64;
    }
    Ok(len)
}
