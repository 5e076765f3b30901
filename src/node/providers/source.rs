//! The keys that are announced: multihashes, read anew from what is kept.

use std::collections::BTreeMap;

use cid::{Cid, multihash::Multihash};
use futures::StreamExt;
use rustdht_core::ports::{BlobStore, RootSource, StoreError};

use super::{Provide, keyspace::Point};

/// Multihash code of CIDs that hold their block: nobody has to be asked for it.
const IDENTITY: u64 = 0;
/// Multicodec `raw`: blocks are looked up by their multihash, whatever their codec.
const RAW: u64 = 0x55;
/// Keys kept between buckets; about 120 bytes each. With fewer roots, one reading of what is kept serves many buckets.
const MAX_KEYS: usize = 128 * 1024;
/// How long they are believed, in milliseconds: an hour. What came meanwhile was announced when it came.
const KEYS_MS: u64 = 3_600_000;

/// A key: the bytes of a multihash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) hash: Multihash<64>,
    bytes: [u8; 72],
    len: u8,
}

impl Key {
    /// `None`: nothing that somebody would look for.
    pub(crate) fn of(hash: &Multihash<64>) -> Option<Self> {
        if hash.code() == IDENTITY {
            return None;
        }
        let encoded = hash.to_bytes();
        let mut bytes = [0; 72];
        bytes.get_mut(..encoded.len())?.copy_from_slice(&encoded);
        Some(Self { hash: *hash, bytes, len: encoded.len() as u8 })
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Keys by bucket.
#[derive(Debug, Default)]
pub(crate) struct Source {
    keys: BTreeMap<Point, Key>,
    /// The buckets that are in `keys`, from the first to the last.
    buckets: Option<(u8, u8)>,
    read_ms: u64,
}

impl Source {
    /// The keys whose points begin with this byte and whose blocks are here.
    pub(crate) async fn bucket(
        &mut self,
        bucket: u8,
        provide: Provide,
        roots: &dyn RootSource,
        blobs: &dyn BlobStore,
        now_ms: u64,
    ) -> Result<Vec<Key>, StoreError> {
        let known = self.buckets.is_some_and(|(first, last)| (first..=last).contains(&bucket));
        if !known || now_ms.saturating_sub(self.read_ms) > KEYS_MS {
            self.read(bucket, provide, roots, blobs).await?;
            self.read_ms = now_ms;
        }
        let (mut first, mut last) = ([0; 32], [0xff; 32]);
        (first[0], last[0]) = (bucket, bucket);
        let keys: Vec<Key> = self.keys.range(Point(first)..=Point(last)).map(|(_, key)| *key).collect();
        let mut here = Vec::with_capacity(keys.len());
        for key in keys {
            // A root that is still to be fetched is not to be had here.
            if blobs.has(&Cid::new_v1(RAW, key.hash)).await.unwrap_or(false) {
                here.push(key);
            }
        }
        Ok(here)
    }

    /// Reads the keys from this bucket on, as many as may be kept.
    async fn read(
        &mut self,
        bucket: u8,
        provide: Provide,
        roots: &dyn RootSource,
        blobs: &dyn BlobStore,
    ) -> Result<(), StoreError> {
        self.keys.clear();
        self.buckets = None;
        let mut last = 255;
        match provide {
            Provide::Off => {}
            Provide::Roots => {
                let mut found = roots.roots();
                while let Some(root) = found.next().await {
                    if let Some(key) = Key::of(root?.cid.hash()) {
                        self.keep(bucket, key, &mut last);
                    }
                }
            }
            Provide::All => {
                let failed = |error: rustdht_core::ports::BlobError| StoreError::Failed(error.to_string());
                let mut found = blobs.multihashes();
                while let Some(page) = found.next().await {
                    for key in page.map_err(failed)?.iter().filter_map(Key::of) {
                        self.keep(bucket, key, &mut last);
                    }
                }
            }
        }
        self.buckets = Some((bucket, last));
        Ok(())
    }

    /// Keeps a key, if it lies in `bucket..=last`; when there are too many, the last bucket goes.
    fn keep(&mut self, bucket: u8, key: Key, last: &mut u8) {
        let point = Point::of(key.as_ref());
        if !(bucket..=*last).contains(&point.0[0]) {
            return;
        }
        self.keys.insert(point, key);
        // One bucket is kept whole, however large.
        while self.keys.len() > MAX_KEYS && *last > bucket {
            let mut first = [0; 32];
            first[0] = *last;
            drop(self.keys.split_off(&Point(first)));
            *last -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn of_too_many_keys_whole_buckets_go() {
        let mut source = Source::default();
        let mut last = 255;
        for number in 0..2 * MAX_KEYS as u32 {
            let hash = Multihash::wrap(0x12, &Sha256::digest(number.to_be_bytes())).unwrap();
            source.keep(16, Key::of(&hash).unwrap(), &mut last);
        }
        assert!(source.keys.len() <= MAX_KEYS && last < 255 && last > 100, "{} up to {last}", source.keys.len());
        assert!(source.keys.keys().all(|point| (16..=last).contains(&point.0[0])));
        assert_eq!(Key::of(&Multihash::wrap(0, b"x").unwrap()), None);
        // The longest multihash fits.
        let long = Multihash::wrap(0xb240, &[7; 64]).unwrap();
        assert_eq!(Key::of(&long).unwrap().as_ref(), long.to_bytes());
    }
}
