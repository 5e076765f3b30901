//! Uploads in parts and previews of images: the block store behind the gateway's doors.

use std::{sync::Arc, time::Duration};

use rustdht_blobs::{Previewer, Store, UploadBounds};
use rustdht_gateway::State;

use super::task::Task;
use crate::config::Config;

/// How often uploads are looked through for those whose time is over, which is a day.
const UPKEEP: Duration = Duration::from_secs(600);

/// What unfinished uploads may take.
pub(super) fn bounds(config: &Config) -> UploadBounds {
    UploadBounds {
        max_bytes: u64::from(config.blobs.upload_max_gib) << 30,
        max_open_bytes: u64::from(config.blobs.uploads_open_gib) << 30,
        ..UploadBounds::default()
    }
}

/// Binds the store, and starts what gives up uploads that nothing came for.
pub(super) fn start(state: &State, blobs: &Store) -> Task {
    state.bind_uploads(Arc::new(blobs.clone()) as _);
    state.bind_previews(Arc::new(Previewer::new(blobs.clone())) as _);
    let state = state.clone();
    Task::start("the uploads' upkeep", |cancel| async move {
        loop {
            state.expire_uploads().await;
            tokio::select! {
                () = tokio::time::sleep(UPKEEP) => {}
                () = cancel.cancelled() => return Ok(()),
            }
        }
    })
}
