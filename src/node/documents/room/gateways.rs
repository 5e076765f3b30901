//! Other gateways: keystrokes of their editors before they are signed, and who is there.

use rustdht_core::PublicKey;
use rustdht_graph::yjs::{Update, merge};

use super::{Effect, Preview, Room};
use crate::{
    Principal,
    documents::{
        limits::{ADOPT_AFTER_MS, MAX_PREVIEW_BYTES, MAX_PREVIEWS, MAX_PREVIEWS_BYTES},
        live::Body,
        replica::below,
    },
};

impl Room {
    /// A message of another gateway that has the document open.
    pub(crate) fn heard(&mut self, gateway: PublicKey, body: &Body, now_ms: u64) -> Vec<Effect> {
        if self.private || self.editors.is_empty() {
            return Vec::new();
        }
        match body {
            Body::Query => {
                let own = self.awareness.own(&self.awareness.present());
                let parts = self.awareness.encode_parts(&own);
                parts.into_iter().map(|part| Effect::Tell(Body::Awareness(part.into()))).collect()
            }
            Body::Awareness(states) => match self.awareness.gateway_says(gateway, states, now_ms) {
                Ok(changed) => self.spread(&changed, &std::collections::BTreeSet::new()),
                Err(_) => Vec::new(),
            },
            Body::Preview(update) => self.preview(update, now_ms),
        }
    }

    fn preview(&mut self, bytes: &[u8], now_ms: u64) -> Vec<Effect> {
        let Ok(update) = Update::decode(bytes) else { return Vec::new() };
        let full = self.previews.len() >= MAX_PREVIEWS || self.preview_bytes + bytes.len() > MAX_PREVIEWS_BYTES;
        // Its signed form follows, or a better one: a preview never contradicts what editors hold.
        if full
            || self.hidden.meets(&update.structs())
            || self.hidden.meets(update.deletes())
            || self.replica.contradicts(&update)
        {
            return Vec::new();
        }
        let update = self.held.rest(&update);
        if update.is_empty() {
            return Vec::new();
        }
        self.preview_bytes += bytes.len();
        let ready = self.replica.apply(&update);
        self.previews.push_back(Preview { update, bytes: bytes.len(), since_ms: now_ms, built_by: None });
        self.give(ready.as_ref())
    }

    /// Notes on which previews an update of an editor here builds.
    pub(super) fn build(&mut self, by: Principal, update: &Update) {
        if self.previews.is_empty() {
            return;
        }
        let needed = below(&update.dependencies());
        for preview in self.previews.iter_mut().filter(|preview| preview.built_by.is_none()) {
            let mut missing = preview.update.structs();
            missing.subtract(&self.held.structs);
            if missing.meets(&needed) {
                preview.built_by = Some(by);
            }
        }
    }

    /// Lets go of previews whose signed form came.
    pub(super) fn settle(&mut self) {
        let (signed, bytes) = (&self.held, &mut self.preview_bytes);
        self.previews.retain(|preview| {
            let settled = signed.holds(&preview.update);
            if settled {
                *bytes = bytes.saturating_sub(preview.bytes);
            }
            !settled
        });
    }

    /// Previews that editors here built on for long and that nobody signed: they become keystrokes of who built on them.
    pub(crate) fn adopt(&mut self, now_ms: u64) {
        let due = |preview: &Preview| preview.since_ms.saturating_add(ADOPT_AFTER_MS) <= now_ms;
        if !self.previews.iter().any(|preview| preview.built_by.is_some() && due(preview)) {
            return;
        }
        // What a preview builds on itself is needed too.
        loop {
            let built: Vec<(Principal, Update)> =
                self.previews.iter().filter_map(|preview| Some((preview.built_by?, preview.update.clone()))).collect();
            let before = self.previews.iter().filter(|preview| preview.built_by.is_some()).count();
            built.iter().for_each(|(by, update)| self.build(*by, update));
            if self.previews.iter().filter(|preview| preview.built_by.is_some()).count() == before {
                break;
            }
        }
        let (adopted, kept): (Vec<Preview>, Vec<Preview>) = std::mem::take(&mut self.previews)
            .into_iter()
            .partition(|preview| preview.built_by.is_some() && due(preview));
        self.previews = kept.into();
        for preview in adopted {
            self.preview_bytes = self.preview_bytes.saturating_sub(preview.bytes);
            let Some(by) = preview.built_by else { continue };
            self.take_over(by, &preview.update);
        }
    }

    /// Keystrokes that other gateways can be told of now, merged; `None`: none wait.
    pub(crate) fn unsent(&mut self) -> Option<Body> {
        let unsent = std::mem::take(&mut self.unsent);
        if unsent.is_empty() || self.private {
            return None;
        }
        let bytes = merge(&unsent).encode();
        // What does not fit reaches the others when it is signed.
        (bytes.len() <= MAX_PREVIEW_BYTES).then(|| Body::Preview(bytes.into()))
    }

    /// Whether keystrokes wait for other gateways to be told.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }
}
