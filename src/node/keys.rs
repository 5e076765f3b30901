//! Secrets: sealed at rest, opened for whoever signs or reads.

mod ring;
pub(crate) mod seal;

pub(crate) use ring::{Fresh, Keyring, PASSWORD_NS, TOKEN_NS, account_row, password_row};
pub use seal::SealKey;
pub(crate) use seal::{Seal, is_raw};
