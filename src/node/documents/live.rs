//! What gateways that have a document open tell each other at once: keystrokes that are not signed yet, awareness, and
//! the question who else is there. Nobody stores it.
//!
//! ```text
//! message = DAG-CBOR { g: b32, s: b64, m: bytes, ?c: [[certificate bytes, b64]] }     s = Ed25519(BLAKE3("rustdht/live/1" || m))
//! m       = DAG-CBOR { v: 1, net: b32, t: u64 (ms), s: soul, f: field, ?a: bytes, ?p: bytes }
//! ```
//! With neither `a` (awareness) nor `p` (a Yjs update: previews) it asks for the awareness of the others. `c` is the chain of the
//! gateway's member certificate, leaf first, in a network of mode `members`.

use bytes::Bytes;
use rustdht_core::{
    Code, Field, NetId, PublicKey, Refusal, Soul,
    cbor::{self, Item},
};
use rustdht_wire::{SigningKey, check_key, verify_signature};

use super::limits::{MAX_AWARENESS_BYTES, MAX_PREVIEW_BYTES};

/// Certificates of one chain (commit-format.md: at most 8).
const MAX_CHAIN: usize = 8;
/// A message that is older or newer than this is not taken: a recorded one cannot be played again later.
const MAX_AGE_MS: u64 = 60_000;

/// A certificate as bytes and signature.
pub(crate) type Pair = (Bytes, [u8; 64]);

/// What one gateway tells the others of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) soul: Soul,
    pub(crate) field: Field,
    pub(crate) body: Body,
}

/// What it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// Who is there?
    Query,
    /// States of its editors.
    Awareness(Bytes),
    /// Keystrokes of its editors, as an update.
    Preview(Bytes),
}

/// A message that came in, with a signature that holds.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) gateway: PublicKey,
    /// The chain that is said to make the gateway a member, unverified.
    pub(crate) chain: Vec<Pair>,
    pub(crate) live: Live,
}

fn message_hash(message: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"rustdht/live/1");
    hasher.update(message);
    *hasher.finalize().as_bytes()
}

fn encode(live: &Live, net: &NetId, now_ms: u64) -> Vec<u8> {
    let mut out = Vec::new();
    cbor::map(&mut out, 5 + usize::from(live.body != Body::Query));
    // Keys ascend by length, then bytes.
    match &live.body {
        Body::Awareness(update) => {
            cbor::text(&mut out, "a");
            cbor::bytes(&mut out, update);
        }
        Body::Query | Body::Preview(_) => {}
    }
    cbor::text(&mut out, "f");
    cbor::text(&mut out, &live.field);
    if let Body::Preview(update) = &live.body {
        cbor::text(&mut out, "p");
        cbor::bytes(&mut out, update);
    }
    cbor::text(&mut out, "s");
    cbor::text(&mut out, live.soul.as_str());
    cbor::text(&mut out, "t");
    cbor::uint(&mut out, now_ms);
    cbor::text(&mut out, "v");
    cbor::uint(&mut out, 1);
    cbor::text(&mut out, "net");
    cbor::bytes(&mut out, &net.0);
    out
}

/// The message, signed.
pub(crate) fn sign(live: &Live, net: &NetId, chain: &[Pair], key: &SigningKey, now_ms: u64) -> Bytes {
    let message = encode(live, net, now_ms);
    let mut out = Vec::with_capacity(message.len() + 160);
    cbor::map(&mut out, 3 + usize::from(!chain.is_empty()));
    if !chain.is_empty() {
        cbor::text(&mut out, "c");
        cbor::array(&mut out, chain.len());
        for (bytes, signature) in chain {
            cbor::array(&mut out, 2);
            cbor::bytes(&mut out, bytes);
            cbor::bytes(&mut out, signature);
        }
    }
    cbor::text(&mut out, "g");
    cbor::bytes(&mut out, &key.public().0);
    cbor::text(&mut out, "m");
    cbor::bytes(&mut out, &message);
    cbor::text(&mut out, "s");
    cbor::bytes(&mut out, &key.sign(&message_hash(&message)));
    out.into()
}

fn malformed(detail: &'static str) -> Refusal {
    Refusal::new(Code::Malformed, detail)
}

fn pair<'a, 'b>(item: &'b Item<'a>) -> Result<(&'b Item<'a>, &'b Item<'a>), Refusal> {
    match item.elements()? {
        [first, second] => Ok((first, second)),
        _ => Err(malformed("expected a pair")),
    }
}

fn read_message(message: &[u8], net: &NetId, now_ms: u64) -> Result<Live, Refusal> {
    let (mut soul, mut field, mut version, mut of, mut at) = (None, None, None, None, None);
    let mut body = Body::Query;
    for (key, item) in cbor::decode_map(message)? {
        match key {
            "a" if body == Body::Query => body = Body::Awareness(Bytes::copy_from_slice(item.bytes()?)),
            "p" if body == Body::Query => body = Body::Preview(Bytes::copy_from_slice(item.bytes()?)),
            "f" => field = Some(item.text()?.parse::<Field>()?),
            "s" => soul = Some(item.text()?.parse::<Soul>()?),
            "t" => at = Some(item.uint()?),
            "v" => version = Some(item.uint()?),
            "net" => of = Some(NetId(item.array()?)),
            _ => return Err(malformed("an unknown key in a live message")),
        }
    }
    let (Some(soul), Some(field), Some(1), Some(of), Some(at)) = (soul, field, version, of, at) else {
        return Err(malformed("a live message lacks a key"));
    };
    if of != *net {
        return Err(Refusal::new(Code::WrongNetwork, "a live message of another network"));
    }
    if at.abs_diff(now_ms) > MAX_AGE_MS {
        return Err(Refusal::new(Code::Stale, "a live message that is not of this minute"));
    }
    let (bytes, most) = match &body {
        Body::Query => (0, 0),
        Body::Awareness(update) => (update.len(), MAX_AWARENESS_BYTES),
        Body::Preview(update) => (update.len(), MAX_PREVIEW_BYTES),
    };
    if bytes > most {
        return Err(Refusal::new(Code::TooLarge, "at most 4 KiB of awareness and 32 KiB of previews"));
    }
    Ok(Live { soul, field, body })
}

/// Reads a message and checks its signature.
pub(crate) fn read(bytes: &[u8], net: &NetId, now_ms: u64) -> Result<Heard, Refusal> {
    let (mut chain, mut gateway, mut message, mut signature) = (Vec::new(), None, None, None);
    for (key, item) in cbor::decode_map(bytes)? {
        match key {
            "c" => {
                let pairs = item.elements()?;
                if pairs.is_empty() || pairs.len() > MAX_CHAIN {
                    return Err(malformed("a chain has 1 to 8 certificates"));
                }
                let certificate = |item: &Item<'_>| {
                    let (bytes, signature) = pair(item)?;
                    Ok((Bytes::copy_from_slice(bytes.bytes()?), signature.array()?))
                };
                chain = pairs.iter().map(certificate).collect::<Result<_, Refusal>>()?;
            }
            "g" => gateway = Some(PublicKey(item.array()?)),
            "m" => message = Some(item.bytes()?),
            "s" => signature = Some(item.array::<64>()?),
            _ => return Err(malformed("an unknown key around a live message")),
        }
    }
    let (Some(gateway), Some(message), Some(signature)) = (gateway, message, signature) else {
        return Err(malformed("a live message lacks its key, its text or its signature"));
    };
    let live = read_message(message, net, now_ms)?;
    check_key(&gateway)?;
    verify_signature(&gateway, &message_hash(message), &signature)?;
    Ok(Heard { gateway, chain, live })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustdht_core::ports::MAX_LIVE_BYTES;

    use super::*;

    const NET: NetId = NetId([9; 32]);
    const NOW: u64 = 1_795_000_000_000;

    fn live(body: Body) -> Live {
        Live { soul: "pages/ada".parse().unwrap(), field: "text".parse().unwrap(), body }
    }

    fn key() -> SigningKey {
        SigningKey::from_seed(&[1; 32])
    }

    fn bodies() -> [Body; 3] {
        [Body::Query, Body::Awareness(Bytes::from_static(&[0])), Body::Preview(Bytes::from_static(&[0, 0]))]
    }

    #[test]
    fn messages_come_back() {
        for body in bodies() {
            for chain in [vec![], vec![(Bytes::from_static(b"certificate"), [4; 64])]] {
                let bytes = sign(&live(body.clone()), &NET, &chain, &key(), NOW);
                let heard = read(&bytes, &NET, NOW + 1000).unwrap();
                assert_eq!((heard.gateway, heard.chain, heard.live), (key().public(), chain, live(body.clone())));
            }
        }
    }

    #[test]
    fn every_changed_byte_is_refused() {
        for body in bodies() {
            let bytes = sign(&live(body), &NET, &[], &key(), NOW);
            for at in 0..bytes.len() {
                let mut forged = bytes.to_vec();
                forged[at] ^= 1;
                assert!(read(&forged, &NET, NOW).is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn other_networks_other_times_and_large_bodies_are_refused() {
        let bytes = sign(&live(Body::Query), &NET, &[], &key(), NOW);
        assert_eq!(read(&bytes, &NetId([8; 32]), NOW).unwrap_err().code, Code::WrongNetwork);
        for now_ms in [NOW - MAX_AGE_MS - 1, NOW + MAX_AGE_MS + 1] {
            assert_eq!(read(&bytes, &NET, now_ms).unwrap_err().code, Code::Stale);
        }
        for (body, fits) in [
            (Body::Awareness(vec![0; MAX_AWARENESS_BYTES].into()), true),
            (Body::Awareness(vec![0; MAX_AWARENESS_BYTES + 1].into()), false),
            (Body::Preview(vec![0; MAX_PREVIEW_BYTES].into()), true),
            (Body::Preview(vec![0; MAX_PREVIEW_BYTES + 1].into()), false),
        ] {
            let bytes = sign(&live(body), &NET, &[], &key(), NOW);
            assert_eq!(read(&bytes, &NET, NOW).is_ok(), fits);
            assert!(bytes.len() < MAX_LIVE_BYTES);
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&noise, &NET, NOW).is_err());
        }
    }
}
