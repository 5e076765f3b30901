//! What is written down of an upload, in a file that only grows: after a kill at any point the records that are whole say
//! where it stands.
//!
//! ```text
//!   file    "rdht-up\x01", record...
//!   record  kind u8 | length u32 LE | CRC-32 of kind, length and payload, u32 LE | payload
//!   kinds   1 head     JSON: length, profile, hash, end, holder, note, what became of it; the last one counts
//!           2 leaves   state of SHA-256 behind them, then 32 bytes for each chunk that became a block; empties the tail
//!           3 tail     bytes behind the last chunk that is full
//!           4 until    when it is given up, u64 LE in milliseconds since the epoch
//! ```

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

use bytes::Bytes;
use cid::Cid;
use rustdht_core::ports::{AddHash, AddOptions, AddProfile, Added};
use serde::{Deserialize, Serialize};

use super::sha256::{Midstate, STATE_BYTES};
use crate::pack::sync_dir;

const MAGIC: &[u8; 8] = b"rdht-up\x01";
const RECORD_HEAD_BYTES: usize = 9;
/// Bytes of a leaf's digest.
const DIGEST_BYTES: usize = 32;
/// A file is written anew when so much of it counts no more, or twice as much as its leaves take: what small requests
/// leave behind would else be as long as the upload.
const MAX_DEAD_BYTES: u64 = 4 << 20;

const HEAD: u8 = 1;
const LEAVES: u8 = 2;
const TAIL: u8 = 3;
const UNTIL: u8 = 4;

/// What an upload is, apart from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: Option<u64>,
    pub(super) options: AddOptions,
    pub(super) expires_ms: u64,
    pub(super) holder: String,
    pub(super) note: String,
    pub(super) added: Option<Added>,
}

#[derive(Serialize, Deserialize)]
struct HeadRow {
    length: Option<u64>,
    legacy: bool,
    blake3: bool,
    expires_ms: u64,
    holder: String,
    note: String,
    added: Option<AddedRow>,
}

#[derive(Serialize, Deserialize)]
struct AddedRow {
    cid: String,
    size: u64,
    head: String,
    sha256: Option<String>,
}

impl Head {
    fn to_json(&self) -> io::Result<Vec<u8>> {
        let added = self.added.as_ref().map(|added| AddedRow {
            cid: added.cid.to_string(),
            size: added.size,
            head: hex::encode(&added.head),
            sha256: added.sha256.map(hex::encode),
        });
        let row = HeadRow {
            length: self.length,
            legacy: self.options.profile == AddProfile::Legacy,
            blake3: self.options.hash == AddHash::Blake3,
            expires_ms: self.expires_ms,
            holder: self.holder.clone(),
            note: self.note.clone(),
            added,
        };
        Ok(serde_json::to_vec(&row)?)
    }

    fn from_json(json: &[u8]) -> Option<Self> {
        let row: HeadRow = serde_json::from_slice(json).ok()?;
        let added = match row.added {
            None => None,
            Some(added) => Some(Added {
                cid: Cid::try_from(added.cid.as_str()).ok()?,
                size: added.size,
                head: Bytes::from(hex::decode(added.head).ok()?),
                sha256: match added.sha256 {
                    None => None,
                    Some(sha256) => Some(hex::decode(sha256).ok()?.try_into().ok()?),
                },
            }),
        };
        let profile = if row.legacy { AddProfile::Legacy } else { AddProfile::UnixfsV1 };
        let hash = if row.blake3 { AddHash::Blake3 } else { AddHash::Sha2 };
        Some(Self {
            length: row.length,
            options: AddOptions { profile, hash },
            expires_ms: row.expires_ms,
            holder: row.holder,
            note: row.note,
            added,
        })
    }
}

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) head: Head,
    /// Digests of the chunks that became blocks.
    pub(super) leaves: Vec<[u8; DIGEST_BYTES]>,
    /// SHA-256 behind them.
    pub(super) midstate: Midstate,
    pub(super) tail: Vec<u8>,
    /// Where the next record goes; what stands behind it was torn.
    pub(super) end: u64,
    /// Bytes that count no more.
    dead: u64,
}

/// Records on their way to a file.
#[derive(Default)]
pub(super) struct Records(Vec<u8>);

impl Records {
    fn put(&mut self, kind: u8, payload: &[&[u8]]) {
        let len: usize = payload.iter().map(|part| part.len()).sum();
        // A record is a mebibyte at most, or the leaves of one upload: far below 4 GiB.
        let len = (len as u32).to_le_bytes();
        let mut crc = crc32fast::Hasher::new();
        crc.update(&[kind]);
        crc.update(&len);
        payload.iter().for_each(|part| crc.update(part));
        self.0.push(kind);
        self.0.extend_from_slice(&len);
        self.0.extend_from_slice(&crc.finalize().to_le_bytes());
        payload.iter().for_each(|part| self.0.extend_from_slice(part));
    }

    pub(super) fn head(&mut self, head: &Head) -> io::Result<()> {
        self.put(HEAD, &[&head.to_json()?]);
        Ok(())
    }

    pub(super) fn leaves(&mut self, midstate: Midstate, leaves: &[[u8; DIGEST_BYTES]]) {
        self.put(LEAVES, &[&midstate.to_bytes(), leaves.as_flattened()]);
    }

    pub(super) fn tail(&mut self, bytes: &[u8]) {
        self.put(TAIL, &[bytes]);
    }

    pub(super) fn until(&mut self, expires_ms: u64) {
        self.put(UNTIL, &[&expires_ms.to_le_bytes()]);
    }
}

/// Reads a file; `None` when it is none of ours. `is_here` says whether a leaf's block is: where one is not, the upload
/// goes back to before it.
pub(super) fn read(path: &Path, is_here: impl Fn(&AddOptions, &[u8; 32]) -> bool) -> io::Result<Option<Contents>> {
    let bytes = fs::read(path)?;
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else { return Ok(None) };
    let mut head = None;
    let mut contents = Contents {
        head: Head {
            length: None,
            options: AddOptions::default(),
            expires_ms: 0,
            holder: String::new(),
            note: String::new(),
            added: None,
        },
        leaves: Vec::new(),
        midstate: Midstate::new(),
        tail: Vec::new(),
        end: MAGIC.len() as u64,
        dead: 0,
    };
    while let Some((kind, payload, behind)) = record(rest) {
        match kind {
            HEAD => match Head::from_json(payload) {
                Some(read) => head = Some(read),
                None => break,
            },
            LEAVES => {
                let Some((state, leaves)) = payload.split_first_chunk::<STATE_BYTES>() else { break };
                let leaves = leaves.as_chunks::<DIGEST_BYTES>().0;
                let options = head.as_ref().map(|head: &Head| head.options).unwrap_or_default();
                if !leaves.iter().all(|leaf| is_here(&options, leaf)) {
                    tracing::warn!(path = %path.display(), "blocks of an upload are gone: it goes back to before them");
                    break;
                }
                contents.leaves.extend_from_slice(leaves);
                contents.midstate = Midstate::from_bytes(state);
                contents.dead += contents.tail.len() as u64;
                contents.tail.clear();
            }
            TAIL => contents.tail.extend_from_slice(payload),
            UNTIL => {
                if let (Some(head), Ok(until)) = (head.as_mut(), payload.try_into()) {
                    head.expires_ms = u64::from_le_bytes(until);
                    contents.dead += payload.len() as u64;
                }
            }
            _ => break,
        }
        contents.end += (RECORD_HEAD_BYTES + payload.len()) as u64;
        rest = behind;
    }
    let Some(head) = head else { return Ok(None) };
    Ok(Some(Contents { head, ..contents }))
}

/// The next record: kind, payload, and what is behind it.
fn record(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<RECORD_HEAD_BYTES>()?;
    let ([kind], numbers) = head.split_first_chunk::<1>()?;
    let (len, crc) = numbers.split_first_chunk::<4>()?;
    let payload = rest.get(..u32::from_le_bytes(*len) as usize)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[*kind]);
    hasher.update(len);
    hasher.update(payload);
    (hasher.finalize().to_le_bytes() == crc).then(|| (*kind, payload, &rest[payload.len()..]))
}

/// Appends records at `end`, behind which nothing counts. Durable when it returns; the new end.
pub(super) fn append(path: &Path, end: u64, records: &Records) -> io::Result<u64> {
    let file = OpenOptions::new().write(true).open(path)?;
    if file.metadata()?.len() != end {
        file.set_len(end)?;
    }
    let written = file.write_all_at(&records.0, end).and_then(|()| file.sync_data());
    if let Err(error) = written {
        // A part of a record would be cut off at the next start all the same.
        let _ = file.set_len(end);
        return Err(error);
    }
    Ok(end + records.0.len() as u64)
}

/// Writes a file from nothing. Durable when it returns; its end.
pub(super) fn write(path: &Path, contents: &Contents) -> io::Result<u64> {
    let mut records = Records::default();
    records.head(&contents.head)?;
    if !contents.leaves.is_empty() {
        records.leaves(contents.midstate, &contents.leaves);
    }
    if !contents.tail.is_empty() {
        records.tail(&contents.tail);
    }
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(MAGIC)?;
    file.write_all(&records.0)?;
    file.sync_data()?;
    fs::rename(&new, path)?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))?;
    Ok((MAGIC.len() + records.0.len()) as u64)
}

impl Contents {
    pub(super) const fn new(head: Head) -> Self {
        Self { head, leaves: Vec::new(), midstate: Midstate::new(), tail: Vec::new(), end: 0, dead: 0 }
    }

    /// Whether the file is better written anew.
    pub(super) fn is_stale(&self) -> bool {
        self.dead > MAX_DEAD_BYTES.max(2 * (self.leaves.len() * DIGEST_BYTES) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            length: Some(100),
            options: AddOptions { profile: AddProfile::Legacy, hash: AddHash::Blake3 },
            expires_ms: 5,
            holder: "owner".into(),
            note: "{\"a\":1}".into(),
            added: None,
        }
    }

    #[test]
    fn what_was_written_is_read_whatever_is_torn_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.upload");
        let begun = write(&path, &Contents::new(head())).unwrap();
        let mut first = Records::default();
        first.tail(b"abc");
        first.until(9);
        let middle = append(&path, begun, &first).unwrap();
        let mut state = Midstate::new();
        state.update(&[7; 64]);
        let mut second = Records::default();
        second.leaves(state, &[[1; 32], [2; 32]]);
        second.tail(b"de");
        second.tail(b"f");
        let end = append(&path, middle, &second).unwrap();
        let all = read(&path, |_, _| true).unwrap().unwrap();
        assert_eq!((&all.tail[..], &all.leaves[..], all.end), (&b"def"[..], &[[1; 32], [2; 32]][..], end));
        assert_eq!((all.midstate, all.head.expires_ms, all.head.options), (state, 9, head().options));
        // One of the blocks is gone: back to the tail that it was made of.
        let back = read(&path, |_, leaf| leaf[0] != 2).unwrap().unwrap();
        assert_eq!((&back.tail[..], back.leaves.len(), back.end), (&b"abc"[..], 0, middle));
        let bytes = fs::read(&path).unwrap();
        for len in begun as usize..=bytes.len() {
            fs::write(&path, &bytes[..len]).unwrap();
            let cut = read(&path, |_, _| true).unwrap().unwrap();
            let whole = [begun, begun + 9 + 3, middle].into_iter().rfind(|at| *at <= len as u64).unwrap();
            assert!(cut.end >= whole && cut.end <= len as u64, "{len}");
            assert_eq!(cut.head.length, Some(100));
            // And it goes on from there.
            let mut more = Records::default();
            more.tail(b"z");
            append(&path, cut.end, &more).unwrap();
            let on = read(&path, |_, _| true).unwrap().unwrap();
            assert_eq!(on.tail, [cut.tail.as_slice(), b"z"].concat());
        }
        let mut bad = bytes.clone();
        bad[middle as usize + 20] ^= 1;
        fs::write(&path, &bad).unwrap();
        assert_eq!(read(&path, |_, _| true).unwrap().unwrap().end, middle);
        for none in [&b""[..], b"rdht-up\x02", MAGIC, &bytes[..begun as usize - 1]] {
            fs::write(&path, none).unwrap();
            assert!(read(&path, |_, _| true).unwrap().is_none());
        }
    }

    #[test]
    fn what_became_of_it_is_kept_and_old_tails_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.upload");
        let mut end = write(&path, &Contents::new(head())).unwrap();
        let piece = vec![7; 1 << 20];
        for _ in 0..6 {
            let mut records = Records::default();
            records.tail(&piece);
            records.leaves(Midstate::new(), &[[3; 32]]);
            end = append(&path, end, &records).unwrap();
        }
        let mut contents = read(&path, |_, _| true).unwrap().unwrap();
        assert!(contents.is_stale() && end > 6 << 20);
        contents.head.added = Some(Added {
            cid: "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".parse().unwrap(),
            size: 6 << 20,
            head: Bytes::from_static(b"head"),
            sha256: Some([4; 32]),
        });
        let end = write(&path, &contents).unwrap();
        let again = read(&path, |_, _| true).unwrap().unwrap();
        assert!(!again.is_stale() && end < 1024 && again.leaves.len() == 6);
        assert_eq!(again.head, contents.head);
    }
}
