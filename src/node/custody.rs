//! Keys that this gateway holds for others.

use std::sync::Arc;

use rustdht_core::{PublicKey, ports::SideRow};
use rustdht_wire::SigningKey;

use crate::Error;

/// Keys in custody.
pub(crate) trait Keys: Send + Sync {
    /// The key, when it is here and its account may write.
    fn signing_key(&self, key: &PublicKey) -> Option<Arc<SigningKey>>;

    /// The key that signs for an account now: its own, or the last successor.
    fn signer(&self, account: &PublicKey) -> Option<PublicKey>;

    /// The rows that keep `seed` as that of the account's successor. It signs from [`Keys::rotated`] on.
    ///
    /// # Errors
    /// When the account is not here.
    fn rotate(&self, account: &PublicKey, seed: &[u8; 32]) -> Result<Vec<SideRow>, Error>;

    /// The rows of [`Keys::rotate`] are durable.
    fn rotated(&self, account: &PublicKey, seed: &[u8; 32]);
}
