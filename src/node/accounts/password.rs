//! Passwords: Argon2id, on blocking threads, few at a time.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use rustdht_core::Entropy;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::Error;

/// Memory of one hash in KiB, passes and lanes: the first choice of the OWASP Password Storage Cheat Sheet for Argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Hashes computed at once: each takes a core and 19 MiB.
const AT_ONCE: usize = 2;
/// Hashes that may wait for their turn; further ones are turned away.
const WAITING: usize = 32;
/// Longest password in bytes. Hashing begins with all of it.
const MAX_PASSWORD_BYTES: usize = 1024;
/// Shortest password in characters (NIST SP 800-63B, 5.1.1.1).
const MIN_PASSWORD_CHARS: usize = 8;

const VERSION: u8 = 1;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// Version, memory, passes, lanes, salt, hash.
const ROW_BYTES: usize = 1 + 3 * 4 + SALT_BYTES + HASH_BYTES;

/// Computes and compares hashes.
#[derive(Debug)]
pub(crate) struct Hasher {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Hasher {
    fn default() -> Self {
        Self { running: Arc::new(Semaphore::new(AT_ONCE)), waiting: Arc::new(Semaphore::new(AT_ONCE + WAITING)) }
    }
}

fn hash(password: &[u8], salt: &[u8], params: Params) -> Option<[u8; HASH_BYTES]> {
    let mut out = [0; HASH_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(password, salt, &mut out).ok()?;
    Some(out)
}

/// The row of a hash: it names its parameters, so that they can be raised later.
fn make(password: &[u8], salt: [u8; SALT_BYTES]) -> Option<Vec<u8>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES)).ok()?;
    let hash = hash(password, &salt, params)?;
    let mut row = Vec::with_capacity(ROW_BYTES);
    row.push(VERSION);
    for number in [MEMORY_KIB, PASSES, LANES] {
        row.extend(number.to_be_bytes());
    }
    row.extend(salt);
    row.extend(hash);
    Some(row)
}

fn matches(password: &[u8], row: &[u8]) -> bool {
    if row.len() != ROW_BYTES || row[0] != VERSION {
        return false;
    }
    let number = |at: usize| u32::from_be_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]]);
    let Ok(params) = Params::new(number(1), number(5), number(9), Some(HASH_BYTES)) else {
        return false;
    };
    let (salt, stored) = row[13..].split_at(SALT_BYTES);
    // Both sides are hashes: what the time of this comparison tells of one is no help to guess the password.
    hash(password, salt, params).is_some_and(|hash| blake3::hash(&hash) == blake3::hash(stored))
}

impl Hasher {
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let place = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| Error::Overloaded)?;
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(|_| Error::Stopping)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            // Not before the thread is free, even when nobody waits for the answer any more.
            drop((turn, place));
            done
        });
        done.await.map_err(|_| Error::Stopping)
    }

    /// The row to keep for a password.
    pub(crate) async fn hash(&self, password: &str, entropy: &dyn Entropy) -> Result<Vec<u8>, Error> {
        if password.chars().count() < MIN_PASSWORD_CHARS || password.len() > MAX_PASSWORD_BYTES {
            let detail = format!("a password has {MIN_PASSWORD_CHARS} characters to {MAX_PASSWORD_BYTES} bytes");
            return Err(rustdht_core::Refusal::new(rustdht_core::Code::OutOfRange, detail).within("password").into());
        }
        let mut salt = [0; SALT_BYTES];
        entropy.fill(&mut salt);
        let password = Zeroizing::new(password.as_bytes().to_vec());
        self.run(move || make(&password, salt)).await?.ok_or(Error::Stopping)
    }

    /// Whether a password is the one of a row. Without a row it takes as long and is wrong: who asks does not learn which
    /// names exist.
    pub(crate) async fn verify(&self, password: &str, row: Option<Vec<u8>>) -> Result<bool, Error> {
        if password.len() > MAX_PASSWORD_BYTES {
            return Ok(false);
        }
        let password = Zeroizing::new(password.as_bytes().to_vec());
        self.run(move || match row {
            Some(row) => matches(&password, &row),
            None => {
                let _ = make(&password, [0; SALT_BYTES]);
                false
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use rustdht_testkit::SeededEntropy;

    use super::*;

    #[tokio::test]
    async fn only_the_password_matches() {
        let (hasher, entropy) = (Hasher::default(), SeededEntropy::new(1));
        let row = hasher.hash("correct horse", &entropy).await.unwrap();
        assert_eq!(row.len(), ROW_BYTES);
        assert_ne!(row, hasher.hash("correct horse", &entropy).await.unwrap(), "every row has its own salt");
        assert!(hasher.verify("correct horse", Some(row.clone())).await.unwrap());
        assert!(!hasher.verify("correct horsf", Some(row.clone())).await.unwrap());
        assert!(!hasher.verify("", Some(row.clone())).await.unwrap());
        assert!(!hasher.verify("correct horse", None).await.unwrap());
        for at in [0, 4, 8, 12, 13, 29, ROW_BYTES - 1] {
            let mut changed = row.clone();
            changed[at] ^= 1;
            assert!(!matches(b"correct horse", &changed), "byte {at}");
        }
        assert!(!matches(b"correct horse", &row[1..]));
    }

    #[tokio::test]
    async fn short_and_long_ones_are_refused() {
        let (hasher, entropy) = (Hasher::default(), SeededEntropy::new(1));
        for password in ["1234567", &"x".repeat(MAX_PASSWORD_BYTES + 1)] {
            let refused = hasher.hash(password, &entropy).await;
            assert!(matches!(refused, Err(Error::Refused(refusal)) if refusal.field == "password"));
        }
        assert!(!hasher.verify(&"x".repeat(MAX_PASSWORD_BYTES + 1), None).await.unwrap());
    }

    #[test]
    fn the_hash_is_argon2id() {
        // Made with argon2-cffi 25.1 (the reference implementation in C):
        // hash_secret_raw(b"password", b"somesalt" * 2, 2, 19456, 1, 32, Type.ID)
        let row = make(b"password", *b"somesaltsomesalt").unwrap();
        assert_eq!(hex::encode(&row[29..]), "2b5dc4054886ec957ef59c73b661c54dd6fb274590b278f657c6d96aac8fa6d1");
    }

    #[tokio::test]
    async fn more_than_may_wait_are_turned_away() {
        let hasher = Hasher::default();
        let held = Arc::clone(&hasher.waiting).try_acquire_many_owned((AT_ONCE + WAITING) as u32).unwrap();
        assert!(matches!(hasher.verify("correct horse", None).await, Err(Error::Overloaded)));
        drop(held);
        assert!(!hasher.verify("correct horse", None).await.unwrap());
    }
}
