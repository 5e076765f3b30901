//! What is open here: the store of uploads, and the room that was set aside for each.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use rustdht_core::ports::{UploadError, UploadId, UploadStore};
use rustdht_node::{Node, PinFault, Principal, Room};

use crate::problem::Problem;

/// Room for an upload, and how far it was taken: bytes that are sent again take none.
#[derive(Debug)]
pub(super) struct Held {
    room: Room,
    high: u64,
}

impl Held {
    /// Takes room up to this offset.
    pub(super) fn reach(&mut self, offset: u64) -> Result<(), PinFault> {
        if offset > self.high {
            self.room.take(offset - self.high)?;
            self.high = offset;
        }
        Ok(())
    }
}

pub(super) type SharedRoom = Arc<Mutex<Option<Held>>>;

/// Of one gateway.
#[derive(Default)]
pub(crate) struct Desk {
    store: OnceLock<Arc<dyn UploadStore>>,
    /// Of uploads that are not complete. In memory only: after a restart each is set aside again when its client comes.
    rooms: Mutex<HashMap<UploadId, SharedRoom>>,
}

impl Desk {
    pub(crate) fn bind(&self, store: Arc<dyn UploadStore>) {
        let _ = self.store.set(store);
    }

    pub(super) fn store(&self) -> Option<&dyn UploadStore> {
        self.store.get().map(|store| &**store)
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<UploadId, SharedRoom>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The room of an upload, set aside if it is not: as much as its length, and at least what came.
    ///
    /// # Errors
    /// `quota_exceeded`, `too_large`.
    pub(super) async fn reserve(
        &self,
        node: &Node,
        id: UploadId,
        by: Principal,
        length: Option<u64>,
        offset: u64,
    ) -> Result<SharedRoom, Problem> {
        if let Some(room) = self.rooms().get(&id) {
            return Ok(Arc::clone(room));
        }
        let room = node.reserve(by, length.or(Some(offset))).await?;
        let mut held = Held { room, high: 0 };
        held.reach(offset).map_err(Problem::from)?;
        // Somebody may have been faster; his is as good.
        Ok(Arc::clone(self.rooms().entry(id).or_insert_with(|| Arc::new(Mutex::new(Some(held))))))
    }

    /// Hands the room of an upload over to what keeps it.
    pub(super) fn take(&self, id: UploadId) -> Option<Room> {
        let room = self.rooms().remove(&id)?;
        let held = room.lock().unwrap_or_else(PoisonError::into_inner).take();
        held.map(|held| held.room)
    }

    /// Who appends still has the room in his hands and is counted by it until he ends. That requests exclude each other is
    /// up to the store, not to the room.
    pub(super) fn forget(&self, id: UploadId) {
        self.rooms().remove(&id);
    }

    /// Gives back the room of an upload that was ended or settled while a request set room aside for it once more: nobody
    /// else would.
    pub(super) async fn release_if_over(&self, id: UploadId) {
        let Some(store) = self.store() else { return };
        let is_over = match store.state(id).await {
            Ok(upload) => upload.added.is_some(),
            Err(error) => matches!(error, UploadError::Unknown),
        };
        if is_over {
            self.forget(id);
        }
    }

    /// Gives up what nothing came for until now.
    pub(crate) async fn expire(&self, now_ms: u64) {
        let Some(store) = self.store() else { return };
        let gone = store.expire(now_ms).await;
        if !gone.is_empty() {
            tracing::info!(uploads = gone.len(), "uploads whose time is over were given up");
        }
        let mut rooms = self.rooms();
        gone.iter().for_each(|id| drop(rooms.remove(id)));
    }
}
