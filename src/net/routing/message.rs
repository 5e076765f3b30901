//! `ADD_PROVIDER` messages (libp2p Kademlia DHT specification, "RPC messages").

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};

/// `Message.type`.
const ADD_PROVIDER: u64 = 2;
/// `Peer.connection`: the sender is there.
const CONNECTED: u64 = 1;

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn number(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3);
    varint(out, value);
}

fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// One message for each key, each with its length before it: `peer`, at these addresses, has its block.
pub(crate) fn add_providers<'k>(
    keys: impl IntoIterator<Item = &'k [u8]>,
    peer: &PeerId,
    addresses: &[Multiaddr],
) -> Bytes {
    let mut provider = Vec::new();
    bytes(&mut provider, 1, &peer.to_bytes());
    addresses.iter().for_each(|address| bytes(&mut provider, 2, address.as_ref()));
    number(&mut provider, 3, CONNECTED);
    let (mut out, mut message) = (Vec::new(), Vec::new());
    for key in keys {
        message.clear();
        number(&mut message, 1, ADD_PROVIDER);
        bytes(&mut message, 2, key);
        bytes(&mut message, 9, &provider);
        varint(&mut out, message.len() as u64);
        out.extend_from_slice(&message);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_the_specification() {
        let peer = PeerId::from_bytes(&[0x12, 1, 0x11]);
        // A peer id is a SHA-256 or an inlined key; that of a short hash is enough to see the bytes.
        let Ok(peer) = peer else { panic!("not a peer id") };
        let address: Multiaddr = "/ip4/1.2.3.4/tcp/5".parse().unwrap();
        let out = add_providers([&b"k"[..], b"lm"], &peer, &[address]);
        let provider = [0x0a, 3, 0x12, 1, 0x11, 0x12, 8, 4, 1, 2, 3, 4, 6, 0, 5, 0x18, 1];
        let first = [&[0x08, 2, 0x12, 1, b'k', 0x4a, 17][..], &provider].concat();
        let second = [&[0x08, 2, 0x12, 2, b'l', b'm', 0x4a, 17][..], &provider].concat();
        assert_eq!(out, [&[24][..], &first, &[25], &second].concat());
    }
}
