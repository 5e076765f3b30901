//! Accounts and tokens as they are stored and listed.

use std::{fmt, str::FromStr};

use rustdht_core::PublicKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Longest name of an account, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// Why an account or a token could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountFault {
    /// Another account has this name.
    #[error("an account of this name exists")]
    NameTaken,
    /// No account has this name or key.
    #[error("there is no such account")]
    Unknown,
    /// Name and password do not belong together; which of the two is wrong is not said.
    #[error("name or password is wrong")]
    WrongPassword,
    /// The account is disabled: it neither logs in nor writes.
    #[error("the account is disabled")]
    Disabled,
    /// The gateway keeps no more accounts.
    #[error("this gateway keeps no more accounts (accounts.max_accounts)")]
    TooMany,
    /// The gateway keeps no more tokens.
    #[error("this gateway keeps no more tokens: revoke some, or let them expire")]
    TooManyTokens,
    /// The account has as many tokens as one may have.
    #[error("this account has as many tokens as one may have: revoke some, or let them expire")]
    TooManyOwnTokens,
    /// The account's key was replaced as often as a gateway keeps track of.
    #[error("the key of this account was replaced too often")]
    TooManyKeys,
}

/// An account whose keys are in custody here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name at this gateway.
    pub name: String,
    /// Its first key K: the one that owns `~K`.
    pub key: PublicKey,
    /// The key that signs for it now; K until it is rotated.
    pub signer: PublicKey,
    /// Its X25519 public key, under which others share private nodes with it.
    pub recipient: [u8; 32],
    /// When it was made, in milliseconds since the epoch.
    pub created_ms: u64,
    /// When it was disabled.
    pub disabled_ms: Option<u64>,
    /// Whether it can log in with a password.
    pub has_password: bool,
}

/// What an account is made of.
#[derive(Clone)]
pub struct NewAccount {
    /// 1 to 64 of `a-z 0-9 _ . -`.
    pub name: String,
    /// Without one it is used by tokens only.
    pub password: Option<String>,
}

impl fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewAccount").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Names a token; random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub [u8; 16]);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for TokenId {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id)?;
        Ok(Self(id))
    }
}

impl Serialize for TokenId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A token that was given out. The token itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRow {
    /// Its id, which the token names.
    pub id: TokenId,
    /// The account it acts for; `None`: the owner of this gateway.
    #[serde(with = "optional_key")]
    pub account: Option<PublicKey>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Souls it may touch begin with one of these; empty: all.
    pub prefixes: Vec<String>,
    /// What its maker wrote on it.
    pub note: String,
    /// When it was made, in milliseconds since the epoch.
    pub created_ms: u64,
    /// When it ends.
    pub expires_ms: Option<u64>,
    /// When it was revoked.
    pub revoked_ms: Option<u64>,
}

/// The row of an account, in JSON: nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountRow {
    pub(crate) name: String,
    /// The keys that ever signed for it, the first one first.
    #[serde(with = "keys")]
    pub(crate) signers: Vec<PublicKey>,
    #[serde(with = "hexadecimal")]
    pub(crate) recipient: [u8; 32],
    pub(crate) created_ms: u64,
    pub(crate) disabled_ms: Option<u64>,
    /// Whether `~K` has its name and recipient key.
    pub(crate) published: bool,
    /// Whether a password row exists.
    pub(crate) has_password: bool,
}

impl AccountRow {
    pub(crate) fn account(&self, key: PublicKey) -> Account {
        Account {
            name: self.name.clone(),
            key,
            signer: self.signers.last().copied().unwrap_or(key),
            recipient: self.recipient,
            created_ms: self.created_ms,
            disabled_ms: self.disabled_ms,
            has_password: self.has_password,
        }
    }
}

mod optional_key {
    use super::*;

    pub(super) fn serialize<S: Serializer>(key: &Option<PublicKey>, serializer: S) -> Result<S::Ok, S::Error> {
        key.map(PublicKey::to_multibase).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PublicKey>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| PublicKey::from_multibase(&text)).transpose().map_err(D::Error::custom)
    }
}

mod hexadecimal {
    use super::*;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(String::deserialize(deserializer)?, &mut bytes).map_err(D::Error::custom)?;
        Ok(bytes)
    }
}

mod keys {
    use super::*;

    pub(super) fn serialize<S: Serializer>(keys: &[PublicKey], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(keys.iter().map(|key| key.to_multibase()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PublicKey>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| PublicKey::from_multibase(text)).collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}

/// Whether `name` may name an account: 1 to 64 of `a-z 0-9 _ . -`.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["a", "0", "ada.lovelace_1-x", &"x".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "A", "ä", "a b", "a/b", "a\n", "@a", &"x".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn rows_round_trip() {
        let key = PublicKey([3; 32]);
        let row = AccountRow {
            name: "ada".into(),
            signers: vec![key, PublicKey([4; 32])],
            recipient: [9; 32],
            created_ms: 5,
            disabled_ms: Some(6),
            published: true,
            has_password: false,
        };
        assert_eq!(serde_json::from_slice::<AccountRow>(&serde_json::to_vec(&row).unwrap()).unwrap(), row);
        assert_eq!(row.account(key).signer, PublicKey([4; 32]));
        for account in [None, Some(key)] {
            let token = TokenRow {
                id: TokenId([7; 16]),
                account,
                scopes: vec!["read".into()],
                prefixes: vec!["a/".into()],
                note: "laptop".into(),
                created_ms: 1,
                expires_ms: Some(2),
                revoked_ms: None,
            };
            assert_eq!(serde_json::from_slice::<TokenRow>(&serde_json::to_vec(&token).unwrap()).unwrap(), token);
        }
        assert!("0".parse::<TokenId>().is_err());
    }

    #[test]
    fn a_password_is_not_printed() {
        let new = NewAccount { name: "ada".into(), password: Some("correct horse".into()) };
        assert!(!format!("{new:?}").contains("horse"));
    }
}
