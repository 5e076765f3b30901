//! Bounds of the format. All are inclusive.

/// Greatest size of an envelope in bytes.
pub const MAX_ENVELOPE_BYTES: usize = 1024 * 1024;
/// Greatest number of operations in a commit.
pub const MAX_OPERATIONS: usize = 1024;
/// Greatest number of certificates that a header names.
pub const MAX_AUTH: usize = 4;
/// Greatest size of a signed header in bytes; ten keys and four CIDs stay far below.
pub const MAX_HEADER_BYTES: usize = 4096;
/// Greatest number of siblings in an inclusion proof: the depth of a tree of [`MAX_OPERATIONS`] leaves.
pub const MAX_PROOF_LEN: usize = 10;
/// Greatest number of certificates in an envelope: four chains of eight for the author, and as many for endorsers.
pub const MAX_CERTIFICATES: usize = 64;
/// Greatest number of endorsements in an envelope.
pub const MAX_ENDORSEMENTS: usize = 32;
/// Greatest size of a certificate in bytes: all that an envelope may carry take half of it.
pub const MAX_CERTIFICATE_BYTES: usize = 8 * 1024;
/// Greatest number of certificates in a chain.
pub const MAX_CHAIN: usize = 8;
/// Greatest number of prefixes in a certificate: each is compared with each of the parent's.
pub const MAX_PREFIXES: usize = 16;
/// Greatest number of fields in a certificate.
pub const MAX_FIELDS: usize = 64;
/// Greatest length of a network's name in bytes.
pub const MAX_NETWORK_NAME_BYTES: usize = 128;
/// Greatest size of a charter in bytes.
pub const MAX_CHARTER_BYTES: usize = 1024;
/// Greatest length of an invite's text in bytes.
pub const MAX_INVITE_BYTES: usize = 8 * 1024;
/// Greatest number of addresses in an invite.
pub const MAX_INVITE_ADDRESSES: usize = 32;
/// Greatest length of one address in an invite in bytes.
pub const MAX_ADDRESS_BYTES: usize = 512;
/// Greatest length of a replica id in bytes.
pub const MAX_REPLICA_ID_BYTES: usize = 128;
/// Greatest size of a signed replica record in bytes.
pub const MAX_REPLICA_RECORD_BYTES: usize = 1024;
