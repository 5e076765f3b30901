//! The end of an upload: assembled, kept like any other, and said so. Each step may be done again: a process that ends in
//! between leaves an upload that the next request settles.

use rustdht_core::ports::{Added, UploadId, UploadState};
use rustdht_node::{Keep, Principal, Upload};

use super::{note::Note, store};
use crate::{State, previews, problem::Problem};

/// Settles an upload whose last byte came; nothing else.
pub(super) async fn if_complete(
    state: &State,
    id: UploadId,
    by: Principal,
    note: &Note,
    upload: &mut UploadState,
) -> Result<(), Problem> {
    if upload.added.is_some() || upload.length != Some(upload.offset) {
        return Ok(());
    }
    // Until something keeps it.
    let _hold = state.node().blobs().hold();
    let added = store(state)?.assemble(id).await?;
    keep(state, id, by, note, &added).await?;
    upload.added = Some(added);
    Ok(())
}

/// Keeps what an upload became.
pub(super) async fn keep(
    state: &State,
    id: UploadId,
    by: Principal,
    note: &Note,
    added: &Added,
) -> Result<(), Problem> {
    let metadata = note.metadata();
    let room = match state.upload_desk().take(id) {
        Some(room) => room,
        None => state.node().reserve(by, Some(added.size)).await?,
    };
    let keep = if note.pin && !note.partial { Keep::Pin } else { Keep::Lease };
    let upload = Upload { cid: added.cid, bytes: added.size, name: metadata.filename, keep };
    state.node().pin_upload(by, upload, room).await?;
    store(state)?.complete(id, added).await?;
    if !note.partial {
        // It is looked at in the background if it takes longer than a moment.
        drop(previews::uploaded(state, added, metadata.filetype.as_deref()).await);
    }
    Ok(())
}
