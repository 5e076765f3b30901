//! Blocks that were here and cannot be read any more. A collection must not take one for a block that never came: what
//! only it leads to would be taken for garbage.

use std::{
    collections::HashMap,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use crate::digest::Digest;

/// Blocks that are remembered, each with some 80 bytes. Beyond them a disk has more to tell than this store can.
const MAX_REMEMBERED: usize = 65_536;
/// `EIO`: the disk answers, and cannot read this.
const IO_ERROR: i32 = 5;

/// Whether the disk says that it cannot read this very place. Other failures are of the whole disk, or of the service,
/// and pass.
pub(crate) fn is_bad_sector(error: &io::Error) -> bool {
    error.raw_os_error() == Some(IO_ERROR)
}

/// The blocks that turned out to be damaged since the store was opened, and when. Packs and their indices have them still
/// after a restart.
#[derive(Default)]
pub(crate) struct Damage(Mutex<HashMap<Digest, Instant>>);

impl Damage {
    fn blocks(&self) -> MutexGuard<'_, HashMap<Digest, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block cannot be read; since when that is known.
    pub(crate) fn note(&self, digest: &Digest) -> Instant {
        let (mut blocks, now) = (self.blocks(), Instant::now());
        if !digest.is_block() || (blocks.len() >= MAX_REMEMBERED && !blocks.contains_key(digest)) {
            return now;
        }
        *blocks.entry(*digest).or_insert(now)
    }

    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.blocks().contains_key(digest)
    }

    /// A block is here again.
    pub(crate) fn mended(&self, digest: &Digest) {
        self.blocks().remove(digest);
    }

    /// Forgets what was damaged before this, and says whether that is all: a collection that began then is through, so
    /// nothing that is kept needs it.
    pub(crate) fn settle(&self, began: Instant) -> bool {
        let mut blocks = self.blocks();
        blocks.retain(|_, since| *since >= began);
        blocks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::digest::sha2_256;

    #[tokio::test(start_paused = true)]
    async fn the_first_time_counts_until_it_is_mended_or_settled() {
        let damage = Damage::default();
        let (one, two) = (sha2_256(b"one"), sha2_256(b"two"));
        let first = damage.note(&one);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(damage.note(&one), first);
        let began = Instant::now();
        damage.note(&two);
        damage.note(&Digest::whole_file([1; 32]));
        assert!(!damage.settle(began) && !damage.has(&one) && damage.has(&two));
        damage.mended(&two);
        assert!(damage.settle(began), "notes about whole files are not blocks");
    }

    #[test]
    fn it_is_bounded() {
        let damage = Damage::default();
        for number in 0..MAX_REMEMBERED as u32 + 9 {
            damage.note(&sha2_256(&number.to_be_bytes()));
        }
        assert_eq!(damage.blocks().len(), MAX_REMEMBERED);
    }
}
