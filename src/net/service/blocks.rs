//! Blocks by CID, until Bitswap: ask the connected members one after another.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use cid::Cid;
use libp2p::{PeerId, request_response::ResponseChannel};
use rustdht_dht::CallerId;
use rustdht_wire::protocol::{Request, Response};
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
        match response {
            Some(Response::Block(Some(block))) => {
                if let Some(fetch) = self.blocks.fetches.remove(&caller) {
                    self.blocks.last = fetch.asked;
                    let _ = fetch.reply.send(Some(block));
                }
            }
            _ => self.ask_next(caller),
        }
    }
}
