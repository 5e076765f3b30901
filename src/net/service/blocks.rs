//! Blocks by CID, until Bitswap: ask the connected members one after another.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use cid::Cid;
use libp2p::{PeerId, request_response::ResponseChannel};
use rustdht_dht::CallerId;
use rustdht_wire::protocol::{Request, Response};
use sha2::Digest as _;
use tokio::sync::oneshot;

use super::{Running, Sent};
use crate::{
    limits::{MAX_BLOCKS_FETCHED, MAX_BLOCKS_SERVED},
    metrics,
};

struct Fetch {
    cid: Cid,
    left: VecDeque<PeerId>,
    asked: Option<PeerId>,
    reply: oneshot::Sender<Option<Bytes>>,
}

/// Blocks under way in both directions.
#[derive(Default)]
pub(super) struct Blocks {
    fetches: HashMap<CallerId, Fetch>,
    serving: usize,
    last: Option<PeerId>,
}

impl Blocks {
    pub(super) fn served(&mut self) {
        self.serving = self.serving.saturating_sub(1);
    }
}

impl Running {
    pub(super) fn serve_block(&mut self, cid: Cid, channel: ResponseChannel<Response>) {
        // Over the bound the channel is dropped: the asker tries the next member.
        if self.blocks.serving < MAX_BLOCKS_SERVED {
            self.blocks.serving += 1;
            self.spawn_block(cid, channel);
        }
    }

    /// The member that answered last comes first.
    pub(super) fn fetch_block(&mut self, cid: Cid, reply: oneshot::Sender<Option<Bytes>>) {
        if self.blocks.fetches.len() >= MAX_BLOCKS_FETCHED {
            // The caller may have given up.
            let _ = reply.send(None);
            return;
        }
        let members = self.sessions.iter().filter(|(_, session)| session.is_member()).map(|(peer, _)| *peer);
        let (first, rest): (Vec<PeerId>, Vec<PeerId>) = members.partition(|peer| Some(*peer) == self.blocks.last);
        let caller = CallerId(self.next_id());
        let left = first.into_iter().chain(rest).collect();
        self.blocks.fetches.insert(caller, Fetch { cid, left, asked: None, reply });
        self.ask_next(caller);
    }

    fn ask_next(&mut self, caller: CallerId) {
        let Some(mut fetch) = self.blocks.fetches.remove(&caller) else { return };
        while let Some(peer) = fetch.left.pop_front() {
            if fetch.reply.is_closed() {
                return;
            }
            if self.sessions.get(&peer).is_some_and(super::Session::is_member) {
                let request = Request::Block { cid: fetch.cid };
                metrics::request(request.protocol(), "out");
                let id = self.swarm.behaviour_mut().send(&peer, request);
                self.sent.insert(id, Sent::Block(caller));
                fetch.asked = Some(peer);
                self.blocks.fetches.insert(caller, fetch);
                return;
            }
        }
        let _ = fetch.reply.send(None);
    }

    pub(super) fn block_answered(&mut self, caller: CallerId, response: Option<Response>) {
        match (response, self.blocks.fetches.get(&caller)) {
            (Some(Response::Block(Some(block))), Some(fetch)) => {
                let cid = fetch.cid;
                self.spawn_check(caller, cid, block);
            }
            _ => self.ask_next(caller),
        }
    }

    /// A block came, and was held against its CID: a wrong one is no answer.
    pub(super) fn block_checked(&mut self, caller: CallerId, block: Option<Bytes>) {
        let Some(fetch) = self.blocks.fetches.get(&caller) else { return };
        let asked = fetch.asked;
        let Some(block) = block else {
            metrics::misbehaved();
            if let Some(peer) = asked {
                tracing::warn!(%peer, cid = %fetch.cid, "a member sent a block that is not what was asked for");
            }
            if self.blocks.last == asked {
                self.blocks.last = None;
            }
            self.ask_next(caller);
            return;
        };
        self.blocks.last = asked;
        if let Some(fetch) = self.blocks.fetches.remove(&caller) {
            let _ = fetch.reply.send(Some(block));
        }
    }
}

/// Multicodec `identity`: the digest is the block.
const IDENTITY: u64 = 0x00;
/// Multicodec `sha2-256`.
const SHA2_256: u64 = 0x12;
/// Multicodec `blake3`, here with 32 bytes only.
const BLAKE3: u64 = 0x1e;

/// Whether a block may be the one that a CID names. Of hash functions that are not known here the caller judges.
pub(super) fn is_of(cid: &Cid, block: &[u8]) -> bool {
    let digest = cid.hash().digest();
    match cid.hash().code() {
        IDENTITY => digest == block,
        SHA2_256 if digest.len() == 32 => digest == sha2::Sha256::digest(block).as_slice(),
        BLAKE3 if digest.len() == 32 => digest == blake3::hash(block).as_bytes(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use cid::multihash::Multihash;

    use super::*;

    #[test]
    fn a_block_is_held_against_its_cid() {
        let of = |code: u64, digest: &[u8]| Cid::new_v1(0x55, Multihash::wrap(code, digest).unwrap());
        let sha = of(SHA2_256, sha2::Sha256::digest(b"block").as_slice());
        let blake = of(BLAKE3, blake3::hash(b"block").as_bytes());
        for cid in [sha, blake, of(IDENTITY, b"block")] {
            assert!(is_of(&cid, b"block") && !is_of(&cid, b"other"), "{cid}");
        }
        assert!(is_of(&of(0x1b, &[1; 32]), b"anything"), "not known here");
    }
}
