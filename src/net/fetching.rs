//! Fetching blocks: one session of Bitswap for a DAG, and when to give up.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use rustdht_bitswap::Session;
use rustdht_core::ports::{BlockGate, BlockSource};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::Instant,
};

use crate::{
    Handle,
    limits::{FETCH_PATIENCE, FETCH_TIMEOUT},
    service::Nobody,
};

/// Bitswap asks for providers at once when everybody who is connected has denied, else after half a second: earlier than
/// this, nobody is left who could still say something.
const ALL_DENIED: Duration = Duration::from_millis(450);

/// The blocks of one DAG.
pub(crate) struct Fetching {
    session: Session,
    nobody: broadcast::Sender<Nobody>,
    gate: Option<Arc<dyn BlockGate>>,
}

impl Fetching {
    pub(crate) fn new(handle: &Handle) -> Self {
        Self {
            session: handle.bitswap.session(rustdht_bitswap::SessionOptions::default()),
            nobody: handle.nobody.clone(),
            gate: handle.gate.clone(),
        }
    }
}

/// Until when to wait, once no provider is known.
fn patience(began: Instant, nobody: &Nobody) -> Instant {
    let all_denied = nobody.asked.saturating_duration_since(began) < ALL_DENIED;
    if nobody.alone || all_denied { Instant::now() } else { began + FETCH_PATIENCE }
}

#[async_trait]
impl BlockSource for Fetching {
    async fn fetch_block(&self, cid: &Cid) -> Option<Bytes> {
        if self.gate.as_ref().is_some_and(|gate| !gate.admits(cid)) {
            return None;
        }
        let mut nobody = self.nobody.subscribe();
        let began = Instant::now();
        let mut get = std::pin::pin!(self.session.get(*cid));
        let mut until = began + FETCH_TIMEOUT;
        loop {
            tokio::select! {
                block = &mut get => match block {
                    Ok(block) => return Some(block),
                    Err(error) => {
                        tracing::debug!(%cid, %error, "a block cannot be asked for");
                        return None;
                    }
                },
                () = tokio::time::sleep_until(until) => return None,
                heard = nobody.recv() => match heard {
                    Ok(heard) if heard.session == self.session.id() && heard.cid.hash() == cid.hash() => {
                        until = until.min(patience(began, &heard));
                    }
                    // What was missed comes again while the block is wanted.
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }
}
