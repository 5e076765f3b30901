//! What is known of a connected peer, and the proof of the network key in both directions.
//!
//! ```text
//!   dialer                                        listener
//!     |  Open { nonce }  ------------------------->  |
//!     |  <-- Challenge { proof over nonce, nonce' }  |   the listener is proven
//!     |  Prove { proof over nonce', members } ---->  |   the dialer is proven, and satisfied
//!     |  <----------------------- Welcome { members }|   the listener is satisfied
//! ```
//!
//! Both ends' PeerIds stand in each proof and the transport (TLS of QUIC, noise) has authenticated them, so a proof cannot be passed on.

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId, swarm::ConnectionId};
use rustdht_core::NetId;
use rustdht_wire::{hello, protocol::MAX_MEMBER_ADDRESSES};

/// The secret side of the proof.
#[derive(Clone)]
pub(crate) struct Secret {
    pub(crate) net: NetId,
    pub(crate) network_key: [u8; 32],
    pub(crate) local: PeerId,
}

impl Secret {
    /// Our proof to `verifier`.
    pub(crate) fn prove(&self, verifier: &PeerId, theirs: &[u8; 32], ours: &[u8; 32]) -> [u8; 32] {
        let (prover, verifier) = (self.local.to_bytes(), verifier.to_bytes());
        hello::proof(&self.network_key, &self.net, &prover, &verifier, theirs, ours)
    }

    /// Whether `proof` is that of `prover` to us.
    pub(crate) fn verify(&self, proof: &[u8; 32], prover: &PeerId, theirs: &[u8; 32], ours: &[u8; 32]) -> bool {
        let (prover, verifier) = (prover.to_bytes(), self.local.to_bytes());
        hello::verify(proof, &self.network_key, &self.net, &prover, &verifier, ours, theirs)
    }
}

/// A connected peer.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) connections: Vec<ConnectionId>,
    /// The nonce that we opened with.
    pub(crate) opened: Option<[u8; 32]>,
    /// Their nonce and ours of the challenge that we answered with.
    pub(crate) challenged: Option<([u8; 32], [u8; 32])>,
    /// They proved the network key to us: their requests may be answered.
    pub(crate) proven: bool,
    /// They are satisfied with our proof: requests to them make sense.
    pub(crate) satisfied: bool,
    /// Random per start of their process.
    pub(crate) incarnation: Option<[u8; 8]>,
    /// When `hello` must be over.
    pub(crate) deadline_ms: u64,
    /// Signed replica records that they sent.
    pub(crate) records: Vec<Bytes>,
    /// Where it may be reached, kept until it is a member: a stranger must not fill the address book.
    pub(crate) addresses: Vec<Multiaddr>,
    pub(crate) rtt_us: Option<u64>,
    /// Whether the connection came from, or goes to, another machine.
    pub(crate) remote: bool,
    /// This side dialled it.
    pub(crate) dialled: bool,
    /// It was asked to prove the network key, since it may be a member.
    pub(crate) greeted: bool,
    /// It is no member and speaks IPFS.
    pub(crate) guest: bool,
}

impl Session {
    /// Keeps an address until `hello` is over.
    pub(crate) fn keep_address(&mut self, address: Multiaddr) {
        if self.addresses.len() < MAX_MEMBER_ADDRESSES && !self.addresses.contains(&address) {
            self.addresses.push(address);
        }
    }

    /// Both sides are satisfied.
    pub(crate) const fn is_member(&self) -> bool {
        self.proven && self.satisfied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8, key: u8) -> Secret {
        let keypair = libp2p::identity::Keypair::ed25519_from_bytes([byte; 32]).unwrap();
        Secret { net: NetId([1; 32]), network_key: [key; 32], local: keypair.public().to_peer_id() }
    }

    #[test]
    fn only_the_key_the_ends_and_the_nonces_together_make_a_proof() {
        let (a, b, c) = (secret(1, 9), secret(2, 9), secret(3, 9));
        let (nonce_a, nonce_b) = ([4; 32], [5; 32]);
        let proof = b.prove(&a.local, &nonce_a, &nonce_b);
        assert!(a.verify(&proof, &b.local, &nonce_b, &nonce_a));
        assert!(!a.verify(&proof, &b.local, &nonce_b, &[6; 32]), "another nonce");
        assert!(!a.verify(&proof, &c.local, &nonce_b, &nonce_a), "another prover");
        assert!(!c.verify(&proof, &b.local, &nonce_b, &nonce_a), "another verifier");
        assert!(!b.verify(&proof, &a.local, &nonce_b, &nonce_a), "reflected");
        let stranger = secret(2, 8);
        let wrong = stranger.prove(&a.local, &nonce_a, &nonce_b);
        assert!(!a.verify(&wrong, &stranger.local, &nonce_b, &nonce_a), "another network key");
    }
}
