//! The shapes of accounts and tokens.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An account of this gateway.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// Its name here.
    #[schema(example = "ada")]
    pub name: String,
    /// Its key, as did:key multibase: its own nodes are `~KEY` and those below.
    pub key: String,
    /// The key that signs for it now; another than `key` after a rotation.
    pub signer: String,
    /// Its X25519 public key, for which private nodes are locked: 64 hex digits.
    pub recipient: String,
    /// When it was made (RFC 3339).
    pub created: String,
    /// Since when it is disabled (RFC 3339); null: it is not.
    pub disabled: Option<String>,
    /// Whether it can log in.
    pub has_password: bool,
}

/// A page of accounts.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Accounts {
    /// One each, by name.
    pub accounts: Vec<Account>,
    /// `cursor` of the next page; null: this is the last.
    pub next: Option<String>,
}

/// A token; its text is shown once, when it is made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// By which it is revoked: 32 hex digits.
    pub id: String,
    /// The account that it speaks for; null: the owner.
    pub user: Option<String>,
    /// The key of that account.
    pub key: Option<String>,
    /// `read`, `write`, `admin`, `register`.
    pub scopes: Vec<String>,
    /// Souls that it is for, each with what lies below it; none: every soul.
    pub prefixes: Vec<String>,
    /// What it is for.
    pub note: String,
    /// When it was made (RFC 3339).
    pub created: String,
    /// When its time is over (RFC 3339).
    pub expires: Option<String>,
    /// When it was revoked (RFC 3339); null: it was not.
    pub revoked: Option<String>,
}

/// A token just made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NewToken {
    /// What to send as `Authorization: Bearer`: a biscuit, to which its holder may add checks.
    pub token: String,
    /// About it.
    #[serde(flatten)]
    pub about: Token,
}

/// A page of tokens.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// One each.
    pub tokens: Vec<Token>,
    /// `cursor` of the next page; null: this is the last.
    pub next: Option<String>,
}
