//! The proof that a peer knows the network key: the first thing that two members exchange.
//!
//! Each side sends 32 random bytes and answers the other's with [`proof`]. The identities of both ends are part of it,
//! so a proof cannot be passed on to a third.

use rustdht_core::NetId;

const LABEL: &[u8] = b"rustdht/hello/1";

fn hash(
    network_key: &[u8; 32],
    net: &NetId,
    prover: &[u8],
    verifier: &[u8],
    nonce_verifier: &[u8; 32],
    nonce_prover: &[u8; 32],
) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(network_key);
    hasher.update(LABEL);
    hasher.update(&net.0);
    for id in [prover, verifier] {
        hasher.update(&(id.len() as u64).to_be_bytes());
        hasher.update(id);
    }
    hasher.update(nonce_verifier);
    hasher.update(nonce_prover);
    hasher.finalize()
}

/// What `prover` answers to `verifier`: keyed BLAKE3 of `"rustdht/hello/1" || net || u64 len || prover || u64 len ||
/// verifier || nonce of the verifier || nonce of the prover`. The ids are the bytes of the PeerIds.
#[must_use]
pub fn proof(
    network_key: &[u8; 32],
    net: &NetId,
    prover: &[u8],
    verifier: &[u8],
    nonce_verifier: &[u8; 32],
    nonce_prover: &[u8; 32],
) -> [u8; 32] {
    *hash(network_key, net, prover, verifier, nonce_verifier, nonce_prover).as_bytes()
}

/// Whether `found` is the proof, compared in constant time.
#[must_use]
pub fn verify(
    found: &[u8; 32],
    network_key: &[u8; 32],
    net: &NetId,
    prover: &[u8],
    verifier: &[u8],
    nonce_verifier: &[u8; 32],
    nonce_prover: &[u8; 32],
) -> bool {
    hash(network_key, net, prover, verifier, nonce_verifier, nonce_prover) == blake3::Hash::from_bytes(*found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let net = NetId([1; 32]);
        let right = proof(&[2; 32], &net, b"a", b"b", &[3; 32], &[4; 32]);
        assert!(verify(&right, &[2; 32], &net, b"a", b"b", &[3; 32], &[4; 32]));
        for wrong in [
            proof(&[0; 32], &net, b"a", b"b", &[3; 32], &[4; 32]),
            proof(&[2; 32], &NetId([0; 32]), b"a", b"b", &[3; 32], &[4; 32]),
            proof(&[2; 32], &net, b"b", b"a", &[3; 32], &[4; 32]),
            proof(&[2; 32], &net, b"ab", b"", &[3; 32], &[4; 32]),
            proof(&[2; 32], &net, b"", b"ab", &[3; 32], &[4; 32]),
            proof(&[2; 32], &net, b"a", b"b", &[4; 32], &[3; 32]),
            proof(&[2; 32], &net, b"a", b"b", &[3; 32], &[0; 32]),
        ] {
            assert!(!verify(&wrong, &[2; 32], &net, b"a", b"b", &[3; 32], &[4; 32]));
        }
    }
}
