//! Opening the folder: what the packs hold is known again, and all of it is durable, before anything is answered.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Error,
    index::Index,
    pack::{Entry, index_file, pack_path, scan::scan, sync_dir},
};

/// The pack that is written.
pub(crate) struct Active {
    pub(crate) number: u32,
    pub(crate) file: Arc<File>,
    /// Where the next record begins.
    pub(crate) end: u64,
    /// Its records, for its index file.
    pub(crate) entries: Vec<Entry>,
    /// There may be something behind the end that could not be cut off.
    pub(crate) torn: bool,
}

impl Active {
    /// Makes pack `number`, durably.
    pub(crate) fn create(dir: &Path, number: u32) -> io::Result<Self> {
        let path = pack_path(dir, number);
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        if let Err(error) = sync_dir(dir) {
            // Or it would be in the way of the next try.
            fs::remove_file(&path)?;
            return Err(error);
        }
        Ok(Self { number, file: Arc::new(file), end: 0, entries: Vec::new(), torn: false })
    }
}

/// Makes the folder if need be and takes it for this process alone, for as long as the returned file is open.
pub(crate) fn take(dir: &Path, packs: &Path) -> Result<File, Error> {
    let not_writable = |source| Error::NotWritable { dir: dir.to_owned(), source };
    fs::create_dir_all(packs).map_err(not_writable)?;
    let lock = OpenOptions::new().write(true).create(true).truncate(false).open(dir.join("lock"));
    let lock = lock.map_err(not_writable)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Error::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => return Err(not_writable(source)),
    }
    // The names of the two folders must outlive a power cut as the packs do. A parent that may be entered and not read,
    // and is not ours, is left alone.
    sync_dir(dir).map_err(not_writable)?;
    if let Some(parent) = dir.parent() {
        let _ = sync_dir(parent);
    }
    Ok(lock)
}

/// Fills `index` from the packs and returns the one to write to.
pub(crate) fn recover(packs: &Path, index: &Index) -> Result<Active, Error> {
    let numbers = numbers(packs).map_err(|source| Error::Pack { path: packs.to_owned(), source })?;
    let mut active = None;
    for number in &numbers {
        let last = numbers.last() == Some(number);
        let path = pack_path(packs, *number);
        let pack = load(packs, *number, last).map_err(|source| Error::Pack { path, source })?;
        pack.entries.iter().for_each(|entry| index.insert(*number, entry, true));
        active = Some(pack);
    }
    index.publish();
    match active {
        Some(active) => Ok(active),
        None => Active::create(packs, 0).map_err(|source| Error::Pack { path: pack_path(packs, 0), source }),
    }
}

/// The numbers of the packs, ascending. Index files that were never finished, or whose pack is gone, are removed.
fn numbers(packs: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    let mut indices = Vec::new();
    for item in fs::read_dir(packs)? {
        let path: PathBuf = item?.path();
        let Some(number) = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()) else { continue };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("pack") => numbers.push(number),
            Some("tmp") => fs::remove_file(&path)?,
            Some("idx") => indices.push((number, path)),
            _ => {}
        }
    }
    numbers.sort_unstable();
    for (number, path) in indices {
        if numbers.binary_search(&number).is_err() {
            fs::remove_file(&path)?;
        }
    }
    Ok(numbers)
}

fn load(packs: &Path, number: u32, last: bool) -> io::Result<Active> {
    let path = pack_path(packs, number);
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    let len = file.metadata()?.len();
    let (covered, mut entries) = index_file::read(packs, number, len).unwrap_or_default();
    let known = entries.len();
    let mut end = covered;
    if len > covered {
        end = scan(&file, covered, len, &mut entries)?;
        let found = entries.len() - known;
        tracing::info!(
            pack = number,
            found,
            torn_bytes = len.saturating_sub(end),
            "read a pack without its index file"
        );
        if last && end != len {
            // Behind the last valid record there is only what nobody was told of.
            file.set_len(end)?;
        }
        // What was scanned may be in the page cache only. It will be answered for, so it must be on the disk.
        file.sync_all()?;
    }
    if !last && entries.len() > known {
        // It only spares the next start a scan: a full disk must not keep what is there from being read.
        if let Err(error) = index_file::write(packs, number, end, &entries) {
            tracing::warn!(pack = number, %error, "the index file of a pack could not be written");
        }
    }
    Ok(Active { number, file: Arc::new(file), end, entries, torn: false })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::{
        digest::{Digest, sha2_256},
        pack::{index_path, record},
    };

    /// Blocks of several lengths, one of them across the edge of a sector.
    fn blocks() -> Vec<Vec<u8>> {
        [0, 3, 461, 462, 900].iter().map(|len| vec![*len as u8; *len]).collect()
    }

    fn record(digest: &Digest, data: &[u8]) -> Vec<u8> {
        record::encode(digest, data)
    }

    fn pack() -> Vec<u8> {
        blocks().iter().flat_map(|data| record(&sha2_256(data), data)).collect()
    }

    /// In memory where there is such a folder: thousands of flushes are not what is tested here.
    fn folder() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
    }

    fn recovered(dir: &Path) -> (Active, Vec<bool>) {
        let index = Index::new();
        let active = recover(dir, &index).unwrap();
        let held = blocks().into_iter().map(|data| {
            let digest = sha2_256(&data);
            let Some(at) = index.get(&digest) else { return false };
            let file = File::open(pack_path(dir, at.pack)).unwrap();
            assert_eq!(record::read(&file, at.offset, at.data_len, &digest).unwrap().unwrap(), data);
            true
        });
        let held = held.collect();
        (active, held)
    }

    #[test]
    fn a_pack_cut_at_any_byte_keeps_every_whole_record() {
        let dir = folder();
        let whole = pack();
        let mut ends = Vec::new();
        let mut start = 0;
        for data in blocks() {
            ends.push(start + record::HEADER_BYTES + data.len());
            start += record::padded_len(data.len() as u32) as usize;
        }
        for length in 0..=whole.len() {
            fs::write(pack_path(dir.path(), 0), &whole[..length]).unwrap();
            let (active, held) = recovered(dir.path());
            let expected: Vec<_> = ends.iter().map(|end| *end <= length).collect();
            assert_eq!(held, expected, "cut to {length}");
            assert_eq!(active.file.metadata().unwrap().len(), active.end);
            assert_eq!(active.entries.len(), held.iter().filter(|held| **held).count());
            assert!(active.end.is_multiple_of(record::ALIGN));
        }
    }

    #[test]
    fn a_flipped_byte_costs_at_most_the_record_that_it_is_in() {
        let dir = folder();
        let whole = pack();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 0x40;
            fs::write(pack_path(dir.path(), 0), &bad).unwrap();
            let (active, held) = recovered(dir.path());
            assert!(held.iter().filter(|held| !**held).count() <= 1, "byte {at}: {held:?}");
            assert_eq!(active.file.metadata().unwrap().len(), active.end);
        }
    }

    #[test]
    fn a_look_alike_inside_the_data_of_a_damaged_block_is_not_believed() {
        let dir = folder();
        let (truth, claimed) = (b"not what it says".to_vec(), sha2_256(b"something else"));
        let fake = record(&claimed, &truth);
        let mut data = vec![0; 512 - record::HEADER_BYTES];
        data.extend(&fake);
        let mut bytes = record(&sha2_256(&data), &data);
        bytes[10] ^= 1;
        bytes.extend(record(&sha2_256(b"behind"), b"behind"));
        fs::write(pack_path(dir.path(), 0), &bytes).unwrap();
        let index = Index::new();
        recover(dir.path(), &index).unwrap();
        assert!(index.get(&claimed).is_none(), "the look-alike has a good checksum, but does not hash right");
        assert!(index.get(&sha2_256(b"behind")).is_some());
    }

    #[test]
    fn what_is_left_of_a_longer_record_behind_a_shorter_one_is_not_believed() {
        let dir = folder();
        let claimed = sha2_256(b"something else");
        // The uploader chose what is in his block: where the next record would begin, one that he made up.
        let mut data = vec![0; 512 - record::HEADER_BYTES];
        data.extend(record(&claimed, b"not what it says"));
        let torn = record(&sha2_256(&data), &data);
        let mut bytes = torn[..1024].to_vec();
        let short = record(&sha2_256(b"short"), b"short");
        bytes[..short.len()].copy_from_slice(&short);
        fs::write(pack_path(dir.path(), 0), &bytes).unwrap();
        let index = Index::new();
        let active = recover(dir.path(), &index).unwrap();
        assert!(index.get(&claimed).is_none(), "its checksum is good, and it does not hash right");
        assert!(index.get(&sha2_256(b"short")).is_some() && active.end == short.len() as u64);
    }

    #[test]
    fn an_index_file_spares_the_scan_and_is_not_needed() {
        let dir = folder();
        fs::write(pack_path(dir.path(), 0), pack()).unwrap();
        let (active, _) = recovered(dir.path());
        index_file::write(dir.path(), 0, active.end, &active.entries).unwrap();
        // Behind what the index covers, one more record.
        active.file.write_all_at(&record(&sha2_256(b"later"), b"later"), active.end).unwrap();
        // A damaged header shows that the covered part is not read again.
        active.file.write_all_at(b"damaged", 0).unwrap();
        let index = Index::new();
        let active = recover(dir.path(), &index).unwrap();
        assert_eq!(active.entries.len(), blocks().len() + 1);
        // A pack shorter than its index says is scanned whole.
        active.file.set_len(1024).unwrap();
        assert_eq!(recovered(dir.path()).1, [false, true, false, false, false]);
    }

    #[test]
    fn an_earlier_pack_gets_the_index_that_it_lacks_and_is_not_cut() {
        let dir = folder();
        let mut torn = pack();
        torn.extend([7; 100]);
        fs::write(pack_path(dir.path(), 3), &torn).unwrap();
        fs::write(pack_path(dir.path(), 12), record(&sha2_256(b"last"), b"last")).unwrap();
        fs::write(dir.path().join("00000003.tmp"), b"unfinished").unwrap();
        let (active, held) = recovered(dir.path());
        assert_eq!((active.number, held), (12, vec![true; 5]));
        assert_eq!(fs::metadata(pack_path(dir.path(), 3)).unwrap().len(), torn.len() as u64);
        assert!(index_path(dir.path(), 3).exists() && !index_path(dir.path(), 12).exists());
        assert!(!dir.path().join("00000003.tmp").exists());
    }
    #[test]
    fn an_index_file_that_cannot_be_written_is_done_without() {
        let dir = folder();
        fs::write(pack_path(dir.path(), 3), pack()).unwrap();
        fs::write(pack_path(dir.path(), 12), record(&sha2_256(b"last"), b"last")).unwrap();
        // A folder in its place that is not empty cannot be replaced, whoever tries.
        fs::create_dir_all(index_path(dir.path(), 3).join("in the way")).unwrap();
        assert_eq!(recovered(dir.path()).1, [true; 5]);
    }
}
