//! Private blobs: what opens, what does not, and the vectors of docs/spec.

use std::ops::Range;

use proptest::prelude::*;
use rustdht_core::Entropy;
use rustdht_wire::private_blob::{
    Encryptor, FileKey, HEADER_BYTES, Opener, Plan, PrivateBlobError, SEGMENT_BYTES, ciphertext_size, plaintext_size,
};
use serde_json::{Value as Json, json};
use sha2::Digest as _;

use crate::vectors::assert_file;

/// Plaintext in the first segment when it is full, and in every other one.
const FIRST: usize = SEGMENT_BYTES - 80;
const ROOM: usize = SEGMENT_BYTES - 16;

/// Everything random counts up from this byte.
struct From(u8);

impl Entropy for From {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.iter_mut().zip(self.0..).for_each(|(byte, next)| *byte = next);
    }
}

fn key(first: u8) -> FileKey {
    FileKey::generate(&From(first))
}

/// Every part of it differs from every other.
fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

fn encrypt(key: &FileKey, id: u8, plaintext: &[u8], piece: usize) -> Vec<u8> {
    let mut encryptor = Encryptor::new(key, &From(id));
    let mut out = Vec::new();
    for mut piece in plaintext.chunks(piece) {
        while !piece.is_empty() {
            out.extend(encryptor.take(&mut piece).unwrap_or_default());
        }
    }
    out.extend(encryptor.finish());
    out
}

fn carry_out(opener: &Opener, plan: &Plan, bytes: &[u8], piece: usize) -> Result<Vec<u8>, PrivateBlobError> {
    let mut opening = opener.open(plan);
    let mut out = Vec::new();
    for mut piece in bytes.chunks(piece) {
        while !piece.is_empty() {
            out.extend(opening.take(&mut piece)?.unwrap_or_default());
        }
    }
    opening.end()?;
    Ok(out)
}

/// Opens as everybody does who shows a part: the header, the end, then what is needed, and nothing else.
fn decrypt(key: &FileKey, ciphertext: &[u8], range: Range<u64>, piece: usize) -> Result<Vec<u8>, PrivateBlobError> {
    let size = ciphertext.len() as u64;
    plaintext_size(size)?;
    let opener = Opener::new(key, &ciphertext[..HEADER_BYTES])?;
    let at = |range: &Range<u64>| &ciphertext[range.start as usize..range.end as usize];
    let last = Plan::of_last(size)?;
    carry_out(&opener, &last, at(&last.ciphertext), piece)?;
    let plan = Plan::of(size, range)?;
    let out = carry_out(&opener, &plan, at(&plan.ciphertext), piece)?;
    assert_eq!(out.len() as u64, plan.length());
    Ok(out)
}

fn all(key: &FileKey, ciphertext: &[u8]) -> Result<Vec<u8>, PrivateBlobError> {
    decrypt(key, ciphertext, 0..u64::MAX, 100_000)
}

#[test]
fn files_come_back_whatever_their_size() {
    let key = key(1);
    for size in [0, 1, 1000, FIRST - 1, FIRST, FIRST + 1, FIRST + ROOM, FIRST + ROOM + 1, 3 * SEGMENT_BYTES] {
        let plaintext = pattern(size);
        let ciphertext = encrypt(&key, 7, &plaintext, 65_000);
        assert_eq!(ciphertext_size(size as u64), Some(ciphertext.len() as u64));
        assert_eq!(plaintext_size(ciphertext.len() as u64), Ok(size as u64));
        assert_eq!(encrypt(&key, 7, &plaintext, usize::MAX), ciphertext, "the pieces do not matter");
        assert!(all(&key, &ciphertext).as_ref() == Ok(&plaintext), "{size} bytes");
        // Nothing of 16 bytes of the plaintext is in it.
        assert!(size != 1000 || !ciphertext.windows(16).any(|part| part == &plaintext[32..48]));
    }
    assert_ne!(encrypt(&key, 7, b"same", 4), encrypt(&key, 8, b"same", 4), "two files of one key differ");
}

#[test]
fn what_was_cut_moved_changed_or_exchanged_does_not_open() {
    use PrivateBlobError::{Header, Key, Length, Segment};
    let (key, plaintext) = (key(1), pattern(FIRST + 2 * ROOM + 500));
    let good = encrypt(&key, 7, &plaintext, usize::MAX);
    let other = encrypt(&key, 8, &plaintext, usize::MAX);
    let segment = |at: usize| at * SEGMENT_BYTES..((at + 1) * SEGMENT_BYTES).min(good.len());
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    for (why, bytes, fault) in [
        ("cut inside of the last segment", with(&|bytes| bytes.truncate(good.len() - 1)), Segment(3)),
        ("cut behind a segment", with(&|bytes| bytes.truncate(3 * SEGMENT_BYTES)), Segment(2)),
        ("cut inside of the first one", with(&|bytes| bytes.truncate(1000)), Segment(0)),
        (
            "cut to an authenticator",
            with(&|bytes| bytes.truncate(3 * SEGMENT_BYTES + 16)),
            Length(3 * SEGMENT_BYTES as u64 + 16),
        ),
        ("cut to the header", with(&|bytes| bytes.truncate(64)), Length(64)),
        ("longer", with(&|bytes| bytes.push(0)), Segment(3)),
        (
            "the last segment twice",
            with(&|bytes| {
                bytes.extend_from_within(segment(3));
            }),
            Segment(3),
        ),
        (
            "two segments exchanged",
            with(&|bytes| {
                bytes[segment(1)].copy_from_slice(&good[segment(2)]);
                bytes[segment(2)].copy_from_slice(&good[segment(1)]);
            }),
            Segment(1),
        ),
        (
            "a segment of another file of this key",
            with(&|bytes| bytes[segment(1)].copy_from_slice(&other[segment(1)])),
            Segment(1),
        ),
        (
            "the last segment of another file",
            with(&|bytes| bytes[segment(3)].copy_from_slice(&other[segment(3)])),
            Segment(3),
        ),
        (
            "the header of another file of this key",
            with(&|bytes| bytes[..64].copy_from_slice(&other[..64])),
            Segment(3),
        ),
        ("another id", with(&|bytes| bytes[8] ^= 1), Key),
        ("another commitment", with(&|bytes| bytes[63] ^= 1), Key),
        ("another version", with(&|bytes| bytes[7] = 2), Header),
    ] {
        assert_eq!(all(&key, &bytes).err(), Some(fault), "{why}");
    }
    assert_eq!(all(&self::key(2), &good), Err(Key));
    let small = encrypt(&key, 7, b"a secret of some bytes", 100);
    for at in HEADER_BYTES..small.len() {
        let mut changed = small.clone();
        changed[at] ^= 1;
        assert_eq!(all(&key, &changed), Err(Segment(0)), "byte {at}");
    }
    // Opening a part tells of a cut behind it, too.
    assert_eq!(decrypt(&key, &good[..3 * SEGMENT_BYTES], 0..5, 1 << 20), Err(Segment(2)));
    assert_eq!(decrypt(&key, &good, 0..5, 1 << 20).unwrap(), plaintext[..5]);
}

#[test]
fn what_ends_early_or_goes_on_is_an_error() {
    let key = key(1);
    let bytes = encrypt(&key, 7, &pattern(FIRST + 100), usize::MAX);
    let opener = Opener::new(&key, &bytes).unwrap();
    let plan = Plan::of(bytes.len() as u64, 0..u64::MAX).unwrap();
    assert_eq!(carry_out(&opener, &plan, &bytes[64..bytes.len() - 1], 5000), Err(PrivateBlobError::Cut(1)));
    assert_eq!(carry_out(&opener, &plan, &[], 5000), Err(PrivateBlobError::Cut(0)));
    let longer = [&bytes[64..], &[0]].concat();
    assert!(matches!(carry_out(&opener, &plan, &longer, 1 << 22), Err(PrivateBlobError::Length(_))));
    assert_eq!(Opener::new(&key, &bytes[..63]).err(), Some(PrivateBlobError::Header));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_range_is_the_slice(start in 0..FIRST + ROOM + 2000, length in 0..ROOM + 10, piece in 1000..2_000_000_usize) {
        static FILE: std::sync::OnceLock<(Vec<u8>, Vec<u8>)> = std::sync::OnceLock::new();
        let (plaintext, ciphertext) = FILE.get_or_init(|| {
            let plaintext = pattern(FIRST + ROOM + 1000);
            let ciphertext = encrypt(&key(1), 7, &plaintext, usize::MAX);
            (plaintext, ciphertext)
        });
        let range = start as u64..(start + length) as u64;
        let opened = decrypt(&key(1), ciphertext, range, piece).unwrap();
        let end = (start + length).min(plaintext.len());
        prop_assert!(opened == plaintext[start.min(end)..end]);
    }

    #[test]
    fn noise_does_not_open(mut noise in prop::collection::vec(any::<u8>(), 80..400)) {
        prop_assert!(all(&key(1), &noise).is_err());
        let good = encrypt(&key(1), 7, &[], 1);
        noise[..64].copy_from_slice(&good[..64]);
        prop_assert_eq!(all(&key(1), &noise), Err(PrivateBlobError::Segment(0)));
    }
}

fn opens(size: usize, key_from: u8, id: u8) -> Json {
    let key = key(key_from);
    let ciphertext = encrypt(&key, id, &pattern(size), usize::MAX);
    let mut case = json!({
        "what": "opens", "key": key.to_text(), "id_hex": hex::encode((id..).take(24).collect::<Vec<u8>>()), "plaintext_size": size,
        "ciphertext_size": ciphertext.len(), "header_hex": hex::encode(&ciphertext[..HEADER_BYTES]),
        "ciphertext_sha256": hex::encode(sha2::Sha256::digest(&ciphertext)),
    });
    if size <= 100 {
        case["ciphertext_hex"] = hex::encode(&ciphertext).into();
    }
    case
}

/// Segments of a ciphertext of the pattern, in another order, or fewer, or with those of the file of another id: what is
/// put together so is refused.
fn refused(why: &str, size: usize, segments: &[(u8, usize)], length: Option<usize>) -> Json {
    let key = key(1);
    let files = [32, 64].map(|id| (id, encrypt(&key, id, &pattern(size), usize::MAX)));
    let mut bytes = Vec::new();
    for (id, at) in segments {
        let (_, file) = files.iter().find(|(of, _)| of == id).unwrap();
        bytes.extend_from_slice(file.chunks(SEGMENT_BYTES).nth(*at).unwrap());
    }
    bytes.truncate(length.unwrap_or(usize::MAX));
    assert!(all(&key, &bytes).is_err(), "{why}");
    let segments: Vec<Json> = segments.iter().map(|(id, at)| json!({"id_from": id, "segment": at})).collect();
    json!({
        "what": "refused", "why": why, "key": key.to_text(), "plaintext_size": size, "segments": segments,
        "length": bytes.len(), "sha256": hex::encode(sha2::Sha256::digest(&bytes)),
    })
}

#[test]
fn vectors() {
    let mut cases = Vec::new();
    for size in [0, 1, 100, FIRST - 1, FIRST, FIRST + 1, FIRST + ROOM, FIRST + ROOM + 1] {
        cases.push(opens(size, 1, 32));
    }
    cases.push(opens(100, 100, 200));
    let three = FIRST + ROOM + 500;
    cases.extend([
        refused("the last segment is missing", three, &[(32, 0), (32, 1)], None),
        refused("cut inside of a segment", three, &[(32, 0), (32, 1), (32, 2)], Some(2 * SEGMENT_BYTES + 300)),
        refused(
            "an authenticator alone is no segment",
            three,
            &[(32, 0), (32, 1), (32, 2)],
            Some(2 * SEGMENT_BYTES + 16),
        ),
        refused("shorter than an empty file", three, &[(32, 0)], Some(79)),
        refused("a segment twice", three, &[(32, 0), (32, 1), (32, 1), (32, 2)], None),
        refused("two segments exchanged", three + ROOM, &[(32, 0), (32, 2), (32, 1), (32, 3)], None),
        refused("a segment of another file under the same key", three, &[(32, 0), (64, 1), (32, 2)], None),
        refused("the end of another file under the same key", three, &[(32, 0), (32, 1), (64, 2)], None),
    ]);
    let about = "Private blobs. Byte i of a plaintext is the lowest byte of i ^ (i >> 8) ^ (i >> 16); an id of `id_from` n is n, n + 1, \
                 and so on. Cases `refused` are put together from the segments of such files, then cut to `length`.";
    assert_file("private-blobs.json", about, &cases);
}
