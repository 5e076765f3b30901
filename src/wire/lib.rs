//! Canonical encodings, signatures, proofs, validity rules and protocol messages
