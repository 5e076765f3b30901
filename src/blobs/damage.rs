//! Blocks that are in the index and cannot be read. They stay there: a collection must not take one for a block that never
//! came, or what only it leads to would be taken for garbage. They can be stored again, and for readers they are not here.

use std::{
    collections::HashMap,
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
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

/// The blocks of the index whose record could not be read when it was tried last, and since when.
#[derive(Default)]
pub(crate) struct Damage {
    blocks: Mutex<HashMap<Digest, Instant>>,
    /// How many these are: mostly none, and then nobody waits for the lock.
    count: AtomicUsize,
}

impl Damage {
    fn blocks(&self) -> MutexGuard<'_, HashMap<Digest, Instant>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block cannot be read; since when that is known.
    pub(crate) fn note(&self, digest: &Digest) -> Instant {
        let (mut blocks, now) = (self.blocks(), Instant::now());
        if blocks.len() >= MAX_REMEMBERED && !blocks.contains_key(digest) {
            return now;
        }
        let since = *blocks.entry(*digest).or_insert(now);
        self.count.store(blocks.len(), Ordering::Release);
        since
    }

    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.blocks().contains_key(digest)
    }

    /// A block can be read, or is here again.
    pub(crate) fn mended(&self, digest: &Digest) {
        if self.count.load(Ordering::Acquire) > 0 {
            let mut blocks = self.blocks();
            blocks.remove(digest);
            self.count.store(blocks.len(), Ordering::Release);
        }
    }

    /// Forgets the others.
    pub(crate) fn retain(&self, mut stays: impl FnMut(&Digest) -> bool) {
        let mut blocks = self.blocks();
        blocks.retain(|digest, _| stays(digest));
        self.count.store(blocks.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::digest::sha2_256;

    #[tokio::test(start_paused = true)]
    async fn the_first_time_counts_until_it_is_mended_or_gone() {
        let damage = Damage::default();
        let (one, two) = (sha2_256(b"one"), sha2_256(b"two"));
        let first = damage.note(&one);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(damage.note(&one), first);
        damage.note(&two);
        damage.retain(|digest| *digest == two);
        assert!(!damage.has(&one) && damage.has(&two));
        damage.mended(&two);
        assert!(!damage.has(&two) && damage.count.load(Ordering::Acquire) == 0);
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
