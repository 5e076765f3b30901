//! Why something was refused: a stable code, a sentence, and the path of the part to blame.

use std::{borrow::Cow, fmt};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal;)*) => {
        /// A stable refusal code. Each has a page in `docs/errors/`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The code as it stands in problems, logs and protocol answers.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// The HTTP status that goes with the code.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Code::$name => $status,)* }
            }

            /// The code whose text is `text`.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Code::$name),)* _ => None }
            }
        }
    };
}

codes! {
    /// Not decodable: broken JSON, non-canonical CBOR, an unknown key, a bare array.
    Malformed = "malformed", 400;
    /// The author may not write this soul.
    NotAuthorised = "not_authorised", 403;
    /// A certificate that the commit names is not here.
    CertificateMissing = "certificate_missing", 403;
    /// The stamp lies outside the certificate's times.
    CertificateExpired = "certificate_expired", 403;
    /// The certificate was revoked (doors only).
    CertificateRevoked = "certificate_revoked", 403;
    /// Local souls are written by this gateway only.
    LocalSpace = "local_space", 403;
    /// A value, an envelope or a body is over its bound.
    TooLarge = "too_large", 413;
    /// More than 1,024 operations in one commit.
    TooManyOperations = "too_many_operations", 413;
    /// The commit belongs to another network.
    WrongNetwork = "wrong_network", 422;
    /// A key is not the canonical encoding of a point, or has small order.
    BadKey = "bad_key", 422;
    /// The signature does not verify (ZIP-215 rules).
    BadSignature = "bad_signature", 422;
    /// The operations do not hash to the header's root.
    BadRoot = "bad_root", 422;
    /// Not a well-formed soul of its space.
    BadSoul = "bad_soul", 422;
    /// Not a well-formed field key.
    BadField = "bad_field", 422;
    /// Not a well-formed kind name.
    BadKind = "bad_kind", 422;
    /// The slot is not the one that kind, author, session and space give.
    BadSlot = "bad_slot", 422;
    /// Not a value, or not one that this kind or operation takes.
    BadValue = "bad_value", 422;
    /// A count or number outside its bounds.
    OutOfRange = "out_of_range", 422;
    /// One (soul, field, kind, slot) named twice in a commit.
    DuplicateOperation = "duplicate_operation", 422;
    /// The stamp is more than 24 hours ahead.
    TooEarly = "too_early", 422;
    /// Older than the collection horizon.
    Stale = "stale", 422;
    /// Content souls never change.
    Immutable = "immutable", 422;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal: `code` for programs, `detail` for people, `field` for the part to blame (such as `ops.3.v`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// What is wrong and what would be right, without a full stop.
    pub detail: Cow<'static, str>,
    /// Path of the part to blame; empty when the whole is.
    pub field: String,
}

impl Refusal {
    /// A refusal that blames the whole.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), field: String::new() }
    }

    /// The same refusal with `prefix` in front of the path of the part to blame.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        self.field = if self.field.is_empty() { prefix.to_owned() } else { format!("{prefix}.{}", self.field) };
        self
    }
}
