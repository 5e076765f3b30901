//! The shapes of certificates, recipients, schemas and histories.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A certificate.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Certificate {
    /// Its CID.
    pub id: String,
    /// The key that issued it.
    pub issuer: String,
    /// The key that may.
    pub audience: String,
    /// `~KEY` whose nodes it is about.
    pub space: String,
    /// Souls in the space, each with what lies below it.
    pub prefixes: Vec<String>,
    /// Fields; none: all.
    pub fields: Vec<String>,
    /// `write`, `delegate`, `endorse`.
    pub rights: Vec<String>,
    /// The first time that it covers (RFC 3339).
    pub not_before: String,
    /// The first time that is too late (RFC 3339).
    pub not_after: String,
    /// The certificate above it; null: its issuer owns the space.
    pub parent: Option<String>,
    /// Whether it, or one above it, is revoked as far as this gateway knows.
    pub revoked: bool,
}

/// Certificates.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Certificates {
    /// One each.
    pub certificates: Vec<Certificate>,
}

/// Who reads a private node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Recipient {
    /// The account of this gateway that it is; null: of another one.
    pub user: Option<String>,
    /// Its key.
    pub key: String,
    /// The X25519 key that the node is locked for, 64 hex digits.
    pub recipient: String,
    /// Whether it reads what is written now, or only what was written before it was taken out.
    pub current: bool,
}

/// Who reads a private node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Recipients {
    /// The node.
    pub soul: String,
    /// One each; none: the node is not private.
    pub recipients: Vec<Recipient>,
    /// Fields that could not be locked, since others wrote them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_plain: Vec<String>,
}

/// The schema of a type.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TypeSchema {
    /// The text in field `type` of the nodes that it is for.
    pub r#type: String,
    /// When it was set (RFC 3339).
    pub updated: String,
    /// The JSON Schema.
    pub schema: serde_json::Value,
}

/// The schemas of this gateway.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TypeSchemas {
    /// One a type.
    pub schemas: Vec<TypeSchema>,
}

/// A page of the history of a field.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// The node.
    pub soul: String,
    /// The field.
    pub field: String,
    /// What lost, the latest first.
    pub entries: Vec<serde_json::Value>,
    /// `cursor` of the next page; null: this is the last.
    pub next: Option<String>,
}
